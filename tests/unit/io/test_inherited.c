/* Sockets that a service manager passed: found by their address, and by nothing else. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/io/inherited.h"
#include "proxy/io/listener.h"
#include "tests/support/alloc_fail.h"

/* Beyond what the test itself has open. */
enum { FIRST = 200, TEXT_SIZE = 64 };

static char own_pid[24];

static struct inherited_words words_of(const char *fds, const char *names)
{
    (void)snprintf(own_pid, sizeof own_pid, "%d", (int)getpid());
    return (struct inherited_words){own_pid, fds, names};
}

/* Listens, and puts the socket where the index-th is passed; gives its port. */
static unsigned pass(int index, const char *address)
{
    int fd = -1;
    struct note note = {""};
    assert_int_equal(listener_bind(address, 8, &fd, &note), OK);
    unsigned port = listener_port(fd);
    assert_int_equal(dup2(fd, FIRST + index), FIRST + index);
    (void)close(fd);
    return port;
}

/* One socket for every address of either family, as `ListenStream=PORT` makes it. */
static unsigned pass_dual(int index)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    int off = 0;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof any), 0);
    assert_int_equal(listen(fd, 8), 0);
    unsigned port = listener_port(fd);
    assert_int_equal(dup2(fd, FIRST + index), FIRST + index);
    (void)close(fd);
    return port;
}

static struct conf_address address_of(char text[TEXT_SIZE], const char *host, unsigned port)
{
    struct conf_address address = {.text = text};
    (void)snprintf(text, TEXT_SIZE, "%s:%u", host, port);
    if (strchr(host, ':') == NULL) {
        address.socket.v4.sin_family = AF_INET;
        address.socket.v4.sin_port = htons((uint16_t)port);
        assert_int_equal(inet_pton(AF_INET, host, &address.socket.v4.sin_addr), 1);
    } else {
        address.socket.v6.sin6_family = AF_INET6;
        address.socket.v6.sin6_port = htons((uint16_t)port);
        assert_int_equal(inet_pton(AF_INET6, host, &address.socket.v6.sin6_addr), 1);
    }
    return address;
}

static struct inherited *take_over(const char *fds, const char *names)
{
    struct inherited *inherited = NULL;
    struct note note = {""};
    struct inherited_words words = words_of(fds, names);
    assert_int_equal(inherited_create(&words, FIRST, &note, &inherited), OK);
    return inherited;
}

static void a_socket_is_found_by_its_address(void **state)
{
    char text[TEXT_SIZE];
    char other[TEXT_SIZE];
    struct note note = {""};
    (void)state;
    unsigned port = pass(0, "127.0.0.1:0");
    struct inherited *inherited = take_over("1", "web");
    struct conf_address address = address_of(text, "127.0.0.1", port);
    struct conf_address elsewhere = address_of(other, "127.0.0.2", port);
    int fd = -1;
    assert_true(inherited_has_unused(inherited, &note));
    assert_non_null(strstr(note.text, text));
    assert_non_null(strstr(note.text, "web"));
    assert_int_equal(inherited_take(inherited, &elsewhere, 0, &fd), ERR_NOT_FOUND);
    for (size_t worker = 0; worker < 3; worker++) {
        assert_int_equal(inherited_take(inherited, &address, worker, &fd), OK);
        assert_int_equal(listener_port(fd), port);
        assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
        (void)close(fd);
    }
    assert_false(inherited_has_unused(inherited, &note));
    inherited_destroy(inherited);
    assert_int_equal(fcntl(FIRST, F_GETFD), -1);
}

static void several_sockets_of_one_address_are_dealt_in_turn(void **state)
{
    char text[TEXT_SIZE];
    char name[TEXT_SIZE];
    (void)state;
    unsigned port = pass(0, "127.0.0.1:0");
    (void)snprintf(name, sizeof name, "127.0.0.1:%u", port);
    assert_int_equal(pass(1, name), port);
    struct inherited *inherited = take_over("2", NULL);
    struct conf_address address = address_of(text, "127.0.0.1", port);
    struct note note = {""};
    int fds[2];
    assert_int_equal(inherited_take(inherited, &address, 0, &fds[0]), OK);
    assert_int_equal(inherited_take(inherited, &address, 1, &fds[1]), OK);
    /* What is taken from one of them alone is not the other. */
    assert_int_equal(shutdown(fds[0], SHUT_RD), 0);
    int accepts = 0;
    socklen_t size = sizeof accepts;
    assert_int_equal(getsockopt(fds[1], SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size), 0);
    assert_int_equal(accepts, 1);
    assert_false(inherited_has_unused(inherited, &note));
    (void)close(fds[0]);
    (void)close(fds[1]);
    inherited_destroy(inherited);
}

static void a_socket_for_both_families_serves_either_but_one(void **state)
{
    char four[TEXT_SIZE];
    char six[TEXT_SIZE];
    (void)state;
    unsigned port = pass_dual(0);
    struct inherited *inherited = take_over("1", NULL);
    struct conf_address any4 = address_of(four, "0.0.0.0", port);
    struct conf_address any6 = address_of(six, "::", port);
    int fd = -1;
    assert_int_equal(inherited_take(inherited, &any4, 0, &fd), OK);
    (void)close(fd);
    assert_int_equal(inherited_take(inherited, &any6, 0, &fd), ERR_NOT_FOUND);
    inherited_destroy(inherited);
}

static void what_is_meant_for_another_process_is_left_alone(void **state)
{
    (void)state;
    (void)pass(0, "127.0.0.1:0");
    const struct inherited_words rows[] = {
        {"1", "1", NULL}, {NULL, "1", NULL}, {"me", "1", NULL}, {NULL, NULL, NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct inherited *inherited = NULL;
        struct note note = {""};
        assert_int_equal(inherited_create(&rows[i], FIRST, &note, &inherited), OK);
        assert_int_equal(inherited_count(inherited), 0);
        inherited_destroy(inherited);
        assert_true(fcntl(FIRST, F_GETFD) >= 0);
    }
    (void)close(FIRST);
}

static void what_does_not_listen_is_refused(void **state)
{
    (void)state;
    struct inherited *inherited = NULL;
    struct note note = {""};
    struct inherited_words words = words_of("2", "web:ghost");
    (void)pass(0, "127.0.0.1:0");
    assert_int_equal(inherited_create(&words, FIRST, &note, &inherited), ERR_STATE);
    assert_non_null(strstr(note.text, "201"));
    const struct {
        const char *fds;
        enum err err;
    } rows[] = {{"129", ERR_LIMIT}, {"some", ERR_SYNTAX}, {"-1", ERR_SYNTAX}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        words = words_of(rows[i].fds, NULL);
        assert_int_equal(inherited_create(&words, FIRST, &note, &inherited), rows[i].err);
    }
    int datagrams = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(dup2(datagrams, FIRST), FIRST);
    (void)close(datagrams);
    words = words_of("1", NULL);
    assert_int_equal(inherited_create(&words, FIRST, &note, &inherited), ERR_STATE);
    (void)close(FIRST);
    assert_null(inherited);
}

static void without_memory_nothing_is_taken(void **state)
{
    char text[TEXT_SIZE];
    (void)state;
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        struct inherited *inherited = NULL;
        struct note note = {""};
        int fd = -1;
        (void)alloc_fail_end();
        struct conf_address address = address_of(text, "127.0.0.1", pass(0, "127.0.0.1:0"));
        struct inherited_words words = words_of("1", NULL);
        (void)alloc_fail_begin(turn);
        enum err err = inherited_create(&words, FIRST, &note, &inherited);
        if (err == OK) {
            err = inherited_take(inherited, &address, 0, &fd);
        }
        bool has_failed = alloc_fail_end();
        assert_int_equal(err, has_failed ? ERR_NOMEM : OK);
        if (fd >= 0) {
            (void)close(fd);
        }
        inherited_destroy(inherited);
        (void)close(FIRST);
        if (!has_failed) {
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_socket_is_found_by_its_address),
        cmocka_unit_test(several_sockets_of_one_address_are_dealt_in_turn),
        cmocka_unit_test(a_socket_for_both_families_serves_either_but_one),
        cmocka_unit_test(what_is_meant_for_another_process_is_left_alone),
        cmocka_unit_test(what_does_not_listen_is_refused),
        cmocka_unit_test(without_memory_nothing_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

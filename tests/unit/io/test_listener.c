/* Accepting, running out of descriptors, and closing without resetting anybody. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/io/listener.h"
#include "tests/support/loop_play.h"

enum { ACCEPTED_MAX = 256 };

struct door {
    int fds[ACCEPTED_MAX];
    size_t count;
    size_t exhausted_count;
};

static struct loop loop;
static struct door door;
static struct listener *listener;
static unsigned port;

static void on_accept(void *context, int fd, const struct sockaddr_storage *peer)
{
    struct door *self = context;
    assert_int_equal(peer->ss_family, AF_INET);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true(self->count < ACCEPTED_MAX);
    self->fds[self->count++] = fd;
}

static void on_exhausted(void *context)
{
    ((struct door *)context)->exhausted_count++;
}

static const struct listener_ops ops = {on_accept, on_exhausted};

static int set_up(void **state)
{
    (void)state;
    struct note note;
    int fd = -1;
    memset(&door, 0, sizeof door);
    play_begin(&loop);
    assert_int_equal(listener_bind("127.0.0.1:0", 128, &fd, &note), OK);
    port = listener_port(fd);
    assert_true(port > 0);
    assert_int_equal(listener_open(&loop, fd, false, &ops, &door, &listener), OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_enter(&loop);
    listener_close(listener);
    loop_leave(&loop);
    listener = NULL;
    for (size_t i = 0; i < door.count; i++) {
        (void)close(door.fds[i]);
    }
    play_end(&loop);
    return 0;
}

static void connections_are_handed_over(void **state)
{
    (void)state;
    enum { MANY = 100 };
    struct peer *peers = calloc(1, sizeof *peers);
    assert_non_null(peers);
    for (int i = 0; i < MANY; i++) {
        peer_connect(peers, port);
        peer_close(peers);
    }
    play_until(&loop, door.count == MANY);
    free(peers);
}

static void without_descriptors_connections_wait(void **state)
{
    (void)state;
    static struct peer peer;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    peer_connect(&peer, port);
    int lowest = dup(0);
    (void)close(lowest);
    struct rlimit none = {(rlim_t)lowest, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    uint64_t give_up = play_now_ms() + PLAY_PATIENCE_MS;
    while (door.exhausted_count < 2 && play_now_ms() < give_up) {
        play_step(&loop);
    }
    size_t accepted = door.count;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(door.exhausted_count >= 2);
    assert_int_equal(accepted, 0);
    play_until(&loop, door.count == 1);
    assert_true(door.exhausted_count < 1000); /* it looked away in between */
    peer_close(&peer);
}

static void closing_empties_the_queue_first(void **state)
{
    (void)state;
    enum { WAITING = 10 };
    static struct peer peers[WAITING];
    for (size_t i = 0; i < WAITING; i++) {
        peer_connect(&peers[i], port);
    }
    loop_enter(&loop);
    listener_close(listener);
    loop_leave(&loop);
    listener = NULL;
    assert_int_equal(door.count, WAITING);
    play_settle(&loop);
    for (size_t i = 0; i < WAITING; i++) {
        peer_look(&peers[i]);
        assert_false(peers[i].is_reset);
        peer_close(&peers[i]);
    }
}

static void two_sockets_share_an_address(void **state)
{
    (void)state;
    struct note note;
    char address[32];
    int fd = -1;
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", port);
    assert_int_equal(listener_bind(address, 128, &fd, &note), OK);
    assert_int_equal(listener_port(fd), port);
    (void)close(fd);
}

static void what_is_no_address_is_told(void **state)
{
    (void)state;
    static const char *const rows[] = {"",
                                       "nonsense",
                                       "127.0.0.1",
                                       "127.0.0.1:",
                                       "1.2.3.4.5:80",
                                       "127.0.0.1:99999999",
                                       "name.test:80",
                                       "192.0.2.1:80"};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct note note = {""};
        int fd = -1;
        if (listener_bind(rows[i], 1, &fd, &note) == OK) {
            fail_msg("bound %s", rows[i]);
        }
        assert_int_equal(fd, -1);
        assert_true(note.text[0] != '\0');
    }
}

static void a_unix_socket_takes_over_from_a_dead_one(void **state)
{
    (void)state;
    struct note note;
    char path[] = "unix:/tmp/serin-listener-XXXXXX";
    int made = mkstemp(path + 5);
    assert_true(made >= 0);
    (void)close(made);
    (void)unlink(path + 5);
    int first = -1;
    int second = -1;
    assert_int_equal(listener_bind(path, 1, &first, &note), OK);
    assert_int_not_equal(listener_bind(path, 1, &second, &note), OK);
    (void)close(first);
    assert_int_equal(listener_bind(path, 1, &second, &note), OK);
    (void)close(second);
    (void)unlink(path + 5);
}

#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(connections_are_handed_over),     PLAY(without_descriptors_connections_wait),
        PLAY(closing_empties_the_queue_first), PLAY(two_sockets_share_an_address),
        PLAY(what_is_no_address_is_told),      PLAY(a_unix_socket_takes_over_from_a_dead_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

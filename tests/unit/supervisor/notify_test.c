/* What a service manager is told, over real sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "canary/supervisor/notify.h"

static char folder[64];
static char path[96];

/* A manager that listens on the path, or, where it begins with '@', on the abstract name. */
static int listen_at(const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(text);
    memcpy(address.sun_path, text, size);
    if (text[0] == '@') {
        address.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    return fd;
}

static void expect_told(int fd, const char *wanted)
{
    char text[NOTIFY_TEXT_MAX] = "";
    ssize_t size = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    assert_int_equal(size, strlen(wanted));
    assert_string_equal(text, wanted);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/serin-notify-XXXXXX");
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/notify", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

static void words_arrive_at_a_path_and_at_an_abstract_name(void **state)
{
    char name[64];
    (void)state;
    (void)snprintf(name, sizeof name, "@serin-notify-test-%d", (int)getpid());
    const char *const places[] = {path, name};
    for (size_t i = 0; i < 2; i++) {
        struct note note = {""};
        struct notify notify;
        int manager = listen_at(places[i]);
        struct notify_words words = {.socket = places[i]};
        assert_int_equal(notify_init(&notify, &words, &note), OK);
        assert_int_equal(notify_send(&notify, BYTES("READY=1\nSTATUS=well")), OK);
        expect_told(manager, "READY=1\nSTATUS=well");
        notify_finish(&notify);
        (void)close(manager);
    }
}

static void nobody_need_listen(void **state)
{
    struct note note = {""};
    struct notify notify;
    (void)state;
    struct notify_words nobody = {.socket = NULL};
    assert_int_equal(notify_init(&notify, &nobody, &note), OK);
    assert_int_equal(notify_send(&notify, BYTES("READY=1")), OK);
    struct notify_words gone = {.socket = path};
    assert_int_equal(notify_init(&notify, &gone, &note), OK);
    assert_int_equal(notify_send(&notify, BYTES("READY=1")), ERR_IO);
    notify_finish(&notify);
}

static void a_manager_that_is_behind_is_not_waited_for(void **state)
{
    struct note note = {""};
    struct notify notify;
    char text[NOTIFY_TEXT_MAX];
    (void)state;
    int manager = listen_at(path);
    struct notify_words words = {.socket = path};
    assert_int_equal(notify_init(&notify, &words, &note), OK);
    enum err err = OK;
    while (err == OK) {
        err = notify_send(&notify, BYTES("WATCHDOG=1"));
    }
    assert_int_equal(err, ERR_AGAIN);
    assert_true(recv(manager, text, sizeof text, MSG_DONTWAIT) > 0);
    while (recv(manager, text, sizeof text, MSG_DONTWAIT) > 0) {
    }
    assert_int_equal(notify_send(&notify, BYTES("WATCHDOG=1")), OK);
    notify_finish(&notify);
    (void)close(manager);
}

static void the_watchdog_is_for_whom_it_is_meant(void **state)
{
    char own[24];
    (void)state;
    (void)snprintf(own, sizeof own, "%d", (int)getpid());
    const struct {
        const char *every;
        const char *pid;
        enum err err;
        uint64_t watchdog_us;
    } rows[] = {
        {"30000000", own, OK, 30000000}, {"30000000", NULL, OK, 30000000},
        {"30000000", "1", OK, 0},        {NULL, own, OK, 0},
        {"0", own, ERR_SYNTAX, 0},       {"often", own, ERR_SYNTAX, 0},
        {"-1", own, ERR_SYNTAX, 0},      {"1", "me", ERR_SYNTAX, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct note note = {""};
        struct notify notify;
        struct notify_words words = {path, rows[i].every, rows[i].pid};
        assert_int_equal(notify_init(&notify, &words, &note), rows[i].err);
        assert_int_equal(notify.watchdog_us, rows[i].watchdog_us);
        assert_int_equal(note.text[0] != '\0', rows[i].err != OK);
        notify_finish(&notify);
    }
}

static void places_that_are_none_are_refused(void **state)
{
    char far[256];
    (void)state;
    memset(far, 'a', sizeof far - 1);
    far[0] = '/';
    far[sizeof far - 1] = '\0';
    const struct {
        const char *socket;
        enum err err;
    } rows[] = {{"notify", ERR_UNSUPPORTED},
                {"vsock:2:1", ERR_UNSUPPORTED},
                {"/", ERR_SYNTAX},
                {"@", ERR_SYNTAX},
                {far, ERR_SYNTAX}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct note note = {""};
        struct notify notify;
        struct notify_words words = {.socket = rows[i].socket};
        assert_int_equal(notify_init(&notify, &words, &note), rows[i].err);
        assert_true(note.text[0] != '\0');
        assert_int_equal(notify_send(&notify, BYTES("READY=1")), OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(words_arrive_at_a_path_and_at_an_abstract_name, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nobody_need_listen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_manager_that_is_behind_is_not_waited_for, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_watchdog_is_for_whom_it_is_meant, set_up, tear_down),
        cmocka_unit_test_setup_teardown(places_that_are_none_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Those who wait before the admin socket: what becomes of them, by a clock that is turned. */
#include <stdlib.h>
#include <string.h>

#include "canary/admin/hall.h"
#include "proxy/io/tcp_stream.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/certificates.h"
#include "tests/support/loop_play.h"

enum { HEADER_MS = 10000 };

static struct loop loop;
static struct tls_server *server;
static struct worker_cells cells;
static struct http1_server_host host;
static struct hall hall;
static struct peer peer;

static void open_nothing(struct handler *handler, struct responder *responder,
                         const struct request *request)
{
    (void)handler;
    (void)request;
    responder->ops->cut(responder);
}

static struct handler handler = {.open = open_nothing};

static int set_up_all(void **state)
{
    (void)state;
    certificates_begin();
    certificates_make(&(struct certificate_wish){.file = "site", .names = "IP:127.0.0.1"});
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    certificates_end();
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    static const struct http1_server_settings settings = {
        .limits = {.head_max = 8192, .line_max = 4096, .fields_max = 16},
        .client_header_us = (uint64_t)HEADER_MS * 1000,
    };
    struct tls_certificate_files files = {certificates_path("site.pem"),
                                          certificates_path("site.key"), NULL};
    struct tls_server_config config = {.certificates = &files, .certificate_count = 1};
    struct note note = {""};
    assert_int_equal(tls_server_create(&config, &note, &server), OK);
    play_begin(&loop);
    http1_server_host_init(&host, &loop, &handler, &cells, &settings);
    hall_init(&hall, &host);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_enter(&loop);
    hall_close_all(&hall);
    http1_server_host_close_all(&host);
    loop_leave(&loop);
    play_until(&loop, hall.guest_count == 0 && host.connection_count == 0);
    http1_server_host_finish(&host);
    tls_server_unref(server);
    play_end(&loop);
    return 0;
}

/* Somebody comes; the other end of the connection. */
static enum err let_in(int *ret_fd)
{
    int fds[2];
    struct stream *stream = NULL;
    struct ip ip = {0};
    play_tcp_pair(fds);
    *ret_fd = fds[1];
    loop_enter(&loop);
    enum err err = tcp_stream_open(&loop, fds[0], &stream);
    if (err == OK) {
        err = hall_open(&hall, stream, server, &ip);
    }
    loop_leave(&loop);
    return err;
}

static void the_silent_are_put_out(void **state)
{
    (void)state;
    int fd = -1;
    assert_int_equal(let_in(&fd), OK);
    peer_init(&peer, fd);
    play_turn(&loop, HEADER_MS - 100);
    assert_int_equal(hall.guest_count, 1);
    play_turn(&loop, 200);
    peer_expect_end(&loop, &peer);
    play_until(&loop, hall.guest_count == 0);
    peer_close(&peer);
}

static void plain_http_is_answered_in_plain_http(void **state)
{
    (void)state;
    int fd = -1;
    assert_int_equal(let_in(&fd), OK);
    peer_init(&peer, fd);
    peer_send(&loop, &peer, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    peer_expect(&loop, &peer, "https://");
    assert_true(peer_has(&peer, "HTTP/1.1 400 Bad Request\r\n"));
    peer_expect_end(&loop, &peer);
    play_until(&loop, hall.guest_count == 0);
    peer_close(&peer);
}

static void nonsense_is_put_out_without_a_word_of_ours(void **state)
{
    (void)state;
    int fd = -1;
    assert_int_equal(let_in(&fd), OK);
    peer_init(&peer, fd);
    peer_send(&loop, &peer, "what is this to be, and for whom?\n");
    peer_expect_end(&loop, &peer);
    assert_false(peer_has(&peer, "HTTP"));
    play_until(&loop, hall.guest_count == 0);
    peer_close(&peer);
}

static void the_hall_says_when_it_is_full(void **state)
{
    (void)state;
    int fds[HALL_GUESTS_MAX];
    for (size_t i = 0; i < HALL_GUESTS_MAX; i++) {
        assert_false(hall_is_full(&hall));
        assert_int_equal(let_in(&fds[i]), OK);
    }
    assert_true(hall_is_full(&hall));
    peer_init(&peer, fds[0]);
    peer_finish(&peer);
    play_until(&loop, !hall_is_full(&hall));
    peer_close(&peer);
    for (size_t i = 1; i < HALL_GUESTS_MAX; i++) {
        (void)close(fds[i]);
    }
    play_until(&loop, hall.guest_count == 0);
}

static void running_out_of_memory_fails_the_guest_alone(void **state)
{
    (void)state;
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        int fd = -1;
        enum err err = let_in(&fd);
        bool was_refused = alloc_fail_end();
        assert_true(err == OK || err == ERR_NOMEM);
        (void)close(fd);
        play_until(&loop, hall.guest_count == 0);
        if (!was_refused) {
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(the_silent_are_put_out),
        TEST(plain_http_is_answered_in_plain_http),
        TEST(nonsense_is_put_out_without_a_word_of_ours),
        TEST(the_hall_says_when_it_is_full),
        TEST(running_out_of_memory_fails_the_guest_alone),
#undef TEST
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}

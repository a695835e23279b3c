/* One server connection and its client: order, bodies, refusals, deadlines, ends. */
#include "tests/unit/http1/fake_handler.h"

#include <stdlib.h>
#include <sys/socket.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static struct fake fake;
static struct peer client;

static int set_up(void **state)
{
    (void)state;
    fake_begin(&fake, FAKE_ANSWERS);
    fake_connect(&fake, &client);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    peer_close(&client);
    fake_end(&fake);
    return 0;
}

/* ---- order ---- */

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    peer_send(&fake.loop, &client, GET("/1") GET("/2") GET("/3"));
    play_until(&fake.loop, (peer_look(&client), peer_count(&client, "answer") == 3));
    assert_string_equal(fake.targets, "/1 /2 /3 ");
}

static void pipelined_requests_wait_for_the_answer_before(void **state)
{
    (void)state;
    fake.mode = FAKE_WAITS;
    peer_send(&fake.loop, &client, GET("/1") GET("/2") "GET /3 HT");
    play_until(&fake.loop, fake.responder != NULL);
    play_settle(&fake.loop);
    assert_int_equal(fake.open_count, 1);
    fake_answer(&fake, 200, BYTES("one"));
    assert_int_equal(fake.open_count, 2);
    fake_answer(&fake, 200, BYTES("two"));
    peer_send(&fake.loop, &client, "TP/1.1\r\nHost: a\r\n\r\n");
    play_until(&fake.loop, fake.open_count == 3);
    fake_answer(&fake, 200, BYTES("three"));
    peer_expect(&fake.loop, &client, "three");
    assert_string_equal(fake.targets, "/1 /2 /3 ");
}

static void a_head_may_come_in_any_two_pieces(void **state)
{
    (void)state;
    static const char head[] = "GET /cut HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    for (size_t cut = 1; cut < sizeof head - 1; cut++) {
        peer_clear(&client);
        peer_send_bytes(&fake.loop, &client, bytes_make(head, cut));
        play_settle(&fake.loop);
        peer_send_bytes(&fake.loop, &client, bytes_make(head + cut, sizeof head - 1 - cut));
        peer_expect(&fake.loop, &client, "answer");
    }
    assert_int_equal(fake.open_count, sizeof head - 2);
}

/* ---- bodies ---- */

static void bodies_may_come_in_any_two_pieces(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789",
        "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "4\r\n0123\r\n6;x=y\r\n456789\r\n0\r\nTrailer-Of: ours\r\n\r\n",
    };
    fake.mode = FAKE_GATHERS;
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        size_t size = strlen(requests[i]);
        for (size_t cut = 50; cut < size; cut++) {
            peer_clear(&client);
            fake.body_size = 0;
            peer_send_bytes(&fake.loop, &client, bytes_make(requests[i], cut));
            play_settle(&fake.loop);
            peer_send_bytes(&fake.loop, &client, bytes_make(requests[i] + cut, size - cut));
            peer_expect(&fake.loop, &client, "gathered");
            assert_int_equal(fake.body_size, 10);
            assert_memory_equal(fake.body, "0123456789", 10);
            assert_int_equal(fake.trailer_count, i);
        }
    }
}

static void a_body_is_read_only_while_it_is_wanted(void **state)
{
    (void)state;
    enum { SIZE = 4 << 20 };
    fake.mode = FAKE_WAITS;
    peer_send(&fake.loop, &client,
              "PUT /big HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n");
    play_until(&fake.loop, fake.responder != NULL);
    char *bytes = calloc(1, SIZE);
    assert_non_null(bytes);
    size_t sent = 0;
    for (int idle = 0; idle < 50;) {
        ssize_t size = send(client.fd, bytes + sent, SIZE - sent, MSG_NOSIGNAL);
        idle = size > 0 ? 0 : idle + 1;
        sent += size > 0 ? (size_t)size : 0;
        play_step(&fake.loop);
    }
    assert_true(sent < SIZE);
    assert_int_equal(fake.body_size, 0);
    loop_enter(&fake.loop);
    fake.responder->ops->want_body(fake.responder, true);
    loop_leave(&fake.loop);
    assert_true(fake.body_size > 0);
    free(bytes);
}

static void what_stands_behind_a_body_is_the_next_request(void **state)
{
    (void)state;
    fake.mode = FAKE_GATHERS;
    peer_send(&fake.loop, &client,
              "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
              "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
              "chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n" GET("/3"));
    peer_expect(&fake.loop, &client, "answer");
    assert_int_equal(fake.body_size, 6);
    assert_memory_equal(fake.body, "abcdef", 6);
    assert_string_equal(fake.targets, "/1 /2 /3 ");
}

static void an_early_answer_ends_the_connection(void **state)
{
    (void)state;
    fake.mode = FAKE_WAITS;
    peer_send(&fake.loop, &client, "PUT /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nfew");
    play_until(&fake.loop, fake.responder != NULL);
    fake_answer(&fake, 403, BYTES("no"));
    peer_expect_end(&fake.loop, &client);
    assert_true(peer_has(&client, "Connection: close"));
    assert_true(peer_has(&client, "\r\n\r\nno"));
    assert_false(client.is_reset);
}

/* ---- refusals ---- */

static void a_malformed_head_gets_400_and_the_end(void **state)
{
    (void)state;
    peer_send(&fake.loop, &client, "GET / HTTP/1.1\r\nHost : a\r\n\r\n");
    peer_expect_end(&fake.loop, &client);
    assert_true(peer_has(&client, "HTTP/1.1 400 "));
    assert_int_equal(fake_rejected(&fake, REJECT_SPACE_BEFORE_COLON), 1);
    assert_int_equal(fake.open_count, 0);
}

static void a_refusal_behind_an_answer_is_said_too(void **state)
{
    (void)state;
    peer_send(&fake.loop, &client,
              GET("/1") "GET /2 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" GET("/3"));
    peer_expect_end(&fake.loop, &client);
    assert_true(peer_has(&client, "answer"));
    assert_true(peer_has(&client, "HTTP/1.1 400 "));
    assert_string_equal(fake.targets, "/1 ");
}

static void a_bad_chunk_ends_the_request_under_way(void **state)
{
    (void)state;
    fake.mode = FAKE_WAITS_MORE;
    peer_send(&fake.loop, &client,
              "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n");
    peer_expect_end(&fake.loop, &client);
    assert_true(peer_has(&client, "HTTP/1.1 400 "));
    assert_int_equal(fake.gone_count, 1);
    assert_int_equal(fake_rejected(&fake, REJECT_CHUNK_SIZE), 1);
}

static void a_bad_chunk_behind_an_early_head_cuts_the_answer(void **state)
{
    (void)state;
    fake.mode = FAKE_WAITS_MORE;
    peer_send(&fake.loop, &client,
              "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    play_until(&fake.loop, fake.body_size == 3);
    loop_enter(&fake.loop);
    fake_head(&fake, 200, BODY_CHUNKED, 0);
    loop_leave(&fake.loop);
    peer_expect(&fake.loop, &client, "200");
    peer_send(&fake.loop, &client, "zz\r\n");
    peer_expect_end(&fake.loop, &client);
    assert_int_equal(peer_count(&client, "HTTP/1.1"), 1);
    assert_int_equal(fake.gone_count, 1);
}

static void a_body_over_the_limit_gets_413(void **state)
{
    (void)state;
    fake.mode = FAKE_WAITS_MORE;
    fake.host.settings.body_max = 5;
    peer_send(&fake.loop, &client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n");
    peer_expect_end(&fake.loop, &client);
    assert_true(peer_has(&client, "HTTP/1.1 413 "));
    assert_int_equal(fake.open_count, 0);
    peer_close(&client);
    fake_connect(&fake, &client);
    peer_send(&fake.loop, &client,
              "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n");
    peer_expect_end(&fake.loop, &client);
    assert_true(peer_has(&client, "HTTP/1.1 413 "));
    assert_int_equal(fake.gone_count, 1);
    assert_int_equal(fake_rejected(&fake, REJECT_BODY_TOO_LARGE), 2);
}

static void lower_limits_hold_from_the_next_head_on(void **state)
{
    (void)state;
    char head[3000];
    (void)memset(head, 'x', sizeof head);
    peer_send(&fake.loop, &client, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    peer_send_bytes(&fake.loop, &client, bytes_make(head, 900));
    play_settle(&fake.loop);
    fake.host.settings.limits.head_max = 64;
    peer_send(&fake.loop, &client,
              "\r\n\r\n" GET("/a/target/that/with/its/host/is/longer/than/that"));
    peer_expect_end(&fake.loop, &client);
    assert_true(peer_has(&client, "answer"));
    assert_true(peer_has(&client, "HTTP/1.1 431 "));
}

static void a_head_that_cannot_be_written_ends_the_connection(void **state)
{
    (void)state;
    fake.mode = FAKE_WAITS;
    peer_send(&fake.loop, &client, GET("/"));
    play_until(&fake.loop, fake.responder != NULL);
    loop_enter(&fake.loop);
    struct response response = {.status = 200,
                                .version = HTTP_1_1,
                                .reason = BYTES("two\r\nlines"),
                                .upgrade = BYTES(""),
                                .body = BODY_LENGTH,
                                .content_length = 2};
    struct responder *responder = fake.responder;
    responder->ops->head(responder, &response);
    responder->ops->body(responder, BYTES("ab"));
    fake.responder = NULL;
    responder->ops->end(responder, NULL);
    loop_leave(&fake.loop);
    peer_expect_end(&fake.loop, &client);
    assert_int_equal(client.size, 0);
}

/* ---- deadlines ---- */

static void a_head_that_takes_too_long_gets_408(void **state)
{
    (void)state;
    peer_send(&fake.loop, &client, "GET / HT");
    play_settle(&fake.loop);
    play_turn(&fake.loop, 9000);
    peer_look(&client);
    assert_int_equal(client.size, 0);
    play_turn(&fake.loop, 1000);
    peer_expect_end(&fake.loop, &client);
    assert_true(peer_has(&client, "HTTP/1.1 408 "));
    assert_int_equal(fake_rejected(&fake, REJECT_HEAD_TIMEOUT), 1);
}

static void an_idle_connection_is_closed_without_a_word(void **state)
{
    (void)state;
    peer_send(&fake.loop, &client, GET("/"));
    peer_expect(&fake.loop, &client, "answer");
    peer_clear(&client);
    play_turn(&fake.loop, 59000);
    peer_look(&client);
    assert_false(client.has_ended);
    play_turn(&fake.loop, 1000);
    peer_expect_end(&fake.loop, &client);
    assert_int_equal(client.size, 0);
}

static void a_body_that_stalls_gets_408(void **state)
{
    (void)state;
    fake.mode = FAKE_WAITS_MORE;
    peer_send(&fake.loop, &client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    play_until(&fake.loop, fake.body_size == 3);
    play_turn(&fake.loop, 29000);
    peer_send(&fake.loop, &client, "d");
    play_until(&fake.loop, fake.body_size == 4);
    play_turn(&fake.loop, 29000);
    assert_int_equal(fake.gone_count, 0);
    play_turn(&fake.loop, 1000);
    peer_expect_end(&fake.loop, &client);
    assert_true(peer_has(&client, "HTTP/1.1 408 "));
    assert_int_equal(fake.gone_count, 1);
}

/* Fills what the kernel and the stream take; the client reads nothing. */
static void block(void)
{
    static char bytes[32 * 1024];
    loop_enter(&fake.loop);
    fake_head(&fake, 200, BODY_CHUNKED, 0);
    loop_leave(&fake.loop);
    for (int i = 0; i < 100000 && !fake.responder->ops->is_blocked(fake.responder); i++) {
        loop_enter(&fake.loop);
        fake.responder->ops->body(fake.responder, bytes_make(bytes, sizeof bytes));
        loop_leave(&fake.loop);
    }
    assert_true(fake.responder->ops->is_blocked(fake.responder));
}

static void a_client_that_does_not_read_is_cut(void **state)
{
    (void)state;
    fake.mode = FAKE_WAITS;
    peer_send(&fake.loop, &client, GET("/"));
    play_until(&fake.loop, fake.responder != NULL);
    block();
    play_turn(&fake.loop, 29000);
    assert_int_equal(fake.gone_count, 0);
    play_turn(&fake.loop, 1000);
    assert_int_equal(fake.gone_count, 1);
}

static void the_end_of_an_upload_does_not_excuse_from_reading(void **state)
{
    (void)state;
    fake.mode = FAKE_WAITS_MORE;
    peer_send(&fake.loop, &client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    play_until(&fake.loop, fake.body_size == 3);
    block();
    peer_send(&fake.loop, &client, "def");
    play_until(&fake.loop, fake.body_end_count == 1);
    play_turn(&fake.loop, 30000);
    assert_int_equal(fake.gone_count, 1);
}

static void a_client_that_reads_again_drains_its_answer(void **state)
{
    (void)state;
    fake.mode = FAKE_WAITS;
    peer_send(&fake.loop, &client, GET("/"));
    play_until(&fake.loop, fake.responder != NULL);
    block();
    play_until(&fake.loop, (peer_look(&client), peer_clear(&client), fake.drained_count == 1));
    play_turn(&fake.loop, 40000);
    assert_int_equal(fake.gone_count, 0);
    struct responder *responder = fake.responder;
    fake.responder = NULL;
    loop_enter(&fake.loop);
    responder->ops->end(responder, NULL);
    loop_leave(&fake.loop);
    peer_expect(&fake.loop, &client, "0\r\n\r\n");
}

/* ---- ends ---- */

static void a_client_that_finished_gets_all_of_a_large_answer(void **state)
{
    (void)state;
    enum { SIZE = 8 << 20 };
    fake.mode = FAKE_WAITS;
    peer_send(&fake.loop, &client, GET("/"));
    peer_finish(&client);
    play_until(&fake.loop, fake.responder != NULL);
    play_settle(&fake.loop);
    char *bytes = calloc(1, SIZE);
    assert_non_null(bytes);
    fake_answer(&fake, 200, bytes_make(bytes, SIZE));
    size_t total = 0;
    play_until(&fake.loop,
               (peer_look(&client), total += client.size, peer_clear(&client), client.has_ended));
    assert_true(total > SIZE);
    assert_false(client.is_reset);
    free(bytes);
}

static void a_fin_while_the_answer_is_being_read_loses_nothing(void **state)
{
    (void)state;
    enum { SIZE = 8 << 20 };
    fake.mode = FAKE_WAITS;
    peer_send(&fake.loop, &client, GET("/"));
    play_until(&fake.loop, fake.responder != NULL);
    char *bytes = calloc(1, SIZE);
    assert_non_null(bytes);
    fake_answer(&fake, 200, bytes_make(bytes, SIZE));
    play_settle(&fake.loop);
    peer_finish(&client);
    play_settle(&fake.loop);
    size_t total = 0;
    play_until(&fake.loop,
               (peer_look(&client), total += client.size, peer_clear(&client), client.has_ended));
    assert_true(total > SIZE);
    free(bytes);
}

static void a_fin_within_a_body_ends_the_request(void **state)
{
    (void)state;
    fake.mode = FAKE_WAITS_MORE;
    peer_send(&fake.loop, &client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    peer_finish(&client);
    play_until(&fake.loop, fake.gone_count == 1);
    peer_expect_end(&fake.loop, &client);
}

static void a_reset_ends_the_request(void **state)
{
    (void)state;
    fake.mode = FAKE_WAITS;
    peer_send(&fake.loop, &client, GET("/"));
    play_until(&fake.loop, fake.responder != NULL);
    peer_reset(&client);
    play_until(&fake.loop, fake.gone_count == 1);
}

static void a_cut_answer_never_looks_whole(void **state)
{
    (void)state;
    static const struct {
        enum body_kind body;
        bool is_reset;
    } rows[] = {{BODY_LENGTH, false}, {BODY_CHUNKED, false}, {BODY_UNTIL_CLOSE, true}};
    fake.mode = FAKE_WAITS;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        peer_close(&client);
        fake_connect(&fake, &client);
        peer_send(&fake.loop, &client, GET("/"));
        play_until(&fake.loop, fake.responder != NULL);
        loop_enter(&fake.loop);
        fake_head(&fake, 200, rows[i].body, 100);
        fake.responder->ops->body(fake.responder, BYTES("part"));
        struct responder *responder = fake.responder;
        fake.responder = NULL;
        responder->ops->cut(responder);
        loop_leave(&fake.loop);
        peer_expect_end(&fake.loop, &client);
        assert_false(peer_has(&client, "\r\n0\r\n\r\n"));
        assert_int_equal(client.is_reset, rows[i].is_reset);
    }
}

static void a_finished_connection_lingers_for_the_clients_end(void **state)
{
    (void)state;
    peer_send(&fake.loop, &client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    peer_expect_end(&fake.loop, &client);
    peer_send(&fake.loop, &client, "more that nobody wants");
    play_settle(&fake.loop);
    assert_int_equal(fake.host.connection_count, 1);
    play_turn(&fake.loop, 2000);
    play_until(&fake.loop, fake.host.connection_count == 0);
    assert_int_equal(fake.open_count, 1);
}

static void a_drain_ends_connections_behind_their_answers(void **state)
{
    (void)state;
    static struct peer idle;
    fake.mode = FAKE_WAITS;
    fake_connect(&fake, &idle);
    peer_send(&fake.loop, &client, GET("/1"));
    play_until(&fake.loop, fake.responder != NULL);
    loop_enter(&fake.loop);
    http1_server_host_drain(&fake.host);
    loop_leave(&fake.loop);
    fake_answer(&fake, 200, BYTES("last"));
    peer_expect_end(&fake.loop, &client);
    assert_true(peer_has(&client, "Connection: close"));
    play_turn(&fake.loop, 1000);
    peer_expect_end(&fake.loop, &idle);
    peer_close(&idle);
}

static void the_last_request_of_a_connection_is_said_to_be(void **state)
{
    (void)state;
    fake.host.settings.requests_per_connection_max = 2;
    peer_send(&fake.loop, &client, GET("/1") GET("/2") GET("/3"));
    peer_expect_end(&fake.loop, &client);
    assert_string_equal(fake.targets, "/1 /2 ");
    assert_int_equal(peer_count(&client, "Connection: close"), 1);
}

static void a_client_that_asks_without_reading_is_not_served_on(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    char *bytes = calloc(1, SIZE);
    assert_non_null(bytes);
    fake.mode = FAKE_WAITS;
    size_t answered = 0;
    for (int quiet = 0; quiet < 50;) {
        (void)send(client.fd, GET("/"), strlen(GET("/")), MSG_NOSIGNAL);
        play_step(&fake.loop);
        quiet++;
        if (fake.responder != NULL) {
            fake_answer(&fake, 200, bytes_make(bytes, SIZE));
            answered++;
            quiet = 0;
        }
        assert_true(answered < 100);
        fake.targets[0] = '\0';
    }
    size_t before = fake.open_count;
    play_until(&fake.loop, (peer_look(&client), peer_clear(&client), fake.open_count > before));
    fake_answer(&fake, 200, BYTES("x"));
    free(bytes);
}

/* ---- tunnels ---- */

static void begin_tunnel(const char *request)
{
    fake.mode = FAKE_WAITS_MORE;
    peer_send(&fake.loop, &client, request);
    play_until(&fake.loop, fake.responder != NULL);
    play_settle(&fake.loop);
    loop_enter(&fake.loop);
    fake_head(&fake, 101, BODY_NONE, 0);
    fake.responder->ops->want_body(fake.responder, true);
    loop_leave(&fake.loop);
    peer_expect(&fake.loop, &client, "101");
}

static void bytes_sent_before_the_switch_go_through_the_tunnel(void **state)
{
    (void)state;
    begin_tunnel("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly");
    play_until(&fake.loop, fake.body_size == 5);
    peer_send(&fake.loop, &client, " and late");
    play_until(&fake.loop, fake.body_size == 14);
    assert_memory_equal(fake.body, "early and late", 14);
    peer_finish(&client);
    play_until(&fake.loop, fake.body_end_count == 1);
    loop_enter(&fake.loop);
    fake.responder->ops->body(fake.responder, BYTES("and back"));
    struct responder *responder = fake.responder;
    fake.responder = NULL;
    responder->ops->end(responder, NULL);
    loop_leave(&fake.loop);
    peer_expect(&fake.loop, &client, "and back");
    peer_expect_end(&fake.loop, &client);
    assert_false(client.is_reset);
}

static void an_upgrade_with_a_body_loses_no_byte_behind_it(void **state)
{
    (void)state;
    begin_tunnel("POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n"
                 "Content-Length: 4\r\n\r\nbodyearly");
    play_until(&fake.loop, fake.body_size == 9);
    assert_memory_equal(fake.body, "bodyearly", 9);
}

static void half_a_tunnel_ends_when_its_client_is_silent(void **state)
{
    (void)state;
    begin_tunnel("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    play_turn(&fake.loop, 600000);
    assert_int_equal(fake.gone_count, 0);
    loop_enter(&fake.loop);
    fake.responder->ops->finish(fake.responder);
    loop_leave(&fake.loop);
    peer_expect_end(&fake.loop, &client);
    play_turn(&fake.loop, 59000);
    peer_send(&fake.loop, &client, "still here");
    play_until(&fake.loop, fake.body_size == 10);
    play_turn(&fake.loop, 59000);
    assert_int_equal(fake.gone_count, 0);
    play_turn(&fake.loop, 1000);
    assert_int_equal(fake.gone_count, 1);
}

#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(pipelined_requests_are_answered_in_order),
        PLAY(pipelined_requests_wait_for_the_answer_before),
        PLAY(a_head_may_come_in_any_two_pieces),
        PLAY(bodies_may_come_in_any_two_pieces),
        PLAY(a_body_is_read_only_while_it_is_wanted),
        PLAY(what_stands_behind_a_body_is_the_next_request),
        PLAY(an_early_answer_ends_the_connection),
        PLAY(a_malformed_head_gets_400_and_the_end),
        PLAY(a_refusal_behind_an_answer_is_said_too),
        PLAY(a_bad_chunk_ends_the_request_under_way),
        PLAY(a_bad_chunk_behind_an_early_head_cuts_the_answer),
        PLAY(a_body_over_the_limit_gets_413),
        PLAY(lower_limits_hold_from_the_next_head_on),
        PLAY(a_head_that_cannot_be_written_ends_the_connection),
        PLAY(a_head_that_takes_too_long_gets_408),
        PLAY(an_idle_connection_is_closed_without_a_word),
        PLAY(a_body_that_stalls_gets_408),
        PLAY(a_client_that_does_not_read_is_cut),
        PLAY(the_end_of_an_upload_does_not_excuse_from_reading),
        PLAY(a_client_that_reads_again_drains_its_answer),
        PLAY(a_client_that_finished_gets_all_of_a_large_answer),
        PLAY(a_fin_while_the_answer_is_being_read_loses_nothing),
        PLAY(a_fin_within_a_body_ends_the_request),
        PLAY(a_reset_ends_the_request),
        PLAY(a_cut_answer_never_looks_whole),
        PLAY(a_finished_connection_lingers_for_the_clients_end),
        PLAY(a_drain_ends_connections_behind_their_answers),
        PLAY(the_last_request_of_a_connection_is_said_to_be),
        PLAY(a_client_that_asks_without_reading_is_not_served_on),
        PLAY(bytes_sent_before_the_switch_go_through_the_tunnel),
        PLAY(an_upgrade_with_a_body_loses_no_byte_behind_it),
        PLAY(half_a_tunnel_ends_when_its_client_is_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

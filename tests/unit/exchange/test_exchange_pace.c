/* tests/unit/exchange/test_exchange_pace.c — clients that keep everyone waiting: what an origin
 * does about it is held against no version, and what it does by itself is. */
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/unit/exchange/play_exchange.h"

enum { WHOLE = 1000000, LONG_MS = 3500, SHORT_MS = 500, FLOW_MS = 1500, REST_MS = 2600 };
#define POST(fields) "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 9\r\n" fields "\r\n"
#define OK_ANSWER    "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"

static struct stage stage;
static struct peer client;
static struct peer origin;

static void begin(const char *lines)
{
    stage_begin(&stage, lines, "    sticky: {by: none}", WHOLE);
    stage_connect(&stage, &client);
    origin.fd = -1;
}

static int set_up(void **state)
{
    (void)state;
    begin(NULL);
    return 0;
}

static int set_up_total(void **state)
{
    (void)state;
    begin("timeouts: {total: 6s}");
    return 0;
}

static int set_up_long_total(void **state)
{
    (void)state;
    begin("timeouts: {total: 9s}");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    peer_close(&client);
    peer_close(&origin);
    stage_end(&stage);
    return 0;
}

static void ask(const char *request, const char *expected)
{
    peer_send(&stage.loop, &client, request);
    peer_accept(&stage.loop, &origin, stage.listening[ROLE_CURRENT]);
    peer_expect(&stage.loop, &origin, expected);
}

static void send_body(const char *part)
{
    peer_send(&stage.loop, &client, part);
    peer_expect(&stage.loop, &origin, part);
}

static const struct version_cells *canary(void)
{
    return stage_version(&stage, ROLE_CURRENT);
}

static void assert_nobody_failed(void)
{
    assert_int_equal(cell_read(&canary()->err), 0);
    assert_int_equal(cell_read(&canary()->connect_err), 0);
}

/* ---- bodies that do not come ---- */

static void client_that_was_told_to_go_on_owes_its_body(void **state)
{
    (void)state;
    ask(POST("Expect: 100-continue\r\n"), "100-continue");
    peer_send(&stage.loop, &origin, "HTTP/1.1 100 Continue\r\n\r\n");
    peer_expect(&stage.loop, &client, "HTTP/1.1 100 ");
    play_turn(&stage.loop, 16000);
    play_turn(&stage.loop, 16000);
    peer_expect(&stage.loop, &client, "HTTP/1.1 408 ");
    assert_nobody_failed();
}

static void body_that_waits_for_ever_to_be_asked_for_fails_no_version(void **state)
{
    (void)state;
    ask(POST("Expect: 100-continue\r\n"), "100-continue");
    play_turn(&stage.loop, 16000);
    peer_expect(&stage.loop, &client, "HTTP/1.1 408 ");
    assert_nobody_failed();
}

static void silence_after_the_body_is_the_origins(void **state)
{
    (void)state;
    ask(POST("Expect: 100-continue\r\n"), "100-continue");
    peer_send(&stage.loop, &origin, "HTTP/1.1 100 Continue\r\n\r\n");
    peer_expect(&stage.loop, &client, "HTTP/1.1 100 ");
    play_turn(&stage.loop, LONG_MS);
    send_body("123456789");
    play_turn(&stage.loop, 16000);
    peer_expect(&stage.loop, &client, "HTTP/1.1 504 ");
    assert_int_equal(cell_read(&canary()->err), 1);
}

static void origin_that_tires_of_a_body_has_not_failed(void **state)
{
    (void)state;
    ask(POST(""), "\r\n\r\n");
    send_body("slow");
    play_turn(&stage.loop, LONG_MS);
    peer_close(&origin);
    peer_expect(&stage.loop, &client, "HTTP/1.1 408 ");
    assert_nobody_failed();
}

static void origin_that_tired_before_the_bodys_end_has_not_failed(void **state)
{
    (void)state;
    ask(POST(""), "\r\n\r\n");
    send_body("slow");
    play_turn(&stage.loop, LONG_MS);
    send_body(" end.");
    peer_close(&origin);
    peer_expect(&stage.loop, &client, "HTTP/1.1 502 ");
    assert_nobody_failed();
}

static void origin_that_hangs_up_at_once_has_failed(void **state)
{
    (void)state;
    ask(POST(""), "\r\n\r\n");
    send_body("fast");
    play_turn(&stage.loop, SHORT_MS);
    peer_close(&origin);
    peer_expect(&stage.loop, &client, "HTTP/1.1 502 ");
    assert_int_equal(cell_read(&canary()->err), 1);
}

static void origin_that_breaks_off_a_body_that_flows_has_failed(void **state)
{
    (void)state;
    ask(POST(""), "\r\n\r\n");
    static const char *const parts[] = {"12", "34", "56", "78"};
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        play_turn(&stage.loop, FLOW_MS);
        send_body(parts[i]);
    }
    peer_close(&origin);
    peer_expect(&stage.loop, &client, "HTTP/1.1 502 ");
    assert_int_equal(cell_read(&canary()->err), 1);
}

static void silence_of_long_ago_excuses_nothing(void **state)
{
    (void)state;
    ask(POST(""), "\r\n\r\n");
    play_turn(&stage.loop, LONG_MS);
    send_body("slow");
    play_turn(&stage.loop, FLOW_MS);
    send_body(" end.");
    peer_close(&origin);
    peer_expect(&stage.loop, &client, "HTTP/1.1 502 ");
    assert_int_equal(cell_read(&canary()->err), 1);
}

static void body_that_trickles_is_no_matter_of_connections(void **state)
{
    (void)state;
    ask(POST(""), "\r\n\r\n");
    static const char *const parts[] = {"12", "34", "56", "78", "9"};
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        play_turn(&stage.loop, FLOW_MS);
        send_body(parts[i]);
    }
    peer_close(&origin);
    peer_expect(&stage.loop, &client, "HTTP/1.1 502 ");
    assert_int_equal(cell_read(&canary()->err), 1);
    assert_int_equal(cell_read(&canary()->connect_err), 0);
}

static void body_that_is_owed_is_no_matter_of_connections(void **state)
{
    (void)state;
    ask(POST(""), "\r\n\r\n");
    send_body("fast");
    peer_close(&origin);
    peer_expect(&stage.loop, &client, "HTTP/1.1 502 ");
    assert_int_equal(cell_read(&canary()->err), 1);
    assert_int_equal(cell_read(&canary()->connect_err), 0);
}

static void hang_up_on_a_whole_request_is_a_matter_of_connections(void **state)
{
    (void)state;
    ask(POST(""), "\r\n\r\n");
    send_body("123456789");
    peer_close(&origin);
    peer_expect(&stage.loop, &client, "HTTP/1.1 502 ");
    assert_int_equal(cell_read(&canary()->connect_err), 1);
}

/* ---- calls of gRPC ---- */

static void origin_that_never_spoke_grpc_is_excused_as_any(void **state)
{
    (void)state;
    ask(POST("Content-Type: application/grpc\r\n"), "\r\n\r\n");
    send_body("say");
    play_turn(&stage.loop, LONG_MS);
    peer_close(&origin);
    peer_expect(&stage.loop, &client, "grpc-status: ");
    assert_nobody_failed();
}

static void call_that_takes_its_time_is_broken_off_by_its_origin(void **state)
{
    (void)state;
    ask(POST("Content-Type: application/grpc\r\n"), "\r\n\r\n");
    send_body("123456789");
    peer_send(&stage.loop, &origin,
              "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nGrpc-Status: 0\r\n"
              "Content-Length: 0\r\nConnection: close\r\n\r\n");
    peer_expect(&stage.loop, &client, "\r\n\r\n");
    assert_int_equal(cell_read(&canary()->ok), 1);
    peer_close(&client);
    peer_close(&origin);
    stage_connect(&stage, &client);
    ask(POST("Content-Type: application/grpc\r\n"), "\r\n\r\n");
    send_body("say");
    play_turn(&stage.loop, LONG_MS);
    peer_close(&origin);
    peer_expect(&stage.loop, &client, "grpc-status: 14\r\n");
    assert_int_equal(cell_read(&canary()->err), 1);
    assert_int_equal(cell_read(&canary()->connect_err), 0);
}

/* ---- the whole time is over ---- */

static void total_that_a_body_used_up_blames_no_origin(void **state)
{
    (void)state;
    ask(POST(""), "\r\n\r\n");
    send_body("slow");
    play_turn(&stage.loop, LONG_MS);
    send_body(" end.");
    play_turn(&stage.loop, REST_MS);
    peer_expect(&stage.loop, &client, "HTTP/1.1 504 ");
    assert_nobody_failed();
}

static void total_that_the_origin_used_up_has_failed(void **state)
{
    (void)state;
    ask(POST(""), "\r\n\r\n");
    send_body("slow");
    play_turn(&stage.loop, LONG_MS);
    send_body(" end.");
    play_turn(&stage.loop, LONG_MS);
    play_turn(&stage.loop, LONG_MS);
    peer_expect(&stage.loop, &client, "HTTP/1.1 504 ");
    assert_int_equal(cell_read(&canary()->err), 1);
}

static void answer_that_waits_for_the_bodys_end_is_waited_for(void **state)
{
    (void)state;
    ask(POST(""), "\r\n\r\n");
    peer_send(&stage.loop, &origin, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    peer_expect(&stage.loop, &client, "HTTP/1.1 200 ");
    static const char *const parts[] = {"12", "34", "56", "78", "9"};
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        play_turn(&stage.loop, 20000);
        send_body(parts[i]);
    }
    peer_send(&stage.loop, &origin, "fine");
    peer_expect(&stage.loop, &client, "fine");
    assert_int_equal(cell_read(&canary()->ok), 1);
    assert_nobody_failed();
}

static void answer_that_stalls_after_the_body_has_failed(void **state)
{
    (void)state;
    ask(POST(""), "\r\n\r\n");
    peer_send(&stage.loop, &origin, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    peer_expect(&stage.loop, &client, "HTTP/1.1 200 ");
    send_body("123456789");
    play_turn(&stage.loop, 61000);
    peer_expect_end(&stage.loop, &client);
    assert_int_equal(cell_read(&canary()->err), 1);
}

/* ---- answers that are not read ---- */

/* Sends until nobody takes any more. */
static void fill(size_t size_max)
{
    static char bytes[64 * 1024];
    size_t sent = 0;
    for (int idle = 0; idle < 50;) {
        ssize_t size = send(origin.fd, bytes, sizeof bytes, MSG_NOSIGNAL);
        idle = size > 0 ? 0 : idle + 1;
        sent += size > 0 ? (size_t)size : 0;
        play_step(&stage.loop);
    }
    assert_true(sent < size_max);
}

static bool has_read_all(void)
{
    peer_clear(&client);
    peer_look(&client);
    return client.has_ended || client.is_reset;
}

static void origin_that_tires_of_a_reader_has_not_failed(void **state)
{
    (void)state;
    ask("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", "\r\n\r\n");
    peer_send(&stage.loop, &origin, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    fill(99999999);
    play_turn(&stage.loop, LONG_MS);
    peer_close(&origin);
    play_until(&stage.loop, has_read_all());
    assert_nobody_failed();
}

static void origin_that_breaks_off_at_once_has_failed(void **state)
{
    (void)state;
    ask("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", "\r\n\r\n");
    peer_send(&stage.loop, &origin, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    fill(99999999);
    play_turn(&stage.loop, SHORT_MS);
    peer_close(&origin);
    play_until(&stage.loop, has_read_all());
    assert_int_equal(cell_read(&canary()->err), 1);
}

/* Reads, until so much of the answer has come. */
static void take(size_t size)
{
    size_t taken = 0;
    while (taken < size) {
        peer_clear(&client);
        play_until(&stage.loop, (peer_look(&client), client.size > 0));
        taken += client.size;
    }
}

static void pour(size_t size)
{
    static char bytes[64 * 1024];
    size_t sent = 0;
    while (sent < size) {
        ssize_t piece = send(origin.fd, bytes, sizeof bytes, MSG_NOSIGNAL);
        sent += piece > 0 ? (size_t)piece : 0;
        play_step(&stage.loop);
        peer_clear(&client);
        peer_look(&client);
    }
}

/* What the origin had sent before it gave up may be many buffers. */
static void origin_that_tired_of_a_reader_is_found_out_later(void **state)
{
    (void)state;
    ask("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", "\r\n\r\n");
    peer_send(&stage.loop, &origin, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    fill(99999999);
    play_turn(&stage.loop, LONG_MS);
    take(100000);
    play_turn(&stage.loop, FLOW_MS);
    take(100000);
    play_turn(&stage.loop, FLOW_MS);
    peer_close(&origin);
    play_until(&stage.loop, has_read_all());
    assert_nobody_failed();
}

static void origin_that_went_on_after_a_silence_has_failed(void **state)
{
    (void)state;
    ask("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", "\r\n\r\n");
    peer_send(&stage.loop, &origin, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    fill(99999999);
    play_turn(&stage.loop, LONG_MS);
    pour(40000000);
    peer_close(&origin);
    play_until(&stage.loop, has_read_all());
    assert_int_equal(cell_read(&canary()->err), 1);
}

/* Whoever reads what there is at the pace of its link is waited for nearly all of the time. */
static void origin_that_breaks_off_a_slow_download_has_failed(void **state)
{
    (void)state;
    ask("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", "\r\n\r\n");
    peer_send(&stage.loop, &origin, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    for (int i = 0; i < 4; i++) {
        fill(99999999);
        play_turn(&stage.loop, FLOW_MS);
        pour(8000000);
    }
    peer_close(&origin);
    play_until(&stage.loop, has_read_all());
    assert_int_equal(cell_read(&canary()->err), 1);
}

/* ---- how slow an origin is ---- */

static uint64_t slow_count(void)
{
    enum { LIMIT_US = 1000000 };
    uint64_t count = 0;
    for (unsigned i = histogram_bucket(LIMIT_US); i < HISTOGRAM_BUCKETS; i++) {
        count += cell_read(&canary()->latency.buckets[i]);
    }
    return count;
}

static void time_of_the_body_is_not_the_origins(void **state)
{
    (void)state;
    atomic_store(&stage.service->slow_limit_us, 1000000);
    ask(POST(""), "\r\n\r\n");
    send_body("slow");
    play_turn(&stage.loop, LONG_MS);
    send_body(" end.");
    play_turn(&stage.loop, SHORT_MS);
    peer_send(&stage.loop, &origin, OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
    assert_int_equal(cell_read(&canary()->ok), 1);
    assert_int_equal(slow_count(), 0);
}

static void time_after_the_body_is_the_origins(void **state)
{
    (void)state;
    atomic_store(&stage.service->slow_limit_us, 1000000);
    ask(POST(""), "\r\n\r\n");
    send_body("123456789");
    play_turn(&stage.loop, LONG_MS);
    assert_int_equal(slow_count(), 1);
    peer_send(&stage.loop, &origin, OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
    assert_int_equal(slow_count(), 1);
}

#define PLAY(name)       cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define PLAY_TOTAL(name) cmocka_unit_test_setup_teardown(name, set_up_total, tear_down)

#define PLAY_LONG_TOTAL(name) cmocka_unit_test_setup_teardown(name, set_up_long_total, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(client_that_was_told_to_go_on_owes_its_body),
        PLAY(body_that_waits_for_ever_to_be_asked_for_fails_no_version),
        PLAY(silence_after_the_body_is_the_origins),
        PLAY(origin_that_tires_of_a_body_has_not_failed),
        PLAY(origin_that_tired_before_the_bodys_end_has_not_failed),
        PLAY(origin_that_hangs_up_at_once_has_failed),
        PLAY(origin_that_breaks_off_a_body_that_flows_has_failed),
        PLAY(silence_of_long_ago_excuses_nothing),
        PLAY(body_that_trickles_is_no_matter_of_connections),
        PLAY(body_that_is_owed_is_no_matter_of_connections),
        PLAY(hang_up_on_a_whole_request_is_a_matter_of_connections),
        PLAY(origin_that_never_spoke_grpc_is_excused_as_any),
        PLAY(call_that_takes_its_time_is_broken_off_by_its_origin),
        PLAY_TOTAL(total_that_a_body_used_up_blames_no_origin),
        PLAY_LONG_TOTAL(total_that_the_origin_used_up_has_failed),
        PLAY(answer_that_waits_for_the_bodys_end_is_waited_for),
        PLAY(answer_that_stalls_after_the_body_has_failed),
        PLAY(origin_that_tires_of_a_reader_has_not_failed),
        PLAY(origin_that_breaks_off_at_once_has_failed),
        PLAY(origin_that_tired_of_a_reader_is_found_out_later),
        PLAY(origin_that_went_on_after_a_silence_has_failed),
        PLAY(origin_that_breaks_off_a_slow_download_has_failed),
        PLAY(time_of_the_body_is_not_the_origins),
        PLAY(time_after_the_body_is_the_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

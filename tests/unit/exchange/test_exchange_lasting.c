/* What lasts leaves a canary that loses its weight, at its own moment and before the deadline,
 * under a turned clock. The configuration's defaults hold: 10 s, of which 5 s are jitter. */
#include "tests/unit/exchange/play_exchange.h"

enum { WHOLE = 1000000, HALF = WHOLE / 2, JITTER_MS = 5000, DEADLINE_MS = 10000, LATE_MS = 200 };

#define ASK                                                                                        \
    "GET /ws HTTP/1.1\r\nHost: shop.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
#define SWITCH "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n"
#define STREAM                                                                                     \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"     \
    "3\r\n:\n\n\r\n"
#define CLOSE_1012        "\x88\x02\x03\xf4"
#define CLIENT_CLOSE_1012 "\x88\x82zzzz\x79\x8e"

static struct stage stage;
static struct peer client;
static struct peer origin;

static int set_up(void **state)
{
    (void)state;
    stage_begin(&stage, NULL, "    sticky: {by: none}", WHOLE);
    stage_connect(&stage, &client);
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

static void ask(const char *request)
{
    peer_send(&stage.loop, &client, request);
    peer_accept(&stage.loop, &origin, stage.listening[ROLE_CURRENT]);
    peer_expect(&stage.loop, &origin, "\r\n\r\n");
    peer_clear(&origin);
}

static void open_socket(void)
{
    ask(ASK);
    peer_send(&stage.loop, &origin, SWITCH);
    peer_expect(&stage.loop, &client, "\r\n\r\n");
    peer_clear(&client);
}

static void assert_quiet(void)
{
    play_settle(&stage.loop);
    peer_look(&client);
    assert_int_equal(client.size, 0);
    assert_false(client.has_ended);
    assert_false(client.is_reset);
}

static uint64_t failures(void)
{
    uint64_t sum = cell_read(&stage_service(&stage)->client_bad_responses[ROLE_CURRENT]);
    for (size_t kind = 0; kind < METRIC_FAILURE_COUNT; kind++) {
        sum += cell_read(&stage_service(&stage)->upstream_failures[ROLE_CURRENT][kind]);
    }
    return sum + cell_read(&stage_version(&stage, ROLE_CURRENT)->err);
}

static void a_socket_is_closed_within_the_jitter(void **state)
{
    (void)state;
    open_socket();
    stage_publish(&stage, 0, true);
    play_turn(&stage.loop, JITTER_MS + LATE_MS);
    peer_expect(&stage.loop, &client, CLOSE_1012);
    peer_send(&stage.loop, &client, CLIENT_CLOSE_1012);
    peer_expect(&stage.loop, &origin, CLIENT_CLOSE_1012);
    peer_expect_end(&stage.loop, &client);
    assert_false(client.is_reset);
    peer_send(&stage.loop, &origin, CLOSE_1012);
    peer_close(&origin);
    peer_close(&client);
    play_until(&stage.loop, stage.exchanges.exchange_count == 0);
    assert_int_equal(failures(), 0);
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_CURRENT)->ok), 1);
}

static void without_an_answer_it_ends_two_seconds_later(void **state)
{
    (void)state;
    open_socket();
    stage_publish(&stage, 0, true);
    play_turn(&stage.loop, JITTER_MS + LATE_MS);
    peer_expect(&stage.loop, &client, CLOSE_1012);
    play_turn(&stage.loop, 2000 + LATE_MS);
    assert_int_equal(stage.exchanges.exchange_count, 0);
    peer_expect_end(&stage.loop, &client);
    assert_false(client.is_reset);
    assert_int_equal(client.size, sizeof CLOSE_1012 - 1);
}

static void what_the_origin_says_after_the_close_is_for_nobody(void **state)
{
    (void)state;
    open_socket();
    stage_publish(&stage, 0, true);
    play_turn(&stage.loop, JITTER_MS + LATE_MS);
    peer_expect(&stage.loop, &client, CLOSE_1012);
    peer_clear(&client);
    peer_send(&stage.loop, &origin, "\x81\x05hello");
    assert_quiet();
    peer_reset(&origin);
    peer_expect_end(&stage.loop, &client);
    assert_false(client.is_reset);
    assert_int_equal(failures(), 0);
}

static void within_a_frame_it_waits_and_is_cut_at_last(void **state)
{
    (void)state;
    open_socket();
    peer_send(&stage.loop, &origin, "\x81\x05hel");
    peer_expect(&stage.loop, &client, "hel");
    peer_clear(&client);
    stage_publish(&stage, 0, true);
    play_turn(&stage.loop, DEADLINE_MS - LATE_MS);
    assert_quiet();
    play_turn(&stage.loop, 2 * LATE_MS);
    peer_expect_end(&stage.loop, &client);
    assert_true(client.is_reset);
    assert_int_equal(failures(), 0);
}

static void the_frame_under_way_is_finished_first(void **state)
{
    (void)state;
    open_socket();
    peer_send(&stage.loop, &origin, "\x81\x05hel");
    peer_expect(&stage.loop, &client, "hel");
    stage_publish(&stage, 0, true);
    play_turn(&stage.loop, JITTER_MS + LATE_MS);
    peer_send(&stage.loop, &origin, "lo\x81\x05later");
    peer_expect(&stage.loop, &client, "hello" CLOSE_1012);
    play_settle(&stage.loop);
    peer_look(&client);
    assert_false(peer_has(&client, "later"));
}

static void nothing_is_said_after_the_origins_own_close(void **state)
{
    (void)state;
    open_socket();
    peer_send(&stage.loop, &origin, "\x81\x02hi");
    stage_publish(&stage, 0, true);
    peer_send(&stage.loop, &origin, "\x88\x02\x0f\xa0");
    peer_expect(&stage.loop, &client, "\x88\x02\x0f\xa0");
    play_turn(&stage.loop, JITTER_MS + LATE_MS);
    peer_send(&stage.loop, &origin, "\x81\x05wrong");
    peer_expect(&stage.loop, &client, "wrong"); /* the client's to judge, and whole */
    play_turn(&stage.loop, DEADLINE_MS);
    peer_expect_end(&stage.loop, &client);
    assert_false(peer_has(&client, CLOSE_1012));
}

static void a_half_closed_socket_is_cut_when_its_time_is_up(void **state)
{
    (void)state;
    open_socket();
    peer_finish(&origin);
    peer_expect_end(&stage.loop, &client);
    stage_publish(&stage, 0, true);
    play_turn(&stage.loop, JITTER_MS + LATE_MS);
    assert_int_equal(stage.exchanges.exchange_count, 1);
    play_turn(&stage.loop, DEADLINE_MS - JITTER_MS);
    assert_int_equal(stage.exchanges.exchange_count, 0);
    assert_int_equal(client.size, 0);
}

static void an_event_stream_has_time_and_is_then_cut(void **state)
{
    (void)state;
    ask("GET /events HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    peer_send(&stage.loop, &origin, STREAM);
    peer_expect(&stage.loop, &client, ":\n\n\r\n");
    peer_clear(&client);
    stage_publish(&stage, 0, true);
    play_turn(&stage.loop, DEADLINE_MS - JITTER_MS - LATE_MS);
    assert_quiet();
    play_turn(&stage.loop, JITTER_MS + 2 * LATE_MS);
    peer_expect_end(&stage.loop, &client);
    assert_int_equal(client.size, 0);
    assert_int_equal(failures(), 0);
}

static void a_download_ends_where_it_began(void **state)
{
    (void)state;
    ask("GET /iso HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    peer_send(&stage.loop, &origin,
              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n");
    peer_expect(&stage.loop, &client, "1\r\n1\r\n");
    stage_publish(&stage, 0, true);
    play_turn(&stage.loop, DEADLINE_MS + LATE_MS);
    peer_send(&stage.loop, &origin, "1\r\n2\r\n0\r\n\r\n");
    peer_expect(&stage.loop, &client, "1\r\n2\r\n0\r\n\r\n");
}

static void more_weight_and_forgotten_canaries_move_nothing(void **state)
{
    (void)state;
    stage_publish(&stage, HALF, true);
    stage_publish(&stage, WHOLE, true);
    open_socket();
    stage_publish(&stage, WHOLE, true);
    stage_publish(&stage, 0, false);
    play_turn(&stage.loop, DEADLINE_MS + LATE_MS);
    assert_quiet();
}

static void one_that_opens_after_the_fall_goes_too(void **state)
{
    (void)state;
    ask(ASK);
    stage_publish(&stage, 0, true);
    peer_send(&stage.loop, &origin, SWITCH);
    peer_expect(&stage.loop, &client, "\r\n\r\n");
    play_turn(&stage.loop, JITTER_MS + LATE_MS);
    peer_expect(&stage.loop, &client, CLOSE_1012);
}

static void a_drain_says_that_the_server_goes_away(void **state)
{
    (void)state;
    open_socket();
    loop_enter(&stage.loop);
    exchange_host_drain(&stage.exchanges);
    loop_leave(&stage.loop);
    play_turn(&stage.loop, JITTER_MS + LATE_MS);
    peer_expect(&stage.loop, &client, "\x88\x02\x03\xe9");
}

int main(void)
{
#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        PLAY(a_socket_is_closed_within_the_jitter),
        PLAY(without_an_answer_it_ends_two_seconds_later),
        PLAY(what_the_origin_says_after_the_close_is_for_nobody),
        PLAY(within_a_frame_it_waits_and_is_cut_at_last),
        PLAY(the_frame_under_way_is_finished_first),
        PLAY(nothing_is_said_after_the_origins_own_close),
        PLAY(a_half_closed_socket_is_cut_when_its_time_is_up),
        PLAY(an_event_stream_has_time_and_is_then_cut),
        PLAY(a_download_ends_where_it_began),
        PLAY(more_weight_and_forgotten_canaries_move_nothing),
        PLAY(one_that_opens_after_the_fall_goes_too),
        PLAY(a_drain_says_that_the_server_goes_away),
    };
#undef PLAY
    return cmocka_run_group_tests(tests, NULL, NULL);
}

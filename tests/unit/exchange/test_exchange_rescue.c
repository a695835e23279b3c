/* tests/unit/exchange/test_exchange_rescue.c — what the canary fails is asked of the stable
 * version, and what becomes of the canary's answer. */
#include "tests/unit/exchange/play_exchange.h"

enum { WHOLE = 1000000 };
#define GET       "GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n"
#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"

static struct stage stage;
static struct peer client;
static struct peer canary;
static struct peer stable;

static int set_up(void **state)
{
    (void)state;
    stage_begin(&stage, NULL, "    sticky: {by: none}\n    rescue: {}", WHOLE);
    stage_connect(&stage, &client);
    canary.fd = -1;
    stable.fd = -1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    peer_close(&client);
    peer_close(&canary);
    peer_close(&stable);
    stage_end(&stage);
    return 0;
}

static void canary_answers(const char *request, const char *answer)
{
    peer_send(&stage.loop, &client, request);
    peer_accept(&stage.loop, &canary, stage.listening[ROLE_CURRENT]);
    peer_expect(&stage.loop, &canary, "\r\n\r\n");
    peer_send(&stage.loop, &canary, answer);
}

static void stable_answers(const char *answer)
{
    peer_accept(&stage.loop, &stable, stage.listening[ROLE_PREVIOUS]);
    peer_expect(&stage.loop, &stable, "GET /a HTTP/1.1\r\n");
    peer_send(&stage.loop, &stable, answer);
}

static uint64_t rescues(enum metric_rescue result)
{
    return cell_read(&stage_service(&stage)->rescues[result]);
}

static uint64_t canary_connections(enum metric_connection_state state)
{
    return cell_read(&stage_endpoint(&stage, ROLE_CURRENT)->connections[state]);
}

static void failed_answer_is_held_back_and_counted_in_one_ledger(void **state)
{
    (void)state;
    canary_answers(GET, "HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops");
    stable_answers(OK_ANSWER);
    peer_expect(&stage.loop, &client, "HTTP/1.1 200 OK\r\n");
    peer_expect(&stage.loop, &client, "fine");
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_CURRENT)->err), 1);
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_CURRENT)->client_bad), 0);
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_PREVIOUS)->ok), 0);
    assert_int_equal(stage_requests(&stage, 200), 1);
    assert_int_equal(rescues(METRIC_RESCUE_SUCCESS), 1);
    assert_int_equal(canary_connections(METRIC_CONNECTION_IDLE), 1);
}

static void rest_of_a_held_back_answer_is_thrown_away(void **state)
{
    (void)state;
    canary_answers(GET, "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\noo");
    stable_answers(OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
    assert_int_equal(canary_connections(METRIC_CONNECTION_IDLE), 0);
    peer_send(&stage.loop, &canary, "ps\r\n0\r\n\r\n");
    play_until(&stage.loop, canary_connections(METRIC_CONNECTION_IDLE) == 1);
}

static void connection_whose_rest_breaks_off_is_closed(void **state)
{
    (void)state;
    canary_answers(GET, "HTTP/1.1 503 No\r\nContent-Length: 40\r\n\r\noo");
    stable_answers(OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
    peer_close(&canary);
    play_until(&stage.loop, canary_connections(METRIC_CONNECTION_ACTIVE) == 0);
    assert_int_equal(canary_connections(METRIC_CONNECTION_IDLE), 0);
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_CURRENT)->err), 1);
}

static void second_failure_is_the_clients(void **state)
{
    (void)state;
    canary_answers(GET, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    stable_answers("HTTP/1.1 502 Either\r\nContent-Length: 0\r\n\r\n");
    peer_expect(&stage.loop, &client, "HTTP/1.1 502 ");
    play_until(&stage.loop, rescues(METRIC_RESCUE_FAILURE) == 1);
    assert_int_equal(stage_requests(&stage, 502), 1);
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_PREVIOUS)->err), 0);
}

static void client_that_was_informed_has_a_byte(void **state)
{
    (void)state;
    canary_answers(GET, "HTTP/1.1 103 Early Hints\r\n\r\n"
                        "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    peer_expect(&stage.loop, &client, "HTTP/1.1 500 ");
    assert_int_equal(rescues(METRIC_RESCUE_SUCCESS), 0);
}

static void unsafe_request_is_not_repeated(void **state)
{
    (void)state;
    canary_answers("POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n",
                   "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    peer_expect(&stage.loop, &client, "HTTP/1.1 500 ");
}

static void strained_stable_version_is_left_alone(void **state)
{
    (void)state;
    atomic_store(&stage.service->is_stable_strained, true);
    canary_answers(GET, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    peer_expect(&stage.loop, &client, "HTTP/1.1 500 ");
    assert_int_equal(rescues(METRIC_RESCUE_STABLE_SUFFERS), 1);
}

/* It takes one request at a time, and has it: what the client saw is the canary's doing. */
static void full_stable_version_takes_nothing_off_the_canary(void **state)
{
    (void)state;
    static struct peer opted_out;
    stage_begin(&stage, NULL, "    sticky: {by: none}\n    rescue: {}\n    circuit: {requests: 1}",
                WHOLE);
    stage_connect(&stage, &client);
    stage_connect(&stage, &opted_out);
    canary.fd = -1;
    stable.fd = -1;
    peer_send(&stage.loop, &opted_out,
              "GET /b HTTP/1.1\r\nHost: shop.test\r\nSerin-Version: previous\r\n\r\n");
    peer_accept(&stage.loop, &stable, stage.listening[ROLE_PREVIOUS]);
    peer_expect(&stage.loop, &stable, "\r\n\r\n");
    canary_answers(GET, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    peer_expect(&stage.loop, &client, "HTTP/1.1 503 ");
    assert_int_equal(version_containment(stage.versions[ROLE_CURRENT], 0)->level_ppm, WHOLE);
    assert_int_equal(rescues(METRIC_RESCUE_FAILURE), 1);
    peer_close(&opted_out);
}

#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(failed_answer_is_held_back_and_counted_in_one_ledger),
        PLAY(rest_of_a_held_back_answer_is_thrown_away),
        PLAY(connection_whose_rest_breaks_off_is_closed),
        PLAY(second_failure_is_the_clients),
        PLAY(client_that_was_informed_has_a_byte),
        PLAY(unsafe_request_is_not_repeated),
        PLAY(strained_stable_version_is_left_alone),
        cmocka_unit_test_teardown(full_stable_version_takes_nothing_off_the_canary, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

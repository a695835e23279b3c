/* tests/unit/exchange/test_exchange_mirror.c — copies for a canary without weight: what they count,
 * and that no client ever notices them. */
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/exchange/mirror.h"
#include "router/mirror.h"
#include "tests/support/alloc_fail.h"
#include "tests/unit/exchange/play_exchange.h"

#define GET       "GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n"
#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"
#define SLOW      "timeouts: {response_header: 5s}\n"

enum { HALF = 500000, TURNS_MAX = 500 };

static struct stage stage;
static struct peer client;
static struct peer canary;
static struct peer stable;

static int set_up(void **state)
{
    (void)state;
    stage_begin(&stage, SLOW, "    sticky: {by: none}\n    mirror: 100%", 0);
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

static struct version_cells *ledger(void)
{
    return stage_version(&stage, ROLE_CURRENT);
}

static uint64_t ledger_count(void)
{
    return cell_read(&ledger()->ok) + cell_read(&ledger()->err);
}

static uint64_t mirrored(void)
{
    return cell_read(&stage_service(&stage)->mirrored);
}

static uint64_t dropped(void)
{
    return cell_read(&stage_service(&stage)->mirror_dropped);
}

static uint64_t canary_connections(enum metric_connection_state state)
{
    return cell_read(&stage_endpoint(&stage, ROLE_CURRENT)->connections[state]);
}

/* The client asks, and has the stable version's answer before the canary says anything. */
static void ask(const char *request)
{
    peer_clear(&client);
    peer_send(&stage.loop, &client, request);
    if (stable.fd < 0) {
        peer_accept(&stage.loop, &stable, stage.listening[ROLE_PREVIOUS]);
    }
    peer_expect(&stage.loop, &stable, "\r\n\r\n");
    assert_false(peer_has(&stable, "Serin-Mirror"));
    peer_clear(&stable);
    peer_send(&stage.loop, &stable, OK_ANSWER);
    peer_expect(&stage.loop, &client, "fine");
}

static void canary_gets_the_copy(void)
{
    peer_accept(&stage.loop, &canary, stage.listening[ROLE_CURRENT]);
    peer_expect(&stage.loop, &canary, "\r\n\r\n");
}

static void copy_is_the_request_and_says_what_it_is(void **state)
{
    (void)state;
    ask("GET /a?b=c HTTP/1.1\r\nHost: shop.test\r\nCookie: k=v\r\nX-Request-Id: r1\r\n\r\n");
    canary_gets_the_copy();
    assert_true(peer_has(&canary, "GET /a?b=c HTTP/1.1\r\n"));
    assert_true(peer_has(&canary, "Host: shop.test\r\n"));
    assert_true(peer_has(&canary, "Cookie: k=v\r\n"));
    assert_true(peer_has(&canary, "X-Request-Id: r1\r\n"));
    assert_true(peer_has(&canary, "Serin-Mirror: 1\r\n"));
    assert_true(peer_has(&canary, "Via: 1.1 serin\r\n"));
}

static void answer_is_counted_in_the_ledger_and_nowhere_else(void **state)
{
    (void)state;
    ask(GET);
    canary_gets_the_copy();
    assert_int_equal(ledger_count(), 0);
    peer_send(&stage.loop, &canary, OK_ANSWER);
    play_until(&stage.loop, cell_read(&ledger()->ok) == 1);
    assert_int_equal(mirrored(), 1);
    assert_int_equal(stage_requests(&stage, 200), 1);
    assert_int_equal(cell_read(&stage_version(&stage, ROLE_PREVIOUS)->ok), 1);
    const struct endpoint_cells *endpoint = stage_endpoint(&stage, ROLE_CURRENT);
    assert_int_equal(cell_read(&endpoint->attempts[metric_code_slot(200)]), 0);
    assert_int_equal(cell_read(&stage_service(&stage)->picks[METRIC_ROLE_CURRENT]), 0);
    assert_int_equal(canary_connections(METRIC_CONNECTION_IDLE), 1); /* kept for the next copy */
}

static void failures_count_as_those_of_requests_do(void **state)
{
    (void)state;
    ask(GET);
    canary_gets_the_copy();
    peer_send(&stage.loop, &canary, "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno");
    play_until(&stage.loop, cell_read(&ledger()->err) == 1);
    assert_int_equal(cell_read(&ledger()->connect_err), 0);
    assert_int_equal(cell_read(&ledger()->origin_bad), 1);
    assert_int_equal(cell_read(&ledger()->client_bad), 0);
    assert_int_equal(stage_requests(&stage, 500), 0);
    const struct service_cells *service = stage_service(&stage);
    for (size_t kind = 0; kind < METRIC_FAILURE_COUNT; kind++) {
        assert_int_equal(cell_read(&service->upstream_failures[METRIC_ROLE_CURRENT][kind]), 0);
    }
}

static void dead_canary_counts_as_no_connection(void **state)
{
    (void)state;
    (void)close(stage.listening[ROLE_CURRENT]);
    stage.listening[ROLE_CURRENT] = -1;
    ask(GET);
    play_until(&stage.loop, cell_read(&ledger()->connect_err) == 1);
    assert_int_equal(cell_read(&ledger()->err), 1);
    assert_int_equal(mirrored(), 1);
    ask(GET); /* and is asked again: nothing is ejected */
    play_until(&stage.loop, cell_read(&ledger()->connect_err) == 2);
}

static void silent_canary_counts_when_its_time_is_over(void **state)
{
    (void)state;
    ask(GET);
    canary_gets_the_copy();
    play_turn(&stage.loop, 4000);
    assert_int_equal(ledger_count(), 0);
    play_turn(&stage.loop, 1500);
    assert_int_equal(cell_read(&ledger()->connect_err), 1);
    peer_expect_end(&stage.loop, &canary);
    ask(GET);
}

static void answer_that_breaks_off_is_a_failure(void **state)
{
    (void)state;
    ask(GET);
    canary_gets_the_copy();
    peer_send(&stage.loop, &canary, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    play_settle(&stage.loop);
    assert_int_equal(ledger_count(), 0);
    peer_close(&canary);
    play_until(&stage.loop, cell_read(&ledger()->err) == 1);
    assert_int_equal(ledger_count(), 1);
}

static void huge_answer_is_read_up_to_its_bound(void **state)
{
    (void)state;
    static char megabyte[MIRROR_BODY_MAX];
    memset(megabyte, 'x', sizeof megabyte);
    ask(GET);
    canary_gets_the_copy();
    peer_send(&stage.loop, &canary, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    while (ledger_count() == 0) {
        (void)send(canary.fd, megabyte, 4096, MSG_NOSIGNAL | MSG_DONTWAIT);
        play_step(&stage.loop);
    }
    assert_int_equal(cell_read(&ledger()->ok), 1);
    peer_expect_end(&stage.loop, &canary);
    ask(GET);
}

static void endless_answer_counts_after_a_second_and_is_let_go(void **state)
{
    (void)state;
    ask(GET);
    canary_gets_the_copy();
    peer_send(&stage.loop, &canary, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: ");
    play_settle(&stage.loop);
    play_turn(&stage.loop, 1200);
    assert_int_equal(cell_read(&ledger()->ok), 1);
    peer_expect_end(&stage.loop, &canary);
}

static void pooled_connection_that_was_closed_counts_for_nothing(void **state)
{
    (void)state;
    ask(GET);
    canary_gets_the_copy();
    peer_send(&stage.loop, &canary, OK_ANSWER);
    play_until(&stage.loop, canary_connections(METRIC_CONNECTION_IDLE) == 1);
    peer_clear(&canary);
    ask(GET);
    peer_expect(&stage.loop, &canary, "\r\n\r\n");
    peer_close(&canary);
    play_until(&stage.loop, canary_connections(METRIC_CONNECTION_ACTIVE) == 0);
    assert_int_equal(ledger_count(), 1);
    assert_int_equal(mirrored(), 2);
}

static void unsafe_requests_and_bodies_are_not_copied(void **state)
{
    (void)state;
    ask("POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n");
    ask("GET /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1\r\n\r\nx");
    ask("GET /a HTTP/1.1\r\nHost: shop.test\r\nSerin-Version: previous\r\n\r\n");
    ask("DELETE /a HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    assert_int_equal(mirrored() + dropped(), 0);
    ask("OPTIONS /a HTTP/1.1\r\nHost: shop.test\r\n\r\n");
    play_until(&stage.loop, mirrored() == 1);
}

static void mark_of_a_client_goes_no_further(void **state)
{
    (void)state;
    ask("POST /a HTTP/1.1\r\nHost: shop.test\r\nSerin-Mirror: 1\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(mirrored(), 0);
}

static void only_so_many_copies_are_under_way(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MIRROR_IN_FLIGHT_MAX + 3; i++) {
        ask(GET);
    }
    play_until(&stage.loop, mirrored() == MIRROR_IN_FLIGHT_MAX);
    assert_int_equal(dropped(), 3);
    play_turn(&stage.loop, 6000);
    assert_int_equal(cell_read(&ledger()->err), MIRROR_IN_FLIGHT_MAX);
    ask(GET);
    assert_int_equal(dropped(), 3);
}

static void weight_ends_copies_uncounted(void **state)
{
    (void)state;
    ask(GET);
    canary_gets_the_copy();
    stage_publish(&stage, HALF, true);
    peer_expect_end(&stage.loop, &canary);
    assert_int_equal(ledger_count(), 0);
    play_until(&stage.loop, stage.home_count == 1);
}

static void another_snapshot_that_still_mirrors_leaves_copies_alone(void **state)
{
    (void)state;
    ask(GET);
    canary_gets_the_copy();
    stage_publish(&stage, 0, true);
    play_until(&stage.loop, stage.home_count == 1); /* they hold no lease */
    peer_send(&stage.loop, &canary, OK_ANSWER);
    play_until(&stage.loop, cell_read(&ledger()->ok) == 1);
}

static void canary_that_goes_takes_its_copies_along(void **state)
{
    (void)state;
    ask(GET);
    canary_gets_the_copy();
    stage_publish(&stage, 0, false);
    peer_expect_end(&stage.loop, &canary);
    play_until(&stage.loop, endpoint_is_unused(stage.endpoints[ROLE_CURRENT]));
    assert_int_equal(ledger_count(), 0);
    ask(GET);
    assert_int_equal(mirrored(), 1);
}

/* It began under a snapshot that named the canary, and goes on under one that does not. */
static void request_that_waited_is_not_copied_to_a_canary_that_went(void **state)
{
    (void)state;
    static struct peer second;
    static struct peer waited;
    stage_begin(&stage, SLOW, "    sticky: {by: none}\n    mirror: 100%\n    cache: {mode: full}",
                0);
    stage_connect(&stage, &client);
    stage_connect(&stage, &second);
    canary.fd = -1;
    stable.fd = -1;
    peer_send(&stage.loop, &client, GET);
    peer_accept(&stage.loop, &stable, stage.listening[ROLE_PREVIOUS]);
    peer_expect(&stage.loop, &stable, "\r\n\r\n");
    canary_gets_the_copy();
    peer_send(&stage.loop, &second, GET);
    play_until(&stage.loop, stage.exchanges.exchange_count == 2);
    peer_clear(&stable);
    stage_publish(&stage, 0, false);
    peer_expect_end(&stage.loop, &canary);
    peer_send(&stage.loop, &stable,
              "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 4\r\n\r\nonce");
    peer_expect(&stage.loop, &client, "once");
    peer_close(&canary);
    canary.fd = -1;
    peer_accept(&stage.loop, &waited, stage.listening[ROLE_PREVIOUS]); /* stable's first is busy */
    peer_expect(&stage.loop, &waited, "\r\n\r\n");
    assert_true(list_is_empty(&stage.exchanges.mirrors));
    peer_send(&stage.loop, &waited, OK_ANSWER);
    peer_expect(&stage.loop, &second, "fine");
    assert_int_equal(mirrored(), 1);
    peer_close(&waited);
    peer_close(&second);
}

static void copies_under_way_hold_up_no_end(void **state)
{
    (void)state;
    ask(GET);
    canary_gets_the_copy(); /* the tear-down waits for everything to be gone */
}

static void copy_goes_on_without_its_client(void **state)
{
    (void)state;
    peer_send(&stage.loop, &client, GET);
    canary_gets_the_copy();
    peer_reset(&client);
    play_until(&stage.loop, stage.exchanges.exchange_count == 0);
    peer_send(&stage.loop, &canary, OK_ANSWER);
    play_until(&stage.loop, cell_read(&ledger()->ok) == 1);
}

/* Plays an origin where a request got as far as that. */
static void play_origin(struct peer *origin, enum role role)
{
    if (origin->fd < 0) {
        int fd = accept4(stage.listening[role], NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) {
            return;
        }
        peer_init(origin, fd);
    }
    peer_look(origin);
    if (peer_has(origin, "\r\n\r\n")) {
        peer_clear(origin);
        peer_send(&stage.loop, origin, OK_ANSWER);
    }
    if (origin->has_ended || origin->is_reset) {
        peer_close(origin);
        origin->fd = -1;
    }
}

static bool is_answered(void)
{
    peer_look(&client);
    return client.has_ended || client.is_reset || peer_has(&client, "fine") ||
           peer_has(&client, "HTTP/1.1 50");
}

static void every_refused_allocation_is_survived(void **state)
{
    (void)state;
    size_t turn = 0;
    bool has_refused = true;
    unsigned unnoticed = 0;
    for (; has_refused && turn < TURNS_MAX; turn++) {
        (void)set_up(NULL);
        (void)alloc_fail_begin(turn);
        peer_send(&stage.loop, &client, GET);
        uint64_t give_up = play_now_ms() + PLAY_PATIENCE_MS;
        while (!is_answered() || !list_is_empty(&stage.exchanges.mirrors)) {
            assert_true(play_now_ms() < give_up);
            play_step(&stage.loop);
            play_origin(&stable, ROLE_PREVIOUS);
            play_origin(&canary, ROLE_CURRENT);
        }
        has_refused = alloc_fail_end();
        unnoticed += dropped() > 0 && peer_has(&client, "fine");
        assert_int_equal(cell_read(&ledger()->err), 0);
        (void)tear_down(NULL);
    }
    assert_true(turn < TURNS_MAX);
    assert_true(unnoticed >= 2);
}

#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(copy_is_the_request_and_says_what_it_is),
        PLAY(answer_is_counted_in_the_ledger_and_nowhere_else),
        PLAY(failures_count_as_those_of_requests_do),
        PLAY(dead_canary_counts_as_no_connection),
        PLAY(silent_canary_counts_when_its_time_is_over),
        PLAY(answer_that_breaks_off_is_a_failure),
        PLAY(huge_answer_is_read_up_to_its_bound),
        PLAY(endless_answer_counts_after_a_second_and_is_let_go),
        PLAY(pooled_connection_that_was_closed_counts_for_nothing),
        PLAY(unsafe_requests_and_bodies_are_not_copied),
        PLAY(mark_of_a_client_goes_no_further),
        PLAY(only_so_many_copies_are_under_way),
        PLAY(weight_ends_copies_uncounted),
        PLAY(another_snapshot_that_still_mirrors_leaves_copies_alone),
        PLAY(canary_that_goes_takes_its_copies_along),
        cmocka_unit_test_teardown(request_that_waited_is_not_copied_to_a_canary_that_went,
                                  tear_down),
        PLAY(copies_under_way_hold_up_no_end),
        PLAY(copy_goes_on_without_its_client),
        cmocka_unit_test(every_refused_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

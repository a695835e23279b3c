/* Calls of gRPC that nobody answers before their clients' time is over: no failures, but latencies.
 */
#include "tests/unit/exchange/play_exchange.h"

enum { WHOLE = 1000000, LIMIT_US = 1000000 };

#define CALL(timeout)                                                                              \
    "POST /a.B/C HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/grpc\r\n"                \
    "grpc-timeout: " timeout "\r\nContent-Length: 0\r\n\r\n"

static struct stage stage;
static struct peer client;
static struct peer origin;

static int begin(uint32_t weight_ppm, uint64_t limit_us)
{
    stage_begin(&stage, NULL, "    sticky: {by: none}", weight_ppm);
    stage_connect(&stage, &client);
    origin.fd = -1;
    atomic_store_explicit(&stage.service->slow_limit_us, limit_us, memory_order_relaxed);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return begin(WHOLE, LIMIT_US);
}

static int set_up_stable(void **state)
{
    (void)state;
    return begin(0, LIMIT_US);
}

static int set_up_unknown(void **state)
{
    (void)state;
    return begin(WHOLE, 0);
}

static int tear_down(void **state)
{
    (void)state;
    peer_close(&client);
    peer_close(&origin);
    stage_end(&stage);
    return 0;
}

static void call(const char *request, enum role role)
{
    peer_send(&stage.loop, &client, request);
    peer_accept(&stage.loop, &origin, stage.listening[role]);
    peer_expect(&stage.loop, &origin, "\r\n\r\n");
}

/* What is in the ledger once the client has its answer. */
static void expect_counts(enum role role, uint64_t failures, uint64_t latencies)
{
    const struct version_cells *cells = stage_version(&stage, role);
    struct histogram sum = {0};
    histogram_add_cells(&sum, &cells->latency);
    assert_int_equal(cell_read(&cells->ok), 0);
    assert_int_equal(cell_read(&cells->err), failures);
    assert_int_equal(histogram_count(&sum), latencies);
}

static void hang(const char *request, enum role role)
{
    call(request, role);
    play_turn(&stage.loop, 3000);
    peer_expect(&stage.loop, &client, "grpc-status: 4");
}

static void a_call_that_hangs_is_a_latency_and_no_failure(void **state)
{
    (void)state;
    hang(CALL("1S"), ROLE_CURRENT);
    expect_counts(ROLE_CURRENT, 0, 1);
}

static void the_stable_versions_calls_are_latencies_too(void **state)
{
    (void)state;
    hang(CALL("2S"), ROLE_PREVIOUS);
    expect_counts(ROLE_PREVIOUS, 0, 1);
}

static void a_client_without_patience_makes_nobody_slow(void **state)
{
    (void)state;
    hang(CALL("100m"), ROLE_CURRENT);
    expect_counts(ROLE_CURRENT, 0, 0);
}

static void nobody_is_slow_before_the_usual_is_known(void **state)
{
    (void)state;
    hang(CALL("2S"), ROLE_CURRENT);
    expect_counts(ROLE_CURRENT, 0, 0);
}

static void a_client_that_gives_up_by_itself_counts_alike(void **state)
{
    (void)state;
    call(CALL("2S"), ROLE_PREVIOUS);
    play_turn(&stage.loop, 1900);
    peer_reset(&client);
    peer_expect_end(&stage.loop, &origin);
    expect_counts(ROLE_PREVIOUS, 0, 1);
}

static void a_client_that_leaves_early_is_no_latency(void **state)
{
    (void)state;
    call(CALL("9S"), ROLE_PREVIOUS);
    play_turn(&stage.loop, 1900);
    peer_reset(&client);
    peer_expect_end(&stage.loop, &origin);
    expect_counts(ROLE_PREVIOUS, 0, 0);
}

static void a_connection_that_ends_with_the_clients_time_is_no_failure(void **state)
{
    (void)state;
    call(CALL("1S"), ROLE_CURRENT);
    play_turn(&stage.loop, 900);
    peer_close(&origin);
    peer_expect(&stage.loop, &client, "grpc-status: 4");
    expect_counts(ROLE_CURRENT, 0, 0);
}

static void a_connection_that_ends_in_the_clients_time_is_one(void **state)
{
    (void)state;
    call(CALL("1H"), ROLE_CURRENT);
    peer_close(&origin);
    peer_expect(&stage.loop, &client, "grpc-status: 14");
    expect_counts(ROLE_CURRENT, 1, 0);
}

#define PLAY(name)         cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define PLAY_STABLE(name)  cmocka_unit_test_setup_teardown(name, set_up_stable, tear_down)
#define PLAY_UNKNOWN(name) cmocka_unit_test_setup_teardown(name, set_up_unknown, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(a_call_that_hangs_is_a_latency_and_no_failure),
        PLAY_STABLE(the_stable_versions_calls_are_latencies_too),
        PLAY(a_client_without_patience_makes_nobody_slow),
        PLAY_UNKNOWN(nobody_is_slow_before_the_usual_is_known),
        PLAY_STABLE(a_client_that_gives_up_by_itself_counts_alike),
        PLAY_STABLE(a_client_that_leaves_early_is_no_latency),
        PLAY_UNKNOWN(a_connection_that_ends_with_the_clients_time_is_no_failure),
        PLAY_UNKNOWN(a_connection_that_ends_in_the_clients_time_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

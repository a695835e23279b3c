/* The Workers provider: a rollback is a deployment of the earlier version at 100 %. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "canary/platform/workers.h"
#include "tests/unit/platform/platform_bench.h"

#define V1 "aaaaaaaa-0000-4000-8000-000000000001"
#define V2 "aaaaaaaa-0000-4000-8000-000000000002"
#define ONE(id, version)                                                                           \
    "{\"id\":\"" id                                                                                \
    "\",\"created_on\":\"2026-01-01T00:00:00Z\",\"versions\":[{\"version_id\":\"" version          \
    "\",\"percentage\":100}]}"
#define TWO(id)                                                                                    \
    "{\"id\":\"" id "\",\"versions\":[{\"version_id\":\"" V2 "\",\"percentage\":10},"              \
    "{\"version_id\":\"" V1 "\",\"percentage\":90}]}"
#define SAID(list) "{\"success\":true,\"errors\":[],\"result\":{\"deployments\":[" list "]}}"

static const struct platform_ask roll_back = {
    .operation = PLATFORM_ROLL_BACK, .wait_ms = 2000, .reason = "it \"fails\""};

static int setup(void **state)
{
    struct platform_bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    struct cloudflare_options options = bench_begin(bench);
    struct note note;
    assert_int_equal(workers_create(&options, "edge/..", &bench->provider, &note), ERR_SYNTAX);
    assert_int_equal(workers_create(&options, "edge", &bench->provider, &note), OK);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    bench_end(*state);
    free(*state);
    return 0;
}

static void say(struct platform_bench *bench, const char *body)
{
    api_stub_say(bench->stub, 200, NULL, body);
}

static void rollback_deploys_the_last_whole_version(void **state)
{
    struct platform_bench *bench = *state;
    say(bench, SAID(ONE("d3", V2) "," TWO("d2") "," ONE("d1", V1)));
    say(bench, "{\"success\":true,\"result\":{}}");
    say(bench, SAID(ONE("d3", V2)));
    say(bench, SAID(ONE("d4", V1)));
    bench_ask(bench, &roll_back);
    assert_int_equal(bench->result, PLATFORM_DONE);
    assert_true(bench->has_moved);
    assert_string_equal(bench->live.id, V2);
    const char *post = api_stub_request(bench->stub, 1);
    assert_non_null(strstr(post, "POST /client/v4/accounts/" BENCH_ACCOUNT
                                 "/workers/scripts/edge/deployments HTTP/1.1\r\n"));
    assert_non_null(strstr(post, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(post, "{\"strategy\":\"percentage\",\"versions\":[{\"version_id\":\"" V1
                                 "\",\"percentage\":100}],\"annotations\":{\"workers/message\":"
                                 "\"it \\\"fails\\\"\"}}"));
}

static void canary_with_a_share_is_taken_out_of_it(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back;
    ask.operation = PLATFORM_LOOK;
    ask.expect_current = V2;
    say(bench, SAID(TWO("d2") "," ONE("d1", V1)));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_DONE);
    assert_string_equal(bench->target.id, V1);
    assert_int_equal(api_stub_count(bench->stub), 1);
}

/* Two share the traffic: what is said to be live is the one that was asked about. */
static void version_with_a_share_is_live_though_another_is_first(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back;
    ask.expect_current = V1;
    ask.target = "aaaaaaaa-0000-4000-8000-000000000009";
    say(bench, SAID(TWO("d1")));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_REFUSED);
    assert_string_equal(bench->live.id, V1);
}

static void unexpected_or_unknown_versions_are_refused(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back;
    ask.expect_current = V2;
    say(bench, SAID(ONE("d1", V1)));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_REFUSED);
    ask.expect_current = NULL;
    ask.target = V2;
    say(bench, SAID(ONE("d1", V1)));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_REFUSED);
    say(bench, SAID(""));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_REFUSED);
    assert_int_equal(api_stub_count(bench->stub), 3);
}

static void version_that_has_all_traffic_is_there_already(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back;
    ask.target = V1;
    ask.expect_current = V2;
    say(bench, SAID(ONE("d1", V1)));
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_ALREADY);
}

static void lost_answer_is_looked_after_before_it_is_repeated(void **state)
{
    struct platform_bench *bench = *state;
    say(bench, SAID(ONE("d2", V2) "," ONE("d1", V1)));
    api_stub_say(bench->stub, 0, NULL, NULL);
    say(bench, SAID(ONE("d3", V1) "," ONE("d2", V2)));
    bench_ask(bench, &roll_back);
    assert_int_equal(bench->result, PLATFORM_DONE);
    assert_int_equal(api_stub_count(bench->stub), 3);
}

static void what_was_read_long_before_the_post_is_read_again(void **state)
{
    struct platform_bench *bench = *state;
    bench_end(bench);
    memset(bench, 0, sizeof *bench);
    struct cloudflare_options options = bench_begin(bench);
    struct note note;
    options.trust_ms = 500;
    assert_int_equal(workers_create(&options, "edge", &bench->provider, &note), OK);
    api_stub_say(bench->stub, 200, "Ratelimit: \"default\";r=0;t=1\r\n",
                 SAID(ONE("d3", V2) "," ONE("d1", V1)));
    say(bench, SAID(ONE("d4", V2) "," ONE("d3", V2) "," ONE("d1", V1)));
    bench_ask(bench, &roll_back);
    assert_int_equal(bench->result, PLATFORM_REFUSED);
    assert_int_equal(api_stub_count(bench->stub), 2);
}

static void post_that_must_wait_beyond_the_deadline_ends_the_question(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back;
    ask.deadline_ms = 5000;
    say(bench, SAID(ONE("d3", V2) "," ONE("d1", V1)));
    api_stub_say(bench->stub, 429, "Retry-After: 30\r\n",
                 "{\"success\":false,\"errors\":[{\"code\":971,\"message\":\"no\"}]}");
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_RATE_LIMITED);
    assert_int_equal(api_stub_count(bench->stub), 2);
}

static void answers_of_another_shape_are_failures(void **state)
{
    static const char *const bodies[] = {"{\"success\":true,\"result\":[]}",
                                         "{\"success\":true,\"result\":{\"deployments\":{}}}"};
    struct platform_bench *bench = *state;
    for (size_t i = 0; i < 2; i++) {
        say(bench, bodies[i]);
        bench_ask(bench, &roll_back);
        assert_int_equal(bench->result, PLATFORM_FAILED);
    }
}

static void logs_and_lists_are_not_its_business(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = {.operation = PLATFORM_LOG, .target = V1};
    assert_int_equal(
        provider_start(bench->provider, &ask, (platform_on_done *)(void *)abort, NULL, NULL),
        ERR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(rollback_deploys_the_last_whole_version),
        TEST(canary_with_a_share_is_taken_out_of_it),
        TEST(version_with_a_share_is_live_though_another_is_first),
        TEST(unexpected_or_unknown_versions_are_refused),
        TEST(version_that_has_all_traffic_is_there_already),
        TEST(lost_answer_is_looked_after_before_it_is_repeated),
        TEST(what_was_read_long_before_the_post_is_read_again),
        TEST(post_that_must_wait_beyond_the_deadline_ends_the_question),
        TEST(answers_of_another_shape_are_failures),
        TEST(logs_and_lists_are_not_its_business),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

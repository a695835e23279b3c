/* What can be changed: bodies, preconditions, keys, and how an op's end becomes an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/admin/admin_bench.h"

#define WEIGHT   "/api/v1/services/showcase/weight"
#define BUILD    "/api/v1/services/showcase/build-failures"
#define ROLLBACK "/api/v1/services/showcase/rollback"
#define DRILL    "/api/v1/services/showcase/drill"
#define ROLLOUT  "/api/v1/services/showcase/rollout"

static int setup(void **state)
{
    struct admin_bench *bench = malloc(sizeof *bench);
    admin_bench_init(bench, NULL);
    bench->fake.result = ADMIN_DONE;
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    admin_bench_finish(*state);
    free(*state);
    return 0;
}

static void weight_is_set_in_percent(void **state)
{
    struct admin_bench *bench = *state;
    assert_int_equal(ask_json(bench, METHOD_PUT, WEIGHT, "{\"current\": 12.5}"), 200);
    assert_string_equal(bench->fake.last, "weight showcase 125000 rev=-1 by local");
    assert_string_equal(bench->etag, "\"7\"");
    assert_int_equal(ask_json(bench, METHOD_PUT, WEIGHT, "{\"current\": 0.0001}"), 200);
    assert_string_equal(bench->fake.last, "weight showcase 1 rev=-1 by local");
    assert_int_equal(ask_json(bench, METHOD_PUT, WEIGHT, "{\"current\": 100}"), 200);
    assert_string_equal(bench->fake.last, "weight showcase 1000000 rev=-1 by local");
}

static void weight_out_of_range_names_its_field(void **state)
{
    struct admin_bench *bench = *state;
    const char *bodies[] = {"{\"current\": -0.1}", "{\"current\": 100.1}", "{\"current\": 1e300}",
                            "{\"current\": 0.00001}"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        (void)ask_json(bench, METHOD_PUT, WEIGHT, bodies[i]);
        assert_problem(bench, 422, "current");
    }
    assert_int_equal(bench->fake.asked, 0);
}

static void stale_revision_is_refused_before_anything_happens(void **state)
{
    struct admin_bench *bench = *state;
    with(bench, "If-Match", "\"6\"");
    (void)ask_json(bench, METHOD_PUT, WEIGHT, "{\"current\": 1}");
    assert_problem(bench, 412, "If-Match");
    with(bench, "If-Match", "W/\"7\"");
    (void)ask_json(bench, METHOD_PUT, WEIGHT, "{\"current\": 1}");
    assert_problem(bench, 412, "If-Match");
    assert_int_equal(bench->fake.asked, 0);

    with(bench, "If-Match", "\"6\", \"7\"");
    assert_int_equal(ask_json(bench, METHOD_PUT, WEIGHT, "{\"current\": 1}"), 200);
    assert_string_equal(bench->fake.last, "weight showcase 10000 rev=7 by local");
    with(bench, "If-Match", "*");
    assert_int_equal(ask_json(bench, METHOD_PUT, WEIGHT, "{\"current\": 1}"), 200);
}

static void bodies_are_read_strictly(void **state)
{
    struct admin_bench *bench = *state;
    static const struct {
        const char *body;
        unsigned status;
        const char *field;
    } cases[] = {
        {"", 422, "current"},
        {"{}", 422, "current"},
        {"{\"current\": \"1\"}", 422, "current"},
        {"{\"current\": null}", 422, "current"},
        {"{\"current\": 1, \"x\": 1}", 422, "x"},
        {"{\"current\": 1, \"current\": 2}", 400, NULL},
        {"{\"current\": 1} {}", 400, NULL},
        {"{\"current\": 01}", 400, NULL},
        {"{\"current\": NaN}", 400, NULL},
        {"{'current': 1}", 400, NULL},
        {"[1]", 422, NULL},
        {"[]", 422, NULL},
        {"{\"current\"", 400, NULL},
        {"{\"current\": \"\xff\"}", 400, NULL},
        {"{\"a\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}", 400, NULL},
        {"{\"current\": 99999999999999999999999999}", 400, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)ask_json(bench, METHOD_PUT, WEIGHT, cases[i].body);
        assert_problem(bench, cases[i].status, cases[i].field);
    }
    assert_int_equal(bench->fake.asked, 0);
}

static void body_must_say_that_it_is_json(void **state)
{
    struct admin_bench *bench = *state;
    (void)ask(bench, METHOD_PUT, WEIGHT, "{\"current\": 1}");
    assert_problem(bench, 415, "Content-Type");
    with(bench, "Content-Type", "text/plain");
    (void)ask(bench, METHOD_PUT, WEIGHT, "{\"current\": 1}");
    assert_problem(bench, 415, "Content-Type");
    with(bench, "Content-Type", "Application/JSON; charset=utf-8");
    assert_int_equal(ask(bench, METHOD_PUT, WEIGHT, "{\"current\": 1}"), 200);
}

static void large_body_is_refused(void **state)
{
    struct admin_bench *bench = *state;
    char *body = malloc(ADMIN_BODY_MAX + 2);
    memset(body, ' ', ADMIN_BODY_MAX + 1);
    body[ADMIN_BODY_MAX + 1] = '\0';
    (void)ask_json(bench, METHOD_PUT, WEIGHT, body);
    assert_problem(bench, 413, NULL);
    free(body);
}

static void rollback_is_accepted_with_its_record(void **state)
{
    struct admin_bench *bench = *state;
    bench->fake.result = ADMIN_ACCEPTED;
    with(bench, "Idempotency-Key", "k-1");
    const char *body = "{\"reason\": \"it breaks\", \"mode\": \"instant\", \"dry_run\": true}";
    assert_int_equal(ask_json(bench, METHOD_POST, ROLLBACK, body), 202);
    assert_string_equal(bench->fake.last,
                        "rollback showcase 'it breaks' instant dry key=k-1 by local");
    assert_string_equal(bench->location, "/api/v1/rollbacks/r1");
    assert_string_equal(bench->body, "{\"id\":\"r1\",\"status\":\"in_progress\"}");

    bench->fake.result = ADMIN_REPLAYED;
    assert_int_equal(ask_json(bench, METHOD_POST, ROLLBACK, "{\"reason\": \"it breaks\"}"), 200);
    assert_string_equal(bench->fake.last, "rollback showcase 'it breaks' key=- by local");
}

static void drill_is_accepted_and_says_nothing_else(void **state)
{
    struct admin_bench *bench = *state;
    bench->fake.result = ADMIN_ACCEPTED;
    with(bench, "Idempotency-Key", "d-1");
    assert_int_equal(ask_json(bench, METHOD_POST, DRILL, "{}"), 202);
    assert_string_equal(bench->fake.last, "drill showcase key d-1 by local");
    assert_int_equal(ask_json(bench, METHOD_POST, DRILL, ""), 202);
    assert_string_equal(bench->fake.last, "drill showcase key - by local");
    (void)ask_json(bench, METHOD_POST, DRILL, "{\"reason\": \"why not\"}");
    assert_problem(bench, 422, "reason");
    assert_int_equal(ask_json(bench, METHOD_GET, DRILL, NULL), 405);
}

static void rollback_needs_a_reason_on_one_line(void **state)
{
    struct admin_bench *bench = *state;
    (void)ask_json(bench, METHOD_POST, ROLLBACK, "{}");
    assert_problem(bench, 422, "reason");
    (void)ask_json(bench, METHOD_POST, ROLLBACK, "{\"reason\": \"\"}");
    assert_problem(bench, 422, "reason");
    (void)ask_json(bench, METHOD_POST, ROLLBACK, "{\"reason\": \"a\\nb\"}");
    assert_problem(bench, 422, "reason");
    (void)ask_json(bench, METHOD_POST, ROLLBACK, "{\"reason\": \"a\", \"mode\": \"slow\"}");
    assert_problem(bench, 422, "mode");
    with(bench, "Idempotency-Key", "has space");
    (void)ask_json(bench, METHOD_POST, ROLLBACK, "{\"reason\": \"a\"}");
    assert_problem(bench, 400, "Idempotency-Key");
    assert_int_equal(bench->fake.asked, 0);
}

static void rollout_verbs_take_no_body(void **state)
{
    struct admin_bench *bench = *state;
    static const char *const verbs[] = {"pause", "resume", "abort"};
    for (size_t i = 0; i < 3; i++) {
        char target[64] = "/api/v1/services/showcase/rollout/";
        strncat(target, verbs[i], 8);
        assert_int_equal(ask(bench, METHOD_POST, target, NULL), 200);
        assert_int_equal(strncmp(bench->fake.last, verbs[i], strlen(verbs[i])), 0);
        (void)ask_json(bench, METHOD_POST, target, "{\"x\":1}");
        assert_problem(bench, 422, "x");
        assert_int_equal(ask_json(bench, METHOD_POST, target, "{}"), 200);
    }
    (void)ask(bench, METHOD_POST, "/api/v1/services/other/rollout/pause", NULL);
    assert_problem(bench, 404, "service");
    (void)ask(bench, METHOD_POST, "/api/v1/services/showcase/rollout/leap", NULL);
    assert_problem(bench, 404, NULL);
}

static void promote_may_be_full(void **state)
{
    struct admin_bench *bench = *state;
    const char *target = "/api/v1/services/showcase/rollout/promote";
    assert_int_equal(ask(bench, METHOD_POST, target, NULL), 200);
    assert_int_equal(strncmp(bench->fake.last, "promote showcase", 16), 0);
    assert_null(strstr(bench->fake.last, "full"));
    assert_int_equal(ask_json(bench, METHOD_POST, target, "{\"full\":true}"), 200);
    assert_non_null(strstr(bench->fake.last, "full"));
    (void)ask_json(bench, METHOD_POST, target, "{\"full\":\"yes\"}");
    assert_problem(bench, 422, "full");
    with(bench, "If-Match", "\"6\"");
    (void)ask(bench, METHOD_POST, target, NULL);
    assert_problem(bench, 412, "If-Match");
}

static void release_says_why(void **state)
{
    struct admin_bench *bench = *state;
    const char *target = "/api/v1/services/showcase/quarantine/d7%20a/release";
    assert_int_equal(ask_json(bench, METHOD_POST, target, "{\"reason\":\"mended\"}"), 200);
    assert_string_equal(bench->fake.last, "release showcase/d7 a 'mended' by local");
}

static void failed_build_says_what_it_believes_to_be_live(void **state)
{
    struct admin_bench *bench = *state;
    bench->fake.result = ADMIN_ACCEPTED;
    assert_int_equal(ask_json(bench, METHOD_POST, BUILD, "{\"reason\": \"npm: 1\"}"), 202);
    assert_string_equal(bench->fake.last, "build showcase 'npm: 1' of - expects - key=-");
    with(bench, "Idempotency-Key", "k1");
    (void)ask_json(bench, METHOD_POST, BUILD,
                   "{\"reason\": \"a\", \"deployment\": \"c0\", \"expect_current\": \"d7\","
                   " \"mode\": \"instant\"}");
    assert_string_equal(bench->fake.last, "build showcase 'a' of c0 expects d7 instant key=k1");
}

static void failed_build_that_guards_nothing_is_refused(void **state)
{
    struct admin_bench *bench = *state;
    char body[512];
    (void)ask_json(bench, METHOD_POST, BUILD, "{}");
    assert_problem(bench, 422, "reason");
    (void)ask_json(bench, METHOD_POST, BUILD, "{\"reason\": \"a\", \"expect_current\": \"\"}");
    assert_problem(bench, 422, "expect_current");
    (void)snprintf(body, sizeof body, "{\"reason\": \"a\", \"deployment\": \"%0129d\"}", 0);
    (void)ask_json(bench, METHOD_POST, BUILD, body);
    assert_problem(bench, 422, "deployment");
    (void)ask_json(bench, METHOD_POST, BUILD, "{\"reason\": \"a\", \"mode\": \"slow\"}");
    assert_problem(bench, 422, "mode");
    assert_string_equal(bench->fake.last, "");
}

static void configuration_is_checked_as_text_or_in_place(void **state)
{
    struct admin_bench *bench = *state;
    assert_int_equal(ask(bench, METHOD_POST, "/api/v1/config:check", NULL), 200);
    assert_string_equal(bench->fake.last, "check 0");
    with(bench, "Content-Type", "application/yaml");
    assert_int_equal(ask(bench, METHOD_POST, "/api/v1/config:check", "workers: 1\n"), 200);
    assert_string_equal(bench->fake.last, "check 11");
    with(bench, "Content-Type", "application/yaml");
    (void)ask(bench, METHOD_POST, "/api/v1/config:check", "!bad");
    assert_problem(bench, 422, NULL);
    assert_non_null(strstr(bench->body, "\"errors\":[\"f.yaml:1:1: no\",\"f.yaml:2:3: no\"]"));
}

static void each_end_of_an_op_has_its_status(void **state)
{
    struct admin_bench *bench = *state;
    static const struct {
        enum admin_result result;
        unsigned status;
    } cases[] = {{ADMIN_UNKNOWN, 404},   {ADMIN_CONFLICT, 409},    {ADMIN_STALE, 412},
                 {ADMIN_INVALID, 422},   {ADMIN_QUARANTINED, 422}, {ADMIN_KEY_MISUSED, 422},
                 {ADMIN_NO_TARGET, 422}, {ADMIN_FAILED, 500},      {ADMIN_UNAVAILABLE, 503},
                 {ADMIN_BUSY, 503}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench->fake.result = cases[i].result;
        (void)ask(bench, METHOD_POST, "/api/v1/reload", NULL);
        assert_problem(bench, cases[i].status, "service");
    }
}

static void late_answer_reaches_its_client(void **state)
{
    struct admin_bench *bench = *state;
    bench->fake.is_late = true;
    assert_int_equal(ask_json(bench, METHOD_PUT, WEIGHT, "{\"current\": 1}"), 0);
    assert_int_equal(admin_call_count(bench->admin), 1);
    fake_answer(bench);
    assert_int_equal(bench->status, 200);
    assert_int_equal(admin_call_count(bench->admin), 0);
}

static void client_that_left_is_not_answered(void **state)
{
    struct admin_bench *bench = *state;
    bench->fake.is_late = true;
    assert_int_equal(ask_json(bench, METHOD_PUT, WEIGHT, "{\"current\": 1}"), 0);
    admin_abandon(bench->fake.kept);
    fake_answer(bench);
    assert_int_equal(bench->answers, 0);
    assert_int_equal(admin_call_count(bench->admin), 0);
}

static void rollout_is_started_with_all_that_it_takes(void **state)
{
    struct admin_bench *bench = *state;
    bench->fake.result = ADMIN_ACCEPTED;
    assert_int_equal(ask_json(bench, METHOD_POST, ROLLOUT, "{\"url\": \"http://a\"}"), 202);
    assert_string_equal(bench->fake.last, "start showcase - url=http://a key=- rev=-1 by local");
    assert_string_equal(bench->etag, "\"7\"");
    with(bench, "Idempotency-Key", "k1");
    with(bench, "If-Match", "\"7\"");
    assert_int_equal(
        ask_json(bench, METHOD_POST, ROLLOUT,
                 "{\"deployment\": \"v2\", \"endpoints\": [\"http://a\", \"http://b\"],"
                 " \"steps\": [\"0.5%\", \"pause\", 12.5, \"100%\"]}"),
        202);
    assert_string_equal(
        bench->fake.last,
        "start showcase v2 endpoints=http://a,http://b 5000 -1 125000 1000000 key=k1 rev=7 by "
        "local");
}

static void start_that_cannot_be_read_names_its_field(void **state)
{
    struct admin_bench *bench = *state;
    static const struct {
        const char *body;
        const char *field;
    } cases[] = {
        {"{}", "url"},
        {"{\"url\": 1}", "url"},
        {"{\"url\": \"\"}", "url"},
        {"{\"url\": \"http://a\", \"endpoints\": [\"http://a\"]}", "url"},
        {"{\"endpoints\": []}", "endpoints"},
        {"{\"endpoints\": [1]}", "endpoints"},
        {"{\"endpoints\": \"http://a\"}", "endpoints"},
        {"{\"url\": \"http://a\", \"steps\": []}", "steps"},
        {"{\"url\": \"http://a\", \"steps\": [\"5\"]}", "steps"},
        {"{\"url\": \"http://a\", \"steps\": [0]}", "steps"},
        {"{\"url\": \"http://a\", \"steps\": [101]}", "steps"},
        {"{\"url\": \"http://a\", \"steps\": [1e300]}", "steps"},
        {"{\"url\": \"http://a\", \"steps\": [null]}", "steps"},
        {"{\"url\": \"http://a\", \"deployment\": 7}", "deployment"},
        {"{\"url\": \"http://a\", \"weight\": 7}", "weight"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)ask_json(bench, METHOD_POST, ROLLOUT, cases[i].body);
        assert_problem(bench, 422, cases[i].field);
    }
    with(bench, "If-Match", "\"6\"");
    (void)ask_json(bench, METHOD_POST, ROLLOUT, "{\"url\": \"http://a\"}");
    assert_problem(bench, 412, "If-Match");
    assert_int_equal(bench->fake.asked, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(weight_is_set_in_percent),
        TEST(weight_out_of_range_names_its_field),
        TEST(stale_revision_is_refused_before_anything_happens),
        TEST(bodies_are_read_strictly),
        TEST(body_must_say_that_it_is_json),
        TEST(large_body_is_refused),
        TEST(rollback_is_accepted_with_its_record),
        TEST(drill_is_accepted_and_says_nothing_else),
        TEST(rollback_needs_a_reason_on_one_line),
        TEST(rollout_verbs_take_no_body),
        TEST(promote_may_be_full),
        TEST(release_says_why),
        TEST(failed_build_says_what_it_believes_to_be_live),
        TEST(failed_build_that_guards_nothing_is_refused),
        TEST(configuration_is_checked_as_text_or_in_place),
        TEST(each_end_of_an_op_has_its_status),
        TEST(late_answer_reaches_its_client),
        TEST(client_that_left_is_not_answered),
        TEST(rollout_is_started_with_all_that_it_takes),
        TEST(start_that_cannot_be_read_names_its_field),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A build that failed takes a deployment back only while it is the canary in use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/controller/controller_bench.h"

#define SHOP                                                                                       \
    "  - name: shop\n"                                                                             \
    "    previous: {deployment: s1, endpoints: ['http://127.0.0.1:1']}\n"                          \
    "    current: {deployment: c1, endpoints: ['http://127.0.0.1:2']}\n"                           \
    "    weight: 10%\n"
#define ALONE                                                                                      \
    "  - name: shop\n"                                                                             \
    "    previous: {deployment: s1, endpoints: ['http://127.0.0.1:1']}\n"
#define BUILD "/api/v1/services/shop/build-failures"

static int open_bench(void **state)
{
    static struct bench bench;
    bench_open(&bench);
    bench_configure(&bench, "", SHOP);
    *state = &bench;
    return 0;
}

static int close_bench(void **state)
{
    bench_close(*state);
    return 0;
}

static void assert_text(const struct answer *answer, const char *name, const char *wanted)
{
    const char *text = json_string_value(json_object_get(answer->body, name));
    assert_non_null(text);
    assert_string_equal(text, wanted);
}

static bool is_alerted(struct bench *bench, const char *deployment)
{
    return alerts_is_active(bench->controller->alerts,
                            &(struct event_facts){.name = "SerinBuildFailed",
                                                  .service = "shop",
                                                  .deployment = deployment});
}

/* Asks, and finds everything as it was but for one more record. */
static void assert_only_recorded(struct bench *bench, const char *body, const char *deployment)
{
    const struct steward *steward = bench_steward(bench, "shop");
    uint32_t weight_ppm = steward->engine.rollout.weight_ppm;
    enum rollout_phase phase = steward->engine.rollout.phase;
    struct answer answer = bench_ask(bench, METHOD_POST, BUILD, body, NULL);
    assert_int_equal(answer.status, 200);
    assert_text(&answer, "trigger", "build");
    assert_text(&answer, "status", "dry_run");
    assert_text(&answer, "deployment", deployment);
    assert_int_equal(steward->engine.rollout.weight_ppm, weight_ppm);
    assert_int_equal(steward->engine.rollout.phase, phase);
    bench_forget(&answer);
}

static void failed_build_of_the_canary_in_use_is_rolled_back(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    struct answer answer =
        bench_ask(bench, METHOD_POST, BUILD,
                  "{\"reason\":\"smoke: 1\",\"expect_current\":\"c1\",\"mode\":\"instant\"}", NULL);
    assert_int_equal(answer.status, 202);
    assert_text(&answer, "trigger", "build");
    assert_text(&answer, "status", "in_progress");
    assert_text(&answer, "reason", "smoke: 1");
    bench_forget(&answer);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 0);
    assert_true(bench_steward(bench, "shop")->engine.rollout.is_quarantined);
    assert_false(is_alerted(bench, "c1"));
    assert_only_recorded(bench, "{\"reason\":\"again\",\"expect_current\":\"c1\"}", "c1");
}

static void failed_build_of_anything_else_is_recorded_and_told(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    assert_only_recorded(bench, "{\"reason\":\"npm: 1\"}", "-");
    assert_only_recorded(bench, "{\"reason\":\"npm: 1\",\"deployment\":\"c1\"}", "c1");
    assert_only_recorded(bench, "{\"reason\":\"npm: 1\",\"expect_current\":\"s1\"}", "s1");
    assert_only_recorded(bench, "{\"reason\":\"npm: 1\",\"expect_current\":\"c2\"}", "c2");
    assert_true(is_alerted(bench, "c2"));
    bench_set_weight(bench, "0");
    assert_only_recorded(bench, "{\"reason\":\"npm: 1\",\"expect_current\":\"c1\"}", "c1");
    bench_stop(bench);
    char text[256];
    bench_look_up(bench, "SELECT count(*) FROM rollback WHERE trigger_kind = 'build'", text);
    assert_string_equal(text, "5");
    bench_look_up(bench, "SELECT count(*) FROM audit WHERE action = 'build.failure'", text);
    assert_string_equal(text, "5");
}

static void service_without_a_canary_records_it_too(void **state)
{
    struct bench *bench = *state;
    bench_configure(bench, "", ALONE);
    assert_int_equal(bench_start(bench), OK);
    assert_only_recorded(bench, "{\"reason\":\"npm: 1\",\"expect_current\":\"c1\"}", "c1");
    assert_int_equal(bench_status(bench, METHOD_POST, "/api/v1/services/none/build-failures",
                                  "{\"reason\":\"npm: 1\"}"),
                     404);
}

static void alert_ends_with_another_deployment(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    assert_only_recorded(bench, "{\"reason\":\"npm: 1\",\"deployment\":\"c0ffee\"}", "c0ffee");
    controller_alarm_tick(bench->controller);
    assert_true(is_alerted(bench, "c0ffee"));
    bench_reload(bench, "  - name: shop\n"
                        "    previous: {deployment: s1, endpoints: ['http://127.0.0.1:1']}\n"
                        "    current: {deployment: c2, endpoints: ['http://127.0.0.1:2']}\n"
                        "    weight: 10%\n");
    controller_alarm_tick(bench->controller);
    assert_false(is_alerted(bench, "c0ffee"));
}

static void fail_alone(struct bench *bench, const struct admin_rollback *failure)
{
    loop_enter(&bench->loop);
    controller_build_failed(bench->controller, bench_steward(bench, "shop"), failure);
    loop_leave(&bench->loop);
}

/* What the watch sees: nobody waits for an answer. */
static void of_a_long_log_the_end_is_kept(void **state)
{
    enum { SIZE = 3 * BUILD_LOG_MAX, LINE = 64 };
    struct bench *bench = *state;
    static char log[SIZE];
    char text[256];
    memset(log, 'x', sizeof log);
    for (size_t i = LINE - 1; i < SIZE; i += LINE) {
        log[i] = '\n';
    }
    memcpy(log + SIZE - 9, "\xff the end", 9);
    assert_int_equal(bench_start(bench), OK);
    fail_alone(bench, &(struct admin_rollback){.service = "shop",
                                               .reason = "the build failed",
                                               .is_build = true,
                                               .deployment = "c9",
                                               .expect_current = "c9",
                                               .build_log = bytes_make(log, SIZE),
                                               .actor = "watch"});
    assert_true(is_alerted(bench, "c9"));
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 100000);
    bench_stop(bench);
    bench_look_up(bench, "SELECT length(evidence ->> 'build_log') FROM rollback", text);
    long kept = strtol(text, NULL, 10);
    assert_true(kept >= BUILD_LOG_MAX - LINE);
    assert_true(kept <= BUILD_LOG_MAX);
    bench_look_up(bench, "SELECT substr(evidence ->> 'build_log', -7) FROM rollback", text);
    assert_string_equal(text, "the end");
}

static void watch_sees(struct bench *bench, const char *deployment)
{
    fail_alone(bench, &(struct admin_rollback){.service = "shop",
                                               .reason = "the build failed in stage build",
                                               .is_build = true,
                                               .deployment = deployment,
                                               .expect_current = deployment,
                                               .build_log = BYTES("npm ERR!\n"),
                                               .actor = "watch"});
}

static void assert_counts(struct bench *bench, const char *records, const char *rows)
{
    char text[256];
    bench_stop(bench);
    bench_look_up(bench, "SELECT count(*) FROM rollback WHERE trigger_kind = 'build'", text);
    assert_string_equal(text, records);
    bench_look_up(bench, "SELECT count(*) FROM audit WHERE action = 'build.failure'", text);
    assert_string_equal(text, rows);
}

/* A guard around the command says it, and the watch of the platform sees it: one build. */
static void build_that_two_report_has_one_record(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    assert_only_recorded(bench, "{\"reason\":\"npm: 1\",\"deployment\":\"c0ffee12\"}", "c0ffee12");
    watch_sees(bench, "c0ffee12-0000-4000-8000-000000000001");
    watch_sees(bench, "c0ffee99");
    assert_only_recorded(bench, "{\"reason\":\"npm: 1\",\"deployment\":\"c0ffee99\"}", "c0ffee99");
    assert_counts(bench, "2", "4");
}

static void build_that_rolled_back_is_not_recorded_as_one_that_did_not(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    struct answer answer = bench_ask(bench, METHOD_POST, BUILD,
                                     "{\"reason\":\"smoke: 1\",\"expect_current\":\"c1\"}", NULL);
    assert_int_equal(answer.status, 202);
    bench_forget(&answer);
    watch_sees(bench, "c1");
    assert_false(is_alerted(bench, "c1"));
    assert_counts(bench, "1", "1");
}

static void log_of_a_build_in_use_is_in_the_trail(void **state)
{
    struct bench *bench = *state;
    char text[256];
    assert_int_equal(bench_start(bench), OK);
    struct admin_rollback failure = {.service = "shop",
                                     .reason = "the build failed",
                                     .is_build = true,
                                     .deployment = "c1",
                                     .expect_current = "c1",
                                     .build_log = BYTES("npm ERR!\n"),
                                     .actor = "watch"};
    fail_alone(bench, &failure);
    assert_int_equal(bench_steward(bench, "shop")->engine.rollout.record.trigger, RECORD_BUILD);
    assert_true(bench_steward(bench, "shop")->engine.rollout.is_quarantined);
    fail_alone(bench, &failure); /* on its way back: only recorded */
    bench_stop(bench);
    bench_look_up(bench, "SELECT detail ->> 'build_log' FROM audit WHERE action = 'build.log'",
                  text);
    assert_string_equal(text, "npm ERR!\n");
    bench_look_up(bench, "SELECT count(*) FROM rollback WHERE trigger_kind = 'build'", text);
    assert_string_equal(text, "2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)
        TEST(failed_build_of_the_canary_in_use_is_rolled_back),
        TEST(failed_build_of_anything_else_is_recorded_and_told),
        TEST(service_without_a_canary_records_it_too),
        TEST(alert_ends_with_another_deployment),
        TEST(of_a_long_log_the_end_is_kept),
        TEST(build_that_two_report_has_one_record),
        TEST(build_that_rolled_back_is_not_recorded_as_one_that_did_not),
        TEST(log_of_a_build_in_use_is_in_the_trail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What the demo reads from the admin API, tells of it, and reports at the end. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "canary/cli/demo_proxy.h"
#include "canary/cli/demo_report.h"
#include "canary/cli/demo_seen.h"
#include "canary/cli/demo_story.h"
#include "conf/conf_load.h"
#include "proxy/base/check.h"

enum { OUT_MAX = 64 * 1024 };

static const char SERVICE[] =
    "{\"name\":\"demo\",\"phase\":\"idle\",\"revision\":1,\"weight\":{\"set\":10.0,\"realised\":"
    "null},"
    "\"verdict\":\"ok\",\"reason\":null,\"sentence\":\"all is "
    "well\",\"step\":0,\"contained\":false,"
    "\"current\":{\"deployment\":\"v2\",\"url\":\"http://127.0.0.1:2\",\"requests\":40,"
    "\"failures\":3,\"client_bad\":2,\"in_flight\":0},"
    "\"previous\":{\"deployment\":\"v1\",\"url\":\"http://127.0.0.1:1\",\"requests\":360,"
    "\"failures\":0,\"client_bad\":0,\"in_flight\":1},\"tomorrow\":[1,2]}";

static const char ROLLBACKS[] =
    "{\"rollbacks\":[{\"id\":\"rb-1\",\"service\":\"demo\",\"timestamp\":\"2026-11-23T06:00:00."
    "000Z\","
    "\"deployment\":\"v2\",\"target\":\"v1\",\"reason\":\"too many "
    "failed\",\"reason_code\":\"absolute\","
    "\"trigger\":\"error_rate\",\"actor\":\"judge\",\"mode\":\"gradual\",\"duration_s\":9.5,"
    "\"status\":\"success\",\"phases\":{\"detect_s\":0.8,\"decide_s\":0.8,\"shift_s\":6.5,"
    "\"drain_s\":6.6,\"platform_ack_s\":null,\"verify_s\":9.5},"
    "\"bad_responses\":{\"origin\":7,\"client\":6},\"evidence\":{},\"incident\":null},"
    "{\"id\":\"rb-0\"}]}";

static struct demo_seen seen_in(const char *phase, double weight_percent)
{
    struct demo_seen seen;
    assert_int_equal(demo_seen_read(bytes_of(SERVICE), &seen), OK);
    (void)snprintf(seen.phase, sizeof seen.phase, "%s", phase);
    seen.weight_percent = weight_percent;
    return seen;
}

static void service_is_read(void **state)
{
    (void)state;
    struct demo_seen seen = seen_in("idle", 10.0);
    assert_string_equal(seen.verdict, "ok");
    assert_string_equal(seen.reason, "");
    assert_string_equal(seen.sentence, "all is well");
    assert_string_equal(seen.versions[ROLE_CURRENT].deployment, "v2");
    assert_int_equal(seen.versions[ROLE_CURRENT].requests, 40);
    assert_int_equal(seen.versions[ROLE_CURRENT].failures, 3);
    assert_int_equal(seen.versions[ROLE_CURRENT].client_bad, 2);
    assert_int_equal(seen.versions[ROLE_PREVIOUS].requests, 360);
}

static void what_is_no_service_is_refused(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {"",
                                        "{",
                                        "[]",
                                        "null",
                                        "{\"phase\":\"idle\"}",
                                        "{\"phase\":1,\"weight\":{\"set\":1}}",
                                        "{\"phase\":\"idle\",\"weight\":{\"set\":\"10\"}}",
                                        "{\"status\":503,\"title\":\"Service Unavailable\"}"};
    for (size_t i = 0; i < COUNT_OF(TEXTS); i++) {
        struct demo_seen seen = {.weight_percent = -1.0};
        assert_int_equal(demo_seen_read(bytes_of(TEXTS[i]), &seen), ERR_SYNTAX);
        assert_float_equal(seen.weight_percent, -1.0, 0.0);
    }
}

static void newest_record_is_read(void **state)
{
    (void)state;
    struct demo_record record;
    assert_int_equal(demo_record_read(bytes_of(ROLLBACKS), &record), OK);
    assert_string_equal(record.id, "rb-1");
    assert_string_equal(record.status, "success");
    assert_true(demo_record_is_over(&record));
    assert_float_equal(record.phases[0].seconds, 0.8, 1e-9);
    assert_string_equal(record.phases[4].name, "platform_ack");
    assert_true(isnan(record.phases[4].seconds));
    assert_int_equal(record.bad_origin, 7);
    assert_int_equal(record.bad_client, 6);
}

static void record_under_way_or_missing_is_not_over(void **state)
{
    (void)state;
    struct demo_record record;
    assert_int_equal(demo_record_read(BYTES("{\"rollbacks\":[]}"), &record), ERR_NOT_FOUND);
    assert_int_equal(demo_record_read(BYTES("{\"rollbacks\":{}}"), &record), ERR_SYNTAX);
    assert_int_equal(demo_record_read(BYTES("no"), &record), ERR_SYNTAX);
    struct bytes running = BYTES("{\"rollbacks\":[{\"status\":\"in_progress\"}]}");
    assert_int_equal(demo_record_read(running, &record), OK);
    assert_false(demo_record_is_over(&record));
    assert_int_equal(demo_record_read(BYTES("{\"rollbacks\":[{}]}"), &record), OK);
    assert_false(demo_record_is_over(&record));
}

static void rates_are_those_of_the_last_second(void **state)
{
    (void)state;
    struct demo_rates rates = {0};
    struct demo_seen seen = seen_in("idle", 10.0);
    assert_float_equal(demo_rates_of(&rates, ROLE_CURRENT).requests_per_s, 0.0, 0.0);
    for (int tick = 0; tick < 50; tick++) {
        /* First 100 a second, from the third second on 20, one in ten failed. */
        seen.versions[ROLE_CURRENT].requests += tick < 30 ? 10 : 2;
        seen.versions[ROLE_CURRENT].failures += tick % 5 == 0;
        demo_rates_add(&rates, &seen, tick * 0.1);
    }
    struct demo_rate rate = demo_rates_of(&rates, ROLE_CURRENT);
    assert_float_equal(rate.requests_per_s, 20.0, 0.5);
    assert_float_equal(rate.failures_per_s, 2.0, 0.5);
    assert_float_equal(demo_rates_of(&rates, ROLE_PREVIOUS).requests_per_s, 0.0, 0.0);
}

static void expect_story(const struct demo_seen *before, const struct demo_seen *now,
                         const char *const *texts, size_t count)
{
    struct demo_events events = {0};
    assert_int_equal(demo_story_follow(before, now, 1.5, &events), count);
    assert_int_equal(events.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(events.list[i].text.text, texts[i]);
    }
}

static void each_change_is_told_once(void **state)
{
    (void)state;
    struct demo_seen idle = seen_in("idle", 10.0);
    struct demo_seen shifting = seen_in("shifting_back", 5.0);
    struct demo_seen lower = seen_in("shifting_back", 2.5);
    struct demo_seen verifying = seen_in("verifying", 0.0);
    struct demo_seen done = seen_in("rolled_back", 0.0);
    struct demo_seen failed = seen_in("rollback_failed", 0.0);
    expect_story(&idle, &idle, NULL, 0);
    expect_story(
        &idle, &shifting,
        (const char *[]){"detected: all is well", "v2 now gets 5 % of the requests, v1 95 %"}, 2);
    expect_story(&shifting, &lower,
                 (const char *[]){"v2 now gets 2.5 % of the requests, v1 97.5 %"}, 1);
    expect_story(&lower, &verifying,
                 (const char *[]){"v2 now gets 0 % of the requests, v1 100 %",
                                  "all traffic is back on v1; verifying that it is well"},
                 2);
    expect_story(&verifying, &done, (const char *[]){"rolled back: v1 is confirmed to serve well"},
                 1);
    expect_story(&verifying, &failed, (const char *[]){"v1 could not be confirmed to serve well"},
                 1);
    assert_false(demo_story_is_over(&verifying));
    assert_true(demo_story_is_over(&done));
    assert_true(demo_story_is_over(&failed));
}

static void steps_that_were_missed_are_told_together(void **state)
{
    (void)state;
    struct demo_seen idle = seen_in("idle", 10.0);
    struct demo_seen verifying = seen_in("verifying", 0.0);
    struct demo_seen done = seen_in("rolled_back", 0.0);
    struct demo_events events = {0};
    assert_int_equal(demo_story_follow(&idle, &verifying, 1.0, &events), 3);
    assert_int_equal(demo_story_follow(&idle, &done, 1.0, &events), 3);
}

static void oldest_event_makes_room(void **state)
{
    (void)state;
    struct demo_events events = {0};
    for (int i = 0; i <= DEMO_EVENTS_MAX; i++) {
        demo_events_add(&events, i, false, "event %d", i);
    }
    assert_int_equal(events.count, DEMO_EVENTS_MAX);
    assert_string_equal(events.list[0].text.text, "event 1");
}

static void report_has_times_by_phase_and_compares_counts(void **state)
{
    (void)state;
    struct demo_record record;
    assert_int_equal(demo_record_read(bytes_of(ROLLBACKS), &record), OK);
    struct demo_load_counts clients = {.answered = 2999, .bad = 6, .lost = 1};
    struct buf out;
    buf_init(&out, OUT_MAX);
    demo_report_text(&record, &clients, &out);
    static const char EXPECTED[] =
        "Rollback rb-1\n"
        "  v2 -> v1: success (gradual, trigger error_rate, by judge)\n"
        "  too many failed\n"
        "  from the first bad response to the end of each phase:\n"
        "    detect          0.80 s\n"
        "    decide          0.80 s\n"
        "    shift           6.50 s\n"
        "    drain           6.60 s\n"
        "    platform_ack       -\n"
        "    verify          9.50 s\n"
        "    duration        9.50 s\n"
        "  bad responses: 7 from the canary, 6 seen by clients (the others were rescued: asked of "
        "the "
        "stable version in time)\n"
        "  the clients themselves counted 6 bad of 3000 answers: the same number\n";
    assert_int_equal(buf_size(&out), sizeof EXPECTED - 1);
    assert_memory_equal(buf_bytes(&out).data, EXPECTED, sizeof EXPECTED - 1);
    buf_finish(&out);
}

static void json_report_is_the_record_and_the_clients(void **state)
{
    (void)state;
    struct demo_load_counts clients = {.answered = 2999, .bad = 6, .lost = 1};
    struct buf out;
    buf_init(&out, OUT_MAX);
    assert_int_equal(demo_report_json(bytes_of(ROLLBACKS), &clients, &out), OK);
    assert_int_equal(buf_append_byte(&out, '\0'), OK);
    const char *text = buf_bytes(&out).data;
    assert_non_null(strstr(text, "\"id\": \"rb-1\""));
    assert_null(strstr(text, "rb-0"));
    assert_non_null(strstr(text, "\"answered\": 2999"));
    buf_clear(&out);
    assert_int_equal(demo_report_json(BYTES("{\"rollbacks\":[]}"), &clients, &out), ERR_SYNTAX);
    assert_int_equal(buf_size(&out), 0);
    buf_finish(&out);
}

static void configuration_of_the_proxy_is_one_that_loads(void **state)
{
    (void)state;
    struct demo_proxy_options options = {
        .stable_port = 40001,
        .canary_port = 40002,
        .stable_name = "v1",
        .canary_name = "v2",
        .weight_percent = 10.0,
        .every_ms = 500,
    };
    struct buf text;
    buf_init(&text, OUT_MAX);
    const char *folder = "/tmp/a \"folder\": #1";
    assert_int_equal(demo_proxy_configure(&options, folder, 40003, 40004, &text), OK);
    struct conf_errors errors;
    struct conf *conf = NULL;
    conf_errors_init(&errors);
    enum err err = conf_load_memory("demo.yaml", buf_bytes(&text), &errors, &conf);
    if (err != OK) {
        conf_errors_print(&errors, stderr);
    }
    assert_int_equal(err, OK);
    assert_int_equal(conf->service_count, 1);
    assert_string_equal(conf->services[0].name, DEMO_SERVICE);
    assert_int_equal(conf->services[0].weight_ppm, 100000);
    assert_int_equal(conf->services[0].rollback.every_us, 500000);
    conf_destroy(conf);
    conf_errors_finish(&errors);
    buf_finish(&text);
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(service_is_read),
        cmocka_unit_test(what_is_no_service_is_refused),
        cmocka_unit_test(newest_record_is_read),
        cmocka_unit_test(record_under_way_or_missing_is_not_over),
        cmocka_unit_test(rates_are_those_of_the_last_second),
        cmocka_unit_test(each_change_is_told_once),
        cmocka_unit_test(steps_that_were_missed_are_told_together),
        cmocka_unit_test(oldest_event_makes_room),
        cmocka_unit_test(report_has_times_by_phase_and_compares_counts),
        cmocka_unit_test(json_report_is_the_record_and_the_clients),
        cmocka_unit_test(configuration_of_the_proxy_is_one_that_loads),
    };
    return cmocka_run_group_tests(TESTS, NULL, NULL);
}

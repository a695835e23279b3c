#include <math.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/unit/history/history_bench.h"

static int setup(void **state)
{
    struct bench *bench = malloc(sizeof *bench);
    bench_init(bench);
    bench_open(bench);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    bench_finish(*state);
    free(*state);
    return 0;
}

static struct history_state load(struct bench *bench)
{
    struct history_state state;
    assert_int_equal(history_load(bench->history, 1795412345678901, &state), OK);
    return state;
}

static void alert_is_kept_until_it_is_forgotten(void **state)
{
    struct bench *bench = *state;
    struct history_alert alerts[] = {{7, "{\"a\":1}"}, {5, "{}"}, {7, "{\"a\":2}"}};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(write_durably(bench, &(struct history_change){.alert = &alerts[i]}), OK);
    }
    bench_reopen(bench);
    struct history_state loaded = load(bench);
    assert_int_equal(loaded.alert_count, 2);
    assert_int_equal(loaded.alerts[0].seq, 5);
    assert_string_equal(loaded.alerts[1].body, "{\"a\":2}");
    history_state_finish(&loaded);
    struct history_alert gone = {7, NULL};
    assert_int_equal(write_durably(bench, &(struct history_change){.alert = &gone}), OK);
    bench_reopen(bench);
    loaded = load(bench);
    assert_int_equal(loaded.alert_count, 1);
    history_state_finish(&loaded);
}

static void platform_is_kept_until_it_is_forgotten(void **state)
{
    struct bench *bench = *state;
    struct history_platform platforms[] = {{.rollback = "rb-1", .body = "{\"a\":1}", .ack_s = NAN},
                                           {.rollback = "rb-2", .body = "{}", .ack_s = NAN},
                                           {.rollback = "rb-1", .body = "{\"a\":2}", .ack_s = NAN}};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(write_durably(bench, &(struct history_change){.platform = &platforms[i]}),
                         OK);
    }
    bench_reopen(bench);
    struct history_state loaded = load(bench);
    assert_int_equal(loaded.platform_count, 2);
    assert_string_equal(loaded.platforms[0].rollback, "rb-1");
    assert_string_equal(loaded.platforms[0].body, "{\"a\":2}");
    history_state_finish(&loaded);
    struct history_platform gone = {.rollback = "rb-1", .ack_s = NAN};
    assert_int_equal(write_durably(bench, &(struct history_change){.platform = &gone}), OK);
    bench_reopen(bench);
    loaded = load(bench);
    assert_int_equal(loaded.platform_count, 1);
    history_state_finish(&loaded);
}

static void what_was_watched_is_kept_until_it_is_forgotten(void **state)
{
    struct bench *bench = *state;
    struct history_watch watches[] = {{"shop", "{\"a\":1}"}, {"blog", "{}"}, {"shop", "{\"a\":2}"}};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(write_durably(bench, &(struct history_change){.watch = &watches[i]}), OK);
    }
    bench_reopen(bench);
    struct history_state loaded = load(bench);
    assert_int_equal(loaded.watch_count, 2);
    assert_string_equal(loaded.watches[1].service, "shop");
    assert_string_equal(loaded.watches[1].body, "{\"a\":2}");
    history_state_finish(&loaded);
    struct history_watch gone = {"shop", NULL};
    assert_int_equal(write_durably(bench, &(struct history_change){.watch = &gone}), OK);
    bench_reopen(bench);
    loaded = load(bench);
    assert_int_equal(loaded.watch_count, 1);
    history_state_finish(&loaded);
}

/* No engine holds that record any more: it ended in a process before. */
static void late_acknowledgement_reaches_the_record(void **state)
{
    struct bench *bench = *state;
    struct history_rollback row = {.id = "rb-1",
                                   .service = "shop",
                                   .at_us = 1,
                                   .deployment = "d",
                                   .target = "t",
                                   .reason = "r",
                                   .reason_code = "absolute",
                                   .trigger = "error_rate",
                                   .actor = "judge",
                                   .mode = "gradual",
                                   .status = "in_progress",
                                   .evidence = "{\"phi\":1,\"platform\":\"pending\"}",
                                   .duration_s = 3.5};
    for (size_t i = 0; i < HISTORY_PHASE_COUNT; i++) {
        row.phase_s[i] = NAN;
    }
    assert_int_equal(write_durably(bench, &(struct history_change){.rollback = &row}), OK);
    struct history_platform ack = {.rollback = "rb-1", .ack_s = 61.5, .state = "acknowledged"};
    assert_int_equal(write_durably(bench, &(struct history_change){.platform = &ack}), OK);
    ack.ack_s = 99;
    assert_int_equal(write_durably(bench, &(struct history_change){.platform = &ack}), OK);
    bench_reopen(bench);
    struct history_state loaded = load(bench);
    assert_int_equal(loaded.rollback_count, 1);
    assert_true(loaded.rollbacks[0].phase_s[HISTORY_PLATFORM_ACK] == 61.5);
    assert_true(loaded.rollbacks[0].duration_s == 61.5);
    assert_string_equal(loaded.rollbacks[0].evidence, "{\"phi\":1,\"platform\":\"acknowledged\"}");
    history_state_finish(&loaded);
}

static void empty_file_loads_as_nothing(void **state)
{
    struct history_state loaded = load(*state);
    assert_int_equal(loaded.service_count, 0);
    assert_int_equal(loaded.rollback_count, 0);
    history_state_finish(&loaded);
}

static void service_state_comes_back_after_a_restart(void **state)
{
    struct bench *bench = *state;
    struct history_service service = a_service("showcase", 125000);
    assert_int_equal(write_durably(bench, &(struct history_change){.service = &service}), OK);

    bench_reopen(bench);

    struct history_state loaded = load(bench);
    assert_int_equal(loaded.service_count, 1);
    const struct history_service *back = &loaded.services[0];
    assert_string_equal(back->name, "showcase");
    assert_string_equal(back->current_deployment, "d7a3f2b");
    assert_string_equal(back->previous_deployment, "9c2e1a4");
    assert_int_equal(back->weight_ppm, 125000);
    assert_string_equal(back->phase, "progressing");
    assert_int_equal(back->revision, 12);
    assert_true(back->salt == 0xF000000000000001U);
    assert_int_equal(back->step, 2);
    assert_int_equal(back->updated_us, 1795412345678901);
    assert_string_equal(back->detail, "{\"steps\":[1,5]}");
    history_state_finish(&loaded);
}

static void newest_state_wins_whatever_waits_before_it(void **state)
{
    struct bench *bench = *state;
    for (uint32_t weight = 0; weight <= 1000; weight++) {
        struct history_service service = a_service("showcase", weight);
        assert_int_equal(history_write(bench->history,
                                       &(struct history_change){.service = &service}, HISTORY_SOON,
                                       NULL, NULL),
                         OK);
    }
    assert_true(history_stats(bench->history).queued <= 2);
    bench_reopen(bench);
    struct history_state loaded = load(bench);
    assert_int_equal(loaded.services[0].weight_ppm, 1000);
    history_state_finish(&loaded);
}

static void write_rollback(struct bench *bench, const char *id, const char *status)
{
    struct history_rollback row = a_rollback(id, status);
    assert_int_equal(write_durably(bench, &(struct history_change){.rollback = &row}), OK);
}

static void failed_rollback_is_found_while_its_service_tries_to_confirm_it(void **state)
{
    struct bench *bench = *state;
    struct history_service service = a_service("showcase", 0);
    service.phase = "rollback_failed";
    write_rollback(bench, "r1", "failed"); /* left for good, long ago */
    write_rollback(bench, "r2", "success");
    write_rollback(bench, "r3", "failed");
    write_rollback(bench, "r4", "dry_run");
    assert_int_equal(write_durably(bench, &(struct history_change){.service = &service}), OK);
    bench_reopen(bench);
    struct history_state loaded = load(bench);
    assert_int_equal(loaded.rollback_count, 1);
    assert_string_equal(loaded.rollbacks[0].id, "r3");
    history_state_finish(&loaded);
    service.phase = "idle";
    assert_int_equal(write_durably(bench, &(struct history_change){.service = &service}), OK);
    bench_reopen(bench);
    loaded = load(bench);
    assert_int_equal(loaded.rollback_count, 0);
    history_state_finish(&loaded);
}

static void rollback_in_progress_is_found_at_the_start_and_a_finished_one_is_not(void **state)
{
    struct bench *bench = *state;
    struct history_rollback running = a_rollback("r1", "in_progress");
    struct history_rollback finished = a_rollback("r2", "in_progress");
    assert_int_equal(write_durably(bench, &(struct history_change){.rollback = &running}), OK);
    assert_int_equal(write_durably(bench, &(struct history_change){.rollback = &finished}), OK);
    finished.status = "success";
    finished.duration_s = 6.5;
    assert_int_equal(write_durably(bench, &(struct history_change){.rollback = &finished}), OK);

    bench_reopen(bench);

    struct history_state loaded = load(bench);
    assert_int_equal(loaded.rollback_count, 1);
    assert_string_equal(loaded.rollbacks[0].id, "r1");
    assert_true(loaded.rollbacks[0].phase_s[HISTORY_DETECT] == 1.25);
    assert_true(loaded.rollbacks[0].duration_s != loaded.rollbacks[0].duration_s);
    history_state_finish(&loaded);
}

static void quarantine_lasts_until_it_is_released(void **state)
{
    struct bench *bench = *state;
    struct history_quarantine quarantine = {"showcase", "d7a3f2b", "it was rolled back", 5, false};
    assert_int_equal(write_durably(bench, &(struct history_change){.quarantine = &quarantine}), OK);
    bench_reopen(bench);
    struct history_state loaded = load(bench);
    assert_int_equal(loaded.quarantine_count, 1);
    assert_string_equal(loaded.quarantines[0].deployment, "d7a3f2b");
    history_state_finish(&loaded);

    quarantine.is_released = true;
    assert_int_equal(write_durably(bench, &(struct history_change){.quarantine = &quarantine}), OK);
    bench_reopen(bench);
    loaded = load(bench);
    assert_int_equal(loaded.quarantine_count, 0);
    history_state_finish(&loaded);
}

static void idempotency_key_comes_back_with_its_rollback(void **state)
{
    struct bench *bench = *state;
    struct history_rollback rollback = a_rollback("r1", "in_progress");
    struct history_key key = {"k-1", "f", "r1", 1795412345678901};
    assert_int_equal(
        write_durably(bench, &(struct history_change){.rollback = &rollback, .key = &key}), OK);
    bench_reopen(bench);
    struct history_state loaded = load(bench);
    assert_int_equal(loaded.key_count, 1);
    assert_string_equal(loaded.keys[0].rollback_id, "r1");
    history_state_finish(&loaded);
    int64_t next_day_us = 1795412345678901 + (int64_t)(HISTORY_KEY_LIFE_S + 1) * 1000000;
    assert_int_equal(history_load(bench->history, next_day_us, &loaded), OK);
    assert_int_equal(loaded.key_count, 0);
    history_state_finish(&loaded);
}

static void rollbacks_are_listed_newest_first_and_page_by_page(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < 7; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "r%d", i);
        struct history_rollback rollback = a_rollback(id, "success");
        rollback.service = i % 2 == 0 ? "even" : "odd";
        assert_int_equal(history_write(bench->history,
                                       &(struct history_change){.rollback = &rollback},
                                       HISTORY_SOON, NULL, NULL),
                         OK);
    }
    bench_settle(bench);
    struct history_query query = {.limit = 3, .before = "r5"};
    assert_int_equal(history_read_rollbacks(bench->history, &query, on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    assert_int_equal(json_array_size(bench->result), 3);
    assert_string_equal(json_string_value(json_object_get(json_array_get(bench->result, 0), "id")),
                        "r4");

    query = (struct history_query){.service = "odd"};
    assert_int_equal(history_read_rollbacks(bench->history, &query, on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    assert_int_equal(json_array_size(bench->result), 3);

    query = (struct history_query){.before = "no such"};
    assert_int_equal(history_read_rollbacks(bench->history, &query, on_read, bench), OK);
    assert_int_equal(wait_read(bench), ERR_NOT_FOUND);
    assert_null(bench->result);
}

static void record_is_shown_as_the_api_promises(void **state)
{
    struct bench *bench = *state;
    struct history_rollback rollback = a_rollback("r1", "in_progress");
    assert_int_equal(write_durably(bench, &(struct history_change){.rollback = &rollback}), OK);
    assert_int_equal(history_read_rollback(bench->history, "r1", on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    char *text = json_dumps(bench->result, JSON_COMPACT | JSON_REAL_PRECISION(6));
    assert_string_equal(
        text,
        "{\"id\":\"r1\",\"service\":\"showcase\",\"timestamp\":\"2026-11-23T05:39:05.678Z\","
        "\"deployment\":\"d7a3f2b\",\"target\":\"9c2e1a4\",\"reason\":\"34 of 120 answers "
        "failed.\","
        "\"reason_code\":\"absolute\",\"trigger\":\"error_rate\",\"actor\":\"judge\","
        "\"mode\":\"gradual\",\"duration_s\":null,\"status\":\"in_progress\",\"phases\":"
        "{\"detect_s\":1.25,\"decide_s\":null,\"shift_s\":null,\"drain_s\":null,"
        "\"platform_ack_s\":null,\"verify_s\":null},\"bad_responses\":{\"origin\":40,\"client\":3},"
        "\"evidence\":{\"log_e\":12.5},\"incident\":null}");
    free(text);
    assert_int_equal(history_read_rollback(bench->history, "r2", on_read, bench), OK);
    assert_int_equal(wait_read(bench), ERR_NOT_FOUND);
}

static void every_change_of_a_record_is_in_the_trail(void **state)
{
    struct bench *bench = *state;
    struct history_rollback rollback = a_rollback("r1", "in_progress");
    assert_int_equal(write_durably(bench, &(struct history_change){.rollback = &rollback}), OK);
    rollback.status = "success";
    assert_int_equal(write_durably(bench, &(struct history_change){.rollback = &rollback}), OK);
    struct history_query query = {0};
    assert_int_equal(history_read_audit(bench->history, &query, on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    assert_int_equal(json_array_size(bench->result), 2);
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(bench->result, 0), "action")),
        "rollback.success");
    assert_int_equal(intact_rows(bench), 2);
}

static void trail_refuses_to_be_changed(void **state)
{
    struct bench *bench = *state;
    struct history_audit audit = an_audit("weight.set", "{\"weight_ppm\":1}");
    assert_int_equal(write_durably(bench, &(struct history_change){.audit = &audit}), OK);
    sqlite3 *database = NULL;
    assert_int_equal(sqlite3_open(bench->path, &database), SQLITE_OK);
    const char *attacks[] = {
        "UPDATE audit SET actor='nobody'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit VALUES (1,0,'a','b',NULL,NULL,x'00',x'00')",
        "INSERT INTO audit VALUES (7,0,'a','b',NULL,NULL,x'00',x'00')",
    };
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        assert_int_equal(sqlite3_exec(database, attacks[i], NULL, NULL, NULL), SQLITE_CONSTRAINT);
    }
    (void)sqlite3_close(database);
    assert_int_equal(intact_rows(bench), 1);
}

static void expect_broken_at(struct bench *bench, long long first_bad)
{
    assert_int_equal(history_verify(bench->history, on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    assert_true(json_is_false(json_object_get(bench->result, "intact")));
    assert_int_equal(json_integer_value(json_object_get(bench->result, "first_bad")), first_bad);
}

static void write_trail(struct bench *bench, int count)
{
    for (int i = 0; i < count; i++) {
        struct history_audit audit = an_audit("weight.set", "{\"weight_ppm\":1}");
        assert_int_equal(write_durably(bench, &(struct history_change){.audit = &audit}), OK);
    }
    assert_int_equal(intact_rows(bench), count);
}

static void change_around_the_triggers_shows(void **state)
{
    struct bench *bench = *state;
    write_trail(bench, 5);
    tamper(bench, "DROP TRIGGER audit_is_not_updated;"
                  "UPDATE audit SET actor='somebody else' WHERE seq=3");
    expect_broken_at(bench, 3);
}

static void rows_cut_out_or_off_show(void **state)
{
    struct bench *bench = *state;
    write_trail(bench, 5);
    tamper(bench, "DROP TRIGGER audit_is_not_deleted; DELETE FROM audit WHERE seq=5");
    expect_broken_at(bench, 5);
    tamper(bench, "DELETE FROM audit WHERE seq=2");
    expect_broken_at(bench, 2);
}

static void hostile_texts_are_kept_as_data(void **state)
{
    struct bench *bench = *state;
    struct history_rollback rollback = a_rollback("r'; DROP TABLE audit;--", "success");
    rollback.reason = "<script>\"\\\x01\x7f \xff\xfe \xf0\x9f\x90\xa4";
    rollback.actor = "%s%n\r\n";
    rollback.evidence = "{not json";
    assert_int_equal(write_durably(bench, &(struct history_change){.rollback = &rollback}), OK);
    assert_int_equal(history_read_rollback(bench->history, rollback.id, on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    assert_string_equal(json_string_value(json_object_get(bench->result, "actor")), "%s%n\r\n");
    assert_string_equal(json_string_value(json_object_get(bench->result, "evidence")), "{not json");
    const char *reason = json_string_value(json_object_get(bench->result, "reason"));
    assert_non_null(strstr(reason, "\xef\xbf\xbd"));
    assert_non_null(strstr(reason, "\xf0\x9f\x90\xa4"));
    assert_int_equal(intact_rows(bench), 1);
}

static void long_texts_are_cut_at_a_character(void **state)
{
    struct bench *bench = *state;
    enum { LONG = 3 * HISTORY_DETAIL_MAX };
    char *text = malloc(LONG + 1);
    for (size_t i = 0; i < LONG; i += 3) {
        memcpy(text + i, "\xe2\x82\xac", 3);
    }
    text[LONG] = '\0';
    struct history_rollback rollback = a_rollback("r1", "success");
    rollback.reason = text;
    rollback.evidence = text;
    assert_int_equal(write_durably(bench, &(struct history_change){.rollback = &rollback}), OK);
    assert_int_equal(history_read_rollback(bench->history, "r1", on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    size_t size = json_string_length(json_object_get(bench->result, "reason"));
    assert_int_equal(size, HISTORY_TEXT_MAX - HISTORY_TEXT_MAX % 3);
    assert_true(json_is_object(json_object_get(bench->result, "evidence")));
    free(text);
}

static void every_part_may_be_as_long_as_any(void **state)
{
    struct bench *bench = *state;
    char *text = malloc(HISTORY_DETAIL_MAX + 1);
    memset(text, '1', HISTORY_DETAIL_MAX);
    text[HISTORY_DETAIL_MAX] = '\0';
    struct history_service service = a_service("showcase", 10);
    struct history_rollback rollback = a_rollback("r1", "success");
    struct history_audit audit = an_audit("weight.set", text);
    struct history_alert alert = {1, text};
    struct history_platform platform = {.rollback = "r1", .body = text};
    struct history_watch watch = {"showcase", text};
    service.detail = text;
    rollback.evidence = text;
    struct history_change change = {.service = &service,
                                    .rollback = &rollback,
                                    .alert = &alert,
                                    .platform = &platform,
                                    .watch = &watch,
                                    .audit = &audit};
    assert_int_equal(write_durably(bench, &change), OK);
    assert_int_equal(intact_rows(bench), 1);
    free(text);
}

static void refused_change_does_not_take_its_neighbours_with_it(void **state)
{
    struct bench *bench = *state;
    struct history_service good = a_service("good", 10);
    struct history_service bad = a_service("bad", 1000001);
    struct history_audit audit = an_audit("weight.set", NULL);
    assert_int_equal(history_write(bench->history, &(struct history_change){.service = &good},
                                   HISTORY_SOON, NULL, NULL),
                     OK);
    assert_int_equal(
        write_durably(bench, &(struct history_change){.service = &bad, .audit = &audit}),
        ERR_SYNTAX);
    bench_reopen(bench);
    struct history_state loaded = load(bench);
    assert_int_equal(loaded.service_count, 1);
    history_state_finish(&loaded);
    assert_int_equal(intact_rows(bench), 0);
}

static void export_holds_everything_and_never_overwrites(void **state)
{
    struct bench *bench = *state;
    struct history_rollback rollback = a_rollback("r1", "success");
    struct history_service service = a_service("showcase", 0);
    assert_int_equal(
        write_durably(bench, &(struct history_change){.rollback = &rollback, .service = &service}),
        OK);
    char path[128];
    (void)snprintf(path, sizeof path, "%s/export.jsonl", bench->folder);
    assert_int_equal(history_export(bench->history, path, on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    assert_int_equal(json_integer_value(json_object_get(bench->result, "rows")), 3);
    assert_int_equal(history_export(bench->history, path, on_read, bench), OK);
    assert_int_equal(wait_read(bench), ERR_EXISTS);
}

static void changes_that_wait_are_written_at_the_close(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < 1000; i++) {
        struct history_audit audit = an_audit("weight.set", NULL);
        assert_int_equal(history_write(bench->history, &(struct history_change){.audit = &audit},
                                       HISTORY_SOON, NULL, NULL),
                         OK);
    }
    bench_reopen(bench);
    assert_int_equal(intact_rows(bench), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(alert_is_kept_until_it_is_forgotten),
        TEST(platform_is_kept_until_it_is_forgotten),
        TEST(what_was_watched_is_kept_until_it_is_forgotten),
        TEST(late_acknowledgement_reaches_the_record),
        TEST(empty_file_loads_as_nothing),
        TEST(service_state_comes_back_after_a_restart),
        TEST(newest_state_wins_whatever_waits_before_it),
        TEST(failed_rollback_is_found_while_its_service_tries_to_confirm_it),
        TEST(rollback_in_progress_is_found_at_the_start_and_a_finished_one_is_not),
        TEST(quarantine_lasts_until_it_is_released),
        TEST(idempotency_key_comes_back_with_its_rollback),
        TEST(rollbacks_are_listed_newest_first_and_page_by_page),
        TEST(record_is_shown_as_the_api_promises),
        TEST(every_change_of_a_record_is_in_the_trail),
        TEST(trail_refuses_to_be_changed),
        TEST(change_around_the_triggers_shows),
        TEST(rows_cut_out_or_off_show),
        TEST(hostile_texts_are_kept_as_data),
        TEST(long_texts_are_cut_at_a_character),
        TEST(every_part_may_be_as_long_as_any),
        TEST(refused_change_does_not_take_its_neighbours_with_it),
        TEST(export_holds_everything_and_never_overwrites),
        TEST(changes_that_wait_are_written_at_the_close),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

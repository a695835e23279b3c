/* The flight recorder. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "canary/controller/recorder.h"
#include "proxy/base/check.h"
#include "tests/support/alloc_fail.h"

enum { TICK_US = 100000, HOUR_S = 3600 };

struct play {
    struct recorder *recorder;
    struct version_reading canary, stable;
    struct recorder_look look;
    struct buf text;
};

static int open_play(void **state)
{
    static struct play play;
    play = (struct play){.look = {.now_us = 5000000,
                                  .wall_us = INT64_C(1700000000000000),
                                  .current = "c1",
                                  .previous = "s1",
                                  .weight_ppm = 100000,
                                  .is_landed = true}};
    play.look.canary = &play.canary;
    play.look.stable = &play.stable;
    assert_int_equal(
        recorder_create(UINT64_C(6) * HOUR_S * 1000000, RECORDER_SIZE_MIN, &play.recorder), OK);
    buf_init(&play.text, 16 * 1024 * 1024);
    *state = &play;
    return 0;
}

static int close_play(void **state)
{
    struct play *play = *state;
    recorder_destroy(play->recorder);
    buf_finish(&play->text);
    return 0;
}

static void tick(struct play *play)
{
    recorder_look(play->recorder, &play->look);
    play->look.now_us += TICK_US;
    play->look.wall_us += TICK_US;
}

static void run(struct play *play, unsigned ticks)
{
    for (unsigned i = 0; i < ticks; i++) {
        tick(play);
    }
}

/* All rows above `after`. */
static json_t *rows_after(struct play *play, uint64_t after)
{
    size_t count = 0;
    json_t *rows = json_array();
    buf_clear(&play->text);
    (void)recorder_write(play->recorder, after, 100000, SIZE_MAX, &play->text, &count);
    struct bytes rest = buf_bytes(&play->text);
    struct bytes line;
    while (rest.size > 0 && bytes_next(&rest, '\n', &line)) {
        if (line.size > 0) {
            json_t *row = json_loadb(line.data, line.size, JSON_REJECT_DUPLICATES, NULL);
            assert_non_null(row);
            json_array_append_new(rows, row);
        }
    }
    assert_int_equal(json_array_size(rows), count);
    return rows;
}

static json_int_t number(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

static json_int_t count_at(const json_t *row, const char *name, size_t index)
{
    return json_integer_value(json_array_get(json_object_get(row, name), index));
}

static const char *word(const json_t *row, const char *name)
{
    return json_string_value(json_object_get(row, name));
}

static void row_comes_back_as_it_was(void **state)
{
    (void)state;
    static struct recording_row row;
    static struct recording_row back;
    static char bytes[RECORDING_ROW_MAX];
    memset(&row, 0, sizeof row);
    row.at_ms = UINT64_MAX;
    row.wall_ms = INT64_MIN;
    row.weight_ppm = 1000000;
    row.is_contained = true;
    row.phase = ROLLOUT_ROLLBACK_FAILED;
    row.verdict = JUDGE_HEALTHY;
    row.reason = JUDGE_REASON_HEALTH;
    row.mark = RECORDING_MARK_REBASE;
    row.canary =
        (struct recording_counts){UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    row.stable = row.canary;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        row.canary_latency.buckets[i] = UINT64_MAX;
        row.stable_latency.buckets[i] = UINT64_MAX;
    }
    memset(row.current, 'c', RECORDING_NAME_MAX);
    memset(row.previous, 'p', RECORDING_NAME_MAX);
    size_t size = recording_encode(&row, bytes);
    assert_true(size < RECORDING_ROW_MAX);
    recording_decode(bytes_make(bytes, size), &back);
    assert_memory_equal(&back, &row, sizeof row);
    struct recording_front front = recording_peek(bytes_make(bytes, RECORDING_FRONT_MAX));
    assert_true(front.wall_ms == INT64_MIN);
    assert_int_equal(front.mark, RECORDING_MARK_REBASE);
    struct buf text;
    buf_init(&text, RECORDING_LINE_MAX);
    recording_write(&row, &text);
    assert_false(text.is_failed);
    buf_finish(&text);
}

static void second_has_what_was_counted_in_it(void **state)
{
    struct play *play = *state;
    play->canary.ok = 1000; /* before it looked */
    play->stable.latency.buckets[3] = 77;
    tick(play);
    play->canary.ok += 8;
    play->canary.err += 3;
    play->canary.connect_err += 2;
    play->canary.not_found += 5;
    play->canary.client_bad += 1;
    play->stable.ok += 90;
    play->canary.latency.buckets[100] += 8;
    play->stable.latency.buckets[0] += 40;
    play->stable.latency.buckets[207] += 50;
    run(play, 10);
    play->stable.ok += 5;
    run(play, 10);
    json_t *rows = rows_after(play, 0);
    assert_int_equal(json_array_size(rows), 2);
    const json_t *row = json_array_get(rows, 0);
    assert_int_equal(number(row, "row"), 1);
    assert_int_equal(number(row, "ms"), 1000);
    assert_int_equal(number(row, "unix_ms"), 1700000001000);
    assert_int_equal(number(row, "weight_ppm"), 100000);
    assert_string_equal(word(row, "phase"), "idle");
    assert_int_equal(count_at(row, "canary", 0), 11);
    assert_int_equal(count_at(row, "canary", 1), 3);
    assert_int_equal(count_at(row, "canary", 2), 2);
    assert_int_equal(count_at(row, "canary", 3), 5);
    assert_int_equal(count_at(row, "canary", 4), 1);
    assert_int_equal(count_at(row, "stable", 0), 90);
    assert_int_equal(json_array_size(json_object_get(row, "stable_latency")), 4);
    assert_int_equal(count_at(row, "stable_latency", 2), 207);
    assert_int_equal(count_at(row, "stable_latency", 3), 50);
    assert_int_equal(count_at(row, "canary_latency", 0), 100);
    row = json_array_get(rows, 1);
    assert_int_equal(count_at(row, "stable", 0), 5);
    assert_int_equal(count_at(row, "canary", 0), 0);
    assert_null(json_object_get(row, "canary_latency"));
    json_decref(rows);
}

static void row_ends_where_weight_phase_or_verdict_change(void **state)
{
    struct play *play = *state;
    run(play, 4);
    play->canary.ok += 7;
    tick(play);
    play->look.weight_ppm = 50000;
    play->look.phase = ROLLOUT_SHIFTING_BACK;
    play->look.verdict = JUDGE_BREACH;
    play->look.reason = JUDGE_REASON_CONNECT;
    play->canary.ok += 9;
    run(play, 11);
    json_t *rows = rows_after(play, 0);
    assert_int_equal(json_array_size(rows), 2);
    const json_t *before = json_array_get(rows, 0);
    const json_t *after = json_array_get(rows, 1);
    assert_int_equal(number(before, "ms"), 400);
    assert_int_equal(number(before, "weight_ppm"), 100000);
    assert_int_equal(count_at(before, "canary", 0), 7);
    assert_string_equal(word(before, "verdict"), "insufficient_data");
    assert_int_equal(number(after, "ms"), 1400);
    assert_int_equal(number(after, "weight_ppm"), 50000);
    assert_int_equal(count_at(after, "canary", 0), 9);
    assert_string_equal(word(after, "phase"), "shifting_back");
    assert_string_equal(word(after, "verdict"), "breach");
    assert_string_equal(word(after, "reason"), "connect");
    json_decref(rows);
}

static void marks_end_rows_and_other_versions_begin_anew(void **state)
{
    struct play *play = *state;
    recorder_mark(play->recorder, RECORDING_MARK_START, "c1", "s1"); /* too early to matter */
    run(play, 3);
    play->canary.ok += 2;
    tick(play);
    recorder_mark(play->recorder, RECORDING_MARK_STEP, "c1", "s1");
    play->canary.ok += 3;
    tick(play);
    recorder_mark(play->recorder, RECORDING_MARK_REBASE, "c2", NULL);
    play->canary.ok = 5000; /* another version's, counted long ago */
    tick(play);
    play->canary.ok += 4;
    run(play, 10);
    json_t *rows = rows_after(play, 0);
    assert_int_equal(json_array_size(rows), 3);
    assert_string_equal(word(json_array_get(rows, 0), "mark"), "step");
    assert_int_equal(count_at(json_array_get(rows, 0), "canary", 0), 2);
    assert_string_equal(word(json_array_get(rows, 1), "mark"), "rebase");
    assert_string_equal(word(json_array_get(rows, 1), "current"), "c2");
    assert_true(json_is_null(json_object_get(json_array_get(rows, 1), "previous")));
    assert_int_equal(count_at(json_array_get(rows, 1), "canary", 0), 3);
    assert_null(json_object_get(json_array_get(rows, 2), "mark"));
    assert_int_equal(count_at(json_array_get(rows, 2), "canary", 0), 4);
    json_decref(rows);
    char current[RECORDING_NAME_MAX + 1];
    char previous[RECORDING_NAME_MAX + 1];
    recorder_names(play->recorder, 2, current, previous);
    assert_string_equal(current, "c1");
    recorder_names(play->recorder, 3, current, previous);
    assert_string_equal(current, "c2");
    assert_string_equal(previous, "");
}

/* Cells are read one after the other while workers count. */
static void torn_connect_failure_waits_for_the_next_row(void **state)
{
    struct play *play = *state;
    tick(play);
    play->canary.connect_err += 1;
    run(play, 10);
    play->canary.err += 1;
    run(play, 10);
    json_t *rows = rows_after(play, 0);
    assert_int_equal(count_at(json_array_get(rows, 0), "canary", 2), 0);
    assert_int_equal(count_at(json_array_get(rows, 1), "canary", 1), 1);
    assert_int_equal(count_at(json_array_get(rows, 1), "canary", 2), 1);
    json_decref(rows);
}

static void counters_that_start_over_count_nothing(void **state)
{
    struct play *play = *state;
    play->canary = (struct version_reading){.ok = 100, .err = 50};
    tick(play);
    play->canary = (struct version_reading){.ok = 3, .err = 1};
    run(play, 10);
    play->canary.ok += 2;
    run(play, 10);
    json_t *rows = rows_after(play, 0);
    assert_int_equal(count_at(json_array_get(rows, 0), "canary", 0), 0);
    assert_int_equal(count_at(json_array_get(rows, 1), "canary", 0), 2);
    json_decref(rows);
}

static void fill_latency(struct play *play)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        play->canary.latency.buckets[i] += 100000;
        play->stable.latency.buckets[i] += 100000;
    }
}

static void memory_is_bounded_and_the_newest_stay(void **state)
{
    struct play *play = *state;
    run(play, 5);
    recorder_mark(play->recorder, RECORDING_MARK_REBASE, "c2", "s2");
    for (unsigned second = 0; second < 300; second++) {
        fill_latency(play);
        run(play, 10);
    }
    struct recorder_facts facts = recorder_facts(play->recorder);
    assert_true(facts.used <= facts.size);
    assert_true(facts.used > facts.size - RECORDING_ROW_MAX);
    assert_true(facts.first > 1);
    assert_int_equal(facts.last, 300);
    assert_string_equal(facts.current, "c2"); /* its row has gone, the names have not */
    json_t *rows = rows_after(play, 0);
    assert_int_equal(json_array_size(rows), facts.last - facts.first + 1);
    json_t *row;
    size_t index;
    json_array_foreach(rows, index, row)
    {
        assert_int_equal(number(row, "row"), facts.first + index);
        assert_int_equal(json_array_size(json_object_get(row, "stable_latency")),
                         2 * HISTOGRAM_BUCKETS);
        assert_int_equal(count_at(row, "stable_latency", 415), 100000);
    }
    json_decref(rows);
}

static void age_is_bounded(void **state)
{
    struct play *play = *state;
    assert_int_equal(recorder_resize(play->recorder, 60000000, RECORDER_SIZE_MIN), OK);
    run(play, 1201);
    struct recorder_facts facts = recorder_facts(play->recorder);
    assert_int_equal(facts.last, 120);
    assert_int_equal(facts.first, 60);
}

static void other_bounds_keep_the_newest_rows(void **state)
{
    struct play *play = *state;
    uint64_t keep_us = UINT64_C(6) * HOUR_S * 1000000;
    run(play, 1);
    for (unsigned second = 0; second < 300; second++) {
        fill_latency(play);
        run(play, 10);
    }
    struct recorder_facts small = recorder_facts(play->recorder);
    assert_int_equal(recorder_resize(play->recorder, keep_us, (size_t)1 << 20), OK);
    json_t *rows = rows_after(play, 0);
    assert_int_equal(json_array_size(rows), small.last - small.first + 1);
    json_decref(rows);
    for (unsigned second = 0; second < 100; second++) {
        fill_latency(play);
        run(play, 10);
    }
    assert_int_equal(recorder_facts(play->recorder).first, small.first);
    assert_int_equal(recorder_resize(play->recorder, keep_us, RECORDER_SIZE_MIN), OK);
    struct recorder_facts facts = recorder_facts(play->recorder);
    assert_true(facts.first > small.first);
    assert_int_equal(facts.last, 400);
    rows = rows_after(play, 0);
    assert_int_equal(json_array_size(rows), facts.last - facts.first + 1);
    json_decref(rows);
}

static void pages_follow_each_other(void **state)
{
    struct play *play = *state;
    run(play, 251);
    size_t count = 0;
    assert_int_equal(recorder_write(play->recorder, 0, 10, SIZE_MAX, &play->text, &count), 10);
    assert_int_equal(count, 10);
    assert_int_equal(recorder_write(play->recorder, 10, 100, 1, &play->text, &count), 11);
    assert_int_equal(count, 1);
    assert_int_equal(recorder_write(play->recorder, 11, 100, SIZE_MAX, &play->text, &count), 25);
    assert_int_equal(count, 14);
    assert_int_equal(recorder_write(play->recorder, 25, 100, SIZE_MAX, &play->text, &count), 25);
    assert_int_equal(count, 0);
    assert_int_equal(recorder_write(play->recorder, 900, 100, SIZE_MAX, &play->text, &count), 900);
    assert_int_equal(count, 0);
}

static void moment_is_found_by_the_wall(void **state)
{
    struct play *play = *state;
    int64_t begun_us = play->look.wall_us;
    run(play, 101);
    assert_int_equal(recorder_find(play->recorder, begun_us - 1000000), 0);
    assert_int_equal(recorder_find(play->recorder, begun_us + 4500000), 4);
    assert_int_equal(recorder_find(play->recorder, begun_us + 99000000), 10);
}

static void refused_memory_changes_nothing(void **state)
{
    struct play *play = *state;
    struct recorder *other = NULL;
    bool is_done = false;
    run(play, 21);
    for (size_t turn = 0; !is_done && alloc_fail_begin(turn); turn++) {
        enum err err = recorder_create(60000000, RECORDER_SIZE_MIN, &other);
        is_done = !alloc_fail_end();
        assert_int_equal(err, is_done ? OK : ERR_NOMEM);
    }
    recorder_destroy(other);
    assert_true(alloc_fail_begin(0));
    assert_int_equal(recorder_resize(play->recorder, 60000000, 2 * RECORDER_SIZE_MIN), ERR_NOMEM);
    assert_true(alloc_fail_end());
    assert_int_equal(recorder_facts(play->recorder).last, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_play, close_play)
        TEST(row_comes_back_as_it_was),
        TEST(second_has_what_was_counted_in_it),
        TEST(row_ends_where_weight_phase_or_verdict_change),
        TEST(marks_end_rows_and_other_versions_begin_anew),
        TEST(torn_connect_failure_waits_for_the_next_row),
        TEST(counters_that_start_over_count_nothing),
        TEST(memory_is_bounded_and_the_newest_stay),
        TEST(age_is_bounded),
        TEST(other_bounds_keep_the_newest_rows),
        TEST(pages_follow_each_other),
        TEST(moment_is_found_by_the_wall),
        TEST(refused_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

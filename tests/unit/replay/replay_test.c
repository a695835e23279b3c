/* Policies judged on what was recorded. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "canary/engine/judge_sentence.h"
#include "canary/replay/replay.h"
#include "canary/replay/replay_show.h"
#include "proxy/base/check.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/traffic.h"

static const int64_t WALL_MS = INT64_C(1700000000000);

static struct observe_policy policy(const char *name, double limit)
{
    struct observe_policy made = {.judge = JUDGE_CONFIG_DEFAULT, .instant_above = 0.5};
    CHECK(strlen(name) <= OBSERVE_NAME_MAX);
    (void)snprintf(made.name, sizeof made.name, "%s", name);
    made.judge.limit = limit;
    made.judge.relative = JUDGE_RELATIVE_OFF;
    return made;
}

/* Traffic that is recorded second by second. */
struct tape {
    struct traffic traffic;
    struct judge_counts last;
    struct recording_row row;
};

static void open_tape(struct tape *tape)
{
    *tape = (struct tape){.row = {.number = 0}};
    traffic_init(&tape->traffic, 11, 100.0, 0.5);
    tape->row.weight_ppm = 500000;
    tape->row.wall_ms = WALL_MS;
    tape->row.verdict = JUDGE_OK;
}

static const struct recording_row *second(struct tape *tape)
{
    struct recording_row *row = &tape->row;
    traffic_tick(&tape->traffic, 1.0);
    const struct judge_counts *now = &tape->traffic.counts;
    row->number++;
    row->at_ms += 1000;
    row->wall_ms += 1000;
    row->mark = RECORDING_MARK_NONE;
    row->canary = (struct recording_counts){
        .count = now->canary_count - tape->last.canary_count,
        .failed = now->canary_failed - tape->last.canary_failed,
        .client_bad = now->client_bad - tape->last.client_bad,
    };
    row->stable = (struct recording_counts){
        .count = now->stable_count - tape->last.stable_count,
        .failed = now->stable_failed - tape->last.stable_failed,
    };
    tape->last = *now;
    return row;
}

static void feed(struct replay *replay, struct tape *tape, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        assert_int_equal(replay_feed(replay, second(tape)), OK);
    }
}

static struct replay *open_replay(const struct observe_policy *policies, size_t count,
                                  double shift_s)
{
    struct replay *replay = NULL;
    assert_int_equal(replay_create(policies, count, shift_s, &replay), OK);
    replay_name(replay, "c1", "s1");
    return replay;
}

static void strict_policy_would_have_acted_before_what_happened(void **state)
{
    (void)state;
    struct observe_policy policies[] = {policy("rollback", 0.1), policy("strict", 0.02),
                                        policy("lax", 0.5)};
    struct tape tape;
    open_tape(&tape);
    struct replay *replay = open_replay(policies, 3, 1.7);
    feed(replay, &tape, 30);
    tape.traffic.canary.fail_ratio = 0.2;
    tape.traffic.rescued = 0.5;
    feed(replay, &tape, 30);
    tape.row.verdict = JUDGE_BREACH;
    tape.row.reason = JUDGE_REASON_ABSOLUTE;
    tape.row.phase = ROLLOUT_SHIFTING_BACK;
    feed(replay, &tape, 1);
    tape.row.weight_ppm = 0;
    tape.traffic.weight = 0;
    feed(replay, &tape, 10);
    tape.row.phase = ROLLOUT_ROLLED_BACK;
    feed(replay, &tape, 1);
    assert_int_equal(replay_end(replay), OK);
    assert_int_equal(replay_run_count(replay), 1);
    const struct replay_run *run = replay_run_at(replay, 0);
    assert_int_equal(run->breach.at_ms, 60000);
    assert_int_equal(run->shift.at_ms, 60000);
    assert_int_equal(run->zero.at_ms, 61000);
    assert_int_equal(run->phase, ROLLOUT_ROLLED_BACK);
    assert_true(run->zero.failed > run->shift.failed);
    const struct replay_outcome *strict = &run->outcomes[1];
    assert_true(strict->has_breached);
    assert_false(strict->is_late);
    assert_true(strict->breach.at_ms > 30000 && strict->breach.at_ms < 40000);
    assert_true(strict->breach.failed < (double)run->shift.failed);
    assert_true(strict->shift_client_bad > 0);
    assert_true(strict->shift_failed > strict->shift_client_bad);
    assert_false(run->outcomes[2].has_breached);
    assert_int_not_equal(run->outcomes[2].verdict, JUDGE_BREACH);
    replay_destroy(replay);
}

/* The same rows into a judge by hand: the same verdict at the same row, with the same numbers. */
static void replay_finds_what_a_judge_finds_on_the_same_rows(void **state)
{
    (void)state;
    struct observe_policy own = policy("rollback", 0.05);
    own.is_latency_judged = true;
    struct judge judge;
    struct judge_counts counts = {0};
    struct histogram none = {.sum_us = 0};
    counts.canary_latency = &none;
    counts.stable_latency = &none;
    judge_init(&judge, &own.judge);
    judge_check(&judge, 0, &counts);
    struct tape tape;
    open_tape(&tape);
    tape.traffic.canary.fail_ratio = 0.09;
    struct replay *replay = open_replay(&own, 1, 0.0);
    int64_t breached_ms = 0;
    for (int i = 0; i < 300; i++) {
        const struct recording_row *row = second(&tape);
        assert_int_equal(replay_feed(replay, row), OK);
        counts.canary_count += row->canary.count;
        counts.canary_failed += row->canary.failed;
        counts.stable_count += row->stable.count;
        counts.stable_failed += row->stable.failed;
        counts.client_bad += row->canary.client_bad;
        judge_check(&judge, (int64_t)row->at_ms, &counts);
        if (judge.is_latched && breached_ms == 0) {
            breached_ms = (int64_t)row->at_ms;
        }
    }
    assert_int_equal(replay_end(replay), OK);
    const struct replay_outcome *outcome = &replay_run_at(replay, 0)->outcomes[0];
    struct note sentence;
    judge_sentence(&judge, &sentence);
    assert_true(breached_ms > 0);
    assert_int_equal(outcome->breach.at_ms, breached_ms);
    assert_string_equal(outcome->sentence.text, sentence.text);
    replay_destroy(replay);
}

static void latencies_are_replayed(void **state)
{
    (void)state;
    struct observe_policy policies[] = {policy("errors", 0.05), policy("all", 0.05)};
    policies[1].is_latency_judged = true;
    struct tape tape;
    open_tape(&tape);
    struct replay *replay = open_replay(policies, 2, 0.0);
    for (int i = 0; i < 120; i++) {
        const struct recording_row *row = second(&tape);
        memset(&tape.row.canary_latency, 0, sizeof tape.row.canary_latency);
        memset(&tape.row.stable_latency, 0, sizeof tape.row.stable_latency);
        tape.row.stable_latency.buckets[80] = row->stable.count;
        tape.row.canary_latency.buckets[i < 60 ? 80 : 120] = row->canary.count;
        assert_int_equal(replay_feed(replay, row), OK);
    }
    assert_int_equal(replay_end(replay), OK);
    const struct replay_run *run = replay_run_at(replay, 0);
    assert_false(run->outcomes[0].has_breached);
    assert_true(run->outcomes[1].has_breached);
    assert_int_equal(run->outcomes[1].reason, JUDGE_REASON_LATENCY);
    assert_true(run->outcomes[1].breach.at_ms > 60000);
    replay_destroy(replay);
}

static void each_start_is_a_run_of_its_own(void **state)
{
    (void)state;
    struct observe_policy own = policy("rollback", 0.05);
    struct tape tape;
    open_tape(&tape);
    struct replay *replay = open_replay(&own, 1, 0.0);
    tape.traffic.canary.fail_ratio = 0.5;
    feed(replay, &tape, 19);
    struct recording_row marked = *second(&tape);
    marked.mark = RECORDING_MARK_REBASE;
    (void)snprintf(marked.current, sizeof marked.current, "c2");
    (void)snprintf(marked.previous, sizeof marked.previous, "s1");
    assert_int_equal(replay_feed(replay, &marked), OK);
    marked.number++;
    marked.mark = RECORDING_MARK_START; /* at once: nothing lies between */
    marked.canary = (struct recording_counts){.count = 0};
    marked.stable = (struct recording_counts){.count = 0};
    marked.weight_ppm = 0;
    assert_int_equal(replay_feed(replay, &marked), OK);
    tape.row.number++;
    tape.traffic.canary.fail_ratio = 0.0;
    feed(replay, &tape, 60);
    assert_int_equal(replay_end(replay), OK);
    assert_int_equal(replay_run_count(replay), 2);
    assert_true(replay_run_at(replay, 0)->outcomes[0].has_breached);
    assert_string_equal(replay_run_at(replay, 0)->current, "c1");
    const struct replay_run *second_run = replay_run_at(replay, 1);
    assert_string_equal(second_run->current, "c2");
    assert_false(second_run->outcomes[0].has_breached);
    assert_int_equal(second_run->outcomes[0].verdict, JUDGE_HEALTHY);
    assert_int_equal(second_run->failed, 0);
    assert_int_equal(second_run->from_ms, 20000);
    replay_destroy(replay);
}

static void service_without_a_canary_has_no_runs(void **state)
{
    (void)state;
    struct observe_policy own = policy("rollback", 0.05);
    struct tape tape;
    open_tape(&tape);
    tape.traffic.weight = 0;
    tape.row.weight_ppm = 0;
    struct replay *replay = open_replay(&own, 1, 0.0);
    feed(replay, &tape, 10);
    assert_int_equal(replay_end(replay), OK);
    assert_int_equal(replay_run_count(replay), 0);
    replay_destroy(replay);
}

static void runs_are_bounded(void **state)
{
    (void)state;
    struct observe_policy own = policy("rollback", 0.05);
    struct tape tape;
    open_tape(&tape);
    struct replay *replay = open_replay(&own, 1, 0.0);
    enum err err = OK;
    int runs = 0;
    while (err == OK && runs <= REPLAY_RUNS_MAX + 1) {
        struct recording_row row = *second(&tape);
        row.mark = RECORDING_MARK_START;
        err = replay_feed(replay, &row);
        runs++;
    }
    assert_int_equal(err, ERR_LIMIT);
    assert_int_equal(runs, REPLAY_RUNS_MAX + 1);
    replay_destroy(replay);
}

static void shift_is_worth_what_its_steps_hold(void **state)
{
    (void)state;
    const uint32_t steps[] = {500000, 250000, 100000, 0};
    assert_true(fabs(replay_shift_s(steps, 4, 2.0) - 1.7) < 1e-9);
    assert_true(replay_shift_s(steps, 0, 2.0) < 1e-9);
}

static void findings_are_told_as_text_and_json(void **state)
{
    (void)state;
    struct observe_policy policies[] = {policy("rollback", 0.05), policy("lax", 0.9)};
    struct tape tape;
    open_tape(&tape);
    struct replay *replay = open_replay(policies, 2, 1.7);
    tape.traffic.canary.fail_ratio = 1.0;
    feed(replay, &tape, 10);
    assert_int_equal(replay_end(replay), OK);
    static struct recording_reader reader;
    recording_reader_init(&reader);
    (void)snprintf(reader.head.service, sizeof reader.head.service, "shop");
    reader.row_count = 10;
    reader.missing_count = 2;
    struct buf text;
    buf_init(&text, 65536);
    assert_int_equal(replay_show(replay, &reader, &text), OK);
    assert_int_equal(buf_append_byte(&text, '\0'), OK);
    assert_non_null(strstr(text.data, "recording of shop: 10 rows, 2 missing among them\n"));
    assert_non_null(strstr(text.data, "c1 beside s1 from 2023-11-14 22:13:20 for 10.0 s: canary "));
    assert_non_null(strstr(text.data, "really: no breach; idle at the end\n"));
    assert_non_null(strstr(text.data, "breach (absolute), at once"));
    buf_finish(&text);
    json_t *json = replay_to_json(replay, &reader);
    const json_t *run = json_array_get(json_object_get(json, "runs"), 0);
    const json_t *own = json_array_get(json_object_get(run, "policies"), 0);
    const json_t *breach = json_object_get(own, "breach");
    assert_string_equal(json_string_value(json_object_get(own, "name")), "rollback");
    assert_true(json_is_true(json_object_get(breach, "instant")));
    assert_true(json_integer_value(json_object_get(breach, "failed")) > 0);
    assert_true(json_is_null(json_object_get(json_object_get(run, "really"), "breach")));
    json_decref(json);
    replay_destroy(replay);
}

static void refused_memory_is_told(void **state)
{
    (void)state;
    struct observe_policy policies[] = {policy("rollback", 0.05), policy("lax", 0.5)};
    bool is_done = false;
    for (size_t turn = 0; !is_done; turn++) {
        struct tape tape;
        struct replay *replay = NULL;
        open_tape(&tape);
        const struct recording_row *row = second(&tape);
        assert_true(alloc_fail_begin(turn));
        enum err err = replay_create(policies, 2, 0.0, &replay);
        err = err == OK ? replay_feed(replay, row) : err;
        err = err == OK ? replay_end(replay) : err;
        is_done = !alloc_fail_end();
        assert_int_equal(err, is_done ? OK : ERR_NOMEM);
        replay_destroy(replay);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strict_policy_would_have_acted_before_what_happened),
        cmocka_unit_test(replay_finds_what_a_judge_finds_on_the_same_rows),
        cmocka_unit_test(latencies_are_replayed),
        cmocka_unit_test(each_start_is_a_run_of_its_own),
        cmocka_unit_test(service_without_a_canary_has_no_runs),
        cmocka_unit_test(runs_are_bounded),
        cmocka_unit_test(shift_is_worth_what_its_steps_hold),
        cmocka_unit_test(findings_are_told_as_text_and_json),
        cmocka_unit_test(refused_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

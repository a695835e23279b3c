#include "canary/replay/replay.h"

#include <stdlib.h>
#include <string.h>

#include "canary/engine/judge_sentence.h"
#include "canary/engine/plan.h"
#include "proxy/base/check.h"

enum { ROW_MS = 1000 };

struct replay {
    struct observe *policies; /* owned; one policy each, since there may be more than one holds */
    size_t policy_count;
    double shift_s;
    bool has_rows; /* the judges have their base */
    bool is_open;  /* `run` has rows */
    struct judge_counts counts;
    struct histogram canary_latency, stable_latency;
    uint64_t last_ms;
    int64_t last_wall_ms;
    struct replay_run run;   /* its outcomes are owned */
    struct replay_run *runs; /* owned */
    size_t run_count, run_room;
};

enum err replay_create(const struct observe_policy *policies, size_t policy_count, double shift_s,
                       struct replay **ret_replay)
{
    CHECK(policy_count <= REPLAY_POLICIES_MAX);
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL) {
        return ERR_NOMEM;
    }
    replay->shift_s = shift_s;
    replay->policies = calloc(policy_count + 1, sizeof *replay->policies);
    replay->run.outcomes = calloc(policy_count + 1, sizeof *replay->run.outcomes);
    enum err err = replay->policies != NULL && replay->run.outcomes != NULL ? OK : ERR_NOMEM;
    for (; replay->policy_count < policy_count && err == OK; replay->policy_count++) {
        struct observe *observe = &replay->policies[replay->policy_count];
        observe_init(observe);
        err = observe_configure(observe, &policies[replay->policy_count], 1);
    }
    if (err != OK) {
        replay_destroy(replay);
        return err;
    }
    *ret_replay = replay;
    return OK;
}

void replay_destroy(struct replay *replay)
{
    if (replay == NULL) {
        return;
    }
    for (size_t i = 0; i < replay->policy_count; i++) {
        observe_finish(&replay->policies[i]);
    }
    for (size_t i = 0; i < replay->run_count; i++) {
        free(replay->runs[i].outcomes);
    }
    free(replay->run.outcomes);
    free(replay->runs);
    free(replay->policies);
    free(replay);
}

static void copy_name(char to[RECORDING_NAME_MAX + 1], const char *from)
{
    size_t size = strnlen(from, RECORDING_NAME_MAX);
    memcpy(to, from, size);
    to[size] = '\0';
}

void replay_name(struct replay *replay, const char *current, const char *previous)
{
    copy_name(replay->run.current, current);
    copy_name(replay->run.previous, previous);
}

double replay_shift_s(const uint32_t *shift_ppm, size_t shift_count, double every_s)
{
    double worth_s = 0.0;
    for (size_t i = 0; i < shift_count; i++) {
        worth_s += (double)shift_ppm[i] / PLAN_WHOLE * every_s;
    }
    return worth_s;
}

/* ---- a row ---- */

static void add_counts(struct replay *replay, const struct recording_row *row)
{
    struct judge_counts *counts = &replay->counts;
    counts->canary_count += row->canary.count;
    counts->canary_failed += row->canary.failed;
    counts->canary_connect_failed += row->canary.connect_failed;
    counts->canary_not_found += row->canary.not_found;
    counts->stable_count += row->stable.count;
    counts->stable_failed += row->stable.failed;
    counts->stable_connect_failed += row->stable.connect_failed;
    counts->stable_not_found += row->stable.not_found;
    counts->client_bad += row->canary.client_bad;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        replay->canary_latency.buckets[i] += row->canary_latency.buckets[i];
        replay->stable_latency.buckets[i] += row->stable_latency.buckets[i];
    }
    counts->canary_latency = &replay->canary_latency;
    counts->stable_latency = &replay->stable_latency;
}

static void look(struct replay *replay, uint64_t at_ms, int64_t wall_ms)
{
    for (size_t i = 0; i < replay->policy_count; i++) {
        observe_look(&replay->policies[i], (int64_t)at_ms, 1000 * wall_ms, &replay->counts);
    }
}

static const struct observed *policy_at(const struct replay *replay, size_t index)
{
    return &replay->policies[index].list[0];
}

static bool is_going_back(enum rollout_phase phase)
{
    return phase == ROLLOUT_SHIFTING_BACK || phase == ROLLOUT_VERIFYING ||
           phase == ROLLOUT_ROLLED_BACK || phase == ROLLOUT_ROLLBACK_FAILED;
}

/* What a row says held from the row before it on: that is when it came to be. */
static void note_moment(const struct replay *replay, struct replay_moment *moment)
{
    if (!moment->is_there) {
        *moment = (struct replay_moment){
            .is_there = true,
            .at_ms = replay->last_ms,
            .wall_ms = replay->last_wall_ms,
            .count = replay->run.count,
            .failed = replay->run.failed,
            .client_bad = replay->run.client_bad,
        };
    }
}

static void note_verdicts(struct replay *replay)
{
    for (size_t i = 0; i < replay->policy_count; i++) {
        const struct observed *observed = policy_at(replay, i);
        struct replay_outcome *outcome = &replay->run.outcomes[i];
        outcome->verdict = observed_verdict(observed);
        outcome->reason = observed_reason(observed);
        judge_sentence(&observed->judge, &outcome->sentence);
    }
}

static void note_what_happened(struct replay *replay, const struct recording_row *row)
{
    struct replay_run *run = &replay->run;
    if (row->verdict == JUDGE_BREACH && !run->breach.is_there) {
        note_moment(replay, &run->breach);
        run->breach_reason = row->reason;
    }
    if (is_going_back(row->phase) && run->weight_max_ppm > 0 && !run->shift.is_there) {
        note_moment(replay, &run->shift);
        note_verdicts(replay);
    }
    if (row->weight_ppm == 0 && run->weight_max_ppm > 0) {
        note_moment(replay, &run->zero);
    }
    run->phase = row->phase;
    if (row->weight_ppm > run->weight_max_ppm) {
        run->weight_max_ppm = row->weight_ppm;
    }
}

static void add_to_run(struct replay *replay, const struct recording_row *row)
{
    struct replay_run *run = &replay->run;
    run->row_count++;
    run->to_ms = row->at_ms;
    run->to_wall_ms = row->wall_ms;
    run->count += row->canary.count;
    run->failed += row->canary.failed;
    run->client_bad += row->canary.client_bad;
    run->stable_count += row->stable.count;
    run->stable_failed += row->stable.failed;
}

/* ---- runs ---- */

static void open_run(struct replay *replay)
{
    struct replay_run *run = &replay->run;
    struct replay_run fresh = {
        .from_ms = replay->last_ms,
        .to_ms = replay->last_ms,
        .from_wall_ms = replay->last_wall_ms,
        .to_wall_ms = replay->last_wall_ms,
        .outcomes = run->outcomes,
    };
    memcpy(fresh.current, run->current, sizeof fresh.current);
    memcpy(fresh.previous, run->previous, sizeof fresh.previous);
    memset(run->outcomes, 0, replay->policy_count * sizeof *run->outcomes);
    *run = fresh;
    replay->is_open = true;
}

static void conclude(struct replay *replay)
{
    struct replay_run *run = &replay->run;
    if (!run->shift.is_there) {
        note_verdicts(replay);
    }
    for (size_t i = 0; i < replay->policy_count; i++) {
        const struct observed *observed = policy_at(replay, i);
        struct replay_outcome *outcome = &run->outcomes[i];
        outcome->has_breached = observed->has_breached;
        if (!outcome->has_breached) {
            continue;
        }
        double worth_s = observed->breach.is_instant ? 0.0 : replay->shift_s;
        outcome->breach = observed->breach;
        outcome->verdict = JUDGE_BREACH;
        outcome->reason = observed->breach.reason;
        outcome->is_late =
            run->shift.is_there && (uint64_t)observed->breach.at_ms > run->shift.at_ms;
        outcome->shift_failed = worth_s * observed->breach.failed_per_s;
        outcome->shift_client_bad = worth_s * observed->breach.bad_per_s;
        judge_sentence(&observed->judge, &outcome->sentence);
    }
}

static enum err grow(struct replay *replay)
{
    if (replay->run_count < replay->run_room) {
        return OK;
    }
    if (replay->run_count == REPLAY_RUNS_MAX) {
        return ERR_LIMIT;
    }
    size_t room = replay->run_room > 0 ? 2 * replay->run_room : 4;
    struct replay_run *runs = realloc(replay->runs, room * sizeof *runs);
    if (runs == NULL) {
        return ERR_NOMEM;
    }
    replay->runs = runs;
    replay->run_room = room;
    return OK;
}

/* A run without a canary is not worth telling. */
static enum err close_run(struct replay *replay)
{
    struct replay_run *run = &replay->run;
    bool is_told = replay->is_open && (run->count > 0 || run->weight_max_ppm > 0);
    replay->is_open = false;
    if (!is_told || run->row_count == 0) {
        return OK;
    }
    enum err err = grow(replay);
    if (err != OK) {
        return err;
    }
    struct replay_outcome *fresh = calloc(replay->policy_count + 1, sizeof *fresh);
    if (fresh == NULL) {
        return ERR_NOMEM;
    }
    conclude(replay);
    replay->runs[replay->run_count++] = *run;
    run->outcomes = fresh;
    return OK;
}

/* Where the first row begins is not said: a row is a second long, unless the recording is not. */
static void take_base(struct replay *replay, const struct recording_row *row)
{
    uint64_t span_ms = row->at_ms < ROW_MS ? row->at_ms : ROW_MS;
    replay->has_rows = true;
    replay->last_ms = row->at_ms - span_ms;
    replay->last_wall_ms = row->wall_ms - (int64_t)span_ms;
    replay->counts.canary_latency = &replay->canary_latency;
    replay->counts.stable_latency = &replay->stable_latency;
    look(replay, replay->last_ms, replay->last_wall_ms);
}

static enum err tell_mark(struct replay *replay, const struct recording_row *row)
{
    enum err err = row->mark >= RECORDING_MARK_START ? close_run(replay) : OK;
    for (size_t i = 0; i < replay->policy_count && err == OK; i++) {
        switch (row->mark) {
        case RECORDING_MARK_STEP:
            observe_step(&replay->policies[i], (int64_t)row->at_ms);
            break;
        case RECORDING_MARK_START:
            observe_start(&replay->policies[i], (int64_t)row->at_ms);
            break;
        case RECORDING_MARK_REBASE:
            observe_rebase(&replay->policies[i]);
            break;
        case RECORDING_MARK_NONE:
        case RECORDING_MARK_COUNT:
            break;
        }
    }
    if (err == OK && row->mark == RECORDING_MARK_REBASE) {
        replay_name(replay, row->current, row->previous);
        look(replay, row->at_ms, row->wall_ms);
    }
    return err;
}

enum err replay_feed(struct replay *replay, const struct recording_row *row)
{
    if (!replay->has_rows) {
        take_base(replay, row);
    }
    if (!replay->is_open) {
        open_run(replay);
    }
    note_what_happened(replay, row);
    add_counts(replay, row);
    add_to_run(replay, row);
    look(replay, row->at_ms, row->wall_ms);
    replay->last_ms = row->at_ms;
    replay->last_wall_ms = row->wall_ms;
    return tell_mark(replay, row);
}

enum err replay_end(struct replay *replay)
{
    return close_run(replay);
}

size_t replay_run_count(const struct replay *replay)
{
    return replay->run_count;
}

const struct replay_run *replay_run_at(const struct replay *replay, size_t index)
{
    CHECK(index < replay->run_count);
    return &replay->runs[index];
}

size_t replay_policy_count(const struct replay *replay)
{
    return replay->policy_count;
}

const struct observe_policy *replay_policy_at(const struct replay *replay, size_t index)
{
    CHECK(index < replay->policy_count);
    return &policy_at(replay, index)->policy;
}

/* tests/unit/engine/rollout_stage.h — a rollout, what it is told, and a clock, for tests that play
 * one scene. */
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "canary/engine/rollout.h"
#include "proxy/base/check.h"

enum { STAGE_START_PPM = 200000, STAGE_TICK_US = 100000 };
#define STAGE_WALL_US INT64_C(1700000000000000)

struct stage {
    struct rollout rollout;
    struct rollout_input input;
    struct rollout_actions actions;
    struct histogram stable_latency;
    uint64_t now_us;
    bool is_slow_to_land; /* workers do not take new weights */
    unsigned alert_count;
    unsigned quarantine_count;
    uint32_t published_ppm;
    struct record written;
    unsigned record_count;
};

/* Every list keeps the order that safety asks: act, then write, when the weight falls; the other
 * way when it rises. */
static inline void stage_carry_out(struct stage *stage)
{
    bool has_barrier = false;
    bool has_written = false;
    for (size_t i = 0; i < stage->actions.count; i++) {
        const struct rollout_action *action = &stage->actions.list[i];
        switch (action->kind) {
        case ROLLOUT_PUBLISH:
            assert_true(action->weight_ppm <= stage->published_ppm || has_barrier);
            assert_true(action->weight_ppm >= stage->published_ppm || !has_written);
            stage->published_ppm = action->weight_ppm;
            rollout_note_published(&stage->rollout, action->revision);
            break;
        case ROLLOUT_WRITE:
            has_barrier |= action->is_barrier;
            has_written = true;
            break;
        case ROLLOUT_WRITE_RECORD:
            stage->written = stage->actions.record;
            stage->record_count++;
            break;
        case ROLLOUT_QUARANTINE:
            stage->quarantine_count++;
            break;
        case ROLLOUT_RAISE_ALERT:
            stage->alert_count++;
            break;
        case ROLLOUT_TELL:
        case ROLLOUT_AWAIT:
        case ROLLOUT_UNQUARANTINE:
            assert_true(action->kind != ROLLOUT_TELL || action->event != NULL);
            break;
        }
    }
    assert_int_equal(stage->published_ppm, stage->rollout.weight_ppm);
}

static inline void stage_tick(struct stage *stage)
{
    stage->now_us += STAGE_TICK_US;
    stage->input.wall_us = STAGE_WALL_US + (int64_t)stage->now_us;
    if (!stage->is_slow_to_land) {
        stage->input.landed_revision = stage->rollout.weight_revision;
    }
    rollout_step(&stage->rollout, &stage->input, stage->now_us, &stage->actions);
    stage_carry_out(stage);
}

static inline void stage_wait(struct stage *stage, double seconds)
{
    for (int i = 0; i < (int)(seconds * 10.0 + 0.5); i++) {
        stage_tick(stage);
    }
}

static inline void stage_open(struct stage *stage, enum rollout_on_breach on_breach)
{
    *stage = (struct stage){.now_us = 1000000000, .published_ppm = STAGE_START_PPM};
    struct rollout_config config = ROLLOUT_CONFIG_DEFAULT;
    config.on_breach = on_breach;
    rollout_init(&stage->rollout, &config, STAGE_START_PPM, false);
    stage->input.stable_live = 2;
    stage->input.stable_latency = &stage->stable_latency;
    stage->input.record_id = "r1";
    stage_tick(stage);
}

/* The judge has found a breach; the excursion had `failed` of `count` canary requests. */
static inline void stage_breach(struct stage *stage, enum judge_reason reason, double count,
                                double failed)
{
    struct rollout_input *input = &stage->input;
    input->finding = (struct finding){JUDGE_BREACH, reason};
    input->excursion.base = input->tally;
    input->tally.canary_count += count;
    input->tally.canary_failed += failed;
    input->tally.client_bad += failed;
    input->excursion.has_failure = failed > 0.0;
    input->excursion.first_failure_ms = (int64_t)(stage->now_us / 1000) - 400;
    input->excursion.counts = (struct judge_tally){.canary_count = count, .canary_failed = failed};
    note_set(&input->sentence, "canary %.0f of %.0f requests failed", failed, count);
}

static inline enum err stage_command(struct stage *stage, struct rollout_command command)
{
    struct note note = {0};
    command.actor = "ops";
    enum err err = rollout_command(&stage->rollout, &command, &stage->input, stage->now_us,
                                   &stage->actions, &note);
    if (err != OK) {
        assert_int_equal(stage->actions.count, 0);
        assert_true(note.text[0] != '\0');
    }
    stage_carry_out(stage);
    return err;
}

static inline bool stage_has_told(const struct stage *stage, const char *event)
{
    for (size_t i = 0; i < stage->actions.count; i++) {
        const struct rollout_action *action = &stage->actions.list[i];
        if (action->kind == ROLLOUT_TELL && strcmp(action->event, event) == 0) {
            return true;
        }
    }
    return false;
}

/* tests/sim/world.h — one service under a turned clock: its engine, seeded traffic, and workers
 * that obey.
 *
 * What the controller does in the product is done here with plain values: each tick the traffic of
 * 100 ms is made at the weight that holds, the engine looks, and its actions are carried out. A
 * published weight holds one tick later. What happened is kept: each weight with its time, who was
 * waited for, who was told. */
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "canary/engine/engine.h"
#include "proxy/base/check.h"
#include "tests/support/traffic.h"

enum { WORLD_TICK_US = 100000, WORLD_SHIFTS_MAX = 16 };

/* A weight that was published without a command. */
struct world_shift {
    uint64_t at_us;
    uint32_t weight_ppm;
};

struct world {
    struct engine engine;
    struct traffic traffic;
    struct engine_input input;
    struct rollout_actions actions;
    uint64_t now_us;
    int64_t wall_us;
    uint32_t published_ppm;
    uint64_t published_revision;
    struct record record; /* as last written */
    unsigned alert_count;
    unsigned wait_count;    /* times that a shift back began to wait for stable, */
    uint64_t waited_us;     /* ... and how long it did */
    unsigned hold_count;    /* breaches that found no stable version to go to */
    unsigned barrier_count; /* writes without a command that had to be waited for */
    bool has_raised;        /* the weight rose without a command */
    struct world_shift shifts[WORLD_SHIFTS_MAX];
    size_t shift_count;       /* also of those that no longer fit */
    enum judge_verdict worst; /* suspicious or breach, as far as it came; else insufficient_data */
    /* Called before each tick's traffic; may be NULL. */
    void (*on_tick)(struct world *world);
};

static inline void world_note_shift(struct world *world, uint32_t weight_ppm)
{
    if (world->shift_count < WORLD_SHIFTS_MAX) {
        world->shifts[world->shift_count] = (struct world_shift){world->now_us, weight_ppm};
    }
    world->shift_count++;
}

static inline void world_carry_out(struct world *world, bool is_commanded)
{
    for (size_t i = 0; i < world->actions.count; i++) {
        const struct rollout_action *action = &world->actions.list[i];
        if (action->kind == ROLLOUT_PUBLISH) {
            world->has_raised |= !is_commanded && action->weight_ppm > world->published_ppm;
            if (!is_commanded) {
                world_note_shift(world, action->weight_ppm);
            }
            world->published_ppm = action->weight_ppm;
            world->published_revision = action->revision;
            rollout_note_published(&world->engine.rollout, action->revision);
        } else if (action->kind == ROLLOUT_WRITE_RECORD) {
            world->record = world->actions.record;
        } else if (action->kind == ROLLOUT_RAISE_ALERT) {
            world->alert_count++;
        } else if (action->kind == ROLLOUT_TELL && strcmp(action->event, "rollback.wait") == 0) {
            world->wait_count++;
        } else if (action->kind == ROLLOUT_TELL && strcmp(action->event, "rollback.hold") == 0) {
            world->hold_count++;
        } else if (action->kind == ROLLOUT_WRITE && action->is_barrier && !is_commanded) {
            world->barrier_count++;
        }
    }
}

static inline void world_note_state(struct world *world)
{
    enum judge_verdict verdict = world->engine.finding.verdict;
    bool is_bad = verdict == JUDGE_SUSPICIOUS || verdict == JUDGE_BREACH;
    if (is_bad && verdict > world->worst) {
        world->worst = verdict;
    }
    if (world->engine.rollout.phase == ROLLOUT_SHIFTING_BACK &&
        world->engine.rollout.shift.is_waiting) {
        world->waited_us += WORLD_TICK_US;
    }
}

static inline void world_tick(struct world *world)
{
    world->now_us += WORLD_TICK_US;
    world->wall_us += WORLD_TICK_US;
    bool is_mirroring = rollout_is_mirroring(&world->engine.rollout);
    uint32_t share_ppm =
        is_mirroring ? world->engine.config.rollout.mirror_ppm : world->published_ppm;
    world->traffic.weight = (double)share_ppm / PLAN_WHOLE;
    if (world->on_tick != NULL) {
        world->on_tick(world);
    }
    traffic_tick(&world->traffic, WORLD_TICK_US / 1e6);
    world->input.wall_us = world->wall_us;
    world->input.counts = world->traffic.counts;
    world->input.landed_revision = world->published_revision;
    world->input.record_id = "sim";
    engine_tick(&world->engine, &world->input, world->now_us, &world->actions);
    world_carry_out(world, false);
    world_note_state(world);
}

static inline void world_run(struct world *world, double seconds)
{
    for (int i = 0; i < (int)(seconds * 10.0 + 0.5); i++) {
        world_tick(world);
    }
}

/* Runs until the phase is reached, at most `max_s`; the seconds it took, or -1. */
static inline double world_until(struct world *world, enum rollout_phase phase, double max_s)
{
    uint64_t from_us = world->now_us;
    while ((double)(world->now_us - from_us) < 1e6 * max_s) {
        world_tick(world);
        if (world->engine.rollout.phase == phase) {
            return (double)(world->now_us - from_us) / 1e6;
        }
    }
    return -1.0;
}

static inline enum err world_command(struct world *world, struct rollout_command command)
{
    struct note note = {0};
    command.actor = "sim";
    enum err err = engine_command(&world->engine, &command, "sim", world->now_us, world->wall_us,
                                  &world->actions, &note);
    world_carry_out(world, true);
    return err;
}

/* Both versions fail 0.1 % of `rate` requests a second, the canary has `weight`. */
static inline void world_open(struct world *world, uint64_t seed, double rate, double weight)
{
    uint32_t weight_ppm = (uint32_t)(weight * PLAN_WHOLE);
    *world = (struct world){
        .now_us = 3600000000, .wall_us = INT64_C(1700000000000000), .published_ppm = weight_ppm};
    struct engine_config config = engine_config_default();
    engine_init(&world->engine, &config, weight_ppm, false);
    world->published_revision = world->engine.rollout.weight_revision;
    traffic_init(&world->traffic, seed, rate, weight);
    world->traffic.canary.fail_ratio = 0.001;
    world->traffic.stable.fail_ratio = 0.001;
    world->input.endpoints =
        (struct tripwire_input){.canary_endpoints = 2, .canary_live = 2, .stable_live = 2};
}

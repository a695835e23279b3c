/* tests/sim/shift_back.h — what the stories of the shift back assert, and who breaks in several.
 *
 * The list of situations stands in shift_back_sim.c. */
#pragma once
#include "tests/sim/world.h"

static const double TICK_S = WORLD_TICK_US / 1e6;

static inline double seconds_between(uint64_t from_us, uint64_t to_us)
{
    return (double)(int64_t)(to_us - from_us) / 1e6;
}

/* Exactly these weights were published, the first of them at the breach and each of the others
 * `every_s` after the one before. */
static inline void assert_steps(const struct world *world, const uint32_t *weights_ppm,
                                size_t count, double every_s)
{
    assert_int_equal(world->shift_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(world->shifts[i].weight_ppm, weights_ppm[i]);
        if (i > 0) {
            double apart_s = seconds_between(world->shifts[i - 1].at_us, world->shifts[i].at_us);
            assert_true(fabs(apart_s - every_s) < TICK_S / 2.0);
        }
    }
}

static inline void assert_falling_to_nothing(const struct world *world)
{
    assert_true(world->shift_count > 0);
    assert_true(world->shift_count <= WORLD_SHIFTS_MAX);
    for (size_t i = 1; i < world->shift_count; i++) {
        assert_true(world->shifts[i].weight_ppm < world->shifts[i - 1].weight_ppm);
    }
    assert_int_equal(world->shifts[world->shift_count - 1].weight_ppm, 0);
    assert_int_equal(world->published_ppm, 0);
    assert_false(world->has_raised);
}

static inline void assert_nobody_waited(const struct world *world)
{
    assert_int_equal(world->wait_count, 0);
    assert_int_equal(world->waited_us, 0);
    assert_int_equal(world->hold_count, 0);
    assert_int_equal(world->barrier_count, 0); /* nor for a disk */
}

static inline void assert_untouched(const struct world *world, uint32_t weight_ppm)
{
    assert_int_equal(world->engine.rollout.phase, ROLLOUT_IDLE);
    assert_int_equal(world->shift_count, 0);
    assert_int_equal(world->published_ppm, weight_ppm);
    assert_false(world->engine.rollout.has_record);
    assert_nobody_waited(world);
}

static inline void assert_record(const struct record *record, enum record_status status,
                                 enum record_mode mode, uint32_t weight_ppm)
{
    assert_int_equal(record->trigger, RECORD_ERROR_RATE);
    assert_int_equal(record->status, status);
    assert_int_equal(record->mode, mode);
    assert_int_equal(record->weight_ppm, weight_ppm);
    assert_true(record->is_quarantining);
    assert_true(record->has_evidence);
    assert_true(record->phase_s[RECORD_DETECT] >= 0.0);
    assert_true(record->phase_s[RECORD_DETECT] <= record->phase_s[RECORD_DECIDE]);
    assert_true(record->phase_s[RECORD_DECIDE] <= record->phase_s[RECORD_SHIFT]);
    if (status == RECORD_SUCCESS) {
        assert_true(record->phase_s[RECORD_SHIFT] <= record->phase_s[RECORD_VERIFY]);
    }
    assert_true(record->bad_origin >= record->bad_client);
    assert_true(record->bad_origin > 0);
}

/* The canary bears 5 % of the traffic, not 10 %. */
static inline void weak_canary(struct world *world)
{
    world->traffic.canary.fail_ratio = world->traffic.weight > 0.06 ? 0.2 : 0.0;
}

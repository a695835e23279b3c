/* Whole rollouts under a turned clock: seeded traffic, the judge's own evidence, every step. */
#include "tests/sim/world.h"

static struct engine_config quick_config(void)
{
    struct engine_config config = engine_config_default();
    config.rollout.max_time_us = 3600000000;
    return config;
}

static void rollout_open(struct world *world, uint64_t seed, double rate,
                         const struct engine_config *config)
{
    world_open(world, seed, rate, 0.0);
    engine_init(&world->engine, config, 0, false);
    world->published_revision = world->engine.rollout.weight_revision;
    world->input.is_canary_ready = true;
    world_run(world, 60.0); /* stable alone */
    struct rollout_command start = {.kind = ROLLOUT_START};
    assert_int_equal(world_command(world, start), OK);
}

static bool until_step(struct world *world, uint32_t step, double max_s)
{
    for (int i = 0; i < (int)(max_s * 10.0); i++) {
        world_tick(world);
        if (world->engine.rollout.ascent.step == step) {
            return true;
        }
    }
    return false;
}

static void good_canary_climbs_to_success(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct world world;
        struct engine_config config = quick_config();
        rollout_open(&world, seed, 1000.0, &config);
        double baking_s = world_until(&world, ROLLOUT_BAKING, 3600.0);
        assert_true(baking_s >= 300.0); /* five steps of a minute */
        assert_int_equal(world.published_ppm, 1000000);
        double took_s = world_until(&world, ROLLOUT_SUCCEEDED, 700.0);
        assert_true(took_s >= 599.0);
        assert_int_equal(world.alert_count, 0);
    }
}

static void bad_canary_that_is_mirrored_to_never_gets_weight(void **state)
{
    (void)state;
    static const double ratios[] = {0.12, 0.3, 1.0};
    for (size_t i = 0; i < COUNT_OF(ratios); i++) {
        struct world world;
        struct engine_config config = quick_config();
        config.rollout.mirror_ppm = 50000;
        rollout_open(&world, i + 1, 200.0, &config);
        world.traffic.canary.fail_ratio = ratios[i];
        assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 600.0) > 0.0);
        assert_false(world.has_raised);
        assert_int_equal(world.record.weight_ppm, 0);
        assert_int_equal(world.record.status, RECORD_SUCCESS);
        assert_true(world.engine.rollout.is_quarantined);
    }
}

static void good_canary_that_is_mirrored_to_climbs_after_min_time(void **state)
{
    (void)state;
    struct world world;
    struct engine_config config = quick_config();
    config.rollout.mirror_ppm = 50000;
    rollout_open(&world, 3, 200.0, &config);
    world_run(&world, 55.0);
    assert_int_equal(world.engine.rollout.ascent.step, 0);
    assert_true(until_step(&world, 1, 10.0));
    /* Copies prove nothing about a weight: the step begins without evidence. */
    world_tick(&world);
    assert_true(world.engine.judge.promote.canary_count < 59.0);
}

static void few_copies_give_no_weight(void **state)
{
    (void)state;
    struct world world;
    struct engine_config config = quick_config();
    config.rollout.mirror_ppm = 50000;
    rollout_open(&world, 4, 0.1, &config); /* 18 copies in an hour */
    assert_true(world_until(&world, ROLLOUT_PAUSED, 3700.0) > 3500.0);
    assert_false(world.has_raised);
}

static void breach_at_each_step_goes_back_to_nothing(void **state)
{
    (void)state;
    for (uint32_t step = 1; step <= 5; step++) {
        struct world world;
        struct engine_config config = quick_config();
        rollout_open(&world, step, 1000.0, &config);
        assert_true(until_step(&world, step, 3600.0));
        world_run(&world, 5.0);
        uint32_t weight_ppm = world.published_ppm;
        world.traffic.canary.fail_ratio = 0.5;
        assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 120.0) > 0.0);
        assert_int_equal(world.published_ppm, 0);
        assert_int_equal(world.record.weight_ppm, weight_ppm);
        assert_int_equal(world.record.status, RECORD_SUCCESS);
    }
}

static void breach_during_the_bake_goes_back_too(void **state)
{
    (void)state;
    struct world world;
    struct engine_config config = quick_config();
    rollout_open(&world, 9, 1000.0, &config);
    assert_true(world_until(&world, ROLLOUT_BAKING, 3600.0) > 0.0);
    world_run(&world, 60.0);
    world.traffic.canary.fail_ratio = 0.5;
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 120.0) > 0.0);
    assert_int_equal(world.published_ppm, 0);
}

static void canary_near_the_limit_is_never_promoted(void **state)
{
    (void)state;
    struct world world;
    struct engine_config config = quick_config();
    rollout_open(&world, 5, 300.0, &config);
    world.traffic.canary.fail_ratio = 0.045;
    for (int i = 0; i < 36500; i++) {
        world_tick(&world);
        assert_true(world.engine.rollout.ascent.step <= 1);
    }
    enum rollout_phase phase = world.engine.rollout.phase;
    assert_true(phase == ROLLOUT_PAUSED || phase == ROLLOUT_ROLLED_BACK);
}

static void without_traffic_it_pauses_after_max_time(void **state)
{
    (void)state;
    struct world world;
    struct engine_config config = quick_config();
    rollout_open(&world, 1, 0.0, &config);
    assert_true(world_until(&world, ROLLOUT_PAUSED, 3700.0) > 3590.0);
    assert_int_equal(world.engine.rollout.ascent.step, 1);
    assert_int_equal(world.alert_count, 1);
    world_run(&world, 7200.0);
    assert_int_equal(world.published_ppm, 10000);
}

static void gates_wait_for_somebody(void **state)
{
    (void)state;
    struct world world;
    struct engine_config config = quick_config();
    config.rollout.ladder =
        (struct ladder){.weights_ppm = {100000, 1000000}, .has_gate = {true}, .count = 2};
    rollout_open(&world, 3, 200.0, &config);
    assert_true(world_until(&world, ROLLOUT_PAUSED, 600.0) > 0.0);
    world_run(&world, 3600.0);
    assert_int_equal(world.published_ppm, 100000);
    struct rollout_command resume = {.kind = ROLLOUT_RESUME};
    assert_int_equal(world_command(&world, resume), OK);
    assert_true(world_until(&world, ROLLOUT_SUCCEEDED, 1200.0) > 0.0);
}

static void restart_keeps_the_step_and_proves_it_again(void **state)
{
    (void)state;
    struct world world;
    struct engine_config config = quick_config();
    rollout_open(&world, 4, 1000.0, &config);
    assert_true(until_step(&world, 3, 3600.0));
    world_run(&world, 59.0);
    struct rollout_journal journal = engine_journal(&world.engine);
    world.wall_us += 3000000;
    world.now_us = 1000000;
    engine_recover(&world.engine, &config, &journal, world.now_us, world.wall_us);
    world.published_ppm = world.engine.rollout.weight_ppm;
    world.published_revision = world.engine.rollout.weight_revision;
    world.traffic.counts = (struct judge_counts){0};
    assert_int_equal(world.published_ppm, 250000);
    world_run(&world, 55.0);
    assert_int_equal(world.published_ppm, 250000);
    assert_true(world_until(&world, ROLLOUT_SUCCEEDED, 3600.0) > 0.0);
}

static void frozen_rollout_goes_on_after_resume(void **state)
{
    (void)state;
    struct world world;
    struct engine_config config = quick_config();
    config.rollout.on_breach = ROLLOUT_FREEZE;
    rollout_open(&world, 6, 1000.0, &config);
    assert_true(until_step(&world, 2, 3600.0));
    world.traffic.canary.fail_ratio = 0.5;
    assert_true(world_until(&world, ROLLOUT_FROZEN, 60.0) > 0.0);
    assert_int_equal(world.published_ppm, 50000);
    world.traffic.canary.fail_ratio = 0.001;
    struct rollout_command resume = {.kind = ROLLOUT_RESUME};
    assert_int_equal(world_command(&world, resume), OK);
    assert_true(world_until(&world, ROLLOUT_SUCCEEDED, 3600.0) > 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_canary_climbs_to_success),
        cmocka_unit_test(bad_canary_that_is_mirrored_to_never_gets_weight),
        cmocka_unit_test(good_canary_that_is_mirrored_to_climbs_after_min_time),
        cmocka_unit_test(few_copies_give_no_weight),
        cmocka_unit_test(breach_at_each_step_goes_back_to_nothing),
        cmocka_unit_test(breach_during_the_bake_goes_back_too),
        cmocka_unit_test(canary_near_the_limit_is_never_promoted),
        cmocka_unit_test(without_traffic_it_pauses_after_max_time),
        cmocka_unit_test(gates_wait_for_somebody),
        cmocka_unit_test(restart_keeps_the_step_and_proves_it_again),
        cmocka_unit_test(frozen_rollout_goes_on_after_resume),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

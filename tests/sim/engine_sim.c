/* Judge, tripwire and rollout together: whole stories of a service, seeded, under a turned clock.
 * Those of the shift back stand in shift_back_sim.c. */
#include "tests/sim/world.h"

/* The canary bears 5 % of the traffic, not 10 %. */
static void weak(struct world *world)
{
    world->traffic.canary.fail_ratio = world->traffic.weight > 0.06 ? 0.2 : 0.0;
}

static void slow_canary_is_rolled_back_for_its_latency(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 3, 200.0, 0.2);
    world.traffic.stable.latency_us = 40000;
    world.traffic.canary.latency_us = 40000;
    world_run(&world, 90.0);
    world.traffic.canary.latency_us = 200000;
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 60.0) > 0.0);
    assert_int_equal(world.record.trigger, RECORD_LATENCY);
    assert_int_equal(world.record.mode, RECORD_GRADUAL);
    assert_true(world.record.phase_s[RECORD_DETECT] >= 0.0);
}

static void failing_health_checks_empty_the_canary_at_once(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1, 1.0, 0.1);
    world_run(&world, 10.0);
    world.input.endpoints.canary_failing = 2;
    world.input.endpoints.canary_live = 0;
    world.input.canary_down_since_us = world.now_us - 4000000;
    world_tick(&world);
    assert_int_equal(world.published_ppm, 0);
    assert_int_equal(world.record.trigger, RECORD_HEALTH);
    assert_true(world.record.phase_s[RECORD_DETECT] > 4.0);
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 10.0) > 0.0);
}

static void fixed_canary_is_released_and_judged_anew(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1, 100.0, 0.1);
    world.traffic.canary.fail_ratio = 1.0;
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 60.0) > 0.0);
    struct rollout_command raise = {.kind = ROLLOUT_SET_WEIGHT, .weight_ppm = 100000};
    assert_int_equal(world_command(&world, raise), ERR_DENIED);
    struct rollout_command release = {.kind = ROLLOUT_RELEASE, .reason = "database was migrated"};
    assert_int_equal(world_command(&world, release), OK);
    assert_int_equal(world_command(&world, raise), OK);
    world.traffic.canary.fail_ratio = 0.0;
    world_run(&world, 120.0);
    assert_int_equal(world.engine.finding.verdict, JUDGE_HEALTHY);
    assert_int_equal(world.published_ppm, 100000);
    world.traffic.canary.fail_ratio = 1.0;
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 60.0) > 0.0);
}

static void restart_in_the_middle_finishes_the_rollback(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 2, 200.0, 0.1);
    world_run(&world, 60.0);
    world.on_tick = weak;
    assert_true(world_until(&world, ROLLOUT_SHIFTING_BACK, 60.0) > 0.0);
    struct rollout_journal journal = engine_journal(&world.engine);
    struct engine_config config = engine_config_default();
    world.wall_us += 3000000;
    world.now_us = 1000000;
    engine_recover(&world.engine, &config, &journal, world.now_us, world.wall_us);
    world.published_ppm = world.engine.rollout.weight_ppm;
    world.published_revision = world.engine.rollout.weight_revision;
    world.traffic.counts = (struct judge_counts){0};
    assert_int_equal(world.published_ppm, 0);
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 10.0) > 0.0);
    assert_int_equal(world.record.status, RECORD_SUCCESS);
    assert_true(world.record.phase_s[RECORD_SHIFT] > 3.0);
}

static void reload_from_alert_to_rollback_acts_on_the_standing_breach(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1, 100.0, 0.1);
    struct engine_config config = engine_config_default();
    config.rollout.on_breach = ROLLOUT_ALERT;
    engine_configure(&world.engine, &config, world.now_us);
    world.traffic.canary.fail_ratio = 1.0;
    world_run(&world, 30.0);
    assert_int_equal(world.engine.finding.verdict, JUDGE_BREACH);
    assert_int_equal(world.published_ppm, 100000);
    assert_int_equal(world.alert_count, 1);
    config.rollout.on_breach = ROLLOUT_ROLLBACK;
    engine_configure(&world.engine, &config, world.now_us);
    world_tick(&world);
    assert_int_equal(world.published_ppm, 0);
}

static void reload_keeps_the_evidence_unless_the_judges_numbers_changed(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1, 100.0, 0.5);
    world_run(&world, 60.0);
    assert_int_equal(world.engine.finding.verdict, JUDGE_HEALTHY);
    struct engine_config config = engine_config_default();
    config.rollout.max_wait_us = 1000000;
    engine_configure(&world.engine, &config, world.now_us);
    world_tick(&world);
    assert_int_equal(world.engine.finding.verdict, JUDGE_HEALTHY);
    config.judge.limit = 0.01;
    engine_configure(&world.engine, &config, world.now_us);
    world_tick(&world);
    assert_int_equal(world.engine.finding.verdict, JUDGE_INSUFFICIENT_DATA);
}

static void reload_that_changes_what_a_failure_is_drops_the_evidence(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1, 100.0, 0.5);
    world_run(&world, 60.0);
    assert_int_equal(world.engine.finding.verdict, JUDGE_HEALTHY);
    struct engine_config config = engine_config_default();
    config.judge.criteria = 1;
    engine_configure(&world.engine, &config, world.now_us);
    world_tick(&world);
    assert_int_equal(world.engine.finding.verdict, JUDGE_INSUFFICIENT_DATA);
}

static void another_deployment_is_judged_on_its_own_counters(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1, 100.0, 0.1);
    world_run(&world, 60.0);
    struct rollout_command deploy = {.kind = ROLLOUT_DEPLOY, .weight_ppm = 200000};
    assert_int_equal(world_command(&world, deploy), OK);
    assert_int_equal(world.published_ppm, 200000);
    world.traffic.counts.canary_count += 5000; /* the ledger of an object with a past */
    world.traffic.counts.canary_failed += 5000;
    world_run(&world, 60.0);
    assert_int_equal(world.engine.rollout.phase, ROLLOUT_IDLE);
    world.traffic.canary.fail_ratio = 1.0;
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 60.0) > 0.0);
    assert_int_equal(world.record.weight_ppm, 200000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_canary_is_rolled_back_for_its_latency),
        cmocka_unit_test(failing_health_checks_empty_the_canary_at_once),
        cmocka_unit_test(fixed_canary_is_released_and_judged_anew),
        cmocka_unit_test(restart_in_the_middle_finishes_the_rollback),
        cmocka_unit_test(reload_from_alert_to_rollback_acts_on_the_standing_breach),
        cmocka_unit_test(reload_keeps_the_evidence_unless_the_judges_numbers_changed),
        cmocka_unit_test(reload_that_changes_what_a_failure_is_drops_the_evidence),
        cmocka_unit_test(another_deployment_is_judged_on_its_own_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Judge, tripwire and rollout together: whole stories of a service, seeded, under a turned clock.
 */
#include "tests/sim/world.h"

static void bad_canary_is_rolled_back_and_recorded(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world world;
        world_open(&world, seed, 100.0, 0.1);
        world_run(&world, 120.0);
        uint64_t broke_us = world.now_us;
        uint64_t bad_before = world.traffic.counts.client_bad;
        world.traffic.canary.fail_ratio = 0.3;
        assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 60.0) > 0.0);
        assert_false(world.has_raised);
        assert_int_equal(world.published_ppm, 0);
        const struct record *record = &world.record;
        assert_int_equal(record->status, RECORD_SUCCESS);
        assert_int_equal(record->trigger, RECORD_ERROR_RATE);
        assert_true(record->phase_s[RECORD_SHIFT] < 25.0);
        assert_true(record->phase_s[RECORD_DETECT] <= record->phase_s[RECORD_SHIFT]);
        assert_true(record->phase_s[RECORD_SHIFT] <= record->phase_s[RECORD_VERIFY]);
        /* The first bad response is dated to when it broke, give or take a failure of the quiet
         * time before. */
        int64_t broke_wall_us = world.wall_us - (int64_t)(world.now_us - broke_us);
        assert_true(record->first_bad_wall_us > broke_wall_us - 5000000);
        assert_true(record->first_bad_wall_us < broke_wall_us + 2000000);
        assert_true(record->bad_client >= 3);
        assert_true(record->bad_client <= world.traffic.counts.client_bad - bad_before + 2);
    }
}

static void
dead_canary_at_ten_requests_a_second_is_gone_within_three_seconds_of_detection(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world world;
        world_open(&world, seed, 10.0, 0.5);
        world_run(&world, 60.0);
        world.traffic.canary.fail_ratio = 1.0;
        assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 60.0) > 0.0);
        const struct record *record = &world.record;
        assert_true(record->phase_s[RECORD_SHIFT] - record->phase_s[RECORD_DETECT] < 0.5);
        assert_int_equal(record->mode, RECORD_INSTANT);
        assert_true(record->bad_client < 25);
    }
}

static void outage_of_both_versions_shifts_nothing_and_alerts_once(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world world;
        world_open(&world, seed, 100.0, 0.1);
        world_run(&world, 60.0);
        world.traffic.canary.fail_ratio = 0.6;
        world.traffic.stable.fail_ratio = 0.6;
        world_run(&world, 120.0);
        assert_int_equal(world.engine.finding.verdict, JUDGE_SUSPICIOUS);
        assert_int_equal(world.engine.finding.reason, JUDGE_REASON_SHARED_OUTAGE);
        assert_int_equal(world.alert_count, 1);
        world.traffic.canary.fail_ratio = 0.001;
        world.traffic.stable.fail_ratio = 0.001;
        world_run(&world, 120.0);
        assert_int_equal(world.engine.rollout.phase, ROLLOUT_IDLE);
        assert_int_equal(world.published_ppm, 100000);
    }
}

/* Stable fails 15 % when it has to carry more than 92 % of the traffic; the canary fails above 7 %
 * of it. */
static void overload(struct world *world)
{
    double weight = world->traffic.weight;
    world->traffic.stable.fail_ratio = weight < 0.08 ? 0.15 : 0.001;
    world->traffic.canary.fail_ratio = weight > 0.07 ? 0.12 : 0.0;
}

static void shift_waits_for_a_stable_version_that_the_return_overloads(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 4, 200.0, 0.1);
    world_run(&world, 90.0);
    world.on_tick = overload;
    assert_true(world_until(&world, ROLLOUT_SHIFTING_BACK, 60.0) > 0.0);
    assert_int_equal(world.published_ppm, 50000);
    double took_s = world_until(&world, ROLLOUT_VERIFYING, 90.0);
    assert_true(took_s > 30.0);
    assert_true(took_s < 40.0);
    assert_true(world.wait_count >= 1);
    /* Stable goes on failing 15 %: the return cannot be confirmed, and says so. */
    assert_true(world_until(&world, ROLLOUT_ROLLBACK_FAILED, 90.0) > 0.0);
    assert_int_equal(world.record.status, RECORD_FAILED);
}

/* The canary bears 5 % of the traffic, not 10 %. */
static void weak(struct world *world)
{
    world->traffic.canary.fail_ratio = world->traffic.weight > 0.06 ? 0.2 : 0.0;
}

static void canary_that_recovers_at_lower_weight_leaves_by_steps(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 2, 200.0, 0.1);
    world_run(&world, 60.0);
    world.on_tick = weak;
    assert_true(world_until(&world, ROLLOUT_SHIFTING_BACK, 60.0) > 0.0);
    double took_s = world_until(&world, ROLLOUT_VERIFYING, 30.0);
    assert_true(took_s > 5.9);
    assert_true(took_s < 6.5);
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 10.0) > 0.0);
}

static void one_bad_endpoint_among_many_is_still_a_bad_canary(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 3, 200.0, 0.2);
    world_run(&world, 60.0);
    world.traffic.canary.fail_ratio = 0.25;
    world.input.endpoints.canary_live = 1;
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 60.0) > 0.0);
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

static void no_traffic_decides_nothing(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1, 0.0, 0.5);
    world_run(&world, 3600.0);
    assert_int_equal(world.engine.rollout.phase, ROLLOUT_IDLE);
    assert_int_equal(world.engine.finding.verdict, JUDGE_INSUFFICIENT_DATA);
    assert_int_equal(world.published_ppm, 500000);
}

static void one_request_a_minute_is_enough_to_find_a_dead_canary(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1, 1.0 / 60.0, 0.5);
    world_run(&world, 1800.0);
    uint64_t before = world.traffic.counts.canary_failed;
    world.traffic.canary.fail_ratio = 1.0;
    double took_s = world_until(&world, ROLLOUT_ROLLED_BACK, 7200.0);
    assert_true(took_s > 0.0);
    assert_true(took_s < 3600.0);
    assert_true(world.traffic.counts.canary_failed - before <= 8);
}

static void counters_that_start_over_change_nothing(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1, 100.0, 0.1);
    world_run(&world, 60.0);
    world.traffic.counts = (struct judge_counts){.canary_count = 30, .canary_failed = 30};
    world_run(&world, 60.0);
    world.traffic.counts = (struct judge_counts){.stable_count = 900, .stable_failed = 900};
    world_run(&world, 60.0);
    assert_int_equal(world.engine.rollout.phase, ROLLOUT_IDLE);
    world.traffic.canary.fail_ratio = 1.0;
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 30.0) > 0.0);
}

static void one_burst_of_failures_is_forgiven(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world world;
        world_open(&world, seed, 500.0, 0.1);
        world_run(&world, 60.0);
        world.traffic.counts.canary_count += 60; /* a process died with what it had in hand */
        world.traffic.counts.canary_failed += 60;
        world_run(&world, 60.0);
        assert_int_equal(world.engine.rollout.phase, ROLLOUT_IDLE);
    }
}

static void flapping_canary_is_found(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 6, 100.0, 0.2);
    world_run(&world, 60.0);
    bool is_found = false;
    for (int i = 0; i < 30 && !is_found; i++) {
        world.traffic.canary.fail_ratio = i % 2 == 0 ? 0.8 : 0.0;
        world_run(&world, 2.0);
        is_found = world.engine.rollout.phase != ROLLOUT_IDLE;
    }
    assert_true(is_found);
    world.traffic.canary.fail_ratio = 0.0;
    world_run(&world, 60.0);
    assert_int_equal(world.published_ppm, 0); /* it does not come back by itself */
    assert_false(world.has_raised);
}

static void jumping_clocks_shift_nothing_and_hide_nothing(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 8, 100.0, 0.1);
    world_run(&world, 60.0);
    world.now_us += UINT64_C(7200000000); /* the machine slept */
    world_run(&world, 30.0);
    world.wall_us -= INT64_C(86400000000); /* somebody set the date */
    world_run(&world, 30.0);
    assert_int_equal(world.engine.rollout.phase, ROLLOUT_IDLE);
    world.traffic.canary.fail_ratio = 0.2;
    assert_true(world_until(&world, ROLLOUT_SHIFTING_BACK, 60.0) > 0.0);
    world.now_us += UINT64_C(60000000);
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 30.0) > 0.0);
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

static void dead_stable_is_shown_and_waited_for(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1, 100.0, 0.1);
    world_run(&world, 60.0);
    world.input.endpoints.stable_live = 0;
    world.traffic.canary.fail_ratio = 1.0;
    world_run(&world, 30.0);
    assert_int_equal(world.published_ppm, 100000);
    assert_int_equal(world.engine.finding.verdict, JUDGE_SUSPICIOUS);
    assert_int_equal(world.engine.finding.reason, JUDGE_REASON_SHARED_OUTAGE);
    world.input.endpoints.stable_live = 1;
    world_tick(&world);
    assert_int_equal(world.published_ppm, 0);
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
        cmocka_unit_test(bad_canary_is_rolled_back_and_recorded),
        cmocka_unit_test(
            dead_canary_at_ten_requests_a_second_is_gone_within_three_seconds_of_detection),
        cmocka_unit_test(outage_of_both_versions_shifts_nothing_and_alerts_once),
        cmocka_unit_test(shift_waits_for_a_stable_version_that_the_return_overloads),
        cmocka_unit_test(canary_that_recovers_at_lower_weight_leaves_by_steps),
        cmocka_unit_test(one_bad_endpoint_among_many_is_still_a_bad_canary),
        cmocka_unit_test(slow_canary_is_rolled_back_for_its_latency),
        cmocka_unit_test(no_traffic_decides_nothing),
        cmocka_unit_test(one_request_a_minute_is_enough_to_find_a_dead_canary),
        cmocka_unit_test(counters_that_start_over_change_nothing),
        cmocka_unit_test(one_burst_of_failures_is_forgiven),
        cmocka_unit_test(flapping_canary_is_found),
        cmocka_unit_test(jumping_clocks_shift_nothing_and_hide_nothing),
        cmocka_unit_test(failing_health_checks_empty_the_canary_at_once),
        cmocka_unit_test(dead_stable_is_shown_and_waited_for),
        cmocka_unit_test(fixed_canary_is_released_and_judged_anew),
        cmocka_unit_test(restart_in_the_middle_finishes_the_rollback),
        cmocka_unit_test(reload_from_alert_to_rollback_acts_on_the_standing_breach),
        cmocka_unit_test(reload_keeps_the_evidence_unless_the_judges_numbers_changed),
        cmocka_unit_test(reload_that_changes_what_a_failure_is_drops_the_evidence),
        cmocka_unit_test(another_deployment_is_judged_on_its_own_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

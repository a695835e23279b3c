/* The shift back where there is reason to doubt: situations 6 to 11 of the list in
 * shift_back_sim.c.
 */
#include <stdlib.h>

#include "proxy/upstream/eject.h"
#include "tests/sim/shift_back.h"

/* ---- 6: one bad endpoint among many ---- */

enum { ENDPOINTS = 4 };
static const struct eject_policy EJECT = {5, 30000000, 500000};
static struct eject_state bad_endpoint;
static uint64_t bad_endpoint_seen;
static bool was_step_allowed; /* while it was ejected */

/* One of four endpoints fails all it gets, until the workers leave it alone. */
static void one_bad_endpoint(struct world *world)
{
    uint64_t failed = world->traffic.counts.canary_failed - bad_endpoint_seen;
    bad_endpoint_seen = world->traffic.counts.canary_failed;
    struct eject_crowd crowd = {.endpoints = ENDPOINTS, .usable = ENDPOINTS};
    for (uint64_t i = 0; i < failed; i++) {
        (void)eject_on_failure(&EJECT, &bad_endpoint, &crowd, world->now_us);
    }
    (void)eject_has_returned(&bad_endpoint, world->now_us);
    bool is_ejected = bad_endpoint.is_ejected;
    world->traffic.canary.fail_ratio = is_ejected ? 0.0 : 1.0 / ENDPOINTS;
    world->input.endpoints.canary_endpoints = ENDPOINTS;
    was_step_allowed |= is_ejected && world->input.endpoints.canary_live < ENDPOINTS &&
                        world->engine.seen.is_promotable;
    world->input.endpoints.canary_live = is_ejected ? ENDPOINTS - 1 : ENDPOINTS;
}

static void one_bad_endpoint_among_many_is_ejected_and_only_suspicious(void **state)
{
    (void)state;
    static const double RATES[] = {40.0, 200.0, 1000.0};
    for (size_t i = 0; i < COUNT_OF(RATES); i++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct world world;
            bad_endpoint = (struct eject_state){0};
            bad_endpoint_seen = 0;
            was_step_allowed = false;
            world_open(&world, seed, RATES[i], 0.2);
            world.traffic.canary.fail_ratio = 0.0;
            world_run(&world, 60.0);
            world.on_tick = one_bad_endpoint;
            world_run(&world, 20.0);
            assert_int_equal(world.engine.finding.verdict, JUDGE_SUSPICIOUS);
            assert_int_equal(world.engine.finding.reason, JUDGE_REASON_HEALTH);
            world_run(&world, 600.0);
            assert_untouched(&world, 200000);
            assert_int_equal(world.worst, JUDGE_SUSPICIOUS);
            assert_int_equal(world.alert_count, 0);
            assert_false(was_step_allowed);
        }
    }
}

static void failures_that_ejection_does_not_end_are_the_canarys(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 3, 200.0, 0.2);
    world_run(&world, 60.0);
    world.traffic.canary.fail_ratio = 0.25;
    world.input.endpoints.canary_live = 1;
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 60.0) > 0.0);
    assert_falling_to_nothing(&world);
    assert_nobody_waited(&world);
}

/* ---- 7: burst of failures ---- */

static void bursts_of_failures_are_forgiven(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        unsigned times;
    } BURSTS[] = {{10, 3}, {60, 3}, {400, 1}};
    for (size_t i = 0; i < COUNT_OF(BURSTS); i++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct world world;
            world_open(&world, seed, 500.0, 0.1);
            world_run(&world, 60.0);
            for (unsigned burst = 0; burst < BURSTS[i].times; burst++) {
                struct judge_counts *counts = &world.traffic.counts;
                counts->canary_count += BURSTS[i].size; /* a process died with all it had in hand */
                counts->canary_failed += BURSTS[i].size;
                counts->client_bad += BURSTS[i].size;
                world_run(&world, 300.0);
            }
            assert_untouched(&world, 100000);
            assert_int_not_equal(world.worst, JUDGE_BREACH);
            assert_int_equal(world.alert_count, 0);
        }
    }
}

/* A burst of stable's makes one look like many for a while (phi): found later, and found. */
static void canary_that_breaks_after_a_burst_of_stables_is_found(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct world world;
        world_open(&world, seed, 200.0, 0.1);
        world_run(&world, 60.0);
        world.traffic.counts.stable_count += 90;
        world.traffic.counts.stable_failed += 90;
        world_run(&world, 60.0);
        assert_untouched(&world, 100000);
        world.traffic.canary.fail_ratio = 0.2;
        double took_s = world_until(&world, ROLLOUT_ROLLED_BACK, 600.0);
        assert_true(took_s > 0.0);
        assert_true(took_s < 300.0);
        assert_falling_to_nothing(&world);
        assert_nobody_waited(&world);
    }
}

/* ---- 8: no traffic ---- */

static void no_traffic_decides_nothing(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1, 0.0, 0.5);
    world_run(&world, 3600.0);
    assert_untouched(&world, 500000);
    assert_int_equal(world.engine.finding.verdict, JUDGE_INSUFFICIENT_DATA);
    assert_int_equal(world.alert_count, 0);
}

static void shift_ends_by_the_clock_when_traffic_does(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 2, 200.0, 0.1);
    world_run(&world, 60.0);
    world.traffic.canary.fail_ratio = 0.2;
    assert_true(world_until(&world, ROLLOUT_SHIFTING_BACK, 60.0) > 0.0);
    world.traffic.rate = 0.0;
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 20.0) > 0.0);
    static const uint32_t PLAN[] = {50000, 25000, 10000, 0};
    assert_steps(&world, PLAN, COUNT_OF(PLAN), 2.0);
    assert_nobody_waited(&world);
    assert_record(&world.record, RECORD_SUCCESS, RECORD_GRADUAL, 100000);
}

/* ---- 9: 1 request a minute ---- */

static void one_request_a_minute_is_enough_to_find_a_dead_canary(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct world world;
        world_open(&world, seed, 1.0 / 60.0, 0.5);
        world_run(&world, 1800.0);
        uint64_t before = world.traffic.counts.canary_failed;
        world.traffic.canary.fail_ratio = 1.0;
        double took_s = world_until(&world, ROLLOUT_ROLLED_BACK, 7200.0);
        assert_true(took_s > 0.0);
        assert_true(took_s < 3600.0);
        assert_true(world.traffic.counts.canary_failed - before <= 8);
        static const uint32_t AT_ONCE[] = {0};
        assert_steps(&world, AT_ONCE, 1, 0.0);
        assert_nobody_waited(&world);
        assert_record(&world.record, RECORD_SUCCESS, RECORD_INSTANT, 500000);
        assert_true(world.record.bad_client <= 8);
    }
}

static void one_failure_an_hour_at_one_request_a_minute_is_no_breach(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 7, 1.0 / 60.0, 0.5);
    world.traffic.canary.fail_ratio = 0.02;
    world.traffic.stable.fail_ratio = 0.02;
    world_run(&world, 6.0 * 3600.0);
    assert_untouched(&world, 500000);
}

/* ---- 10: counters reset ---- */

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
    world.traffic.counts = (struct judge_counts){0};
    world_run(&world, 60.0);
    assert_untouched(&world, 100000);
    world.traffic.canary.fail_ratio = 1.0;
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 30.0) > 0.0);
    assert_falling_to_nothing(&world);
}

static void counters_that_start_over_do_not_undo_a_shift(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 2, 200.0, 0.1);
    world_run(&world, 60.0);
    world.on_tick = weak_canary;
    assert_true(world_until(&world, ROLLOUT_SHIFTING_BACK, 60.0) > 0.0);
    uint64_t bad = world.record.bad_origin;
    world_run(&world, 3.0);
    world.traffic.counts = (struct judge_counts){0};
    assert_true(world_until(&world, ROLLOUT_VERIFYING, 30.0) > 0.0);
    world.traffic.counts = (struct judge_counts){0};
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 30.0) > 0.0);
    static const uint32_t PLAN[] = {50000, 25000, 10000, 0};
    assert_steps(&world, PLAN, COUNT_OF(PLAN), 2.0);
    assert_nobody_waited(&world);
    assert_record(&world.record, RECORD_SUCCESS, RECORD_GRADUAL, 100000);
    assert_true(world.record.bad_origin >= bad);
    assert_true(world.record.bad_origin < bad + 20);
}

/* ---- 11: clock jumps ---- */

static void wall_clock_that_is_set_shifts_nothing_and_stretches_no_duration(void **state)
{
    (void)state;
    static const int64_t JUMPS_US[] = {INT64_C(86400000000), -INT64_C(86400000000),
                                       INT64_C(315360000000000)};
    for (size_t i = 0; i < COUNT_OF(JUMPS_US); i++) {
        struct world world;
        world_open(&world, 8, 200.0, 0.1);
        world_run(&world, 60.0);
        world.wall_us += JUMPS_US[i];
        world_run(&world, 60.0);
        assert_untouched(&world, 100000);
        int64_t broke_wall_us = world.wall_us;
        world.on_tick = weak_canary;
        assert_true(world_until(&world, ROLLOUT_SHIFTING_BACK, 60.0) > 0.0);
        world_run(&world, 1.0);
        world.wall_us += JUMPS_US[i];
        assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 30.0) > 0.0);
        static const uint32_t PLAN[] = {50000, 25000, 10000, 0};
        assert_steps(&world, PLAN, COUNT_OF(PLAN), 2.0);
        assert_nobody_waited(&world);
        assert_record(&world.record, RECORD_SUCCESS, RECORD_GRADUAL, 100000);
        assert_true(world.record.phase_s[RECORD_VERIFY] < 60.0);
        assert_true(llabs(world.record.first_bad_wall_us - broke_wall_us) < 20000000);
    }
}

/* The monotonic clock stands while a machine sleeps, the wall clock does not; what was open breaks.
 */
static void suspend(struct world *world, int64_t slept_us, uint64_t broken)
{
    world->wall_us += slept_us;
    world->traffic.counts.canary_count += broken;
    world->traffic.counts.canary_failed += broken;
    world->traffic.counts.stable_count += 9 * broken;
    world->traffic.counts.stable_failed += 9 * broken;
}

static void suspended_machine_wakes_up_where_it_was(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 9, 200.0, 0.1);
    world_run(&world, 60.0);
    suspend(&world, INT64_C(600000000), 2);
    world_run(&world, 60.0);
    assert_untouched(&world, 100000);
    world.on_tick = weak_canary;
    assert_true(world_until(&world, ROLLOUT_SHIFTING_BACK, 60.0) > 0.0);
    world_run(&world, 1.0);
    suspend(&world, INT64_C(600000000), 0);
    assert_true(world_until(&world, ROLLOUT_VERIFYING, 30.0) > 0.0);
    suspend(&world, INT64_C(600000000), 0);
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 30.0) > 0.0);
    static const uint32_t PLAN[] = {50000, 25000, 10000, 0};
    assert_steps(&world, PLAN, COUNT_OF(PLAN), 2.0);
    assert_nobody_waited(&world);
    assert_record(&world.record, RECORD_SUCCESS, RECORD_GRADUAL, 100000);
}

/* Control did not run while workers did: one look sees all that happened. */
static void stall(struct world *world, double seconds)
{
    world->now_us += (uint64_t)(seconds * 1e6);
    world->wall_us += (int64_t)(seconds * 1e6);
    traffic_tick(&world->traffic, seconds);
}

static void stalled_control_finds_what_happened_meanwhile(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 8, 100.0, 0.1);
    world_run(&world, 60.0);
    stall(&world, 120.0);
    world_run(&world, 60.0);
    assert_untouched(&world, 100000);
    world.traffic.canary.fail_ratio = 1.0;
    stall(&world, 120.0);
    double took_s = world_until(&world, ROLLOUT_SHIFTING_BACK, 10.0);
    assert_true(took_s >= 0.0);
    assert_true(took_s < 3.0);
    assert_true(world.record.phase_s[RECORD_DETECT] > 110.0); /* it began before the stall ended */
    stall(&world, 60.0);
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 30.0) > 0.0);
    static const uint32_t AT_ONCE[] = {0};
    assert_steps(&world, AT_ONCE, 1, 0.0);
    assert_nobody_waited(&world);
    assert_record(&world.record, RECORD_SUCCESS, RECORD_INSTANT, 100000);
}

static void stall_in_the_shift_skips_no_step(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 2, 200.0, 0.1);
    world_run(&world, 60.0);
    world.on_tick = weak_canary;
    assert_true(world_until(&world, ROLLOUT_SHIFTING_BACK, 60.0) > 0.0);
    world_run(&world, 1.0);
    world.traffic.canary.fail_ratio = 0.0;
    stall(&world, 300.0);
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 30.0) > 0.0);
    assert_int_equal(world.shift_count, 4);
    assert_falling_to_nothing(&world);
    assert_true(seconds_between(world.shifts[1].at_us, world.shifts[2].at_us) >= 2.0);
    assert_nobody_waited(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_bad_endpoint_among_many_is_ejected_and_only_suspicious),
        cmocka_unit_test(failures_that_ejection_does_not_end_are_the_canarys),
        cmocka_unit_test(bursts_of_failures_are_forgiven),
        cmocka_unit_test(canary_that_breaks_after_a_burst_of_stables_is_found),
        cmocka_unit_test(no_traffic_decides_nothing),
        cmocka_unit_test(shift_ends_by_the_clock_when_traffic_does),
        cmocka_unit_test(one_request_a_minute_is_enough_to_find_a_dead_canary),
        cmocka_unit_test(one_failure_an_hour_at_one_request_a_minute_is_no_breach),
        cmocka_unit_test(counters_that_start_over_change_nothing),
        cmocka_unit_test(counters_that_start_over_do_not_undo_a_shift),
        cmocka_unit_test(wall_clock_that_is_set_shifts_nothing_and_stretches_no_duration),
        cmocka_unit_test(suspended_machine_wakes_up_where_it_was),
        cmocka_unit_test(stalled_control_finds_what_happened_meanwhile),
        cmocka_unit_test(stall_in_the_shift_skips_no_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

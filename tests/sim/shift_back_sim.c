/* The shift back in each situation that it has to look at, seeded, under a turned clock. Each story
 * says which weights were published and when, where it ended, what the record tells, and who waited
 * for whom. Here:
 *
 *    1  canary bad                        goes by steps or at once; nobody waits
 *    2  both bad                          nothing moves, one alert; a canary that is worse goes
 *    3  stable overloaded by the return   steps wait, max_wait at most; not for a bad canary
 *    4  canary recovers at lower weight   leaves by every step of the plan
 *    5  flapping                          found, and stays away when it is well again
 *
 * and in shift_back_doubt_sim.c, where there is more to doubt:
 *
 *    6  one bad endpoint among many       ejected, suspicious at most, no step up meanwhile
 *    7  burst of failures                 forgiven, also again and again
 *    8  no traffic                        decides nothing; a shift that runs ends all the same
 *    9  1 request a minute                enough
 *   10  counters reset                    change nothing, before, in and after a shift
 *   11  clock jumps                       wall clock set, machine suspended, control stalled */
#include "tests/sim/shift_back.h"

/* ---- 1: canary bad ---- */

static void bad_canary_goes_and_nobody_waits(void **state)
{
    (void)state;
    static const double RATIOS[] = {0.08, 0.2, 0.4};
    for (size_t i = 0; i < COUNT_OF(RATIOS); i++) {
        for (uint64_t seed = 1; seed <= 5; seed++) {
            struct world world;
            world_open(&world, seed, 200.0, 0.1);
            world_run(&world, 120.0);
            uint64_t bad_before = world.traffic.counts.client_bad;
            int64_t broke_wall_us = world.wall_us;
            world.traffic.canary.fail_ratio = RATIOS[i];
            assert_true(world_until(&world, ROLLOUT_VERIFYING, 120.0) > 0.0);
            assert_falling_to_nothing(&world);
            /* By chance a few failures in a row may look severe. */
            const struct judge_tally *counts = &world.record.counts;
            bool is_severe = counts->canary_failed >= 0.5 * counts->canary_count;
            assert_int_equal(world.shifts[0].weight_ppm, is_severe ? 0 : 50000);
            /* It may look well for a step or two, never for longer than the whole plan. */
            double shift_s = seconds_between(world.shifts[0].at_us, world.now_us);
            assert_true(shift_s <= 6.0 + 2.0 * TICK_S);
            assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 10.0) > 0.0);
            assert_nobody_waited(&world);
            enum record_mode mode = is_severe ? RECORD_INSTANT : RECORD_GRADUAL;
            assert_record(&world.record, RECORD_SUCCESS, mode, 100000);
            /* Dated to when it broke, give or take a failure of the quiet time before. */
            assert_true(world.record.first_bad_wall_us > broke_wall_us - 10000000);
            assert_true(world.record.first_bad_wall_us < broke_wall_us + 5000000);
            uint64_t bad = world.traffic.counts.client_bad - bad_before;
            assert_true(world.record.bad_client <= bad + 3);
            assert_true(world.record.bad_client + 3 >= bad);
        }
    }
}

static void dead_canary_goes_at_once(void **state)
{
    (void)state;
    static const double RATES[] = {10.0, 1000.0};
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world world;
        double rate = RATES[seed % 2];
        world_open(&world, seed, rate, 0.5);
        world_run(&world, 60.0);
        world.traffic.canary.fail_ratio = 1.0;
        assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 60.0) > 0.0);
        static const uint32_t AT_ONCE[] = {0};
        assert_steps(&world, AT_ONCE, 1, 0.0);
        assert_nobody_waited(&world);
        assert_record(&world.record, RECORD_SUCCESS, RECORD_INSTANT, 500000);
        const double *phase_s = world.record.phase_s;
        assert_true(phase_s[RECORD_SHIFT] - phase_s[RECORD_DETECT] < 0.5);
        assert_true((double)world.record.bad_client < 15.0 + 0.5 * rate);
    }
}

/* ---- 2: both bad ---- */

static void outage_of_both_moves_nothing_and_alerts_once(void **state)
{
    (void)state;
    static const double RATIOS[] = {0.3, 0.6, 1.0};
    for (size_t i = 0; i < COUNT_OF(RATIOS); i++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct world world;
            world_open(&world, seed, 100.0, 0.1);
            world_run(&world, 60.0);
            world.traffic.canary.fail_ratio = RATIOS[i];
            world.traffic.stable.fail_ratio = RATIOS[i];
            world_run(&world, 180.0);
            assert_int_equal(world.engine.finding.verdict, JUDGE_SUSPICIOUS);
            assert_int_equal(world.engine.finding.reason, JUDGE_REASON_SHARED_OUTAGE);
            world.traffic.canary.fail_ratio = 0.001;
            world.traffic.stable.fail_ratio = 0.001;
            world_run(&world, 120.0);
            assert_untouched(&world, 100000);
            assert_int_equal(world.worst, JUDGE_SUSPICIOUS);
            assert_int_equal(world.alert_count, 1);
        }
    }
}

/* Evidence comes in slowly beside a stable version in trouble, so this one is not even told of. */
static void mild_outage_of_both_moves_nothing(void **state)
{
    (void)state;
    static const double RATES[] = {20.0, 100.0, 1000.0};
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct world world;
        world_open(&world, seed, RATES[seed % 3], 0.3);
        world_run(&world, 60.0);
        world.traffic.canary.fail_ratio = 0.08;
        world.traffic.stable.fail_ratio = 0.08;
        world_run(&world, 300.0);
        assert_untouched(&world, 300000);
        assert_int_not_equal(world.worst, JUDGE_BREACH);
        assert_false(world.engine.seen.is_promotable);
    }
}

static void canary_that_is_worse_in_an_outage_goes_without_waiting(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 3, 1000.0, 0.1);
    world_run(&world, 120.0);
    world.traffic.stable.fail_ratio = 0.1;
    world.traffic.canary.fail_ratio = 0.8;
    assert_true(world_until(&world, ROLLOUT_VERIFYING, 60.0) > 0.0);
    assert_falling_to_nothing(&world);
    assert_nobody_waited(&world);
    world.traffic.stable.fail_ratio = 0.001;
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 60.0) > 0.0);
    assert_record(&world.record, RECORD_SUCCESS, RECORD_INSTANT, 100000);
}

static void dead_stable_version_is_told_of_and_nothing_moves(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 1, 100.0, 0.1);
    world_run(&world, 60.0);
    world.input.endpoints.stable_live = 0;
    world.traffic.canary.fail_ratio = 1.0;
    world_run(&world, 30.0);
    assert_int_equal(world.shift_count, 0);
    assert_int_equal(world.hold_count, 1);
    assert_int_equal(world.engine.finding.reason, JUDGE_REASON_SHARED_OUTAGE);
    world.input.endpoints.stable_live = 1;
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 10.0) > 0.0);
    assert_falling_to_nothing(&world);
    assert_int_equal(world.hold_count, 1);
}

/* ---- 3: stable overloaded by the return ---- */

/* Stable bears 92 % of the traffic and no more; the canary fails above 7 % of it. */
static void overload_by_failures(struct world *world)
{
    double weight = world->traffic.weight;
    world->traffic.stable.fail_ratio = weight < 0.08 ? 0.15 : 0.001;
    world->traffic.canary.fail_ratio = weight > 0.07 ? 0.12 : 0.0;
}

/* The same, told by its times: they grow with its share. */
static void overload_by_time(struct world *world)
{
    double weight = world->traffic.weight;
    world->traffic.stable.latency_us = weight < 0.08 ? 200000 : 40000;
    world->traffic.canary.latency_us = 40000;
    world->traffic.canary.fail_ratio = weight > 0.07 ? 0.12 : 0.0;
}

/* Stable has warmed up 8 s after it got more. */
static void overload_for_a_while(struct world *world)
{
    double weight = world->traffic.weight;
    bool is_warming =
        world->shift_count == 1 && seconds_between(world->shifts[0].at_us, world->now_us) < 8.0;
    world->traffic.stable.fail_ratio = is_warming ? 0.15 : 0.001;
    world->traffic.canary.fail_ratio = weight > 0.07 ? 0.12 : 0.0;
}

/* Stable suffers, and the canary is as bad at any weight. */
static void overload_beside_a_bad_canary(struct world *world)
{
    overload_by_failures(world);
    world->traffic.canary.fail_ratio = 0.3;
}

static void overload_world(struct world *world, uint64_t seed, void (*on_tick)(struct world *world))
{
    world_open(world, seed, 200.0, 0.1);
    world->traffic.stable.latency_us = 40000;
    world->traffic.canary.latency_us = 40000;
    world_run(world, 90.0);
    world->on_tick = on_tick;
    assert_true(world_until(world, ROLLOUT_SHIFTING_BACK, 60.0) > 0.0);
    assert_int_equal(world->published_ppm, 50000);
}

static void shift_waits_for_a_stable_version_that_fails_under_the_return(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct world world;
        overload_world(&world, seed, overload_by_failures);
        double took_s = world_until(&world, ROLLOUT_VERIFYING, 90.0);
        assert_falling_to_nothing(&world);
        assert_int_equal(world.shift_count, 4);
        assert_true(world.wait_count >= 1);
        double waited_s = (double)world.waited_us / 1e6;
        assert_true(waited_s > 28.0); /* max_wait is 30 s */
        assert_true(waited_s < 30.0 + 3.0 * TICK_S);
        assert_true(took_s > waited_s);
        assert_true(took_s < 40.0);
        assert_int_equal(world.hold_count, 0);
        /* It goes on failing: the return cannot be confirmed, and says so. */
        assert_true(world_until(&world, ROLLOUT_ROLLBACK_FAILED, 90.0) > 0.0);
        assert_record(&world.record, RECORD_FAILED, RECORD_GRADUAL, 100000);
        assert_int_equal(world.published_ppm, 0);
        world.on_tick = NULL; /* somebody gave it more machines */
        world.traffic.stable.fail_ratio = 0.001;
        assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 10.0) > 0.0);
        assert_int_equal(world.record.status, RECORD_SUCCESS);
    }
}

static void shift_waits_for_a_stable_version_that_gets_slow(void **state)
{
    (void)state;
    struct world world;
    overload_world(&world, 4, overload_by_time);
    double took_s = world_until(&world, ROLLOUT_VERIFYING, 90.0);
    assert_falling_to_nothing(&world);
    assert_true(world.wait_count >= 1);
    assert_true(took_s > 30.0);
    assert_true(took_s < 40.0);
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 10.0) > 0.0);
    assert_record(&world.record, RECORD_SUCCESS, RECORD_GRADUAL, 100000);
}

static void shift_goes_on_as_soon_as_stable_is_well(void **state)
{
    (void)state;
    struct world world;
    overload_world(&world, 5, overload_for_a_while);
    double took_s = world_until(&world, ROLLOUT_VERIFYING, 90.0);
    assert_falling_to_nothing(&world);
    assert_int_equal(world.wait_count, 1);
    assert_true(world.waited_us > 5000000);
    assert_true(world.waited_us < 25000000);
    assert_true(took_s < 30.0);
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 10.0) > 0.0);
}

static void nothing_waits_beside_a_canary_that_goes_on_failing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct world world;
        overload_world(&world, seed, overload_beside_a_bad_canary);
        double took_s = world_until(&world, ROLLOUT_VERIFYING, 90.0);
        assert_true(took_s >= 0.0);
        assert_true(took_s < 4.5);
        assert_falling_to_nothing(&world);
        assert_true(world.waited_us <= 2000000);
    }
}

/* ---- 4: canary recovers at lower weight ---- */

static void canary_that_is_well_at_less_leaves_by_every_step(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct world world;
        world_open(&world, seed, 200.0, 0.1);
        world_run(&world, 60.0);
        world.on_tick = weak_canary;
        assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 60.0) > 0.0);
        static const uint32_t PLAN[] = {50000, 25000, 10000, 0};
        assert_steps(&world, PLAN, COUNT_OF(PLAN), 2.0);
        assert_nobody_waited(&world);
        assert_record(&world.record, RECORD_SUCCESS, RECORD_GRADUAL, 100000);
    }
}

/* ---- 5: flapping ---- */

static bool flap(struct world *world, double bad_s, double good_s, double ratio, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        world->traffic.canary.fail_ratio = ratio;
        world_run(world, bad_s);
        world->traffic.canary.fail_ratio = 0.0;
        world_run(world, good_s);
        if (world->engine.rollout.phase != ROLLOUT_IDLE) {
            return true;
        }
    }
    return false;
}

static void flapping_canary_is_found_and_stays_away(void **state)
{
    (void)state;
    static const struct {
        double bad_s, good_s, ratio;
    } FLAPS[] = {{2.0, 2.0, 0.8}, {0.5, 1.5, 1.0}, {20.0, 300.0, 0.3}};
    for (size_t i = 0; i < COUNT_OF(FLAPS); i++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            struct world world;
            world_open(&world, seed, 100.0, 0.2);
            world_run(&world, 60.0);
            assert_true(flap(&world, FLAPS[i].bad_s, FLAPS[i].good_s, FLAPS[i].ratio, 20));
            world.traffic.canary.fail_ratio = 0.0;
            world_run(&world, 600.0);
            assert_int_equal(world.engine.rollout.phase, ROLLOUT_ROLLED_BACK);
            assert_true(world.engine.rollout.is_quarantined);
            assert_falling_to_nothing(&world);
            assert_nobody_waited(&world);
            assert_int_equal(world.record.status, RECORD_SUCCESS);
        }
    }
}

/* Well after the first step, bad again at the second. */
static void relapse(struct world *world)
{
    double weight = world->traffic.weight;
    world->traffic.canary.fail_ratio = weight > 0.09 || weight < 0.03 ? 0.2 : 0.0;
}

static void canary_that_relapses_in_the_shift_goes_at_once(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 2, 400.0, 0.1);
    world_run(&world, 60.0);
    world.on_tick = relapse;
    assert_true(world_until(&world, ROLLOUT_VERIFYING, 60.0) > 0.0);
    static const uint32_t WEIGHTS[] = {50000, 25000, 0};
    assert_int_equal(world.shift_count, COUNT_OF(WEIGHTS));
    for (size_t i = 0; i < COUNT_OF(WEIGHTS); i++) {
        assert_int_equal(world.shifts[i].weight_ppm, WEIGHTS[i]);
    }
    assert_true(seconds_between(world.shifts[1].at_us, world.shifts[2].at_us) < 2.0);
    assert_nobody_waited(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_canary_goes_and_nobody_waits),
        cmocka_unit_test(dead_canary_goes_at_once),
        cmocka_unit_test(outage_of_both_moves_nothing_and_alerts_once),
        cmocka_unit_test(mild_outage_of_both_moves_nothing),
        cmocka_unit_test(canary_that_is_worse_in_an_outage_goes_without_waiting),
        cmocka_unit_test(dead_stable_version_is_told_of_and_nothing_moves),
        cmocka_unit_test(shift_waits_for_a_stable_version_that_fails_under_the_return),
        cmocka_unit_test(shift_waits_for_a_stable_version_that_gets_slow),
        cmocka_unit_test(shift_goes_on_as_soon_as_stable_is_well),
        cmocka_unit_test(nothing_waits_beside_a_canary_that_goes_on_failing),
        cmocka_unit_test(canary_that_is_well_at_less_leaves_by_every_step),
        cmocka_unit_test(flapping_canary_is_found_and_stays_away),
        cmocka_unit_test(canary_that_relapses_in_the_shift_goes_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

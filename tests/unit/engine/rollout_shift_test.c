/* The shift back: when it steps, hurries, waits and holds. */
#include "tests/unit/engine/rollout_stage.h"

#include "proxy/base/hash.h"

static void breach_steps_the_weight_down_two_seconds_apart(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_LATENCY, 400, 0);
    const uint32_t weights[] = {100000, 50000, 20000, 0};
    stage_tick(&stage);
    for (size_t i = 0; i < COUNT_OF(weights); i++) {
        assert_int_equal(stage.published_ppm, weights[i]);
        if (i + 1 < COUNT_OF(weights)) {
            stage_wait(&stage, 1.9);
            assert_int_equal(stage.published_ppm, weights[i]);
            stage_tick(&stage);
        }
    }
    stage_tick(&stage);
    assert_int_equal(stage.rollout.phase, ROLLOUT_VERIFYING);
    assert_int_equal(stage.written.mode, RECORD_GRADUAL);
    assert_int_equal(stage.written.trigger, RECORD_LATENCY);
}

static void severe_breach_goes_to_zero_at_once(void **state)
{
    (void)state;
    const struct {
        enum judge_reason reason;
        double count, failed;
        enum record_trigger trigger;
    } cases[] = {
        {JUDGE_REASON_CONNECT, 100, 5, RECORD_CONNECT},
        {JUDGE_REASON_HEALTH, 0, 0, RECORD_HEALTH},
        {JUDGE_REASON_ABSOLUTE, 10, 5, RECORD_ERROR_RATE},
        {JUDGE_REASON_RELATIVE, 4, 4, RECORD_ERROR_RATE},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct stage stage;
        stage_open(&stage, ROLLOUT_ROLLBACK);
        stage_breach(&stage, cases[i].reason, cases[i].count, cases[i].failed);
        stage_tick(&stage);
        assert_int_equal(stage.published_ppm, 0);
        assert_int_equal(stage.written.mode, RECORD_INSTANT);
        assert_int_equal(stage.written.trigger, cases[i].trigger);
    }
}

/* What was answered before it broke, and counted with it, hides nothing. */
static void canary_that_fails_all_since_it_broke_goes_to_zero_at_once(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 30, 12);
    stage.input.excursion.later = (struct judge_tally){.canary_count = 9, .canary_failed = 9};
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 0);
    assert_int_equal(stage.written.mode, RECORD_INSTANT);
}

static void failures_below_instant_above_go_by_steps(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 100, 49);
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, STAGE_START_PPM / 2);
}

static void trouble_that_persists_ends_the_steps(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 100, 20);
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, STAGE_START_PPM / 2);
    /* 1 of 21 is below 5 %, 2 of 40 is at it. */
    stage.input.tally.canary_count += 21;
    stage.input.tally.canary_failed += 1;
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, STAGE_START_PPM / 2);
    stage.input.tally.canary_count += 19;
    stage.input.tally.canary_failed += 1;
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 0);
    assert_int_equal(stage.rollout.record.mode, RECORD_GRADUAL);
}

static void canary_that_recovers_at_lower_weight_goes_on_by_steps(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 100, 20);
    stage_tick(&stage);
    for (int i = 0; i < 59; i++) {
        stage.input.tally.canary_count += 10;
        stage_tick(&stage);
    }
    assert_int_equal(stage.published_ppm, STAGE_START_PPM / 10);
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 0);
}

static void canary_that_dies_during_the_shift_ends_the_steps(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_LATENCY, 100, 0);
    stage_tick(&stage);
    stage.input.is_canary_down = true;
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 0);
}

static void step_waits_while_stable_fails_but_not_for_ever(void **state)
{
    (void)state;
    /* Given a first step, when stable fails 10 % from then on, then the next step comes after 2 +
     * 30 s, and the later ones find the patience used up. */
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_LATENCY, 400, 0);
    stage_tick(&stage);
    for (int i = 1; i <= 320; i++) {
        stage.input.tally.stable_count += 100;
        stage.input.tally.stable_failed += 10;
        stage_tick(&stage);
        assert_int_equal(stage.published_ppm, i < 320 ? 100000 : 50000);
    }
    for (int i = 1; i <= 20; i++) {
        stage.input.tally.stable_count += 100;
        stage.input.tally.stable_failed += 10;
        stage_tick(&stage);
        assert_int_equal(stage.published_ppm, i < 20 ? 50000 : 20000);
    }
}

static void waiting_ends_when_stable_recovers(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_LATENCY, 400, 0);
    stage_tick(&stage);
    stage.input.tally.stable_count += 100;
    stage.input.tally.stable_failed += 10;
    stage_wait(&stage, 5.0);
    assert_int_equal(stage.published_ppm, 100000);
    stage.input.tally.stable_count += 1000; /* 10 of 1,100 since the step */
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 50000);
}

static void two_failures_of_stable_are_no_suffering(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_LATENCY, 400, 0);
    stage_tick(&stage);
    stage.input.tally.stable_count += 2;
    stage.input.tally.stable_failed += 2;
    stage_wait(&stage, 2.0);
    assert_int_equal(stage.published_ppm, 50000);
}

static void stable_is_measured_against_its_own_minute_before(void **state)
{
    (void)state;
    /* Given a stable version that always fails 4 %, when it fails 6 %, then that is no suffering: 3
     * x 4 % is 12 %. */
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    for (int i = 0; i < 700; i++) {
        stage.input.tally.stable_count += 100;
        stage.input.tally.stable_failed += 4;
        stage_tick(&stage);
    }
    stage_breach(&stage, JUDGE_REASON_LATENCY, 400, 0);
    stage_tick(&stage);
    for (int i = 0; i < 20; i++) {
        stage.input.tally.stable_count += 100;
        stage.input.tally.stable_failed += 6;
        stage_tick(&stage);
    }
    assert_int_equal(stage.published_ppm, 50000);
}

static void step_waits_while_stable_is_slow(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    for (int i = 0; i < 100; i++) {
        stage.stable_latency.buckets[histogram_bucket(40000)] += 10;
        stage_tick(&stage);
    }
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 100, 10);
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 100000);
    stage.stable_latency.buckets[histogram_bucket(200000)] += 19;
    stage_wait(&stage, 1.9);
    stage.stable_latency.buckets[histogram_bucket(200000)] += 1; /* the twentieth answer */
    stage_wait(&stage, 10.0);
    assert_int_equal(stage.published_ppm, 100000);
    stage.stable_latency.buckets[histogram_bucket(40000)] += 1000;
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 50000);
}

static void persisting_trouble_does_not_wait_for_stable(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 100, 10);
    stage_tick(&stage);
    stage.input.tally.stable_count += 100;
    stage.input.tally.stable_failed += 50;
    stage_wait(&stage, 3.0);
    assert_int_equal(stage.published_ppm, 100000);
    stage.input.tally.canary_count += 1;
    stage.input.tally.canary_failed += 1;
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 0);
}

static void nothing_is_shifted_to_a_dead_stable(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage.input.stable_live = 0;
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
    stage_wait(&stage, 20.0);
    assert_int_equal(stage.published_ppm, STAGE_START_PPM);
    assert_int_equal(stage.rollout.phase, ROLLOUT_IDLE);
    assert_true(stage.rollout.is_outage_held);
    assert_int_equal(stage.alert_count, 1);
    assert_int_equal(stage.record_count, 0);
    /* Looked at again on each tick: it goes as soon as stable has a live endpoint. */
    stage.input.stable_live = 1;
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 0);
    assert_false(stage.rollout.is_outage_held);
    assert_true(stage.written.phase_s[RECORD_DETECT] < 1.0);
    assert_true(stage.written.phase_s[RECORD_DECIDE] > 19.0);
}

static void shift_holds_where_it_is_when_stable_dies(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_LATENCY, 100, 0);
    stage_tick(&stage);
    stage.input.stable_live = 0;
    stage_wait(&stage, 20.0);
    assert_int_equal(stage.published_ppm, 100000);
    stage.input.stable_live = 1;
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 50000);
}

static void weight_never_rises_by_itself(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 11);
    for (int run = 0; run < 30; run++) {
        struct stage stage;
        stage_open(&stage, (enum rollout_on_breach)random_below(&random, 3));
        uint32_t weight_ppm = stage.published_ppm;
        for (int i = 0; i < 2000; i++) {
            struct rollout_input *input = &stage.input;
            if (random_below(&random, 50) == 0) {
                input->finding.verdict = (enum judge_verdict)random_below(&random, 5);
                input->finding.reason = (enum judge_reason)random_below(&random, 7);
                input->stable_live = (uint32_t)random_below(&random, 3);
                input->is_canary_down = random_below(&random, 5) == 0;
                stage.is_slow_to_land = random_below(&random, 4) == 0;
            }
            input->tally.canary_count += (double)random_below(&random, 5);
            input->tally.canary_failed += (double)random_below(&random, 2);
            input->tally.stable_count += (double)random_below(&random, 50);
            input->tally.stable_failed += (double)random_below(&random, 5);
            stage_tick(&stage);
            assert_true(stage.published_ppm <= weight_ppm);
            weight_ppm = stage.published_ppm;
        }
    }
}

static void tiny_weights_reach_zero_too(void **state)
{
    (void)state;
    for (uint32_t start_ppm = 1; start_ppm <= 12; start_ppm++) {
        struct stage stage;
        stage_open(&stage, ROLLOUT_ROLLBACK);
        rollout_init(&stage.rollout, &ROLLOUT_CONFIG_DEFAULT, start_ppm, false);
        stage.published_ppm = start_ppm;
        stage_breach(&stage, JUDGE_REASON_LATENCY, 100, 0);
        stage_wait(&stage, 8.0);
        assert_int_equal(stage.published_ppm, 0);
    }
}

static void plan_that_changes_on_the_way_is_for_the_next_shift(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_LATENCY, 400, 0);
    stage_tick(&stage);
    struct rollout_config config = stage.rollout.config;
    config.shift = (struct plan){.steps_ppm = {0}, .step_count = 1, .every_us = 1000000};
    rollout_configure(&stage.rollout, &config);
    stage_wait(&stage, 2.0);
    assert_int_equal(stage.published_ppm, STAGE_START_PPM / 4);
    stage_wait(&stage, 30.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLED_BACK);
    assert_int_equal(stage.rollout.config.shift.step_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(breach_steps_the_weight_down_two_seconds_apart),
        cmocka_unit_test(severe_breach_goes_to_zero_at_once),
        cmocka_unit_test(canary_that_fails_all_since_it_broke_goes_to_zero_at_once),
        cmocka_unit_test(failures_below_instant_above_go_by_steps),
        cmocka_unit_test(trouble_that_persists_ends_the_steps),
        cmocka_unit_test(canary_that_recovers_at_lower_weight_goes_on_by_steps),
        cmocka_unit_test(canary_that_dies_during_the_shift_ends_the_steps),
        cmocka_unit_test(step_waits_while_stable_fails_but_not_for_ever),
        cmocka_unit_test(waiting_ends_when_stable_recovers),
        cmocka_unit_test(two_failures_of_stable_are_no_suffering),
        cmocka_unit_test(stable_is_measured_against_its_own_minute_before),
        cmocka_unit_test(step_waits_while_stable_is_slow),
        cmocka_unit_test(persisting_trouble_does_not_wait_for_stable),
        cmocka_unit_test(nothing_is_shifted_to_a_dead_stable),
        cmocka_unit_test(shift_holds_where_it_is_when_stable_dies),
        cmocka_unit_test(weight_never_rises_by_itself),
        cmocka_unit_test(tiny_weights_reach_zero_too),
        cmocka_unit_test(plan_that_changes_on_the_way_is_for_the_next_shift),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

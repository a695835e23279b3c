/* Hard limits beside the judge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "canary/engine/plan.h"
#include "canary/engine/tripwire.h"
#include "proxy/base/check.h"

static const struct finding FINE = {JUDGE_OK, JUDGE_REASON_NONE};
static const struct tripwire_input WHOLE = {.canary_endpoints = 3,
                                            .canary_failing = 0,
                                            .canary_live = 3,
                                            .stable_live = 2,
                                            .is_in_use = true};

static void dead_canary_beside_a_live_stable_is_a_breach_at_once(void **state)
{
    (void)state;
    struct tripwire tripwire;
    tripwire_init(&tripwire);
    struct tripwire_input input = WHOLE;
    input.canary_failing = 3;
    input.canary_live = 0;
    struct finding finding = tripwire_look(&tripwire, &input, FINE, 0);
    assert_int_equal(finding.verdict, JUDGE_BREACH);
    assert_int_equal(finding.reason, JUDGE_REASON_HEALTH);
    assert_true(tripwire.is_canary_down);
    struct note note;
    tripwire_sentence(&tripwire, &input, finding, 0, &note);
    assert_non_null(strstr(note.text, "3 of 3 endpoints of the canary fail their health checks"));
}

static void both_versions_dead_is_a_shared_outage(void **state)
{
    (void)state;
    struct tripwire tripwire;
    tripwire_init(&tripwire);
    struct tripwire_input input = {.canary_endpoints = 1, .canary_failing = 1, .is_in_use = true};
    struct finding finding = tripwire_look(&tripwire, &input, FINE, 0);
    assert_int_equal(finding.verdict, JUDGE_SUSPICIOUS);
    assert_int_equal(finding.reason, JUDGE_REASON_SHARED_OUTAGE);
    assert_false(tripwire.is_canary_down);
}

static void ejected_endpoints_alone_are_at_most_suspicious(void **state)
{
    (void)state;
    struct tripwire tripwire;
    tripwire_init(&tripwire);
    struct tripwire_input input = WHOLE;
    input.canary_live = 0; /* all ejected, none fails its checks */
    struct finding healthy = {JUDGE_HEALTHY, JUDGE_REASON_NONE};
    struct finding finding = tripwire_look(&tripwire, &input, healthy, 0);
    assert_int_equal(finding.verdict, JUDGE_SUSPICIOUS);
    assert_int_equal(finding.reason, JUDGE_REASON_HEALTH);
    input.canary_failing = 2;
    finding = tripwire_look(&tripwire, &input, healthy, 0);
    assert_int_equal(finding.verdict, JUDGE_SUSPICIOUS);
}

static void containment_is_suspicious_and_after_five_seconds_a_breach(void **state)
{
    (void)state;
    struct tripwire tripwire;
    tripwire_init(&tripwire);
    struct tripwire_input input = WHOLE;
    input.is_contained = true;
    struct finding finding = tripwire_look(&tripwire, &input, FINE, 1000000);
    assert_int_equal(finding.verdict, JUDGE_SUSPICIOUS);
    assert_int_equal(finding.reason, JUDGE_REASON_ABSOLUTE);
    finding = tripwire_look(&tripwire, &input, FINE, 5999999);
    assert_int_equal(finding.verdict, JUDGE_SUSPICIOUS);
    finding = tripwire_look(&tripwire, &input, FINE, 6000000);
    assert_int_equal(finding.verdict, JUDGE_BREACH);
    assert_int_equal(finding.reason, JUDGE_REASON_ABSOLUTE);
}

static void containment_in_a_shared_outage_is_no_breach(void **state)
{
    (void)state;
    struct tripwire tripwire;
    tripwire_init(&tripwire);
    struct tripwire_input input = WHOLE;
    input.is_contained = true;
    struct finding outage = {JUDGE_SUSPICIOUS, JUDGE_REASON_SHARED_OUTAGE};
    for (uint64_t now_us = 0; now_us < 60000000; now_us += 100000) {
        struct finding finding = tripwire_look(&tripwire, &input, outage, now_us);
        assert_int_equal(finding.verdict, JUDGE_SUSPICIOUS);
        assert_int_equal(finding.reason, JUDGE_REASON_SHARED_OUTAGE);
    }
}

static void containment_counts_anew_after_it_cleared(void **state)
{
    (void)state;
    struct tripwire tripwire;
    tripwire_init(&tripwire);
    struct tripwire_input input = WHOLE;
    for (uint64_t now_us = 0; now_us < 60000000; now_us += 1000000) {
        input.is_contained = now_us % 5000000 != 0;
        assert_int_not_equal(tripwire_look(&tripwire, &input, FINE, now_us).verdict, JUDGE_BREACH);
    }
}

static void judges_breach_stands_above_the_tripwire(void **state)
{
    (void)state;
    struct tripwire tripwire;
    tripwire_init(&tripwire);
    struct tripwire_input input = {.canary_endpoints = 1, .canary_failing = 1, .stable_live = 1};
    struct finding breach = {JUDGE_BREACH, JUDGE_REASON_CONNECT};
    struct finding finding = tripwire_look(&tripwire, &input, breach, 0);
    assert_int_equal(finding.reason, JUDGE_REASON_CONNECT);
    assert_true(tripwire.is_canary_down);
}

static void shift_plans_fall_strictly_to_zero(void **state)
{
    (void)state;
    assert_true(plan_is_shift(&PLAN_SHIFT_DEFAULT));
    const struct plan refused[] = {
        {.step_count = 0},
        {.steps_ppm = {500000}, .step_count = 1},
        {.steps_ppm = {500000, 500000, 0}, .step_count = 3},
        {.steps_ppm = {PLAN_WHOLE, 0}, .step_count = 2},
        {.steps_ppm = {0, 0}, .step_count = 2},
        {.steps_ppm = {0}, .step_count = PLAN_STEPS_MAX + 1},
    };
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        assert_false(plan_is_shift(&refused[i]));
    }
    assert_int_equal(plan_weight_ppm(&PLAN_SHIFT_DEFAULT, 0, 100000), 50000);
    assert_int_equal(plan_weight_ppm(&PLAN_SHIFT_DEFAULT, 2, 100000), 10000);
    assert_int_equal(plan_weight_ppm(&PLAN_SHIFT_DEFAULT, 3, PLAN_WHOLE), 0);
    assert_int_equal(plan_weight_ppm(&PLAN_SHIFT_DEFAULT, 99, PLAN_WHOLE), 0);
}

static void canary_without_weight_cannot_breach(void **state)
{
    (void)state;
    struct tripwire tripwire;
    tripwire_init(&tripwire);
    struct tripwire_input input = WHOLE;
    input.canary_failing = 3;
    input.canary_live = 0;
    input.is_in_use = false;
    struct finding finding = tripwire_look(&tripwire, &input, FINE, 0);
    assert_int_equal(finding.verdict, JUDGE_SUSPICIOUS);
    assert_int_equal(finding.reason, JUDGE_REASON_HEALTH);
}

static void breach_of_the_tripwire_is_latched_until_the_next_start(void **state)
{
    (void)state;
    struct tripwire tripwire;
    tripwire_init(&tripwire);
    struct tripwire_input input = WHOLE;
    input.canary_failing = 3;
    input.canary_live = 0;
    tripwire_look(&tripwire, &input, FINE, 0);
    struct finding finding = tripwire_look(&tripwire, &WHOLE, FINE, 1000);
    assert_int_equal(finding.verdict, JUDGE_BREACH);
    assert_int_equal(finding.reason, JUDGE_REASON_HEALTH);
    assert_false(tripwire.is_canary_down); /* the fact itself is told as it is */
    tripwire_start(&tripwire);
    assert_int_equal(tripwire_look(&tripwire, &WHOLE, FINE, 2000).verdict, JUDGE_OK);
}

/* Resumed by hand, with workers that still hold the canary back: they need answers to let go. */
static void containment_has_its_time_again_after_a_start(void **state)
{
    (void)state;
    struct tripwire tripwire;
    tripwire_init(&tripwire);
    struct tripwire_input input = WHOLE;
    input.is_contained = true;
    tripwire_look(&tripwire, &input, FINE, 0);
    assert_int_equal(tripwire_look(&tripwire, &input, FINE, 5000000).verdict, JUDGE_BREACH);
    tripwire_start(&tripwire);
    assert_int_equal(tripwire_look(&tripwire, &input, FINE, 6000000).verdict, JUDGE_SUSPICIOUS);
    assert_int_equal(tripwire_look(&tripwire, &input, FINE, 10900000).verdict, JUDGE_SUSPICIOUS);
    assert_int_equal(tripwire_look(&tripwire, &input, FINE, 11000000).verdict, JUDGE_BREACH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dead_canary_beside_a_live_stable_is_a_breach_at_once),
        cmocka_unit_test(both_versions_dead_is_a_shared_outage),
        cmocka_unit_test(ejected_endpoints_alone_are_at_most_suspicious),
        cmocka_unit_test(containment_is_suspicious_and_after_five_seconds_a_breach),
        cmocka_unit_test(containment_in_a_shared_outage_is_no_breach),
        cmocka_unit_test(containment_counts_anew_after_it_cleared),
        cmocka_unit_test(judges_breach_stands_above_the_tripwire),
        cmocka_unit_test(canary_without_weight_cannot_breach),
        cmocka_unit_test(breach_of_the_tripwire_is_latched_until_the_next_start),
        cmocka_unit_test(containment_has_its_time_again_after_a_start),
        cmocka_unit_test(shift_plans_fall_strictly_to_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/router/test_containment.c — what a worker allows a canary to do to clients by itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/containment.h"
#include "router/split.h"

static const uint32_t LIMIT = 50000;
enum { SECOND_US = 1000000, START_US = 10 * SECOND_US };

static struct containment fill(const struct containment_policy *policy, unsigned *ret_count)
{
    struct containment containment = {0};
    *ret_count = 1;
    while (!containment_on_bad(&containment, policy)) {
        (*ret_count)++;
    }
    return containment;
}

static void workers_share_the_budget_but_have_five_each(void **state)
{
    (void)state;
    const struct {
        uint64_t bad_max, workers;
        unsigned bound;
    } cases[] = {{20, 1, 20}, {20, 2, 10}, {20, 3, 7}, {20, 4, 5}, {20, 64, 5}, {1, 1, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct containment_policy policy =
            containment_policy(cases[i].bad_max, cases[i].workers, LIMIT);
        unsigned count = 0;
        (void)fill(&policy, &count);
        assert_int_equal(count, cases[i].bound);
    }
}

static void nothing_is_contained_when_it_is_off(void **state)
{
    (void)state;
    struct containment_policy policy = containment_policy(0, 2, LIMIT);
    struct containment containment = {0};
    for (unsigned i = 0; i < 10000; i++) {
        assert_false(containment_on_bad(&containment, &policy));
    }
}

/* One bad answer among `period`, for a long time. */
static bool does_contain(unsigned period)
{
    struct containment_policy policy = containment_policy(20, 1, LIMIT);
    struct containment containment = {0};
    for (unsigned i = 0; i < 100000; i++) {
        if (i % period != 0) {
            containment_on_good(&containment, &policy);
        } else if (containment_on_bad(&containment, &policy)) {
            return true;
        }
    }
    return false;
}

static void only_a_canary_above_the_limit_fills_the_bucket(void **state)
{
    (void)state;
    assert_true(does_contain(2));
    assert_true(does_contain(18));
    assert_false(does_contain(20));
    assert_false(does_contain(1000));
}

/* How many of `rate` requests a second get through in ten seconds. */
static unsigned count_through(struct containment *containment, unsigned rate, bool is_rescuable)
{
    unsigned count = 0;
    for (uint64_t at_us = 0; at_us < 10 * SECOND_US; at_us += SECOND_US / rate) {
        count += containment_lets_through(containment, is_rescuable, START_US + at_us);
    }
    return count;
}

static void trickle_is_ten_rescuable_requests_a_second(void **state)
{
    (void)state;
    struct containment busy = {.is_contained = true};
    assert_in_range(count_through(&busy, 2000, true), 99, 101);
    struct containment uneven = {.is_contained = true};
    assert_in_range(count_through(&uneven, 13, true), 99, 101);
    struct containment quiet = {.is_contained = true};
    assert_int_equal(count_through(&quiet, 4, true), 40);
}

static void trickle_is_one_unsafe_request_per_200_ms_at_most(void **state)
{
    (void)state;
    struct containment busy = {.is_contained = true};
    assert_in_range(count_through(&busy, 2000, false), 49, 50);
}

static void no_unsafe_request_is_risked_while_rescuable_ones_come(void **state)
{
    (void)state;
    struct containment containment = {.is_contained = true};
    unsigned unsafe = 0;
    for (uint64_t at_us = 0; at_us < 5 * SECOND_US; at_us += 10000) {
        (void)containment_lets_through(&containment, true, START_US + at_us);
        unsafe += containment_lets_through(&containment, false, START_US + at_us);
    }
    assert_int_equal(unsafe, 0);
}

static bool answer(struct containment *containment, unsigned count, bool has_failed)
{
    struct containment_policy policy = containment_policy(20, 1, LIMIT);
    bool has_ended = false;
    for (unsigned i = 0; i < count; i++) {
        has_ended = containment_on_trickle(containment, &policy, has_failed) || has_ended;
    }
    return has_ended;
}

static void fifty_answers_below_the_limit_end_it(void **state)
{
    (void)state;
    struct containment containment = {.is_contained = true};
    assert_false(answer(&containment, 2, true));
    assert_false(answer(&containment, 47, false));
    assert_true(answer(&containment, 1, false));
    assert_false(containment.is_contained);
    assert_int_equal(containment.level_ppm, 0);
}

static void answers_at_the_limit_go_on_with_it(void **state)
{
    (void)state;
    struct containment containment = {.is_contained = true};
    assert_false(answer(&containment, 3, true));
    assert_false(answer(&containment, 47, false));
    assert_true(containment.is_contained);
    assert_true(answer(&containment, 50, false));
}

static void canary_without_weight_is_not_contained_and_starts_afresh(void **state)
{
    (void)state;
    struct containment_policy policy = containment_policy(20, 1, LIMIT);
    unsigned count = 0;
    struct containment containment = fill(&policy, &count);
    containment_follow(&containment, 0);
    assert_false(containment.is_contained);
    for (unsigned i = 0; i < 100; i++) {
        assert_false(containment_on_bad(&containment, &policy));
    }
    containment_follow(&containment, 10000);
    for (unsigned i = 0; i < 19; i++) {
        assert_false(containment_on_bad(&containment, &policy));
    }
    assert_true(containment_on_bad(&containment, &policy));
}

static void what_was_given_back_is_for_the_next_one(void **state)
{
    (void)state;
    for (int is_rescuable = 0; is_rescuable <= 1; is_rescuable++) {
        struct containment containment = {.is_contained = true};
        for (unsigned i = 0; i < 3; i++) {
            assert_true(containment_lets_through(&containment, is_rescuable, START_US));
            assert_false(containment_lets_through(&containment, is_rescuable, START_US));
            containment_give_back(&containment, is_rescuable);
        }
        assert_true(containment_lets_through(&containment, is_rescuable, START_US));
        containment = (struct containment){.is_contained = true};
        containment_give_back(&containment, is_rescuable); /* of one that is over */
        assert_true(containment_lets_through(&containment, is_rescuable, START_US));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_share_the_budget_but_have_five_each),
        cmocka_unit_test(nothing_is_contained_when_it_is_off),
        cmocka_unit_test(only_a_canary_above_the_limit_fills_the_bucket),
        cmocka_unit_test(trickle_is_ten_rescuable_requests_a_second),
        cmocka_unit_test(trickle_is_one_unsafe_request_per_200_ms_at_most),
        cmocka_unit_test(no_unsafe_request_is_risked_while_rescuable_ones_come),
        cmocka_unit_test(fifty_answers_below_the_limit_end_it),
        cmocka_unit_test(canary_without_weight_is_not_contained_and_starts_afresh),
        cmocka_unit_test(what_was_given_back_is_for_the_next_one),
        cmocka_unit_test(answers_at_the_limit_go_on_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

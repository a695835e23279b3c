/* tests/unit/router/test_rescue.c — rescues are bounded, and free at the canary's own share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/rescue.h"

static void budget_is_full_at_the_start(void **state)
{
    (void)state;
    struct rescue_budget budget = {0};
    for (unsigned i = 0; i < RESCUE_TOKENS_MAX; i++) {
        assert_true(rescue_spend(&budget));
    }
    assert_false(rescue_spend(&budget));
}

static void five_requests_at_a_fifth_earn_one_rescue(void **state)
{
    (void)state;
    struct rescue_budget budget = {.spent_ppm = RESCUE_TOKENS_MAX * SPLIT_TOTAL};
    for (unsigned i = 0; i < 4; i++) {
        rescue_earn(&budget, 200000);
        assert_false(rescue_spend(&budget));
    }
    rescue_earn(&budget, 200000);
    assert_true(rescue_spend(&budget));
    assert_false(rescue_spend(&budget));
}

static void no_more_than_a_full_budget_is_saved_up(void **state)
{
    (void)state;
    struct rescue_budget budget = {0};
    for (unsigned i = 0; i < 1000; i++) {
        rescue_earn(&budget, SPLIT_TOTAL);
    }
    budget_is_full_at_the_start(NULL);
    assert_int_equal(budget.spent_ppm, 0);
}

static void canary_that_fails_all_of_its_share_is_rescued_for_ever(void **state)
{
    (void)state;
    const uint32_t weights[] = {1, 2500, 333333, 500000, 999999, SPLIT_TOTAL};
    for (size_t w = 0; w < sizeof weights / sizeof *weights; w++) {
        struct rescue_budget budget = {0};
        struct split_accumulator accumulator;
        split_accumulator_init(&accumulator, 0, 1);
        for (unsigned i = 0; i < 100000; i++) {
            rescue_earn(&budget, weights[w]);
            if (split_deal(&accumulator, weights[w]) == ROLE_CURRENT) {
                assert_true(rescue_spend(&budget));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budget_is_full_at_the_start),
        cmocka_unit_test(five_requests_at_a_fifth_earn_one_rescue),
        cmocka_unit_test(no_more_than_a_full_budget_is_saved_up),
        cmocka_unit_test(canary_that_fails_all_of_its_share_is_rescued_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/upstream/test_eject.c — who fails in a row is left alone for a while, and never
 * everybody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/upstream/eject.h"

enum { SECOND_US = 1000000, EJECT_US = 30 * SECOND_US };

static const struct eject_policy policy = {5, EJECT_US, 500000};
static const struct eject_crowd two = {.endpoints = 2, .ejected = 0, .usable = 2};

/* Fails as often as it takes; the number of failures until it was ejected, or 0. */
static int fail_until_ejected(struct eject_state *endpoint, uint64_t now_us)
{
    for (int n = 1; n <= 100; n++) {
        if (eject_on_failure(&policy, endpoint, &two, now_us)) {
            return n;
        }
    }
    return 0;
}

static void failures_in_a_row_eject(void **state)
{
    (void)state;
    struct eject_state endpoint = {0};
    assert_int_equal(fail_until_ejected(&endpoint, 0), 5);
    assert_true(endpoint.is_ejected);
    /* late failures of requests that were under way do not count again */
    assert_false(eject_on_failure(&policy, &endpoint, &two, 1));
}

static void one_success_starts_the_row_anew(void **state)
{
    (void)state;
    struct eject_state endpoint = {0};
    for (int n = 0; n < 100; n++) {
        assert_false(eject_on_failure(&policy, &endpoint, &two, 0));
        if (n % 4 == 3) {
            eject_on_success(&endpoint);
        }
    }
}

static void ejected_endpoint_returns_after_its_time(void **state)
{
    (void)state;
    struct eject_state endpoint = {0};
    (void)fail_until_ejected(&endpoint, SECOND_US);
    assert_false(eject_has_returned(&endpoint, SECOND_US + EJECT_US - 1));
    assert_true(eject_has_returned(&endpoint, SECOND_US + EJECT_US));
    assert_false(endpoint.is_ejected);
    assert_false(eject_has_returned(&endpoint, SECOND_US + EJECT_US));
    assert_int_equal(fail_until_ejected(&endpoint, SECOND_US + EJECT_US), 5);
}

static void each_ejection_lasts_longer_up_to_a_bound(void **state)
{
    (void)state;
    struct eject_state endpoint = {0};
    uint64_t now_us = 0;
    for (uint64_t times = 1; times <= 15; times++) {
        assert_int_equal(fail_until_ejected(&endpoint, now_us), 5);
        uint64_t due = times < EJECT_TIMES_MAX ? times : EJECT_TIMES_MAX;
        assert_true(endpoint.until_us == now_us + due * EJECT_US);
        now_us = endpoint.until_us;
        assert_true(eject_has_returned(&endpoint, now_us));
    }
}

static void good_service_is_remembered(void **state)
{
    (void)state;
    struct eject_state endpoint = {0};
    uint64_t now_us = 0;
    for (int times = 0; times < 3; times++) {
        (void)fail_until_ejected(&endpoint, now_us);
        now_us = endpoint.until_us;
        (void)eject_has_returned(&endpoint, now_us);
    }
    now_us += 2 * (uint64_t)EJECT_US;
    (void)fail_until_ejected(&endpoint, now_us);
    assert_true(endpoint.until_us == now_us + 2 * (uint64_t)EJECT_US);
    now_us = endpoint.until_us + 100 * (uint64_t)EJECT_US;
    (void)eject_has_returned(&endpoint, now_us);
    (void)fail_until_ejected(&endpoint, now_us);
    assert_true(endpoint.until_us == now_us + EJECT_US);
}

static void share_of_ejected_endpoints_rounds_down(void **state)
{
    (void)state;
    const struct eject_crowd cases[] = {
        {1, 0, 1},            /* half of one is none */
        {2, 1, 1},            /* half of two are out already */
        {3, 1, 2},            /* half of three is one */
        {5, 2, 3}, {4, 0, 1}, /* the others are unhealthy: it is the last one that works */
        {4, 0, 0}, {0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct eject_state endpoint = {0};
        for (int n = 0; n < 20; n++) {
            assert_false(eject_on_failure(&policy, &endpoint, &cases[i], 0));
        }
        /* and as soon as there is room, its next failure is enough */
        const struct eject_crowd room = {4, 1, 3};
        assert_true(eject_on_failure(&policy, &endpoint, &room, 0));
    }
}

static void last_usable_endpoint_stays_even_when_all_may_go(void **state)
{
    (void)state;
    const struct eject_policy greedy = {1, EJECT_US, 1000000};
    const struct eject_crowd last = {3, 2, 1};
    const struct eject_crowd not_last = {3, 1, 2};
    struct eject_state endpoint = {0};
    assert_false(eject_on_failure(&greedy, &endpoint, &last, 0));
    assert_true(eject_on_failure(&greedy, &endpoint, &not_last, 0));
}

static void nothing_is_ejected_when_it_is_off(void **state)
{
    (void)state;
    const struct eject_policy off = {0, EJECT_US, 1000000};
    struct eject_state endpoint = {0};
    for (int n = 0; n < 100; n++) {
        assert_false(eject_on_failure(&off, &endpoint, &two, 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_in_a_row_eject),
        cmocka_unit_test(one_success_starts_the_row_anew),
        cmocka_unit_test(ejected_endpoint_returns_after_its_time),
        cmocka_unit_test(each_ejection_lasts_longer_up_to_a_bound),
        cmocka_unit_test(good_service_is_remembered),
        cmocka_unit_test(share_of_ejected_endpoints_rounds_down),
        cmocka_unit_test(last_usable_endpoint_stays_even_when_all_may_go),
        cmocka_unit_test(nothing_is_ejected_when_it_is_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/upstream/test_balance.c — live endpoints share the work, dead ones get none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/upstream/balance.h"

enum { ENDPOINTS = 5 };

static struct random seeded(void)
{
    struct random random;
    random_init(&random, 17);
    return random;
}

static void no_live_endpoint_is_said_so(void **state)
{
    (void)state;
    struct random random = seeded();
    const struct balance_endpoint dead[ENDPOINTS] = {{0, false}};
    assert_true(balance_pick(dead, ENDPOINTS, BALANCE_NONE, &random) == BALANCE_NONE);
    assert_true(balance_pick(dead, ENDPOINTS, 1, &random) == BALANCE_NONE);
    assert_true(balance_pick(NULL, 0, BALANCE_NONE, &random) == BALANCE_NONE);
}

static void only_live_endpoints_are_picked(void **state)
{
    (void)state;
    struct random random = seeded();
    /* every pattern of life of five endpoints, with and without one to avoid */
    for (unsigned pattern = 1; pattern < 1u << ENDPOINTS; pattern++) {
        struct balance_endpoint endpoints[ENDPOINTS];
        for (unsigned i = 0; i < ENDPOINTS; i++) {
            endpoints[i] = (struct balance_endpoint){i, (pattern >> i & 1) != 0};
        }
        size_t live_count = balance_live_count(endpoints, ENDPOINTS);
        for (int n = 0; n < 50; n++) {
            size_t avoid = (size_t)n % (ENDPOINTS + 1);
            size_t pick = balance_pick(endpoints, ENDPOINTS, avoid, &random);
            assert_true(pick < ENDPOINTS);
            assert_true(endpoints[pick].is_live);
            assert_true(pick != avoid || live_count == 1);
        }
    }
}

static void less_busy_of_two_is_always_picked(void **state)
{
    (void)state;
    struct random random = seeded();
    const struct balance_endpoint endpoints[2] = {{7, true}, {6, true}};
    for (int n = 0; n < 100; n++) {
        assert_int_equal(balance_pick(endpoints, 2, BALANCE_NONE, &random), 1);
    }
}

static void busiest_of_many_is_never_picked(void **state)
{
    (void)state;
    struct random random = seeded();
    const struct balance_endpoint endpoints[4] = {{1, true}, {9, true}, {2, true}, {3, true}};
    for (int n = 0; n < 1000; n++) {
        assert_int_not_equal(balance_pick(endpoints, 4, BALANCE_NONE, &random), 1);
    }
}

static void equally_busy_endpoints_get_equal_shares(void **state)
{
    (void)state;
    struct random random = seeded();
    const struct balance_endpoint endpoints[4] = {{3, true}, {3, true}, {3, true}, {3, true}};
    int counts[4] = {0};
    for (int n = 0; n < 40000; n++) {
        counts[balance_pick(endpoints, 4, BALANCE_NONE, &random)]++;
    }
    for (size_t i = 0; i < 4; i++) {
        assert_in_range(counts[i], 9600, 10400);
    }
}

static void queues_stay_short_when_requests_pile_up(void **state)
{
    (void)state;
    /* given 10,000 requests on 100 endpoints, when none ends, then no endpoint is far above the
     * average: one random choice would leave some 30 above it, two leave about log log n */
    enum { MANY = 100 };
    struct random random = seeded();
    struct balance_endpoint endpoints[MANY];
    for (size_t i = 0; i < MANY; i++) {
        endpoints[i] = (struct balance_endpoint){0, true};
    }
    for (int n = 0; n < 10000; n++) {
        endpoints[balance_pick(endpoints, MANY, BALANCE_NONE, &random)].in_flight++;
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_in_range(endpoints[i].in_flight, 90, 106);
    }
}

static void a_client_keeps_its_endpoint_while_that_lives(void **state)
{
    (void)state;
    const uint64_t scores[] = {5, 9, 7};
    struct balance_endpoint endpoints[] = {{0, true}, {99, true}, {0, true}};
    assert_int_equal(balance_pick_faithful(endpoints, scores, 3, BALANCE_NONE), 1);
    assert_int_equal(balance_pick_faithful(endpoints, scores, 3, 1), 2);
    endpoints[1].is_live = false;
    assert_int_equal(balance_pick_faithful(endpoints, scores, 3, BALANCE_NONE), 2);
    endpoints[2].is_live = false;
    assert_int_equal(balance_pick_faithful(endpoints, scores, 3, 0), 0);
    endpoints[0].is_live = false;
    assert_int_equal(balance_pick_faithful(endpoints, scores, 3, 0), BALANCE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_keeps_its_endpoint_while_that_lives),
        cmocka_unit_test(no_live_endpoint_is_said_so),
        cmocka_unit_test(only_live_endpoints_are_picked),
        cmocka_unit_test(less_busy_of_two_is_always_picked),
        cmocka_unit_test(busiest_of_many_is_never_picked),
        cmocka_unit_test(equally_busy_endpoints_get_equal_shares),
        cmocka_unit_test(queues_stay_short_when_requests_pile_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

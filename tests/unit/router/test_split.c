/* tests/unit/router/test_split.c — the split is exact, for every weight and any number of workers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/base/hash.h"
#include "router/split.h"

static const uint32_t weights[] = {0,      1,      7,      2500,   10000,  99999,  100000,
                                   123456, 333333, 500000, 500001, 900000, 999999, SPLIT_TOTAL};

/* How far the canary's count may be from its share: less than one. */
static void assert_share(uint64_t canary_count, uint64_t request_count, uint32_t weight_ppm)
{
    uint64_t counted = canary_count * SPLIT_TOTAL;
    uint64_t due = request_count * weight_ppm;
    uint64_t distance = counted > due ? counted - due : due - counted;
    assert_true(distance < SPLIT_TOTAL);
}

static void split_is_within_one_of_its_share_after_every_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(weights); i++) {
        struct split_accumulator accumulator;
        split_accumulator_init(&accumulator, 0, 1);
        uint64_t canary_count = 0;
        for (uint64_t n = 1; n <= 20000; n++) {
            canary_count += split_deal(&accumulator, weights[i]) == ROLE_CURRENT;
            assert_share(canary_count, n, weights[i]);
        }
    }
}

static void split_is_within_one_from_any_start_and_random_weight(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 7);
    for (int round = 0; round < 200; round++) {
        uint32_t weight_ppm = (uint32_t)random_below(&random, SPLIT_TOTAL + 1);
        struct split_accumulator accumulator = {(uint32_t)random_below(&random, SPLIT_TOTAL)};
        uint64_t canary_count = 0;
        for (uint64_t n = 1; n <= 1000; n++) {
            canary_count += split_deal(&accumulator, weight_ppm) == ROLE_CURRENT;
            assert_share(canary_count, n, weight_ppm);
        }
    }
}

static void split_is_within_one_per_worker_however_requests_fall(void **state)
{
    (void)state;
    enum { WORKERS = 4, REQUESTS = 5000 };
    struct random random;
    random_init(&random, 11);
    for (size_t i = 0; i < COUNT_OF(weights); i++) {
        struct split_accumulator accumulators[WORKERS];
        for (uint32_t worker = 0; worker < WORKERS; worker++) {
            split_accumulator_init(&accumulators[worker], worker, WORKERS);
        }
        uint64_t canary_count = 0;
        for (uint64_t n = 1; n <= REQUESTS; n++) {
            struct split_accumulator *any = &accumulators[random_below(&random, WORKERS)];
            canary_count += split_deal(any, weights[i]) == ROLE_CURRENT;
            uint64_t counted = canary_count * SPLIT_TOTAL;
            uint64_t due = n * weights[i];
            assert_true((counted > due ? counted - due : due - counted) < WORKERS * SPLIT_TOTAL);
        }
    }
}

static void workers_start_evenly_out_of_step(void **state)
{
    (void)state;
    struct split_accumulator accumulator;
    const uint32_t starts[] = {125000, 375000, 625000, 875000};
    for (uint32_t i = 0; i < COUNT_OF(starts); i++) {
        split_accumulator_init(&accumulator, i, COUNT_OF(starts));
        assert_int_equal(accumulator.filled, starts[i]);
    }
    split_accumulator_init(&accumulator, 0, 1);
    assert_int_equal(accumulator.filled, SPLIT_TOTAL / 2);
    split_accumulator_init(&accumulator, UINT32_MAX - 1, UINT32_MAX);
    assert_true(accumulator.filled < SPLIT_TOTAL);
}

static void canaries_of_a_small_weight_are_spread_out(void **state)
{
    (void)state;
    /* given 10 %, when 1000 requests are dealt, then every tenth is a canary: never two close
     * together */
    struct split_accumulator accumulator;
    split_accumulator_init(&accumulator, 0, 1);
    int since = 5;
    for (int n = 0; n < 1000; n++) {
        since++;
        if (split_deal(&accumulator, 100000) == ROLE_CURRENT) {
            assert_int_equal(since, 10);
            since = 0;
        }
    }
}

static void weight_changes_lose_no_share(void **state)
{
    (void)state;
    /* given an accumulator that outlives its snapshots, when the weight changes all the time, then
     * the canary's count stays within one of the sum of all shares */
    struct random random;
    random_init(&random, 13);
    struct split_accumulator accumulator;
    split_accumulator_init(&accumulator, 0, 1);
    uint64_t counted = 0;
    uint64_t due = 0;
    for (int n = 0; n < 50000; n++) {
        uint32_t weight_ppm = (uint32_t)random_below(&random, SPLIT_TOTAL + 1);
        due += weight_ppm;
        counted += split_deal(&accumulator, weight_ppm) == ROLE_CURRENT ? SPLIT_TOTAL : 0;
        assert_true((counted > due ? counted - due : due - counted) < SPLIT_TOTAL);
    }
}

static void growing_weight_only_adds_buckets(void **state)
{
    (void)state;
    for (uint32_t bucket = 0; bucket < SPLIT_TOTAL; bucket += 997) {
        for (size_t i = 1; i < COUNT_OF(weights); i++) {
            bool was_canary = split_pick(weights[i - 1], bucket) == ROLE_CURRENT;
            bool is_canary = split_pick(weights[i], bucket) == ROLE_CURRENT;
            assert_true(is_canary || !was_canary);
        }
    }
    assert_int_equal(split_pick(0, 0), ROLE_PREVIOUS);
    assert_int_equal(split_pick(1, 0), ROLE_CURRENT);
    assert_int_equal(split_pick(SPLIT_TOTAL, SPLIT_TOTAL - 1), ROLE_CURRENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_is_within_one_of_its_share_after_every_request),
        cmocka_unit_test(split_is_within_one_from_any_start_and_random_weight),
        cmocka_unit_test(split_is_within_one_per_worker_however_requests_fall),
        cmocka_unit_test(workers_start_evenly_out_of_step),
        cmocka_unit_test(canaries_of_a_small_weight_are_spread_out),
        cmocka_unit_test(weight_changes_lose_no_share),
        cmocka_unit_test(growing_weight_only_adds_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

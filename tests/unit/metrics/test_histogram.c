#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "metrics/histogram.h"

static void edges_and_buckets_agree(void **state)
{
    (void)state;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t edge = histogram_edge_us(i);
        assert_int_equal(histogram_bucket(edge), i);
        if (i > 0) {
            assert_int_equal(histogram_bucket(edge - 1), i - 1);
        }
    }
}

static void buckets_lie_where_the_judge_expects_them(void **state)
{
    (void)state;
    static const struct {
        uint64_t value_us;
        unsigned bucket;
    } cases[] = {
        {0, 0},
        {7, 7},
        {8, 8},
        {15, 15},
        {16, 16},
        {17, 16},
        {18, 17},
        {1000, 63},
        {1023, 63},
        {1024, 64},
        {5000, 81},
        {50000, 108},
        {1000000, 143},
        {15000000, 174},
        {251658239, 206},
        {251658240, 207},
        {1000000000, 207},
        {UINT64_MAX, 207},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(histogram_bucket(cases[i].value_us), cases[i].bucket);
    }
}

static void no_bucket_is_wider_than_an_eighth(void **state)
{
    (void)state;
    for (unsigned i = 8; i + 1 < HISTOGRAM_BUCKETS; i++) {
        uint64_t width = histogram_edge_us(i + 1) - histogram_edge_us(i);
        assert_true(width * 8 <= histogram_edge_us(i));
    }
}

static void a_quantile_is_the_upper_edge_of_its_bucket(void **state)
{
    (void)state;
    struct histogram histogram = {0};
    for (unsigned i = 0; i < 95; i++) {
        histogram_record(&histogram, 1000);
    }
    for (unsigned i = 0; i < 5; i++) {
        histogram_record(&histogram, 100000);
    }

    double fast = (double)histogram_edge_us(histogram_bucket(1000) + 1) / 1e6;
    double slow = (double)histogram_edge_us(histogram_bucket(100000) + 1) / 1e6;
    assert_true(histogram_quantile_s(&histogram, 0) == fast);
    assert_true(histogram_quantile_s(&histogram, 0.5) == fast);
    assert_true(histogram_quantile_s(&histogram, 0.95) == fast);
    assert_true(histogram_quantile_s(&histogram, 0.96) == slow);
    assert_true(histogram_quantile_s(&histogram, 1) == slow);
    assert_int_equal(histogram_count(&histogram), 100);
    assert_int_equal(histogram.sum_us, 95 * 1000 + 5 * 100000);
}

static void nothing_counted_has_no_quantile_and_endless_ones_the_last_edge(void **state)
{
    (void)state;
    struct histogram histogram = {0};
    assert_true(isnan(histogram_quantile_s(&histogram, 0.5)));

    histogram_record(&histogram, UINT64_C(1) << 50);
    assert_true(histogram_quantile_s(&histogram, 0.5) == 251.658240);
}

static void bounds_are_edges_and_their_texts_tell_them_exactly(void **state)
{
    (void)state;
    for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
        uint64_t bound = histogram_bound_us(i);
        assert_int_equal(histogram_edge_us(histogram_bucket(bound)), bound);
        char text[32];
        int size = snprintf(text, sizeof text, "%llu.%06llu", (unsigned long long)(bound / 1000000),
                            (unsigned long long)(bound % 1000000));
        assert_true(bytes_equal(histogram_bound_text(i), bytes_make(text, (size_t)size)));
    }
}

static void folding_counts_each_value_once_below_every_larger_bound(void **state)
{
    (void)state;
    struct histogram histogram = {0};
    static const uint64_t values[] = {1, 255, 256, 511, 512, 1500, 5000000, UINT64_C(1) << 40};
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        histogram_record(&histogram, values[i]);
    }

    uint64_t below[HISTOGRAM_BOUNDS];
    assert_int_equal(histogram_fold(&histogram, below), COUNT_OF(values));

    for (unsigned bound = 0; bound < HISTOGRAM_BOUNDS; bound++) {
        uint64_t expected = 0;
        for (size_t i = 0; i < COUNT_OF(values); i++) {
            expected += values[i] < histogram_bound_us(bound);
        }
        assert_int_equal(below[bound], expected);
    }
}

static void cells_sum_into_a_histogram_and_differences_never_go_below_zero(void **state)
{
    (void)state;
    struct histogram_cells first = {0};
    struct histogram_cells second = {0};
    histogram_cells_record(&first, 10);
    histogram_cells_record(&first, 10);
    histogram_cells_record(&second, 3000);

    struct histogram early = {0};
    histogram_add_cells(&early, &first);
    struct histogram late = early;
    histogram_add_cells(&late, &second);
    struct histogram difference;
    histogram_subtract(&late, &early, &difference);
    assert_int_equal(histogram_count(&difference), 1);
    assert_int_equal(difference.buckets[histogram_bucket(3000)], 1);
    assert_int_equal(difference.sum_us, 3000);

    histogram_subtract(&early, &late, &early);
    assert_int_equal(histogram_count(&early), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edges_and_buckets_agree),
        cmocka_unit_test(buckets_lie_where_the_judge_expects_them),
        cmocka_unit_test(no_bucket_is_wider_than_an_eighth),
        cmocka_unit_test(a_quantile_is_the_upper_edge_of_its_bucket),
        cmocka_unit_test(nothing_counted_has_no_quantile_and_endless_ones_the_last_edge),
        cmocka_unit_test(bounds_are_edges_and_their_texts_tell_them_exactly),
        cmocka_unit_test(folding_counts_each_value_once_below_every_larger_bound),
        cmocka_unit_test(cells_sum_into_a_histogram_and_differences_never_go_below_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

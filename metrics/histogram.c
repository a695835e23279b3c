#include "metrics/histogram.h"

#include <math.h>

void histogram_record(struct histogram *histogram, uint64_t value_us)
{
    histogram->buckets[histogram_bucket(value_us)]++;
    histogram->sum_us += value_us;
}

void histogram_add_cells(struct histogram *sum, const struct histogram_cells *cells)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        sum->buckets[i] += cell_read(&cells->buckets[i]);
    }
    sum->sum_us += cell_read(&cells->sum_us);
}

static uint64_t difference(uint64_t later, uint64_t earlier)
{
    return later > earlier ? later - earlier : 0;
}

void histogram_subtract(const struct histogram *later, const struct histogram *earlier,
                        struct histogram *ret_difference)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        ret_difference->buckets[i] = difference(later->buckets[i], earlier->buckets[i]);
    }
    ret_difference->sum_us = difference(later->sum_us, earlier->sum_us);
}

uint64_t histogram_count(const struct histogram *histogram)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += histogram->buckets[i];
    }
    return count;
}

double histogram_quantile_s(const struct histogram *histogram, double quantile)
{
    uint64_t count = histogram_count(histogram);
    if (count == 0) {
        return NAN;
    }
    double wanted = quantile * (double)count;
    uint64_t below = 0;
    unsigned bucket = 0;
    for (; bucket < HISTOGRAM_BUCKETS - 1; bucket++) {
        below += histogram->buckets[bucket];
        if (below > 0 && (double)below >= wanted) {
            bucket++;
            break;
        }
    }
    return (double)histogram_edge_us(bucket) / 1e6;
}

struct bytes histogram_bound_text(unsigned index)
{
    static const char *const texts[] = {
        "0.000256", "0.000512", "0.001024",  "0.002048",  "0.004096",  "0.008192",   "0.016384",
        "0.032768", "0.065536", "0.131072",  "0.262144",  "0.524288",  "1.048576",   "2.097152",
        "4.194304", "8.388608", "16.777216", "33.554432", "67.108864", "134.217728",
    };
    static_assert(COUNT_OF(texts) == HISTOGRAM_BOUNDS, "one text per bound");
    CHECK(index < HISTOGRAM_BOUNDS);
    return bytes_of(texts[index]);
}

uint64_t histogram_fold(const struct histogram *histogram, uint64_t ret_below[HISTOGRAM_BOUNDS])
{
    uint64_t below = 0;
    unsigned bound = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (bound < HISTOGRAM_BOUNDS && histogram_edge_us(i) == histogram_bound_us(bound)) {
            ret_below[bound++] = below;
        }
        below += histogram->buckets[i];
    }
    CHECK(bound == HISTOGRAM_BOUNDS);
    return below;
}

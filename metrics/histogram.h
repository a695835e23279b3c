/* metrics/histogram.h — how long things took: log-linear, eight buckets to the octave, in
 * microseconds.
 *
 * Bucket i < 8 holds exactly i µs. Above, the value's highest set bit picks the octave and the
 * three bits below it one of eight equal parts, so that no bucket is wider than 12.5 % of its lower
 * edge and finding one costs a bit scan and a shift (the layout of HdrHistogram with three
 * significant bits). The last bucket has no upper end: it starts at 251 s. The judge reads the same
 * buckets, so nothing is converted on the way.
 *
 * `struct histogram_cells` is one worker's, `struct histogram` a plain sum of them. Pure; any
 * thread for reading. */
#pragma once
#include "metrics/cell.h"
#include "proxy/base/bytes.h"
#include "proxy/base/check.h"

enum { HISTOGRAM_BUCKETS = 208 };

struct histogram_cells {
    struct cell buckets[HISTOGRAM_BUCKETS];
    struct cell sum_us;
};

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t sum_us;
};

/* The bucket that holds `value_us`. */
static inline unsigned histogram_bucket(uint64_t value_us)
{
    if (value_us < 8) {
        return (unsigned)value_us;
    }
    unsigned top = 63 - (unsigned)__builtin_clzll(value_us);
    unsigned bucket = 8 * (top - 2) + (unsigned)(value_us >> (top - 3) & 7);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The smallest value in `bucket`, in microseconds; bucket < HISTOGRAM_BUCKETS. */
static inline uint64_t histogram_edge_us(unsigned bucket)
{
    return bucket < 8 ? bucket : (uint64_t)(8 + (bucket & 7)) << ((bucket >> 3) - 1);
}

/* Counts one value. The cells' writer only. */
static inline void histogram_cells_record(struct histogram_cells *cells, uint64_t value_us)
{
    cell_increment(&cells->buckets[histogram_bucket(value_us)]);
    cell_add(&cells->sum_us, value_us);
}

/* Counts one value in a plain histogram; its owner only. */
void histogram_record(struct histogram *histogram, uint64_t value_us);
/* Adds what the cells hold now to `sum`. */
void histogram_add_cells(struct histogram *sum, const struct histogram_cells *cells);
/* later - earlier, bucket by bucket; a bucket that went backwards gives 0. `ret_difference` may be
 * either of them. */
void histogram_subtract(const struct histogram *later, const struct histogram *earlier,
                        struct histogram *ret_difference);
/* How many values were counted. */
uint64_t histogram_count(const struct histogram *histogram);
/* The upper edge of the bucket in which the `quantile` (0 to 1) of the values lies, in seconds; the
 * lower edge of the last bucket when it lies there. NaN when nothing was counted. */
double histogram_quantile_s(const struct histogram *histogram, double quantile);

/* The bounds that Prometheus sees: powers of two of a microsecond, which are edges, so folding is
 * exact. A bound holds the values below it; one that equals it to the microsecond counts above. */
enum { HISTOGRAM_BOUNDS = 20 };
/* The bound in microseconds: 256 µs, 512 µs, ... 134 s; index < HISTOGRAM_BOUNDS. */
static inline uint64_t histogram_bound_us(unsigned index)
{
    return UINT64_C(256) << index;
}
/* The bound as `le` writes it ("0.001024"); static text. */
struct bytes histogram_bound_text(unsigned index);
/* Values below each bound, cumulative. Returns the count of all values, for `+Inf` and `_count`. */
uint64_t histogram_fold(const struct histogram *histogram, uint64_t ret_below[HISTOGRAM_BOUNDS]);

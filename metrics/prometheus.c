#include "metrics/prometheus.h"

#include <math.h>

static struct bytes type_text(enum metric_type type)
{
    static const struct bytes texts[] = {
        [METRIC_COUNTER] = BYTES("counter"),
        [METRIC_GAUGE] = BYTES("gauge"),
        [METRIC_HISTOGRAM] = BYTES("histogram"),
    };
    CHECK((size_t)type < COUNT_OF(texts));
    return texts[type];
}

static void append(struct buf *text, struct bytes bytes)
{
    (void)buf_append(text, bytes);
}

void prometheus_family(struct buf *text, const struct metric_info *info)
{
    append(text, BYTES("# HELP "));
    append(text, info->name);
    append(text, BYTES(" "));
    append(text, info->help);
    append(text, BYTES("\n# TYPE "));
    append(text, info->name);
    append(text, BYTES(" "));
    append(text, type_text(info->type));
    append(text, BYTES("\n"));
}

static struct bytes escape_of(char byte)
{
    switch (byte) {
    case '\\':
        return BYTES("\\\\");
    case '"':
        return BYTES("\\\"");
    case '\n':
        return BYTES("\\n");
    default:
        return BYTES("");
    }
}

static void append_escaped(struct buf *text, struct bytes value)
{
    size_t start = 0;
    for (size_t i = 0; i < value.size; i++) {
        struct bytes escape = escape_of(value.data[i]);
        if (escape.size > 0) {
            append(text, bytes_slice(value, start, i - start));
            append(text, escape);
            start = i + 1;
        }
    }
    append(text, bytes_slice(value, start, value.size - start));
}

void prometheus_label(struct buf *labels, const char *name, struct bytes value)
{
    if (buf_size(labels) > 0) {
        append(labels, BYTES(","));
    }
    append(labels, bytes_of(name));
    append(labels, BYTES("=\""));
    append_escaped(labels, value);
    append(labels, BYTES("\""));
}

static void append_labels(struct buf *text, struct bytes labels)
{
    if (labels.size > 0) {
        append(text, BYTES("{"));
        append(text, labels);
        append(text, BYTES("}"));
    }
    append(text, BYTES(" "));
}

void prometheus_count(struct buf *text, struct bytes name, struct bytes labels, uint64_t value)
{
    append(text, name);
    append_labels(text, labels);
    (void)buf_append_u64(text, value);
    append(text, BYTES("\n"));
}

void prometheus_value(struct buf *text, struct bytes name, struct bytes labels, double value)
{
    append(text, name);
    append_labels(text, labels);
    if (isnan(value)) {
        append(text, BYTES("NaN\n"));
    } else if (isinf(value)) {
        append(text, value > 0 ? BYTES("+Inf\n") : BYTES("-Inf\n"));
    } else {
        (void)buf_printf(text, "%.15g\n", value);
    }
}

/* Microseconds as seconds, digit for digit: a double would begin to round after some years of
 * counting. */
static void append_seconds(struct buf *text, uint64_t value_us)
{
    char fraction[7] = {'.'};
    uint64_t rest = value_us % 1000000;
    for (size_t i = sizeof fraction - 1; i > 0; i--) {
        fraction[i] = (char)('0' + rest % 10);
        rest /= 10;
    }
    (void)buf_append_u64(text, value_us / 1000000);
    append(text, bytes_make(fraction, sizeof fraction));
}

static void append_bucket(struct buf *text, struct bytes name, struct bytes labels,
                          struct bytes bound, uint64_t count)
{
    append(text, name);
    append(text, BYTES("_bucket{"));
    append(text, labels);
    append(text, labels.size > 0 ? BYTES(",le=\"") : BYTES("le=\""));
    append(text, bound);
    append(text, BYTES("\"} "));
    (void)buf_append_u64(text, count);
    append(text, BYTES("\n"));
}

void prometheus_histogram(struct buf *text, struct bytes name, struct bytes labels,
                          const struct histogram *histogram)
{
    uint64_t below[HISTOGRAM_BOUNDS];
    uint64_t count = histogram_fold(histogram, below);
    for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
        append_bucket(text, name, labels, histogram_bound_text(i), below[i]);
    }
    append_bucket(text, name, labels, BYTES("+Inf"), count);
    append(text, name);
    append(text, BYTES("_sum"));
    append_labels(text, labels);
    append_seconds(text, histogram->sum_us);
    append(text, BYTES("\n"));
    append(text, name);
    append(text, BYTES("_count"));
    append_labels(text, labels);
    (void)buf_append_u64(text, count);
    append(text, BYTES("\n"));
}

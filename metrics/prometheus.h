/* metrics/prometheus.h — the Prometheus text format, version 0.0.4, piece by piece.
 *
 * Knows how a family, a label, a sample and a histogram are spelt, and nothing of what Serin
 * measures (metrics/exposition.h does). Text goes into a buf whose is_failed is asked once at the
 * end. Pure; any thread. */
#pragma once
#include "metrics/catalog.h"
#include "proxy/base/buf.h"

#define PROMETHEUS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* The HELP and TYPE lines that stand once before a family's samples. */
void prometheus_family(struct buf *text, const struct metric_info *info);
/* Appends `name="value"` to a list of labels, with the comma if it is not the first; backslash,
 * quote and line feed in the value are escaped. */
void prometheus_label(struct buf *labels, const char *name, struct bytes value);
/* One sample; `labels` is a list as prometheus_label builds it, or empty. */
void prometheus_count(struct buf *text, struct bytes name, struct bytes labels, uint64_t value);
/* The same for any number; NaN and infinities are spelt as the format wants them. */
void prometheus_value(struct buf *text, struct bytes name, struct bytes labels, double value);
/* The `_bucket` samples with cumulative `le` bounds, `_sum` in seconds and `_count`. */
void prometheus_histogram(struct buf *text, struct bytes name, struct bytes labels,
                          const struct histogram *histogram);

/* metrics_page — prints docs/metrics.md: the catalog for people who read, from the tables for the
 * compiler. A ctest compares its output with the page; `build/dev/metrics_page > docs/metrics.md`
 * renews it. */
#include <stdio.h>

#include "metrics/catalog.h"

static const char *type_text(enum metric_type type)
{
    static const char *const texts[] = {
        [METRIC_COUNTER] = "counter",
        [METRIC_GAUGE] = "gauge",
        [METRIC_HISTOGRAM] = "histogram",
    };
    return texts[type];
}

static void print_metrics(void)
{
    printf("| name | type | labels | meaning |\n|---|---|---|---|\n");
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        const struct metric_info *info = metric_info((enum metric)metric);
        printf("| `%.*s` | %s | %.*s | %.*s |\n", BYTES_ARGS(info->name), type_text(info->type),
               BYTES_ARGS(info->labels), BYTES_ARGS(info->help));
    }
}

static void print_values(const char *title, const char *const *texts, size_t count)
{
    printf("\n- %s:", title);
    for (size_t i = 0; i < count; i++) {
        printf("%s `%s`", i == 0 ? "" : ",", texts[i]);
    }
    printf(".");
}

#define TEXT(ID, text) text,
#define PRINT_TABLE(title, TABLE)                                                                  \
    do {                                                                                           \
        static const char *const texts[] = {TABLE(TEXT)};                                          \
        print_values((title), texts, COUNT_OF(texts));                                             \
    } while (0)

static void print_label_values(void)
{
    PRINT_TABLE("`role`", METRIC_ROLES);
    PRINT_TABLE("`method`", METRIC_METHODS);
    PRINT_TABLE("`kind` of a failure", METRIC_FAILURES);
    PRINT_TABLE("`limit` of a version", METRIC_OVERFLOWS);
    PRINT_TABLE("`result` of a look for a kept answer", METRIC_CACHE_RESULTS);
    PRINT_TABLE("`state` of a connection", METRIC_CONNECTION_STATES);
    PRINT_TABLE("`reason` of a rejected request", METRIC_REQUEST_REJECTIONS);
    PRINT_TABLE("`reason` of a rejected connection", METRIC_CONNECTION_REJECTIONS);
    PRINT_TABLE("`result` of a TLS handshake", METRIC_TLS_RESULTS);
    printf("\n- `code`: three digits from %d to %d, or `none`. Codes that never occurred have no "
           "sample.\n",
           METRIC_CODE_MIN, METRIC_CODE_MAX);
}

static void print_bounds(void)
{
    for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
        printf("%s%.*s", i == 0 ? "" : ", ", BYTES_ARGS(histogram_bound_text(i)));
    }
    printf(".\n");
}

int main(void)
{
    printf("# Metrics\n\n"
           "Serin exposes these at `/metrics` of the admin address, in the Prometheus text format. "
           "Names and labels never change once\nshipped; times are in seconds, sizes in bytes, "
           "shares between 0 and 1. This page is generated from `metrics/catalog.h`.\n\n");
    print_metrics();
    printf("\n## Values of labels\n");
    print_label_values();
    printf(
        "\n## Histograms\n\n"
        "Inside, times fall into %d buckets, eight to the octave, from a microsecond to minutes; "
        "the exposition folds them at powers\nof two of a microsecond, in seconds:\n\n",
        HISTOGRAM_BUCKETS);
    print_bounds();
    return ferror(stdout) != 0 ? 1 : 0;
}

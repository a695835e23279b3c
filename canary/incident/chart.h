/* canary/incident/chart.h — a rollback as a picture: the canary's weight, and how much failed.
 *
 * SVG without script, font or link: it can be opened by anything and be embedded anywhere. Pure;
 * any thread. */
#pragma once
#include <stdint.h>

#include "proxy/base/buf.h"

enum { CHART_POINTS_MAX = 1024 };

/* What was counted until then, since the point before. */
struct chart_point {
    int64_t wall_ms;
    uint32_t weight_ppm;
    uint64_t canary_count, canary_failed;
    uint64_t stable_count, stable_failed;
};

struct chart {
    struct bytes title; /* of strangers: escaped here */
    const struct chart_point *points;
    size_t point_count;
    int64_t first_bad_ms; /* marked where it lies inside; 0: not */
    int64_t decided_ms;
};

/* Appends a whole document; without points one that says so. */
void chart_draw(const struct chart *chart, struct buf *out);

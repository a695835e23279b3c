/* canary/engine/watch.h — how the stable version did a while ago, and since some moment.
 *
 * Keeps a mark of the running totals every ten seconds for the last minute; a view is the
 * difference of two marks. A shift back compares what stable suffers now with the minute before it.
 * Embedded; pure, the clock is an argument. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "metrics/histogram.h"

enum { WATCH_MARKS = 7, WATCH_EVERY_US = 10000000 };

/* Running totals at one moment. */
struct watch_mark {
    uint64_t at_us;
    double count, failed;
    struct histogram latency; /* zeros where none is kept */
};

struct watch {
    struct watch_mark marks[WATCH_MARKS]; /* a ring; the newest is at (next - 1) */
    size_t mark_count;
    size_t next;
};

/* What happened between a mark and now. */
struct watch_view {
    double count, failed;
    double ratio;     /* 0 without requests */
    uint64_t answers; /* that the histogram holds */
    double p95_s;     /* NAN without answers */
};

void watch_init(struct watch *watch);
/* Once a tick; `now` holds the totals. */
void watch_tick(struct watch *watch, const struct watch_mark *now);
/* The last minute, or what there is of it. */
struct watch_view watch_last_minute(const struct watch *watch, const struct watch_mark *now);
struct watch_view watch_since(const struct watch_mark *then, const struct watch_mark *now);

/* canary/engine/watch.c — see watch.h. */
#include "canary/engine/watch.h"

#include <math.h>

void watch_init(struct watch *watch)
{
    watch->mark_count = 0;
    watch->next = 0;
}

static const struct watch_mark *newest(const struct watch *watch)
{
    return &watch->marks[(watch->next + WATCH_MARKS - 1) % WATCH_MARKS];
}

static const struct watch_mark *oldest(const struct watch *watch)
{
    return &watch->marks[(watch->next + WATCH_MARKS - watch->mark_count) % WATCH_MARKS];
}

void watch_tick(struct watch *watch, const struct watch_mark *now)
{
    if (watch->mark_count > 0 && now->at_us < newest(watch)->at_us + WATCH_EVERY_US) {
        return;
    }
    watch->marks[watch->next] = *now;
    watch->next = (watch->next + 1) % WATCH_MARKS;
    watch->mark_count += watch->mark_count < WATCH_MARKS ? 1 : 0;
}

struct watch_view watch_since(const struct watch_mark *then, const struct watch_mark *now)
{
    struct histogram answers;
    histogram_subtract(&now->latency, &then->latency, &answers);
    struct watch_view view = {
        .count = fmax(now->count - then->count, 0.0),
        .failed = fmax(now->failed - then->failed, 0.0),
        .answers = histogram_count(&answers),
        .p95_s = histogram_quantile_s(&answers, 0.95),
    };
    view.ratio = view.count > 0.0 ? view.failed / view.count : 0.0;
    return view;
}

struct watch_view watch_last_minute(const struct watch *watch, const struct watch_mark *now)
{
    return watch_since(watch->mark_count > 0 ? oldest(watch) : now, now);
}

/* canary/engine/strain.c — see strain.h. */
#include "canary/engine/strain.h"

#include <math.h>

enum { STRAIN_FAILED_MIN = 3, STRAIN_ANSWERS_MIN = 20 };
static const double STRAIN_RATIO_FACTOR = 3.0;
static const double STRAIN_P95_FACTOR = 2.0;
static const double STRAIN_P95_MORE_S = 0.05;

void strain_init(struct strain *strain)
{
    watch_init(&strain->minute);
    strain->recent_count = 0;
    strain->next = 0;
}

static const struct watch_mark *newest(const struct strain *strain)
{
    return &strain->recent[(strain->next + STRAIN_MARKS - 1) % STRAIN_MARKS];
}

static const struct watch_mark *oldest(const struct strain *strain)
{
    return &strain->recent[(strain->next + STRAIN_MARKS - strain->recent_count) % STRAIN_MARKS];
}

static void keep(struct strain *strain, const struct watch_mark *now)
{
    if (strain->recent_count > 0 && now->at_us < newest(strain)->at_us + STRAIN_EVERY_US) {
        return;
    }
    strain->recent[strain->next] = *now;
    strain->next = (strain->next + 1) % STRAIN_MARKS;
    strain->recent_count += strain->recent_count < STRAIN_MARKS ? 1 : 0;
}

bool strain_look(struct strain *strain, const struct watch_mark *now, double limit)
{
    keep(strain, now);
    const struct watch_mark *then = oldest(strain);
    struct watch_view before = watch_last_minute(&strain->minute, then);
    struct watch_view since = watch_since(then, now);
    watch_tick(&strain->minute, then);
    double ratio_max = fmax(limit, STRAIN_RATIO_FACTOR * before.ratio);
    if (since.failed >= STRAIN_FAILED_MIN && since.ratio >= ratio_max) {
        return true;
    }
    return since.answers >= STRAIN_ANSWERS_MIN && !isnan(before.p95_s) &&
           since.p95_s > STRAIN_P95_FACTOR * before.p95_s &&
           since.p95_s > before.p95_s + STRAIN_P95_MORE_S;
}

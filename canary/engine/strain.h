/* canary/engine/strain.h — does the stable version suffer right now?
 *
 * Looks at the last two to three seconds against the minute before them: failures at `limit` or at
 * three times what was usual, or answers more than twice as slow as usual. While it suffers,
 * workers do not ask it for what the canary failed. The measure is that of a shift back that waits
 * (rollout_shift.h), but for latency the difference must also be one that people notice: within
 * milliseconds twice as slow is noise. Embedded; pure, the clock is an argument. */
#pragma once
#include "canary/engine/watch.h"

enum { STRAIN_MARKS = 3, STRAIN_EVERY_US = 1000000 };

struct strain {
    struct watch minute;
    struct watch_mark recent[STRAIN_MARKS]; /* a ring; the newest is at (next - 1) */
    size_t recent_count;
    size_t next;
};

void strain_init(struct strain *strain);
/* Once a tick; `now` holds the totals of the stable version, rescues included. */
bool strain_look(struct strain *strain, const struct watch_mark *now, double limit);

/* proxy/io/deadline.h — timeouts by the thousand: arming and disarming cost a store or two.
 *
 * A hashed wheel (Varghese & Lauck 1987, scheme 6) with one timer for all. Entries are moved
 * lazily: arming later than the slot an entry already stands in only notes the new time, and so
 * does disarming; when the slot's turn comes the entry is looked at and put where it belongs. So a
 * keep-alive connection that re-arms at every request touches no list. Fires at most
 * two ticks late, never early. Embedded in its owner; used only by the loop's thread. */
#pragma once
#include <stdint.h>
#include <uv.h>

#include "proxy/base/list.h"

enum { DEADLINE_TICK_MS = 50, DEADLINE_SLOTS = 512 };

struct loop;
struct deadline;
typedef void deadline_fn(struct deadline *deadline);

struct deadline {
    struct list link;
    uint64_t due_ms;      /* 0: disarmed */
    uint64_t standing_ms; /* the time its slot is looked at; 0: in no slot */
    deadline_fn *on_due;
};

struct deadline_wheel {
    struct loop *loop; /* borrowed */
    uv_timer_t timer;
    uint64_t tick; /* slots looked at so far, in ticks of the loop's clock */
    struct list slots[DEADLINE_SLOTS];
};

void deadline_wheel_init(struct deadline_wheel *wheel, struct loop *loop);
/* Stops the timer; no deadline may fire any more. */
void deadline_wheel_finish(struct deadline_wheel *wheel);

/* Whether the wheel alone keeps the loop running: libuv runs no timer of a loop that nothing keeps.
 */
static inline void deadline_wheel_hold(struct deadline_wheel *wheel, bool is_held)
{
    if (is_held) {
        uv_ref((uv_handle_t *)&wheel->timer);
    } else {
        uv_unref((uv_handle_t *)&wheel->timer);
    }
}

void deadline_init(struct deadline *deadline, deadline_fn *on_due);
/* Fires `timeout_us` from now; 0 means no deadline and disarms. */
void deadline_arm(struct deadline_wheel *wheel, struct deadline *deadline, uint64_t timeout_us);
void deadline_disarm(struct deadline *deadline);
/* Takes it out of the wheel; to be called before its owner is freed. */
void deadline_finish(struct deadline *deadline);

static inline bool deadline_is_armed(const struct deadline *deadline)
{
    return deadline->due_ms != 0;
}

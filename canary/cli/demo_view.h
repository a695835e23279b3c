/* canary/cli/demo_view.h — the demo's state as lines of text.
 *
 * A frame is what a terminal shows, drawn anew several times a second: a bar for each version's
 * weight, its rates, phase and verdict, what clients saw, the latest events; never wider than the
 * terminal. Without a terminal there is one plain line per second and one per event. Pure; any
 * thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "canary/cli/demo_load.h"
#include "canary/cli/demo_seen.h"
#include "canary/cli/sheet.h"
#include "proxy/base/buf.h"
#include "proxy/base/err.h"

enum {
    DEMO_EVENTS_MAX = 32,
    DEMO_COLUMNS_MIN = 20, /* wider than DEMO_COLUMNS_MAX is not used */
    DEMO_COLUMNS_MAX = 120,
    DEMO_ROWS_MIN = 12, /* a frame without events */
};

struct demo_event {
    double at_s;
    bool is_bad; /* shown in red */
    struct note text;
};

/* Events as they come; when full the oldest goes. Starts zeroed. */
struct demo_events {
    struct demo_event list[DEMO_EVENTS_MAX];
    size_t count;
};

void demo_events_add(struct demo_events *events, double at_s, bool is_bad, const char *format, ...)
    PRINTF_LIKE(4, 5);

struct demo_scene {
    double elapsed_s;
    const char *url; /* of the proxy; borrowed */
    struct demo_seen seen;
    struct demo_rate rates[ROLE_COUNT];
    struct demo_load_counts clients;
    struct demo_events events;
};

/* Appends a frame, each line ended by "\n", and says how many lines those are: fewer than rows.
 * A failed append shows in the buf. */
void demo_view_frame(const struct demo_scene *scene, const struct sheet_look *look, struct buf *out,
                     size_t *ret_line_count);
/* Appends the second's line. */
void demo_view_line(const struct demo_scene *scene, struct buf *out);
/* Appends an event's line. */
void demo_view_event(const struct demo_event *event, struct buf *out);

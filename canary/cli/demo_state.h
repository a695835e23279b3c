/* canary/cli/demo_state.h — the inside of the demo, shared by demo.c (its states and its life) and
 * demo_watch.c (what it asks and tells), and by nobody else. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "canary/cli/demo_load.h"
#include "canary/cli/demo_options.h"
#include "canary/cli/demo_origin.h"
#include "canary/cli/demo_proxy.h"
#include "canary/cli/demo_screen.h"
#include "canary/cli/demo_seen.h"
#include "canary/fetch/fetch.h"
#include "proxy/base/check.h"

enum { DEMO_TAG = TAG('d', 'e', 'm', 'o'), DEMO_URL_SIZE = 128, DEMO_SIGNALS = 4 };

enum { DEMO_EXIT_ROLLED_BACK = 0, DEMO_EXIT_NOT_ROLLED_BACK = 1, DEMO_EXIT_USAGE = 2 };

enum demo_state {
    DEMO_STARTING,
    DEMO_CALM,
    DEMO_BROKEN,
    DEMO_RECORDING,
    DEMO_KEEPING,
    DEMO_ENDING,
    DEMO_STATE_COUNT
};

struct demo {
    unsigned tag;
    enum demo_state state;
    struct demo_options options;
    const char *self_path; /* borrowed */
    uv_loop_t loop;
    uv_timer_t ticker;
    uv_signal_t signals[DEMO_SIGNALS];
    struct demo_origin *origins[ROLE_COUNT];
    struct demo_proxy *proxy; /* NULL only when it could not be started */
    unsigned starts;
    struct fetch *fetch;
    bool is_asking;         /* a call to the admin API is under way */
    struct demo_load *load; /* from calm on */
    struct demo_screen screen;
    struct demo_scene scene;
    struct demo_rates rates;
    bool has_seen; /* scene.seen was read at least once */
    char url[DEMO_URL_SIZE];
    uint64_t entered_us; /* the present state */
    uint64_t traffic_us; /* the load's start; 0 before */
    bool is_closed;      /* handles are closing */
    int exit_code;
};

/* Recovers the demo from a callback's context. */
static inline struct demo *demo_of(void *context)
{
    struct demo *demo = context;
    CHECK(demo->tag == DEMO_TAG);
    return demo;
}

/* ---- demo.c ---- */

/* Moves to another state and does what it begins with; CHECKs that there is an arrow. */
void demo_enter(struct demo *demo, enum demo_state state);
/* Since the first request; 0 before. */
double demo_elapsed_s(const struct demo *demo);

/* ---- demo_watch.c ---- */

/* Asks the admin API what the state wants to know, unless it is being asked. */
void demo_ask(struct demo *demo);
/* Shows how things stand. */
void demo_show(struct demo *demo);
/* Shows the latest `count` events, where there are no frames. */
void demo_show_news(struct demo *demo, size_t count);
/* The story ends before its end: says why and what the proxy said last; exit code 1. */
void demo_give_up(struct demo *demo, const char *format, ...) PRINTF_LIKE(2, 3);

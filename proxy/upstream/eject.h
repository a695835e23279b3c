/* proxy/upstream/eject.h — outlier ejection: an endpoint that fails again and again is left alone
 * for a while.
 *
 * After `consecutive` failures in a row an endpoint is ejected for `eject_us` times the number of
 * its ejections, at most EJECT_TIMES_MAX times; each `eject_us` that it then serves without another
 * one takes one off that number. No more than the share `max_ejected_ppm` of a version's endpoints,
 * rounded down, is ejected at a time, and never one without which the version had no usable
 * endpoint. Pure: times and counts are passed in; the worker that owns the state. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { EJECT_TIMES_MAX = 10 };

struct eject_policy {
    uint32_t consecutive;     /* failures in a row; 0 is off */
    uint64_t eject_us;        /* the first ejection's length */
    uint32_t max_ejected_ppm; /* share of the version's endpoints, parts per million */
};

/* One worker's view of one endpoint; all zero is a new one. */
struct eject_state {
    uint32_t failures; /* in a row */
    uint32_t times;    /* ejections that still count */
    uint64_t until_us; /* when the present or the last ejection ends */
    bool is_ejected;
};

/* The endpoint's version as this worker sees it now. */
struct eject_crowd {
    uint32_t endpoints;
    uint32_t ejected; /* by this worker */
    uint32_t usable;  /* healthy and not ejected, the endpoint in question included */
};

/* Notes a failed attempt; true when the endpoint is ejected by it (count it, and take it from the
 * live ones). */
bool eject_on_failure(const struct eject_policy *policy, struct eject_state *state,
                      const struct eject_crowd *crowd, uint64_t now_us);
/* Notes an attempt that did not fail. */
void eject_on_success(struct eject_state *state);
/* Ends an ejection whose time has come; true when the endpoint may be used again from now on. Cheap
 * to ask. */
bool eject_has_returned(struct eject_state *state, uint64_t now_us);

/* canary/cli/demo_load.h — the demo's clients: a steady, open-loop load of GETs that counts what it
 * saw.
 *
 * Requests are sent when their time has come, whether or not the ones before are answered, over
 * connections that are kept alive; cookies are not sent back, so the weight alone decides. Lives on
 * the demo's loop, one thread. */
#pragma once
#include <stdint.h>
#include <uv.h>

#include "proxy/base/err.h"

struct demo_load;

/* Only grow. */
struct demo_load_counts {
    uint64_t answered; /* with any status */
    uint64_t bad;      /* 5xx, and those without an answer */
    uint64_t lost;     /* of the bad: without an answer */
    uint64_t skipped;  /* not sent: too many were under way */
};

/* `rate` requests a second to http://127.0.0.1:`port`. Borrows the loop for life. ERR_NOMEM,
 * ERR_IO. */
MUST_USE enum err demo_load_open(uv_loop_t *loop, unsigned port, double rate, uint64_t seed,
                                 struct demo_load **ret_load);
struct demo_load_counts demo_load_counts(const struct demo_load *load);
/* Sends no more; what is under way is cut and not counted. Frees later on the loop. NULL is fine.
 */
void demo_load_close(struct demo_load *load);

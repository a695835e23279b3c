/* canary/cli/demo_origin.h — one version of the demo's site: a small HTTP/1.1 server that can
 * break.
 *
 * Answers every path with a page that says which version it is, and /healthz with 200 always, as
 * broken releases do. Listens on a loopback port that the kernel chose. Lives on the demo's loop,
 * one thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "proxy/base/err.h"

struct demo_origin;

/* Borrows `name` and the loop for life. ERR_NOMEM, ERR_IO. */
MUST_USE enum err demo_origin_open(uv_loop_t *loop, const char *name, uint64_t seed,
                                   struct demo_origin **ret_origin);
unsigned demo_origin_port(const struct demo_origin *origin);
/* From now on it answers `fail_ratio` of its requests with 500: all the time when persistent,
 * otherwise while they come about as quickly as they did until now. */
void demo_origin_break(struct demo_origin *origin, double fail_ratio, bool is_persistent);
/* Answers with 500 so far. */
uint64_t demo_origin_bad_count(const struct demo_origin *origin);
/* Ends the connections, closes the handles, frees when the last is closed. NULL is fine. */
void demo_origin_close(struct demo_origin *origin);

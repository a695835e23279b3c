/* canary/fetch/retry.h — whether to ask again, and when. Pure; any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/err.h"
#include "proxy/base/hash.h"

/* More than this nobody is made to wait. */
enum { FETCH_RETRY_AFTER_MAX_MS = 24 * 3600 * 1000 };

/* Whether another try may end differently: no answer, 408, 429, 5xx. Not what was cancelled or too
 * large. `err` and `status` as in a fetch_answer. */
bool fetch_may_pass(enum err err, unsigned status);
/* A Retry-After field (RFC 9110 section 10.2.3), seconds or a date, as milliseconds from `wall_us`;
 * 0 when there is none or it cannot be read. `text` may be NULL. */
uint64_t fetch_retry_after_ms(const char *text, int64_t wall_us);
/* The pause after so many tries (from 1): `base_ms` doubled each time up to `max_ms`, of which the
 * upper half is drawn, so that many who failed together do not come back together. */
uint64_t fetch_backoff_ms(unsigned tries, uint64_t base_ms, uint64_t max_ms, struct random *random);

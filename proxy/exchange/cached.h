/* proxy/exchange/cached.h — an exchange and what is kept of its service (proxy/cache).
 *
 * Two ways: a good answer of a version that goes to its client is kept beside, and a request for
 * which every other way has failed gets what was kept, the decided version's first, then the stable
 * one's, never a rolled-back one's. What is served so is no answer of a version: it counts for no
 * ledger, and the failure that led to it has been counted already.
 *
 *     OPEN, CONNECTING, WAITING -- no way left, but a kept answer --> SERVING --> CLOSED
 *
 * Part of the exchange; one worker's loop. Where `cache` is off all of it costs a comparison. */
#pragma once
#include "proxy/exchange/exchange_state.h"

/* The answer's head went to the client: is it to be kept too? */
void cached_on_answer(struct exchange *exchange, const struct response *response);
/* More of that answer's body; its end. Only where exchange->cached is not NULL. */
void cached_on_body(struct exchange *exchange, struct bytes piece);
void cached_on_end(struct exchange *exchange);

/* The version's own answer is a failure as caches see it (RFC 5861), and so does every version that
 * takes part: true when a kept answer took its place. The exchange may be over then. */
bool cached_replaces(struct exchange *exchange, const struct response *response);
/* The client took what there was: more of the kept answer. May be the last call. */
void cached_go_on(struct exchange *exchange);
/* The exchange ends: lets go of what is kept and served. */
void cached_end(struct exchange *exchange);
/* What came of looking, for the access log; METRIC_CACHE_COUNT: nobody looked. */
enum metric_cache cached_result(const struct exchange *exchange);

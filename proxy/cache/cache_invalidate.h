/* proxy/cache/cache_invalidate.h — which stored answers a write makes worthless (RFC 9111
 * section 4.4). Pure; any thread. */
#pragma once
#include "proxy/base/arena.h"
#include "proxy/http/message.h"

enum { CACHE_INVALIDATED_MAX = 3 };

/* Is an answer with this status to this method one that shows that something changed: an unsafe
 * method, and no error? */
bool cache_is_invalidating(enum method method, unsigned status);

/* The targets (origin-form) whose stored answers are to go: the request's own, and those of
 * Location and Content-Location where they are of the same scheme, host and port. Borrowed from
 * request and response, or in the arena; where the arena is out, a target is left out, which the
 * RFC allows for all but the first. Whoever drops them does so for every version of the service:
 * the versions share what is written. Returns how many; 0 when !cache_is_invalidating. */
size_t cache_invalidated(const struct request *request, struct bytes scheme,
                         const struct response *response, struct arena *arena,
                         struct bytes ret_targets[CACHE_INVALIDATED_MAX]);

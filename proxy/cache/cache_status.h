/* proxy/cache/cache_status.h — how the cache handled a request, for whoever reads the answer
 * (RFC 9211). Pure; any thread. */
#pragma once
#include "proxy/cache/cache_policy.h"

enum { CACHE_STATUS_MAX = 192, CACHE_STATUS_DETAIL_MAX = 32 };

struct cache_status {
    bool is_hit;                /* answered without forwarding */
    enum cache_forward forward; /* else: why it was forwarded */
    unsigned forward_status;    /* what the origin said; 0: nothing, or it was not asked */
    bool is_stored;             /* and its answer was kept */
    bool is_collapsed;          /* waited for another request's answer; in vain when it is no hit */
    bool has_ttl;               /* the answer came from the store */
    int64_t ttl_s;              /* negative: stale by as much */
    struct bytes detail;        /* a token, at most CACHE_STATUS_DETAIL_MAX; empty: none */
};

/* Detail of an answer from the store because the origins failed. */
#define CACHE_STATUS_FALLBACK "stale-if-error"

/* Writes the value: `serin; hit; ttl=60`, `serin; fwd=uri-miss; fwd-status=200; stored`,
 * `serin; fwd=stale; fwd-status=503; ttl=-30; detail=stale-if-error`. */
struct bytes cache_status_format(const struct cache_status *status, char text[CACHE_STATUS_MAX]);

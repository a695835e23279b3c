/* proxy/cache/cache_policy.h — what a shared cache may keep, for how long, and when it may use it
 * (RFC 9111; RFC 5861 for stale answers).
 *
 * Nothing in here does anything: requests, answers and times go in, decisions come out. Times are
 * monotonic microseconds, but for one look at the wall clock when an answer comes in, to compare it
 * with its Date. A cache_meta is plain data that is kept beside the answer. Pure; any thread. */
#pragma once
#include "proxy/base/err.h"
#include "proxy/cache/cache_control.h"
#include "proxy/http/message.h"

enum cache_mode {
    CACHE_FALLBACK, /* kept, and used only when the origins fail */
    CACHE_FULL,     /* used whenever it is fresh */
};

/* What the configuration says. */
struct cache_rules {
    enum cache_mode mode;
    uint32_t stale_if_error_s;   /* for answers that say nothing of it; 0: none */
    bool is_set_cookie_stored;   /* answers with Set-Cookie are kept, with it */
    bool is_revalidation_waived; /* when the origins fail, must-revalidate, proxy-revalidate,
                                    s-maxage and no-cache do not forbid a stale answer */
};

/* A request as the cache sees it. */
struct cache_request {
    const struct request *request; /* borrowed */
    struct cache_control control;  /* Pragma: no-cache counts when there is no Cache-Control */
    bool has_authorization;
    bool has_identity; /* says who asks: by a cookie that is not Serin's own, a key or a name */
    bool has_range;
    bool is_reusable; /* GET or HEAD without a body, no condition that only an origin can judge, and
                         nothing that many origins take for another method or target: may be
                         answered from the store */
    bool is_storing;  /* its answer may be kept, too: origins get all that it seems to say */
};

void cache_request_read(const struct request *request, struct cache_request *ret_request);

/* Why an answer is not kept. X(ID, "token for Cache-Status' detail") */
#define CACHE_ADMISSION_LIST(X)                                                                    \
    X(STORED, "")                                                                                  \
    X(METHOD, "method")                                                                            \
    X(REQUEST, "request-no-store")                                                                 \
    X(STATUS, "status")                                                                            \
    X(NO_STORE, "no-store")                                                                        \
    X(PRIVATE, "private")                                                                          \
    X(AUTHORIZATION, "authorization")                                                              \
    X(COOKIE, "cookie")                                                                            \
    X(SET_COOKIE, "set-cookie")                                                                    \
    X(VARY, "vary")                                                                                \
    X(PARTIAL, "partial")                                                                          \
    X(UNBOUNDED, "no-length")                                                                      \
    X(FRESHNESS, "no-freshness")                                                                   \
    X(TOO_LARGE, "too-large")                                                                      \
    X(NOMEM, "no-memory")

enum cache_admission {
#define CACHE_ADMISSION_ID(id, token) CACHE_ADMIT_##id,
    CACHE_ADMISSION_LIST(CACHE_ADMISSION_ID)
#undef CACHE_ADMISSION_ID
        CACHE_ADMISSION_COUNT
};

struct bytes cache_admission_text(enum cache_admission admission);

/* When an answer came. */
struct cache_times {
    uint64_t request_us;  /* monotonic: when its request was sent */
    uint64_t response_us; /* monotonic: when its head was there */
    int64_t wall_us;      /* wall clock at response_us */
};

/* Kept beside an answer. */
struct cache_meta {
    uint64_t response_us;    /* monotonic */
    uint64_t initial_age_us; /* at response_us (RFC 9111 section 4.2.3) */
    uint64_t lifetime_us;
    uint32_t stale_if_error_s;         /* when has_stale_if_error */
    uint32_t stale_while_revalidate_s; /* 0: not said */
    bool has_stale_if_error;
    bool is_no_cache;        /* never without asking */
    bool is_stale_forbidden; /* must-revalidate, proxy-revalidate */
    bool is_s_maxage;        /* forbids stale too, but where the same answer allows it by name */
    bool is_heuristic;       /* the lifetime is a guess */
    bool is_shared;     /* says itself that anybody may have it: requests with Authorization too */
    bool has_validator; /* ETag or Last-Modified */
};

/* May this answer to this request be kept? Fills `ret_meta` when CACHE_ADMIT_STORED. Only says what
 * the head says: that the body is whole and not too large is for whoever reads it. `response` is
 * what the origin said, without what Serin adds for one client. */
MUST_USE enum cache_admission cache_admit(const struct cache_request *request,
                                          const struct response *response,
                                          const struct cache_rules *rules,
                                          const struct cache_times *times,
                                          struct cache_meta *ret_meta);

/* How old an answer was when it came (RFC 9111 section 4.2.3): what the clocks say, or what the
 * caches before us say, whatever is more. */
uint64_t cache_initial_age_us(const struct fields *fields, const struct cache_times *times);
/* The age now, and by how much the lifetime is not yet over (negative: it is). */
uint64_t cache_age_s(const struct cache_meta *meta, uint64_t now_us);
int64_t cache_ttl_s(const struct cache_meta *meta, uint64_t now_us);

enum cache_verdict {
    CACHE_PASS,                   /* forward it as it is; the answer is not kept */
    CACHE_MISS,                   /* fetch; the answer may be kept */
    CACHE_FRESH,                  /* answer from the store; stale where a client wants just that */
    CACHE_STALE_REVALIDATE,       /* ask whether the stored answer still holds (cache_validate.h) */
    CACHE_STALE_WHILE_REVALIDATE, /* answer from the store now, and ask meanwhile */
    CACHE_GATEWAY_TIMEOUT,        /* only-if-cached: 504 */
};

/* Why it was forwarded (RFC 9211 section 2.2). X(ID, "token") */
#define CACHE_FORWARD_LIST(X)                                                                      \
    X(NONE, "")                                                                                    \
    X(BYPASS, "bypass")                                                                            \
    X(METHOD, "method")                                                                            \
    X(URI_MISS, "uri-miss")                                                                        \
    X(VARY_MISS, "vary-miss")                                                                      \
    X(MISS, "miss")                                                                                \
    X(REQUEST, "request")                                                                          \
    X(STALE, "stale")                                                                              \
    X(PARTIAL, "partial")

enum cache_forward {
#define CACHE_FORWARD_ID(id, token) CACHE_FORWARD_##id,
    CACHE_FORWARD_LIST(CACHE_FORWARD_ID)
#undef CACHE_FORWARD_ID
        CACHE_FORWARD_COUNT
};

struct cache_judgement {
    enum cache_verdict verdict;
    enum cache_forward forward; /* CACHE_FORWARD_NONE when the verdict is not to forward */
};

/* What to do with a request, given the stored answer that its keys select (NULL: none; then the
 * reason is URI_MISS, which the store makes VARY_MISS where it knows better). In mode fallback
 * the verdict is never to answer from the store. */
struct cache_judgement cache_judge(const struct cache_meta *meta,
                                   const struct cache_request *request,
                                   const struct cache_rules *rules, uint64_t now_us);

/* Is this what the origins' failing looks like (RFC 5861 section 4)? 500, 502, 503, 504. */
bool cache_is_failure(unsigned status);

/* The origins failed this request: may it have the stored answer, fresh or stale? What a client
 * says of freshness (no-cache of a reload, max-age) is advice, and does not stand against the
 * alternative, which is an error; its stale-if-error does. Both modes. */
bool cache_may_serve_on_error(const struct cache_meta *meta, const struct cache_request *request,
                              const struct cache_rules *rules, uint64_t now_us);

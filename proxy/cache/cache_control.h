/* proxy/cache/cache_control.h — the directives of Cache-Control, in requests and in answers
 * (RFC 9111 section 5.2, RFC 5861).
 *
 * Several lines are one list. What nobody knows is passed over. Where a directive is said twice or
 * cannot be read, the stricter reading holds: a lifetime that is no number, or that is given in two
 * sizes, is 0; `private` and `no-cache` with a list of fields that cannot be read count as without.
 * Everything is borrowed from the fields. Pure; any thread. */
#pragma once
#include "proxy/http/fields.h"

/* More seconds than anybody means: what is larger, or does not fit, is this (RFC 9111
 * section 1.2.2). */
#define CACHE_SECONDS_MAX UINT32_C(2147483648)

/* X(ID, "name") */
#define CACHE_DIRECTIVE_LIST(X)                                                                    \
    X(NO_STORE, "no-store")                                                                        \
    X(NO_CACHE, "no-cache")                                                                        \
    X(MAX_AGE, "max-age")                                                                          \
    X(S_MAXAGE, "s-maxage")                                                                        \
    X(MUST_REVALIDATE, "must-revalidate")                                                          \
    X(PROXY_REVALIDATE, "proxy-revalidate")                                                        \
    X(MUST_UNDERSTAND, "must-understand")                                                          \
    X(PRIVATE, "private")                                                                          \
    X(PUBLIC, "public")                                                                            \
    X(STALE_IF_ERROR, "stale-if-error")                                                            \
    X(STALE_WHILE_REVALIDATE, "stale-while-revalidate")                                            \
    X(MAX_STALE, "max-stale")                                                                      \
    X(MIN_FRESH, "min-fresh")                                                                      \
    X(ONLY_IF_CACHED, "only-if-cached")

enum cache_directive {
#define CACHE_DIRECTIVE_ID(id, name) CACHE_CONTROL_##id,
    CACHE_DIRECTIVE_LIST(CACHE_DIRECTIVE_ID)
#undef CACHE_DIRECTIVE_ID
        CACHE_DIRECTIVE_COUNT
};

struct cache_control {
    uint32_t has;                            /* a bit for each directive that was said */
    uint32_t seconds[CACHE_DIRECTIVE_COUNT]; /* of those that take seconds and were said */
    bool is_private_whole;  /* `private` said at least once without a readable list of fields */
    bool is_no_cache_whole; /* `no-cache` likewise */
};

/* Reads all Cache-Control fields of a request or an answer. */
void cache_control_read(const struct fields *fields, struct cache_control *ret_control);

static inline bool cache_control_has(const struct cache_control *control,
                                     enum cache_directive directive)
{
    return (control->has >> directive & 1) != 0;
}

/* Does `private` or `no-cache` of these fields name this field? Such a field is neither stored nor
 * told to anybody else. */
bool cache_control_withholds(const struct fields *fields, struct bytes name);

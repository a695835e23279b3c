/* proxy/cache/cache_answer.h — what a client gets of a stored answer: all of it, a part, or word
 * that it has it already (RFC 9110 sections 13 and 14). Pure; any thread. */
#pragma once
#include "proxy/base/arena.h"
#include "proxy/base/err.h"
#include "proxy/http/message.h"

/* Fields added to the stored ones: Content-Range, Age, Cache-Status. */
enum { CACHE_ANSWER_ADDED_MAX = 3 };

struct cache_stored {
    unsigned status;
    struct fields fields;
    uint64_t body_size;
    int64_t received_s; /* wall clock, seconds: stands in for a Date that cannot be read */
};

enum cache_answer_kind {
    CACHE_ANSWER_WHOLE,
    CACHE_ANSWER_RANGE,
    CACHE_ANSWER_NOT_MODIFIED,
    CACHE_ANSWER_UNSATISFIABLE, /* 416 */
};

struct cache_answer {
    enum cache_answer_kind kind;
    uint64_t first; /* the bytes of the stored body that go out; none for the last two */
    uint64_t size;
};

/* What the client's own conditions and Range make of the stored answer. If-None-Match compares
 * weakly and goes before If-Modified-Since; Range counts for GET only, If-Range compares strongly;
 * several ranges, and what cannot be read, get the whole answer. */
struct cache_answer cache_answer_of(const struct request *request,
                                    const struct cache_stored *stored);

/* The head to send: status, stored fields, Age, Content-Range where it belongs and `cache_status`
 * (the value, borrowed; empty: none). The body is BODY_LENGTH, announced also for HEAD, whose
 * sender leaves it out. `items` has room for the stored fields and CACHE_ANSWER_ADDED_MAX.
 * ERR_LIMIT, ERR_NOMEM. */
MUST_USE enum err cache_answer_head(const struct cache_stored *stored,
                                    const struct cache_answer *answer, uint64_t age_s,
                                    struct bytes cache_status, struct arena *arena,
                                    struct field *items, size_t items_max,
                                    struct response *ret_response);

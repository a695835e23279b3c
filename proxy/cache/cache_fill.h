/* proxy/cache/cache_fill.h — an answer on its way into the store, while a client gets it.
 *
 * Begun with the answer's head, given each piece of its body, and finished when that is whole: then
 * the entry is put. An answer that breaks off, grows too large, or whose version was dropped
 * meanwhile is abandoned: nothing of it is ever found. Nor is one that was asked for before a
 * purge, or before a write forgot its page. Embedded in whoever relays the answer; one worker's. */
#pragma once
#include "proxy/cache/cache_store.h"
#include "proxy/cache/cache_validate.h"
#include "proxy/http/reverse.h"

struct cache_fill {
    struct cache_entry *entry;     /* ours; NULL: nothing is being kept */
    const _Atomic uint64_t *realm; /* the version's present one; borrowed while it is filled */
    uint64_t begun_era;
    uint64_t body_max;
};

/* Borrowed for the call, but for `realm`. */
struct cache_fill_facts {
    struct cache_store *store;
    const _Atomic uint64_t *realm;
    uint64_t begun_realm; /* the version's when its answer was asked for */
    uint64_t begun_era;   /* the store's, then */
    struct cache_key_facts key;
    const struct cache_request *request;
    const struct response *response;     /* as the origin said it */
    const struct reverse_facts *reverse; /* the origin's name is not to be told; NULL: it may */
    const struct cache_rules *rules;
    struct cache_times times;
    uint64_t body_max;
};

/* Begins to keep an answer that may be kept, or says why not; the fill is empty then. */
MUST_USE enum cache_admission cache_fill_begin(const struct cache_fill_facts *facts,
                                               struct arena *arena, struct cache_fill *fill);
/* Does the answer differ between requests? */
bool cache_fill_is_varied(const struct cache_fill *fill);
/* More of the body. False: it was too much, or there is no memory, and the fill is abandoned. */
bool cache_fill_append(struct cache_fill *fill, struct bytes piece);
/* The body is whole: puts the entry. `request` is what the client's request said. False: it could
 * not be put. */
bool cache_fill_finish(struct cache_fill *fill, const struct fields *request);
void cache_fill_abandon(struct cache_fill *fill); /* an empty one is fine */

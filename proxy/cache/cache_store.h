/* proxy/cache/cache_store.h — what a service's cache holds: whole answers, found by key, bounded in
 * bytes.
 *
 * One store for all workers, in shards with a short lock each (rank 1): under a lock a chain of a
 * hash table is walked and links are moved, nothing is copied or compared but keys and the few
 * fields that an answer varies by. An entry is filled by one owner, is immutable from when it is
 * put, and counts its references, so that one that is being served outlives its eviction.
 *
 * Every entry belongs to a realm: a number that stands for one version at one time. To drop a
 * version's entries at once, it is given a new realm: what was put under the old one is never found
 * again, and cache_store_sweep frees it, a few chains at a time. So a rollback waits for no lock.
 *
 * Memory is accounted exactly: an entry counts with its head, its body and what the allocator adds,
 * `held` while it can be found and `loose` before and after, while it is filled or still served.
 * `held` never passes the store's size, and nothing is begun or grows that takes `loose` past it,
 * however many fills there are and however slow their clients. When room is
 * wanted, the entry of the shard that was used the longest ago goes, of the next shard when there
 * is none but the one that room is made for. */
#pragma once
#include <stdatomic.h>

#include "proxy/base/list.h"
#include "proxy/cache/cache_key.h"
#include "proxy/cache/cache_policy.h"

enum { CACHE_SHARDS = 16, CACHE_VARIANTS_MAX = 16, CACHE_SWEEP_CHAINS = 64 };

struct cache_store;

/* A stored answer. */
struct cache_entry {
    struct list recency; /* the store's, as all down to `hash` */
    struct cache_entry *next;
    struct cache_store *store; /* borrowed */
    _Atomic uint32_t reference_count;
    size_t size;      /* as accounted */
    size_t body_room; /* allocated for the body */
    uint64_t hash;
    uint64_t realm;
    struct bytes key;       /* cache_key.text */
    struct bytes vary;      /* secondary key */
    struct bytes authority; /* as the client named it */
    struct bytes target;
    unsigned status;
    struct fields fields; /* as cache_stored_fields has them */
    struct cache_meta meta;
    int64_t received_wall_us;
    struct bytes body;
};

/* What an entry is made of; all borrowed for the call. */
struct cache_parts {
    uint64_t realm;
    struct cache_key key; /* by the store's seed */
    struct bytes vary;
    struct bytes authority;
    struct bytes target;
    unsigned status;
    struct fields fields;
    struct cache_meta meta;
    int64_t received_wall_us;
};

/* A store that holds up to `size` bytes; one reference, the caller's. ERR_NOMEM. Control. */
MUST_USE enum err cache_store_create(uint64_t size, struct cache_store **ret_store);
/* Control; the last one destroys: no entry is in use then. NULL is fine. */
struct cache_store *cache_store_ref(struct cache_store *store);
void cache_store_unref(struct cache_store *store);
/* From now on it holds up to so many bytes. Takes no lock: what is beyond goes by
 * cache_store_shrink, and by what is put. Control. */
void cache_store_resize(struct cache_store *store, uint64_t size);
/* Takes out what is beyond its size, the longest unused first, `count` entries at most; true when
 * there is more. Control. */
bool cache_store_shrink(struct cache_store *store, size_t count);
/* The seed of the keys' hashes: clients cannot choose their chain. Any thread. */
struct hash_key cache_store_seed(const struct cache_store *store);
/* A realm that was never used; never 0. Any thread. */
uint64_t cache_store_new_realm(struct cache_store *store);

/* An entry to be filled, with its head and no body; the caller's. `body_size` is what is expected,
 * 0 where nobody knows. ERR_LIMIT: too much is being filled, or it could never be put; ERR_NOMEM.
 * Any thread, as all below. */
MUST_USE enum err cache_entry_create(struct cache_store *store, const struct cache_parts *parts,
                                     uint64_t body_size, struct cache_entry **ret_entry);
/* More of its body; only before it is put. ERR_LIMIT beyond `body_max`, or when too much is being
 * filled; ERR_NOMEM. */
MUST_USE enum err cache_entry_append(struct cache_entry *entry, struct bytes piece,
                                     uint64_t body_max);
struct cache_entry *cache_entry_ref(struct cache_entry *entry);
void cache_entry_unref(struct cache_entry *entry); /* NULL is fine */

/* The newest entry of the key whose secondary key fits the request's fields (RFC 9111 section 4.1),
 * for the caller to unref; it counts as used. NULL: there is none; `ret_has_other` then says
 * whether there is one for other requests. */
struct cache_entry *cache_store_find(struct cache_store *store, uint64_t realm,
                                     const struct cache_key *key, const struct fields *request,
                                     bool *ret_has_other);
/* Takes an entry that is whole. What it replaces (the same realm and key, and it fits the request's
 * fields) goes, and the oldest beyond CACHE_VARIANTS_MAX. ERR_LIMIT: it is larger than the store,
 * and gone. */
MUST_USE enum err cache_store_put(struct cache_store *store, struct cache_entry *entry,
                                  const struct fields *request);
/* Where the store is in the story of what was purged and forgotten. */
uint64_t cache_store_era(const struct cache_store *store);
/* As cache_store_put, for an answer that was asked for in `era`. ERR_STATE: something was purged
 * since, or what is kept under the same key was forgotten, and this may be what was meant; the
 * entry is gone. */
MUST_USE enum err cache_store_put_since(struct cache_store *store, struct cache_entry *entry,
                                        const struct fields *request, uint64_t era);
/* Takes out all entries of a key, whatever they vary by. */
void cache_store_forget(struct cache_store *store, uint64_t realm, const struct cache_key *key);
/* Takes the entry out; nothing happens when it is not in. */
void cache_store_remove(struct cache_store *store, struct cache_entry *entry);

/* Which entries go; `entry` is looked at under a lock. */
typedef bool cache_condemns(const struct cache_entry *entry, const void *context);
/* Takes out what is condemned, CACHE_SWEEP_CHAINS chains at a time under a lock; how many went. */
size_t cache_store_purge(struct cache_store *store, cache_condemns *condemns, const void *context);
/* The same in pieces. What was asked for before it begins is not put any more; an entry goes when
 * the walk comes by. Zeroed memory is a walk that is over. */
struct cache_walk {
    size_t at; /* the next chain, over all shards */
    size_t left;
    size_t gone_count;
};
struct cache_walk cache_store_begin_purge(struct cache_store *store);
/* Looks at some `work` entries, an empty piece of the table counting as one; true when there is
 * more to look at. */
bool cache_store_go_on(struct cache_store *store, struct cache_walk *walk, size_t work,
                       cache_condemns *condemns, const void *context);
/* How often anything was purged: what was remembered of the store is to be looked up anew. */
uint64_t cache_store_purge_count(const struct cache_store *store);
/* Frees entries of other realms than these, `chains` of the table at most; true when there is more
 * to look at. cache_store_drop asks for it. Control. */
bool cache_store_sweep(struct cache_store *store, const uint64_t *realms, size_t realm_count,
                       size_t chains);
/* A realm is no longer in use: the next sweeps look for its entries. Any thread. */
void cache_store_drop(struct cache_store *store);

struct cache_usage {
    uint64_t held_bytes;
    uint64_t loose_bytes;
    uint64_t entries;
    uint64_t size;
};
/* Each number is one that was true. */
struct cache_usage cache_store_usage(const struct cache_store *store);

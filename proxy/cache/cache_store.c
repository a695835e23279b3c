#include "proxy/cache/cache_store.h"

#include <pthread.h>
#include <stdlib.h>

#include "proxy/base/check.h"

enum {
    CACHE_LINE = 64,
    ALLOCATOR_EXTRA = 16, /* what glibc keeps beside each piece */
    ENTRY_SIZE_TYPICAL = 4096,
    CHAINS_MIN = 16, /* of a shard */
    CHAINS_MAX = 1 << 20,
    BODY_ROOM_MIN = 4096,
    EVICTIONS_MAX = 64, /* under one lock */
    TRACES = 64         /* of what was forgotten, in each shard */
};

struct shard {
    pthread_mutex_t lock; /* rank 1 */
    struct list recency;  /* the last used first */
    struct cache_entry **chains;
    uint64_t forgotten[TRACES]; /* the last era that began with this, by hash; keys share them */
} __attribute__((aligned(CACHE_LINE)));

struct cache_store {
    size_t reference_count; /* control */
    struct hash_key hash_key;
    size_t chain_count; /* of each shard; a power of two */
    _Atomic uint64_t size;
    _Atomic uint64_t era;    /* with every request */
    _Atomic uint64_t purged; /* the last era that began with a purge */
    _Atomic uint64_t held_bytes;
    _Atomic uint64_t loose_bytes;
    _Atomic uint64_t entry_count;
    _Atomic uint64_t next_realm;
    _Atomic uint64_t purge_count;
    atomic_bool is_sweep_wanted;
    size_t sweep_at; /* control: the next chain, over all shards */
    size_t sweep_left;
    struct shard shards[CACHE_SHARDS];
};

static uint64_t load(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

static void add(_Atomic uint64_t *number, uint64_t amount)
{
    atomic_fetch_add_explicit(number, amount, memory_order_relaxed);
}

static void sub(_Atomic uint64_t *number, uint64_t amount)
{
    uint64_t before = atomic_fetch_sub_explicit(number, amount, memory_order_relaxed);
    CHECK(before >= amount);
}

static void lock(struct shard *shard)
{
    CHECK(pthread_mutex_lock(&shard->lock) == 0);
}

static void unlock(struct shard *shard)
{
    CHECK(pthread_mutex_unlock(&shard->lock) == 0);
}

/* ---- life ---- */

static size_t chains_for(uint64_t size)
{
    uint64_t wanted = size / CACHE_SHARDS / ENTRY_SIZE_TYPICAL;
    size_t count = CHAINS_MIN;
    while (count < wanted && count < CHAINS_MAX) {
        count *= 2;
    }
    return count;
}

static void destroy(struct cache_store *store)
{
    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        struct shard *shard = &store->shards[i];
        CHECK(list_is_empty(&shard->recency));
        (void)pthread_mutex_destroy(&shard->lock);
        free(shard->chains);
    }
    CHECK(load(&store->loose_bytes) == 0);
    free(store);
}

enum err cache_store_create(uint64_t size, struct cache_store **ret_store)
{
    struct cache_store *store = aligned_alloc(CACHE_LINE, sizeof *store);
    if (store == NULL) {
        return ERR_NOMEM;
    }
    memset(store, 0, sizeof *store);
    struct random random;
    random_init(&random, 0);
    store->reference_count = 1;
    store->hash_key = (struct hash_key){random_u64(&random), random_u64(&random)};
    store->chain_count = chains_for(size);
    atomic_init(&store->size, size);
    atomic_init(&store->next_realm, 1);
    bool is_whole = true;
    for (size_t i = 0; i < CACHE_SHARDS; i++) {
        struct shard *shard = &store->shards[i];
        list_init(&shard->recency);
        CHECK(pthread_mutex_init(&shard->lock, NULL) == 0);
        shard->chains = calloc(store->chain_count, sizeof(struct cache_entry *));
        is_whole = is_whole && shard->chains != NULL;
    }
    if (!is_whole) {
        destroy(store);
        return ERR_NOMEM;
    }
    *ret_store = store;
    return OK;
}

struct cache_store *cache_store_ref(struct cache_store *store)
{
    store->reference_count++;
    return store;
}

static bool condemn_all(const struct cache_entry *entry, const void *context)
{
    (void)entry;
    (void)context;
    return true;
}

void cache_store_unref(struct cache_store *store)
{
    if (store != NULL && --store->reference_count == 0) {
        (void)cache_store_purge(store, condemn_all, NULL);
        destroy(store);
    }
}

struct hash_key cache_store_seed(const struct cache_store *store)
{
    return store->hash_key;
}

uint64_t cache_store_new_realm(struct cache_store *store)
{
    return atomic_fetch_add_explicit(&store->next_realm, 1, memory_order_relaxed);
}

/* ---- entries ---- */

static size_t text_size(const struct cache_parts *parts)
{
    size_t size =
        parts->key.text.size + parts->vary.size + parts->authority.size + parts->target.size;
    for (size_t i = 0; i < parts->fields.count; i++) {
        size += parts->fields.items[i].name.size + parts->fields.items[i].value.size;
    }
    return size;
}

static struct bytes copy_text(char **at, struct bytes text)
{
    char *start = *at;
    if (text.size > 0) {
        memcpy(start, text.data, text.size);
    }
    *at += text.size;
    return bytes_make(start, text.size);
}

/* Behind the entry: its fields, then all text. */
static void fill_head(struct cache_entry *entry, const struct cache_parts *parts)
{
    struct field *items = (struct field *)(void *)(entry + 1);
    char *at = (char *)(items + parts->fields.count);
    entry->key = copy_text(&at, parts->key.text);
    entry->vary = copy_text(&at, parts->vary);
    entry->authority = copy_text(&at, parts->authority);
    entry->target = copy_text(&at, parts->target);
    for (size_t i = 0; i < parts->fields.count; i++) {
        const struct field *field = &parts->fields.items[i];
        items[i].name = copy_text(&at, field->name);
        items[i].value = copy_text(&at, field->value);
        items[i].id = field->id;
    }
    entry->fields = (struct fields){items, parts->fields.count};
}

/* More is loose, if that may be. */
static bool take_loose(struct cache_store *store, uint64_t amount)
{
    uint64_t before = atomic_fetch_add_explicit(&store->loose_bytes, amount, memory_order_relaxed);
    bool is_within = before + amount <= load(&store->size);
    if (!is_within) {
        sub(&store->loose_bytes, amount);
    }
    return is_within;
}

enum err cache_entry_create(struct cache_store *store, const struct cache_parts *parts,
                            uint64_t body_size, struct cache_entry **ret_entry)
{
    size_t head_size =
        sizeof(struct cache_entry) + parts->fields.count * sizeof(struct field) + text_size(parts);
    uint64_t needed = head_size + body_size + 2 * (uint64_t)ALLOCATOR_EXTRA;
    if (!take_loose(store, needed)) {
        return ERR_LIMIT;
    }
    struct cache_entry *entry = malloc(head_size);
    char *body = body_size > 0 ? malloc(body_size) : NULL;
    if (entry == NULL || (body_size > 0 && body == NULL)) {
        sub(&store->loose_bytes, needed);
        free(entry);
        free(body);
        return ERR_NOMEM;
    }
    *entry = (struct cache_entry){
        .store = store,
        .size = needed,
        .body_room = body_size,
        .hash = parts->key.hash,
        .realm = parts->realm,
        .status = parts->status,
        .meta = parts->meta,
        .received_wall_us = parts->received_wall_us,
        .body = {body, 0},
    };
    atomic_init(&entry->reference_count, 1);
    list_init(&entry->recency);
    fill_head(entry, parts);
    *ret_entry = entry;
    return OK;
}

static enum err set_room(struct cache_entry *entry, size_t room)
{
    _Atomic uint64_t *loose_bytes = &entry->store->loose_bytes;
    size_t growth = room > entry->body_room ? room - entry->body_room : 0;
    if (growth > 0 && !take_loose(entry->store, growth)) {
        return ERR_LIMIT;
    }
    char *data = realloc((char *)(uintptr_t)entry->body.data, room);
    if (data == NULL) {
        sub(loose_bytes, growth);
        return ERR_NOMEM;
    }
    entry->body.data = data;
    sub(loose_bytes, entry->body_room + growth - room);
    entry->size = entry->size - entry->body_room + room;
    entry->body_room = room;
    return OK;
}

enum err cache_entry_append(struct cache_entry *entry, struct bytes piece, uint64_t body_max)
{
    if (piece.size > body_max || entry->body.size > body_max - piece.size) {
        return ERR_LIMIT;
    }
    size_t needed = entry->body.size + piece.size;
    if (needed > entry->body_room) {
        size_t room = entry->body_room > BODY_ROOM_MIN ? entry->body_room * 2 : BODY_ROOM_MIN;
        room = room < needed ? needed : room;
        room = room > body_max ? body_max : room;
        enum err err = set_room(entry, room);
        if (err != OK) {
            return err;
        }
    }
    if (piece.size > 0) {
        memcpy((char *)(uintptr_t)entry->body.data + entry->body.size, piece.data, piece.size);
        entry->body.size = needed;
    }
    return OK;
}

struct cache_entry *cache_entry_ref(struct cache_entry *entry)
{
    atomic_fetch_add_explicit(&entry->reference_count, 1, memory_order_relaxed);
    return entry;
}

void cache_entry_unref(struct cache_entry *entry)
{
    if (entry == NULL) {
        return;
    }
    uint32_t before = atomic_fetch_sub_explicit(&entry->reference_count, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1) {
        sub(&entry->store->loose_bytes, entry->size);
        free((char *)(uintptr_t)entry->body.data);
        free(entry);
    }
}

/* ---- shards ---- */

static struct shard *shard_of(struct cache_store *store, uint64_t hash)
{
    return &store->shards[hash % CACHE_SHARDS];
}

static struct cache_entry **chain_of(struct cache_store *store, uint64_t hash)
{
    return &shard_of(store, hash)->chains[(hash / CACHE_SHARDS) & (store->chain_count - 1)];
}

/* Takes it out under its shard's lock; the store's reference is the caller's. */
static void unlink_entry(struct cache_store *store, struct cache_entry **link)
{
    struct cache_entry *entry = *link;
    *link = entry->next;
    entry->next = NULL;
    list_remove(&entry->recency);
    add(&store->loose_bytes, entry->size);
    sub(&store->held_bytes, entry->size);
    sub(&store->entry_count, 1);
}

static struct cache_entry **link_of(struct cache_store *store, const struct cache_entry *entry)
{
    struct cache_entry **link = chain_of(store, entry->hash);
    while (*link != NULL && *link != entry) {
        link = &(*link)->next;
    }
    return link;
}

/* Frees outside the lock what was taken out under it. */
static size_t release(struct cache_entry *const *gone, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cache_entry_unref(gone[i]);
    }
    return count;
}

/* What one caller takes out at most. */
struct quota {
    uint64_t bytes;
    size_t entries;
    const struct cache_entry *spared; /* what room is made for, only to be compared; or NULL */
};

static bool is_wanting(const struct cache_store *store, const struct quota *quota)
{
    return quota->bytes > 0 && quota->entries > 0 && load(&store->held_bytes) > load(&store->size);
}

/* Makes room in one shard; how many went. */
static size_t evict(struct cache_store *store, struct shard *shard, struct quota *quota)
{
    struct cache_entry *gone[EVICTIONS_MAX];
    size_t count = 0;
    lock(shard);
    while (count < EVICTIONS_MAX && is_wanting(store, quota) && !list_is_empty(&shard->recency)) {
        struct cache_entry *oldest =
            CONTAINER_OF(shard->recency.previous, struct cache_entry, recency);
        if (oldest == quota->spared) {
            break;
        }
        quota->entries--;
        quota->bytes -= oldest->size < quota->bytes ? oldest->size : quota->bytes;
        unlink_entry(store, link_of(store, oldest));
        gone[count++] = oldest;
    }
    unlock(shard);
    return release(gone, count);
}

/* Until the store is within its size, from the shard of `hash` on. */
static void make_room(struct cache_store *store, uint64_t hash, struct quota quota)
{
    size_t empty_count = 0;
    for (size_t i = 0; empty_count < CACHE_SHARDS && is_wanting(store, &quota);) {
        if (evict(store, shard_of(store, hash + i), &quota) > 0) {
            empty_count = 0;
        } else {
            empty_count++;
            i++;
        }
    }
}

void cache_store_resize(struct cache_store *store, uint64_t size)
{
    atomic_store_explicit(&store->size, size, memory_order_relaxed);
}

bool cache_store_shrink(struct cache_store *store, size_t count)
{
    make_room(store, 0, (struct quota){.bytes = UINT64_MAX, .entries = count});
    return load(&store->held_bytes) > load(&store->size);
}

static bool is_of(const struct cache_entry *entry, uint64_t realm, const struct cache_key *key)
{
    return entry->hash == key->hash && entry->realm == realm && bytes_equal(entry->key, key->text);
}

struct cache_entry *cache_store_find(struct cache_store *store, uint64_t realm,
                                     const struct cache_key *key, const struct fields *request,
                                     bool *ret_has_other)
{
    struct shard *shard = shard_of(store, key->hash);
    struct cache_entry *found = NULL;
    *ret_has_other = false;
    lock(shard);
    struct cache_entry *entry = *chain_of(store, key->hash);
    for (; entry != NULL && found == NULL; entry = entry->next) {
        if (!is_of(entry, realm, key)) {
            continue;
        }
        *ret_has_other = true;
        if (cache_vary_matches(entry->vary, request)) {
            found = cache_entry_ref(entry);
            list_remove(&entry->recency);
            list_push_front(&shard->recency, &entry->recency);
        }
    }
    unlock(shard);
    return found;
}

/* Of the entry's key: what it replaces, and variants beyond the bound, which are the oldest. Each
 * put adds one, so that what is taken out is never more than there can be. */
static size_t replace(struct cache_store *store, const struct cache_entry *entry,
                      const struct fields *request, struct cache_entry *gone[CACHE_VARIANTS_MAX])
{
    const struct cache_key key = {entry->key, entry->hash};
    size_t kept_count = 1;
    size_t gone_count = 0;
    struct cache_entry **link = chain_of(store, entry->hash);
    while (*link != NULL) {
        struct cache_entry *other = *link;
        bool is_other = !is_of(other, entry->realm, &key);
        if (is_other ||
            (kept_count < CACHE_VARIANTS_MAX && !cache_vary_matches(other->vary, request))) {
            kept_count += !is_other;
            link = &other->next;
            continue;
        }
        CHECK(gone_count < CACHE_VARIANTS_MAX);
        unlink_entry(store, link);
        gone[gone_count++] = other;
    }
    return gone_count;
}

/* What a growing body was given and did not need goes back. */
static void trim(struct cache_entry *entry)
{
    if (entry->body.size == 0 && entry->body_room > 0) {
        sub(&entry->store->loose_bytes, entry->body_room);
        entry->size -= entry->body_room;
        free((char *)(uintptr_t)entry->body.data);
        entry->body = bytes_make(NULL, 0);
        entry->body_room = 0;
    } else if (entry->body.size < entry->body_room) {
        (void)!set_room(entry, entry->body.size);
    }
}

uint64_t cache_store_era(const struct cache_store *store)
{
    return load(&store->era);
}

static uint64_t begin_era(struct cache_store *store)
{
    return atomic_fetch_add_explicit(&store->era, 1, memory_order_relaxed) + 1;
}

static uint64_t *trace_of(struct cache_store *store, uint64_t hash)
{
    return &shard_of(store, hash)->forgotten[hash / CACHE_SHARDS % TRACES];
}

/* Under the shard's lock: a purge begins its era before it takes any, so that it either is seen
 * here or comes by later. */
static bool is_outdated(struct cache_store *store, const struct cache_entry *entry, uint64_t era)
{
    return load(&store->purged) > era || *trace_of(store, entry->hash) > era;
}

enum err cache_store_put(struct cache_store *store, struct cache_entry *entry,
                         const struct fields *request)
{
    return cache_store_put_since(store, entry, request, UINT64_MAX);
}

enum err cache_store_put_since(struct cache_store *store, struct cache_entry *entry,
                               const struct fields *request, uint64_t era)
{
    struct cache_entry *gone[CACHE_VARIANTS_MAX];
    CHECK(entry->store == store);
    CHECK(list_is_empty(&entry->recency));
    trim(entry);
    if (entry->size > load(&store->size)) {
        cache_entry_unref(entry);
        return ERR_LIMIT;
    }
    uint64_t hash = entry->hash;
    /* Twice what it adds: after a change of size who puts helps, and does not do it all. */
    const struct quota quota = {2 * (uint64_t)entry->size, SIZE_MAX, entry};
    struct shard *shard = shard_of(store, hash);
    lock(shard);
    if (is_outdated(store, entry, era)) {
        unlock(shard);
        cache_entry_unref(entry);
        return ERR_STATE;
    }
    size_t gone_count = replace(store, entry, request, gone);
    struct cache_entry **chain = chain_of(store, hash);
    entry->next = *chain;
    *chain = entry;
    list_push_front(&shard->recency, &entry->recency);
    add(&store->held_bytes, entry->size);
    sub(&store->loose_bytes, entry->size);
    add(&store->entry_count, 1);
    unlock(shard);
    (void)release(gone, gone_count);
    make_room(store, hash, quota);
    return OK;
}

void cache_store_forget(struct cache_store *store, uint64_t realm, const struct cache_key *key)
{
    struct cache_entry *gone[CACHE_VARIANTS_MAX];
    size_t gone_count = 0;
    struct shard *shard = shard_of(store, key->hash);
    lock(shard);
    *trace_of(store, key->hash) = begin_era(store);
    struct cache_entry **link = chain_of(store, key->hash);
    while (*link != NULL) {
        if (is_of(*link, realm, key)) {
            CHECK(gone_count < CACHE_VARIANTS_MAX);
            gone[gone_count++] = *link;
            unlink_entry(store, link);
        } else {
            link = &(*link)->next;
        }
    }
    unlock(shard);
    (void)release(gone, gone_count);
}

void cache_store_remove(struct cache_store *store, struct cache_entry *entry)
{
    struct shard *shard = shard_of(store, entry->hash);
    lock(shard);
    struct cache_entry **link = link_of(store, entry);
    bool is_in = *link == entry;
    if (is_in) {
        unlink_entry(store, link);
    }
    unlock(shard);
    if (is_in) {
        cache_entry_unref(entry);
    }
}

/* ---- walks ---- */

struct walk {
    struct cache_entry *gone; /* by `next` */
    size_t gone_count;
    size_t seen_count;
    cache_condemns *condemns;
    const void *context;
};

static void walk_chain(struct cache_store *store, struct cache_entry **link, struct walk *walk)
{
    while (*link != NULL) {
        struct cache_entry *entry = *link;
        walk->seen_count++;
        if (walk->condemns(entry, walk->context)) {
            unlink_entry(store, link);
            entry->next = walk->gone;
            walk->gone = entry;
            walk->gone_count++;
        } else {
            link = &entry->next;
        }
    }
}

/* `count` chains, beginning with `at` over all shards, under the lock of their shard. */
static void walk_chains(struct cache_store *store, size_t at, size_t count, struct walk *walk)
{
    struct shard *shard = &store->shards[at / store->chain_count];
    size_t from = at % store->chain_count;
    lock(shard);
    for (size_t i = from; i < from + count; i++) {
        walk_chain(store, &shard->chains[i], walk);
    }
    unlock(shard);
    while (walk->gone != NULL) {
        struct cache_entry *entry = walk->gone;
        walk->gone = entry->next;
        cache_entry_unref(entry);
    }
}

static size_t step_of(const struct cache_store *store)
{
    return store->chain_count < CACHE_SWEEP_CHAINS ? store->chain_count : CACHE_SWEEP_CHAINS;
}

static size_t all_chains(const struct cache_store *store)
{
    return store->chain_count * CACHE_SHARDS;
}

struct cache_walk cache_store_begin_purge(struct cache_store *store)
{
    atomic_store_explicit(&store->purged, begin_era(store), memory_order_relaxed);
    add(&store->purge_count, 1);
    return (struct cache_walk){.left = all_chains(store)};
}

bool cache_store_go_on(struct cache_store *store, struct cache_walk *walk, size_t work,
                       cache_condemns *condemns, const void *context)
{
    size_t step = step_of(store);
    size_t done = 0;
    while (walk->left > 0 && done < work) {
        struct walk piece = {.condemns = condemns, .context = context};
        walk_chains(store, walk->at, step, &piece);
        walk->at += step;
        walk->left -= step;
        walk->gone_count += piece.gone_count;
        done += 1 + piece.seen_count;
    }
    return walk->left > 0;
}

size_t cache_store_purge(struct cache_store *store, cache_condemns *condemns, const void *context)
{
    struct cache_walk walk = cache_store_begin_purge(store);
    (void)cache_store_go_on(store, &walk, SIZE_MAX, condemns, context);
    return walk.gone_count;
}

uint64_t cache_store_purge_count(const struct cache_store *store)
{
    return load(&store->purge_count);
}

struct living {
    const uint64_t *realms;
    size_t count;
};

static bool is_dead(const struct cache_entry *entry, const void *context)
{
    const struct living *living = context;
    for (size_t i = 0; i < living->count; i++) {
        if (entry->realm == living->realms[i]) {
            return false;
        }
    }
    return true;
}

void cache_store_drop(struct cache_store *store)
{
    atomic_store_explicit(&store->is_sweep_wanted, true, memory_order_relaxed);
}

bool cache_store_sweep(struct cache_store *store, const uint64_t *realms, size_t realm_count,
                       size_t chains)
{
    const struct living living = {realms, realm_count};
    size_t total = all_chains(store);
    size_t step = step_of(store);
    if (atomic_exchange_explicit(&store->is_sweep_wanted, false, memory_order_relaxed)) {
        store->sweep_left = total;
    }
    for (size_t done = 0; done < chains && store->sweep_left > 0; done += step) {
        struct walk piece = {.condemns = is_dead, .context = &living};
        walk_chains(store, store->sweep_at, step, &piece);
        store->sweep_at = (store->sweep_at + step) % total;
        store->sweep_left -= step;
    }
    return store->sweep_left > 0;
}

struct cache_usage cache_store_usage(const struct cache_store *store)
{
    return (struct cache_usage){
        .held_bytes = load(&store->held_bytes),
        .loose_bytes = load(&store->loose_bytes),
        .entries = load(&store->entry_count),
        .size = load(&store->size),
    };
}

/* proxy/base/map.h — from byte strings to pointers: open addressing, keyed hash, never more than
 * 3/4 full.
 *
 * Keys are copied, values borrowed. Built by one thread; read by many only once it no longer
 * changes. */
#pragma once
#include "proxy/base/err.h"
#include "proxy/base/hash.h"

struct map_slot {
    char *key; /* owned; NULL is free */
    size_t key_size;
    uint64_t hash;
    void *value;
};

struct map {
    struct map_slot *slots; /* owned */
    size_t slot_count;      /* a power of two, or 0 */
    size_t count;
    struct hash_key key;
};

void map_init(struct map *map);
void map_finish(struct map *map);
/* ERR_EXISTS leaves the old value in place; value must not be NULL. */
MUST_USE enum err map_put(struct map *map, struct bytes key, void *value);
/* The value, or NULL. */
void *map_get(const struct map *map, struct bytes key);
/* Takes the key out and returns its value, or NULL. */
void *map_remove(struct map *map, struct bytes key);

#include "proxy/base/map.h"

#include <stdlib.h>

#include "proxy/base/check.h"

void map_init(struct map *map)
{
    struct random random;
    random_init(&random, 0);
    *map = (struct map){.key = {random_u64(&random), random_u64(&random)}};
}

void map_finish(struct map *map)
{
    for (size_t i = 0; i < map->slot_count; i++) {
        free(map->slots[i].key);
    }
    free(map->slots);
    *map = (struct map){.key = map->key};
}

/* The slot that holds the key, or the free one where it would go. */
static struct map_slot *find(const struct map *map, struct bytes key, uint64_t hash)
{
    size_t at = (size_t)hash & (map->slot_count - 1);
    for (;;) {
        struct map_slot *slot = &map->slots[at];
        if (slot->key == NULL) {
            return slot;
        }
        if (slot->hash == hash && bytes_equal(bytes_make(slot->key, slot->key_size), key)) {
            return slot;
        }
        at = (at + 1) & (map->slot_count - 1);
    }
}

static enum err grow(struct map *map)
{
    size_t slot_count = map->slot_count > 0 ? map->slot_count * 2 : 16;
    struct map_slot *slots = calloc(slot_count, sizeof *slots);
    if (slots == NULL) {
        return ERR_NOMEM;
    }
    struct map bigger = {
        .slots = slots, .slot_count = slot_count, .count = map->count, .key = map->key};
    for (size_t i = 0; i < map->slot_count; i++) {
        struct map_slot *old = &map->slots[i];
        if (old->key != NULL) {
            *find(&bigger, bytes_make(old->key, old->key_size), old->hash) = *old;
        }
    }
    free(map->slots);
    *map = bigger;
    return OK;
}

enum err map_put(struct map *map, struct bytes key, void *value)
{
    CHECK(value != NULL);
    if (map->count + 1 > map->slot_count / 4 * 3) {
        enum err err = grow(map);
        if (err != OK) {
            return err;
        }
    }
    uint64_t hash = hash_bytes(map->key, key);
    struct map_slot *slot = find(map, key, hash);
    if (slot->key != NULL) {
        return ERR_EXISTS;
    }
    char *copy = malloc(key.size + 1);
    if (copy == NULL) {
        return ERR_NOMEM;
    }
    if (key.size > 0) {
        memcpy(copy, key.data, key.size);
    }
    copy[key.size] = '\0';
    *slot = (struct map_slot){copy, key.size, hash, value};
    map->count++;
    return OK;
}

void *map_get(const struct map *map, struct bytes key)
{
    if (map->count == 0) {
        return NULL;
    }
    struct map_slot *slot = find(map, key, hash_bytes(map->key, key));
    return slot->key != NULL ? slot->value : NULL;
}

/* Closes the hole by moving later members of the run back (Knuth, TAOCP 6.4, algorithm R). */
static void close_hole(struct map *map, size_t hole)
{
    size_t mask = map->slot_count - 1;
    for (size_t at = (hole + 1) & mask; map->slots[at].key != NULL; at = (at + 1) & mask) {
        size_t home = (size_t)map->slots[at].hash & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->slots[hole] = map->slots[at];
            hole = at;
        }
    }
    map->slots[hole] = (struct map_slot){0};
}

void *map_remove(struct map *map, struct bytes key)
{
    if (map->count == 0) {
        return NULL;
    }
    struct map_slot *slot = find(map, key, hash_bytes(map->key, key));
    if (slot->key == NULL) {
        return NULL;
    }
    void *value = slot->value;
    free(slot->key);
    map->count--;
    close_hole(map, (size_t)(slot - map->slots));
    return value;
}

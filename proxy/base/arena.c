#include "proxy/base/arena.h"

#include <stdlib.h>

#include "proxy/base/check.h"

struct arena_chunk {
    struct arena_chunk *older;
    size_t capacity;
    _Alignas(16) char data[];
};

void arena_init(struct arena *arena, size_t max)
{
    *arena = (struct arena){.max = max};
}

void arena_finish(struct arena *arena)
{
    while (arena->chunk != NULL) {
        struct arena_chunk *older = arena->chunk->older;
        free(arena->chunk);
        arena->chunk = older;
    }
    arena->used = 0;
    arena->total = 0;
}

void arena_reset(struct arena *arena)
{
    while (arena->chunk != NULL && arena->chunk->older != NULL) {
        struct arena_chunk *older = arena->chunk->older;
        arena->total -= arena->chunk->capacity;
        free(arena->chunk);
        arena->chunk = older;
    }
    arena->used = 0;
}

static bool add_chunk(struct arena *arena, size_t size)
{
    size_t capacity = size > ARENA_CHUNK_SIZE ? size : ARENA_CHUNK_SIZE;
    if (capacity > arena->max || arena->total > arena->max - capacity) {
        return false;
    }
    struct arena_chunk *chunk = malloc(sizeof *chunk + capacity);
    if (chunk == NULL) {
        return false;
    }
    chunk->older = arena->chunk;
    chunk->capacity = capacity;
    arena->chunk = chunk;
    arena->total += capacity;
    arena->used = 0;
    return true;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX - 8) {
        return NULL;
    }
    size = (size + 7) & ~(size_t)7;
    bool has_room = arena->chunk != NULL && arena->chunk->capacity - arena->used >= size;
    if (!has_room && !add_chunk(arena, size)) {
        return NULL;
    }
    void *piece = arena->chunk->data + arena->used;
    arena->used += size;
    return piece;
}

void *arena_zalloc(struct arena *arena, size_t size)
{
    void *piece = arena_alloc(arena, size);
    if (piece != NULL) {
        memset(piece, 0, size);
    }
    return piece;
}

struct bytes arena_copy(struct arena *arena, struct bytes bytes)
{
    if (bytes.size == 0) {
        return (struct bytes){"", 0};
    }
    char *copy = arena_alloc(arena, bytes.size);
    if (copy == NULL) {
        return (struct bytes){NULL, 0};
    }
    memcpy(copy, bytes.data, bytes.size);
    return (struct bytes){copy, bytes.size};
}

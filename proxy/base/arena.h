/* proxy/base/arena.h — memory that is given out piece by piece and freed at once.
 *
 * A request's data lives in the arena of its exchange; single pieces are never freed. Memory comes
 * in chunks of ARENA_CHUNK_SIZE (larger pieces get a chunk of their own) and `max` bounds their
 * sum. arena_reset keeps the first chunk, so that a pooled exchange costs no malloc per request.
 * Owned by one thread at a time. */
#pragma once
#include "proxy/base/bytes.h"

enum { ARENA_CHUNK_SIZE = 4096 - 32 };

struct arena_chunk;

struct arena {
    struct arena_chunk *chunk; /* newest first; owned */
    size_t used;               /* bytes given out of the newest chunk */
    size_t total;              /* bytes held in all chunks */
    size_t max;
};

void arena_init(struct arena *arena, size_t max);
void arena_finish(struct arena *arena);
void arena_reset(struct arena *arena);

/* `size` bytes aligned to 8, not cleared; NULL when memory or `max` is out. Valid until reset or
 * finish. */
void *arena_alloc(struct arena *arena, size_t size);
/* The same, cleared. */
void *arena_zalloc(struct arena *arena, size_t size);
/* A copy of the bytes; data is NULL when memory is out (never for an empty run). */
struct bytes arena_copy(struct arena *arena, struct bytes bytes);

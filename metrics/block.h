/* metrics/block.h — one struct of cells per worker, each on pages of its own.
 *
 * A block belongs to an object with a life of its own: the process, a service, a version, an
 * endpoint. Control creates it and holds the first reference; every snapshot that names the object
 * holds another. Worker i writes block_cells(b, i) and nothing else; readers (metrics/reading.h)
 * walk all of them. The memory comes zeroed from the kernel and is page-aligned per worker: no
 * cache line is shared, and pages that no worker touched cost nothing. */
#pragma once
#include <stddef.h>

#include "proxy/base/check.h"
#include "proxy/base/err.h"

enum { BLOCK_WORKERS_MAX = 1024 };

struct block {
    size_t worker_count;
    size_t cells_size;      /* bytes of one worker's struct */
    size_t stride;          /* cells_size rounded up to whole pages */
    size_t reference_count; /* control only */
    unsigned char *memory;  /* owned; worker_count * stride */
};

/* A block of zeroed cells with one reference, the caller's. ERR_RANGE when a number is 0 or
 * worker_count is above BLOCK_WORKERS_MAX, ERR_NOMEM. Control. */
MUST_USE enum err block_create(size_t worker_count, size_t cells_size, struct block **ret_block);
/* One more reference. Control. */
struct block *block_ref(struct block *block);
/* One less; the last frees the memory, when no worker may write any more. NULL is fine. Control. */
void block_unref(struct block *block);

/* The cells of one worker; cast to the struct the block was made for. Any thread. */
static inline void *block_cells(const struct block *block, size_t worker_index)
{
    CHECK(worker_index < block->worker_count);
    return block->memory + worker_index * block->stride;
}

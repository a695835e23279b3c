#include "metrics/block.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CELLS_SIZE_MAX = 1 << 24 };

enum err block_create(size_t worker_count, size_t cells_size, struct block **ret_block)
{
    if (worker_count == 0 || worker_count > BLOCK_WORKERS_MAX) {
        return ERR_RANGE;
    }
    if (cells_size == 0 || cells_size > CELLS_SIZE_MAX) {
        return ERR_RANGE;
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t stride = (cells_size + page - 1) / page * page;
    struct block *block = malloc(sizeof *block);
    if (block == NULL) {
        return ERR_NOMEM;
    }
    void *memory = mmap(NULL, worker_count * stride, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        free(block);
        return ERR_NOMEM;
    }
    /* A huge page would make the untouched rows of big tables real memory. Where it is not known
     * nothing is lost. */
    (void)madvise(memory, worker_count * stride, MADV_NOHUGEPAGE);
    *block = (struct block){.worker_count = worker_count,
                            .cells_size = cells_size,
                            .stride = stride,
                            .reference_count = 1,
                            .memory = memory};
    *ret_block = block;
    return OK;
}

struct block *block_ref(struct block *block)
{
    CHECK(block->reference_count > 0);
    block->reference_count++;
    return block;
}

void block_unref(struct block *block)
{
    if (block == NULL) {
        return;
    }
    CHECK(block->reference_count > 0);
    if (--block->reference_count > 0) {
        return;
    }
    CHECK(munmap(block->memory, block->worker_count * block->stride) == 0);
    free(block);
}

#include "router/split.h"

#include "proxy/base/check.h"

void split_accumulator_init(struct split_accumulator *accumulator, uint32_t worker_index,
                            uint32_t worker_count)
{
    CHECK(worker_index < worker_count);
    uint64_t halves = 2 * (uint64_t)worker_index + 1;
    accumulator->filled = (uint32_t)(halves * SPLIT_TOTAL / (2 * (uint64_t)worker_count));
}

/* metrics/cell.h — a number with one writer.
 *
 * One worker writes a cell, anybody reads it at any time. The writer loads and stores relaxed,
 * without a lock prefix: nobody else writes, so nothing can be lost between the two. Readers see
 * some value the cell really had; across cells nothing is promised. Cells of different writers must
 * not share a cache line (metrics/block.h sees to that): sharing makes an increment more than ten
 * times dearer. Counters only grow; gauges go both ways, and may wrap below zero in one worker's
 * cell as long as the sum over the workers makes sense. */
#pragma once
#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

struct cell {
    _Atomic uint64_t value;
};

static_assert(sizeof(struct cell) == 8, "cells lie like plain numbers");

/* Any thread. */
static inline uint64_t cell_read(const struct cell *cell)
{
    return atomic_load_explicit(&cell->value, memory_order_relaxed);
}

/* The writer only, as all below. */
static inline void cell_set(struct cell *cell, uint64_t value)
{
    atomic_store_explicit(&cell->value, value, memory_order_relaxed);
}

static inline void cell_add(struct cell *cell, uint64_t amount)
{
    cell_set(cell, cell_read(cell) + amount);
}

static inline void cell_sub(struct cell *cell, uint64_t amount)
{
    cell_set(cell, cell_read(cell) - amount);
}

static inline void cell_increment(struct cell *cell)
{
    cell_add(cell, 1);
}

static inline void cell_decrement(struct cell *cell)
{
    cell_sub(cell, 1);
}

#include "tests/support/alloc_fail.h"

#include <stdint.h>

static bool is_armed;
static bool has_refused;
static size_t allocations_left;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

bool alloc_fail_begin(size_t turn)
{
    allocations_left = turn;
    has_refused = false;
    is_armed = true;
    return true;
}

bool alloc_fail_end(void)
{
    is_armed = false;
    return has_refused;
}

static bool refuses(void)
{
    if (!is_armed || has_refused) {
        return false;
    }
    if (allocations_left > 0) {
        allocations_left--;
        return false;
    }
    has_refused = true;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return refuses() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return refuses() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return refuses() ? NULL : __real_realloc(memory, size);
}

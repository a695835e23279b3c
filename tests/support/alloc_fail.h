/* tests/support/alloc_fail.h — refuses one allocation after the other, to see what the code under
 * test makes of it.
 *
 * Name the test in `serin_alloc_fail(TEST)` (tests/support/alloc_fail.cmake), which leads malloc,
 * calloc and realloc of our own rooms through here. One thread. Usage:
 *
 *     for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
 *         … the code under test; either it succeeds or it says ERR_NOMEM …
 *         if (!alloc_fail_end()) { break; }     the turn was past the last allocation: all have
 * been refused
 *     } */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* From now on the allocation number `turn` (from 0) is refused, once. Always true. */
bool alloc_fail_begin(size_t turn);
/* Back to normal; true when an allocation was refused since the begin. */
bool alloc_fail_end(void);

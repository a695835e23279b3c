/* proxy/cache/cache_marks.h — what a worker has kept lately, so that it need not look.
 *
 * Keeping an answer costs a copy and a lock. A page that is asked for a thousand times a second is
 * the same page: it is kept anew only after CACHE_MARK_US. Marks are in a table of a
 * fixed size, where a new one takes the place of another: to have lost one costs a copy too many.
 * One worker's. */
#pragma once
#include <stdbool.h>

#include "proxy/base/hash.h"

enum { CACHE_MARKS = 1024, CACHE_MARK_US = 5000000, CACHE_MARK_SHORT_US = 250000 };

struct cache_marks;

/* A quick hash by a secret seed, of what every request that might be kept is asked: a third of what
 * hash_bytes costs. Who could make two texts collide would only have one of them kept later. */
uint64_t cache_marks_hash(struct hash_key seed, struct bytes bytes);

/* NULL without memory. */
struct cache_marks *cache_marks_create(void);
void cache_marks_destroy(struct cache_marks *marks); /* NULL is fine */
/* Is what has this hash due to be kept? `purge_count` is the store's: marks of before a purge do
 * not count. */
bool cache_marks_are_due(const struct cache_marks *marks, uint64_t hash, uint64_t purge_count,
                         uint64_t now_us);
/* It was kept, or cannot be: not before `due_us`. */
void cache_marks_set(struct cache_marks *marks, uint64_t hash, uint64_t purge_count,
                     uint64_t due_us);

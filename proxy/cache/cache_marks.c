#include "proxy/cache/cache_marks.h"

#include <stdlib.h>

/* A mark: hash 0 and time 0 are one that was never set, and due. */
struct mark {
    uint64_t hash;
    uint64_t due_us;
};

struct cache_marks {
    uint64_t purge_count; /* of the store, when the marks were set */
    struct mark marks[CACHE_MARKS];
};

/* The product of two words, its halves folded: each bit of it hangs on all bits of both. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t cache_marks_hash(struct hash_key seed, struct bytes bytes)
{
    uint64_t hash = seed.k0 ^ bytes.size;
    uint64_t word;
    size_t at = 0;
    for (; bytes.size - at >= sizeof word; at += sizeof word) {
        memcpy(&word, bytes.data + at, sizeof word);
        hash = fold(hash ^ word, seed.k1 | 1);
    }
    word = 0;
    for (; at < bytes.size; at++) {
        word = word << 8 | (unsigned char)bytes.data[at];
    }
    return fold(hash ^ word, seed.k1 | 1);
}

struct cache_marks *cache_marks_create(void)
{
    return calloc(1, sizeof(struct cache_marks));
}

void cache_marks_destroy(struct cache_marks *marks)
{
    free(marks);
}

bool cache_marks_are_due(const struct cache_marks *marks, uint64_t hash, uint64_t purge_count,
                         uint64_t now_us)
{
    const struct mark *mark = &marks->marks[hash % CACHE_MARKS];
    return mark->hash != hash || now_us >= mark->due_us || marks->purge_count != purge_count;
}

void cache_marks_set(struct cache_marks *marks, uint64_t hash, uint64_t purge_count,
                     uint64_t due_us)
{
    if (marks->purge_count != purge_count) {
        for (size_t i = 0; i < CACHE_MARKS; i++) {
            marks->marks[i] = (struct mark){0, 0};
        }
        marks->purge_count = purge_count;
    }
    marks->marks[hash % CACHE_MARKS] = (struct mark){hash, due_us};
}

#include "metrics/access_ring.h"

#include <stdlib.h>
#include <string.h>

/* The strings of a record and how much of each is kept. */
#define ACCESS_STRINGS(X)                                                                          \
    X(client, ACCESS_TEXT_MAX)                                                                     \
    X(method, ACCESS_TEXT_MAX)                                                                     \
    X(target, ACCESS_TARGET_MAX)                                                                   \
    X(protocol, ACCESS_TEXT_MAX)                                                                   \
    X(host, ACCESS_TEXT_MAX)                                                                       \
    X(service, ACCESS_TEXT_MAX)                                                                    \
    X(endpoint, ACCESS_TEXT_MAX)                                                                   \
    X(request_id, ACCESS_TEXT_MAX)                                                                 \
    X(referer, ACCESS_TEXT_MAX)                                                                    \
    X(user_agent, ACCESS_TEXT_MAX)

/* A record as it lies in the ring, followed by its strings without gaps. */
struct entry {
    uint32_t size; /* of the whole, a multiple of ENTRY_ALIGNMENT */
    uint32_t is_gap;
    int64_t wall_us;
    uint64_t request_bytes;
    uint64_t response_bytes;
    uint64_t duration_us;
    int64_t upstream_duration_us;
    uint32_t attempts;
    uint16_t status;
    uint8_t role;
    uint8_t failure;
    uint8_t is_rescued;
    uint8_t ending;
    int8_t grpc_status;
    uint8_t cache;
#define STRING_SIZE(name, limit) uint16_t name##_size;
    ACCESS_STRINGS(STRING_SIZE)
#undef STRING_SIZE
};

enum {
    ENTRY_ALIGNMENT = 8,
    GAP_SIZE = 2 * sizeof(uint32_t), /* a gap is only its first two fields */
};
static_assert((ACCESS_RING_SIZE & (ACCESS_RING_SIZE - 1)) == 0, "positions are masked");
static_assert(METRIC_ROLE_COUNT <= UINT8_MAX, "a role fits its field");
static_assert(METRIC_CACHE_COUNT <= UINT8_MAX, "a result fits its field");
static_assert(METRIC_FAILURE_COUNT <= UINT8_MAX, "a failure fits its field");

enum err access_ring_init(struct access_ring *ring)
{
    *ring = (struct access_ring){.data = malloc(ACCESS_RING_SIZE)};
    return ring->data != NULL ? OK : ERR_NOMEM;
}

void access_ring_finish(struct access_ring *ring)
{
    free(ring->data);
    ring->data = NULL;
}

static char *place_of(const struct access_ring *ring, uint64_t position)
{
    return ring->data + (position & (ACCESS_RING_SIZE - 1));
}

static struct bytes cut(struct bytes text, size_t limit)
{
    return text.size <= limit ? text : bytes_slice(text, 0, limit);
}

static struct entry entry_of(const struct access_record *record)
{
    struct entry entry = {
        .wall_us = record->wall_us,
        .request_bytes = record->request_bytes,
        .response_bytes = record->response_bytes,
        .duration_us = record->duration_us,
        .upstream_duration_us = record->upstream_duration_us,
        .attempts = record->attempts,
        .status = (uint16_t)record->status,
        .role = (uint8_t)record->role,
        .failure = (uint8_t)record->failure,
        .is_rescued = record->is_rescued,
        .ending = (uint8_t)record->ending,
        .grpc_status = (int8_t)record->grpc_status,
        .cache = (uint8_t)record->cache,
    };
    size_t size = sizeof entry;
#define STRING_CUT(name, limit)                                                                    \
    entry.name##_size = (uint16_t)cut(record->name, limit).size;                                   \
    size += entry.name##_size;
    ACCESS_STRINGS(STRING_CUT)
#undef STRING_CUT
    entry.size = (uint32_t)((size + ENTRY_ALIGNMENT - 1) / ENTRY_ALIGNMENT * ENTRY_ALIGNMENT);
    return entry;
}

static char *put_text(char *place, struct bytes text, size_t size)
{
    if (size > 0) {
        memcpy(place, text.data, size);
    }
    return place + size;
}

static void write_entry(char *place, const struct entry *entry, const struct access_record *record)
{
    memcpy(place, entry, sizeof *entry);
    place += sizeof *entry;
#define STRING_PUT(name, limit) place = put_text(place, record->name, entry->name##_size);
    ACCESS_STRINGS(STRING_PUT)
#undef STRING_PUT
}

static void write_gap(char *place, uint64_t size)
{
    uint32_t head[2] = {(uint32_t)size, 1};
    static_assert(sizeof head == GAP_SIZE, "a gap is a size and a mark");
    memcpy(place, head, sizeof head);
}

/* Bytes in use, by the copy of the consumer's position; looked up anew when they pass `limit`. */
static uint64_t used_bytes(struct access_ring *ring, uint64_t written, uint64_t limit)
{
    if (written - ring->read_seen > limit) {
        ring->read_seen = atomic_load_explicit(&ring->read, memory_order_acquire);
    }
    return written - ring->read_seen;
}

enum access_put access_ring_put(struct access_ring *ring, const struct access_record *record)
{
    const uint64_t half = ACCESS_RING_SIZE / 2;
    struct entry entry = entry_of(record);
    uint64_t start = atomic_load_explicit(&ring->written, memory_order_relaxed);
    uint64_t to_end = ACCESS_RING_SIZE - (start & (ACCESS_RING_SIZE - 1));
    uint64_t gap = to_end < entry.size ? to_end : 0;
    uint64_t end = start + gap + entry.size;
    uint64_t used = used_bytes(ring, end, half);
    if (used > ACCESS_RING_SIZE) {
        cell_increment(&ring->dropped);
        return ACCESS_DROPPED;
    }
    if (gap > 0) {
        write_gap(place_of(ring, start), gap);
    }
    write_entry(place_of(ring, start + gap), &entry, record);
    atomic_store_explicit(&ring->written, end, memory_order_release);
    bool has_crossed = used > half && used - gap - entry.size <= half;
    return has_crossed ? ACCESS_PUT_HALF : ACCESS_PUT;
}

uint64_t access_ring_written(const struct access_ring *ring)
{
    return atomic_load_explicit(&ring->written, memory_order_acquire);
}

static void skip_gap(struct access_ring *ring)
{
    uint64_t position = atomic_load_explicit(&ring->read, memory_order_relaxed);
    uint32_t head[2];
    memcpy(head, place_of(ring, position), sizeof head);
    if (head[1] != 0) {
        atomic_store_explicit(&ring->read, position + head[0], memory_order_release);
    }
}

static struct entry read_entry(const struct access_ring *ring)
{
    uint64_t position = atomic_load_explicit(&ring->read, memory_order_relaxed);
    struct entry entry;
    memcpy(&entry, place_of(ring, position), sizeof entry);
    CHECK(entry.size >= sizeof entry);
    return entry;
}

bool access_ring_peek(struct access_ring *ring, uint64_t end, struct access_record *ret_record)
{
    if (atomic_load_explicit(&ring->read, memory_order_relaxed) == end) {
        return false;
    }
    /* A gap is always followed by the record that did not fit before it. */
    skip_gap(ring);
    struct entry entry = read_entry(ring);
    *ret_record = (struct access_record){
        .wall_us = entry.wall_us,
        .status = entry.status,
        .role = (enum metric_role)entry.role,
        .failure = (enum metric_failure)entry.failure,
        .is_rescued = entry.is_rescued != 0,
        .ending = (enum access_ending)entry.ending,
        .grpc_status = entry.grpc_status,
        .cache = (enum metric_cache)entry.cache,
        .attempts = entry.attempts,
        .request_bytes = entry.request_bytes,
        .response_bytes = entry.response_bytes,
        .duration_us = entry.duration_us,
        .upstream_duration_us = entry.upstream_duration_us,
    };
    uint64_t position = atomic_load_explicit(&ring->read, memory_order_relaxed);
    const char *place = place_of(ring, position) + sizeof entry;
#define STRING_GET(name, limit)                                                                    \
    ret_record->name = bytes_make(place, entry.name##_size);                                       \
    place += entry.name##_size;
    ACCESS_STRINGS(STRING_GET)
#undef STRING_GET
    return true;
}

void access_ring_release(struct access_ring *ring)
{
    struct entry entry = read_entry(ring);
    uint64_t position = atomic_load_explicit(&ring->read, memory_order_relaxed);
    atomic_store_explicit(&ring->read, position + entry.size, memory_order_release);
}

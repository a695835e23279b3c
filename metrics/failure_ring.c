#include "metrics/failure_ring.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/check.h"

/* The strings of a record and how much of each is kept. */
#define FAILURE_STRINGS(X)                                                                         \
    X(method, FAILURE_TEXT_MAX)                                                                    \
    X(path, FAILURE_PATH_MAX)                                                                      \
    X(deployment, FAILURE_TEXT_MAX)                                                                \
    X(endpoint, FAILURE_TEXT_MAX)                                                                  \
    X(request_id, FAILURE_TEXT_MAX)                                                                \
    X(error, FAILURE_TEXT_MAX)                                                                     \
    X(request_head, FAILURE_REQUEST_HEAD_MAX)                                                      \
    X(response_head, FAILURE_RESPONSE_HEAD_MAX)

/* A record as it lies in the ring, followed by its strings without gaps; the strings of `record`
 * say only how long they are. One that would wrap is put at the start, with a gap before it. */
struct entry {
    uint32_t size; /* of the whole, a multiple of ENTRY_ALIGNMENT */
    uint32_t is_gap;
    struct failure_record record;
};

enum { LINE = 64, ENTRY_ALIGNMENT = 8, GAP_SIZE = 2 * sizeof(uint32_t) };
static_assert((FAILURE_RING_SIZE & (FAILURE_RING_SIZE - 1)) == 0, "positions are masked");

struct failure_ring {
    _Alignas(LINE) _Atomic uint64_t written; /* producer's: bytes put in since the start */
    struct cell dropped;                     /* producer's */
    _Alignas(LINE) _Atomic uint64_t read;    /* consumer's: bytes taken out */
    _Alignas(LINE) char data[FAILURE_RING_SIZE];
};

enum err failure_ring_create(struct failure_ring **ret_ring)
{
    struct failure_ring *ring = aligned_alloc(LINE, sizeof *ring);
    if (ring == NULL) {
        return ERR_NOMEM;
    }
    atomic_init(&ring->written, 0);
    atomic_init(&ring->read, 0);
    cell_set(&ring->dropped, 0);
    *ret_ring = ring;
    return OK;
}

void failure_ring_destroy(struct failure_ring *ring)
{
    free(ring);
}

uint64_t failure_ring_dropped(const struct failure_ring *ring)
{
    return cell_read(&ring->dropped);
}

static char *place_of(struct failure_ring *ring, uint64_t position)
{
    return ring->data + (position & (FAILURE_RING_SIZE - 1));
}

static struct bytes cut(struct bytes text, size_t limit)
{
    return text.size <= limit ? text : bytes_slice(text, 0, limit);
}

static struct entry entry_of(const struct failure_record *record)
{
    struct entry entry = {.record = *record};
    size_t size = sizeof entry;
#define STRING_CUT(name, limit)                                                                    \
    entry.record.name = cut(record->name, limit);                                                  \
    size += entry.record.name.size;
    FAILURE_STRINGS(STRING_CUT)
#undef STRING_CUT
    entry.size = (uint32_t)((size + ENTRY_ALIGNMENT - 1) / ENTRY_ALIGNMENT * ENTRY_ALIGNMENT);
    return entry;
}

static void write_entry(char *place, const struct entry *entry)
{
    memcpy(place, entry, sizeof *entry);
    place += sizeof *entry;
#define STRING_PUT(name, limit)                                                                    \
    if (entry->record.name.size > 0) {                                                             \
        memcpy(place, entry->record.name.data, entry->record.name.size);                           \
        place += entry->record.name.size;                                                          \
    }
    FAILURE_STRINGS(STRING_PUT)
#undef STRING_PUT
}

static void write_gap(char *place, uint64_t size)
{
    uint32_t head[2] = {(uint32_t)size, 1};
    static_assert(sizeof head == GAP_SIZE, "a gap is a size and a mark");
    memcpy(place, head, sizeof head);
}

void failure_ring_put(struct failure_ring *ring, const struct failure_record *record)
{
    uint64_t start = atomic_load_explicit(&ring->written, memory_order_relaxed);
    uint64_t read = atomic_load_explicit(&ring->read, memory_order_acquire);
    struct failure_record kept = *record;
    if (start - read > FAILURE_RING_SIZE / 2) {
        kept.request_head = BYTES("");
        kept.response_head = BYTES("");
    }
    struct entry entry = entry_of(&kept);
    uint64_t to_end = FAILURE_RING_SIZE - (start & (FAILURE_RING_SIZE - 1));
    uint64_t gap = to_end < entry.size ? to_end : 0;
    uint64_t end = start + gap + entry.size;
    if (end - read > FAILURE_RING_SIZE) {
        cell_increment(&ring->dropped);
        return;
    }
    if (gap > 0) {
        write_gap(place_of(ring, start), gap);
    }
    write_entry(place_of(ring, start + gap), &entry);
    atomic_store_explicit(&ring->written, end, memory_order_release);
}

static void skip_gap(struct failure_ring *ring)
{
    uint64_t position = atomic_load_explicit(&ring->read, memory_order_relaxed);
    uint32_t head[2];
    memcpy(head, place_of(ring, position), sizeof head);
    if (head[1] != 0) {
        atomic_store_explicit(&ring->read, position + head[0], memory_order_release);
    }
}

bool failure_ring_peek(struct failure_ring *ring, struct failure_record *ret_record)
{
    uint64_t written = atomic_load_explicit(&ring->written, memory_order_acquire);
    if (atomic_load_explicit(&ring->read, memory_order_relaxed) == written) {
        return false;
    }
    /* A gap is always followed by the record that did not fit before it. */
    skip_gap(ring);
    uint64_t position = atomic_load_explicit(&ring->read, memory_order_relaxed);
    struct entry entry;
    memcpy(&entry, place_of(ring, position), sizeof entry);
    CHECK(entry.size >= sizeof entry);
    const char *place = place_of(ring, position) + sizeof entry;
#define STRING_GET(name, limit)                                                                    \
    entry.record.name.data = place;                                                                \
    place += entry.record.name.size;
    FAILURE_STRINGS(STRING_GET)
#undef STRING_GET
    *ret_record = entry.record;
    return true;
}

void failure_ring_release(struct failure_ring *ring)
{
    uint64_t position = atomic_load_explicit(&ring->read, memory_order_relaxed);
    struct entry entry;
    memcpy(&entry, place_of(ring, position), sizeof entry);
    atomic_store_explicit(&ring->read, position + entry.size, memory_order_release);
}

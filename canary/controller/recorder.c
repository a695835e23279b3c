/* canary/controller/recorder.c — see recorder.h.
 *
 * In the ring each row has two bytes of length before it and wraps around the end like everything
 * else; the newest row is never evicted, since the ring is larger than any row. */
#include "canary/controller/recorder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/check.h"

enum { LENGTH_SIZE = 2, ROW_MS = 1000 };

_Static_assert((int)RECORDER_SIZE_MIN > 2 * ((int)RECORDING_ROW_MAX + LENGTH_SIZE), "rows fit");

/* What makes a new row when it changes. */
struct held {
    uint32_t weight_ppm;
    bool is_landed;
    bool is_contained;
    enum rollout_phase phase;
    enum judge_verdict verdict;
    enum judge_reason reason;
};

struct names {
    char current[RECORDING_NAME_MAX + 1];
    char previous[RECORDING_NAME_MAX + 1];
};

struct seen {
    struct version_reading canary, stable;
};

struct recorder {
    char *ring; /* owned */
    size_t size;
    uint64_t keep_ms;
    size_t start, used;
    uint64_t first, next; /* numbers of the oldest row and of the one to come */
    struct names oldest;  /* hold when `first` begins */
    bool is_begun;        /* it has looked */
    bool is_based;        /* `base` belongs to the counters of now */
    bool is_open;         /* it has looked since the last row was closed */
    uint64_t begun_us, seen_us, opened_us;
    int64_t begun_wall_us, seen_wall_us;
    struct held held; /* since the last row was closed */
    struct seen base, last;
    struct recording_row row; /* the one that is being closed, and room to read one */
};

enum err recorder_create(uint64_t keep_us, size_t size, struct recorder **ret_recorder)
{
    CHECK(size >= RECORDER_SIZE_MIN);
    struct recorder *recorder = calloc(1, sizeof *recorder);
    char *ring = calloc(1, size);
    if (recorder == NULL || ring == NULL) {
        free(recorder);
        free(ring);
        return ERR_NOMEM;
    }
    recorder->ring = ring;
    recorder->size = size;
    recorder->keep_ms = keep_us / 1000;
    recorder->first = 1;
    recorder->next = 1;
    *ret_recorder = recorder;
    return OK;
}

void recorder_destroy(struct recorder *recorder)
{
    if (recorder != NULL) {
        free(recorder->ring);
        free(recorder);
    }
}

/* ---- the ring ---- */

static void put_bytes(struct recorder *recorder, const char *bytes, size_t size)
{
    size_t at = (recorder->start + recorder->used) % recorder->size;
    size_t straight = recorder->size - at < size ? recorder->size - at : size;
    memcpy(recorder->ring + at, bytes, straight);
    memcpy(recorder->ring, bytes + straight, size - straight);
    recorder->used += size;
}

/* `offset` counts from the oldest byte. */
static void get_bytes(const struct recorder *recorder, size_t offset, char *bytes, size_t size)
{
    CHECK(offset + size <= recorder->used);
    size_t at = (recorder->start + offset) % recorder->size;
    size_t straight = recorder->size - at < size ? recorder->size - at : size;
    memcpy(bytes, recorder->ring + at, straight);
    memcpy(bytes + straight, recorder->ring, size - straight);
}

static size_t row_size(const struct recorder *recorder, size_t offset)
{
    unsigned char length[LENGTH_SIZE];
    get_bytes(recorder, offset, (char *)length, sizeof length);
    return (size_t)length[0] << 8 | length[1];
}

static struct recording_front row_front(const struct recorder *recorder, size_t offset)
{
    char bytes[RECORDING_FRONT_MAX];
    size_t size = row_size(recorder, offset);
    size = size < sizeof bytes ? size : sizeof bytes;
    get_bytes(recorder, offset + LENGTH_SIZE, bytes, size);
    return recording_peek(bytes_make(bytes, size));
}

/* Returns the offset of the row behind it. */
static size_t read_row(const struct recorder *recorder, size_t offset,
                       struct recording_row *ret_row)
{
    char bytes[RECORDING_ROW_MAX];
    size_t size = row_size(recorder, offset);
    CHECK(size <= sizeof bytes);
    get_bytes(recorder, offset + LENGTH_SIZE, bytes, size);
    recording_decode(bytes_make(bytes, size), ret_row);
    return offset + LENGTH_SIZE + size;
}

static void take_names(struct names *names, const struct recording_row *row)
{
    memcpy(names->current, row->current, sizeof names->current);
    memcpy(names->previous, row->previous, sizeof names->previous);
}

static void evict(struct recorder *recorder)
{
    struct recording_row row;
    size_t size = read_row(recorder, 0, &row);
    if (row.mark == RECORDING_MARK_REBASE) {
        take_names(&recorder->oldest, &row);
    }
    recorder->start = (recorder->start + size) % recorder->size;
    recorder->used -= size;
    recorder->first++;
}

static void add_row(struct recorder *recorder, const struct recording_row *row)
{
    char bytes[LENGTH_SIZE + RECORDING_ROW_MAX];
    size_t size = recording_encode(row, bytes + LENGTH_SIZE);
    bytes[0] = (char)(size >> 8);
    bytes[1] = (char)(size & 0xff);
    while (recorder->used + LENGTH_SIZE + size > recorder->size) {
        evict(recorder);
    }
    put_bytes(recorder, bytes, LENGTH_SIZE + size);
    recorder->next++;
    while (row_front(recorder, 0).at_ms + recorder->keep_ms < row->at_ms) {
        evict(recorder);
    }
}

enum err recorder_resize(struct recorder *recorder, uint64_t keep_us, size_t size)
{
    CHECK(size >= RECORDER_SIZE_MIN);
    if (size == recorder->size) {
        recorder->keep_ms = keep_us / 1000;
        return OK;
    }
    char *ring = calloc(1, size);
    if (ring == NULL) {
        return ERR_NOMEM;
    }
    while (recorder->used > size) {
        evict(recorder);
    }
    get_bytes(recorder, 0, ring, recorder->used);
    free(recorder->ring);
    recorder->keep_ms = keep_us / 1000;
    recorder->ring = ring;
    recorder->size = size;
    recorder->start = 0;
    return OK;
}

/* ---- closing rows ---- */

static uint64_t since(uint64_t *base, uint64_t last)
{
    uint64_t difference = last > *base ? last - *base : 0;
    *base = last;
    return difference;
}

/* The cells were read one after the other while they grew: what was seen as a part of something
 * before that itself waits for the next row. */
static uint64_t part_since(uint64_t *base, uint64_t last, uint64_t most)
{
    uint64_t difference = since(base, last);
    if (difference > most) {
        *base -= difference - most;
        difference = most;
    }
    return difference;
}

static void count_version(struct version_reading *base, const struct version_reading *last,
                          struct recording_counts *ret_counts, struct histogram *ret_latency)
{
    histogram_subtract(&last->latency, &base->latency, ret_latency);
    base->latency = last->latency;
    uint64_t passed = since(&base->ok, last->ok);
    uint64_t failed = since(&base->err, last->err);
    *ret_counts = (struct recording_counts){
        .count = passed + failed,
        .failed = failed,
        .connect_failed = part_since(&base->connect_err, last->connect_err, failed),
        .not_found = part_since(&base->not_found, last->not_found, passed),
        .client_bad = since(&base->client_bad, last->client_bad),
    };
}

static void close_row(struct recorder *recorder, enum recording_mark mark, const char *current,
                      const char *previous)
{
    struct recording_row *row = &recorder->row;
    *row = (struct recording_row){
        .at_ms = (recorder->seen_us - recorder->begun_us) / 1000,
        .wall_ms = recorder->seen_wall_us / 1000,
        .weight_ppm = recorder->held.weight_ppm,
        .is_landed = recorder->held.is_landed,
        .is_contained = recorder->held.is_contained,
        .phase = recorder->held.phase,
        .verdict = recorder->held.verdict,
        .reason = recorder->held.reason,
        .mark = mark,
    };
    count_version(&recorder->base.canary, &recorder->last.canary, &row->canary,
                  &row->canary_latency);
    count_version(&recorder->base.stable, &recorder->last.stable, &row->stable,
                  &row->stable_latency);
    if (mark == RECORDING_MARK_REBASE) {
        (void)snprintf(row->current, sizeof row->current, "%s", current != NULL ? current : "");
        (void)snprintf(row->previous, sizeof row->previous, "%s", previous != NULL ? previous : "");
    }
    add_row(recorder, row);
    recorder->is_open = false;
    recorder->opened_us = recorder->seen_us;
}

static struct held held_of(const struct recorder_look *look)
{
    return (struct held){
        .weight_ppm = look->weight_ppm,
        .is_landed = look->is_landed,
        .is_contained = look->is_contained,
        .phase = look->phase,
        .verdict = look->verdict,
        .reason = look->reason,
    };
}

static bool is_same(const struct held *a, const struct held *b)
{
    return a->weight_ppm == b->weight_ppm && a->is_landed == b->is_landed &&
           a->is_contained == b->is_contained && a->phase == b->phase && a->verdict == b->verdict &&
           a->reason == b->reason;
}

static void begin(struct recorder *recorder, const struct recorder_look *look)
{
    recorder->is_begun = true;
    recorder->begun_us = look->now_us;
    recorder->begun_wall_us = look->wall_us;
    (void)snprintf(recorder->oldest.current, sizeof recorder->oldest.current, "%s",
                   look->current != NULL ? look->current : "");
    (void)snprintf(recorder->oldest.previous, sizeof recorder->oldest.previous, "%s",
                   look->previous != NULL ? look->previous : "");
}

void recorder_look(struct recorder *recorder, const struct recorder_look *look)
{
    struct held held = held_of(look);
    if (!recorder->is_begun) {
        begin(recorder, look);
    }
    if (recorder->is_open && !is_same(&held, &recorder->held)) {
        close_row(recorder, RECORDING_MARK_NONE, NULL, NULL);
    }
    recorder->held = held;
    recorder->last.canary = *look->canary;
    recorder->last.stable = *look->stable;
    recorder->seen_us = look->now_us;
    recorder->seen_wall_us = look->wall_us;
    if (!recorder->is_based) {
        recorder->base = recorder->last;
        recorder->is_based = true;
        recorder->opened_us = look->now_us;
        return;
    }
    recorder->is_open = true;
    if (look->now_us - recorder->opened_us >= (uint64_t)ROW_MS * 1000) {
        close_row(recorder, RECORDING_MARK_NONE, NULL, NULL);
    }
}

void recorder_mark(struct recorder *recorder, enum recording_mark mark, const char *current,
                   const char *previous)
{
    if (!recorder->is_begun) {
        return;
    }
    close_row(recorder, mark, current, previous);
    recorder->is_based = recorder->is_based && mark != RECORDING_MARK_REBASE;
}

/* ---- reading ---- */

struct recorder_facts recorder_facts(const struct recorder *recorder)
{
    return (struct recorder_facts){
        .first = recorder->first,
        .last = recorder->next - 1,
        .begun_wall_us = recorder->begun_wall_us,
        .current = recorder->oldest.current,
        .previous = recorder->oldest.previous,
        .used = recorder->used,
        .size = recorder->size,
    };
}

/* The offset of that row; where all end when there is none. */
static size_t offset_of(const struct recorder *recorder, uint64_t number)
{
    size_t offset = 0;
    for (uint64_t at = recorder->first; at < number && at < recorder->next; at++) {
        offset += LENGTH_SIZE + row_size(recorder, offset);
    }
    return offset;
}

uint64_t recorder_write(const struct recorder *recorder, uint64_t after, size_t row_max,
                        size_t size_max, struct buf *out, size_t *ret_count)
{
    uint64_t number = after + 1 > recorder->first ? after + 1 : recorder->first;
    size_t offset = offset_of(recorder, number);
    size_t count = 0;
    size_t before = buf_size(out);
    while (number < recorder->next && count < row_max && buf_size(out) - before < size_max) {
        struct recording_row row;
        offset = read_row(recorder, offset, &row);
        row.number = number++;
        recording_write(&row, out);
        count++;
    }
    *ret_count = count;
    return count > 0 ? number - 1 : after;
}

uint64_t recorder_find(const struct recorder *recorder, int64_t wall_us)
{
    size_t offset = 0;
    for (uint64_t number = recorder->first; number < recorder->next; number++) {
        if (row_front(recorder, offset).wall_ms >= wall_us / 1000) {
            return number - 1;
        }
        offset += LENGTH_SIZE + row_size(recorder, offset);
    }
    return recorder->next - 1;
}

void recorder_names(const struct recorder *recorder, uint64_t number,
                    char ret_current[RECORDING_NAME_MAX + 1],
                    char ret_previous[RECORDING_NAME_MAX + 1])
{
    struct names names = recorder->oldest;
    size_t offset = 0;
    for (uint64_t at = recorder->first; at < number && at < recorder->next; at++) {
        if (row_front(recorder, offset).mark == RECORDING_MARK_REBASE) {
            struct recording_row row;
            offset = read_row(recorder, offset, &row);
            take_names(&names, &row);
        } else {
            offset += LENGTH_SIZE + row_size(recorder, offset);
        }
    }
    memcpy(ret_current, names.current, sizeof names.current);
    memcpy(ret_previous, names.previous, sizeof names.previous);
}

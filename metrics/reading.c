#include "metrics/reading.h"

#include <stddef.h>
#include <string.h>

enum { CODE_WORDS = (METRIC_CODES + 63) / 64 };

static uint64_t difference(uint64_t later, uint64_t earlier)
{
    return later > earlier ? later - earlier : 0;
}

/* Cells lie in memory like plain numbers, so an array of them is summed whatever its dimensions
 * are. */
static const struct cell *cells_at(const struct block *block, size_t worker, size_t offset)
{
    const unsigned char *cells = block_cells(block, worker);
    return (const struct cell *)(const void *)(cells + offset);
}

/* Sums `size` bytes of cells at `offset` into as many bytes of numbers. */
static void sum_cells(const struct block *block, size_t offset, void *ret_sums, size_t size)
{
    CHECK(offset + size <= block->cells_size);
    uint64_t *sums = ret_sums;
    memset(sums, 0, size);
    for (size_t worker = 0; worker < block->worker_count; worker++) {
        const struct cell *cells = cells_at(block, worker, offset);
        for (size_t i = 0; i < size / sizeof *sums; i++) {
            sums[i] += cell_read(&cells[i]);
        }
    }
}

/* Sums the member `name` of a struct of cells into the member of the same name, which has the same
 * shape. */
#define SUM_MEMBER(block, type, name, reading)                                                     \
    do {                                                                                           \
        static_assert(sizeof((reading)->name) == sizeof(((struct type *)NULL)->name),              \
                      "a reading has the shape of its cells");                                     \
        sum_cells((block), offsetof(struct type, name), &(reading)->name,                          \
                  sizeof((reading)->name));                                                        \
    } while (false)

uint64_t reading_sum(const struct block *block, size_t offset)
{
    CHECK(offset + sizeof(struct cell) <= block->cells_size);
    uint64_t sum = 0;
    for (size_t worker = 0; worker < block->worker_count; worker++) {
        sum += cell_read(cells_at(block, worker, offset));
    }
    return sum;
}

void reading_codes(const struct block *block, size_t offset, uint64_t ret_words[CODE_WORDS])
{
    CHECK(offset + sizeof(struct code_set) <= block->cells_size);
    memset(ret_words, 0, CODE_WORDS * sizeof *ret_words);
    for (size_t worker = 0; worker < block->worker_count; worker++) {
        const struct cell *words = cells_at(block, worker, offset);
        for (size_t i = 0; i < CODE_WORDS; i++) {
            ret_words[i] |= cell_read(&words[i]);
        }
    }
}

unsigned reading_next_code(const uint64_t words[CODE_WORDS], unsigned from)
{
    for (unsigned word = from / 64; word < CODE_WORDS; word++) {
        uint64_t left =
            words[word] & (word == from / 64 ? ~UINT64_C(0) << (from % 64) : ~UINT64_C(0));
        if (left != 0) {
            return word * 64 + (unsigned)__builtin_ctzll(left);
        }
    }
    return METRIC_CODES;
}

void reading_histogram(const struct block *block, size_t offset, struct histogram *ret_histogram)
{
    CHECK(offset + sizeof(struct histogram_cells) <= block->cells_size);
    sum_cells(block, offset, ret_histogram, sizeof *ret_histogram);
}
static_assert(sizeof(struct histogram) == sizeof(struct histogram_cells),
              "a plain histogram has the shape of its cells");

void version_reading_take(const struct block *block, struct version_reading *ret_reading)
{
    CHECK(block->cells_size == sizeof(struct version_cells));
    /* A part is read before its whole, so that it rarely exceeds it; where the machine reorders,
     * the whole wins. */
    SUM_MEMBER(block, version_cells, connect_err, ret_reading);
    SUM_MEMBER(block, version_cells, late_err, ret_reading);
    SUM_MEMBER(block, version_cells, not_found, ret_reading);
    SUM_MEMBER(block, version_cells, err, ret_reading);
    SUM_MEMBER(block, version_cells, ok, ret_reading);
    SUM_MEMBER(block, version_cells, origin_bad, ret_reading);
    SUM_MEMBER(block, version_cells, client_bad, ret_reading);
    SUM_MEMBER(block, version_cells, latency, ret_reading);
    if (ret_reading->connect_err > ret_reading->err) {
        ret_reading->connect_err = ret_reading->err;
    }
}

static void sum_requests(const struct block *block, uint64_t ret_classes[METRIC_CLASSES])
{
    uint64_t words[CODE_WORDS];
    reading_codes(block, offsetof(struct service_cells, codes), words);
    memset(ret_classes, 0, METRIC_CLASSES * sizeof *ret_classes);
    for (unsigned slot = reading_next_code(words, 0); slot < METRIC_CODES;
         slot = reading_next_code(words, slot + 1)) {
        uint64_t methods[METRIC_METHOD_COUNT];
        sum_cells(block, offsetof(struct service_cells, requests[slot]), methods, sizeof methods);
        for (size_t i = 0; i < METRIC_METHOD_COUNT; i++) {
            ret_classes[metric_slot_class(slot)] += methods[i];
        }
    }
}

void service_picks_take(const struct block *block, uint64_t ret_picks[METRIC_ROLE_COUNT])
{
    CHECK(block->cells_size == sizeof(struct service_cells));
    sum_cells(block, offsetof(struct service_cells, picks), ret_picks,
              METRIC_ROLE_COUNT * sizeof *ret_picks);
}

void service_reading_take(const struct block *block, struct service_reading *ret_reading)
{
    CHECK(block->cells_size == sizeof(struct service_cells));
    SUM_MEMBER(block, service_cells, picks, ret_reading);
    SUM_MEMBER(block, service_cells, in_flight, ret_reading);
    SUM_MEMBER(block, service_cells, request_bytes, ret_reading);
    SUM_MEMBER(block, service_cells, response_bytes, ret_reading);
    SUM_MEMBER(block, service_cells, client_bad_responses, ret_reading);
    SUM_MEMBER(block, service_cells, upstream_failures, ret_reading);
    SUM_MEMBER(block, service_cells, request_duration, ret_reading);
    SUM_MEMBER(block, service_cells, upstream_duration, ret_reading);
    sum_requests(block, ret_reading->requests);
}

void endpoint_reading_take(const struct block *block, struct endpoint_reading *ret_reading)
{
    CHECK(block->cells_size == sizeof(struct endpoint_cells));
    SUM_MEMBER(block, endpoint_cells, in_flight, ret_reading);
    SUM_MEMBER(block, endpoint_cells, connections, ret_reading);
    SUM_MEMBER(block, endpoint_cells, outlier_ejections, ret_reading);
    uint64_t words[CODE_WORDS];
    reading_codes(block, offsetof(struct endpoint_cells, codes), words);
    memset(ret_reading->attempts, 0, sizeof ret_reading->attempts);
    for (unsigned slot = reading_next_code(words, 0); slot < METRIC_CODES;
         slot = reading_next_code(words, slot + 1)) {
        ret_reading->attempts[metric_slot_class(slot)] +=
            reading_sum(block, offsetof(struct endpoint_cells, attempts[slot]));
    }
}

void worker_reading_take(const struct block *block, struct worker_reading *ret_reading)
{
    CHECK(block->cells_size == sizeof(struct worker_cells));
    SUM_MEMBER(block, worker_cells, client_connections, ret_reading);
    SUM_MEMBER(block, worker_cells, rejected_requests, ret_reading);
    SUM_MEMBER(block, worker_cells, rejected_connections, ret_reading);
}

/* Readings are numbers and nothing else, so one loop subtracts them whatever their members are. */
static void subtract(const void *later, const void *earlier, void *ret_difference, size_t size)
{
    const uint64_t *minuends = later;
    const uint64_t *subtrahends = earlier;
    uint64_t *differences = ret_difference;
    for (size_t i = 0; i < size / sizeof *differences; i++) {
        differences[i] = difference(minuends[i], subtrahends[i]);
    }
}

void version_reading_subtract(const struct version_reading *later,
                              const struct version_reading *earlier,
                              struct version_reading *ret_difference)
{
    static_assert(sizeof(struct version_reading) % sizeof(uint64_t) == 0, "numbers only");
    subtract(later, earlier, ret_difference, sizeof *ret_difference);
}

void service_reading_subtract(const struct service_reading *later,
                              const struct service_reading *earlier,
                              struct service_reading *ret_difference)
{
    static_assert(sizeof(struct service_reading) % sizeof(uint64_t) == 0, "numbers only");
    struct service_reading now = *later;
    subtract(later, earlier, ret_difference, sizeof *ret_difference);
    memcpy(ret_difference->in_flight, now.in_flight, sizeof now.in_flight);
}

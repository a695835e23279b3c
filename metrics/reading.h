/* metrics/reading.h — what all workers counted, summed into plain numbers.
 *
 * A reading walks the blocks with plain loads: no worker waits, is signalled or loses a cache line
 * for longer than the load takes. Each number is exact once the workers are quiet; while they run,
 * numbers of one reading may be some requests apart. Readings are plain values of whoever declares
 * them. Any thread that holds a reference on the block. */
#pragma once
#include "metrics/block.h"
#include "metrics/catalog.h"

/* Index 0 is `none`, 1 to 5 are 1xx to 5xx. */
enum { METRIC_CLASSES = 6 };

static inline unsigned metric_slot_class(unsigned slot)
{
    return metric_slot_code(slot) / 100;
}

/* The judge's ledger of one deployment: n = ok + err. connect_err <= err always. */
struct version_reading {
    uint64_t ok;
    uint64_t err;
    uint64_t connect_err;
    uint64_t late_err;
    uint64_t not_found; /* of ok */
    uint64_t origin_bad;
    uint64_t client_bad;
    struct histogram latency;
};

struct service_reading {
    uint64_t picks[METRIC_ROLE_COUNT];
    uint64_t in_flight[METRIC_ROLE_COUNT];
    uint64_t request_bytes[METRIC_ROLE_COUNT];
    uint64_t response_bytes[METRIC_ROLE_COUNT];
    uint64_t client_bad_responses[METRIC_ROLE_COUNT];
    uint64_t upstream_failures[METRIC_ROLE_COUNT][METRIC_FAILURE_COUNT];
    uint64_t requests[METRIC_CLASSES];
    struct histogram request_duration;
    struct histogram upstream_duration[METRIC_ROLE_COUNT];
};

struct endpoint_reading {
    uint64_t in_flight;
    uint64_t connections[METRIC_CONNECTION_COUNT];
    uint64_t outlier_ejections;
    uint64_t attempts[METRIC_CLASSES];
};

struct worker_reading {
    uint64_t client_connections[METRIC_CONNECTION_COUNT];
    uint64_t rejected_requests[METRIC_REJECTED_COUNT];
    uint64_t rejected_connections[METRIC_REFUSED_COUNT];
};

/* Each sums the block of the matching struct of cells. */
void version_reading_take(const struct block *block, struct version_reading *ret_reading);
void service_reading_take(const struct block *block, struct service_reading *ret_reading);
void endpoint_reading_take(const struct block *block, struct endpoint_reading *ret_reading);
void worker_reading_take(const struct block *block, struct worker_reading *ret_reading);
/* Only the picks of a service's block: cheap enough for every tick. */
void service_picks_take(const struct block *block, uint64_t ret_picks[METRIC_ROLE_COUNT]);

/* later - earlier, number by number; `ret_difference` may be either. What went backwards gives 0.
 */
void version_reading_subtract(const struct version_reading *later,
                              const struct version_reading *earlier,
                              struct version_reading *ret_difference);
/* The same for a service: counters are subtracted, gauges are those of `later`. */
void service_reading_subtract(const struct service_reading *later,
                              const struct service_reading *earlier,
                              struct service_reading *ret_difference);

/* For writers of expositions. The sum over all workers of the cell at `offset` in their structs. */
uint64_t reading_sum(const struct block *block, size_t offset);
/* The slots that any worker noted in the code_set at `offset`, as bits of 64-bit words. */
void reading_codes(const struct block *block, size_t offset,
                   uint64_t ret_words[(METRIC_CODES + 63) / 64]);
/* The lowest slot at `from` or above that is in the words, or METRIC_CODES. */
unsigned reading_next_code(const uint64_t words[(METRIC_CODES + 63) / 64], unsigned from);
/* The sum of the histogram_cells at `offset`. */
void reading_histogram(const struct block *block, size_t offset, struct histogram *ret_histogram);

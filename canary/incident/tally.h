/* canary/incident/tally.h — how many requests failed: by route, by kind, by status, by client.
 *
 * A route is a path with its numbers taken out: "/item/4711/photo" and "/item/4712/photo" are both
 * "/item/{n}/photo"; UUIDs and other long runs of hex digits become {id}. Memory is bounded: when
 * there are too many routes, the one with the fewest failures makes room and goes into the sum of
 * the others, so that what fails often is found however many paths there are (after Metwally,
 * Agrawal and El Abbadi, "Efficient computation of frequent and top-k elements in data streams",
 * 2005). Clients are told apart by their stickiness bucket, and are not counted beyond a bound.
 * Plain values; any thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "metrics/failure_record.h"

enum {
    TALLY_ROUTE_SIZE = 112, /* with its end; longer ones are cut and end in "..." */
    TALLY_METHOD_SIZE = 12,
    TALLY_ROUTES_MAX = 256,
    TALLY_STATUSES_MAX = 32,
    TALLY_BUCKETS_MAX = 16384 /* a power of two: half of them are used at most */
};

/* The route of a path. Its bytes are kept as they are, whatever they are. */
void tally_route_of(struct bytes path, char ret_text[TALLY_ROUTE_SIZE]);

/* One failed request, as far as it is counted. */
struct tally_failure {
    int64_t wall_us; /* of the tick that noticed it */
    char route[TALLY_ROUTE_SIZE];
    char method[TALLY_METHOD_SIZE];
    unsigned status; /* of the canary's answer; 0: none */
    enum metric_failure kind;
    bool is_rescued;
    bool is_bad_for_client;
    bool is_from_cache;
    bool has_bucket;
    uint32_t bucket;
};

void tally_failure_of(const struct failure_record *record, int64_t wall_us,
                      struct tally_failure *ret_failure);

struct tally_route {
    char route[TALLY_ROUTE_SIZE];
    char method[TALLY_METHOD_SIZE]; /* of the first failure, as is the status */
    unsigned status;
    uint64_t failed, rescued, client_bad;
};

struct tally_status {
    unsigned status; /* 0: no answer */
    uint64_t count;
};

struct tally {
    uint64_t failed, rescued, stale, client_bad;
    uint64_t kinds[METRIC_FAILURE_COUNT];
    struct tally_status statuses[TALLY_STATUSES_MAX];
    size_t status_count;
    uint64_t other_statuses;
    struct tally_route routes[TALLY_ROUTES_MAX];
    size_t route_count;
    uint64_t other_routes;               /* failures of routes that made room */
    uint32_t buckets[TALLY_BUCKETS_MAX]; /* a set: bucket + 1, or 0 */
    size_t bucket_count;
    bool has_more_buckets;   /* there were more than are kept */
    uint64_t without_bucket; /* failures of clients that have none */
};

/* Zeroed memory is an empty tally. */
void tally_add(struct tally *tally, const struct tally_failure *failure);
/* Routes with the most failures first. */
void tally_sort(struct tally *tally);

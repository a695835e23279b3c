/* router/rate_limit.h — how often each client may ask: one table for all workers, without a lock.
 *
 * A client is an address, or for IPv6 its /64, which is what one household or machine has. What is
 * known of it is one number, the time until which its requests so far have paid (GCRA, ITU-T I.371:
 * a token bucket whose level is a time). A request moves that on by the interval between two; it is
 * let through while that stays within `burst` intervals of now. Time alone fills buckets, so
 * nothing has to be swept, and a client who pauses is forgotten by being overwritten.
 *
 * The table has a fixed number of slots in sets of RATE_WAYS, one cache line each. A client that is
 * not in its set takes the slot that has been paid the least into the future; only when all of a
 * set are in debt is one forgotten that should not be, and starts with a full bucket again. Slots
 * are written by compare-and-swap: limits are exact over all workers, but for that and for what two
 * workers do to one slot in the same instant (one request more or less).
 *
 * Control makes and frees; any worker asks. */
#pragma once
#include "conf/ip.h"
#include "proxy/base/err.h"

enum { RATE_WAYS = 4, RATE_CLIENTS_MIN = 64, RATE_CLIENTS_MAX = 1 << 24 };

struct rate_table;

struct rate_policy {
    uint64_t interval_ns; /* between two requests; above 0 */
    uint64_t burst;       /* requests at once; at least 1 */
};

/* So many requests per so much time. */
struct rate_policy rate_policy_make(uint64_t requests, uint64_t per_us, uint64_t burst);

/* Room for `client_count` clients, rounded up to a power of two: 16 bytes each. One reference, the
 * caller's. ERR_NOMEM. */
MUST_USE enum err rate_table_create(size_t client_count, struct rate_table **ret_table);
struct rate_table *rate_table_ref(struct rate_table *table); /* control, as the next */
void rate_table_unref(struct rate_table *table);             /* NULL is fine */
/* The room it was asked for. */
size_t rate_table_clients(const struct rate_table *table);

/* A request of this client at `now_us` (monotonic, of any worker): 0 when it is let through, else
 * in how many microseconds one would be. */
uint64_t rate_table_ask(struct rate_table *table, const struct rate_policy *policy,
                        const struct ip *client, uint64_t now_us);

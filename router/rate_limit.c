#include "router/rate_limit.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "proxy/base/check.h"
#include "proxy/base/hash.h"

enum { CACHE_LINE = 64, V6_PREFIX_SIZE = 8, NS_PER_US = 1000, TRIES = 8 };

/* `key` 0: never used. */
struct slot {
    _Atomic uint64_t key;
    _Atomic uint64_t paid_ns; /* until when; in the past: a full bucket */
};

struct set {
    struct slot slots[RATE_WAYS];
} __attribute__((aligned(CACHE_LINE)));

struct rate_table {
    size_t reference_count; /* control */
    size_t client_count;
    size_t set_mask;
    struct hash_key key; /* so that clients cannot choose their set */
    struct set *sets;    /* owned */
};

struct rate_policy rate_policy_make(uint64_t requests, uint64_t per_us, uint64_t burst)
{
    CHECK(requests > 0);
    CHECK(burst > 0);
    uint64_t interval_ns = per_us * NS_PER_US / requests;
    return (struct rate_policy){interval_ns > 0 ? interval_ns : 1, burst};
}

enum err rate_table_create(size_t client_count, struct rate_table **ret_table)
{
    size_t set_count = 1;
    CHECK(client_count <= RATE_CLIENTS_MAX);
    while (set_count * RATE_WAYS < client_count) {
        set_count *= 2;
    }
    struct rate_table *table = calloc(1, sizeof *table);
    struct set *sets = aligned_alloc(CACHE_LINE, set_count * sizeof *sets);
    if (table == NULL || sets == NULL) {
        free(table);
        free(sets);
        return ERR_NOMEM;
    }
    memset(sets, 0, set_count * sizeof *sets);
    struct random random;
    random_init(&random, 0);
    *table = (struct rate_table){
        .reference_count = 1,
        .client_count = client_count,
        .set_mask = set_count - 1,
        .key = {random_u64(&random), random_u64(&random)},
        .sets = sets,
    };
    *ret_table = table;
    return OK;
}

struct rate_table *rate_table_ref(struct rate_table *table)
{
    table->reference_count++;
    return table;
}

void rate_table_unref(struct rate_table *table)
{
    if (table != NULL && --table->reference_count == 0) {
        free(table->sets);
        free(table);
    }
}

size_t rate_table_clients(const struct rate_table *table)
{
    return table->client_count;
}

/* ---- asking ---- */

/* Two clients with the same 64 bits would share a bucket: with a million of them, one chance in 30
 * million that any do. */
static uint64_t key_of(const struct rate_table *table, const struct ip *client)
{
    size_t size = ip_is_v4(client) ? sizeof client->bytes : V6_PREFIX_SIZE;
    uint64_t key = hash_bytes(table->key, bytes_make((const char *)client->bytes, size));
    return key != 0 ? key : 1;
}

static uint64_t paid_of(struct slot *slot)
{
    return atomic_load_explicit(&slot->paid_ns, memory_order_relaxed);
}

/* The client's slot, or the one of its set that knows the least. */
static struct slot *look_up(struct set *set, uint64_t key, uint64_t *ret_held)
{
    struct slot *least = NULL;
    for (size_t i = 0; i < RATE_WAYS; i++) {
        struct slot *slot = &set->slots[i];
        uint64_t held = atomic_load_explicit(&slot->key, memory_order_relaxed);
        bool is_least = least == NULL || paid_of(slot) < paid_of(least);
        if (held == key || is_least) {
            least = slot;
            *ret_held = held;
        }
        if (held == key) {
            break;
        }
    }
    return least;
}

/* NULL when others were quicker again and again: the client is let through then. */
static struct slot *take_slot(struct set *set, uint64_t key)
{
    for (int i = 0; i < TRIES; i++) {
        uint64_t held = 0;
        struct slot *slot = look_up(set, key, &held);
        if (held == key) {
            return slot;
        }
        if (atomic_compare_exchange_strong_explicit(&slot->key, &held, key, memory_order_relaxed,
                                                    memory_order_relaxed)) {
            atomic_store_explicit(&slot->paid_ns, 0, memory_order_relaxed);
            return slot;
        }
    }
    return NULL;
}

uint64_t rate_table_ask(struct rate_table *table, const struct rate_policy *policy,
                        const struct ip *client, uint64_t now_us)
{
    uint64_t key = key_of(table, client);
    struct slot *slot = take_slot(&table->sets[key & table->set_mask], key);
    uint64_t now_ns = now_us * NS_PER_US;
    uint64_t most_ns = now_ns + policy->burst * policy->interval_ns;
    if (slot == NULL) {
        return 0;
    }
    uint64_t paid_ns = paid_of(slot);
    for (;;) {
        uint64_t next_ns = (paid_ns > now_ns ? paid_ns : now_ns) + policy->interval_ns;
        if (next_ns > most_ns) {
            return (next_ns - most_ns + NS_PER_US - 1) / NS_PER_US;
        }
        if (atomic_compare_exchange_weak_explicit(&slot->paid_ns, &paid_ns, next_ns,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            return 0;
        }
    }
}

/* proxy/upstream/endpoint.h — one origin server as it lives on through configurations, with each
 * worker's seat at it (seat.h).
 *
 * Control creates endpoints, keeps them by name and frees them with the last snapshot that names
 * them. Health is control's word, read by all. */
#pragma once
#include <stdatomic.h>

#include "metrics/block.h"
#include "proxy/upstream/seat.h"

struct endpoint {
    size_t reference_count; /* control */
    struct bytes name;      /* "127.0.0.1:3001": the metric label; owned, terminated */
    struct block *cells;    /* endpoint_cells; owned */
    struct block *seats;    /* endpoint_seat; owned */
    atomic_bool is_healthy; /* written by control, relaxed */
};

/* Healthy until told otherwise; one reference, the caller's. ERR_NOMEM. Control. */
MUST_USE enum err endpoint_create(struct bytes name, size_t worker_count,
                                  struct endpoint **ret_endpoint);
struct endpoint *endpoint_ref(struct endpoint *endpoint);
/* The last reference frees it: no worker may hold a connection to it any more. NULL is fine.
 * Control. */
void endpoint_unref(struct endpoint *endpoint);

/* Has no worker a connection to it? Then, and when nobody else holds a reference, it may be let go.
 * Control. */
bool endpoint_is_unused(const struct endpoint *endpoint);

/* The worker's seat. */
struct endpoint_seat *endpoint_seat(struct endpoint *endpoint, size_t worker_index);

static inline bool endpoint_is_healthy(const struct endpoint *endpoint)
{
    return atomic_load_explicit(&endpoint->is_healthy, memory_order_relaxed);
}

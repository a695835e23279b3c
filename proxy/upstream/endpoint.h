/* proxy/upstream/endpoint.h — one origin server as it lives on through configurations, with each
 * worker's seat at it.
 *
 * Control creates endpoints, keeps them by name and frees them with the last snapshot that names
 * them. What a worker knows of an endpoint (its idle connections, its requests in flight, its
 * opinion) is in that worker's seat, which nobody else touches. Health is control's word, read by
 * all. */
#pragma once
#include <stdatomic.h>

#include "metrics/block.h"
#include "metrics/catalog.h"
#include "proxy/http1/http1_client.h"
#include "proxy/upstream/eject.h"

struct endpoint {
    size_t reference_count; /* control */
    struct bytes name;      /* "127.0.0.1:3001": the metric label; owned, terminated */
    struct block *cells;    /* endpoint_cells; owned */
    struct block *seats;    /* endpoint_seat; owned */
    atomic_bool is_healthy; /* written by control, relaxed */
};

/* A worker's own; zeroed memory is a seat that was never used. */
struct endpoint_seat {
    struct client_keeper keeper;
    struct endpoint *endpoint; /* borrowed; NULL before the first use */
    struct endpoint_cells *cells;
    struct list link; /* in the worker's list, exactly while there are connections */
    struct list idle; /* connections, the latest used first */
    uint32_t idle_count;
    uint32_t live_count;    /* connections that are not being closed: what the cap is about */
    uint32_t in_flight;     /* requests */
    struct cell open_count; /* connections, idle or not; control waits for its end */
    uint64_t epoch;         /* the newest snapshot that is known to name the endpoint */
    bool is_retired;        /* the configuration has forgotten it: connections are not kept */
    bool is_failing;        /* the last attempt that said anything of it failed */
    struct eject_state eject;
    struct tls_resume resume; /* its connections' newest TLS session */
    bool is_tls_trouble_told; /* why handshakes fail was logged; until one goes well */
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

/* The most recently used idle connection that was made as `tls` (NULL: without) makes them now; it
 * is busy then. NULL: there is none. One on which the origin has spoken out of turn, or that it has
 * ended, is closed and passed over. The seat's worker, as all below. */
struct http1_client *seat_checkout(struct endpoint_seat *seat, const struct tls_client *tls,
                                   const struct client_ops *ops, void *call);
/* Opens a further connection for the call; `seats` is the worker's list of seats with connections;
 * `way` needs no `resume`, which is the seat's.
 * `open_max` bounds this worker's connections to the endpoint: the longest idle one makes room,
 * without one the error is ERR_LIMIT, as when the process is out of descriptors:
 * our own lack, never the endpoint's failure. ERR_NOMEM and ERR_IO are the kernel's. */
MUST_USE enum err seat_connect(struct endpoint_seat *seat, struct list *seats, struct loop *loop,
                               const struct client_way *way, const struct framing_limits *limits,
                               uint64_t connect_us, uint32_t open_max, const struct client_ops *ops,
                               void *call, struct http1_client **ret_client);
/* The call is over: keeps the connection for the next one where it can carry one, else closes it.
 */
void seat_checkin(struct endpoint_seat *seat, struct http1_client *client, uint64_t idle_us);
/* The call is over, and so is the connection. */
void seat_drop(struct endpoint_seat *seat, struct http1_client *client);
/* The call is over but its answer is not: what is left of it is read and thrown away, to keep the
 * connection, unless it is long or slow to come. */
void seat_drain(struct endpoint_seat *seat, struct http1_client *client, uint64_t idle_us);
/* Closes the connection that was idle for the longest; there is one. */
void seat_close_oldest(struct endpoint_seat *seat);
/* Closes what is idle. */
void seat_close_idle(struct endpoint_seat *seat);
/* The configuration no longer names the endpoint: closes what is idle, and later what comes back.
 */
void seat_retire(struct endpoint_seat *seat);

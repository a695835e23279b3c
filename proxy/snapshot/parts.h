/* proxy/snapshot/parts.h — services and versions as they live on through configurations.
 *
 * A service is known by its name, a version by service and deployment. Both carry what must not
 * start anew when anything else changes: counters, and each worker's split accumulator. Control
 * creates, keeps and releases them; snapshots hold references. */
#pragma once
#include <stdatomic.h>

#include "metrics/block.h"
#include "metrics/catalog.h"
#include "metrics/failure_ring.h"
#include "proxy/base/bytes.h"
#include "proxy/cache/cache_marks.h"
#include "proxy/cache/cache_store.h"
#include "router/containment.h"
#include "router/rate_limit.h"
#include "router/rescue.h"
#include "router/split.h"

/* A worker's own part of a service; zeroed memory is one that was never used. */
struct service_seat {
    struct split_accumulator accumulator;
    struct split_accumulator mirror; /* which of the safe requests are copied */
    uint32_t mirror_count;           /* copies under way */
    struct rescue_budget rescue;
    uint32_t lasting_sequence; /* spreads long-lived exchanges over their share */
    struct rescue_budget
        assets; /* of its own: missing files never cost a failed request's rescue */
    _Atomic(struct failure_ring *) failures; /* owned; made at the canary's first failure */
    struct cache_marks *marks;               /* owned; made when there is something to keep */
    bool is_ready;
};

struct service {
    size_t reference_count; /* control */
    struct bytes name;      /* owned, terminated */
    struct block *cells;    /* service_cells; owned */
    struct block *seats;    /* service_seat; owned */
    /* A canary's attempt without a head for this long counts as slow already; 0 is never. Written
     * by control. */
    _Atomic uint64_t slow_limit_us;
    /* The stable version suffers: it is asked for nothing beyond its share. Written by control. */
    atomic_bool is_stable_strained;
    struct rate_table *rate_table; /* shared; NULL: clients were never limited. Control */
    struct cache_store *cache;     /* shared; NULL: nothing was ever to be kept. Control */
};

/* What a worker has in use of a version, where that is limited. */
struct circuit {
    uint32_t requests; /* under way */
    uint32_t pending;  /* of them: wait for a connection */
};

/* A worker's own part of a version; zeroed memory is one that was never used. */
struct version_seat {
    struct containment containment; /* how the worker holds the version back */
    struct circuit circuit;
};

struct version {
    size_t reference_count;  /* control */
    struct bytes deployment; /* owned, terminated */
    struct block *cells;     /* version_cells; owned */
    struct block *seats;     /* version_seat; owned */
    /* Under which its answers are kept; 0: none are. A new one drops what is kept. Written by
     * control. */
    _Atomic uint64_t cache_realm;
};

/* One reference, the caller's; the name is copied. ERR_NOMEM. Control, as all below. */
MUST_USE enum err service_create(struct bytes name, size_t worker_count,
                                 struct service **ret_service);
struct service *service_ref(struct service *service);
void service_unref(struct service *service); /* NULL is fine */
MUST_USE enum err version_create(struct bytes deployment, size_t worker_count,
                                 struct version **ret_version);
struct version *version_ref(struct version *version);
void version_unref(struct version *version); /* NULL is fine */

/* How the worker holds the version back. That worker. */
static inline struct containment *version_containment(struct version *version, size_t worker_index)
{
    return &((struct version_seat *)block_cells(version->seats, worker_index))->containment;
}
/* What the worker has in use of the version. That worker. */
static inline struct circuit *version_circuit(struct version *version, size_t worker_index)
{
    return &((struct version_seat *)block_cells(version->seats, worker_index))->circuit;
}
/* The worker's seat; its accumulator is started in step with the others' at the first use. That
 * worker. */
struct service_seat *service_seat(struct service *service, size_t worker_index);
/* Where the worker notes what it has kept; NULL without memory. That worker. */
struct cache_marks *service_marks(struct service *service, size_t worker_index);
/* What is kept of the version is dropped, from now on for every worker. Control. */
void version_drop_cached(struct version *version, struct service *service);
/* Where the worker leaves what the canary failed; NULL without memory. That worker. */
struct failure_ring *service_failures(struct service *service, size_t worker_index);
/* The same for who takes it out; NULL: nothing has failed there yet. Control. */
struct failure_ring *service_failures_of(const struct service *service, size_t worker_index);

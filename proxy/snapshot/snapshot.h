/* proxy/snapshot/snapshot.h — everything a worker must know to answer requests, frozen.
 *
 * There is one way to change anything: control makes a new snapshot and hands it to every worker
 * (crew_publish). A snapshot is immutable; it holds references on the services, versions and
 * endpoints it names and on the base (the configuration and its route table), which many snapshots
 * share, so that a changed weight costs a few copies.
 *
 * Each worker counts in its own lease how many requests still use a snapshot: plain numbers, no
 * shared cache line. When it has moved on and the last request is over it sends the lease home, and
 * when all have come home control frees. */
#pragma once
#include "conf/conf.h"
#include "proxy/base/list.h"
#include "proxy/http/framing.h"
#include "proxy/io/address.h"
#include "proxy/io/inbox.h"
#include "proxy/io/proxy_protocol.h"
#include "proxy/snapshot/error_pages.h"
#include "proxy/snapshot/parts.h"
#include "proxy/tls/tls_client.h"
#include "proxy/tls/tls_server.h"
#include "proxy/upstream/endpoint.h"
#include "router/decide.h"
#include "router/route_table.h"

enum { SNAPSHOT_ADDRESSES_MAX = 8 };

struct snapshot_endpoint {
    struct endpoint *endpoint; /* shared */
    struct bytes authority;    /* host[:port] for the Host field; borrowed from the endpoint */
    union address addresses[SNAPSHOT_ADDRESSES_MAX];
    uint32_t address_count;    /* 0: not resolved, and so not live */
    struct tls_client *tls;    /* borrowed from the base; NULL: without */
    const char *host;          /* with tls: the origin's name, in the snapshot's arena */
    enum client_speech speech; /* of requests that are no upgrades */
    bool is_host_kept;         /* it gets the client's Host, else its own authority */
    bool is_hidden;            /* what it says of its own name is not for clients (reverse.h) */
    uint64_t affinity;         /* its part of scores (router/affinity.h) */
};

struct snapshot_version {
    struct version *version; /* shared; NULL: the service has no such version */
    struct snapshot_endpoint *endpoints;
    size_t endpoint_count;
    enum proxy_protocol proxy_protocol; /* what connections to them begin with */
};

/* A worker's share of `circuit`; 0: no limit. */
struct circuit_limits {
    bool is_on;
    uint32_t connections;
    uint32_t pending;
    uint32_t requests;
};

struct snapshot_service {
    struct service *service;         /* shared */
    const struct conf_service *conf; /* borrowed from the base */
    struct decide_service decide;
    struct eject_policy eject;
    unsigned rescue_when;   /* bits 1 << enum conf_rescue_when; 0: nothing is rescued */
    unsigned grpc_failures; /* bits 1 << status of gRPC */
    struct containment_policy containment;
    uint32_t rescue_gain_ppm;        /* what a request earns of a rescue */
    uint32_t asset_gain_ppm;         /* ... and of asking the other version for an asset */
    const struct reply_pages *pages; /* borrowed from the base; NULL: none */
    struct rate_table *rate_table;   /* shared; NULL: clients are not limited */
    struct rate_policy rate;
    struct circuit_limits circuit; /* of each version */
    struct cache_store *cache;     /* shared; NULL: nothing is kept */
    struct cache_rules cache_rules;
    struct bytes hsts;   /* value of Strict-Transport-Security; empty: none */
    bool has_hidden;     /* among its endpoints */
    uint32_t mirror_ppm; /* of the safe requests are copied to a canary without weight; 0: none */
    struct snapshot_version versions[ROLE_COUNT];
};

/* The configuration and what was compiled from it; shared by reference, control counts. */
struct snapshot_base {
    size_t reference_count;
    struct conf *conf;            /* owned */
    struct route_table *routes;   /* owned */
    struct tls_server **tls;      /* owned: of each listener, NULL where it is plain */
    struct tls_server *admin_tls; /* owned: of the admin socket; NULL: it is plain */
    struct reply_pages *pages;    /* owned: of all services; NULL: none */
    struct reply_pages *
        *service_pages;             /* owned: of each service with pages of its own, else NULL */
    struct tls_client **origin_tls; /* owned: of each service, NULL until an endpoint needs it */
};

/* A worker's count of the requests that use a snapshot; its own cache line. */
struct lease {
    struct inbox_message publish; /* to the worker: here is a new one */
    struct inbox_message adopted; /* to control: this worker's next request uses it */
    struct inbox_message home;    /* to control: this worker's last request with it is over */
    struct snapshot *snapshot;    /* borrowed */
    size_t user_count;
    bool is_current; /* the worker's newest */
} __attribute__((aligned(128)));

struct snapshot {
    uint64_t number;            /* counts up, for logs and traces */
    struct snapshot_base *base; /* shared */
    struct snapshot_service *services;
    size_t service_count;
    size_t worker_count;
    size_t adopted_count; /* control: workers that took it */
    size_t home_count;    /* control: workers that are done with it */
    struct lease *leases; /* one per worker; owned */
    struct arena arena;   /* owns services and endpoints */
};

/* Compiles a configuration, certificates included: takes `conf` (also on failure). `tickets` is
 * borrowed while the base lives and may be NULL where no listener speaks TLS. ERR_NOMEM, or what
 * the route table or tls_server_create say, with a note. */
MUST_USE enum err snapshot_base_create(struct conf *conf, struct tls_ticket_keys *tickets,
                                       struct note *note, struct snapshot_base **ret_base);
/* How the base's service number `index` speaks TLS to its origins; borrowed from the base.
 * ERR_NOMEM; its `ca` was read with the base. Control. */
MUST_USE enum err snapshot_base_origin_tls(struct snapshot_base *base, size_t index,
                                           struct tls_client **ret_client);
/* The protocol of an endpoint, for requests that are no upgrades. Pure. */
enum client_speech snapshot_speech(enum conf_origin_http2 http2, bool is_tls);
struct snapshot_base *snapshot_base_ref(struct snapshot_base *base);
void snapshot_base_unref(struct snapshot_base *base); /* NULL is fine */

/* What control wants a service to be; everything in it is borrowed for the call. */
struct snapshot_endpoint_plan {
    struct endpoint *endpoint;
    struct bytes authority; /* must live as long as the endpoint */
    const union address *addresses;
    size_t address_count;
    const struct conf_endpoint *conf; /* NULL is plain HTTP */
};

struct snapshot_version_plan {
    struct version *version; /* NULL: none */
    const struct snapshot_endpoint_plan *endpoints;
    size_t endpoint_count;
    enum proxy_protocol proxy_protocol;
};

struct snapshot_service_plan {
    struct service *service;
    const struct conf_service *conf; /* in the base */
    uint32_t weight_ppm;             /* of the current version; 0 without one */
    uint64_t rollout;                /* salt of the stickiness */
    bool is_quarantined;
    bool is_mirrored; /* the canary gets its share of copies; never with weight or in quarantine */
    struct snapshot_version_plan versions[ROLE_COUNT];
};

/* The router's rules for a service planned like this; borrows from the plan's configuration. */
struct decide_service snapshot_rules(const struct snapshot_service_plan *plan);
/* Makes a snapshot of the plans, in the order of the routes' service indexes; takes references on
 * all they name. Control. */
MUST_USE enum err snapshot_create(struct snapshot_base *base,
                                  const struct snapshot_service_plan *plans, size_t service_count,
                                  size_t worker_count, uint64_t number,
                                  struct snapshot **ret_snapshot);
/* Frees it and lets go of all it names: when every lease is home, or it was never published. NULL
 * is fine. Control. */
void snapshot_destroy(struct snapshot *snapshot);

/* One request begins or ends to use it; the worker's own lease. lease_release is true when the
 * worker should send the lease home: it has moved on and this was the last user. */
static inline void lease_acquire(struct lease *lease)
{
    lease->user_count++;
}

static inline bool lease_release(struct lease *lease)
{
    CHECK(lease->user_count > 0);
    lease->user_count--;
    return lease->user_count == 0 && !lease->is_current;
}

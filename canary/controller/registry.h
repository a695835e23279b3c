/* canary/controller/registry.h — the objects that outlive configurations, by name.
 *
 * Services, versions and endpoints keep their counters and connections when the configuration
 * around them changes: who asks for the same name gets the same object. The registry holds one
 * reference on each; registry_sweep lets go of those that no snapshot names any more and no worker
 * has a connection to. Control only. */
#pragma once
#include "proxy/base/map.h"
#include "proxy/snapshot/parts.h"
#include "proxy/upstream/endpoint.h"

struct registry_item;

struct registry {
    struct map map;               /* key: kind and names */
    struct registry_item **items; /* owned */
    size_t item_count;
    size_t item_capacity;
    size_t worker_count;
};

void registry_init(struct registry *registry, size_t worker_count);
/* Lets go of everything; the workers have ended. */
void registry_finish(struct registry *registry);

/* Each finds or makes the object and lends it: who keeps it takes a reference before the next
 * sweep. ERR_NOMEM. */
MUST_USE enum err registry_service(struct registry *registry, struct bytes name,
                                   struct service **ret_service);
MUST_USE enum err registry_version(struct registry *registry, struct bytes service,
                                   struct bytes deployment, struct version **ret_version);
MUST_USE enum err registry_endpoint(struct registry *registry, struct bytes service,
                                    struct bytes deployment, struct bytes name,
                                    struct endpoint **ret_endpoint);

/* Frees what only the registry still holds. Owners hold references of their own on what they want
 * to keep. */
void registry_sweep(struct registry *registry);

/* tests/unit/exchange/play_exchange.h — one worker's data plane on one loop: a server, exchanges,
 * scripted origins, and a control that counts who came home. */
#pragma once
#include "proxy/exchange/exchange.h"
#include "proxy/http1/http1_server.h"
#include "tests/support/loop_play.h"

struct stage {
    struct loop loop;
    struct inbox control;
    struct http1_server_host servers;
    struct exchange_host exchanges;
    struct worker_cells cells;
    struct service *service;
    struct version *versions[ROLE_COUNT];
    struct endpoint *endpoints[ROLE_COUNT];
    struct snapshot_base *base;
    struct snapshot *snapshot; /* the newest */
    uint64_t number;
    size_t adopted_count;
    size_t home_count;
    int listening[ROLE_COUNT]; /* where the origins accept */
    unsigned ports[ROLE_COUNT];
};

/* `limits_and_timeouts` are further top-level lines of the configuration, `service_lines` further
 * lines of the one service; NULL: none. The canary has `weight_ppm`. Nothing is rescued unless the
 * lines say `rescue:`, and copied only where they say `mirror:` and the weight is 0. */
void stage_begin(struct stage *stage, const char *lines, const char *service_lines,
                 uint32_t weight_ppm);
void stage_end(struct stage *stage);
/* Makes a snapshot with this weight the newest. `has_current` false: the canary's endpoint is named
 * no more. */
void stage_publish(struct stage *stage, uint32_t weight_ppm, bool has_current);
void stage_connect(struct stage *stage, struct peer *client);
struct version_cells *stage_version(const struct stage *stage, enum role role);
struct service_cells *stage_service(const struct stage *stage);
struct endpoint_cells *stage_endpoint(const struct stage *stage, enum role role);
/* requests_total of this code. */
uint64_t stage_requests(const struct stage *stage, unsigned code);

/* canary/cli/top_rates.h — how fast the counters of a status grow: requests a second and the share
 * that failed, by version, over the last seconds.
 *
 * Fed with each status and its time. A counter that went back (another process) and another
 * deployment begin anew. Embedded: init / finish; pure but for memory; one thread. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/err.h"
#include "proxy/base/role.h"

enum { TOP_RATES_LOOKS = 11 }; /* ten seconds, at a look each second */

struct top_rate {
    bool is_known; /* two looks at least */
    double requests_per_s;
    double failed_ratio; /* NAN without requests */
};

struct top_service_rates;

struct top_rates {
    struct top_service_rates *services; /* owned */
    size_t count;
};

void top_rates_init(struct top_rates *rates);
void top_rates_finish(struct top_rates *rates);
/* Takes the numbers of GET /api/v1/status, looked at `now_us`. ERR_NOMEM: services are missing. */
MUST_USE enum err top_rates_add(struct top_rates *rates, const json_t *status, uint64_t now_us);
/* Of the service's version in this role. */
struct top_rate top_rates_of(const struct top_rates *rates, const char *service, enum role role);

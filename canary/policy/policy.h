/* canary/policy/policy.h — a policy as the configuration says it, in the judge's numbers.
 *
 * The service's own policy (`rollback`) and those that are observed are made by the same function,
 * so that a policy that proved itself in `observe` does the same in `rollback`. Pure; any thread.
 */
#pragma once
#include <jansson.h>

#include "canary/engine/observe.h"
#include "conf/conf.h"

struct observe_policy policy_of(const struct conf_policy *conf);
/* Judges 404s too where the limit is above 0: `failures.not_found` is the service's, not a
 * policy's. */
void policy_watch_not_found(struct observe_policy *policy, uint32_t limit_ppm);
/* The service's own. */
struct observe_policy policy_own(const struct conf_service *conf);
/* Those that it observes; returns how many. */
size_t policy_observed(const struct conf_service *conf,
                       struct observe_policy ret_policies[OBSERVE_MAX]);

/* A policy as JSON, rates in parts per million; NULL without memory. Gives the value. */
json_t *policy_to_json(const struct conf_policy *conf);
/* The same back; every value must be there and inside the configuration's bounds, else false and
 * `note` says why. `ret_conf->name` borrows from the document. */
bool policy_from_json(const json_t *json, struct note *note, struct conf_policy *ret_conf);

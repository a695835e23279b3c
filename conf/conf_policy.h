/* conf/conf_policy.h — policies that are observed: what they leave out is as the service's own.
 *
 * Any thread, one at a time for an arena. */
#pragma once
#include "conf/conf.h"
#include "proxy/base/arena.h"

/* The name of a service's own policy beside the observed ones. */
#define CONF_POLICY_OWN "rollback"

/* The service's own policy, with the name CONF_POLICY_OWN. */
struct conf_policy conf_policy_own(const struct conf_rollback *rollback);
/* Fills in from `own` what the policy was not given. */
void conf_policy_complete(struct conf_policy *policy, const struct conf_policy *own);
/* Reads "name:key=value,key=value" with the keys and values of services.observe; what is left out
 * stays not given. Texts live in the arena. ERR_SYNTAX: the note says what is wrong; ERR_NOMEM. */
MUST_USE enum err conf_policy_parse(struct bytes text, struct arena *arena, struct note *note,
                                    struct conf_policy *ret_policy);

/* conf/conf_policy.h — policies that are observed: what they leave out is as the service's own.
 *
 * Pure; any thread. */
#pragma once
#include "conf/conf.h"

/* The name of a service's own policy beside the observed ones. */
#define CONF_POLICY_OWN "rollback"

/* The service's own policy, with the name CONF_POLICY_OWN. */
struct conf_policy conf_policy_own(const struct conf_rollback *rollback);
/* Fills in from `own` what the policy was not given. */
void conf_policy_complete(struct conf_policy *policy, const struct conf_policy *own);

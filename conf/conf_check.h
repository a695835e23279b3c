/* conf/conf_check.h — what only shows when values are held against each other.
 *
 * Runs after every value was read by itself, and also when some could not be, so that one run tells
 * all: a field that failed is NULL or zero here and is passed over. Pure but for the errors;
 * control. */
#pragma once
#include "conf/conf.h"
#include "conf/conf_errors.h"

/* Adds an error for each contradiction. ERR_NOMEM when it could not look at everything. */
MUST_USE enum err conf_check(const struct conf *conf, struct conf_errors *errors);

/* What is wrong with the steps of a rollout (CONF_STEP_PAUSE among them), or NULL. Pure. */
const char *conf_steps_fault(const uint32_t *steps_ppm, size_t step_count);
/* Would a connection to the endpoint come to what listens at the address? Pure. */
bool conf_is_at(const struct conf_endpoint *endpoint, const struct conf_address *address);
/* The address of this configuration, a listener's or the admin API's, that a connection to the
 * endpoint would come back to, or NULL. Pure. */
const struct conf_address *conf_own_address(const struct conf *conf,
                                            const struct conf_endpoint *endpoint);

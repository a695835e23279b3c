/* canary/controller/lineup.h — which versions a service consists of, and who said so: the
 * configuration, or a start at run time.
 *
 * What was started stays in force until the configuration names other deployments than it did then:
 * a file that did not change says nothing new, one that did is an operator's change and wins. Of a
 * deployment that the file names too, the file says the endpoints. A lineup owns all it says and is
 * embedded in its owner; it is made whole or not at all. Control only. */
#pragma once
#include "canary/engine/rollout.h"
#include "conf/conf_version.h"
#include "router/split.h"

struct lineup {
    struct conf_version *versions[ROLE_COUNT]; /* owned; NULL: none, which only the canary may be */
    bool is_started;                           /* over what the configuration says */
    char filed[ROLE_COUNT][CONF_DEPLOYMENT_MAX + 1]; /* what that named then; "": none */
    char *detail; /* owned: room for lineup_detail, so that writing things down needs no memory */
    size_t detail_size;
    size_t versions_size; /* of what is there about the versions, from its beginning */
};

void lineup_finish(struct lineup *lineup); /* zeros are fine */

/* What the configuration names. ERR_NOMEM. Gives the lineup to the caller, as the others do. */
MUST_USE enum err lineup_of_file(const struct conf_service *conf, struct lineup *ret_lineup);
/* Does a lineup that was started hold against this configuration? False for one that was not. */
bool lineup_holds(const struct lineup *lineup, const struct conf_service *conf);
/* What is in force under this configuration after `before`. ERR_NOMEM. */
MUST_USE enum err lineup_follow(const struct lineup *before, const struct conf_service *conf,
                                struct lineup *ret_lineup);
/* `canary` takes the canary's place; with `is_takeover` the canary of before becomes the stable
 * version. ERR_NOMEM. */
MUST_USE enum err lineup_start(const struct lineup *before, const struct conf_service *conf,
                               const struct conf_version *canary, bool is_takeover,
                               struct lineup *ret_lineup);

/* What the state file keeps beside step and weight, as JSON: the way of a rollout that runs, and
 * versions that were started. Borrowed until the next call; NULL when there is nothing to keep. */
const char *lineup_detail(const struct lineup *lineup, const struct rollout_journal *journal);
/* Back from there. ERR_NOT_FOUND: nothing was started; ERR_SYNTAX: it cannot be read; ERR_NOMEM. */
MUST_USE enum err lineup_from_detail(const char *detail, struct lineup *ret_lineup);

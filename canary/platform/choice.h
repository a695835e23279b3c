/* canary/platform/choice.h — which deployment to go back to. Pure.
 *
 * The live deployment is the one that the platform says is live, never the newest: after a rollback
 * these two are not the same. */
#pragma once
#include "canary/platform/deployment.h"
#include "proxy/base/err.h"

/* The one to go back to among `deployments`, newest first.
 *
 * `wanted` NULL: the newest good one that is older than `live`. Otherwise the one it names; if none
 * has that name, the newest good one of that commit. Good means deployment_is_good.
 * OK and its index; ERR_NOT_FOUND: none so far, older ones may have it; ERR_EXISTS: the name fits
 * several; ERR_STATE: what it names cannot be rolled back to. `note` says the last two. */
MUST_USE enum err choice_find(const struct platform_deployment *deployments, size_t count,
                              const struct platform_deployment *live, const char *wanted,
                              size_t *ret_index, struct note *note);
/* The one that `wanted` names, otherwise the newest of that commit, good or not. OK and its index;
 * ERR_NOT_FOUND, ERR_EXISTS as above. */
MUST_USE enum err choice_find_named(const struct platform_deployment *deployments, size_t count,
                                    const char *wanted, size_t *ret_index, struct note *note);
/* Why this one cannot be rolled back to, ERR_STATE, or OK. */
MUST_USE enum err choice_check(const struct platform_deployment *target, struct note *note);
/* Whether `live` is the one that was expected: named so, or of that commit. NULL expects nothing.
 */
bool choice_is_expected(const struct platform_deployment *live, const char *expected);

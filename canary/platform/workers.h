/* canary/platform/workers.h — the provider for Cloudflare Workers with gradual deployments.
 *
 * There a deployment is one or two versions with percentages; the newest one is live. A rollback is
 * a new deployment of the earlier version at 100 %. What this room calls a deployment is a version
 * here: targets and expectations are version ids. */
#pragma once
#include "canary/platform/cloudflare.h"

/* As pages_create. `script` is the Worker's name. */
MUST_USE enum err workers_create(const struct cloudflare_options *options, const char *script,
                                 struct provider **ret_provider, struct note *note);

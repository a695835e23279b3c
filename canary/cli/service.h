/* canary/cli/service.h — which service a verb is about. */
#pragma once
#include "canary/cli/client.h"

/* The named service, or with NULL the only one there is (which is asked for), escaped for a path.
 * CLI_DONE, or it has been told on standard error. */
int service_find(struct client *client, const char *name, char *ret_name, size_t size);

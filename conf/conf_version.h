/* conf/conf_version.h — a version of a service by itself, outside of any file: asked for at run
 * time, or copied out of a configuration so that it can outlive it.
 *
 * It owns its texts; what it says is held to the same rules as in a file. Made and destroyed by
 * control, read by any thread. */
#pragma once
#include "conf/conf.h"

/* Is it a name that a deployment may have? ERR_SYNTAX, ERR_LIMIT, ERR_NOMEM; the note says why. */
MUST_USE enum err conf_deployment_check(const char *deployment, struct note *note);

/* Makes a version that is reached at `urls`. `deployment` was checked, or is NULL: then it is
 * derived as in a file. ERR_SYNTAX, ERR_LIMIT, ERR_EXISTS (the same endpoint twice)
 * with a note that begins with the URL at fault; ERR_NOMEM. Gives the version to the caller. */
MUST_USE enum err conf_version_create(const char *deployment, const char *const *urls,
                                      size_t url_count, struct note *note,
                                      struct conf_version **ret_version);
/* ERR_NOMEM. Gives the copy to the caller. */
MUST_USE enum err conf_version_copy(const struct conf_version *from,
                                    struct conf_version **ret_version);
/* Only of what one of the two above made; NULL is fine. */
void conf_version_destroy(struct conf_version *version);

/* The same deployment at the same endpoints, in whatever order. */
bool conf_version_equals(const struct conf_version *a, const struct conf_version *b);

/* Is it the host of one deployment at Cloudflare Pages? Such a host answers to its own name alone,
 * and what it says of that name is not for clients. */
bool conf_endpoint_is_deployment(const struct conf_endpoint *endpoint);

/* Gives a version without a name the one that follows from its endpoints: "ep-" and a hash. The
 * same origins are the same deployment, whatever the order in which they are written. ERR_NOMEM. */
MUST_USE enum err conf_version_derive(struct arena *arena, struct conf_version *version);

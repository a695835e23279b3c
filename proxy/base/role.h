/* proxy/base/role.h — the two versions of a service, by the part they play.
 *
 * `current` is the release being tried (the canary), `previous` the last known good (the stable
 * one). The order is that of arrays indexed by role; the texts are those of metric labels and of
 * the API. Pure; any thread. */
#pragma once

enum role { ROLE_CURRENT, ROLE_PREVIOUS, ROLE_COUNT };

static inline enum role role_other(enum role role)
{
    return role == ROLE_CURRENT ? ROLE_PREVIOUS : ROLE_CURRENT;
}

/* "current" or "previous". */
static inline const char *role_text(enum role role)
{
    return role == ROLE_CURRENT ? "current" : "previous";
}

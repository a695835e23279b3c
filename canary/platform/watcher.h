/* canary/platform/watcher.h — projects are looked at, each at its own pace, and none too often.
 *
 * A seat is a service with a provider of its own, so that a look, or an answer that tells looks to
 * wait, never holds up a rollback. One question at a time per seat: a list of deployments, then the
 * build logs that somebody wants of it. Two requests make a look; between two looks of whichever
 * seats there are two seconds, so that all of them together take at most a quarter of what
 * Cloudflare allows (1,200 requests in five minutes for all that a token's owner does). What fails
 * is asked again with growing pauses, or when Retry-After says. Owned by the controller; control
 * only. */
#pragma once
#include "canary/platform/provider.h"

struct watcher;

enum {
    WATCHER_NAME_SIZE = 256,
    WATCHER_SPACING_MS = 2000,
    WATCHER_PAUSE_MAX_MS = 300000,
    WATCHER_LOGS_MAX = 8,       /* that wait for one seat */
    WATCHER_FAILURES_SHOWN = 2, /* in a row are a condition */
};

struct watcher_ops {
    /* A look: `answer` is PLATFORM_DONE, and borrowed during the call. */
    void (*looked)(void *context, const char *service, const struct platform_answer *answer);
    /* What of a log could be had; empty: nothing. */
    void (*logged)(void *context, const char *service, const char *deployment, struct bytes log);
};

struct watcher_options {
    const struct watcher_ops *ops; /* borrowed for life */
    void *context;
    uint64_t spacing_ms; /* 0: WATCHER_SPACING_MS */
};

/* ERR_NOMEM. */
MUST_USE enum err watcher_create(const struct watcher_options *options,
                                 struct watcher **ret_watcher);
/* Has the service's project looked at each `every_us`; takes the provider and closes the one
 * before, whose logs are not asked for again. NULL: there should be one, but `why`. ERR_NOMEM
 * leaves it with the caller. */
MUST_USE enum err watcher_seat(struct watcher *watcher, const char *service,
                               struct provider *provider, uint64_t every_us, const char *why);
/* Lets go of the services that were not seated since the last sweep. */
void watcher_sweep(struct watcher *watcher);
bool watcher_has(const struct watcher *watcher, const char *service);

/* Asks for the log of a deployment when the seat has time. False: it does already, or too many
 * wait. */
bool watcher_want_log(struct watcher *watcher, const char *service, const char *deployment);

/* Asks what is due. */
void watcher_tick(struct watcher *watcher, uint64_t now_us);
/* What is wrong, for the status; NULL: nothing. Valid until the next call. */
const char *watcher_condition(struct watcher *watcher);
/* Adds the requests of providers of that kind. */
void watcher_add_counts(const struct watcher *watcher, const char *kind,
                        struct platform_counts *sum);

/* Ends what is under way. Calls `on_closed` when all is closed, maybe at once, and frees. NULL is
 * fine: on_closed is called at once. */
void watcher_close(struct watcher *watcher, void (*on_closed)(void *context), void *context);

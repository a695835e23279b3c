/* canary/platform/lookout.h — what the deployments of a project mean for a service. Pure.
 *
 * A look is what is live at the platform and the newest production deployments. It is compared with
 * what was seen before:
 *
 *   a build that has ended with a failure, and was not told yet      → BUILD_FAILED
 *   one that has ended well                                          → BUILT
 *   another one is live: newer than all that ever were               → NEW, then START when it may
 *   another one is live: an older one, and the service is not there  → MOVED
 *   ... and is back, or the service has gone there too               → SETTLED
 *
 * The very first look is where memory begins: what is live then is no news. The memory is a plain
 * value that its owner keeps over restarts; it is bounded, and what falls out of it is taken for
 * seen. */
#pragma once
#include "canary/platform/deployment.h"
#include "proxy/base/err.h"

enum { LOOKOUT_ENDED_MAX = 32, LOOKOUT_EVENTS_MAX = 64 };

/* A build that has ended while an older one has not. */
struct lookout_ended {
    char id[DEPLOYMENT_ID_SIZE];
    int64_t created_us;
};

struct lookout {
    bool has_looked;
    char live[DEPLOYMENT_ID_SIZE];   /* at the last look; "": nothing was */
    char before[DEPLOYMENT_ID_SIZE]; /* what was live before it; "": not known */
    char wanted[DEPLOYMENT_ID_SIZE]; /* new and live, and not on trial yet; "": none */
    char moved[DEPLOYMENT_ID_SIZE];  /* live by nobody's doing here; "": none */
    int64_t live_us;                 /* the newest that was ever live was created then */
    int64_t ended_us;                /* all that were created until then have ended, */
    struct lookout_ended ended[LOOKOUT_ENDED_MAX]; /* and these, which are newer; oldest first */
    size_t ended_count;
};

/* What was looked at; borrowed during the call. */
struct lookout_view {
    const struct platform_deployment *live;        /* NULL: nothing is */
    const struct platform_deployment *deployments; /* newest first */
    size_t deployment_count;
};

/* Where the service stands; names are what the platform may know its versions by. */
struct lookout_service {
    const char *current; /* NULL: none */
    const char *previous;
    bool is_on_current; /* a rollout of it runs, or it has weight: it may be live */
    bool follows;       /* new deployments begin a rollout, */
    bool may_start;     /* ... now */
};

enum lookout_kind {
    LOOKOUT_BUILD_FAILED, /* again and again, until lookout_note_ended */
    LOOKOUT_BUILT,
    LOOKOUT_FIRST, /* the memory begins: this is live */
    LOOKOUT_NEW,
    LOOKOUT_START,   /* with each look, until it is on trial or lookout_give_up */
    LOOKOUT_MOVED,   /* somebody else's doing, */
    LOOKOUT_SETTLED, /* which does not matter any more */
};

struct lookout_event {
    enum lookout_kind kind;
    const struct platform_deployment *deployment; /* borrowed from the view; NULL: gone from it */
};

struct lookout_events {
    struct lookout_event list[LOOKOUT_EVENTS_MAX];
    size_t count;
};

/* Takes a look in. */
void lookout_look(struct lookout *lookout, const struct lookout_view *view,
                  const struct lookout_service *service, struct lookout_events *ret_events);
/* The failed build was told. */
void lookout_note_ended(struct lookout *lookout, const struct platform_deployment *deployment);
/* What is wanted cannot be put on trial: it counts as moved by somebody else. */
void lookout_give_up(struct lookout *lookout);

/* Is one of its names among these two? */
bool lookout_is_known(const struct platform_deployment *deployment,
                      const struct lookout_service *service);

/* The immutable place of a deployment, which a rollout pins its origin to: the platform's `url`, if
 * it is https and its host begins with the short id, or is on loopback. ERR_SYNTAX, and the note
 * says why not. */
MUST_USE enum err lookout_origin(const struct platform_deployment *deployment, const char **ret_url,
                                 struct note *note);
/* What a service calls it: the short id where the id begins with it, or the id. */
const char *lookout_name(const struct platform_deployment *deployment);

/* The memory of `project` as JSON; freed by the caller, NULL without memory. */
char *lookout_to_text(const struct lookout *lookout, const char *project);
/* Back. ERR_NOT_FOUND: it is of another project; ERR_SYNTAX; `ret_lookout` is untouched then. */
MUST_USE enum err lookout_from_text(const char *text, const char *project,
                                    struct lookout *ret_lookout);

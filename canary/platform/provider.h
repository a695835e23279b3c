/* canary/platform/provider.h — the port behind which the platform that hosts the site stands.
 *
 * A provider is asked something and answers later on its loop, exactly once, within the deadline it
 * was given. `none` is no provider at all: whoever holds NULL has nobody to tell. Providers:
 * pages.h, workers.h, exec.h. Owned by one loop's thread (control's, or the CLI's own). */
#pragma once
#include "canary/platform/deployment.h"
#include "proxy/base/bytes.h"
#include "proxy/base/err.h"

enum platform_operation {
    PLATFORM_LOOK,      /* what is live, and what a rollback would go back to; changes nothing */
    PLATFORM_LIST,      /* the deployments, newest first */
    PLATFORM_LOG,       /* the build log of `target` */
    PLATFORM_ROLL_BACK, /* make `target` live, and see that it is */
    PLATFORM_OPERATION_COUNT
};

enum platform_result {
    PLATFORM_DONE,
    PLATFORM_ALREADY,      /* the target is live already */
    PLATFORM_REFUSED,      /* not what was expected, no valid target, or the platform said no */
    PLATFORM_DENIED,       /* the token is missing, wrong, or may not do this */
    PLATFORM_RATE_LIMITED, /* try again after retry_after_ms */
    PLATFORM_TIMED_OUT,
    PLATFORM_FAILED,
    PLATFORM_CANCELLED,
    PLATFORM_RESULT_COUNT
};

/* Requests (of exec: runs) by operation and result: what serin_platform_requests_total shows. */
struct platform_counts {
    uint64_t requests[PLATFORM_OPERATION_COUNT][PLATFORM_RESULT_COUNT];
};

struct platform_ask {
    enum platform_operation operation;
    /* An id, short id, URL or commit; NULL: the newest good deployment older than the live one. */
    const char *target;
    /* Only if this one (named as above) is live; NULL: whatever is. */
    const char *expect_current;
    const char *environment; /* of PLATFORM_LIST; NULL: production */
    size_t limit;            /* of PLATFORM_LIST; 0: a page */
    const char *reason;      /* told to platforms that keep one; NULL: none */
    struct bytes record;     /* exec: what the command gets on standard input */
    uint64_t deadline_ms;    /* for all of it; 0: PLATFORM_DEADLINE_MS */
    uint64_t wait_ms; /* how long a rollback is looked after until it is seen; 0: it is not */
};

enum { PLATFORM_DEADLINE_MS = 180000, PLATFORM_SENTENCE_SIZE = 512 };

struct platform_answer {
    enum platform_result result;
    const char *text;                         /* one sentence: what happened, or what is wrong */
    const struct platform_deployment *live;   /* when it began; NULL: not known, or none */
    const struct platform_deployment *target; /* NULL: none was found */
    bool has_moved;                           /* the target was seen live */
    const struct platform_deployment *deployments; /* of PLATFORM_LIST */
    size_t deployment_count;
    struct bytes log;        /* of PLATFORM_LOG; of exec, what the command printed */
    uint64_t retry_after_ms; /* 0: nothing was said */
};

/* Everything in `answer` is borrowed during the call. Never called from inside start or cancel. */
typedef void platform_on_done(void *context, const struct platform_answer *answer);

struct provider;
struct platform_call; /* a question under way; valid until its on_done */

struct provider_ops {
    const char *name; /* as in the configuration and in metrics */
    enum err (*start)(struct provider *provider, const struct platform_ask *ask,
                      platform_on_done *on_done, void *context, struct platform_call **ret_call);
    void (*cancel)(struct platform_call *call);
    void (*close)(struct provider *provider, void (*on_closed)(void *context), void *context);
    /* Does what it is asked whatever is live meanwhile: `expect_current` holds nothing back. */
    bool is_blind;
};

struct provider {
    const struct provider_ops *ops;
    struct platform_counts counts;
};

/* Begins; copies what it needs. `ret_call` may be NULL. ERR_NOMEM, ERR_CLOSED, ERR_UNSUPPORTED (not
 * this operation), ERR_SYNTAX (texts that are too long or cannot be a name). */
MUST_USE enum err provider_start(struct provider *provider, const struct platform_ask *ask,
                                 platform_on_done *on_done, void *context,
                                 struct platform_call **ret_call);
/* on_done comes later with PLATFORM_CANCELLED; what was sent stays sent. */
void provider_cancel(struct platform_call *call, struct provider *provider);
/* Cancels what is under way, then calls `on_closed` (maybe at once) and is gone. NULL is fine:
 * on_closed is called at once. */
void provider_close(struct provider *provider, void (*on_closed)(void *context), void *context);

/* "look", "list", "log", "rollback". */
const char *platform_operation_name(enum platform_operation operation);
/* "done", "already", "refused", "denied", "rate_limited", "timed_out", "failed", "cancelled". */
const char *platform_result_name(enum platform_result result);

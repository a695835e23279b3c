/* canary/platform/cloudflare.h — one question to Cloudflare's API, asked until it is answered.
 *
 * A call waits its turn in the rate budget, is sent, and is sent again with growing pauses while it
 * fails in a way that may pass (no answer, 408, 429, 5xx, an answer that is no JSON), as often and
 * as long as it may. Retry-After and Ratelimit fields hold up all calls, for five minutes at most:
 * Cloudflare blocks nobody for longer, and a slip must not hold up a rollback for a day. Redirects
 * are refused: the token goes nowhere else. Plain http only to loopback. The token is in no text
 * that this room makes. Embedded in a provider; one loop's thread. */
#pragma once
#include <uv.h>

#include "canary/fetch/fetch.h"
#include "canary/platform/answer.h"
#include "canary/platform/budget.h"
#include "canary/platform/provider.h"
#include "proxy/base/clock.h"
#include "proxy/base/hash.h"
#include "proxy/base/list.h"

#define CLOUDFLARE_BASE_DEFAULT "https://api.cloudflare.com/client/v4"

enum {
    CLOUDFLARE_BASE_SIZE = 512,
    CLOUDFLARE_TOKEN_MAX = 1024,
    CLOUDFLARE_ACCOUNT_SIZE = 33, /* 32 hexadecimal digits */
    CLOUDFLARE_TRY_MS = 15000,
    CLOUDFLARE_PAUSE_MS = 250, /* between the first two tries */
    CLOUDFLARE_POLL_MS = 1000,
    CLOUDFLARE_TRUST_MS = 5000,
    CLOUDFLARE_BLOCK_MAX_MS = 300000, /* the longest that Cloudflare blocks anybody for */
};

struct cloudflare_options {
    uv_loop_t *loop;     /* borrowed for life */
    struct fetch *fetch; /* borrowed for life */
    const char *base;    /* NULL: CLOUDFLARE_BASE_DEFAULT */
    const char *account;
    const char *token;
    uint64_t try_ms;   /* for one try; 0: CLOUDFLARE_TRY_MS */
    uint64_t pause_ms; /* 0: CLOUDFLARE_PAUSE_MS */
    uint64_t poll_ms;  /* between two looks at what is live; 0: CLOUDFLARE_POLL_MS */
    uint64_t trust_ms; /* how old a look may be that is acted on; 0: CLOUDFLARE_TRUST_MS */
};

struct cloudflare {
    uv_loop_t *loop;
    struct fetch *fetch;
    struct platform_counts *counts; /* borrowed */
    struct budget budget;
    struct random random;
    struct list calls;
    uint64_t try_ms;
    uint64_t pause_ms;
    uint64_t poll_ms;
    uint64_t trust_ms;
    char base[CLOUDFLARE_BASE_SIZE];
    char account[CLOUDFLARE_ACCOUNT_SIZE];
    char authorization[CLOUDFLARE_TOKEN_MAX + 32];
    bool is_closing;
    void (*on_closed)(void *context);
    void *closed_context;
};

/* What the providers of this API are: one thing that has a name there. */
struct cloudflare_provider {
    struct provider provider; /* first */
    struct cloudflare api;
    char name[DEPLOYMENT_ID_SIZE]; /* of the project, or of the Worker */
    void (*on_closed)(void *context);
    void *closed_context;
};

struct cloudflare_request {
    enum platform_operation operation; /* as it is counted */
    bool is_post;
    const char *path;     /* behind /accounts/ID */
    struct bytes body;    /* of a post; JSON, or empty: then none is announced */
    size_t body_max;      /* of the answer; 0: fetch's default */
    uint64_t delay_ms;    /* before it is sent */
    uint64_t deadline_us; /* monotonic */
    bool is_single;       /* tried once: whoever asks decides what comes next */
};

struct cloudflare_answer {
    enum platform_result result; /* PLATFORM_DONE: `answer` is a success */
    bool may_pass;               /* another try might end differently */
    const struct answer *answer; /* NULL: no envelope came */
    const char *text;            /* what went wrong; "" */
    uint64_t retry_after_ms;
};

struct cloudflare_call;
/* Exactly once per call that started; `answer` is borrowed during it. */
typedef void cloudflare_on_done(void *context, const struct cloudflare_answer *answer);

/* Copies all texts. ERR_SYNTAX: base, account or token cannot be one; `note` says which.
 * ERR_NOMEM, ERR_IO with a note: libcurl. */
MUST_USE enum err cloudflare_init(struct cloudflare *api, const struct cloudflare_options *options,
                                  struct platform_counts *counts, struct note *note);
/* ERR_NOMEM, ERR_CLOSED, ERR_LIMIT (the path). */
MUST_USE enum err cloudflare_start(struct cloudflare *api, const struct cloudflare_request *request,
                                   cloudflare_on_done *on_done, void *context,
                                   struct cloudflare_call **ret_call);
/* on_done comes later with PLATFORM_CANCELLED. */
void cloudflare_cancel(struct cloudflare_call *call);
/* Cancels all; `on_closed` comes when the last is gone, at once when there is none. */
void cloudflare_close(struct cloudflare *api, void (*on_closed)(void *context), void *context);

/* After the `tries`th try failed: may there be another one before `deadline_us`, and after which
 * pause? */
bool cloudflare_goes_on(struct cloudflare *api, const struct cloudflare_answer *answer,
                        unsigned tries, uint64_t deadline_us, uint64_t *ret_pause_ms);
/* Whether a request that is begun now goes out soon enough after `read_us` (monotonic) that what
 * was read then may be taken for true: the rate limit may hold it up for minutes. */
bool cloudflare_is_fresh(const struct cloudflare *api, uint64_t read_us);

/* `ops` (borrowed for life) has cloudflare_provider_close; `name` fits. As cloudflare_init. */
MUST_USE enum err cloudflare_provider_create(const struct provider_ops *ops,
                                             const struct cloudflare_options *options,
                                             const char *name, struct provider **ret_provider,
                                             struct note *note);
struct cloudflare_provider *cloudflare_provider_of(struct provider *provider);
/* As provider_ops has it. */
void cloudflare_provider_close(struct provider *provider, void (*on_closed)(void *context),
                               void *context);

/* Whether the API may be reached there: https, or http to loopback; host, port and path only. Pure.
 */
bool cloudflare_base_is_fit(const char *base);

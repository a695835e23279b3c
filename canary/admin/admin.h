/* canary/admin/admin.h — the admin API above its transport: a request in, an answer out.
 *
 * Host check, routes, tokens, roles, strict bodies, problem documents (RFC 9457), preconditions,
 * events. What it does to the process it does through `struct admin_ops`, which the controller
 * provides; records are read from history. No sockets here: canary/admin/server.h carries it over
 * HTTP, tests and the fuzzer call it directly. Control only. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "canary/history/history.h"
#include "conf/conf.h"
#include "metrics/catalog.h"
#include "proxy/base/buf.h"
#include "proxy/base/clock.h"
#include "proxy/base/err.h"
#include "proxy/base/list.h"
#include "proxy/http/message.h"

struct admin;
struct admin_call;

enum {
    ADMIN_BODY_MAX = 128 * 1024,
    ADMIN_CONFIG_MAX = 256 * 1024, /* of the file that config:check is given */
    ADMIN_METRICS_MAX = 64 * 1024 * 1024,
    ADMIN_ANSWER_MAX = 16 * 1024 * 1024,
    ADMIN_STREAMS_MAX = 64, /* event streams at once */
    ADMIN_TESTS_MAX = 8,
    ADMIN_OBSERVED_MAX = 16,
    ADMIN_RECORDING_MAX = 1000, /* rows of a flight recording in one answer */
    ADMIN_LADDER_MAX = 64,      /* steps and pauses of a rollout */
    ADMIN_QUARANTINES_MAX = 64, /* shown of one service */
    ADMIN_CONDITIONS_MAX = 32,
    ADMIN_EVENTS_KEPT = 256, /* changes that a Last-Event-ID can ask for again */
};

/* ---- what the controller shows; every text is borrowed until the op's caller returns to the loop
 * ---- */

struct admin_version {
    const char *deployment; /* NULL: there is no such version */
    const char *url;        /* of the first endpoint, or NULL */
    unsigned endpoints;
    unsigned endpoints_live;
    uint64_t requests;   /* attempts at its endpoints since the process began */
    uint64_t failures;   /* of those, what section 9 counts as failed */
    uint64_t client_bad; /* failed answers that clients saw */
    uint64_t in_flight;
};

/* One test's evidence: a stable name and a number; NAN or infinite is shown as null. */
struct admin_evidence {
    const char *name;
    double value;
    double threshold; /* from which on it says so; 0: none of its own */
};

struct admin_quarantine {
    const char *deployment;
    const char *reason;
    int64_t since_us;
};

/* A policy that is judged beside the service's own and never acts. */
struct admin_observed {
    const char *name;
    const char *verdict;
    const char *reason; /* NULL: none */
    struct note sentence;
    bool has_breached; /* it would have acted; then: */
    int64_t breached_us;
    double after_s; /* since the service's last start */
    uint64_t failed;
    uint64_t client_bad;
    bool is_instant; /* to 0 at once */
};

/* What is kept of the service's answers. */
struct admin_cache {
    bool is_on;
    const char *mode;
    uint64_t bytes, size; /* in use; at most, but for what is still being sent */
    uint64_t entries;
    uint64_t requests[METRIC_CACHE_COUNT]; /* that looked, since the process began */
};

struct admin_service {
    const char *name;
    const char *phase;
    uint64_t revision;
    uint32_t weight_ppm;   /* in effect, shift steps included */
    double realised_ratio; /* last 10 s, 0 to 1; NAN without requests */
    const char *verdict;   /* "insufficient_data", … */
    const char *reason;    /* NULL: none */
    const char *sentence;  /* the verdict for a human */
    int32_t step;          /* counted from 1; 0: no rollout, or one without weight yet */
    int32_t step_count;    /* 0: no rollout */
    uint32_t ladder_ppm[ADMIN_LADDER_MAX]; /* of the rollout that runs; ADMIN_PAUSE_STEP: a pause */
    size_t ladder_count;
    bool is_contained;
    bool is_mirroring;       /* copies of requests go to the canary now */
    uint32_t mirror_ppm;     /* the share that is configured; 0: none */
    uint64_t mirrored;       /* copies since the process began */
    uint64_t mirror_dropped; /* ... that were not made */
    struct admin_cache cache;
    bool is_started; /* its versions come from a start at run time, over the configuration */
    struct admin_version current, previous;
    const char *rollback_id; /* of the one that runs, or NULL */
    bool is_verifying;       /* the stable version is being confirmed, perhaps in vain so far: */
    uint32_t good_looks, looks_needed;
    const char *trouble; /* of the last look, or NULL */
    struct admin_evidence evidence[ADMIN_TESTS_MAX];
    size_t evidence_count;
    struct admin_observed observed[ADMIN_OBSERVED_MAX];
    size_t observed_count;
    struct admin_quarantine quarantines[ADMIN_QUARANTINES_MAX];
    size_t quarantine_count;
};

#define ADMIN_PAUSE_STEP UINT32_MAX

struct admin_process {
    const char *version;
    int64_t started_us;
    unsigned workers;
    uint64_t client_connections;
    bool is_ready; /* serving, and not draining */
    bool is_draining;
};

struct admin_recording {
    const char *service;
    uint64_t after;   /* only rows above this number, */
    int64_t since_us; /* and that ended then or later, by the wall's clock; 0: all */
    size_t row_max;
};

struct admin_explain_query {
    struct bytes host; /* as a Host field would say it */
    struct bytes path; /* with its query */
    struct fields fields;
    struct bytes client; /* an address as text; empty: the loopback's */
};

struct admin_explanation {
    const char *service; /* NULL: no route */
    const char *host;    /* the pattern that matched */
    const char *path;    /* the prefix that matched */
    const char *role;    /* "current" or "previous" */
    const char *deployment;
    const char *reason; /* decide_reason_text */
    bool is_judged;
    bool has_bucket;
    uint32_t bucket;
    uint32_t weight_ppm;
};

/* ---- what the controller is asked to do ---- */

/* X(ID, status, "title"): how an op ended. The detail says the rest. */
#define ADMIN_RESULT_LIST(X)                                                                       \
    X(DONE, 200)                                                                                   \
    X(ACCEPTED, 202)    /* under way */                                                            \
    X(REPLAYED, 200)    /* this Idempotency-Key made that record before */                         \
    X(UNKNOWN, 404)     /* no such service, deployment, … */                                     \
    X(CONFLICT, 409)    /* not in this phase */                                                    \
    X(STALE, 412)       /* the revision has moved on */                                            \
    X(INVALID, 422)     /* a value that cannot be taken */                                         \
    X(QUARANTINED, 422) /* the deployment was rolled back */                                       \
    X(KEY_MISUSED, 422) /* the Idempotency-Key came with another request */                        \
    X(NO_TARGET, 422)   /* there is no version to go back to */                                    \
    X(FAILED, 500)                                                                                 \
    X(UNAVAILABLE, 503) /* the change cannot be kept: the state file does not take it */           \
    X(BUSY, 503)        /* too much under way */

enum admin_result {
#define ADMIN_RESULT_ID(id, status) ADMIN_##id,
    ADMIN_RESULT_LIST(ADMIN_RESULT_ID)
#undef ADMIN_RESULT_ID
        ADMIN_RESULT_COUNT
};

/* All borrowed during admin_reply. */
struct admin_reply {
    enum admin_result result;
    const char *detail;  /* for a human, on refusals; NULL: none */
    const char *field;   /* of the request, when one is to blame; NULL: none */
    const char *service; /* shown with its ETag on success, when set */
    json_t *body;        /* shown as it is on success, when set and `service` is not */
    json_t *errors;      /* an array of strings on refusals, or NULL */
};

/* Answers a call that was given to an op: exactly once, from inside the op or later on the loop,
 * also when the client has gone meanwhile. The call is not to be used afterwards. */
void admin_reply(struct admin_call *call, const struct admin_reply *reply);

/* The same with a text as it is; `policy` is its Content-Security-Policy, or NULL. */
void admin_reply_text(struct admin_call *call, const char *content_type, const char *policy,
                      struct bytes text);

/* What of an incident report is asked for. */
enum admin_report { ADMIN_REPORT_JSON, ADMIN_REPORT_MARKDOWN, ADMIN_REPORT_CHART };

struct admin_weight_change {
    const char *service;
    uint32_t weight_ppm;
    bool has_revision;
    uint64_t revision; /* the one that the client saw */
    const char *actor;
};

struct admin_rollback {
    const char *service;
    const char *reason;
    bool is_instant;
    bool is_dry_run;
    /* A build failed: it is rolled back if `expect_current` is in use as the canary, and otherwise
     * only recorded (DONE). */
    bool is_build;
    const char *expect_current; /* NULL: nothing is rolled back */
    const char *deployment;     /* what was built, for the record; NULL: not known */
    struct bytes build_log;     /* of it; the end is kept; empty: none */
    const char *key;            /* Idempotency-Key, or NULL */
    const char *fingerprint;    /* of the request, for canary/history/keys.h */
    const char *actor;
};

struct admin_drill {
    const char *service;
    const char *key; /* Idempotency-Key, or NULL */
    const char *fingerprint;
    const char *actor;
};

/* A rollout of a version that the configuration need not know. */
struct admin_start {
    const char *service;
    const char *deployment;    /* NULL: made from the endpoints */
    const char *const *urls;   /* not looked at yet */
    size_t url_count;          /* at least 1 */
    const char *url_field;     /* what of the request says them: "url" or "endpoints" */
    const uint32_t *steps_ppm; /* each by itself sound; CONF_STEP_PAUSE is a pause */
    size_t step_count;         /* 0: those of the configuration */
    bool has_revision;
    uint64_t revision;
    const char *key; /* Idempotency-Key, or NULL */
    const char *fingerprint;
    const char *actor;
};

enum admin_verb { ADMIN_PAUSE, ADMIN_RESUME, ADMIN_PROMOTE, ADMIN_ABORT };

struct admin_rollout {
    const char *service;
    enum admin_verb verb;
    bool is_full; /* PROMOTE: past all steps */
    bool has_revision;
    uint64_t revision;
    const char *actor;
};

struct admin_release {
    const char *service;
    const char *deployment;
    const char *reason;
    const char *actor;
};

/* What is kept of the service's answers is to go. */
struct admin_purge {
    const char *service;
    const char *path; /* begins with "/", or is "*"; a `*` at its end stands for any bytes */
    const char *host; /* NULL: any */
    const char *actor;
};

/* Asynchronous ops own the call until admin_reply; all their arguments are borrowed during the op
 * only. */
struct admin_ops {
    /* Views: at once, without side effects. service_at fills the view; false past the end. */
    bool (*service_at)(void *context, size_t index, struct admin_service *ret_service);
    bool (*service_find)(void *context, const char *name, struct admin_service *ret_service);
    void (*process)(void *context, struct admin_process *ret_process);
    /* Sentences on what is wrong with the process; returns how many, at most `max`. */
    size_t (*conditions)(void *context, const char **texts, size_t max);
    /* The Prometheus exposition. */
    enum err (*metrics)(void *context, struct buf *out);
    /* A page of the service's flight recording, as lines of JSON. ERR_NOT_FOUND: no such service;
     * ERR_STATE: nothing is recorded; ERR_NOMEM. */
    enum err (*recording)(void *context, const struct admin_recording *page, struct buf *out);
    void (*explain)(void *context, const struct admin_explain_query *query,
                    struct admin_explanation *ret_explanation);
    /* The newest record of a rollback as far as memory has it: the file may be behind. Gives it to
     * the caller; NULL: ask the file. */
    json_t *(*record_find)(void *context, const char *id);
    /* Asynchronous, since it is read from a disk: answers with a text. */
    void (*incident)(void *context, struct admin_call *call, const char *id,
                     enum admin_report report);
    /* Changes. */
    void (*set_weight)(void *context, struct admin_call *call,
                       const struct admin_weight_change *change);
    void (*rollback)(void *context, struct admin_call *call, const struct admin_rollback *rollback);
    void (*rollout)(void *context, struct admin_call *call, const struct admin_rollout *rollout);
    void (*start)(void *context, struct admin_call *call, const struct admin_start *start);
    void (*drill)(void *context, struct admin_call *call, const struct admin_drill *drill);
    void (*release)(void *context, struct admin_call *call, const struct admin_release *release);
    void (*purge)(void *context, struct admin_call *call, const struct admin_purge *purge);
    void (*reload)(void *context, struct admin_call *call, const char *actor);
    /* Checks `text`, or with NULL data the file that is in use: DONE, or INVALID with all `errors`.
     */
    void (*config_check)(void *context, struct admin_call *call, struct bytes text);
};

struct admin_options {
    const struct admin_ops *ops; /* borrowed for life */
    void *context;
    struct history *history;   /* borrowed for life; NULL: records cannot be read */
    const struct clock *clock; /* borrowed for life */
    const struct conf_admin
        *conf; /* borrowed during the call; secrets are read from files and environment */
};

/* ERR_NOMEM; ERR_IO when a token's secret cannot be read or is empty: `note` says which. Reads
 * files: at the start or on a reload, not for a request. */
MUST_USE enum err admin_create(const struct admin_options *options, struct admin **ret_admin,
                               struct note *note);
/* Takes new tokens and hosts, or keeps the old ones on failure (as admin_create). Where a token of
 * before is not among the new ones, event streams are told so. The address is
 * for life: with none of the new tokens to protect it, where other machines reach it, ERR_STATE. */
MUST_USE enum err admin_reload(struct admin *admin, const struct conf_admin *conf,
                               struct note *note);
/* Would a connection to the endpoint reach the API? At the address that is listened on, whatever a
 * reload says. */
bool admin_is_at(const struct admin *admin, const struct conf_endpoint *endpoint);
/* CHECKs that no call is under way. */
void admin_destroy(struct admin *admin);

/* ---- a request ---- */

struct admin_request {
    enum method method;
    struct bytes target; /* origin-form: path and query */
    struct bytes authority;
    const struct fields *fields;
    struct bytes body;
    bool is_too_large; /* the body has more than ADMIN_CONFIG_MAX bytes and was not read to its end
                        */
    bool is_tls;       /* it came over TLS of our own */
};

/* Borrowed during on_answer. NULL texts are left out. */
struct admin_answer {
    unsigned status;
    const char *content_type;
    struct bytes body;
    const char *etag;
    const char *location;
    const char *allow;
    const char *retry_after;
    const char *www_authenticate;
    const char *security_policy;
    const char *cache_control; /* NULL: no-store */
    bool
        is_stream; /* events follow: `body` is the first of them, admin_subscribe gets the others */
    uint64_t last_event; /* for admin_subscribe */
};

typedef void admin_on_answer(void *context, const struct admin_answer *answer);

/* Handles one request. NULL: it was answered from inside. Otherwise on_answer comes later, once,
 * unless the call is abandoned before. The request is borrowed during the call. */
struct admin_call *admin_handle(struct admin *admin, const struct admin_request *request,
                                admin_on_answer *on_answer, void *context);
/* The client has gone: on_answer will not come. What was asked for may still be done. */
void admin_abandon(struct admin_call *call);
/* Calls under way. */
size_t admin_call_count(const struct admin *admin);

/* ---- events ---- */

/* Embedded by whoever streams. */
struct admin_subscriber {
    struct list link;
    /* One event, ready to be sent (text/event-stream). `is_change` may not be lost: who cannot take
     * it unsubscribes and returns false, and is not touched again. */
    bool (*on_event)(struct admin_subscriber *subscriber, struct bytes event, bool is_change);
    /* Its token, or that none was asked for, may hold no longer (admin_reload): it unsubscribes and
     * is not touched again. Who still may comes back. */
    void (*on_revoked)(struct admin_subscriber *subscriber);
};

/* Adds it and gives it the changes after `last_event`, as far as they are kept (0: none). */
void admin_subscribe(struct admin *admin, struct admin_subscriber *subscriber, uint64_t last_event);
void admin_unsubscribe(struct admin *admin, struct admin_subscriber *subscriber);
/* One change: `kind` as "weight", "phase", "verdict", "rollback", "quarantine", "contained",
 * "config", "condition", "observed". `detail` is taken (NULL: none). */
void admin_publish(struct admin *admin, const char *kind, const char *service, json_t *detail);
/* Sends one event with the counters of all services; the controller calls it once a second. */
void admin_tick(struct admin *admin);

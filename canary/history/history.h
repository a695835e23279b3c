/* canary/history/history.h — what Serin remembers: audit trail, rollback records, weights,
 * quarantines.
 *
 * A SQLite file, owned here. Nothing in this header waits for the disk except history_create and
 * history_load, which run before the loop does: writes are queued and carried out in batches on
 * libuv's thread pool, one job in flight, and callbacks come back on the loop. A file that cannot
 * be opened, written or trusted never stops anybody: the condition is told, the queue is bounded,
 * and opening is tried again. Control only.
 *
 * Towards risk, write then act: history_write with HISTORY_DURABLE and a callback, act when it says
 * OK. Towards safety, act then write: history_write with HISTORY_SOON and no callback. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "proxy/base/err.h"

struct history;

enum {
    HISTORY_TEXT_MAX = 4096,         /* longer texts are cut at a character */
    HISTORY_DETAIL_MAX = 256 * 1024, /* longer JSON texts are replaced by a note that they were */
    HISTORY_QUEUE_DEFAULT = 4096,    /* changes that may wait */
    HISTORY_READS_MAX = 64,          /* reads that may wait */
    HISTORY_LIST_MAX = 1000,         /* rows of one answer */
    HISTORY_RETRY_DEFAULT_MS = 2000, /* between tries to open or write again */
    HISTORY_DEADLINE_DEFAULT_MS = 5000, /* a write with a callback is told ERR_TIMEOUT after this */
    HISTORY_KEY_LIFE_S = 24 * 3600,     /* an Idempotency-Key is remembered this long */
};

/* Where a service stands. All texts are borrowed during the call; on load they belong to the loaded
 * state. */
struct history_service {
    const char *name;
    const char *current_deployment;
    const char *previous_deployment;
    uint32_t weight_ppm; /* 0 to 1 000 000 */
    const char *phase;
    uint64_t revision;
    uint64_t salt; /* of the rollout, for stickiness */
    int32_t step;
    int64_t updated_us; /* wall clock */
    const char *detail; /* JSON that only the controller reads; NULL is none */
};

struct history_quarantine {
    const char *service;
    const char *deployment;
    const char *reason;
    int64_t since_us;
    bool is_released; /* on write: takes the deployment out */
};

struct history_audit {
    int64_t at_us;
    const char *actor;   /* "config", "judge", "token:ops", … */
    const char *action;  /* "weight.set", "rollback.start", … */
    const char *service; /* NULL when it concerns no service */
    const char *detail;  /* JSON text or NULL */
};

enum history_phase {
    HISTORY_DETECT,
    HISTORY_DECIDE,
    HISTORY_SHIFT,
    HISTORY_DRAIN,
    HISTORY_PLATFORM_ACK,
    HISTORY_VERIFY,
    HISTORY_PHASE_COUNT
};

struct history_rollback {
    const char *id;
    const char *service;
    int64_t at_us;
    const char *deployment;
    const char *target;
    const char *reason;      /* a sentence */
    const char *reason_code; /* the judge's */
    const char *trigger;     /* error_rate, latency, connect, health, build, manual, drill */
    const char *actor;
    const char *mode;   /* gradual, instant */
    const char *status; /* in_progress, success, failed, superseded, dry_run */
    double duration_s;  /* NAN: not yet */
    double
        phase_s[HISTORY_PHASE_COUNT]; /* seconds from the first bad response; NAN: did not happen */
    uint64_t bad_origin;
    uint64_t bad_client;
    const char *evidence; /* JSON text or NULL */
    const char *incident; /* id or NULL */
};

struct history_key {
    const char *key;
    const char *fingerprint; /* of the request that used it */
    const char *rollback_id;
    int64_t at_us;
};

/* An alert that is to outlive the process; its body is JSON that only the writer reads. */
struct history_alert {
    int64_t seq;      /* positive; the writer's */
    const char *body; /* NULL on write: it may be forgotten */
};

/* A rollback that its platform has not confirmed yet; its body is JSON that only the writer reads.
 */
struct history_platform {
    const char *rollback; /* its id */
    const char *body;     /* NULL on write: it may be forgotten, */
    double ack_s;         /* and if not negative the rollback's record gets it, if it has none; */
    const char *state;    /* ... and its evidence says so as `platform`, unless NULL */
};

/* What was seen of a project that a service watches; its body is JSON that only the writer reads.
 */
struct history_watch {
    const char *service;
    const char *body; /* NULL on write: it may be forgotten */
};

/* What is written in one transaction, all of it or nothing; NULL parts are left out. A rollback is
 * inserted or, by its id, updated; if no audit part is given one is made ("rollback.<status>"), so
 * no change of a record goes unseen. */
struct history_change {
    const struct history_service *service;
    const struct history_rollback *rollback;
    const struct history_quarantine *quarantine;
    const struct history_key *key;
    const struct history_alert *alert;
    const struct history_platform *platform;
    const struct history_watch *watch;
    const struct history_audit *audit;
};

enum history_durability {
    HISTORY_SOON,    /* in the next batch; survives kill -9 once written, may be lost with the
                        machine's power */
    HISTORY_DURABLE, /* synchronous=FULL: on the disk when the callback says OK */
};

struct history_options {
    const char *path;        /* borrowed during create */
    uv_loop_t *loop;         /* borrowed for life */
    size_t queue_max;        /* 0: default */
    uint64_t retry_ms;       /* 0: default */
    uint64_t deadline_ms;    /* 0: default */
    uint32_t page_count_max; /* 0: none; SQLite's max_page_count, a quota */
};

struct history_stats {
    uint64_t committed_count; /* changes written */
    uint64_t coalesced_count; /* parts overtaken by a newer state while they waited */
    uint64_t dropped_count;   /* audit parts given up, because the queue was full or memory out */
    uint64_t refused_count;   /* changes that did not get into the queue, or whose content the file
                                 refused */
    uint64_t failed_batches;
    size_t queued;
};

/* Makes the object and opens the file, creating or migrating it. A file that cannot be opened is no
 * failure: see history_condition. ERR_NOMEM only. Blocks on the disk: before the loop runs. */
MUST_USE enum err history_create(const struct history_options *options,
                                 struct history **ret_history);

/* The file that is written, whatever the configuration says by now; borrowed. */
const char *history_path(const struct history *history);

/* What was read back at the start. Owns its texts. */
struct history_state {
    struct history_service *services;
    size_t service_count;
    struct history_quarantine *quarantines;
    size_t quarantine_count;
    struct history_rollback *rollbacks; /* in_progress, and what a service in rollback_failed still
                                           tries to confirm; oldest first */
    size_t rollback_count;
    struct history_key *keys; /* of the last HISTORY_KEY_LIFE_S, oldest first */
    size_t key_count;
    struct history_alert *alerts; /* by seq */
    size_t alert_count;
    struct history_platform *platforms; /* oldest first */
    size_t platform_count;
    struct history_watch *watches; /* by service */
    size_t watch_count;
    void *memory; /* owned */
};

/* Blocks on the disk: before the loop runs, before the first write. ERR_IO when the file is not
 * open or cannot be read (the condition says why), ERR_NOMEM. Gives the state to the caller, who
 * finishes it. */
MUST_USE enum err history_load(struct history *history, int64_t now_us,
                               struct history_state *ret_state);
void history_state_finish(struct history_state *state);

/* Called once per write on the loop, never from inside history_write. OK: written as asked.
 * ERR_TIMEOUT: not known, it may still be written; write the state that holds now. ERR_IO: not
 * written. ERR_SYNTAX: the content was refused. */
typedef void history_on_written(void *context, enum err err);

/* Queues a change; everything it points at is copied. `on_written` may be NULL: then the change is
 * kept until it is written, through a full disk and a reopened file, though while it waits its
 * state may be overtaken by a newer one and, when the queue is full, its audit part given up
 * (counted, and told in the trail by "history.dropped", as is the entry of a change that was
 * refused). With a callback it is written once or fails. ERR_LIMIT: the queue is full of states and
 * of what others wait for; ERR_NOMEM; ERR_CLOSED. */
MUST_USE enum err history_write(struct history *history, const struct history_change *change,
                                enum history_durability durability, history_on_written *on_written,
                                void *context);

/* `result` is borrowed during the call and NULL on failure. ERR_NOT_FOUND, ERR_IO, ERR_NOMEM. */
typedef void history_on_read(void *context, enum err err, json_t *result);

enum history_period { HISTORY_DAY, HISTORY_WEEK, HISTORY_MONTH };

struct history_query {
    const char *service;        /* NULL: all */
    const char *before;         /* NULL: from the newest; a rollback's id, or an audit row's seq */
    size_t limit;               /* 1 to HISTORY_LIST_MAX; 0: 50 */
    enum history_period period; /* of a summary */
};

/* Reads run on a connection of their own and delay no write. Newest first. ERR_LIMIT: too many
 * wait. The array's elements are as the admin API shows them. An unknown `before` is ERR_NOT_FOUND
 * in the callback. */
MUST_USE enum err history_read_rollbacks(struct history *history, const struct history_query *query,
                                         history_on_read *on_read, void *context);
MUST_USE enum err history_read_rollback(struct history *history, const char *id,
                                        history_on_read *on_read, void *context);
MUST_USE enum err history_read_audit(struct history *history, const struct history_query *query,
                                     history_on_read *on_read, void *context);
/* How many rollbacks there were, how they ended and how long they took, by period (UTC), newest
 * first, `limit` of them; dry runs left out: {"period","periods":[...],"total":{...}}. */
MUST_USE enum err history_read_summary(struct history *history, const struct history_query *query,
                                       history_on_read *on_read, void *context);
/* Walks the whole chain, from its anchor where old rows were taken out:
 * {"rows":n,"intact":true|false,"first_bad":seq|null,"why":text|null,"anchor":{...}|null}. */
MUST_USE enum err history_verify(struct history *history, history_on_read *on_read, void *context);
/* Writes everything as JSON lines to a new file at `path` (ERR_EXISTS if there is one), complete or
 * not at all; NULL: beside the state file, named by the time. The result is {"path","rows"}. */
MUST_USE enum err history_export(struct history *history, const char *path,
                                 history_on_read *on_read, void *context);

/* Takes what is older than `before_us` out of the trail and of the rollbacks, a bounded number of
 * rows at a time: exported to a file beside the state file, then removed, with an anchor at which
 * history_verify begins. All or nothing; refused when the chain is broken: it is walked on a
 * connection of its own first, and only the rows that go are a write's delay. The result is
 * {"rows","rollbacks","path","has_more"}. ERR_EXISTS: it is being done; ERR_CLOSED. `on_done` comes
 * later on the loop, or with ERR_CLOSED from history_close. */
MUST_USE enum err history_retain(struct history *history, int64_t before_us, int64_t now_us,
                                 history_on_read *on_done, void *context);

/* A sentence for status when something is wrong with the file, or NULL. Valid until the next call.
 */
const char *history_condition(struct history *history);
/* True once after the file was lost while it was open (deleted, replaced, overwritten) and another
 * is written now: that one has only what changed since, so what holds is to be written again. */
bool history_take_renewed(struct history *history);
struct history_stats history_stats(const struct history *history);

/* Writes what is queued (once), closes the file, then calls `on_closed` and frees. Callbacks of
 * writes and reads still come before it. With a disk that stands still it takes as long as the
 * disk: the caller has its own deadline. */
void history_close(struct history *history, void (*on_closed)(void *context), void *context);

/* The record as the admin API shows it; NULL when memory is out. Texts that are not UTF-8 are
 * repaired. Any thread. */
json_t *history_rollback_to_json(const struct history_rollback *rollback);

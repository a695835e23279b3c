/* canary/history/history_private.h — the object behind history.h, shared by its writing and its
 * reading half.
 *
 * Control owns everything; while a job runs, its store, list and note belong to the job. */
#pragma once
#include "canary/history/store.h"

struct read_request;

/* The reading half: one request in flight, on a connection of its own. */
struct reader {
    struct list queue; /* of struct read_request */
    size_t queued;
    struct read_request *running; /* NULL: no job */
    uv_work_t job;
    struct store *store; /* NULL until first used and after a failure */
    bool is_stale;       /* that is of a file that was lost */
    bool job_is_anew;    /* the job opens it again */
};

/* Old rows are to be taken out, or it is being done. */
struct retaining {
    int64_t before_us;
    int64_t now_us;
    history_on_read *on_done; /* NULL: nothing is to be done */
    uv_work_t check_job;      /* walks the chain beside the writing half, */
    bool is_checking;
    bool is_checked;   /* after which rows may be taken out, */
    bool is_of_before; /* that was, or may have been, of a file that was lost */
    bool is_started;   /* by a job of the writing half */
    void *context;
    json_t *result; /* owned */
    enum err err;
    struct note note;
};

struct history {
    unsigned tag;
    uv_loop_t *loop;
    char *path;
    size_t queue_max;
    uint64_t retry_ms;
    uint64_t deadline_ms;
    uint32_t page_count_max;

    struct list queue; /* of struct change, oldest first */
    size_t queued;
    struct list running; /* the batch that the job carries out */
    bool is_running;
    bool is_durable_batch;
    uint64_t running_since_ms;
    uv_work_t job;
    struct store *store; /* NULL: to be opened by the next job */
    struct note job_note;
    enum err job_err;
    bool job_was_lost; /* it failed because the file is not ours any more */
    bool was_lost;     /* one did, and none has succeeded since */
    bool is_renewed;   /* one has, and nobody was told yet */

    uv_timer_t timer; /* runs while something waits for a deadline or a retry */
    bool is_failing;
    uint64_t retry_at_ms;
    struct note trouble;        /* what the last failed job said */
    struct note condition_text; /* given out by history_condition */
    uint64_t dropped_untold;    /* audit parts given up that the trail does not know of yet */
    struct history_stats stats;

    struct retaining retaining;
    struct note retain_trouble; /* why old rows stay, or "" */

    struct reader reader;
    bool is_closing;
    bool is_close_job_done;
    void (*on_closed)(void *context);
    void *closed_context;
};

enum { HISTORY_TICK_MS = 100 };

/* Arms the tick that watches deadlines and retries. */
void history_arm(struct history *history);
/* Goes on with the next job, or with closing. */
void history_advance(struct history *history);

/* Goes on with what was asked for; true: a job of the writing half has begun. */
bool history_start_retain(struct history *history);
/* Another file is written now: what was found in the one before says nothing of it. */
void history_forget_retain(struct history *history);
/* Tells ERR_CLOSED if it has not begun. */
void history_stop_retain(struct history *history);

void reader_init(struct reader *reader);
/* Tells ERR_TIMEOUT to whoever waited too long. */
void reader_expire(struct history *history, uint64_t now_ms);
bool reader_is_waiting(const struct reader *reader);
/* Tells ERR_CLOSED to all that wait in the queue. */
void reader_stop(struct history *history);

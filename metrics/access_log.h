/* metrics/access_log.h — one line per request, written by nobody who serves requests.
 *
 * Each worker has a ring of its own into which access_log_record copies what the line needs,
 * strings cut at their limits: a memcpy and one release store, no system call unless the ring runs
 * half full. One thread of the log's own empties the rings, formats, and writes in large pieces.
 * When the disk stalls, that thread waits and the rings fill; records that find no room are dropped
 * and counted. Lines of one worker keep their order; between workers they may be a little out of
 * it.
 *
 * Opened, reopened and closed by control; access_log_record by each worker with its own index. */
#pragma once
#include <stddef.h>

#include "metrics/catalog.h"
#include "proxy/base/err.h"

enum access_log_format { ACCESS_LOG_JSON, ACCESS_LOG_COMBINED };

/* Longest piece of each kind that is kept, in bytes; the rest is cut off. */
enum { ACCESS_TARGET_MAX = 2048, ACCESS_TEXT_MAX = 256 };

/* What is known of a finished request. Empty strings and numbers below zero mean "there was none".
 */
struct access_record {
    int64_t wall_us;     /* when its head was complete */
    struct bytes client; /* address, without port */
    struct bytes method;
    struct bytes target;   /* up to ACCESS_TARGET_MAX; all others up to ACCESS_TEXT_MAX */
    struct bytes protocol; /* "HTTP/1.1" */
    struct bytes host;
    struct bytes service;
    struct bytes endpoint; /* the one that answered, or was tried last */
    struct bytes request_id;
    struct bytes referer;
    struct bytes user_agent;
    unsigned status;             /* the client's; 0 when it got none */
    enum metric_role role;       /* METRIC_ROLE_COUNT: not routed */
    enum metric_failure failure; /* of the last attempt; METRIC_FAILURE_COUNT: none */
    unsigned attempts;
    uint64_t request_bytes;  /* body received */
    uint64_t response_bytes; /* body sent */
    uint64_t duration_us;
    int64_t upstream_duration_us; /* of the last attempt; -1: none */
};

struct access_log;

/* Opens `path` for appending ("-" is standard output) and starts the thread. `note` says what a
 * human must fix (may be NULL). ERR_IO, ERR_NOMEM, ERR_RANGE (worker_count). Gives the log to the
 * caller. Control. */
MUST_USE enum err access_log_open(const char *path, enum access_log_format format,
                                  size_t worker_count, struct note *note,
                                  struct access_log **ret_log);
/* Keeps the record, or counts a drop. Borrows the strings for the call. A NULL log is fine and
 * costs nothing: logging is off. Worker `worker_index`, at most one thread per index. */
void access_log_record(struct access_log *log, size_t worker_index,
                       const struct access_record *record);
/* Asks the thread to open the path anew (after logrotate moved the file); what was recorded before
 * goes to the old file. If opening fails the old file stays in use and the log says so. Control. */
void access_log_reopen(struct access_log *log);
/* Records lost so far, to full rings or failed writes. Any thread. NULL gives 0. */
uint64_t access_log_dropped_count(const struct access_log *log);
/* Whether the latest write or reopen failed. Any thread. NULL gives false. */
bool access_log_is_failing(const struct access_log *log);
/* Writes out what is queued and ends the thread; waits at most `wait_ms`, then leaves it behind to
 * finish and free everything itself. No worker may record any more. NULL is fine. Control. */
void access_log_close(struct access_log *log, unsigned wait_ms);

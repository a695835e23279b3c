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

#include "metrics/access_record.h"
#include "proxy/base/err.h"

enum access_log_format { ACCESS_LOG_JSON, ACCESS_LOG_COMBINED };

struct access_log;

/* Opens `path` for appending ("-" is standard output) and starts the thread. `note` says what a
 * human must fix (may be NULL). ERR_IO, ERR_NOMEM, ERR_RANGE (worker_count). Gives the log to the
 * caller. Control. */
MUST_USE enum err access_log_open(const char *path, enum access_log_format format,
                                  size_t worker_count, struct note *note,
                                  struct access_log **ret_log);
/* Keeps the record, or counts a drop. Borrows the strings for the call. Worker `worker_index`, at
 * most one thread per index. */
void access_log_put(struct access_log *log, size_t worker_index,
                    const struct access_record *record);
/* The same for a log that may be off: NULL costs a comparison. */
static inline void access_log_record(struct access_log *log, size_t worker_index,
                                     const struct access_record *record)
{
    if (log != NULL) {
        access_log_put(log, worker_index, record);
    }
}
/* Asks the thread to open the path anew (after logrotate moved the file); what was recorded before
 * goes to the old file. If opening fails the old file stays in use and the log says so. Control. */
void access_log_reopen(struct access_log *log);
/* Records lost so far, to full rings or failed writes. Any thread. NULL gives 0. */
uint64_t access_log_dropped_count(const struct access_log *log);
/* Appends the newest lines that came after position `after` (0: as far back as they are kept, some
 * 128 KiB), written or not, and returns the position behind them. NULL has none. Waits for the
 * log's thread to copy a batch at most; any thread that serves nobody. */
uint64_t access_log_tail(struct access_log *log, uint64_t after, struct buf *out);
/* Whether the latest write or reopen failed. Any thread. NULL gives false. */
bool access_log_is_failing(const struct access_log *log);
/* Writes out what is queued and ends the thread; waits at most `wait_ms`, then leaves it behind to
 * finish and free everything itself. No worker may record any more. NULL is fine. Control. */
void access_log_close(struct access_log *log, unsigned wait_ms);

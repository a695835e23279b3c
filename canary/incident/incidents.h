/* canary/incident/incidents.h — the reports of a process: written, read and kept off its loop.
 *
 * One work is under way at a time, on libuv's pool; whoever has more waits with them. A disk that
 * is full, slow or gone delays nobody: the failure is a condition, and the work is to be done
 * again. Control. */
#pragma once
#include <uv.h>

#include "canary/incident/folder.h"

struct incidents;

enum {
    /* Files that are being read for somebody: with them and a work the pool has a thread left. */
    INCIDENTS_READS_MAX = 2,

    INCIDENTS_UNFINISHED_MAX = 16 /* reports that a restart finishes */
};

struct incidents_options {
    uv_loop_t *loop;        /* borrowed for life */
    struct access_log *log; /* borrowed for life; NULL: off */
    /* A work was done or not; gives it back. */
    void (*on_written)(void *context, struct incident_work *work, enum err err);
    /* At the start: a report that says it is not complete. */
    void (*on_unfinished)(void *context, const char *id);
    void *context;
};

/* ERR_NOMEM. */
MUST_USE enum err incidents_create(const struct incidents_options *options,
                                   struct incidents **ret_incidents);
/* Where reports go, and how many stay; NULL: nowhere. Copies. ERR_NOMEM: as it was. */
MUST_USE enum err incidents_configure(struct incidents *incidents, const char *path, size_t keep);
/* Where reports go from now on, borrowed; NULL: off. */
const char *incidents_path(const struct incidents *incidents);
bool incidents_is_on(const struct incidents *incidents);
/* Looks for reports that were left unfinished; on_unfinished is called later. */
void incidents_look_for_unfinished(struct incidents *incidents);
/* Is a work under way, or nothing to be written? */
bool incidents_is_busy(const struct incidents *incidents);
/* Takes the work. Not while busy. */
void incidents_write(struct incidents *incidents, struct incident_work *work);

/* `text` is borrowed during the call. ERR_NOT_FOUND, ERR_IO, ERR_NOMEM, ERR_LIMIT. */
typedef void incidents_on_read(void *context, enum err err, struct bytes text);
/* ERR_LIMIT: too many are being read; ERR_NOT_FOUND: that is no id, or reports are off;
 * ERR_NOMEM. Else on_read is called later, once. */
MUST_USE enum err incidents_read(struct incidents *incidents, const char *id, enum folder_file file,
                                 incidents_on_read *on_read, void *context);
/* How often a report was written, and how often that failed. NULL incidents: never. */
struct incidents_counts {
    uint64_t written, failed;
};
struct incidents_counts incidents_counts(const struct incidents *incidents);
/* A sentence when reports cannot be written, or NULL; NULL incidents have
 * none. */
const char *incidents_condition(const struct incidents *incidents);
/* Ends when the jobs under way have; their callbacks still come. */
void incidents_close(struct incidents *incidents, void (*on_closed)(void *context), void *context);

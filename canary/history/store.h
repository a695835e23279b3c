/* canary/history/store.h — one connection to the state file, and everything that blocks on it.
 *
 * Private to canary/history. A store is used by one thread at a time: control before the loop runs,
 * then the jobs on libuv's pool. Errors carry their sentence in a note. */
#pragma once
#include <sqlite3.h>

#include "canary/history/change.h"

struct store;

enum { STORE_BUSY_MS = 3000 };

struct store_options {
    const char *path;
    uint32_t page_count_max; /* 0: none */
    bool is_reader;          /* queries only: never creates, never migrates */
};

/* Opens, creates and migrates. ERR_IO (cannot be opened, is no database, was written by a newer
 * Serin), ERR_NOMEM. */
MUST_USE enum err store_open(const struct store_options *options, struct store **ret_store,
                             struct note *note);
void store_close(struct store *store);

/* Writes all changes of the list in one transaction and sets their `result`: OK only after the
 * commit. A change the file refuses for its content alone gets ERR_SYNTAX and the others go on.
 * Anything else (full, read-only, input/output error, corrupt) fails the whole batch: ERR_IO, also
 * in every result. */
MUST_USE enum err store_apply(struct store *store, struct list *changes, bool is_durable,
                              struct note *note);

MUST_USE enum err store_load(struct store *store, int64_t now_us, struct history_state *ret_state,
                             struct note *note);

/* Gives an array, newest first. ERR_NOT_FOUND when `query->before` names nothing. */
MUST_USE enum err store_rollbacks(struct store *store, const struct history_query *query,
                                  json_t **ret_result, struct note *note);
MUST_USE enum err store_rollback(struct store *store, const char *id, json_t **ret_result,
                                 struct note *note);
MUST_USE enum err store_audit(struct store *store, const struct history_query *query,
                              json_t **ret_result, struct note *note);
MUST_USE enum err store_verify(struct store *store, json_t **ret_result, struct note *note);
MUST_USE enum err store_export(struct store *store, const char *path, json_t **ret_result,
                               struct note *note);

/* For store_read.c. */
sqlite3 *store_database(struct store *store);
MUST_USE enum err store_failed(struct store *store, const char *what, struct note *note);

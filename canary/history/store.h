/* canary/history/store.h — one connection to the state file, and everything that blocks on it.
 *
 * Private to canary/history. A store is used by one thread at a time: control before the loop runs,
 * then the jobs on libuv's pool. Errors carry their sentence in a note. */
#pragma once
#include <sqlite3.h>

#include "canary/history/chain.h"
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

/* Did the last store_apply fail because the file is not ours any more: deleted, replaced,
 * overwritten? */
bool store_was_lost(const struct store *store);

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
/* The same within a transaction that is open. */
MUST_USE enum err store_verify_inside(struct store *store, json_t **ret_result, struct note *note);
/* Where the trail is broken. */
struct store_flaw {
    int64_t seq;     /* 0: nowhere */
    const char *why; /* static */
};
/* Only the rows up to `last`, and the one behind it, which must be there; within a transaction. */
MUST_USE enum err store_verify_prefix(struct store *store, int64_t last,
                                      struct store_flaw *ret_flaw, struct note *note);
MUST_USE enum err store_export(struct store *store, const char *path, json_t **ret_result,
                               struct note *note);

/* Is there something that store_retain would take out, and is the whole trail sound? For another
 * connection than the writer's: the walk takes as long as the trail is. ERR_IO also when it is
 * broken: the note says where. */
MUST_USE enum err store_may_retain(struct store *store, int64_t before_us, bool *ret_may,
                                   struct note *note);
/* Takes the rows of the trail that are older than `before_us` out, and the rollbacks of then, at
 * most STORE_RETAIN_MAX of each: exported to a file beside the state file, removed, an anchor in
 * their place, all or nothing. What goes is checked once more, what stays is not. Gives
 * {"rows","rollbacks","path","has_more"}; rows 0: nothing is so old. ERR_IO, ERR_NOMEM. */
MUST_USE enum err store_retain(struct store *store, int64_t before_us, int64_t now_us,
                               json_t **ret_result, struct note *note);
/* How often, how well and how fast, by period; see history_read_summary. */
MUST_USE enum err store_summary(struct store *store, const struct history_query *query,
                                json_t **ret_result, struct note *note);

enum { STORE_RETAIN_MAX = 10000 };
/* The action of the row that tells of an anchor. */
#define STORE_RETAIN_ACTION "history.retain"
/* The action of the row that stands where others were cut off. */
#define STORE_CUT_ACTION "history.cut"

/* For the store's other files. */
sqlite3 *store_database(struct store *store);
const char *store_path(const struct store *store);
/* Appends a row to the chain inside the present transaction, after one that tells of rows that were
 * cut off. */
MUST_USE enum err store_append_audit(struct store *store, const struct history_audit *audit,
                                     struct note *note);
/* A row of ROLLBACK_COLUMNS as the API shows it; NULL without memory. */
json_t *store_rollback_row(sqlite3_stmt *statement);
void store_hash_text(const void *hash, char ret_hex[2 * CHAIN_HASH_SIZE + 1]);
MUST_USE enum err store_failed(struct store *store, const char *what, struct note *note);

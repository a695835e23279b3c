/* canary/history/store_row.h — columns of a row, and how a statement is made. For the store's own
 * files; the store's thread. */
#pragma once
#include "canary/history/store.h"

#define ROLLBACK_COLUMNS                                                                           \
    "id, service, at_us, deployment, target, reason, reason_code, trigger_kind, actor, mode, "     \
    "status, duration_s, detect_s, decide_s, shift_s, drain_s, platform_ack_s, verify_s, "         \
    "bad_origin, bad_client, evidence, incident"
#define AUDIT_COLUMNS "seq, at_us, actor, action, service, detail, previous, hash"

static inline const char *text_at(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text != NULL ? text : "";
}

static inline const char *optional_at(sqlite3_stmt *statement, int column)
{
    return (const char *)sqlite3_column_text(statement, column);
}

static inline enum err prepare(struct store *store, const char *sql, sqlite3_stmt **ret_statement,
                               struct note *note)
{
    if (sqlite3_prepare_v2(store_database(store), sql, -1, ret_statement, NULL) != SQLITE_OK) {
        return store_failed(store, "cannot be read", note);
    }
    return OK;
}

/* Taking the oldest rows out: exported first, then removed, in one transaction.
 *
 * Before that the whole chain is walked, on a connection that only reads, so that no write waits
 * for it; the transaction itself walks no more than what it removes.
 *
 * The trail's trigger that forbids deleting is lifted and put back inside the transaction, so there
 * is no moment at which anybody else could delete. The export is complete and on the disk, under
 * its own name, before the first row goes: a crash leaves the rows, or the file and the anchor, and
 * a file without an anchor is written again by the next try. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "canary/history/chain.h"
#include "canary/history/history_json.h"
#include "canary/history/store_row.h"
#include "proxy/base/clock.h"

enum { NAME_MAX_SIZE = 4096 + 64 };

#define ROLLBACKS_THAT_GO                                                                          \
    "seq IN (SELECT seq FROM rollback WHERE at_us < ?1 AND status <> 'in_progress'"                \
    " ORDER BY seq LIMIT ?2)"

struct retention {
    struct store *store;
    int64_t before_us;
    int64_t now_us;
    int64_t first, last;                 /* of the trail's rows that go; last 0: none */
    unsigned char hash[CHAIN_HASH_SIZE]; /* of the last */
    int64_t rollbacks;
    char path[NAME_MAX_SIZE];
    struct note *note;
};

static enum err failed(struct retention *retention)
{
    return store_failed(retention->store, "old rows cannot be taken out", retention->note);
}

static enum err file_failed(struct retention *retention, const char *path)
{
    note_set(retention->note, "old rows stay: the export %s cannot be written: %s", path,
             strerror(errno));
    return ERR_IO;
}

/* The prefix of rows that are all too old, and never the newest one: the chain goes on from it. */
static enum err find_rows(struct retention *retention)
{
    sqlite3_stmt *statement = NULL;
    enum err err = prepare(
        retention->store,
        "SELECT min(seq), min((SELECT max(seq) FROM audit) - 1,"
        " coalesce((SELECT min(seq) FROM audit WHERE at_us >= ?1), 9223372036854775807) - 1,"
        " min(seq) + ?2 - 1) FROM audit",
        &statement, retention->note);
    if (err != OK) {
        return err;
    }
    (void)sqlite3_bind_int64(statement, 1, retention->before_us);
    (void)sqlite3_bind_int64(statement, 2, STORE_RETAIN_MAX);
    if (sqlite3_step(statement) != SQLITE_ROW) {
        err = failed(retention);
    } else {
        retention->first = sqlite3_column_int64(statement, 0);
        int64_t last = sqlite3_column_int64(statement, 1);
        retention->last = last >= retention->first ? last : 0;
    }
    (void)sqlite3_finalize(statement);
    return err;
}

/* ---- the export ---- */

static bool write_line(FILE *file, json_t *line)
{
    bool is_written =
        line != NULL && json_dumpf(line, file, JSON_COMPACT) == 0 && fputc('\n', file) != EOF;
    json_decref(line);
    return is_written;
}

/* Times and details as they were hashed, so that the chain can be walked in the file too. */
static json_t *audit_line(struct retention *retention, sqlite3_stmt *statement)
{
    char previous[2 * CHAIN_HASH_SIZE + 1] = "";
    char hash[2 * CHAIN_HASH_SIZE + 1] = "";
    if (sqlite3_column_bytes(statement, 6) == CHAIN_HASH_SIZE) {
        store_hash_text(sqlite3_column_blob(statement, 6), previous);
    }
    if (sqlite3_column_bytes(statement, 7) == CHAIN_HASH_SIZE) {
        memcpy(retention->hash, sqlite3_column_blob(statement, 7), CHAIN_HASH_SIZE);
        store_hash_text(retention->hash, hash);
    }
    return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:s, s:s}", "kind", "audit", "seq",
                     (json_int_t)sqlite3_column_int64(statement, 0), "at_us",
                     (json_int_t)sqlite3_column_int64(statement, 1), "actor",
                     history_text_to_json(text_at(statement, 2)), "action",
                     history_text_to_json(text_at(statement, 3)), "service",
                     history_text_to_json(optional_at(statement, 4)), "detail",
                     history_text_to_json(optional_at(statement, 5)), "previous", previous, "hash",
                     hash);
}

static json_t *rollback_line(struct retention *retention, sqlite3_stmt *statement)
{
    retention->rollbacks++;
    return json_pack("{s:s, s:o}", "kind", "rollback", "row", store_rollback_row(statement));
}

static enum err export_rows(struct retention *retention, FILE *file, const char *sql,
                            json_t *(*to_line)(struct retention *, sqlite3_stmt *), int64_t first,
                            int64_t second)
{
    sqlite3_stmt *statement = NULL;
    enum err err = prepare(retention->store, sql, &statement, retention->note);
    if (err != OK) {
        return err;
    }
    (void)sqlite3_bind_int64(statement, 1, first);
    (void)sqlite3_bind_int64(statement, 2, second);
    int code = sqlite3_step(statement);
    for (; err == OK && code == SQLITE_ROW; code = sqlite3_step(statement)) {
        if (!write_line(file, to_line(retention, statement))) {
            err = file_failed(retention, retention->path);
        }
    }
    if (err == OK && code != SQLITE_DONE) {
        err = failed(retention);
    }
    (void)sqlite3_finalize(statement);
    return err;
}

static enum err write_file(struct retention *retention, FILE *file)
{
    enum err err =
        export_rows(retention, file,
                    "SELECT " AUDIT_COLUMNS " FROM audit WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq",
                    audit_line, retention->first, retention->last);
    if (err == OK) {
        err = export_rows(retention, file,
                          "SELECT " ROLLBACK_COLUMNS " FROM rollback WHERE " ROLLBACKS_THAT_GO
                          " ORDER BY seq",
                          rollback_line, retention->before_us, STORE_RETAIN_MAX);
    }
    if (err == OK && (fflush(file) != 0 || fsync(fileno(file)) != 0)) {
        err = file_failed(retention, retention->path);
    }
    return err;
}

/* The name is on the disk too. */
static enum err sync_folder(struct retention *retention)
{
    char path[NAME_MAX_SIZE];
    (void)snprintf(path, sizeof path, "%s", retention->path);
    int folder = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = folder >= 0 && fsync(folder) == 0;
    enum err err = is_synced ? OK : file_failed(retention, retention->path);
    if (folder >= 0) {
        (void)close(folder);
    }
    return err;
}

static enum err export_file(struct retention *retention)
{
    char half[NAME_MAX_SIZE + 8];
    (void)snprintf(half, sizeof half, "%s.half", retention->path);
    (void)unlink(half);
    int descriptor = open(half, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    FILE *file = descriptor >= 0 ? fdopen(descriptor, "w") : NULL;
    if (file == NULL) {
        enum err err = file_failed(retention, half);
        if (descriptor >= 0) {
            (void)close(descriptor);
        }
        return err;
    }
    enum err err = write_file(retention, file);
    if (fclose(file) != 0 && err == OK) {
        err = file_failed(retention, half);
    }
    if (err == OK && rename(half, retention->path) != 0) {
        err = file_failed(retention, retention->path);
    }
    if (err != OK) {
        (void)unlink(half);
        return err;
    }
    return sync_folder(retention);
}

/* ---- the rows ---- */

static enum err run(struct retention *retention, const char *sql, int64_t first, int64_t second)
{
    sqlite3_stmt *statement = NULL;
    enum err err = prepare(retention->store, sql, &statement, retention->note);
    if (err != OK) {
        return err;
    }
    if (sqlite3_bind_parameter_count(statement) > 0) {
        (void)sqlite3_bind_int64(statement, 1, first);
    }
    if (sqlite3_bind_parameter_count(statement) > 1) {
        (void)sqlite3_bind_int64(statement, 2, second);
    }
    err = sqlite3_step(statement) == SQLITE_DONE ? OK : failed(retention);
    (void)sqlite3_finalize(statement);
    return err;
}

/* The trigger as the file has it, so that what is put back is what was there. */
static char *read_trigger(struct retention *retention)
{
    sqlite3_stmt *statement = NULL;
    char *sql = NULL;
    if (prepare(retention->store,
                "SELECT sql FROM sqlite_schema WHERE type='trigger' AND"
                " name='audit_is_not_deleted'",
                &statement, retention->note) != OK) {
        return NULL;
    }
    if (sqlite3_step(statement) == SQLITE_ROW) {
        sql = strdup(text_at(statement, 0));
    } else {
        note_set(retention->note, "old rows stay: the trail has lost the trigger that guards it");
    }
    (void)sqlite3_finalize(statement);
    return sql;
}

static enum err delete_audit(struct retention *retention)
{
    char *trigger = read_trigger(retention);
    if (trigger == NULL) {
        return ERR_IO;
    }
    enum err err = run(retention, "DROP TRIGGER audit_is_not_deleted", 0, 0);
    if (err == OK) {
        err = run(retention, "DELETE FROM audit WHERE seq <= ?1", retention->last, 0);
    }
    if (err == OK) {
        err = run(retention, trigger, 0, 0);
    }
    free(trigger);
    return err;
}

static enum err write_anchor(struct retention *retention, const char *name)
{
    sqlite3_stmt *statement = NULL;
    enum err err = prepare(retention->store, "INSERT INTO audit_anchor VALUES (?1,?2,?3,?4)",
                           &statement, retention->note);
    if (err != OK) {
        return err;
    }
    (void)sqlite3_bind_int64(statement, 1, retention->last);
    (void)sqlite3_bind_blob(statement, 2, retention->hash, CHAIN_HASH_SIZE, SQLITE_STATIC);
    (void)sqlite3_bind_int64(statement, 3, retention->now_us);
    (void)sqlite3_bind_text(statement, 4, name, -1, SQLITE_STATIC);
    err = sqlite3_step(statement) == SQLITE_DONE ? OK : failed(retention);
    (void)sqlite3_finalize(statement);
    return err;
}

static enum err tell_trail(struct retention *retention, const char *name)
{
    char hex[2 * CHAIN_HASH_SIZE + 1];
    store_hash_text(retention->hash, hex);
    json_t *detail =
        json_pack("{s:I, s:I, s:s, s:I, s:o}", "first", (json_int_t)retention->first, "last",
                  (json_int_t)retention->last, "hash", hex, "rollbacks",
                  (json_int_t)retention->rollbacks, "export", history_text_to_json(name));
    char *text = detail != NULL ? json_dumps(detail, JSON_COMPACT) : NULL;
    json_decref(detail);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    struct history_audit audit = {.at_us = retention->now_us,
                                  .actor = "serin",
                                  .action = STORE_RETAIN_ACTION,
                                  .detail = text};
    enum err err = store_append_audit(retention->store, &audit, retention->note);
    free(text);
    return err;
}

static enum err take_out(struct retention *retention)
{
    const char *slash = strrchr(retention->path, '/');
    const char *name = slash != NULL ? slash + 1 : retention->path;
    enum err err = export_file(retention);
    if (err == OK) {
        err = delete_audit(retention);
    }
    if (err == OK) {
        err = run(retention, "DELETE FROM rollback WHERE " ROLLBACKS_THAT_GO, retention->before_us,
                  STORE_RETAIN_MAX);
    }
    if (err == OK) {
        err = write_anchor(retention, name);
    }
    return err == OK ? tell_trail(retention, name) : err;
}

/* What is broken must be seen by somebody before it may go. */
static enum err refuse_broken(long long seq, const char *why, struct note *note)
{
    note_set(note, "old rows stay: row %lld of the audit trail is broken: %s", seq, why);
    return ERR_IO;
}

static enum err check_all(struct retention *retention)
{
    json_t *result = NULL;
    enum err err = store_verify_inside(retention->store, &result, retention->note);
    if (err == OK && !json_is_true(json_object_get(result, "intact"))) {
        err = refuse_broken(json_integer_value(json_object_get(result, "first_bad")),
                            json_string_value(json_object_get(result, "why")), retention->note);
    }
    json_decref(result);
    return err;
}

/* Between the walk over all of it and now somebody may have been at the file. */
static enum err check_what_goes(struct retention *retention)
{
    struct store_flaw flaw;
    enum err err = store_verify_prefix(retention->store, retention->last, &flaw, retention->note);
    return err == OK && flaw.seq != 0 ? refuse_broken(flaw.seq, flaw.why, retention->note) : err;
}

enum err store_may_retain(struct store *store, int64_t before_us, bool *ret_may, struct note *note)
{
    struct retention retention = {.store = store, .before_us = before_us, .note = note};
    if (sqlite3_exec(store_database(store), "BEGIN", NULL, NULL, NULL) != SQLITE_OK) {
        return failed(&retention);
    }
    enum err err = find_rows(&retention);
    if (err == OK && retention.last != 0) {
        err = check_all(&retention);
    }
    (void)sqlite3_exec(store_database(store), "COMMIT", NULL, NULL, NULL);
    if (err == OK) {
        *ret_may = retention.last != 0;
    }
    return err;
}

static enum err retain_in_transaction(struct retention *retention)
{
    enum err err = find_rows(retention);
    if (err != OK || retention->last == 0) {
        return err;
    }
    err = check_what_goes(retention);
    if (err != OK) {
        return err;
    }
    int size = snprintf(retention->path, sizeof retention->path, "%s.%lld-%lld.jsonl",
                        store_path(retention->store), (long long)retention->first,
                        (long long)retention->last);
    if (size < 0 || (size_t)size >= sizeof retention->path) {
        return ERR_LIMIT;
    }
    return take_out(retention);
}

enum err store_retain(struct store *store, int64_t before_us, int64_t now_us, json_t **ret_result,
                      struct note *note)
{
    struct retention retention = {
        .store = store, .before_us = before_us, .now_us = now_us, .note = note};
    if (sqlite3_exec(store_database(store), "PRAGMA synchronous=FULL; BEGIN IMMEDIATE", NULL, NULL,
                     NULL) != SQLITE_OK) {
        return failed(&retention);
    }
    enum err err = retain_in_transaction(&retention);
    if (err == OK && sqlite3_exec(store_database(store), "COMMIT", NULL, NULL, NULL) != SQLITE_OK) {
        err = failed(&retention);
    }
    if (err != OK && sqlite3_get_autocommit(store_database(store)) == 0) {
        (void)sqlite3_exec(store_database(store), "ROLLBACK", NULL, NULL, NULL);
    }
    if (err != OK) {
        return err;
    }
    int64_t rows = retention.last > 0 ? retention.last - retention.first + 1 : 0;
    json_t *result =
        json_pack("{s:I, s:I, s:o, s:b}", "rows", (json_int_t)rows, "rollbacks",
                  (json_int_t)retention.rollbacks, "path", history_text_to_json(retention.path),
                  "has_more", rows == STORE_RETAIN_MAX || retention.rollbacks == STORE_RETAIN_MAX);
    if (result == NULL) {
        return ERR_NOMEM;
    }
    *ret_result = result;
    return OK;
}

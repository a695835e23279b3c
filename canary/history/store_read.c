/* The reading half of the store: what a start needs, what the API shows, the chain walked, the
 * export. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "canary/history/chain.h"
#include "canary/history/history_json.h"
#include "canary/history/store_row.h"
#include "proxy/base/check.h"

enum { LIST_DEFAULT = 50, LOAD_ROWS_MAX = 10000, LOAD_MEMORY_MAX = 256 * 1024 * 1024 };

static double seconds_at(sqlite3_stmt *statement, int column)
{
    bool is_null = sqlite3_column_type(statement, column) == SQLITE_NULL;
    return is_null ? (double)NAN : sqlite3_column_double(statement, column);
}

static uint64_t count_at(sqlite3_stmt *statement, int column)
{
    sqlite3_int64 count = sqlite3_column_int64(statement, column);
    return count > 0 ? (uint64_t)count : 0;
}

/* Borrows from the statement until its next step. */
static struct history_rollback rollback_at(sqlite3_stmt *statement)
{
    struct history_rollback rollback = {
        .id = text_at(statement, 0),
        .service = text_at(statement, 1),
        .at_us = sqlite3_column_int64(statement, 2),
        .deployment = text_at(statement, 3),
        .target = text_at(statement, 4),
        .reason = text_at(statement, 5),
        .reason_code = text_at(statement, 6),
        .trigger = text_at(statement, 7),
        .actor = text_at(statement, 8),
        .mode = text_at(statement, 9),
        .status = text_at(statement, 10),
        .duration_s = seconds_at(statement, 11),
        .bad_origin = count_at(statement, 18),
        .bad_client = count_at(statement, 19),
        .evidence = optional_at(statement, 20),
        .incident = optional_at(statement, 21),
    };
    for (int i = 0; i < HISTORY_PHASE_COUNT; i++) {
        rollback.phase_s[i] = seconds_at(statement, 12 + i);
    }
    return rollback;
}

/* ---- what a start needs ---- */

static bool keep_text(struct arena *arena, const char **text)
{
    if (*text != NULL) {
        *text = change_copy_text(arena, *text, HISTORY_DETAIL_MAX);
        return *text != NULL;
    }
    return true;
}

static bool keep_texts(struct arena *arena, const char ***texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!keep_text(arena, texts[i])) {
            return false;
        }
    }
    return true;
}

static bool load_service(sqlite3_stmt *statement, struct arena *arena, void *place)
{
    struct history_service *service = place;
    *service = (struct history_service){
        .name = text_at(statement, 0),
        .current_deployment = text_at(statement, 1),
        .previous_deployment = text_at(statement, 2),
        .weight_ppm = (uint32_t)sqlite3_column_int64(statement, 3),
        .phase = text_at(statement, 4),
        .revision = count_at(statement, 5),
        .salt = (uint64_t)sqlite3_column_int64(statement, 6),
        .step = sqlite3_column_int(statement, 7),
        .updated_us = sqlite3_column_int64(statement, 8),
        .detail = optional_at(statement, 9),
    };
    const char **texts[] = {&service->name, &service->current_deployment,
                            &service->previous_deployment, &service->phase, &service->detail};
    return keep_texts(arena, texts, COUNT_OF(texts));
}

static bool load_quarantine(sqlite3_stmt *statement, struct arena *arena, void *place)
{
    struct history_quarantine *quarantine = place;
    *quarantine = (struct history_quarantine){
        .service = text_at(statement, 0),
        .deployment = text_at(statement, 1),
        .reason = text_at(statement, 2),
        .since_us = sqlite3_column_int64(statement, 3),
    };
    const char **texts[] = {&quarantine->service, &quarantine->deployment, &quarantine->reason};
    return keep_texts(arena, texts, COUNT_OF(texts));
}

static bool load_rollback(sqlite3_stmt *statement, struct arena *arena, void *place)
{
    struct history_rollback *rollback = place;
    *rollback = rollback_at(statement);
    const char **texts[] = {&rollback->id,      &rollback->service,  &rollback->deployment,
                            &rollback->target,  &rollback->reason,   &rollback->reason_code,
                            &rollback->trigger, &rollback->actor,    &rollback->mode,
                            &rollback->status,  &rollback->evidence, &rollback->incident};
    return keep_texts(arena, texts, COUNT_OF(texts));
}

static bool load_key(sqlite3_stmt *statement, struct arena *arena, void *place)
{
    struct history_key *key = place;
    *key = (struct history_key){
        .key = text_at(statement, 0),
        .fingerprint = text_at(statement, 1),
        .rollback_id = text_at(statement, 2),
        .at_us = sqlite3_column_int64(statement, 3),
    };
    const char **texts[] = {&key->key, &key->fingerprint, &key->rollback_id};
    return keep_texts(arena, texts, COUNT_OF(texts));
}

struct load_table {
    const char *sql; /* its parameter, if it has one, is the least time of a key */
    bool (*load_row)(sqlite3_stmt *statement, struct arena *arena, void *place);
    size_t row_size;
    size_t rows_offset;  /* in struct history_state: where the rows are told, */
    size_t count_offset; /* ... and how many */
};

static enum err load_rows(struct store *store, const struct load_table *table,
                          sqlite3_stmt *statement, struct arena *arena, char *rows,
                          size_t *ret_count, struct note *note)
{
    size_t count = 0;
    int code = sqlite3_step(statement);
    for (; code == SQLITE_ROW && count < LOAD_ROWS_MAX; code = sqlite3_step(statement)) {
        if (!table->load_row(statement, arena, rows + count * table->row_size)) {
            return ERR_NOMEM;
        }
        count++;
    }
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        return store_failed(store, "cannot be read", note);
    }
    *ret_count = count;
    return OK;
}

static enum err load_table(struct store *store, const struct load_table *table, int64_t least_us,
                           struct arena *arena, struct history_state *state, struct note *note)
{
    sqlite3_stmt *statement = NULL;
    size_t count = 0;
    enum err err = prepare(store, table->sql, &statement, note);
    if (err != OK) {
        return err;
    }
    if (sqlite3_bind_parameter_count(statement) > 0) {
        (void)sqlite3_bind_int64(statement, 1, least_us);
    }
    char *rows = arena_alloc(arena, LOAD_ROWS_MAX * table->row_size);
    if (rows == NULL) {
        err = ERR_NOMEM;
    } else {
        err = load_rows(store, table, statement, arena, rows, &count, note);
        memcpy((char *)state + table->rows_offset, &rows, sizeof rows);
        memcpy((char *)state + table->count_offset, &count, sizeof count);
    }
    (void)sqlite3_finalize(statement);
    return err;
}

static bool load_alert(sqlite3_stmt *statement, struct arena *arena, void *place)
{
    struct history_alert *alert = place;
    *alert = (struct history_alert){sqlite3_column_int64(statement, 0), text_at(statement, 1)};
    return keep_text(arena, &alert->body);
}

static bool load_platform(sqlite3_stmt *statement, struct arena *arena, void *place)
{
    struct history_platform *platform = place;
    *platform = (struct history_platform){
        .rollback = text_at(statement, 0), .body = text_at(statement, 1), .ack_s = NAN};
    return keep_text(arena, &platform->rollback) && keep_text(arena, &platform->body);
}

static bool load_watch(sqlite3_stmt *statement, struct arena *arena, void *place)
{
    struct history_watch *watch = place;
    *watch = (struct history_watch){text_at(statement, 0), text_at(statement, 1)};
    return keep_text(arena, &watch->service) && keep_text(arena, &watch->body);
}

#define ROWS(type, rows, count)                                                                    \
    sizeof(struct type), offsetof(struct history_state, rows), offsetof(struct history_state, count)

static const struct load_table load_tables[] = {
    {"SELECT name, current_deployment, previous_deployment, weight_ppm, phase, revision, salt,"
     " step, updated_us, detail FROM service ORDER BY name",
     load_service, ROWS(history_service, services, service_count)},
    {"SELECT service, deployment, reason, since_us FROM quarantine ORDER BY since_us",
     load_quarantine, ROWS(history_quarantine, quarantines, quarantine_count)},
    {"SELECT " ROLLBACK_COLUMNS " FROM rollback WHERE status = 'in_progress' OR"
     " (status = 'failed' AND service IN"
     "  (SELECT name FROM service WHERE phase = 'rollback_failed') AND seq ="
     "  (SELECT max(seq) FROM rollback AS other WHERE other.service = rollback.service"
     "   AND other.status <> 'dry_run')) ORDER BY seq",
     load_rollback, ROWS(history_rollback, rollbacks, rollback_count)},
    {"SELECT key, fingerprint, rollback_id, at_us FROM idempotency WHERE at_us >= ?1"
     " ORDER BY at_us",
     load_key, ROWS(history_key, keys, key_count)},
    {"SELECT seq, body FROM alert ORDER BY seq", load_alert,
     ROWS(history_alert, alerts, alert_count)},
    {"SELECT rollback, body FROM platform ORDER BY rowid", load_platform,
     ROWS(history_platform, platforms, platform_count)},
    {"SELECT service, body FROM watch ORDER BY service", load_watch,
     ROWS(history_watch, watches, watch_count)},
};

enum err store_load(struct store *store, int64_t now_us, struct history_state *ret_state,
                    struct note *note)
{
    int64_t least_us = now_us - (int64_t)HISTORY_KEY_LIFE_S * 1000000;
    struct arena *arena = malloc(sizeof *arena);
    if (arena == NULL) {
        return ERR_NOMEM;
    }
    arena_init(arena, LOAD_MEMORY_MAX);
    struct history_state state = {.memory = arena};
    enum err err = OK;
    for (size_t i = 0; i < COUNT_OF(load_tables) && err == OK; i++) {
        err = load_table(store, &load_tables[i], least_us, arena, &state, note);
    }
    if (err != OK) {
        history_state_finish(&state);
        return err;
    }
    *ret_state = state;
    return OK;
}

void history_state_finish(struct history_state *state)
{
    if (state->memory != NULL) {
        arena_finish(state->memory);
        free(state->memory);
    }
    *state = (struct history_state){0};
}

/* ---- lists ---- */

static json_t *audit_to_json(sqlite3_stmt *statement)
{
    char hex[2 * CHAIN_HASH_SIZE + 1] = "";
    const unsigned char *hash = sqlite3_column_blob(statement, 7);
    for (int i = 0; i < sqlite3_column_bytes(statement, 7) && i < CHAIN_HASH_SIZE; i++) {
        (void)snprintf(hex + (size_t)i * 2, 3, "%02x", hash[i]);
    }
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:s}", "seq",
                     (json_int_t)sqlite3_column_int64(statement, 0), "timestamp",
                     history_time_to_json(sqlite3_column_int64(statement, 1)), "actor",
                     history_text_to_json(text_at(statement, 2)), "action",
                     history_text_to_json(text_at(statement, 3)), "service",
                     history_text_to_json(optional_at(statement, 4)), "detail",
                     history_detail_to_json(optional_at(statement, 5)), "hash", hex);
}

json_t *store_rollback_row(sqlite3_stmt *statement)
{
    struct history_rollback rollback = rollback_at(statement);
    return history_rollback_to_json(&rollback);
}

static enum err collect(struct store *store, sqlite3_stmt *statement,
                        json_t *(*to_json)(sqlite3_stmt *), json_t **ret_result, struct note *note)
{
    json_t *array = json_array();
    int code = sqlite3_step(statement);
    for (; array != NULL && code == SQLITE_ROW; code = sqlite3_step(statement)) {
        json_t *row = to_json(statement);
        if (row == NULL || json_array_append_new(array, row) != 0) {
            json_decref(array);
            array = NULL;
        }
    }
    if (array == NULL) {
        return ERR_NOMEM;
    }
    if (code != SQLITE_DONE) {
        json_decref(array);
        return store_failed(store, "cannot be read", note);
    }
    *ret_result = array;
    return OK;
}

/* The seq that a rollback's id stands for. */
static enum err find_rollback_seq(struct store *store, const char *id, int64_t *ret_seq,
                                  struct note *note)
{
    sqlite3_stmt *statement = NULL;
    enum err err = prepare(store, "SELECT seq FROM rollback WHERE id=?1", &statement, note);
    if (err != OK) {
        return err;
    }
    (void)sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        *ret_seq = sqlite3_column_int64(statement, 0);
    } else {
        err = code == SQLITE_DONE ? ERR_NOT_FOUND : store_failed(store, "cannot be read", note);
    }
    (void)sqlite3_finalize(statement);
    return err;
}

static enum err list_rows(struct store *store, const char *sql, const struct history_query *query,
                          int64_t before_seq, json_t *(*to_json)(sqlite3_stmt *),
                          json_t **ret_result, struct note *note)
{
    sqlite3_stmt *statement = NULL;
    enum err err = prepare(store, sql, &statement, note);
    if (err != OK) {
        return err;
    }
    size_t limit = query->limit == 0 ? LIST_DEFAULT : query->limit;
    limit = limit > HISTORY_LIST_MAX ? HISTORY_LIST_MAX : limit;
    (void)sqlite3_bind_int64(statement, 1, before_seq);
    if (query->service != NULL) {
        (void)sqlite3_bind_text(statement, 2, query->service, -1, SQLITE_STATIC);
    }
    (void)sqlite3_bind_int64(statement, 3, (sqlite3_int64)limit);
    err = collect(store, statement, to_json, ret_result, note);
    (void)sqlite3_finalize(statement);
    return err;
}

enum err store_rollbacks(struct store *store, const struct history_query *query,
                         json_t **ret_result, struct note *note)
{
    int64_t before_seq = INT64_MAX;
    if (query->before != NULL) {
        enum err err = find_rollback_seq(store, query->before, &before_seq, note);
        if (err != OK) {
            return err;
        }
    }
    return list_rows(store,
                     "SELECT " ROLLBACK_COLUMNS " FROM rollback WHERE seq < ?1"
                     " AND (?2 IS NULL OR service = ?2) ORDER BY seq DESC LIMIT ?3",
                     query, before_seq, store_rollback_row, ret_result, note);
}

enum err store_audit(struct store *store, const struct history_query *query, json_t **ret_result,
                     struct note *note)
{
    uint64_t before_seq = INT64_MAX;
    if (query->before != NULL) {
        if (!bytes_to_u64(bytes_of(query->before), &before_seq) || before_seq > INT64_MAX) {
            return ERR_NOT_FOUND;
        }
    }
    return list_rows(store,
                     "SELECT " AUDIT_COLUMNS " FROM audit WHERE seq < ?1"
                     " AND (?2 IS NULL OR service = ?2) ORDER BY seq DESC LIMIT ?3",
                     query, (int64_t)before_seq, audit_to_json, ret_result, note);
}

enum err store_rollback(struct store *store, const char *id, json_t **ret_result, struct note *note)
{
    sqlite3_stmt *statement = NULL;
    enum err err =
        prepare(store, "SELECT " ROLLBACK_COLUMNS " FROM rollback WHERE id=?1", &statement, note);
    if (err != OK) {
        return err;
    }
    (void)sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
    int code = sqlite3_step(statement);
    json_t *record = code == SQLITE_ROW ? store_rollback_row(statement) : NULL;
    if (code == SQLITE_DONE) {
        err = ERR_NOT_FOUND;
    } else if (code != SQLITE_ROW) {
        err = store_failed(store, "cannot be read", note);
    } else if (record == NULL) {
        err = ERR_NOMEM;
    }
    (void)sqlite3_finalize(statement);
    if (err == OK) {
        *ret_result = record;
    }
    return err;
}

/* ---- the export ---- */

struct export
{
    FILE *file;
    int64_t rows;
};

static bool export_line(struct export *out, const char *kind, json_t *row)
{
    json_t *line = json_pack("{s:s, s:o}", "kind", kind, "row", row);
    bool is_written = line != NULL && json_dumpf(line, out->file, JSON_COMPACT) == 0 &&
                      fputc('\n', out->file) != EOF;
    json_decref(line);
    out->rows += is_written ? 1 : 0;
    return is_written;
}

static json_t *service_to_json(sqlite3_stmt *statement)
{
    return json_pack("{s:o, s:o, s:o, s:I, s:o, s:I}", "name",
                     history_text_to_json(text_at(statement, 0)), "current",
                     history_text_to_json(text_at(statement, 1)), "previous",
                     history_text_to_json(text_at(statement, 2)), "weight_ppm",
                     (json_int_t)sqlite3_column_int64(statement, 3), "phase",
                     history_text_to_json(text_at(statement, 4)), "revision",
                     (json_int_t)sqlite3_column_int64(statement, 5));
}

static json_t *quarantine_to_json(sqlite3_stmt *statement)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "service", history_text_to_json(text_at(statement, 0)),
                     "deployment", history_text_to_json(text_at(statement, 1)), "reason",
                     history_text_to_json(text_at(statement, 2)), "since",
                     history_time_to_json(sqlite3_column_int64(statement, 3)));
}

static enum err export_table(struct store *store, struct export *out, const char *kind,
                             const char *sql, json_t *(*to_json)(sqlite3_stmt *), struct note *note)
{
    sqlite3_stmt *statement = NULL;
    enum err err = prepare(store, sql, &statement, note);
    if (err != OK) {
        return err;
    }
    int code = sqlite3_step(statement);
    for (; err == OK && code == SQLITE_ROW; code = sqlite3_step(statement)) {
        if (!export_line(out, kind, to_json(statement))) {
            note_set(note, "the export could not be written: %s", strerror(errno));
            err = ERR_IO;
        }
    }
    if (err == OK && code != SQLITE_DONE) {
        err = store_failed(store, "cannot be read", note);
    }
    (void)sqlite3_finalize(statement);
    return err;
}

static enum err export_tables(struct store *store, struct export *out, struct note *note)
{
    static const struct {
        const char *kind;
        const char *sql;
        json_t *(*to_json)(sqlite3_stmt *);
    } tables[] = {
        {"service",
         "SELECT name, current_deployment, previous_deployment, weight_ppm, phase, revision"
         " FROM service ORDER BY name",
         service_to_json},
        {"quarantine",
         "SELECT service, deployment, reason, since_us FROM quarantine ORDER BY since_us",
         quarantine_to_json},
        {"rollback", "SELECT " ROLLBACK_COLUMNS " FROM rollback ORDER BY seq", store_rollback_row},
        {"audit", "SELECT " AUDIT_COLUMNS " FROM audit ORDER BY seq", audit_to_json},
    };
    enum err err = OK;
    for (size_t i = 0; err == OK && i < COUNT_OF(tables); i++) {
        err = export_table(store, out, tables[i].kind, tables[i].sql, tables[i].to_json, note);
    }
    return err;
}

static enum err export_file(struct store *store, int file_descriptor, int64_t *ret_rows,
                            struct note *note)
{
    struct export out = {.file = fdopen(file_descriptor, "w")};
    if (out.file == NULL) {
        (void)close(file_descriptor);
        return ERR_NOMEM;
    }
    enum err err = ERR_IO;
    if (sqlite3_exec(store_database(store), "BEGIN", NULL, NULL, NULL) == SQLITE_OK) {
        err = export_tables(store, &out, note);
        (void)sqlite3_exec(store_database(store), "COMMIT", NULL, NULL, NULL);
    }
    bool is_flushed = fflush(out.file) == 0 && fsync(fileno(out.file)) == 0;
    bool is_closed = fclose(out.file) == 0;
    if (err == OK && !(is_flushed && is_closed)) {
        note_set(note, "the export could not be written: %s", strerror(errno));
        err = ERR_IO;
    }
    *ret_rows = out.rows;
    return err;
}

/* O_EXCL: an export never overwrites; a failed one takes its half file away. */
enum err store_export(struct store *store, const char *path, json_t **ret_result, struct note *note)
{
    int file_descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file_descriptor < 0) {
        note_set(note, "%s cannot be created: %s", path, strerror(errno));
        return errno == EEXIST ? ERR_EXISTS : ERR_IO;
    }
    int64_t rows = 0;
    enum err err = export_file(store, file_descriptor, &rows, note);
    json_t *result = err == OK ? json_pack("{s:o, s:I}", "path", history_text_to_json(path), "rows",
                                           (json_int_t)rows)
                               : NULL;
    if (err == OK && result == NULL) {
        err = ERR_NOMEM;
    }
    if (err != OK) {
        (void)unlink(path);
        return err;
    }
    *ret_result = result;
    return OK;
}

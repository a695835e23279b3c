#include "canary/history/store.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/history/chain.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"

/* Embedded at build. The schema is the first step; later versions append theirs and never edit an
 * older one. */
extern const char history_schema[];
extern const char history_schema_2[];
extern const char history_schema_3[];
extern const char history_schema_4[];
extern const char history_schema_5[];
static const char *const migrations[] = {history_schema, history_schema_2, history_schema_3,
                                         history_schema_4, history_schema_5};

enum { WAL_SIZE_LIMIT = 8 * 1024 * 1024, SQL_SIZE = 160 };

enum statement {
    STATEMENT_BEGIN,
    STATEMENT_COMMIT,
    STATEMENT_ROLLBACK,
    STATEMENT_SAVEPOINT,
    STATEMENT_RELEASE,
    STATEMENT_REVERT,
    STATEMENT_SERVICE,
    STATEMENT_RECORD,
    STATEMENT_QUARANTINE,
    STATEMENT_UNQUARANTINE,
    STATEMENT_KEY,
    STATEMENT_KEY_EXPIRE,
    STATEMENT_ALERT,
    STATEMENT_ALERT_FORGET,
    STATEMENT_PLATFORM,
    STATEMENT_PLATFORM_FORGET,
    STATEMENT_PLATFORM_ACK,
    STATEMENT_PLATFORM_STATE,
    STATEMENT_WATCH,
    STATEMENT_WATCH_FORGET,
    STATEMENT_AUDIT_LAST,
    STATEMENT_AUDIT,
    STATEMENT_AUDIT_COUNTER,
    STATEMENT_AUDIT_RECOUNT,
    STATEMENT_COUNT
};

static const char *const statement_sql[] = {
    [STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
    [STATEMENT_COMMIT] = "COMMIT",
    [STATEMENT_ROLLBACK] = "ROLLBACK",
    [STATEMENT_SAVEPOINT] = "SAVEPOINT one",
    [STATEMENT_RELEASE] = "RELEASE one",
    [STATEMENT_REVERT] = "ROLLBACK TO one",
    [STATEMENT_SERVICE] = "INSERT INTO service VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10)"
                          " ON CONFLICT (name) DO UPDATE SET current_deployment=?2,"
                          " previous_deployment=?3, weight_ppm=?4, phase=?5, revision=?6, salt=?7,"
                          " step=?8, updated_us=?9, detail=?10",
    [STATEMENT_RECORD] =
        "INSERT INTO rollback (id, service, at_us, deployment, target, reason, reason_code,"
        " trigger_kind, actor, mode, status, duration_s, detect_s, decide_s, shift_s, drain_s,"
        " platform_ack_s, verify_s, bad_origin, bad_client, evidence, incident)"
        " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,?21,?22)"
        " ON CONFLICT (id) DO UPDATE SET target=?5, reason=?6, reason_code=?7, trigger_kind=?8,"
        " mode=?10, status=?11, duration_s=?12, detect_s=?13, decide_s=?14, shift_s=?15,"
        " drain_s=?16, platform_ack_s=?17, verify_s=?18, bad_origin=?19, bad_client=?20,"
        " evidence=?21, incident=?22",
    [STATEMENT_QUARANTINE] = "INSERT INTO quarantine VALUES (?1,?2,?3,?4)"
                             " ON CONFLICT (service, deployment) DO UPDATE SET reason=?3,"
                             " since_us=?4",
    [STATEMENT_UNQUARANTINE] = "DELETE FROM quarantine WHERE service=?1 AND deployment=?2",
    [STATEMENT_KEY] = ("INSERT INTO idempotency VALUES (?1,?2,?3,?4) ON CONFLICT (key)"
                       " DO UPDATE SET fingerprint=?2, rollback_id=?3, at_us=?4"),
    [STATEMENT_KEY_EXPIRE] = "DELETE FROM idempotency WHERE at_us < ?1",
    [STATEMENT_ALERT] = "INSERT INTO alert VALUES (?1,?2) ON CONFLICT (seq) DO UPDATE SET body=?2",
    [STATEMENT_ALERT_FORGET] = "DELETE FROM alert WHERE seq=?1",
    [STATEMENT_PLATFORM] =
        "INSERT INTO platform VALUES (?1,?2) ON CONFLICT (rollback) DO UPDATE SET body=?2",
    [STATEMENT_PLATFORM_FORGET] = "DELETE FROM platform WHERE rollback=?1",
    [STATEMENT_PLATFORM_ACK] =
        "UPDATE rollback SET platform_ack_s=?2, duration_s=max(coalesce(duration_s,0),?2)"
        " WHERE id=?1 AND platform_ack_s IS NULL",
    [STATEMENT_PLATFORM_STATE] = "UPDATE rollback SET evidence=json_set(evidence,'$.platform',?2)"
                                 " WHERE id=?1 AND json_valid(evidence)",
    [STATEMENT_WATCH] =
        "INSERT INTO watch VALUES (?1,?2) ON CONFLICT (service) DO UPDATE SET body=?2",
    [STATEMENT_WATCH_FORGET] = "DELETE FROM watch WHERE service=?1",
    [STATEMENT_AUDIT_LAST] = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1",
    [STATEMENT_AUDIT] = "INSERT INTO audit VALUES (?1,?2,?3,?4,?5,?6,?7,?8)",
    [STATEMENT_AUDIT_COUNTER] = "SELECT seq FROM sqlite_sequence WHERE name='audit'",
    [STATEMENT_AUDIT_RECOUNT] = "UPDATE sqlite_sequence SET seq=?1 WHERE name='audit'",
};
static_assert(COUNT_OF(statement_sql) == STATEMENT_COUNT, "one text per statement");

struct store {
    sqlite3 *database;
    sqlite3_stmt *statements[STATEMENT_COUNT]; /* made when first used */
    char *path;
    int64_t last_seq; /* of the audit trail, during a batch */
    unsigned char last_hash[CHAIN_HASH_SIZE];
    bool was_lost;
};

sqlite3 *store_database(struct store *store)
{
    return store->database;
}

const char *store_path(const struct store *store)
{
    return store->path;
}

enum err store_failed(struct store *store, const char *what, struct note *note)
{
    int code = sqlite3_errcode(store->database);
    note_set(note, "state file %s: %s: %s", store->path, what, sqlite3_errmsg(store->database));
    return code == SQLITE_NOMEM ? ERR_NOMEM : ERR_IO;
}

static bool run_sql(struct store *store, const char *sql)
{
    return sqlite3_exec(store->database, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static enum err read_version(struct store *store, int *ret_version, struct note *note)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(store->database, "PRAGMA user_version", -1, &statement, NULL) !=
            SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW) {
        enum err err = store_failed(store, "cannot be read", note);
        (void)sqlite3_finalize(statement);
        return err;
    }
    *ret_version = sqlite3_column_int(statement, 0);
    (void)sqlite3_finalize(statement);
    return OK;
}

/* Under the write lock, so that two processes starting together do not both migrate. */
static enum err migrate_locked(struct store *store, struct note *note)
{
    int version = 0;
    enum err err = read_version(store, &version, note);
    if (err != OK) {
        return err;
    }
    if (version < 0 || version > (int)COUNT_OF(migrations)) {
        note_set(note, "state file %s: has version %d, this Serin knows up to %d", store->path,
                 version, (int)COUNT_OF(migrations));
        return ERR_IO;
    }
    for (; version < (int)COUNT_OF(migrations); version++) {
        char set_version[SQL_SIZE];
        (void)snprintf(set_version, sizeof set_version, "PRAGMA user_version=%d", version + 1);
        if (!run_sql(store, migrations[version]) || !run_sql(store, set_version)) {
            return store_failed(store, "cannot be brought up to date", note);
        }
    }
    return OK;
}

static enum err migrate(struct store *store, struct note *note)
{
    int version = 0;
    enum err err = read_version(store, &version, note);
    if (err != OK) {
        return err;
    }
    if (version == (int)COUNT_OF(migrations)) {
        return OK;
    }
    if (!run_sql(store, "BEGIN IMMEDIATE")) {
        return store_failed(store, "cannot be written", note);
    }
    err = migrate_locked(store, note);
    if (err == OK && !run_sql(store, "COMMIT")) {
        err = store_failed(store, "cannot be brought up to date", note);
    }
    if (err != OK) {
        (void)run_sql(store, "ROLLBACK");
    }
    return err;
}

static enum err prepare_writer(struct store *store, uint32_t page_count_max, struct note *note)
{
    char pragmas[SQL_SIZE];
    (void)snprintf(pragmas, sizeof pragmas,
                   "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON; PRAGMA journal_size_limit=%d;",
                   WAL_SIZE_LIMIT);
    if (!run_sql(store, pragmas)) {
        return store_failed(store, "cannot be opened", note);
    }
    enum err err = migrate(store, note);
    if (err != OK || page_count_max == 0) {
        return err;
    }
    (void)snprintf(pragmas, sizeof pragmas, "PRAGMA max_page_count=%u", page_count_max);
    return run_sql(store, pragmas) ? OK : store_failed(store, "cannot be given a quota", note);
}

static enum err connect_database(struct store *store, const struct store_options *options,
                                 struct note *note)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    flags |= options->is_reader ? 0 : SQLITE_OPEN_CREATE;
    /* unix-excl keeps the index of the log in this process's memory. Shared, it would be a mapped
     * file, and somebody who cuts that file short would end the process with a SIGBUS. The price:
     * no other process may use the state file meanwhile, which is right for a second Serin by
     * mistake too. */
    int code = sqlite3_open_v2(options->path, &store->database, flags, "unix-excl");
    if (store->database == NULL) {
        return ERR_NOMEM;
    }
    if (code != SQLITE_OK) {
        return store_failed(store, "cannot be opened", note);
    }
    (void)sqlite3_extended_result_codes(store->database, 1);
    (void)sqlite3_busy_timeout(store->database, STORE_BUSY_MS);
    /* What another program put into the file is data: its views and triggers may not call out. */
    (void)sqlite3_db_config(store->database, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(store->database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (options->is_reader) {
        return run_sql(store, "PRAGMA query_only=ON") ? OK
                                                      : store_failed(store, "cannot be read", note);
    }
    return prepare_writer(store, options->page_count_max, note);
}

enum err store_open(const struct store_options *options, struct store **ret_store,
                    struct note *note)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        return ERR_NOMEM;
    }
    store->path = strdup(options->path);
    enum err err = store->path != NULL ? connect_database(store, options, note) : ERR_NOMEM;
    if (err != OK) {
        store_close(store);
        return err;
    }
    *ret_store = store;
    return OK;
}

void store_close(struct store *store)
{
    if (store == NULL) {
        return;
    }
    for (size_t i = 0; i < STATEMENT_COUNT; i++) {
        (void)sqlite3_finalize(store->statements[i]);
    }
    (void)sqlite3_close(store->database);
    free(store->path);
    free(store);
}

/* ---- writing ---- */

static sqlite3_stmt *statement_of(struct store *store, enum statement which)
{
    if (store->statements[which] == NULL) {
        (void)sqlite3_prepare_v3(store->database, statement_sql[which], -1,
                                 SQLITE_PREPARE_PERSISTENT, &store->statements[which], NULL);
    }
    return store->statements[which];
}

/* Steps a statement that gives no rows and makes it ready for its next use. */
static int step_statement(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    (void)sqlite3_reset(statement);
    (void)sqlite3_clear_bindings(statement);
    return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : code;
}

static int run_statement(struct store *store, enum statement which)
{
    sqlite3_stmt *statement = statement_of(store, which);
    return statement != NULL ? step_statement(statement) : sqlite3_errcode(store->database);
}

/* Texts live in the change until the batch is over; a failed bind shows as a failed step or a NOT
 * NULL refusal. */
static void bind_text(sqlite3_stmt *statement, int at, const char *text)
{
    if (text == NULL) {
        (void)sqlite3_bind_null(statement, at);
        return;
    }
    (void)sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

static void bind_seconds(sqlite3_stmt *statement, int at, double seconds)
{
    if (!isfinite(seconds)) {
        (void)sqlite3_bind_null(statement, at);
        return;
    }
    (void)sqlite3_bind_double(statement, at, seconds);
}

static void bind_count(sqlite3_stmt *statement, int at, uint64_t count)
{
    (void)sqlite3_bind_int64(statement, at, (sqlite3_int64)(count > INT64_MAX ? INT64_MAX : count));
}

static int write_service(struct store *store, const struct history_service *service)
{
    sqlite3_stmt *statement = statement_of(store, STATEMENT_SERVICE);
    if (statement == NULL) {
        return sqlite3_errcode(store->database);
    }
    bind_text(statement, 1, service->name);
    bind_text(statement, 2, service->current_deployment);
    bind_text(statement, 3, service->previous_deployment);
    (void)sqlite3_bind_int64(statement, 4, service->weight_ppm);
    bind_text(statement, 5, service->phase);
    bind_count(statement, 6, service->revision);
    (void)sqlite3_bind_int64(statement, 7, (sqlite3_int64)service->salt);
    (void)sqlite3_bind_int(statement, 8, service->step);
    (void)sqlite3_bind_int64(statement, 9, service->updated_us);
    bind_text(statement, 10, service->detail);
    return step_statement(statement);
}

static int write_rollback(struct store *store, const struct history_rollback *rollback)
{
    sqlite3_stmt *statement = statement_of(store, STATEMENT_RECORD);
    if (statement == NULL) {
        return sqlite3_errcode(store->database);
    }
    const char *texts[] = {rollback->deployment,  rollback->target,  rollback->reason,
                           rollback->reason_code, rollback->trigger, rollback->actor,
                           rollback->mode,        rollback->status};
    bind_text(statement, 1, rollback->id);
    bind_text(statement, 2, rollback->service);
    (void)sqlite3_bind_int64(statement, 3, rollback->at_us);
    for (int i = 0; i < (int)COUNT_OF(texts); i++) {
        bind_text(statement, 4 + i, texts[i]);
    }
    bind_seconds(statement, 12, rollback->duration_s);
    for (int i = 0; i < HISTORY_PHASE_COUNT; i++) {
        bind_seconds(statement, 13 + i, rollback->phase_s[i]);
    }
    bind_count(statement, 19, rollback->bad_origin);
    bind_count(statement, 20, rollback->bad_client);
    bind_text(statement, 21, rollback->evidence);
    bind_text(statement, 22, rollback->incident);
    return step_statement(statement);
}

static int write_quarantine(struct store *store, const struct history_quarantine *quarantine)
{
    bool is_released = quarantine->is_released;
    sqlite3_stmt *statement =
        statement_of(store, is_released ? STATEMENT_UNQUARANTINE : STATEMENT_QUARANTINE);
    if (statement == NULL) {
        return sqlite3_errcode(store->database);
    }
    bind_text(statement, 1, quarantine->service);
    bind_text(statement, 2, quarantine->deployment);
    if (!is_released) {
        bind_text(statement, 3, quarantine->reason);
        (void)sqlite3_bind_int64(statement, 4, quarantine->since_us);
    }
    return step_statement(statement);
}

static int write_key(struct store *store, const struct history_key *key)
{
    sqlite3_stmt *expire = statement_of(store, STATEMENT_KEY_EXPIRE);
    sqlite3_stmt *statement = statement_of(store, STATEMENT_KEY);
    if (expire == NULL || statement == NULL) {
        return sqlite3_errcode(store->database);
    }
    (void)sqlite3_bind_int64(expire, 1, key->at_us - (int64_t)HISTORY_KEY_LIFE_S * 1000000);
    int code = step_statement(expire);
    if (code != SQLITE_OK) {
        return code;
    }
    bind_text(statement, 1, key->key);
    bind_text(statement, 2, key->fingerprint);
    bind_text(statement, 3, key->rollback_id);
    (void)sqlite3_bind_int64(statement, 4, key->at_us);
    return step_statement(statement);
}

static int write_alert(struct store *store, const struct history_alert *alert)
{
    bool is_forgotten = alert->body == NULL;
    sqlite3_stmt *statement =
        statement_of(store, is_forgotten ? STATEMENT_ALERT_FORGET : STATEMENT_ALERT);
    if (statement == NULL) {
        return sqlite3_errcode(store->database);
    }
    (void)sqlite3_bind_int64(statement, 1, alert->seq);
    if (!is_forgotten) {
        bind_text(statement, 2, alert->body);
    }
    return step_statement(statement);
}

/* The acknowledgement of a rollback whose record no engine holds any more. */
static int write_ack(struct store *store, const struct history_platform *platform)
{
    sqlite3_stmt *statement = statement_of(store, STATEMENT_PLATFORM_ACK);
    if (statement == NULL) {
        return sqlite3_errcode(store->database);
    }
    bind_text(statement, 1, platform->rollback);
    (void)sqlite3_bind_double(statement, 2, platform->ack_s);
    return step_statement(statement);
}

static int write_platform_state(struct store *store, const struct history_platform *platform)
{
    sqlite3_stmt *statement = statement_of(store, STATEMENT_PLATFORM_STATE);
    if (statement == NULL) {
        return sqlite3_errcode(store->database);
    }
    bind_text(statement, 1, platform->rollback);
    bind_text(statement, 2, platform->state);
    return step_statement(statement);
}

static int write_platform(struct store *store, const struct history_platform *platform)
{
    bool is_forgotten = platform->body == NULL;
    int code = is_forgotten && platform->ack_s >= 0 ? write_ack(store, platform) : SQLITE_OK;
    if (code == SQLITE_OK && is_forgotten && platform->state != NULL) {
        code = write_platform_state(store, platform);
    }
    sqlite3_stmt *statement =
        statement_of(store, is_forgotten ? STATEMENT_PLATFORM_FORGET : STATEMENT_PLATFORM);
    if (code != SQLITE_OK || statement == NULL) {
        return code != SQLITE_OK ? code : sqlite3_errcode(store->database);
    }
    bind_text(statement, 1, platform->rollback);
    if (!is_forgotten) {
        bind_text(statement, 2, platform->body);
    }
    return step_statement(statement);
}

static int write_watch(struct store *store, const struct history_watch *watch)
{
    bool is_forgotten = watch->body == NULL;
    sqlite3_stmt *statement =
        statement_of(store, is_forgotten ? STATEMENT_WATCH_FORGET : STATEMENT_WATCH);
    if (statement == NULL) {
        return sqlite3_errcode(store->database);
    }
    bind_text(statement, 1, watch->service);
    if (!is_forgotten) {
        bind_text(statement, 2, watch->body);
    }
    return step_statement(statement);
}

static int write_audit(struct store *store, const struct history_audit *audit)
{
    sqlite3_stmt *statement = statement_of(store, STATEMENT_AUDIT);
    if (statement == NULL) {
        return sqlite3_errcode(store->database);
    }
    struct chain_row row = {
        .seq = store->last_seq + 1,
        .at_us = audit->at_us,
        .actor = audit->actor,
        .action = audit->action,
        .service = audit->service,
        .detail = audit->detail,
    };
    unsigned char hash[CHAIN_HASH_SIZE];
    if (chain_hash(store->last_hash, &row, hash) != OK) {
        return SQLITE_NOMEM;
    }
    (void)sqlite3_bind_int64(statement, 1, row.seq);
    (void)sqlite3_bind_int64(statement, 2, row.at_us);
    bind_text(statement, 3, row.actor);
    bind_text(statement, 4, row.action);
    bind_text(statement, 5, row.service);
    bind_text(statement, 6, row.detail);
    (void)sqlite3_bind_blob(statement, 7, store->last_hash, CHAIN_HASH_SIZE, SQLITE_STATIC);
    (void)sqlite3_bind_blob(statement, 8, hash, CHAIN_HASH_SIZE, SQLITE_STATIC);
    int code = step_statement(statement);
    if (code == SQLITE_OK) {
        store->last_seq = row.seq;
        memcpy(store->last_hash, hash, sizeof hash);
    }
    return code;
}

/* The audit row comes last: when a part before it is refused, the chain's end has not moved. */
static int write_parts(struct store *store, const struct change *change)
{
    int code = SQLITE_OK;
    if (change->has_service) {
        code = write_service(store, &change->service);
    }
    if (code == SQLITE_OK && change->has_rollback) {
        code = write_rollback(store, &change->rollback);
    }
    if (code == SQLITE_OK && change->has_quarantine) {
        code = write_quarantine(store, &change->quarantine);
    }
    if (code == SQLITE_OK && change->has_key) {
        code = write_key(store, &change->key);
    }
    if (code == SQLITE_OK && change->has_alert) {
        code = write_alert(store, &change->alert);
    }
    if (code == SQLITE_OK && change->has_platform) {
        code = write_platform(store, &change->platform);
    }
    if (code == SQLITE_OK && change->has_watch) {
        code = write_watch(store, &change->watch);
    }
    if (code == SQLITE_OK && change->has_audit) {
        code = write_audit(store, &change->audit);
    }
    return code;
}

/* Is it the change that is wrong, or the file? */
static bool is_refusal(int code)
{
    int primary = code & 0xFF;
    return primary == SQLITE_CONSTRAINT || primary == SQLITE_MISMATCH || primary == SQLITE_TOOBIG ||
           primary == SQLITE_RANGE;
}

static int write_change(struct store *store, struct change *change)
{
    int code = run_statement(store, STATEMENT_SAVEPOINT);
    if (code != SQLITE_OK) {
        return code;
    }
    code = write_parts(store, change);
    if (code == SQLITE_OK) {
        change->result = OK;
        return run_statement(store, STATEMENT_RELEASE);
    }
    if (!is_refusal(code)) {
        return code;
    }
    change->result = ERR_SYNTAX;
    code = run_statement(store, STATEMENT_REVERT);
    return code == SQLITE_OK ? run_statement(store, STATEMENT_RELEASE) : code;
}

/* The chain's end, read under the write lock: another process may have appended since. */
static int read_chain_end(struct store *store)
{
    sqlite3_stmt *statement = statement_of(store, STATEMENT_AUDIT_LAST);
    if (statement == NULL) {
        return sqlite3_errcode(store->database);
    }
    store->last_seq = 0;
    memset(store->last_hash, 0, sizeof store->last_hash);
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        store->last_seq = sqlite3_column_int64(statement, 0);
        const void *hash = sqlite3_column_blob(statement, 1);
        if (hash != NULL && sqlite3_column_bytes(statement, 1) == CHAIN_HASH_SIZE) {
            memcpy(store->last_hash, hash, CHAIN_HASH_SIZE);
        }
    }
    (void)sqlite3_reset(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static int read_counter(struct store *store, int64_t *ret_seq)
{
    sqlite3_stmt *statement = statement_of(store, STATEMENT_AUDIT_COUNTER);
    if (statement == NULL) {
        return sqlite3_errcode(store->database);
    }
    int code = sqlite3_step(statement);
    *ret_seq = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    (void)sqlite3_reset(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static int recount(struct store *store)
{
    sqlite3_stmt *statement = statement_of(store, STATEMENT_AUDIT_RECOUNT);
    if (statement == NULL) {
        return sqlite3_errcode(store->database);
    }
    (void)sqlite3_bind_int64(statement, 1, store->last_seq);
    return step_statement(statement);
}

/* Only the table's counter remembers rows that were cut off the end, and only until as many have
 * come after them: so the trail tells it before it goes on. */
static int tell_cut(struct store *store)
{
    int64_t counter = 0;
    int code = read_counter(store, &counter);
    if (code != SQLITE_OK || counter <= store->last_seq) {
        return code;
    }
    char detail[80];
    (void)snprintf(detail, sizeof detail, "{\"first\":%lld,\"last\":%lld}",
                   (long long)store->last_seq + 1, (long long)counter);
    struct history_audit audit = {.at_us = clock_wall_us(clock_system()),
                                  .actor = "serin",
                                  .action = STORE_CUT_ACTION,
                                  .detail = detail};
    code = write_audit(store, &audit);
    return code == SQLITE_OK ? recount(store) : code;
}

enum err store_append_audit(struct store *store, const struct history_audit *audit,
                            struct note *note)
{
    int code = read_chain_end(store);
    code = code == SQLITE_OK ? tell_cut(store) : code;
    code = code == SQLITE_OK ? write_audit(store, audit) : code;
    return code == SQLITE_OK ? OK : store_failed(store, "cannot be written", note);
}

static int write_batch(struct store *store, struct list *changes)
{
    int code = run_statement(store, STATEMENT_BEGIN);
    if (code == SQLITE_OK) {
        code = read_chain_end(store);
    }
    if (code == SQLITE_OK) {
        code = tell_cut(store);
    }
    for (struct list *link = changes->next; code == SQLITE_OK && link != changes;
         link = link->next) {
        code = write_change(store, CONTAINER_OF(link, struct change, link));
    }
    return code == SQLITE_OK ? run_statement(store, STATEMENT_COMMIT) : code;
}

static enum err fail_all(struct list *changes, enum err err)
{
    for (struct list *link = changes->next; link != changes; link = link->next) {
        CONTAINER_OF(link, struct change, link)->result = err;
    }
    return err;
}

/* A file that was deleted or replaced takes writes without complaint, and nobody would find them
 * again. */
static bool has_moved(struct store *store)
{
    int answer = 0;
    int code = sqlite3_file_control(store->database, "main", SQLITE_FCNTL_HAS_MOVED, &answer);
    return code == SQLITE_OK && answer != 0;
}

/* So does a file that somebody wrote over, for as long as SQLite has its pages in memory. */
static bool is_overwritten(struct store *store)
{
    static const char magic[16] = "SQLite format 3";
    sqlite3_file *file = NULL;
    char head[sizeof magic];
    int code = sqlite3_file_control(store->database, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (code != SQLITE_OK || file == NULL || file->pMethods == NULL) {
        return false;
    }
    /* Read through SQLite's own descriptor: closing one of ours would give up its locks. */
    return file->pMethods->xRead(file, head, sizeof head, 0) != SQLITE_OK ||
           memcmp(head, magic, sizeof magic) != 0;
}

static bool is_lost(struct store *store, struct note *note)
{
    if (has_moved(store)) {
        note_set(note, "state file %s: was deleted or replaced while it was open", store->path);
        return true;
    }
    if (is_overwritten(store)) {
        note_set(note, "state file %s: was overwritten while it was open", store->path);
        return true;
    }
    return false;
}

enum err store_apply(struct store *store, struct list *changes, bool is_durable, struct note *note)
{
    store->was_lost = is_lost(store, note);
    if (store->was_lost) {
        /* What is there now is somebody else's: the log is not copied into it. */
        (void)sqlite3_db_config(store->database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        return fail_all(changes, ERR_IO);
    }
    int code = SQLITE_OK;
    if (!run_sql(store, is_durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL")) {
        code = sqlite3_errcode(store->database);
    }
    if (code == SQLITE_OK) {
        code = write_batch(store, changes);
    }
    if (code == SQLITE_OK) {
        return OK;
    }
    enum err err = store_failed(store, "cannot be written", note);
    /* SQLite may have rolled back by itself (full, input/output error). */
    if (sqlite3_get_autocommit(store->database) == 0) {
        (void)run_statement(store, STATEMENT_ROLLBACK);
    }
    return fail_all(changes, err);
}

bool store_was_lost(const struct store *store)
{
    return store->was_lost;
}

/* The audit trail's chain, walked from where it begins: its first row, or the anchor that was left
 * when older rows were taken out. An anchor counts only when the chain itself tells of it, in the
 * row that was written with it; cutting a beginning off by hand therefore shows. */
#include <string.h>

#include "canary/history/chain.h"
#include "canary/history/history_json.h"
#include "canary/history/store_row.h"

struct walk {
    int64_t seq; /* of the row before */
    unsigned char hash[CHAIN_HASH_SIZE];
    int64_t rows;
    int64_t first_bad; /* 0: none so far */
    const char *why;
    int64_t anchor_seq; /* 0: none */
    int64_t anchor_us;
    char anchor_hex[2 * CHAIN_HASH_SIZE + 1];
    char export_name[256];
    bool is_anchor_told;
};

static void note_bad(struct walk *walk, int64_t seq, const char *why)
{
    if (walk->first_bad == 0) {
        walk->first_bad = seq;
        walk->why = why;
    }
}

void store_hash_text(const void *hash, char ret_hex[2 * CHAIN_HASH_SIZE + 1])
{
    const unsigned char *bytes = hash;
    for (size_t i = 0; i < CHAIN_HASH_SIZE; i++) {
        (void)snprintf(ret_hex + 2 * i, 3, "%02x", bytes[i]);
    }
}

static bool is_hash(sqlite3_stmt *statement, int column, const unsigned char *hash)
{
    const void *stored = sqlite3_column_blob(statement, column);
    return sqlite3_column_bytes(statement, column) == CHAIN_HASH_SIZE &&
           memcmp(stored, hash, CHAIN_HASH_SIZE) == 0;
}

/* Does this row of the trail tell of the anchor? */
static bool tells_anchor(const struct walk *walk, const struct chain_row *row)
{
    if (strcmp(row->action, STORE_RETAIN_ACTION) != 0 || row->detail == NULL) {
        return false;
    }
    json_t *detail = json_loads(row->detail, 0, NULL);
    const char *hash = json_string_value(json_object_get(detail, "hash"));
    bool is_same = json_integer_value(json_object_get(detail, "last")) == walk->anchor_seq &&
                   hash != NULL && strcmp(hash, walk->anchor_hex) == 0;
    json_decref(detail);
    return is_same;
}

static enum err take_row(struct walk *walk, sqlite3_stmt *statement)
{
    struct chain_row row = {
        .seq = sqlite3_column_int64(statement, 0),
        .at_us = sqlite3_column_int64(statement, 1),
        .actor = text_at(statement, 2),
        .action = text_at(statement, 3),
        .service = optional_at(statement, 4),
        .detail = optional_at(statement, 5),
    };
    walk->rows++;
    if (row.seq != walk->seq + 1) {
        note_bad(walk, walk->seq + 1, "it is missing, or stands elsewhere");
    }
    if (!is_hash(statement, 6, walk->hash)) {
        note_bad(walk, row.seq, "it does not follow from the row before");
    }
    enum err err = chain_hash(walk->hash, &row, walk->hash);
    if (err == OK && !is_hash(statement, 7, walk->hash)) {
        note_bad(walk, row.seq, "its content is not what was written");
    }
    if (strcmp(row.action, STORE_CUT_ACTION) == 0) {
        note_bad(walk, row.seq, "those that stood here were cut off");
    }
    walk->is_anchor_told = walk->is_anchor_told || tells_anchor(walk, &row);
    walk->seq = row.seq;
    return err;
}

static enum err read_anchor(struct store *store, struct walk *walk, struct note *note)
{
    sqlite3_stmt *statement = NULL;
    enum err err = prepare(
        store, "SELECT seq, hash, at_us, export FROM audit_anchor ORDER BY seq DESC LIMIT 1",
        &statement, note);
    if (err != OK) {
        return err;
    }
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) {
        walk->anchor_seq = sqlite3_column_int64(statement, 0);
        walk->anchor_us = sqlite3_column_int64(statement, 2);
        walk->seq = walk->anchor_seq;
        (void)snprintf(walk->export_name, sizeof walk->export_name, "%s", text_at(statement, 3));
        const void *hash = sqlite3_column_blob(statement, 1);
        if (sqlite3_column_bytes(statement, 1) == CHAIN_HASH_SIZE) {
            memcpy(walk->hash, hash, CHAIN_HASH_SIZE);
        }
        store_hash_text(walk->hash, walk->anchor_hex);
    }
    (void)sqlite3_finalize(statement);
    return code == SQLITE_ROW || code == SQLITE_DONE ? OK
                                                     : store_failed(store, "cannot be read", note);
}

/* Rows cut off the end leave a good chain behind; the table's own counter remembers how long it
 * was. */
static enum err read_last_seq(struct store *store, int64_t *ret_seq, struct note *note)
{
    sqlite3_stmt *statement = NULL;
    enum err err =
        prepare(store, "SELECT seq FROM sqlite_sequence WHERE name='audit'", &statement, note);
    if (err != OK) {
        return err;
    }
    bool has_row = sqlite3_step(statement) == SQLITE_ROW;
    *ret_seq = has_row ? sqlite3_column_int64(statement, 0) : 0;
    (void)sqlite3_finalize(statement);
    return OK;
}

static enum err walk_rows(struct store *store, int64_t last, struct walk *walk, struct note *note)
{
    sqlite3_stmt *statement = NULL;
    enum err err =
        prepare(store, "SELECT " AUDIT_COLUMNS " FROM audit WHERE seq <= ?1 ORDER BY seq",
                &statement, note);
    if (err != OK) {
        return err;
    }
    (void)sqlite3_bind_int64(statement, 1, last);
    int code = sqlite3_step(statement);
    for (; err == OK && code == SQLITE_ROW; code = sqlite3_step(statement)) {
        err = take_row(walk, statement);
    }
    if (err == OK && code != SQLITE_DONE) {
        err = store_failed(store, "cannot be read", note);
    }
    (void)sqlite3_finalize(statement);
    return err;
}

static json_t *anchor_to_json(const struct walk *walk)
{
    if (walk->anchor_seq == 0) {
        return json_null();
    }
    return json_pack("{s:I, s:s, s:o, s:o}", "seq", (json_int_t)walk->anchor_seq, "hash",
                     walk->anchor_hex, "timestamp", history_time_to_json(walk->anchor_us), "export",
                     history_text_to_json(walk->export_name));
}

enum err store_verify_inside(struct store *store, json_t **ret_result, struct note *note)
{
    struct walk walk = {.why = NULL};
    int64_t last_seq = 0;
    enum err err = read_anchor(store, &walk, note);
    if (err == OK) {
        err = walk_rows(store, INT64_MAX, &walk, note);
    }
    if (err == OK) {
        err = read_last_seq(store, &last_seq, note);
    }
    if (err != OK) {
        return err;
    }
    if (last_seq != walk.seq) {
        note_bad(&walk, walk.seq + 1, "it is missing at the end");
    }
    if (walk.anchor_seq > 0 && !walk.is_anchor_told) {
        note_bad(&walk, walk.anchor_seq, "nothing in the trail tells that it was taken out");
    }
    bool is_intact = walk.first_bad == 0;
    json_t *result =
        json_pack("{s:I, s:b, s:o, s:o, s:o}", "rows", (json_int_t)walk.rows, "intact", is_intact,
                  "first_bad", is_intact ? json_null() : json_integer(walk.first_bad), "why",
                  is_intact ? json_null() : json_string(walk.why), "anchor", anchor_to_json(&walk));
    if (result == NULL) {
        return ERR_NOMEM;
    }
    *ret_result = result;
    return OK;
}

/* The row behind the last one says whether that follows from it. */
enum err store_verify_prefix(struct store *store, int64_t last, struct store_flaw *ret_flaw,
                             struct note *note)
{
    struct walk walk = {.why = NULL};
    enum err err = read_anchor(store, &walk, note);
    if (err == OK) {
        err = walk_rows(store, last + 1, &walk, note);
    }
    if (err != OK) {
        return err;
    }
    if (walk.seq != last + 1) {
        note_bad(&walk, walk.seq + 1, "it is missing");
    }
    *ret_flaw = (struct store_flaw){walk.first_bad, walk.why};
    return OK;
}

/* One transaction, so that rows and counter are of the same moment. */
enum err store_verify(struct store *store, json_t **ret_result, struct note *note)
{
    if (sqlite3_exec(store_database(store), "BEGIN", NULL, NULL, NULL) != SQLITE_OK) {
        return store_failed(store, "cannot be read", note);
    }
    enum err err = store_verify_inside(store, ret_result, note);
    (void)sqlite3_exec(store_database(store), "COMMIT", NULL, NULL, NULL);
    return err;
}

#include "canary/replay/recording_read.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "canary/policy/policy.h"
#include "proxy/base/check.h"

enum { SHOWN_MAX = 64 };

static const json_int_t MS_MAX = INT64_C(4000000000000); /* the year 2096, or a century of uptime */
static const json_int_t NUMBER_MAX = INT64_C(1) << 53;

void recording_reader_init(struct recording_reader *reader)
{
    *reader = (struct recording_reader){.line = 0};
}

static enum err refuse(const struct recording_reader *reader, struct note *note, const char *format,
                       ...) PRINTF_LIKE(3, 4);

static enum err refuse(const struct recording_reader *reader, struct note *note, const char *format,
                       ...)
{
    char text[NOTE_TEXT_MAX / 2];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    note_set(note, "line %zu: %s", reader->line, text);
    return ERR_SYNTAX;
}

/* ---- members ---- */

/* The first member that is none of the names, which end with NULL; NULL: all are known. */
static const char *unknown_member(json_t *object, const char *const *names)
{
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        size_t i = 0;
        while (names[i] != NULL && strcmp(names[i], key) != 0) {
            i++;
        }
        if (names[i] == NULL) {
            return key;
        }
    }
    return NULL;
}

static bool read_number(const json_t *value, json_int_t most, uint64_t *ret_number)
{
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || number > most) {
        return false;
    }
    *ret_number = (uint64_t)number;
    return true;
}

static enum err take_number(const struct recording_reader *reader, json_t *object, const char *name,
                            json_int_t most, uint64_t *ret_number, struct note *note)
{
    if (!read_number(json_object_get(object, name), most, ret_number)) {
        return refuse(reader, note, "\"%s\" is not a whole number from 0 to %lld", name,
                      (long long)most);
    }
    return OK;
}

static enum err take_bool(const struct recording_reader *reader, json_t *object, const char *name,
                          bool *ret_value, struct note *note)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_boolean(value)) {
        return refuse(reader, note, "\"%s\" is neither true nor false", name);
    }
    *ret_value = json_is_true(value);
    return OK;
}

/* A text of at most `size` - 1 bytes; null is "" where that may be. */
static enum err take_text(const struct recording_reader *reader, json_t *object, const char *name,
                          bool may_be_null, size_t size, char *ret_text, struct note *note)
{
    const json_t *value = json_object_get(object, name);
    if (may_be_null && json_is_null(value)) {
        ret_text[0] = '\0';
        return OK;
    }
    size_t length = json_string_length(value);
    if (!json_is_string(value) || length == 0 || length >= size) {
        return refuse(reader, note, "\"%s\" is not a text of 1 to %zu bytes", name, size - 1);
    }
    memcpy(ret_text, json_string_value(value), length + 1);
    return OK;
}

/* The index of the member's word. */
static enum err take_word(const struct recording_reader *reader, json_t *object, const char *name,
                          const char *(*word_of)(int index), int count, int *ret_index,
                          struct note *note)
{
    const char *word = json_string_value(json_object_get(object, name));
    for (int i = 0; word != NULL && i < count; i++) {
        if (strcmp(word_of(i), word) == 0) {
            *ret_index = i;
            return OK;
        }
    }
    return refuse(reader, note, "\"%s\" is no word that may stand there", name);
}

static const char *phase_word(int index)
{
    return rollout_phase_name((enum rollout_phase)index);
}

static const char *verdict_word(int index)
{
    return judge_verdict_name((enum judge_verdict)index);
}

static const char *reason_word(int index)
{
    return judge_reason_name((enum judge_reason)index);
}

static const char *mark_word(int index)
{
    return recording_mark_name((enum recording_mark)index);
}

/* ---- the head ---- */

static enum err read_policies(struct recording_reader *reader, json_t *object,
                              struct recording_head *head, struct note *note)
{
    json_t *list = json_object_get(object, "policies");
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count == 0 || count > RECORDING_POLICIES_MAX) {
        return refuse(reader, note, "\"policies\" is not a list of 1 to %d",
                      RECORDING_POLICIES_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        struct note why = {""};
        if (!policy_from_json(json_array_get(list, i), &why, &head->policies[i])) {
            return refuse(reader, note, "%s", why.text);
        }
        (void)snprintf(head->policy_names[i], sizeof head->policy_names[i], "%s",
                       head->policies[i].name);
        head->policies[i].name = head->policy_names[i];
    }
    head->policy_count = count;
    return OK;
}

static enum err read_shift(struct recording_reader *reader, json_t *object,
                           struct recording_head *head, struct note *note)
{
    json_t *list = json_object_get(object, "shift_ppm");
    size_t count = json_array_size(list);
    bool is_sound = json_is_array(list) && count <= CONF_SHIFT_MAX;
    for (size_t i = 0; i < count && is_sound; i++) {
        uint64_t ppm = 0;
        is_sound = read_number(json_array_get(list, i), CONF_PPM, &ppm);
        head->shift_ppm[i] = (uint32_t)ppm;
    }
    if (!is_sound) {
        return refuse(reader, note, "\"shift_ppm\" is not a list of at most %d shares",
                      CONF_SHIFT_MAX);
    }
    head->shift_count = count;
    return take_number(reader, object, "every_ms", 3600000, &head->every_ms, note);
}

static enum err fill_head(struct recording_reader *reader, json_t *object,
                          struct recording_head *head, struct note *note)
{
    static const char *const names[] = {"serin_recording", "service",  "begun_unix_ms", "current",
                                        "previous",        "policies", "shift_ppm",     "every_ms",
                                        "not_found_ppm",   NULL};
    const char *unknown = unknown_member(object, names);
    if (unknown != NULL) {
        return refuse(reader, note, "unknown member \"%.*s\"", SHOWN_MAX, unknown);
    }
    uint64_t begun_ms = 0;
    uint64_t not_found_ppm = 0;
    enum err err =
        take_text(reader, object, "service", false, sizeof head->service, head->service, note);
    if (err == OK) {
        err = take_number(reader, object, "begun_unix_ms", MS_MAX, &begun_ms, note);
    }
    if (err == OK) {
        err = take_text(reader, object, "current", true, sizeof head->current, head->current, note);
    }
    if (err == OK) {
        err = take_text(reader, object, "previous", true, sizeof head->previous, head->previous,
                        note);
    }
    if (err == OK) {
        err = take_number(reader, object, "not_found_ppm", CONF_PPM - 1, &not_found_ppm, note);
    }
    if (err == OK) {
        err = read_policies(reader, object, head, note);
    }
    head->begun_ms = (int64_t)begun_ms;
    head->not_found_ppm = (uint32_t)not_found_ppm;
    return err == OK ? read_shift(reader, object, head, note) : err;
}

/* A later page must be of the same recording; what else its head says is not looked at. */
static enum err continue_page(struct recording_reader *reader, json_t *object, struct note *note)
{
    const char *service = json_string_value(json_object_get(object, "service"));
    json_int_t begun_ms = json_integer_value(json_object_get(object, "begun_unix_ms"));
    if (!reader->has_more) {
        return refuse(reader, note, "the recording was whole, and here another one begins");
    }
    if (service == NULL || strcmp(service, reader->head.service) != 0 ||
        begun_ms != reader->head.begun_ms) {
        return refuse(reader, note, "this page is of another recording: was Serin restarted?");
    }
    return OK;
}

static enum err read_head(struct recording_reader *reader, json_t *object, struct note *note)
{
    const json_t *version = json_object_get(object, "serin_recording");
    if (version == NULL) {
        return refuse(reader, note, "this is no flight recording: \"serin_recording\" is missing");
    }
    if (!json_is_integer(version) || json_integer_value(version) != RECORDING_VERSION) {
        return refuse(reader, note, "a recording of another version; this program reads %d",
                      RECORDING_VERSION);
    }
    enum err err = reader->has_head ? continue_page(reader, object, note)
                                    : fill_head(reader, object, &reader->head, note);
    if (err == OK) {
        reader->has_head = true;
        reader->is_in_page = true;
        reader->page_rows = 0;
    }
    return err;
}

/* ---- rows ---- */

static enum err read_counts(const struct recording_reader *reader, json_t *object, const char *name,
                            struct recording_counts *ret_counts, struct note *note)
{
    enum { COUNT, FAILED, CONNECT, NOT_FOUND, CLIENT_BAD, COUNTS };
    json_t *list = json_object_get(object, name);
    uint64_t counts[COUNTS];
    if (!json_is_array(list) || json_array_size(list) != COUNTS) {
        return refuse(reader, note, "\"%s\" is not a list of %d counts", name, COUNTS);
    }
    for (size_t i = 0; i < COUNTS; i++) {
        if (!read_number(json_array_get(list, i), (json_int_t)RECORDING_COUNT_MAX, &counts[i])) {
            return refuse(reader, note, "\"%s\" has a count that is no whole number from 0 to %lld",
                          name, (long long)RECORDING_COUNT_MAX);
        }
    }
    if (counts[FAILED] > counts[COUNT] || counts[CONNECT] > counts[FAILED] ||
        counts[NOT_FOUND] > counts[COUNT] - counts[FAILED]) {
        return refuse(reader, note, "\"%s\" has more failures than there were requests", name);
    }
    *ret_counts = (struct recording_counts){
        .count = counts[COUNT],
        .failed = counts[FAILED],
        .connect_failed = counts[CONNECT],
        .not_found = counts[NOT_FOUND],
        .client_bad = counts[CLIENT_BAD],
    };
    return OK;
}

static enum err read_latency(const struct recording_reader *reader, json_t *object,
                             const char *name, struct histogram *ret_latency, struct note *note)
{
    json_t *list = json_object_get(object, name);
    if (list == NULL) {
        return OK;
    }
    size_t size = json_array_size(list);
    bool is_sound = json_is_array(list) && size % 2 == 0 && size <= 2 * HISTOGRAM_BUCKETS;
    uint64_t least = 0;
    for (size_t i = 0; i < size && is_sound; i += 2) {
        uint64_t bucket = 0;
        uint64_t count = 0;
        is_sound =
            read_number(json_array_get(list, i), HISTOGRAM_BUCKETS - 1, &bucket) &&
            read_number(json_array_get(list, i + 1), (json_int_t)RECORDING_COUNT_MAX, &count) &&
            bucket >= least;
        if (is_sound) {
            ret_latency->buckets[bucket] = count;
            least = bucket + 1;
        }
    }
    return is_sound
               ? OK
               : refuse(reader, note, "\"%s\" is not a list of rising buckets and counts", name);
}

static enum err read_order(struct recording_reader *reader, json_t *object,
                           struct recording_row *row, struct note *note)
{
    uint64_t wall_ms = 0;
    enum err err = take_number(reader, object, "row", NUMBER_MAX, &row->number, note);
    if (err == OK) {
        err = take_number(reader, object, "ms", MS_MAX, &row->at_ms, note);
    }
    if (err == OK) {
        err = take_number(reader, object, "unix_ms", MS_MAX, &wall_ms, note);
    }
    if (err != OK) {
        return err;
    }
    row->wall_ms = (int64_t)wall_ms;
    bool is_first = reader->row_count == 0;
    if (!is_first && row->number <= reader->last_row) {
        return refuse(reader, note, "row %llu comes after row %llu",
                      (unsigned long long)row->number, (unsigned long long)reader->last_row);
    }
    if (!is_first && row->at_ms < reader->last_ms) {
        return refuse(reader, note, "time goes back, from %llu to %llu ms",
                      (unsigned long long)reader->last_ms, (unsigned long long)row->at_ms);
    }
    return OK;
}

static enum err read_state(const struct recording_reader *reader, json_t *object,
                           struct recording_row *row, struct note *note)
{
    uint64_t weight_ppm = 0;
    int phase = 0;
    int verdict = 0;
    int reason = 0;
    enum err err = take_number(reader, object, "weight_ppm", CONF_PPM, &weight_ppm, note);
    if (err == OK) {
        err = take_bool(reader, object, "landed", &row->is_landed, note);
    }
    if (err == OK) {
        err = take_bool(reader, object, "contained", &row->is_contained, note);
    }
    if (err == OK) {
        err = take_word(reader, object, "phase", phase_word, ROLLOUT_PHASE_COUNT, &phase, note);
    }
    if (err == OK) {
        err =
            take_word(reader, object, "verdict", verdict_word, JUDGE_VERDICT_COUNT, &verdict, note);
    }
    if (err == OK) {
        err = take_word(reader, object, "reason", reason_word, JUDGE_REASON_COUNT, &reason, note);
    }
    row->weight_ppm = (uint32_t)weight_ppm;
    row->phase = (enum rollout_phase)phase;
    row->verdict = (enum judge_verdict)verdict;
    row->reason = (enum judge_reason)reason;
    return err;
}

static enum err read_mark(const struct recording_reader *reader, json_t *object,
                          struct recording_row *row, struct note *note)
{
    int mark = RECORDING_MARK_NONE;
    enum err err = OK;
    if (json_object_get(object, "mark") != NULL) {
        err = take_word(reader, object, "mark", mark_word, RECORDING_MARK_COUNT, &mark, note);
    }
    row->mark = (enum recording_mark)mark;
    if (err == OK && row->mark == RECORDING_MARK_REBASE) {
        err = take_text(reader, object, "current", true, sizeof row->current, row->current, note);
    }
    if (err == OK && row->mark == RECORDING_MARK_REBASE) {
        err =
            take_text(reader, object, "previous", true, sizeof row->previous, row->previous, note);
    }
    return err;
}

static enum err fill_row(struct recording_reader *reader, json_t *object, struct recording_row *row,
                         struct note *note)
{
    enum err err = read_order(reader, object, row, note);
    if (err == OK) {
        err = read_state(reader, object, row, note);
    }
    if (err == OK) {
        err = read_counts(reader, object, "canary", &row->canary, note);
    }
    if (err == OK) {
        err = read_counts(reader, object, "stable", &row->stable, note);
    }
    if (err == OK) {
        err = read_latency(reader, object, "canary_latency", &row->canary_latency, note);
    }
    if (err == OK) {
        err = read_latency(reader, object, "stable_latency", &row->stable_latency, note);
    }
    return err == OK ? read_mark(reader, object, row, note) : err;
}

static enum err read_row(struct recording_reader *reader, json_t *object,
                         struct recording_row *ret_row, struct note *note)
{
    static const char *const names[] = {
        "row",     "ms",       "unix_ms", "weight_ppm", "landed",         "contained",      "phase",
        "verdict", "reason",   "canary",  "stable",     "canary_latency", "stable_latency", "mark",
        "current", "previous", NULL};
    const char *unknown = unknown_member(object, names);
    if (unknown != NULL) {
        return refuse(reader, note, "unknown member \"%.*s\"", SHOWN_MAX, unknown);
    }
    if (reader->row_count == RECORDING_ROWS_MAX) {
        return refuse(reader, note, "more than %d rows", RECORDING_ROWS_MAX);
    }
    *ret_row = (struct recording_row){.number = 0};
    enum err err = fill_row(reader, object, ret_row, note);
    if (err != OK) {
        return err;
    }
    if (reader->row_count > 0) {
        reader->missing_count += ret_row->number - reader->last_row - 1;
    }
    reader->last_row = ret_row->number;
    reader->last_ms = ret_row->at_ms;
    reader->row_count++;
    reader->page_rows++;
    return OK;
}

static enum err read_end(struct recording_reader *reader, json_t *object, struct note *note)
{
    static const char *const names[] = {"rows", "next", NULL};
    const json_t *next = json_object_get(object, "next");
    const char *unknown = unknown_member(object, names);
    uint64_t rows = 0;
    if (unknown != NULL) {
        return refuse(reader, note, "unknown member \"%.*s\"", SHOWN_MAX, unknown);
    }
    enum err err = take_number(reader, object, "rows", NUMBER_MAX, &rows, note);
    if (err != OK) {
        return err;
    }
    if (rows != reader->page_rows) {
        return refuse(reader, note, "there should have been %llu rows, and there were %llu",
                      (unsigned long long)rows, (unsigned long long)reader->page_rows);
    }
    if (!json_is_null(next) && !read_number(next, NUMBER_MAX, &reader->next)) {
        return refuse(reader, note, "\"next\" is neither the number of a row nor null");
    }
    if (!json_is_null(next) && (rows == 0 || reader->next != reader->last_row)) {
        return refuse(reader, note, "\"next\" is not the number of the last row");
    }
    reader->has_more = !json_is_null(next);
    reader->is_in_page = false;
    return OK;
}

/* ---- lines ---- */

static enum err read_object(struct recording_reader *reader, json_t *object,
                            enum recording_kind *ret_kind, struct recording_row *ret_row,
                            struct note *note)
{
    if (!reader->is_in_page) {
        *ret_kind = RECORDING_HEAD;
        return read_head(reader, object, note);
    }
    if (json_object_get(object, "rows") != NULL) {
        *ret_kind = RECORDING_END;
        return read_end(reader, object, note);
    }
    *ret_kind = RECORDING_ROW;
    return read_row(reader, object, ret_row, note);
}

enum err recording_read_line(struct recording_reader *reader, struct bytes line,
                             enum recording_kind *ret_kind, struct recording_row *ret_row,
                             struct note *note)
{
    reader->line++;
    if (line.size > RECORDING_LINE_MAX) {
        return refuse(reader, note, "longer than %d bytes", RECORDING_LINE_MAX);
    }
    json_error_t error;
    json_t *object = json_loadb(line.data, line.size, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(object)) {
        json_decref(object);
        return refuse(reader, note, "this is not one JSON object");
    }
    enum err err = read_object(reader, object, ret_kind, ret_row, note);
    json_decref(object);
    return err;
}

enum err recording_read_end(const struct recording_reader *reader, struct note *note)
{
    if (!reader->has_head) {
        note_set(note, "the recording is empty");
        return ERR_SYNTAX;
    }
    if (reader->is_in_page) {
        note_set(note, "line %zu: the recording ends here, before its end: it was cut",
                 reader->line);
        return ERR_SYNTAX;
    }
    if (reader->has_more) {
        note_set(note, "line %zu: more rows follow: ask for the next page with after=%llu",
                 reader->line, (unsigned long long)reader->next);
        return ERR_SYNTAX;
    }
    return OK;
}

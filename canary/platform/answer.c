#include "canary/platform/answer.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/check.h"

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static uint64_t count_of(const json_t *object, const char *key, uint64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    bool is_count = json_is_integer(value) && json_integer_value(value) >= 0;
    return is_count ? (uint64_t)json_integer_value(value) : otherwise;
}

/* ---- texts that were cut in the middle of a character ---- */

enum { ESCAPE_SIZE = 6 }; /* of \uXXXX */

/* The number of the escape at `at`; SIZE_MAX: there is none. */
static size_t escape_at(const char *text, size_t size, size_t at)
{
    size_t number = 0;
    if (at + ESCAPE_SIZE > size || text[at] != '\\' || text[at + 1] != 'u') {
        return SIZE_MAX;
    }
    for (size_t i = at + 2; i < at + ESCAPE_SIZE; i++) {
        const char *digits = "0123456789abcdef";
        const char *digit = memchr(digits, text[i] | 0x20, 16);
        if (digit == NULL) {
            return SIZE_MAX;
        }
        number = number << 4 | (size_t)(digit - digits);
    }
    return number;
}

/* Replaces escapes of half a character, and of NUL. False: there was none. */
static bool mend_escapes(char *text, size_t size)
{
    bool is_mended = false;
    size_t at = 0;
    while (at < size) {
        size_t number = escape_at(text, size, at);
        size_t next = number != SIZE_MAX ? escape_at(text, size, at + ESCAPE_SIZE) : SIZE_MAX;
        bool is_first = number >= 0xD800 && number < 0xDC00;
        bool is_pair = is_first && next >= 0xDC00 && next < 0xE000;
        bool is_half = !is_pair && number >= 0xD800 && number < 0xE000;
        if (is_half || number == 0) {
            memcpy(text + at, "\\ufffd", ESCAPE_SIZE);
            is_mended = true;
        }
        size_t escape = text[at] == '\\' ? 2 : 1;
        at += is_pair ? 2 * (size_t)ESCAPE_SIZE : number != SIZE_MAX ? ESCAPE_SIZE : escape;
    }
    return is_mended;
}

static json_t *load(struct bytes body)
{
    json_error_t error;
    json_t *root = json_loadb(body.data != NULL ? body.data : "", body.size, 0, &error);
    if (root != NULL || body.size == 0 || json_error_code(&error) == json_error_out_of_memory) {
        return root;
    }
    char *copy = malloc(body.size);
    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy, body.data, body.size);
    if (mend_escapes(copy, body.size)) {
        root = json_loadb(copy, body.size, 0, NULL);
    }
    free(copy);
    return root;
}

/* ---- the envelope ---- */

enum err answer_parse(struct bytes body, struct answer *ret_answer)
{
    json_t *root = load(body);
    const json_t *success = json_object_get(root, "success");
    if (!json_is_boolean(success)) {
        json_decref(root);
        return ERR_SYNTAX;
    }
    const json_t *error = json_array_get(json_object_get(root, "errors"), 0);
    const json_t *info = json_object_get(root, "result_info");
    json_t *result = json_object_get(root, "result");
    struct answer answer = {
        .root = root,
        .is_success = json_is_true(success),
        .code = json_integer_value(json_object_get(error, "code")),
        .result = json_is_null(result) ? NULL : result,
        .total = count_of(info, "total_count", UINT64_MAX),
        .per_page = count_of(info, "per_page", 0),
    };
    platform_text_copy(answer.message, sizeof answer.message, text_of(error, "message"));
    *ret_answer = answer;
    return OK;
}

void answer_finish(struct answer *answer)
{
    json_decref(answer->root);
    *answer = (struct answer){0};
}

enum err answer_deployment(const json_t *value, struct platform_deployment *ret_deployment)
{
    const char *id = text_of(value, "id");
    if (!platform_id_is_plain(id)) {
        return ERR_NOT_FOUND;
    }
    struct platform_deployment one = {.is_skipped =
                                          json_is_true(json_object_get(value, "is_skipped"))};
    const json_t *stage = json_object_get(value, "latest_stage");
    const json_t *meta = json_object_get(json_object_get(value, "deployment_trigger"), "metadata");
    platform_text_copy(one.id, sizeof one.id, id);
    platform_text_copy(one.short_id, sizeof one.short_id, text_of(value, "short_id"));
    platform_text_copy(one.url, sizeof one.url, text_of(value, "url"));
    platform_text_copy(one.environment, sizeof one.environment, text_of(value, "environment"));
    platform_text_copy(one.created, sizeof one.created, text_of(value, "created_on"));
    platform_text_copy(one.stage, sizeof one.stage, text_of(stage, "name"));
    platform_text_copy(one.status, sizeof one.status, text_of(stage, "status"));
    platform_text_copy(one.branch, sizeof one.branch, text_of(meta, "branch"));
    platform_text_copy(one.commit, sizeof one.commit, text_of(meta, "commit_hash"));
    platform_text_copy(one.message, sizeof one.message, text_of(meta, "commit_message"));
    one.created_us = platform_time_parse(one.created);
    *ret_deployment = one;
    return OK;
}

enum err answer_live(const json_t *project, struct platform_deployment *ret_deployment)
{
    if (!json_is_object(project) || text_of(project, "name") == NULL) {
        return ERR_SYNTAX;
    }
    return answer_deployment(json_object_get(project, "canonical_deployment"), ret_deployment);
}

/* How many of the last lines fit. */
static size_t first_line(const json_t *lines)
{
    size_t index = json_array_size(lines);
    size_t size = 0;
    while (index > 0) {
        const json_t *line = json_array_get(lines, index - 1);
        size += json_string_length(json_object_get(line, "line")) + DEPLOYMENT_WORD_SIZE + 2;
        if (size > ANSWER_LOG_MAX) {
            break;
        }
        index--;
    }
    return index;
}

static void append_line(struct buf *out, const json_t *line)
{
    char time[DEPLOYMENT_WORD_SIZE];
    const char *text = text_of(line, "line");
    platform_text_copy(time, sizeof time, text_of(line, "ts"));
    (void)buf_printf(out, "%s ", time);
    size_t size = text != NULL ? strlen(text) + 1 : 1;
    char *place = buf_reserve(out, size);
    if (place != NULL) {
        platform_text_copy(place, size, text);
        buf_grew(out, strlen(place));
    }
    (void)buf_append_byte(out, '\n');
}

enum err answer_log(const json_t *result, struct buf *out)
{
    const json_t *lines = json_object_get(result, "data");
    if (!json_is_array(lines)) {
        return ERR_SYNTAX;
    }
    for (size_t i = first_line(lines); i < json_array_size(lines); i++) {
        append_line(out, json_array_get(lines, i));
    }
    return out->is_failed ? ERR_NOMEM : OK;
}

static void add_version(struct answer_split *split, const json_t *version)
{
    const char *id = text_of(version, "version_id");
    const json_t *percentage = json_object_get(version, "percentage");
    if (!platform_id_is_plain(id) || !json_is_number(percentage) || split->version_count == 2) {
        return;
    }
    double percent = json_number_value(percentage);
    bool is_first = split->version_count == 0 || percent > split->percents[0];
    if (is_first) {
        memcpy(split->versions[1], split->versions[0], sizeof split->versions[1]);
        split->percents[1] = split->percents[0];
    }
    size_t place = is_first ? 0 : 1;
    platform_text_copy(split->versions[place], sizeof split->versions[place], id);
    split->percents[place] = percent;
    split->version_count++;
}

enum err answer_split(const json_t *value, struct answer_split *ret_split)
{
    const json_t *versions = json_object_get(value, "versions");
    struct answer_split split = {.version_count = 0};
    for (size_t i = 0; i < json_array_size(versions); i++) {
        add_version(&split, json_array_get(versions, i));
    }
    if (split.version_count == 0) {
        return ERR_NOT_FOUND;
    }
    const json_t *annotations = json_object_get(value, "annotations");
    platform_text_copy(split.id, sizeof split.id, text_of(value, "id"));
    platform_text_copy(split.created, sizeof split.created, text_of(value, "created_on"));
    platform_text_copy(split.message, sizeof split.message,
                       text_of(annotations, "workers/message"));
    *ret_split = split;
    return OK;
}

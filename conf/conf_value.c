#include "conf/conf_value.h"

#include <stdio.h>

#include "conf/conf_address.h"
#include "conf/conf_number.h"
#include "proxy/base/buf.h"
#include "proxy/base/check.h"

static bool is_one_of(struct bytes text, const char *const *words, size_t word_count)
{
    for (size_t i = 0; i < word_count; i++) {
        if (bytes_equal_nocase(text, bytes_of(words[i]))) {
            return true;
        }
    }
    return false;
}

bool conf_word_is_off(struct bytes text)
{
    static const char *const words[] = {"off", "none", "false", "no", "null", "~", ""};
    return is_one_of(text, words, COUNT_OF(words));
}

bool conf_word_is_on(struct bytes text)
{
    static const char *const words[] = {"on", "true", "yes"};
    return is_one_of(text, words, COUNT_OF(words));
}

static enum err check_bounds(const struct conf_key *key, uint64_t value, struct note *note)
{
    char bound[CONF_NUMBER_TEXT_SIZE];
    if (value < key->low) {
        conf_number_format(key->type, key->low, bound);
        note_set(note, "is below the least, %s", bound);
        return ERR_RANGE;
    }
    if (value > key->high) {
        conf_number_format(key->type, key->high, bound);
        note_set(note, "is above the most, %s", bound);
        return ERR_RANGE;
    }
    return OK;
}

static enum err parse_number(const struct conf_key *key, struct bytes text, struct note *note,
                             void *ret_value)
{
    uint64_t value = 0;
    bool is_none = (key->flags & CONF_KEY_NONE) != 0 && conf_word_is_off(text);
    bool is_auto = (key->flags & CONF_KEY_AUTO) != 0 && bytes_equal_nocase(text, BYTES("auto"));
    if (!is_none && !is_auto) {
        enum err err = conf_number_parse(key->type, text, note, &value);
        if (err == OK) {
            err = check_bounds(key, value, note);
        }
        if (err != OK) {
            return err;
        }
    }
    if (key->type == CONF_TYPE_RATE) {
        uint32_t ppm = (uint32_t)value;
        memcpy(ret_value, &ppm, sizeof ppm);
    } else {
        memcpy(ret_value, &value, sizeof value);
    }
    return OK;
}

static enum err parse_step(const struct conf_key *key, struct bytes text, struct note *note,
                           void *ret_value)
{
    uint64_t value = CONF_STEP_PAUSE;
    if (!bytes_equal_nocase(text, BYTES("pause"))) {
        enum err err = conf_number_parse(CONF_TYPE_RATE, text, note, &value);
        if (err == ERR_SYNTAX) {
            note_set(note, "is neither a rate as in 5%% nor the word pause");
        }
        err = err == OK ? check_bounds(key, value, note) : err;
        if (err != OK) {
            return err;
        }
    }
    uint32_t ppm = (uint32_t)value;
    memcpy(ret_value, &ppm, sizeof ppm);
    return OK;
}

enum err conf_step_parse(struct bytes text, struct note *note, uint32_t *ret_step_ppm)
{
    static const struct conf_key key = {.type = CONF_TYPE_STEP, .low = 1, .high = CONF_PPM};
    return parse_step(&key, text, note, ret_step_ppm);
}

static enum err parse_switch(struct bytes text, struct note *note, void *ret_value)
{
    bool is_on = conf_word_is_on(text);
    if (!is_on && !conf_word_is_off(text)) {
        note_set(note, "is neither on nor off");
        return ERR_SYNTAX;
    }
    memcpy(ret_value, &is_on, sizeof is_on);
    return OK;
}

/* "on", "off" and "none" stand for all their spellings. */
static bool is_word(struct bytes text, const char *word)
{
    struct bytes wanted = bytes_of(word);
    return bytes_equal(text, wanted) || (conf_word_is_off(wanted) && conf_word_is_off(text)) ||
           (conf_word_is_on(wanted) && conf_word_is_on(text));
}

static enum err parse_choice(const struct conf_key *key, struct bytes text, struct note *note,
                             void *ret_value)
{
    char words[NOTE_TEXT_MAX] = "";
    size_t used = 0;
    for (unsigned i = 0; key->choices[i] != NULL; i++) {
        if (is_word(text, key->choices[i])) {
            memcpy(ret_value, &i, sizeof i);
            return OK;
        }
        const char *glue = i == 0 ? "" : key->choices[i + 1] != NULL ? ", " : " or ";
        int written = snprintf(words + used, sizeof words - used, "%s%s", glue, key->choices[i]);
        CHECK(written > 0 && (size_t)written < sizeof words - used);
        used += (size_t)written;
    }
    note_set(note, "is none of %s", words);
    return ERR_SYNTAX;
}

static bool is_letter_or_digit(char byte)
{
    char lower = byte_lower(byte);
    return (lower >= 'a' && lower <= 'z') || (byte >= '0' && byte <= '9');
}

static bool is_made_of(struct bytes text, const char *marks)
{
    for (size_t i = 0; i < text.size; i++) {
        if (!is_letter_or_digit(text.data[i]) &&
            (text.data[i] == '\0' || strchr(marks, text.data[i]) == NULL)) {
            return false;
        }
    }
    return text.size > 0;
}

/* What a text of some type may look like. */
struct form {
    size_t size_max;
    const char *marks; /* beside letters and digits */
    const char *advice;
};

static const struct form forms[CONF_TYPE_TOTAL] = {
    [CONF_TYPE_NAME] = {CONF_NAME_MAX, "._-", "letters, digits, '.', '_' and '-'"},
    [CONF_TYPE_DEPLOYMENT] = {CONF_DEPLOYMENT_MAX, "._-:@+~",
                              "letters, digits and any of . _ - : @ + ~"},
    [CONF_TYPE_FIELD] = {CONF_NAME_MAX, "!#$%&'*+-.^_`|~", "what RFC 9110 calls a token"},
    [CONF_TYPE_VARIABLE] = {CONF_HOST_MAX, "_", "letters, digits and '_'"},
};

static enum err keep(const struct conf_value_context *context, struct bytes text, void *ret_value)
{
    char *copy = arena_alloc(context->arena, text.size + 1);
    if (copy == NULL) {
        return ERR_NOMEM;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    const char *kept = copy;
    memcpy(ret_value, &kept, sizeof kept);
    return OK;
}

static enum err keep_lower(const struct conf_value_context *context, struct bytes text,
                           void *ret_value)
{
    char lower[CONF_HOST_MAX + 1];
    CHECK(text.size < sizeof lower);
    for (size_t i = 0; i < text.size; i++) {
        lower[i] = byte_lower(text.data[i]);
    }
    return keep(context, bytes_make(lower, text.size), ret_value);
}

static enum err check_size(struct bytes text, size_t size_max, struct note *note)
{
    if (text.size == 0) {
        note_set(note, "is empty");
        return ERR_SYNTAX;
    }
    if (text.size > size_max) {
        note_set(note, "is longer than %zu bytes", size_max);
        return ERR_LIMIT;
    }
    return OK;
}

static enum err parse_formed(const struct conf_value_context *context, const struct conf_key *key,
                             struct bytes text, struct note *note, void *ret_value)
{
    const struct form *form = &forms[key->type];
    enum err err = check_size(text, form->size_max, note);
    if (err != OK) {
        return err;
    }
    if (!is_made_of(text, form->marks)) {
        note_set(note, "may hold only %s", form->advice);
        return ERR_SYNTAX;
    }
    bool is_folded = key->type == CONF_TYPE_FIELD;
    return is_folded ? keep_lower(context, text, ret_value) : keep(context, text, ret_value);
}

static enum err parse_file(const struct conf_value_context *context, struct bytes text,
                           struct note *note, void *ret_value)
{
    enum err err = check_size(text, CONF_PATH_MAX, note);
    if (err != OK) {
        return err;
    }
    if (text.data[0] == '/' || bytes_equal(text, BYTES("-")) || context->folder.size == 0) {
        return keep(context, text, ret_value);
    }
    struct buf path;
    buf_init(&path, context->folder.size + CONF_PATH_MAX + 1);
    (void)buf_append(&path, context->folder);
    if (context->folder.data[context->folder.size - 1] != '/') {
        (void)buf_append_byte(&path, '/');
    }
    (void)buf_append(&path, text);
    err = path.is_failed ? ERR_NOMEM : keep(context, buf_bytes(&path), ret_value);
    buf_finish(&path);
    return err;
}

/* RFC 3986 section 3.3: what may stand in a path, percent-encoding included. */
static enum err parse_url_path(const struct conf_value_context *context, struct bytes text,
                               struct note *note, void *ret_value)
{
    enum err err = check_size(text, CONF_PATH_MAX, note);
    if (err != OK) {
        return err;
    }
    if (text.data[0] != '/') {
        note_set(note, "does not begin with '/'");
        return ERR_SYNTAX;
    }
    if (!is_made_of(text, "/-._~!$&'()*+,;=:@%")) {
        note_set(note, "may hold only what stands in the path of a URL, percent-encoded and "
                       "without '?' or '#'");
        return ERR_SYNTAX;
    }
    return keep(context, text, ret_value);
}

static enum err parse_host(const struct conf_value_context *context, const struct conf_key *key,
                           struct bytes text, struct note *note, void *ret_value)
{
    struct bytes name = text;
    if (key->type == CONF_TYPE_PATTERN) {
        if (bytes_equal(text, BYTES("*"))) {
            return keep(context, text, ret_value);
        }
        if (bytes_starts_with(text, BYTES("*."))) {
            name = bytes_slice(text, 2, text.size - 2);
        }
    }
    enum err err = conf_host_check(name, note);
    return err != OK ? err : keep_lower(context, text, ret_value);
}

static enum err parse_url(const struct conf_value_context *context, struct bytes text,
                          struct note *note, void *ret_value)
{
    enum err err = conf_url_check(text, note);
    return err != OK ? err : keep(context, text, ret_value);
}

static enum err parse_word(const struct conf_value_context *context, struct bytes text,
                           struct note *note, void *ret_value)
{
    enum err err = check_size(text, CONF_WORD_MAX, note);
    return err != OK ? err : keep(context, text, ret_value);
}

enum { STATUS_MIN = 100, STATUS_MAX = 599, STATUS_CLASS = 100 };

/* "5xx" */
static bool parse_status_class(struct bytes text, struct conf_statuses *ret_statuses)
{
    bool is_class = text.size == 3 && text.data[0] >= '1' && text.data[0] <= '5' &&
                    bytes_equal(bytes_slice(text, 1, 2), BYTES("xx"));
    if (is_class) {
        uint16_t first = (uint16_t)((text.data[0] - '0') * STATUS_CLASS);
        *ret_statuses = (struct conf_statuses){first, (uint16_t)(first + STATUS_CLASS - 1)};
    }
    return is_class;
}

/* One status, first-last, or a class. */
static enum err parse_statuses(struct bytes text, struct note *note, void *ret_value)
{
    struct conf_statuses statuses;
    if (parse_status_class(text, &statuses)) {
        memcpy(ret_value, &statuses, sizeof statuses);
        return OK;
    }
    size_t dash = bytes_find(text, '-');
    uint64_t first;
    uint64_t last;
    bool is_number = bytes_to_u64(bytes_slice(text, 0, dash), &first);
    last = first;
    if (dash < text.size) {
        is_number =
            is_number && bytes_to_u64(bytes_slice(text, dash + 1, text.size - dash - 1), &last);
    }
    if (!is_number || first < STATUS_MIN || last > STATUS_MAX || first > last) {
        note_set(note,
                 "is not a status from 100 to 599, a range of them as in 200-399, or a class as "
                 "in 5xx");
        return ERR_SYNTAX;
    }
    statuses = (struct conf_statuses){(uint16_t)first, (uint16_t)last};
    memcpy(ret_value, &statuses, sizeof statuses);
    return OK;
}

static enum err parse_range(struct bytes text, struct note *note, void *ret_value)
{
    struct ip_range range;
    if (!ip_range_parse(text, &range)) {
        note_set(note, "is not an address or a range as in 10.0.0.0/8 (bits behind the length "
                       "must be 0)");
        return ERR_SYNTAX;
    }
    memcpy(ret_value, &range, sizeof range);
    return OK;
}

enum err conf_value_parse(const struct conf_value_context *context, const struct conf_key *key,
                          struct bytes text, struct note *note, void *ret_value)
{
    switch (key->type) {
    case CONF_TYPE_COUNT:
    case CONF_TYPE_DURATION:
    case CONF_TYPE_SIZE:
    case CONF_TYPE_RATE:
        return parse_number(key, text, note, ret_value);
    case CONF_TYPE_STEP:
        return parse_step(key, text, note, ret_value);
    case CONF_TYPE_SWITCH:
        return parse_switch(text, note, ret_value);
    case CONF_TYPE_CHOICE:
        return parse_choice(key, text, note, ret_value);
    case CONF_TYPE_NAME:
    case CONF_TYPE_DEPLOYMENT:
    case CONF_TYPE_FIELD:
    case CONF_TYPE_VARIABLE:
        return parse_formed(context, key, text, note, ret_value);
    case CONF_TYPE_FILE:
        return parse_file(context, text, note, ret_value);
    case CONF_TYPE_URL_PATH:
    case CONF_TYPE_PREFIX:
    case CONF_TYPE_GLOB:
        return parse_url_path(context, text, note, ret_value);
    case CONF_TYPE_HOST:
    case CONF_TYPE_PATTERN:
        return parse_host(context, key, text, note, ret_value);
    case CONF_TYPE_LISTEN:
    case CONF_TYPE_ADDRESS:
        return conf_address_parse(context, key->type == CONF_TYPE_ADDRESS, text, note, ret_value);
    case CONF_TYPE_RANGE:
        return parse_range(text, note, ret_value);
    case CONF_TYPE_ENDPOINT:
        return conf_endpoint_parse(context, text, note, ret_value);
    case CONF_TYPE_URL:
        return parse_url(context, text, note, ret_value);
    case CONF_TYPE_WORD:
        return parse_word(context, text, note, ret_value);
    case CONF_TYPE_STATUSES:
        return parse_statuses(text, note, ret_value);
    case CONF_TYPE_SECTION:
    case CONF_TYPE_UNBUILT:
    case CONF_TYPE_TOTAL:
        break;
    }
    check_failed("a key of this type has no scalar", __FILE__, __LINE__);
}

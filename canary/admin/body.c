#include "canary/admin/body.h"

#include <string.h>

static const char *const kind_names[] = {
    [BODY_STRING] = "a string",  [BODY_NUMBER] = "a number", [BODY_BOOL] = "true or false",
    [BODY_OBJECT] = "an object", [BODY_ARRAY] = "an array",
};

static bool has_kind(const json_t *value, enum body_kind_of kind)
{
    switch (kind) {
    case BODY_STRING:
        return json_is_string(value);
    case BODY_NUMBER:
        return json_is_number(value);
    case BODY_BOOL:
        return json_is_boolean(value);
    case BODY_OBJECT:
        return json_is_object(value);
    case BODY_ARRAY:
        return json_is_array(value);
    }
    return false;
}

/* Only what says that it is JSON: a form posted by a foreign page cannot, without asking first
 * (CORS). */
static bool is_json(const struct fields *fields)
{
    const struct field *field = fields_find(fields, FIELD_CONTENT_TYPE);
    if (field == NULL) {
        return false;
    }
    size_t cut = bytes_find(field->value, ';');
    return bytes_equal_nocase(bytes_trim(bytes_slice(field->value, 0, cut)),
                              BYTES("application/json"));
}

/* jansson recurses per level; a look at the brackets bounds that before it starts. */
static bool is_too_deep(struct bytes text)
{
    size_t depth = 0;
    bool is_string = false;
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (is_string) {
            i += byte == '\\' ? 1 : 0;
            is_string = byte != '"';
            continue;
        }
        is_string = byte == '"';
        depth += byte == '{' || byte == '[' ? 1 : 0;
        depth -= (byte == '}' || byte == ']') && depth > 0 ? 1 : 0;
        if (depth > BODY_DEPTH_MAX) {
            return true;
        }
    }
    return false;
}

static bool parse(struct admin_call *call, json_t **ret_document)
{
    struct bytes body = call->request->body;
    if (body.size > ADMIN_BODY_MAX || call->request->is_too_large) {
        call_problem(call, 413, NULL, "The body may have %d bytes.", ADMIN_BODY_MAX);
        return false;
    }
    if (body.size == 0) {
        *ret_document = json_object();
        if (*ret_document == NULL) {
            call_json(call, 503, NULL, NULL);
        }
        return *ret_document != NULL;
    }
    if (!is_json(call->request->fields)) {
        call_problem(call, 415, "Content-Type", "The body must be application/json.");
        return false;
    }
    if (is_too_deep(body)) {
        call_problem(call, 400, NULL, "The body is nested too deeply.");
        return false;
    }
    json_error_t error = {0};
    json_t *document = json_loadb(body.data, body.size, JSON_REJECT_DUPLICATES, &error);
    /* What is wrong with a text is always told; no text at all means that jansson had no memory. */
    if (document == NULL && error.text[0] == '\0') {
        call_json(call, 503, NULL, NULL);
        return false;
    }
    if (document == NULL) {
        call_problem(call, 400, NULL, "The body is not JSON: line %d, column %d: %s.", error.line,
                     error.column, error.text);
        return false;
    }
    if (!json_is_object(document)) {
        json_decref(document);
        call_problem(call, 422, NULL, "The body must be a JSON object.");
        return false;
    }
    *ret_document = document;
    return true;
}

static struct body_member *find_member(struct body_member *members, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(members[i].name, name) == 0) {
            return &members[i];
        }
    }
    return NULL;
}

static bool check_string(struct admin_call *call, const char *name, const json_t *value)
{
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    if (size == 0 || size > BODY_STRING_MAX) {
        call_problem(call, 422, name, "\"%s\" must have 1 to %d bytes.", name, BODY_STRING_MAX);
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F) {
            call_problem(call, 422, name, "\"%s\" must have no control characters.", name);
            return false;
        }
    }
    return true;
}

static bool take_member(struct admin_call *call, struct body_member *members, size_t count,
                        const char *name, json_t *value)
{
    struct body_member *member = find_member(members, count, name);
    if (member == NULL) {
        call_problem(call, 422, name, "There is no member of this name here.");
        return false;
    }
    if (!has_kind(value, member->kind)) {
        call_problem(call, 422, name, "\"%s\" must be %s.", name, kind_names[member->kind]);
        return false;
    }
    if (member->kind == BODY_STRING && !check_string(call, member->name, value)) {
        return false;
    }
    member->value = value;
    return true;
}

static bool take_members(struct admin_call *call, json_t *document, struct body_member *members,
                         size_t count)
{
    const char *name;
    json_t *value;
    json_object_foreach(document, name, value)
    {
        if (!take_member(call, members, count, name, value)) {
            return false;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (members[i].is_required && members[i].value == NULL) {
            call_problem(call, 422, members[i].name, "\"%s\" is missing.", members[i].name);
            return false;
        }
    }
    return true;
}

bool body_read(struct admin_call *call, struct body_member *members, size_t member_count,
               json_t **ret_document)
{
    json_t *document = NULL;
    if (!parse(call, &document)) {
        return false;
    }
    if (!take_members(call, document, members, member_count)) {
        json_decref(document);
        return false;
    }
    *ret_document = document;
    return true;
}

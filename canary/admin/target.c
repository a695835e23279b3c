#include "canary/admin/target.h"

#include <string.h>

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    char lower = byte_lower(digit);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* RFC 3986 section 2.1; what comes out is never longer than what went in. */
static enum err decode(struct bytes text, struct arena *arena, const char **ret_text)
{
    char *decoded = arena_alloc(arena, text.size + 1);
    if (decoded == NULL) {
        return ERR_NOMEM;
    }
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (byte == '%') {
            int high = i + 1 < text.size ? hex_value(text.data[i + 1]) : -1;
            int low = i + 2 < text.size ? hex_value(text.data[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return ERR_SYNTAX;
            }
            byte = (char)(high * 16 + low);
            i += 2;
        }
        if (byte == '\0') {
            return ERR_SYNTAX;
        }
        decoded[size++] = byte;
    }
    decoded[size] = '\0';
    *ret_text = decoded;
    return OK;
}

static enum err parse_segment(struct bytes text, struct arena *arena, struct target *target)
{
    if (target->segment_count == TARGET_SEGMENTS_MAX) {
        return ERR_LIMIT;
    }
    const char *segment = NULL;
    enum err err = decode(text, arena, &segment);
    if (err != OK) {
        return err;
    }
    if (segment[0] == '\0' || strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0) {
        return ERR_SYNTAX;
    }
    target->segments[target->segment_count++] = segment;
    return OK;
}

static enum err parse_path(struct bytes path, struct arena *arena, struct target *target)
{
    if (path.size == 0 || path.data[0] != '/') {
        return ERR_SYNTAX;
    }
    if (path.size == 1) {
        return OK;
    }
    struct bytes rest = bytes_slice(path, 1, path.size - 1);
    if (rest.data[rest.size - 1] == '/') {
        return ERR_SYNTAX;
    }
    struct bytes segment;
    while (bytes_next(&rest, '/', &segment)) {
        enum err err = parse_segment(segment, arena, target);
        if (err != OK) {
            return err;
        }
    }
    return OK;
}

static enum err parse_parameter(struct bytes text, struct arena *arena, struct target *target)
{
    if (target->parameter_count == TARGET_PARAMETERS_MAX) {
        return ERR_LIMIT;
    }
    size_t cut = bytes_find(text, '=');
    size_t after = cut < text.size ? cut + 1 : cut;
    struct target_parameter parameter = {0};
    enum err err = decode(bytes_slice(text, 0, cut), arena, &parameter.name);
    if (err == OK) {
        err = decode(bytes_slice(text, after, text.size - after), arena, &parameter.value);
    }
    if (err != OK) {
        return err;
    }
    if (parameter.name[0] == '\0' || target_parameter(target, parameter.name) != NULL) {
        return ERR_SYNTAX;
    }
    target->parameters[target->parameter_count++] = parameter;
    return OK;
}

enum err target_parse(struct bytes text, struct arena *arena, struct target *ret_target)
{
    if (text.size > TARGET_TEXT_MAX) {
        return ERR_LIMIT;
    }
    struct target target = {0};
    size_t cut = bytes_find(text, '?');
    enum err err = parse_path(bytes_slice(text, 0, cut), arena, &target);
    struct bytes query = {0};
    if (cut < text.size) {
        query = bytes_slice(text, cut + 1, text.size - cut - 1);
    }
    struct bytes parameter;
    while (err == OK && query.size > 0 && bytes_next(&query, '&', &parameter)) {
        err = parse_parameter(parameter, arena, &target);
    }
    if (err == OK) {
        *ret_target = target;
    }
    return err;
}

const char *target_parameter(const struct target *target, const char *name)
{
    for (size_t i = 0; i < target->parameter_count; i++) {
        if (strcmp(target->parameters[i].name, name) == 0) {
            return target->parameters[i].value;
        }
    }
    return NULL;
}

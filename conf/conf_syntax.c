#include "conf/conf_syntax.h"

#include <string.h>

/* What libyaml says, and what is to be said instead. */
struct wording {
    const char *problem; /* how it begins */
    const char *context; /* NULL: any */
    const char *text;
    bool is_at_begin; /* the mistake is where the construct begins, not where it was noticed */
};

static const struct wording wordings[] = {
    {"did not find expected '-' indicator", NULL,
     "this line begins in another column than the entries that it belongs to", false},
    {"did not find expected key", NULL,
     "this line begins in another column than the keys that it belongs to", false},
    {"mapping values are not allowed", NULL,
     "no key can stand here: is the line indented too deep, a space missing after the colon "
     "before, "
     "or a value with a colon in it not quoted?",
     false},
    {"could not find expected ':'", NULL,
     "this is no key: a colon and a space are missing after it", true},
    {"found unexpected end of stream", "while scanning a quoted scalar",
     "the quote that begins here is never closed", true},
    {"did not find expected alphabetic or numeric character", "while scanning an alias",
     "a value that begins with * needs quotes, as in \"*:8080\"", true},
    {"found undefined alias", NULL, "a value that begins with * needs quotes, as in \"*:8080\"",
     false},
    {"did not find expected alphabetic or numeric character", "while scanning an anchor",
     "a value that begins with & needs quotes", true},
    {"did not find expected ',' or ']'", NULL, "a comma or ] is missing before this", false},
    {"did not find expected ',' or '}'", NULL, "a comma or } is missing before this", false},
};

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static const struct wording *wording_of(const yaml_parser_t *parser, const char *problem)
{
    const char *context = parser->context != NULL ? parser->context : "";
    for (size_t i = 0; i < sizeof wordings / sizeof wordings[0]; i++) {
        const struct wording *wording = &wordings[i];
        bool is_context = wording->context == NULL || strcmp(context, wording->context) == 0;
        if (is_context && begins_with(problem, wording->problem)) {
            return wording;
        }
    }
    return NULL;
}

static bool continues_character(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* Where a byte stands; libyaml gives no mark for bytes that are not text at all. */
static struct conf_place place_at(struct bytes text, size_t offset)
{
    struct conf_place place = {1, 1};
    for (size_t i = 0; i < offset && i < text.size; i++) {
        place.column += !continues_character(text.data[i]);
        if (text.data[i] == '\n') {
            place = (struct conf_place){place.line + 1, 1};
        }
    }
    return place;
}

static struct conf_place place_of_mark(yaml_mark_t mark)
{
    return (struct conf_place){(unsigned)mark.line + 1, (unsigned)mark.column + 1};
}

/* The byte at a mark, which counts characters; 0 at the end. */
static char byte_at(struct bytes text, yaml_mark_t mark)
{
    size_t at = 0;
    for (size_t line = 0; at < text.size && line < mark.line; at++) {
        line += text.data[at] == '\n';
    }
    for (size_t column = 0; at < text.size && column < mark.column; column++) {
        at++;
        while (at < text.size && continues_character(text.data[at])) {
            at++;
        }
    }
    return at < text.size ? text.data[at] : '\0';
}

void conf_syntax_report(const yaml_parser_t *parser, struct bytes text, struct conf_errors *errors)
{
    const char *problem = parser->problem != NULL ? parser->problem : "cannot be read";
    struct conf_place place = place_of_mark(parser->problem_mark);
    if (parser->error == YAML_READER_ERROR) {
        conf_errors_add(errors, place_at(text, parser->problem_offset), "not YAML: %s", problem);
        return;
    }
    char byte = byte_at(text, parser->problem_mark);
    const struct wording *wording = wording_of(parser, problem);
    if (byte == '\t') {
        conf_errors_add(errors, place, "not YAML: a tab; indent with spaces");
    } else if (begins_with(problem, "found character that cannot start any token")) {
        conf_errors_add(errors, place, "not YAML: a value that begins with %c needs quotes", byte);
    } else if (wording == NULL) {
        bool has_context = parser->context != NULL;
        conf_errors_add(errors, place, "not YAML: %s%s%s", problem, has_context ? " " : "",
                        has_context ? parser->context : "");
    } else if (wording->is_at_begin) {
        conf_errors_add(errors, place_of_mark(parser->context_mark), "not YAML: %s", wording->text);
    } else if (parser->context != NULL && parser->context_mark.line != parser->problem_mark.line) {
        conf_errors_add(errors, place, "not YAML: %s (from line %zu on)", wording->text,
                        parser->context_mark.line + 1);
    } else {
        conf_errors_add(errors, place, "not YAML: %s", wording->text);
    }
}

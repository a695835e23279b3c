#include "proxy/cache/cache_control.h"

#include <assert.h>

#include "proxy/base/check.h"
#include "proxy/http/token.h"

static_assert(CACHE_DIRECTIVE_COUNT <= 32, "a bit for each directive");

/* One directive as it was written. */
struct element {
    struct bytes name;
    struct bytes argument; /* of a quoted string: what is between the quotes, as it was written */
    bool has_argument;
    bool is_readable; /* nothing stands where nothing may */
};

/* ---- reading elements ---- */

/* The end of the quoted string that starts at `start`, past its closing quote; 0: there is none. */
static size_t quoted_end(struct bytes text, size_t start)
{
    for (size_t i = start + 1; i < text.size; i++) {
        if (text.data[i] == '\\') {
            i++;
        } else if (text.data[i] == '"') {
            return i + 1;
        }
    }
    return 0;
}

/* Cuts off what stands before the next comma outside of quotes. A quote that is never closed takes
 * all that is left. */
static bool next_piece(struct bytes *rest, struct bytes *ret_piece)
{
    if (rest->data == NULL) {
        return false;
    }
    size_t end = 0;
    while (end < rest->size && rest->data[end] != ',') {
        size_t past = rest->data[end] == '"' ? quoted_end(*rest, end) : end + 1;
        end = past > 0 ? past : rest->size;
    }
    *ret_piece = bytes_trim(bytes_slice(*rest, 0, end));
    *rest =
        end == rest->size ? bytes_make(NULL, 0) : bytes_slice(*rest, end + 1, rest->size - end - 1);
    return true;
}

static struct element read_element(struct bytes piece)
{
    size_t name_size = 0;
    while (name_size < piece.size && token_is(piece.data[name_size], TOKEN_TCHAR)) {
        name_size++;
    }
    struct element element = {.name = bytes_slice(piece, 0, name_size),
                              .is_readable = name_size == piece.size};
    if (name_size == piece.size || piece.data[name_size] != '=') {
        return element;
    }
    struct bytes argument = bytes_slice(piece, name_size + 1, piece.size - name_size - 1);
    element.has_argument = true;
    if (argument.size > 0 && argument.data[0] == '"') {
        element.is_readable = quoted_end(argument, 0) == argument.size;
        size_t quotes = element.is_readable ? 2 : 1;
        argument = bytes_slice(argument, 1, argument.size - quotes);
    } else {
        element.is_readable = token_is_all(argument, TOKEN_TCHAR);
    }
    element.argument = argument;
    return element;
}

static bool next_element(struct bytes *rest, struct element *ret_element)
{
    struct bytes piece;
    while (next_piece(rest, &piece)) {
        struct element element = read_element(piece);
        if (element.name.size > 0) {
            *ret_element = element;
            return true;
        }
    }
    return false;
}

/* ---- what they mean ---- */

static enum cache_directive directive_of(struct bytes name)
{
    static const struct bytes names[CACHE_DIRECTIVE_COUNT] = {
#define CACHE_DIRECTIVE_NAME(id, text) [CACHE_CONTROL_##id] = {text, sizeof(text) - 1},
        CACHE_DIRECTIVE_LIST(CACHE_DIRECTIVE_NAME)
#undef CACHE_DIRECTIVE_NAME
    };
    unsigned i = 0;
    while (i < CACHE_DIRECTIVE_COUNT && !bytes_equal_nocase(names[i], name)) {
        i++;
    }
    return (enum cache_directive)i;
}

static bool takes_seconds(enum cache_directive directive)
{
    switch (directive) {
    case CACHE_CONTROL_MAX_AGE:
    case CACHE_CONTROL_S_MAXAGE:
    case CACHE_CONTROL_STALE_IF_ERROR:
    case CACHE_CONTROL_STALE_WHILE_REVALIDATE:
    case CACHE_CONTROL_MAX_STALE:
    case CACHE_CONTROL_MIN_FRESH:
        return true;
    default:
        return false;
    }
}

static bool is_all_digits(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return text.size > 0;
}

/* false when it is no number of seconds. */
static bool read_seconds(const struct element *element, uint32_t *ret_seconds)
{
    uint64_t value = 0;
    if (!element->is_readable || !is_all_digits(element->argument)) {
        return false;
    }
    bool is_small = bytes_to_u64(element->argument, &value) && value < CACHE_SECONDS_MAX;
    *ret_seconds = is_small ? (uint32_t)value : CACHE_SECONDS_MAX;
    return true;
}

/* Stale by how much, said without a number: by any amount. */
static bool is_any_staleness(enum cache_directive directive, const struct element *element)
{
    return directive == CACHE_CONTROL_MAX_STALE && element->is_readable && !element->has_argument;
}

static void note_seconds(struct cache_control *control, enum cache_directive directive,
                         const struct element *element)
{
    bool is_demand = directive == CACHE_CONTROL_MIN_FRESH; /* the more, the stricter */
    uint32_t strictest = is_demand ? CACHE_SECONDS_MAX : 0;
    uint32_t seconds = strictest;
    if (is_any_staleness(directive, element)) {
        seconds = CACHE_SECONDS_MAX;
    } else if (!read_seconds(element, &seconds)) {
        seconds = strictest;
    }
    bool is_second_size =
        cache_control_has(control, directive) && control->seconds[directive] != seconds;
    control->seconds[directive] = is_second_size ? strictest : seconds;
}

/* Cuts the next name off the list in a quoted string; false at its end or when it is no name. */
static bool next_name(struct bytes *list, struct bytes *ret_name)
{
    return token_next(list, ret_name) && token_is_all(*ret_name, TOKEN_TCHAR);
}

static bool is_list_of_names(const struct element *element)
{
    struct bytes rest = element->argument;
    struct bytes name;
    size_t count = 0;
    while (token_next(&rest, &name)) {
        if (!token_is_all(name, TOKEN_TCHAR)) {
            return false;
        }
        count++;
    }
    return element->is_readable && count > 0;
}

static void note(struct cache_control *control, const struct element *element)
{
    enum cache_directive directive = directive_of(element->name);
    if (directive == CACHE_DIRECTIVE_COUNT) {
        return;
    }
    /* What widens the use of an answer is obeyed only when it is well said. */
    bool is_permission =
        directive == CACHE_CONTROL_PUBLIC || directive == CACHE_CONTROL_MUST_UNDERSTAND;
    if (is_permission && (!element->is_readable || element->has_argument)) {
        return;
    }
    if (takes_seconds(directive)) {
        note_seconds(control, directive, element);
    }
    control->is_private_whole |= directive == CACHE_CONTROL_PRIVATE && !is_list_of_names(element);
    control->is_no_cache_whole |= directive == CACHE_CONTROL_NO_CACHE && !is_list_of_names(element);
    control->has |= UINT32_C(1) << directive;
}

void cache_control_read(const struct fields *fields, struct cache_control *ret_control)
{
    *ret_control = (struct cache_control){0};
    for (size_t i = 0; i < fields->count; i++) {
        struct bytes rest = fields->items[i].value;
        struct element element;
        while (fields->items[i].id == FIELD_CACHE_CONTROL && next_element(&rest, &element)) {
            note(ret_control, &element);
        }
    }
}

static bool element_names(const struct element *element, struct bytes name)
{
    enum cache_directive directive = directive_of(element->name);
    struct bytes rest = element->argument;
    struct bytes listed;
    bool is_named = false;
    if (directive != CACHE_CONTROL_PRIVATE && directive != CACHE_CONTROL_NO_CACHE) {
        return false;
    }
    while (!is_named && next_name(&rest, &listed)) {
        is_named = bytes_equal_nocase(listed, name);
    }
    return is_named;
}

bool cache_control_withholds(const struct fields *fields, struct bytes name)
{
    for (size_t i = 0; i < fields->count; i++) {
        struct bytes rest = fields->items[i].value;
        struct element element;
        while (fields->items[i].id == FIELD_CACHE_CONTROL && next_element(&rest, &element)) {
            if (element_names(&element, name)) {
                return true;
            }
        }
    }
    return false;
}

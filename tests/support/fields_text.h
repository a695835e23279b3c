/* tests/support/fields_text.h — fields written as text, for tests of what reads fields.
 *
 * "Name: value\nName: value": a line each, blanks around values are taken off. */
#pragma once
#include "proxy/base/check.h"
#include "proxy/http/message.h"

enum { FIELDS_TEXT_MAX = 64 };

struct fields_text {
    struct field items[FIELDS_TEXT_MAX];
    struct fields fields;
};

/* Borrows `text`. */
static inline struct fields fields_text_read(struct fields_text *read, const char *text)
{
    struct bytes rest = bytes_of(text);
    struct bytes line;
    read->fields = (struct fields){read->items, 0};
    while (rest.size > 0 && bytes_next(&rest, '\n', &line)) {
        size_t colon = bytes_find(line, ':');
        CHECK(colon < line.size);
        CHECK(read->fields.count < FIELDS_TEXT_MAX);
        struct bytes name = bytes_slice(line, 0, colon);
        read->items[read->fields.count++] =
            (struct field){name, bytes_trim(bytes_slice(line, colon + 1, line.size - colon - 1)),
                           field_id_of(name)};
    }
    return read->fields;
}

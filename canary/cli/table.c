#include "canary/cli/table.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/base/check.h"

enum { CELLS_MAX = TABLE_COLUMNS_MAX * TABLE_ROWS_MAX, GAP = 2 };

struct cell {
    size_t start; /* in the table's text */
    size_t size;
    size_t width; /* in characters */
};

struct table {
    size_t column_count;
    struct cell *cells; /* owned; the headings are the first row */
    size_t cell_count;
    struct buf text;
    bool is_failed;
};

/* How many bytes the character at the start has when it may be shown; 0: it may not. C1 controls
 * (U+0080 to U+009F) are as good as escape sequences on many terminals. */
static size_t printable_size(const char *text)
{
    unsigned char first = (unsigned char)text[0];
    if (first < 0x80) {
        return first >= 0x20 && first != 0x7F ? 1 : 0;
    }
    size_t size = first >= 0xF0 && first < 0xF5 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4) {
        return 0;
    }
    for (size_t i = 1; i < size; i++) {
        if (((unsigned char)text[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool is_control = first == 0xC2 && (unsigned char)text[1] < 0xA0;
    return is_control ? 0 : size;
}

enum err table_append_clean(struct buf *out, const char *text)
{
    while (*text != '\0') {
        size_t size = printable_size(text);
        if (size == 0) {
            (void)buf_append_byte(out, '?');
            text++;
            continue;
        }
        (void)buf_append(out, bytes_make(text, size));
        text += size;
    }
    return out->is_failed ? ERR_NOMEM : OK;
}

static size_t width_of(struct bytes text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.size; i++) {
        width += ((unsigned char)text.data[i] & 0xC0) != 0x80 ? 1 : 0;
    }
    return width;
}

enum err table_create(const char *const *headings, size_t column_count, struct table **ret_table)
{
    CHECK(column_count > 0 && column_count <= TABLE_COLUMNS_MAX);
    struct table *table = calloc(1, sizeof *table);
    struct cell *cells = calloc(CELLS_MAX, sizeof *cells);
    if (table == NULL || cells == NULL) {
        free(table);
        free(cells);
        return ERR_NOMEM;
    }
    table->column_count = column_count;
    table->cells = cells;
    buf_init(&table->text, TABLE_TEXT_MAX);
    for (size_t i = 0; i < column_count; i++) {
        table_add(table, headings[i]);
    }
    *ret_table = table;
    return OK;
}

void table_destroy(struct table *table)
{
    if (table != NULL) {
        buf_finish(&table->text);
        free(table->cells);
        free(table);
    }
}

void table_add(struct table *table, const char *text)
{
    if (table->cell_count == CELLS_MAX) {
        table->is_failed = true;
        return;
    }
    size_t start = buf_size(&table->text);
    if (table_append_clean(&table->text, text) != OK) {
        table->is_failed = true;
        return;
    }
    size_t size = buf_size(&table->text) - start;
    struct bytes kept = bytes_slice(buf_bytes(&table->text), start, size);
    table->cells[table->cell_count++] = (struct cell){start, size, width_of(kept)};
}

static size_t column_width(const struct table *table, size_t column)
{
    size_t width = 0;
    for (size_t i = column; i < table->cell_count; i += table->column_count) {
        width = table->cells[i].width > width ? table->cells[i].width : width;
    }
    return width;
}

enum err table_render(const struct table *table, struct buf *out)
{
    if (table->is_failed) {
        return ERR_NOMEM;
    }
    size_t widths[TABLE_COLUMNS_MAX];
    for (size_t i = 0; i < table->column_count; i++) {
        widths[i] = column_width(table, i);
    }
    for (size_t i = 0; i < table->cell_count; i++) {
        const struct cell *cell = &table->cells[i];
        size_t column = i % table->column_count;
        bool is_last = column + 1 == table->column_count;
        (void)buf_append(out, bytes_slice(buf_bytes(&table->text), cell->start, cell->size));
        size_t padding = is_last ? 0 : widths[column] - cell->width + GAP;
        for (size_t j = 0; j < padding; j++) {
            (void)buf_append_byte(out, ' ');
        }
        if (is_last) {
            (void)buf_append_byte(out, '\n');
        }
    }
    return out->is_failed ? ERR_NOMEM : OK;
}

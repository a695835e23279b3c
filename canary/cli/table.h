/* canary/cli/table.h — rows and columns for a terminal. Pure but for the memory it takes.
 *
 * Columns are as wide as their widest cell, counted in characters; the last one is not padded.
 * Texts from elsewhere are made harmless: no control characters reach the terminal. */
#pragma once
#include "proxy/base/buf.h"

enum { TABLE_COLUMNS_MAX = 12, TABLE_ROWS_MAX = 1100, TABLE_TEXT_MAX = 16 * 1024 * 1024 };

struct table;

/* `headings` are borrowed for life. ERR_NOMEM. */
MUST_USE enum err table_create(const char *const *headings, size_t column_count,
                               struct table **ret_table);
void table_destroy(struct table *table);
/* The next cell, left to right, row by row; copied. What does not fit into memory fails
 * table_render. */
void table_add(struct table *table, const char *text);
/* ERR_NOMEM, also when an add before failed. */
MUST_USE enum err table_render(const struct table *table, struct buf *out);

/* Appends text without control characters (they become '?'); valid UTF-8 stays. */
enum err table_append_clean(struct buf *out, const char *text);

/* canary/cli/sheet.h — lines of text for a terminal that are never too wide and never obeyed.
 *
 * A line is put together piece by piece and cut where the terminal ends. Whatever a text holds, no
 * control character, mark of writing direction or broken UTF-8 gets through: each becomes '?'.
 * Colours are the sheet's own. Appends to a buf, whose is_failed says that memory was out.
 * Embedded; pure; one thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "proxy/base/buf.h"

/* What can be shown. */
struct sheet_look {
    unsigned columns;
    unsigned rows;
    bool is_colour;
    bool is_unicode;
};

enum sheet_ink { INK_PLAIN, INK_BOLD, INK_DIM, INK_GREEN, INK_YELLOW, INK_RED, INK_COUNT };

struct sheet {
    struct sheet_look look;
    struct buf *out;       /* borrowed */
    unsigned columns;      /* that a line may fill */
    unsigned columns_left; /* in the line that grows */
    size_t line_count;     /* ended lines */
};

/* Lines of at most `columns_max`, or what the look has when that is less. */
void sheet_init(struct sheet *sheet, const struct sheet_look *look, unsigned columns_max,
                struct buf *out);
/* A piece of the line; what does not fit is left out. */
void sheet_put(struct sheet *sheet, enum sheet_ink ink, const char *format, ...) PRINTF_LIKE(3, 4);
/* A piece that fills exactly `columns` as far as the line goes: shortened with an ellipsis, or
 * padded. */
void sheet_column(struct sheet *sheet, enum sheet_ink ink, const char *text, unsigned columns);
/* Ends the line. */
void sheet_end(struct sheet *sheet);
/* A line without text. */
void sheet_blank(struct sheet *sheet);
/* Goes on in the line with words, and below it with the indent, for at most `lines_max` lines; ends
 * the last. */
void sheet_words(struct sheet *sheet, enum sheet_ink ink, const char *text, unsigned indent,
                 size_t lines_max);
/* How many lines of `columns` the text's words fill, up to `lines_max`. */
size_t sheet_words_lines(const char *text, unsigned columns, size_t lines_max);
/* Columns that `indent` leaves of a line, at least 1. */
unsigned sheet_room(const struct sheet *sheet, unsigned indent);
/* A bar of `width` columns, so much of it filled; a little is never nothing. */
void sheet_bar(struct sheet *sheet, enum sheet_ink ink, double percent, unsigned width);
/* Columns that the text fills when it is put. */
unsigned sheet_width(const char *text);
/* A verdict's colour: breach red, suspicious yellow, ok and healthy green. */
enum sheet_ink sheet_verdict_ink(const char *verdict);

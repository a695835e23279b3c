#include "canary/cli/sheet.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/check.h"
#include "proxy/base/utf8.h"

enum { PIECE_SIZE = 2048 };

static const char *const INK_CODES[INK_COUNT] = {
    "", "\033[1m", "\033[2m", "\033[32m", "\033[33m", "\033[31m",
};

/* ---- characters ---- */

/* One character, as it is shown. */
struct glyph {
    struct bytes bytes;
    size_t taken; /* bytes of the text that it stands for */
    unsigned columns;
};

static uint32_t code_point(struct bytes bytes)
{
    static const unsigned char masks[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t code = (unsigned char)bytes.data[0] & masks[bytes.size];
    for (size_t i = 1; i < bytes.size; i++) {
        code = code << 6 | ((unsigned char)bytes.data[i] & 0x3F);
    }
    return code;
}

/* Two columns: what Unicode's East Asian Width calls wide or fullwidth, and pictographs. Marks that
 * combine count as one, which is too much and so never too wide. */
static unsigned columns_of(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } wide[] = {{0x1100, 0x115F},  {0x2E80, 0xA4CF},   {0xA960, 0xA97F},   {0xAC00, 0xD7A3},
                {0xF900, 0xFAFF},  {0xFE10, 0xFE1F},   {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
                {0xFFE0, 0xFFE6},  {0x16FE0, 0x18CFF}, {0x1B000, 0x1B2FF}, {0x1F000, 0x1FAFF},
                {0x20000, 0x3FFFD}};
    for (size_t i = 0; i < COUNT_OF(wide); i++) {
        if (code >= wide[i].first && code <= wide[i].last) {
            return 2;
        }
    }
    return 1;
}

/* The text is not empty. */
static struct glyph glyph_at(const char *text)
{
    struct bytes rest = bytes_make(text, strnlen(text, 4));
    size_t length = utf8_length(rest);
    if (length == 0 || utf8_is_unseen(rest, length)) {
        return (struct glyph){BYTES("?"), length == 0 ? 1 : length, 1};
    }
    struct bytes bytes = bytes_slice(rest, 0, length);
    return (struct glyph){bytes, length, columns_of(code_point(bytes))};
}

unsigned sheet_width(const char *text)
{
    unsigned columns = 0;
    while (*text != '\0') {
        struct glyph glyph = glyph_at(text);
        columns += glyph.columns;
        text += glyph.taken;
    }
    return columns;
}

/* Bytes of the text that fill at most `columns`. */
static size_t cut_at(const char *text, unsigned columns)
{
    size_t size = 0;
    while (text[size] != '\0') {
        struct glyph glyph = glyph_at(text + size);
        if (glyph.columns > columns) {
            break;
        }
        columns -= glyph.columns;
        size += glyph.taken;
    }
    return size;
}

/* ---- a line ---- */

void sheet_init(struct sheet *sheet, const struct sheet_look *look, unsigned columns_max,
                struct buf *out)
{
    unsigned columns = look->columns < columns_max ? look->columns : columns_max;
    *sheet = (struct sheet){.look = *look, .out = out, .columns = columns, .columns_left = columns};
}

void sheet_put(struct sheet *sheet, enum sheet_ink ink, const char *format, ...)
{
    char text[PIECE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    bool is_inked = sheet->look.is_colour && ink != INK_PLAIN && text[0] != '\0';
    (void)buf_append(sheet->out, bytes_of(is_inked ? INK_CODES[ink] : ""));
    for (const char *at = text; *at != '\0';) {
        struct glyph glyph = glyph_at(at);
        if (glyph.columns > sheet->columns_left) {
            sheet->columns_left = 0;
            break;
        }
        (void)buf_append(sheet->out, glyph.bytes);
        sheet->columns_left -= glyph.columns;
        at += glyph.taken;
    }
    (void)buf_append(sheet->out, bytes_of(is_inked ? "\033[0m" : ""));
}

void sheet_column(struct sheet *sheet, enum sheet_ink ink, const char *text, unsigned columns)
{
    unsigned width = sheet_width(text);
    if (width > columns && columns > 0) {
        size_t size = cut_at(text, columns - 1);
        struct bytes piece = bytes_make(text, size);
        char start[PIECE_SIZE];
        (void)snprintf(start, sizeof start, "%.*s", BYTES_ARGS(piece));
        sheet_put(sheet, ink, "%s%s", start, sheet->look.is_unicode ? "…" : "~");
        width = sheet_width(start) + 1;
    } else {
        sheet_put(sheet, ink, "%s", text);
    }
    sheet_put(sheet, INK_PLAIN, "%*s", (int)(columns > width ? columns - width : 0), "");
}

void sheet_end(struct sheet *sheet)
{
    (void)buf_append_byte(sheet->out, '\n');
    sheet->line_count++;
    sheet->columns_left = sheet->columns;
}

void sheet_blank(struct sheet *sheet)
{
    sheet_end(sheet);
}

/* ---- words ---- */

unsigned sheet_room(const struct sheet *sheet, unsigned indent)
{
    return sheet->columns > indent ? sheet->columns - indent : 1;
}

/* Takes as many words off the text as fit, or a piece of a word that never would. */
static struct bytes take_words(const char **rest, unsigned columns)
{
    size_t size = cut_at(*rest, columns);
    if (size == 0 && **rest != '\0') {
        size = glyph_at(*rest).taken;
    }
    struct bytes piece = bytes_make(*rest, size);
    if ((*rest)[size] != '\0' && (*rest)[size] != ' ') {
        size_t space = size;
        while (space > 0 && (*rest)[space - 1] != ' ') {
            space--;
        }
        piece.size = space > 0 ? space : size;
    }
    *rest += piece.size;
    while (**rest == ' ') {
        (*rest)++;
    }
    return bytes_trim(piece);
}

size_t sheet_words_lines(const char *text, unsigned columns, size_t lines_max)
{
    size_t count = 0;
    do {
        (void)take_words(&text, columns);
        count++;
    } while (*text != '\0' && count < lines_max);
    return count;
}

/* The first word would be torn here and is whole on a line of its own. */
static bool is_for_next_line(const struct sheet *sheet, const char *text, unsigned indent)
{
    char word[PIECE_SIZE];
    (void)snprintf(word, sizeof word, "%.*s", (int)strcspn(text, " "), text);
    unsigned width = sheet_width(word);
    return width > sheet->columns_left && width <= sheet_room(sheet, indent);
}

void sheet_words(struct sheet *sheet, enum sheet_ink ink, const char *text, unsigned indent,
                 size_t lines_max)
{
    size_t count = 1;
    if (sheet->columns_left == 0 || is_for_next_line(sheet, text, indent)) {
        sheet_end(sheet);
        sheet_put(sheet, INK_PLAIN, "%*s", (int)indent, "");
    }
    struct bytes piece = take_words(&text, sheet->columns_left);
    sheet_put(sheet, ink, "%.*s", BYTES_ARGS(piece));
    sheet_end(sheet);
    while (*text != '\0' && count++ < lines_max) {
        sheet_put(sheet, INK_PLAIN, "%*s", (int)indent, "");
        piece = take_words(&text, sheet_room(sheet, indent));
        sheet_put(sheet, ink, "%.*s", BYTES_ARGS(piece));
        sheet_end(sheet);
    }
}

/* ---- bars and colours ---- */

static void fill(struct sheet *sheet, enum sheet_ink ink, const char *piece, unsigned count)
{
    char text[PIECE_SIZE] = "";
    size_t size = strlen(piece);
    CHECK(count * size < sizeof text);
    for (unsigned i = 0; i < count; i++) {
        memcpy(text + i * size, piece, size + 1);
    }
    sheet_put(sheet, ink, "%s", text);
}

void sheet_bar(struct sheet *sheet, enum sheet_ink ink, double percent, unsigned width)
{
    double share = fmin(fmax(percent, 0.0), 100.0) / 100.0;
    unsigned filled = (unsigned)lround(share * width);
    if (percent > 0.0 && filled == 0 && width > 0) {
        filled = 1;
    }
    bool is_unicode = sheet->look.is_unicode;
    fill(sheet, ink, is_unicode ? "█" : "#", filled);
    fill(sheet, INK_DIM, is_unicode ? "░" : ".", width - filled);
}

enum sheet_ink sheet_verdict_ink(const char *verdict)
{
    if (strcmp(verdict, "breach") == 0) {
        return INK_RED;
    }
    if (strcmp(verdict, "suspicious") == 0) {
        return INK_YELLOW;
    }
    bool is_good = strcmp(verdict, "ok") == 0 || strcmp(verdict, "healthy") == 0;
    return is_good ? INK_GREEN : INK_PLAIN;
}

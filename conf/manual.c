#include "conf/manual.h"

#include <string.h>

/* A point or an apostrophe at a line's start would be a request, a hyphen a hyphen and no minus. */
static void append_character(struct buf *page, char character, bool is_line_start)
{
    switch (character) {
    case '\\':
        (void)buf_append(page, BYTES("\\e"));
        return;
    case '-':
        (void)buf_append(page, BYTES("\\-"));
        return;
    case '.':
    case '\'':
        (void)buf_append(page, is_line_start ? BYTES("\\&") : BYTES(""));
        break;
    default:
        break;
    }
    if (character == '\'') {
        (void)buf_append(page, BYTES("\\(aq"));
        return;
    }
    (void)buf_append_byte(page, character);
}

void manual_plain(struct buf *page, const char *text)
{
    bool is_line_start = true;
    for (; *text != '\0'; text++) {
        append_character(page, *text, is_line_start);
        is_line_start = *text == '\n';
    }
}

void manual_heading(struct buf *page, const char *text)
{
    (void)buf_append(page, BYTES(".SH \""));
    manual_plain(page, text);
    (void)buf_append(page, BYTES("\"\n"));
}

void manual_begin(struct buf *page, const char *title, const char *section, const char *name,
                  const char *purpose)
{
    (void)buf_printf(page, ".TH %s %s\n", title, section);
    manual_heading(page, "NAME");
    manual_plain(page, name);
    (void)buf_append(page, BYTES(" \\- "));
    manual_plain(page, purpose);
    (void)buf_append_byte(page, '\n');
}

void manual_term(struct buf *page, const char *term, const char *more)
{
    (void)buf_append(page, BYTES(".TP\n\\fB"));
    manual_plain(page, term);
    (void)buf_append(page, more != NULL ? BYTES("\\fR ") : BYTES("\\fR"));
    if (more != NULL) {
        manual_text(page, more);
    } else {
        (void)buf_append_byte(page, '\n');
    }
}

/* ---- Markdown ---- */

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Does a closing `mark` stand before the paragraph ends? Else it means itself. */
static bool is_closed(const char *text, const char *mark)
{
    const char *close = strstr(text, mark);
    const char *end = strstr(text, "\n\n");
    return close != NULL && close != text && (end == NULL || close < end);
}

/* "[text](there)": the text's end, or NULL. */
static const char *link_end(const char *text)
{
    const char *close = strchr(text, ']');
    return close != NULL && close[1] == '(' && strchr(close, ')') != NULL ? close : NULL;
}

struct writer {
    struct buf *page;
    const char *close; /* of the font that is on, or NULL */
    bool is_line_start;
    bool has_text; /* since the last paragraph began */
};

/* Takes a mark of fonts; gives its bytes, or 0. */
static size_t take_font(struct writer *writer, const char *at)
{
    static const struct {
        const char *mark;
        const char *font;
    } fonts[] = {{"`", "\\fB"}, {"**", "\\fB"}, {"*", "\\fI"}};
    if (writer->close != NULL) {
        if (!starts_with(at, writer->close)) {
            return 0;
        }
        size_t size = strlen(writer->close);
        writer->close = NULL;
        (void)buf_append(writer->page, BYTES("\\fR"));
        return size;
    }
    for (size_t i = 0; i < sizeof fonts / sizeof *fonts; i++) {
        size_t size = strlen(fonts[i].mark);
        if (starts_with(at, fonts[i].mark) && is_closed(at + size, fonts[i].mark)) {
            writer->close = fonts[i].mark;
            (void)buf_append(writer->page, bytes_of(fonts[i].font));
            return size;
        }
    }
    return 0;
}

/* At a line's start: what it is, and how many bytes say so. */
static size_t take_start(struct writer *writer, const char *at)
{
    if (at[0] == '#' || starts_with(at, "<!--")) {
        const char *end = strchr(at, '\n');
        return end != NULL ? (size_t)(end - at) + 1 : strlen(at);
    }
    if (at[0] == '\n') {
        const char *next = at + strspn(at, "\n");
        bool is_needed = writer->has_text && next[0] != '\0' && !starts_with(next, "- ");
        (void)buf_append(writer->page, is_needed ? BYTES(".PP\n") : BYTES(""));
        writer->has_text = false;
        return (size_t)(next - at);
    }
    if (starts_with(at, "- ")) {
        (void)buf_append(writer->page, BYTES(".IP \\(bu 2\n"));
        return 2;
    }
    return strspn(at, " ");
}

void manual_text(struct buf *page, const char *text)
{
    struct writer writer = {.page = page, .is_line_start = true};
    const char *skip_to = NULL; /* a link's end, when inside one */
    for (const char *at = text; *at != '\0';) {
        size_t taken = writer.is_line_start ? take_start(&writer, at) : 0;
        if (taken > 0) {
            at += taken;
            writer.is_line_start = at[-1] == '\n';
            continue;
        }
        taken = take_font(&writer, at);
        if (taken > 0) {
            at += taken;
            writer.is_line_start = false;
            continue;
        }
        if (*at == '[' && writer.close == NULL && link_end(at) != NULL) {
            skip_to = link_end(at);
            at++;
            continue;
        }
        if (at == skip_to) {
            at = strchr(at, ')') + 1;
            continue;
        }
        append_character(page, *at, writer.is_line_start);
        writer.is_line_start = *at == '\n';
        writer.has_text = true;
        at++;
    }
    if (!writer.is_line_start) {
        (void)buf_append_byte(page, '\n');
    }
}

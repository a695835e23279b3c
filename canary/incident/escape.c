#include "canary/incident/escape.h"

#include "proxy/base/utf8.h"

static bool is_word_byte(unsigned char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z') || byte == ' ' || byte == ',' || byte == ';' ||
           byte == '/' || byte == '%' || byte == '=' || byte == '\'' || byte == '"' ||
           byte == '?' || byte == '.' || byte == '-' || byte == '+' || byte == '(' || byte == ')' ||
           byte == '{' || byte == '}';
}

static bool is_xml_special(unsigned char byte)
{
    return byte == '<' || byte == '>' || byte == '&' || byte == '"' || byte == '\'';
}

static bool is_control(unsigned char byte)
{
    return byte < 0x20 || byte == 0x7f;
}

/* Appends what takes more than a byte, or is not UTF-8; returns how many bytes that was. */
static size_t append_wide(struct buf *out, struct bytes rest)
{
    size_t length = utf8_length(rest);
    if (length == 0 || utf8_is_unseen(rest, length)) {
        (void)buf_append(out, BYTES("\xef\xbf\xbd"));
        return length == 0 ? 1 : length;
    }
    (void)buf_append(out, bytes_slice(rest, 0, length));
    return length;
}

enum style { STYLE_MARKDOWN, STYLE_XML, STYLE_CODE };

static bool is_letter_or_digit(const struct bytes *text, size_t at)
{
    char lower = at < text->size ? byte_lower(text->data[at]) : ' ';
    return (lower >= '0' && lower <= '9') || (lower >= 'a' && lower <= 'z');
}

/* GitHub makes a link of it without being asked. */
static bool ends_www(const struct bytes *text, size_t at)
{
    return at >= 3 && bytes_equal_nocase(bytes_slice(*text, at - 3, 3), BYTES("www"));
}

/* An underscore inside a word emphasises nothing, and a colon makes a link before slashes only:
 * both are left where people can read them. */
static bool is_plain(const struct bytes *text, size_t at)
{
    char byte = text->data[at];
    if (byte == '_') {
        return at > 0 && is_letter_or_digit(text, at - 1) && is_letter_or_digit(text, at + 1);
    }
    if (byte == ':') {
        return at + 1 >= text->size || text->data[at + 1] != '/';
    }
    return byte == '.' ? !ends_www(text, at) : is_word_byte((unsigned char)byte);
}

static void append_byte(struct buf *out, const struct bytes *text, size_t at, enum style style)
{
    unsigned char byte = (unsigned char)text->data[at];
    if (is_control(byte)) {
        (void)buf_append_byte(out, ' ');
    } else if ((style == STYLE_MARKDOWN && !is_plain(text, at)) ||
               (style == STYLE_XML && is_xml_special(byte))) {
        (void)buf_printf(out, "&#%u;", byte);
    } else {
        (void)buf_append_byte(out, (char)byte);
    }
}

static void append_all(struct buf *out, struct bytes text, enum style style)
{
    for (size_t i = 0; i < text.size;) {
        if ((unsigned char)text.data[i] >= 0x80) {
            i += append_wide(out, bytes_slice(text, i, text.size - i));
        } else {
            append_byte(out, &text, i, style);
            i++;
        }
    }
}

void escape_markdown(struct buf *out, struct bytes text)
{
    append_all(out, text, STYLE_MARKDOWN);
}

void escape_xml(struct buf *out, struct bytes text)
{
    append_all(out, text, STYLE_XML);
}

void escape_code(struct buf *out, struct bytes text)
{
    struct bytes line;
    while (text.size > 0 && bytes_next(&text, '\n', &line)) {
        (void)buf_append(out, BYTES("    "));
        append_all(out, line, STYLE_CODE);
        (void)buf_append_byte(out, '\n');
    }
}

/* How many bytes the escape sequence at the front has that colours text or moves the cursor
 * (ECMA-48: ESC [, parameters, a final byte), or 0. */
static size_t sequence_length(struct bytes text)
{
    enum { ESCAPE = 0x1b, FINAL_FIRST = 0x40, FINAL_LAST = 0x7e };
    if (text.size < 2 || text.data[0] != ESCAPE || text.data[1] != '[') {
        return 0;
    }
    for (size_t i = 2; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte >= FINAL_FIRST && byte <= FINAL_LAST) {
            return i + 1;
        }
        if (byte < ' ' || byte > FINAL_LAST) {
            break;
        }
    }
    return 0;
}

static void append_log_line(struct buf *out, struct bytes line)
{
    while (line.size > 0) {
        size_t skipped = sequence_length(line);
        size_t length = skipped > 0 ? skipped : utf8_length(line);
        length = length > 0 ? length : 1;
        if (skipped == 0) {
            append_all(out, bytes_slice(line, 0, length), STYLE_CODE);
        }
        line = bytes_slice(line, length, line.size - length);
    }
    (void)buf_append_byte(out, '\n');
}

void escape_log(struct buf *out, struct bytes text)
{
    struct bytes line;
    while (text.size > 0 && bytes_next(&text, '\n', &line)) {
        append_log_line(out, line);
    }
}

#include "canary/incident/access_lines.h"

static size_t count_lines(struct bytes text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++) {
        count += text.data[i] == '\n';
    }
    return count;
}

/* Both formats escape quotes inside quotes with a backslash. */
static void append_line(struct buf *out, struct bytes line)
{
    bool is_quoted = false;
    bool is_left_out = false;
    for (size_t i = 0; i < line.size; i++) {
        char byte = line.data[i];
        bool is_pair = is_quoted && byte == '\\' && i + 1 < line.size;
        if (byte == '"') {
            is_quoted = !is_quoted;
            is_left_out = false;
        } else if (is_quoted && !is_left_out && (byte == '?' || byte == '#')) {
            is_left_out = true;
            (void)buf_append(out, BYTES("?[redacted]"));
        }
        if (!is_left_out) {
            (void)buf_append(out, bytes_slice(line, i, is_pair ? 2 : 1));
        }
        i += is_pair;
    }
    (void)buf_append_byte(out, '\n');
}

void access_lines_append(struct buf *out, struct bytes text, size_t line_max)
{
    size_t count = count_lines(text);
    struct bytes line;
    for (; count > 0 && bytes_next(&text, '\n', &line); count--) {
        if (count <= line_max) {
            append_line(out, line);
        }
    }
}

#include "canary/cli/github.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { LINE_MAX_SIZE = 64 * 1024 };

static void append_escaped(struct buf *out, const char *text, const char *special)
{
    for (; *text != '\0'; text++) {
        if (strchr(special, *text) != NULL) {
            (void)buf_printf(out, "%%%02X", (unsigned char)*text);
        } else {
            (void)buf_append_byte(out, *text);
        }
    }
}

void github_append_data(struct buf *out, const char *text)
{
    append_escaped(out, text, "%\r\n");
}

void github_append_property(struct buf *out, const char *text)
{
    append_escaped(out, text, "%\r\n:,");
}

void github_append_markdown(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '<') {
            (void)buf_append(out, BYTES("&lt;"));
        } else if (*text == '>') {
            (void)buf_append(out, BYTES("&gt;"));
        } else if (*text == '&') {
            (void)buf_append(out, BYTES("&amp;"));
        } else if (*text == '@') {
            (void)buf_append(out, BYTES("&#64;")); /* mentions nobody */
        } else if (*text == '\r' || *text == '\n') {
            (void)buf_append_byte(out, ' ');
        } else if (strchr("\\`*_{}[]()#+!|~", *text) != NULL) {
            (void)buf_append_byte(out, '\\');
            (void)buf_append_byte(out, *text);
        } else {
            (void)buf_append_byte(out, *text);
        }
    }
}

enum err github_append_output(struct buf *out, const char *name, const char *value,
                              const char *delimiter)
{
    if (strstr(value, delimiter) != NULL) {
        return ERR_SYNTAX;
    }
    (void)buf_printf(out, "%s<<%s\n", name, delimiter);
    (void)buf_append(out, bytes_of(value));
    (void)buf_printf(out, "\n%s\n", delimiter);
    return out->is_failed ? ERR_NOMEM : OK;
}

bool github_is_job(void)
{
    const char *value = getenv("GITHUB_ACTIONS");
    return value != NULL && strcmp(value, "true") == 0;
}

void github_annotate(FILE *out, const char *level, const char *text)
{
    struct buf line;
    buf_init(&line, LINE_MAX_SIZE);
    (void)buf_printf(&line, "::%s title=", level);
    github_append_property(&line, "serin");
    (void)buf_append(&line, BYTES("::"));
    github_append_data(&line, text);
    struct bytes whole = buf_bytes(&line);
    (void)fprintf(out, "%.*s\n", BYTES_ARGS(whole));
    buf_finish(&line);
}

void github_mask(FILE *out, const char *secret)
{
    struct buf line;
    buf_init(&line, LINE_MAX_SIZE);
    github_append_data(&line, secret);
    struct bytes whole = buf_bytes(&line);
    (void)fprintf(out, "::add-mask::%.*s\n", BYTES_ARGS(whole));
    (void)fflush(out);
    buf_finish(&line);
}

enum err github_append_file(const char *variable, struct bytes text)
{
    const char *path = getenv(variable);
    if (path == NULL || path[0] == '\0') {
        return OK;
    }
    FILE *file = fopen(path, "ae");
    if (file == NULL) {
        return ERR_IO;
    }
    bool is_written = fwrite(text.data, 1, text.size, file) == text.size;
    return fclose(file) == 0 && is_written ? OK : ERR_IO;
}

enum err github_make_delimiter(char ret_delimiter[GITHUB_DELIMITER_SIZE])
{
    unsigned char random[16];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
        return ERR_IO;
    }
    int used = snprintf(ret_delimiter, GITHUB_DELIMITER_SIZE, "serin_");
    for (size_t i = 0; i < sizeof random; i++) {
        used +=
            snprintf(ret_delimiter + used, GITHUB_DELIMITER_SIZE - (size_t)used, "%02x", random[i]);
    }
    return OK;
}

#include "conf/conf_errors.h"

#include <stdarg.h>
#include <stdlib.h>

void conf_errors_init(struct conf_errors *errors)
{
    *errors = (struct conf_errors){.file = NULL};
}

void conf_errors_finish(struct conf_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        free(errors->errors[i].text);
    }
    free(errors->errors);
    free(errors->file);
    conf_errors_init(errors);
}

void conf_errors_add(struct conf_errors *errors, struct conf_place place, const char *format, ...)
{
    if (errors->errors == NULL) {
        errors->errors = calloc(CONF_ERRORS_MAX, sizeof errors->errors[0]);
    }
    if (errors->errors == NULL || errors->count == CONF_ERRORS_MAX) {
        errors->omitted_count++;
        return;
    }
    char text[NOTE_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char *copy = strdup(text);
    if (copy == NULL) {
        errors->omitted_count++;
        return;
    }
    errors->errors[errors->count++] = (struct conf_error){place, copy};
}

static bool stands_before(struct conf_place a, struct conf_place b)
{
    return a.line < b.line || (a.line == b.line && a.column < b.column);
}

/* Insertion keeps errors of one place in the order in which they were found; there are
 * CONF_ERRORS_MAX at most. */
void conf_errors_sort(struct conf_errors *errors)
{
    for (size_t i = 1; i < errors->count; i++) {
        struct conf_error moving = errors->errors[i];
        size_t hole = i;
        while (hole > 0 && stands_before(moving.place, errors->errors[hole - 1].place)) {
            errors->errors[hole] = errors->errors[hole - 1];
            hole--;
        }
        errors->errors[hole] = moving;
    }
}

void conf_errors_append(const struct conf_errors *errors, struct buf *buf)
{
    const char *file = errors->file != NULL ? errors->file : "configuration";
    for (size_t i = 0; i < errors->count; i++) {
        const struct conf_error *error = &errors->errors[i];
        if (error->place.line > 0) {
            (void)buf_printf(buf, "%s:%u:%u: %s\n", file, error->place.line, error->place.column,
                             error->text);
        } else {
            (void)buf_printf(buf, "%s: %s\n", file, error->text);
        }
    }
    if (errors->omitted_count > 0) {
        (void)buf_printf(buf, "%s: %zu more not shown\n", file, errors->omitted_count);
    }
}

void conf_errors_print(const struct conf_errors *errors, FILE *stream)
{
    struct buf buf;
    buf_init(&buf, (size_t)(CONF_ERRORS_MAX + 1) * (NOTE_TEXT_MAX + CONF_PATH_MAX * 4));
    conf_errors_append(errors, &buf);
    struct bytes text = buf_bytes(&buf);
    if (text.size > 0) {
        (void)fwrite(text.data, 1, text.size, stream);
    }
    if (buf.is_failed) {
        (void)fputs("no memory to show every error\n", stream);
    }
    buf_finish(&buf);
}

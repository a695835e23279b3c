#include "proxy/base/err.h"

#include <stdarg.h>
#include <stdio.h>

const char *err_text(enum err err)
{
    static const char *const texts[ERR_COUNT] = {
        [OK] = "ok",
        [ERR_NOMEM] = "out of memory",
        [ERR_RANGE] = "out of range",
        [ERR_SYNTAX] = "malformed",
        [ERR_LIMIT] = "limit reached",
        [ERR_AGAIN] = "would block",
        [ERR_CLOSED] = "closed",
        [ERR_TIMEOUT] = "timed out",
        [ERR_IO] = "input/output error",
        [ERR_EXISTS] = "already there",
        [ERR_NOT_FOUND] = "not found",
        [ERR_STATE] = "not in this state",
        [ERR_DENIED] = "not allowed",
        [ERR_UNSUPPORTED] = "not supported",
    };
    if ((unsigned)err >= ERR_COUNT) {
        return "unknown error";
    }
    return texts[err];
}

void note_set(struct note *note, const char *format, ...)
{
    if (note == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(note->text, sizeof note->text, format, arguments);
    va_end(arguments);
}

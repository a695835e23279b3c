/* conf/conf_errors.h — everything that is wrong with a configuration file, each with its place.
 *
 * Embedded by whoever loads (init / finish); filled by conf_load. At most CONF_ERRORS_MAX are kept,
 * the rest counted. Texts name keys and show the value that was refused; secrets never stand in the
 * file. One thread at a time. */
#pragma once
#include <stdio.h>

#include "conf/conf.h"
#include "proxy/base/buf.h"

enum { CONF_ERRORS_MAX = 100 };

struct conf_error {
    struct conf_place place; /* zeros: the file as a whole */
    char *text;              /* owned; one sentence without a full stop */
};

struct conf_errors {
    char *file;                /* owned; NULL before a load */
    struct conf_error *errors; /* owned; in the order of their places once a load is over */
    size_t count;
    size_t omitted_count; /* beyond CONF_ERRORS_MAX, or no memory was left to keep them */
};

void conf_errors_init(struct conf_errors *errors);
void conf_errors_finish(struct conf_errors *errors);
/* Adds one. Out of memory only counts it as omitted, so that a wrong file never passes. */
void conf_errors_add(struct conf_errors *errors, struct conf_place place, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* By line, then column; errors without a place first. */
void conf_errors_sort(struct conf_errors *errors);
static inline bool conf_errors_are_none(const struct conf_errors *errors)
{
    return errors->count == 0 && errors->omitted_count == 0;
}
/* One line each, "serin.yaml:12:5: timeouts.connect: ...", and how many were omitted. */
void conf_errors_print(const struct conf_errors *errors, FILE *stream);
/* The same into a buf. The buf says whether it fitted. */
void conf_errors_append(const struct conf_errors *errors, struct buf *buf);

/* proxy/base/err.h — the one error convention of the tree.
 *
 * Everything that can fail returns `enum err`, 0 is success, and is MUST_USE. Out-parameters come
 * last, are named `ret_…` and are untouched on failure. What a human must fix travels beside it in
 * a `struct note`. Lower rooms return errors, upper rooms log them once, where it is decided what
 * happens next. Any thread. */
#pragma once

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_index, first_index)                                                     \
    __attribute__((format(printf, format_index, first_index)))

enum err {
    OK = 0,
    ERR_NOMEM,       /* out of memory: the piece of work fails, the process lives */
    ERR_RANGE,       /* a value is outside its bounds */
    ERR_SYNTAX,      /* input that cannot be read */
    ERR_LIMIT,       /* a `_max` was reached */
    ERR_AGAIN,       /* would block: try when told so */
    ERR_CLOSED,      /* the other side is gone, or ours was closed */
    ERR_TIMEOUT,     /* a deadline passed */
    ERR_IO,          /* the kernel, disk or network said no */
    ERR_EXISTS,      /* it is already there */
    ERR_NOT_FOUND,   /* it is not there */
    ERR_STATE,       /* not now: the object is in a state that forbids it */
    ERR_DENIED,      /* not allowed */
    ERR_UNSUPPORTED, /* understood, and not done here */
    ERR_COUNT
};

/* A short name for logs ("out of memory"); never NULL. */
const char *err_text(enum err err);

enum { NOTE_TEXT_MAX = 512 };

/* One sentence for a human; empty when there is nothing to say. Owned by whoever declares it. */
struct note {
    char text[NOTE_TEXT_MAX];
};

/* Writes the sentence, cut at NOTE_TEXT_MAX - 1. A NULL note is fine: nobody asked. */
void note_set(struct note *note, const char *format, ...) PRINTF_LIKE(2, 3);

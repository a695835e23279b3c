/* proxy/base/buf.h — a growing byte buffer, and the one place of pointer arithmetic for those that
 * grow.
 *
 * Bytes are appended at the end and consumed from the front. `max` bounds what it may hold. A
 * failed append leaves the content as it was and sets `is_failed`, so that a writer may append many
 * pieces and ask once. Embedded: buf_init / buf_finish. Owned by one thread at a time. */
#pragma once
#include "proxy/base/bytes.h"
#include "proxy/base/err.h"

struct buf {
    char *data;   /* owned; NULL when empty and never used */
    size_t start; /* first unconsumed byte */
    size_t end;   /* one past the last byte */
    size_t capacity;
    size_t max;     /* end - start never grows past this */
    bool is_failed; /* an append did not fit or had no memory */
};

void buf_init(struct buf *buf, size_t max);
/* Frees the bytes; the buf may be initialised again. */
void buf_finish(struct buf *buf);
/* Forgets the content and a failure, keeps the memory. */
void buf_clear(struct buf *buf);

static inline size_t buf_size(const struct buf *buf)
{
    return buf->end - buf->start;
}

static inline struct bytes buf_bytes(const struct buf *buf)
{
    return (struct bytes){buf->data != NULL ? buf->data + buf->start : NULL, buf->end - buf->start};
}

/* Makes room for `size` more bytes and returns where they go (then buf_grew), or NULL. */
char *buf_reserve(struct buf *buf, size_t size);
/* Says that `size` of the reserved bytes were written. */
void buf_grew(struct buf *buf, size_t size);
/* Each returns ERR_LIMIT or ERR_NOMEM and sets is_failed; the result may be ignored in favour of
 * it. */
enum err buf_append(struct buf *buf, struct bytes bytes);
enum err buf_append_byte(struct buf *buf, char byte);
enum err buf_append_u64(struct buf *buf, uint64_t value);
enum err buf_printf(struct buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
/* Appends the bytes as a JSON string with its quotes. Bytes that are not valid UTF-8 become U+FFFD;
 * what is not seen but obeyed (utf8_is_unseen) is escaped, so that a terminal may show it. */
enum err buf_append_json(struct buf *buf, struct bytes bytes);
/* Drops `size` bytes from the front. */
void buf_consume(struct buf *buf, size_t size);

#include "proxy/base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy/base/check.h"
#include "proxy/base/utf8.h"

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){.max = max};
}

void buf_finish(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){.max = buf->max};
}

void buf_clear(struct buf *buf)
{
    buf->start = 0;
    buf->end = 0;
    buf->is_failed = false;
}

static size_t grown_capacity(const struct buf *buf, size_t needed)
{
    size_t capacity = buf->capacity > 0 ? buf->capacity : 256;
    while (capacity < needed) {
        capacity *= 2;
    }
    return capacity < buf->max ? capacity : buf->max;
}

char *buf_reserve(struct buf *buf, size_t size)
{
    size_t held = buf_size(buf);
    if (size > buf->max || held > buf->max - size) {
        buf->is_failed = true;
        return NULL;
    }
    if (buf->capacity - buf->end >= size && buf->data != NULL) {
        return buf->data + buf->end;
    }
    if (buf->capacity - held >= size && buf->data != NULL) {
        memmove(buf->data, buf->data + buf->start, held);
    } else {
        size_t capacity = grown_capacity(buf, held + size);
        char *data = malloc(capacity > 0 ? capacity : 1);
        if (data == NULL) {
            buf->is_failed = true;
            return NULL;
        }
        if (held > 0) {
            memcpy(data, buf->data + buf->start, held);
        }
        free(buf->data);
        buf->data = data;
        buf->capacity = capacity;
    }
    buf->start = 0;
    buf->end = held;
    return buf->data + buf->end;
}

void buf_grew(struct buf *buf, size_t size)
{
    CHECK(size <= buf->capacity - buf->end);
    buf->end += size;
}

static enum err append_error(const struct buf *buf, size_t size)
{
    bool is_over = size > buf->max || buf_size(buf) > buf->max - size;
    return is_over ? ERR_LIMIT : ERR_NOMEM;
}

enum err buf_append(struct buf *buf, struct bytes bytes)
{
    if (bytes.size == 0) {
        return OK;
    }
    char *place = buf_reserve(buf, bytes.size);
    if (place == NULL) {
        return append_error(buf, bytes.size);
    }
    memcpy(place, bytes.data, bytes.size);
    buf->end += bytes.size;
    return OK;
}

enum err buf_append_byte(struct buf *buf, char byte)
{
    return buf_append(buf, bytes_make(&byte, 1));
}

enum err buf_append_u64(struct buf *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return buf_append(buf, bytes_make(digits + at, sizeof digits - at));
}

enum err buf_printf(struct buf *buf, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    CHECK(size >= 0);
    char *place = buf_reserve(buf, (size_t)size + 1);
    if (place != NULL) {
        (void)vsnprintf(place, (size_t)size + 1, format, again);
        buf->end += (size_t)size;
    }
    va_end(again);
    return place != NULL ? OK : append_error(buf, (size_t)size + 1);
}

static void append_json_byte(struct buf *buf, unsigned char byte)
{
    switch (byte) {
    case '"':
        (void)buf_append(buf, BYTES("\\\""));
        break;
    case '\\':
        (void)buf_append(buf, BYTES("\\\\"));
        break;
    case '\n':
        (void)buf_append(buf, BYTES("\\n"));
        break;
    case '\r':
        (void)buf_append(buf, BYTES("\\r"));
        break;
    case '\t':
        (void)buf_append(buf, BYTES("\\t"));
        break;
    default:
        if (byte < 0x20 || byte == 0x7f) {
            (void)buf_printf(buf, "\\u%04x", byte);
        } else {
            (void)buf_append_byte(buf, (char)byte);
        }
    }
}

/* Two bytes or three. */
static void append_json_code(struct buf *buf, const unsigned char *bytes, size_t length)
{
    unsigned lead = length == 2 ? bytes[0] & 0x1fU : bytes[0] & 0x0fU;
    unsigned code = (lead << 6) | (bytes[1] & 0x3fU);
    (void)buf_printf(buf, "\\u%04x", length == 2 ? code : (code << 6) | (bytes[2] & 0x3fU));
}

enum err buf_append_json(struct buf *buf, struct bytes bytes)
{
    (void)buf_append_byte(buf, '"');
    for (size_t i = 0; i < bytes.size;) {
        size_t length = utf8_length(bytes_slice(bytes, i, bytes.size - i));
        if (length == 0) {
            (void)buf_append(buf, BYTES("\\ufffd"));
            i++;
        } else if (length == 1) {
            append_json_byte(buf, (unsigned char)bytes.data[i]);
            i++;
        } else if (utf8_is_unseen(bytes_slice(bytes, i, length), length)) {
            append_json_code(buf, (const unsigned char *)bytes.data + i, length);
            i += length;
        } else {
            (void)buf_append(buf, bytes_slice(bytes, i, length));
            i += length;
        }
    }
    (void)buf_append_byte(buf, '"');
    return buf->is_failed ? append_error(buf, 1) : OK;
}

void buf_consume(struct buf *buf, size_t size)
{
    CHECK(size <= buf_size(buf));
    buf->start += size;
    if (buf->start == buf->end) {
        buf->start = 0;
        buf->end = 0;
    }
}

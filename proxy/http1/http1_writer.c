/* Sizes are summed up first, so that the copying needs no further look at the capacity. What was
 * written is vetted as a whole: the writer knows how many lines it has ended, and a head that holds
 * one control more than their CRs and LFs has a text in it that must not be sent. One walk over all
 * of it, sixteen bytes at a time as compilers make of it, costs half of a look at each text. */
#include "proxy/http1/http1_writer.h"

#include <assert.h>

#include "proxy/base/check.h"

enum {
    DECIMAL_MAX = 20,
    FRAMING_LINES_MAX = 160,
    STATUS_LINE_SIZE = 15,
    REQUEST_LINE_EXTRA = 12,
    VET_BLOCK = 240 /* what a count of one byte can hold, and a multiple of every vector's size */
};

#define BIT(id) (UINT64_C(1) << FIELD_##id)
static_assert(FIELD_ID_COUNT <= 64, "ids fit in one mask");

/* Written from the message's facts instead. */
static const uint64_t skipped = BIT(CONTENT_LENGTH) | BIT(TRANSFER_ENCODING) | BIT(CONNECTION) |
                                BIT(KEEP_ALIVE) | BIT(TE) | BIT(UPGRADE);

struct writer {
    char *at;          /* where the next byte goes; room was checked */
    size_t line_count; /* ended so far */
};

static bool is_skipped(const struct field *field)
{
    return (skipped >> field->id & 1) != 0;
}

static size_t fields_size(const struct fields *fields)
{
    size_t size = 0;
    for (size_t i = 0; i < fields->count; i++) {
        size += fields->items[i].name.size + fields->items[i].value.size + 4;
    }
    return size;
}

static void put(struct writer *writer, struct bytes text)
{
    if (text.size > 0) { /* nothing may stand nowhere */
        memcpy(writer->at, text.data, text.size);
        writer->at += text.size;
    }
}

/* The only way to write a CR or LF that may be sent. */
static void end_line(struct writer *writer)
{
    put(writer, HTTP1_CRLF);
    writer->line_count++;
}

static void put_line(struct writer *writer, struct bytes text)
{
    put(writer, text);
    end_line(writer);
}

static void put_decimal(struct writer *writer, uint64_t value)
{
    char digits[DECIMAL_MAX];
    size_t start = sizeof digits;
    do {
        digits[--start] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put(writer, bytes_make(digits + start, sizeof digits - start));
}

static void put_fields(struct writer *writer, const struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if (is_skipped(field)) {
            continue;
        }
        put(writer, field->name);
        put(writer, BYTES(": "));
        put_line(writer, field->value);
    }
}

static void put_content_length(struct writer *writer, uint64_t size)
{
    put(writer, BYTES("Content-Length: "));
    put_decimal(writer, size);
    end_line(writer);
}

static void put_upgrade(struct writer *writer, struct bytes upgrade)
{
    put(writer, BYTES("Upgrade: "));
    put_line(writer, upgrade);
}

/* Controls but HTAB, and DEL, as TOKEN_CONTROL has them; without branches and table, so that many
 * are counted at once. */
static size_t count_controls(const char *data, size_t size)
{
    size_t total = 0;
    for (size_t start = 0; start < size; start += VET_BLOCK) {
        size_t end = size - start < VET_BLOCK ? size : start + VET_BLOCK;
        uint8_t count = 0;
        for (size_t i = start; i < end; i++) {
            uint8_t byte = (uint8_t)data[i];
            count = (uint8_t)(count + (((byte < 0x20) & (byte != '\t')) | (byte == 0x7f)));
        }
        total += count;
    }
    return total;
}

static enum err finish(const struct writer *writer, const char *out, size_t *ret_size)
{
    size_t size = (size_t)(writer->at - out);
    if (count_controls(out, size) != 2 * writer->line_count) {
        return ERR_SYNTAX;
    }
    *ret_size = size;
    return OK;
}

static void put_request_framing(struct writer *writer, const struct request *request)
{
    CHECK(request->body != BODY_UNTIL_CLOSE);
    if (request->body == BODY_LENGTH) {
        put_content_length(writer, request->content_length);
    } else if (request->body == BODY_CHUNKED) {
        put_line(writer, BYTES("Transfer-Encoding: chunked"));
    }
    if (request->accepts_trailers) {
        put_line(writer, BYTES("TE: trailers"));
        put_line(writer, BYTES("Connection: TE"));
    }
    if (request->upgrade.size > 0) {
        put_line(writer, BYTES("Connection: upgrade"));
        put_upgrade(writer, request->upgrade);
    } else if (!request->is_keep_alive) {
        put_line(writer, BYTES("Connection: close"));
    }
}

enum err http1_write_request(char *out, size_t capacity, const struct request *request,
                             size_t *ret_size)
{
    struct bytes method = method_text(request->method);
    struct writer writer = {.at = out};
    size_t needed = method.size + request->target.size + REQUEST_LINE_EXTRA +
                    fields_size(&request->fields) + request->upgrade.size + FRAMING_LINES_MAX;
    if (needed > capacity) {
        return ERR_LIMIT;
    }
    put(&writer, method);
    put(&writer, BYTES(" "));
    put(&writer, request->target);
    put_line(&writer, BYTES(" HTTP/1.1"));
    put_fields(&writer, &request->fields);
    put_request_framing(&writer, request);
    end_line(&writer);
    return finish(&writer, out, ret_size);
}

static void put_response_framing(struct writer *writer, const struct response *response)
{
    if (response->body == BODY_LENGTH ||
        (response->body == BODY_NONE && response->has_content_length)) {
        put_content_length(writer, response->content_length);
    } else if (response->body == BODY_CHUNKED) {
        put_line(writer, BYTES("Transfer-Encoding: chunked"));
    }
    if (response->upgrade.size > 0) {
        put_line(writer, BYTES("Connection: upgrade"));
        put_upgrade(writer, response->upgrade);
    } else if (response_is_informational(response)) {
        return;
    } else if (!response->is_keep_alive) {
        put_line(writer, BYTES("Connection: close"));
    } else if (response->version == HTTP_1_0) {
        put_line(writer, BYTES("Connection: keep-alive"));
    }
}

enum err http1_write_response(char *out, size_t capacity, const struct response *response,
                              size_t *ret_size)
{
    struct writer writer = {.at = out};
    CHECK(response->status >= 100);
    CHECK(response->status <= 599);
    size_t needed = STATUS_LINE_SIZE + response->reason.size + fields_size(&response->fields) +
                    response->upgrade.size + FRAMING_LINES_MAX;
    if (needed > capacity) {
        return ERR_LIMIT;
    }
    put(&writer, BYTES("HTTP/1.1 "));
    put_decimal(&writer, response->status);
    put(&writer, BYTES(" "));
    put_line(&writer, response->reason);
    put_fields(&writer, &response->fields);
    put_response_framing(&writer, response);
    end_line(&writer);
    return finish(&writer, out, ret_size);
}

size_t http1_write_chunk_line(char *out, uint64_t size)
{
    static const char hex[] = "0123456789abcdef";
    size_t digits = 0;
    CHECK(size > 0);
    for (uint64_t rest = size; rest > 0; rest >>= 4) {
        digits++;
    }
    for (size_t i = 0; i < digits; i++) {
        out[i] = hex[size >> (4 * (digits - 1 - i)) & 0xf];
    }
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}

enum err http1_write_last_chunk(char *out, size_t capacity, const struct fields *trailers,
                                size_t *ret_size)
{
    struct writer writer = {.at = out};
    struct fields none = {NULL, 0};
    const struct fields *fields = trailers != NULL ? trailers : &none;
    if (HTTP1_LAST_CHUNK.size + fields_size(fields) > capacity) {
        return ERR_LIMIT;
    }
    put_line(&writer, BYTES("0"));
    put_fields(&writer, fields);
    end_line(&writer);
    return finish(&writer, out, ret_size);
}

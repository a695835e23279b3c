/* Sizes are summed up first, so that the copying needs no further look at the capacity. While bytes
 * are copied, eight at a time, their marks are gathered; only when something below 0x20 was among
 * them (a tab may be) the field is looked at again. */
#include "proxy/http1/http1_writer.h"

#include <assert.h>

#include "proxy/base/check.h"
#include "proxy/http/scan.h"

enum { DECIMAL_MAX = 20, FRAMING_LINES_MAX = 160, STATUS_LINE_SIZE = 15, REQUEST_LINE_EXTRA = 12 };

#define BIT(id) (UINT64_C(1) << FIELD_##id)
static_assert(FIELD_ID_COUNT <= 64, "ids fit in one mask");

/* Written from the message's facts instead. */
static const uint64_t skipped = BIT(CONTENT_LENGTH) | BIT(TRANSFER_ENCODING) | BIT(CONNECTION) |
                                BIT(KEEP_ALIVE) | BIT(TE) | BIT(UPGRADE);

struct writer {
    char *at;    /* where the next byte goes; room was checked */
    bool is_bad; /* a byte that must not be sent was among them */
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

/* Copies text that is known to be sound. */
static void put(struct writer *writer, struct bytes text)
{
    memcpy(writer->at, text.data, text.size);
    writer->at += text.size;
}

/* Copies text that came from outside. */
static void put_vetted(struct writer *writer, struct bytes text)
{
    char *out = writer->at;
    uint64_t marks = 0;
    writer->at += text.size;
    if (text.size < SCAN_WORD) {
        for (size_t i = 0; i < text.size; i++) {
            out[i] = text.data[i];
            marks |= token_table[(uint8_t)text.data[i]] & TOKEN_CONTROL;
        }
    } else {
        for (size_t i = 0; i < text.size - SCAN_WORD; i += SCAN_WORD) {
            uint64_t word = scan_load(text.data + i);
            marks |= scan_marks(word);
            memcpy(out + i, &word, sizeof word);
        }
        uint64_t last = scan_load(text.data + text.size - SCAN_WORD);
        marks |= scan_marks(last);
        memcpy(out + text.size - SCAN_WORD, &last, sizeof last);
    }
    if (marks != 0 && scan_text(text.data, 0, text.size) != text.size) {
        writer->is_bad = true;
    }
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
        put_vetted(writer, field->name);
        put(writer, BYTES(": "));
        put_vetted(writer, field->value);
        put(writer, HTTP1_CRLF);
    }
}

static void put_content_length(struct writer *writer, uint64_t size)
{
    put(writer, BYTES("Content-Length: "));
    put_decimal(writer, size);
    put(writer, HTTP1_CRLF);
}

static void put_upgrade(struct writer *writer, struct bytes upgrade)
{
    put(writer, BYTES("Upgrade: "));
    put_vetted(writer, upgrade);
    put(writer, HTTP1_CRLF);
}

static enum err finish(const struct writer *writer, const char *out, size_t *ret_size)
{
    if (writer->is_bad) {
        return ERR_SYNTAX;
    }
    *ret_size = (size_t)(writer->at - out);
    return OK;
}

static void put_request_framing(struct writer *writer, const struct request *request)
{
    CHECK(request->body != BODY_UNTIL_CLOSE);
    if (request->body == BODY_LENGTH) {
        put_content_length(writer, request->content_length);
    } else if (request->body == BODY_CHUNKED) {
        put(writer, BYTES("Transfer-Encoding: chunked\r\n"));
    }
    if (request->accepts_trailers) {
        put(writer, BYTES("TE: trailers\r\nConnection: TE\r\n"));
    }
    if (request->upgrade.size > 0) {
        put(writer, BYTES("Connection: upgrade\r\n"));
        put_upgrade(writer, request->upgrade);
    } else if (!request->is_keep_alive) {
        put(writer, BYTES("Connection: close\r\n"));
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
    put_vetted(&writer, request->target);
    put(&writer, BYTES(" HTTP/1.1\r\n"));
    put_fields(&writer, &request->fields);
    put_request_framing(&writer, request);
    put(&writer, HTTP1_CRLF);
    return finish(&writer, out, ret_size);
}

static void put_response_framing(struct writer *writer, const struct response *response)
{
    if (response->body == BODY_LENGTH ||
        (response->body == BODY_NONE && response->has_content_length)) {
        put_content_length(writer, response->content_length);
    } else if (response->body == BODY_CHUNKED) {
        put(writer, BYTES("Transfer-Encoding: chunked\r\n"));
    }
    if (response->upgrade.size > 0) {
        put(writer, BYTES("Connection: upgrade\r\n"));
        put_upgrade(writer, response->upgrade);
    } else if (response_is_informational(response)) {
        return;
    } else if (!response->is_keep_alive) {
        put(writer, BYTES("Connection: close\r\n"));
    } else if (response->version == HTTP_1_0) {
        put(writer, BYTES("Connection: keep-alive\r\n"));
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
    put_vetted(&writer, response->reason);
    put(&writer, HTTP1_CRLF);
    put_fields(&writer, &response->fields);
    put_response_framing(&writer, response);
    put(&writer, HTTP1_CRLF);
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
    put(&writer, BYTES("0\r\n"));
    put_fields(&writer, fields);
    put(&writer, HTTP1_CRLF);
    return finish(&writer, out, ret_size);
}

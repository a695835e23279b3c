#include "proxy/http2/http2_outlet.h"

#include "proxy/base/check.h"
#include "proxy/http/framing.h"

enum { FRAME_HEAD_SIZE = 9, PIECE_SIZE = 16 * 1024 };

/* ---- heads ---- */

/* What HTTP/2 says in other ways (RFC 9113 section 8.2.2), or is made from the message's facts. */
static bool is_skipped(enum field_id id, bool is_request)
{
    switch (id) {
    case FIELD_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_CONNECTION:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_UPGRADE:
    case FIELD_HTTP2_SETTINGS:
    case FIELD_TE:
    case FIELD_CONTENT_LENGTH:
        return true;
    case FIELD_HOST:
        return is_request;
    default:
        return false;
    }
}

nghttp2_nv http2_name_value(struct bytes name, struct bytes value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.data,
                        .value = (uint8_t *)(uintptr_t)value.data,
                        .namelen = name.size,
                        .valuelen = value.size};
}

/* Names go out in lower case (section 8.2). data is NULL when memory is out. */
static struct bytes lower_name(const struct field *field, struct arena *arena)
{
    if (field->id != FIELD_OTHER) {
        return field_id_name(field->id);
    }
    size_t at = 0;
    while (at < field->name.size && byte_lower(field->name.data[at]) == field->name.data[at]) {
        at++;
    }
    if (at == field->name.size) {
        return field->name;
    }
    char *text = arena_alloc(arena, field->name.size);
    for (size_t i = 0; text != NULL && i < field->name.size; i++) {
        text[i] = byte_lower(field->name.data[i]);
    }
    return bytes_make(text, field->name.size);
}

enum err http2_put_fields(const struct fields *fields, bool is_request, struct arena *arena,
                          nghttp2_nv *out, size_t *count)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if (is_skipped(field->id, is_request)) {
            continue;
        }
        struct bytes name = lower_name(field, arena);
        if (name.data == NULL) {
            return ERR_NOMEM;
        }
        out[(*count)++] = http2_name_value(name, field->value);
    }
    return OK;
}

void http2_keep_secret(nghttp2_nv *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fields[i].flags |= NGHTTP2_NV_FLAG_NO_INDEX;
    }
}

struct bytes http2_write_decimal(char *end, uint64_t value)
{
    char *at = end;
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return bytes_make(at, (size_t)(end - at));
}

/* ---- bodies ---- */

enum err http2_outlet_keep_trailers(struct http2_outlet *outlet, const struct fields *trailers,
                                    struct arena *arena)
{
    nghttp2_nv *kept = arena_alloc(arena, (trailers->count + 1) * sizeof *kept);
    size_t count = 0;
    for (size_t i = 0; kept != NULL && i < trailers->count; i++) {
        const struct field *field = &trailers->items[i];
        if (framing_is_trailer_refused(field->id) || framing_is_trailer_dropped(field->id)) {
            continue;
        }
        struct bytes name = lower_name(field, arena);
        struct bytes value = arena_copy(arena, field->value);
        name = name.data == field->name.data ? arena_copy(arena, name) : name;
        if (name.data == NULL || value.data == NULL) {
            return ERR_NOMEM;
        }
        kept[count++] = http2_name_value(name, value);
    }
    outlet->trailers = kept;
    outlet->trailer_count = count;
    return kept != NULL ? OK : ERR_NOMEM;
}

ssize_t http2_outlet_read(const struct http2_outlet *outlet, nghttp2_session *session, int32_t id,
                          size_t size, uint32_t *flags)
{
    size_t waiting = buf_size(&outlet->waiting);
    if (waiting == 0 && !outlet->is_ended) {
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t taken = waiting < size ? waiting : size;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (outlet->is_ended && taken == waiting) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (outlet->trailer_count > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            int status =
                nghttp2_submit_trailer(session, id, outlet->trailers, outlet->trailer_count);
            return status == 0 ? (ssize_t)taken : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
    }
    return (ssize_t)taken;
}

struct bytes http2_piece(const struct buf *waiting)
{
    struct bytes all = buf_bytes(waiting);
    return bytes_slice(all, 0, all.size < PIECE_SIZE ? all.size : PIECE_SIZE);
}

ssize_t http2_outlet_write(struct stream *stream, const uint8_t *frames, size_t size)
{
    if (stream_is_blocked(stream)) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    stream_write_one(stream, bytes_make((const char *)frames, size));
    return (ssize_t)size;
}

bool http2_outlet_send(struct http2_outlet *outlet, struct stream *stream, const uint8_t *head,
                       size_t size)
{
    if (stream_is_blocked(stream)) {
        return false;
    }
    struct bytes piece = buf_bytes(&outlet->waiting);
    CHECK(size <= piece.size);
    char *room = stream_reserve(stream, FRAME_HEAD_SIZE + size);
    memcpy(room, head, FRAME_HEAD_SIZE);
    if (size > 0) {
        memcpy(room + FRAME_HEAD_SIZE, piece.data, size);
    }
    stream_commit(stream, FRAME_HEAD_SIZE + size);
    buf_consume(&outlet->waiting, size);
    return true;
}

/* proxy/http2/http2_responder.c — the handler's way back to the client: heads, bodies and ends as
 * HTTP/2 frames them. Nothing here calls a handler. */
#include "proxy/http/reply.h"
#include "proxy/http2/http2_server_state.h"

enum {
    NAME_VALUES_ON_STACK = 64,
    STATUS_SIZE = 3,
    STATUS_SWITCHING = 101,
    STATUS_OK = 200,
    DIRECT_MIN = 16 * 1024, /* a piece of this size is worth framing at once */
    FRAME_HEAD_SIZE = 9
};

static struct http2_stream *stream_of(struct responder *responder)
{
    struct http2_stream *stream = CONTAINER_OF(responder, struct http2_stream, responder);
    CHECK(stream->is_open);
    return stream;
}

/* ---- heads ---- */

/* What HTTP/2 says in other ways (RFC 9113 section 8.2.2), or is made from the message's facts. */
static bool is_skipped(enum field_id id)
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
    default:
        return false;
    }
}

static nghttp2_nv name_value(struct bytes name, struct bytes value)
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

/* false without memory. */
static bool put_fields(const struct fields *fields, struct arena *arena, nghttp2_nv *out,
                       size_t *count)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if (is_skipped(field->id)) {
            continue;
        }
        struct bytes name = lower_name(field, arena);
        if (name.data == NULL) {
            return false;
        }
        out[(*count)++] = name_value(name, field->value);
    }
    return true;
}

static struct bytes write_decimal(char *end, uint64_t value)
{
    char *at = end;
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return bytes_make(at, (size_t)(end - at));
}

static bool announces_length(const struct response *response)
{
    return response->body == BODY_LENGTH ||
           (response->body == BODY_NONE && response->has_content_length);
}

static bool has_bytes(const struct response *response)
{
    bool is_empty = response->body == BODY_LENGTH && response->content_length == 0;
    return response->body != BODY_NONE && !is_empty;
}

static int submit(struct http2_stream *stream, const nghttp2_nv *fields, size_t count,
                  const struct response *response)
{
    nghttp2_session *session = stream->server->session;
    nghttp2_data_provider answer = {.source = {.ptr = stream},
                                    .read_callback = http2_on_read_answer};
    if (response_is_informational(response)) {
        return nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, stream->id, NULL, fields, count,
                                      NULL);
    }
    return nghttp2_submit_response(session, stream->id, fields, count,
                                   has_bytes(response) ? &answer : NULL);
}

/* false without memory. nghttp2 copies what it is given. */
static bool write_head(struct http2_stream *stream, const struct response *response)
{
    enum { LENGTH_SIZE = 20, EXTRA = 2 };
    nghttp2_nv on_stack[NAME_VALUES_ON_STACK];
    char status[STATUS_SIZE];
    char length[LENGTH_SIZE];
    size_t most = response->fields.count + EXTRA;
    nghttp2_nv *fields = most <= NAME_VALUES_ON_STACK
                             ? on_stack
                             : arena_alloc(&stream->arena, most * sizeof *fields);
    if (fields == NULL) {
        return false;
    }
    size_t count = 0;
    fields[count++] =
        name_value(BYTES(":status"), write_decimal(status + STATUS_SIZE, response->status));
    if (!put_fields(&response->fields, &stream->arena, fields, &count)) {
        return false;
    }
    if (announces_length(response)) {
        fields[count++] = name_value(BYTES("content-length"),
                                     write_decimal(length + LENGTH_SIZE, response->content_length));
    }
    return submit(stream, fields, count, response) == 0;
}

static void send_head(struct http2_stream *stream, const struct response *response)
{
    if (stream->is_closed || stream->is_reset) {
        return;
    }
    if (!write_head(stream, response)) {
        http2_stream_reset(stream, NGHTTP2_INTERNAL_ERROR);
    }
    http2_server_schedule(stream->server, NULL);
}

static void respond_inform(struct responder *responder, const struct response *response)
{
    struct http2_stream *stream = stream_of(responder);
    CHECK(!stream->has_head);
    send_head(stream, response);
}

/* What has no bytes ends with its head: of gRPC only that is an answer without trailers. */
static void begin_answer(struct http2_stream *stream, const struct response *response)
{
    stream->has_head = true;
    stream->out_body = has_bytes(response) ? response->body : BODY_NONE;
    stream->answered_us = stream->server->host->loop->now_us;
    send_head(stream, response);
}

/* RFC 8441 section 4: what is 101 in HTTP/1.1 is 200 here, and the stream goes on as the tunnel. */
static void begin_tunnel(struct http2_stream *stream, const struct response *response)
{
    struct response out = *response;
    CHECK(stream->is_tunnel);
    out.status = STATUS_OK;
    out.body = BODY_UNTIL_CLOSE;
    stream->is_switched = true;
    stream->is_body_done = false;
    begin_answer(stream, &out);
}

static void respond_head(struct responder *responder, const struct response *response)
{
    struct http2_stream *stream = stream_of(responder);
    CHECK(!stream->has_head);
    if (response->status == STATUS_SWITCHING) {
        begin_tunnel(stream, response);
    } else {
        begin_answer(stream, response);
    }
}

/* ---- bodies ---- */

static bool is_mute(const struct http2_stream *stream)
{
    return stream->is_closed || stream->is_reset || stream->out_body == BODY_NONE;
}

static void say(struct http2_stream *stream, struct bytes piece)
{
    struct http2_server *server = stream->server;
    if (is_mute(stream) || piece.size == 0) {
        return;
    }
    if (buf_size(&stream->out) == 0) {
        stream->answered_us = server->host->loop->now_us;
    }
    if (buf_append(&stream->out, piece) != OK) {
        http2_stream_reset(stream, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    (void)nghttp2_session_resume_data(server->session, stream->id);
    if (buf_size(&stream->out) >= DIRECT_MIN && !server->is_busy) {
        http2_server_pump(server);
    }
    stream->is_blocked = buf_size(&stream->out) >= HTTP2_OUT_HIGH;
    http2_server_schedule(server, NULL);
}

static void respond_body(struct responder *responder, struct bytes piece)
{
    struct http2_stream *stream = stream_of(responder);
    CHECK(stream->has_head);
    say(stream, piece);
}

/* The trailers are lent, and sent only behind what waits. */
static bool keep_trailers(struct http2_stream *stream, const struct fields *trailers)
{
    nghttp2_nv *kept = arena_alloc(&stream->arena, trailers->count * sizeof *kept);
    size_t count = 0;
    for (size_t i = 0; kept != NULL && i < trailers->count; i++) {
        const struct field *field = &trailers->items[i];
        if (framing_is_trailer_refused(field->id) || framing_is_trailer_dropped(field->id)) {
            continue;
        }
        struct bytes name = lower_name(field, &stream->arena);
        struct bytes value = arena_copy(&stream->arena, field->value);
        name = name.data == field->name.data ? arena_copy(&stream->arena, name) : name;
        if (name.data == NULL || value.data == NULL) {
            return false;
        }
        kept[count++] = name_value(name, value);
    }
    stream->out_trailers = kept;
    stream->out_trailer_count = count;
    return kept != NULL;
}

/* Nothing comes behind what waits. */
static void say_end(struct http2_stream *stream)
{
    struct http2_server *server = stream->server;
    if (buf_size(&stream->out) == 0) {
        stream->answered_us = server->host->loop->now_us;
    }
    if (!is_mute(stream)) {
        (void)nghttp2_session_resume_data(server->session, stream->id);
    }
}

static void finish_answer(struct http2_stream *stream)
{
    stream->is_ended = true;
    say_end(stream);
    http2_server_schedule(stream->server, stream); /* gives the window back, too */
}

static void respond_end(struct responder *responder, const struct fields *trailers)
{
    struct http2_stream *stream = stream_of(responder);
    CHECK(stream->has_head);
    stream->is_open = false;
    bool has_trailers = trailers != NULL && trailers->count > 0 && !is_mute(stream);
    if (has_trailers && !keep_trailers(stream, trailers)) {
        http2_stream_reset(stream, NGHTTP2_INTERNAL_ERROR);
    }
    finish_answer(stream);
}

/* The client's END_STREAM may come much later. */
static void respond_finish(struct responder *responder)
{
    struct http2_stream *stream = stream_of(responder);
    CHECK(stream->is_switched);
    stream->is_finished = true;
    stream->asked_us = stream->server->host->loop->now_us;
    say_end(stream);
    http2_server_schedule(stream->server, NULL);
}

static void respond_cut(struct responder *responder)
{
    struct http2_stream *stream = stream_of(responder);
    stream->is_open = false;
    /* RFC 8441 section 5: where TCP would have a reset. */
    http2_stream_reset(stream, stream->is_switched ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR);
}

static void respond_want_body(struct responder *responder, bool is_wanted)
{
    struct http2_stream *stream = stream_of(responder);
    bool is_news = is_wanted && !stream->is_body_wanted;
    stream->is_body_wanted = is_wanted;
    if (is_news && !stream->is_body_done) {
        stream->asked_us = stream->server->host->loop->now_us;
        http2_server_schedule(stream->server, stream);
    }
}

static bool respond_is_blocked(const struct responder *responder)
{
    return CONTAINER_OF(responder, struct http2_stream, responder)->is_blocked;
}

const struct responder_ops http2_responder_ops = {
    .inform = respond_inform,
    .head = respond_head,
    .body = respond_body,
    .finish = respond_finish,
    .end = respond_end,
    .cut = respond_cut,
    .want_body = respond_want_body,
    .is_blocked = respond_is_blocked,
};

void http2_stream_reply(struct http2_stream *stream, unsigned status)
{
    struct http2_server_host *host = stream->server->host;
    struct reply_options options = {.client_version = HTTP_2,
                                    .is_keep_alive = true,
                                    .pages = host->settings.pages,
                                    .is_head = stream->is_head,
                                    .date = date_now(&host->date, host->loop->now_us)};
    struct field items[REPLY_FIELDS_MAX];
    struct response response;
    struct bytes body;
    reply_make(status, &options, items, &response, &body);
    begin_answer(stream, &response);
    say(stream, body);
    finish_answer(stream);
}

/* ---- what nghttp2 takes ---- */

ssize_t http2_on_read_answer(nghttp2_session *session, int32_t id, uint8_t *out, size_t size,
                             uint32_t *flags, nghttp2_data_source *source, void *context)
{
    struct http2_stream *stream = source->ptr;
    size_t waiting = buf_size(&stream->out);
    (void)out;
    (void)context;
    bool is_all = stream->is_ended || stream->is_finished;
    if (waiting == 0 && !is_all) {
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t taken = waiting < size ? waiting : size;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (is_all && taken == waiting) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (stream->out_trailer_count > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            int status = nghttp2_submit_trailer(session, id, stream->out_trailers,
                                                stream->out_trailer_count);
            return status == 0 ? (ssize_t)taken : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
    }
    return (ssize_t)taken;
}

int http2_on_send_answer(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                         size_t size, nghttp2_data_source *source, void *context)
{
    struct http2_server *server = context;
    struct http2_stream *stream = source->ptr;
    (void)session;
    CHECK(frame->data.padlen == 0);
    if (stream_is_blocked(server->stream)) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    struct bytes piece = buf_bytes(&stream->out);
    CHECK(size <= piece.size);
    char *room = stream_reserve(server->stream, FRAME_HEAD_SIZE + size);
    memcpy(room, head, FRAME_HEAD_SIZE);
    if (size > 0) {
        memcpy(room + FRAME_HEAD_SIZE, piece.data, size);
    }
    stream_commit(server->stream, FRAME_HEAD_SIZE + size);
    buf_consume(&stream->out, size);
    stream->answered_us = server->host->loop->now_us;
    if (stream->is_blocked && buf_size(&stream->out) < HTTP2_OUT_HIGH) {
        stream->is_blocked = false;
        stream->is_drain_due = true;
        http2_server_schedule(server, stream);
    }
    return 0;
}

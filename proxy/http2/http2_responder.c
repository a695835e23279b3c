/* proxy/http2/http2_responder.c — the handler's way back to the client: heads, bodies and ends as
 * HTTP/2 frames them. Nothing here calls a handler. */
#include "proxy/http/reply.h"
#include "proxy/http2/http2_server_state.h"

enum {
    NAME_VALUES_ON_STACK = 64,
    STATUS_SWITCHING = 101,
    STATUS_OK = 200,
    DIRECT_MIN = 16 * 1024 /* a piece of this size is worth framing at once */
};

static struct http2_stream *stream_of(struct responder *responder)
{
    struct http2_stream *stream = CONTAINER_OF(responder, struct http2_stream, responder);
    CHECK(stream->is_open);
    return stream;
}

/* ---- heads ---- */

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
    enum { EXTRA = 2 };
    nghttp2_nv on_stack[NAME_VALUES_ON_STACK];
    char status[HTTP2_DECIMAL_SIZE];
    char length[HTTP2_DECIMAL_SIZE];
    size_t most = response->fields.count + EXTRA;
    nghttp2_nv *fields = most <= NAME_VALUES_ON_STACK
                             ? on_stack
                             : arena_alloc(&stream->arena, most * sizeof *fields);
    if (fields == NULL) {
        return false;
    }
    size_t count = 0;
    fields[count++] = http2_name_value(
        BYTES(":status"), http2_write_decimal(status + sizeof status, response->status));
    if (http2_put_fields(&response->fields, false, &stream->arena, fields, &count) != OK) {
        return false;
    }
    if (announces_length(response)) {
        fields[count++] =
            http2_name_value(BYTES("content-length"),
                             http2_write_decimal(length + sizeof length, response->content_length));
    }
    if (response->is_secret) {
        http2_keep_secret(fields, count);
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
    if (buf_size(&stream->out.waiting) == 0) {
        stream->answered_us = server->host->loop->now_us;
    }
    if (buf_append(&stream->out.waiting, piece) != OK) {
        http2_stream_reset(stream, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    (void)nghttp2_session_resume_data(server->session, stream->id);
    if (buf_size(&stream->out.waiting) >= DIRECT_MIN && !server->is_busy) {
        http2_server_pump(server);
    }
    stream->is_blocked = buf_size(&stream->out.waiting) >= HTTP2_OUT_HIGH;
    http2_server_schedule(server, NULL);
}

static void respond_body(struct responder *responder, struct bytes piece)
{
    struct http2_stream *stream = stream_of(responder);
    CHECK(stream->has_head);
    say(stream, piece);
}

/* Nothing comes behind what waits. */
static void say_end(struct http2_stream *stream)
{
    struct http2_server *server = stream->server;
    stream->out.is_ended = true;
    if (buf_size(&stream->out.waiting) == 0) {
        stream->answered_us = server->host->loop->now_us;
    }
    if (!is_mute(stream)) {
        (void)nghttp2_session_resume_data(server->session, stream->id);
    }
}

static void finish_answer(struct http2_stream *stream)
{
    say_end(stream);
    http2_server_schedule(stream->server, stream); /* gives the window back, too */
}

static void respond_end(struct responder *responder, const struct fields *trailers)
{
    struct http2_stream *stream = stream_of(responder);
    CHECK(stream->has_head);
    stream->is_open = false;
    bool has_trailers = trailers != NULL && trailers->count > 0 && !is_mute(stream);
    if (has_trailers && http2_outlet_keep_trailers(&stream->out, trailers, &stream->arena) != OK) {
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
    const struct http2_stream *stream = source->ptr;
    (void)out;
    (void)context;
    return http2_outlet_read(&stream->out, session, id, size, flags);
}

int http2_on_send_answer(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                         size_t size, nghttp2_data_source *source, void *context)
{
    struct http2_server *server = context;
    struct http2_stream *stream = source->ptr;
    (void)session;
    CHECK(frame->data.padlen == 0);
    if (!http2_outlet_send(&stream->out, server->stream, head, size)) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    stream->answered_us = server->host->loop->now_us;
    if (stream->is_blocked && buf_size(&stream->out.waiting) < HTTP2_OUT_HIGH) {
        stream->is_blocked = false;
        stream->is_drain_due = true;
        http2_server_schedule(server, stream);
    }
    return 0;
}

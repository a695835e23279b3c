/* proxy/http2/http2_session.c — what nghttp2 read: heads, bodies, resets, and who says too much.
 *
 * nghttp2's own look at heads is switched off: http2_head.h decides, with our reasons. Frames have
 * been weighed by http2_guard.h before they come here. */
#include "proxy/http2/http2_server_state.h"

enum {
    DISCARDED_MAX = 64 * 1024,
    ANSWER_HEAD_MAX = 512 * 1024, /* more than limits.header_size lets an origin say */
    PUSHED_BACK = NGHTTP2_ERR_CALLBACK_FAILURE
};

static const uint8_t farewell_ping[8] = {'s', 'e', 'r', 'i', 'n', 'b', 'y', 'e'};

static uint64_t now_of(const struct http2_server *server)
{
    return server->host->loop->now_us;
}

static struct http2_stream *stream_of(nghttp2_session *session, int32_t id)
{
    return id > 0 ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

/* ---- budgets ---- */

/* The connection ends for it when nghttp2 has let go of these bytes. */
static int break_off(struct http2_server *server, enum metric_http2_violation kind)
{
    server->violation = kind;
    return PUSHED_BACK;
}

static int spend(struct http2_server *server, enum metric_http2_violation kind)
{
    return http2_guard_spend(&server->guard, kind, now_of(server)) ? 0 : break_off(server, kind);
}

/* A stream that we have to reset for the client's fault costs as much as one that it resets itself:
 * otherwise one way around the budget is as good as the other. */
static int weigh_reset(struct http2_server *server)
{
    return spend(server, METRIC_HTTP2_RAPID_RESET);
}

/* ---- heads ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct http2_server *server = context;
    struct http2_stream *stream = stream_of(session, frame->hd.stream_id);
    server->head_since_us = now_of(server);
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        if (stream != NULL) {
            http2_head_init(&stream->head, HTTP2_TRAILERS, &stream->arena, &stream->limits);
        }
        return 0;
    }
    stream = http2_server_take_block(server, frame->hd.stream_id);
    if (stream == NULL) {
        cell_increment(&server->host->cells->rejected_requests[REJECT_MEMORY]);
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    list_push_back(&server->streams, &stream->link);
    server->stream_count++;
    server->request_count++;
    stream->asked_us = now_of(server);
    http2_head_init(&stream->head, HTTP2_REQUEST_HEAD, &stream->arena, &stream->limits);
    (void)nghttp2_session_set_stream_user_data(session, stream->id, stream);
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *context)
{
    struct http2_server *server = context;
    struct http2_stream *stream = stream_of(session, frame->hd.stream_id);
    if (stream == NULL) {
        return 0;
    }
    stream->head.is_secret = stream->head.is_secret || http2_is_secret(flags);
    http2_head_add(&stream->head, bytes_make((const char *)name, name_size),
                   bytes_make((const char *)value, value_size));
    return http2_head_is_bomb(&stream->head) ? break_off(server, METRIC_HTTP2_HEADER_BOMB) : 0;
}

/* A request that nobody may see. One that is malformed is a stream error (RFC 9113 section 8.1.1),
 * others get an answer where there is still room for one. */
static int refuse(struct http2_stream *stream, struct reject reject)
{
    enum { MALFORMED = 400 };
    struct http2_server *server = stream->server;
    cell_increment(&server->host->cells->rejected_requests[reject.reason]);
    stream->is_pending = false;
    http2_stream_tell_gone(stream, ERR_SYNTAX);
    if (reject.status != MALFORMED && !stream->has_head) {
        http2_stream_reply(stream, reject.status);
        return 0;
    }
    http2_stream_reset(stream, NGHTTP2_PROTOCOL_ERROR);
    return weigh_reset(server);
}

static void open_request(struct http2_stream *stream)
{
    struct http2_server *server = stream->server;
    const struct request *message = &stream->message;
    stream->responder = (struct responder){
        .ops = &http2_responder_ops,
        .arena = &stream->arena,
        .peer = &server->peer,
        .peer_port = server->peer_port,
        .connection = server->stream,
        .is_tls = server->stream->is_sealed,
        .is_first_on_connection = server->request_count == 1,
    };
    stream->is_open = true;
    stream->is_body_done = message->body == BODY_NONE ||
                           (message->body == BODY_LENGTH && message->content_length == 0);
    struct handler *handler = server->host->handler;
    handler->open(handler, &stream->responder, message);
}

static int finish_head(struct http2_stream *stream, bool is_last)
{
    struct http2_server *server = stream->server;
    const struct http2_server_settings *settings = &server->host->settings;
    struct reject reject;
    stream->has_head_read = true;
    stream->is_head = bytes_equal(stream->head.pseudo[HTTP2_METHOD], BYTES("HEAD"));
    stream->is_body_read = is_last;
    enum err err = http2_head_finish(&stream->head, is_last, &stream->message, &reject);
    stream->is_tunnel = err == OK && stream->message.upgrade.size > 0;
    if (err == OK && settings->body_max > 0 &&
        stream->message.content_length > settings->body_max) {
        reject = reject_request(REJECT_BODY_TOO_LARGE);
        err = ERR_LIMIT;
    }
    int result = 0;
    stream->is_pending = err == OK && !is_last && stream->message.body == BODY_LENGTH &&
                         stream->message.content_length == 0;
    if (stream->is_pending) {
        result = 0;
    } else if (err == OK) {
        open_request(stream);
    } else {
        result = refuse(stream, reject);
    }
    uint64_t limit = settings->requests_per_connection_max;
    if (limit > 0 && server->request_count >= limit) {
        http2_server_say_farewell(server);
    }
    return result;
}

/* ---- bodies ---- */

static int finish_body(struct http2_stream *stream)
{
    const struct request *message = &stream->message;
    stream->is_body_read = true;
    if (stream->is_pending) {
        stream->is_pending = false;
        open_request(stream);
        return 0;
    }
    if (!stream->is_open) {
        return 0;
    }
    if (message->body == BODY_LENGTH && stream->body_received < message->content_length) {
        return refuse(stream, reject_request(REJECT_CONTENT_LENGTH));
    }
    http2_stream_deliver(stream);
    return 0;
}

static int finish_trailers(struct http2_stream *stream, bool is_last)
{
    struct reject reject;
    bool is_wanted = stream->is_open || stream->is_pending;
    if (!is_wanted && !is_last) {
        http2_stream_reset(stream, NGHTTP2_PROTOCOL_ERROR);
        return weigh_reset(stream->server);
    }
    if (!is_wanted) {
        return 0;
    }
    if (!is_last || stream->is_tunnel) { /* RFC 9113 sections 8.1: the one that ends the stream, and
                                            8.5: after CONNECT only DATA */
        return refuse(stream, reject_request(REJECT_TRAILER));
    }
    if (http2_head_finish_trailers(&stream->head, &stream->trailers, &reject) != OK) {
        return refuse(stream, reject);
    }
    return finish_body(stream);
}

/* Nobody wants these bytes any more: other streams get the window back. A client that has its
 * answer may send a little more to come to its end in good order, then is asked to stop. */
static void discard(struct http2_server *server, struct http2_stream *stream, size_t size)
{
    http2_server_give_back(server, size);
    stream->discarded += size;
    if (stream->is_said && stream->discarded > DISCARDED_MAX) {
        http2_stream_reset(stream, NGHTTP2_NO_ERROR);
    }
}

/* A tunnel's bytes are no body. What comes before the answer waits for it. */
static enum reject_reason judge_size(const struct http2_stream *stream)
{
    const struct request *message = &stream->message;
    uint64_t body_max = stream->server->host->settings.body_max;
    bool is_too_long = message->body == BODY_LENGTH
                           ? stream->body_received > message->content_length
                           : message->body == BODY_NONE;
    if (stream->is_tunnel) {
        return REJECT_NONE;
    }
    if (is_too_long) {
        return REJECT_CONTENT_LENGTH;
    }
    bool is_over = body_max > 0 && stream->body_received > body_max;
    return is_over ? REJECT_BODY_TOO_LARGE : REJECT_NONE;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *context)
{
    struct http2_server *server = context;
    struct http2_stream *stream = stream_of(session, id);
    (void)flags;
    if (stream == NULL) {
        (void)nghttp2_session_consume(session, id, size);
        return 0;
    }
    if (stream->is_pending && size > 0) {
        stream->is_pending = false;
        discard(server, stream, size);
        return refuse(stream, reject_request(REJECT_CONTENT_LENGTH));
    }
    if (!stream->is_open) {
        discard(server, stream, size);
        return 0;
    }
    stream->body_received += size;
    stream->asked_us = now_of(server);
    stream->withheld += size;
    server->withheld += size;
    enum reject_reason reason = judge_size(stream);
    if (reason != REJECT_NONE) {
        return refuse(stream, reject_request(reason));
    }
    if (stream->is_body_wanted && buf_size(&stream->in) == 0) {
        stream->responder.request_ops->on_body(stream->responder.request,
                                               bytes_make((const char *)data, size));
    } else if (buf_append(&stream->in, bytes_make((const char *)data, size)) != OK) {
        return refuse(stream, reject_request(REJECT_MEMORY));
    }
    http2_stream_deliver(stream);
    return 0;
}

/* ---- whole frames ---- */

static int on_headers(struct http2_stream *stream, bool is_last)
{
    stream->server->head_since_us = 0;
    return stream->has_head_read ? finish_trailers(stream, is_last) : finish_head(stream, is_last);
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct http2_server *server = context;
    struct http2_stream *stream = stream_of(session, frame->hd.stream_id);
    bool is_last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    bool is_answer = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        return stream != NULL && is_last ? finish_body(stream) : 0;
    case NGHTTP2_HEADERS:
        server->head_since_us = 0;
        return stream != NULL ? on_headers(stream, is_last) : 0;
    case NGHTTP2_SETTINGS:
        server->head_since_us = 0;
        return 0;
    case NGHTTP2_PING:
        if (is_answer && server->farewell == HTTP2_NOTICE_SENT &&
            memcmp(frame->ping.opaque_data, farewell_ping, sizeof farewell_ping) == 0) {
            http2_session_go_away(server);
        }
        return 0;
    default:
        return 0;
    }
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *context)
{
    struct http2_server *server = context;
    (void)session;
    (void)frame;
    (void)error; /* counted when the client is told */
    server->head_since_us = 0;
    server->weighed_count++;
    return weigh_reset(server);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *context)
{
    struct http2_server *server = context;
    struct http2_stream *stream = stream_of(session, id);
    (void)code;
    if (stream != NULL) {
        http2_stream_release(stream);
        server->late_count += stream->is_reset && !stream->is_reset_sent;
        stream->is_closed = true;
        http2_server_schedule(server, stream);
    }
    return 0;
}

/* ---- what goes out ---- */

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t size, int flags,
                       void *context)
{
    struct http2_server *server = context;
    (void)session;
    (void)flags;
    return http2_outlet_write(server->stream, data, size);
}

/* An answer that is complete before its request (RFC 9113 section 8.1). The client is asked to stop
 * sending, but not in the same breath: there are clients that lose the answer over it. Who takes
 * answers may cancel as many: a balancer's connection carries what all its clients leave early. */
static void note_said(struct http2_stream *stream, uint8_t flags)
{
    if (stream != NULL && (flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        stream->is_said = true;
        stream->answered_us = now_of(stream->server);
        http2_guard_earn(&stream->server->guard, METRIC_HTTP2_RAPID_RESET, 1);
    }
}

/* A stream that nghttp2 resets by itself was against the protocol, or one too many. Not always is
 * there a frame that was invalid: one SETTINGS may overflow the windows of all streams. One of ours
 * may cross with the client's own, and find its stream closed. */
static void count_reset(struct http2_server *server, struct http2_stream *stream, uint32_t code)
{
    if (stream != NULL && stream->is_reset) {
        stream->is_reset_sent = true;
        return;
    }
    if (stream == NULL && server->late_count > 0) {
        server->late_count--;
        return;
    }
    http2_server_count(server, code == NGHTTP2_REFUSED_STREAM ? METRIC_HTTP2_STREAMS
                                                              : METRIC_HTTP2_PROTOCOL);
    if (server->weighed_count > 0) {
        server->weighed_count--;
    } else if (weigh_reset(server) != 0) {
        http2_server_schedule(server, NULL);
    }
}

static void count_end(struct http2_server *server, uint32_t code)
{
    if (code != NGHTTP2_NO_ERROR && code != NGHTTP2_ENHANCE_YOUR_CALM &&
        code != NGHTTP2_INTERNAL_ERROR) {
        http2_server_count(server, METRIC_HTTP2_PROTOCOL);
    }
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct http2_server *server = context;
    struct http2_stream *stream = stream_of(session, frame->hd.stream_id);
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        http2_guard_earn_data(&server->guard, frame->hd.length);
        http2_guard_earn(&server->guard, METRIC_HTTP2_PING, 1);
        note_said(stream, frame->hd.flags);
        break;
    case NGHTTP2_HEADERS:
        http2_guard_earn(&server->guard, METRIC_HTTP2_PING, 1);
        note_said(stream, frame->hd.flags);
        break;
    case NGHTTP2_RST_STREAM:
        count_reset(server, stream, frame->rst_stream.error_code);
        break;
    case NGHTTP2_GOAWAY:
        count_end(server, frame->goaway.error_code);
        break;
    default:
        break;
    }
    return 0;
}

static int on_frame_unsent(nghttp2_session *session, const nghttp2_frame *frame, int error,
                           void *context)
{
    struct http2_stream *stream = stream_of(session, frame->hd.stream_id);
    (void)context;
    (void)error;
    if (frame->hd.type == NGHTTP2_HEADERS && stream != NULL) {
        /* Its handler may be the one that is sending: it is told when the stream closes. */
        http2_stream_reset(stream, NGHTTP2_INTERNAL_ERROR);
    }
    return 0;
}

/* ---- making ---- */

static void set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, http2_on_send_answer);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_unsent);
}

static void set_options(nghttp2_option *option)
{
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_send_header_block_length(option, ANSWER_HEAD_MAX);
}

static int create(struct http2_server *server, nghttp2_session **ret_session)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) {
        return NGHTTP2_ERR_NOMEM;
    }
    if (nghttp2_option_new(&option) != 0) {
        nghttp2_session_callbacks_del(callbacks);
        return NGHTTP2_ERR_NOMEM;
    }
    set_callbacks(callbacks);
    set_options(option);
    int status = nghttp2_session_server_new2(ret_session, callbacks, server, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return status;
}

enum err http2_session_create(struct http2_server *server, nghttp2_session **ret_session)
{
    const struct http2_server_settings *settings = &server->host->settings;
    nghttp2_session *session = NULL;
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)settings->limits.head_max},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
    };
    if (create(server, &session) != 0) {
        return ERR_NOMEM;
    }
    if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, entries, COUNT_OF(entries)) != 0 ||
        nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                              HTTP2_CONNECTION_WINDOW) != 0) {
        nghttp2_session_del(session);
        return ERR_NOMEM;
    }
    *ret_session = session;
    return OK;
}

void http2_server_say_farewell(struct http2_server *server)
{
    if (server->farewell != HTTP2_NO_FAREWELL || server->state != HTTP2_SERVING) {
        return;
    }
    server->farewell = HTTP2_NOTICE_SENT;
    server->farewell_us = now_of(server);
    (void)nghttp2_submit_shutdown_notice(server->session);
    (void)nghttp2_submit_ping(server->session, NGHTTP2_FLAG_NONE, farewell_ping);
    http2_server_schedule(server, NULL);
}

void http2_session_go_away(struct http2_server *server)
{
    if (server->farewell == HTTP2_GOAWAY_SENT) {
        return;
    }
    server->farewell = HTTP2_GOAWAY_SENT;
    (void)nghttp2_submit_goaway(server->session, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(server->session),
                                NGHTTP2_NO_ERROR, NULL, 0);
    http2_server_schedule(server, NULL);
}

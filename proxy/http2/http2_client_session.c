/* proxy/http2/http2_client_session.c — what nghttp2 read of an origin: heads, bodies, resets, and
 * who says too much.
 *
 * nghttp2's own look at heads is switched off: http2_head.h decides, with our reasons. Frames have
 * been weighed by http2_guard.h before they come here. */
#include "proxy/http2/http2_client_state.h"

enum {
    INFORMATIONAL_MAX = 16,        /* 1xx answers before the final one */
    REQUEST_HEAD_MAX = 512 * 1024, /* more than limits.header_size lets a client say */
    RESETS_MAX = 100,              /* of streams, by us, on one connection */
    PUSHED_BACK = NGHTTP2_ERR_CALLBACK_FAILURE
};

/* nghttp2 knows a stream's data only while it has the stream; a head that never went out is looked
 * for. */
static struct http2_call *call_of(struct http2_client *connection, int32_t id)
{
    struct http2_call *call =
        id > 0 ? nghttp2_session_get_stream_user_data(connection->session, id) : NULL;
    for (struct list *link = connection->calls.next;
         call == NULL && id > 0 && link != &connection->calls; link = link->next) {
        struct http2_call *other = CONTAINER_OF(link, struct http2_call, link);
        call = other->id == id && !other->is_gone ? other : NULL;
    }
    return call;
}

/* Does anybody still listen? */
static bool is_heard(const struct http2_call *call)
{
    return call != NULL && !call->is_told && !call->is_given_up;
}

/* The connection ends for it when nghttp2 has let go of these bytes. */
static int break_off(struct http2_client *connection, enum metric_http2_violation kind)
{
    connection->violation = kind;
    return PUSHED_BACK;
}

/* ---- heads ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct http2_client *connection = context;
    struct http2_call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    connection->has_answered = true;
    if (is_heard(call)) {
        call->base.has_bytes = true;
        http2_head_init(&call->head, call->has_head ? HTTP2_TRAILERS : HTTP2_RESPONSE_HEAD,
                        &call->arena, &call->limits);
    }
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *context)
{
    struct http2_client *connection = context;
    struct http2_call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!is_heard(call)) {
        return 0;
    }
    call->head.is_secret = call->head.is_secret || http2_is_secret(flags);
    http2_head_add(&call->head, bytes_make((const char *)name, name_size),
                   bytes_make((const char *)value, value_size));
    return http2_head_is_bomb(&call->head) ? break_off(connection, METRIC_HTTP2_HEADER_BOMB) : 0;
}

static void tell_head(struct http2_call *call, const struct response *response, bool is_last)
{
    const struct client_ops *ops = call->base.ops;
    if (response_is_informational(response)) {
        call->informational_count++;
        if (call->informational_count > INFORMATIONAL_MAX) {
            http2_call_refuse(call, REJECT_STATUS_LINE);
            return;
        }
        ops->on_inform(call->base.call, response);
        return;
    }
    call->has_head = true;
    call->in_body = response->body;
    call->body_left = response->body == BODY_LENGTH ? response->content_length : 0;
    call->is_complete = is_last;
    ops->on_head(call->base.call, response);
}

static void finish_head(struct http2_call *call, bool is_last)
{
    struct response response;
    struct reject reject;
    if (http2_head_finish_response(&call->head, is_last, call->is_head, &response, &reject) == OK) {
        tell_head(call, &response, is_last);
    } else {
        http2_call_refuse(call, reject.reason);
    }
    arena_reset(&call->arena);
}

/* ---- bodies ---- */

/* The stream has ended in good order; has the body? */
static void finish_body(struct http2_call *call)
{
    if (!is_heard(call)) {
        return;
    }
    if (!call->has_head) {
        http2_call_refuse(call, REJECT_STATUS_LINE);
    } else if (call->in_body == BODY_LENGTH && call->body_left > 0) {
        http2_call_fail(call, CLIENT_TRUNCATED);
    } else {
        call->is_complete = true;
        http2_call_deliver(call);
    }
}

static void finish_trailers(struct http2_call *call, bool is_last)
{
    struct reject reject;
    if (!is_last) { /* RFC 9113 section 8.1: they are what ends the stream */
        http2_call_refuse(call, REJECT_TRAILER);
    } else if (http2_head_finish_trailers(&call->head, &call->trailers, &reject) != OK) {
        http2_call_refuse(call, reject.reason);
    } else {
        finish_body(call);
    }
}

static void take_body(struct http2_call *call, struct bytes piece)
{
    bool is_too_long = !call->has_head || call->is_complete || call->in_body == BODY_NONE ||
                       (call->in_body == BODY_LENGTH && piece.size > call->body_left);
    if (is_too_long) {
        http2_call_refuse(call, call->has_head ? REJECT_CONTENT_LENGTH : REJECT_STATUS_LINE);
        return;
    }
    call->body_left -= call->in_body == BODY_LENGTH ? piece.size : 0;
    call->withheld += piece.size;
    if (call->is_wanted && buf_size(&call->in) == 0) {
        call->base.ops->on_body(call->base.call, piece);
    } else if (buf_append(&call->in, piece) != OK) {
        http2_call_refuse(call, REJECT_MEMORY);
        return;
    }
    http2_call_deliver(call);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *context)
{
    struct http2_call *call = nghttp2_session_get_stream_user_data(session, id);
    (void)context;
    (void)flags;
    (void)nghttp2_session_consume_connection(session, size);
    if (is_heard(call) && size > 0) {
        take_body(call, bytes_make((const char *)data, size));
    }
    return 0;
}

/* ---- whole frames ---- */

static void on_headers(struct http2_call *call, bool is_last)
{
    if (!is_heard(call)) {
        return;
    }
    if (call->has_head) {
        finish_trailers(call, is_last);
        return;
    }
    finish_head(call, is_last);
    if (call->is_complete) {
        http2_call_deliver(call);
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct http2_client *connection = context;
    struct http2_call *call =
        frame->hd.stream_id > 0 ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id)
                                : NULL;
    bool is_last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        connection->ping_count = 0;
        if (call != NULL && is_last) {
            finish_body(call);
        }
        return 0;
    case NGHTTP2_HEADERS:
        connection->ping_count = 0;
        if (call != NULL) {
            on_headers(call, is_last);
        }
        return 0;
    case NGHTTP2_SETTINGS:
        connection->is_greeted =
            connection->is_greeted || (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0;
        return 0;
    case NGHTTP2_GOAWAY:
        connection->is_dismissed = true;
        http2_client_leave(connection);
        return 0;
    default:
        return 0;
    }
}

static enum client_failure failure_of(const struct http2_call *call, uint32_t code)
{
    if (call->is_objected) {
        return CLIENT_MALFORMED;
    }
    if (call->is_reset) { /* by us, before the user knew */
        return CLIENT_MEMORY;
    }
    if (call->has_head) {
        return CLIENT_TRUNCATED;
    }
    return code == NGHTTP2_REFUSED_STREAM ? CLIENT_UNPROCESSED : CLIENT_STREAM_RESET;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *context)
{
    struct http2_client *connection = context;
    struct http2_call *call = call_of(connection, id);
    (void)session;
    if (call == NULL) {
        return 0;
    }
    http2_call_is_over(call);
    if (!call->is_complete) {
        if (call->is_objected) {
            call->base.reject = reject_response(REJECT_STATUS_LINE);
        }
        http2_call_fail(call, failure_of(call, code));
    }
    return 0;
}

/* ---- what goes out ---- */

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t size, int flags,
                       void *context)
{
    struct http2_client *connection = context;
    (void)session;
    (void)flags;
    return http2_outlet_write(connection->stream, data, size);
}

/* Clients that leave are what a rapid reset looks like to an origin (CVE-2023-44487): nghttp2's
 * servers end the connection after some thousand, Netty's after 200 in half a minute, and all that
 * was under way is lost. Before that the next call opens another one. */
static void count_reset(struct http2_client *connection)
{
    connection->reset_count++;
    if (connection->reset_count == RESETS_MAX) {
        http2_client_leave(connection);
    }
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct http2_client *connection = context;
    struct http2_call *call =
        frame->hd.stream_id > 0 ? nghttp2_session_get_stream_user_data(session, frame->hd.stream_id)
                                : NULL;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        connection->has_spoken = true;
        http2_guard_earn_data(&connection->guard, frame->hd.length);
        http2_guard_earn(&connection->guard, METRIC_HTTP2_PING, 1);
        break;
    case NGHTTP2_HEADERS:
        connection->has_spoken = true;
        http2_guard_earn(&connection->guard, METRIC_HTTP2_PING, 1);
        if (call != NULL) {
            call->is_head_sent = true;
        }
        break;
    case NGHTTP2_RST_STREAM:
        count_reset(connection);
        if (call != NULL && !call->is_reset) { /* by nghttp2 itself: against the protocol */
            call->is_objected = true;
            connection->keeper->on_violation(connection->keeper, METRIC_HTTP2_PROTOCOL);
        }
        break;
    case NGHTTP2_GOAWAY:
        connection->has_objected = frame->goaway.error_code != NGHTTP2_NO_ERROR;
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR &&
            frame->goaway.error_code != NGHTTP2_ENHANCE_YOUR_CALM &&
            frame->goaway.error_code != NGHTTP2_INTERNAL_ERROR) {
            connection->keeper->on_violation(connection->keeper, METRIC_HTTP2_PROTOCOL);
        }
        break;
    default:
        break;
    }
    return 0;
}

/* A head that could not go out: the origin is leaving, or it is ours to answer for. */
static int on_frame_unsent(nghttp2_session *session, const nghttp2_frame *frame, int error,
                           void *context)
{
    struct http2_client *connection = context;
    struct http2_call *call = call_of(connection, frame->hd.stream_id);
    (void)session;
    if (frame->hd.type != NGHTTP2_HEADERS || call == NULL) {
        return 0;
    }
    http2_call_is_over(call);
    http2_call_fail(call, error == NGHTTP2_ERR_START_STREAM_NOT_ALLOWED ? CLIENT_UNPROCESSED
                                                                        : CLIENT_MEMORY);
    return 0;
}

/* ---- making ---- */

static void set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, http2_call_on_send);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_unsent);
}

static int create(struct http2_client *connection, nghttp2_session **ret_session)
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
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1);
    nghttp2_option_set_max_send_header_block_length(option, REQUEST_HEAD_MAX);
    int status = nghttp2_session_client_new2(ret_session, callbacks, connection, option);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return status;
}

enum err http2_client_session_create(struct http2_client *connection, nghttp2_session **ret_session)
{
    nghttp2_session *session = NULL;
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_CALL_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)connection->settings->limits.head_max},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    if (create(connection, &session) != 0) {
        return ERR_NOMEM;
    }
    if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, entries, COUNT_OF(entries)) != 0 ||
        nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, HTTP2_CLIENT_WINDOW) !=
            0) {
        nghttp2_session_del(session);
        return ERR_NOMEM;
    }
    *ret_session = session;
    return OK;
}

/* proxy/http2/http2_call.c — one request and its answer on a connection that others share: the port
 * of proxy/http/client.h. */
#include <stdlib.h>

#include "proxy/http2/http2_client_state.h"
#include "proxy/tls/tls_stream.h"

enum {
    NAME_VALUES_ON_STACK = 64,
    ARENA_MAX = 1024 * 1024, /* bytes of one head, or of trailers */
    OUT_MAX = 1024 * 1024,   /* more than any one piece of a body */
    DIRECT_MIN = 16 * 1024   /* a piece of this size is worth framing at once */
};

static const struct client_protocol protocol;

static struct http2_call *of_port(struct client *client)
{
    struct http2_call *call = CONTAINER_OF(client, struct http2_call, base);
    CHECK(call->tag == HTTP2_CALL_TAG);
    return call;
}

static const struct http2_call *of_const_port(const struct client *client)
{
    const struct http2_call *call = CONTAINER_OF(client, struct http2_call, base);
    CHECK(call->tag == HTTP2_CALL_TAG);
    return call;
}

/* May nghttp2 still be told something of it? */
static bool is_live(const struct http2_call *call)
{
    return !call->is_gone && !call->is_reset && call->connection != NULL &&
           call->connection->state != HTTP2_CLIENT_CLOSED;
}

/* ---- life ---- */

static void on_deadline(struct deadline *deadline)
{
    struct http2_call *call = CONTAINER_OF(deadline, struct http2_call, base.deadline);
    CHECK(call->tag == HTTP2_CALL_TAG);
    const struct http2_client *connection = call->connection;
    bool is_shaking = call->is_waiting && connection->state == HTTP2_CLIENT_CONNECTING &&
                      tls_stream_is(connection->stream) &&
                      tls_stream_is_reached(connection->stream);
    http2_call_fail(call, is_shaking ? CLIENT_TLS_TIMEOUT : CLIENT_TIMEOUT);
}

enum err http2_call_create(struct http2_client *connection, const struct client_ops *ops,
                           void *user, struct http2_call **ret_call)
{
    struct http2_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        return ERR_NOMEM;
    }
    call->base =
        (struct client){.protocol = &protocol, .ops = ops, .call = user, .loop = connection->loop};
    call->tag = HTTP2_CALL_TAG;
    call->connection = connection;
    call->is_wanted = true;
    call->reset_code = NGHTTP2_CANCEL;
    call->limits = connection->settings->limits;
    list_init(&call->due);
    deadline_init(&call->base.deadline, on_deadline);
    arena_init(&call->arena, ARENA_MAX);
    arena_init(&call->out_arena, ARENA_MAX);
    buf_init(&call->in, HTTP2_CALL_WINDOW);
    buf_init(&call->out.waiting, OUT_MAX);
    list_push_back(&connection->calls, &call->link);
    *ret_call = call;
    return OK;
}

void http2_call_destroy(struct http2_call *call)
{
    if (call == NULL) {
        return;
    }
    list_remove(&call->due);
    list_remove(&call->link);
    deadline_finish(&call->base.deadline);
    arena_finish(&call->arena);
    arena_finish(&call->out_arena);
    buf_finish(&call->in);
    buf_finish(&call->out.waiting);
    call->tag = 0;
    free(call);
}

void http2_call_is_over(struct http2_call *call)
{
    if (call->is_gone) {
        return;
    }
    call->is_gone = true;
    if (call->is_waiting) {
        call->is_waiting = false;
        http2_client_waits_no_more(call->connection);
    } else {
        http2_client_let_go(call->connection);
    }
    http2_client_schedule(call->connection, call);
}

void http2_call_detach(struct http2_call *call)
{
    call->is_gone = true;
    call->connection = NULL;
    list_remove(&call->link);
    list_remove(&call->due);
    if (call->is_given_up) {
        http2_call_destroy(call);
    }
}

static void reset(struct http2_call *call)
{
    if (call->id == 0) {
        http2_call_is_over(call);
    } else if (is_live(call)) {
        call->is_reset = true;
        (void)nghttp2_submit_rst_stream(call->connection->session, NGHTTP2_FLAG_NONE, call->id,
                                        call->reset_code);
        http2_client_schedule(call->connection, NULL);
    }
}

void http2_call_attend(struct http2_call *call)
{
    if (call->is_given_up) {
        if (!call->is_gone) {
            reset(call);
        }
        if (call->is_gone) {
            http2_call_destroy(call);
        }
        return;
    }
    http2_call_deliver(call);
    if (call->is_drain_due && !call->is_given_up && !call->is_told) {
        call->is_drain_due = false;
        call->base.ops->on_drained(call->base.call);
    }
}

static void close_port(struct client *client)
{
    struct http2_call *call = of_port(client);
    CHECK(!call->is_given_up);
    call->is_given_up = true;
    call->base.ops = NULL;
    deadline_disarm(&call->base.deadline);
    if (call->connection != NULL) {
        http2_client_schedule(call->connection, call);
    } else if (!call->is_telling) {
        http2_call_destroy(call);
    }
}

/* ---- the answer ---- */

void http2_call_fail(struct http2_call *call, enum client_failure failure)
{
    if (call->is_told || call->is_given_up) {
        return;
    }
    call->is_told = true;
    deadline_disarm(&call->base.deadline);
    call->base.ops->on_failed(call->base.call, failure);
}

void http2_call_refuse(struct http2_call *call, enum reject_reason reason)
{
    call->base.reject = reject_response(reason);
    call->reset_code = NGHTTP2_PROTOCOL_ERROR;
    http2_call_fail(call, reason == REJECT_MEMORY ? CLIENT_MEMORY : CLIENT_MALFORMED);
}

/* The origin gets as much window back as the user has taken, once it wants more. */
static void give_back(struct http2_call *call)
{
    bool may_go_on = call->is_wanted && buf_size(&call->in) == 0;
    if (may_go_on && call->withheld > 0 && is_live(call)) {
        (void)nghttp2_session_consume_stream(call->connection->session, call->id, call->withheld);
        call->withheld = 0;
        http2_client_schedule(call->connection, NULL);
    }
}

static bool may_tell(const struct http2_call *call)
{
    return call->is_wanted && !call->is_told && !call->is_given_up;
}

static void deliver(struct http2_call *call)
{
    while (may_tell(call) && buf_size(&call->in) > 0) {
        struct bytes piece = http2_piece(&call->in);
        call->base.ops->on_body(call->base.call, piece);
        buf_consume(&call->in, piece.size);
    }
    if (may_tell(call) && call->is_complete && buf_size(&call->in) == 0) {
        call->is_told = true;
        deadline_disarm(&call->base.deadline);
        call->base.ops->on_end(call->base.call, &call->trailers);
    }
}

void http2_call_deliver(struct http2_call *call)
{
    if (call->is_telling) {
        return;
    }
    call->is_telling = true;
    deliver(call);
    call->is_telling = false;
    if (call->is_given_up && call->connection == NULL) {
        http2_call_destroy(call);
        return;
    }
    give_back(call);
}

static void want(struct client *client, bool is_wanted)
{
    struct http2_call *call = of_port(client);
    bool is_news = is_wanted && !call->is_wanted;
    call->is_wanted = is_wanted;
    if (!is_news) {
        return;
    }
    if (call->connection == NULL || call->connection->state == HTTP2_CLIENT_CLOSED) {
        http2_call_deliver(call); /* nobody else will */
    } else {
        http2_client_schedule(call->connection, call);
    }
}

/* ---- the request ---- */

static int submit(struct http2_call *call, const nghttp2_nv *fields, size_t count, bool has_body)
{
    nghttp2_data_provider body = {.source = {.ptr = call}, .read_callback = http2_call_on_read};
    return nghttp2_submit_request(call->connection->session, NULL, fields, count,
                                  has_body ? &body : NULL, call);
}

static bool has_body(const struct request *request)
{
    return request->body == BODY_CHUNKED ||
           (request->body == BODY_LENGTH && request->content_length > 0);
}

/* More than the origin would read (RFC 9113 section 6.5.2)? There are some that end the connection
 * over it, and everybody's calls. */
static bool is_too_large(const struct http2_call *call, const nghttp2_nv *fields, size_t count)
{
    enum { FIELD_EXTRA = 32 };
    size_t most = nghttp2_session_get_remote_settings(call->connection->session,
                                                      NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE);
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += fields[i].namelen + fields[i].valuelen + FIELD_EXTRA;
    }
    return size > most;
}

/* RFC 9113 section 8.3.1; nghttp2 copies what it is given. An upgrade is not written: it is an
 * offer that may be passed over (RFC 9110 section 7.8). */
static int32_t write_head(struct http2_call *call, const struct request *request,
                          nghttp2_nv *fields)
{
    char length[HTTP2_DECIMAL_SIZE];
    bool is_sealed = call->connection->stream->is_sealed;
    const struct field *host = fields_find(&request->fields, FIELD_HOST);
    size_t count = 0;
    fields[count++] = http2_name_value(BYTES(":method"), method_text(request->method));
    fields[count++] =
        http2_name_value(BYTES(":scheme"), is_sealed ? BYTES("https") : BYTES("http"));
    if (host != NULL) {
        fields[count++] = http2_name_value(BYTES(":authority"), host->value);
    }
    fields[count++] = http2_name_value(BYTES(":path"), request->target);
    if (http2_put_fields(&request->fields, true, &call->arena, fields, &count) != OK) {
        return NGHTTP2_ERR_NOMEM;
    }
    if (request->accepts_trailers) {
        fields[count++] = http2_name_value(BYTES("te"), BYTES("trailers"));
    }
    if (request->body == BODY_LENGTH) {
        fields[count++] =
            http2_name_value(BYTES("content-length"),
                             http2_write_decimal(length + sizeof length, request->content_length));
    }
    if (request->is_secret) {
        http2_keep_secret(fields, count);
    }
    return is_too_large(call, fields, count) ? NGHTTP2_ERR_FRAME_SIZE_ERROR
                                             : submit(call, fields, count, has_body(request));
}

static enum err send_head(struct client *client, const struct request *request)
{
    enum { EXTRA = 6 };
    struct http2_call *call = of_port(client);
    nghttp2_nv on_stack[NAME_VALUES_ON_STACK];
    size_t most = request->fields.count + EXTRA;
    CHECK(call->id == 0);
    if (!is_live(call)) {
        return OK; /* its end is on its way */
    }
    nghttp2_nv *fields =
        most <= NAME_VALUES_ON_STACK ? on_stack : arena_alloc(&call->arena, most * sizeof *fields);
    int32_t id = fields != NULL ? write_head(call, request, fields) : NGHTTP2_ERR_NOMEM;
    arena_reset(&call->arena);
    if (id < 0) {
        return id == NGHTTP2_ERR_NOMEM ? ERR_NOMEM : ERR_LIMIT;
    }
    call->id = id;
    call->is_head = request->method == METHOD_HEAD;
    call->out.is_ended = !has_body(request);
    http2_guard_allow(&call->connection->guard, METRIC_HTTP2_RAPID_RESET, 1);
    http2_client_schedule(call->connection, NULL);
    return OK;
}

static bool is_mute(const struct http2_call *call)
{
    return !is_live(call) || call->id == 0 || call->out.is_ended;
}

static void send_body(struct client *client, struct bytes piece)
{
    struct http2_call *call = of_port(client);
    if (is_mute(call) || piece.size == 0) {
        return;
    }
    if (buf_append(&call->out.waiting, piece) != OK) {
        /* Its end is told when nghttp2 has closed the stream: the user is the one who is sending.
         */
        call->reset_code = NGHTTP2_INTERNAL_ERROR;
        reset(call);
        return;
    }
    (void)nghttp2_session_resume_data(call->connection->session, call->id);
    call->is_blocked = buf_size(&call->out.waiting) >= HTTP2_CALL_OUT_HIGH;
    http2_client_schedule(call->connection, NULL);
}

static void send_end(struct client *client, const struct fields *trailers)
{
    struct http2_call *call = of_port(client);
    if (is_mute(call)) {
        return;
    }
    bool has_trailers = trailers != NULL && trailers->count > 0;
    if (has_trailers && http2_outlet_keep_trailers(&call->out, trailers, &call->out_arena) != OK) {
        call->reset_code = NGHTTP2_INTERNAL_ERROR;
        reset(call);
        return;
    }
    if (has_trailers && is_too_large(call, call->out.trailers, call->out.trailer_count)) {
        call->out.trailer_count = 0; /* any hop may drop them (RFC 9110 section 6.5.1) */
    }
    call->out.is_ended = true;
    (void)nghttp2_session_resume_data(call->connection->session, call->id);
    http2_client_schedule(call->connection, NULL);
}

static bool is_blocked(const struct client *client)
{
    return of_const_port(client)->is_blocked;
}

static void explain(const struct client *client, struct note *ret_note)
{
    const struct http2_call *call = of_const_port(client);
    const struct http2_client *connection = call->connection;
    if (connection == NULL || connection->stream == NULL) {
        note_set(ret_note, "the connection is gone");
    } else if (connection->is_unagreed) {
        note_set(ret_note, "TLS: the origin did not agree on HTTP/2 (ALPN h2)");
    } else {
        CHECK(tls_stream_is(connection->stream));
        tls_stream_explain(connection->stream, ret_note);
    }
}

static const struct client_protocol protocol = {
    .send = send_head,
    .send_body = send_body,
    .send_end = send_end,
    .is_blocked = is_blocked,
    .want = want,
    .explain = explain,
    .close = close_port,
};

struct http2_client *http2_client_of(struct client *client)
{
    return client->protocol == &protocol ? of_port(client)->connection : NULL;
}

/* ---- what nghttp2 takes ---- */

ssize_t http2_call_on_read(nghttp2_session *session, int32_t id, uint8_t *out, size_t size,
                           uint32_t *flags, nghttp2_data_source *source, void *context)
{
    const struct http2_call *call = source->ptr;
    (void)out;
    (void)context;
    return http2_outlet_read(&call->out, session, id, size, flags);
}

int http2_call_on_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                       size_t size, nghttp2_data_source *source, void *context)
{
    struct http2_client *connection = context;
    struct http2_call *call = source->ptr;
    (void)session;
    CHECK(frame->data.padlen == 0);
    if (!http2_outlet_send(&call->out, connection->stream, head, size)) {
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    if (call->is_blocked && buf_size(&call->out.waiting) < HTTP2_CALL_OUT_HIGH) {
        call->is_blocked = false;
        call->is_drain_due = true;
        http2_client_schedule(connection, call);
    }
    return 0;
}

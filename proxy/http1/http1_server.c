#include "proxy/http1/http1_server.h"

#include <assert.h>
#include <stdlib.h>

#include "proxy/http/reply.h"
#include "proxy/http1/http1_parser.h"
#include "proxy/http1/http1_server_state.h"

/* Reasons of refusal are counted under the labels of the same order. */
#define SAME_REASON(id, label, status)                                                             \
    static_assert((int)REJECT_##id == (int)METRIC_REJECTED_##id, label);
REJECT_LIST(SAME_REASON)
#undef SAME_REASON
static_assert((int)REJECT_REASON_COUNT == (int)METRIC_REJECTED_COUNT, "every reason has its label");

static void count_state(struct http1_server *server, enum metric_connection_state state,
                        bool is_entering)
{
    struct cell *cell = &server->host->cells->client_connections[state];
    if (is_entering) {
        cell_increment(cell);
    } else {
        cell_sub(cell, 1);
    }
}

static bool is_active(unsigned state)
{
    return state == SERVER_HEAD || state == SERVER_EXCHANGE;
}

/* All moves go through here: the picture in the header is the table. */
static void enter(struct http1_server *server, enum server_state next)
{
    static const unsigned allowed[] = {
        [SERVER_IDLE] = 1u << SERVER_HEAD | 1u << SERVER_LINGER | 1u << SERVER_CLOSED,
        [SERVER_HEAD] = 1u << SERVER_EXCHANGE | 1u << SERVER_LINGER | 1u << SERVER_CLOSED,
        [SERVER_EXCHANGE] = 1u << SERVER_IDLE | 1u << SERVER_LINGER | 1u << SERVER_CLOSED,
        [SERVER_LINGER] = 1u << SERVER_CLOSED,
        [SERVER_CLOSED] = 0,
    };
    CHECK((allowed[server->state] >> next & 1) != 0);
    bool was_active = is_active(server->state);
    server->state = (uint8_t)next;
    if (next == SERVER_CLOSED) {
        count_state(server, was_active ? METRIC_CONNECTION_ACTIVE : METRIC_CONNECTION_IDLE, false);
    } else if (was_active != is_active(next)) {
        count_state(server, was_active ? METRIC_CONNECTION_ACTIVE : METRIC_CONNECTION_IDLE, false);
        count_state(server, was_active ? METRIC_CONNECTION_IDLE : METRIC_CONNECTION_ACTIVE, true);
    }
}

void http1_server_arm(struct http1_server *server, uint64_t timeout_us)
{
    deadline_arm(&server->host->loop->wheel, &server->deadline, timeout_us);
}

/* A body that is wanted, or the reading of what waits for it. A tunnel's client owes nothing until
 * the origin has finished. */
void http1_server_watch(struct http1_server *server)
{
    const struct http1_request *request = server->request;
    const struct http1_server_settings *settings = &server->host->settings;
    bool owes_body = request->is_body_wanted && !request->is_body_done && !request->is_tunnel;
    if (owes_body || stream_is_blocked(server->stream)) {
        http1_server_arm(server, settings->client_body_us);
    } else {
        http1_server_arm(server, request->is_half_tunnel ? settings->client_idle_us : 0);
    }
}

/* ---- ending ---- */

static void tell_gone(struct http1_server *server, enum err why)
{
    struct http1_request *request = server->request;
    if (request != NULL && request->is_open) {
        request->is_open = false;
        request->is_ended = true;
        request->responder.request_ops->on_gone(request->responder.request, why);
    }
}

static void close_connection(struct http1_server *server)
{
    if (server->state == SERVER_CLOSED) {
        return;
    }
    tell_gone(server, ERR_CLOSED);
    enter(server, SERVER_CLOSED);
    deadline_disarm(&server->deadline);
    stream_close(server->stream);
}

/* The client must see that the answer is not whole. Content-Length and chunked show it by
 * themselves; a body that ends with the connection needs a reset. */
void http1_server_cut(struct http1_server *server)
{
    if (server->state == SERVER_CLOSED) {
        return;
    }
    struct http1_request *request = server->request;
    bool needs_reset =
        request != NULL && request->has_head && request->out_body == BODY_UNTIL_CLOSE;
    tell_gone(server, ERR_CLOSED);
    enter(server, SERVER_CLOSED);
    deadline_disarm(&server->deadline);
    if (needs_reset) {
        stream_reset(server->stream);
    } else {
        stream_close(server->stream);
    }
}

/* Everything is said: sends FIN behind it and waits a while for the client's, because closing with
 * bytes unread would reset the connection and could destroy the answer on its way (RFC 9112
 * section 9.6). */
static void linger(struct http1_server *server)
{
    enter(server, SERVER_LINGER);
    if (server->has_peer_finished) {
        stream_flush(server->stream);
        if (!stream_is_blocked(server->stream)) {
            close_connection(server);
            return;
        }
    }
    stream_finish(server->stream);
    if (!server->has_peer_finished) {
        stream_read_start(server->stream);
    }
    http1_server_arm(server, stream_is_blocked(server->stream)
                                 ? server->host->settings.client_body_us
                                 : LINGER_US);
}

/* ---- answers of our own ---- */

/* Refuses what the client sent, with an answer where one can still be given. */
static void refuse(struct http1_server *server, struct reject reject)
{
    struct http1_request *request = server->request;
    cell_increment(&server->host->cells->rejected_requests[reject.reason]);
    bool may_answer = request == NULL || !request->has_head;
    tell_gone(server, ERR_SYNTAX);
    if (!may_answer) {
        http1_server_cut(server);
        return;
    }
    struct reply_options options = {.client_version = HTTP_1_1,
                                    .is_keep_alive = false,
                                    .pages = server->host->settings.pages,
                                    .date =
                                        date_now(&server->host->date, server->host->loop->now_us)};
    struct field items[REPLY_FIELDS_MAX];
    struct response response;
    struct bytes body;
    reply_make(reject.status, &options, items, &response, &body);
    http1_server_write_head(server, &response);
    stream_write_one(server->stream, body);
    if (server->state != SERVER_CLOSED) {
        linger(server);
    }
}

/* ---- the request's way in ---- */

static bool is_over(const struct http1_server *server, const struct http1_request *request)
{
    return request->is_ended || server->state != SERVER_EXCHANGE;
}

static enum err parse(struct http1_request *request, struct bytes raw, struct reject *ret_reject)
{
    size_t field_count = request->scanner.field_count;
    struct bytes head = arena_copy(&request->arena, raw);
    struct field *items = arena_alloc(&request->arena, (field_count + 1) * sizeof *items);
    if (head.data == NULL || items == NULL) {
        *ret_reject = reject_request(REJECT_MEMORY);
        return ERR_NOMEM;
    }
    enum err err = http1_parse_request(head, items, field_count, &request->message, ret_reject);
    if (err == OK && framing_add_path(&request->message, &request->arena) != OK) {
        *ret_reject = reject_request(REJECT_MEMORY);
        return ERR_NOMEM;
    }
    return err;
}

static void prepare_body(struct http1_request *request)
{
    const struct request *message = &request->message;
    request->body_left = message->body == BODY_LENGTH ? message->content_length : 0;
    request->body_received = 0;
    request->is_body_done =
        message->body == BODY_NONE || (message->body == BODY_LENGTH && request->body_left == 0);
    if (message->body == BODY_CHUNKED) {
        chunked_decoder_init(&request->decoder, false, &request->limits, &request->arena);
    }
}

void http1_server_tell_body_end(struct http1_request *request, const struct fields *trailers)
{
    request->is_body_done = true;
    if (!request->is_ended) {
        static const struct fields none = {NULL, 0};
        request->responder.request_ops->on_body_end(request->responder.request,
                                                    trailers != NULL ? trailers : &none);
    }
}

static void open_request(struct http1_server *server, struct http1_request *request)
{
    request->responder = (struct responder){
        .ops = &http1_responder_ops,
        .arena = &request->arena,
        .peer = &server->peer,
        .peer_port = server->peer_port,
        .connection = server->stream,
        .is_tls = server->stream->is_sealed,
        .is_first_on_connection = server->request_count == 0,
    };
    request->is_open = true;
    request->is_ended = false;
    request->is_body_wanted = false;
    request->has_head = false;
    request->is_tunnel = false;
    request->is_half_tunnel = false;
    request->is_keep_alive = false;
    request->out_body = BODY_NONE;
    server->request_count++;
    enter(server, SERVER_EXCHANGE);
    deadline_disarm(&server->deadline);
    struct handler *handler = server->host->handler;
    handler->open(handler, &request->responder, &request->message);
}

static size_t read_head(struct http1_server *server, struct bytes in)
{
    struct http1_request *request = server->request;
    const struct http1_server_settings *settings = &server->host->settings;
    struct reject reject;
    enum framing_scan scan = framing_scan_head(&request->scanner, in, &request->limits, &reject);
    if (scan == FRAMING_INCOMPLETE) {
        return 0;
    }
    if (scan == FRAMING_REFUSED ||
        parse(request, framing_head(&request->scanner, in), &reject) != OK) {
        refuse(server, reject);
        return 0;
    }
    size_t consumed = request->scanner.position;
    prepare_body(request);
    if (settings->body_max > 0 && request->body_left > settings->body_max) {
        refuse(server, reject_request(REJECT_BODY_TOO_LARGE));
        return 0;
    }
    open_request(server, request);
    return consumed;
}

static size_t read_length(struct http1_request *request, struct bytes in)
{
    size_t size = in.size < request->body_left ? in.size : (size_t)request->body_left;
    request->body_left -= size;
    request->responder.request_ops->on_body(request->responder.request, bytes_slice(in, 0, size));
    if (request->body_left == 0) {
        http1_server_tell_body_end(request, NULL);
    }
    return size;
}

static size_t read_chunked(struct http1_server *server, struct http1_request *request,
                           struct bytes in)
{
    struct bytes rest = in;
    uint64_t body_max = server->host->settings.body_max;
    while (!is_over(server, request) && request->is_body_wanted) {
        struct bytes data;
        struct reject reject;
        switch (chunked_decoder_next(&request->decoder, &rest, &data, &reject)) {
        case CHUNKED_DATA:
            request->body_received += data.size;
            if (body_max > 0 && request->body_received > body_max) {
                refuse(server, reject_request(REJECT_BODY_TOO_LARGE));
                return in.size - rest.size;
            }
            request->responder.request_ops->on_body(request->responder.request, data);
            break;
        case CHUNKED_END:
            http1_server_tell_body_end(request, &request->decoder.trailers);
            return in.size - rest.size;
        case CHUNKED_REFUSED:
            refuse(server, reject);
            return in.size - rest.size;
        case CHUNKED_MORE:
            return in.size - rest.size;
        }
    }
    return in.size - rest.size;
}

static size_t read_body(struct http1_server *server, struct bytes in)
{
    struct http1_request *request = server->request;
    if (request->is_body_done || !request->is_body_wanted) {
        return 0;
    }
    size_t consumed;
    if (request->is_tunnel) {
        request->responder.request_ops->on_body(request->responder.request, in);
        consumed = in.size;
    } else if (request->message.body == BODY_LENGTH) {
        consumed = read_length(request, in);
    } else {
        consumed = read_chunked(server, request, in);
    }
    if (!is_over(server, request)) {
        http1_server_watch(server);
    }
    return consumed;
}

static bool begin_head(struct http1_server *server)
{
    if (server->request == NULL) {
        server->request = http1_server_take_block(server);
        if (server->request == NULL) {
            cell_increment(&server->host->cells->rejected_requests[REJECT_MEMORY]);
            close_connection(server);
            return false;
        }
    }
    framing_scanner_init(&server->request->scanner, FRAMING_REQUEST);
    server->request->limits = server->host->settings.limits;
    server->request->has_head = false;
    enter(server, SERVER_HEAD);
    http1_server_arm(server, server->host->settings.client_header_us);
    return true;
}

/* After a last call: makes the connection ready for the next request, or ends it. */
static void finish_request(struct http1_server *server)
{
    struct http1_request *request = server->request;
    bool may_go_on = request->is_keep_alive && request->is_body_done && !server->has_peer_finished;
    if (!may_go_on) {
        linger(server);
        return;
    }
    enter(server, SERVER_IDLE);
    http1_server_arm(server, server->host->is_draining ? DRAIN_IDLE_US
                                                       : server->host->settings.client_idle_us);
    if (buf_size(&request->pending) > 0 || stream_is_blocked(server->stream)) {
        arena_reset(&request->arena);
    } else {
        server->request = NULL;
        http1_server_give_block(server->host, request);
    }
}

static bool is_serving(const struct http1_server *server)
{
    return server->state != SERVER_LINGER && server->state != SERVER_CLOSED;
}

/* Consumes what it can of `in`, request after request; returns how much. */
static size_t consume(struct http1_server *server, struct bytes in)
{
    size_t total = 0;
    for (;;) {
        struct bytes rest = bytes_slice(in, total, in.size - total);
        size_t size = 0;
        if (server->state == SERVER_EXCHANGE && server->request->is_ended) {
            finish_request(server);
            continue;
        }
        /* A client that asks on and on without reading the answers has to read first. */
        bool may_begin = rest.size > 0 && !stream_is_blocked(server->stream);
        if (server->state == SERVER_IDLE && may_begin && !begin_head(server)) {
            return in.size;
        }
        if (server->state == SERVER_HEAD) {
            size = read_head(server, rest);
        } else if (server->state == SERVER_EXCHANGE && rest.size > 0) {
            size = read_body(server, rest);
        }
        total += size;
        bool is_next_due = server->state == SERVER_EXCHANGE && server->request->is_ended;
        if (size == 0 && !is_next_due) {
            return is_serving(server) ? total : in.size;
        }
    }
}

/* Keeps what could not be consumed yet; reading stops while a request is in the way. */
static void stash(struct http1_server *server, struct bytes rest)
{
    if (server->request == NULL) {
        server->request = http1_server_take_block(server);
    }
    struct http1_request *request = server->request;
    if (request == NULL || buf_append(&request->pending, rest) != OK) {
        if (server->state == SERVER_IDLE) {
            close_connection(server);
        } else {
            refuse(server, reject_request(REJECT_MEMORY));
        }
        return;
    }
    if (server->state != SERVER_HEAD) {
        stream_read_stop(server->stream);
    }
}

/* An idle connection holds no memory for requests. */
static void drop_idle_block(struct http1_server *server)
{
    struct http1_request *request = server->request;
    bool is_unused =
        server->state == SERVER_IDLE && request != NULL && buf_size(&request->pending) == 0;
    if (is_unused && !stream_is_blocked(server->stream)) {
        server->request = NULL;
        http1_server_give_block(server->host, request);
    }
}

/* Works on the bytes that wait, after something has changed. */
void http1_server_pump(struct http1_server *server)
{
    if (server->is_feeding) {
        return;
    }
    server->is_feeding = true;
    struct http1_request *request = server->request;
    if (request != NULL && buf_size(&request->pending) > 0) {
        size_t size = buf_size(&request->pending);
        size_t consumed = consume(server, buf_bytes(&request->pending));
        if (server->request == request && server->state != SERVER_CLOSED) {
            buf_consume(&request->pending, consumed < size ? consumed : size);
        }
    } else {
        (void)consume(server, (struct bytes){NULL, 0});
    }
    server->is_feeding = false;
    bool is_clogged = server->request != NULL && buf_size(&server->request->pending) > 0 &&
                      server->state != SERVER_HEAD;
    if (is_serving(server) && !server->has_peer_finished && !is_clogged) {
        stream_read_start(server->stream);
    }
    drop_idle_block(server);
}

/* ---- the stream's calls ---- */

static struct http1_server *server_of(struct stream *stream)
{
    struct http1_server *server = stream->owner;
    CHECK(server->tag == SERVER_TAG);
    return server;
}

static void on_read(struct stream *stream, struct bytes bytes)
{
    struct http1_server *server = server_of(stream);
    if (!is_serving(server)) {
        return;
    }
    struct http1_request *request = server->request;
    if (request != NULL && buf_size(&request->pending) > 0) {
        stash(server, bytes);
        if (is_serving(server)) {
            http1_server_pump(server);
        }
        return;
    }
    server->is_feeding = true;
    size_t consumed = consume(server, bytes);
    server->is_feeding = false;
    if (consumed < bytes.size) {
        stash(server, bytes_slice(bytes, consumed, bytes.size - consumed));
    }
}

static void on_client_finished(struct http1_server *server)
{
    struct http1_request *request = server->request;
    server->has_peer_finished = true;
    bool is_still_read = stream_is_blocked(server->stream);
    if (server->state == SERVER_LINGER && is_still_read) {
        return; /* on_drained closes */
    }
    if (server->state != SERVER_EXCHANGE && is_still_read) {
        linger(server);
    } else if (server->state != SERVER_EXCHANGE) {
        close_connection(server);
    } else if (request->is_tunnel) {
        if (!request->is_body_done) {
            http1_server_tell_body_end(request, NULL);
        }
    } else if (!request->is_body_done) {
        http1_server_cut(server);
    }
}

static void on_end(struct stream *stream, enum err why)
{
    struct http1_server *server = server_of(stream);
    if (why == OK) {
        on_client_finished(server);
    } else {
        close_connection(server);
    }
}

static void on_drained(struct stream *stream)
{
    struct http1_server *server = server_of(stream);
    if (server->state == SERVER_LINGER) {
        if (server->has_peer_finished) {
            close_connection(server);
        } else {
            http1_server_arm(server, LINGER_US);
        }
        return;
    }
    struct http1_request *request = server->request;
    if (server->state == SERVER_IDLE) {
        http1_server_pump(server);
    } else if (server->state == SERVER_EXCHANGE && request->is_open) {
        http1_server_watch(server);
        request->responder.request_ops->on_drained(request->responder.request);
    }
}

static void on_closed(struct stream *stream)
{
    struct http1_server *server = server_of(stream);
    struct http1_server_host *host = server->host;
    CHECK(server->state == SERVER_CLOSED);
    deadline_finish(&server->deadline);
    if (server->request != NULL) {
        http1_server_give_block(host, server->request);
    }
    list_remove(&server->link);
    host->connection_count--;
    server->tag = 0;
    free(server);
}

static const struct stream_listener listener = {
    .on_read = on_read, .on_end = on_end, .on_drained = on_drained, .on_closed = on_closed};

static void on_deadline(struct deadline *deadline)
{
    struct http1_server *server = CONTAINER_OF(deadline, struct http1_server, deadline);
    CHECK(server->tag == SERVER_TAG);
    struct http1_request *request = server->request;
    switch ((enum server_state)server->state) {
    case SERVER_HEAD:
        refuse(server, reject_request(REJECT_HEAD_TIMEOUT));
        break;
    case SERVER_EXCHANGE:
        if (request->has_head || stream_is_blocked(server->stream)) {
            http1_server_cut(server);
        } else {
            refuse(server, reject_request(REJECT_BODY_TIMEOUT));
        }
        break;
    case SERVER_IDLE:
    case SERVER_LINGER:
    case SERVER_CLOSED:
        close_connection(server);
        break;
    }
}

enum err http1_server_open(struct http1_server_host *host, struct stream *stream,
                           const struct ip *peer, unsigned peer_port)
{
    struct http1_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        stream_close(stream);
        return ERR_NOMEM;
    }
    server->tag = SERVER_TAG;
    server->peer_port = (uint16_t)peer_port;
    server->host = host;
    server->stream = stream;
    server->peer = *peer;
    deadline_init(&server->deadline, on_deadline);
    list_push_back(&host->connections, &server->link);
    host->connection_count++;
    count_state(server, METRIC_CONNECTION_IDLE, true);
    stream_attach(stream, &listener, server);
    http1_server_arm(server, host->settings.client_header_us);
    stream_read_start(stream);
    return OK;
}

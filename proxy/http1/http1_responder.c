/* proxy/http1/http1_responder.c — the handler's way back to the client: heads, bodies and ends as
 * HTTP/1.1 frames them. */
#include "proxy/http1/http1_server_state.h"
#include "proxy/http1/http1_writer.h"

enum { HEAD_RESERVE = LOOP_CORK_SIZE / 2 };

void http1_server_write_head(struct http1_server *server, const struct response *response)
{
    char *out = stream_reserve(server->stream, HEAD_RESERVE);
    size_t size = 0;
    if (http1_write_response(out, HEAD_RESERVE, response, &size) == OK) {
        stream_commit(server->stream, size);
    } else {
        /* A head that cannot be written cannot be half written either. */
        stream_break(server->stream);
    }
}

static struct http1_request *request_of(struct responder *responder)
{
    struct http1_request *request = CONTAINER_OF(responder, struct http1_request, responder);
    CHECK(request->is_open);
    return request;
}

static void respond_inform(struct responder *responder, const struct response *response)
{
    struct http1_request *request = request_of(responder);
    CHECK(!request->has_head);
    if (request->message.version != HTTP_1_0) {
        http1_server_write_head(request->server, response);
    }
}

static bool may_keep_alive(const struct http1_request *request, const struct response *response)
{
    const struct http1_server *server = request->server;
    uint64_t limit = server->host->settings.requests_per_connection_max;
    return response->is_keep_alive && request->message.is_keep_alive && request->is_body_done &&
           response->body != BODY_UNTIL_CLOSE && !server->host->is_draining &&
           !server->has_peer_finished && (limit == 0 || server->request_count < limit);
}

static void respond_head(struct responder *responder, const struct response *response)
{
    struct http1_request *request = request_of(responder);
    CHECK(!request->has_head);
    struct response out = *response;
    out.version = request->message.version;
    request->has_head = true;
    request->out_body = response->body;
    request->is_tunnel = response->status == 101;
    request->is_keep_alive = !request->is_tunnel && may_keep_alive(request, response);
    out.is_keep_alive = request->is_keep_alive;
    if (request->is_tunnel) {
        request->is_body_done = false;
        request->is_body_wanted = false;
        request->out_body = BODY_UNTIL_CLOSE;
    }
    http1_server_write_head(request->server, &out);
}

static void watch_client_pace(struct http1_request *request)
{
    if (stream_is_blocked(request->server->stream)) {
        http1_server_arm(request->server, request->server->host->settings.client_body_us);
    }
}

static void respond_body(struct responder *responder, struct bytes piece)
{
    struct http1_request *request = request_of(responder);
    struct stream *stream = request->server->stream;
    CHECK(request->has_head);
    if (piece.size == 0 || request->out_body == BODY_NONE) {
        return;
    }
    if (request->out_body == BODY_CHUNKED) {
        char line[HTTP1_CHUNK_LINE_MAX];
        struct bytes pieces[3] = {
            {line, http1_write_chunk_line(line, piece.size)}, piece, HTTP1_CRLF};
        stream_write(stream, pieces, COUNT_OF(pieces));
    } else {
        stream_write_one(stream, piece);
    }
    watch_client_pace(request);
}

static void make_last_call(struct http1_request *request)
{
    request->is_open = false;
    request->is_ended = true;
}

static void write_trailers(struct http1_request *request, const struct fields *trailers)
{
    struct stream *stream = request->server->stream;
    size_t size = 0;
    char *out = stream_reserve(stream, HEAD_RESERVE);
    if (http1_write_last_chunk(out, HEAD_RESERVE, trailers, &size) == OK) {
        stream_commit(stream, size);
    } else {
        stream_write_one(stream, HTTP1_LAST_CHUNK);
    }
}

static void respond_end(struct responder *responder, const struct fields *trailers)
{
    struct http1_request *request = request_of(responder);
    struct http1_server *server = request->server;
    CHECK(request->has_head);
    if (request->out_body == BODY_CHUNKED) {
        if (trailers != NULL && trailers->count > 0) {
            write_trailers(request, trailers);
        } else {
            stream_write_one(server->stream, HTTP1_LAST_CHUNK);
        }
    }
    make_last_call(request);
    http1_server_pump(server);
}

static void respond_finish(struct responder *responder)
{
    struct http1_request *request = request_of(responder);
    CHECK(request->is_tunnel);
    stream_finish(request->server->stream);
    request->is_half_tunnel = true;
    http1_server_watch(request->server);
}

static void respond_cut(struct responder *responder)
{
    struct http1_request *request = request_of(responder);
    make_last_call(request);
    http1_server_cut(request->server);
}

static void respond_want_body(struct responder *responder, bool is_wanted)
{
    struct http1_request *request = request_of(responder);
    struct http1_server *server = request->server;
    bool is_news = is_wanted && !request->is_body_wanted;
    request->is_body_wanted = is_wanted;
    if (request->is_body_done) {
        return;
    }
    http1_server_watch(server);
    if (is_news) {
        http1_server_pump(server);
        bool is_finished_tunnel = request->is_tunnel && server->has_peer_finished;
        if (is_finished_tunnel && request->is_open && !request->is_body_done) {
            http1_server_tell_body_end(request, NULL);
        }
    } else if (!is_wanted) {
        stream_read_stop(server->stream);
    }
}

static bool respond_is_blocked(const struct responder *responder)
{
    const struct http1_request *request = CONTAINER_OF(responder, struct http1_request, responder);
    return stream_is_blocked(request->server->stream);
}

const struct responder_ops http1_responder_ops = {
    .inform = respond_inform,
    .head = respond_head,
    .body = respond_body,
    .finish = respond_finish,
    .end = respond_end,
    .cut = respond_cut,
    .want_body = respond_want_body,
    .is_blocked = respond_is_blocked,
};

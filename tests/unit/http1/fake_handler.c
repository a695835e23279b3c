#include "tests/unit/http1/fake_handler.h"

#include <stdio.h>

#include "proxy/http1/http1_server_state.h"
#include "proxy/io/tcp_stream.h"

static const struct http1_server_settings settings = {
    .limits = {.head_max = 4096, .line_max = 1024, .fields_max = 20},
    .client_header_us = 10 * 1000000,
    .client_body_us = 30 * 1000000,
    .client_idle_us = 60 * 1000000,
};

static void on_body(void *request, struct bytes piece)
{
    struct fake *fake = request;
    assert_true(fake->body_size + piece.size <= sizeof fake->body);
    memcpy(fake->body + fake->body_size, piece.data, piece.size);
    fake->body_size += piece.size;
}

void fake_head(struct fake *fake, unsigned status, enum body_kind body, uint64_t length)
{
    struct response response = {.status = status,
                                .version = fake->version,
                                .reason = BYTES("Said"),
                                .upgrade = status == 101 ? BYTES("echo") : BYTES(""),
                                .body = body,
                                .content_length = length,
                                .has_content_length = body == BODY_LENGTH,
                                .is_keep_alive = true};
    fake->responder->ops->head(fake->responder, &response);
}

void fake_answer(struct fake *fake, unsigned status, struct bytes body)
{
    struct responder *responder = fake->responder;
    loop_enter(&fake->loop);
    fake_head(fake, status, fake->method == METHOD_HEAD ? BODY_NONE : BODY_LENGTH, body.size);
    fake->responder = NULL;
    responder->ops->body(responder, body);
    responder->ops->end(responder, NULL);
    loop_leave(&fake->loop);
}

static void on_body_end(void *request, const struct fields *trailers)
{
    struct fake *fake = request;
    fake->body_end_count++;
    fake->trailer_count = trailers->count;
    if (fake->mode == FAKE_GATHERS) {
        fake_answer(fake, 200, BYTES("gathered"));
    }
}

static void on_drained(void *request)
{
    struct fake *fake = request;
    fake->drained_count++;
}

static void on_gone(void *request, enum err why)
{
    (void)why;
    struct fake *fake = request;
    assert_non_null(fake->responder);
    fake->responder = NULL;
    fake->gone_count++;
}

static const struct request_ops request_ops = {on_body, on_body_end, on_drained, on_gone};

static void on_open(struct handler *handler, struct responder *responder,
                    const struct request *request)
{
    struct fake *fake = CONTAINER_OF(handler, struct fake, handler);
    assert_null(fake->responder);
    fake->open_count++;
    fake->version = request->version;
    fake->method = request->method;
    size_t used = strlen(fake->targets);
    (void)snprintf(fake->targets + used, sizeof fake->targets - used, "%.*s ",
                   BYTES_ARGS(request->target));
    fake->responder = responder;
    responder->request = fake;
    responder->request_ops = &request_ops;
    bool has_body = request->body == BODY_CHUNKED || request->content_length > 0;
    if (fake->mode == FAKE_ANSWERS || (fake->mode == FAKE_GATHERS && !has_body)) {
        fake_answer(fake, 200, BYTES("answer"));
    } else if (fake->mode != FAKE_WAITS) {
        responder->ops->want_body(responder, true);
    }
}

void fake_begin(struct fake *fake, enum fake_mode mode)
{
    memset(fake, 0, sizeof *fake);
    fake->handler.open = on_open;
    fake->mode = mode;
    play_begin(&fake->loop);
    http1_server_host_init(&fake->host, &fake->loop, &fake->handler, &fake->cells, &settings);
}

void fake_end(struct fake *fake)
{
    loop_enter(&fake->loop);
    http1_server_host_close_all(&fake->host);
    loop_leave(&fake->loop);
    play_until(&fake->loop, fake->host.connection_count == 0);
    assert_null(fake->responder);
    assert_int_equal(cell_read(&fake->cells.client_connections[METRIC_CONNECTION_ACTIVE]), 0);
    assert_int_equal(cell_read(&fake->cells.client_connections[METRIC_CONNECTION_IDLE]), 0);
    http1_server_host_finish(&fake->host);
    play_end(&fake->loop);
}

void fake_connect(struct fake *fake, struct peer *client)
{
    int fds[2];
    struct stream *stream;
    struct ip ip = {0};
    play_tcp_pair(fds);
    peer_init(client, fds[1]);
    loop_enter(&fake->loop);
    assert_int_equal(tcp_stream_open(&fake->loop, fds[0], &stream), OK);
    assert_int_equal(http1_server_open(&fake->host, stream, &ip, 1), OK);
    loop_leave(&fake->loop);
}

uint64_t fake_rejected(const struct fake *fake, enum reject_reason reason)
{
    return cell_read(&fake->cells.rejected_requests[reason]);
}

#include "tests/unit/platform/api_stub.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/check.h"

enum { ANSWER_SIZE = 65536 };

struct said {
    unsigned status;
    const char *fields;
    const char *body;
    int is_half;
};

struct peer {
    uv_tcp_t tcp;
    uv_write_t write;
    struct api_stub *stub;
    char text[API_STUB_REQUEST_SIZE];
    size_t size;
    char answer[ANSWER_SIZE];
    int is_open;
};

struct api_stub {
    uv_tcp_t tcp;
    struct said said[API_STUB_ANSWERS_MAX];
    size_t said_count;
    struct peer peers[API_STUB_ANSWERS_MAX]; /* one a request */
    size_t count;
    size_t peer_count;
    unsigned open_handles;
    int port;
};

static void handle_gone(struct api_stub *stub)
{
    if (--stub->open_handles == 0) {
        free(stub);
    }
}

static void on_stub_closed(uv_handle_t *handle)
{
    handle_gone(handle->data);
}

static void on_peer_closed(uv_handle_t *handle)
{
    struct peer *peer = handle->data;
    handle_gone(peer->stub);
}

static void peer_close(struct peer *peer)
{
    if (peer->is_open && !uv_is_closing((uv_handle_t *)&peer->tcp)) {
        uv_close((uv_handle_t *)&peer->tcp, on_peer_closed);
    }
}

static void on_written(uv_write_t *write, int status)
{
    (void)status;
    peer_close(write->data);
}

static void answer(struct peer *peer)
{
    struct api_stub *stub = peer->stub;
    size_t index = stub->count++;
    CHECK(index < stub->said_count);
    const struct said *said = &stub->said[index];
    if (said->status == 0) {
        peer_close(peer);
        return;
    }
    if (said->body == NULL) {
        return;
    }
    size_t size = strlen(said->body);
    int written = snprintf(peer->answer, sizeof peer->answer,
                           "HTTP/1.1 %u It Says\r\nContent-Length: %zu\r\nConnection: close\r\n"
                           "CF-Ray: 8f00ba4e-FRA\r\n%s\r\n%.*s",
                           said->status, size, said->fields != NULL ? said->fields : "",
                           (int)(said->is_half ? size / 2 : size), said->body);
    CHECK(written > 0 && (size_t)written < sizeof peer->answer);
    uv_buf_t piece = uv_buf_init(peer->answer, (unsigned)written);
    peer->write.data = peer;
    (void)uv_write(&peer->write, (uv_stream_t *)&peer->tcp, &piece, 1, on_written);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct peer *peer = handle->data;
    (void)suggested;
    *buf = uv_buf_init(peer->text + peer->size, (unsigned)(sizeof peer->text - 1 - peer->size));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct peer *peer = stream->data;
    (void)buf;
    if (size < 0) {
        peer_close(peer);
        return;
    }
    peer->size += (size_t)size;
    peer->text[peer->size] = '\0';
    const char *end = strstr(peer->text, "\r\n\r\n");
    const char *length = strstr(peer->text, "Content-Length: ");
    size_t body = length != NULL ? strtoul(length + 16, NULL, 10) : 0;
    if (end != NULL && peer->text + peer->size >= end + 4 + body) {
        (void)uv_read_stop(stream);
        answer(peer);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct api_stub *stub = listener->data;
    CHECK(status == 0);
    CHECK(stub->peer_count < API_STUB_ANSWERS_MAX);
    struct peer *peer = &stub->peers[stub->peer_count++];
    CHECK(uv_tcp_init(listener->loop, &peer->tcp) == 0);
    peer->tcp.data = peer;
    peer->stub = stub;
    peer->is_open = 1;
    stub->open_handles++;
    CHECK(uv_accept(listener, (uv_stream_t *)&peer->tcp) == 0);
    CHECK(uv_read_start((uv_stream_t *)&peer->tcp, on_room, on_read) == 0);
}

struct api_stub *api_stub_open(uv_loop_t *loop)
{
    struct api_stub *stub = calloc(1, sizeof *stub);
    struct sockaddr_in address = {.sin_family = AF_INET};
    int size = sizeof address;
    CHECK(stub != NULL);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(uv_tcp_init(loop, &stub->tcp) == 0);
    stub->tcp.data = stub;
    stub->open_handles = 1;
    CHECK(uv_tcp_bind(&stub->tcp, (struct sockaddr *)&address, 0) == 0);
    CHECK(uv_listen((uv_stream_t *)&stub->tcp, API_STUB_ANSWERS_MAX, on_connection) == 0);
    CHECK(uv_tcp_getsockname(&stub->tcp, (struct sockaddr *)&address, &size) == 0);
    stub->port = ntohs(address.sin_port);
    return stub;
}

int api_stub_port(const struct api_stub *stub)
{
    return stub->port;
}

void api_stub_say(struct api_stub *stub, unsigned status, const char *fields, const char *body)
{
    CHECK(stub->said_count < API_STUB_ANSWERS_MAX);
    stub->said[stub->said_count++] =
        (struct said){.status = status, .fields = fields, .body = body};
}

void api_stub_say_half(struct api_stub *stub, const char *body)
{
    api_stub_say(stub, 200, NULL, body);
    stub->said[stub->said_count - 1].is_half = 1;
}

size_t api_stub_count(const struct api_stub *stub)
{
    return stub->count;
}

const char *api_stub_request(const struct api_stub *stub, size_t index)
{
    CHECK(index < stub->peer_count);
    return stub->peers[index].text;
}

void api_stub_close(struct api_stub *stub)
{
    for (size_t i = 0; i < stub->peer_count; i++) {
        peer_close(&stub->peers[i]);
    }
    uv_close((uv_handle_t *)&stub->tcp, on_stub_closed);
}

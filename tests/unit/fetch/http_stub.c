#include "tests/unit/fetch/http_stub.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/check.h"

enum { PEERS_MAX = 32, TEXT_MAX = 8192, BIG_SIZE = 65536 };

struct peer {
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } io;
    struct http_stub *stub;
    char text[TEXT_MAX];
    size_t size;
    char answer[BIG_SIZE + 256];
    uv_write_t write;
    int is_open;
};

struct http_stub {
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } io;
    struct peer peers[PEERS_MAX];
    int is_unix;
    int port;
    unsigned requests;
    unsigned open_count;
};

static void on_closed(uv_handle_t *handle)
{
    struct http_stub *stub = handle->data;
    stub->open_count--;
    if (stub->open_count == 0) {
        free(stub);
    }
}

static void on_peer_closed(uv_handle_t *handle)
{
    struct peer *peer = handle->data;
    handle->data = peer->stub;
    peer->is_open = 0;
    on_closed(handle);
}

static void peer_close(struct peer *peer)
{
    if (!uv_is_closing((uv_handle_t *)&peer->io.stream)) {
        uv_close((uv_handle_t *)&peer->io.stream, on_peer_closed);
    }
}

static void on_written_close(uv_write_t *write, int status)
{
    (void)status;
    peer_close(write->data);
}

static void send_answer(struct peer *peer, size_t size, uv_write_cb on_written)
{
    uv_buf_t piece = uv_buf_init(peer->answer, (unsigned)size);
    peer->write.data = peer;
    (void)uv_write(&peer->write, &peer->io.stream, &piece, 1, on_written);
}

static void send_text(struct peer *peer, const char *status, const char *headers, const char *body,
                      size_t body_size)
{
    int head = snprintf(peer->answer, sizeof peer->answer,
                        "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n", status,
                        headers, body_size);
    memcpy(peer->answer + head, body, body_size);
    send_answer(peer, (size_t)head + body_size, on_written_close);
}

static int is_path(const struct peer *peer, const char *path)
{
    const char *start = strchr(peer->text, ' ');
    return start != NULL && strncmp(start + 1, path, strlen(path)) == 0;
}

static void answer(struct peer *peer)
{
    static char big[BIG_SIZE];
    peer->stub->requests++;
    if (is_path(peer, "/ok")) {
        send_text(peer, "200 OK", "ETag: \"7\"\r\nContent-Type: text/plain\r\n", "fine", 4);
    } else if (is_path(peer, "/echo")) {
        char copy[TEXT_MAX];
        memcpy(copy, peer->text, peer->size);
        send_text(peer, "200 OK", "", copy, peer->size);
    } else if (is_path(peer, "/big")) {
        send_text(peer, "200 OK", "", big, sizeof big);
    } else if (is_path(peer, "/redirect")) {
        send_text(peer, "302 Found", "Location: /ok\r\n", "", 0);
    } else if (is_path(peer, "/cut")) {
        int size = snprintf(peer->answer, sizeof peer->answer,
                            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        send_answer(peer, (size_t)size, on_written_close);
    } else if (is_path(peer, "/events")) {
        int size = snprintf(peer->answer, sizeof peer->answer,
                            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
                            "data: 1\n\ndata: 2\n\ndata: 3\n\n");
        send_answer(peer, (size_t)size, NULL);
    } else if (!is_path(peer, "/silent")) {
        send_text(peer, "404 Not Found", "Content-Type: application/problem+json\r\n",
                  "{\"status\":404}", 14);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct peer *peer = handle->data;
    (void)suggested;
    *buf = uv_buf_init(peer->text + peer->size, (unsigned)(TEXT_MAX - 1 - peer->size));
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
    if (end != NULL && peer->size >= (size_t)(end - peer->text) + 4 + body) {
        answer(peer);
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct http_stub *stub = listener->data;
    struct peer *peer = NULL;
    for (size_t i = 0; i < PEERS_MAX && peer == NULL; i++) {
        peer = stub->peers[i].is_open ? NULL : &stub->peers[i];
    }
    CHECK(status == 0);
    CHECK(peer != NULL);
    memset(peer, 0, sizeof *peer);
    peer->stub = stub;
    peer->is_open = 1;
    stub->open_count++;
    if (stub->is_unix) {
        (void)uv_pipe_init(listener->loop, &peer->io.pipe, 0);
    } else {
        (void)uv_tcp_init(listener->loop, &peer->io.tcp);
    }
    peer->io.stream.data = peer;
    CHECK(uv_accept(listener, &peer->io.stream) == 0);
    (void)uv_read_start(&peer->io.stream, on_alloc, on_read);
}

struct http_stub *http_stub_open(uv_loop_t *loop, const char *unix_path)
{
    struct http_stub *stub = calloc(1, sizeof *stub);
    CHECK(stub != NULL);
    stub->is_unix = unix_path != NULL;
    if (stub->is_unix) {
        CHECK(uv_pipe_init(loop, &stub->io.pipe, 0) == 0);
        CHECK(uv_pipe_bind(&stub->io.pipe, unix_path) == 0);
    } else {
        struct sockaddr_in address;
        int size = sizeof address;
        CHECK(uv_tcp_init(loop, &stub->io.tcp) == 0);
        CHECK(uv_ip4_addr("127.0.0.1", 0, &address) == 0);
        CHECK(uv_tcp_bind(&stub->io.tcp, (struct sockaddr *)&address, 0) == 0);
        CHECK(uv_tcp_getsockname(&stub->io.tcp, (struct sockaddr *)&address, &size) == 0);
        stub->port = ntohs(address.sin_port);
    }
    stub->io.stream.data = stub;
    stub->open_count = 1;
    CHECK(uv_listen(&stub->io.stream, 16, on_connection) == 0);
    return stub;
}

int http_stub_port(const struct http_stub *stub)
{
    return stub->port;
}

unsigned http_stub_requests(const struct http_stub *stub)
{
    return stub->requests;
}

void http_stub_close(struct http_stub *stub)
{
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (stub->peers[i].is_open) {
            peer_close(&stub->peers[i]);
        }
    }
    uv_close((uv_handle_t *)&stub->io.stream, on_closed);
}

/* tests/unit/http2/server_stage.h — the connection over a stream without a socket: every frame in,
 * every write out. For one file of tests each. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proxy/http2/http2_server.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/loop_play.h"

enum { CALLS_MAX = 32, SENT_MAX = 4 << 20, FRAME_HEAD = 9 };
enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

/* :method GET or POST, :scheme http, :path /, :authority a */
#define GET                                                                                        \
    "\x82\x86\x84\x41\x01"                                                                         \
    "a"
#define POST                                                                                       \
    "\x83\x86\x84\x41\x01"                                                                         \
    "a"

/* HEAD with a body; CONNECT with :protocol websocket. */
#define HEAD_METHOD                                                                                \
    "\x42\x04"                                                                                     \
    "HEAD\x86\x84\x41\x01"                                                                         \
    "a"
#define CONNECT                                                                                    \
    "\x42\x07"                                                                                     \
    "CONNECT\x86\x84\x41\x01"                                                                      \
    "a\x40\x09:protocol\x09websocket"

struct play {
    struct loop loop;
    struct handler handler;
    struct http2_server_host host;
    struct worker_cells cells;
    struct stream stream;
    struct responder *calls[CALLS_MAX]; /* in the order of their opening; NULL: over */
    size_t call_count;
    size_t gone_count;
    size_t drained_count;
    size_t body_size;
    size_t end_count;
    bool is_wanted; /* bodies are, from the start */
    bool is_clogged;
    bool is_closed;
    size_t write_count;
    size_t sent_size;
    char sent[SENT_MAX];
};

static struct play play;

static const struct http2_server_settings settings = {
    .limits = {.head_max = 4096, .line_max = 1024, .fields_max = 20},
    .client_header_us = 10 * 1000000,
    .client_body_us = 30 * 1000000,
    .client_idle_us = 60 * 1000000,
    .streams_max = 20,
};

/* ---- a stream without a socket ---- */

static inline void nothing(struct stream *stream)
{
    (void)stream;
}

static inline enum err write_pieces(struct stream *stream, const struct bytes *pieces, size_t count)
{
    play.write_count++;
    for (size_t i = 0; i < count; i++) {
        assert_true(play.sent_size + pieces[i].size <= SENT_MAX);
        memcpy(play.sent + play.sent_size, pieces[i].data, pieces[i].size);
        play.sent_size += pieces[i].size;
    }
    stream->queued += play.is_clogged;
    return OK;
}

static inline bool has_unread(struct stream *stream)
{
    (void)stream;
    return false;
}

static inline void close_stream(struct stream *stream)
{
    (void)stream;
    play.is_closed = true;
}

static const struct stream_ops ops = {nothing, nothing,      write_pieces, has_unread,
                                      nothing, close_stream, close_stream};

/* ---- a handler that does what the test says ---- */

static inline void on_body(void *request, struct bytes piece)
{
    (void)request;
    play.body_size += piece.size;
}

static inline void on_body_end(void *request, const struct fields *trailers)
{
    (void)request;
    (void)trailers;
    play.end_count++;
}

static inline void on_drained(void *request)
{
    (void)request;
    play.drained_count++;
}

static inline void on_gone(void *request, enum err why)
{
    struct responder **call = request;
    (void)why;
    assert_non_null(*call);
    *call = NULL;
    play.gone_count++;
}

static const struct request_ops request_ops = {on_body, on_body_end, on_drained, on_gone};

static inline void on_open(struct handler *handler, struct responder *responder,
                           const struct request *request)
{
    (void)handler;
    assert_true(play.call_count < CALLS_MAX);
    play.calls[play.call_count] = responder;
    responder->request = &play.calls[play.call_count++];
    responder->request_ops = &request_ops;
    if (play.is_wanted && request->body != BODY_NONE) {
        responder->ops->want_body(responder, true);
    }
}

static inline void head(size_t call, enum body_kind body)
{
    struct response response = {.status = 200, .body = body};
    play.calls[call]->ops->head(play.calls[call], &response);
}

static inline void end(size_t call)
{
    struct responder *responder = play.calls[call];
    play.calls[call] = NULL;
    responder->ops->end(responder, NULL);
}

static inline void cut(size_t call)
{
    struct responder *responder = play.calls[call];
    play.calls[call] = NULL;
    responder->ops->cut(responder);
}

/* ---- frames ---- */

static inline void feed(struct bytes bytes)
{
    loop_enter(&play.loop);
    play.stream.listener->on_read(&play.stream, bytes);
    loop_leave(&play.loop);
}

static inline void send_frame(unsigned type, unsigned flags, unsigned stream, struct bytes payload)
{
    static char frame[FRAME_HEAD + 16384];
    const unsigned char first[FRAME_HEAD] = {(unsigned char)(payload.size >> 16),
                                             (unsigned char)(payload.size >> 8),
                                             (unsigned char)payload.size,
                                             (unsigned char)type,
                                             (unsigned char)flags,
                                             0,
                                             0,
                                             (unsigned char)(stream >> 8),
                                             (unsigned char)stream};
    memcpy(frame, first, sizeof first);
    memcpy(frame + sizeof first, payload.data, payload.size);
    feed(bytes_make(frame, sizeof first + payload.size));
}

static inline void ask(unsigned stream, bool is_last)
{
    send_frame(HEADERS, END_HEADERS | (is_last ? END_STREAM : 0), stream,
               is_last ? BYTES(GET) : BYTES(POST));
}

/* How many frames of this type came for the stream, and their bytes. */
static inline size_t count_frames(unsigned type, unsigned stream, size_t *ret_size)
{
    size_t count = 0;
    *ret_size = 0;
    for (size_t at = 0; at < play.sent_size;) {
        const unsigned char *frame = (const unsigned char *)play.sent + at;
        size_t size = (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];
        unsigned of = (unsigned)frame[7] << 8 | frame[8];
        if (frame[3] == type && of == stream) {
            count++;
            *ret_size += size;
        }
        at += FRAME_HEAD + size;
        assert_true(at <= play.sent_size);
    }
    return count;
}

static inline size_t frames(unsigned type, unsigned stream)
{
    size_t size;
    return count_frames(type, stream, &size);
}

static inline void turn(void)
{
    (void)loop_turn(&play.loop, false);
}

/* ---- the stage ---- */

static inline void begin(void)
{
    struct ip ip = {0};
    memset(&play, 0, sizeof play);
    play.handler.open = on_open;
    play_begin(&play.loop);
    http2_server_host_init(&play.host, &play.loop, &play.handler, &play.cells, &settings);
    play.stream = (struct stream){.ops = &ops, .loop = &play.loop};
    loop_enter(&play.loop);
    assert_int_equal(http2_server_open(&play.host, &play.stream, &ip, 1), OK);
    loop_leave(&play.loop);
    feed(http2_preface);
    send_frame(SETTINGS, 0, 0, BYTES(""));
    send_frame(SETTINGS, ACK, 0, BYTES(""));
    turn();
}

static inline void finish(void)
{
    loop_enter(&play.loop);
    http2_server_host_close_all(&play.host);
    assert_true(play.is_closed);
    play.stream.listener->on_closed(&play.stream);
    loop_leave(&play.loop);
    turn();
    assert_int_equal(play.host.connection_count, 0);
    assert_int_equal(cell_read(&play.cells.client_connections[METRIC_CONNECTION_ACTIVE]), 0);
    assert_int_equal(cell_read(&play.cells.client_connections[METRIC_CONNECTION_IDLE]), 0);
    for (size_t i = 0; i < play.call_count; i++) {
        assert_null(play.calls[i]);
    }
    http2_server_host_finish(&play.host);
    play_end(&play.loop);
}

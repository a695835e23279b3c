/* HTTP/2 frames through the front: whatever comes, every request that is opened gets its last call,
 * what was opened can be written as HTTP/1.1 and reads back as the same one request, answers never
 * go out beyond the windows' bounds in memory, and everything is given back in the end. */
#include <stdlib.h>

#include "proxy/http/forward.h"
#include "proxy/http1/http1_parser.h"
#include "proxy/http1/http1_writer.h"
#include "proxy/http2/http2_server.h"
#include "tests/fuzz/fake_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { REQUESTS_MAX = 64, FIELDS_MAX = 40, OUT_SIZE = 1 << 17, ANSWER_SIZE = 40000 };

static const struct http2_server_settings settings = {
    .limits = {.head_max = 8192, .line_max = 4096, .fields_max = 30},
    .client_header_us = 10 * 1000000,
    .client_body_us = 30 * 1000000,
    .client_idle_us = 60 * 1000000,
    .body_max = 100000,
    .streams_max = 16,
};

/* One open request. */
struct call {
    struct responder *responder; /* NULL: free */
    const struct request *request;
    uint64_t received;
    bool has_head;
    bool is_finished; /* a tunnel whose origin has said all */
};

struct fuzz {
    struct loop loop;
    struct handler handler;
    struct http2_server_host host;
    struct worker_cells cells;
    struct stream stream;
    struct call calls[REQUESTS_MAX];
    size_t call_count;
    uint8_t options;
    bool is_closed;
};

static struct fuzz fuzz;

/* ---- a stream without a socket ---- */

static enum err fake_write(struct stream *stream, const struct bytes *pieces, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += pieces[i].size;
    }
    CHECK(size > 0);
    if ((fuzz.options & 1) != 0) {
        stream->queued += size; /* a client that reads only now and then */
    }
    return OK;
}

static void fake_close(struct stream *stream)
{
    (void)stream;
    fuzz.is_closed = true;
}

static const struct stream_ops fake_ops = FAKE_STREAM(fake_write, fake_close);

/* ---- the handler ---- */

/* What the origin would read is what was meant. */
static void check_written(const struct request *request)
{
    static char wire[OUT_SIZE];
    static const struct framing_limits behind = {1 << 17, 1 << 16, FIELDS_MAX};
    struct field read_items[FIELDS_MAX];
    struct framing_scanner scanner;
    struct request read;
    struct reject reject;
    size_t size = 0;
    CHECK(request->fields.count <= settings.limits.fields_max + 1);
    CHECK(http1_write_request(wire, sizeof wire, request, &size) == OK);
    framing_scanner_init(&scanner, FRAMING_REQUEST);
    struct bytes head = bytes_make(wire, size);
    CHECK(framing_scan_head(&scanner, head, &behind, &reject) == FRAMING_COMPLETE);
    CHECK(scanner.position == size);
    CHECK(http1_parse_request(head, read_items, FIELDS_MAX, &read, &reject) == OK);
    CHECK(read.method == request->method);
    CHECK(read.body == request->body);
    CHECK(read.content_length == request->content_length);
    CHECK(bytes_equal(read.target, request->target));
    CHECK(bytes_equal(read.authority, request->authority));
    CHECK(bytes_equal(read.upgrade, request->upgrade));
    CHECK(request->upgrade.size == 0 || request->body == BODY_NONE);
}

static void answer(struct call *call, unsigned status)
{
    static const char body[ANSWER_SIZE];
    struct responder *responder = call->responder;
    bool is_head = call->request->method == METHOD_HEAD;
    struct field fields[] = {{BYTES("X-Name"), BYTES("value"), FIELD_OTHER}};
    struct response response = {.status = status,
                                .body = is_head ? BODY_NONE : BODY_CHUNKED,
                                .fields = {fields, COUNT_OF(fields)}};
    struct fields trailers = {fields, COUNT_OF(fields)};
    if (!call->has_head) {
        responder->ops->head(responder, &response);
        responder->ops->body(responder,
                             bytes_make(body, (fuzz.options & 2) != 0 ? ANSWER_SIZE : 3));
    }
    call->responder = NULL;
    if ((fuzz.options & 4) != 0) {
        responder->ops->cut(responder);
    } else {
        responder->ops->end(responder, (fuzz.options & 8) != 0 ? &trailers : NULL);
    }
}

/* A tunnel: says something, perhaps its last, and then everything that it hears. */
static void begin_tunnel(struct call *call)
{
    struct responder *responder = call->responder;
    struct response response = {.status = 101, .body = BODY_NONE, .upgrade = BYTES("websocket")};
    call->has_head = true;
    responder->ops->head(responder, &response);
    responder->ops->body(responder, BYTES("hello"));
    call->is_finished = (fuzz.options & 2) != 0;
    if (call->is_finished) {
        responder->ops->finish(responder);
    }
    responder->ops->want_body(responder, true);
}

static void on_tunnel_body(struct call *call, struct bytes piece)
{
    if (!call->is_finished) {
        call->responder->ops->body(call->responder, piece);
    }
}

static void on_body(void *request, struct bytes piece)
{
    struct call *call = request;
    CHECK(call->responder != NULL);
    call->received += piece.size;
    if (call->request->upgrade.size > 0) {
        CHECK(call->has_head);
        on_tunnel_body(call, piece);
        return;
    }
    CHECK(call->request->body == BODY_CHUNKED || call->received <= call->request->content_length);
    if ((fuzz.options & 16) != 0) {
        call->responder->ops->want_body(call->responder, false);
    }
}

static void on_body_end(void *request, const struct fields *trailers)
{
    struct call *call = request;
    CHECK(call->responder != NULL);
    bool is_tunnel = call->request->upgrade.size > 0;
    CHECK(is_tunnel || call->request->body == BODY_CHUNKED ||
          call->received == call->request->content_length);
    for (size_t i = 0; i < trailers->count; i++) {
        CHECK(!framing_is_trailer_refused(trailers->items[i].id));
    }
    answer(call, 200);
}

static void on_drained(void *request)
{
    CHECK(((struct call *)request)->responder != NULL);
}

static void on_gone(void *request, enum err why)
{
    struct call *call = request;
    (void)why;
    CHECK(call->responder != NULL);
    call->responder = NULL;
}

static const struct request_ops request_ops = {on_body, on_body_end, on_drained, on_gone};

static struct call *free_call(void)
{
    for (size_t i = 0; i < REQUESTS_MAX; i++) {
        if (fuzz.calls[i].responder == NULL) {
            return &fuzz.calls[i];
        }
    }
    return NULL;
}

static void on_open(struct handler *handler, struct responder *responder,
                    const struct request *request)
{
    struct call *call = free_call();
    (void)handler;
    CHECK(call != NULL); /* never more than streams_max are open */
    *call = (struct call){.responder = responder, .request = request};
    responder->request = call;
    responder->request_ops = &request_ops;
    check_written(request);
    bool has_body = request->body == BODY_CHUNKED || request->content_length > 0;
    if (request->upgrade.size > 0 && (fuzz.options & 32) == 0) {
        begin_tunnel(call);
    } else if (request->upgrade.size > 0) {
        answer(call, 403);
    } else if (has_body && (fuzz.options & 32) == 0) {
        responder->ops->want_body(responder, true);
    } else if (request->method != METHOD_PUT) { /* the others wait */
        answer(call, 200);
    }
}

/* ---- the play ---- */

static void drain_queue(void)
{
    loop_enter(&fuzz.loop);
    if (!fuzz.is_closed && fuzz.stream.queued > 0) {
        fuzz.stream.queued = 0;
        fuzz.stream.listener->on_drained(&fuzz.stream);
    }
    loop_leave(&fuzz.loop);
}

static void want_all(void)
{
    loop_enter(&fuzz.loop);
    for (size_t i = 0; i < REQUESTS_MAX; i++) {
        struct responder *responder = fuzz.calls[i].responder;
        if (responder != NULL && fuzz.calls[i].request->body != BODY_NONE) {
            responder->ops->want_body(responder, true);
        }
    }
    loop_leave(&fuzz.loop);
}

static void feed(struct bytes bytes, size_t step)
{
    for (size_t at = 0; at < bytes.size && !fuzz.is_closed; at += step) {
        size_t size = step < bytes.size - at ? step : bytes.size - at;
        loop_enter(&fuzz.loop);
        fuzz.stream.listener->on_read(&fuzz.stream, bytes_slice(bytes, at, size));
        loop_leave(&fuzz.loop);
        if (at % 64 == 0) {
            (void)loop_turn(&fuzz.loop, false);
            want_all();
        }
    }
}

static void begin_once(void)
{
    if (fuzz.handler.open == NULL) {
        fuzz.handler.open = on_open;
        CHECK(loop_init(&fuzz.loop) == OK);
        http2_server_host_init(&fuzz.host, &fuzz.loop, &fuzz.handler, &fuzz.cells, &settings);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char begin[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    struct ip peer = {0};
    if (size < 2 || size > 65536) {
        return 0;
    }
    begin_once();
    fuzz.options = data[0];
    fuzz.is_closed = false;
    fuzz.stream = (struct stream){.ops = &fake_ops, .loop = &fuzz.loop};
    loop_enter(&fuzz.loop);
    CHECK(http2_server_open(&fuzz.host, &fuzz.stream, &peer, 1) == OK);
    loop_leave(&fuzz.loop);
    if ((fuzz.options & 128) == 0) {
        feed(bytes_make(begin, sizeof begin - 1), SIZE_MAX);
    }
    feed(bytes_make((const char *)data + 2, size - 2), 1 + (size_t)data[1] * data[1]);
    (void)loop_turn(&fuzz.loop, false);
    drain_queue();
    if ((fuzz.options & 64) != 0) {
        http2_server_host_drain(&fuzz.host);
        fuzz.host.is_draining = false;
    }
    (void)loop_turn(&fuzz.loop, false);
    drain_queue();
    loop_enter(&fuzz.loop);
    http2_server_host_close_all(&fuzz.host);
    fuzz.host.is_draining = false;
    CHECK(fuzz.is_closed);
    fuzz.stream.listener->on_closed(&fuzz.stream);
    loop_leave(&fuzz.loop);
    (void)loop_turn(&fuzz.loop, false);
    CHECK(fuzz.host.connection_count == 0);
    for (size_t i = 0; i < REQUESTS_MAX; i++) {
        CHECK(fuzz.calls[i].responder == NULL);
    }
    return 0;
}

/* HTTP/2 frames of an origin: whatever comes, every call is told one end, what looks whole is as
 * long as it was announced, an answer that is passed on has nothing of the connection in it, and
 * everything is given back in the end. */
#include <stdlib.h>

#include "proxy/http/forward.h"
#include "proxy/http2/http2_client.h"
#include "tests/fuzz/fake_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
enum err __wrap_tcp_stream_connect(struct loop *loop, const struct tcp_route *route,
                                   const struct stream_listener *listener, void *owner,
                                   struct stream **ret_stream);

enum {
    OPTION_CLOGGED = 1, /* the socket takes bytes now and then */
    OPTION_SLOW = 2,    /* users want no more after each piece */
    OPTION_LEAVES = 4,  /* users give up at the head */
    OPTION_GREETED = 8, /* SETTINGS come first */
    OPTION_ENDS = 16,   /* the origin hangs up at the end */
    CALLS = 6,
    FIELDS_MAX = 64
};

static const struct http2_client_settings settings = {{8192, 4096, 30}, 4, 0};

struct call {
    struct client *client; /* NULL: over */
    enum body_kind body;
    uint64_t length;
    uint64_t received;
    bool has_head;
    bool is_head; /* asked by HEAD */
    size_t ends;
};

struct fuzz {
    struct loop loop;
    bool has_loop;
    struct http2_keeper keeper;
    struct stream stream;
    struct call calls[CALLS];
    uint8_t options;
    size_t idle_count; /* 0 or 1 */
    size_t ended_count;
    size_t closed_count;
    bool is_closed;
};

static struct fuzz fuzz;

/* ---- a stream without a socket ---- */

static enum err fake_write(struct stream *stream, const struct bytes *pieces, size_t count)
{
    (void)pieces;
    (void)count;
    stream->queued += (fuzz.options & OPTION_CLOGGED) != 0;
    return OK;
}

static void fake_close(struct stream *stream)
{
    (void)stream;
    fuzz.is_closed = true;
}

static const struct stream_ops fake_ops = FAKE_STREAM(fake_write, fake_close);

enum err __wrap_tcp_stream_connect(struct loop *loop, const struct tcp_route *route,
                                   const struct stream_listener *listener, void *owner,
                                   struct stream **ret_stream)
{
    (void)route;
    fuzz.stream = (struct stream){.ops = &fake_ops, .loop = loop};
    stream_attach(&fuzz.stream, listener, owner);
    *ret_stream = &fuzz.stream;
    return OK;
}

/* ---- the keeper ---- */

static struct client *on_http1(struct http2_keeper *keeper, struct http2_client *connection,
                               struct stream *stream, bool is_announced,
                               const struct client_ops *ops, void *call)
{
    (void)keeper;
    (void)connection;
    (void)stream;
    (void)is_announced;
    (void)ops;
    (void)call;
    CHECK(false);
    return NULL;
}

static void on_ready(struct http2_keeper *keeper, struct http2_client *connection)
{
    (void)keeper;
    CHECK(http2_client_has_room(connection));
}

static void on_idle(struct http2_keeper *keeper, struct http2_client *connection)
{
    (void)keeper;
    CHECK(http2_client_is_idle(connection));
    CHECK(fuzz.idle_count == 0);
    fuzz.idle_count++;
}

static void on_busy(struct http2_keeper *keeper, struct http2_client *connection)
{
    (void)keeper;
    (void)connection;
    CHECK(fuzz.idle_count == 1);
    fuzz.idle_count--;
}

static void on_ended(struct http2_keeper *keeper, struct http2_client *connection)
{
    (void)keeper;
    (void)connection;
    CHECK(fuzz.idle_count == 0);
    fuzz.ended_count++;
}

static void on_closing(struct http2_keeper *self, struct http2_client *client)
{
    (void)self;
    (void)client;
}

static void on_closed(struct http2_keeper *keeper, struct http2_client *connection)
{
    (void)keeper;
    (void)connection;
    fuzz.closed_count++;
}

static void on_violation(struct http2_keeper *keeper, enum metric_http2_violation kind)
{
    (void)keeper;
    CHECK(kind < METRIC_HTTP2_COUNT);
}

/* ---- the users ---- */

static void give_up(struct call *call)
{
    struct client *client = call->client;
    call->client = NULL;
    client_close(client);
}

static void on_connected(void *object, struct client *client)
{
    struct call *call = object;
    size_t number = (size_t)(call - fuzz.calls);
    static struct field items[] = {{BYTES("Host"), BYTES("a"), FIELD_HOST}};
    struct request request = {
        .method = number == 1   ? METHOD_HEAD
                  : number == 2 ? METHOD_POST
                                : METHOD_GET,
        .version = HTTP_1_1,
        .target = BYTES("/"),
        .upgrade = BYTES(""),
        .fields = {items, 1},
        .body = number == 2 ? BODY_CHUNKED : BODY_NONE,
    };
    CHECK(call->client == client);
    call->is_head = request.method == METHOD_HEAD;
    CHECK(client_send(client, &request) == OK);
    if (request.body == BODY_CHUNKED) {
        static const char body[70000];
        client_send_body(client, bytes_make(body, sizeof body));
    }
}

static void on_turned_away(void *object)
{
    struct call *call = object;
    call->client = NULL;
    call->ends++;
}

/* Nothing of the connection goes on to a client, in any version. */
static void check_forwarded(const struct response *response)
{
    struct field items[FIELDS_MAX];
    struct response out;
    struct forward_back_facts facts = {.client_version = HTTP_1_1, .date = BYTES("")};
    CHECK(forward_response(response, &facts, items, FIELDS_MAX, &out) == OK);
    for (size_t i = 0; i < out.fields.count; i++) {
        CHECK(out.fields.items[i].id != FIELD_CONNECTION);
        CHECK(out.fields.items[i].id != FIELD_TRANSFER_ENCODING);
        CHECK(out.fields.items[i].name.size > 0 && out.fields.items[i].name.data[0] != ':');
    }
}

static void on_inform(void *object, const struct response *response)
{
    struct call *call = object;
    CHECK(call->client != NULL && !call->has_head);
    CHECK(response->status >= 100 && response->status < 200 && response->status != 101);
    check_forwarded(response);
}

static void on_head(void *object, const struct response *response)
{
    struct call *call = object;
    CHECK(call->client != NULL && !call->has_head);
    CHECK(response->status >= 200 && response->status < 600);
    CHECK(response->body != BODY_UNTIL_CLOSE);
    CHECK(!call->is_head || response->body == BODY_NONE);
    call->has_head = true;
    call->body = response->body;
    call->length = response->content_length;
    check_forwarded(response);
    if ((fuzz.options & OPTION_LEAVES) != 0) {
        give_up(call);
        call->ends++;
    }
}

static void on_body(void *object, struct bytes piece)
{
    struct call *call = object;
    CHECK(call->client != NULL && call->has_head && piece.size > 0);
    CHECK(call->body != BODY_NONE);
    call->received += piece.size;
    CHECK(call->body != BODY_LENGTH || call->received <= call->length);
    if ((fuzz.options & OPTION_SLOW) != 0) {
        client_want(call->client, false);
    }
}

static void on_end(void *object, const struct fields *trailers)
{
    struct call *call = object;
    CHECK(call->client != NULL && call->has_head);
    CHECK(call->body != BODY_LENGTH || call->received == call->length);
    for (size_t i = 0; i < trailers->count; i++) {
        CHECK(!framing_is_trailer_refused(trailers->items[i].id));
    }
    give_up(call);
    call->ends++;
}

static void on_drained(void *object)
{
    struct call *call = object;
    CHECK(call->client != NULL);
    client_send_end(call->client, NULL);
}

static void on_failed(void *object, enum client_failure failure)
{
    struct call *call = object;
    CHECK(call->client != NULL);
    CHECK(failure <= CLIENT_MEMORY);
    CHECK(failure != CLIENT_UNPROCESSED || !call->has_head);
    give_up(call);
    call->ends++;
}

static const struct client_ops ops = {on_connected, on_turned_away, on_inform,  on_head,
                                      on_body,      on_end,         on_drained, on_failed};

/* ---- the play ---- */

static void begin_once(void)
{
    if (!fuzz.has_loop) {
        fuzz.has_loop = true;
        CHECK(loop_init(&fuzz.loop) == OK);
    }
    fuzz.keeper = (struct http2_keeper){on_http1, on_ready,   on_idle,   on_busy,
                                        on_ended, on_closing, on_closed, on_violation};
    memset(fuzz.calls, 0, sizeof fuzz.calls);
    fuzz.idle_count = 0;
    fuzz.ended_count = 0;
    fuzz.closed_count = 0;
    fuzz.is_closed = false;
}

static void connect_all(void)
{
    struct client_way way = {.speech = CLIENT_HTTP2};
    loop_enter(&fuzz.loop);
    CHECK(http2_client_connect(&fuzz.loop, &way, &settings, 0, &fuzz.keeper, &ops, &fuzz.calls[0],
                               &fuzz.calls[0].client) == OK);
    struct http2_client *connection = http2_client_of(fuzz.calls[0].client);
    for (size_t i = 1; i < CALLS; i++) { /* one more than fits is turned away */
        CHECK(http2_client_call(connection, &ops, &fuzz.calls[i], 0, &fuzz.calls[i].client) == OK);
    }
    fuzz.stream.listener->on_connected(&fuzz.stream, OK);
    loop_leave(&fuzz.loop);
    (void)loop_turn(&fuzz.loop, false);
}

static void go_on(void)
{
    loop_enter(&fuzz.loop);
    if (!fuzz.is_closed && fuzz.stream.queued > 0) {
        fuzz.stream.queued = 0;
        fuzz.stream.listener->on_drained(&fuzz.stream);
    }
    for (size_t i = 0; i < CALLS; i++) {
        if (fuzz.calls[i].client != NULL) {
            client_want(fuzz.calls[i].client, true);
        }
    }
    loop_leave(&fuzz.loop);
    (void)loop_turn(&fuzz.loop, false);
}

static void feed(struct bytes bytes, size_t step)
{
    for (size_t at = 0; at < bytes.size && !fuzz.is_closed; at += step) {
        size_t size = step < bytes.size - at ? step : bytes.size - at;
        loop_enter(&fuzz.loop);
        fuzz.stream.listener->on_read(&fuzz.stream, bytes_slice(bytes, at, size));
        loop_leave(&fuzz.loop);
        if (at % 64 == 0) {
            go_on();
        }
    }
}

static void finish(void)
{
    if ((fuzz.options & OPTION_ENDS) != 0 && !fuzz.is_closed) {
        loop_enter(&fuzz.loop);
        fuzz.stream.listener->on_end(&fuzz.stream, OK);
        loop_leave(&fuzz.loop);
        go_on();
    }
    loop_enter(&fuzz.loop);
    for (size_t i = 0; i < CALLS; i++) {
        if (fuzz.calls[i].client != NULL) {
            give_up(&fuzz.calls[i]);
            fuzz.calls[i].ends++;
        }
    }
    loop_leave(&fuzz.loop);
    (void)loop_turn(&fuzz.loop, false);
    loop_enter(&fuzz.loop);
    if (!fuzz.is_closed) {
        fuzz.stream.listener->on_end(&fuzz.stream, ERR_CLOSED);
    }
    CHECK(fuzz.is_closed);
    fuzz.stream.listener->on_closed(&fuzz.stream);
    loop_leave(&fuzz.loop);
    (void)loop_turn(&fuzz.loop, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char greeting[] = "\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0";
    if (size < 2 || size > 65536) {
        return 0;
    }
    begin_once();
    fuzz.options = data[0];
    connect_all();
    if ((fuzz.options & OPTION_GREETED) != 0) {
        feed(bytes_make(greeting, sizeof greeting - 1), SIZE_MAX);
    }
    feed(bytes_make((const char *)data + 2, size - 2), 1 + (size_t)data[1] * data[1]);
    go_on();
    finish();
    CHECK(fuzz.ended_count == 1);
    CHECK(fuzz.closed_count == 1);
    for (size_t i = 0; i < CALLS; i++) {
        CHECK(fuzz.calls[i].ends == 1);
    }
    return 0;
}

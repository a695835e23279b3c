#include "proxy/http1/http1_client.h"

#include <stdlib.h>

#include "proxy/base/buf.h"
#include "proxy/http/chunked.h"
#include "proxy/http1/http1_parser.h"
#include "proxy/http1/http1_writer.h"
#include "proxy/io/tcp_stream.h"
#include "proxy/tls/tls_stream.h"

enum {
    CLIENT_TAG = TAG('h', '1', 'c', 'l'),
    HEAD_RESERVE = LOOP_CORK_SIZE / 2,
    UPGRADE_MAX = 64,
    FIELDS_ON_STACK = 64,
    TRAILERS_ARENA_MAX = 128 * 1024,
    INFORMATIONAL_MAX = 16 /* 1xx answers before the final one */
};

/*   CONNECTING -> READY -> AWAIT_HEAD -> BODY -> DONE -> IDLE -> READY ...
 *                              |           \-> TUNNEL -> DONE
 *                              +-> (no body) DONE                    CLOSED from anywhere */
enum client_state {
    CLIENT_CONNECTING,
    CLIENT_READY,
    CLIENT_AWAIT_HEAD,
    CLIENT_BODY,
    CLIENT_TUNNEL,
    CLIENT_DONE,
    CLIENT_IDLE,
    CLIENT_CLOSED
};

/* What reading a chunked answer, or a head that came in pieces, needs: allocated only then. */
struct reading {
    struct buf pending;
    struct chunked_decoder decoder;
    struct arena arena;
};

struct http1_client {
    struct client base; /* what its user has */
    unsigned tag;
    uint8_t state;    /* enum client_state */
    uint8_t in_body;  /* enum body_kind of the answer */
    uint8_t out_body; /* enum body_kind of the request */
    uint8_t informational_count;
    uint8_t upgrade_size;
    bool is_head : 1; /* the request was HEAD */
    bool is_sent : 1; /* the request is out, body and all */
    bool is_keep_alive : 1;
    bool is_wanted : 1;
    bool is_tunnel : 1;                  /* 101 was read */
    bool is_announced : 1;               /* a PROXY header names its one client */
    bool has_ended : 1;                  /* the end was met while the user was not reading */
    bool is_told : 1;                    /* on_end or on_failed was called for this call */
    bool is_feeding : 1;                 /* feed_pending is on the stack */
    struct client_keeper *keeper;        /* borrowed */
    const struct framing_limits *newest; /* borrowed */
    struct framing_limits limits;        /* of this call: what they were when it began */
    struct stream *stream;
    struct list link; /* the keeper's */
    struct framing_scanner scanner;
    uint64_t body_left;
    struct reading *reading;   /* owned; NULL while not needed */
    char upgrade[UPGRADE_MAX]; /* rarely used, and so behind what every answer touches */
};

static struct http1_client *of_port(struct client *client)
{
    struct http1_client *self = CONTAINER_OF(client, struct http1_client, base);
    CHECK(self->tag == CLIENT_TAG);
    return self;
}

static struct http1_client *client_of(struct stream *stream)
{
    struct http1_client *client = stream->owner;
    CHECK(client->tag == CLIENT_TAG);
    return client;
}

static void drop_reading(struct http1_client *client)
{
    if (client->reading != NULL) {
        buf_finish(&client->reading->pending);
        arena_finish(&client->reading->arena);
        free(client->reading);
        client->reading = NULL;
    }
}

static struct reading *need_reading(struct http1_client *client)
{
    if (client->reading == NULL) {
        client->reading = calloc(1, sizeof *client->reading);
        if (client->reading != NULL) {
            buf_init(&client->reading->pending,
                     client->limits.head_max + 2 * (size_t)LOOP_READ_SIZE);
            arena_init(&client->reading->arena, TRAILERS_ARENA_MAX);
        }
    }
    return client->reading;
}

void http1_client_close(struct http1_client *client)
{
    if (client->state == CLIENT_CLOSED) {
        return;
    }
    client->state = CLIENT_CLOSED;
    client->base.ops = NULL;
    deadline_disarm(&client->base.deadline);
    stream_close(client->stream);
}

static void fail(struct http1_client *client, enum client_failure failure)
{
    CHECK(client->base.ops != NULL);
    const struct client_ops *ops = client->base.ops;
    void *call = client->base.call;
    client->is_told = true;
    client->is_keep_alive = false;
    client->state = CLIENT_DONE;
    deadline_disarm(&client->base.deadline);
    stream_read_stop(client->stream);
    ops->on_failed(call, failure);
}

static void end_idle(struct http1_client *client)
{
    struct client_keeper *keeper = client->keeper;
    http1_client_close(client);
    keeper->on_idle_ended(keeper, client);
}

/* ---- the answer ---- */

/* `leftover` bytes stand behind the answer. Nobody asked for them, so the connection carries no
 * further call. */
static void finish_answer(struct http1_client *client, const struct fields *trailers,
                          size_t leftover)
{
    client->is_keep_alive = client->is_keep_alive && leftover == 0;
    client->state = CLIENT_DONE;
    client->is_told = true;
    deadline_disarm(&client->base.deadline);
    client->base.ops->on_end(client->base.call, trailers);
}

static void refuse_answer(struct http1_client *client, struct reject reject)
{
    client->base.reject = reject;
    fail(client, reject.reason == REJECT_MEMORY ? CLIENT_MEMORY : CLIENT_MALFORMED);
}

static bool begin_body(struct http1_client *client, const struct response *response)
{
    client->in_body = (uint8_t)response->body;
    client->body_left = response->body == BODY_LENGTH ? response->content_length : 0;
    bool is_tunnel = response->status == 101;
    client->is_keep_alive =
        response->is_keep_alive && response->body != BODY_UNTIL_CLOSE && !is_tunnel;
    client->state = is_tunnel ? CLIENT_TUNNEL : CLIENT_BODY;
    client->is_tunnel = is_tunnel;
    stream_set_patient(client->stream, !is_tunnel);
    if (response->body != BODY_CHUNKED) {
        return true;
    }
    struct reading *reading = need_reading(client);
    if (reading == NULL) {
        fail(client, CLIENT_MEMORY);
        return false;
    }
    chunked_decoder_init(&reading->decoder, true, &client->limits, &reading->arena);
    return true;
}

static bool has_no_body_left(const struct http1_client *client)
{
    return client->state == CLIENT_BODY &&
           (client->in_body == BODY_NONE ||
            (client->in_body == BODY_LENGTH && client->body_left == 0));
}

static void take_head(struct http1_client *client, const struct response *response, size_t leftover)
{
    if (response_is_informational(response)) {
        client->informational_count++;
        if (client->informational_count > INFORMATIONAL_MAX) {
            refuse_answer(client, reject_response(REJECT_STATUS_LINE));
            return;
        }
        framing_scanner_init(&client->scanner, FRAMING_RESPONSE);
        client->base.ops->on_inform(client->base.call, response);
        return;
    }
    if (!begin_body(client, response)) {
        return;
    }
    client->base.ops->on_head(client->base.call, response);
    if (client->base.ops != NULL && has_no_body_left(client)) {
        finish_answer(client, NULL, leftover);
    }
}

static void parse_head(struct http1_client *client, struct bytes head, size_t leftover)
{
    struct framing_asked asked = {.is_head = client->is_head,
                                  .upgrade = bytes_make(client->upgrade, client->upgrade_size)};
    struct field on_stack[FIELDS_ON_STACK];
    size_t count = client->scanner.field_count;
    struct field *items = count <= FIELDS_ON_STACK ? on_stack : malloc(count * sizeof *items);
    if (items == NULL) {
        fail(client, CLIENT_MEMORY);
        return;
    }
    struct response response;
    struct reject reject;
    if (http1_parse_response(head, &asked, items, count, &response, &reject) == OK) {
        take_head(client, &response, leftover);
    } else {
        refuse_answer(client, reject);
    }
    if (items != on_stack) {
        free(items);
    }
}

static size_t read_head(struct http1_client *client, struct bytes in)
{
    struct reject reject;
    switch (framing_scan_head(&client->scanner, in, &client->limits, &reject)) {
    case FRAMING_INCOMPLETE:
        return 0;
    case FRAMING_REFUSED:
        reject.status = REJECT_STATUS_BAD_RESPONSE;
        refuse_answer(client, reject);
        return 0;
    case FRAMING_COMPLETE:
        break;
    }
    size_t consumed = client->scanner.position;
    parse_head(client, framing_head(&client->scanner, in), in.size - consumed);
    return consumed;
}

static size_t read_chunked(struct http1_client *client, struct bytes in)
{
    struct bytes rest = in;
    while (client->state == CLIENT_BODY && client->is_wanted) {
        struct bytes data;
        struct reject reject;
        switch (chunked_decoder_next(&client->reading->decoder, &rest, &data, &reject)) {
        case CHUNKED_DATA:
            client->base.ops->on_body(client->base.call, data);
            break;
        case CHUNKED_END:
            finish_answer(client, &client->reading->decoder.trailers, rest.size);
            return in.size - rest.size;
        case CHUNKED_REFUSED:
            refuse_answer(client, reject);
            return in.size - rest.size;
        case CHUNKED_MORE:
            return in.size - rest.size;
        }
    }
    return in.size - rest.size;
}

static size_t read_body(struct http1_client *client, struct bytes in)
{
    if (!client->is_wanted) {
        return 0;
    }
    if (client->in_body == BODY_CHUNKED && client->state == CLIENT_BODY) {
        return read_chunked(client, in);
    }
    size_t size = in.size;
    bool is_counted = client->in_body == BODY_LENGTH && client->state == CLIENT_BODY;
    if (is_counted && size > client->body_left) {
        size = (size_t)client->body_left;
    }
    if (is_counted) {
        client->body_left -= size;
    }
    client->base.ops->on_body(client->base.call, bytes_slice(in, 0, size));
    if (client->base.ops != NULL && is_counted && has_no_body_left(client)) {
        finish_answer(client, NULL, in.size - size);
    }
    return size;
}

/* Reads what it can of `in`; returns how much. */
static size_t consume(struct http1_client *client, struct bytes in)
{
    size_t total = 0;
    for (;;) {
        struct bytes rest = bytes_slice(in, total, in.size - total);
        size_t size = 0;
        if (rest.size == 0) {
            return total;
        }
        if (client->state == CLIENT_AWAIT_HEAD && client->is_wanted) {
            size = read_head(client, rest);
        } else if (client->state == CLIENT_BODY || client->state == CLIENT_TUNNEL) {
            size = read_body(client, rest);
        }
        if (size == 0) {
            return total;
        }
        total += size;
    }
}

static void stash(struct http1_client *client, struct bytes rest)
{
    struct reading *reading = need_reading(client);
    if (reading == NULL || buf_append(&reading->pending, rest) != OK) {
        fail(client, CLIENT_MEMORY);
    }
}

static bool is_answering(const struct http1_client *client)
{
    return client->state == CLIENT_AWAIT_HEAD || client->state == CLIENT_BODY ||
           client->state == CLIENT_TUNNEL;
}

static void feed(struct http1_client *client, struct bytes bytes)
{
    client->base.has_bytes = true;
    size_t consumed = consume(client, bytes);
    /* What stands behind a complete answer was told to finish_answer and is dropped with the
     * connection. */
    if (consumed < bytes.size && is_answering(client) && !client->is_told) {
        stash(client, bytes_slice(bytes, consumed, bytes.size - consumed));
    }
}

/* Works on bytes that wait; they stay where they are while callbacks run. */
static void feed_pending(struct http1_client *client)
{
    struct reading *reading = client->reading;
    client->base.has_bytes = true;
    client->is_feeding = true;
    size_t consumed = consume(client, buf_bytes(&reading->pending));
    client->is_feeding = false;
    if (client->state == CLIENT_CLOSED || client->reading != reading) {
        return;
    }
    buf_consume(&reading->pending, consumed);
}

static bool has_pending(const struct http1_client *client)
{
    return client->reading != NULL && buf_size(&client->reading->pending) > 0;
}

static void on_read(struct stream *stream, struct bytes bytes)
{
    struct http1_client *client = client_of(stream);
    if (client->state == CLIENT_IDLE) {
        end_idle(client);
    } else if (has_pending(client) && is_answering(client)) {
        stash(client, bytes);
        if (is_answering(client)) {
            feed_pending(client);
        }
    } else if (is_answering(client)) {
        feed(client, bytes);
    } else {
        client->is_keep_alive = false;
        client->base.has_bytes = true;
    }
}

/* Is the origin reached, and TLS what is missing? */
static bool is_shaking(const struct http1_client *client)
{
    return client->state == CLIENT_CONNECTING && tls_stream_is(client->stream) &&
           tls_stream_is_reached(client->stream);
}

static void end_of_stream(struct http1_client *client, bool is_orderly)
{
    switch ((enum client_state)client->state) {
    case CLIENT_IDLE:
        end_idle(client);
        break;
    case CLIENT_TUNNEL:
        if (is_orderly) {
            finish_answer(client, NULL, 0);
        } else {
            fail(client, CLIENT_TRUNCATED);
        }
        break;
    case CLIENT_BODY:
        if (client->in_body == BODY_UNTIL_CLOSE && is_orderly) {
            finish_answer(client, NULL, 0);
        } else {
            fail(client, CLIENT_TRUNCATED);
        }
        break;
    case CLIENT_READY:
    case CLIENT_AWAIT_HEAD:
        fail(client, CLIENT_RESET);
        break;
    case CLIENT_CONNECTING:
        fail(client, is_shaking(client) ? CLIENT_TLS : CLIENT_REFUSED);
        break;
    case CLIENT_DONE:
        client->is_keep_alive = false;
        break;
    case CLIENT_CLOSED:
        break;
    }
}

static void on_end(struct stream *stream, enum err why)
{
    struct http1_client *client = client_of(stream);
    bool is_held_back = has_pending(client) && !client->is_wanted;
    if (is_held_back && is_answering(client) && why == OK) {
        /* The end came while the user was not reading: it is met again when the bytes before it are
         * consumed. */
        client->has_ended = true;
        return;
    }
    end_of_stream(client, why == OK);
}

static void on_drained(struct stream *stream)
{
    struct http1_client *client = client_of(stream);
    /* A tunnel goes on in one direction when the origin has finished. */
    if (client->base.ops != NULL && (!client->is_told || client->is_tunnel)) {
        client->base.ops->on_drained(client->base.call);
    }
}

static void on_connected(struct stream *stream, enum err err)
{
    struct http1_client *client = client_of(stream);
    if (client->state != CLIENT_CONNECTING) {
        return;
    }
    if (err != OK) {
        fail(client, is_shaking(client)   ? CLIENT_TLS
                     : err == ERR_TIMEOUT ? CLIENT_TIMEOUT
                                          : CLIENT_REFUSED);
        return;
    }
    client->state = CLIENT_READY;
    deadline_disarm(&client->base.deadline);
    stream_read_start(stream);
    client->base.ops->on_connected(client->base.call, &client->base);
}

static void on_closed(struct stream *stream)
{
    struct http1_client *client = client_of(stream);
    CHECK(client->state == CLIENT_CLOSED);
    deadline_finish(&client->base.deadline);
    drop_reading(client);
    list_remove(&client->link);
    client->keeper->on_closed(client->keeper, client);
    client->tag = 0;
    free(client);
}

static const struct stream_listener listener = {
    .on_read = on_read,
    .on_end = on_end,
    .on_drained = on_drained,
    .on_connected = on_connected,
    .on_closed = on_closed,
};

static void on_deadline(struct deadline *deadline)
{
    struct http1_client *client = CONTAINER_OF(deadline, struct http1_client, base.deadline);
    CHECK(client->tag == CLIENT_TAG);
    if (client->state == CLIENT_IDLE) {
        end_idle(client);
    } else if (client->state != CLIENT_CLOSED && client->state != CLIENT_DONE) {
        fail(client, is_shaking(client) ? CLIENT_TLS_TIMEOUT : CLIENT_TIMEOUT);
    }
}

/* ---- the user's calls ---- */

static const struct client_protocol protocol;

static struct http1_client *make(struct loop *loop, const struct framing_limits *limits,
                                 struct client_keeper *keeper, const struct client_ops *ops,
                                 void *call)
{
    struct http1_client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        return NULL;
    }
    client->base = (struct client){.protocol = &protocol, .ops = ops, .call = call, .loop = loop};
    client->tag = CLIENT_TAG;
    client->keeper = keeper;
    client->newest = limits;
    client->is_wanted = true;
    list_init(&client->link);
    deadline_init(&client->base.deadline, on_deadline);
    return client;
}

enum err http1_client_connect(struct loop *loop, const struct client_way *way,
                              const struct framing_limits *limits, uint64_t connect_us,
                              struct client_keeper *keeper, const struct client_ops *ops,
                              void *call, struct client **ret_client)
{
    CHECK(way->speech == CLIENT_HTTP1);
    struct http1_client *client = make(loop, limits, keeper, ops, call);
    if (client == NULL) {
        return ERR_NOMEM;
    }
    client->state = CLIENT_CONNECTING;
    client->is_announced = way->announces != PROXY_PROTOCOL_NONE;
    enum err err = client_way_open(way, loop, &listener, client, &client->stream);
    if (err != OK) {
        free(client);
        return err;
    }
    client_arm(&client->base, connect_us);
    *ret_client = &client->base;
    return OK;
}

enum err http1_client_adopt(struct stream *stream, const struct framing_limits *limits,
                            bool is_announced, struct client_keeper *keeper,
                            const struct client_ops *ops, void *call, struct client **ret_client)
{
    struct http1_client *client = make(stream->loop, limits, keeper, ops, call);
    if (client == NULL) {
        stream_close(stream);
        return ERR_NOMEM;
    }
    client->state = CLIENT_READY;
    client->is_announced = is_announced;
    client->stream = stream;
    stream_attach(stream, &listener, client);
    stream_read_start(stream);
    *ret_client = &client->base;
    return OK;
}

struct http1_client *http1_client_of(struct client *client)
{
    return client->protocol == &protocol ? of_port(client) : NULL;
}

struct client *http1_client_take(struct http1_client *client, const struct client_ops *ops,
                                 void *call)
{
    CHECK(client->state == CLIENT_IDLE);
    client->state = CLIENT_READY;
    client->base.ops = ops;
    client->base.call = call;
    client->base.is_reused = true;
    client->base.has_bytes = false;
    client->is_wanted = true;
    client->is_told = false;
    client->has_ended = false;
    deadline_disarm(&client->base.deadline);
    return &client->base;
}

static enum err send_head(struct client *port, const struct request *request)
{
    struct http1_client *client = of_port(port);
    CHECK(client->state == CLIENT_READY);
    if (request->upgrade.size > UPGRADE_MAX) {
        return ERR_LIMIT;
    }
    char *out = stream_reserve(client->stream, HEAD_RESERVE);
    size_t size = 0;
    enum err err = http1_write_request(out, HEAD_RESERVE, request, &size);
    if (err != OK) {
        return err;
    }
    stream_commit(client->stream, size);
    client->upgrade_size = (uint8_t)request->upgrade.size;
    if (request->upgrade.size > 0) {
        memcpy(client->upgrade, request->upgrade.data, request->upgrade.size);
    }
    client->is_head = request->method == METHOD_HEAD;
    client->out_body = (uint8_t)request->body;
    client->is_sent = request->body == BODY_NONE ||
                      (request->body == BODY_LENGTH && request->content_length == 0);
    client->informational_count = 0;
    client->is_keep_alive = false;
    client->limits = *client->newest;
    framing_scanner_init(&client->scanner, FRAMING_RESPONSE);
    client->state = CLIENT_AWAIT_HEAD;
    /* An origin that answers early and hangs up breaks what we still write; its answer is read all
     * the same. */
    stream_set_patient(client->stream, true);
    return OK;
}

static void send_body(struct client *port, struct bytes piece)
{
    struct http1_client *client = of_port(port);
    if (piece.size == 0 || client->state == CLIENT_CLOSED) {
        return;
    }
    if (client->out_body == BODY_CHUNKED && !client->is_tunnel) {
        char line[HTTP1_CHUNK_LINE_MAX];
        struct bytes pieces[3] = {
            {line, http1_write_chunk_line(line, piece.size)}, piece, HTTP1_CRLF};
        stream_write(client->stream, pieces, COUNT_OF(pieces));
    } else {
        stream_write_one(client->stream, piece);
    }
}

static void send_end(struct client *port, const struct fields *trailers)
{
    struct http1_client *client = of_port(port);
    if (client->is_tunnel) {
        stream_finish(client->stream);
        return;
    }
    client->is_sent = true;
    if (client->out_body != BODY_CHUNKED || client->state == CLIENT_CLOSED) {
        return;
    }
    size_t size = 0;
    char *out = stream_reserve(client->stream, HEAD_RESERVE);
    if (http1_write_last_chunk(out, HEAD_RESERVE, trailers, &size) == OK) {
        stream_commit(client->stream, size);
    } else {
        stream_write_one(client->stream, HTTP1_LAST_CHUNK);
    }
}

static bool is_blocked(const struct client *port)
{
    return stream_is_blocked(CONTAINER_OF(port, struct http1_client, base)->stream);
}

static void want(struct client *port, bool is_wanted)
{
    struct http1_client *client = of_port(port);
    bool is_news = is_wanted && !client->is_wanted;
    client->is_wanted = is_wanted;
    if (!is_answering(client)) {
        return;
    }
    if (!is_wanted) {
        stream_read_stop(client->stream);
        return;
    }
    if (is_news && has_pending(client) && !client->is_feeding) {
        feed_pending(client);
    }
    bool is_still_wanted = is_answering(client) && client->is_wanted;
    if (is_still_wanted && client->has_ended && !has_pending(client)) {
        end_of_stream(client, true);
    } else if (is_still_wanted && !client->has_ended) {
        stream_read_start(client->stream);
    }
}

bool http1_client_is_reusable(const struct http1_client *client)
{
    return client->state == CLIENT_DONE && client->is_keep_alive && client->is_sent &&
           !client->is_announced && !client->stream->is_broken && !client->has_ended &&
           !stream_is_blocked(client->stream);
}

void http1_client_rest(struct http1_client *client, uint64_t idle_us)
{
    CHECK(client->state == CLIENT_DONE);
    client->state = CLIENT_IDLE;
    stream_set_patient(client->stream, false);
    client->base.ops = NULL;
    client->base.call = NULL;
    drop_reading(client);
    stream_read_start(client->stream);
    client_arm(&client->base, idle_us);
}

bool http1_client_is_sealed_by(const struct http1_client *client, const struct tls_client *tls)
{
    const struct tls_client *made_by =
        tls_stream_is(client->stream) ? tls_stream_client(client->stream) : NULL;
    return tls_client_is_same(made_by, tls);
}

static void explain(const struct client *port, struct note *ret_note)
{
    const struct http1_client *client = CONTAINER_OF(port, struct http1_client, base);
    CHECK(tls_stream_is(client->stream));
    tls_stream_explain(client->stream, ret_note);
}

static void close_port(struct client *port)
{
    http1_client_close(of_port(port));
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

bool http1_client_is_quiet(const struct http1_client *client)
{
    CHECK(client->state == CLIENT_IDLE);
    return !stream_has_unread(client->stream);
}

struct list *http1_client_link(struct http1_client *client)
{
    return &client->link;
}

struct http1_client *http1_client_of_link(struct list *link)
{
    return CONTAINER_OF(link, struct http1_client, link);
}

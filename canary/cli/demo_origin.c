/* A release that cannot bear its load fails less once it gets less: that is what shifting back in
 * steps is for, and what this origin does unless it is told to be persistent. How busy it is it
 * reads off the time since the request before: as long as the requests come no slower than they
 * used to, they are in danger. */
#include "canary/cli/demo_origin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/bytes.h"
#include "proxy/base/check.h"
#include "proxy/base/hash.h"
#include "proxy/base/list.h"

enum {
    ORIGIN_TAG = TAG('d', 'o', 'r', 'g'),
    VISITOR_TAG = TAG('d', 'v', 's', 't'),
    HEAD_MAX = 16 * 1024,
    ANSWER_MAX = 1024,
    BACKLOG = 256,
    /* A page takes so long to make: what is measured is then the site and not this machine's
     * scheduler. */
    DELAY_MIN_MS = 10,
    DELAY_SPREAD_MS = 10,
};

/* Gaps of up to this times the usual one mean full load; a step back to half of it doubles them. */
static const double FULL_LOAD_GAPS = 1.08;
static const double GAP_MEMORY = 0.9;

struct demo_origin {
    unsigned tag;
    const char *name; /* borrowed */
    uv_tcp_t listener;
    unsigned port;
    struct list visitors;
    struct random random;
    uint64_t answer_count, bad_count;
    uint64_t asked_us; /* the request before; 0: there was none */
    double usual_gap_us;
    double fail_ratio; /* 0: it works */
    double failures_owed;
    bool is_persistent;
    bool is_closing;
    unsigned open_handles;
};

/* A connection; frees itself when its handles are closed. */
struct visitor {
    unsigned tag;
    struct list link;
    struct demo_origin *origin;
    uv_tcp_t tcp;
    uv_timer_t delay;
    uv_write_t write;
    uv_shutdown_t shutdown;
    unsigned open_handles;
    bool is_answering; /* a request is being thought about, or its answer written */
    bool is_bad;       /* this answer is a 500: it takes no time */
    bool is_ending;    /* no request is read after this answer */
    size_t head_size;
    size_t answer_size;
    char head[HEAD_MAX];
    char answer[ANSWER_MAX];
};

static void origin_unref(struct demo_origin *origin)
{
    if (--origin->open_handles == 0) {
        origin->tag = 0;
        free(origin);
    }
}

static struct visitor *visitor_of(void *context)
{
    struct visitor *visitor = context;
    CHECK(visitor->tag == VISITOR_TAG);
    return visitor;
}

static void on_visitor_closed(uv_handle_t *handle)
{
    struct visitor *visitor = visitor_of(handle->data);
    struct demo_origin *origin = visitor->origin;
    if (--visitor->open_handles > 0) {
        return;
    }
    list_remove(&visitor->link);
    visitor->tag = 0;
    free(visitor);
    origin_unref(origin);
}

static void visitor_close(struct visitor *visitor)
{
    if (!uv_is_closing((uv_handle_t *)&visitor->tcp)) {
        uv_close((uv_handle_t *)&visitor->tcp, on_visitor_closed);
        uv_close((uv_handle_t *)&visitor->delay, on_visitor_closed);
    }
}

/* ---- answering ---- */

/* Every so many-th answer, evenly: by chance a short run of them could look like a far worse
 * canary. */
static bool is_due_to_fail(struct demo_origin *origin)
{
    origin->failures_owed += origin->fail_ratio;
    bool is_due = origin->failures_owed >= 1.0;
    origin->failures_owed -= is_due ? 1.0 : 0.0;
    return is_due;
}

static bool is_failing(struct demo_origin *origin)
{
    uint64_t now_us = uv_hrtime() / 1000;
    double gap_us = (double)(now_us - origin->asked_us);
    bool is_first = origin->asked_us == 0;
    bool is_second = !is_first && origin->usual_gap_us == 0.0;
    origin->asked_us = now_us;
    if (origin->fail_ratio == 0.0) {
        if (!is_first) {
            double memory = is_second ? 0.0 : GAP_MEMORY;
            origin->usual_gap_us = memory * origin->usual_gap_us + (1.0 - memory) * gap_us;
        }
        return false;
    }
    bool is_in_danger = origin->is_persistent || gap_us < FULL_LOAD_GAPS * origin->usual_gap_us;
    return is_in_danger && is_due_to_fail(origin);
}

static size_t compose(struct visitor *visitor, struct bytes head)
{
    struct demo_origin *origin = visitor->origin;
    bool is_look = bytes_starts_with(head, BYTES("GET /healthz "));
    bool is_head = bytes_starts_with(head, BYTES("HEAD "));
    bool is_bad = !is_look && is_failing(origin);
    origin->answer_count++;
    origin->bad_count += is_bad;
    visitor->is_bad = is_bad;
    char page[ANSWER_MAX / 2];
    int size =
        snprintf(page, sizeof page,
                 "<!doctype html>\n<title>%s</title>\n<h1>%s</h1>\n<p>%s %s, answer %llu</p>\n",
                 origin->name, is_bad ? "Something went wrong" : "Hello",
                 is_bad ? "This was version" : "This is version", origin->name,
                 (unsigned long long)origin->answer_count);
    int whole = snprintf(visitor->answer, sizeof visitor->answer,
                         "HTTP/1.1 %s\r\nContent-Type: text/html; charset=utf-8\r\n"
                         "Content-Length: %d\r\nCache-Control: no-store\r\n%s\r\n%s",
                         is_bad ? "500 Internal Server Error" : "200 OK", size,
                         visitor->is_ending ? "Connection: close\r\n" : "", is_head ? "" : page);
    CHECK(whole > 0);
    CHECK((size_t)whole < sizeof visitor->answer);
    return (size_t)whole;
}

/* Bodies are not read: such a request is the last of its connection. */
static bool has_body(struct bytes head)
{
    struct bytes line;
    while (bytes_next(&head, '\n', &line)) {
        struct bytes name = bytes_make(line.data, bytes_find(line, ':'));
        if (bytes_equal_nocase(name, BYTES("content-length")) ||
            bytes_equal_nocase(name, BYTES("transfer-encoding"))) {
            return true;
        }
    }
    return false;
}

static void serve(struct visitor *visitor);

static void on_written(uv_write_t *write, int status)
{
    struct visitor *visitor = visitor_of(write->data);
    visitor->is_answering = false;
    if (status != 0) {
        visitor_close(visitor);
        return;
    }
    if (visitor->is_ending) {
        /* The other side may still be sending: its end of file closes. */
        if (uv_shutdown(&visitor->shutdown, (uv_stream_t *)&visitor->tcp, NULL) != 0) {
            visitor_close(visitor);
        }
        return;
    }
    serve(visitor);
}

static void on_delayed(uv_timer_t *delay)
{
    struct visitor *visitor = visitor_of(delay->data);
    uv_buf_t out = uv_buf_init(visitor->answer, (unsigned)visitor->answer_size);
    if (uv_write(&visitor->write, (uv_stream_t *)&visitor->tcp, &out, 1, on_written) != 0) {
        visitor_close(visitor);
    }
}

/* Begins to answer the next whole head, if there is one. */
static void serve(struct visitor *visitor)
{
    const char *end = visitor->is_answering || visitor->is_ending
                          ? NULL
                          : memmem(visitor->head, visitor->head_size, "\r\n\r\n", 4);
    if (end == NULL) {
        return;
    }
    size_t size = (size_t)(end - visitor->head) + 4;
    struct bytes head = bytes_make(visitor->head, size);
    visitor->is_ending = has_body(head);
    visitor->answer_size = compose(visitor, head);
    visitor->head_size -= size;
    memmove(visitor->head, visitor->head + size, visitor->head_size);
    visitor->is_answering = true;
    uint64_t delay_ms = DELAY_MIN_MS + random_below(&visitor->origin->random, DELAY_SPREAD_MS + 1);
    delay_ms = visitor->is_bad ? 0 : delay_ms;
    (void)uv_timer_start(&visitor->delay, on_delayed, delay_ms, 0);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct visitor *visitor = visitor_of(handle->data);
    (void)suggested;
    if (visitor->is_ending) {
        visitor->head_size = 0;
    }
    *ret_buf = uv_buf_init(visitor->head + visitor->head_size,
                           (unsigned)(sizeof visitor->head - visitor->head_size));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct visitor *visitor = visitor_of(stream->data);
    (void)buf;
    if (size < 0) {
        visitor_close(visitor);
        return;
    }
    visitor->head_size += (size_t)size;
    serve(visitor);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct demo_origin *origin = listener->data;
    CHECK(origin->tag == ORIGIN_TAG);
    struct visitor *visitor = status == 0 ? calloc(1, sizeof *visitor) : NULL;
    if (visitor == NULL) {
        return;
    }
    visitor->tag = VISITOR_TAG;
    visitor->origin = origin;
    visitor->tcp.data = visitor;
    visitor->delay.data = visitor;
    visitor->write.data = visitor;
    list_init(&visitor->link);
    if (uv_tcp_init(listener->loop, &visitor->tcp) != 0) {
        free(visitor);
        return;
    }
    (void)uv_timer_init(listener->loop, &visitor->delay);
    visitor->open_handles = 2;
    origin->open_handles++;
    list_push_back(&origin->visitors, &visitor->link);
    if (uv_accept(listener, (uv_stream_t *)&visitor->tcp) != 0 ||
        uv_tcp_nodelay(&visitor->tcp, 1) != 0 ||
        uv_read_start((uv_stream_t *)&visitor->tcp, on_room, on_read) != 0) {
        visitor_close(visitor);
    }
}

/* ---- life ---- */

static void on_listener_closed(uv_handle_t *handle)
{
    origin_unref(handle->data);
}

static enum err listen_on_loopback(struct demo_origin *origin)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int size = sizeof address;
    if (uv_tcp_bind(&origin->listener, (struct sockaddr *)&address, 0) != 0 ||
        uv_listen((uv_stream_t *)&origin->listener, BACKLOG, on_connection) != 0 ||
        uv_tcp_getsockname(&origin->listener, (struct sockaddr *)&address, &size) != 0) {
        return ERR_IO;
    }
    origin->port = ntohs(address.sin_port);
    return OK;
}

enum err demo_origin_open(uv_loop_t *loop, const char *name, uint64_t seed,
                          struct demo_origin **ret_origin)
{
    struct demo_origin *origin = calloc(1, sizeof *origin);
    if (origin == NULL || uv_tcp_init(loop, &origin->listener) != 0) {
        free(origin);
        return ERR_NOMEM;
    }
    origin->tag = ORIGIN_TAG;
    origin->name = name;
    origin->listener.data = origin;
    origin->open_handles = 1;
    list_init(&origin->visitors);
    random_init(&origin->random, seed);
    enum err err = listen_on_loopback(origin);
    if (err != OK) {
        demo_origin_close(origin);
        return err;
    }
    *ret_origin = origin;
    return OK;
}

unsigned demo_origin_port(const struct demo_origin *origin)
{
    return origin->port;
}

void demo_origin_break(struct demo_origin *origin, double fail_ratio, bool is_persistent)
{
    origin->fail_ratio = fail_ratio;
    origin->is_persistent = is_persistent;
}

uint64_t demo_origin_bad_count(const struct demo_origin *origin)
{
    return origin->bad_count;
}

void demo_origin_close(struct demo_origin *origin)
{
    if (origin == NULL || origin->is_closing) {
        return;
    }
    origin->is_closing = true;
    uv_close((uv_handle_t *)&origin->listener, on_listener_closed);
    for (struct list *link = origin->visitors.next; link != &origin->visitors; link = link->next) {
        visitor_close(CONTAINER_OF(link, struct visitor, link));
    }
}

#include "canary/admin/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "canary/admin/hall.h"
#include "metrics/catalog.h"
#include "proxy/base/check.h"
#include "proxy/http/reply.h"
#include "proxy/http1/http1_server.h"
#include "proxy/io/listener.h"
#include "proxy/io/tcp_stream.h"

enum {
    SERVER_TAG_ADMIN = TAG('a', 's', 'r', 'v'),
    EXCHANGE_TAG = TAG('a', 'e', 'x', 'c'),
    BACKLOG = 64,
    FIELDS_MAX = 16,
    STATUS_NOT_MODIFIED = 304,
    CLOSE_LOOK_MS = 5,
    HEAD_MAX = 32 * 1024,
    HEAD_LINE_MAX = 8 * 1024,
    REQUEST_FIELDS_MAX = 64,
};

struct admin_server {
    unsigned tag;
    struct loop *loop;   /* borrowed */
    struct admin *admin; /* borrowed */
    struct handler handler;
    struct http1_server_host host;
    struct hall hall;
    struct tls_server *tls;     /* shared; NULL: plain HTTP */
    struct worker_cells *cells; /* owned: the admin's own traffic is in no metric */
    struct listener *listener;
    char *unix_path; /* owned; NULL for TCP */
    unsigned port;
    uv_timer_t timer; /* while closing: a look whether all are gone */
    bool is_closing;
    void (*on_closed)(void *context);
    void *closed_context;
};

/* One request; lives in the responder's arena, which is gone after a last call. */
struct admin_exchange {
    unsigned tag;
    struct admin_server *server;
    struct responder *responder;
    const struct request *request;
    struct buf body;
    struct admin_call *call; /* under way, or NULL */
    bool is_handled;
    bool is_too_large;
    bool is_stream;
    size_t unsent; /* bytes of events since the client last took everything */
    struct admin_subscriber subscriber;
};

static struct admin_exchange *exchange_of(void *request)
{
    struct admin_exchange *exchange = request;
    CHECK(exchange->tag == EXCHANGE_TAG);
    return exchange;
}

/* Gives back what is not in the arena; before every last call. */
static void exchange_leave(struct admin_exchange *exchange)
{
    if (exchange->call != NULL) {
        admin_abandon(exchange->call);
        exchange->call = NULL;
    }
    if (exchange->is_stream) {
        admin_unsubscribe(exchange->server->admin, &exchange->subscriber);
        exchange->is_stream = false;
    }
    buf_finish(&exchange->body);
    exchange->tag = 0;
}

/* ---- answering ---- */

static void add(struct field items[FIELDS_MAX], size_t *count, const char *name, const char *value)
{
    if (value != NULL) {
        CHECK(*count < FIELDS_MAX);
        struct bytes name_bytes = bytes_of(name);
        items[(*count)++] = (struct field){name_bytes, bytes_of(value), field_id_of(name_bytes)};
    }
}

static struct fields make_fields(struct admin_exchange *exchange, const struct admin_answer *answer,
                                 struct field items[FIELDS_MAX])
{
    size_t count = 0;
    struct bytes date = date_now(&exchange->server->host.date, exchange->server->host.loop->now_us);
    items[count++] = (struct field){BYTES("Date"), date, FIELD_DATE};
    add(items, &count, "Content-Type", answer->content_type);
    add(items, &count, "ETag", answer->etag);
    add(items, &count, "Location", answer->location);
    add(items, &count, "Allow", answer->allow);
    add(items, &count, "Retry-After", answer->retry_after);
    add(items, &count, "WWW-Authenticate", answer->www_authenticate);
    add(items, &count, "Content-Security-Policy", answer->security_policy);
    add(items, &count, "Cache-Control",
        answer->cache_control != NULL ? answer->cache_control : "no-store");
    add(items, &count, "Referrer-Policy", "no-referrer");
    add(items, &count, "X-Content-Type-Options", "nosniff");
    return (struct fields){items, count};
}

static enum body_kind body_kind_of(const struct admin_exchange *exchange,
                                   const struct admin_answer *answer)
{
    if (exchange->request->method == METHOD_HEAD || answer->status == STATUS_NOT_MODIFIED) {
        return BODY_NONE;
    }
    if (!answer->is_stream) {
        return BODY_LENGTH;
    }
    return exchange->request->version == HTTP_1_0 ? BODY_UNTIL_CLOSE : BODY_CHUNKED;
}

static bool on_event(struct admin_subscriber *subscriber, struct bytes event, bool is_change)
{
    struct admin_exchange *exchange = CONTAINER_OF(subscriber, struct admin_exchange, subscriber);
    struct responder *responder = exchange->responder;
    bool is_blocked = responder->ops->is_blocked(responder);
    if (is_blocked && !is_change) {
        return true;
    }
    exchange->unsent = is_blocked ? exchange->unsent + event.size : event.size;
    if (exchange->unsent > ADMIN_STREAM_QUEUE_MAX) {
        exchange_leave(exchange);
        responder->ops->cut(responder);
        return false;
    }
    struct loop *loop = exchange->server->loop;
    loop_enter(loop);
    responder->ops->body(responder, event);
    loop_leave(loop);
    return true;
}

static void on_revoked(struct admin_subscriber *subscriber)
{
    struct admin_exchange *exchange = CONTAINER_OF(subscriber, struct admin_exchange, subscriber);
    struct responder *responder = exchange->responder;
    struct loop *loop = exchange->server->loop;
    exchange_leave(exchange);
    loop_enter(loop);
    responder->ops->cut(responder);
    loop_leave(loop);
}

static void start_stream(struct admin_exchange *exchange, const struct admin_answer *answer)
{
    exchange->is_stream = true;
    exchange->subscriber.on_event = on_event;
    exchange->subscriber.on_revoked = on_revoked;
    exchange->responder->ops->body(exchange->responder, answer->body);
    admin_subscribe(exchange->server->admin, &exchange->subscriber, answer->last_event);
}

static void send_answer(struct admin_exchange *exchange, const struct admin_answer *answer)
{
    struct field items[FIELDS_MAX];
    struct responder *responder = exchange->responder;
    struct response response = {
        .status = answer->status,
        .version = HTTP_1_1,
        .reason = reply_reason(answer->status),
        .fields = make_fields(exchange, answer, items),
        .body = body_kind_of(exchange, answer),
        .content_length = answer->body.size,
        .has_content_length = !answer->is_stream && answer->status != STATUS_NOT_MODIFIED,
        .is_keep_alive = true,
    };
    responder->ops->head(responder, &response);
    if (answer->is_stream && response.body != BODY_NONE) {
        start_stream(exchange, answer);
        return;
    }
    if (response.body == BODY_LENGTH) {
        responder->ops->body(responder, answer->body);
    }
    exchange_leave(exchange);
    responder->ops->end(responder, NULL);
}

static void on_answer(void *context, const struct admin_answer *answer)
{
    struct admin_exchange *exchange = exchange_of(context);
    struct loop *loop = exchange->server->loop;
    exchange->call = NULL;
    loop_enter(loop);
    send_answer(exchange, answer);
    loop_leave(loop);
}

/* ---- asking ---- */

static void handle(struct admin_exchange *exchange)
{
    exchange->is_handled = true;
    const struct request *from = exchange->request;
    struct admin_request request = {
        .method = from->method,
        .target = from->target,
        .authority = from->authority,
        .fields = &from->fields,
        .body = buf_bytes(&exchange->body),
        .is_too_large = exchange->is_too_large,
        .is_tls = exchange->responder->is_tls,
    };
    struct admin_call *call = admin_handle(exchange->server->admin, &request, on_answer, exchange);
    /* NULL: it was answered, and the exchange may be gone with its arena. */
    if (call != NULL) {
        exchange->call = call;
    }
}

/* Answered at once, whatever else may come. */
static void refuse_body(struct admin_exchange *exchange)
{
    exchange->is_too_large = true;
    exchange->responder->ops->want_body(exchange->responder, false);
    handle(exchange);
}

static void on_body(void *request, struct bytes piece)
{
    struct admin_exchange *exchange = exchange_of(request);
    if (!exchange->is_handled && buf_append(&exchange->body, piece) != OK) {
        refuse_body(exchange);
    }
}

static void on_body_end(void *request, const struct fields *trailers)
{
    struct admin_exchange *exchange = exchange_of(request);
    (void)trailers;
    if (!exchange->is_handled) {
        handle(exchange);
    }
}

static void on_drained(void *request)
{
    exchange_of(request)->unsent = 0;
}

static void on_gone(void *request, enum err why)
{
    (void)why;
    exchange_leave(exchange_of(request));
}

static const struct request_ops request_ops = {
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_drained = on_drained,
    .on_gone = on_gone,
};

static void open_exchange(struct handler *handler, struct responder *responder,
                          const struct request *request)
{
    struct admin_server *server = CONTAINER_OF(handler, struct admin_server, handler);
    struct admin_exchange *exchange = arena_zalloc(responder->arena, sizeof *exchange);
    if (exchange == NULL) {
        responder->ops->cut(responder);
        return;
    }
    exchange->tag = EXCHANGE_TAG;
    exchange->server = server;
    exchange->responder = responder;
    exchange->request = request;
    buf_init(&exchange->body, ADMIN_CONFIG_MAX);
    responder->request_ops = &request_ops;
    responder->request = exchange;
    bool has_no_body = request->body == BODY_NONE ||
                       (request->body == BODY_LENGTH && request->content_length == 0);
    if (has_no_body) {
        handle(exchange);
        return;
    }
    if (request->body == BODY_LENGTH && request->content_length > ADMIN_CONFIG_MAX) {
        refuse_body(exchange);
        return;
    }
    responder->ops->want_body(responder, true);
}

/* ---- the socket ---- */

static bool is_full(const struct admin_server *server)
{
    return admin_server_connection_count(server) >= ADMIN_CONNECTIONS_MAX ||
           (server->tls != NULL && hall_is_full(&server->hall));
}

static void on_accept(void *context, int fd, const struct sockaddr_storage *peer)
{
    struct admin_server *server = context;
    CHECK(server->tag == SERVER_TAG_ADMIN);
    struct stream *stream = NULL;
    struct ip ip = {0};
    (void)ip_from_socket((const struct sockaddr *)peer, &ip);
    if (is_full(server)) {
        (void)close(fd);
        return;
    }
    /* All close what they were given when memory is out: nothing is left to do about it. */
    if (tcp_stream_open(server->loop, fd, &stream) == OK) {
        enum err err = server->tls != NULL ? hall_open(&server->hall, stream, server->tls, &ip)
                                           : http1_server_open(&server->host, stream, &ip, 0);
        (void)err;
    }
}

static void on_exhausted(void *context)
{
    (void)context;
}

static const struct listener_ops listener_ops = {on_accept, on_exhausted};

/* Listeners share their address (SO_REUSEPORT), which is right for workers; two processes that
 * answer for one admin address by turns would be a riddle. A socket that does not share finds the
 * other one. */
static bool is_taken(const struct conf_address *address)
{
    sa_family_t family = address->socket.any.sa_family;
    if (family == AF_UNIX) {
        return false;
    }
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool is_in_use =
        bind(fd, &address->socket.any, address->socket_size) != 0 && errno == EADDRINUSE;
    (void)close(fd);
    return is_in_use;
}

static enum err find_socket(const struct conf_address *address, struct inherited *inherited,
                            int *ret_fd, bool *ret_is_passed, struct note *note)
{
    enum err err = inherited_take(inherited, address, 0, ret_fd);
    *ret_is_passed = err == OK;
    if (err == ERR_NOT_FOUND && is_taken(address)) {
        note_set(note, "cannot listen on %s: another process listens there", address->text);
        return ERR_IO;
    }
    return err == ERR_NOT_FOUND ? listener_bind(address->text, BACKLOG, ret_fd, note) : err;
}

static enum err listen_on(struct admin_server *server, const struct conf_address *address,
                          struct inherited *inherited, struct note *note)
{
    int fd = -1;
    bool is_passed = false;
    enum err err = find_socket(address, inherited, &fd, &is_passed, note);
    if (err != OK) {
        return err;
    }
    bool is_unix = address->socket.any.sa_family == AF_UNIX;
    server->port = is_unix ? 0 : listener_port(fd);
    err = listener_open(server->loop, fd, is_passed, &listener_ops, server, &server->listener);
    if (err != OK) {
        (void)close(fd);
        note_set(note, "cannot listen on %s: %s", address->text, err_text(err));
        return err;
    }
    if (is_unix && !is_passed) {
        server->unix_path = strdup(address->socket.local.sun_path);
    }
    return OK;
}

static const struct http1_server_settings settings = {
    .limits = {.head_max = HEAD_MAX, .line_max = HEAD_LINE_MAX, .fields_max = REQUEST_FIELDS_MAX},
    .client_header_us = 10 * 1000 * 1000,
    .client_body_us = 30 * 1000 * 1000,
    .client_idle_us = 60 * 1000 * 1000,
};

enum err admin_server_open(struct loop *loop, struct admin *admin,
                           const struct conf_address *address, struct inherited *inherited,
                           struct admin_server **ret_server, struct note *note)
{
    struct admin_server *server = calloc(1, sizeof *server);
    struct worker_cells *cells = calloc(1, sizeof *cells);
    if (server == NULL || cells == NULL) {
        free(server);
        free(cells);
        return ERR_NOMEM;
    }
    server->tag = SERVER_TAG_ADMIN;
    server->loop = loop;
    server->admin = admin;
    server->cells = cells;
    server->handler.open = open_exchange;
    http1_server_host_init(&server->host, loop, &server->handler, cells, &settings);
    hall_init(&server->hall, &server->host);
    enum err err = listen_on(server, address, inherited, note);
    if (err != OK) {
        http1_server_host_finish(&server->host);
        free(cells);
        free(server);
        return err;
    }
    int failed = uv_timer_init(&loop->uv, &server->timer);
    CHECK(failed == 0);
    server->timer.data = server;
    *ret_server = server;
    return OK;
}

void admin_server_use_tls(struct admin_server *server, struct tls_server *tls)
{
    struct tls_server *before = server->tls;
    server->tls = tls != NULL ? tls_server_ref(tls) : NULL;
    tls_server_unref(before);
}

unsigned admin_server_port(const struct admin_server *server)
{
    return server->port;
}

size_t admin_server_connection_count(const struct admin_server *server)
{
    return server->host.connection_count + server->hall.guest_count;
}

/* ---- the end ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct admin_server *server = handle->data;
    void (*on_closed)(void *) = server->on_closed;
    void *context = server->closed_context;
    http1_server_host_finish(&server->host);
    server->tag = 0;
    tls_server_unref(server->tls);
    free(server->unix_path);
    free(server->cells);
    free(server);
    if (on_closed != NULL) {
        on_closed(context);
    }
}

static void end_when_gone(uv_timer_t *timer)
{
    struct admin_server *server = timer->data;
    if (admin_server_connection_count(server) == 0) {
        (void)uv_timer_stop(timer);
        uv_close((uv_handle_t *)timer, on_timer_closed);
    }
}

void admin_server_close(struct admin_server *server, void (*on_closed)(void *context),
                        void *context)
{
    CHECK(!server->is_closing);
    server->is_closing = true;
    server->on_closed = on_closed;
    server->closed_context = context;
    loop_enter(server->loop);
    listener_close(server->listener);
    if (server->unix_path != NULL) {
        (void)unlink(server->unix_path);
    }
    hall_close_all(&server->hall);
    http1_server_host_close_all(&server->host);
    loop_leave(server->loop);
    (void)uv_timer_start(&server->timer, end_when_gone, 0, CLOSE_LOOK_MS);
}

#include "proxy/http2/http2_client.h"

#include <stdlib.h>

#include "proxy/http2/http2_client_state.h"
#include "proxy/tls/tls_stream.h"

enum {
    QUIET_US = 10 * 1000 * 1000, /* without a byte though something was asked: a PING */
    PING_US = 10 * 1000 * 1000,  /* without a byte after that: nobody is there any more */
    CALM_US = 310 * 1000 * 1000, /* gRPC servers put up with a PING in 300 s, whatever happens */
    PINGS_MAX = 2, /* more often, between two answers: the third is a strike too many */
    PARTS = 2      /* to close: the stream, our turn */
};

static struct http2_client *client_of(struct stream *stream)
{
    struct http2_client *connection = stream->owner;
    CHECK(connection->tag == HTTP2_CLIENT_TAG);
    return connection;
}

static bool is_open(const struct http2_client *connection)
{
    return connection->state == HTTP2_CLIENT_SERVING || connection->state == HTTP2_CLIENT_LEAVING;
}

static bool is_opening(const struct http2_client *connection)
{
    return connection->state == HTTP2_CLIENT_CONNECTING ||
           connection->state == HTTP2_CLIENT_GREETING;
}

bool http2_client_may_wait(const struct http2_client *connection, enum client_speech speech,
                           uint32_t room)
{
    return is_opening(connection) && !connection->is_announced &&
           connection->may_be_http1 == (speech == CLIENT_HTTP2_OR_1) &&
           connection->waiting_count < room;
}

uint32_t http2_client_capacity(const struct http2_client *connection)
{
    uint32_t most = connection->is_announced ? 1 : connection->settings->streams_max;
    uint32_t theirs = nghttp2_session_get_remote_settings(connection->session,
                                                          NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    return theirs < most ? theirs : most;
}

bool http2_client_has_room(const struct http2_client *connection)
{
    return connection->state == HTTP2_CLIENT_SERVING && !connection->stream->is_broken &&
           !(connection->is_announced && connection->has_carried) &&
           connection->call_count < http2_client_capacity(connection) &&
           nghttp2_session_check_request_allowed(connection->session) != 0;
}

bool http2_client_is_idle(const struct http2_client *connection)
{
    return connection->is_idle_told;
}

bool http2_client_is_quiet(const struct http2_client *connection)
{
    return !stream_has_unread(connection->stream);
}

bool http2_client_is_sealed_by(const struct http2_client *connection, const struct tls_client *tls)
{
    const struct tls_client *made_by =
        tls_stream_is(connection->stream) ? tls_stream_client(connection->stream) : NULL;
    return tls_client_is_same(made_by, tls);
}

struct list *http2_client_link(struct http2_client *connection)
{
    return &connection->link;
}

struct http2_client *http2_client_of_link(struct list *link)
{
    return CONTAINER_OF(link, struct http2_client, link);
}

/* ---- the connection's turn ---- */

void http2_client_schedule(struct http2_client *connection, struct http2_call *call)
{
    if (connection->state == HTTP2_CLIENT_CLOSED) {
        return;
    }
    if (call != NULL && list_is_empty(&call->due)) {
        list_push_back(&connection->due, &call->due);
    }
    connection->is_pump_due = true;
    if (!connection->is_busy) {
        watch_resume(connection->loop, &connection->turn);
    }
}

/* False: nghttp2 is out of memory and has lost frames, so the connection has to go. */
static bool pump(struct http2_client *connection)
{
    connection->is_pump_due = false;
    return connection->session == NULL || connection->state == HTTP2_CLIENT_CLOSED ||
           nghttp2_session_send(connection->session) == 0;
}

/* ---- ending ---- */

static void tell_ended(struct http2_client *connection)
{
    if (connection->is_idle_told) {
        connection->is_idle_told = false;
        connection->keeper->on_busy(connection->keeper, connection);
    }
    if (!connection->is_ended_told) {
        connection->is_ended_told = true;
        connection->keeper->on_ended(connection->keeper, connection);
    }
}

void http2_client_leave(struct http2_client *connection)
{
    if (connection->state == HTTP2_CLIENT_SERVING) {
        connection->state = HTTP2_CLIENT_LEAVING;
        tell_ended(connection);
    }
}

/* How a call ends with its connection. */
static void fail_call(struct http2_call *call, enum client_failure failure)
{
    if (call->is_complete) {
        return; /* its user reads what is there */
    }
    if (call->has_head) {
        http2_call_fail(call, CLIENT_TRUNCATED);
    } else if (!call->is_waiting && !call->is_head_sent) {
        http2_call_fail(call, CLIENT_UNPROCESSED);
    } else {
        http2_call_fail(call, failure);
    }
}

/* Everybody is told; the calls stay until their users have let go of them. */
static void close_connection(struct http2_client *connection, enum client_failure failure)
{
    if (connection->state == HTTP2_CLIENT_CLOSED) {
        return;
    }
    connection->state = HTTP2_CLIENT_CLOSED;
    connection->is_busy = true; /* what users still say is for nobody */
    tell_ended(connection);
    connection->keeper->on_closing(connection->keeper, connection);
    deadline_disarm(&connection->deadline);
    for (struct list *link = connection->calls.next; link != &connection->calls;
         link = link->next) {
        fail_call(CONTAINER_OF(link, struct http2_call, link), failure);
    }
    stream_close(connection->stream);
    watch_close(connection->loop, &connection->turn);
}

/* Says why, if it still can. */
static void end_with(struct http2_client *connection, uint32_t code, enum client_failure failure)
{
    bool was_busy = connection->is_busy;
    if (connection->session != NULL && connection->state != HTTP2_CLIENT_CLOSED) {
        connection->is_busy = true;
        (void)nghttp2_session_terminate_session(connection->session, code);
        (void)pump(connection);
        connection->is_busy = was_busy;
        stream_flush(connection->stream);
    }
    close_connection(connection, failure);
}

static void end_for(struct http2_client *connection, enum metric_http2_violation kind)
{
    connection->keeper->on_violation(connection->keeper, kind);
    end_with(connection, NGHTTP2_ENHANCE_YOUR_CALM, CLIENT_MALFORMED);
}

void http2_client_end(struct http2_client *connection)
{
    CHECK(!is_opening(connection));
    http2_client_leave(connection);
    if (connection->call_count == 0) {
        end_with(connection, NGHTTP2_NO_ERROR, CLIENT_RESET);
    }
}

static bool is_needed(const struct http2_client *connection)
{
    if (is_opening(connection)) {
        return connection->waiting_count > 0;
    }
    bool is_used_up = connection->is_announced && connection->has_carried;
    return connection->call_count > 0 || (connection->state == HTTP2_CLIENT_SERVING && !is_used_up);
}

void http2_client_waits_no_more(struct http2_client *connection)
{
    CHECK(connection->waiting_count > 0);
    connection->waiting_count--;
}

void http2_client_let_go(struct http2_client *connection)
{
    CHECK(connection->call_count > 0);
    connection->call_count--;
}

/* ---- deadlines ---- */

static void watch_over(struct http2_client *connection)
{
    if (connection->state == HTTP2_CLIENT_SERVING && connection->call_count == 0) {
        deadline_arm(&connection->loop->wheel, &connection->deadline,
                     connection->settings->idle_us);
    } else if (is_open(connection)) {
        deadline_arm(&connection->loop->wheel, &connection->deadline,
                     connection->ping_us > 0 ? PING_US : QUIET_US);
    }
}

/* May the origin be asked for a sign of life? Servers of gRPC end a connection on which PINGs come
 * less than 5 minutes apart, but forgive two of them whenever they have sent HEADERS or DATA. */
static bool may_ping(const struct http2_client *connection, uint64_t now_us)
{
    bool is_calm = now_us >= connection->calm_us;
    if (connection->has_spoken) {
        return is_calm || connection->ping_count < PINGS_MAX;
    }
    return is_calm && now_us >= connection->heard_us + CALM_US;
}

static void ping(struct http2_client *connection, uint64_t now_us)
{
    connection->ping_us = now_us;
    connection->calm_us = now_us + CALM_US;
    connection->ping_count++;
    (void)nghttp2_submit_ping(connection->session, NGHTTP2_FLAG_NONE, NULL);
    http2_client_schedule(connection, NULL);
}

/* A shared connection whose other end has vanished without a word would fail one call after another
 * by its deadline: while calls are under way and what was sent goes unheard, the origin is asked
 * for a sign of life. An origin that has nothing to say, and nobody to say it to, is let be. */
static void on_deadline(struct deadline *deadline)
{
    struct http2_client *connection = CONTAINER_OF(deadline, struct http2_client, deadline);
    CHECK(connection->tag == HTTP2_CLIENT_TAG);
    uint64_t now_us = connection->loop->now_us;
    if (connection->call_count == 0) {
        http2_client_end(connection);
        return;
    }
    bool is_silent = now_us >= connection->heard_us + QUIET_US;
    bool is_asked = connection->ping_us > connection->heard_us;
    bool is_lost = (is_asked && now_us >= connection->ping_us + PING_US) ||
                   (is_silent && connection->stream->is_broken);
    if (is_lost) {
        close_connection(connection, CLIENT_RESET);
        return;
    }
    if (!is_silent) {
        connection->ping_us = 0;
    } else if (!is_asked && may_ping(connection, now_us)) {
        ping(connection, now_us);
    }
    watch_over(connection);
}

/* ---- settling ---- */

static void carry(struct http2_client *connection, struct http2_call *call)
{
    call->base.is_reused = connection->has_answered;
    connection->has_carried = true;
    connection->call_count++;
    if (connection->call_count == 1) {
        connection->ping_us = 0;
        watch_over(connection);
    }
    if (connection->is_idle_told) {
        connection->is_idle_told = false;
        connection->keeper->on_busy(connection->keeper, connection);
    }
}

static void turn_away(struct http2_call *call)
{
    const struct client_ops *ops = call->base.ops;
    void *user = call->base.call;
    call->base.protocol->close(&call->base);
    ops->on_turned_away(user);
}

static void serve(struct http2_client *connection, struct http2_call *call)
{
    if (!http2_client_has_room(connection)) {
        turn_away(call);
        return;
    }
    call->is_waiting = false;
    http2_client_waits_no_more(connection);
    carry(connection, call);
    deadline_disarm(&call->base.deadline);
    call->base.ops->on_connected(call->base.call, &call->base);
}

/* The origin's SETTINGS are here. */
static void begin_serving(struct http2_client *connection)
{
    connection->state = HTTP2_CLIENT_SERVING;
    if (!http2_client_has_room(connection)) {
        end_with(connection, NGHTTP2_NO_ERROR, CLIENT_REFUSED);
        return;
    }
    connection->keeper->on_ready(connection->keeper, connection);
    for (struct list *link = connection->calls.next; link != &connection->calls;
         link = link->next) {
        struct http2_call *call = CONTAINER_OF(link, struct http2_call, link);
        if (call->is_waiting && !call->is_given_up && !call->is_told) {
            serve(connection, call);
        }
    }
}

/* nghttp2 has ended the session by itself. */
static bool is_broken_off(const struct http2_client *connection)
{
    return connection->session != NULL && nghttp2_session_want_read(connection->session) == 0 &&
           nghttp2_session_want_write(connection->session) == 0;
}

/* Whatever is due for anybody, until nothing is. */
static void settle(struct http2_client *connection)
{
    if (connection->is_busy || connection->state == HTTP2_CLIENT_CLOSED) {
        return;
    }
    connection->is_busy = true;
    if (connection->state == HTTP2_CLIENT_GREETING && connection->is_greeted) {
        begin_serving(connection);
    }
    while (connection->state != HTTP2_CLIENT_CLOSED &&
           (!list_is_empty(&connection->due) || connection->is_pump_due)) {
        struct list *link = list_pop_front(&connection->due);
        if (link != NULL) {
            http2_call_attend(CONTAINER_OF(link, struct http2_call, due));
        } else if (!pump(connection)) {
            close_connection(connection, CLIENT_MEMORY);
        }
    }
    if (connection->state == HTTP2_CLIENT_CLOSED) {
        return;
    }
    connection->is_busy = false;
    if (is_broken_off(connection)) {
        bool is_orderly = connection->is_dismissed && !connection->has_objected;
        close_connection(connection, is_orderly ? CLIENT_RESET : CLIENT_MALFORMED);
    } else if (!is_needed(connection)) {
        end_with(connection, NGHTTP2_NO_ERROR, CLIENT_RESET);
    } else if (connection->call_count == 0 && is_open(connection) && !connection->is_idle_told) {
        connection->is_idle_told = true;
        watch_over(connection);
        connection->keeper->on_idle(connection->keeper, connection);
    }
}

static void on_turn(struct watch *turn, uint32_t events)
{
    (void)events;
    settle(CONTAINER_OF(turn, struct http2_client, turn));
}

/* nghttp2 will read no more. */
static void end_for_error(struct http2_client *connection, ssize_t error)
{
    if (connection->violation != METRIC_HTTP2_COUNT) {
        end_for(connection, connection->violation);
    } else if (error == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) {
        end_for(connection, METRIC_HTTP2_CONTINUATION);
    } else if (error == NGHTTP2_ERR_FLOODED) {
        end_for(connection, METRIC_HTTP2_PING);
    } else if (error == NGHTTP2_ERR_NOMEM) {
        end_with(connection, NGHTTP2_INTERNAL_ERROR, CLIENT_MEMORY);
    } else {
        end_with(connection, NGHTTP2_PROTOCOL_ERROR, CLIENT_MALFORMED);
    }
}

/* ---- the stream's calls ---- */

static void on_read(struct stream *stream, struct bytes bytes)
{
    struct http2_client *connection = client_of(stream);
    if (connection->state == HTTP2_CLIENT_CLOSED) {
        return;
    }
    connection->heard_us = connection->loop->now_us;
    connection->has_spoken = false;
    enum metric_http2_violation kind =
        http2_guard_read(&connection->guard, bytes, connection->loop->now_us);
    if (kind != METRIC_HTTP2_COUNT) {
        end_for(connection, kind);
        return;
    }
    connection->is_busy = true;
    ssize_t size =
        nghttp2_session_mem_recv(connection->session, (const uint8_t *)bytes.data, bytes.size);
    connection->is_busy = connection->state == HTTP2_CLIENT_CLOSED;
    connection->is_pump_due = true; /* what came may have opened a window */
    if (size < 0) {
        end_for_error(connection, size);
    } else {
        settle(connection);
    }
}

static void on_end(struct stream *stream, enum err why)
{
    (void)why;
    struct http2_client *connection = client_of(stream);
    bool is_shaking = connection->state == HTTP2_CLIENT_CONNECTING && tls_stream_is(stream) &&
                      tls_stream_is_reached(stream);
    close_connection(connection, connection->state != HTTP2_CLIENT_CONNECTING ? CLIENT_RESET
                                 : is_shaking                                 ? CLIENT_TLS
                                                                              : CLIENT_REFUSED);
}

static void on_drained(struct stream *stream)
{
    struct http2_client *connection = client_of(stream);
    connection->is_pump_due = true;
    settle(connection);
}

static void note_closed(struct http2_client *connection)
{
    connection->closed_parts++;
    if (connection->closed_parts < PARTS) {
        return;
    }
    CHECK(connection->state == HTTP2_CLIENT_CLOSED);
    deadline_finish(&connection->deadline);
    while (!list_is_empty(&connection->calls)) {
        http2_call_detach(CONTAINER_OF(connection->calls.next, struct http2_call, link));
    }
    nghttp2_session_del(connection->session);
    list_remove(&connection->link);
    if (connection->stream != NULL) {
        connection->keeper->on_closed(connection->keeper, connection);
    }
    connection->tag = 0;
    free(connection);
}

static void on_closed(struct stream *stream)
{
    note_closed(client_of(stream));
}

static void on_turn_closed(struct watch *turn)
{
    note_closed(CONTAINER_OF(turn, struct http2_client, turn));
}

/* ---- connecting ---- */

static struct http2_call *first_waiting(struct http2_client *connection)
{
    for (struct list *link = connection->calls.next; link != &connection->calls;
         link = link->next) {
        struct http2_call *call = CONTAINER_OF(link, struct http2_call, link);
        if (call->is_waiting && !call->is_given_up && !call->is_told) {
            return call;
        }
    }
    return NULL;
}

/* The connection lives on with the first call that waited; the others have to look for another. */
static void give_away(struct http2_client *connection)
{
    struct http2_call *call = first_waiting(connection);
    if (call == NULL) {
        close_connection(connection, CLIENT_RESET);
        return;
    }
    const struct client_ops *ops = call->base.ops;
    void *user = call->base.call;
    struct client *client = connection->keeper->on_http1(
        connection->keeper, connection, connection->stream, connection->is_announced, ops, user);
    if (client == NULL) {
        close_connection(connection, CLIENT_MEMORY);
        return;
    }
    connection->stream = NULL;
    connection->state = HTTP2_CLIENT_CLOSED;
    connection->is_busy = true;
    connection->is_ended_told = true;
    call->base.protocol->close(&call->base);
    ops->on_connected(user, client);
    for (call = first_waiting(connection); call != NULL; call = first_waiting(connection)) {
        turn_away(call);
    }
    connection->closed_parts++;
    watch_close(connection->loop, &connection->turn);
}

static void greet(struct http2_client *connection)
{
    if (http2_client_session_create(connection, &connection->session) != OK) {
        close_connection(connection, CLIENT_MEMORY);
        return;
    }
    connection->state = HTTP2_CLIENT_GREETING;
    connection->heard_us = connection->loop->now_us;
    /* Answers and GOAWAY that came before the origin hung up are read, whatever we still write. */
    stream_set_patient(connection->stream, true);
    stream_read_start(connection->stream);
    http2_client_schedule(connection, NULL);
}

static void on_connected(struct stream *stream, enum err err)
{
    struct http2_client *connection = client_of(stream);
    if (connection->state != HTTP2_CLIENT_CONNECTING) {
        return;
    }
    bool is_sealed = tls_stream_is(stream);
    if (err != OK) {
        bool is_shaking = is_sealed && tls_stream_is_reached(stream);
        close_connection(connection, is_shaking           ? CLIENT_TLS
                                     : err == ERR_TIMEOUT ? CLIENT_TIMEOUT
                                                          : CLIENT_REFUSED);
        return;
    }
    bool is_http2 = !is_sealed || bytes_equal(tls_stream_protocol(stream), BYTES("h2"));
    if (is_http2) {
        greet(connection);
    } else if (connection->may_be_http1) {
        give_away(connection);
    } else {
        connection->is_unagreed = true;
        close_connection(connection, CLIENT_TLS);
    }
}

static const struct stream_listener listener = {
    .on_read = on_read,
    .on_end = on_end,
    .on_drained = on_drained,
    .on_connected = on_connected,
    .on_closed = on_closed,
};

static struct http2_client *make(struct loop *loop, const struct client_way *way,
                                 const struct http2_client_settings *settings,
                                 struct http2_keeper *keeper)
{
    struct http2_client *connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        return NULL;
    }
    *connection = (struct http2_client){
        .tag = HTTP2_CLIENT_TAG,
        .state = HTTP2_CLIENT_CONNECTING,
        .settings = settings,
        .keeper = keeper,
        .loop = loop,
        .violation = METRIC_HTTP2_COUNT,
        .may_be_http1 = way->speech == CLIENT_HTTP2_OR_1,
        .is_announced = way->announces != PROXY_PROTOCOL_NONE,
        .turn = {.on_ready = on_turn, .on_closed = on_turn_closed},
    };
    http2_guard_init(&connection->guard, 0);
    deadline_init(&connection->deadline, on_deadline);
    list_init(&connection->link);
    list_init(&connection->calls);
    list_init(&connection->due);
    return connection;
}

static void wait_for_it(struct http2_call *call, uint64_t connect_us)
{
    call->is_waiting = true;
    call->connection->waiting_count++;
    client_arm(&call->base, connect_us);
}

enum err http2_client_connect(struct loop *loop, const struct client_way *way,
                              const struct http2_client_settings *settings, uint64_t connect_us,
                              struct http2_keeper *keeper, const struct client_ops *ops, void *user,
                              struct client **ret_client)
{
    CHECK(way->speech != CLIENT_HTTP1);
    struct http2_client *connection = make(loop, way, settings, keeper);
    struct http2_call *call = NULL;
    if (connection == NULL) {
        return ERR_NOMEM;
    }
    enum err err = http2_call_create(connection, ops, user, &call);
    if (err == OK) {
        err = client_way_open(way, loop, &listener, connection, &connection->stream);
    }
    if (err != OK) {
        http2_call_destroy(call);
        free(connection);
        return err;
    }
    watch_open_bare(loop, &connection->turn);
    wait_for_it(call, connect_us);
    *ret_client = &call->base;
    return OK;
}

enum err http2_client_call(struct http2_client *connection, const struct client_ops *ops,
                           void *user, uint64_t connect_us, struct client **ret_client)
{
    struct http2_call *call = NULL;
    CHECK(is_opening(connection) || http2_client_has_room(connection));
    enum err err = http2_call_create(connection, ops, user, &call);
    if (err != OK) {
        return err;
    }
    if (is_opening(connection)) {
        wait_for_it(call, connect_us);
    } else {
        carry(connection, call);
    }
    *ret_client = &call->base;
    return OK;
}

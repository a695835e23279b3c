#include "proxy/http2/http2_server.h"

#include <assert.h>
#include <stdlib.h>

#include "proxy/http2/http2_server_state.h"

enum {
    NOTICE_US = 1000 * 1000, /* how long a client may take to answer the notice */
    LOOK_US = 500 * 1000,    /* between two looks at the streams' progress */
    US_PER_MS = 1000,
    WAITING_MAX = 128, /* frames but DATA: who takes none asks for no more */
    PARTS = 2          /* to close: the stream, our turn */
};

static uint64_t now_of(const struct http2_server *server)
{
    return server->host->loop->now_us;
}

void http2_server_count(struct http2_server *server, enum metric_http2_violation kind)
{
    cell_increment(&server->host->cells->http2_violations[kind]);
}

static void count_state(struct http2_server *server, bool is_active, int change)
{
    struct cell *cell =
        &server->host->cells
             ->client_connections[is_active ? METRIC_CONNECTION_ACTIVE : METRIC_CONNECTION_IDLE];
    if (change > 0) {
        cell_increment(cell);
    } else {
        cell_sub(cell, 1);
    }
}

static void note_active(struct http2_server *server)
{
    bool is_active = server->stream_count > 0;
    if (server->is_active != is_active) {
        count_state(server, server->is_active, -1);
        count_state(server, is_active, 1);
        server->is_active = is_active;
    }
}

/* ---- streams ---- */

void http2_server_schedule(struct http2_server *server, struct http2_stream *stream)
{
    if (stream != NULL && list_is_empty(&stream->due)) {
        list_push_back(&server->due, &stream->due);
    }
    server->is_pump_due = true;
    if (!server->is_busy && server->state == HTTP2_SERVING) {
        watch_resume(server->host->loop, &server->turn);
    }
}

void http2_stream_tell_gone(struct http2_stream *stream, enum err why)
{
    if (stream->is_open) {
        stream->is_open = false;
        stream->responder.request_ops->on_gone(stream->responder.request, why);
    }
}

void http2_stream_reset(struct http2_stream *stream, uint32_t code)
{
    if (!stream->is_closed && !stream->is_reset) {
        stream->is_reset = true;
        (void)nghttp2_submit_rst_stream(stream->server->session, NGHTTP2_FLAG_NONE, stream->id,
                                        code);
    }
    http2_server_schedule(stream->server, stream);
}

/* nghttp2 says it when half of the window has come together. Streams that stand still may hold so
 * much of it that this never happens, and the others would stand still with them: of the window as
 * they leave it half is enough. */
void http2_server_give_back(struct http2_server *server, size_t size)
{
    nghttp2_session *session = server->session;
    (void)nghttp2_session_consume_connection(session, size);
    int32_t withheld = (int32_t)server->withheld;
    int32_t taken = nghttp2_session_get_effective_recv_data_length(session) - withheld;
    int32_t left = nghttp2_session_get_effective_local_window_size(session) - withheld;
    if (taken > 0 && taken >= left / 2) {
        (void)nghttp2_submit_window_update(session, NGHTTP2_FLAG_NONE, 0, taken);
    }
}

void http2_stream_release(struct http2_stream *stream)
{
    size_t size = stream->withheld;
    CHECK(stream->server->withheld >= size);
    stream->withheld = 0;
    stream->server->withheld -= size;
    http2_server_give_back(stream->server, size);
}

/* The client gets as much window back as the handler has taken, once it wants more. */
static void give_back(struct http2_stream *stream)
{
    bool may_go_on = !stream->is_open || (stream->is_body_wanted && buf_size(&stream->in) == 0);
    if (may_go_on && stream->withheld > 0 && !stream->is_closed) {
        (void)nghttp2_session_consume_stream(stream->server->session, stream->id, stream->withheld);
        http2_stream_release(stream);
    }
}

void http2_stream_deliver(struct http2_stream *stream)
{
    while (stream->is_open && stream->is_body_wanted && buf_size(&stream->in) > 0) {
        struct bytes piece = http2_piece(&stream->in);
        stream->responder.request_ops->on_body(stream->responder.request, piece);
        buf_consume(&stream->in, piece.size);
    }
    bool is_end_due = stream->is_open && stream->is_body_wanted && stream->is_body_read &&
                      !stream->is_body_done && buf_size(&stream->in) == 0;
    if (is_end_due) {
        stream->is_body_done = true;
        stream->responder.request_ops->on_body_end(stream->responder.request, &stream->trailers);
    }
    give_back(stream);
}

static void forget(struct http2_stream *stream)
{
    struct http2_server *server = stream->server;
    server->stream_count--;
    http2_server_give_block(server->host, stream);
    if (server->stream_count == 0) {
        server->quiet_since_us = now_of(server);
    }
}

/* What nghttp2 knows no more is told and freed; what waited goes on. */
static void attend(struct http2_stream *stream)
{
    if (stream->is_closed) {
        http2_stream_tell_gone(stream, ERR_CLOSED);
        forget(stream);
        return;
    }
    http2_stream_deliver(stream);
    if (stream->is_drain_due) {
        stream->is_drain_due = false;
        if (stream->is_open) {
            stream->responder.request_ops->on_drained(stream->responder.request);
        }
    }
}

/* ---- ending ---- */

/* Every handler hears that its client is gone; the blocks stay until the session is. */
static void tell_all_gone(struct http2_server *server)
{
    for (struct list *link = server->streams.next; link != &server->streams; link = link->next) {
        http2_stream_tell_gone(CONTAINER_OF(link, struct http2_stream, link), ERR_CLOSED);
    }
}

static void close_connection(struct http2_server *server)
{
    if (server->state == HTTP2_CLOSED) {
        return;
    }
    server->state = HTTP2_CLOSED;
    server->is_busy = true; /* what handlers still say is for nobody */
    tell_all_gone(server);
    deadline_disarm(&server->deadline);
    stream_close(server->stream);
    watch_close(server->host->loop, &server->turn);
}

/* Everything is said: FIN behind it, and the client's end is waited for, since closing with bytes
 * unread would destroy what is on its way. */
static void linger(struct http2_server *server)
{
    bool is_told = server->has_peer_finished;
    server->state = HTTP2_LINGERING;
    tell_all_gone(server);
    if (is_told) {
        stream_flush(server->stream);
        if (!stream_is_blocked(server->stream)) {
            close_connection(server);
            return;
        }
    }
    stream_finish(server->stream);
    stream_read_start(server->stream);
    deadline_arm(&server->host->loop->wheel, &server->deadline, HTTP2_LINGER_US);
}

static void end_with(struct http2_server *server, uint32_t code)
{
    tell_all_gone(server);
    (void)nghttp2_session_terminate_session(server->session, code);
    http2_server_pump(server);
    if (server->state == HTTP2_SERVING) {
        linger(server);
    }
}

static void end_for(struct http2_server *server, enum metric_http2_violation kind)
{
    http2_server_count(server, kind);
    end_with(server, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* ---- the connection's turn ---- */

void http2_server_pump(struct http2_server *server)
{
    bool was_busy = server->is_busy;
    server->is_busy = true;
    server->is_pump_due = false;
    if (nghttp2_session_send(server->session) != 0) {
        stream_break(server->stream);
    }
    server->is_busy = was_busy;
}

/* nghttp2 has ended the session by itself, or both sides have said all there is. */
static bool is_over(const struct http2_server *server)
{
    bool is_dismissed = server->farewell == HTTP2_GOAWAY_SENT || server->has_peer_finished;
    bool has_ended = nghttp2_session_want_read(server->session) == 0;
    return (has_ended || (is_dismissed && server->stream_count == 0)) &&
           nghttp2_session_want_write(server->session) == 0;
}

/* When there is something to look at again, from now. */
static uint64_t next_look_us(const struct http2_server *server)
{
    const struct http2_server_settings *settings = &server->host->settings;
    bool is_busy = server->stream_count > 0 || server->head_since_us > 0 ||
                   server->farewell != HTTP2_NO_FAREWELL;
    uint64_t due_us = server->quiet_since_us + settings->client_idle_us;
    if (is_busy || due_us <= now_of(server)) {
        return LOOK_US;
    }
    return due_us - now_of(server);
}

/* A look that is due is never put off: what a client sends must not keep its deadlines away. */
static void look_in_time(struct http2_server *server)
{
    uint64_t look_us = next_look_us(server);
    uint64_t due_ms = (now_of(server) + look_us + US_PER_MS - 1) / US_PER_MS;
    if (!deadline_is_armed(&server->deadline) || server->deadline.due_ms > due_ms) {
        deadline_arm(&server->host->loop->wheel, &server->deadline, look_us);
    }
}

/* A client that writes before it reads would wait for us as we for it: its frames are read whether
 * it takes ours or not (RFC 9113 section 5.2.2), until too many of ours wait for it. */
static void watch(struct http2_server *server)
{
    bool is_blocked = stream_is_blocked(server->stream);
    note_active(server);
    look_in_time(server);
    if (!is_blocked) {
        server->sent_us = now_of(server);
    }
    if (is_blocked && nghttp2_session_get_outbound_queue_size(server->session) > WAITING_MAX) {
        stream_read_stop(server->stream);
    } else if (!server->has_peer_finished) {
        stream_read_start(server->stream);
    }
}

/* Whatever is due for anybody, until nothing is. */
static void settle(struct http2_server *server)
{
    if (server->is_busy || server->state != HTTP2_SERVING) {
        return;
    }
    server->is_busy = true;
    do {
        struct list *link = list_pop_front(&server->due);
        if (link != NULL) {
            attend(CONTAINER_OF(link, struct http2_stream, due));
        } else {
            http2_server_pump(server);
        }
    } while (!list_is_empty(&server->due) || server->is_pump_due);
    server->is_busy = false;
    if (server->violation != METRIC_HTTP2_COUNT) {
        end_for(server, server->violation);
    } else if (is_over(server)) {
        linger(server);
    } else {
        watch(server);
    }
}

static void on_turn(struct watch *turn, uint32_t events)
{
    (void)events;
    settle(CONTAINER_OF(turn, struct http2_server, turn));
}

/* nghttp2 will read no more. */
static void end_for_error(struct http2_server *server, ssize_t error)
{
    if (server->violation != METRIC_HTTP2_COUNT) {
        end_for(server, server->violation);
    } else if (error == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) {
        end_for(server, METRIC_HTTP2_CONTINUATION);
    } else if (error == NGHTTP2_ERR_FLOODED) {
        end_for(server, METRIC_HTTP2_PING);
    } else if (error == NGHTTP2_ERR_NOMEM) {
        end_with(server, NGHTTP2_INTERNAL_ERROR);
    } else {
        end_with(server, NGHTTP2_PROTOCOL_ERROR);
    }
}

/* ---- the stream's calls ---- */

static struct http2_server *server_of(struct stream *stream)
{
    struct http2_server *server = stream->owner;
    CHECK(server->tag == HTTP2_SERVER_TAG);
    return server;
}

static void on_read(struct stream *stream, struct bytes bytes)
{
    struct http2_server *server = server_of(stream);
    if (server->state != HTTP2_SERVING) {
        return;
    }
    enum metric_http2_violation kind = http2_guard_read(&server->guard, bytes, now_of(server));
    if (kind != METRIC_HTTP2_COUNT) {
        end_for(server, kind);
        return;
    }
    server->is_busy = true;
    ssize_t size =
        nghttp2_session_mem_recv(server->session, (const uint8_t *)bytes.data, bytes.size);
    server->is_busy = false;
    if (size < 0) {
        end_for_error(server, size);
    } else {
        http2_server_give_back(server, 0); /* what nghttp2 ignored: it gave no window back for it */
        settle(server);
    }
}

/* Whoever has asked to the end may still hear the answer; the others are gone. */
static void on_client_finished(struct http2_server *server)
{
    server->has_peer_finished = true;
    for (struct list *link = server->streams.next; link != &server->streams; link = link->next) {
        struct http2_stream *stream = CONTAINER_OF(link, struct http2_stream, link);
        if (!stream->is_body_read) {
            http2_stream_tell_gone(stream, ERR_CLOSED);
            http2_stream_reset(stream, NGHTTP2_CANCEL);
        }
    }
    settle(server);
}

static void on_end(struct stream *stream, enum err why)
{
    struct http2_server *server = server_of(stream);
    if (why == OK && server->state == HTTP2_SERVING) {
        on_client_finished(server);
    } else if (why == OK && stream_is_blocked(stream)) {
        server->has_peer_finished = true; /* on_drained closes */
    } else {
        close_connection(server);
    }
}

static void on_drained(struct stream *stream)
{
    struct http2_server *server = server_of(stream);
    if (server->state == HTTP2_LINGERING) {
        if (server->has_peer_finished) {
            close_connection(server);
        }
        return;
    }
    server->sent_us = now_of(server);
    server->is_pump_due = true;
    settle(server);
}

static void note_closed(struct http2_server *server)
{
    struct http2_server_host *host = server->host;
    server->closed_parts++;
    if (server->closed_parts < PARTS) {
        return;
    }
    CHECK(server->state == HTTP2_CLOSED);
    deadline_finish(&server->deadline);
    while (!list_is_empty(&server->streams)) {
        forget(CONTAINER_OF(server->streams.next, struct http2_stream, link));
    }
    count_state(server, server->is_active, -1);
    nghttp2_session_del(server->session);
    list_remove(&server->link);
    host->connection_count--;
    server->tag = 0;
    free(server);
}

static void on_closed(struct stream *stream)
{
    note_closed(server_of(stream));
}

static void on_turn_closed(struct watch *turn)
{
    note_closed(CONTAINER_OF(turn, struct http2_server, turn));
}

static const struct stream_listener listener = {
    .on_read = on_read, .on_end = on_end, .on_drained = on_drained, .on_closed = on_closed};

/* ---- deadlines ---- */

static bool is_older(uint64_t since_us, uint64_t limit_us, uint64_t now_us)
{
    return limit_us > 0 && now_us >= since_us + limit_us;
}

/* The client does not take what waits for it. */
static bool keeps_waiting(const struct http2_stream *stream, uint64_t now_us)
{
    bool is_ended = stream->out.is_ended && !stream->is_open;
    bool is_waiting = buf_size(&stream->out.waiting) > 0 || (stream->has_head && is_ended);
    return is_waiting &&
           is_older(stream->answered_us, stream->server->host->settings.client_body_us, now_us);
}

/* Nor does it send what it owes. Once the answer runs the two may talk in turns, so that either's
 * words count. A tunnel owes nothing, and half of one an end. */
static bool owes_body(const struct http2_stream *stream, uint64_t now_us)
{
    const struct http2_server_settings *settings = &stream->server->host->settings;
    bool is_wanted = stream->is_pending || (stream->is_open && stream->is_body_wanted);
    uint64_t since_us = stream->asked_us;
    if (!is_wanted || stream->is_body_read) {
        return false;
    }
    if (stream->is_switched) {
        return stream->is_finished && is_older(since_us, settings->client_idle_us, now_us);
    }
    if (stream->has_head && stream->answered_us > since_us) {
        since_us = stream->answered_us;
    }
    return is_older(since_us, settings->client_body_us, now_us);
}

/* Each direction has a clock of its own: who asks on and on must take the answer all the same. */
static void judge_pace(struct http2_stream *stream)
{
    struct http2_server *server = stream->server;
    uint64_t now_us = now_of(server);
    bool is_over = stream->is_said && !stream->is_open;
    if (is_over && is_older(stream->answered_us, HTTP2_LINGER_US, now_us)) {
        http2_stream_reset(stream, NGHTTP2_NO_ERROR);
        return;
    }
    if (stream->is_closed || stream->is_reset) {
        return;
    }
    if (nghttp2_session_get_local_window_size(server->session) <= 0) {
        stream->asked_us = now_us; /* Other streams hold all of the window: it may not send. */
    }
    if (keeps_waiting(stream, now_us)) {
        http2_server_count(server, METRIC_HTTP2_STALLED);
        http2_stream_tell_gone(stream, ERR_TIMEOUT);
        http2_stream_reset(stream, NGHTTP2_CANCEL);
    } else if (owes_body(stream, now_us)) {
        stream->is_pending = false;
        http2_stream_tell_gone(stream, ERR_TIMEOUT);
        if (!stream->is_switched) {
            cell_increment(&server->host->cells->rejected_requests[REJECT_BODY_TIMEOUT]);
        }
        if (stream->has_head) {
            http2_stream_reset(stream, NGHTTP2_CANCEL);
        } else {
            http2_stream_reply(stream, 408);
        }
    }
}

/* Telling one stream's handler touches no other stream of ours. */
static void judge_streams(struct http2_server *server)
{
    server->is_busy = true;
    for (struct list *link = server->streams.next; link != &server->streams; link = link->next) {
        judge_pace(CONTAINER_OF(link, struct http2_stream, link));
    }
    server->is_busy = false;
    settle(server);
}

static void on_deadline(struct deadline *deadline)
{
    struct http2_server *server = CONTAINER_OF(deadline, struct http2_server, deadline);
    const struct http2_server_settings *settings = &server->host->settings;
    CHECK(server->tag == HTTP2_SERVER_TAG);
    uint64_t now_us = now_of(server);
    bool is_blocked = server->state != HTTP2_LINGERING && stream_is_blocked(server->stream);
    if (server->state == HTTP2_LINGERING) {
        close_connection(server);
    } else if (is_blocked && is_older(server->sent_us, settings->client_body_us, now_us)) {
        http2_server_count(server, METRIC_HTTP2_STALLED);
        close_connection(server);
    } else if (server->head_since_us > 0 &&
               is_older(server->head_since_us, settings->client_header_us, now_us)) {
        cell_increment(&server->host->cells->rejected_requests[REJECT_HEAD_TIMEOUT]);
        end_with(server, NGHTTP2_ENHANCE_YOUR_CALM);
    } else if (server->stream_count == 0 &&
               is_older(server->quiet_since_us, settings->client_idle_us, now_us)) {
        end_with(server, NGHTTP2_NO_ERROR);
    } else {
        if (server->farewell == HTTP2_NOTICE_SENT &&
            is_older(server->farewell_us, NOTICE_US, now_us)) {
            http2_session_go_away(server);
        }
        deadline_arm(&server->host->loop->wheel, deadline, next_look_us(server));
        judge_streams(server);
    }
}

/* ---- making ---- */

void http2_server_host_close_all(struct http2_server_host *host)
{
    host->is_draining = true;
    for (struct list *link = host->connections.next; link != &host->connections;
         link = link->next) {
        close_connection(CONTAINER_OF(link, struct http2_server, link));
    }
}

static void begin(struct http2_server *server)
{
    struct http2_server_host *host = server->host;
    uint64_t now_us = host->loop->now_us;
    server->head_since_us = now_us;
    server->quiet_since_us = now_us;
    server->sent_us = now_us;
    server->violation = METRIC_HTTP2_COUNT;
    http2_guard_init(&server->guard, http2_preface.size);
    deadline_init(&server->deadline, on_deadline);
    server->turn = (struct watch){.on_ready = on_turn, .on_closed = on_turn_closed};
    watch_open_bare(host->loop, &server->turn);
    list_init(&server->streams);
    list_init(&server->due);
    list_push_back(&host->connections, &server->link);
    host->connection_count++;
    count_state(server, false, 1);
    deadline_arm(&host->loop->wheel, &server->deadline, LOOK_US);
    if (host->is_draining) {
        http2_server_say_farewell(server);
    }
    http2_server_schedule(server, NULL);
}

enum err http2_server_open(struct http2_server_host *host, struct stream *stream,
                           const struct ip *peer, unsigned peer_port)
{
    struct http2_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        stream_close(stream);
        return ERR_NOMEM;
    }
    *server = (struct http2_server){.tag = HTTP2_SERVER_TAG,
                                    .host = host,
                                    .stream = stream,
                                    .peer = *peer,
                                    .peer_port = peer_port};
    if (http2_session_create(server, &server->session) != OK) {
        free(server);
        stream_close(stream);
        return ERR_NOMEM;
    }
    stream_attach(stream, &listener, server);
    begin(server);
    stream_read_start(stream);
    return OK;
}

/* proxy/http2/http2_client.h — the client's side of HTTP/2 (RFC 9113): one connection to one origin
 * endpoint, and the calls that share it.
 *
 * A connection is opened for a call; others may join while it is being made, and are told together
 * when the origin's first SETTINGS have come: only then is known how many streams it takes. Where
 * ALPN says HTTP/1.1 the stream is given to the keeper. Each call is a `struct client`
 * (proxy/http/client.h) with a deadline of its own, and ends without harm to the others: what is
 * given up early is reset with CANCEL. nghttp2 reads and writes frames, no more: what a head means
 * is decided in http2_head.h, how much an origin may do in http2_guard.h.
 *
 * Pace. An origin may send HTTP2_CALL_WINDOW bytes of a body before the call's user has taken any,
 * and gets more only as they are taken; the window of the connection is given back at once, so that
 * one slow client does not hold up the others. A request's body waits in its call until the
 * origin's windows open; a user whose client is blocked stops its source.
 *
 * The keeper lists connections and owns them between calls. One loop's thread, inside an event.
 *
 *     CONNECTING --> GREETING --> SERVING --> LEAVING --> CLOSED
 *      TCP, TLS      SETTINGS                 no new calls: GOAWAY was read, or
 *      due           due                      many were reset. CLOSED from anywhere
 */
#pragma once
#include "metrics/catalog.h"
#include "proxy/http/client.h"
#include "proxy/http/framing.h"

enum { HTTP2_CALL_WINDOW = 256 * 1024, HTTP2_CLIENT_WINDOW = 4 * 1024 * 1024 };

struct http2_client;

/* What the configuration says; read afresh for each call, and after the last. */
struct http2_client_settings {
    struct framing_limits limits; /* of an answer's head */
    uint32_t streams_max;         /* calls at once on a connection */
    uint64_t idle_us;             /* without calls it is kept for so long; 0: for ever */
};

struct http2_keeper {
    /* The origin chose HTTP/1.1: `stream` is the keeper's, who makes a client of it for the call,
     * and the connection is gone (on_closed does not follow). NULL: no memory, the stream is
     * closed, on_closed follows. `is_announced`: it began with a PROXY header. */
    struct client *(*on_http1)(struct http2_keeper *keeper, struct http2_client *connection,
                               struct stream *stream, bool is_announced,
                               const struct client_ops *ops, void *call);
    /* It takes calls: those that wait are told next. */
    void (*on_ready)(struct http2_keeper *keeper, struct http2_client *connection);
    /* Its last call is over, or it has one again. It is busy at first. */
    void (*on_idle)(struct http2_keeper *keeper, struct http2_client *connection);
    void (*on_busy)(struct http2_keeper *keeper, struct http2_client *connection);
    /* It takes no calls any more, and closes with its last one: forget it. It is busy then. */
    void (*on_ended)(struct http2_keeper *keeper, struct http2_client *connection);
    /* No bytes pass on it any more. */
    void (*on_closing)(struct http2_keeper *keeper, struct http2_client *connection);
    /* The connection is closed and about to be freed. */
    void (*on_closed)(struct http2_keeper *keeper, struct http2_client *connection);
    /* What an origin must not do, or did too much of. */
    void (*on_violation)(struct http2_keeper *keeper, enum metric_http2_violation kind);
};

/* Starts to connect for `call`: on_connected, on_turned_away or on_failed tell how it went, within
 * `connect_us`. `way` says CLIENT_HTTP2 or CLIENT_HTTP2_OR_1. `keeper` and `settings` are borrowed
 * while the connection lives, which ends when nobody waits for it any more. ERR_NOMEM, ERR_LIMIT
 * (descriptors), ERR_IO. */
MUST_USE enum err http2_client_connect(struct loop *loop, const struct client_way *way,
                                       const struct http2_client_settings *settings,
                                       uint64_t connect_us, struct http2_keeper *keeper,
                                       const struct client_ops *ops, void *call,
                                       struct client **ret_client);
/* Puts a further call on a connection that has room, where client_send may follow at once, or that
 * is being made: then as above. ERR_NOMEM. */
MUST_USE enum err http2_client_call(struct http2_client *connection, const struct client_ops *ops,
                                    void *call, uint64_t connect_us, struct client **ret_client);
/* The connection that a call is or was on; NULL when it speaks another protocol or is gone. */
struct http2_client *http2_client_of(struct client *client);

/* May a further call be sent now? */
bool http2_client_has_room(const struct http2_client *connection);
/* Is it being made, as a call that speaks so would have it, for fewer calls than `room`? */
bool http2_client_may_wait(const struct http2_client *connection, enum client_speech speech,
                           uint32_t room);
/* How many calls the origin and the settings let be under way at once. */
uint32_t http2_client_capacity(const struct http2_client *connection);
bool http2_client_is_idle(const struct http2_client *connection);
/* Has the origin neither said anything that nobody read yet, nor ended it? */
bool http2_client_is_quiet(const struct http2_client *connection);
/* Was it made as `tls` would make it now? */
bool http2_client_is_sealed_by(const struct http2_client *connection, const struct tls_client *tls);
/* Takes no more calls and closes with the last of them, at once when it is idle. The keeper is told
 * on_ended. */
void http2_client_end(struct http2_client *connection);

/* For keepers that list connections: a link and a place for their own. */
struct list *http2_client_link(struct http2_client *connection);
struct http2_client *http2_client_of_link(struct list *link);

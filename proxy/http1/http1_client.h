/* proxy/http1/http1_client.h — the client's side of HTTP/1.1 (RFC 9112): one connection to one
 * origin endpoint.
 *
 * Connects, then carries one call after another through the port of proxy/http/client.h; between
 * two calls it lies in a pool, which owns it then. After on_end or on_failed
 * http1_client_is_reusable tells whether it may go back there. One loop's thread. */
#pragma once
#include "proxy/http/client.h"
#include "proxy/http/framing.h"

struct http1_client;

/* Whoever keeps the connection while no call is on it. */
struct client_keeper {
    /* The origin ended an idle connection, or it was idle for too long; it is closing: forget it.
     */
    void (*on_idle_ended)(struct client_keeper *keeper, struct http1_client *client);
    /* The connection is closed and about to be freed, idle or not. */
    void (*on_closed)(struct client_keeper *keeper, struct http1_client *client);
};

/* Starts to connect for `call`; on_connected or on_failed tell how it went, the deadline for all of
 * it, the TLS handshake included, is `connect_us`. `way` says CLIENT_HTTP1. `keeper` and `limits`
 * are borrowed while the connection lives. ERR_NOMEM, ERR_LIMIT (descriptors), ERR_IO. */
MUST_USE enum err http1_client_connect(struct loop *loop, const struct client_way *way,
                                       const struct framing_limits *limits, uint64_t connect_us,
                                       struct client_keeper *keeper, const struct client_ops *ops,
                                       void *call, struct client **ret_client);
/* The same on a stream that is connected, which it takes, also when it fails; client_send may
 * follow at once. `is_announced`: it began with a PROXY header. ERR_NOMEM. */
MUST_USE enum err http1_client_adopt(struct stream *stream, const struct framing_limits *limits,
                                     bool is_announced, struct client_keeper *keeper,
                                     const struct client_ops *ops, void *call,
                                     struct client **ret_client);
/* The connection that a call is on; NULL when it speaks another protocol. */
struct http1_client *http1_client_of(struct client *client);

/* Was the connection made as `tls` would make it now? */
bool http1_client_is_sealed_by(const struct http1_client *client, const struct tls_client *tls);
/* Idle: has the origin neither said anything since its answer, nor ended? As far as
 * stream_has_unread can know. */
bool http1_client_is_quiet(const struct http1_client *client);
/* Puts a call on an idle connection. */
struct client *http1_client_take(struct http1_client *client, const struct client_ops *ops,
                                 void *call);
/* After on_end: may another call follow? False also while the request's body was not all sent. */
bool http1_client_is_reusable(const struct http1_client *client);
/* No call is on it any more; it waits for the next at most `idle_us` (0: for ever), its keeper is
 * told when it ends. */
void http1_client_rest(struct http1_client *client, uint64_t idle_us);
/* Ends the connection, whatever goes on; no call to the user follows. */
void http1_client_close(struct http1_client *client);

/* For keepers that list connections: a link and a place for their own. */
struct list *http1_client_link(struct http1_client *client);
struct http1_client *http1_client_of_link(struct list *link);

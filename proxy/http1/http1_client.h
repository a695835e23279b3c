/* proxy/http1/http1_client.h — the client's side of HTTP/1.1 (RFC 9112): one connection to one
 * origin endpoint.
 *
 * Connects, then carries one call after another; between two calls it lies in a pool, which owns it
 * then. A call is a request sent and the answer read; its user (an attempt, a health check) gets
 * the answer through client_ops as it comes and says when it wants no more for now. Bodies are
 * relayed, never gathered. After on_end or on_failed the call is over and the user gives the
 * connection up: http1_client_is_reusable tells whether to a pool or to http1_client_close.
 * Deadlines are the user's to choose, one at a time. One loop's thread. */
#pragma once
#include <sys/socket.h>

#include "proxy/http/framing.h"
#include "proxy/http/handler.h"
#include "proxy/io/proxy_protocol.h"
#include "proxy/io/tcp_stream.h"
#include "proxy/tls/tls_client.h"

struct http1_client;

/* How a call failed. */
enum client_failure {
    CLIENT_REFUSED,     /* the connection could not be made */
    CLIENT_TLS,         /* it was, and then there was no TLS: by handshake or certificate */
    CLIENT_TLS_TIMEOUT, /* the deadline passed in the handshake */
    CLIENT_TIMEOUT,     /* the armed deadline passed */
    CLIENT_RESET,       /* the connection ended before the answer's head was complete */
    CLIENT_MALFORMED,   /* the answer breaks the rules (reject says which) */
    CLIENT_TRUNCATED,   /* the connection ended within the body */
    CLIENT_MEMORY       /* no memory to go on: not the origin's fault */
};

struct client_ops {
    /* The connection is made; http1_client_send may follow. */
    void (*on_connected)(void *call);
    /* A 1xx answer other than 101. Fields are lent until return, here and below. */
    void (*on_inform)(void *call, const struct response *response);
    /* The final head, or 101 after which both directions carry plain bytes. */
    void (*on_head)(void *call, const struct response *response);
    void (*on_body)(void *call, struct bytes piece);
    /* The answer is complete; trailers may be NULL. */
    void (*on_end)(void *call, const struct fields *trailers);
    /* What was written has left: more of the request's body may come. */
    void (*on_drained)(void *call);
    void (*on_failed)(void *call, enum client_failure failure);
};

/* Whoever keeps the connection while no call is on it. */
struct client_keeper {
    /* The origin ended an idle connection, or it was idle for too long; it is closing: forget it.
     */
    void (*on_idle_ended)(struct client_keeper *keeper, struct http1_client *client);
    /* The connection is closed and about to be freed, idle or not. */
    void (*on_closed)(struct client_keeper *keeper, struct http1_client *client);
};

/* Where a connection goes. All is lent for the call but `resume`, which is borrowed while the
 * connection lives. */
struct client_way {
    struct tcp_route route;
    struct tls_client *tls;    /* NULL: not sealed */
    const char *name;          /* with tls: the origin's host */
    struct tls_resume *resume; /* with tls; NULL: every handshake is a full one */
};

/* Starts to connect for `call`; on_connected or on_failed tell how it went, the deadline for all of
 * it, the TLS handshake included, is `connect_us`. `keeper` and `limits` are borrowed while the
 * connection lives. ERR_NOMEM, ERR_LIMIT (descriptors), ERR_IO. */
MUST_USE enum err http1_client_connect(struct loop *loop, const struct client_way *way,
                                       const struct framing_limits *limits, uint64_t connect_us,
                                       struct client_keeper *keeper, const struct client_ops *ops,
                                       void *call, struct http1_client **ret_client);
/* Right after http1_client_connect: says who asks, ahead of everything, TLS too. The connection is
 * this client's and carries no other call. Inside an event. */
void http1_client_announce(struct http1_client *client, enum proxy_protocol version,
                           const struct proxy_ends *ends);
/* Was the connection made as `tls` would make it now? */
bool http1_client_is_sealed_by(const struct http1_client *client, const struct tls_client *tls);
/* After CLIENT_TLS: why, in words. */
void http1_client_explain(const struct http1_client *client, struct note *ret_note);
/* Idle: has the origin neither said anything since its answer, nor ended? As far as
 * stream_has_unread can know. */
bool http1_client_is_quiet(const struct http1_client *client);
/* Puts a call on an idle connection. */
void http1_client_take(struct http1_client *client, const struct client_ops *ops, void *call);

/* Whoever made the call wants no more of its answer: what is left of it is told to another one. */
void http1_client_hand_over(struct http1_client *client, const struct client_ops *ops, void *call);

/* Sends the head. ERR_SYNTAX or ERR_LIMIT when it cannot be written: nothing was sent. */
MUST_USE enum err http1_client_send(struct http1_client *client, const struct request *request);
void http1_client_send_body(struct http1_client *client, struct bytes piece);
/* The request's body is complete. In a tunnel: ends our direction. */
void http1_client_send_end(struct http1_client *client, const struct fields *trailers);
/* Bytes of the request wait for the origin. */
bool http1_client_is_blocked(const struct http1_client *client);
/* Whether pieces of the answer may come; true at first. */
void http1_client_want(struct http1_client *client, bool is_wanted);
/* Arms the one deadline of the call: on_failed(CLIENT_TIMEOUT). 0 disarms. */
void http1_client_arm(struct http1_client *client, uint64_t timeout_us);

/* Was there a call on this connection before the present one? */
bool http1_client_is_reused(const struct http1_client *client);
/* Has any byte of the answer come? */
bool http1_client_has_bytes(const struct http1_client *client);
/* Why the answer was refused, after CLIENT_MALFORMED. */
struct reject http1_client_reject(const struct http1_client *client);
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

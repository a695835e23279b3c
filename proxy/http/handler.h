/* proxy/http/handler.h — the port between a server codec below and whoever answers requests above.
 *
 * The codec (http1_server, http2_server) owns the connection, the message's framing and the
 * request's memory; the handler (the exchange for the data plane, the admin API) owns the answer.
 * For each request the codec calls open() once with the complete head. From then on the handler
 * answers through the responder's ops, and the codec tells what the client does through the
 * request's ops, until one of three last calls: the handler's end() or cut(), or the codec's
 * on_gone(). After a last call neither side touches the other again, and the arena (with the
 * handler's object, if it lives there) is gone. Bodies are pulled: the codec reads the request's
 * body only while the handler wants it, and the handler stops its source while the responder is
 * blocked. After head() with status 101 both directions carry plain bytes. Everything on one loop's
 * thread, inside an event. */
#pragma once
#include "conf/ip.h"
#include "proxy/base/arena.h"

#include "proxy/http/message.h"
#include "proxy/io/loop.h"

struct responder;

/* From the codec to the handler; `request` is what the handler put into the responder. */
struct request_ops {
    /* A piece of the request's body (decoded), lent until return. */
    void (*on_body)(void *request, struct bytes piece);
    /* The body is complete; trailers may be empty. Not called when the head announced none
     * (BODY_NONE, or a length of 0). In a tunnel: the client has finished. */
    void (*on_body_end)(void *request, const struct fields *trailers);
    /* The client has taken what was queued. */
    void (*on_drained)(void *request);
    /* The client is gone, or broke the protocol in mid-body, or was too slow: a last call. */
    void (*on_gone)(void *request, enum err why);
};

/* From the handler to the codec. */
struct responder_ops {
    /* A 1xx answer other than 101; the codec drops it where the client's version has none. */
    void (*inform)(struct responder *responder, const struct response *response);
    /* The final head (or 101), once. Framing fields and Connection are the codec's to write. */
    void (*head)(struct responder *responder, const struct response *response);
    void (*body)(struct responder *responder, struct bytes piece);
    /* Only in a tunnel: the origin has finished, the client may go on. Not a last call. */
    void (*finish)(struct responder *responder);
    /* The answer is complete, in a tunnel both directions are: a last call. `trailers` may be NULL.
     */
    void (*end)(struct responder *responder, const struct fields *trailers);
    /* The answer cannot be completed: the client must see it broken off. A last call. */
    void (*cut)(struct responder *responder);
    /* Whether pieces of the request's body may come; false at first. */
    void (*want_body)(struct responder *responder, bool is_wanted);
    /* Bytes are waiting for the client. */
    bool (*is_blocked)(const struct responder *responder);
};

struct responder {
    const struct responder_ops *ops;
    const struct request_ops *request_ops; /* set by the handler in open() */
    void *request;                         /* set by the handler in open() */
    struct arena *arena;                   /* the codec's; lasts until the last call */
    const struct ip *peer;                 /* the client's address, as the connection has it */
    unsigned peer_port;
    const struct stream *connection; /* the client's, for its ends; NULL: not to be told */
    bool is_tls;
    bool is_first_on_connection;
};

/* What a server is built on; embedded in the handler's own context. */
struct handler {
    /* A request whose head is complete and sound; `request` and its bytes live in the responder's
     * arena. */
    void (*open)(struct handler *handler, struct responder *responder,
                 const struct request *request);
};

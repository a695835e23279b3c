/* proxy/http2/http2_server.h — the server's side of HTTP/2 (RFC 9113) on one connection.
 *
 * Each stream's request goes to the handler through the same port (proxy/http/handler.h) as one of
 * HTTP/1.1 does, so whoever answers cannot tell them apart but by the version. nghttp2 reads and
 * writes frames, no more: what a head means is decided in http2_head.h, how much a client may do in
 * http2_guard.h.
 *
 * Pace. A client may send HTTP2_STREAM_WINDOW bytes of a body, HTTP2_CONNECTION_WINDOW on all
 * streams together, and gets more only when the handler has taken what came and wants more: that
 * bounds what is kept for it. Answers wait in their stream until the client's windows and the
 * socket take them; a handler whose responder is blocked stops its source. What streams have to say
 * in one turn of the loop goes out together.
 *
 * An idle connection is this object, nghttp2's session and its stream. Requests' blocks are taken
 * from the host's spares. Connections belong to themselves; the host, one per loop, lists them. One
 * loop's thread.
 *
 *     SERVING ----------------------------------------> LINGERING -----------> CLOSED
 *        client idle, GOAWAY said and the last stream over,   client closed, or the
 *        rules or budgets broken                              linger deadline
 */
#pragma once
#include "metrics/catalog.h"
#include "proxy/http/date.h"
#include "proxy/http/framing.h"
#include "proxy/http/handler.h"
#include "proxy/io/stream.h"

enum {
    HTTP2_STREAM_WINDOW = 256 * 1024,
    HTTP2_CONNECTION_WINDOW = 1024 * 1024,
    HTTP2_PREFACE_SIZE = 24
};

/* What a client's connection begins with (RFC 9113 section 3.4). */
extern const struct bytes http2_preface;

/* What the configuration says; durations in microseconds, 0 is none. */
struct http2_server_settings {
    struct framing_limits limits;
    uint64_t client_header_us;
    uint64_t client_body_us;
    uint64_t client_idle_us;
    uint64_t body_max;                    /* bytes of a request body; 0: no limit */
    uint64_t requests_per_connection_max; /* 0: no limit */
    uint32_t streams_max;                 /* open at once on a connection */
    const struct reply_pages *pages;      /* of refusals; borrowed while they are set; NULL: none */
};

struct http2_server_host {
    struct loop *loop;                     /* borrowed */
    struct handler *handler;               /* borrowed */
    struct http2_server_settings settings; /* replaced at will: each request reads it afresh */
    struct worker_cells *cells;            /* borrowed */
    struct list connections;               /* all open ones */
    size_t connection_count;
    struct list spares; /* streams' blocks that wait for use; owned */
    size_t spare_count;
    bool is_draining;
    struct date date; /* of our own answers */
};

void http2_server_host_init(struct http2_server_host *host, struct loop *loop,
                            struct handler *handler, struct worker_cells *cells,
                            const struct http2_server_settings *settings);
/* Frees the spares; every connection must be closed. */
void http2_server_host_finish(struct http2_server_host *host);
/* Tells every client to open no more streams, in two steps (RFC 9113 section 6.8): first that the
 * end is near, then, when that has come to the client, after which stream it is. Connections end
 * with their last stream. */
void http2_server_host_drain(struct http2_server_host *host);
/* Cuts every connection; requests under way are told on_gone. */
void http2_server_host_close_all(struct http2_server_host *host);

/* Serves a fresh connection: takes the stream, which has not been read or whose first bytes the
 * caller hands to its listener next. ERR_NOMEM closes it. `peer_port` 0 for unix sockets. */
MUST_USE enum err http2_server_open(struct http2_server_host *host, struct stream *stream,
                                    const struct ip *peer, unsigned peer_port);

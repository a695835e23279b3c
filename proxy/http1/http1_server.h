/* proxy/http1/http1_server.h — the server's side of HTTP/1.1 (RFC 9112) on one connection.
 *
 * A connection reads one request at a time, hands it to the handler (proxy/http/handler.h) and
 * writes what comes back; pipelined requests wait their turn in order. An idle connection is this
 * object and its stream, nothing else: the request's block (arena, scanner, decoder) is taken from
 * the host's spares when the first byte comes and goes back with the last. Connections belong to
 * themselves; the host, one per loop and purpose, lists them. One loop's thread.
 *
 *            first byte                head complete               answer and body complete
 *     IDLE ------------> HEAD ------------------------> EXCHANGE ---------------------------> IDLE
 * (keep-alive) |  refused, too slow             |  answer complete, connection not reusable
 *                          +------------> LINGER <----------+
 *                                            |  client closed, or the linger deadline
 *                                          CLOSED
 */
#pragma once
#include "metrics/catalog.h"
#include "proxy/http/date.h"
#include "proxy/http/framing.h"
#include "proxy/http/handler.h"
#include "proxy/io/stream.h"

/* What the configuration says; durations in microseconds, 0 is none. */
struct http1_server_settings {
    struct framing_limits limits;
    uint64_t client_header_us;
    uint64_t client_body_us;
    uint64_t client_idle_us;
    uint64_t body_max;                    /* bytes of a request body; 0: no limit */
    uint64_t requests_per_connection_max; /* 0: no limit */
    const struct reply_pages *pages;      /* of refusals; borrowed while they are set; NULL: none */
};

struct http1_server_host {
    struct loop *loop;                     /* borrowed */
    struct handler *handler;               /* borrowed */
    struct http1_server_settings settings; /* replaced at will: each request reads it afresh */
    struct worker_cells *cells;            /* borrowed */
    struct list connections;               /* all open ones */
    size_t connection_count;
    struct list spares; /* request blocks that wait for use; owned */
    size_t spare_count;
    bool is_draining;
    struct date date; /* of our own answers */
};

void http1_server_host_init(struct http1_server_host *host, struct loop *loop,
                            struct handler *handler, struct worker_cells *cells,
                            const struct http1_server_settings *settings);
/* Frees the spares; every connection must be closed. */
void http1_server_host_finish(struct http1_server_host *host);
/* From now on answers end their connections, and idle connections end shortly. */
void http1_server_host_drain(struct http1_server_host *host);
/* Cuts every connection; requests under way are told on_gone. */
void http1_server_host_close_all(struct http1_server_host *host);

/* Serves a fresh connection: takes the stream. ERR_NOMEM closes it. `peer_port` 0 for unix sockets.
 */
MUST_USE enum err http1_server_open(struct http1_server_host *host, struct stream *stream,
                                    const struct ip *peer, unsigned peer_port);

/* proxy/worker/door.h — where TLS connections of a worker wait until their handshake is over.
 *
 * A connection that was accepted on an address with certificates belongs to the door until the two
 * sides understand each other, then it goes to the codec that ALPN agreed on. Whoever takes longer
 * than a request's head may is put out. Embedded in the worker; its thread. */
#pragma once
#include "metrics/catalog.h"
#include "proxy/http1/http1_server.h"
#include "proxy/tls/tls_server.h"

struct door {
    struct http1_server_host *servers; /* borrowed: where connections go */
    struct worker_cells *cells;        /* borrowed */
    struct list waiting;
    size_t waiting_count;
};

void door_init(struct door *door, struct http1_server_host *servers, struct worker_cells *cells);
/* Takes a fresh connection. ERR_NOMEM closes it. */
MUST_USE enum err door_open(struct door *door, struct stream *stream, struct tls_server *server,
                            const struct ip *peer, unsigned peer_port);
/* Puts out whoever waits. */
void door_close_all(struct door *door);

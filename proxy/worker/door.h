/* proxy/worker/door.h — where connections of a worker wait until it is known what they speak.
 *
 * A connection that was accepted on an address with certificates belongs to the door until the two
 * sides understand each other, then it goes to the codec that ALPN agreed on. A plain one that may
 * be HTTP/2 waits for its first bytes: the preface (RFC 9113 section 3.4), or HTTP/1.1 and then
 * nothing is lost. Whoever takes longer than a request's head may is put out. Embedded in the
 * worker; its thread. */
#pragma once
#include "metrics/catalog.h"
#include "proxy/http1/http1_server.h"
#include "proxy/http2/http2_server.h"
#include "proxy/tls/tls_server.h"

struct door {
    struct http1_server_host *servers;  /* borrowed: where connections go */
    struct http2_server_host *servers2; /* borrowed: ... or those in HTTP/2 */
    struct worker_cells *cells;         /* borrowed */
    struct list waiting;
    size_t waiting_count;
};

void door_init(struct door *door, struct http1_server_host *servers,
               struct http2_server_host *servers2, struct worker_cells *cells);
/* Takes a fresh plain connection that may speak HTTP/2 or HTTP/1.1. ERR_NOMEM closes it. */
MUST_USE enum err door_open_plain(struct door *door, struct stream *stream, const struct ip *peer,
                                  unsigned peer_port);
/* Takes a fresh connection that has to shake hands. ERR_NOMEM closes it. */
MUST_USE enum err door_open(struct door *door, struct stream *stream, struct tls_server *server,
                            const struct ip *peer, unsigned peer_port);
/* Puts out whoever waits. */
void door_close_all(struct door *door);

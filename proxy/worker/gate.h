/* proxy/worker/gate.h — where connections wait for the PROXY header that has to come first.
 *
 * Only connections of trusted peers, on addresses with `proxy_protocol`, pass through here. The
 * header is read before TLS; then the connection goes on as if its client had connected itself.
 * Whoever sends no header, a malformed one or none within the time for a request's head is put out.
 * Embedded in the worker; its thread. */
#pragma once
#include "metrics/catalog.h"
#include "proxy/io/proxy_protocol.h"
#include "proxy/io/stream.h"
#include "proxy/tls/tls_server.h"

/* What the address speaks that a connection came to. */
struct gate_speech {
    struct tls_server *tls; /* shared; NULL: plain */
    bool has_preface;       /* plain, and in HTTP/2 too when that is what it begins with */
};

/* Serves a connection that nobody listens to: takes the stream, also on failure. `speech` is
 * borrowed for the call. */
typedef enum err gate_serve(void *context, struct stream *stream, const struct gate_speech *speech,
                            const struct ip *peer, unsigned peer_port);

struct gate {
    gate_serve *serve;
    void *context;              /* borrowed */
    struct worker_cells *cells; /* borrowed */
    struct list waiting;
    size_t waiting_count;
};

void gate_init(struct gate *gate, gate_serve *serve, void *context, struct worker_cells *cells);
/* Takes a fresh connection from `peer`, which is what it goes on as when the header names nobody.
 * The TLS server is shared while it waits. ERR_NOMEM closes it. */
MUST_USE enum err gate_open(struct gate *gate, struct stream *stream,
                            const struct gate_speech *speech, const struct ip *peer,
                            unsigned peer_port, uint64_t timeout_us);
/* Puts out whoever waits. */
void gate_close_all(struct gate *gate);

#include "proxy/worker/gate.h"

#include <stdlib.h>

#include "proxy/base/buf.h"
#include "proxy/base/list.h"
#include "proxy/io/deadline.h"
#include "proxy/io/tcp_stream.h"

struct visitor {
    struct list link;
    struct gate *gate;     /* borrowed */
    struct stream *stream; /* gone after on_closed, or with pass */
    struct gate_speech speech;
    struct deadline deadline;
    struct buf head; /* what came of the header, when it came in parts */
    struct ip peer;
    unsigned peer_port;
};

static void forget(struct visitor *visitor)
{
    struct gate *gate = visitor->gate;
    deadline_finish(&visitor->deadline);
    buf_finish(&visitor->head);
    tls_server_unref(visitor->speech.tls);
    list_remove(&visitor->link);
    gate->waiting_count--;
    cell_decrement(&gate->cells->client_connections[METRIC_CONNECTION_ACTIVE]);
    free(visitor);
}

static void put_out(struct visitor *visitor, enum metric_connection_rejection reason)
{
    cell_increment(&visitor->gate->cells->rejected_connections[reason]);
    stream_close(visitor->stream);
}

/* The header is in: `rest` came behind it in the same breath. */
static void pass(struct visitor *visitor, const struct proxy_ends *ends, struct bytes rest)
{
    struct gate *gate = visitor->gate;
    struct stream *stream = visitor->stream;
    struct ip peer = ends->is_known ? ends->client : visitor->peer;
    unsigned peer_port = ends->is_known ? ends->client_port : visitor->peer_port;
    if (ends->is_known && tcp_stream_set_local(stream, &ends->server, ends->server_port) != OK) {
        put_out(visitor, METRIC_REFUSED_OUT_OF_MEMORY);
        return;
    }
    struct gate_speech speech = visitor->speech;
    visitor->speech.tls = NULL;
    forget(visitor);
    stream_attach(stream, NULL, NULL);
    enum err err = gate->serve(gate->context, stream, &speech, &peer, peer_port);
    tls_server_unref(speech.tls);
    if (err != OK) {
        cell_increment(&gate->cells->rejected_connections[METRIC_REFUSED_OUT_OF_MEMORY]);
    } else if (rest.size > 0) {
        stream->listener->on_read(stream, rest);
    }
}

static void on_read(struct stream *stream, struct bytes bytes)
{
    struct visitor *visitor = stream->owner;
    struct proxy_ends ends;
    struct bytes head = bytes;
    size_t before = buf_size(&visitor->head);
    size_t size = 0;
    size_t room = PROXY_PROTOCOL_MAX - before;
    struct bytes part = bytes_slice(bytes, 0, bytes.size < room ? bytes.size : room);
    if (before > 0) {
        if (buf_append(&visitor->head, part) != OK) {
            put_out(visitor, METRIC_REFUSED_OUT_OF_MEMORY);
            return;
        }
        head = buf_bytes(&visitor->head);
    }
    switch (proxy_protocol_scan(head, &ends, &size)) {
    case PROXY_SCAN_DONE:
        CHECK(size > before);
        pass(visitor, &ends, bytes_slice(bytes, size - before, bytes.size - (size - before)));
        break;
    case PROXY_SCAN_MORE:
        if (before == 0 && buf_append(&visitor->head, part) != OK) {
            put_out(visitor, METRIC_REFUSED_OUT_OF_MEMORY);
        }
        break;
    case PROXY_SCAN_REFUSED:
        put_out(visitor, METRIC_REFUSED_PROXY_HEADER);
        break;
    }
}

/* A balancer that only looks whether somebody listens says nothing, and is no news. */
static void on_end(struct stream *stream, enum err why)
{
    struct visitor *visitor = stream->owner;
    (void)why;
    if (buf_size(&visitor->head) > 0) {
        put_out(visitor, METRIC_REFUSED_PROXY_HEADER);
    } else {
        stream_close(stream);
    }
}

static void on_drained(struct stream *stream)
{
    (void)stream;
}

static void on_closed(struct stream *stream)
{
    forget(stream->owner);
}

static const struct stream_listener listener = {
    .on_read = on_read, .on_end = on_end, .on_drained = on_drained, .on_closed = on_closed};

static void on_deadline(struct deadline *deadline)
{
    struct visitor *visitor = CONTAINER_OF(deadline, struct visitor, deadline);
    put_out(visitor, METRIC_REFUSED_PROXY_TIMEOUT);
}

void gate_init(struct gate *gate, gate_serve *serve, void *context, struct worker_cells *cells)
{
    *gate = (struct gate){.serve = serve, .context = context, .cells = cells};
    list_init(&gate->waiting);
}

enum err gate_open(struct gate *gate, struct stream *stream, const struct gate_speech *speech,
                   const struct ip *peer, unsigned peer_port, uint64_t timeout_us)
{
    struct visitor *visitor = calloc(1, sizeof *visitor);
    if (visitor == NULL) {
        stream_close(stream);
        return ERR_NOMEM;
    }
    *visitor = (struct visitor){
        .gate = gate,
        .stream = stream,
        .speech = *speech,
        .peer = *peer,
        .peer_port = peer_port,
    };
    if (speech->tls != NULL) {
        (void)tls_server_ref(speech->tls);
    }
    buf_init(&visitor->head, PROXY_PROTOCOL_MAX);
    list_push_back(&gate->waiting, &visitor->link);
    gate->waiting_count++;
    cell_increment(&gate->cells->client_connections[METRIC_CONNECTION_ACTIVE]);
    deadline_init(&visitor->deadline, on_deadline);
    deadline_arm(&stream->loop->wheel, &visitor->deadline, timeout_us);
    stream_attach(stream, &listener, visitor);
    stream_read_start(stream);
    return OK;
}

/* Closing is told later, so that the list does not change under the walk. */
void gate_close_all(struct gate *gate)
{
    for (struct list *link = gate->waiting.next; link != &gate->waiting; link = link->next) {
        stream_close(CONTAINER_OF(link, struct visitor, link)->stream);
    }
}

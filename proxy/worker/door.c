#include "proxy/worker/door.h"

#include <assert.h>
#include <stdlib.h>

#include "proxy/tls/tls_stream.h"

static_assert((int)TLS_RESULT_COUNT == (int)METRIC_TLS_COUNT, "one label value per result");

struct guest {
    struct list link;
    struct door *door;     /* borrowed */
    struct stream *stream; /* NULL once it is closed, or went to a codec */
    struct deadline deadline;
    struct ip peer;
    unsigned peer_port;
};

static void count(const struct guest *guest, enum tls_result result)
{
    cell_increment(&guest->door->cells->tls_handshakes[result]);
}

static void forget(struct guest *guest)
{
    struct door *door = guest->door;
    deadline_finish(&guest->deadline);
    list_remove(&guest->link);
    door->waiting_count--;
    cell_decrement(&door->cells->client_connections[METRIC_CONNECTION_ACTIVE]);
    free(guest);
}

static void on_connected(struct stream *stream, enum err err)
{
    struct guest *guest = stream->owner;
    struct door *door = guest->door;
    count(guest, tls_stream_result(stream));
    deadline_disarm(&guest->deadline);
    if (err != OK) {
        stream_close(stream);
        return;
    }
    struct ip peer = guest->peer;
    unsigned peer_port = guest->peer_port;
    forget(guest);
    if (http1_server_open(door->servers, stream, &peer, peer_port) != OK) {
        cell_increment(&door->cells->rejected_connections[METRIC_REFUSED_OUT_OF_MEMORY]);
    }
}

static void on_closed(struct stream *stream)
{
    forget(stream->owner);
}

/* The stream is silent before on_connected; what follows a failed handshake says no more. */
static void on_read(struct stream *stream, struct bytes bytes)
{
    (void)stream;
    (void)bytes;
}

static void on_end(struct stream *stream, enum err why)
{
    (void)why;
    stream_close(stream);
}

static void on_drained(struct stream *stream)
{
    (void)stream;
}

static const struct stream_listener listener = {.on_read = on_read,
                                                .on_end = on_end,
                                                .on_drained = on_drained,
                                                .on_connected = on_connected,
                                                .on_closed = on_closed};

static void on_deadline(struct deadline *deadline)
{
    struct guest *guest = CONTAINER_OF(deadline, struct guest, deadline);
    count(guest, TLS_TIMEOUT);
    stream_close(guest->stream);
}

void door_init(struct door *door, struct http1_server_host *servers, struct worker_cells *cells)
{
    *door = (struct door){.servers = servers, .cells = cells};
    list_init(&door->waiting);
}

enum err door_open(struct door *door, struct stream *stream, struct tls_server *server,
                   const struct ip *peer, unsigned peer_port)
{
    struct guest *guest = calloc(1, sizeof *guest);
    if (guest == NULL) {
        stream_close(stream);
        return ERR_NOMEM;
    }
    *guest = (struct guest){.door = door, .peer = *peer, .peer_port = peer_port};
    enum err err = tls_stream_accept(stream, server, &listener, guest, &guest->stream);
    if (err != OK) {
        free(guest);
        return err;
    }
    list_push_back(&door->waiting, &guest->link);
    door->waiting_count++;
    cell_increment(&door->cells->client_connections[METRIC_CONNECTION_ACTIVE]);
    deadline_init(&guest->deadline, on_deadline);
    deadline_arm(&door->servers->loop->wheel, &guest->deadline,
                 door->servers->settings.client_header_us);
    return OK;
}

/* Closing is told later, so that the list does not change under the walk. */
void door_close_all(struct door *door)
{
    for (struct list *link = door->waiting.next; link != &door->waiting; link = link->next) {
        stream_close(CONTAINER_OF(link, struct guest, link)->stream);
    }
}

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
    size_t held_size; /* plain: of the preface, so far */
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

static void on_closed(struct stream *stream)
{
    forget(stream->owner);
}

/* The codec has the stream from here on; without memory it is closing. */
static void hand_over(struct guest *guest, struct stream *stream, bool is_http2)
{
    struct door *door = guest->door;
    struct ip peer = guest->peer;
    unsigned peer_port = guest->peer_port;
    forget(guest);
    stream_attach(stream, &stream_nobody, NULL);
    enum err err = is_http2 ? http2_server_open(door->servers2, stream, &peer, peer_port)
                            : http1_server_open(door->servers, stream, &peer, peer_port);
    if (err != OK) {
        cell_increment(&door->cells->rejected_connections[METRIC_REFUSED_OUT_OF_MEMORY]);
    }
}

static void on_connected(struct stream *stream, enum err err)
{
    struct guest *guest = stream->owner;
    count(guest, tls_stream_result(stream));
    deadline_disarm(&guest->deadline);
    if (err != OK) {
        stream_close(stream);
        return;
    }
    hand_over(guest, stream, bytes_equal(tls_stream_protocol(stream), BYTES("h2")));
}

/* The stream is silent before on_connected; what follows a failed handshake says no more. */
static const struct stream_listener listener = {.on_read = stream_ignore_read,
                                                .on_end = stream_close_at_end,
                                                .on_drained = stream_ignore,
                                                .on_connected = on_connected,
                                                .on_closed = on_closed};

static void on_deadline(struct deadline *deadline)
{
    struct guest *guest = CONTAINER_OF(deadline, struct guest, deadline);
    if (tls_stream_is(guest->stream)) {
        count(guest, TLS_TIMEOUT);
    }
    stream_close(guest->stream);
}

/* ---- plain ---- */

static void feed(struct stream *stream, struct bytes bytes)
{
    if (bytes.size > 0 && !stream->is_closing) {
        stream->listener->on_read(stream, bytes);
    }
}

/* The first byte that is not the preface's says that it is HTTP/1.1. */
static void on_plain_read(struct stream *stream, struct bytes bytes)
{
    struct guest *guest = stream->owner;
    struct bytes held = bytes_slice(http2_preface, 0, guest->held_size);
    size_t left = http2_preface.size - held.size;
    size_t size = bytes.size < left ? bytes.size : left;
    struct bytes wanted = bytes_slice(http2_preface, held.size, size);
    bool is_like_it = bytes_equal(bytes_slice(bytes, 0, size), wanted);
    if (is_like_it && size < left) {
        guest->held_size += size;
        return;
    }
    hand_over(guest, stream, is_like_it);
    feed(stream, held);
    feed(stream, bytes);
}

static const struct stream_listener plain_listener = {.on_read = on_plain_read,
                                                      .on_end = stream_close_at_end,
                                                      .on_drained = stream_ignore,
                                                      .on_closed = on_closed};

/* ---- making ---- */

void door_init(struct door *door, struct http1_server_host *servers,
               struct http2_server_host *servers2, struct worker_cells *cells)
{
    *door = (struct door){.servers = servers, .servers2 = servers2, .cells = cells};
    list_init(&door->waiting);
}

static void let_in(struct guest *guest)
{
    struct door *door = guest->door;
    list_push_back(&door->waiting, &guest->link);
    door->waiting_count++;
    cell_increment(&door->cells->client_connections[METRIC_CONNECTION_ACTIVE]);
    deadline_init(&guest->deadline, on_deadline);
    deadline_arm(&door->servers->loop->wheel, &guest->deadline,
                 door->servers->settings.client_header_us);
}

enum err door_open_plain(struct door *door, struct stream *stream, const struct ip *peer,
                         unsigned peer_port)
{
    struct guest *guest = calloc(1, sizeof *guest);
    if (guest == NULL) {
        stream_close(stream);
        return ERR_NOMEM;
    }
    *guest = (struct guest){.door = door, .stream = stream, .peer = *peer, .peer_port = peer_port};
    let_in(guest);
    stream_attach(stream, &plain_listener, guest);
    stream_read_start(stream);
    return OK;
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
    let_in(guest);
    return OK;
}

/* Closing is told later, so that the list does not change under the walk. */
void door_close_all(struct door *door)
{
    for (struct list *link = door->waiting.next; link != &door->waiting; link = link->next) {
        stream_close(CONTAINER_OF(link, struct guest, link)->stream);
    }
}

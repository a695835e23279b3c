#include "canary/admin/hall.h"

#include <stdio.h>
#include <stdlib.h>

#include "canary/admin/problem.h"
#include "proxy/tls/tls_stream.h"

struct guest {
    struct list link;
    struct hall *hall;     /* borrowed */
    struct stream *stream; /* borrowed: itself until it is closed */
    struct deadline deadline;
    struct ip peer;
};

static void forget(struct guest *guest)
{
    deadline_finish(&guest->deadline);
    list_remove(&guest->link);
    guest->hall->guest_count--;
    free(guest);
}

static void on_closed(struct stream *stream)
{
    forget(stream->owner);
}

/* The codec has the stream from here on; without memory it is closing. */
static void hand_over(struct guest *guest, struct stream *stream)
{
    struct http1_server_host *host = guest->hall->host;
    struct ip peer = guest->peer;
    forget(guest);
    stream_attach(stream, &stream_nobody, NULL);
    enum err err = http1_server_open(host, stream, &peer, 0);
    (void)err;
}

/* Nothing was sealed yet, so it can be said below. */
static void say_plainly(struct stream *under)
{
    static const char body[] =
        "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
        "\"detail\":\"This address speaks HTTPS: the URL begins with https://.\"}\n";
    char head[256];
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 400 Bad Request\r\nContent-Type: " PROBLEM_CONTENT_TYPE
                        "\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                        sizeof body - 1);
    CHECK(size > 0);
    CHECK((size_t)size < sizeof head);
    stream_write_one(under, bytes_make(head, (size_t)size));
    stream_write_one(under, bytes_make(body, sizeof body - 1));
    stream_flush(under);
}

static void on_connected(struct stream *stream, enum err err)
{
    struct guest *guest = stream->owner;
    deadline_disarm(&guest->deadline);
    if (err == OK) {
        hand_over(guest, stream);
        return;
    }
    if (tls_stream_result(stream) == TLS_PLAIN_HTTP) {
        say_plainly(stream->under);
    }
    stream_close(stream);
}

/* The stream is silent before on_connected; what follows a failed handshake says no more. */
static const struct stream_listener listener = {.on_read = stream_ignore_read,
                                                .on_end = stream_close_at_end,
                                                .on_drained = stream_ignore,
                                                .on_connected = on_connected,
                                                .on_closed = on_closed};

static void on_deadline(struct deadline *deadline)
{
    stream_close(CONTAINER_OF(deadline, struct guest, deadline)->stream);
}

void hall_init(struct hall *hall, struct http1_server_host *host)
{
    *hall = (struct hall){.host = host};
    list_init(&hall->guests);
}

enum err hall_open(struct hall *hall, struct stream *stream, struct tls_server *server,
                   const struct ip *peer)
{
    struct guest *guest = calloc(1, sizeof *guest);
    if (guest == NULL) {
        stream_close(stream);
        return ERR_NOMEM;
    }
    *guest = (struct guest){.hall = hall, .peer = *peer};
    enum err err = tls_stream_accept(stream, server, &listener, guest, &guest->stream);
    if (err != OK) {
        free(guest);
        return err;
    }
    list_push_back(&hall->guests, &guest->link);
    hall->guest_count++;
    deadline_init(&guest->deadline, on_deadline);
    deadline_arm(&hall->host->loop->wheel, &guest->deadline, hall->host->settings.client_header_us);
    return OK;
}

/* Closing is told later, so that the list does not change under the walk. */
void hall_close_all(struct hall *hall)
{
    for (struct list *link = hall->guests.next; link != &hall->guests; link = link->next) {
        stream_close(CONTAINER_OF(link, struct guest, link)->stream);
    }
}

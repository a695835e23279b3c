/* proxy/http2/http2_server_host.c — what the connections of one loop share: spare blocks, the
 * drain. */
#include <stdlib.h>

#include "proxy/http2/http2_server_state.h"

enum {
    SPARES_MAX = 1024,        /* streams' blocks kept for use */
    SPARE_BUF_MAX = 8 * 1024, /* what a spare block may keep for an answer */
    ARENA_MAX = 1024 * 1024,  /* bytes of one request's memory */
    OUT_MAX = HTTP2_OUT_HIGH + 4 * LOOP_READ_SIZE,
};

const struct bytes http2_preface = {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP2_PREFACE_SIZE};

static struct http2_stream *take_spare(struct http2_server_host *host)
{
    struct list *spare = list_pop_front(&host->spares);
    if (spare != NULL) {
        host->spare_count--;
        return CONTAINER_OF(spare, struct http2_stream, link);
    }
    struct http2_stream *stream = calloc(1, sizeof *stream);
    if (stream != NULL) {
        list_init(&stream->link);
        arena_init(&stream->arena, ARENA_MAX);
        buf_init(&stream->in, HTTP2_STREAM_WINDOW);
        buf_init(&stream->out.waiting, OUT_MAX);
    }
    return stream;
}

struct http2_stream *http2_server_take_block(struct http2_server *server, int32_t id)
{
    struct http2_stream *stream = take_spare(server->host);
    if (stream == NULL) {
        return NULL;
    }
    struct arena arena = stream->arena;
    struct buf in = stream->in;
    struct buf out = stream->out.waiting;
    *stream = (struct http2_stream){.server = server,
                                    .id = id,
                                    .arena = arena,
                                    .in = in,
                                    .out = {.waiting = out},
                                    .limits = server->host->settings.limits};
    list_init(&stream->link);
    list_init(&stream->due);
    return stream;
}

static void trim(struct buf *buf)
{
    size_t max = buf->max;
    if (buf->capacity > SPARE_BUF_MAX) {
        buf_finish(buf);
        buf_init(buf, max);
    } else {
        buf_clear(buf);
    }
}

static void free_block(struct http2_stream *stream)
{
    arena_finish(&stream->arena);
    buf_finish(&stream->in);
    buf_finish(&stream->out.waiting);
    free(stream);
}

void http2_server_give_block(struct http2_server_host *host, struct http2_stream *stream)
{
    list_remove(&stream->due);
    list_remove(&stream->link);
    if (host->spare_count >= SPARES_MAX) {
        free_block(stream);
        return;
    }
    arena_reset(&stream->arena);
    trim(&stream->in);
    trim(&stream->out.waiting);
    list_push_front(&host->spares, &stream->link);
    host->spare_count++;
}

void http2_server_host_init(struct http2_server_host *host, struct loop *loop,
                            struct handler *handler, struct worker_cells *cells,
                            const struct http2_server_settings *settings)
{
    *host = (struct http2_server_host){
        .loop = loop, .handler = handler, .settings = *settings, .cells = cells};
    list_init(&host->connections);
    list_init(&host->spares);
}

void http2_server_host_finish(struct http2_server_host *host)
{
    CHECK(host->connection_count == 0);
    for (struct list *link = list_pop_front(&host->spares); link != NULL;
         link = list_pop_front(&host->spares)) {
        free_block(CONTAINER_OF(link, struct http2_stream, link));
    }
    host->spare_count = 0;
}

void http2_server_host_drain(struct http2_server_host *host)
{
    host->is_draining = true;
    for (struct list *link = host->connections.next; link != &host->connections;
         link = link->next) {
        http2_server_say_farewell(CONTAINER_OF(link, struct http2_server, link));
    }
}

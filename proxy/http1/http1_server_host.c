/* proxy/http1/http1_server_host.c — what the connections of one loop share: spare blocks, the
 * drain. */
#include <stdlib.h>

#include "proxy/http1/http1_server_state.h"

enum {
    SPARES_MAX = 1024,      /* request blocks kept for use */
    ARENA_MAX = 512 * 1024, /* bytes of one request's memory */
};

struct http1_request *http1_server_take_block(struct http1_server *server)
{
    struct http1_server_host *host = server->host;
    struct list *spare = list_pop_front(&host->spares);
    struct http1_request *request;
    if (spare != NULL) {
        host->spare_count--;
        request = CONTAINER_OF(spare, struct http1_request, link);
    } else {
        request = calloc(1, sizeof *request);
        if (request == NULL) {
            return NULL;
        }
        list_init(&request->link);
        arena_init(&request->arena, ARENA_MAX);
    }
    buf_init(&request->pending, host->settings.limits.head_max + 2 * (size_t)LOOP_READ_SIZE);
    request->server = server;
    return request;
}

void http1_server_give_block(struct http1_server_host *host, struct http1_request *request)
{
    buf_finish(&request->pending);
    if (host->spare_count < SPARES_MAX) {
        arena_reset(&request->arena);
        list_push_front(&host->spares, &request->link);
        host->spare_count++;
    } else {
        arena_finish(&request->arena);
        free(request);
    }
}

void http1_server_host_init(struct http1_server_host *host, struct loop *loop,
                            struct handler *handler, struct worker_cells *cells,
                            const struct http1_server_settings *settings)
{
    *host = (struct http1_server_host){
        .loop = loop, .handler = handler, .settings = *settings, .cells = cells};
    list_init(&host->connections);
    list_init(&host->spares);
}

void http1_server_host_finish(struct http1_server_host *host)
{
    CHECK(host->connection_count == 0);
    for (struct list *link = list_pop_front(&host->spares); link != NULL;
         link = list_pop_front(&host->spares)) {
        struct http1_request *request = CONTAINER_OF(link, struct http1_request, link);
        arena_finish(&request->arena);
        free(request);
    }
    host->spare_count = 0;
}

void http1_server_host_drain(struct http1_server_host *host)
{
    host->is_draining = true;
    for (struct list *link = host->connections.next; link != &host->connections;
         link = link->next) {
        struct http1_server *server = CONTAINER_OF(link, struct http1_server, link);
        if (server->state == SERVER_IDLE) {
            http1_server_arm(server, DRAIN_IDLE_US);
        }
    }
}

/* Closing tells handlers, who may not open connections here, so the list only stays as it is until
 * on_closed. */
void http1_server_host_close_all(struct http1_server_host *host)
{
    host->is_draining = true;
    for (struct list *link = host->connections.next; link != &host->connections;
         link = link->next) {
        http1_server_cut(CONTAINER_OF(link, struct http1_server, link));
    }
}

#include "proxy/upstream/endpoint.h"

#include <stdlib.h>

enum err endpoint_create(struct bytes name, size_t worker_count, struct endpoint **ret_endpoint)
{
    struct endpoint *endpoint = calloc(1, sizeof *endpoint);
    char *copy = malloc(name.size + 1);
    if (endpoint == NULL || copy == NULL) {
        goto no_memory;
    }
    if (block_create(worker_count, sizeof(struct endpoint_cells), &endpoint->cells) != OK ||
        block_create(worker_count, sizeof(struct endpoint_seat), &endpoint->seats) != OK) {
        goto no_memory;
    }
    memcpy(copy, name.data, name.size);
    copy[name.size] = '\0';
    endpoint->name = bytes_make(copy, name.size);
    endpoint->reference_count = 1;
    atomic_init(&endpoint->is_healthy, true);
    *ret_endpoint = endpoint;
    return OK;

no_memory:
    if (endpoint != NULL) {
        block_unref(endpoint->cells);
        block_unref(endpoint->seats);
    }
    free(copy);
    free(endpoint);
    return ERR_NOMEM;
}

struct endpoint *endpoint_ref(struct endpoint *endpoint)
{
    endpoint->reference_count++;
    return endpoint;
}

void endpoint_unref(struct endpoint *endpoint)
{
    if (endpoint == NULL || --endpoint->reference_count > 0) {
        return;
    }
    for (size_t i = 0; i < endpoint->seats->worker_count; i++) {
        struct endpoint_seat *seat = block_cells(endpoint->seats, i);
        CHECK(cell_read(&seat->open_count) == 0);
        tls_resume_finish(&seat->resume);
    }
    block_unref(endpoint->cells);
    block_unref(endpoint->seats);
    free((char *)(uintptr_t)endpoint->name.data);
    free(endpoint);
}

static struct endpoint_seat *seat_of(struct client_keeper *keeper)
{
    return CONTAINER_OF(keeper, struct endpoint_seat, keeper);
}

static void on_idle_ended(struct client_keeper *keeper, struct http1_client *client)
{
    struct endpoint_seat *seat = seat_of(keeper);
    list_remove(http1_client_link(client));
    seat->idle_count--;
    seat->live_count--;
    cell_sub(&seat->cells->connections[METRIC_CONNECTION_IDLE], 1);
    /* Until it is closed for good it still counts as open, among the busy. */
    cell_increment(&seat->cells->connections[METRIC_CONNECTION_ACTIVE]);
}

static void on_closed(struct client_keeper *keeper, struct http1_client *client)
{
    (void)client;
    struct endpoint_seat *seat = seat_of(keeper);
    cell_sub(&seat->cells->connections[METRIC_CONNECTION_ACTIVE], 1);
    uint64_t open_count = cell_read(&seat->open_count) - 1;
    if (open_count == 0) {
        list_remove(&seat->link);
    }
    /* The last touch of the seat: endpoint_is_unused may see it, and control then frees the
     * endpoint. */
    atomic_store_explicit(&seat->open_count.value, open_count, memory_order_release);
}

bool endpoint_is_unused(const struct endpoint *endpoint)
{
    for (size_t i = 0; i < endpoint->seats->worker_count; i++) {
        const struct endpoint_seat *seat = block_cells(endpoint->seats, i);
        if (atomic_load_explicit(&seat->open_count.value, memory_order_acquire) != 0) {
            return false;
        }
    }
    return true;
}

struct endpoint_seat *endpoint_seat(struct endpoint *endpoint, size_t worker_index)
{
    struct endpoint_seat *seat = block_cells(endpoint->seats, worker_index);
    if (seat->endpoint == NULL) {
        seat->endpoint = endpoint;
        seat->cells = block_cells(endpoint->cells, worker_index);
        seat->keeper = (struct client_keeper){on_idle_ended, on_closed};
        list_init(&seat->link);
        list_init(&seat->idle);
    }
    return seat;
}

static void close_idle_one(struct endpoint_seat *seat, struct list *link)
{
    struct http1_client *client = http1_client_of_link(link);
    on_idle_ended(&seat->keeper, client);
    http1_client_close(client);
}

/* What an origin said on an idle connection was asked by nobody: taken for an answer it would be
 * the wrong one, for this request and all that follow (decision 19). */
struct http1_client *seat_checkout(struct endpoint_seat *seat, const struct tls_client *tls,
                                   const struct client_ops *ops, void *call)
{
    while (!list_is_empty(&seat->idle)) {
        struct http1_client *client = http1_client_of_link(seat->idle.next);
        if (!http1_client_is_sealed_by(client, tls) || !http1_client_is_quiet(client)) {
            close_idle_one(seat, seat->idle.next);
            continue;
        }
        list_remove(seat->idle.next);
        seat->idle_count--;
        cell_sub(&seat->cells->connections[METRIC_CONNECTION_IDLE], 1);
        cell_increment(&seat->cells->connections[METRIC_CONNECTION_ACTIVE]);
        http1_client_take(client, ops, call);
        return client;
    }
    return NULL;
}

enum err seat_connect(struct endpoint_seat *seat, struct list *seats, struct loop *loop,
                      const struct client_way *way, const struct framing_limits *limits,
                      uint64_t connect_us, uint32_t open_max, const struct client_ops *ops,
                      void *call, struct http1_client **ret_client)
{
    if (seat->live_count >= open_max && !list_is_empty(&seat->idle)) {
        close_idle_one(seat, seat->idle.previous);
    }
    if (seat->live_count >= open_max) {
        return ERR_LIMIT;
    }
    struct client_way own = *way;
    own.resume = &seat->resume;
    enum err err =
        http1_client_connect(loop, &own, limits, connect_us, &seat->keeper, ops, call, ret_client);
    if (err != OK) {
        return err;
    }
    seat->live_count++;
    cell_increment(&seat->open_count);
    cell_increment(&seat->cells->connections[METRIC_CONNECTION_ACTIVE]);
    list_remove(&seat->link);
    list_push_back(seats, &seat->link);
    return OK;
}

void seat_drop(struct endpoint_seat *seat, struct http1_client *client)
{
    seat->live_count--;
    http1_client_close(client);
}

void seat_checkin(struct endpoint_seat *seat, struct http1_client *client, uint64_t idle_us)
{
    if (seat->is_retired || !http1_client_is_reusable(client)) {
        seat_drop(seat, client);
        return;
    }
    list_push_front(&seat->idle, http1_client_link(client));
    seat->idle_count++;
    cell_sub(&seat->cells->connections[METRIC_CONNECTION_ACTIVE], 1);
    cell_increment(&seat->cells->connections[METRIC_CONNECTION_IDLE]);
    http1_client_rest(client, idle_us);
}

void seat_close_oldest(struct endpoint_seat *seat)
{
    CHECK(!list_is_empty(&seat->idle));
    close_idle_one(seat, seat->idle.previous);
}

void seat_retire(struct endpoint_seat *seat)
{
    seat->is_retired = true;
    seat_close_idle(seat);
}

void seat_close_idle(struct endpoint_seat *seat)
{
    if (seat->endpoint == NULL) {
        return;
    }
    while (!list_is_empty(&seat->idle)) {
        close_idle_one(seat, seat->idle.next);
    }
}

/* ---- draining ---- */

/* Error pages are short; whatever is not is cheaper to leave. */
enum { DRAIN_SIZE_MAX = 64 * 1024, DRAIN_US_MAX = 1000000 };

/* Lives until the answer ends, one way or the other. */
struct drain {
    struct endpoint_seat *seat;  /* borrowed */
    struct http1_client *client; /* ours until then */
    uint64_t idle_us;
    size_t left; /* bytes that are still put up with */
};

static void drop_drain(struct drain *drain)
{
    seat_drop(drain->seat, drain->client);
    free(drain);
}

static void on_drain_inform(void *call, const struct response *response)
{
    (void)call;
    (void)response;
}

static void on_drain_body(void *call, struct bytes piece)
{
    struct drain *drain = call;
    if (piece.size > drain->left) {
        drop_drain(drain);
    } else {
        drain->left -= piece.size;
    }
}

static void on_drain_end(void *call, const struct fields *trailers)
{
    (void)trailers;
    struct drain *drain = call;
    seat_checkin(drain->seat, drain->client, drain->idle_us);
    free(drain);
}

static void on_drain_written(void *call)
{
    (void)call;
}

static void on_drain_failed(void *call, enum client_failure failure)
{
    (void)failure;
    drop_drain(call);
}

void seat_drain(struct endpoint_seat *seat, struct http1_client *client, uint64_t idle_us)
{
    static const struct client_ops ops = {
        .on_inform = on_drain_inform,
        .on_body = on_drain_body,
        .on_end = on_drain_end,
        .on_drained = on_drain_written,
        .on_failed = on_drain_failed,
    };
    struct drain *drain = malloc(sizeof *drain);
    if (drain == NULL) {
        seat_drop(seat, client);
        return;
    }
    *drain = (struct drain){seat, client, idle_us, DRAIN_SIZE_MAX};
    http1_client_hand_over(client, &ops, drain);
    http1_client_arm(client, DRAIN_US_MAX);
}

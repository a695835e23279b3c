#include "proxy/upstream/seat.h"

#include <stdlib.h>

/* ---- counting ---- */

static struct endpoint_seat *seat_of(struct client_keeper *keeper)
{
    return CONTAINER_OF(keeper, struct endpoint_seat, keeper);
}

static struct endpoint_seat *seat_of_shared(struct http2_keeper *keeper)
{
    return CONTAINER_OF(keeper, struct endpoint_seat, shared_keeper);
}

static void note_opened(struct endpoint_seat *seat, struct seat_host *host)
{
    seat->live_count++;
    cell_increment(&seat->open_count);
    cell_increment(&seat->cells->connections[METRIC_CONNECTION_ACTIVE]);
    list_remove(&seat->link);
    list_push_back(&host->seats, &seat->link);
}

static void note_idle(struct endpoint_seat *seat)
{
    seat->idle_count++;
    cell_sub(&seat->cells->connections[METRIC_CONNECTION_ACTIVE], 1);
    cell_increment(&seat->cells->connections[METRIC_CONNECTION_IDLE]);
}

static void note_busy(struct endpoint_seat *seat)
{
    seat->idle_count--;
    cell_sub(&seat->cells->connections[METRIC_CONNECTION_IDLE], 1);
    cell_increment(&seat->cells->connections[METRIC_CONNECTION_ACTIVE]);
}

static void note_closed(struct endpoint_seat *seat)
{
    cell_sub(&seat->cells->connections[METRIC_CONNECTION_ACTIVE], 1);
    uint64_t open_count = cell_read(&seat->open_count) - 1;
    if (open_count == 0) {
        list_remove(&seat->link);
    }
    /* The last touch of the seat: endpoint_is_unused may see it, and control then frees the
     * endpoint. */
    atomic_store_explicit(&seat->open_count.value, open_count, memory_order_release);
}

/* ---- what connections tell ---- */

/* Until it is closed for good it still counts as open, among the busy. */
static void on_idle_ended(struct client_keeper *keeper, struct http1_client *client)
{
    struct endpoint_seat *seat = seat_of(keeper);
    list_remove(http1_client_link(client));
    seat->live_count--;
    note_busy(seat);
}

static void on_closed(struct client_keeper *keeper, struct http1_client *client)
{
    (void)client;
    note_closed(seat_of(keeper));
}

static struct client *on_http1(struct http2_keeper *keeper, struct http2_client *connection,
                               struct stream *stream, bool is_announced,
                               const struct client_ops *ops, void *call)
{
    struct endpoint_seat *seat = seat_of_shared(keeper);
    struct client *client = NULL;
    if (http1_client_adopt(stream, &seat->host->settings.limits, is_announced, &seat->keeper, ops,
                           call, &client) == OK) {
        seat->is_http1_chosen = true;
        list_remove(http2_client_link(connection));
    }
    return client;
}

static void on_ready(struct http2_keeper *keeper, struct http2_client *connection)
{
    struct endpoint_seat *seat = seat_of_shared(keeper);
    seat->is_http1_chosen = false;
    seat->streams_seen = http2_client_capacity(connection);
}

static void on_shared_idle(struct http2_keeper *keeper, struct http2_client *connection)
{
    struct endpoint_seat *seat = seat_of_shared(keeper);
    note_idle(seat);
    if (seat->is_retired) {
        http2_client_end(connection);
    }
}

static void on_shared_busy(struct http2_keeper *keeper, struct http2_client *connection)
{
    (void)connection;
    note_busy(seat_of_shared(keeper));
}

static void on_shared_ended(struct http2_keeper *keeper, struct http2_client *connection)
{
    (void)keeper;
    list_remove(http2_client_link(connection));
}

static void on_shared_closing(struct http2_keeper *keeper, struct http2_client *connection)
{
    (void)connection;
    seat_of_shared(keeper)->live_count--;
}

static void on_shared_closed(struct http2_keeper *keeper, struct http2_client *connection)
{
    (void)connection;
    note_closed(seat_of_shared(keeper));
}

static void on_violation(struct http2_keeper *keeper, enum metric_http2_violation kind)
{
    cell_increment(&seat_of_shared(keeper)->cells->http2_violations[kind]);
}

void seat_init(struct endpoint_seat *seat, struct endpoint *endpoint, struct endpoint_cells *cells)
{
    seat->endpoint = endpoint;
    seat->cells = cells;
    seat->keeper = (struct client_keeper){on_idle_ended, on_closed};
    seat->shared_keeper = (struct http2_keeper){
        .on_http1 = on_http1,
        .on_ready = on_ready,
        .on_idle = on_shared_idle,
        .on_busy = on_shared_busy,
        .on_ended = on_shared_ended,
        .on_closing = on_shared_closing,
        .on_closed = on_shared_closed,
        .on_violation = on_violation,
    };
    list_init(&seat->link);
    list_init(&seat->idle);
    list_init(&seat->shared);
}

/* ---- finding ---- */

/* What an origin says on an idle connection may well be its end. */
static bool is_at_rest(const struct http2_client *connection)
{
    return !http2_client_is_idle(connection) || http2_client_is_quiet(connection);
}

/* A shared connection with room, or NULL. For one who has just lost a connection it must be quiet:
 * where one has ended others have, and the loop may not have come to them yet. */
static struct http2_client *find_room(const struct endpoint_seat *seat,
                                      const struct tls_client *tls, bool is_fresh)
{
    for (struct list *link = seat->shared.next; link != &seat->shared; link = link->next) {
        struct http2_client *connection = http2_client_of_link(link);
        if (http2_client_has_room(connection) && http2_client_is_sealed_by(connection, tls) &&
            (is_fresh ? http2_client_is_quiet(connection) : is_at_rest(connection))) {
            return connection;
        }
    }
    return NULL;
}

/* One that is being made and will have room as far as is known, or NULL. */
static struct http2_client *find_opening(const struct endpoint_seat *seat,
                                         enum client_speech speech, const struct tls_client *tls)
{
    bool is_in_vain = speech == CLIENT_HTTP2_OR_1 && seat->is_http1_chosen;
    if (speech == CLIENT_HTTP1 || is_in_vain || list_is_empty(&seat->shared)) {
        return NULL;
    }
    uint32_t room = seat->host->settings.streams_max;
    room = seat->streams_seen > 0 && seat->streams_seen < room ? seat->streams_seen : room;
    for (struct list *link = seat->shared.next; link != &seat->shared; link = link->next) {
        struct http2_client *connection = http2_client_of_link(link);
        if (http2_client_may_wait(connection, speech, room) &&
            http2_client_is_sealed_by(connection, tls)) {
            return connection;
        }
    }
    return NULL;
}

enum seat_prospect seat_prospect(const struct endpoint_seat *seat, enum client_speech speech,
                                 const struct tls_client *tls, bool is_fresh)
{
    bool has_idle = speech != CLIENT_HTTP2 && !is_fresh && !list_is_empty(&seat->idle);
    bool is_shared = speech != CLIENT_HTTP1 && find_room(seat, tls, is_fresh) != NULL;
    if (has_idle || is_shared) {
        return SEAT_TAKES;
    }
    return find_opening(seat, speech, tls) != NULL ? SEAT_JOINS : SEAT_DIALS;
}

/* ---- checking out ---- */

static void close_idle_one(struct endpoint_seat *seat, struct list *link)
{
    struct http1_client *client = http1_client_of_link(link);
    on_idle_ended(&seat->keeper, client);
    http1_client_close(client);
}

/* What an origin said on an idle connection was asked by nobody: taken for an answer it would be
 * the wrong one, for this request and all that follow (decision 19). */
static struct client *take_idle(struct endpoint_seat *seat, const struct tls_client *tls,
                                const struct client_ops *ops, void *call)
{
    while (!list_is_empty(&seat->idle)) {
        struct http1_client *client = http1_client_of_link(seat->idle.next);
        if (!http1_client_is_sealed_by(client, tls) || !http1_client_is_quiet(client)) {
            close_idle_one(seat, seat->idle.next);
            continue;
        }
        list_remove(seat->idle.next);
        note_busy(seat);
        return http1_client_take(client, ops, call);
    }
    return NULL;
}

struct client *seat_checkout(struct endpoint_seat *seat, enum client_speech speech,
                             const struct tls_client *tls, bool is_fresh,
                             const struct client_ops *ops, void *call)
{
    struct http2_client *connection =
        speech != CLIENT_HTTP1 ? find_room(seat, tls, is_fresh) : NULL;
    struct client *client = NULL;
    if (connection != NULL && http2_client_call(connection, ops, call, 0, &client) == OK) {
        return client;
    }
    return speech != CLIENT_HTTP2 && !is_fresh ? take_idle(seat, tls, ops, call) : NULL;
}

/* ---- connecting ---- */

static struct http2_client *find_idle_shared(const struct endpoint_seat *seat)
{
    for (struct list *link = seat->shared.previous; link != &seat->shared; link = link->previous) {
        if (http2_client_is_idle(http2_client_of_link(link))) {
            return http2_client_of_link(link);
        }
    }
    return NULL;
}

void seat_close_oldest(struct endpoint_seat *seat)
{
    CHECK(seat->idle_count > 0);
    if (!list_is_empty(&seat->idle)) {
        close_idle_one(seat, seat->idle.previous);
        return;
    }
    struct http2_client *connection = find_idle_shared(seat);
    CHECK(connection != NULL);
    http2_client_end(connection);
}

static enum err dial(struct endpoint_seat *seat, struct seat_host *host,
                     const struct client_way *way, uint64_t connect_us,
                     const struct client_ops *ops, void *call, struct client **ret_client)
{
    if (way->speech == CLIENT_HTTP1) {
        return http1_client_connect(host->loop, way, &host->settings.limits, connect_us,
                                    &seat->keeper, ops, call, ret_client);
    }
    enum err err = http2_client_connect(host->loop, way, &host->settings, connect_us,
                                        &seat->shared_keeper, ops, call, ret_client);
    if (err == OK) {
        list_push_back(&seat->shared, http2_client_link(http2_client_of(*ret_client)));
    }
    return err;
}

enum err seat_connect(struct endpoint_seat *seat, struct seat_host *host,
                      const struct client_way *way, uint64_t connect_us,
                      const struct client_ops *ops, void *call, struct client **ret_client)
{
    seat->host = host;
    struct http2_client *opening =
        way->announces == PROXY_PROTOCOL_NONE ? find_opening(seat, way->speech, way->tls) : NULL;
    if (opening != NULL) {
        return http2_client_call(opening, ops, call, connect_us, ret_client);
    }
    if (seat->live_count >= host->open_max && seat->idle_count > 0) {
        seat_close_oldest(seat);
    }
    if (seat->live_count >= host->open_max) {
        return ERR_LIMIT;
    }
    struct client_way own = *way;
    own.resume = &seat->resume;
    enum err err = dial(seat, host, &own, connect_us, ops, call, ret_client);
    if (err == OK) {
        note_opened(seat, host);
    }
    return err;
}

/* ---- giving back ---- */

void seat_drop(struct endpoint_seat *seat, struct client *client)
{
    if (http1_client_of(client) != NULL) {
        seat->live_count--;
    }
    client_close(client);
}

void seat_checkin(struct endpoint_seat *seat, struct client *client, uint64_t idle_us)
{
    struct http1_client *own = http1_client_of(client);
    if (own == NULL || seat->is_retired || !http1_client_is_reusable(own)) {
        seat_drop(seat, client);
        return;
    }
    list_push_front(&seat->idle, http1_client_link(own));
    note_idle(seat);
    http1_client_rest(own, idle_us);
}

void seat_close_idle(struct endpoint_seat *seat)
{
    while (seat->endpoint != NULL && seat->idle_count > 0) {
        seat_close_oldest(seat);
    }
}

void seat_retire(struct endpoint_seat *seat)
{
    seat->is_retired = true;
    seat_close_idle(seat);
}

/* ---- draining ---- */

/* Error pages are short; whatever is not is cheaper to leave. */
enum { DRAIN_SIZE_MAX = 64 * 1024, DRAIN_US_MAX = 1000000 };

/* Lives until the answer ends, one way or the other. */
struct drain {
    struct endpoint_seat *seat; /* borrowed */
    struct client *client;      /* ours until then */
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

void seat_drain(struct endpoint_seat *seat, struct client *client, uint64_t idle_us)
{
    static const struct client_ops ops = {
        .on_inform = on_drain_inform,
        .on_body = on_drain_body,
        .on_end = on_drain_end,
        .on_drained = on_drain_written,
        .on_failed = on_drain_failed,
    };
    bool is_shared = http1_client_of(client) == NULL;
    struct drain *drain = is_shared ? NULL : malloc(sizeof *drain);
    if (drain == NULL) {
        seat_drop(seat, client);
        return;
    }
    *drain = (struct drain){seat, client, idle_us, DRAIN_SIZE_MAX};
    client_hand_over(client, &ops, drain);
    client_arm(client, DRAIN_US_MAX);
    client_want(client, true);
}

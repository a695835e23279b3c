/* proxy/exchange/mirror.c — see mirror.h. */
#include "proxy/exchange/mirror.h"

#include <stdlib.h>

#include "proxy/exchange/exchange_state.h"
#include "proxy/upstream/balance.h"
#include "router/mirror.h"

enum {
    MIRROR_TAG = TAG('m', 'i', 'r', 'r'),
    MIRROR_ARENA_MAX = 256 * 1024,
    MIRROR_HEAD_US_MAX = 60000000 /* an answer that takes longer than this is late by any measure */
};

struct mirror {
    unsigned tag;
    struct list link;                   /* in the host's */
    struct exchange_host *host;         /* borrowed */
    struct service *service;            /* borrowed: the newest snapshot names it, */
    struct version *version;            /* ... and this one as its canary */
    struct endpoint_seat *seat;         /* borrowed: kept by the connection */
    struct client *client;              /* ours while there is one */
    struct deadline deadline;           /* for the head, then for the body */
    struct request request;             /* in the arena */
    enum proxy_protocol proxy_protocol; /* what its connection begins with ... */
    struct proxy_ends ends;             /* ... and says */
    struct tls_client *tls;             /* shared; NULL: plain */
    const char *name;                   /* with tls; in the arena */
    enum client_speech speech;
    union address addresses[SNAPSHOT_ADDRESSES_MAX];
    uint32_t address_count;
    uint32_t address;
    uint64_t connect_us;
    uint64_t head_us;
    uint64_t idle_us;
    size_t body_left;
    unsigned status; /* of the final head; 0 before */
    bool is_sent;
    bool is_counted;
    bool is_unprocessed; /* as of an attempt */
    bool is_stream_reset;
    struct arena arena;
};

static struct mirror *mirror_of(void *call)
{
    struct mirror *mirror = call;
    CHECK(mirror->tag == MIRROR_TAG);
    return mirror;
}

static struct service_seat *service_seat_of(const struct mirror *mirror)
{
    return service_seat(mirror->service, mirror->host->worker_index);
}

static struct service_cells *cells_of(const struct mirror *mirror)
{
    return block_cells(mirror->service->cells, mirror->host->worker_index);
}

/* As the newest snapshot has it; NULL: it has none of that name. */
static const struct snapshot_service *service_of(const struct mirror *mirror)
{
    const struct snapshot *snapshot = mirror->host->snapshot;
    for (size_t i = 0; i < snapshot->service_count; i++) {
        if (snapshot->services[i].service == mirror->service) {
            return &snapshot->services[i];
        }
    }
    return NULL;
}

/* ---- ending ---- */

static void destroy(struct mirror *mirror)
{
    CHECK(mirror->client == NULL);
    CHECK(service_seat_of(mirror)->mirror_count > 0);
    service_seat_of(mirror)->mirror_count--;
    list_remove(&mirror->link);
    deadline_finish(&mirror->deadline);
    tls_client_unref(mirror->tls);
    arena_finish(&mirror->arena);
    mirror->tag = 0;
    free(mirror);
}

static void drop_client(struct mirror *mirror)
{
    struct client *client = mirror->client;
    mirror->client = NULL;
    if (client != NULL) {
        seat_drop(mirror->seat, client);
    }
}

static void cancel(struct mirror *mirror)
{
    drop_client(mirror);
    destroy(mirror);
}

/* For want of something that is ours to have. */
static void drop(struct mirror *mirror)
{
    cell_increment(&cells_of(mirror)->mirror_dropped);
    cancel(mirror);
}

/* What a real attempt would count for the judge, but for latency: a copy often meets cold caches,
 * and nobody waits for it. A pooled connection that turned out closed would have been tried again,
 * so it counts for nothing. */
static void count(struct mirror *mirror, enum attempt_end end)
{
    bool is_reused = mirror->client != NULL && mirror->client->is_reused;
    const struct snapshot_service *service = service_of(mirror);
    CHECK(service != NULL);
    struct attempt_facts facts = {
        .end = end,
        .status = mirror->status,
        .is_failing_status = conf_failures_have(&service->conf->failures, mirror->status),
        .is_reused = is_reused,
        .has_response_bytes = mirror->client != NULL && mirror->client->has_bytes,
        .is_unprocessed = mirror->is_unprocessed,
        .is_stream_reset = mirror->is_stream_reset,
        .is_retried = mirror->is_unprocessed || (is_reused && !mirror->is_stream_reset),
        .is_judged = true,
        .is_counted = mirror->is_counted,
    };
    struct outcome outcome = outcome_of(&facts);
    struct version_cells *cells = block_cells(mirror->version->cells, mirror->host->worker_index);
    outcome_enter(&outcome, &facts, cells);
    mirror->is_counted = mirror->is_counted || outcome.is_request;
}

static void finish(struct mirror *mirror, enum attempt_end end)
{
    if (!mirror->is_sent) {
        cell_increment(&cells_of(mirror)->mirrored);
    }
    count(mirror, end);
    cancel(mirror);
}

/* ---- sending ---- */

static void on_deadline(struct deadline *deadline)
{
    struct mirror *mirror = CONTAINER_OF(deadline, struct mirror, deadline);
    CHECK(mirror->tag == MIRROR_TAG);
    finish(mirror, mirror->status != 0 ? ATTEMPT_SETTLED : ATTEMPT_HEAD_TIMEOUT);
}

static void send_request(struct mirror *mirror)
{
    if (client_send(mirror->client, &mirror->request) != OK) {
        drop(mirror);
        return;
    }
    mirror->is_sent = true;
    cell_increment(&cells_of(mirror)->mirrored);
    deadline_arm(&mirror->host->loop->wheel, &mirror->deadline, mirror->head_us);
}

static const struct client_ops mirror_client_ops;

static void connect_endpoint(struct mirror *mirror)
{
    struct exchange_host *host = mirror->host;
    struct client_way way = {.route = {mirror->addresses, mirror->address_count, mirror->address},
                             .tls = mirror->tls,
                             .name = mirror->name,
                             .speech = mirror->speech,
                             .announces = mirror->proxy_protocol,
                             .ends = &mirror->ends};
    enum err err = seat_connect(mirror->seat, &host->upstream, &way, mirror->connect_us,
                                &mirror_client_ops, mirror, &mirror->client);
    if (err == ERR_LIMIT || err == ERR_NOMEM) {
        drop(mirror);
    } else if (err != OK) {
        finish(mirror, ATTEMPT_CONNECT_FAILED);
    }
}

static void reach_endpoint(struct mirror *mirror)
{
    mirror->client = mirror->proxy_protocol == PROXY_PROTOCOL_NONE
                         ? seat_checkout(mirror->seat, mirror->speech, mirror->tls, false,
                                         &mirror_client_ops, mirror)
                         : NULL;
    if (mirror->client != NULL) {
        send_request(mirror);
    } else {
        connect_endpoint(mirror);
    }
}

void mirror_start(struct mirror *mirror)
{
    if (mirror != NULL) {
        reach_endpoint(mirror);
    }
}

/* ---- the answer ---- */

static void on_connected(void *call, struct client *client)
{
    struct mirror *mirror = mirror_of(call);
    mirror->client = client;
    send_request(mirror);
}

static void on_turned_away(void *call)
{
    struct mirror *mirror = mirror_of(call);
    mirror->client = NULL;
    reach_endpoint(mirror);
}

static void on_inform(void *call, const struct response *response)
{
    (void)call;
    (void)response;
}

static void on_head(void *call, const struct response *response)
{
    struct mirror *mirror = mirror_of(call);
    mirror->status = response->status;
    count(mirror, ATTEMPT_HEAD_READ);
    deadline_arm(&mirror->host->loop->wheel, &mirror->deadline, (uint64_t)OUTCOME_SETTLE_MS * 1000);
}

static void on_body(void *call, struct bytes piece)
{
    struct mirror *mirror = mirror_of(call);
    if (piece.size > mirror->body_left) {
        finish(mirror, ATTEMPT_SETTLED);
        return;
    }
    mirror->body_left -= piece.size;
}

static void on_end(void *call, const struct fields *trailers)
{
    (void)trailers;
    struct mirror *mirror = mirror_of(call);
    count(mirror, ATTEMPT_DONE);
    struct client *client = mirror->client;
    mirror->client = NULL;
    seat_checkin(mirror->seat, client, mirror->idle_us);
    destroy(mirror);
}

static void on_drained(void *call)
{
    (void)call;
}

static enum attempt_end end_of(const struct mirror *mirror, enum client_failure failure)
{
    switch (failure) {
    case CLIENT_REFUSED:
        return ATTEMPT_CONNECT_FAILED;
    case CLIENT_TLS:
        return ATTEMPT_TLS_FAILED;
    case CLIENT_TLS_TIMEOUT:
        return ATTEMPT_TLS_TIMEOUT;
    case CLIENT_TIMEOUT:
        return mirror->is_sent ? ATTEMPT_HEAD_TIMEOUT : ATTEMPT_CONNECT_TIMEOUT;
    case CLIENT_RESET:
    case CLIENT_STREAM_RESET:
    case CLIENT_UNPROCESSED:
        return ATTEMPT_RESET;
    case CLIENT_MALFORMED:
        return ATTEMPT_BAD_RESPONSE;
    case CLIENT_TRUNCATED:
        return ATTEMPT_TRUNCATED;
    case CLIENT_MEMORY:
        break;
    }
    return ATTEMPT_REFUSED;
}

static void on_failed(void *call, enum client_failure failure)
{
    struct mirror *mirror = mirror_of(call);
    mirror->is_unprocessed = failure == CLIENT_UNPROCESSED;
    mirror->is_stream_reset = failure == CLIENT_STREAM_RESET;
    finish(mirror, end_of(mirror, failure));
}

static const struct client_ops mirror_client_ops = {
    .on_connected = on_connected,
    .on_turned_away = on_turned_away,
    .on_inform = on_inform,
    .on_head = on_head,
    .on_body = on_body,
    .on_end = on_end,
    .on_drained = on_drained,
    .on_failed = on_failed,
};

/* ---- copying ---- */

static bool copy_into(struct arena *arena, struct bytes from, struct bytes *ret_to)
{
    *ret_to = arena_copy(arena, from);
    return from.size == 0 || ret_to->data != NULL;
}

static bool copy_field(struct arena *arena, const struct field *from, struct field *ret_to)
{
    ret_to->id = from->id;
    return copy_into(arena, from->name, &ret_to->name) &&
           copy_into(arena, from->value, &ret_to->value);
}

static bool copy_name(const char *from, struct arena *arena, const char **ret_to)
{
    *ret_to = from != NULL ? arena_copy(arena, bytes_make(from, strlen(from) + 1)).data : NULL;
    return from == NULL || *ret_to != NULL;
}

/* The request as origins get it, marked for what it is. */
static bool copy_request(const struct request *from, struct arena *arena, struct request *ret_to)
{
    *ret_to = *from;
    size_t count = from->fields.count;
    struct field *items = arena_alloc(arena, (count + 1) * sizeof *items);
    if (items == NULL || !copy_into(arena, from->target, &ret_to->target) ||
        !copy_into(arena, from->authority, &ret_to->authority)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!copy_field(arena, &from->fields.items[i], &items[i])) {
            return false;
        }
    }
    items[count] = (struct field){BYTES("Serin-Mirror"), BYTES("1"), FIELD_SERIN_MIRROR};
    ret_to->fields = (struct fields){items, count + 1};
    return true;
}

static void aim(struct mirror *mirror, const struct snapshot_endpoint *target)
{
    struct exchange_host *host = mirror->host;
    const struct conf_timeouts *timeouts = &host->snapshot->base->conf->timeouts;
    mirror->seat = exchange_seat(host, target->endpoint);
    mirror->seat->epoch = host->snapshot->number;
    mirror->seat->is_retired = false;
    mirror->speech = exchange_speech(&mirror->request, target);
    mirror->address_count = target->address_count;
    for (uint32_t i = 0; i < target->address_count; i++) {
        mirror->addresses[i] = target->addresses[i];
    }
    if (target->address_count > 1) {
        mirror->address = (uint32_t)random_below(&host->loop->random, target->address_count);
    }
    bool is_bounded =
        timeouts->response_header_us > 0 && timeouts->response_header_us < MIRROR_HEAD_US_MAX;
    mirror->head_us = is_bounded ? timeouts->response_header_us : MIRROR_HEAD_US_MAX;
    mirror->connect_us = timeouts->connect_us;
    mirror->idle_us = timeouts->upstream_idle_us;
    mirror->tls = target->tls != NULL ? tls_client_ref(target->tls) : NULL;
    exchange_set_host(target, &mirror->request);
}

static struct mirror *create(const struct exchange *exchange,
                             const struct snapshot_endpoint *target)
{
    struct mirror *mirror = malloc(sizeof *mirror);
    if (mirror == NULL) {
        return NULL;
    }
    *mirror = (struct mirror){
        .tag = MIRROR_TAG,
        .host = exchange->host,
        .service = exchange->service->service,
        .version = exchange->service->versions[ROLE_CURRENT].version,
        .body_left = MIRROR_BODY_MAX,
    };
    arena_init(&mirror->arena, MIRROR_ARENA_MAX);
    mirror->proxy_protocol = exchange->service->versions[ROLE_CURRENT].proxy_protocol;
    if (mirror->proxy_protocol != PROXY_PROTOCOL_NONE) {
        mirror->ends = exchange_ends(exchange);
    }
    bool is_copied = copy_name(target->host, &mirror->arena, &mirror->name) &&
                     copy_request(&exchange->forwarded, &mirror->arena, &mirror->request);
    if (!is_copied) {
        arena_finish(&mirror->arena);
        free(mirror);
        return NULL;
    }
    list_init(&mirror->link);
    deadline_init(&mirror->deadline, on_deadline);
    aim(mirror, target);
    return mirror;
}

static enum mirror_pick pick(const struct exchange *exchange, struct service_seat *seat)
{
    const struct request *request = exchange->request;
    struct mirror_facts facts = {
        .is_stable = exchange->decision.role == ROLE_PREVIOUS,
        .is_judged = exchange->decision.is_judged && !exchange->is_excluded,
        .is_asking = request->method == METHOD_GET || request->method == METHOD_HEAD ||
                     request->method == METHOD_OPTIONS,
        .has_body = exchange->has_request_body || request->expects_continue,
        .is_upgrade = request->upgrade.size > 0,
        .in_flight = seat->mirror_count,
    };
    return mirror_pick(&seat->mirror, exchange->service->mirror_ppm, &facts);
}

struct mirror *mirror_copy(struct exchange *exchange)
{
    const struct snapshot_service *service = exchange->service;
    struct exchange_host *host = exchange->host;
    /* A request that waited may know a canary that the newest snapshot names no more. */
    if (service->mirror_ppm == 0 || !exchange->lease->is_current) {
        return NULL;
    }
    struct service_seat *seat = service_seat(service->service, host->worker_index);
    enum mirror_pick wanted = pick(exchange, seat);
    if (wanted == MIRROR_NOT) {
        return NULL;
    }
    const struct snapshot_version *canary = &service->versions[ROLE_CURRENT];
    size_t index = wanted == MIRROR_COPY && exchange_is_live(host, canary)
                       ? exchange_pick(exchange, canary, BALANCE_NONE)
                       : BALANCE_NONE;
    struct mirror *mirror =
        index != BALANCE_NONE ? create(exchange, &canary->endpoints[index]) : NULL;
    if (mirror == NULL) {
        cell_increment(&exchange->service_cells->mirror_dropped);
        return NULL;
    }
    seat->mirror_count++;
    list_push_back(&host->mirrors, &mirror->link);
    return mirror;
}

/* ---- all of them ---- */

static bool is_wanted(const struct mirror *mirror)
{
    const struct snapshot_service *service = service_of(mirror);
    return service != NULL && service->mirror_ppm > 0 &&
           service->versions[ROLE_CURRENT].version == mirror->version;
}

void mirrors_follow(struct exchange_host *host)
{
    struct list *next = host->mirrors.next;
    while (next != &host->mirrors) {
        struct mirror *mirror = CONTAINER_OF(next, struct mirror, link);
        next = next->next;
        if (!is_wanted(mirror)) {
            cancel(mirror);
        }
    }
}

void mirrors_end(struct exchange_host *host)
{
    while (!list_is_empty(&host->mirrors)) {
        cancel(CONTAINER_OF(host->mirrors.next, struct mirror, link));
    }
}

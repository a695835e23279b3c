#include "proxy/exchange/lasting.h"

#include "proxy/exchange/rpc.h"
#include "proxy/http/grpc.h"
#include "proxy/http/websocket.h"

enum {
    ANSWER_US = 2 * 1000 * 1000,           /* for the client's Close, and for the origin's end */
    DRAIN_JITTER_US_MAX = 5 * 1000 * 1000, /* over which a drain is spread */
    DRAIN_JITTER_SHARE = 4                 /* at most this part of the drain's time */
};

/* The fractional part of the golden ratio in 32 bits: its multiples fill a range more evenly than
 * chance would, whatever number of them (Weyl 1916). */
static const uint32_t GOLDEN_STEP = 2654435769u;

enum lasting_state { LASTING_STANDING, LASTING_CALLED, LASTING_DUE, LASTING_CLOSED };

struct lasting {
    struct list link;          /* in the host's list */
    struct exchange *exchange; /* borrowed: whose it is */
    enum lasting_state state;
    enum access_ending ending;
    struct deadline deadline; /* the moment, then the end */
    uint64_t until_us;        /* called: when it is over at the latest */
    uint32_t bucket;
    uint16_t close_code;
    bool is_websocket;
    struct websocket_tracker from_origin;
    struct websocket_tracker from_client;
};

static struct deadline_wheel *wheel_of(const struct lasting *lasting)
{
    return &lasting->exchange->host->loop->wheel;
}

/* 0 would disarm. */
static void arm(struct lasting *lasting, uint64_t at_us)
{
    uint64_t now_us = lasting->exchange->host->loop->now_us;
    deadline_arm(wheel_of(lasting), &lasting->deadline, at_us > now_us ? at_us - now_us : 1);
}

/* ---- ending ---- */

bool lasting_is_closed(const struct exchange *exchange)
{
    return exchange->lasting != NULL && exchange->lasting->state == LASTING_CLOSED;
}

enum access_ending lasting_ending(const struct exchange *exchange)
{
    return exchange->lasting != NULL ? exchange->lasting->ending : ACCESS_ENDING_NONE;
}

void lasting_finish(struct exchange *exchange)
{
    struct responder *responder = exchange->responder;
    exchange_count(exchange, ATTEMPT_DONE, false);
    exchange_release_client(exchange);
    exchange_close(exchange);
    responder->ops->end(responder, NULL);
}

/* It was ours to end, so it is nobody's failure. */
static void cut(struct lasting *lasting)
{
    struct exchange *exchange = lasting->exchange;
    bool is_rpc = exchange->attempt.is_rpc;
    lasting->ending = is_rpc ? ACCESS_ENDING_MOVED : ACCESS_ENDING_CUT;
    exchange_count(exchange, ATTEMPT_DONE, false);
    exchange_release_client(exchange);
    if (is_rpc) { /* clients of gRPC know that word, and come again */
        rpc_end(exchange, GRPC_UNAVAILABLE, BYTES("the version that answers is withdrawn"));
    } else {
        exchange_abandon(exchange);
    }
}

/* RFC 6455 section 7.1.1: it is the server who ends the connection once both have said Close. The
 * origin gets the client's Close as any other frame and has until the end to hang up too. */
static void finish_towards_client(struct lasting *lasting)
{
    struct responder *responder = lasting->exchange->responder;
    responder->ops->finish(responder);
}

/* Is the end of a frame where we are? After the origin's own Close, or its end, nothing may be said
 * any more (section 5.5.1). */
static bool may_speak(const struct lasting *lasting)
{
    return websocket_is_between_frames(&lasting->from_origin) && !lasting->from_origin.has_closed &&
           !lasting->exchange->attempt.is_over;
}

static void close_between_frames(struct lasting *lasting)
{
    struct exchange *exchange = lasting->exchange;
    if (!may_speak(lasting)) {
        return;
    }
    char out[WEBSOCKET_CLOSE_SIZE];
    struct bytes close = websocket_write_close(out, lasting->close_code);
    uint64_t answer_us = exchange->host->loop->now_us + ANSWER_US;
    lasting->state = LASTING_CLOSED;
    lasting->ending = lasting->close_code == WEBSOCKET_SERVICE_RESTART ? ACCESS_ENDING_MOVED
                                                                       : ACCESS_ENDING_DRAINED;
    arm(lasting, answer_us < lasting->until_us ? answer_us : lasting->until_us);
    exchange->response_bytes += close.size;
    exchange->responder->ops->body(exchange->responder, close);
    if (lasting->from_client.has_closed || exchange->is_request_done) {
        finish_towards_client(lasting);
    }
}

static void on_moment(struct lasting *lasting)
{
    lasting->state = LASTING_DUE;
    arm(lasting, lasting->until_us);
    close_between_frames(lasting);
    if (lasting->state == LASTING_CLOSED) {
        /* Its words are for nobody any more, but its end is waited for. May be the last call. */
        client_want(lasting->exchange->attempt.client, true);
    }
}

static void on_due(struct deadline *deadline)
{
    struct lasting *lasting = CONTAINER_OF(deadline, struct lasting, deadline);
    CHECK(lasting->exchange->tag == EXCHANGE_TAG);
    switch (lasting->state) {
    case LASTING_CALLED:
        if (lasting->is_websocket) {
            on_moment(lasting);
        } else {
            cut(lasting);
        }
        return;
    case LASTING_DUE:
        cut(lasting);
        return;
    case LASTING_CLOSED:
        lasting_finish(lasting->exchange);
        return;
    case LASTING_STANDING:
        break;
    }
    CHECK(false);
}

/* ---- being called ---- */

/* WebSockets go in the first `jitter` of the time, so that there is some left for a frame to end;
 * the others in the last, so that they may end by themselves. */
static void call(struct lasting *lasting, const struct conf_move *move)
{
    struct loop *loop = lasting->exchange->host->loop;
    if (lasting->state != LASTING_STANDING) {
        return;
    }
    uint64_t spread_us = random_below(&loop->random, move->jitter_us + 1);
    lasting->state = LASTING_CALLED;
    lasting->close_code = WEBSOCKET_SERVICE_RESTART;
    lasting->until_us = loop->now_us + move->deadline_us;
    arm(lasting, lasting->is_websocket ? loop->now_us + spread_us : lasting->until_us - spread_us);
}

/* A control's choice for the whole process: other tunnels and streams have until the drain's
 * deadline, as requests have. */
static void call_for_drain(struct lasting *lasting)
{
    struct loop *loop = lasting->exchange->host->loop;
    if (lasting->state != LASTING_STANDING || !lasting->is_websocket) {
        return;
    }
    uint64_t drain_us = lasting->exchange->host->snapshot->base->conf->timeouts.drain_us;
    uint64_t jitter_us = drain_us / DRAIN_JITTER_SHARE;
    jitter_us = jitter_us < DRAIN_JITTER_US_MAX ? jitter_us : DRAIN_JITTER_US_MAX;
    lasting->state = LASTING_CALLED;
    lasting->close_code = WEBSOCKET_GOING_AWAY;
    lasting->until_us = loop->now_us + drain_us;
    arm(lasting, loop->now_us + random_below(&loop->random, jitter_us + 1));
}

static const struct snapshot_service *find_service(const struct snapshot *snapshot,
                                                   const struct service *service)
{
    for (size_t i = 0; i < snapshot->service_count; i++) {
        if (snapshot->services[i].service == service) {
            return &snapshot->services[i];
        }
    }
    return NULL;
}

/* Has the canary of the service less than it had? Another deployment's weight is no news of it. */
static bool has_fallen(const struct snapshot *before, const struct snapshot_service *now)
{
    const struct snapshot_service *then = find_service(before, now->service);
    bool is_same = then != NULL && then->versions[ROLE_CURRENT].version != NULL &&
                   then->versions[ROLE_CURRENT].version == now->versions[ROLE_CURRENT].version;
    if (!is_same || !now->conf->rollback.move.is_on) {
        return false;
    }
    return now->decide.weight_ppm < then->decide.weight_ppm ||
           (now->decide.is_quarantined && !then->decide.is_quarantined);
}

static bool has_to_go(const struct lasting *lasting, const struct snapshot_service *now)
{
    const struct exchange *exchange = lasting->exchange;
    const struct version *version = exchange->service->versions[exchange->attempt.role].version;
    return exchange->service->service == now->service &&
           version == now->versions[ROLE_CURRENT].version &&
           lasting->bucket >= now->decide.weight_ppm;
}

void lasting_follow(struct exchange_host *host, const struct snapshot *before,
                    const struct snapshot *now)
{
    if (list_is_empty(&host->lasting)) {
        return;
    }
    for (size_t i = 0; i < now->service_count; i++) {
        const struct snapshot_service *service = &now->services[i];
        if (!has_fallen(before, service)) {
            continue;
        }
        for (struct list *link = host->lasting.next; link != &host->lasting; link = link->next) {
            struct lasting *lasting = CONTAINER_OF(link, struct lasting, link);
            if (has_to_go(lasting, service)) {
                call(lasting, &service->conf->rollback.move);
            }
        }
    }
}

void lasting_drain(struct exchange_host *host)
{
    for (struct list *link = host->lasting.next; link != &host->lasting; link = link->next) {
        call_for_drain(CONTAINER_OF(link, struct lasting, link));
    }
}

/* ---- beginning ---- */

static bool has_media_type(struct bytes value, struct bytes type)
{
    struct bytes name = bytes_slice(value, 0, bytes_find(value, ';'));
    return bytes_equal_nocase(bytes_trim(name), type);
}

static bool is_field(const struct response *response, enum field_id id, struct bytes value)
{
    const struct field *field = fields_find(&response->fields, id);
    return field != NULL && has_media_type(field->value, value);
}

/* A call of gRPC says only at its end whether it was a long one. */
static bool may_last(const struct exchange *exchange, const struct response *response)
{
    bool is_open_ended = response->body == BODY_CHUNKED || response->body == BODY_UNTIL_CLOSE;
    bool is_stream = exchange->attempt.is_rpc ||
                     is_field(response, FIELD_CONTENT_TYPE, BYTES("text/event-stream"));
    return response->status == 101 || (is_open_ended && is_stream);
}

/* The client's own bucket; 0 for who asked for the canary by name and stays while it has any
 * weight; the last of all for whom it only stands in for the stable version. Everyone else is
 * spread over the share that sent him. */
static uint32_t bucket_of(const struct exchange *exchange)
{
    const struct decision *decision = &exchange->decision;
    if (decision->sets_cookie || decision->reason == DECIDE_STICKY) {
        return decision->bucket;
    }
    if (decision->reason == DECIDE_OPT_IN) {
        return 0;
    }
    if (decision->reason == DECIDE_ONLY_LIVE) {
        return SPLIT_TOTAL - 1;
    }
    struct service_seat *seat =
        service_seat(exchange->service->service, exchange->host->worker_index);
    uint32_t range =
        decision->role == ROLE_CURRENT ? exchange->service->decide.weight_ppm : SPLIT_TOTAL;
    seat->lasting_sequence += GOLDEN_STEP;
    return (uint32_t)((uint64_t)seat->lasting_sequence * range >> 32);
}

/* The weight may have fallen between the request and its answer. */
static void catch_up(struct lasting *lasting)
{
    const struct exchange *exchange = lasting->exchange;
    const struct snapshot *newest = exchange->host->snapshot;
    const struct snapshot_service *now = find_service(newest, exchange->service->service);
    if (now != NULL && has_fallen(exchange->lease->snapshot, now) && has_to_go(lasting, now)) {
        call(lasting, &now->conf->rollback.move);
    }
    if (exchange->host->is_draining) {
        call_for_drain(lasting);
    }
}

enum err lasting_begin(struct exchange *exchange, const struct response *response)
{
    if (!may_last(exchange, response)) {
        return OK;
    }
    struct lasting *lasting = arena_alloc(exchange->responder->arena, sizeof *lasting);
    if (lasting == NULL) {
        return ERR_NOMEM;
    }
    *lasting = (struct lasting){
        .exchange = exchange,
        .bucket = bucket_of(exchange),
        .is_websocket =
            response->status == 101 && is_field(response, FIELD_UPGRADE, BYTES("websocket")),
    };
    websocket_tracker_init(&lasting->from_origin);
    websocket_tracker_init(&lasting->from_client);
    deadline_init(&lasting->deadline, on_due);
    list_push_back(&exchange->host->lasting, &lasting->link);
    exchange->lasting = lasting;
    catch_up(lasting);
    return OK;
}

void lasting_end(struct exchange *exchange)
{
    struct lasting *lasting = exchange->lasting;
    if (lasting != NULL) {
        exchange->lasting = NULL;
        deadline_finish(&lasting->deadline);
        list_remove(&lasting->link);
    }
}

/* ---- passing ---- */

struct bytes lasting_pass(struct exchange *exchange, struct bytes piece)
{
    struct lasting *lasting = exchange->lasting;
    if (!lasting->is_websocket) {
        return piece;
    }
    if (lasting->state == LASTING_CLOSED) {
        return BYTES("");
    }
    if (lasting->state != LASTING_DUE) {
        websocket_pass_all(&lasting->from_origin, piece);
        return piece;
    }
    size_t size = 0;
    while (size < piece.size && !may_speak(lasting)) {
        size += websocket_pass(&lasting->from_origin, bytes_slice(piece, size, piece.size - size));
    }
    return bytes_slice(piece, 0, size);
}

void lasting_passed(struct exchange *exchange)
{
    struct lasting *lasting = exchange->lasting;
    if (lasting->is_websocket && lasting->state == LASTING_DUE) {
        close_between_frames(lasting);
    }
}

void lasting_client_passed(struct exchange *exchange, struct bytes piece)
{
    struct lasting *lasting = exchange->lasting;
    if (!lasting->is_websocket || lasting->from_client.has_closed) {
        return;
    }
    websocket_pass_all(&lasting->from_client, piece);
    if (lasting->state == LASTING_CLOSED && lasting->from_client.has_closed) {
        finish_towards_client(lasting);
    }
}

/* proxy/exchange/relay.c — bodies in both directions, at the slower side's pace; tunnels after an
 * Upgrade. */
#include "proxy/exchange/relay.h"

#include <stdlib.h>

#include "proxy/exchange/asset.h"
#include "proxy/exchange/edge.h"
#include "proxy/exchange/exchange_state.h"
#include "proxy/exchange/fresh.h"
#include "proxy/exchange/lasting.h"
#include "proxy/exchange/rpc.h"
#include "proxy/http/authority.h"
#include "proxy/http/websocket_handshake.h"
#include "router/affinity.h"

enum { FIELDS_ON_STACK = 64 };

static struct exchange *exchange_of(void *object)
{
    struct exchange *exchange = object;
    CHECK(exchange->tag == EXCHANGE_TAG);
    return exchange;
}

static const struct conf_timeouts *timeouts_of(const struct exchange *exchange)
{
    return &exchange->lease->snapshot->base->conf->timeouts;
}

/* ---- the answer: origin to client ---- */

struct reverse_facts relay_site(const struct exchange *exchange)
{
    const struct fields *sent = &exchange->forwarded.fields;
    const struct field *proto = fields_find(sent, FIELD_X_FORWARDED_PROTO);
    const struct field *host = fields_find(sent, FIELD_X_FORWARDED_HOST);
    struct authority site;
    bool is_tls = exchange->responder->is_tls;
    if (proto != NULL) {
        is_tls = bytes_equal_nocase(proto->value, BYTES("https"));
    }
    bool is_told = host != NULL && authority_split(host->value, &site);
    return (struct reverse_facts){
        .origin = exchange->attempt.target->authority,
        .scheme = is_tls ? BYTES("https") : BYTES("http"),
        .authority = is_told ? host->value : exchange->request->authority,
    };
}

enum err relay_clean(struct exchange *exchange, const struct response *response,
                     struct response *ret_response)
{
    struct arena *arena = exchange->responder->arena;
    size_t count = response->fields.count;
    *ret_response = *response;
    if (!exchange->attempt.target->is_hidden || count == 0) {
        return OK;
    }
    struct reverse_facts site = relay_site(exchange);
    struct field *items = arena_alloc(arena, count * sizeof *items);
    if (items == NULL) {
        return ERR_NOMEM;
    }
    memcpy(items, response->fields.items, count * sizeof *items);
    ret_response->fields.items = items;
    return reverse_fields(&ret_response->fields, &site, arena);
}

static enum err make_head(struct exchange *exchange, const struct response *response,
                          struct field *items, size_t items_max, const struct field *extra,
                          size_t extra_count, struct response *ret_out)
{
    struct forward_back_facts facts = {
        .client_version = exchange->request->version,
        .is_client_keep_alive = exchange->request->is_keep_alive,
        .is_head = exchange->request->method == METHOD_HEAD,
        .date = date_now(&exchange->host->date, exchange->host->loop->now_us),
        .extra = extra,
        .extra_count = extra_count,
    };
    enum err err = forward_response(response, &facts, items, items_max, ret_out);
    /* What was kept has been cleaned of it. */
    bool is_hidden = !exchange->is_from_cache && exchange->attempt.target->is_hidden;
    if (err != OK || !is_hidden) {
        return err;
    }
    struct reverse_facts site = relay_site(exchange);
    return reverse_fields(&ret_out->fields, &site, exchange->responder->arena);
}

/* Runs `send` on the response as the client should see it; the items live on the stack unless they
 * are many. */
static enum err forward_head(struct exchange *exchange, const struct response *response,
                             const struct field *extra, size_t extra_count,
                             void (*send)(struct responder *, const struct response *))
{
    struct field on_stack[FIELDS_ON_STACK];
    size_t items_max = response->fields.count + FORWARD_FIELDS_ADDED_MAX + extra_count;
    struct field *items =
        items_max <= FIELDS_ON_STACK ? on_stack : malloc(items_max * sizeof *items);
    struct response out;
    enum err err = items != NULL
                       ? make_head(exchange, response, items, items_max, extra, extra_count, &out)
                       : ERR_NOMEM;
    if (err == OK) {
        send(exchange->responder, &out);
    }
    if (items != on_stack) {
        free(items);
    }
    return err;
}

void relay_on_inform(void *call, const struct response *response)
{
    struct exchange *exchange = exchange_of(call);
    if (response->status == 100 && pace_owes_body(exchange)) {
        /* From here on it is the client who is waited for, and its own deadline holds. */
        client_arm(exchange->attempt.client, 0);
        pace_await(exchange, PACE_SENDING);
    }
    if (forward_may_inform(exchange->request->version)) {
        exchange->has_informed = true;
        (void)forward_head(exchange, response, NULL, 0, exchange->responder->ops->inform);
    }
}

static size_t sticky_field(struct exchange *exchange, struct field *ret_field)
{
    if (!exchange->decision.sets_cookie) {
        return 0;
    }
    *ret_field = (struct field){
        .name = BYTES("Set-Cookie"),
        .value = sticky_format(&exchange->service->decide.sticky, exchange->decision.bucket,
                               exchange->responder->is_tls, exchange->set_cookie),
        .id = FIELD_SET_COOKIE,
    };
    return 1;
}

/* A stream that never ends would never count as good: one second after its head it does. */
static void watch_settling(struct exchange *exchange)
{
    bool ends_at_once = exchange->response_body == BODY_NONE && exchange->state != EXCHANGE_TUNNEL;
    if (exchange->attempt.is_counted || ends_at_once) {
        deadline_disarm(&exchange->watch);
    } else {
        deadline_arm(&exchange->host->loop->wheel, &exchange->watch,
                     (uint64_t)OUTCOME_SETTLE_MS * 1000);
    }
}

/* A tunnel may be silent for as long as it likes, but half of one has to show signs of life. Who
 * has answered before the request's end and takes what comes of it may wait for that: the client's
 * own deadline holds. */
static void watch_origin(struct exchange *exchange)
{
    struct client *client = exchange->attempt.client;
    bool is_clients_turn = !exchange->is_request_done &&
                           (exchange->state == EXCHANGE_TUNNEL || !client_is_blocked(client));
    client_arm(client, is_clients_turn ? 0 : timeouts_of(exchange)->response_body_us);
}

/* Something has changed for the request's body while the answer runs: nothing is expected of an
 * origin that may not go on. */
static void watch_relay(struct exchange *exchange)
{
    if (exchange->state == EXCHANGE_RELAYING &&
        !exchange->responder->ops->is_blocked(exchange->responder)) {
        watch_origin(exchange);
    }
}

static void begin_tunnel(struct exchange *exchange)
{
    exchange_enter(exchange, EXCHANGE_TUNNEL);
    exchange->is_request_done = false;
    deadline_disarm(&exchange->total);
    watch_settling(exchange);
    watch_origin(exchange);
    exchange->responder->ops->want_body(exchange->responder, true);
}

static void count_bad_answer(struct exchange *exchange)
{
    struct version *version = exchange->service->versions[exchange->decision.role].version;
    if (exchange->decision.is_judged && !exchange->is_excluded && version != NULL) {
        struct version_cells *cells = block_cells(version->cells, exchange->host->worker_index);
        cell_increment(&cells->client_bad);
    }
}

/* Its status is known: was it bad for the client? */
static void weigh_answer(struct exchange *exchange)
{
    exchange->is_bad_for_client =
        exchange_is_bad_status(exchange, exchange->attempt.status) || rpc_has_failed(exchange);
    if (exchange->is_bad_for_client) {
        count_bad_answer(exchange);
    } else if (rpc_is_no_evidence(exchange, ATTEMPT_DONE)) {
        return;
    }
    exchange_weigh(exchange, exchange->is_bad_for_client);
}

/* An answer that cannot go on, before a byte of it was sent. */
static void refuse_answer(struct exchange *exchange, enum attempt_end end, unsigned status)
{
    exchange_count(exchange, end, false);
    exchange_release_client(exchange);
    exchange_fail(exchange, status, REJECT_REASON_COUNT);
}

/* The client by HTTP/2 cannot check the key that we made up for it. */
static bool is_accepted(const struct exchange *exchange, const struct response *response)
{
    const struct field *key = fields_find(&exchange->forwarded.fields, FIELD_SEC_WEBSOCKET_KEY);
    const struct field *accept = fields_find(&response->fields, FIELD_SEC_WEBSOCKET_ACCEPT);
    if (exchange->request->version != HTTP_2) {
        return true;
    }
    return key != NULL && accept != NULL && websocket_is_accepted(key->value, accept->value);
}

/* RFC 9110 section 7.8: the request comes to its end before the protocol changes. Many origins
 * switch at the head all the same, so a client that asks and keeps its body back could make any
 * version fail: the request is what was bad. */
static bool refuses_switch(struct exchange *exchange, const struct response *response)
{
    if (!is_accepted(exchange, response)) {
        refuse_answer(exchange, ATTEMPT_BAD_RESPONSE, 502);
        return true;
    }
    if (exchange->is_request_done) {
        return false;
    }
    exchange_count(exchange, ATTEMPT_CLIENT_GONE, false);
    exchange_release_client(exchange);
    exchange_reply(exchange, 400, REJECT_REASON_COUNT);
    return true;
}

/* To a CONNECT by HTTP/2 every 2xx says that the tunnel is there (RFC 8441 section 4). An origin
 * that does not care for upgrades has done nothing wrong. */
static bool would_mislead(const struct exchange *exchange, const struct response *response)
{
    return exchange->request->version == HTTP_2 && exchange->request->upgrade.size > 0 &&
           response->status >= 200 && response->status < 300;
}

void relay_on_head(void *call, const struct response *response)
{
    struct exchange *exchange = exchange_of(call);
    if (response->status == 101 && refuses_switch(exchange, response)) {
        return;
    }
    exchange->attempt.status = response->status;
    exchange->attempt.head_us = exchange->host->loop->now_us;
    rpc_note_head(&exchange->attempt, response);
    if (exchange_ask_asset(exchange, response)) {
        return;
    }
    exchange->attempt.head = response;
    exchange_count(exchange, ATTEMPT_HEAD_READ, false);
    exchange->attempt.head = NULL;
    if (fresh_on_head(exchange, response)) {
        return;
    }
    if (response->status >= 500 &&
        (exchange_rescue_answer(exchange) || cached_replaces(exchange, response))) {
        return;
    }
    if (would_mislead(exchange, response)) {
        exchange_count(exchange, ATTEMPT_DONE, false);
        exchange_release_client(exchange);
        exchange_reply(exchange, 502, REJECT_NOT_SWITCHED);
        return;
    }
    (void)relay_answer(exchange, response);
}

enum err relay_send_head(struct exchange *exchange, const struct response *response)
{
    struct field extra[EDGE_FIELDS_MAX + 3];
    char affinity[AFFINITY_SET_COOKIE_MAX];
    char cache_status[CACHE_STATUS_MAX];
    size_t extra_count = edge_fields(exchange, extra);
    extra_count += sticky_field(exchange, &extra[extra_count]);
    extra_count += exchange_affinity_field(exchange, affinity, &extra[extra_count]);
    struct bytes status =
        exchange->is_from_cache ? BYTES("") : fresh_status(exchange, cache_status);
    if (status.size > 0) {
        extra[extra_count++] = (struct field){BYTES("Cache-Status"), status, FIELD_OTHER};
    }
    return forward_head(exchange, response, extra, extra_count, exchange->responder->ops->head);
}

bool relay_answer(struct exchange *exchange, const struct response *response)
{
    exchange->response_body = response->body;
    exchange->response_left = response->body == BODY_LENGTH ? response->content_length : 0;
    enum err err = lasting_begin(exchange, response);
    if (err == OK) {
        err = relay_send_head(exchange, response);
    }
    if (err != OK) {
        bool is_ours = err == ERR_NOMEM;
        refuse_answer(exchange, is_ours ? ATTEMPT_REFUSED : ATTEMPT_BAD_RESPONSE,
                      is_ours ? 503 : 502);
        return false;
    }
    exchange->client_status = response->status;
    exchange->client_grpc_status = exchange->attempt.grpc_status;
    if (!rpc_is_open(&exchange->attempt)) {
        weigh_answer(exchange);
    }
    if (response->status == 101) {
        begin_tunnel(exchange);
        return true;
    }
    exchange_enter(exchange, EXCHANGE_RELAYING);
    if (exchange->service->cache != NULL) {
        cached_on_answer(exchange, response);
    }
    watch_settling(exchange);
    watch_origin(exchange);
    return true;
}

void relay_on_body(void *call, struct bytes piece)
{
    struct exchange *exchange = exchange_of(call);
    struct responder *responder = exchange->responder;
    bool is_tunnel = exchange->state == EXCHANGE_TUNNEL;
    if (is_tunnel) {
        piece = lasting_pass(exchange, piece);
    }
    if (exchange->cached != NULL) {
        cached_on_body(exchange, piece);
    }
    exchange->response_bytes += piece.size;
    if (!is_tunnel && exchange->response_body == BODY_LENGTH) {
        exchange->response_left -= piece.size;
        if (exchange->response_left == 0 && !exchange->attempt.is_rpc) {
            /* Counted before the last bytes leave, so that a client that counts sees the same
             * numbers. */
            exchange_count(exchange, ATTEMPT_DONE, false);
        }
    }
    responder->ops->body(responder, piece);
    if (is_tunnel) {
        lasting_passed(exchange);
    }
    if (responder->ops->is_blocked(responder) && !lasting_is_closed(exchange)) {
        pace_await(exchange, PACE_READING);
        client_want(exchange->attempt.client, false);
        client_arm(exchange->attempt.client, 0);
    } else {
        watch_origin(exchange);
    }
}

/* The trailers live with the connection, which goes back to its pool only after they are written.
 */
static void finish(struct exchange *exchange, const struct fields *trailers)
{
    struct responder *responder = exchange->responder;
    struct attempt *attempt = &exchange->attempt;
    struct client *client = attempt->client;
    struct endpoint_seat *seat = attempt->seat;
    uint64_t idle_us = timeouts_of(exchange)->upstream_idle_us;
    if (rpc_is_open(attempt)) {
        rpc_note_end(attempt, trailers);
        exchange->client_grpc_status = attempt->grpc_status;
        weigh_answer(exchange);
    }
    exchange_count(exchange, ATTEMPT_DONE, false);
    if (exchange->cached != NULL) {
        cached_on_end(exchange);
    }
    attempt->client = NULL;
    bool has_trailers = trailers != NULL && trailers->count > 0;
    exchange_close(exchange);
    if (!has_trailers) {
        seat_checkin(seat, client, idle_us);
        responder->ops->end(responder, NULL);
    } else {
        responder->ops->end(responder, trailers);
        seat_checkin(seat, client, idle_us);
    }
}

void relay_on_end(void *call, const struct fields *trailers)
{
    struct exchange *exchange = exchange_of(call);
    bool is_half_open_tunnel = exchange->state == EXCHANGE_TUNNEL && !exchange->is_request_done;
    if (is_half_open_tunnel && !lasting_is_closed(exchange)) {
        exchange->responder->ops->finish(exchange->responder);
        exchange->response_body = BODY_NONE;
        exchange_count(exchange, ATTEMPT_DONE, false);
        return;
    }
    finish(exchange, trailers);
}

/* ---- the request's body: client to origin ---- */

static void on_body(void *request, struct bytes piece)
{
    struct exchange *exchange = exchange_of(request);
    struct client *client = exchange->attempt.client;
    exchange->request_bytes += piece.size;
    exchange->has_sent_body = true;
    pace_go_on(exchange, PACE_SENDING);
    client_send_body(client, piece);
    if (exchange->lasting != NULL) {
        lasting_client_passed(exchange, piece);
    }
    if (client_is_blocked(client)) {
        exchange->responder->ops->want_body(exchange->responder, false);
        if (exchange->state == EXCHANGE_WAITING) {
            client_arm(client, timeouts_of(exchange)->response_header_us);
        }
        watch_relay(exchange);
        return;
    }
    pace_await(exchange, PACE_SENDING);
    if (exchange->state == EXCHANGE_WAITING) {
        client_arm(client, 0);
    }
}

static void on_body_end(void *request, const struct fields *trailers)
{
    struct exchange *exchange = exchange_of(request);
    bool is_tunnel = exchange->state == EXCHANGE_TUNNEL;
    exchange->is_request_done = true;
    exchange->has_sent_body = true; /* a chunked body is more than nothing even without a byte */
    exchange->whole_us = exchange->host->loop->now_us;
    pace_go_on(exchange, PACE_SENDING);
    client_send_end(exchange->attempt.client, trailers);
    if (is_tunnel && exchange->attempt.is_over) {
        finish(exchange, NULL);
    } else if (is_tunnel) {
        watch_origin(exchange);
    } else if (exchange->state == EXCHANGE_WAITING) {
        client_arm(exchange->attempt.client, timeouts_of(exchange)->response_header_us);
        exchange_watch_slowness(exchange);
    } else {
        watch_relay(exchange);
    }
}

void relay_on_origin_drained(void *call)
{
    struct exchange *exchange = exchange_of(call);
    if (exchange->is_request_done) {
        return;
    }
    if (exchange->state == EXCHANGE_WAITING) {
        /* From here on it is the client who is waited for, and its own deadline holds. */
        client_arm(exchange->attempt.client, 0);
    }
    watch_relay(exchange);
    pace_await(exchange, PACE_SENDING);
    exchange->responder->ops->want_body(exchange->responder, true);
}

static void on_client_drained(void *request)
{
    struct exchange *exchange = exchange_of(request);
    if (exchange->state == EXCHANGE_SERVING) {
        cached_go_on(exchange);
        return;
    }
    pace_go_on(exchange, PACE_READING);
    struct client *client = exchange->attempt.client;
    bool is_answering = exchange->state == EXCHANGE_RELAYING || exchange->state == EXCHANGE_TUNNEL;
    if (client == NULL || !is_answering) {
        return;
    }
    watch_origin(exchange);
    client_want(client, true);
}

static void on_gone(void *request, enum err why)
{
    (void)why;
    struct exchange *exchange = exchange_of(request);
    exchange_count(exchange, ATTEMPT_CLIENT_GONE, false);
    struct client *client = exchange->attempt.client;
    exchange->attempt.client = NULL;
    if (client != NULL) {
        seat_drop(exchange->attempt.seat, client);
    }
    fresh_on_gone(exchange);
    exchange_close(exchange);
}

const struct request_ops exchange_request_ops = {.on_body = on_body,
                                                 .on_body_end = on_body_end,
                                                 .on_drained = on_client_drained,
                                                 .on_gone = on_gone};

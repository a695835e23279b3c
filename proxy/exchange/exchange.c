#include "proxy/exchange/exchange.h"

#include "proxy/exchange/asset.h"
#include "proxy/exchange/edge.h"
#include "proxy/exchange/exchange_state.h"
#include "proxy/exchange/fresh.h"
#include "proxy/exchange/lasting.h"
#include "proxy/exchange/mirror.h"
#include "proxy/exchange/rpc.h"
#include "proxy/http/client_ip.h"
#include "proxy/http/reply.h"
#include "proxy/upstream/balance.h"
#include "router/matcher.h"

enum { COOKIES_MAX = 8 };

void exchange_enter(struct exchange *exchange, enum exchange_state next)
{
    static const unsigned allowed[EXCHANGE_STATE_COUNT] = {
        [EXCHANGE_OPEN] = 1u << EXCHANGE_CONNECTING | 1u << EXCHANGE_WAITING |
                          1u << EXCHANGE_SERVING | 1u << EXCHANGE_PENDING | 1u << EXCHANGE_CLOSED,
        [EXCHANGE_CONNECTING] = 1u << EXCHANGE_CONNECTING | 1u << EXCHANGE_WAITING |
                                1u << EXCHANGE_SERVING | 1u << EXCHANGE_CLOSED,
        [EXCHANGE_WAITING] = 1u << EXCHANGE_CONNECTING | 1u << EXCHANGE_WAITING |
                             1u << EXCHANGE_RELAYING | 1u << EXCHANGE_TUNNEL |
                             1u << EXCHANGE_SERVING | 1u << EXCHANGE_CLOSED,
        [EXCHANGE_RELAYING] = 1u << EXCHANGE_CLOSED,
        [EXCHANGE_TUNNEL] = 1u << EXCHANGE_CLOSED,
        [EXCHANGE_SERVING] = 1u << EXCHANGE_CLOSED,
        [EXCHANGE_PENDING] = 1u << EXCHANGE_CONNECTING | 1u << EXCHANGE_WAITING |
                             1u << EXCHANGE_SERVING | 1u << EXCHANGE_CLOSED,
    };
    CHECK((allowed[exchange->state] >> next & 1) != 0);
    exchange->state = next;
}

/* ---- leases ---- */

void exchange_return_lease(struct exchange_host *host, struct lease *lease)
{
    if (lease_release(lease)) {
        inbox_push(host->control, &lease->home);
    }
}

static void release_lease(struct exchange *exchange)
{
    struct lease *lease = exchange->lease;
    exchange->lease = NULL;
    exchange_return_lease(exchange->host, lease);
}

static void leave_snapshot(struct exchange_host *host, struct snapshot *snapshot)
{
    struct lease *lease = &snapshot->leases[host->worker_index];
    lease->is_current = false;
    if (lease->user_count == 0) {
        inbox_push(host->control, &lease->home);
    }
}

static void mark_version(const struct exchange_host *host, const struct snapshot_version *version,
                         uint64_t epoch)
{
    for (size_t i = 0; i < version->endpoint_count; i++) {
        struct endpoint_seat *seat =
            block_cells(version->endpoints[i].endpoint->seats, host->worker_index);
        if (seat->endpoint != NULL) {
            seat->epoch = epoch;
            seat->is_retired = false;
        }
    }
}

/* Lets go of endpoints that the new snapshot does not name. Only seats that were ever used are
 * touched. */
static void retire_seats(struct exchange_host *host, const struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->service_count; i++) {
        mark_version(host, &snapshot->services[i].versions[ROLE_CURRENT], snapshot->number);
        mark_version(host, &snapshot->services[i].versions[ROLE_PREVIOUS], snapshot->number);
    }
    for (struct list *link = host->upstream.seats.next; link != &host->upstream.seats;
         link = link->next) {
        struct endpoint_seat *seat = CONTAINER_OF(link, struct endpoint_seat, link);
        if (seat->epoch < snapshot->number) {
            seat_retire(seat);
        }
    }
}

struct endpoint_seat *exchange_seat(struct exchange_host *host, struct endpoint *endpoint)
{
    return endpoint_seat(endpoint, host->worker_index);
}

/* A canary without weight is held back no longer, and one that gets weight again starts afresh. */
static void follow_weights(const struct exchange_host *host, const struct snapshot *snapshot)
{
    for (size_t i = 0; i < snapshot->service_count; i++) {
        const struct snapshot_service *service = &snapshot->services[i];
        struct version *canary = service->versions[ROLE_CURRENT].version;
        if (canary != NULL) {
            struct containment *containment = version_containment(canary, host->worker_index);
            struct version_cells *cells = block_cells(canary->cells, host->worker_index);
            containment_follow(containment, service->decide.weight_ppm);
            cell_set(&cells->contained, containment->is_contained);
        }
    }
}

void exchange_host_adopt(struct exchange_host *host, struct snapshot *snapshot)
{
    struct snapshot *before = host->snapshot;
    struct lease *lease = &snapshot->leases[host->worker_index];
    lease->is_current = true;
    host->snapshot = snapshot;
    const struct conf *conf = snapshot->base->conf;
    host->upstream.settings.limits = (struct framing_limits){.head_max = conf->limits.header_size,
                                                             .line_max = conf->limits.header_line,
                                                             .fields_max = conf->limits.headers};
    host->upstream.settings.streams_max = (uint32_t)conf->limits.origin_streams;
    host->upstream.settings.idle_us = conf->timeouts.upstream_idle_us;
    uint64_t share = conf->limits.upstream_connections / snapshot->worker_count;
    host->upstream.open_max = share > 0 ? (uint32_t)share : 1;
    retire_seats(host, snapshot);
    follow_weights(host, snapshot);
    mirrors_follow(host);
    inbox_push(host->control, &lease->adopted);
    if (before != NULL) {
        lasting_follow(host, before, snapshot);
        leave_snapshot(host, before);
        fresh_follow(host);
    }
}

void exchange_host_drain(struct exchange_host *host)
{
    host->is_draining = true;
    lasting_drain(host);
}

void exchange_host_finish(struct exchange_host *host)
{
    CHECK(host->exchange_count == 0);
    mirrors_end(host);
    for (struct list *link = host->upstream.seats.next; link != &host->upstream.seats;
         link = link->next) {
        seat_retire(CONTAINER_OF(link, struct endpoint_seat, link));
    }
    if (host->snapshot != NULL) {
        struct snapshot *last = host->snapshot;
        host->snapshot = NULL;
        leave_snapshot(host, last);
    }
}

/* ---- ending ---- */

void exchange_close(struct exchange *exchange)
{
    struct exchange_host *host = exchange->host;
    exchange_drop_held(exchange);
    exchange_enter(exchange, EXCHANGE_CLOSED);
    deadline_finish(&exchange->watch);
    deadline_finish(&exchange->total);
    if (exchange->service_cells != NULL) {
        struct service_cells *cells = exchange->service_cells;
        enum role role = exchange->decision.role;
        service_cells_count_request(cells, exchange->client_status,
                                    (enum metric_method)exchange->request->method,
                                    host->loop->now_us - exchange->started_us);
        cell_sub(&cells->in_flight[role], 1);
        cell_add(&cells->request_bytes[role], exchange->request_bytes);
        cell_add(&cells->response_bytes[role], exchange->response_bytes);
        if (exchange->is_bad_for_client) {
            cell_increment(&cells->client_bad_responses[role]);
        }
        exchange_count_rescue(exchange);
    }
    if (exchange->failed != NULL) {
        exchange_give_capture(exchange);
    }
    if (exchange->cached != NULL) {
        cached_end(exchange);
    }
    if (host->access_log != NULL) {
        exchange_log(exchange);
    }
    lasting_end(exchange);
    release_lease(exchange);
    host->exchange_count--;
    exchange->tag = 0;
}

void exchange_count_client_bad(struct exchange *exchange)
{
    struct version *version = exchange->service != NULL
                                  ? exchange->service->versions[exchange->decision.role].version
                                  : NULL;
    if (version != NULL && exchange->decision.is_judged && !exchange->is_excluded) {
        struct version_cells *cells = block_cells(version->cells, exchange->host->worker_index);
        cell_increment(&cells->client_bad);
    }
    if (exchange->attempt.failure != METRIC_FAILURE_COUNT) {
        exchange_weigh(exchange, true);
    }
}

void exchange_abandon(struct exchange *exchange)
{
    struct responder *responder = exchange->responder;
    exchange_close(exchange);
    responder->ops->cut(responder);
}

void exchange_cut(struct exchange *exchange)
{
    if (!exchange->is_bad_for_client) {
        exchange->is_bad_for_client = true;
        exchange_count_client_bad(exchange);
    }
    exchange_abandon(exchange);
}

/* ---- opening ---- */

bool exchange_is_allowed(const struct exchange_host *host, struct endpoint_seat *seat)
{
    if (!seat->eject.is_ejected) {
        return true;
    }
    if (!eject_has_returned(&seat->eject, host->loop->now_us)) {
        return false;
    }
    cell_set(&seat->cells->ejected, 0);
    return true;
}

bool exchange_is_live(struct exchange_host *host, const struct snapshot_version *version)
{
    for (size_t i = 0; i < version->endpoint_count; i++) {
        const struct snapshot_endpoint *target = &version->endpoints[i];
        if (target->address_count == 0 || !endpoint_is_healthy(target->endpoint)) {
            continue;
        }
        struct endpoint_seat *seat = exchange_seat(host, target->endpoint);
        if (exchange_is_allowed(host, seat)) {
            return true;
        }
    }
    return false;
}

/* What the request says about itself that the service wants to know. */
static void read_wishes(const struct request *request, const struct decide_service *service,
                        struct decide_facts *facts, struct bytes cookies[COOKIES_MAX])
{
    for (size_t i = 0; i < request->fields.count; i++) {
        const struct field *field = &request->fields.items[i];
        if (field->id == FIELD_COOKIE && facts->cookie_count < COOKIES_MAX) {
            cookies[facts->cookie_count++] = field->value;
        } else if (field->id == FIELD_SERIN_VERSION) {
            facts->version_header = field->value;
        } else if (service->sticky.by == STICKY_HEADER && facts->sticky_header.size == 0 &&
                   bytes_equal_nocase(field->name, service->sticky.header)) {
            facts->sticky_header = field->value;
        }
    }
    facts->cookies = cookies;
}

static bool is_peer_trusted(const struct exchange *exchange)
{
    const struct conf *conf = exchange->host->snapshot->base->conf;
    return conf->trusted_proxy_count > 0 &&
           ip_ranges_have(conf->trusted_proxies, conf->trusted_proxy_count,
                          exchange->responder->peer);
}

static void decide_version(struct exchange *exchange, bool is_trusted)
{
    struct exchange_host *host = exchange->host;
    const struct snapshot_service *service = exchange->service;
    const struct conf *conf = host->snapshot->base->conf;
    struct version *canary = service->versions[ROLE_CURRENT].version;
    struct containment *containment =
        canary != NULL ? version_containment(canary, host->worker_index) : NULL;
    struct service_seat *seat = service_seat(service->service, host->worker_index);
    struct ip client = *exchange->responder->peer;
    if (is_trusted && service->decide.sticky.by == STICKY_CLIENT_IP) {
        client = client_ip_of(&exchange->request->fields, &client, conf->trusted_proxies,
                              conf->trusted_proxy_count);
    }
    struct bytes cookies[COOKIES_MAX];
    struct decide_facts facts = {
        .is_live = {exchange_is_live(host, &service->versions[ROLE_CURRENT]),
                    exchange_is_live(host, &service->versions[ROLE_PREVIOUS])},
        .is_contained = containment != NULL && containment->is_contained,
        .is_trusted = is_trusted,
        .client_address = bytes_make((const char *)client.bytes, sizeof client.bytes),
    };
    read_wishes(exchange->request, &service->decide, &facts, cookies);
    exchange->decision = decide(&service->decide, &facts, &seat->accumulator, &host->loop->random);
    rescue_earn(&seat->rescue, service->rescue_gain_ppm);
    rescue_earn(&seat->assets, service->asset_gain_ppm);
    bool is_held_back = facts.is_contained && exchange->decision.role == ROLE_CURRENT;
    if (is_held_back && facts.is_live[ROLE_PREVIOUS]) {
        exchange_contain(exchange, containment);
    }
}

const struct snapshot_service *exchange_newest(const struct exchange *exchange)
{
    const struct snapshot *snapshot = exchange->host->snapshot;
    for (size_t i = 0; i < snapshot->service_count; i++) {
        if (snapshot->services[i].service == exchange->service->service) {
            return &snapshot->services[i];
        }
    }
    return NULL;
}

bool exchange_is_outdated(const struct exchange *exchange)
{
    if (exchange->lease->is_current || exchange->decision.role != ROLE_CURRENT) {
        return false;
    }
    const struct snapshot_service *newest = exchange_newest(exchange);
    return newest != NULL && newest->decide.weight_ppm == 0;
}

bool exchange_decide_anew(struct exchange *exchange)
{
    CHECK(exchange->attempt.target == NULL);
    struct exchange_host *host = exchange->host;
    struct lease *before = exchange->lease;
    struct service_cells *cells = exchange->service_cells;
    cell_sub(&cells->in_flight[exchange->decision.role], 1);
    exchange->service = exchange_newest(exchange);
    exchange->lease = &host->snapshot->leases[host->worker_index];
    lease_acquire(exchange->lease);
    exchange_return_lease(host, before);
    exchange->is_trickle = false;
    decide_version(exchange, exchange->is_peer_trusted);
    exchange_find_affinity(exchange, exchange->is_peer_trusted);
    cell_increment(&cells->in_flight[exchange->decision.role]);
    return exchange->decision.reason != DECIDE_NONE_LIVE;
}

static enum err forward(struct exchange *exchange, bool is_trusted)
{
    const struct snapshot_service *service = exchange->service;
    struct arena *arena = exchange->responder->arena;
    static const unsigned client_fields[] = {
        [CONF_FORWARDED_X] = FORWARD_CLIENT_X,
        [CONF_FORWARDED_RFC7239] = FORWARD_CLIENT_RFC7239,
        [CONF_FORWARDED_BOTH] = FORWARD_CLIENT_X | FORWARD_CLIENT_RFC7239,
    };
    ip_format(exchange->responder->peer, exchange->peer_text);
    struct forward_facts facts = {
        .peer_address = bytes_of(exchange->peer_text),
        .scheme = exchange->responder->is_tls ? BYTES("https") : BYTES("http"),
        .origin_authority = service->versions[exchange->decision.role].endpoints[0].authority,
        .is_host_kept = true, /* each attempt says what its endpoint gets */
        .is_behind_edge = service->has_hidden,
        .is_peer_trusted = is_trusted,
        .client_fields = client_fields[service->conf->forwarded],
    };
    size_t out_max = exchange->request->fields.count + FORWARD_FIELDS_ADDED_MAX;
    struct field *items = arena_alloc(arena, out_max * sizeof *items);
    if (items == NULL) {
        return ERR_NOMEM;
    }
    return forward_request(exchange->request, &facts, &exchange->host->loop->random, items, out_max,
                           arena, &exchange->forwarded);
}

static void on_total(struct deadline *deadline)
{
    struct exchange *exchange = CONTAINER_OF(deadline, struct exchange, total);
    CHECK(exchange->tag == EXCHANGE_TAG);
    bool has_answered = exchange->client_status != 0;
    if (exchange_is_asking(exchange)) {
        exchange_stop_asking(exchange);
        return;
    }
    if (exchange->is_client_deadline) {
        rpc_time_out(exchange);
        return;
    }
    if (exchange->state == EXCHANGE_SERVING || pace_has_used_up_total(exchange)) {
        pace_blame_client(exchange, 504);
        return;
    }
    exchange_count(exchange, has_answered ? ATTEMPT_BODY_TIMEOUT : ATTEMPT_HEAD_TIMEOUT, false);
    exchange_release_client(exchange);
    if (has_answered) {
        exchange_cut(exchange);
    } else {
        exchange_fail(exchange, 504, REJECT_REASON_COUNT);
    }
}

/* While another version is asked for an asset: it took too long. Before the head: the judge's slow
 * limit. After it: the answer counts as good although it goes on.
 */
static void on_watch(struct deadline *deadline)
{
    struct exchange *exchange = CONTAINER_OF(deadline, struct exchange, watch);
    CHECK(exchange->tag == EXCHANGE_TAG);
    struct attempt *attempt = &exchange->attempt;
    if (exchange->state == EXCHANGE_PENDING) {
        fresh_on_late(exchange);
        return;
    }
    if (exchange_is_asking(exchange)) {
        exchange_stop_asking(exchange);
        return;
    }
    if (attempt->status != 0) {
        exchange_count(exchange, ATTEMPT_SETTLED, false);
        return;
    }
    struct version *version = exchange->service->versions[attempt->role].version;
    if (attempt->is_judged && !attempt->is_latency_counted && version != NULL) {
        struct version_cells *cells = block_cells(version->cells, exchange->host->worker_index);
        histogram_cells_record(&cells->latency, pace_latency_us(exchange));
        attempt->is_latency_counted = true;
    }
}

static struct exchange *create(struct exchange_host *host, struct responder *responder,
                               const struct request *request)
{
    struct exchange *exchange = arena_alloc(responder->arena, sizeof *exchange);
    if (exchange == NULL) {
        return NULL;
    }
    memset(exchange, 0, offsetof(struct exchange, set_cookie));
    exchange->peer_text[0] = '\0';
    exchange->tag = EXCHANGE_TAG;
    exchange->host = host;
    exchange->responder = responder;
    exchange->request = request;
    exchange->started_us = host->loop->now_us;
    exchange->attempt.failure = METRIC_FAILURE_COUNT;
    exchange->has_request_body = request->body == BODY_CHUNKED ||
                                 (request->body == BODY_LENGTH && request->content_length > 0);
    exchange->is_request_done = !exchange->has_request_body;
    rpc_note_request(exchange);
    deadline_init(&exchange->watch, on_watch);
    deadline_init(&exchange->total, on_total);
    exchange->lease = &host->snapshot->leases[host->worker_index];
    lease_acquire(exchange->lease);
    host->exchange_count++;
    responder->request_ops = &exchange_request_ops;
    responder->request = exchange;
    return exchange;
}

static bool is_path_excluded(const struct exchange *exchange)
{
    const struct conf_failures *failures = &exchange->service->conf->failures;
    struct bytes path = matcher_path_of(exchange->request->target);
    for (size_t i = 0; i < failures->exclude_path_count; i++) {
        if (matcher_path_fits(bytes_of(failures->exclude_paths[i]), path)) {
            return true;
        }
    }
    return false;
}

void exchange_bound(struct exchange *exchange)
{
    if (!deadline_is_armed(&exchange->total)) {
        deadline_arm(
            &exchange->host->loop->wheel, &exchange->total,
            rpc_total_us(exchange, exchange->lease->snapshot->base->conf->timeouts.total_us));
    }
}

void exchange_go_on(struct exchange *exchange)
{
    struct mirror *mirror = NULL;
    enum err err = forward(exchange, exchange->is_peer_trusted);
    if (err == OK) {
        /* Before it may become a question about the stable version's answer. */
        mirror = mirror_copy(exchange);
        err = fresh_prepare(exchange);
    }
    if (err == OK) {
        exchange_bound(exchange);
        exchange_attempt(exchange, BALANCE_NONE, false);
    } else {
        bool is_ours = err == ERR_NOMEM;
        exchange_reply(exchange, is_ours ? 503 : 431,
                       is_ours ? REJECT_MEMORY : REJECT_TOO_MANY_FIELDS);
    }
    mirror_start(mirror);
}

static void route(struct exchange *exchange)
{
    struct exchange_host *host = exchange->host;
    const struct snapshot *snapshot = host->snapshot;
    if (edge_answers_challenge(exchange)) {
        return;
    }
    uint32_t index = route_table_find(snapshot->base->routes, exchange->request->authority,
                                      exchange->request->target);
    if (index == ROUTE_NONE) {
        exchange_reply(exchange, 404, REJECT_NO_ROUTE);
        return;
    }
    CHECK(index < snapshot->service_count);
    exchange->service = &snapshot->services[index];
    exchange->service_cells = block_cells(exchange->service->service->cells, host->worker_index);
    bool is_trusted = is_peer_trusted(exchange);
    exchange->is_peer_trusted = is_trusted;
    if (edge_answers(exchange, is_trusted)) {
        return;
    }
    exchange->is_excluded = is_path_excluded(exchange);
    decide_version(exchange, is_trusted);
    exchange_find_affinity(exchange, is_trusted);
    enum role role = exchange->decision.role;
    cell_increment(&exchange->service_cells->in_flight[role]);
    if (exchange->decision.reason == DECIDE_NONE_LIVE) {
        exchange_fail(exchange, 503, REJECT_NO_ENDPOINT);
        return;
    }
    if (exchange->decision.is_judged) {
        cell_increment(&exchange->service_cells->picks[role]);
    }
    if (!fresh_answers(exchange)) {
        exchange_go_on(exchange);
    }
}

/* Without memory for an exchange the client still gets an answer: this one needs none. */
static const struct request_ops deaf_ops;

static void reply_without_exchange(struct exchange_host *host, struct responder *responder,
                                   const struct request *request)
{
    cell_increment(&host->cells->rejected_requests[REJECT_MEMORY]);
    struct reply_options options = {.client_version = request->version,
                                    .is_head = request->method == METHOD_HEAD,
                                    .pages = host->snapshot->base->pages};
    struct field items[REPLY_FIELDS_MAX];
    struct response response;
    struct bytes body;
    reply_make(503, &options, items, &response, &body);
    responder->request_ops = &deaf_ops;
    responder->ops->head(responder, &response);
    responder->ops->body(responder, body);
    responder->ops->end(responder, NULL);
}

static void open_exchange(struct handler *handler, struct responder *responder,
                          const struct request *request)
{
    struct exchange_host *host = CONTAINER_OF(handler, struct exchange_host, handler);
    CHECK(host->snapshot != NULL);
    struct exchange *exchange = create(host, responder, request);
    if (exchange == NULL) {
        reply_without_exchange(host, responder, request);
        return;
    }
    route(exchange);
}

void exchange_host_init(struct exchange_host *host, struct loop *loop, unsigned worker_index,
                        struct worker_cells *cells)
{
    *host = (struct exchange_host){
        .handler = {open_exchange}, .loop = loop, .worker_index = worker_index, .cells = cells};
    host->upstream.loop = loop;
    list_init(&host->upstream.seats);
    list_init(&host->mirrors);
    list_init(&host->lasting);
    for (size_t i = 0; i < EXCHANGE_FLIGHT_CHAINS; i++) {
        list_init(&host->flights[i]);
    }
}

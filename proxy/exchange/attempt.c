/* proxy/exchange/attempt.c — one try at one endpoint: where, how it is counted, and what comes of
 * its failure. */
#include "proxy/base/log.h"
#include "proxy/exchange/asset.h"
#include "proxy/exchange/exchange_state.h"
#include "proxy/exchange/lasting.h"
#include "proxy/exchange/relay.h"
#include "proxy/exchange/rpc.h"
#include "proxy/http/grpc.h"
#include "proxy/io/tcp_stream.h"
#include "proxy/upstream/balance.h"
#include "router/affinity.h"

enum { ENDPOINTS_MAX = CONF_ENDPOINTS_MAX };

static struct version_cells *judged_cells(const struct exchange *exchange)
{
    const struct attempt *attempt = &exchange->attempt;
    struct version *version = exchange->service->versions[attempt->role].version;
    return attempt->is_judged && version != NULL
               ? block_cells(version->cells, exchange->host->worker_index)
               : NULL;
}

bool exchange_is_bad_status(const struct exchange *exchange, unsigned status)
{
    return outcome_is_bad_status(status,
                                 conf_failures_have(&exchange->service->conf->failures, status));
}

static void judge_outcome(struct exchange *exchange, const struct outcome *outcome,
                          const struct attempt_facts *facts)
{
    struct attempt *attempt = &exchange->attempt;
    struct version_cells *cells = judged_cells(exchange);
    if (cells == NULL) {
        return;
    }
    outcome_enter(outcome, facts, cells);
    bool is_head = facts->end == ATTEMPT_HEAD_READ;
    /* While the client was still sending the time was its own. */
    bool is_good_head = is_head && !outcome->is_failure && exchange->is_request_done;
    bool is_timing = (is_good_head && !facts->is_no_evidence) ||
                     facts->end == ATTEMPT_HEAD_TIMEOUT || facts->end == ATTEMPT_CONNECT_TIMEOUT ||
                     facts->end == ATTEMPT_TLS_TIMEOUT || rpc_is_slow(exchange, facts->end);
    if (is_timing && !attempt->is_latency_counted) {
        histogram_cells_record(&cells->latency, pace_latency_us(exchange));
        attempt->is_latency_counted = true;
    }
}

static struct eject_crowd crowd_of(const struct exchange *exchange)
{
    const struct snapshot_version *version = &exchange->service->versions[exchange->attempt.role];
    struct eject_crowd crowd = {.endpoints = (uint32_t)version->endpoint_count};
    for (size_t i = 0; i < version->endpoint_count; i++) {
        struct endpoint_seat *seat = exchange_seat(exchange->host, version->endpoints[i].endpoint);
        crowd.ejected += seat->eject.is_ejected;
        crowd.usable +=
            endpoint_is_healthy(version->endpoints[i].endpoint) && !seat->eject.is_ejected;
    }
    return crowd;
}

static void note_for_ejection(struct exchange *exchange, const struct outcome *outcome)
{
    struct endpoint_seat *seat = exchange->attempt.seat;
    const struct eject_policy *policy = &exchange->service->eject;
    bool is_well = !outcome->is_unwell && outcome->is_request && exchange->attempt.status < 500;
    if (outcome->is_unwell || is_well) {
        /* Where nothing answers it is no page's fault. */
        bool is_silent = exchange->attempt.status == 0 || outcome->is_connect;
        uint32_t count = is_silent ? SEAT_FAILURES_MAX : seat->failure_count + 1;
        seat->failure_count = is_well ? 0 : count < SEAT_FAILURES_MAX ? count : SEAT_FAILURES_MAX;
    }
    if (policy->consecutive == 0) {
        return;
    }
    if (!outcome->is_unwell) {
        if (is_well) {
            eject_on_success(&seat->eject);
            if (!seat->eject.is_ejected) {
                cell_set(&seat->cells->ejected, 0);
            }
        }
        return;
    }
    struct eject_crowd crowd = crowd_of(exchange);
    if (eject_on_failure(policy, &seat->eject, &crowd, exchange->host->loop->now_us)) {
        cell_increment(&seat->cells->outlier_ejections);
        cell_set(&seat->cells->ejected, 1);
    }
}

static bool is_final(enum attempt_end end)
{
    return end != ATTEMPT_HEAD_READ && end != ATTEMPT_SETTLED;
}

static void count_end(struct exchange *exchange)
{
    struct attempt *attempt = &exchange->attempt;
    attempt->is_over = true;
    attempt->ended_us = exchange->host->loop->now_us;
    attempt->seat->in_flight--;
    circuit_end(attempt);
    cell_sub(&attempt->seat->cells->in_flight, 1);
    endpoint_cells_count_attempt(attempt->seat->cells, attempt->status);
    histogram_cells_record(&exchange->service_cells->upstream_duration[attempt->role],
                           attempt->ended_us - attempt->started_us);
}

/* A good answer is one at its head, where that can be known: a canary that streams is not waited
 * for. */
static void tell_trickle(struct exchange *exchange, const struct outcome *outcome,
                         enum attempt_end end)
{
    bool is_good = exchange->attempt.is_rpc ? outcome->is_request : end == ATTEMPT_HEAD_READ;
    if (outcome->is_failure || is_good) {
        exchange_tell_trickle(exchange, outcome->is_failure);
    }
}

void exchange_count(struct exchange *exchange, enum attempt_end end, bool is_retried)
{
    struct attempt *attempt = &exchange->attempt;
    if (attempt->target == NULL || attempt->is_over) {
        return;
    }
    struct attempt_facts facts = {
        .end = end,
        .status = attempt->status,
        .is_failing_status =
            !attempt->is_excused &&
            conf_failures_have(&exchange->service->conf->failures, attempt->status),
        .is_excused = attempt->is_excused,
        .is_failing_rpc = !attempt->is_rpc_counted && rpc_has_failed(exchange),
        .is_unwell_rpc = rpc_is_unwell(attempt),
        .is_no_evidence = rpc_is_no_evidence(exchange, end),
        .is_reused = attempt->client != NULL && attempt->client->is_reused,
        .has_response_bytes = attempt->client != NULL && attempt->client->has_bytes,
        .is_unprocessed = attempt->is_unprocessed,
        .is_stream_reset = attempt->is_stream_reset,
        .is_body_late = pace_is_body_late(exchange),
        .is_retried = is_retried,
        .is_judged = true,
        .is_counted = attempt->is_counted,
    };
    struct outcome outcome = outcome_of(&facts);
    attempt->is_counted = attempt->is_counted || outcome.is_request;
    attempt->is_rpc_counted = attempt->is_rpc_counted || facts.is_failing_rpc;
    judge_outcome(exchange, &outcome, &facts);
    if (exchange->is_trickle && !exchange->is_trickle_told && attempt->role == ROLE_CURRENT) {
        tell_trickle(exchange, &outcome, end);
    }
    note_for_ejection(exchange, &outcome);
    if (outcome.failure != METRIC_FAILURE_COUNT) {
        attempt->failure = outcome.failure;
        cell_increment(&exchange->service_cells->upstream_failures[attempt->role][outcome.failure]);
    }
    if (outcome.is_failure && attempt->is_judged && attempt->role == ROLE_CURRENT) {
        exchange_capture(exchange, end, outcome.failure);
    }
    if (is_final(end)) {
        count_end(exchange);
    }
}

void exchange_release_client(struct exchange *exchange)
{
    struct attempt *attempt = &exchange->attempt;
    struct client *client = attempt->client;
    if (client != NULL) {
        attempt->client = NULL;
        seat_checkin(attempt->seat, client,
                     exchange->lease->snapshot->base->conf->timeouts.upstream_idle_us);
    }
}

/* ---- starting ---- */

/* The endpoint that the client stays with. */
static size_t pick_own(const struct exchange *exchange, const struct snapshot_version *version,
                       const struct balance_endpoint *states, size_t avoid)
{
    uint64_t scores[ENDPOINTS_MAX];
    for (size_t i = 0; i < version->endpoint_count; i++) {
        scores[i] = affinity_score(exchange->affinity, version->endpoints[i].affinity);
    }
    return balance_pick_faithful(states, scores, version->endpoint_count, avoid);
}

size_t exchange_pick(const struct exchange *exchange, const struct snapshot_version *version,
                     size_t avoid)
{
    struct balance_endpoint states[ENDPOINTS_MAX];
    struct exchange_host *host = exchange->host;
    if (version->endpoint_count == 1) {
        return 0;
    }
    for (size_t i = 0; i < version->endpoint_count; i++) {
        const struct snapshot_endpoint *target = &version->endpoints[i];
        struct endpoint_seat *seat = exchange_seat(host, target->endpoint);
        bool is_ejected = !exchange_is_allowed(host, seat);
        states[i] = (struct balance_endpoint){
            .in_flight = seat->in_flight,
            .is_live =
                target->address_count > 0 && endpoint_is_healthy(target->endpoint) && !is_ejected,
        };
    }
    return exchange->affinity != 0
               ? pick_own(exchange, version, states, avoid)
               : balance_pick(states, version->endpoint_count, avoid, &host->loop->random);
}

void exchange_watch_slowness(struct exchange *exchange)
{
    bool is_asked = exchange->attempt.role == ROLE_CURRENT && exchange->attempt.is_judged &&
                    exchange->is_request_done;
    uint64_t limit_us = is_asked ? atomic_load_explicit(&exchange->service->service->slow_limit_us,
                                                        memory_order_relaxed)
                                 : 0;
    if (limit_us > 0) {
        deadline_arm(&exchange->host->loop->wheel, &exchange->watch, limit_us);
    }
}

/* A connection for a configuration that is no longer the newest is not kept, unless the newest
 * names the endpoint too. */
static void note_epoch(const struct exchange *exchange, struct endpoint_seat *seat)
{
    uint64_t newest = exchange->host->snapshot->number;
    if (exchange->lease->is_current) {
        seat->epoch = newest;
        seat->is_retired = false;
    } else if (seat->epoch < newest) {
        seat->is_retired = true;
    }
}

/* Whom the next attempt is for. */
static enum role role_of(const struct exchange *exchange)
{
    if (exchange_is_asking(exchange)) {
        return exchange_asked_role(exchange);
    }
    return exchange->is_rescued ? ROLE_PREVIOUS : exchange->decision.role;
}

/* The client's, where the endpoint gets that and there is one (HTTP/1.0 may have none). */
void exchange_set_host(const struct snapshot_endpoint *target, struct request *out)
{
    bool is_kept = target->is_host_kept && out->authority.size > 0;
    forward_set_host(out, is_kept ? out->authority : target->authority);
}

static void begin(struct exchange *exchange, const struct snapshot_version *version, size_t index)
{
    struct exchange_host *host = exchange->host;
    const struct snapshot_endpoint *target = &version->endpoints[index];
    const struct cache_store *store = exchange->service->cache;
    bool is_elsewhere = exchange->is_rescued || exchange_is_asking(exchange);
    exchange->attempt = (struct attempt){
        .target = target,
        .target_index = index,
        .seat = exchange_seat(host, target->endpoint),
        .role = role_of(exchange),
        .proxy_protocol = version->proxy_protocol,
        .realm = atomic_load_explicit(&version->version->cache_realm, memory_order_relaxed),
        .era = store != NULL ? cache_store_era(store) : 0,
        .started_us = host->loop->now_us,
        .failure = METRIC_FAILURE_COUNT,
        .grpc_status = GRPC_NONE,
        .is_judged = exchange->decision.is_judged && !is_elsewhere && !exchange->is_excluded,
    };
    exchange->attempt_count++;
    note_epoch(exchange, exchange->attempt.seat);
    exchange->attempt.seat->in_flight++;
    cell_increment(&exchange->attempt.seat->cells->in_flight);
    exchange_set_host(target, &exchange->forwarded);
    circuit_begin(exchange);
    exchange_watch_slowness(exchange);
}

static void give_up(struct exchange *exchange, enum attempt_end end, unsigned status,
                    enum reject_reason reason)
{
    exchange_count(exchange, end, false);
    exchange_release_client(exchange);
    if (exchange_is_asking(exchange)) {
        exchange_give_held(exchange);
    } else if (status >= 500) {
        exchange_fail(exchange, status, reason);
    } else {
        exchange_reply(exchange, status, reason);
    }
}

static void send_request(struct exchange *exchange)
{
    struct client *client = exchange->attempt.client;
    exchange_enter(exchange, EXCHANGE_WAITING);
    circuit_go_on(&exchange->attempt);
    exchange->attempt.sent_us = exchange->host->loop->now_us;
    enum err err = client_send(client, &exchange->forwarded);
    if (err != OK) {
        seat_drop(exchange->attempt.seat, client);
        exchange->attempt.client = NULL;
        bool is_ours = err == ERR_NOMEM;
        give_up(exchange, ATTEMPT_REFUSED, is_ours ? 503 : 431,
                is_ours ? REJECT_MEMORY : REJECT_HEAD_TOO_LONG);
        return;
    }
    bool is_answer_due = exchange->is_request_done || exchange->request->expects_continue;
    client_arm(client, is_answer_due
                           ? exchange->lease->snapshot->base->conf->timeouts.response_header_us
                           : 0);
    if (!exchange->is_request_done) {
        if (!exchange->request->expects_continue) {
            pace_await(exchange, PACE_SENDING);
        }
        exchange->responder->ops->want_body(exchange->responder, true);
    }
}

/* The kernel refused at once. */
static void on_unreachable(struct exchange *exchange)
{
    struct attempt_facts facts = {.end = ATTEMPT_CONNECT_FAILED};
    if (exchange_decide_retry(exchange, &facts).action == RETRY_OTHER_VERSION) {
        exchange_count(exchange, ATTEMPT_CONNECT_FAILED, false);
        exchange_rescue(exchange);
    } else {
        give_up(exchange, ATTEMPT_CONNECT_FAILED, 502, REJECT_REASON_COUNT);
    }
}

struct proxy_ends exchange_ends(const struct exchange *exchange)
{
    const struct responder *responder = exchange->responder;
    struct proxy_ends ends = {
        .client = *responder->peer,
        .client_port = (uint16_t)responder->peer_port,
        .is_known = true,
    };
    /* Without the client's connection at hand its other end is told as no address at all. */
    if (responder->connection == NULL ||
        !tcp_stream_local(responder->connection, &ends.server, &ends.server_port)) {
        bool is_v4 = ip_is_v4(&ends.client);
        ends.server = (struct ip){.bytes = {[10] = is_v4 ? 0xff : 0, [11] = is_v4 ? 0xff : 0}};
    }
    return ends;
}

enum client_speech exchange_speech(const struct request *request,
                                   const struct snapshot_endpoint *target)
{
    bool is_http1_wanted = request->upgrade.size > 0 && target->speech != CLIENT_HTTP2;
    return is_http1_wanted ? CLIENT_HTTP1 : target->speech;
}

/* An upgrade of HTTP/1.1 is an offer that may be passed over (RFC 9110 section 7.8); a CONNECT is
 * not. */
static bool is_beyond(const struct request *request, const struct snapshot_endpoint *target)
{
    return request->version == HTTP_2 && request->upgrade.size > 0 &&
           target->speech == CLIENT_HTTP2;
}

/* What is left of the time to connect; at least 1. */
static uint64_t connect_left_us(const struct exchange *exchange)
{
    uint64_t limit_us = exchange->lease->snapshot->base->conf->timeouts.connect_us;
    uint64_t passed_us = exchange->host->loop->now_us - exchange->attempt.started_us;
    return passed_us < limit_us ? limit_us - passed_us : 1;
}

static void connect_endpoint(struct exchange *exchange)
{
    struct exchange_host *host = exchange->host;
    struct attempt *attempt = &exchange->attempt;
    const struct snapshot_endpoint *target = attempt->target;
    struct proxy_ends ends;
    exchange_enter(exchange, EXCHANGE_CONNECTING);
    circuit_wait(attempt);
    struct client_way way = {.route = {target->addresses, target->address_count, attempt->address},
                             .tls = target->tls,
                             .name = target->host,
                             .speech = exchange_speech(exchange->request, target),
                             .announces = attempt->proxy_protocol,
                             .ends = &ends};
    if (attempt->proxy_protocol != PROXY_PROTOCOL_NONE) {
        ends = exchange_ends(exchange);
    }
    enum err err = seat_connect(attempt->seat, &host->upstream, &way, connect_left_us(exchange),
                                &exchange_client_ops, exchange, &attempt->client);
    if (err == ERR_LIMIT) {
        give_up(exchange, ATTEMPT_REFUSED, 503, REJECT_UPSTREAM_LIMIT);
    } else if (err == ERR_NOMEM) {
        give_up(exchange, ATTEMPT_REFUSED, 503, REJECT_MEMORY);
    } else if (err != OK) {
        on_unreachable(exchange);
    }
}

static void reach_endpoint(struct exchange *exchange, bool is_fresh)
{
    struct attempt *attempt = &exchange->attempt;
    const struct snapshot_endpoint *target = attempt->target;
    bool is_own = attempt->proxy_protocol != PROXY_PROTOCOL_NONE;
    attempt->client = is_own
                          ? NULL
                          : seat_checkout(attempt->seat, exchange_speech(exchange->request, target),
                                          target->tls, is_fresh, &exchange_client_ops, exchange);
    if (attempt->client != NULL) {
        send_request(exchange);
    } else {
        connect_endpoint(exchange);
    }
}

void exchange_attempt(struct exchange *exchange, size_t avoid, bool is_fresh)
{
    enum role role = role_of(exchange);
    const struct snapshot_version *version = &exchange->service->versions[role];
    size_t index = exchange_pick(exchange, version, avoid);
    if (index == BALANCE_NONE && exchange_is_asking(exchange)) {
        exchange_give_held(exchange);
        return;
    }
    if (index == BALANCE_NONE) {
        exchange_fail(exchange, 503, REJECT_NO_ENDPOINT);
        return;
    }
    if (is_beyond(exchange->request, &version->endpoints[index])) {
        exchange_reply(exchange, 501, REJECT_PROTOCOL_UNKNOWN);
        return;
    }
    if (exchange_overflows(exchange, role, index, is_fresh)) {
        return;
    }
    begin(exchange, version, index);
    struct attempt *attempt = &exchange->attempt;
    uint32_t address_count = attempt->target->address_count;
    if (address_count > 1) {
        attempt->address = (uint32_t)random_below(&exchange->host->loop->random, address_count);
    }
    reach_endpoint(exchange, is_fresh);
}

/* ---- failing ---- */

static enum attempt_end end_of(const struct exchange *exchange, enum client_failure failure)
{
    bool has_head = exchange->attempt.status != 0;
    switch (failure) {
    case CLIENT_REFUSED:
        return ATTEMPT_CONNECT_FAILED;
    case CLIENT_TLS:
        return ATTEMPT_TLS_FAILED;
    case CLIENT_TLS_TIMEOUT:
        return ATTEMPT_TLS_TIMEOUT;
    case CLIENT_TIMEOUT:
        return exchange->state == EXCHANGE_CONNECTING ? ATTEMPT_CONNECT_TIMEOUT
               : has_head                             ? ATTEMPT_BODY_TIMEOUT
                                                      : ATTEMPT_HEAD_TIMEOUT;
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

/* What only a human can mend; one line for each worker until a handshake goes well again. */
static void tell_tls_trouble(const struct attempt *attempt)
{
    if (!attempt->seat->is_tls_trouble_told) {
        struct note why = {""};
        attempt->seat->is_tls_trouble_told = true;
        client_explain(attempt->client, &why);
        log_warn("endpoint %.*s: %s", BYTES_ARGS(attempt->target->endpoint->name), why.text);
    }
}

/* gRPC's servers end a call whose time is over with a reset, many of them. */
static bool has_left_in_time(const struct exchange *exchange, enum client_failure failure)
{
    bool is_cut =
        failure == CLIENT_RESET || failure == CLIENT_STREAM_RESET || failure == CLIENT_TRUNCATED;
    return is_cut && rpc_is_past_deadline(exchange);
}

/* Did the client keep the origin waiting until that, or we, gave up? */
static bool is_clients_doing(const struct exchange *exchange, enum client_failure failure,
                             enum retry_action action)
{
    bool is_cut =
        failure == CLIENT_RESET || failure == CLIENT_STREAM_RESET || failure == CLIENT_TRUNCATED;
    bool is_last = action == RETRY_ANSWER || action == RETRY_CUT;
    if (failure == CLIENT_TIMEOUT) {
        return is_last && pace_owes_body(exchange);
    }
    return is_last && is_cut && pace_is_silent(exchange);
}

/* Does what was decided about an attempt that failed and is counted; the next one at the endpoint
 * `index` takes a new connection if `is_fresh`. */
static void follow(struct exchange *exchange, struct retry_decision decision, size_t index,
                   bool is_fresh)
{
    switch (decision.action) {
    case RETRY_SAME_VERSION:
        exchange->retry_count++;
        if (!exchange->is_request_done) {
            /* Its body has to wait until the head is out again. */
            pace_go_on(exchange, PACE_SENDING);
            exchange->responder->ops->want_body(exchange->responder, false);
        }
        exchange_attempt(exchange, index, is_fresh);
        break;
    case RETRY_OTHER_VERSION:
        exchange_rescue(exchange);
        break;
    case RETRY_ANSWER:
        if (exchange_is_asking(exchange)) {
            exchange_give_held(exchange);
        } else {
            exchange_fail(exchange, decision.status, REJECT_REASON_COUNT);
        }
        break;
    case RETRY_GO_ON:
    case RETRY_CUT:
    case RETRY_DROP:
        exchange_cut(exchange);
        break;
    }
}

static void on_failed(void *call, enum client_failure failure)
{
    struct exchange *exchange = call;
    CHECK(exchange->tag == EXCHANGE_TAG);
    if (failure == CLIENT_TLS) {
        tell_tls_trouble(&exchange->attempt);
    }
    if (lasting_is_closed(exchange)) {
        lasting_finish(exchange);
        return;
    }
    if (exchange->state == EXCHANGE_TUNNEL) {
        /* The answer was the switch; how peers of other protocols hang up is not ours to judge. */
        exchange_count(exchange, ATTEMPT_DONE, false);
        exchange_release_client(exchange);
        exchange_abandon(exchange);
        return;
    }
    if (has_left_in_time(exchange, failure)) {
        rpc_time_out(exchange);
        return;
    }
    struct attempt *attempt = &exchange->attempt;
    attempt->is_unprocessed = failure == CLIENT_UNPROCESSED;
    attempt->is_stream_reset = failure == CLIENT_STREAM_RESET;
    struct attempt_facts facts = {
        .end = end_of(exchange, failure),
        .status = attempt->status,
        .is_reused = attempt->client->is_reused,
        .has_response_bytes = attempt->client->has_bytes,
        .is_unprocessed = attempt->is_unprocessed,
        .is_stream_reset = attempt->is_stream_reset,
    };
    struct retry_decision decision = exchange_decide_retry(exchange, &facts);
    if (is_clients_doing(exchange, failure, decision.action)) {
        pace_blame_client(exchange, decision.status);
        return;
    }
    exchange_count(exchange, facts.end, decision.action == RETRY_SAME_VERSION);
    size_t index = attempt->target_index;
    exchange_release_client(exchange);
    follow(exchange, decision, index, !facts.is_unprocessed);
}

static void on_connected(void *call, struct client *client)
{
    struct exchange *exchange = call;
    CHECK(exchange->tag == EXCHANGE_TAG);
    exchange->attempt.client = client;
    exchange->attempt.seat->is_tls_trouble_told = false;
    send_request(exchange);
}

static void on_turned_away(void *call)
{
    struct exchange *exchange = call;
    CHECK(exchange->tag == EXCHANGE_TAG);
    exchange->attempt.client = NULL;
    if (!circuit_overflows_again(exchange)) {
        reach_endpoint(exchange, false);
    }
}

const struct client_ops exchange_client_ops = {
    .on_connected = on_connected,
    .on_turned_away = on_turned_away,
    .on_inform = relay_on_inform,
    .on_head = relay_on_head,
    .on_body = relay_on_body,
    .on_end = relay_on_end,
    .on_drained = relay_on_origin_drained,
    .on_failed = on_failed,
};

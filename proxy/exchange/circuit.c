/* proxy/exchange/circuit.c — how much of a version may be in use at a time (`circuit`).
 *
 * Each worker has its even share of each limit. What is beyond is no attempt and nobody's failure:
 * it waits for nothing, goes to the stable version where a rescue would, or gets a 503 of ours. */
#include "proxy/exchange/asset.h"
#include "proxy/exchange/exchange_state.h"

/* This worker's connections to the endpoints of the version; makes room among those that nobody
 * uses. */
static bool has_room(struct exchange_host *host, const struct snapshot_version *version,
                     uint32_t connections_max)
{
    uint32_t open_count = 0;
    struct endpoint_seat *spare = NULL;
    for (size_t i = 0; i < version->endpoint_count; i++) {
        struct endpoint_seat *seat = exchange_seat(host, version->endpoints[i].endpoint);
        open_count += seat->live_count;
        spare = seat->idle_count > 0 ? seat : spare;
    }
    if (open_count < connections_max) {
        return true;
    }
    if (spare != NULL) {
        seat_close_oldest(spare);
    }
    return spare != NULL;
}

/* The limit that the request would pass, or METRIC_OVERFLOW_COUNT. */
static enum metric_overflow limit_of(const struct exchange *exchange,
                                     const struct snapshot_version *version,
                                     enum seat_prospect prospect)
{
    struct exchange_host *host = exchange->host;
    const struct circuit_limits *limits = &exchange->service->circuit;
    const struct circuit *circuit = version_circuit(version->version, host->worker_index);
    if (limits->requests > 0 && circuit->requests >= limits->requests) {
        return METRIC_OVERFLOW_REQUESTS;
    }
    if (prospect == SEAT_TAKES) {
        return METRIC_OVERFLOW_COUNT;
    }
    if (limits->pending > 0 && circuit->pending >= limits->pending) {
        return METRIC_OVERFLOW_PENDING;
    }
    if (prospect == SEAT_DIALS && limits->connections > 0 &&
        !has_room(host, version, limits->connections)) {
        return METRIC_OVERFLOW_CONNECTIONS;
    }
    return METRIC_OVERFLOW_COUNT;
}

static enum seat_prospect prospect_of(const struct exchange *exchange,
                                      const struct snapshot_version *version, size_t index,
                                      bool is_fresh)
{
    const struct snapshot_endpoint *target = &version->endpoints[index];
    bool is_own = version->proxy_protocol != PROXY_PROTOCOL_NONE;
    return is_own
               ? SEAT_DIALS
               : seat_prospect(exchange_seat(exchange->host, target->endpoint),
                               exchange_speech(exchange->request, target), target->tls, is_fresh);
}

static void overflow(struct exchange *exchange, enum role role, enum metric_overflow limit)
{
    cell_increment(&exchange->service_cells->overflows[role][limit]);
    if (exchange_is_asking(exchange)) {
        exchange_give_held(exchange);
        return;
    }
    if (exchange->attempt.target == NULL) { /* else what was tried stays what it was */
        exchange->attempt.role = role;
    }
    if (exchange_may_divert(exchange)) {
        exchange_rescue(exchange);
    } else {
        exchange_fail(exchange, 503, REJECT_CIRCUIT);
    }
}

bool exchange_overflows(struct exchange *exchange, enum role role, size_t index, bool is_fresh)
{
    const struct snapshot_version *version = &exchange->service->versions[role];
    if (!exchange->service->circuit.is_on) {
        return false;
    }
    enum metric_overflow limit =
        limit_of(exchange, version, prospect_of(exchange, version, index, is_fresh));
    if (limit == METRIC_OVERFLOW_COUNT) {
        return false;
    }
    overflow(exchange, role, limit);
    return true;
}

/* It is counted among the running and the pending; what it was let through without is a connection
 * of its own. */
bool circuit_overflows_again(struct exchange *exchange)
{
    enum role role = exchange->attempt.role;
    const struct snapshot_version *version = &exchange->service->versions[role];
    uint32_t connections_max = exchange->service->circuit.connections;
    bool is_limited = exchange->attempt.circuit != NULL && connections_max > 0;
    if (!is_limited ||
        prospect_of(exchange, version, exchange->attempt.target_index, false) != SEAT_DIALS ||
        has_room(exchange->host, version, connections_max)) {
        return false;
    }
    exchange_count(exchange, ATTEMPT_REFUSED, false);
    overflow(exchange, role, METRIC_OVERFLOW_CONNECTIONS);
    return true;
}

void circuit_begin(struct exchange *exchange)
{
    const struct snapshot_service *service = exchange->service;
    struct attempt *attempt = &exchange->attempt;
    if (service->circuit.is_on) {
        attempt->circuit =
            version_circuit(service->versions[attempt->role].version, exchange->host->worker_index);
        attempt->circuit->requests++;
    }
}

void circuit_wait(struct attempt *attempt)
{
    if (attempt->circuit != NULL && !attempt->is_pending) {
        attempt->is_pending = true;
        attempt->circuit->pending++;
    }
}

void circuit_go_on(struct attempt *attempt)
{
    if (attempt->is_pending) {
        attempt->is_pending = false;
        CHECK(attempt->circuit->pending > 0);
        attempt->circuit->pending--;
    }
}

void circuit_end(struct attempt *attempt)
{
    if (attempt->circuit != NULL) {
        circuit_go_on(attempt);
        CHECK(attempt->circuit->requests > 0);
        attempt->circuit->requests--;
        attempt->circuit = NULL;
    }
}

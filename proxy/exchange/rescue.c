/* proxy/exchange/rescue.c — what the canary failed is asked of the stable version, once. */
#include "proxy/exchange/asset.h"
#include "proxy/exchange/cached.h"
#include "proxy/exchange/exchange_state.h"
#include "proxy/exchange/fresh.h"
#include "proxy/upstream/balance.h"

/* RFC 9110 section 9.2.1; the other safe methods are not what browsers send. */
bool exchange_is_rescuable(const struct exchange *exchange)
{
    enum method method = exchange->request->method;
    bool is_asking = method == METHOD_GET || method == METHOD_HEAD || method == METHOD_OPTIONS;
    return is_asking && !exchange->has_request_body && exchange->service->rescue_when != 0;
}

/* Who asked for the canary by its own wish gets what the canary says. */
static unsigned rescue_when(const struct exchange *exchange)
{
    bool is_canary = exchange->attempt.role == ROLE_CURRENT && exchange->decision.is_judged &&
                     !exchange_is_asking(exchange);
    bool is_untold = exchange->client_status == 0 && !exchange->has_informed;
    bool is_rescuable =
        is_canary && is_untold && !exchange->is_rescued && exchange_is_rescuable(exchange);
    return is_rescuable ? exchange->service->rescue_when : 0;
}

/* Takes a token for the rescue, or counts why there is none. */
static bool spend(struct exchange *exchange)
{
    struct service *service = exchange->service->service;
    enum metric_rescue refusal = METRIC_RESCUE_COUNT;
    if (!exchange_is_live(exchange->host, &exchange->service->versions[ROLE_PREVIOUS])) {
        refusal = METRIC_RESCUE_STABLE_DOWN;
    } else if (atomic_load_explicit(&service->is_stable_strained, memory_order_relaxed)) {
        refusal = METRIC_RESCUE_STABLE_SUFFERS;
    } else if (!rescue_spend(&service_seat(service, exchange->host->worker_index)->rescue)) {
        refusal = METRIC_RESCUE_NO_BUDGET;
    }
    if (refusal != METRIC_RESCUE_COUNT) {
        cell_increment(&exchange->service_cells->rescues[refusal]);
    }
    return refusal == METRIC_RESCUE_COUNT;
}

bool exchange_may_divert(struct exchange *exchange)
{
    return (rescue_when(exchange) & 1u << CONF_RESCUE_503) != 0 && spend(exchange);
}

struct retry_decision exchange_decide_retry(struct exchange *exchange,
                                            const struct attempt_facts *facts)
{
    struct retry_facts request = {
        .is_idempotent = method_is_idempotent(exchange->request->method),
        .has_sent_body = exchange->has_sent_body,
        .has_answered = exchange->client_status != 0,
        .retry_count = exchange->retry_count,
        .rescue_when = rescue_when(exchange),
    };
    struct retry_decision decision = retry_decide(facts, &request);
    if (decision.action == RETRY_OTHER_VERSION && !spend(exchange)) {
        request.rescue_when = 0;
        decision = retry_decide(facts, &request);
    }
    return decision;
}

void exchange_rescue(struct exchange *exchange)
{
    CHECK(!exchange->is_rescued);
    deadline_disarm(&exchange->watch);
    exchange->is_rescued = true;
    fresh_land(exchange); /* what comes now is not what others wait for */
    if (exchange->cached != NULL && exchange->cached->asked != NULL) {
        asset_drop_conditions(&exchange->forwarded.fields); /* they are about the canary's answer */
    }
    exchange->rescued_from = exchange->attempt.failure;
    exchange->retry_count = 0;
    exchange_attempt(exchange, BALANCE_NONE, false);
}

bool exchange_rescue_answer(struct exchange *exchange)
{
    struct attempt *attempt = &exchange->attempt;
    struct attempt_facts facts = {.end = ATTEMPT_HEAD_READ, .status = attempt->status};
    if (exchange_decide_retry(exchange, &facts).action != RETRY_OTHER_VERSION) {
        return false;
    }
    exchange_count(exchange, ATTEMPT_DONE, false);
    struct client *client = attempt->client;
    attempt->client = NULL;
    seat_drain(attempt->seat, client,
               exchange->lease->snapshot->base->conf->timeouts.upstream_idle_us);
    exchange_rescue(exchange);
    return true;
}

void exchange_count_rescue(struct exchange *exchange)
{
    bool is_gone = exchange->client_status == 0 && !exchange->is_bad_for_client;
    if (exchange->is_rescued && !is_gone) {
        enum metric_rescue result = exchange->is_bad_for_client || exchange->is_from_cache
                                        ? METRIC_RESCUE_FAILURE
                                        : METRIC_RESCUE_SUCCESS;
        cell_increment(&exchange->service_cells->rescues[result]);
    }
}

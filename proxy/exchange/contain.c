/* proxy/exchange/contain.c — a canary that did clients too much harm is held at a trickle. */
#include "proxy/exchange/exchange_state.h"

static struct version *canary_of(const struct exchange *exchange)
{
    return exchange->service->versions[ROLE_CURRENT].version;
}

static void show(const struct exchange *exchange, bool is_contained)
{
    struct version_cells *cells =
        block_cells(canary_of(exchange)->cells, exchange->host->worker_index);
    cell_set(&cells->contained, is_contained);
}

void exchange_contain(struct exchange *exchange, struct containment *containment)
{
    bool is_rescuable = exchange_is_rescuable(exchange);
    uint64_t now_us = exchange->host->loop->now_us;
    /* What is no evidence cannot tell that the canary is well again either. */
    if (!exchange->is_excluded && containment_lets_through(containment, is_rescuable, now_us)) {
        exchange->is_trickle = true;
    } else {
        exchange->decision = decide_contained(exchange->decision);
    }
}

void exchange_spare_trickle(struct exchange *exchange)
{
    if (exchange->is_trickle && exchange->attempt.target == NULL) {
        exchange->is_trickle = false;
        containment_give_back(
            version_containment(canary_of(exchange), exchange->host->worker_index),
            exchange_is_rescuable(exchange));
    }
}

void exchange_weigh(struct exchange *exchange, bool is_bad)
{
    bool is_canarys = exchange->attempt.target != NULL && exchange->attempt.role == ROLE_CURRENT;
    if (!is_canarys || !exchange->attempt.is_judged) {
        return;
    }
    struct containment *containment =
        version_containment(canary_of(exchange), exchange->host->worker_index);
    if (!is_bad) {
        containment_on_good(containment, &exchange->service->containment);
    } else if (containment_on_bad(containment, &exchange->service->containment)) {
        cell_increment(&exchange->service_cells->containments);
        show(exchange, true);
    }
}

void exchange_tell_trickle(struct exchange *exchange, bool has_failed)
{
    struct containment *containment =
        version_containment(canary_of(exchange), exchange->host->worker_index);
    exchange->is_trickle_told = true;
    if (containment_on_trickle(containment, &exchange->service->containment, has_failed)) {
        show(exchange, false);
    }
}

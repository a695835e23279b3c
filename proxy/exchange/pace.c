/* proxy/exchange/pace.c — how long an exchange has waited for its client alone: for a body that is
 * on its way, or for an answer to be read.
 *
 * Origins give up on clients that keep them waiting: they hang up before a byte, or within the
 * answer, and hardly ever say why. Serin passes a client's pace on, so such an end says nothing of
 * the version; if it did, clients could roll one back by being slow. */
#include "proxy/exchange/exchange_state.h"

enum {
    KEPT_WAITING_US = 3000000 /* shorter than what origins put up with, longer than what clients
                                 with something to say need */
};

void pace_await(struct exchange *exchange, enum pace_wait what)
{
    if (exchange->awaited == 0) {
        exchange->awaited_since_us = exchange->host->loop->now_us;
    }
    exchange->awaited |= (unsigned)what;
}

void pace_go_on(struct exchange *exchange, enum pace_wait what)
{
    if (exchange->awaited == (unsigned)what) {
        exchange->awaited_us += exchange->host->loop->now_us - exchange->awaited_since_us;
    }
    exchange->awaited &= ~(unsigned)what;
}

bool pace_has_kept_waiting(const struct exchange *exchange)
{
    if (exchange->is_rpc) {
        return false;
    }
    uint64_t present_us =
        exchange->awaited != 0 ? exchange->host->loop->now_us - exchange->awaited_since_us : 0;
    return exchange->awaited_us + present_us >= KEPT_WAITING_US;
}

bool pace_owes_body(const struct exchange *exchange)
{
    return exchange->state == EXCHANGE_WAITING && !exchange->is_request_done &&
           !client_is_blocked(exchange->attempt.client);
}

uint64_t pace_latency_us(const struct exchange *exchange)
{
    uint64_t since_us = exchange->attempt.started_us > exchange->whole_us
                            ? exchange->attempt.started_us
                            : exchange->whole_us;
    return exchange->host->loop->now_us - since_us;
}

void pace_blame_client(struct exchange *exchange, unsigned status)
{
    bool has_answered = exchange->client_status != 0;
    exchange_count(exchange, ATTEMPT_CLIENT_GONE, false);
    exchange_release_client(exchange);
    if (has_answered) {
        exchange_abandon(exchange);
    } else if (!exchange->is_request_done) {
        exchange_reply(exchange, 408, REJECT_BODY_TIMEOUT);
    } else {
        exchange_fail(exchange, status, REJECT_REASON_COUNT);
    }
}

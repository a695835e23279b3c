/* proxy/exchange/pace.c — how long an exchange has waited for its client alone: for a body that is
 * on its way, or for an answer to be read.
 *
 * Origins give up on clients that keep them waiting: they hang up before a byte, or within the
 * answer, and hardly ever say why. Serin passes a client's pace on, so such an end says nothing of
 * the version; if it did, clients could roll one back by being slow. But whoever sends or reads
 * steadily at the pace of a link is waited for nearly all of the time, and a version that breaks
 * off every long transfer has failed. So what excuses an end is a silence right before it: origins
 * measure the time between two pieces too. That time is short of what they put up with. What they
 * did about it comes to be known late: after the piece that crossed it on its way, or after what
 * they had sent before. */
#include "proxy/exchange/exchange_state.h"

enum {
    KEPT_WAITING_US = 3000000, /* shorter than what origins put up with, longer than what clients
                                  with something to say need */
    CROSSING_US = 1000000,     /* how late news of an origin are, amply */
    UNDER_WAY_SIZE = 16 << 20  /* what the buffers of two kernels hold of an answer, amply */
};

static bool is_awaited(const struct pace *pace)
{
    return pace->waits[PACE_SENDING].is_awaited || pace->waits[PACE_READING].is_awaited;
}

void pace_await(struct exchange *exchange, enum pace_wait what)
{
    struct pace *pace = &exchange->pace;
    uint64_t now_us = exchange->host->loop->now_us;
    if (!is_awaited(pace)) {
        pace->since_us = now_us;
    }
    if (!pace->waits[what].is_awaited) {
        pace->waits[what].is_awaited = true;
        pace->waits[what].since_us = now_us;
    }
}

static bool is_long_silence(const struct exchange *exchange, enum pace_wait what)
{
    return exchange->pace.waits[what].is_awaited &&
           exchange->host->loop->now_us - exchange->pace.waits[what].since_us >= KEPT_WAITING_US;
}

void pace_go_on(struct exchange *exchange, enum pace_wait what)
{
    struct pace *pace = &exchange->pace;
    uint64_t now_us = exchange->host->loop->now_us;
    if (!pace->waits[what].is_awaited) {
        return;
    }
    if (is_long_silence(exchange, what)) {
        if (what == PACE_SENDING) {
            pace->excused_until_us = now_us + CROSSING_US;
        } else {
            pace->excused_until_size = exchange->response_bytes + UNDER_WAY_SIZE;
        }
    }
    pace->waits[what].is_awaited = false;
    if (!is_awaited(pace)) {
        pace->waited_us += now_us - pace->since_us;
    }
}

/* Its origin's word, since anybody can send a request that looks like a call. */
static bool may_be_silent(const struct exchange *exchange)
{
    return exchange->is_rpc && exchange->attempt.seat != NULL && exchange->attempt.seat->speaks_rpc;
}

bool pace_is_silent(const struct exchange *exchange)
{
    const struct pace *pace = &exchange->pace;
    if (may_be_silent(exchange)) {
        return false;
    }
    return is_long_silence(exchange, PACE_SENDING) || is_long_silence(exchange, PACE_READING) ||
           exchange->host->loop->now_us < pace->excused_until_us ||
           exchange->response_bytes < pace->excused_until_size;
}

static uint64_t waited_us(const struct exchange *exchange)
{
    const struct pace *pace = &exchange->pace;
    uint64_t present_us = is_awaited(pace) ? exchange->host->loop->now_us - pace->since_us : 0;
    return pace->waited_us + present_us;
}

bool pace_has_kept_waiting(const struct exchange *exchange)
{
    return waited_us(exchange) >= KEPT_WAITING_US;
}

bool pace_is_body_late(const struct exchange *exchange)
{
    return !exchange->is_request_done || pace_has_kept_waiting(exchange);
}

bool pace_has_used_up_total(const struct exchange *exchange)
{
    bool is_reading =
        exchange->client_status != 0 && exchange->responder->ops->is_blocked(exchange->responder);
    bool is_slow = is_reading || (!may_be_silent(exchange) && pace_has_kept_waiting(exchange));
    uint64_t passed_us = exchange->host->loop->now_us - exchange->started_us;
    uint64_t own_us = passed_us - waited_us(exchange);
    return pace_owes_body(exchange) || (is_slow && waited_us(exchange) > own_us);
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

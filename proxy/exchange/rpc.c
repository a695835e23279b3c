#include "proxy/exchange/rpc.h"

#include "proxy/exchange/edge.h"
#include "proxy/http/grpc.h"
#include "proxy/http/reply.h"

enum {
    DEADLINE_PART = 8 /* who gives up by this part earlier went by the same clock */
};

void rpc_note_request(struct exchange *exchange)
{
    const struct request *request = exchange->request;
    exchange->client_grpc_status = GRPC_NONE;
    exchange->attempt.grpc_status = GRPC_NONE;
    exchange->is_rpc = request->method == METHOD_POST && grpc_is_type(&request->fields);
    uint64_t timeout_us;
    if (exchange->is_rpc && grpc_read_timeout(&request->fields, &timeout_us)) {
        exchange->rpc_timeout_us = timeout_us > 0 ? timeout_us : 1;
    }
}

uint64_t rpc_total_us(struct exchange *exchange, uint64_t total_us)
{
    uint64_t own_us = exchange->rpc_timeout_us;
    exchange->is_client_deadline = own_us > 0 && (total_us == 0 || own_us < total_us);
    return exchange->is_client_deadline ? own_us : total_us;
}

bool rpc_is_past_deadline(const struct exchange *exchange)
{
    uint64_t passed_us = exchange->host->loop->now_us - exchange->started_us;
    uint64_t timeout_us = exchange->rpc_timeout_us;
    return timeout_us > 0 && passed_us + timeout_us / DEADLINE_PART >= timeout_us;
}

void rpc_time_out(struct exchange *exchange)
{
    struct bytes message = BYTES("grpc-timeout has passed");
    bool has_answered = exchange->client_status != 0;
    exchange_count(exchange, ATTEMPT_CLIENT_GONE, false);
    exchange_release_client(exchange);
    if (has_answered) {
        rpc_end(exchange, GRPC_DEADLINE_EXCEEDED, message);
        return;
    }
    struct answer answer = {.status = 408,
                            .reason = REJECT_REASON_COUNT,
                            .grpc_status = GRPC_DEADLINE_EXCEEDED,
                            .body = message};
    exchange_answer(exchange, &answer);
}

/* ---- the origin's answer ---- */

void rpc_note_head(struct attempt *attempt, const struct response *response)
{
    attempt->is_rpc = response->status == 200 && grpc_is_type(&response->fields);
    if (!attempt->is_rpc) {
        return;
    }
    bool is_all = response->body == BODY_NONE ||
                  (response->body == BODY_LENGTH && response->content_length == 0);
    attempt->seat->speaks_rpc = true;
    attempt->head_grpc_status = grpc_read_status(&response->fields);
    attempt->grpc_status = is_all ? attempt->head_grpc_status : GRPC_NONE;
}

/* A call without a status is one that nobody knows the end of: clients say UNKNOWN. An empty body
 * may have been announced as one of any length: then the head's word stands. */
void rpc_note_end(struct attempt *attempt, const struct fields *trailers)
{
    if (!rpc_is_open(attempt)) {
        return;
    }
    int status = trailers != NULL ? (int)grpc_read_status(trailers) : GRPC_NONE;
    status = status != GRPC_NONE ? status : attempt->head_grpc_status;
    attempt->grpc_status = status != GRPC_NONE ? status : GRPC_UNKNOWN;
}

bool rpc_is_open(const struct attempt *attempt)
{
    return attempt->is_rpc && attempt->grpc_status == GRPC_NONE;
}

static bool has_listed_status(const struct exchange *exchange)
{
    const struct attempt *attempt = &exchange->attempt;
    return attempt->is_rpc && attempt->grpc_status > GRPC_OK &&
           (exchange->service->grpc_failures >> attempt->grpc_status & 1) != 0;
}

bool rpc_has_failed(const struct exchange *exchange)
{
    return has_listed_status(exchange) && !rpc_is_past_deadline(exchange);
}

bool rpc_is_no_evidence(const struct exchange *exchange, enum attempt_end end)
{
    bool is_left = end == ATTEMPT_CLIENT_GONE && rpc_is_open(&exchange->attempt);
    return (is_left || has_listed_status(exchange)) && rpc_is_past_deadline(exchange);
}

/* The slow limit is asked of the moment: it may have come to be known since the call began. */
bool rpc_is_slow(const struct exchange *exchange, enum attempt_end end)
{
    const struct attempt *attempt = &exchange->attempt;
    uint64_t limit_us =
        atomic_load_explicit(&exchange->service->service->slow_limit_us, memory_order_relaxed);
    bool is_asked =
        exchange->is_request_done && limit_us > 0 && pace_latency_us(exchange) >= limit_us;
    return end == ATTEMPT_CLIENT_GONE && attempt->status == 0 && is_asked &&
           exchange->rpc_timeout_us >= limit_us && rpc_is_past_deadline(exchange);
}

bool rpc_is_unwell(const struct attempt *attempt)
{
    return attempt->is_rpc &&
           (attempt->grpc_status == GRPC_INTERNAL || attempt->grpc_status == GRPC_UNAVAILABLE ||
            attempt->grpc_status == GRPC_DATA_LOSS || attempt->grpc_status == GRPC_UNKNOWN);
}

/* ---- our own ---- */

bool rpc_answer(struct exchange *exchange, const struct answer *answer)
{
    enum { ERROR_MIN = 400 };
    struct exchange_host *host = exchange->host;
    struct responder *responder = exchange->responder;
    if (!exchange->is_rpc || answer->status < ERROR_MIN) {
        return false;
    }
    struct field extra[EDGE_FIELDS_MAX];
    struct field items[GRPC_FIELDS_MAX];
    struct response response;
    struct grpc_reply reply = {
        .status = answer->grpc_status > 0 ? (enum grpc_status)answer->grpc_status
                                          : grpc_of_http(answer->status),
        .message = answer->body.data != NULL ? answer->body : reply_reason(answer->status),
        .date = date_now(&host->date, host->loop->now_us),
        .client_version = exchange->request->version,
        .is_keep_alive = exchange->request->is_keep_alive,
        .extra = extra,
        .extra_count = edge_fields(exchange, extra),
    };
    grpc_make_reply(&reply, items, &response);
    exchange->client_status = response.status;
    exchange->client_grpc_status = (int)reply.status;
    struct lease *lease = exchange->lease; /* field values belong to the snapshot */
    lease_acquire(lease);
    exchange_close(exchange);
    responder->ops->head(responder, &response);
    responder->ops->end(responder, NULL);
    exchange_return_lease(host, lease);
    return true;
}

void rpc_end(struct exchange *exchange, int status, struct bytes message)
{
    struct responder *responder = exchange->responder;
    bool is_open_ended =
        exchange->response_body == BODY_CHUNKED || exchange->response_body == BODY_UNTIL_CLOSE;
    if (!is_open_ended || exchange->request->version == HTTP_1_0) {
        exchange_abandon(exchange);
        return;
    }
    struct field items[GRPC_TRAILERS_MAX];
    struct fields trailers = grpc_make_trailers((enum grpc_status)status, message, items);
    exchange->client_grpc_status = status;
    exchange_close(exchange);
    responder->ops->end(responder, &trailers);
}

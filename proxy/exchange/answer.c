/* proxy/exchange/answer.c — answers of our own, and what answers get besides. */
#include "proxy/exchange/edge.h"
#include "proxy/exchange/rpc.h"
#include "proxy/http/reply.h"

/* An origin that does not care for WebSockets gave a good answer: only we could not pass it on. */
static bool is_bad(const struct answer *answer)
{
    return answer->status >= 500 && answer->reason != REJECT_NOT_SWITCHED && !answer->is_wished;
}

void exchange_answer(struct exchange *exchange, const struct answer *answer)
{
    struct exchange_host *host = exchange->host;
    struct responder *responder = exchange->responder;
    if (answer->reason != REJECT_REASON_COUNT) {
        cell_increment(&host->cells->rejected_requests[answer->reason]);
    }
    if (is_bad(answer)) {
        exchange->is_bad_for_client = true;
        exchange_count_client_bad(exchange);
    }
    if (rpc_answer(exchange, answer)) {
        return;
    }
    struct field extra[EDGE_FIELDS_MAX + 1];
    size_t extra_count = edge_fields(exchange, extra);
    if (answer->location.size > 0) {
        extra[extra_count++] = (struct field){BYTES("Location"), answer->location, FIELD_LOCATION};
    }
    struct reply_options options = {
        .client_version = exchange->request->version,
        .is_keep_alive = exchange->request->is_keep_alive,
        .is_head = exchange->request->method == METHOD_HEAD,
        .date = date_now(&host->date, host->loop->now_us),
        .retry_after = answer->status == 503 ? BYTES("1") : answer->retry_after,
        .body = answer->body,
        .content_type = answer->content_type,
        .pages = exchange->service != NULL ? exchange->service->pages
                                           : exchange->lease->snapshot->base->pages,
        .extra = extra,
        .extra_count = extra_count,
    };
    struct field items[REPLY_FIELDS_MAX];
    struct response response;
    struct bytes body;
    reply_make(answer->status, &options, items, &response, &body);
    exchange->client_status = answer->status;
    exchange->response_bytes = body.size;
    /* Pages and field values belong to the snapshot. */
    struct lease *lease = exchange->lease;
    lease_acquire(lease);
    exchange_close(exchange);
    responder->ops->head(responder, &response);
    responder->ops->body(responder, body);
    responder->ops->end(responder, NULL);
    exchange_return_lease(host, lease);
}

void exchange_reply(struct exchange *exchange, unsigned status, enum reject_reason reason)
{
    struct answer answer = {.status = status, .reason = reason};
    exchange_answer(exchange, &answer);
}

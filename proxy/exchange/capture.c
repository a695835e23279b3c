/* proxy/exchange/capture.c — what the canary failed is described for control: incident reports are
 * made of it.
 *
 * An attempt that counts as a failure for the judge is noted in the request's arena when it fails,
 * while its answer's head can still be read; the note goes into the service's ring when the request
 * is over, with what the client got and what the stable version said instead. Requests that go well
 * pay for one comparison. */
#include "proxy/base/clock.h"
#include "proxy/exchange/exchange_state.h"
#include "proxy/exchange/rpc.h"
#include "proxy/http/head_text.h"

struct failed {
    struct failure_record record;
};

static const char *error_text(enum attempt_end end)
{
    static const char *const texts[ATTEMPT_END_COUNT] = {
        [ATTEMPT_HEAD_READ] = "it answered with a status that counts as a failure",
        [ATTEMPT_SETTLED] = "it answered with a status that counts as a failure",
        [ATTEMPT_DONE] = "it answered with a status that counts as a failure",
        [ATTEMPT_CONNECT_FAILED] = "no connection: refused, unreachable, or no address",
        [ATTEMPT_CONNECT_TIMEOUT] = "no connection within timeouts.connect",
        [ATTEMPT_TLS_FAILED] = "the TLS handshake failed",
        [ATTEMPT_TLS_TIMEOUT] = "the TLS handshake was not over within timeouts.connect",
        [ATTEMPT_HEAD_TIMEOUT] = "no complete head within timeouts.response_header or total",
        [ATTEMPT_RESET] = "the connection was closed before the answer's head was complete",
        [ATTEMPT_BAD_RESPONSE] = "what it answered is not valid HTTP",
        [ATTEMPT_TRUNCATED] = "the connection was closed inside the answer's body",
        [ATTEMPT_BODY_TIMEOUT] = "the body stalled past timeouts.response_body or total",
        [ATTEMPT_CLIENT_GONE] = "it answered with a status that counts as a failure",
        [ATTEMPT_REFUSED] = "it could not be asked",
    };
    return texts[end];
}

static const char *reason_of(const struct exchange *exchange, enum attempt_end end)
{
    return rpc_has_failed(exchange) ? "its grpc-status counts as a failure" : error_text(end);
}

static int64_t between(uint64_t from_us, uint64_t to_us)
{
    return from_us > 0 && to_us >= from_us ? (int64_t)(to_us - from_us) : -1;
}

static struct failure_answer answer_of(const struct attempt *attempt, uint64_t now_us)
{
    return (struct failure_answer){
        .status = attempt->status,
        .grpc_status =
            attempt->is_rpc && attempt->grpc_status > 0 ? (unsigned)attempt->grpc_status : 0,
        .connect_us = attempt->sent_us > 0 ? between(attempt->started_us, attempt->sent_us) : -1,
        .first_byte_us = attempt->head_us > 0 ? between(attempt->started_us, attempt->head_us) : -1,
        .total_us = between(attempt->started_us, now_us),
        .size = attempt->head != NULL && attempt->head->has_content_length
                    ? (int64_t)attempt->head->content_length
                    : -1,
    };
}

static struct head_text_secrets secrets_of(const struct exchange *exchange)
{
    const struct conf_incidents *conf = &exchange->lease->snapshot->base->conf->incidents;
    return (struct head_text_secrets){conf->redact, conf->redact_count};
}

static struct bytes request_head(const struct exchange *exchange)
{
    struct head_text_secrets secrets = secrets_of(exchange);
    char *text = arena_alloc(exchange->responder->arena, FAILURE_REQUEST_HEAD_MAX);
    size_t size = text != NULL ? head_text_request(exchange->request, &secrets, text,
                                                   FAILURE_REQUEST_HEAD_MAX)
                               : 0;
    return bytes_make(text, size);
}

static struct bytes response_head(const struct exchange *exchange)
{
    struct head_text_secrets secrets = secrets_of(exchange);
    const struct response *head = exchange->attempt.head;
    char *text =
        head != NULL ? arena_alloc(exchange->responder->arena, FAILURE_RESPONSE_HEAD_MAX) : NULL;
    size_t size =
        text != NULL ? head_text_response(head, &secrets, text, FAILURE_RESPONSE_HEAD_MAX) : 0;
    return bytes_make(text, size);
}

static void describe(const struct exchange *exchange, enum attempt_end end,
                     enum metric_failure kind, struct failure_record *ret_record)
{
    const struct attempt *attempt = &exchange->attempt;
    const struct decision *decision = &exchange->decision;
    uint64_t now_us = exchange->host->loop->now_us;
    const struct field *request_id = fields_find(&exchange->forwarded.fields, FIELD_X_REQUEST_ID);
    *ret_record = (struct failure_record){
        .wall_us = clock_wall_us(clock_system()) - (int64_t)(now_us - exchange->started_us),
        .method = method_text(exchange->request->method),
        .path = head_text_path(exchange->request->target),
        .deployment = exchange->service->versions[ROLE_CURRENT].version->deployment,
        .endpoint = attempt->target->endpoint->name,
        .request_id = request_id != NULL ? request_id->value : BYTES(""),
        .error = bytes_of(reason_of(exchange, end)),
        .request_head = request_head(exchange),
        .response_head = response_head(exchange),
        .kind = kind,
        .canary = answer_of(attempt, now_us),
        .has_bucket = decision->sets_cookie || decision->reason == DECIDE_STICKY,
        .bucket = decision->bucket,
        .queue_us = between(exchange->started_us, attempt->started_us),
    };
}

void exchange_capture(struct exchange *exchange, enum attempt_end end, enum metric_failure kind)
{
    bool is_wanted = exchange->lease->snapshot->base->conf->incidents.is_on;
    if (!is_wanted || exchange->failed != NULL) {
        return;
    }
    struct failed *failed = arena_alloc(exchange->responder->arena, sizeof *failed);
    if (failed == NULL) {
        return;
    }
    describe(exchange, end, kind, &failed->record);
    exchange->failed = failed;
}

void exchange_give_capture(struct exchange *exchange)
{
    struct exchange_host *host = exchange->host;
    struct failure_record *record = &exchange->failed->record;
    const struct attempt *attempt = &exchange->attempt;
    struct failure_ring *ring = service_failures(exchange->service->service, host->worker_index);
    if (ring == NULL) {
        return;
    }
    if (attempt->role == ROLE_CURRENT) {
        record->canary.total_us = between(attempt->started_us, host->loop->now_us);
    }
    record->is_rescued = exchange->is_rescued;
    if (exchange->is_rescued && attempt->role == ROLE_PREVIOUS) {
        record->stable = answer_of(attempt, host->loop->now_us);
        record->stable.size = attempt->status != 0 ? (int64_t)exchange->response_bytes : -1;
    }
    record->client_status = exchange->client_status;
    record->is_bad_for_client = exchange->is_bad_for_client;
    record->is_from_cache = exchange->is_from_cache;
    record->total_us = between(exchange->started_us, host->loop->now_us);
    record->request_bytes = exchange->request_bytes;
    record->response_bytes = exchange->response_bytes;
    failure_ring_put(ring, record);
}

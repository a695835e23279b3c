/* proxy/exchange/exchange_log.c — what the access log keeps of a finished exchange. */
#include "proxy/base/clock.h"
#include "proxy/exchange/cached.h"
#include "proxy/exchange/lasting.h"

static struct bytes value_of(const struct fields *fields, enum field_id id)
{
    const struct field *field = fields_find(fields, id);
    return field != NULL ? field->value : BYTES("");
}

void exchange_log(struct exchange *exchange)
{
    struct exchange_host *host = exchange->host;
    const struct request *request = exchange->request;
    const struct attempt *attempt = &exchange->attempt;
    uint64_t now_us = host->loop->now_us;
    if (exchange->peer_text[0] == '\0') {
        ip_format(exchange->responder->peer, exchange->peer_text);
    }
    bool was_tried = attempt->target != NULL;
    uint64_t upstream_end_us = attempt->ended_us > 0 ? attempt->ended_us : now_us;
    struct access_record record = {
        .wall_us = clock_wall_us(clock_system()) - (int64_t)(now_us - exchange->started_us),
        .client = bytes_of(exchange->peer_text),
        .method = method_text(request->method),
        .target = request->target,
        .protocol = http_version_text(request->version),
        .host = request->authority,
        .service = exchange->service != NULL ? exchange->service->service->name : BYTES(""),
        .endpoint = was_tried ? attempt->target->endpoint->name : BYTES(""),
        .request_id = value_of(was_tried ? &exchange->forwarded.fields : &request->fields,
                               FIELD_X_REQUEST_ID),
        .referer = value_of(&request->fields, FIELD_REFERER),
        .user_agent = value_of(&request->fields, FIELD_USER_AGENT),
        .status = exchange->client_status,
        .grpc_status = exchange->client_grpc_status,
        .role = exchange->service != NULL && !exchange->is_undecided
                    ? (enum metric_role)exchange->decision.role
                    : METRIC_ROLE_COUNT,
        .failure = attempt->failure == METRIC_FAILURE_COUNT && exchange->is_rescued
                       ? exchange->rescued_from
                       : attempt->failure,
        .ending = lasting_ending(exchange),
        .cache = cached_result(exchange),
        .is_rescued = exchange->is_rescued || exchange->is_asset_found,
        .attempts = exchange->attempt_count,
        .request_bytes = exchange->request_bytes,
        .response_bytes = exchange->response_bytes,
        .duration_us = now_us - exchange->started_us,
        .upstream_duration_us = was_tried ? (int64_t)(upstream_end_us - attempt->started_us) : -1,
    };
    access_log_record(host->access_log, host->worker_index, &record);
}

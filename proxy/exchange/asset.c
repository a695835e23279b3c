#include "proxy/exchange/asset.h"

#include "proxy/exchange/relay.h"
#include "proxy/upstream/balance.h"
#include "router/matcher.h"

enum { HELD_TAG = TAG('h', 'e', 'l', 'd'), STATUS_OK = 200, STATUS_NOT_FOUND = 404 };

/* The answer that waits, in the exchange's arena. */
struct held {
    unsigned tag;
    struct attempt attempt;   /* the first one; its connection is ours while it is held */
    struct response response; /* its head, copied */
    bool is_asking;           /* the other version has not answered yet */
    bool has_ended;           /* nothing follows the head */
    bool has_failed;          /* the connection broke meanwhile */
};

/* ---- what is an asset ---- */

bool asset_is_asked_for(const struct request *request, const struct conf_assets *conf)
{
    static const char *const destinations[] = {"script", "style", "image", "font"};
    const struct field *field = fields_find(&request->fields, FIELD_SEC_FETCH_DEST);
    for (size_t i = 0; i < COUNT_OF(destinations) && field != NULL; i++) {
        if (bytes_equal(field->value, bytes_of(destinations[i]))) {
            return true;
        }
    }
    struct bytes path = matcher_path_of(request->target);
    for (size_t i = 0; i < conf->path_count; i++) {
        if (matcher_path_fits(bytes_of(conf->paths[i]), path)) {
            return true;
        }
    }
    return false;
}

bool asset_is_repeatable(const struct request *request)
{
    static const char *const binding[] = {"range", "if-range", "if-match", "if-unmodified-since"};
    bool is_plain = (request->method == METHOD_GET || request->method == METHOD_HEAD) &&
                    request->upgrade.size == 0;
    for (size_t i = 0; i < COUNT_OF(binding) && is_plain; i++) {
        is_plain = fields_find_name(&request->fields, bytes_of(binding[i])) == NULL;
    }
    return is_plain;
}

static bool is_html(const struct response *response)
{
    const struct field *type = fields_find(&response->fields, FIELD_CONTENT_TYPE);
    if (type == NULL) {
        return false;
    }
    struct bytes media = bytes_slice(type->value, 0, bytes_find(type->value, ';'));
    return bytes_equal_nocase(bytes_trim(media), BYTES("text/html"));
}

bool asset_is_missing(const struct response *response)
{
    return response->status == STATUS_NOT_FOUND ||
           (response->status == STATUS_OK && is_html(response));
}

bool asset_is_found(const struct response *response)
{
    return response->status >= 200 && response->status < 300 && !is_html(response);
}

/* ---- holding ---- */

static struct held *held_of(void *call)
{
    struct held *held = call;
    CHECK(held->tag == HELD_TAG);
    return held;
}

static void on_held_inform(void *call, const struct response *response)
{
    (void)held_of(call);
    (void)response;
}

static void on_held_body(void *call, struct bytes piece)
{
    (void)held_of(call);
    CHECK(piece.size == 0); /* none is wanted */
}

static void on_held_end(void *call, const struct fields *trailers)
{
    (void)trailers;
    held_of(call)->has_ended = true;
}

static void on_held_drained(void *call)
{
    (void)held_of(call);
}

static void on_held_failed(void *call, enum client_failure failure)
{
    (void)failure;
    held_of(call)->has_failed = true;
}

static const struct client_ops held_ops = {
    .on_inform = on_held_inform,
    .on_head = on_held_inform,
    .on_body = on_held_body,
    .on_end = on_held_end,
    .on_drained = on_held_drained,
    .on_failed = on_held_failed,
};

static bool copy(struct arena *arena, struct bytes *bytes)
{
    *bytes = arena_copy(arena, *bytes);
    return bytes->data != NULL || bytes->size == 0;
}

/* The head is lent for the call alone. ERR_NOMEM. */
static enum err copy_head(struct arena *arena, const struct response *from, struct response *to)
{
    *to = *from;
    struct field *items = arena_alloc(arena, (from->fields.count + 1) * sizeof *items);
    bool is_whole = items != NULL && copy(arena, &to->reason) && copy(arena, &to->upgrade);
    for (size_t i = 0; i < from->fields.count && is_whole; i++) {
        items[i] = from->fields.items[i];
        is_whole = copy(arena, &items[i].name) && copy(arena, &items[i].value);
    }
    to->fields.items = items;
    return is_whole ? OK : ERR_NOMEM;
}

/* ---- asking ---- */

bool exchange_is_asking(const struct exchange *exchange)
{
    return exchange->held != NULL && exchange->held->is_asking;
}

enum role exchange_asked_role(const struct exchange *exchange)
{
    CHECK(exchange_is_asking(exchange));
    return exchange->held->attempt.role == ROLE_CURRENT ? ROLE_PREVIOUS : ROLE_CURRENT;
}

static void count_result(struct exchange *exchange, enum metric_rescue result)
{
    cell_increment(&exchange->service_cells->rescues[result]);
}

/* Who chose its version by its own wish gets what that version says, and a canary without weight
 * is asked for nothing. */
static bool is_candidate(const struct exchange *exchange, const struct response *response)
{
    const struct snapshot_service *service = exchange->service;
    bool is_untold = exchange->client_status == 0 && !exchange->has_informed;
    bool is_first = exchange->held == NULL && !exchange->is_rescued;
    bool is_shared = service->decide.weight_ppm > 0 && !service->decide.is_quarantined;
    return service->conf->rescue.assets.is_on && is_untold && is_first && is_shared &&
           exchange->decision.is_judged && !exchange->has_request_body &&
           asset_is_missing(response) && asset_is_repeatable(exchange->request) &&
           asset_is_asked_for(exchange->request, &service->conf->rescue.assets);
}

static bool may_ask(const struct exchange *exchange, enum role other)
{
    const struct snapshot_service *service = exchange->service;
    struct exchange_host *host = exchange->host;
    if (!exchange_is_live(host, &service->versions[other])) {
        return false;
    }
    if (other == ROLE_PREVIOUS) {
        return !atomic_load_explicit(&service->service->is_stable_strained, memory_order_relaxed);
    }
    struct version *canary = service->versions[ROLE_CURRENT].version;
    return !version_containment(canary, host->worker_index)->is_contained;
}

/* Takes a token, or counts why it is not asked. */
static bool spend(struct exchange *exchange, enum role other)
{
    struct service_seat *seat =
        service_seat(exchange->service->service, exchange->host->worker_index);
    if (!may_ask(exchange, other)) {
        count_result(exchange, METRIC_RESCUE_ASSET_NOT_ASKED);
        return false;
    }
    if (!rescue_spend(&seat->assets)) {
        count_result(exchange, METRIC_RESCUE_ASSET_NO_BUDGET);
        return false;
    }
    return true;
}

/* What the client has cached may be of the other version or of none: it gets the whole asset. */
void asset_drop_conditions(struct fields *fields)
{
    size_t kept = 0;
    for (size_t i = 0; i < fields->count; i++) {
        struct bytes name = fields->items[i].name;
        bool is_condition = bytes_equal_nocase(name, BYTES("if-none-match")) ||
                            bytes_equal_nocase(name, BYTES("if-modified-since"));
        if (!is_condition) {
            fields->items[kept++] = fields->items[i];
        }
    }
    fields->count = kept;
}

static struct held *hold(struct exchange *exchange, const struct response *response)
{
    struct arena *arena = exchange->responder->arena;
    struct held *held = arena_zalloc(arena, sizeof *held);
    if (held == NULL || copy_head(arena, response, &held->response) != OK) {
        return NULL;
    }
    held->tag = HELD_TAG;
    held->attempt = exchange->attempt;
    client_want(held->attempt.client, false);
    client_arm(held->attempt.client, 0);
    client_hand_over(held->attempt.client, &held_ops, held);
    exchange->attempt.client = NULL;
    return held;
}

static void ask(struct exchange *exchange, struct held *held)
{
    deadline_disarm(&exchange->watch);
    exchange->held = held;
    held->is_asking = true;
    exchange->retry_count = 0;
    asset_drop_conditions(&exchange->forwarded.fields);
    deadline_arm(&exchange->host->loop->wheel, &exchange->watch,
                 exchange->service->conf->rescue.assets.timeout_us);
    exchange_attempt(exchange, BALANCE_NONE, false);
}

/* ---- settling ---- */

/* Ends what is held. Its version answered, and that it lacked the asset is held against nobody. */
static void let_go(struct exchange *exchange, struct held *held)
{
    struct attempt present = exchange->attempt;
    struct client *client = held->attempt.client;
    struct endpoint_seat *seat = held->attempt.seat;
    uint64_t idle_us = exchange->lease->snapshot->base->conf->timeouts.upstream_idle_us;
    held->is_asking = false;
    exchange->attempt = held->attempt;
    exchange->attempt.is_excused = true;
    exchange_count(exchange, ATTEMPT_DONE, false);
    exchange->attempt = present;
    held->attempt.client = NULL;
    if (held->has_failed) {
        seat_drop(seat, client);
    } else if (held->has_ended) {
        seat_checkin(seat, client, idle_us);
    } else {
        seat_drain(seat, client, idle_us);
    }
}

void exchange_drop_held(struct exchange *exchange)
{
    if (exchange_is_asking(exchange)) {
        let_go(exchange, exchange->held);
    }
}

void exchange_give_held(struct exchange *exchange)
{
    struct held *held = exchange->held;
    CHECK(exchange->attempt.client == NULL);
    deadline_disarm(&exchange->watch);
    held->is_asking = false;
    exchange->attempt = held->attempt;
    exchange_enter(exchange, EXCHANGE_WAITING);
    count_result(exchange, METRIC_RESCUE_ASSET_FAILURE);
    if (held->has_failed) {
        exchange_count(exchange, ATTEMPT_TRUNCATED, false);
        exchange_release_client(exchange);
        exchange_reply(exchange, 502, REJECT_REASON_COUNT);
        return;
    }
    struct client *client = held->attempt.client;
    if (!held->has_ended) {
        client_hand_over(client, &exchange_client_ops, exchange);
    }
    exchange_count(exchange, ATTEMPT_HEAD_READ, false);
    if (!relay_answer(exchange, &held->response)) {
        return;
    }
    if (held->has_ended) {
        relay_on_end(exchange, NULL);
    } else {
        client_want(client, true);
    }
}

/* The other version's answer is no better: what is left of it is thrown away. */
static void refuse_other(struct exchange *exchange)
{
    struct attempt *attempt = &exchange->attempt;
    struct client *client = attempt->client;
    exchange_count(exchange, ATTEMPT_HEAD_READ, false);
    exchange_count(exchange, ATTEMPT_DONE, false);
    attempt->client = NULL;
    seat_drain(attempt->seat, client,
               exchange->lease->snapshot->base->conf->timeouts.upstream_idle_us);
    exchange_give_held(exchange);
}

void exchange_stop_asking(struct exchange *exchange)
{
    struct attempt *attempt = &exchange->attempt;
    struct client *client = attempt->client;
    exchange_count(exchange, ATTEMPT_CLIENT_GONE, false);
    attempt->client = NULL;
    if (client != NULL) {
        seat_drop(attempt->seat, client);
    }
    exchange_give_held(exchange);
}

bool exchange_ask_asset(struct exchange *exchange, const struct response *response)
{
    if (exchange_is_asking(exchange)) {
        if (!asset_is_found(response)) {
            refuse_other(exchange);
            return true;
        }
        deadline_disarm(&exchange->watch);
        let_go(exchange, exchange->held);
        exchange->is_asset_found = true;
        count_result(exchange, METRIC_RESCUE_ASSET_SUCCESS);
        return false;
    }
    enum role other = exchange->attempt.role == ROLE_CURRENT ? ROLE_PREVIOUS : ROLE_CURRENT;
    if (!is_candidate(exchange, response) || !spend(exchange, other)) {
        return false;
    }
    if (!exchange_is_bad_status(exchange, response->status)) {
        exchange_count(exchange, ATTEMPT_HEAD_READ, false);
    }
    struct held *held = hold(exchange, response);
    if (held == NULL) {
        return false;
    }
    ask(exchange, held);
    return true;
}

/* proxy/exchange/cached.c — see cached.h. */
#include "proxy/exchange/cached.h"

#include "proxy/base/clock.h"
#include "proxy/cache/cache_answer.h"
#include "proxy/cache/cache_invalidate.h"
#include "proxy/exchange/fresh.h"
#include "proxy/exchange/lasting.h"
#include "proxy/exchange/relay.h"

enum { CACHED_TAG = TAG('c', 'c', 'h', 'd'), SLICE_SIZE = 64 * 1024, SECOND_US = 1000000 };

/* The field that clients are known by, as the configuration has it, says who asks. */
static bool is_known_by_field(const struct exchange *exchange)
{
    const struct snapshot_service *service = exchange->service;
    const struct fields *fields = &exchange->request->fields;
    const struct conf_affinity *affinity = &service->conf->affinity;
    bool is_sticky = service->decide.sticky.by == STICKY_HEADER &&
                     fields_find_name(fields, service->decide.sticky.header) != NULL;
    return is_sticky || (affinity->header != NULL &&
                         fields_find_name(fields, bytes_of(affinity->header)) != NULL);
}

struct cached *cached_of(struct exchange *exchange)
{
    struct cached *cached = exchange->cached;
    if (cached != NULL) {
        CHECK(cached->tag == CACHED_TAG);
        return cached;
    }
    cached = arena_zalloc(exchange->responder->arena, sizeof *cached);
    if (cached != NULL) {
        cached->tag = CACHED_TAG;
        cached->result = METRIC_CACHE_COUNT;
        list_init(&cached->waiting);
        cached->exchange = exchange;
        cache_request_read(exchange->request, &cached->request);
        cached->request.has_identity |= is_known_by_field(exchange);
        exchange->cached = cached;
    }
    return cached;
}

enum metric_cache cached_result(const struct exchange *exchange)
{
    return exchange->cached != NULL ? exchange->cached->result : METRIC_CACHE_COUNT;
}

void cached_count(struct exchange *exchange, enum metric_cache result)
{
    exchange->cached->result = result;
    cell_increment(&exchange->service_cells->cache_requests[result]);
}

/* ---- keys ---- */

static struct bytes told(const struct exchange *exchange, enum field_id id, struct bytes own)
{
    return forward_told(exchange->request, exchange->is_peer_trusted, id, own);
}

static struct cache_key_facts key_of(const struct exchange *exchange, const struct version *version)
{
    struct bytes besides;
    if (forward_told_besides(exchange->request, exchange->is_peer_trusted,
                             exchange->responder->arena, &besides) != OK) {
        besides = (struct bytes){NULL, CACHE_KEY_MAX + 1}; /* not known: no key */
    }
    struct bytes scheme = exchange->responder->is_tls ? BYTES("https") : BYTES("http");
    return (struct cache_key_facts){
        .service = exchange->service->service->name,
        .deployment = version->deployment,
        .scheme = told(exchange, FIELD_X_FORWARDED_PROTO, scheme),
        .authority = told(exchange, FIELD_X_FORWARDED_HOST, exchange->request->authority),
        .host = exchange->request->authority,
        .besides = besides,
        .target = exchange->request->target,
    };
}

struct cache_key_facts cached_key(const struct exchange *exchange, enum role role)
{
    return key_of(exchange, exchange->service->versions[role].version);
}

/* A version that is kept apart from its answers: there is none, or it was rolled back. */
bool cached_is_barred(const struct snapshot_service *service, enum role role)
{
    return service->versions[role].version == NULL ||
           (role == ROLE_CURRENT && service->decide.is_quarantined);
}

static uint64_t realm_of(const struct snapshot_service *service, enum role role)
{
    return atomic_load_explicit(&service->versions[role].version->cache_realm,
                                memory_order_relaxed);
}

/* ---- keeping ---- */

static uint64_t mark_of(const struct exchange *exchange, enum role role, struct bytes target)
{
    struct hash_key seed = cache_store_seed(exchange->service->cache);
    struct bytes host = exchange->request->authority;
    seed.k0 ^= cache_marks_hash(seed, told(exchange, FIELD_X_FORWARDED_HOST, host)) + role;
    return cache_marks_hash(seed, target);
}

/* The next answer is to be kept, however lately one was. */
static void clear_mark(struct exchange *exchange, uint64_t mark)
{
    struct cache_marks *marks =
        service_marks(exchange->service->service, exchange->host->worker_index);
    if (marks != NULL) {
        cache_marks_set(marks, mark, cache_store_purge_count(exchange->service->cache), 0);
    }
}

bool cached_is_of_request(enum cache_admission admission)
{
    return admission == CACHE_ADMIT_METHOD || admission == CACHE_ADMIT_REQUEST ||
           admission == CACHE_ADMIT_AUTHORIZATION || admission == CACHE_ADMIT_COOKIE ||
           admission == CACHE_ADMIT_PARTIAL || admission == CACHE_ADMIT_NOMEM;
}

static enum cache_admission keep(struct exchange *exchange, struct cached *cached,
                                 const struct response *response)
{
    const struct snapshot_service *service = exchange->service;
    const struct attempt *attempt = &exchange->attempt;
    struct version *version = service->versions[attempt->role].version;
    struct reverse_facts reverse = relay_site(exchange);
    struct cache_fill_facts facts = {
        .store = service->cache,
        .realm = &version->cache_realm,
        .begun_realm = attempt->realm,
        .begun_era = attempt->era,
        .key = cached_key(exchange, attempt->role),
        .request = &cached->request,
        .response = response,
        .reverse = attempt->target->is_hidden ? &reverse : NULL,
        .rules = &service->cache_rules,
        .times = {.request_us = attempt->sent_us,
                  .response_us = attempt->head_us,
                  .wall_us = clock_wall_us(clock_system())},
        .body_max = service->conf->cache.object_max,
    };
    return cache_fill_begin(&facts, exchange->responder->arena, &cached->fill);
}

/* What stands in for an error is no error itself, and a 304 is about a client's copy alone. */
static bool is_keepable(const struct exchange *exchange, const struct response *response)
{
    const struct snapshot_service *service = exchange->service;
    bool is_good = response->status < 400 || service->cache_rules.mode == CACHE_FULL;
    return is_good && response->status != 304 && exchange->request->method == METHOD_GET &&
           exchange->lasting == NULL && exchange->request->upgrade.size == 0 &&
           !cached_is_barred(service, exchange->attempt.role);
}

static void forget(struct exchange *exchange, const struct snapshot_service *service,
                   struct bytes target)
{
    struct cache_store *store = exchange->service->cache;
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        const struct version *version = service->versions[role].version;
        struct cache_key key;
        if (version == NULL) {
            continue;
        }
        struct cache_key_facts facts = key_of(exchange, version);
        facts.target = target;
        if (cache_key_make(&facts, cache_store_seed(store), exchange->responder->arena, &key) ==
            OK) {
            cache_store_forget(store, realm_of(service, (enum role)role), &key);
            clear_mark(exchange, mark_of(exchange, (enum role)role, target));
        }
    }
}

/* What was written to is not what was kept, in whichever version: they share what is behind them.
 * So do those that came while it was written. RFC 9111 section 4.4. */
static void invalidate(struct exchange *exchange, const struct response *response)
{
    const struct snapshot_service *newest =
        exchange->lease->is_current ? NULL : exchange_newest(exchange);
    struct request request = *exchange->request;
    struct bytes targets[CACHE_INVALIDATED_MAX];
    struct cache_key_facts facts = cached_key(exchange, exchange->attempt.role);
    struct response known;
    request.authority = facts.authority;
    if (relay_clean(exchange, response, &known) != OK) {
        known = *response;
    }
    size_t count =
        cache_invalidated(&request, facts.scheme, &known, exchange->responder->arena, targets);
    for (size_t i = 0; i < count; i++) {
        forget(exchange, exchange->service, targets[i]);
        if (newest != NULL) {
            forget(exchange, newest, targets[i]);
        }
    }
}

bool cached_is_of_use(const struct exchange *exchange, const struct cache_meta *meta)
{
    bool may_be_stale = !meta->is_stale_forbidden && meta->stale_while_revalidate_s > 0;
    return !meta->is_no_cache &&
           (may_be_stale || cache_ttl_s(meta, exchange->host->loop->now_us) > 0);
}

void cached_give_hope_up(struct exchange *exchange, uint64_t for_us)
{
    struct cache_marks *marks =
        service_marks(exchange->service->service, exchange->host->worker_index);
    if (marks != NULL) {
        cache_marks_set(marks, mark_of(exchange, exchange->attempt.role, exchange->request->target),
                        cache_store_purge_count(exchange->service->cache),
                        exchange->host->loop->now_us + for_us);
    }
}

void cached_on_answer(struct exchange *exchange, const struct response *response)
{
    const struct snapshot_service *service = exchange->service;
    if (cache_is_invalidating(exchange->request->method, response->status)) {
        invalidate(exchange, response);
        return;
    }
    struct exchange_host *host = exchange->host;
    struct cache_marks *marks = is_keepable(exchange, response)
                                    ? service_marks(service->service, host->worker_index)
                                    : NULL;
    if (marks == NULL) {
        fresh_land(exchange);
        return;
    }
    uint64_t mark = mark_of(exchange, exchange->attempt.role, exchange->request->target);
    uint64_t purges = cache_store_purge_count(service->cache);
    uint64_t now_us = host->loop->now_us;
    bool is_full = service->cache_rules.mode == CACHE_FULL;
    struct cached *cached =
        is_full || cache_marks_are_due(marks, mark, purges, now_us) ? cached_of(exchange) : NULL;
    if (cached == NULL) {
        return;
    }
    enum cache_admission admission = keep(exchange, cached, response);
    bool is_short = cached_is_of_request(admission) || cache_fill_is_varied(&cached->fill);
    cached->mark = mark;
    bool is_awaited =
        admission == CACHE_ADMIT_STORED && cached_is_of_use(exchange, &cached->fill.entry->meta);
    /* Nobody waits for a request whose answer is nothing to be kept from the first. */
    bool is_told = is_full ? !is_awaited && cached->request.is_storing : true;
    if (is_told) {
        cache_marks_set(marks, mark, purges,
                        now_us + (is_short ? CACHE_MARK_SHORT_US : CACHE_MARK_US));
    }
    if (!is_awaited) {
        fresh_land(exchange); /* there will be nothing to wait for */
    }
}

bool cached_is_hopeless(const struct exchange *exchange)
{
    const struct snapshot_service *service = exchange->service;
    struct cache_marks *marks = service_marks(service->service, exchange->host->worker_index);
    return marks != NULL &&
           !cache_marks_are_due(
               marks, mark_of(exchange, exchange->decision.role, exchange->request->target),
               cache_store_purge_count(service->cache), exchange->host->loop->now_us);
}

void cached_on_body(struct exchange *exchange, struct bytes piece)
{
    struct cached *cached = exchange->cached;
    if (cached->fill.entry != NULL) {
        if (!cache_fill_append(&cached->fill, piece)) {
            cached_give_hope_up(exchange, CACHE_MARK_US);
            fresh_land(exchange);
        }
    }
}

void cached_on_end(struct exchange *exchange)
{
    struct cached *cached = exchange->cached;
    if (cached->fill.entry != NULL) {
        (void)cache_fill_finish(&cached->fill, &exchange->request->fields);
        fresh_land(exchange);
    }
}

void cached_end(struct exchange *exchange)
{
    struct cached *cached = exchange->cached;
    if (cached->fill.entry != NULL) {
        cache_fill_abandon(&cached->fill);
        if (exchange->service->cache_rules.mode == CACHE_FALLBACK) {
            clear_mark(exchange, cached->mark);
        }
    }
    cache_entry_unref(cached->entry);
    cached->entry = NULL;
    fresh_end(exchange);
}

/* ---- looking ---- */

struct cache_entry *cached_find(struct exchange *exchange, enum role role, bool *ret_has_other)
{
    const struct snapshot_service *service = exchange->service;
    struct cache_store *store = service->cache;
    struct cache_key_facts facts = cached_key(exchange, role);
    struct cache_key key;
    *ret_has_other = false;
    if (cache_key_make(&facts, cache_store_seed(store), exchange->responder->arena, &key) != OK) {
        return NULL;
    }
    return cache_store_find(store, realm_of(service, role), &key, &exchange->request->fields,
                            ret_has_other);
}

static bool has_wish(const struct exchange *exchange)
{
    return exchange->decision.reason == DECIDE_OPT_IN ||
           exchange->decision.reason == DECIDE_OPT_OUT;
}

/* The decided version's answer, or else the stable one's; who chose its version gets no other's. */
static struct cache_entry *find_stale(struct exchange *exchange, const struct cached *cached)
{
    const struct snapshot_service *service = exchange->service;
    uint64_t now_us = exchange->host->loop->now_us;
    enum role roles[] = {exchange->decision.role, ROLE_PREVIOUS};
    size_t count = roles[0] == ROLE_PREVIOUS || has_wish(exchange) ? 1 : 2;
    for (size_t i = 0; i < count; i++) {
        bool has_other;
        struct cache_entry *entry = cached_is_barred(service, roles[i])
                                        ? NULL
                                        : cached_find(exchange, roles[i], &has_other);
        if (entry != NULL && cache_may_serve_on_error(&entry->meta, &cached->request,
                                                      &service->cache_rules, now_us)) {
            return entry;
        }
        cache_entry_unref(entry);
    }
    return NULL;
}

/* ---- serving ---- */

static struct cache_stored stored_of(const struct cache_entry *entry)
{
    return (struct cache_stored){.status = entry->status,
                                 .fields = entry->fields,
                                 .body_size = entry->body.size,
                                 .received_s = entry->received_wall_us / SECOND_US};
}

/* The head of what this client gets of the entry; the cached's position is set. */
static enum err make_head(struct exchange *exchange, struct cached *cached,
                          const struct cache_entry *entry, struct bytes cache_status,
                          struct response *ret_response)
{
    struct cache_stored stored = stored_of(entry);
    struct cache_answer answer = cache_answer_of(exchange->request, &stored);
    struct arena *arena = exchange->responder->arena;
    size_t room = entry->fields.count + CACHE_ANSWER_ADDED_MAX;
    struct field *items = arena_alloc(arena, room * sizeof *items);
    if (items == NULL) {
        return ERR_NOMEM;
    }
    uint64_t age_s = cache_age_s(&entry->meta, exchange->host->loop->now_us);
    enum err err =
        cache_answer_head(&stored, &answer, age_s, cache_status, arena, items, room, ret_response);
    ret_response->version = HTTP_1_1;
    cached->served = answer.first;
    cached->left = exchange->request->method == METHOD_HEAD ? 0 : answer.size;
    return err;
}

/* The last bytes go out after everything is counted. The entry is kept for them. */
static void finish(struct exchange *exchange, struct cached *cached)
{
    struct responder *responder = exchange->responder;
    struct cache_entry *entry = cached->entry;
    struct bytes rest = bytes_slice(entry->body, cached->served, cached->left);
    cached->entry = NULL;
    /* The entry's store belongs to the snapshot. */
    struct exchange_host *host = exchange->host;
    struct lease *lease = exchange->lease;
    lease_acquire(lease);
    exchange_close(exchange);
    responder->ops->body(responder, rest);
    responder->ops->end(responder, NULL);
    cache_entry_unref(entry);
    exchange_return_lease(host, lease);
}

void cached_go_on(struct exchange *exchange)
{
    struct responder *responder = exchange->responder;
    struct cached *cached = exchange->cached;
    while (cached->left > SLICE_SIZE) {
        if (responder->ops->is_blocked(responder)) {
            return;
        }
        struct bytes slice = bytes_slice(cached->entry->body, cached->served, SLICE_SIZE);
        cached->served += slice.size;
        cached->left -= slice.size;
        responder->ops->body(responder, slice);
    }
    if (!responder->ops->is_blocked(responder) || cached->left == 0) {
        finish(exchange, cached);
    }
}

bool cached_serve(struct exchange *exchange, struct cache_entry *entry, enum metric_cache result,
                  struct cache_status status)
{
    char text[CACHE_STATUS_MAX];
    struct cached *cached = exchange->cached;
    struct response response;
    status.has_ttl = true;
    status.ttl_s = cache_ttl_s(&entry->meta, exchange->host->loop->now_us);
    struct bytes told_status = cache_status_format(&status, text);
    if (make_head(exchange, cached, entry, told_status, &response) != OK) {
        return false;
    }
    exchange->is_from_cache = true;
    if (relay_send_head(exchange, &response) != OK) {
        exchange->is_from_cache = false;
        return false;
    }
    cached->entry = entry;
    exchange->client_status = response.status;
    exchange->response_bytes = cached->left;
    cached_count(exchange, result);
    exchange_enter(exchange, EXCHANGE_SERVING);
    deadline_disarm(&exchange->watch);
    exchange_bound(exchange);
    fresh_land(exchange); /* the client may take its time */
    cached_go_on(exchange);
    return true;
}

static bool serve_stale(struct exchange *exchange, struct cache_entry *entry)
{
    /* Not for its age while it is fresh: in mode fallback nothing is answered from what is kept. */
    bool is_stale = cache_ttl_s(&entry->meta, exchange->host->loop->now_us) <= 0;
    struct cache_status status = {.forward = is_stale ? CACHE_FORWARD_STALE : CACHE_FORWARD_BYPASS,
                                  .forward_status = exchange->attempt.status,
                                  .detail = BYTES(CACHE_STATUS_FALLBACK)};
    return cached_serve(exchange, entry, METRIC_CACHE_STALE, status);
}

/* Every way to a version's answer has failed: true when the client gets what is kept. */
static bool stand_in(struct exchange *exchange)
{
    bool has_store = exchange->service != NULL && exchange->service->cache != NULL &&
                     !exchange->is_undecided && exchange->request->upgrade.size == 0;
    struct cached *cached = has_store && exchange->client_status == 0 ? cached_of(exchange) : NULL;
    if (cached == NULL || !cached->request.is_reusable) {
        return false;
    }
    struct cache_entry *entry = find_stale(exchange, cached);
    if (entry == NULL) {
        cached_count(exchange, METRIC_CACHE_UNAVAILABLE);
        return false;
    }
    if (!serve_stale(exchange, entry)) {
        cache_entry_unref(entry);
        return false;
    }
    return true;
}

/* Does this worker know of no endpoint that does well? One answer, which may be one page's, says
 * nothing of an endpoint yet. */
static bool is_failing(const struct exchange *exchange, enum role role)
{
    const struct snapshot_version *version = &exchange->service->versions[role];
    for (size_t i = 0; i < version->endpoint_count; i++) {
        const struct snapshot_endpoint *target = &version->endpoints[i];
        const struct endpoint_seat *seat = exchange_seat(exchange->host, target->endpoint);
        if (endpoint_is_healthy(target->endpoint) && seat->failure_count < SEAT_FAILURES_MAX) {
            return false;
        }
    }
    return true;
}

/* Do all versions that take part fail, as far as this worker knows? */
static bool is_outage(const struct exchange *exchange)
{
    bool has_canary = exchange->service->decide.weight_ppm > 0;
    return is_failing(exchange, ROLE_PREVIOUS) &&
           (!has_canary || is_failing(exchange, ROLE_CURRENT));
}

/* What Cloudflare's edge says when it could not reach the origin is of the same kind. */
static bool is_failure(unsigned status)
{
    return cache_is_failure(status) || (status >= 520 && status <= 527) || status == 530;
}

bool cached_replaces(struct exchange *exchange, const struct response *response)
{
    struct attempt *attempt = &exchange->attempt;
    bool is_open = exchange->service->cache != NULL && is_failure(response->status) &&
                   !has_wish(exchange) && (exchange->is_rescued || is_outage(exchange));
    struct cached *cached = is_open ? cached_of(exchange) : NULL;
    struct cache_entry *entry =
        cached != NULL && cached->request.is_reusable ? find_stale(exchange, cached) : NULL;
    if (entry == NULL) {
        return false;
    }
    struct client *client = attempt->client;
    exchange_count(exchange, ATTEMPT_DONE, false);
    attempt->client = NULL;
    seat_drain(attempt->seat, client,
               exchange->lease->snapshot->base->conf->timeouts.upstream_idle_us);
    if (!serve_stale(exchange, entry)) {
        cache_entry_unref(entry);
        exchange_reply(exchange, 503, REJECT_MEMORY);
    }
    return true;
}

void exchange_fail(struct exchange *exchange, unsigned status, enum reject_reason reason)
{
    CHECK(exchange->attempt.client == NULL);
    if (stand_in(exchange)) {
        return;
    }
    /* One version that fails is a bad gateway; when both do, the service is down for a while. */
    const struct snapshot_service *service = exchange->service;
    bool is_down = service->cache != NULL && service->decide.weight_ppm > 0 && is_outage(exchange);
    exchange_reply(exchange, is_down ? 503 : status, reason);
}

/* proxy/exchange/fresh.c — see fresh.h. */
#include "proxy/exchange/fresh.h"

#include "proxy/base/clock.h"
#include "proxy/exchange/asset.h"
#include "proxy/exchange/relay.h"
#include "proxy/upstream/balance.h"

enum { WAIT_US = 3000000 };

/* A fetch that others wait for; in the arena of the exchange that fetches. */
struct flight {
    struct list link;    /* in the worker's */
    struct list waiting; /* struct cached */
    struct cache_key key;
    uint64_t realm;
};

static bool is_full(const struct exchange *exchange)
{
    const struct snapshot_service *service = exchange->service;
    return service->cache != NULL && service->cache_rules.mode == CACHE_FULL;
}

/* ---- flights ---- */

static struct list *chain_of(struct exchange_host *host, const struct cache_key *key)
{
    return &host->flights[key->hash % EXCHANGE_FLIGHT_CHAINS];
}

static struct flight *find_flight(struct exchange_host *host, const struct cache_key *key,
                                  uint64_t realm)
{
    struct list *chain = chain_of(host, key);
    for (struct list *link = chain->next; link != chain; link = link->next) {
        struct flight *flight = CONTAINER_OF(link, struct flight, link);
        if (flight->realm == realm && cache_key_equal(&flight->key, key)) {
            return flight;
        }
    }
    return NULL;
}

static uint64_t realm_of(const struct exchange *exchange)
{
    struct version *version = exchange->service->versions[exchange->decision.role].version;
    return atomic_load_explicit(&version->cache_realm, memory_order_relaxed);
}

static bool make_key(struct exchange *exchange, struct cache_key *ret_key)
{
    struct cache_key_facts facts = cached_key(exchange, exchange->decision.role);
    return cache_key_make(&facts, cache_store_seed(exchange->service->cache),
                          exchange->responder->arena, ret_key) == OK;
}

/* Others may wait for this one from now on. Without memory nobody can. */
static void take_off(struct exchange *exchange, const struct cache_key *key)
{
    struct flight *flight = arena_alloc(exchange->responder->arena, sizeof *flight);
    if (flight != NULL) {
        *flight = (struct flight){.key = *key, .realm = realm_of(exchange)};
        list_init(&flight->waiting);
        list_push_back(chain_of(exchange->host, key), &flight->link);
        exchange->cached->flight = flight;
    }
}

static void join(struct exchange *exchange, struct flight *flight)
{
    struct cached *cached = exchange->cached;
    uint64_t now_us = exchange->host->loop->now_us;
    if (cached->waits_until_us == 0) {
        cached->waits_until_us = now_us + WAIT_US;
        exchange_enter(exchange, EXCHANGE_PENDING);
    }
    cached->has_waited = true;
    list_push_back(&flight->waiting, &cached->waiting);
    deadline_arm(&exchange->host->loop->wheel, &exchange->watch, cached->waits_until_us - now_us);
}

/* It is there now, or will not come. */
static void wake(struct exchange *exchange)
{
    deadline_disarm(&exchange->watch);
    if (exchange_is_outdated(exchange)) {
        /* It may be of a store that the present snapshot alone still has. */
        cache_entry_unref(exchange->cached->asked);
        exchange->cached->asked = NULL;
        if (!exchange_decide_anew(exchange)) {
            exchange_fail(exchange, 503, REJECT_NO_ENDPOINT);
            return;
        }
    }
    if (!fresh_answers(exchange)) {
        exchange_go_on(exchange);
    }
}

void fresh_on_late(struct exchange *exchange)
{
    list_remove(&exchange->cached->waiting);
    wake(exchange);
}

void fresh_land(struct exchange *exchange)
{
    struct flight *flight = exchange->cached != NULL ? exchange->cached->flight : NULL;
    if (flight == NULL) {
        return;
    }
    exchange->cached->flight = NULL;
    list_remove(&flight->link);
    struct list *link = list_pop_front(&flight->waiting);
    for (; link != NULL; link = list_pop_front(&flight->waiting)) {
        wake(CONTAINER_OF(link, struct cached, waiting)->exchange);
    }
}

void fresh_on_gone(struct exchange *exchange)
{
    struct flight *flight = exchange->cached != NULL ? exchange->cached->flight : NULL;
    if (flight == NULL) {
        return;
    }
    uint64_t now_us = exchange->host->loop->now_us;
    for (struct list *link = flight->waiting.next; link != &flight->waiting; link = link->next) {
        struct cached *waiting = CONTAINER_OF(link, struct cached, waiting);
        waiting->has_waited = now_us >= waiting->waits_until_us;
    }
    fresh_land(exchange);
}

static void move_outdated(struct flight *flight, struct list *outdated)
{
    struct list *next = flight->waiting.next;
    while (next != &flight->waiting) {
        struct list *link = next;
        next = next->next;
        if (exchange_is_outdated(CONTAINER_OF(link, struct cached, waiting)->exchange)) {
            list_remove(link);
            list_push_back(outdated, link);
        }
    }
}

void fresh_follow(struct exchange_host *host)
{
    struct list outdated;
    list_init(&outdated);
    for (size_t i = 0; i < EXCHANGE_FLIGHT_CHAINS; i++) {
        struct list *chain = &host->flights[i];
        for (struct list *link = chain->next; link != chain; link = link->next) {
            move_outdated(CONTAINER_OF(link, struct flight, link), &outdated);
        }
    }
    struct list *link = list_pop_front(&outdated);
    for (; link != NULL; link = list_pop_front(&outdated)) {
        wake(CONTAINER_OF(link, struct cached, waiting)->exchange);
    }
}

void fresh_end(struct exchange *exchange)
{
    struct cached *cached = exchange->cached;
    list_remove(&cached->waiting);
    cache_entry_unref(cached->asked);
    cached->asked = NULL;
    fresh_land(exchange);
}

/* ---- before an origin is asked ---- */

/* With a reference of its own: the caller keeps its one, and must not look at the exchange to tell
 * whether it is still needed. After true another request may be where the exchange was. */
static bool serve(struct exchange *exchange, struct cache_entry *entry, enum metric_cache result)
{
    struct cache_status status = {.is_hit = true, .is_collapsed = exchange->cached->has_waited};
    exchange_spare_trickle(exchange);
    if (!cached_serve(exchange, cache_entry_ref(entry), result, status)) {
        cache_entry_unref(entry);
        return false;
    }
    return true;
}

/* A part, or a condition of the client's own: what comes is nothing to be kept. */
static bool is_partial(const struct cached *cached)
{
    const struct fields *fields = &cached->request.request->fields;
    return cached->request.has_range || fields_find_name(fields, BYTES("if-none-match")) != NULL ||
           fields_find_name(fields, BYTES("if-modified-since")) != NULL;
}

/* Waits for who fetches it already, or lets others wait. */
static bool wait_or_fetch(struct exchange *exchange, struct cached *cached)
{
    struct cache_key key;
    bool is_alone = cached->has_waited || exchange->request->method != METHOD_GET ||
                    cached_is_hopeless(exchange) || !make_key(exchange, &key);
    if (is_alone) {
        return false;
    }
    struct flight *flight = find_flight(exchange->host, &key, realm_of(exchange));
    if (flight != NULL) {
        join(exchange, flight);
        return true;
    }
    take_off(exchange, &key);
    return false;
}

/* Stale, and good enough while another one asks. */
static bool is_updating(struct exchange *exchange)
{
    struct cache_key key;
    return make_key(exchange, &key) &&
           find_flight(exchange->host, &key, realm_of(exchange)) != NULL;
}

/* Who waited has what another one was just given. */
static bool serve_updating(struct exchange *exchange, const struct cached *cached,
                           struct cache_entry *entry)
{
    if (cached->has_waited) {
        return serve(exchange, entry, METRIC_CACHE_COLLAPSED);
    }
    return is_updating(exchange) && serve(exchange, entry, METRIC_CACHE_UPDATING);
}

static bool act(struct exchange *exchange, struct cached *cached, struct cache_entry *entry,
                enum cache_verdict verdict)
{
    switch (verdict) {
    case CACHE_FRESH:
        return serve(exchange, entry,
                     cached->has_waited ? METRIC_CACHE_COLLAPSED : METRIC_CACHE_HIT);
    case CACHE_STALE_WHILE_REVALIDATE:
        if (serve_updating(exchange, cached, entry)) {
            return true;
        }
        if (!cached->request.is_storing) {
            return false; /* its answer could not renew anything */
        }
        cached->forward = CACHE_FORWARD_STALE;
        cached->asked = cache_entry_ref(entry);
        return wait_or_fetch(exchange, cached);
    case CACHE_STALE_REVALIDATE:
        cached->asked = cache_entry_ref(entry);
        return wait_or_fetch(exchange, cached);
    case CACHE_MISS:
        return !is_partial(cached) && wait_or_fetch(exchange, cached);
    case CACHE_GATEWAY_TIMEOUT:
        exchange_spare_trickle(exchange);
        exchange_answer(
            exchange,
            &(struct answer){.status = 504, .reason = REJECT_REASON_COUNT, .is_wished = true});
        return true;
    case CACHE_PASS:
        break;
    }
    return false;
}

bool fresh_answers(struct exchange *exchange)
{
    enum role role = exchange->decision.role;
    struct cached *cached = is_full(exchange) && !cached_is_barred(exchange->service, role)
                                ? cached_of(exchange)
                                : NULL;
    if (cached == NULL || exchange->request->upgrade.size > 0 || exchange->has_request_body) {
        return false;
    }
    bool has_other = false;
    cache_entry_unref(cached->asked);
    cached->asked = NULL;
    struct cache_entry *entry =
        cached->request.is_reusable ? cached_find(exchange, role, &has_other) : NULL;
    struct cache_judgement judgement =
        cache_judge(entry != NULL ? &entry->meta : NULL, &cached->request,
                    &exchange->service->cache_rules, exchange->host->loop->now_us);
    bool is_vary_miss = has_other && judgement.forward == CACHE_FORWARD_URI_MISS;
    cached->forward = is_vary_miss ? CACHE_FORWARD_VARY_MISS : judgement.forward;
    bool is_answered = act(exchange, cached, entry, judgement.verdict);
    cache_entry_unref(entry);
    return is_answered;
}

enum err fresh_prepare(struct exchange *exchange)
{
    const struct cache_entry *asked = exchange->cached != NULL ? exchange->cached->asked : NULL;
    if (asked == NULL) {
        return OK;
    }
    size_t room = exchange->forwarded.fields.count + CACHE_FETCH_ADDED_MAX;
    struct field *items = arena_alloc(exchange->responder->arena, room * sizeof *items);
    struct request question;
    if (items == NULL) {
        return ERR_NOMEM;
    }
    enum err err =
        cache_fetch_request(&exchange->forwarded, &asked->fields, items, room, &question);
    if (err == OK) {
        exchange->forwarded = question;
    }
    return err;
}

/* ---- its answer ---- */

/* The old head with what the 304 says. */
static enum cache_admission merge(struct exchange *exchange, const struct cache_entry *old,
                                  const struct response *response, const struct cache_times *times,
                                  char date[REPLY_DATE_SIZE], struct cache_parts *parts)
{
    const struct snapshot_service *service = exchange->service;
    struct arena *arena = exchange->responder->arena;
    struct response stored = {.status = old->status,
                              .version = HTTP_1_1,
                              .fields = old->fields,
                              .body = BODY_LENGTH,
                              .content_length = old->body.size};
    struct response news;
    size_t room = old->fields.count + response->fields.count + CACHE_STORED_ADDED_MAX;
    struct field *items = arena_alloc(arena, room * sizeof *items);
    if (items == NULL || relay_clean(exchange, response, &news) != OK) {
        return CACHE_ADMIT_NOMEM;
    }
    enum cache_admission admission =
        cache_freshen(&exchange->cached->request, &stored, &news, &service->cache_rules, times,
                      date, items, room, &parts->fields, &parts->meta);
    if (admission != CACHE_ADMIT_STORED) {
        return admission;
    }
    /* The new head may vary by something else. */
    enum err err = cache_vary_make(&parts->fields, &exchange->request->fields, arena, &parts->vary);
    if (err != OK) {
        return err == ERR_NOMEM ? CACHE_ADMIT_NOMEM : CACHE_ADMIT_VARY;
    }
    return CACHE_ADMIT_STORED;
}

/* The kept answer with the new head and its old body, in the realm that it was found in: what was
 * dropped since is not found again by it. NULL without memory. Whether it is to be kept is
 * `ret_admission`; its client is to have it either way. */
static struct cache_entry *remake(struct exchange *exchange, const struct cache_entry *old,
                                  const struct response *response,
                                  enum cache_admission *ret_admission)
{
    struct cache_times times = {.request_us = exchange->attempt.sent_us,
                                .response_us = exchange->attempt.head_us,
                                .wall_us = clock_wall_us(clock_system())};
    struct cache_parts parts = {.realm = old->realm,
                                .key = {old->key, old->hash},
                                .authority = old->authority,
                                .target = old->target,
                                .status = old->status,
                                .fields = {NULL, 0},
                                .received_wall_us = times.wall_us};
    char date[REPLY_DATE_SIZE];
    struct cache_entry *entry = NULL;
    *ret_admission = merge(exchange, old, response, &times, date, &parts);
    if (parts.fields.items == NULL ||
        cache_entry_create(exchange->service->cache, &parts, old->body.size, &entry) != OK) {
        return NULL;
    }
    if (cache_entry_append(entry, old->body, old->body.size) != OK) {
        cache_entry_unref(entry);
        return NULL;
    }
    return entry;
}

/* A 304 speaks of the kept answer, which is taken: gives what the client is to have, the renewed
 * one if there could be one. What is not to be kept any more goes, but not for what is only this
 * request's fault, or ours. */
static struct cache_entry *renew(struct exchange *exchange, struct cache_entry *asked,
                                 const struct response *response)
{
    struct cache_store *store = exchange->service->cache;
    enum cache_admission admission;
    struct cache_entry *entry = remake(exchange, asked, response, &admission);
    if (admission != CACHE_ADMIT_STORED && !cached_is_of_request(admission)) {
        cache_store_remove(store, asked);
        cached_give_hope_up(exchange, CACHE_MARK_US);
    }
    if (entry == NULL) {
        return asked;
    }
    bool is_current = realm_of(exchange) == asked->realm;
    cache_entry_unref(asked);
    if (admission != CACHE_ADMIT_STORED) {
        return entry; /* what this client was told, a cookie say, is for it alone */
    }
    if (!cached_is_of_use(exchange, &entry->meta)) {
        cached_give_hope_up(exchange, CACHE_MARK_US); /* it is to be asked about each time */
    }
    if (is_current) {
        /* Without room for it, or purged meanwhile, the client gets it all the same. */
        enum err err = cache_store_put_since(store, cache_entry_ref(entry),
                                             &exchange->request->fields, exchange->attempt.era);
        (void)err;
    }
    return entry;
}

static void drain(struct exchange *exchange)
{
    struct attempt *attempt = &exchange->attempt;
    struct client *client = attempt->client;
    exchange_count(exchange, ATTEMPT_DONE, false);
    attempt->client = NULL;
    seat_drain(attempt->seat, client,
               exchange->lease->snapshot->base->conf->timeouts.upstream_idle_us);
}

/* A 304 about something that is not kept: its origin holds another one, which is fetched. */
static void ask_again(struct exchange *exchange, struct cache_entry *asked)
{
    bool is_own = exchange->attempt.role == exchange->decision.role;
    drain(exchange);
    if (!is_own) { /* the stable version was asked without a condition */
        cache_entry_unref(asked);
        exchange_reply(exchange, 502, REJECT_REASON_COUNT);
        return;
    }
    cache_store_remove(exchange->service->cache, asked);
    cache_entry_unref(asked);
    deadline_disarm(&exchange->watch);
    asset_drop_conditions(&exchange->forwarded.fields);
    exchange_attempt(exchange, BALANCE_NONE, false);
}

bool fresh_on_head(struct exchange *exchange, const struct response *response)
{
    struct cached *cached = exchange->cached;
    struct cache_entry *asked = cached != NULL ? cached->asked : NULL;
    if (asked == NULL || response->status != 304) {
        return false;
    }
    cached->asked = NULL;
    if (exchange->attempt.role != exchange->decision.role ||
        !cache_selects(&asked->fields, &response->fields)) {
        ask_again(exchange, asked);
        return true;
    }
    struct cache_entry *entry = renew(exchange, asked, response);
    drain(exchange);
    fresh_land(exchange);
    struct cache_status status = {.forward = cached->forward, .forward_status = 304};
    if (!cached_serve(exchange, entry, METRIC_CACHE_REVALIDATED, status)) {
        cache_entry_unref(entry);
        exchange_reply(exchange, 503, REJECT_MEMORY);
    }
    return true;
}

struct bytes fresh_status(const struct exchange *exchange, char text[CACHE_STATUS_MAX])
{
    const struct cached *cached = exchange->cached;
    if (cached == NULL || !is_full(exchange) || cached->forward == CACHE_FORWARD_NONE) {
        return BYTES("");
    }
    struct cache_status status = {.forward = cached->forward,
                                  .forward_status = exchange->attempt.status,
                                  .is_collapsed = cached->has_waited};
    return cache_status_format(&status, text);
}

#include "proxy/snapshot/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

#include "conf/conf_version.h"

#include "router/affinity.h"

enum { SNAPSHOT_ARENA_MAX = 256 * 1024 * 1024 };

static enum err compile_routes(const struct conf *conf, struct note *note,
                               struct route_table **ret_routes)
{
    size_t count = 0;
    for (size_t i = 0; i < conf->service_count; i++) {
        count += conf->services[i].host_count * conf->services[i].path_count;
    }
    struct route_rule *rules = calloc(count > 0 ? count : 1, sizeof *rules);
    if (rules == NULL) {
        return ERR_NOMEM;
    }
    size_t at = 0;
    for (size_t i = 0; i < conf->service_count; i++) {
        const struct conf_service *service = &conf->services[i];
        for (size_t h = 0; h < service->host_count; h++) {
            for (size_t p = 0; p < service->path_count; p++) {
                rules[at++] = (struct route_rule){bytes_of(service->hosts[h]),
                                                  bytes_of(service->paths[p]), (uint32_t)i};
            }
        }
    }
    enum err err = route_table_create(rules, count, note, ret_routes);
    free(rules);
    return err;
}

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static enum err compile_tls(const struct conf_tls *tls, bool has_http2,
                            struct tls_ticket_keys *tickets, struct note *ret_why,
                            struct tls_server **ret_server)
{
    struct tls_certificate_files files[CONF_CERTIFICATES_MAX];
    struct tls_server_config config = {
        .certificates = files,
        .certificate_count = tls->count,
        .has_http2 = has_http2,
        .client_ca = tls->client_ca,
        .client_certificates = (enum tls_client_certificates)tls->client_certificates,
        .tickets = tickets,
    };
    for (size_t i = 0; i < tls->count; i++) {
        const struct conf_certificate *one = &tls->certificates[i];
        files[i] = (struct tls_certificate_files){one->certificate, one->key, one->ocsp};
    }
    enum err err = tls_server_create(&config, ret_why, ret_server);
    if (err != OK && ret_why->text[0] == '\0') {
        note_set(ret_why, "%s", err_text(err));
    }
    return err;
}

/* Nothing is resumed there: operators' handshakes are few, and the keys' lock is not for the thread
 * that rolls back. */
static enum err compile_admin(struct snapshot_base *base, struct note *note)
{
    const struct conf_admin *admin = &base->conf->admin;
    struct note why = {""};
    if (admin->tls.count == 0) {
        return OK;
    }
    enum err err = compile_tls(&admin->tls, false, NULL, &why, &base->admin_tls);
    if (err != OK) {
        note_set(note, "admin %s (line %u): %s", admin->address.text, admin->address.place.line,
                 why.text);
    }
    return err;
}

static enum err compile_listeners(struct snapshot_base *base, struct tls_ticket_keys *tickets,
                                  struct note *note)
{
    const struct conf *conf = base->conf;
    struct note why = {""};
    enum err err = OK;
    base->tls = calloc(conf->listener_count + 1, sizeof(struct tls_server *));
    if (base->tls == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < conf->listener_count && err == OK; i++) {
        const struct conf_listener *listener = &conf->listeners[i];
        if (listener->tls.count > 0) {
            CHECK(tickets != NULL);
            err = compile_tls(&listener->tls, conf_listener_has_http2(listener), tickets, &why,
                              &base->tls[i]);
        }
        if (err != OK) {
            note_set(note, "listen %s (line %u): %s", listener->address.text,
                     listener->address.place.line, why.text);
        }
    }
    return err;
}

/* Services with the same settings share what was made of them: an authority's file is read once,
 * and the system's, which are many, too. */
static struct tls_client *find_origin_tls(const struct snapshot_base *base,
                                          const struct conf_origin_tls *conf)
{
    for (size_t i = 0; i < base->conf->service_count; i++) {
        const struct conf_origin_tls *other = &base->conf->services[i].origin_tls;
        bool is_same = conf->is_verified == other->is_verified &&
                       is_same_text(conf->ca, other->ca) && is_same_text(conf->name, other->name);
        if (is_same && base->origin_tls[i] != NULL) {
            return base->origin_tls[i];
        }
    }
    return NULL;
}

static enum err make_origin_tls(struct snapshot_base *base, size_t index, struct note *note)
{
    const struct conf_service *service = &base->conf->services[index];
    const struct conf_origin_tls *conf = &service->origin_tls;
    struct tls_client *shared = find_origin_tls(base, conf);
    if (shared != NULL) {
        base->origin_tls[index] = tls_client_ref(shared);
        return OK;
    }
    struct tls_client_config config = {
        .ca = conf->ca, .name = conf->name, .is_unverified = !conf->is_verified};
    struct note why = {""};
    enum err err = tls_client_create(&config, &why, &base->origin_tls[index]);
    if (err != OK) {
        note_set(note, "service %s: origin_tls (line %u): %s", service->name, conf->place.line,
                 why.text[0] != '\0' ? why.text : err_text(err));
    }
    return err;
}

enum err snapshot_base_origin_tls(struct snapshot_base *base, size_t index,
                                  struct tls_client **ret_client)
{
    CHECK(index < base->conf->service_count);
    enum err err = base->origin_tls[index] == NULL ? make_origin_tls(base, index, NULL) : OK;
    if (err == OK) {
        *ret_client = base->origin_tls[index];
    }
    return err;
}

/* Files of one's own are read now, so that what is wrong with them is told now. */
static enum err compile_origin_tls(struct snapshot_base *base, struct note *note)
{
    const struct conf *conf = base->conf;
    enum err err = OK;
    base->origin_tls = calloc(conf->service_count + 1, sizeof(struct tls_client *));
    if (base->origin_tls == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < conf->service_count && err == OK; i++) {
        if (conf->services[i].origin_tls.ca != NULL) {
            err = make_origin_tls(base, i, note);
        }
    }
    return err;
}

static enum err compile_pages(struct snapshot_base *base, struct note *note)
{
    static const struct conf_error_pages none = {NULL, 0};
    const struct conf *conf = base->conf;
    enum err err = OK;
    base->service_pages = calloc(conf->service_count + 1, sizeof(struct reply_pages *));
    if (base->service_pages == NULL) {
        return ERR_NOMEM;
    }
    if (conf->error_pages.count > 0) {
        err = error_pages_create(&conf->error_pages, &none, note, &base->pages);
    }
    for (size_t i = 0; i < conf->service_count && err == OK; i++) {
        const struct conf_error_pages *own = &conf->services[i].error_pages;
        if (own->count > 0) {
            err = error_pages_create(own, &conf->error_pages, note, &base->service_pages[i]);
        }
    }
    return err;
}

enum err snapshot_base_create(struct conf *conf, struct tls_ticket_keys *tickets, struct note *note,
                              struct snapshot_base **ret_base)
{
    struct snapshot_base *base = calloc(1, sizeof *base);
    if (base == NULL) {
        conf_destroy(conf);
        return ERR_NOMEM;
    }
    base->conf = conf;
    base->reference_count = 1;
    enum err err = compile_routes(conf, note, &base->routes);
    if (err == OK) {
        err = compile_listeners(base, tickets, note);
    }
    if (err == OK) {
        err = compile_admin(base, note);
    }
    if (err == OK) {
        err = compile_pages(base, note);
    }
    if (err == OK) {
        err = compile_origin_tls(base, note);
    }
    if (err != OK) {
        snapshot_base_unref(base);
        return err;
    }
    *ret_base = base;
    return OK;
}

struct snapshot_base *snapshot_base_ref(struct snapshot_base *base)
{
    base->reference_count++;
    return base;
}

void snapshot_base_unref(struct snapshot_base *base)
{
    if (base == NULL || --base->reference_count > 0) {
        return;
    }
    for (size_t i = 0; base->tls != NULL && i < base->conf->listener_count; i++) {
        tls_server_unref(base->tls[i]);
    }
    free(base->tls);
    tls_server_unref(base->admin_tls);
    error_pages_destroy(base->pages);
    for (size_t i = 0; base->service_pages != NULL && i < base->conf->service_count; i++) {
        error_pages_destroy(base->service_pages[i]);
    }
    free(base->service_pages);
    for (size_t i = 0; base->origin_tls != NULL && i < base->conf->service_count; i++) {
        tls_client_unref(base->origin_tls[i]);
    }
    free(base->origin_tls);
    route_table_destroy(base->routes);
    conf_destroy(base->conf);
    free(base);
}

static enum sticky_by sticky_of(enum conf_sticky_by by)
{
    switch (by) {
    case CONF_STICKY_COOKIE:
        return STICKY_COOKIE;
    case CONF_STICKY_CLIENT_IP:
        return STICKY_CLIENT_IP;
    case CONF_STICKY_HEADER:
        return STICKY_HEADER;
    case CONF_STICKY_NONE:
        break;
    }
    return STICKY_NONE;
}

static enum wishes wishes_of(enum conf_opt_in opt_in)
{
    switch (opt_in) {
    case CONF_OPT_IN_ON:
        return WISHES_OF_ALL;
    case CONF_OPT_IN_TRUSTED:
        return WISHES_OF_TRUSTED;
    case CONF_OPT_IN_OFF:
        break;
    }
    return WISHES_OF_NONE;
}

struct decide_service snapshot_rules(const struct snapshot_service_plan *plan)
{
    const struct conf_service *conf = plan->conf;
    return (struct decide_service){
        .weight_ppm = plan->versions[ROLE_CURRENT].version != NULL ? plan->weight_ppm : 0,
        .wishes = wishes_of(conf->opt_in),
        .is_quarantined = plan->is_quarantined,
        .sticky = {.by = sticky_of(conf->sticky.by),
                   .rollout = plan->rollout,
                   .header = bytes_of(conf->sticky.header != NULL ? conf->sticky.header : "")},
    };
}

static void fill_rescue(const struct conf_rescue *conf, struct snapshot_service *service)
{
    if (!conf->is_on) {
        return;
    }
    for (size_t i = 0; i < conf->when_count; i++) {
        service->rescue_when |= 1u << conf->when[i];
    }
    uint32_t weight_ppm = service->decide.weight_ppm;
    service->asset_gain_ppm = conf->budget_ppm;
    service->rescue_gain_ppm = weight_ppm > conf->budget_ppm ? weight_ppm : conf->budget_ppm;
}

static void fill_rules(const struct snapshot_service_plan *plan, struct snapshot_service *service)
{
    const struct conf_service *conf = plan->conf;
    service->decide = snapshot_rules(plan);
    service->eject = (struct eject_policy){
        .consecutive = conf->outlier.is_on ? (uint32_t)conf->outlier.consecutive : 0,
        .eject_us = conf->outlier.eject_us,
        .max_ejected_ppm = (uint32_t)conf->outlier.max_ejected_ppm,
    };
    fill_rescue(&conf->rescue, service);
    service->grpc_failures = conf_failures_grpc(&conf->failures);
    bool may_mirror = service->decide.weight_ppm == 0 && !plan->is_quarantined &&
                      plan->versions[ROLE_CURRENT].version != NULL;
    service->mirror_ppm = plan->is_mirrored && may_mirror ? conf->mirror_ppm : 0;
    service->containment =
        containment_policy(conf->rollback.max_bad_responses, plan->service->seats->worker_count,
                           conf->rollback.error_rate_ppm);
}

/* Which Host an origin gets; virtual hosts behind TLS go by the name in their certificate. */
static bool keeps_host(enum conf_host host, const struct conf_endpoint *endpoint)
{
    bool is_tls = endpoint != NULL && endpoint->scheme == CONF_SCHEME_HTTPS;
    if (endpoint != NULL && conf_endpoint_is_deployment(endpoint)) {
        return false;
    }
    return host == CONF_HOST_KEEP || (host == CONF_HOST_AUTO && !is_tls);
}

static bool is_hidden(enum conf_hide_origin hide, const struct conf_endpoint *endpoint)
{
    bool is_deployment = endpoint != NULL && conf_endpoint_is_deployment(endpoint);
    return hide == CONF_HIDE_ORIGIN_ON || (hide == CONF_HIDE_ORIGIN_AUTO && is_deployment);
}

enum client_speech snapshot_speech(enum conf_origin_http2 http2, bool is_tls)
{
    switch (http2) {
    case CONF_ORIGIN_HTTP2_ALWAYS:
        return CLIENT_HTTP2;
    case CONF_ORIGIN_HTTP2_AUTO:
        return is_tls ? CLIENT_HTTP2_OR_1 : CLIENT_HTTP1;
    case CONF_ORIGIN_HTTP2_OFF:
        break;
    }
    return CLIENT_HTTP1;
}

static enum err fill_endpoint(struct snapshot *snapshot, const struct conf_service *service,
                              const struct snapshot_endpoint_plan *from,
                              struct snapshot_endpoint *to)
{
    const struct conf *conf = snapshot->base->conf;
    bool is_tls = from->conf != NULL && from->conf->scheme == CONF_SCHEME_HTTPS;
    to->speech = snapshot_speech(service->origin_http2, is_tls);
    to->is_host_kept = keeps_host(service->host, from->conf);
    to->is_hidden = is_hidden(service->hide_origin, from->conf);
    to->address_count =
        (uint32_t)(from->address_count < SNAPSHOT_ADDRESSES_MAX ? from->address_count
                                                                : SNAPSHOT_ADDRESSES_MAX);
    for (size_t a = 0; a < to->address_count; a++) {
        to->addresses[a] = from->addresses[a];
    }
    if (!is_tls) {
        return OK;
    }
    struct bytes host = bytes_make(from->conf->host, strlen(from->conf->host) + 1);
    to->host = arena_copy(&snapshot->arena, host).data;
    if (to->host == NULL) {
        return ERR_NOMEM;
    }
    return snapshot_base_origin_tls(snapshot->base, (size_t)(service - conf->services), &to->tls);
}

static enum err fill_version(struct snapshot *snapshot, const struct conf_service *service,
                             const struct snapshot_version_plan *plan,
                             struct snapshot_version *version)
{
    struct arena *arena = &snapshot->arena;
    if (plan->version == NULL) {
        return OK;
    }
    version->endpoints = arena_zalloc(arena, plan->endpoint_count * sizeof *version->endpoints);
    if (version->endpoints == NULL) {
        return ERR_NOMEM;
    }
    version->version = version_ref(plan->version);
    version->proxy_protocol = plan->proxy_protocol;
    for (size_t i = 0; i < plan->endpoint_count; i++) {
        const struct snapshot_endpoint_plan *from = &plan->endpoints[i];
        struct snapshot_endpoint *to = &version->endpoints[version->endpoint_count++];
        to->affinity = affinity_endpoint(from->endpoint->name);
        to->endpoint = endpoint_ref(from->endpoint);
        to->authority = from->authority;
        enum err err = fill_endpoint(snapshot, service, from, to);
        if (err != OK) {
            return err;
        }
    }
    return OK;
}

/* RFC 6797 section 6.1. */
static enum err write_hsts(struct arena *arena, const struct conf_hsts *conf,
                           struct bytes *ret_value)
{
    enum { SIZE = 80 };
    if (!conf->is_on) {
        return OK;
    }
    char *text = arena_alloc(arena, SIZE);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    int size = snprintf(
        text, SIZE, "max-age=%llu%s%s", (unsigned long long)(conf->max_age_us / 1000000),
        conf->has_subdomains ? "; includeSubDomains" : "", conf->is_preloaded ? "; preload" : "");
    *ret_value = bytes_make(text, (size_t)size);
    return OK;
}

static bool has_hidden(const struct snapshot_version *version)
{
    for (size_t i = 0; i < version->endpoint_count; i++) {
        if (version->endpoints[i].is_hidden) {
            return true;
        }
    }
    return false;
}

/* The table outlives snapshots, so that a reload does not fill everybody's bucket. */
static enum err fill_rate(const struct conf_rate_limit *conf, struct snapshot_service *service)
{
    struct service *owner = service->service;
    struct rate_table *table = NULL;
    if (!conf->is_on) {
        return OK;
    }
    if (owner->rate_table == NULL || rate_table_clients(owner->rate_table) != conf->clients) {
        if (rate_table_create(conf->clients, &table) != OK) {
            return ERR_NOMEM;
        }
        rate_table_unref(owner->rate_table);
        owner->rate_table = table;
    }
    service->rate_table = rate_table_ref(owner->rate_table);
    service->rate = rate_policy_make(conf->requests, conf->per_us,
                                     conf->burst > 0 ? conf->burst : conf->requests);
    return OK;
}

static uint32_t share_of(uint64_t limit, size_t worker_count)
{
    uint64_t share = limit / worker_count;
    return limit == 0 ? 0 : share > 0 ? (uint32_t)share : 1;
}

static struct circuit_limits limits_of(const struct conf_circuit *conf, size_t worker_count)
{
    return (struct circuit_limits){
        .is_on = conf->is_on,
        .connections = share_of(conf->connections, worker_count),
        .pending = share_of(conf->pending, worker_count),
        .requests = share_of(conf->requests, worker_count),
    };
}

/* The store outlives snapshots as the rate table does; where nothing is to be kept any more it is
 * emptied, by control's ticks. A rollback comes by here: no lock is taken. */
static enum err fill_cache(const struct conf_cache *conf, struct snapshot_service *service)
{
    enum { SECOND_US = 1000000 };
    struct service *owner = service->service;
    if (!conf->is_on) {
        if (owner->cache != NULL) {
            cache_store_resize(owner->cache, 0);
        }
        return OK;
    }
    if (owner->cache == NULL && cache_store_create(conf->size, &owner->cache) != OK) {
        return ERR_NOMEM;
    }
    cache_store_resize(owner->cache, conf->size);
    service->cache = cache_store_ref(owner->cache);
    service->cache_rules = (struct cache_rules){
        .mode = conf->mode == CONF_CACHE_FULL ? CACHE_FULL : CACHE_FALLBACK,
        .stale_if_error_s = (uint32_t)(conf->stale_if_error_us / SECOND_US),
        .is_set_cookie_stored = conf->keeps_set_cookie,
        .is_revalidation_waived = !conf->is_strict,
    };
    return OK;
}

/* What is done for the service before a version of it is asked. */
static enum err fill_edge(struct snapshot *snapshot, const struct snapshot_service_plan *plan,
                          struct snapshot_service *service)
{
    const struct snapshot_base *base = snapshot->base;
    size_t index = (size_t)(plan->conf - base->conf->services);
    CHECK(index < base->conf->service_count);
    const struct reply_pages *own = base->service_pages[index];
    service->pages = own != NULL ? own : base->pages;
    service->circuit = limits_of(&plan->conf->circuit, snapshot->worker_count);
    enum err err = write_hsts(&snapshot->arena, &plan->conf->hsts, &service->hsts);
    if (err == OK) {
        err = fill_rate(&plan->conf->rate_limit, service);
    }
    return err == OK ? fill_cache(&plan->conf->cache, service) : err;
}

/* What is kept of a version is known by its realm. Without one nothing is found: what happens while
 * nothing is kept, a write or a purge, is known to nobody afterwards. */
static void fill_realm(struct version *version, struct cache_store *cache)
{
    bool has_realm = atomic_load_explicit(&version->cache_realm, memory_order_relaxed) != 0;
    if (has_realm != (cache != NULL)) {
        atomic_store_explicit(&version->cache_realm,
                              cache != NULL ? cache_store_new_realm(cache) : 0,
                              memory_order_relaxed);
    }
}

static enum err fill_service(struct snapshot *snapshot, const struct snapshot_service_plan *plan)
{
    struct snapshot_service *service = &snapshot->services[snapshot->service_count++];
    service->service = service_ref(plan->service);
    service->conf = plan->conf;
    fill_rules(plan, service);
    enum err edge_err = fill_edge(snapshot, plan, service);
    if (edge_err != OK) {
        return edge_err;
    }
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        enum err err =
            fill_version(snapshot, plan->conf, &plan->versions[role], &service->versions[role]);
        if (err != OK) {
            return err;
        }
        if (service->versions[role].version != NULL) {
            fill_realm(service->versions[role].version, service->cache);
        }
        service->has_hidden = service->has_hidden || has_hidden(&service->versions[role]);
    }
    return OK;
}

static enum err create_leases(struct snapshot *snapshot, size_t worker_count)
{
    size_t size = worker_count * sizeof(struct lease);
    snapshot->leases = aligned_alloc(_Alignof(struct lease), size);
    if (snapshot->leases == NULL) {
        return ERR_NOMEM;
    }
    memset(snapshot->leases, 0, size);
    snapshot->worker_count = worker_count;
    for (size_t i = 0; i < worker_count; i++) {
        snapshot->leases[i].snapshot = snapshot;
    }
    return OK;
}

enum err snapshot_create(struct snapshot_base *base, const struct snapshot_service_plan *plans,
                         size_t service_count, size_t worker_count, uint64_t number,
                         struct snapshot **ret_snapshot)
{
    struct snapshot *snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL) {
        return ERR_NOMEM;
    }
    arena_init(&snapshot->arena, SNAPSHOT_ARENA_MAX);
    snapshot->number = number;
    snapshot->base = snapshot_base_ref(base);
    enum err err = create_leases(snapshot, worker_count);
    if (err == OK) {
        snapshot->services =
            arena_zalloc(&snapshot->arena, service_count * sizeof *snapshot->services);
        err = snapshot->services != NULL ? OK : ERR_NOMEM;
    }
    for (size_t i = 0; i < service_count && err == OK; i++) {
        err = fill_service(snapshot, &plans[i]);
    }
    if (err != OK) {
        snapshot_destroy(snapshot);
        return err;
    }
    *ret_snapshot = snapshot;
    return OK;
}

static void release_version(struct snapshot_version *version)
{
    for (size_t i = 0; i < version->endpoint_count; i++) {
        endpoint_unref(version->endpoints[i].endpoint);
    }
    version_unref(version->version);
}

void snapshot_destroy(struct snapshot *snapshot)
{
    if (snapshot == NULL) {
        return;
    }
    for (size_t i = 0; i < snapshot->service_count; i++) {
        struct snapshot_service *service = &snapshot->services[i];
        release_version(&service->versions[ROLE_CURRENT]);
        release_version(&service->versions[ROLE_PREVIOUS]);
        rate_table_unref(service->rate_table);
        cache_store_unref(service->cache);
        service_unref(service->service);
    }
    snapshot_base_unref(snapshot->base);
    arena_finish(&snapshot->arena);
    free(snapshot->leases);
    free(snapshot);
}

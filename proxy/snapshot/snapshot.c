#include "proxy/snapshot/snapshot.h"

#include <stdlib.h>

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

static enum err compile_tls(const struct conf_listener *listener, struct tls_ticket_keys *tickets,
                            struct note *note, struct tls_server **ret_server)
{
    struct tls_certificate_files files[CONF_CERTIFICATES_MAX];
    struct tls_server_config config = {
        .certificates = files,
        .certificate_count = listener->tls_count,
        .client_ca = listener->client_ca,
        .client_certificates = (enum tls_client_certificates)listener->client_certificates,
        .tickets = tickets,
    };
    struct note why = {""};
    for (size_t i = 0; i < listener->tls_count; i++) {
        const struct conf_certificate *one = &listener->tls[i];
        files[i] = (struct tls_certificate_files){one->certificate, one->key, one->ocsp};
    }
    enum err err = tls_server_create(&config, &why, ret_server);
    if (err != OK) {
        note_set(note, "listen %s: %s", listener->address.text,
                 why.text[0] != '\0' ? why.text : err_text(err));
    }
    return err;
}

static enum err compile_listeners(struct snapshot_base *base, struct tls_ticket_keys *tickets,
                                  struct note *note)
{
    const struct conf *conf = base->conf;
    enum err err = OK;
    base->tls = calloc(conf->listener_count + 1, sizeof(struct tls_server *));
    if (base->tls == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < conf->listener_count && err == OK; i++) {
        if (conf->listeners[i].tls_count > 0) {
            CHECK(tickets != NULL);
            err = compile_tls(&conf->listeners[i], tickets, note, &base->tls[i]);
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
    bool may_mirror = service->decide.weight_ppm == 0 && !plan->is_quarantined &&
                      plan->versions[ROLE_CURRENT].version != NULL;
    service->mirror_ppm = plan->is_mirrored && may_mirror ? conf->mirror_ppm : 0;
    service->containment =
        containment_policy(conf->rollback.max_bad_responses, plan->service->seats->worker_count,
                           conf->rollback.error_rate_ppm);
}

static enum err fill_version(struct arena *arena, const struct snapshot_version_plan *plan,
                             struct snapshot_version *version)
{
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
        size_t count = from->address_count < SNAPSHOT_ADDRESSES_MAX ? from->address_count
                                                                    : SNAPSHOT_ADDRESSES_MAX;
        to->endpoint = endpoint_ref(from->endpoint);
        to->authority = from->authority;
        to->address_count = (uint32_t)count;
        for (size_t a = 0; a < count; a++) {
            to->addresses[a] = from->addresses[a];
        }
    }
    return OK;
}

static enum err fill_service(struct snapshot *snapshot, const struct snapshot_service_plan *plan)
{
    struct snapshot_service *service = &snapshot->services[snapshot->service_count++];
    service->service = service_ref(plan->service);
    service->conf = plan->conf;
    fill_rules(plan, service);
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        enum err err =
            fill_version(&snapshot->arena, &plan->versions[role], &service->versions[role]);
        if (err != OK) {
            return err;
        }
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
        service_unref(service->service);
    }
    snapshot_base_unref(snapshot->base);
    arena_finish(&snapshot->arena);
    free(snapshot->leases);
    free(snapshot);
}

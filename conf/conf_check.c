#include "conf/conf_check.h"

#include <arpa/inet.h>

#include "conf/conf_policy.h"
#include "conf/conf_version.h"
#include "proxy/base/check.h"
#include "proxy/base/map.h"

/* A field's own place, or that of what it stands in where it is a default. */
static struct conf_place place_or(struct conf_place place, struct conf_place outer)
{
    return place.line > 0 ? place : outer;
}

/* The port in host order, 0 for AF_UNIX and for what could not be read. */
static uint16_t port_of(const struct conf_address *address)
{
    switch (address->socket.any.sa_family) {
    case AF_INET:
        return ntohs(address->socket.v4.sin_port);
    case AF_INET6:
        return ntohs(address->socket.v6.sin6_port);
    default:
        return 0;
    }
}

static void check_client_certificates(const struct conf_tls *tls,
                                      const struct conf_address *address, struct conf_place place,
                                      const char *section, struct conf_errors *errors)
{
    bool is_asking = tls->client_certificates != CONF_CLIENT_CERTIFICATES_NONE;
    if (is_asking && tls->count == 0) {
        conf_errors_add(errors, place, "%s.client_certificates: needs `tls` on %s", section,
                        address->text);
    } else if (is_asking != (tls->client_ca != NULL)) {
        conf_errors_add(errors, place, "%s: `client_ca` and `client_certificates` go together (%s)",
                        section, address->text);
    }
}

/* Nobody could send the header. */
static void check_proxy_protocol(const struct conf *conf, const struct conf_listener *listener,
                                 struct conf_errors *errors)
{
    if (listener->has_proxy_protocol && conf->trusted_proxy_count == 0) {
        conf_errors_add(errors, listener->address.place,
                        "listen.proxy_protocol: needs `trusted_proxies`: who may send it (%s)",
                        listener->address.text);
    }
}

static void check_redirect(const struct conf_listener *listener, struct conf_errors *errors)
{
    if (listener->redirect_https.is_on && listener->tls.count > 0) {
        conf_errors_add(errors, listener->address.place,
                        "listen.redirect_https: %s speaks HTTPS already", listener->address.text);
    }
}

static void check_listeners(const struct conf *conf, struct conf_errors *errors)
{
    for (size_t i = 0; i < conf->listener_count; i++) {
        check_client_certificates(&conf->listeners[i].tls, &conf->listeners[i].address,
                                  conf->listeners[i].address.place, "listen", errors);
        check_proxy_protocol(conf, &conf->listeners[i], errors);
        check_redirect(&conf->listeners[i], errors);
    }
    for (size_t i = 0; i < conf->listener_count; i++) {
        const struct conf_address *address = &conf->listeners[i].address;
        for (size_t j = 0; j < i && address->text != NULL; j++) {
            const struct conf_address *other = &conf->listeners[j].address;
            if (other->text != NULL && strcmp(address->text, other->text) == 0) {
                conf_errors_add(errors, address->place,
                                "listen.address: %s is listened on already (line %u)",
                                address->text, other->place.line);
                break;
            }
        }
    }
}

/* Unlike listeners of traffic, the admin's does not share its port: "every address" is in the way
 * of each of them. */
static bool clashes(const struct conf_address *a, const struct conf_address *b)
{
    struct ip left;
    struct ip right;
    return port_of(a) != 0 && port_of(a) == port_of(b) &&
           a->socket.any.sa_family == b->socket.any.sa_family &&
           ip_from_socket(&a->socket.any, &left) && ip_from_socket(&b->socket.any, &right) &&
           (ip_equal(&left, &right) || ip_is_any(&left) || ip_is_any(&right));
}

static void check_admin_tls(const struct conf_admin *admin, struct conf_errors *errors)
{
    struct conf_place place = place_or(admin->address.place, admin->place);
    if (admin->address.text == NULL) {
        return;
    }
    if (admin->tls.count > 0 && admin->address.socket.any.sa_family == AF_UNIX) {
        conf_errors_add(errors, place, "admin.tls: %s stays on this machine and needs none",
                        admin->address.text);
    }
    check_client_certificates(&admin->tls, &admin->address, place, "admin", errors);
}

static void check_admin(const struct conf *conf, struct conf_errors *errors)
{
    const struct conf_admin *admin = &conf->admin;
    check_admin_tls(admin, errors);
    for (size_t i = 0; i < conf->listener_count; i++) {
        const struct conf_address *listener = &conf->listeners[i].address;
        if (clashes(&admin->address, listener)) {
            conf_errors_add(errors, place_or(admin->address.place, listener->place),
                            "admin.address: %s is where clients are listened for (line %u)",
                            admin->address.text, listener->place.line);
        }
    }
    if (admin->address.text != NULL && admin->token_count == 0 &&
        !conf_address_is_local(&admin->address)) {
        conf_errors_add(
            errors, admin->address.place,
            "admin.address: %s can be reached from other machines, so admin.tokens are required",
            admin->address.text);
    }
    for (size_t i = 0; i < admin->token_count; i++) {
        const struct conf_token *token = &admin->tokens[i];
        for (size_t j = 0; j < i && token->name != NULL; j++) {
            if (admin->tokens[j].name != NULL && strcmp(admin->tokens[j].name, token->name) == 0) {
                conf_errors_add(errors, token->place,
                                "admin.tokens.name: \"%s\" is the name of another token (line %u)",
                                token->name, admin->tokens[j].place.line);
                break;
            }
        }
    }
}

/* A channel is one thing, and its secrets have one place each. */
static void check_alert(const struct conf_alert *alert, struct conf_errors *errors)
{
    const struct conf_alert_webhook *webhook = &alert->webhook;
    const struct conf_secret *url = &webhook->url_secret;
    int kinds = alert->has_alertmanager + alert->slack.is_on + webhook->is_on + alert->exec.is_on;
    if (kinds != 1) {
        conf_errors_add(errors, alert->place,
                        "alerts: a channel is exactly one of alertmanager, slack, webhook and "
                        "exec");
    }
    if (webhook->is_on && webhook->has_url + (url->env != NULL) + (url->file != NULL) != 1) {
        conf_errors_add(errors, alert->place,
                        "alerts.webhook: needs exactly one of \"url\", \"url_env\" and "
                        "\"url_file\"");
    }
    if (webhook->secret.env != NULL && webhook->secret.file != NULL) {
        conf_errors_add(errors, alert->place,
                        "alerts.webhook: takes \"secret_env\" or \"secret_file\", not both");
    }
    if (alert->alertmanager != NULL && strchr(alert->alertmanager, '?') != NULL) {
        conf_errors_add(errors, alert->place,
                        "alerts.alertmanager: has a query; it is the address without /api/v2");
    }
}

static void check_limits(const struct conf *conf, struct conf_errors *errors)
{
    if (conf->limits.header_line > conf->limits.header_size && conf->limits.header_size > 0) {
        conf_errors_add(errors, conf->limits.header_line_place,
                        "limits.header_line: is larger than limits.header_size");
    }
}

bool conf_is_at(const struct conf_endpoint *endpoint, const struct conf_address *address)
{
    struct ip ip;
    if (endpoint->host == NULL || endpoint->port != port_of(address) ||
        !ip_from_socket(&address->socket.any, &ip)) {
        return false;
    }
    if (!endpoint->is_ip) {
        bool is_here = strcmp(endpoint->host, "localhost") == 0;
        return is_here && (ip_is_any(&ip) || ip_is_loopback(&ip));
    }
    if (ip_is_v4(&endpoint->ip) != ip_is_v4(&ip)) {
        return false;
    }
    if (ip_is_any(&ip)) {
        return ip_is_any(&endpoint->ip) || ip_is_loopback(&endpoint->ip);
    }
    bool is_default = ip_is_any(&endpoint->ip) && ip_is_loopback(&ip);
    return is_default || ip_equal(&endpoint->ip, &ip);
}

const struct conf_address *conf_own_address(const struct conf *conf,
                                            const struct conf_endpoint *endpoint)
{
    for (size_t i = 0; i < conf->listener_count; i++) {
        if (conf_is_at(endpoint, &conf->listeners[i].address)) {
            return &conf->listeners[i].address;
        }
    }
    return conf_is_at(endpoint, &conf->admin.address) ? &conf->admin.address : NULL;
}

static void check_is_elsewhere(const struct conf *conf, const struct conf_endpoint *endpoint,
                               const char *key, struct conf_errors *errors)
{
    const struct conf_address *own = conf_own_address(conf, endpoint);
    if (own == &conf->admin.address) {
        conf_errors_add(errors, endpoint->place,
                        "services.%s: %s is the admin address, which clients are not to reach", key,
                        endpoint->url);
    } else if (own != NULL) {
        conf_errors_add(errors, endpoint->place,
                        "services.%s: %s is where this proxy itself listens (line %u)", key,
                        endpoint->url, own->place.line);
    }
}

/* One endpoint that is there twice, with and without TLS, would be one label and one health. */
static bool is_double(const struct conf_endpoint *a, const struct conf_endpoint *b)
{
    bool is_read = a->url != NULL && b->url != NULL;
    return is_read && strcmp(a->authority, b->authority) == 0;
}

static void check_version(const struct conf *conf, const struct conf_version *version,
                          const char *key, struct conf_errors *errors)
{
    for (size_t i = 0; i < version->endpoint_count; i++) {
        const struct conf_endpoint *endpoint = &version->endpoints[i];
        for (size_t j = 0; j < i; j++) {
            if (is_double(&version->endpoints[j], endpoint)) {
                conf_errors_add(errors, endpoint->place, "services.%s.endpoints: %s is there twice",
                                key, endpoint->url);
                break;
            }
        }
        check_is_elsewhere(conf, endpoint, key, errors);
    }
}

static void check_versions(const struct conf *conf, const struct conf_service *service,
                           struct conf_errors *errors)
{
    check_version(conf, &service->previous, "previous", errors);
    if (!service->has_current) {
        if (service->has_weight) {
            conf_errors_add(errors, service->weight_place,
                            "services.weight: needs services.current, whose share it is");
        }
        return;
    }
    check_version(conf, &service->current, "current", errors);
    const char *previous = service->previous.deployment;
    const char *current = service->current.deployment;
    if (previous == NULL || current == NULL || strcmp(previous, current) != 0) {
        return;
    }
    if (service->current.is_deployment_derived) {
        conf_errors_add(errors, service->current.place,
                        "services.current: has the endpoints of previous: name each deployment");
    } else {
        conf_errors_add(errors, service->current.place,
                        "services.current.deployment: \"%s\" is the name of previous too", current);
    }
}

static void check_origin_tls(const struct conf_origin_tls *tls, struct conf_errors *errors)
{
    if (!tls->is_verified && tls->ca != NULL) {
        conf_errors_add(errors, tls->place,
                        "services.origin_tls: `ca` is not looked at with `verify: off`");
    }
}

/* Pages finds a deployment by the name in the handshake and in Host, and by no other. */
static void check_deployment_hosts(const struct conf_service *service, struct conf_errors *errors)
{
    const struct conf_version *versions[] = {&service->previous, &service->current};
    for (size_t v = 0; v < COUNT_OF(versions); v++) {
        for (size_t i = 0; i < versions[v]->endpoint_count; i++) {
            const struct conf_endpoint *endpoint = &versions[v]->endpoints[i];
            if (!conf_endpoint_is_deployment(endpoint)) {
                continue;
            }
            if (service->host == CONF_HOST_KEEP) {
                conf_errors_add(errors, service->host_place,
                                "services.host: %s answers to its own Host alone: leave `host` out",
                                endpoint->host);
            }
            if (service->origin_tls.name != NULL) {
                conf_errors_add(errors, service->origin_tls.place,
                                "services.origin_tls.name: %s answers to its own name alone",
                                endpoint->host);
            }
        }
    }
}

static void check_sticky(const struct conf_sticky *sticky, struct conf_errors *errors)
{
    bool is_by_header = sticky->by == CONF_STICKY_HEADER;
    if (is_by_header && sticky->header == NULL) {
        conf_errors_add(errors, sticky->place,
                        "services.sticky: by header needs the name of the field");
    }
    if (!is_by_header && sticky->header != NULL) {
        conf_errors_add(errors, sticky->place, "services.sticky.name: is only for by: header");
    }
}

static void check_shift(const struct conf_rollback *rollback, struct conf_errors *errors)
{
    for (size_t i = 1; i < rollback->shift_count; i++) {
        if (rollback->shift_ppm[i] >= rollback->shift_ppm[i - 1]) {
            conf_errors_add(
                errors, rollback->shift_place,
                "services.rollback.shift: each step must be smaller than the one before");
            return;
        }
    }
    if (rollback->shift_count > 0 && rollback->shift_ppm[rollback->shift_count - 1] != 0) {
        conf_errors_add(errors, rollback->shift_place,
                        "services.rollback.shift: the last step must be 0%%");
    }
}

static void check_move(const struct conf_move *move, struct conf_errors *errors)
{
    if (move->is_on && move->jitter_us > move->deadline_us) {
        conf_errors_add(errors, move->place,
                        "services.rollback.move.jitter: is longer than the deadline");
    }
}

const char *conf_steps_fault(const uint32_t *steps_ppm, size_t step_count)
{
    uint32_t below = 0;
    bool is_pause = true;
    for (size_t i = 0; i < step_count; i++) {
        uint32_t step_ppm = steps_ppm[i];
        bool was_pause = is_pause;
        is_pause = step_ppm == CONF_STEP_PAUSE;
        if (is_pause && was_pause) {
            return "a pause stands between two weights";
        }
        if (!is_pause && step_ppm <= below) {
            return "each weight must be larger than the one before";
        }
        below = is_pause ? below : step_ppm;
    }
    return is_pause || below != CONF_PPM ? "the last step must be 100%" : NULL;
}

static void check_rollout(const struct conf_rollout *rollout, struct conf_errors *errors)
{
    const char *fault =
        rollout->step_count > 0 ? conf_steps_fault(rollout->steps_ppm, rollout->step_count) : NULL;
    if (fault != NULL) {
        conf_errors_add(errors, rollout->steps_place, "services.rollout.steps: %s", fault);
    }
    if (rollout->is_on && rollout->max_time_us > 0 && rollout->max_time_us < rollout->min_time_us) {
        conf_errors_add(errors, rollout->place,
                        "services.rollout.max_time: is shorter than min_time");
    }
}

static void check_health(const struct conf_health *health, struct conf_errors *errors)
{
    if (health->is_on && health->interval_us > 0 && health->timeout_us > health->interval_us) {
        conf_errors_add(errors, health->place,
                        "services.health.timeout: is longer than the interval");
    }
}

static void check_verify(const struct conf_verify *verify, struct conf_errors *errors)
{
    if (verify->is_on && verify->timeout_us > verify->within_us) {
        conf_errors_add(errors, verify->place,
                        "services.rollback.verify.timeout: is longer than within");
    }
}

static void check_drill(const struct conf_drill *drill, struct conf_errors *errors)
{
    if (drill->is_on && drill->every_us > 0 && drill->at_us >= drill->every_us) {
        conf_errors_add(errors, drill->place, "services.drill.at: is not shorter than every");
    }
}

static void check_cache(const struct conf_cache *cache, struct conf_errors *errors)
{
    if (cache->is_on && cache->object_max > cache->size) {
        conf_errors_add(errors, cache->place, "services.cache.max_object: is larger than size");
    }
}

enum { FAILURE_STATUS_MIN = 300, STATUS_NOT_FOUND = 404 };

static void check_failures(const struct conf_failures *failures, struct conf_errors *errors)
{
    for (size_t i = 0; i < failures->status_count; i++) {
        const struct conf_statuses *statuses = &failures->statuses[i];
        bool has_404 = statuses->first <= STATUS_NOT_FOUND && statuses->last >= STATUS_NOT_FOUND;
        if (has_404 && failures->not_found_ppm > 0) {
            conf_errors_add(errors, failures->place,
                            "services.failures.not_found: 404 is a failure by `status` already");
        }
        if (statuses->first > 0 && statuses->first < FAILURE_STATUS_MIN) {
            conf_errors_add(errors, failures->place,
                            "services.failures.status: %u is no failure: nothing below %d is",
                            (unsigned)statuses->first, FAILURE_STATUS_MIN);
        }
    }
}

/* Claims "host path" for a service; the first one that claimed it stays. A final slash makes no
 * other route. */
static enum err claim_route(struct map *routes, const struct conf_service *service,
                            const char *host, const char *path, struct conf_errors *errors)
{
    char key[CONF_HOST_MAX + CONF_PATH_MAX + 4];
    int size = snprintf(key, sizeof key, "%s %s", host, path);
    CHECK(size > 0 && (size_t)size < sizeof key);
    while (key[size - 1] == '/') {
        size--;
    }
    struct bytes route = bytes_make(key, (size_t)size);
    enum err err = map_put(routes, route, (void *)(uintptr_t)service);
    if (err != ERR_EXISTS) {
        return err;
    }
    const struct conf_service *first = map_get(routes, route);
    if (first == service) {
        conf_errors_add(errors, place_or(service->hosts_place, service->place),
                        "services: host \"%s\" with path \"%s\" is there twice", host, path);
    } else {
        conf_errors_add(
            errors, place_or(service->hosts_place, service->place),
            "services: host \"%s\" with path \"%s\" is served by \"%s\" already (line %u)", host,
            path, first->name != NULL ? first->name : "?", first->place.line);
    }
    return OK;
}

static enum err check_routes(const struct conf *conf, struct conf_errors *errors)
{
    size_t route_count = 0;
    for (size_t i = 0; i < conf->service_count; i++) {
        const struct conf_service *service = &conf->services[i];
        route_count += service->host_count * service->path_count;
        if (route_count > CONF_ROUTES_MAX) {
            conf_errors_add(errors, service->place,
                            "services: more than %d pairs of a host and a path in all",
                            CONF_ROUTES_MAX);
            return OK;
        }
    }
    struct map routes;
    map_init(&routes);
    enum err err = OK;
    for (size_t i = 0; i < conf->service_count; i++) {
        const struct conf_service *service = &conf->services[i];
        for (size_t j = 0; j < service->host_count * service->path_count && err == OK; j++) {
            const char *host = service->hosts[j / service->path_count];
            const char *path = service->paths[j % service->path_count];
            if (host != NULL && path != NULL) {
                err = claim_route(&routes, service, host, path, errors);
            }
        }
    }
    map_finish(&routes);
    return err;
}

static enum err check_names(const struct conf *conf, struct conf_errors *errors)
{
    struct map names;
    map_init(&names);
    enum err err = OK;
    for (size_t i = 0; i < conf->service_count && err == OK; i++) {
        struct conf_service *service = &conf->services[i];
        if (service->name == NULL) {
            continue;
        }
        struct bytes name = bytes_of(service->name);
        err = map_put(&names, name, service);
        if (err == ERR_EXISTS) {
            const struct conf_service *first = map_get(&names, name);
            conf_errors_add(errors, service->place,
                            "services.name: \"%s\" is the name of another service (line %u)",
                            service->name, first->place.line);
            err = OK;
        }
    }
    map_finish(&names);
    return err;
}

static void check_policies(const struct conf_service *service, struct conf_errors *errors)
{
    for (size_t i = 0; i < service->observe_count; i++) {
        const struct conf_policy *policy = &service->observe[i];
        if (policy->name != NULL && strcmp(policy->name, CONF_POLICY_OWN) == 0) {
            conf_errors_add(errors, policy->place,
                            "services.observe.name: \"%s\" is what the service's own policy is "
                            "called",
                            policy->name);
        }
        for (size_t j = 0; j < i && policy->name != NULL; j++) {
            const struct conf_policy *other = &service->observe[j];
            if (other->name != NULL && strcmp(other->name, policy->name) == 0) {
                conf_errors_add(
                    errors, policy->place,
                    "services.observe.name: \"%s\" is the name of another policy (line %u)",
                    policy->name, other->place.line);
                break;
            }
        }
    }
}

static bool consists_of(const char *text, const char *characters)
{
    return text[0] != '\0' && strspn(text, characters) == strlen(text);
}

static void check_cloudflare(const struct conf_cloudflare *cloudflare, const char *key,
                             const struct conf_place *place, struct conf_errors *errors)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    const char *account = cloudflare->account;
    const char *base = cloudflare->base;
    if (account != NULL && (strlen(account) != 32 || !consists_of(account, digits))) {
        conf_errors_add(errors, *place, "services.platform.%s.account: is 32 hexadecimal digits",
                        key);
    }
    if (cloudflare->token.env != NULL && cloudflare->token.file != NULL) {
        conf_errors_add(errors, *place,
                        "services.platform.%s: takes \"token_env\" or \"token_file\", not both",
                        key);
    }
    bool is_local = base != NULL && (strncmp(base, "http://127.", 11) == 0 ||
                                     strncmp(base, "http://localhost", 16) == 0 ||
                                     strncmp(base, "http://[::1]", 12) == 0);
    if (base != NULL && !is_local && strncmp(base, "https://", 8) != 0) {
        conf_errors_add(errors, *place,
                        "services.platform.%s.api_base: sends the token, so it must be https, or "
                        "http on loopback",
                        key);
    }
}

static void check_platform(const struct conf_service *service, struct conf_errors *errors)
{
    static const char project[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    static const char script[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    const struct conf_platform *platform = &service->platform;
    bool is_named = !service->previous.is_deployment_derived &&
                    (!service->has_current || !service->current.is_deployment_derived);
    if (!platform->is_on) {
        return;
    }
    if (platform->pages.is_on + platform->workers.is_on + platform->exec.is_on != 1) {
        conf_errors_add(errors, platform->place,
                        "services.platform: is exactly one of pages, workers and exec");
    }
    if ((platform->pages.is_on || platform->workers.is_on) && !is_named) {
        conf_errors_add(errors, platform->place,
                        "services.platform: previous and current need \"deployment\": the "
                        "platform's own name for them");
    }
    const char *name = platform->pages.name;
    if (platform->pages.is_on && name != NULL && (name[0] == '-' || !consists_of(name, project))) {
        conf_errors_add(errors, platform->place,
                        "services.platform.pages.project: has lower-case letters, digits and '-'");
    }
    name = platform->workers.name;
    if (platform->workers.is_on && name != NULL && !consists_of(name, script)) {
        conf_errors_add(errors, platform->place,
                        "services.platform.workers.script: has letters, digits, '-' and '_'");
    }
    check_cloudflare(&platform->pages, "pages", &platform->place, errors);
    check_cloudflare(&platform->workers, "workers", &platform->place, errors);
}

static void check_affinity(const struct conf_affinity *affinity, struct conf_errors *errors)
{
    bool is_by_header = affinity->by == CONF_STICKY_HEADER;
    if (is_by_header != (affinity->header != NULL)) {
        conf_errors_add(errors, affinity->place,
                        is_by_header ? "services.affinity: `by: header` needs \"name\""
                                     : "services.affinity.name: belongs to `by: header`");
    }
}

static void check_pages(const struct conf_error_pages *pages, struct conf_errors *errors)
{
    for (size_t i = 0; i < pages->count; i++) {
        const struct conf_error_page *page = &pages->items[i];
        for (size_t s = 0; s < page->status_count; s++) {
            if (page->statuses[s].first > 0 && page->statuses[s].first < 400) {
                conf_errors_add(errors, page->place,
                                "error_pages.statuses: %u is no error: 400 to 599 are",
                                (unsigned)page->statuses[s].first);
            }
        }
    }
}

/* What the list of browsers asks for before it takes a name. */
static void check_hsts(const struct conf_hsts *hsts, struct conf_errors *errors)
{
    const uint64_t year_us = UINT64_C(365) * 24 * 3600 * 1000 * 1000;
    bool is_fit = hsts->has_subdomains && hsts->max_age_us >= year_us;
    if (hsts->is_on && hsts->is_preloaded && !is_fit) {
        conf_errors_add(errors, hsts->place,
                        "services.hsts.preload: needs include_subdomains and a max_age of at "
                        "least 365d");
    }
}

enum err conf_check(const struct conf *conf, struct conf_errors *errors)
{
    check_listeners(conf, errors);
    check_admin(conf, errors);
    check_limits(conf, errors);
    check_pages(&conf->error_pages, errors);
    for (size_t i = 0; i < conf->service_count; i++) {
        const struct conf_service *service = &conf->services[i];
        check_versions(conf, service, errors);
        check_sticky(&service->sticky, errors);
        check_origin_tls(&service->origin_tls, errors);
        check_deployment_hosts(service, errors);
        check_rollout(&service->rollout, errors);
        check_shift(&service->rollback, errors);
        check_move(&service->rollback.move, errors);
        check_health(&service->health, errors);
        check_verify(&service->rollback.verify, errors);
        check_drill(&service->drill, errors);
        check_cache(&service->cache, errors);
        check_policies(service, errors);
        check_failures(&service->failures, errors);
        check_platform(service, errors);
        check_hsts(&service->hsts, errors);
        check_pages(&service->error_pages, errors);
        check_affinity(&service->affinity, errors);
    }
    for (size_t i = 0; i < conf->alert_count; i++) {
        check_alert(&conf->alerts[i], errors);
    }
    enum err err = check_names(conf, errors);
    return err != OK ? err : check_routes(conf, errors);
}

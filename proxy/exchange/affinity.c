/* proxy/exchange/affinity.c — the client's key to the endpoints of its version (router/affinity.h).
 */
#include "router/affinity.h"
#include "proxy/exchange/exchange_state.h"
#include "proxy/http/client_ip.h"
#include "router/cookie.h"

/* A service whose versions have one endpoint each has nothing to keep apart. */
static bool has_choice(const struct snapshot_service *service)
{
    return service->versions[ROLE_CURRENT].endpoint_count > 1 ||
           service->versions[ROLE_PREVIOUS].endpoint_count > 1;
}

static bool find_cookie(const struct fields *fields, uint64_t *ret_key)
{
    for (size_t i = 0; i < fields->count; i++) {
        struct bytes rest = fields->items[i].value;
        struct cookie cookie;
        while (fields->items[i].id == FIELD_COOKIE && cookie_next(&rest, &cookie)) {
            if (bytes_equal(cookie.name, BYTES(AFFINITY_COOKIE)) &&
                affinity_parse(cookie.value, ret_key)) {
                return true;
            }
        }
    }
    return false;
}

static uint64_t key_of_address(const struct exchange *exchange, bool is_peer_trusted)
{
    const struct conf *conf = exchange->host->snapshot->base->conf;
    struct ip client = *exchange->responder->peer;
    if (is_peer_trusted) {
        client = client_ip_of(&exchange->request->fields, &client, conf->trusted_proxies,
                              conf->trusted_proxy_count);
    }
    return affinity_key_of_address(&client);
}

void exchange_find_affinity(struct exchange *exchange, bool is_peer_trusted)
{
    const struct conf_affinity *conf = &exchange->service->conf->affinity;
    const struct fields *fields = &exchange->request->fields;
    const struct field *field;
    if (conf->by == CONF_STICKY_NONE || !has_choice(exchange->service)) {
        return;
    }
    switch (conf->by) {
    case CONF_STICKY_COOKIE:
        if (!find_cookie(fields, &exchange->affinity)) {
            exchange->affinity = random_u64(&exchange->host->loop->random) | 1;
            exchange->sets_affinity = true;
        }
        break;
    case CONF_STICKY_CLIENT_IP:
        exchange->affinity = key_of_address(exchange, is_peer_trusted);
        break;
    case CONF_STICKY_HEADER:
        field = fields_find_name(fields, bytes_of(conf->header));
        exchange->affinity = field != NULL ? affinity_key_of_header(field->value) : 0;
        break;
    case CONF_STICKY_NONE:
        break;
    }
}

size_t exchange_affinity_field(const struct exchange *exchange, char *text, struct field *ret_field)
{
    if (!exchange->sets_affinity) {
        return 0;
    }
    *ret_field = (struct field){
        .name = BYTES("Set-Cookie"),
        .value = affinity_format(exchange->affinity, exchange->responder->is_tls, text),
        .id = FIELD_SET_COOKIE,
    };
    return 1;
}

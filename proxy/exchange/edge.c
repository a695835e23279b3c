#include "proxy/exchange/edge.h"

#include <stdio.h>

#include "proxy/exchange/challenge.h"
#include "proxy/http/client_ip.h"
#include "proxy/io/stream.h"
#include "router/matcher.h"

enum { LOCATION_EXTRA = 32 /* scheme, port and terminator */ };

/* ---- challenges ---- */

bool edge_answers_challenge(struct exchange *exchange)
{
    const struct conf_acme *acme = &exchange->host->snapshot->base->conf->acme;
    struct bytes token;
    if (!acme->is_on || !challenge_path(matcher_path_of(exchange->request->target), &token)) {
        return false;
    }
    /* By HTTP/2 a 200 would be a WebSocket (RFC 8441). */
    bool is_connect = exchange->request->version == HTTP_2 && exchange->request->upgrade.size > 0;
    bool is_get =
        exchange->request->method == METHOD_GET || exchange->request->method == METHOD_HEAD;
    bool is_read = is_get && !is_connect;
    struct answer answer = {
        .status = is_get ? 404 : 405,
        .reason = REJECT_ACME_CHALLENGE,
        .content_type = BYTES("application/octet-stream"),
    };
    char text[CHALLENGE_SIZE_MAX];
    if (is_read && challenge_read(acme->webroot, token, text, &answer.body) == OK) {
        answer.status = 200;
    }
    exchange_answer(exchange, &answer);
    return true;
}

/* ---- to HTTPS ---- */

/* Did the client speak TLS, to us or to a proxy that we trust? */
static bool is_secure(const struct exchange *exchange, bool is_peer_trusted)
{
    if (exchange->responder->is_tls || !is_peer_trusted) {
        return exchange->responder->is_tls;
    }
    const struct field *proto = fields_find(&exchange->request->fields, FIELD_X_FORWARDED_PROTO);
    struct bytes first = proto != NULL ? proto->value : BYTES("");
    first = bytes_trim(bytes_slice(first, 0, bytes_find(first, ',')));
    return bytes_equal_nocase(first, BYTES("https"));
}

/* The same request by HTTPS. The host was vetted with the head and has a route, so that nobody is
 * sent to a name that is not ours. NULL data without memory. */
static struct bytes location_of(const struct exchange *exchange, unsigned port)
{
    struct bytes host = matcher_host_of(exchange->request->authority);
    struct bytes target = exchange->request->target;
    target = target.size > 0 && target.data[0] == '/' ? target : BYTES("/");
    size_t size = host.size + target.size + LOCATION_EXTRA;
    char *text = arena_alloc(exchange->responder->arena, size);
    if (text == NULL) {
        return (struct bytes){NULL, 0};
    }
    char port_text[8] = "";
    if (port != 443) {
        (void)snprintf(port_text, sizeof port_text, ":%u", port & UINT16_MAX);
    }
    int length =
        snprintf(text, size, "https://%.*s%s%.*s", BYTES_ARGS(host), port_text, BYTES_ARGS(target));
    CHECK(length > 0);
    CHECK((size_t)length < size);
    return bytes_make(text, (size_t)length);
}

static void redirect(struct exchange *exchange, unsigned port)
{
    struct answer answer = {.status = 308, .reason = REJECT_HTTPS_REDIRECT};
    if (exchange->request->authority.size == 0) {
        answer = (struct answer){.status = 400, .reason = REJECT_HOST_MISSING};
    } else {
        answer.location = location_of(exchange, port);
        if (answer.location.data == NULL) {
            answer = (struct answer){.status = 503, .reason = REJECT_MEMORY};
        }
    }
    exchange_answer(exchange, &answer);
}

/* Counted as the stable version's where numbers go by role, for the stable one answers when nobody
 * chose. */
static void be_undecided(struct exchange *exchange)
{
    exchange->is_undecided = true;
    exchange->decision.role = ROLE_PREVIOUS;
    cell_increment(&exchange->service_cells->in_flight[ROLE_PREVIOUS]);
}

/* ---- how often ---- */

static bool is_too_often(struct exchange *exchange, bool is_peer_trusted)
{
    enum { SECOND_US = 1000000, TEXT_SIZE = 24 };
    const struct snapshot_service *service = exchange->service;
    const struct conf *conf = exchange->host->snapshot->base->conf;
    struct ip client = *exchange->responder->peer;
    if (is_peer_trusted) {
        client = client_ip_of(&exchange->request->fields, &client, conf->trusted_proxies,
                              conf->trusted_proxy_count);
    }
    if (ip_ranges_have(service->conf->rate_limit.exempt, service->conf->rate_limit.exempt_count,
                       &client)) {
        return false;
    }
    uint64_t wait_us =
        rate_table_ask(service->rate_table, &service->rate, &client, exchange->host->loop->now_us);
    if (wait_us == 0) {
        return false;
    }
    char text[TEXT_SIZE];
    int size = snprintf(text, sizeof text, "%llu",
                        (unsigned long long)((wait_us + SECOND_US - 1) / SECOND_US));
    struct answer answer = {
        .status = 429, .reason = REJECT_RATE_LIMIT, .retry_after = bytes_make(text, (size_t)size)};
    be_undecided(exchange);
    exchange_answer(exchange, &answer);
    return true;
}

bool edge_answers(struct exchange *exchange, bool is_peer_trusted)
{
    const struct stream *connection = exchange->responder->connection;
    unsigned https_port = connection != NULL ? connection->https_port : 0;
    bool is_asked = https_port != 0 || exchange->service->hsts.size > 0;
    exchange->is_secure = is_asked && is_secure(exchange, is_peer_trusted);
    if (https_port != 0 && !exchange->is_secure) {
        be_undecided(exchange);
        redirect(exchange, https_port);
        return true;
    }
    return exchange->service->rate_table != NULL && is_too_often(exchange, is_peer_trusted);
}

size_t edge_fields(const struct exchange *exchange, struct field fields[EDGE_FIELDS_MAX])
{
    if (!exchange->is_secure || exchange->service == NULL || exchange->service->hsts.size == 0) {
        return 0; /* RFC 6797 section 7.2: never over plain HTTP */
    }
    fields[0] = (struct field){BYTES("Strict-Transport-Security"), exchange->service->hsts,
                               FIELD_STRICT_TRANSPORT_SECURITY};
    return 1;
}

#include "conf/conf_schema.h"

#include <assert.h>
#include <stddef.h>

#include "proxy/base/check.h"

#define MS     UINT64_C(1000)
#define SECOND (1000 * MS)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define KIB    UINT64_C(1024)
#define MIB    (1024 * KIB)
#define TIB    (1024 * 1024 * MIB)

#define KEYS(array) .keys = (array), .key_count = COUNT_OF(array)

static_assert(sizeof(enum conf_role) == sizeof(unsigned), "choices are stored as unsigned");

static const char *const role_words[] = {"viewer", "operator", NULL};
static const char *const log_words[] = {"json", "combined", NULL};

static const char *const client_certificates_words[] = {"none", "optional", "required", NULL};

static const char *const http2_words[] = {"auto", "on", "off", NULL};

static const struct conf_key certificate_keys[] = {
    {.name = "certificate",
     .type = CONF_TYPE_FILE,
     .flags = CONF_KEY_REQUIRED,
     .offset = offsetof(struct conf_certificate, certificate),
     .help = "PEM: the certificate, then those that lead to the authority."},
    {.name = "key",
     .type = CONF_TYPE_FILE,
     .flags = CONF_KEY_REQUIRED,
     .offset = offsetof(struct conf_certificate, key),
     .help = "PEM: its private key (ECDSA, RSA or EdDSA), without a password."},
    {.name = "ocsp",
     .type = CONF_TYPE_FILE,
     .offset = offsetof(struct conf_certificate, ocsp),
     .help = "DER: an OCSP response to staple. A reload reads it again, as it does the others."},
};

static const struct conf_section certificate_section = {
    .title = "listen.tls and admin.tls",
    .help = "A certificate. The client's SNI chooses among several; where two carry the same name, "
            "one of ECDSA and one of RSA, the client gets what it can check. A name that none "
            "carries gets the first.",
    KEYS(certificate_keys),
    .size = sizeof(struct conf_certificate),
};

/* What an address needs to speak TLS: the same for clients and for operators. */
#define TLS_KEYS(owner)                                                                            \
    {.name = "tls",                                                                                \
     .type = CONF_TYPE_SECTION,                                                                    \
     .flags = CONF_KEY_NONE,                                                                       \
     .offset = offsetof(owner, tls.certificates),                                                  \
     .count_offset = offsetof(owner, tls.count),                                                   \
     .list_max = CONF_CERTIFICATES_MAX,                                                            \
     .fallback = "",                                                                               \
     .section = &certificate_section,                                                              \
     .help = "With certificates the address speaks HTTPS: TLS 1.2 and 1.3. Changed files are "     \
             "taken over by a reload, without a dropped connection."},                             \
        {.name = "client_ca",                                                                      \
         .type = CONF_TYPE_FILE,                                                                   \
         .offset = offsetof(owner, tls.client_ca),                                                 \
         .help = "PEM: the authorities whose client certificates are accepted."},                  \
    {                                                                                              \
        .name = "client_certificates", .type = CONF_TYPE_CHOICE,                                   \
        .offset = offsetof(owner, tls.client_certificates), .fallback = "none",                    \
        .choices = client_certificates_words,                                                      \
        .help = "Whether clients are asked for a certificate: `optional` refuses only a bad one, " \
                "`required` also none at all."                                                     \
    }

static const struct conf_key listener_keys[] = {
    {.name = "address",
     .type = CONF_TYPE_LISTEN,
     .flags = CONF_KEY_REQUIRED,
     .offset = offsetof(struct conf_listener, address),
     .help = "`127.0.0.1:8080`, `[::1]:8080`, `*:8080` (every IPv4 address) or `[::]:8080` (every "
             "IPv6 address, and "
             "only those: give both lines for both). Numbers only, but for `localhost`, which is "
             "127.0.0.1."},
    TLS_KEYS(struct conf_listener),
    {.name = "redirect_https",
     .type = CONF_TYPE_SECTION,
     .flags = CONF_KEY_NONE,
     .offset = offsetof(struct conf_listener, redirect_https),
     .flag_offset = offsetof(struct conf_listener, redirect_https.is_on),
     .fallback = "off",
     .section = &conf_schema_redirect_https,
     .help = "`on` sends clients of this address, which has no `tls`, on to HTTPS."},
    {.name = "http2",
     .type = CONF_TYPE_CHOICE,
     .offset = offsetof(struct conf_listener, http2),
     .fallback = "auto",
     .choices = http2_words,
     .help = "HTTP/2: over TLS where ALPN chooses it, without TLS for clients that begin with its "
             "preface (prior knowledge). `auto` is `on` with `tls`, else `off`."},
    {.name = "proxy_protocol",
     .type = CONF_TYPE_SWITCH,
     .offset = offsetof(struct conf_listener, has_proxy_protocol),
     .fallback = "off",
     .help =
         "Peers among `trusted_proxies` begin every connection, before TLS, with a PROXY header "
         "of version 1 or 2: the client it names is the client in logs, forwarding fields, "
         "stickiness and limits. A connection without one, or with a malformed one or one over "
         "4 KiB, is closed and counted. Other peers are clients: a header of theirs is a "
         "malformed request."},
};

static const struct conf_section listener_section = {
    .title = "listen",
    .help = "Where clients are accepted, in HTTP/1.1 and HTTP/2, plain or over TLS. Each worker "
            "listens on every address by itself.",
    KEYS(listener_keys),
    .size = sizeof(struct conf_listener),
};

static const struct conf_key token_keys[] = {
    {.name = "name",
     .type = CONF_TYPE_NAME,
     .flags = CONF_KEY_REQUIRED,
     .offset = offsetof(struct conf_token, name),
     .help = "Who acts, in the audit trail."},
    {.name = "role",
     .type = CONF_TYPE_CHOICE,
     .offset = offsetof(struct conf_token, role),
     .fallback = "viewer",
     .choices = role_words,
     .help = "`viewer` may read, `operator` may also change."},
    {.name = "file",
     .type = CONF_TYPE_FILE,
     .offset = offsetof(struct conf_token, secret.file),
     .help = "The file that holds the token; a newline at its end does not count."},
    {.name = "env",
     .type = CONF_TYPE_VARIABLE,
     .offset = offsetof(struct conf_token, secret.env),
     .help = "The environment variable that holds the token."},
};

static const struct conf_section token_section = {
    .title = "admin.tokens",
    .help = "Who may use the admin API. The token itself never stands in this file: exactly one of "
            "`file` and `env` says "
            "where it is.",
    KEYS(token_keys),
    .size = sizeof(struct conf_token),
    .place_offset = offsetof(struct conf_token, place),
    .either = {"file", "env"},
};

static const struct conf_key admin_keys[] = {
    {.name = "address",
     .type = CONF_TYPE_ADDRESS,
     .flags = CONF_KEY_RESTART,
     .offset = offsetof(struct conf_admin, address),
     .fallback = "127.0.0.1:9901",
     .help =
         "`address:port` or `unix:/path`. Off loopback, `tokens` are required: of a reload too, "
         "as long as such an address is listened on."},
    {.name = "hosts",
     .type = CONF_TYPE_HOST,
     .offset = offsetof(struct conf_admin, hosts),
     .count_offset = offsetof(struct conf_admin, host_count),
     .list_max = CONF_HOSTS_MAX,
     .fallback = "",
     .help = "Further names that a request's Host may say; the address itself and loopback always "
             "may."},
    {.name = "tokens",
     .type = CONF_TYPE_SECTION,
     .offset = offsetof(struct conf_admin, tokens),
     .count_offset = offsetof(struct conf_admin, token_count),
     .list_max = CONF_TOKENS_MAX,
     .fallback = "",
     .section = &token_section,
     .help = "Without any, whoever reaches the address may do everything."},
    TLS_KEYS(struct conf_admin),
};

static const struct conf_section admin_section = {
    .title = "admin",
    .help = "The API, `/metrics`, `/healthz` and `/readyz`, in HTTP/1.1, plain or over TLS.",
    KEYS(admin_keys),
    .size = sizeof(struct conf_admin),
    .place_offset = offsetof(struct conf_admin, place),
};

static const struct conf_key access_log_keys[] = {
    {.name = "path",
     .type = CONF_TYPE_FILE,
     .flags = CONF_KEY_RESTART,
     .offset = offsetof(struct conf_access_log, path),
     .fallback = "\"-\"",
     .help = "A file that is appended to; `\"-\"` is standard output."},
    {.name = "format",
     .type = CONF_TYPE_CHOICE,
     .flags = CONF_KEY_RESTART,
     .offset = offsetof(struct conf_access_log, format),
     .fallback = "json",
     .choices = log_words,
     .help = "One JSON object per line, or the combined format of Apache and nginx."},
};

static const struct conf_section access_log_section = {
    .title = "access_log",
    .help = "One line per request, written beside the traffic: what cannot be written in time is "
            "dropped and counted.",
    KEYS(access_log_keys),
    .size = sizeof(struct conf_access_log),
};

#define TIMEOUT(member)      .type = CONF_TYPE_DURATION, .offset = offsetof(struct conf_timeouts, member)
#define FROM_TO(least, most) .low = (least), .high = (most)

static const struct conf_key recorder_keys[] = {
    {.name = "keep",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_recorder, keep_us),
     FROM_TO(MINUTE, 7 * DAY),
     .fallback = "6h",
     .help = "How far back it goes."},
    {.name = "size",
     .type = CONF_TYPE_SIZE,
     .offset = offsetof(struct conf_recorder, size),
     FROM_TO(64 * KIB, 256 * MIB),
     .fallback = "4MiB",
     .help = "Memory for each service with a canary, used as it fills; what does not fit is "
             "dropped, the oldest first. A second takes 20 to 200 bytes."},
};

static const struct conf_section recorder_section = {
    .title = "recorder",
    .help = "What was counted, second by second, for each service: in memory, and gone with the "
            "process.",
    KEYS(recorder_keys),
    .size = sizeof(struct conf_recorder),
};

static const struct conf_key history_keys[] = {
    {.name = "keep",
     .type = CONF_TYPE_DURATION,
     .flags = CONF_KEY_NONE,
     .offset = offsetof(struct conf_history, keep_us),
     FROM_TO(DAY, 3650 * DAY),
     .fallback = "400d",
     .help =
         "How long rows of the audit trail and rollbacks stay in the state file. Older ones are "
         "exported to a file beside it (`serin.db.1-5000.jsonl`), then taken out; "
         "`serin history --verify` begins at the anchor that stays."},
};

static const struct conf_section history_section = {
    .title = "history",
    .help = "What is remembered, and how long.",
    KEYS(history_keys),
    .size = sizeof(struct conf_history),
};

static const struct conf_key incident_keys[] = {
    {.name = "path",
     .type = CONF_TYPE_FILE,
     .offset = offsetof(struct conf_incidents, path),
     .help = "The folder; each report has a folder in it, named like its rollback. It is made when "
             "it is not there. Left out, it is `incidents` beside the file of `state`."},
    {.name = "keep",
     .type = CONF_TYPE_COUNT,
     .offset = offsetof(struct conf_incidents, keep),
     FROM_TO(1, 10000),
     .fallback = "100",
     .help = "Reports that are kept; the oldest are removed."},
    {.name = "failures",
     .type = CONF_TYPE_COUNT,
     .offset = offsetof(struct conf_incidents, failures),
     FROM_TO(10, 1000),
     .fallback = "200",
     .help = "Failed requests that a report shows one by one; all are counted."},
    {.name = "redact",
     .type = CONF_TYPE_FIELD,
     .offset = offsetof(struct conf_incidents, redact),
     .count_offset = offsetof(struct conf_incidents, redact_count),
     .list_max = CONF_REDACT_MAX,
     .fallback = "",
     .help = "Header fields whose values are never kept, beside those that are known to hold "
             "secrets ([which](OPERATING.md#incident-reports))."},
};

static const struct conf_section incident_section = {
    .title = "incidents",
    .help =
        "A report of each rollback, in files: what failed, for whom, what was decided and how "
        "long it took. Written beside the traffic; `incidents: FOLDER` is short for its `path`.",
    KEYS(incident_keys),
    .size = sizeof(struct conf_incidents),
};

static const struct conf_key timeout_keys[] = {
    {.name = "client_header",
     TIMEOUT(client_header_us),
     FROM_TO(10 * MS, 10 * MINUTE),
     .fallback = "10s",
     .help = "From the first byte of a request to the end of its head."},
    {.name = "client_body",
     TIMEOUT(client_body_us),
     FROM_TO(10 * MS, HOUR),
     .fallback = "30s",
     .help = "Between two reads of a request body, or two writes to a client that does not read."},
    {.name = "client_idle",
     TIMEOUT(client_idle_us),
     FROM_TO(10 * MS, HOUR),
     .fallback = "60s",
     .help = "Between two requests of a connection."},
    {.name = "connect",
     TIMEOUT(connect_us),
     FROM_TO(10 * MS, 5 * MINUTE),
     .fallback = "2s",
     .help = "One attempt to connect to an endpoint."},
    {.name = "response_header",
     TIMEOUT(response_header_us),
     FROM_TO(10 * MS, DAY),
     .fallback = "15s",
     .help = "From the request sent to the end of the response's head; then the attempt has failed "
             "with 504."},
    {.name = "response_body",
     TIMEOUT(response_body_us),
     FROM_TO(10 * MS, DAY),
     .fallback = "60s",
     .help = "Between two reads of a response body. Event streams that are quiet for longer need "
             "more."},
    {.name = "total",
     TIMEOUT(total_us),
     .flags = CONF_KEY_NONE,
     FROM_TO(10 * MS, 7 * DAY),
     .fallback = "none",
     .help = "One request from its first byte to the last byte of its answer."},
    {.name = "upstream_idle",
     TIMEOUT(upstream_idle_us),
     FROM_TO(10 * MS, HOUR),
     .fallback = "60s",
     .help = "How long an unused connection to an origin is kept."},
    {.name = "drain_delay",
     TIMEOUT(drain_delay_us),
     FROM_TO(0, 10 * MINUTE),
     .fallback = "0s",
     .help = "After SIGTERM, how long connections are still accepted while `/readyz` already says "
             "503."},
    {.name = "drain",
     TIMEOUT(drain_us),
     FROM_TO(0, DAY),
     .fallback = "30s",
     .help = "How long requests in flight may then take before they are cut."},
};

static const struct conf_section timeouts_section = {
    .title = "timeouts",
    .help = "Deadlines of every wait.",
    KEYS(timeout_keys),
    .size = sizeof(struct conf_timeouts),
};

#define LIMIT(type_, member) .type = (type_), .offset = offsetof(struct conf_limits, member)

static const struct conf_key limit_keys[] = {
    {.name = "header_size",
     LIMIT(CONF_TYPE_SIZE, header_size),
     FROM_TO(KIB, 128 * KIB),
     .fallback = "32KiB",
     .help = "A whole head, of requests and of responses."},
    {.name = "header_line",
     LIMIT(CONF_TYPE_SIZE, header_line),
     .place_offset = offsetof(struct conf_limits, header_line_place),
     FROM_TO(256, MIB),
     .fallback = "8KiB",
     .help = "A request line, or one header field. At most `header_size`."},
    {.name = "headers",
     LIMIT(CONF_TYPE_COUNT, headers),
     FROM_TO(16, 1000),
     .fallback = "100",
     .help = "Header fields in a head."},
    {.name = "body",
     LIMIT(CONF_TYPE_SIZE, body),
     .flags = CONF_KEY_NONE,
     FROM_TO(1, TIB),
     .fallback = "none",
     .help = "A request body; larger ones get 413."},
    {.name = "requests_per_connection",
     LIMIT(CONF_TYPE_COUNT, requests_per_connection),
     .flags = CONF_KEY_NONE,
     FROM_TO(1, 1000000000),
     .fallback = "none",
     .help = "Requests before a client's connection is closed; HTTP/2 ends it by GOAWAY."},
    {.name = "streams",
     LIMIT(CONF_TYPE_COUNT, streams),
     FROM_TO(1, 1000),
     .fallback = "128",
     .help = "Requests under way at once on an HTTP/2 connection; more are refused, unseen by any "
             "origin."},
    {.name = "origin_streams",
     LIMIT(CONF_TYPE_COUNT, origin_streams),
     FROM_TO(1, 1000),
     .fallback = "100",
     .help = "Requests under way at once on an HTTP/2 connection to an endpoint, if that takes as "
             "many; a further connection is opened for more."},
    {.name = "client_connections",
     LIMIT(CONF_TYPE_COUNT, client_connections),
     .flags = CONF_KEY_AUTO,
     FROM_TO(1, 10000000),
     .fallback = "auto",
     .help = "Open client connections of the whole process; `auto` is what the limit of open files "
             "leaves."},
    {.name = "upstream_connections",
     LIMIT(CONF_TYPE_COUNT, upstream_connections),
     FROM_TO(1, 1000000),
     .fallback = "1024",
     .help = "Open connections to one endpoint, shared out evenly among the workers."},
};

static const struct conf_section limits_section = {
    .title = "limits",
    .help = "What a client or an origin may ask for.",
    KEYS(limit_keys),
    .size = sizeof(struct conf_limits),
};

static const struct conf_key file_keys[] = {
    {.name = "workers",
     .type = CONF_TYPE_COUNT,
     .flags = CONF_KEY_AUTO | CONF_KEY_RESTART,
     .offset = offsetof(struct conf, workers),
     FROM_TO(1, CONF_WORKERS_MAX),
     .fallback = "auto",
     .help = "Threads that carry traffic; `auto` is one for each core that the process may use."},
    {.name = "listen",
     .type = CONF_TYPE_SECTION,
     .flags = CONF_KEY_REQUIRED,
     .offset = offsetof(struct conf, listeners),
     .count_offset = offsetof(struct conf, listener_count),
     .list_min = 1,
     .list_max = CONF_LISTENERS_MAX,
     .section = &listener_section,
     .help = "Where clients are accepted."},
    {.name = "admin",
     .type = CONF_TYPE_SECTION,
     .offset = offsetof(struct conf, admin),
     .fallback = "on",
     .section = &admin_section,
     .help = "The API for operators and Prometheus."},
    {.name = "state",
     .type = CONF_TYPE_FILE,
     .flags = CONF_KEY_RESTART,
     .offset = offsetof(struct conf, state),
     .fallback = "serin.db",
     .help =
         "The SQLite file with weights, history and audit trail. It is made when it is not there."},
    {.name = "history",
     .type = CONF_TYPE_SECTION,
     .offset = offsetof(struct conf, history),
     .fallback = "on",
     .section = &history_section,
     .help = "How long rollbacks and the audit trail are kept."},
    {.name = "access_log",
     .type = CONF_TYPE_SECTION,
     .flags = CONF_KEY_NONE | CONF_KEY_RESTART,
     .offset = offsetof(struct conf, access_log),
     .flag_offset = offsetof(struct conf, access_log.is_on),
     .fallback = "on",
     .section = &access_log_section,
     .help = "One line per request."},
    {.name = "acme",
     .type = CONF_TYPE_SECTION,
     .flags = CONF_KEY_NONE,
     .offset = offsetof(struct conf, acme),
     .flag_offset = offsetof(struct conf, acme.is_on),
     .section = &conf_schema_acme,
     .help = "Challenges of certificate authorities. Left out, they are requests like others."},
    {.name = "error_pages",
     .type = CONF_TYPE_SECTION,
     .offset = offsetof(struct conf, error_pages.items),
     .count_offset = offsetof(struct conf, error_pages.count),
     .list_max = CONF_PAGES_MAX,
     .fallback = "",
     .section = &conf_schema_error_page,
     .help = "Pages for Serin's own answers, of all services and before one is known."},
    {.name = "recorder",
     .type = CONF_TYPE_SECTION,
     .flags = CONF_KEY_NONE,
     .offset = offsetof(struct conf, recorder),
     .flag_offset = offsetof(struct conf, recorder.is_on),
     .fallback = "on",
     .section = &recorder_section,
     .help = "The flight recorder, for `serin replay`."},
    {.name = "timeouts",
     .type = CONF_TYPE_SECTION,
     .offset = offsetof(struct conf, timeouts),
     .fallback = "on",
     .section = &timeouts_section,
     .help = "Deadlines."},
    {.name = "limits",
     .type = CONF_TYPE_SECTION,
     .offset = offsetof(struct conf, limits),
     .fallback = "on",
     .section = &limits_section,
     .help = "Bounds on what is accepted."},
    {.name = "resolve",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf, resolve_us),
     FROM_TO(100 * MS, DAY),
     .fallback = "30s",
     .help = "How long the addresses of an origin's name hold where DNS gives no time."},
    {.name = "trusted_proxies",
     .type = CONF_TYPE_RANGE,
     .offset = offsetof(struct conf, trusted_proxies),
     .count_offset = offsetof(struct conf, trusted_proxy_count),
     .list_max = CONF_RANGES_MAX,
     .fallback = "",
     .help = "Addresses and ranges (`10.0.0.0/8`, `2001:db8::/32`) whose `X-Forwarded-*`, "
             "`Forwarded` and PROXY headers (`listen.proxy_protocol`) are believed. From others "
             "forwarding fields are replaced."},
    {.name = "services",
     .type = CONF_TYPE_SECTION,
     .flags = CONF_KEY_REQUIRED,
     .offset = offsetof(struct conf, services),
     .count_offset = offsetof(struct conf, service_count),
     .list_min = 1,
     .list_max = CONF_SERVICES_MAX,
     .section = &conf_schema_service,
     .help = "What is served."},
    {.name = "alerts",
     .type = CONF_TYPE_SECTION,
     .offset = offsetof(struct conf, alerts),
     .count_offset = offsetof(struct conf, alert_count),
     .list_max = CONF_ALERTS_MAX,
     .fallback = "",
     .section = &conf_schema_alert,
     .help = "Where alerts go."},
    {.name = "incidents",
     .type = CONF_TYPE_SECTION,
     .flags = CONF_KEY_NONE | CONF_KEY_SHORT,
     .offset = offsetof(struct conf, incidents),
     .flag_offset = offsetof(struct conf, incidents.is_on),
     .fallback = "on",
     .section = &incident_section,
     .help = "Reports of rollbacks."},
    {.name = "fleet", .type = CONF_TYPE_UNBUILT, .help = "Replicas that share their state."},
};

static const struct conf_section file_section = {
    .title = "The file",
    .help = "Its top level.",
    KEYS(file_keys),
    .size = sizeof(struct conf),
};

const struct conf_section *conf_schema(void)
{
    return &file_section;
}

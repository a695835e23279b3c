/* conf/conf.h — the whole configuration as plain structs.
 *
 * A conf is made by conf_load (every value inside its bounds, every default filled in), never
 * changed afterwards, and freed at once by conf_destroy: all strings and lists live in its arena,
 * so everything else borrows from it and must not outlive it. Made and destroyed by control; read
 * by any thread. Durations are microseconds, sizes bytes, rates and weights parts per million; a
 * thing that may be `none` or `auto` is 0 then. */
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "conf/ip.h"
#include "proxy/base/arena.h"
#include "proxy/base/err.h"

enum {
    CONF_PPM = 1000000, /* 100 % */
    CONF_WORKERS_MAX = 256,
    CONF_LISTENERS_MAX = 64,
    CONF_CERTIFICATES_MAX = 256, /* of one listener */
    CONF_TOKENS_MAX = 64,
    CONF_RANGES_MAX = 1024,
    CONF_SERVICES_MAX = 256,
    CONF_HOSTS_MAX = 128,    /* of one service, and of admin */
    CONF_PATHS_MAX = 128,    /* of one service */
    CONF_ROUTES_MAX = 16384, /* hosts times paths, summed over all services */
    CONF_ENDPOINTS_MAX = 64, /* of one version */
    CONF_SHIFT_MAX = 16,     /* steps of a shift back */
    CONF_RESCUE_WHEN_MAX = 16,
    CONF_OBSERVE_MAX = 16, /* observed policies of one service */
    CONF_STEPS_MAX = 63,   /* of a rollout: 32 weights with a pause between each two */
    CONF_GRPC_STATUSES_MAX = 16,
    CONF_STATUSES_MAX = 16, /* ranges of statuses: of a good health check, of failures */
    CONF_GLOBS_MAX = 64,    /* path patterns in one list */
    CONF_PAGES_MAX = 32,    /* error pages of one list */
    CONF_ALERTS_MAX = 16,
    CONF_REDACT_MAX = 64,
    CONF_COMMAND_MAX = 64,     /* words of a command */
    CONF_NAME_MAX = 64,        /* bytes of a service's or token's name */
    CONF_DEPLOYMENT_MAX = 128, /* bytes of a deployment's name */
    CONF_HOST_MAX = 255,       /* bytes of a host name, RFC 1035 section 2.3.4 */
    CONF_PATH_MAX = 1024,      /* bytes of a path, in the file system or in a URL */
    CONF_URL_MAX = 2048,       /* bytes of a URL that Serin itself calls */
    CONF_WORD_MAX = 4096,      /* bytes of a word of a command */
};

/* Stands for `pause` among the weights of a rollout's steps. */
#define CONF_STEP_PAUSE UINT32_MAX

/* Where a thing stands in the file, counted from 1; zeros when it is a default. */
struct conf_place {
    unsigned line;
    unsigned column;
};

/* An address to bind. */
struct conf_address {
    union {
        struct sockaddr any; /* sa_family: AF_INET, AF_INET6 or AF_UNIX */
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } socket;
    socklen_t socket_size;
    const char *text; /* "127.0.0.1:8080", "[::1]:8080" or "unix:/run/serin.sock" */
    struct conf_place place;
};

struct conf_certificate {
    const char *certificate; /* PEM, with its chain */
    const char *key;         /* PEM */
    const char *ocsp;        /* DER, or NULL */
};

enum conf_client_certificates {
    CONF_CLIENT_CERTIFICATES_NONE,
    CONF_CLIENT_CERTIFICATES_OPTIONAL,
    CONF_CLIENT_CERTIFICATES_REQUIRED
};

/* How an address speaks TLS. */
struct conf_tls {
    struct conf_certificate *certificates; /* none: plain HTTP */
    size_t count;
    const char *client_ca; /* PEM: who signs client certificates, or NULL */
    enum conf_client_certificates client_certificates;
};

/* Plain HTTP is answered with where the same is by HTTPS. */
struct conf_redirect_https {
    bool is_on;
    uint64_t port;
};

enum conf_http2 { CONF_HTTP2_AUTO, CONF_HTTP2_ON, CONF_HTTP2_OFF };

struct conf_listener {
    struct conf_address address; /* never AF_UNIX; IPv6 listeners are IPv6 only */
    struct conf_tls tls;
    struct conf_redirect_https redirect_https; /* only without `tls` */
    bool has_proxy_protocol;                   /* trusted peers say first who connected to them */
    enum conf_http2 http2;
};

/* Does the address speak HTTP/2? `auto` stands for: with certificates, where ALPN chooses it. */
static inline bool conf_listener_has_http2(const struct conf_listener *listener)
{
    return listener->http2 == CONF_HTTP2_ON ||
           (listener->http2 == CONF_HTTP2_AUTO && listener->tls.count > 0);
}

enum conf_role { CONF_ROLE_VIEWER, CONF_ROLE_OPERATOR };

/* Where a secret is read, when it is needed and not before: exactly one of the two is set. */
struct conf_secret {
    const char *file;
    const char *env;
};

struct conf_token {
    const char *name; /* the actor in the audit trail */
    enum conf_role role;
    struct conf_secret secret;
    struct conf_place place;
};

struct conf_admin {
    struct conf_address address;
    struct conf_tls tls; /* never with AF_UNIX */
    const char **hosts;  /* further names that the Host field may say, in lower case */
    size_t host_count;
    struct conf_token
        *tokens; /* none: no token is asked for, and the address is loopback or AF_UNIX */
    size_t token_count;
    struct conf_place place;
};

enum conf_log_format { CONF_LOG_JSON, CONF_LOG_COMBINED };

struct conf_access_log {
    bool is_on;
    const char *path; /* "-" is standard output */
    enum conf_log_format format;
};

/* Statuses from first to last, both inside. */
struct conf_statuses {
    uint16_t first;
    uint16_t last;
};

/* A file that stands for our own answers of these statuses. */
struct conf_error_page {
    struct conf_statuses *statuses; /* none of them below 400 */
    size_t status_count;
    const char *file;
    struct conf_place place;
};

struct conf_error_pages {
    struct conf_error_page *items; /* the first that has a status wins */
    size_t count;
};

/* Answers to challenges of certificate authorities (HTTP-01). */
struct conf_acme {
    bool is_on;
    const char *webroot; /* files are in .well-known/acme-challenge/ below it */
};

/* The flight recorder of each service. */
struct conf_recorder {
    bool is_on;
    uint64_t keep_us; /* rows older than this are dropped ... */
    uint64_t size;    /* ... and those beyond so many bytes */
};

/* Reports on rollbacks. */
struct conf_incidents {
    bool is_on;
    const char *path;    /* the folder; NULL: "incidents" beside the state file */
    uint64_t keep;       /* reports; the oldest go first */
    uint64_t failures;   /* failed requests that one report describes */
    const char **redact; /* further fields whose values are not kept, in lower case */
    size_t redact_count;
};

struct conf_timeouts {
    uint64_t client_header_us; /* first byte of a request to the end of its head */
    uint64_t client_body_us;   /* between two reads of a request body, or two writes to a client */
    uint64_t client_idle_us;   /* between two requests of a connection */
    uint64_t connect_us;       /* one attempt to connect to an endpoint */
    uint64_t response_header_us; /* request sent to the end of the response head */
    uint64_t response_body_us;   /* between two reads of a response body */
    uint64_t total_us;           /* one request, first byte to last; 0 is none */
    uint64_t upstream_idle_us;   /* a pooled connection that nobody uses */
    uint64_t drain_delay_us;     /* SIGTERM to the end of accepting: readyz already says 503 */
    uint64_t drain_us;           /* then, what is still in flight after this long is cut */
};

struct conf_limits {
    uint64_t header_size;             /* bytes of a whole head, either direction */
    uint64_t header_line;             /* bytes of a request line or of one field */
    uint64_t headers;                 /* fields in a head */
    uint64_t body;                    /* bytes of a request body; 0 is none */
    uint64_t requests_per_connection; /* 0 is none */
    uint64_t streams;                 /* open at once on an HTTP/2 connection */
    uint64_t origin_streams;          /* ... of ours to an origin */
    uint64_t client_connections;      /* of the process; 0 is auto: what RLIMIT_NOFILE leaves */
    uint64_t upstream_connections;    /* to one endpoint, all workers together */
    struct conf_place header_line_place;
};

enum conf_scheme { CONF_SCHEME_HTTP, CONF_SCHEME_HTTPS };

/* One origin server: scheme, host and port of a URL without a path. */
struct conf_endpoint {
    enum conf_scheme scheme;
    const char *host; /* lower-case name, or an address without brackets */
    uint16_t port;
    bool is_ip; /* `ip` holds the host: nothing to resolve */
    struct ip ip;
    const char
        *authority;  /* "host" or "host:port": the port only where it is not the scheme's own */
    const char *url; /* scheme://authority */
    struct conf_place place;
};

enum conf_proxy_protocol { CONF_PROXY_NONE, CONF_PROXY_V1, CONF_PROXY_V2 };

struct conf_version {
    const char *deployment; /* given, or "ep-" and a hash of the endpoints, whatever their order */
    bool is_deployment_derived;
    struct conf_endpoint *endpoints;
    size_t endpoint_count; /* at least 1 */
    enum conf_proxy_protocol proxy_protocol;
    struct conf_place place;
};

enum conf_sticky_by {
    CONF_STICKY_NONE,
    CONF_STICKY_COOKIE,
    CONF_STICKY_CLIENT_IP,
    CONF_STICKY_HEADER
};

struct conf_sticky {
    enum conf_sticky_by by;
    const char *header; /* lower-case field name for CONF_STICKY_HEADER, else NULL */
    struct conf_place place;
};

enum conf_opt_in { CONF_OPT_IN_OFF, CONF_OPT_IN_TRUSTED, CONF_OPT_IN_ON };
enum conf_host { CONF_HOST_AUTO, CONF_HOST_KEEP, CONF_HOST_ORIGIN };
enum conf_origin_http2 { CONF_ORIGIN_HTTP2_AUTO, CONF_ORIGIN_HTTP2_ALWAYS, CONF_ORIGIN_HTTP2_OFF };
enum conf_hide_origin { CONF_HIDE_ORIGIN_AUTO, CONF_HIDE_ORIGIN_OFF, CONF_HIDE_ORIGIN_ON };
enum conf_forwarded { CONF_FORWARDED_X, CONF_FORWARDED_RFC7239, CONF_FORWARDED_BOTH };

/* How https endpoints are spoken to. */
struct conf_origin_tls {
    const char *ca;   /* PEM: whom to trust; NULL: the system's authorities */
    const char *name; /* whose certificate it must be, and the SNI; NULL: the endpoint's host */
    bool is_verified;
    struct conf_place place;
};

struct conf_outlier {
    bool is_on;
    uint64_t consecutive; /* failures in a row that eject an endpoint */
    uint64_t eject_us;
    uint32_t max_ejected_ppm; /* of a version's endpoints, rounded down, never the last one */
};

struct conf_health {
    bool is_on;
    const char *path;
    uint64_t interval_us;
    uint64_t timeout_us;
    uint64_t healthy;               /* good answers in a row that bring an endpoint back */
    uint64_t unhealthy;             /* bad ones in a row that take it out */
    struct conf_statuses *statuses; /* what is a good answer */
    size_t status_count;
    const char *contains; /* what its body contains; NULL: whatever */
    struct conf_place place;
};

/* How it is confirmed that the stable version serves well after a shift back. */
struct conf_verify {
    bool is_on;       /* its own URLs are asked; else only what it answers to others counts */
    const char *path; /* NULL: as `health` has it, where that is on, else / */
    struct conf_statuses *statuses;
    size_t status_count;  /* 0: the same, else 200 to 499 */
    const char *contains; /* NULL: the same where the path is too, else whatever */
    uint64_t checks;      /* good looks in a row */
    uint64_t interval_us; /* between two */
    uint64_t timeout_us;  /* for one answer */
    uint64_t within_us;   /* without confirmation it has failed, and goes on */
    struct conf_place place;
};

enum conf_after_bake { CONF_AFTER_BAKE_ALERT, CONF_AFTER_BAKE_ROLLBACK };

struct conf_rollout {
    bool is_on;
    uint32_t *steps_ppm; /* rise strictly to 100 %; CONF_STEP_PAUSE stands alone between two */
    size_t step_count;
    uint64_t min_time_us; /* of each step */
    uint64_t max_time_us; /* of each step, then the rollout pauses */
    uint64_t bake_us;     /* at 100 %, with the previous version ready */
    enum conf_after_bake after_bake;
    struct conf_place place;
    struct conf_place steps_place;
};

enum conf_relative {
    CONF_RELATIVE_OFF,
    CONF_RELATIVE_HOLD,
    CONF_RELATIVE_ROLLBACK,
    CONF_RELATIVE_CONFIRM
};
enum conf_on_breach { CONF_ON_BREACH_ROLLBACK, CONF_ON_BREACH_FREEZE, CONF_ON_BREACH_ALERT };

/* Long-lived connections on a canary that loses weight. */
struct conf_move {
    bool is_on;
    uint64_t deadline_us; /* what does not end by itself is cut then */
    uint64_t jitter_us;   /* over which the ends are spread; at most the deadline */
    struct conf_place place;
};

struct conf_rollback {
    uint32_t error_rate_ppm;     /* the absolute limit of 5xx */
    enum conf_relative relative; /* what the comparison with the stable version may do */
    bool is_latency_judged;
    uint32_t false_alarm_ppm; /* chance of a wrong rollback per rollout */
    enum conf_on_breach on_breach;
    uint32_t
        *shift_ppm; /* share of the weight at the breach that is left; falls strictly, ends in 0 */
    size_t shift_count;
    uint64_t every_us;          /* between two steps of the shift */
    uint64_t max_wait_us;       /* how long steps may wait in all for a suffering stable version */
    uint32_t instant_above_ppm; /* failures of the excursion from which there are no steps */
    uint64_t max_bad_responses; /* that clients may see before the canary is held back; 0: any */
    struct conf_move move;
    struct conf_verify verify;
    struct conf_place shift_place;
};

/* A policy that is judged beside `rollback` and never acts. What the file leaves out is as
 * `rollback` has it: after a load every value is filled in. */
struct conf_policy {
    const char *name; /* never "rollback": that is what the service's own is called */
    bool has_error_rate;
    uint32_t error_rate_ppm;
    bool has_relative;
    enum conf_relative relative;
    bool has_latency;
    bool is_latency_judged;
    bool has_false_alarm;
    uint32_t false_alarm_ppm;
    bool has_instant_above;
    uint32_t instant_above_ppm;
    struct conf_place place;
};

/* What counts as a failure of a version, beside connections that fail, timeouts, answers that are
 * malformed or broken off, and the edge's own 52x: those always do. */
struct conf_failures {
    struct conf_statuses *statuses; /* none of them below 300 */
    size_t status_count;
    unsigned *grpc_statuses; /* as the schema numbers its words: conf_failures_grpc */
    size_t grpc_status_count;
    uint32_t not_found_ppm; /* from this ratio of 404s on more than stable's are a breach; 0: off */
    const char **exclude_paths; /* patterns: requests to these are not judged */
    size_t exclude_path_count;
    struct conf_place place;
};

/* What the canary may have done to a request that the stable version then answers. */
enum conf_rescue_when {
    CONF_RESCUE_CONNECT,
    CONF_RESCUE_RESET,
    CONF_RESCUE_TIMEOUT,
    CONF_RESCUE_500,
    CONF_RESCUE_502,
    CONF_RESCUE_503,
    CONF_RESCUE_504
};

/* What one version lacks of another one's page is asked of the other. */
struct conf_assets {
    bool is_on;
    const char **paths; /* patterns, beside what Sec-Fetch-Dest says */
    size_t path_count;
    uint64_t timeout_us; /* for the other version's head; then the first answer is given */
};

/* When rollbacks are rehearsed. */
struct conf_drill {
    bool is_on;
    uint64_t every_us; /* counted from the beginning of 1970, UTC, plus: */
    uint64_t at_us;    /* less than every_us */
    struct conf_place place;
};

struct conf_rescue {
    bool is_on;
    enum conf_rescue_when *when;
    size_t when_count;
    uint32_t budget_ppm; /* rescues per request, when the canary's weight is less */
    struct conf_assets assets;
};

/* A project or a Worker at Cloudflare. */
struct conf_cloudflare {
    bool is_on;
    const char *name;         /* project or script */
    const char *account;      /* NULL: by the environment */
    struct conf_secret token; /* at most one is set; neither: by the environment */
    const char *base;         /* NULL: by the environment, or the usual one */
    bool watch;               /* pages: new deployments begin a rollout */
    uint64_t watch_every_us;
};

struct conf_platform_exec {
    bool is_on;
    const char **command; /* the program and its arguments; no shell */
    size_t command_count; /* at least 1 */
};

/* Who is told of a rollback: exactly one when it is on. */
struct conf_platform {
    bool is_on;
    struct conf_cloudflare pages;
    struct conf_cloudflare workers;
    struct conf_platform_exec exec;
    struct conf_place place;
};

/* Strict-Transport-Security (RFC 6797). */
struct conf_hsts {
    bool is_on;
    uint64_t max_age_us;
    bool has_subdomains;
    bool is_preloaded;
    struct conf_place place;
};

/* How often one client may ask. */
struct conf_rate_limit {
    bool is_on;
    uint64_t requests; /* per ... */
    uint64_t per_us;
    uint64_t burst;          /* at once; 0 is auto: as many as `requests` */
    uint64_t clients;        /* that are remembered */
    struct ip_range *exempt; /* are not counted */
    size_t exempt_count;
    struct conf_place place;
};

/* How much of one version may be in use at a time; 0: any. */
struct conf_circuit {
    bool is_on;
    uint64_t connections;
    uint64_t pending;
    uint64_t requests;
};

enum conf_cache_mode { CONF_CACHE_FALLBACK, CONF_CACHE_FULL };

/* Answers that are kept. */
struct conf_cache {
    bool is_on;
    enum conf_cache_mode mode;
    uint64_t size; /* bytes of all that is held */
    uint64_t object_max;
    uint64_t stale_if_error_us; /* for answers that say nothing of it */
    bool keeps_set_cookie;
    bool is_strict; /* must-revalidate and its like hold even when the origins fail */
    struct conf_place place;
};

/* Which endpoint of its version a client stays with. */
struct conf_affinity {
    enum conf_sticky_by by;
    const char *header; /* lower-case field name for CONF_STICKY_HEADER, else NULL */
    struct conf_place place;
};

struct conf_service {
    const char *name;
    const char **hosts; /* lower case: exact, "*.example.com", or "*" for every other */
    size_t host_count;
    const char **paths; /* prefixes that begin with "/" */
    size_t path_count;
    struct conf_version previous; /* the stable version */
    bool has_current;
    struct conf_version current; /* the canary; zeros unless has_current */
    bool has_weight;
    uint32_t weight_ppm; /* of the canary, when its deployment is first seen; 0 unless has_weight */
    uint32_t
        mirror_ppm; /* of safe requests: copied to the canary before its first weight; 0: none */
    struct conf_sticky sticky;
    enum conf_opt_in opt_in;
    enum conf_host host;
    struct conf_origin_tls origin_tls;
    enum conf_origin_http2 origin_http2;
    enum conf_hide_origin hide_origin;
    struct conf_place host_place;
    enum conf_forwarded forwarded;
    struct conf_outlier outlier;
    struct conf_health health;
    struct conf_rollout rollout;
    struct conf_rollback rollback;
    struct conf_policy *observe; /* names differ */
    size_t observe_count;
    struct conf_failures failures;
    struct conf_rescue rescue;
    struct conf_drill drill;
    uint64_t rto_target_us; /* for a rollback: what drills are held to */
    struct conf_platform platform;
    struct conf_hsts hsts;
    struct conf_error_pages error_pages; /* before those of all services */
    struct conf_rate_limit rate_limit;
    struct conf_circuit circuit;
    struct conf_cache cache;
    struct conf_affinity affinity;
    struct conf_place place;
    struct conf_place hosts_place;
    struct conf_place weight_place;
};

struct conf_history {
    uint64_t keep_us; /* older rows are exported and taken out; 0: never */
};

struct conf_alert_slack {
    bool is_on;
    struct conf_secret url;
};

struct conf_alert_webhook {
    bool is_on;
    const char *url; /* NULL: `url_secret` says where it is */
    bool has_url;
    struct conf_secret url_secret; /* of the two at most one is set, and neither beside `url` */
    struct conf_secret secret;     /* signs; neither set: unsigned */
};

struct conf_alert_exec {
    bool is_on;
    const char **command; /* the program and its arguments; no shell */
    size_t command_count; /* at least 1 */
    uint64_t timeout_us;
};

/* A channel that alerts go to: exactly one of the four. */
struct conf_alert {
    const char *alertmanager; /* its URL, without /api/v2, or NULL */
    bool has_alertmanager;
    struct conf_alert_slack slack;
    struct conf_alert_webhook webhook;
    struct conf_alert_exec exec;
    struct conf_place place;
};

struct conf {
    const char *file; /* as it was named to conf_load */
    uint64_t workers; /* 0 is auto: see conf_worker_count */
    struct conf_listener *listeners;
    size_t listener_count;
    struct conf_admin admin;
    const char *state; /* the database file */
    struct conf_history history;
    struct conf_access_log access_log;
    struct conf_acme acme;
    struct conf_error_pages error_pages;
    struct conf_recorder recorder;
    struct conf_incidents incidents;
    struct conf_timeouts timeouts;
    struct conf_limits limits;
    uint64_t resolve_us; /* how long a name's addresses hold where DNS says nothing */
    struct ip_range *trusted_proxies;
    size_t trusted_proxy_count;
    struct conf_service *services;
    size_t service_count; /* at least 1 */
    struct conf_alert *alerts;
    size_t alert_count;
    struct arena arena; /* owns everything above */
};

/* NULL is fine. */
void conf_destroy(struct conf *conf);
/* The number of threads to start: `workers`, or for auto the cores this process may use. At
 * least 1. */
unsigned conf_worker_count(const struct conf *conf);
/* The service of that name, or NULL. */
const struct conf_service *conf_service_find(const struct conf *conf, struct bytes name);
/* Does this peer speak for its clients (trusted_proxies)? Never true for AF_UNIX. Pure. */
bool conf_trusts(const struct conf *conf, const struct sockaddr *peer);
/* Is it reachable from this machine alone: loopback or AF_UNIX? */
bool conf_address_is_local(const struct conf_address *address);
/* Would a health check that got this status call the endpoint healthy? */
bool conf_health_accepts(const struct conf_health *health, unsigned status);
/* What is asked of the stable version to confirm a rollback; points into `service`. */
struct conf_health conf_verify_check(const struct conf_service *service);
/* Is an origin's answer of this status a failure as far as the list goes? */
bool conf_failures_have(const struct conf_failures *failures, unsigned status);
/* The statuses of gRPC that are failures, as bits 1 << status. */
unsigned conf_failures_grpc(const struct conf_failures *failures);

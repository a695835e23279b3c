/* conf/conf_schema_edge.c — the keys of what an edge does besides: the way to HTTPS, challenges. */
#include <stddef.h>

#include "conf/conf_schema.h"
#include "proxy/base/check.h"

#define MS  UINT64_C(1000)
#define DAY (UINT64_C(24) * 60 * 60 * 1000 * MS)

#define KEYS(array) .keys = (array), .key_count = COUNT_OF(array)

static const struct conf_key redirect_https_keys[] = {
    {.name = "port",
     .type = CONF_TYPE_COUNT,
     .offset = offsetof(struct conf_redirect_https, port),
     .low = 1,
     .high = 65535,
     .fallback = "443",
     .help = "Where clients reach the site by HTTPS."},
};

const struct conf_section conf_schema_redirect_https = {
    .title = "listen.redirect_https",
    .help = "Requests that came by plain HTTP get a 308 to the same host and path by HTTPS, and "
            "those for hosts that no service has a 404. What a trusted proxy says came by HTTPS "
            "(`X-Forwarded-Proto`) is served, and challenges of `acme` are answered.",
    KEYS(redirect_https_keys),
    .size = sizeof(struct conf_redirect_https),
};

static const struct conf_key acme_keys[] = {
    {.name = "webroot",
     .type = CONF_TYPE_FILE,
     .flags = CONF_KEY_REQUIRED,
     .offset = offsetof(struct conf_acme, webroot),
     .help = "The folder that the ACME client is given as webroot: answers are files in "
             "`.well-known/acme-challenge/` below it. Workers read them as they are asked for, so "
             "it should be on a local disk."},
};

const struct conf_section conf_schema_acme = {
    .title = "acme",
    .help = "`/.well-known/acme-challenge/TOKEN` of every host and address is answered from a "
            "folder (RFC 8555 section 8.3), and reaches no origin. Only plain files of at most "
            "4 KiB whose name is a token are; links are not followed.",
    KEYS(acme_keys),
    .size = sizeof(struct conf_acme),
};

static const struct conf_key hsts_keys[] = {
    {.name = "max_age",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_hsts, max_age_us),
     .low = 0,
     .high = 3650 * DAY,
     .fallback = "365d",
     .help = "How long browsers remember it, in whole seconds; `0s` makes them forget."},
    {.name = "include_subdomains",
     .type = CONF_TYPE_SWITCH,
     .offset = offsetof(struct conf_hsts, has_subdomains),
     .fallback = "off",
     .help = "For all names below the host too."},
    {.name = "preload",
     .type = CONF_TYPE_SWITCH,
     .offset = offsetof(struct conf_hsts, is_preloaded),
     .fallback = "off",
     .help = "Agrees to a place in the lists that browsers ship with, which is hard to take back. "
             "Needs `include_subdomains` and a `max_age` of at least 365d."},
};

const struct conf_section conf_schema_hsts = {
    .title = "services.hsts",
    .help = "`Strict-Transport-Security` on every answer that goes over TLS, also over that of a "
            "trusted proxy; in place of the origin's. Never over plain HTTP.",
    KEYS(hsts_keys),
    .size = sizeof(struct conf_hsts),
    .place_offset = offsetof(struct conf_hsts, place),
};

static const struct conf_key error_page_keys[] = {
    {.name = "statuses",
     .type = CONF_TYPE_STATUSES,
     .flags = CONF_KEY_REQUIRED,
     .offset = offsetof(struct conf_error_page, statuses),
     .count_offset = offsetof(struct conf_error_page, status_count),
     .list_min = 1,
     .list_max = CONF_STATUSES_MAX,
     .help = "As `[502, 503]` or `[5xx]`, none below 400."},
    {.name = "file",
     .type = CONF_TYPE_FILE,
     .flags = CONF_KEY_REQUIRED,
     .offset = offsetof(struct conf_error_page, file),
     .help = "At most 64 KiB, read when the configuration is loaded. Its ending says what it is: "
             "`.html`, `.json`, `.xml`, or else plain text."},
};

const struct conf_section conf_schema_error_page = {
    .title = "error_pages",
    .help = "Bodies for answers of Serin's own, such as 404 without a service, 429, 502 and 503: "
            "the first entry with the status, a service's own before those for all. What an "
            "origin answers is never replaced.",
    KEYS(error_page_keys),
    .size = sizeof(struct conf_error_page),
    .place_offset = offsetof(struct conf_error_page, place),
};

static const struct conf_key rate_limit_keys[] = {
    {.name = "requests",
     .type = CONF_TYPE_COUNT,
     .flags = CONF_KEY_REQUIRED,
     .offset = offsetof(struct conf_rate_limit, requests),
     .low = 1,
     .high = 1000000,
     .help = "Of one client, in each `per`, on the long run."},
    {.name = "per",
     .type = CONF_TYPE_DURATION,
     .offset = offsetof(struct conf_rate_limit, per_us),
     .low = 100 * MS,
     .high = DAY,
     .fallback = "1s",
     .help = "The time that `requests` is about."},
    {.name = "burst",
     .type = CONF_TYPE_COUNT,
     .flags = CONF_KEY_AUTO,
     .offset = offsetof(struct conf_rate_limit, burst),
     .low = 1,
     .high = 1000000,
     .fallback = "auto",
     .help = "Of one client, at once, after a pause; `auto` is as many as `requests`."},
    {.name = "clients",
     .type = CONF_TYPE_COUNT,
     .offset = offsetof(struct conf_rate_limit, clients),
     .low = 64,
     .high = 1 << 24,
     .fallback = "65536",
     .help = "How many clients are remembered at a time, at 16 bytes each. Where more than that "
             "are active, some of them start anew."},
    {.name = "exempt",
     .type = CONF_TYPE_RANGE,
     .offset = offsetof(struct conf_rate_limit, exempt),
     .count_offset = offsetof(struct conf_rate_limit, exempt_count),
     .list_max = CONF_RANGES_MAX,
     .fallback = "",
     .help = "Addresses and ranges that are not limited."},
};

const struct conf_section conf_schema_rate_limit = {
    .title = "services.rate_limit",
    .help = "A client is an address, or the /64 of an IPv6 one; behind `trusted_proxies` the one "
            "that they name. More than the limit gets 429 with `Retry-After`, reaches no version "
            "and counts against none. [More](OPERATING.md#limits-per-client).",
    KEYS(rate_limit_keys),
    .size = sizeof(struct conf_rate_limit),
    .place_offset = offsetof(struct conf_rate_limit, place),
};

static const struct conf_key circuit_keys[] = {
    {.name = "connections",
     .type = CONF_TYPE_COUNT,
     .flags = CONF_KEY_NONE,
     .offset = offsetof(struct conf_circuit, connections),
     .low = 1,
     .high = 1000000,
     .fallback = "none",
     .help = "Open connections to all endpoints of the version, idle ones too; those make room."},
    {.name = "pending",
     .type = CONF_TYPE_COUNT,
     .flags = CONF_KEY_NONE,
     .offset = offsetof(struct conf_circuit, pending),
     .low = 1,
     .high = 1000000,
     .fallback = "none",
     .help = "Requests that wait for a connection to be made."},
    {.name = "requests",
     .type = CONF_TYPE_COUNT,
     .flags = CONF_KEY_NONE,
     .offset = offsetof(struct conf_circuit, requests),
     .low = 1,
     .high = 1000000,
     .fallback = "none",
     .help = "Requests under way at the version."},
};

const struct conf_section conf_schema_circuit = {
    .title = "services.circuit",
    .help = "Limits of each version by itself, shared out evenly among the workers (at least 1 "
            "each). What is beyond waits for nothing and is no failure of the version: the stable "
            "version answers it where `rescue` has 503 and a budget, or else it gets a 503 of "
            "Serin's own. [More](OPERATING.md#limits-of-a-version).",
    KEYS(circuit_keys),
    .size = sizeof(struct conf_circuit),
};

static const char *const cache_words[] = {"fallback", "full", NULL};

static const struct conf_key cache_keys[] = {
    {.name = "mode",
     .type = CONF_TYPE_CHOICE,
     .offset = offsetof(struct conf_cache, mode),
     .fallback = "fallback",
     .choices = cache_words,
     .help = "`fallback`: what is kept is used only when the origins fail. `full`: whenever it is "
             "fresh."},
    {.name = "size",
     .type = CONF_TYPE_SIZE,
     .offset = offsetof(struct conf_cache, size),
     .low = 64 * 1024,
     .high = UINT64_C(1) << 40,
     .fallback = "64MiB",
     .help = "Memory for the service's kept answers, heads and what the allocator adds included. "
             "What was used the longest ago goes first."},
    {.name = "max_object",
     .type = CONF_TYPE_SIZE,
     .offset = offsetof(struct conf_cache, object_max),
     .low = 1024,
     .high = UINT64_C(1) << 30,
     .fallback = "1MiB",
     .help = "A larger body is not kept."},
    {.name = "stale_if_error",
     .type = CONF_TYPE_DURATION,
     .flags = CONF_KEY_NONE,
     .offset = offsetof(struct conf_cache, stale_if_error_us),
     .low = 1000 * MS,
     .high = 366 * DAY,
     .fallback = "1d",
     .help = "For how long after its lifetime an answer is good enough when the origins fail, "
             "where it does not say so itself (`Cache-Control: stale-if-error`, RFC 5861)."},
    {.name = "set_cookie",
     .type = CONF_TYPE_SWITCH,
     .offset = offsetof(struct conf_cache, keeps_set_cookie),
     .fallback = "off",
     .help = "Whether answers that set cookies are kept, and given to others with the cookie."},
    {.name = "strict",
     .type = CONF_TYPE_SWITCH,
     .offset = offsetof(struct conf_cache, is_strict),
     .fallback = "off",
     .help =
         "Whether `must-revalidate`, `proxy-revalidate`, `s-maxage` and `no-cache` of an answer "
         "forbid to use it when the origins fail. Hosts of static sites say `max-age=0, "
         "must-revalidate` of every page. `no-store` and `private` always hold."},
};

const struct conf_section conf_schema_cache = {
    .title = "services.cache",
    .help =
        "Good answers to GET that a shared cache may keep (RFC 9111) are kept in memory, each "
        "version's apart, and given out with `Cache-Status` and `Age` in place of an error when "
        "neither version can answer. [More](OPERATING.md#when-the-origins-fail).",
    KEYS(cache_keys),
    .size = sizeof(struct conf_cache),
    .place_offset = offsetof(struct conf_cache, place),
};

static const char *const affinity_words[] = {"none", "cookie", "client_ip", "header", NULL};

static const struct conf_key affinity_keys[] = {
    {.name = "by",
     .type = CONF_TYPE_CHOICE,
     .offset = offsetof(struct conf_affinity, by),
     .fallback = "cookie",
     .choices = affinity_words,
     .help = "What a client is known by: a cookie (`serin-endpoint`, a number drawn at random), "
             "its address (of IPv6 the /64), a header. Without the header a request goes to any "
             "endpoint."},
    {.name = "name",
     .type = CONF_TYPE_FIELD,
     .offset = offsetof(struct conf_affinity, header),
     .help = "The header field, with `by: header` and only there."},
};

const struct conf_section conf_schema_affinity = {
    .title = "services.affinity",
    .help = "Inside a version a client stays with one endpoint, for sessions that live there. When "
            "that one is ejected, unhealthy or gone, each of its clients goes to another and comes "
            "back with it; the other clients stay where they are. Load is then no longer balanced "
            "by itself.",
    KEYS(affinity_keys),
    .size = sizeof(struct conf_affinity),
    .place_offset = offsetof(struct conf_affinity, place),
};

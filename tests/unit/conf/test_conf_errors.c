/* tests/unit/conf/test_conf_errors.c — what a wrong file is told, and where. */
#include "tests/unit/conf/conf_play.h"

struct refusal {
    const char *text;
    const char *said;
};

static void play_table(const struct refusal *refusals, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        play_refuse(refusals[i].text, refusals[i].said);
    }
}

static void keys_are_known_or_refused(void **state)
{
    (void)state;
    const struct refusal refusals[] = {
        {PLAY_LISTEN PLAY_SERVICE "worker: 2\n",
         ":3:1: unknown key \"worker\"; did you mean \"workers\"?\n"},
        {PLAY_LISTEN PLAY_SERVICE "timeouts: {conect: 2s}\n",
         ":3:12: timeouts: unknown key \"conect\"; did you mean \"connect\"?\n"},
        {PLAY_LISTEN "services:\n  - {name: a, stable: {}, canary: {}}\n",
         ":3:5: services: \"previous\" is missing\n"
         ":3:15: services: unknown key \"stable\"; did you mean \"previous\"?\n"
         ":3:27: services: unknown key \"canary\"; did you mean \"current\"?\n"},
        {PLAY_LISTEN PLAY_SERVICE "timeouts: {drian: 2s, zzz: 1}\n",
         ":3:12: timeouts: unknown key \"drian\"; did you mean \"drain\"?\n:3:23: timeouts: "
         "unknown "
         "key \"zzz\"\n"},
        {PLAY_LISTEN PLAY_SERVICE "weight: 2%\n",
         ":3:1: unknown key \"weight\" here; it belongs to services\n"},
        {PLAY_BOTH("  trusted_proxies: []\n"), ":6:3: services: unknown key \"trusted_proxies\" "
                                               "here; it belongs to the top of the file\n"},
        {PLAY_LISTEN PLAY_SERVICE "<<: {workers: 1}\n",
         ":3:1: merge keys (<<) are not supported\n"},
        {PLAY_LISTEN PLAY_SERVICE "[a]: b\n", ":3:1: a key must be a plain word\n"},
        {PLAY_LISTEN PLAY_SERVICE "workers: 1\nworkers: 2\n", ":4:1: workers: is given twice\n"},
        {PLAY_SERVICE, ":1:1: \"listen\" is missing\n"},
        {PLAY_LISTEN, ":1:1: \"services\" is missing\n"},
        {PLAY_LISTEN "services: [{}]\n",
         ":2:12: services: \"name\" is missing\n:2:12: services: \"previous\" is missing\n"},
        {PLAY_LISTEN "services: []\n",
         ":2:11: services: has 0 values and may have from 1 to 256\n"},
        {PLAY_LISTEN "services: {name: a}\n",
         ":2:11: services: must be a list of mapping values\n"},
        {PLAY_LISTEN "services: [a]\n", ":2:12: services: must be a mapping of keys to values\n"},
        {PLAY_LISTEN PLAY_SERVICE "state: [a]\n", ":3:8: state: must be a file\n"},
        {PLAY_LISTEN PLAY_SERVICE "timeouts: on\n",
         ":3:11: timeouts: must be a mapping of keys to values\n"},
    };
    play_table(refusals, COUNT_OF(refusals));
}

static void channel_of_alerts_is_exactly_one_thing(void **state)
{
    (void)state;
    const struct refusal refusals[] = {
        {PLAY_LISTEN PLAY_SERVICE "alerts: [{}]\n",
         ":3:10: alerts: a channel is exactly one of alertmanager, slack, webhook and exec\n"},
        {PLAY_LISTEN PLAY_SERVICE "alerts: [{alertmanager: http://a, exec: {command: [x]}}]\n",
         ":3:10: alerts: a channel is exactly one of alertmanager, slack, webhook and exec\n"},
        {PLAY_LISTEN PLAY_SERVICE "alerts: [{slack: {}}]\n",
         ":3:18: alerts.slack: needs exactly one of \"url_env\" and \"url_file\"\n"},
        {PLAY_LISTEN PLAY_SERVICE "alerts: [{webhook: {url: http://a, url_env: A}}]\n",
         ":3:10: alerts.webhook: needs exactly one of \"url\", \"url_env\" and \"url_file\"\n"},
        {PLAY_LISTEN PLAY_SERVICE
         "alerts: [{webhook: {url: http://a, secret_env: A, secret_file: b}}]\n",
         ":3:10: alerts.webhook: takes \"secret_env\" or \"secret_file\", not both\n"},
        {PLAY_LISTEN PLAY_SERVICE "alerts: [{alertmanager: \"http://a/?b\"}]\n",
         ":3:10: alerts.alertmanager: has a query; it is the address without /api/v2\n"},
        {PLAY_LISTEN PLAY_SERVICE "alerts: [{exec: {command: [], timeout: 1h}}]\n",
         ":3:27: alerts.exec.command: has 0 values and may have from 1 to 64\n"
         ":3:40: alerts.exec.timeout: \"1h\" is above the most, 5m\n"},
    };
    play_table(refusals, COUNT_OF(refusals));
}

static void url_that_may_hold_a_secret_is_not_repeated(void **state)
{
    (void)state;
    const struct refusal refusals[] = {
        {PLAY_LISTEN PLAY_SERVICE "alerts: [{webhook: {url: \"https://u:s3cret@a/\"}}]\n",
         ":3:26: alerts.webhook.url: has a user or password: it would be a secret in this file\n"},
        {PLAY_LISTEN PLAY_SERVICE "alerts: [{webhook: {url: \"ftp://a/s3cret\"}}]\n",
         ":3:26: alerts.webhook.url: is not a URL as in https://hooks.example.com/path\n"},
        {PLAY_LISTEN PLAY_SERVICE "alerts: [{webhook: {url: \"https://a:99999/s3cret\"}}]\n",
         ":3:26: alerts.webhook.url: has a port that is not a number from 1 to 65535\n"},
        {PLAY_LISTEN PLAY_SERVICE "alerts: [{webhook: {url: \"https://a/s3cret#x\"}}]\n",
         ":3:26: alerts.webhook.url: may hold only what stands in a URL, percent-encoded and "
         "without '#'\n"},
        {PLAY_LISTEN PLAY_SERVICE "alerts: [{slack: {url_env: \"https://a/s3cret\"}}]\n",
         ":3:28: alerts.slack.url_env: may hold only letters, digits and '_'\n"},
    };
    play_table(refusals, COUNT_OF(refusals));
}

static void the_edge_is_told_what_contradicts_itself(void **state)
{
    (void)state;
    const struct refusal refusals[] = {
        {"listen: [{address: 127.0.0.1:1, proxy_protocol: true}]\n" PLAY_SERVICE,
         ":1:20: listen.proxy_protocol: needs `trusted_proxies`: who may send it (127.0.0.1:1)\n"},
        {"listen: [{address: 127.0.0.1:1, tls: [{certificate: a, key: b}], redirect_https: "
         "on}]\n" PLAY_SERVICE,
         ":1:20: listen.redirect_https: 127.0.0.1:1 speaks HTTPS already\n"},
        {"listen: [{address: 127.0.0.1:1, redirect_https: {port: 0}}]\n" PLAY_SERVICE,
         ":1:56: listen.redirect_https.port: \"0\" is below the least, 1\n"},
        {PLAY_LISTEN PLAY_SERVICE "acme: {}\n", ":3:7: acme: \"webroot\" is missing\n"},
        {PLAY_LISTEN PLAY_SERVICE "error_pages: [{statuses: [200-404], file: x}]\n",
         ":3:15: error_pages.statuses: 200 is no error: 400 to 599 are\n"},
        {PLAY_BOTH("  affinity: {by: header}\n"),
         ":6:13: services.affinity: `by: header` needs \"name\"\n"},
        {PLAY_BOTH("  affinity: {name: X-A}\n"),
         ":6:13: services.affinity.name: belongs to `by: header`\n"},
        {PLAY_BOTH("  circuit: {requests: 0}\n"),
         ":6:23: services.circuit.requests: \"0\" is below the least, 1\n"},
        {PLAY_BOTH("  rate_limit: {requests: 0}\n"),
         ":6:26: services.rate_limit.requests: \"0\" is below the least, 1\n"},
        {PLAY_BOTH("  rate_limit: {per: 1s}\n"),
         ":6:15: services.rate_limit: \"requests\" is missing\n"},
        {PLAY_BOTH("  hsts: {preload: on}\n"),
         ":6:9: services.hsts.preload: needs include_subdomains and a max_age of at least 365d\n"},
        {PLAY_BOTH("  hsts: {preload: on, include_subdomains: on, max_age: 30d}\n"),
         ":6:9: services.hsts.preload: needs include_subdomains and a max_age of at least 365d\n"},
        {PLAY_LISTEN "services: [{name: a, previous: {url: http://x, proxy_protocol: v3}}]\n",
         ":2:64: services.previous.proxy_protocol: \"v3\" is none of none, v1 or v2\n"},
    };
    play_table(refusals, COUNT_OF(refusals));
}

static void features_not_built_yet_say_so(void **state)
{
    (void)state;
    const struct refusal refusals[] = {
        {PLAY_LISTEN PLAY_SERVICE "fleet: {}\n", ":3:1: fleet: is not built yet: leave it out\n"},
        {PLAY_LISTEN PLAY_SERVICE "incidents: {keep: 0, failures: 5000, redact: ['a b']}\n",
         ":3:19: incidents.keep: \"0\" is below the least, 1\n"
         ":3:32: incidents.failures: \"5000\" is above the most, 1000\n"
         ":3:47: incidents.redact: \"a b\" may hold only what RFC 9110 calls a token\n"},
    };
    play_table(refusals, COUNT_OF(refusals));
}

static void client_certificates_need_tls_and_an_authority(void **state)
{
    (void)state;
    const struct refusal refusals[] = {
        {"listen: [{address: 127.0.0.1:1, client_certificates: optional}]\n" PLAY_SERVICE,
         ":1:20: listen.client_certificates: needs `tls` on 127.0.0.1:1\n"},
        {"listen: [{address: 127.0.0.1:1, client_certificates: required, "
         "tls: [{certificate: a, key: b}]}]\n" PLAY_SERVICE,
         ":1:20: listen: `client_ca` and `client_certificates` go together (127.0.0.1:1)\n"},
        {"listen: [{address: 127.0.0.1:1, tls: [{certificate: a}]}]\n" PLAY_SERVICE,
         ":1:39: listen.tls: \"key\" is missing\n"},
    };
    play_table(refusals, COUNT_OF(refusals));
}

static void admin_tls_is_as_strict_as_a_listeners(void **state)
{
    (void)state;
    const struct refusal refusals[] = {
        {PLAY_LISTEN PLAY_SERVICE "admin: {client_certificates: optional}\n",
         ":3:8: admin.client_certificates: needs `tls` on 127.0.0.1:9901\n"},
        {PLAY_LISTEN PLAY_SERVICE "admin: {client_ca: ca.pem, tls: [{certificate: a, key: b}]}\n",
         ":3:8: admin: `client_ca` and `client_certificates` go together (127.0.0.1:9901)\n"},
        {PLAY_LISTEN PLAY_SERVICE "admin: {tls: [{certificate: a}]}\n",
         ":3:15: admin.tls: \"key\" is missing\n"},
        {PLAY_LISTEN PLAY_SERVICE "admin: {tls: {certificate: a, key: b}}\n",
         ":3:14: admin.tls: must be a list of mapping values\n"},
        {PLAY_LISTEN PLAY_SERVICE
         "admin: {address: 'unix:/run/s', tls: [{certificate: a, key: b}]}\n",
         ":3:18: admin.tls: unix:/run/s stays on this machine and needs none\n"},
        {PLAY_LISTEN PLAY_SERVICE
         "admin: {address: '0.0.0.0:9901', tls: [{certificate: a, key: b}]}\n",
         ":3:18: admin.address: 0.0.0.0:9901 can be reached from other machines, so admin.tokens "
         "are required\n"},
    };
    play_table(refusals, COUNT_OF(refusals));
}

static void numbers_need_their_unit_and_bounds(void **state)
{
    (void)state;
    const struct {
        const char *key;
        const char *value;
        const char *said;
    } cases[] = {
        {"timeouts.connect", "5", "has no unit: write it with ms, s, m, h or d, as in 10s"},
        {"timeouts.connect", "5sec",
         "has an unknown unit: write it with ms, s, m, h or d, as in 10s"},
        {"timeouts.connect", "-5s", "is not a number: write it with ms, s, m, h or d, as in 10s"},
        {"timeouts.connect", "1.s", "is not a number: write it with ms, s, m, h or d, as in 10s"},
        {"timeouts.connect", "none", "is not a number: write it with ms, s, m, h or d, as in 10s"},
        {"timeouts.connect", "1e3s",
         "has an unknown unit: write it with ms, s, m, h or d, as in 10s"},
        {"timeouts.connect", "9ms", "is below the least, 10ms"},
        {"timeouts.connect", "6m", "is above the most, 5m"},
        {"timeouts.connect", "99999999999999999999d", "is far too large"},
        {"timeouts.connect", "213503983d", "is far too large"},
        {"timeouts.connect", "10.0001ms",
         "is finer than can be kept: write it with ms, s, m, h or d, as in 10s"},
        {"timeouts.drain", "2d", "is above the most, 1d"},
        {"limits.header_size", "8KB",
         "has an unknown unit: write it with B, KiB, MiB or GiB, as in 8KiB"},
        {"limits.header_size", "8192", "has no unit: write it with B, KiB, MiB or GiB, as in 8KiB"},
        {"limits.header_size", "2MiB", "is above the most, 128KiB"},
        {"limits.headers", "100s", "has an unknown unit: write a plain whole number"},
        {"limits.headers", "1.5", "is finer than can be kept: write a plain whole number"},
        {"limits.headers", "many", "is not a number: write a plain whole number"},
        {"limits.headers", "none", "is not a number: write a plain whole number"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[512];
        char said[512];
        const char *dot = strchr(cases[i].key, '.');
        int section_size = (int)(dot - cases[i].key);
        (void)snprintf(text, sizeof text, PLAY_LISTEN PLAY_SERVICE "%.*s:\n  %s: %s\n",
                       section_size, cases[i].key, dot + 1, cases[i].value);
        (void)snprintf(said, sizeof said, ":4:%zu: %s: \"%s\" %s\n", strlen(dot + 1) + 5,
                       cases[i].key, cases[i].value, cases[i].said);
        play_refuse(text, said);
    }
}

static void failures_are_statuses_from_300_on_and_paths(void **state)
{
    (void)state;
    const struct refusal refusals[] = {
        {PLAY_BOTH("  platform: {}\n"),
         ":6:13: services.platform: is exactly one of pages, workers and exec\n"},
        {PLAY_BOTH("  platform: {pages: {project: Shop, account: 12, token_env: A, token_file: b, "
                   "api_base: \"http://api.test\"}}\n"),
         ":6:13: services.platform.pages.project: has lower-case letters, digits and '-'\n"
         ":6:13: services.platform.pages.account: is 32 hexadecimal digits\n"
         ":6:13: services.platform.pages: takes \"token_env\" or \"token_file\", not both\n"
         ":6:13: services.platform.pages.api_base: sends the token, so it must be https, or http "
         "on "
         "loopback\n"},
        {PLAY_BOTH("  platform: {workers: {script: a/b}}\n"),
         ":6:13: services.platform.workers.script: has letters, digits, '-' and '_'\n"},
        {PLAY_LISTEN
         "services: [{name: a, previous: {url: http://127.0.0.1:3001}, platform: {pages: "
         "{project: shop}}}]\n",
         ":2:72: services.platform: previous and current need \"deployment\": the platform's own "
         "name for them\n"},
        {PLAY_BOTH("  failures: {status: [5xx, 200-299]}\n"),
         ":6:13: services.failures.status: 200 is no failure: nothing below 300 is\n"},
        {PLAY_BOTH("  failures: {status: [6xx]}\n"),
         ":6:23: services.failures.status: \"6xx\" is not a status from 100 to 599, a range of "
         "them "
         "as in 200-399, or a class as in 5xx\n"},
        {PLAY_BOTH("  failures: {status: [5xy]}\n"),
         ":6:23: services.failures.status: \"5xy\" is not a status from 100 to 599, a range of "
         "them "
         "as in 200-399, or a class as in 5xx\n"},
        {PLAY_BOTH("  failures: {status: [4xx], not_found: 10%}\n"),
         ":6:13: services.failures.not_found: 404 is a failure by `status` already\n"},
        {PLAY_BOTH("  failures: {not_found: 100%}\n"),
         ":6:25: services.failures.not_found: \"100%\" is above the most, 90%\n"},
        {PLAY_BOTH("  failures: {grpc_status: [17]}\n"),
         ":6:28: services.failures.grpc_status: \"17\" is none of cancelled, unknown, "
         "invalid_argument, deadline_exceeded, not_found, already_exists, permission_denied, "
         "resource_exhausted, failed_precondition, aborted, out_of_range, unimplemented, internal, "
         "unavailable, data_loss, unauthenticated, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, "
         "15 or 16\n"},
        {PLAY_BOTH("  failures: {exclude_paths: [healthz]}\n"),
         ":6:30: services.failures.exclude_paths: \"healthz\" does not begin with '/'\n"},
    };
    play_table(refusals, COUNT_OF(refusals));
}

static void values_have_their_form(void **state)
{
    (void)state;
    const struct refusal refusals[] = {
        {PLAY_BOTH("  weight: 10\n"),
         ":6:11: services.weight: \"10\" has no unit: write it as percent, as in 5%\n"},
        {PLAY_BOTH("  weight: 100.1%\n"),
         ":6:11: services.weight: \"100.1%\" is above the most, 100%\n"},
        {PLAY_BOTH("  weight: 0.00001%\n"), ":6:11: services.weight: \"0.00001%\" is finer than "
                                            "can be kept: write it as percent, as in 5%\n"},
        {PLAY_BOTH("  weight:\n"),
         ":6:10: services.weight: \"\" is not a number: write it as percent, as in 5%\n"},
        {PLAY_BOTH("  opt_in: maybe\n"),
         ":6:11: services.opt_in: \"maybe\" is none of off, trusted or on\n"},
        {PLAY_BOTH("  host: off\n"),
         ":6:9: services.host: \"off\" is none of auto, keep or origin\n"},
        {PLAY_BOTH("  rollback: {latency: 5}\n"),
         ":6:23: services.rollback.latency: \"5\" is neither on nor off\n"},
        {PLAY_BOTH("  sticky: {by: header, name: 'X Y'}\n"),
         ":6:11: services.sticky: by header needs the name of the field\n"
         ":6:30: services.sticky.name: \"X Y\" may hold only what RFC 9110 calls a token\n"},
        {PLAY_BOTH("  hosts: [a_b.example, 'exam ple', 'a..b', '*', '*.*', 1.2.3, '::1', 'x:80', "
                   "'-a']\n"),
         ":6:24: services.hosts: \"exam ple\" is not a host name or address (without a port)\n"
         ":6:36: services.hosts: \"a..b\" is not a host name or address (without a port)\n"
         ":6:49: services.hosts: \"*.*\" is not a host name or address (without a port)\n"
         ":6:56: services.hosts: \"1.2.3\" ends like an IPv4 address and is none\n"
         ":6:63: services.hosts: \"::1\" needs brackets around IPv6\n"
         ":6:70: services.hosts: \"x:80\" is not a host name or address (without a port)\n"
         ":6:78: services.hosts: \"-a\" is not a host name or address (without a port)\n"},
        {PLAY_BOTH("  paths: [api, '/a?b', '/a b', '/ok/%20']\n"),
         ":6:11: services.paths: \"api\" does not begin with '/'\n"
         ":6:16: services.paths: \"/a?b\" may hold only what stands in the path of a URL, "
         "percent-encoded and without "
         "'?' or '#'\n"
         ":6:24: services.paths: \"/a b\" may hold only what stands in the path of a URL, "
         "percent-encoded and without "
         "'?' or '#'\n"},
        {PLAY_BOTH("  health: {status: [200-399, 99, 300-200, 200-, ok]}\n"),
         ":6:30: services.health.status: \"99\" is not a status from 100 to 599, a range of them "
         "as in 200-399, or a class as in 5xx\n"
         ":6:34: services.health.status: \"300-200\" is not a status from 100 to 599, a range of "
         "them "
         "as in 200-399, or a class as in 5xx\n"
         ":6:43: services.health.status: \"200-\" is not a status from 100 to 599, a range of them "
         "as in 200-399, or a class as in 5xx\n"
         ":6:49: services.health.status: \"ok\" is not a status from 100 to 599, a range of them "
         "as in 200-399, or a class as in 5xx\n"},
        {PLAY_LISTEN PLAY_SERVICE "trusted_proxies: [10.0.0.1/8, 10.0.0.0/33, all]\n",
         ":3:19: trusted_proxies: \"10.0.0.1/8\" is not an address or a range as in 10.0.0.0/8 "
         "(bits behind the length "
         "must be 0)\n"
         ":3:31: trusted_proxies: \"10.0.0.0/33\" is not an address or a range as in 10.0.0.0/8 "
         "(bits behind the length "
         "must be 0)\n"
         ":3:44: trusted_proxies: \"all\" is not an address or a range as in 10.0.0.0/8 (bits "
         "behind the length "
         "must be 0)\n"},
        {PLAY_LISTEN PLAY_SERVICE "state: \"a\\tb\"\n", ":3:8: state: holds a control character\n"},
        {PLAY_LISTEN PLAY_SERVICE "state: \"a\\0b\"\n", ":3:8: state: holds a control character\n"},
        {PLAY_LISTEN PLAY_SERVICE "state: ''\n", ":3:8: state: \"\" is empty\n"},
    };
    play_table(refusals, COUNT_OF(refusals));
}

static void addresses_have_their_form(void **state)
{
    (void)state;
    const char *const listens[] = {
        "8080",  ":8080",          "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:80",
        "[::1]", "example.com:80", "unix:/x",   "127.0.0.1:",  "127.1:80",        "[1.2.3.4]:80"};
    for (size_t i = 0; i < COUNT_OF(listens); i++) {
        char text[256];
        char said[256];
        (void)snprintf(text, sizeof text, "listen: [{address: \"%s\"}]\n" PLAY_SERVICE, listens[i]);
        (void)snprintf(said, sizeof said,
                       ":1:20: listen.address: \"%s\" is not an address and port as in "
                       "0.0.0.0:8080 or [::]:8080\n",
                       listens[i]);
        play_refuse(text, said);
    }
    const struct refusal urls[] = {
        {"127.0.0.1:80", "is not a URL as in http://127.0.0.1:3000"},
        {"ftp://x", "is not a URL as in http://127.0.0.1:3000"},
        {"http://", "is not a host name or address (without a port)"},
        {"http://x/path", "has a path, and requests keep their own: leave it out"},
        {"http://x:0", "has a port that is not a number from 1 to 65535"},
        {"http://x:99999", "has a port that is not a number from 1 to 65535"},
        {"http://::1", "is not a host name or address (without a port)"},
        {"http://x?y", "is not a host name or address (without a port)"},
        {"http://0x7f000001", "ends like an IPv4 address and is none"},
    };
    for (size_t i = 0; i < COUNT_OF(urls); i++) {
        char text[256];
        char said[256];
        (void)snprintf(text, sizeof text,
                       PLAY_LISTEN "services: [{name: a, previous: {url: \"%s\"}}]\n",
                       urls[i].text);
        (void)snprintf(said, sizeof said, ":2:38: services.previous.url: \"%s\" %s\n", urls[i].text,
                       urls[i].said);
        play_refuse(text, said);
    }
}

static void what_may_be_a_secret_is_not_shown(void **state)
{
    (void)state;
    const struct refusal refusals[] = {
        {PLAY_LISTEN PLAY_SERVICE
         "admin: {tokens: [{name: a, env: 'hunter2!'}, {name: b, token: hunter2}]}\n",
         ":3:33: admin.tokens.env: may hold only letters, digits and '_'\n"
         ":3:46: admin.tokens: needs exactly one of \"file\" and \"env\"\n"
         ":3:56: admin.tokens: unknown key \"token\"\n"},
        {PLAY_LISTEN "services: [{name: a, previous: {url: 'http://me:hunter2@x'}}]\n",
         ":2:38: services.previous.url: has a user or password, which are not sent\n"},
    };
    play_table(refusals, COUNT_OF(refusals));
}

static void fields_are_held_against_each_other(void **state)
{
    (void)state;
    const struct refusal refusals[] = {
        {PLAY_BOTH("  cache: {max_object: 2MiB, size: 1MiB}\n"),
         ":6:10: services.cache.max_object: is larger than size\n"},
        {"listen: [{address: 127.0.0.1:1}, {address: 'localhost:1'}]\n" PLAY_SERVICE,
         ":1:44: listen.address: 127.0.0.1:1 is listened on already (line 1)\n"},
        {"listen: [{address: '*:9901'}]\n" PLAY_SERVICE,
         ":1:20: admin.address: 127.0.0.1:9901 is where clients are listened for (line 1)\n"},
        {PLAY_LISTEN PLAY_SERVICE "admin: {address: 0.0.0.0:9901}\n",
         ":3:18: admin.address: 0.0.0.0:9901 can be reached from other machines, so admin.tokens "
         "are required\n"},
        {PLAY_LISTEN PLAY_SERVICE "admin: {tokens: [{name: a, env: A}, {name: a, env: B}]}\n",
         ":3:37: admin.tokens.name: \"a\" is the name of another token (line 3)\n"},
        {PLAY_LISTEN PLAY_SERVICE "admin: {tokens: [{name: a, env: A, file: b}]}\n",
         ":3:18: admin.tokens: needs exactly one of \"file\" and \"env\"\n"},
        {PLAY_LISTEN PLAY_SERVICE "limits: {header_size: 1KiB}\n",
         ": limits.header_line: is larger than limits.header_size\n"},
        {PLAY_LISTEN PLAY_SERVICE "limits: {header_line: 64KiB}\n",
         ":3:23: limits.header_line: is larger than limits.header_size\n"},
        {PLAY_LISTEN "services:\n- {name: a, previous: {url: http://x}}\n- {name: a, hosts: [a], "
                     "previous: {url: http://x}}\n",
         ":4:3: services.name: \"a\" is the name of another service (line 3)\n"},
        {PLAY_LISTEN "services:\n- {name: a, previous: {url: http://x}}\n- {name: b, hosts: [x, "
                     "'*'], previous: {url: http://x}}\n",
         ":4:20: services: host \"*\" with path \"/\" is served by \"a\" already (line 3)\n"},
        {PLAY_LISTEN
         "services:\n- {name: a, hosts: [A.b, a.B], paths: [/, /x], previous: {url: http://x}}\n",
         ":3:20: services: host \"a.b\" with path \"/\" is there twice\n"
         ":3:20: services: host \"a.b\" with path \"/x\" is there twice\n"},
        {PLAY_LISTEN "services: [{name: a, paths: [/x, /x/], previous: {url: http://x}}]\n",
         ":2:12: services: host \"*\" with path \"/x/\" is there twice\n"},
        {PLAY_LISTEN "services: [{name: a, weight: 1%, previous: {url: http://x}}]\n",
         ":2:30: services.weight: needs services.current, whose share it is\n"},
        {PLAY_LISTEN "services: [{name: a, previous: {url: http://x}, current: {url: http://x}}]\n",
         ":2:58: services.current: has the endpoints of previous: name each deployment\n"},
        {PLAY_LISTEN "services: [{name: a, previous: {deployment: d, url: http://x}, current: "
                     "{deployment: d, url: http://y}}]\n",
         ":2:73: services.current.deployment: \"d\" is the name of previous too\n"},
        {PLAY_LISTEN "services: [{name: a, previous: {endpoints: [http://x, http://X:80]}}]\n",
         ":2:55: services.previous.endpoints: http://x is there twice\n"},
        {PLAY_LISTEN "services: [{name: a, previous: {endpoints: [http://x, https://x]}}]\n",
         ":2:55: services.previous.endpoints: https://x is there twice\n"},
        {PLAY_LISTEN "services: [{name: a, host: keep, previous: {url: https://a.b.pages.dev}}]\n",
         ":2:28: services.host: a.b.pages.dev answers to its own Host alone: leave `host` out\n"},
        {PLAY_LISTEN
         "services: [{name: a, previous: {url: https://a.b.pages.dev}, origin_tls: {name: "
         "x}}]\n",
         ":2:74: services.origin_tls.name: a.b.pages.dev answers to its own name alone\n"},
        {PLAY_LISTEN "services: [{name: a, previous: {url: https://x}, origin_tls: {ca: a.pem, "
                     "verify: off}}]\n",
         ":2:62: services.origin_tls: `ca` is not looked at with `verify: off`\n"},
        {PLAY_LISTEN "services: [{name: a, previous: {deployment: d}, current: {url: http://y, "
                     "endpoints: []}}]\n",
         ":2:32: services.previous: needs exactly one of \"url\" and \"endpoints\"\n"
         ":2:58: services.current: needs exactly one of \"url\" and \"endpoints\"\n"
         ":2:85: services.current.endpoints: has 0 values and may have from 1 to 64\n"},
        {PLAY_LISTEN "services: [{name: a, previous: {url: 'http://localhost:8080'}}]\n",
         ":2:38: services.previous: http://localhost:8080 is where this proxy itself listens (line "
         "1)\n"},
        {PLAY_LISTEN "services: [{name: a, previous: {url: 'http://127.0.0.1:9901'}}]\n",
         ":2:38: services.previous: http://127.0.0.1:9901 is the admin address, which clients are "
         "not to reach\n"},
        {PLAY_BOTH("  sticky: {by: header}\n"),
         ":6:11: services.sticky: by header needs the name of the field\n"},
        {PLAY_BOTH("  sticky: {name: X-User}\n"),
         ":6:11: services.sticky.name: is only for by: header\n"},
        {PLAY_BOTH("  health: {timeout: 3s}\n"),
         ":6:11: services.health.timeout: is longer than the interval\n"},
        {PLAY_BOTH("  drill: {every: 1h, at: 1h}\n"),
         ":6:10: services.drill.at: is not shorter than every\n"},
        {PLAY_BOTH("  rollback: {verify: {timeout: 20s, within: 10s}}\n"),
         ":6:22: services.rollback.verify.timeout: is longer than within\n"},
        {PLAY_BOTH("  rollback: {verify: {checks: 0}}\n"),
         ":6:31: services.rollback.verify.checks: \"0\" is below the least, 1\n"},
        {PLAY_BOTH("  drill: {every: 5s}\n"),
         ":6:18: services.drill.every: \"5s\" is below the least, 10s\n"},
        {PLAY_BOTH("  rto_target: 2d\n"),
         ":6:15: services.rto_target: \"2d\" is above the most, 1d\n"},
        {PLAY_BOTH("  rollback: {move: {deadline: 2s}}\n"),
         ":6:20: services.rollback.move.jitter: is longer than the deadline\n"},
        {PLAY_BOTH("  rollout: {steps: [5%, 5%, 100%]}\n"),
         ":6:20: services.rollout.steps: each weight must be larger than the one before\n"},
        {PLAY_BOTH("  rollout: {steps: [5%, 50%]}\n"),
         ":6:20: services.rollout.steps: the last step must be 100%\n"},
        {PLAY_BOTH("  rollout: {steps: [5%, 100%, pause]}\n"),
         ":6:20: services.rollout.steps: the last step must be 100%\n"},
        {PLAY_BOTH("  rollout: {steps: [pause, 100%]}\n"),
         ":6:20: services.rollout.steps: a pause stands between two weights\n"},
        {PLAY_BOTH("  rollout: {steps: [5%, pause, pause, 100%]}\n"),
         ":6:20: services.rollout.steps: a pause stands between two weights\n"},
        {PLAY_BOTH("  rollout: {steps: [0%, 100%]}\n"),
         ":6:21: services.rollout.steps: \"0%\" is below the least, 0.0001%\n"},
        {PLAY_BOTH("  rollout: {steps: [1%, soon]}\n"),
         ":6:25: services.rollout.steps: \"soon\" is neither a rate as in 5% nor "
         "the word pause\n"},
        {PLAY_BOTH("  rollout: {min_time: 2h, max_time: 1h}\n"),
         ":6:12: services.rollout.max_time: is shorter than min_time\n"},
        {PLAY_BOTH("  rollback: {shift: [50%, 50%, 0%]}\n"),
         ":6:21: services.rollback.shift: each step must be smaller than the one before\n"},
        {PLAY_BOTH("  rollback: {shift: [50%, 10%]}\n"),
         ":6:21: services.rollback.shift: the last step must be 0%\n"},
        {PLAY_BOTH("  observe: [{name: a}, {name: rollback}, {name: a}, {error_rate: 0%}]\n"),
         ":6:24: services.observe.name: \"rollback\" is what the service's own policy is called\n"
         ":6:42: services.observe.name: \"a\" is the name of another policy (line 6)\n"
         ":6:53: services.observe: \"name\" is missing\n"
         ":6:66: services.observe.error_rate: \"0%\" is below the least, 0.01%\n"},
        {PLAY_BOTH("  rollback: {shift: [100%, 0%]}\n"),
         ":6:22: services.rollback.shift: \"100%\" is above the most, 99.9999%\n"},
    };
    play_table(refusals, COUNT_OF(refusals));
}

static void every_error_is_told_at_once_in_the_order_of_the_file(void **state)
{
    (void)state;
    play_refuse("workers: 1000\n"
                "listen: [{address: nowhere}, {address: 127.0.0.1:9901}]\n"
                "zebra: 1\n"
                "services:\n"
                "- name: 'a b'\n"
                "  previous: {url: http://x}\n"
                "  weight: 5%\n"
                "  rollback: {every: 0s, shift: [10%]}\n",
                ":1:10: workers: \"1000\" is above the most, 256\n"
                ":2:20: listen.address: \"nowhere\" is not an address and port as in 0.0.0.0:8080 "
                "or [::]:8080\n"
                ":2:40: admin.address: 127.0.0.1:9901 is where clients are listened for (line 2)\n"
                ":3:1: unknown key \"zebra\"\n"
                ":5:9: services.name: \"a b\" may hold only letters, digits, '.', '_' and '-'\n"
                ":7:11: services.weight: needs services.current, whose share it is\n"
                ":8:21: services.rollback.every: \"0s\" is below the least, 100ms\n"
                ":8:32: services.rollback.shift: the last step must be 0%\n");
}

static void what_is_not_yaml_is_told_with_its_place(void **state)
{
    (void)state;
    const struct refusal refusals[] = {
        {"", ": the file is empty\n"},
        {"# nothing\n", ": the file is empty\n"},
        {"- a\n", ":1:1: must be a mapping of keys to values\n"},
        {PLAY_LISTEN PLAY_SERVICE "---\nworkers: 2\n",
         ":3:1: a second YAML document: there may be only one\n"},
        {PLAY_LISTEN "services:\n\t- a\n", ":3:1: not YAML: a tab; indent with spaces\n"},
        {PLAY_LISTEN "workers: [1\n",
         ":3:1: not YAML: a comma or ] is missing before this (from line 2 on)\n"},
        {PLAY_LISTEN "timeouts: {total: 1s]\n",
         ":2:21: not YAML: a comma or } is missing before this\n"},
        {PLAY_LISTEN "workers: *missing\n",
         ":2:10: not YAML: a value that begins with * needs quotes, as in \"*:8080\"\n"},
        {PLAY_LISTEN "state: &\n", ":2:8: not YAML: a value that begins with & needs quotes\n"},
        {"listen: [{address: *:80}]\n",
         ":1:20: not YAML: a value that begins with * needs quotes, as in \"*:8080\"\n"},
        {PLAY_LISTEN "workers: %10\n",
         ":2:10: not YAML: a value that begins with % needs quotes\n"},
        {PLAY_LISTEN "services:\n  - name: ä\n    hosts: @x\n",
         ":4:12: not YAML: a value that begins with @ needs quotes\n"},
        {PLAY_LISTEN "services:\n  - name: a\n - name: b\n",
         ":4:2: not YAML: this line begins in another column than the keys that it belongs to "
         "(from line 1 on)\n"},
        {PLAY_LISTEN "services:\n  - name: a\n   weight: 10%\n",
         ":4:4: not YAML: this line begins in another column than the entries that it belongs to "
         "(from line 3 on)\n"},
        {PLAY_LISTEN "state: a\n  workers: 1\n",
         ":3:10: not YAML: no key can stand here: is the line indented too deep, a space missing "
         "after the colon before, or a value with a colon in it not quoted?\n"},
        {PLAY_LISTEN "workers 1\nstate: a\n",
         ":2:1: not YAML: this is no key: a colon and a space are missing after it\n"},
        {PLAY_LISTEN "state: \"a\nworkers: 1\n",
         ":2:8: not YAML: the quote that begins here is never closed\n"},
        {PLAY_LISTEN "state: \"\\d\"\n",
         ":2:9: not YAML: found unknown escape character while parsing a quoted scalar\n"},
        {PLAY_LISTEN "workers: \xff\n", ":2:10: not YAML: invalid leading UTF-8 octet\n"},
    };
    play_table(refusals, COUNT_OF(refusals));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_known_or_refused),
        cmocka_unit_test(channel_of_alerts_is_exactly_one_thing),
        cmocka_unit_test(url_that_may_hold_a_secret_is_not_repeated),
        cmocka_unit_test(the_edge_is_told_what_contradicts_itself),
        cmocka_unit_test(features_not_built_yet_say_so),
        cmocka_unit_test(client_certificates_need_tls_and_an_authority),
        cmocka_unit_test(admin_tls_is_as_strict_as_a_listeners),
        cmocka_unit_test(numbers_need_their_unit_and_bounds),
        cmocka_unit_test(failures_are_statuses_from_300_on_and_paths),
        cmocka_unit_test(values_have_their_form),
        cmocka_unit_test(addresses_have_their_form),
        cmocka_unit_test(what_may_be_a_secret_is_not_shown),
        cmocka_unit_test(fields_are_held_against_each_other),
        cmocka_unit_test(every_error_is_told_at_once_in_the_order_of_the_file),
        cmocka_unit_test(what_is_not_yaml_is_told_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

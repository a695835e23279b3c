/* tests/unit/conf/test_conf_load.c — what a good file becomes. */
#include "tests/unit/conf/conf_play.h"

static void least_file_gets_the_documented_defaults(void **state)
{
    (void)state;
    struct conf *conf = play_load(PLAY_LISTEN PLAY_SERVICE);

    assert_int_equal(conf->workers, 0);
    assert_true(conf_worker_count(conf) >= 1);
    assert_string_equal(conf->admin.address.text, "127.0.0.1:9901");
    assert_true(conf_address_is_local(&conf->admin.address));
    assert_int_equal(conf->admin.host_count, 0);
    assert_string_equal(conf->state, "serin.db");
    assert_true(conf->access_log.is_on);
    assert_string_equal(conf->access_log.path, "-");
    assert_int_equal(conf->access_log.format, CONF_LOG_JSON);
    assert_int_equal(conf->timeouts.client_header_us, 10000000);
    assert_int_equal(conf->timeouts.connect_us, 2000000);
    assert_int_equal(conf->timeouts.total_us, 0);
    assert_int_equal(conf->timeouts.drain_delay_us, 0);
    assert_int_equal(conf->limits.header_size, 32 * 1024);
    assert_int_equal(conf->limits.headers, 100);
    assert_int_equal(conf->limits.body, 0);
    assert_int_equal(conf->limits.client_connections, 0);
    assert_int_equal(conf->limits.upstream_connections, 1024);
    assert_int_equal(conf->resolve_us, 30000000);
    assert_int_equal(conf->trusted_proxy_count, 0);
    conf_destroy(conf);
}

static void service_gets_the_documented_defaults(void **state)
{
    (void)state;
    struct conf *conf = play_load(PLAY_LISTEN PLAY_SERVICE);
    const struct conf_service *service = conf_service_find(conf, BYTES("a"));

    assert_non_null(service);
    assert_null(conf_service_find(conf, BYTES("b")));
    assert_int_equal(service->host_count, 1);
    assert_string_equal(service->hosts[0], "*");
    assert_int_equal(service->path_count, 1);
    assert_string_equal(service->paths[0], "/");
    assert_false(service->has_current);
    assert_false(service->has_weight);
    assert_int_equal(service->sticky.by, CONF_STICKY_COOKIE);
    assert_int_equal(service->opt_in, CONF_OPT_IN_ON);
    assert_int_equal(service->host, CONF_HOST_AUTO);
    assert_int_equal(service->forwarded, CONF_FORWARDED_X);
    assert_true(service->outlier.is_on);
    assert_int_equal(service->outlier.consecutive, 5);
    assert_int_equal(service->outlier.max_ejected_ppm, 500000);
    assert_false(service->health.is_on);
    const struct conf_rollback *rollback = &service->rollback;
    assert_int_equal(rollback->error_rate_ppm, 50000);
    assert_int_equal(rollback->relative, CONF_RELATIVE_CONFIRM);
    assert_int_equal(rollback->false_alarm_ppm, 10000);
    assert_int_equal(rollback->on_breach, CONF_ON_BREACH_ROLLBACK);
    assert_true(rollback->is_latency_judged);
    const uint32_t shift_ppm[] = {500000, 250000, 100000, 0};
    assert_int_equal(rollback->shift_count, COUNT_OF(shift_ppm));
    assert_memory_equal(rollback->shift_ppm, shift_ppm, sizeof shift_ppm);
    assert_int_equal(rollback->every_us, 2000000);
    assert_int_equal(rollback->max_wait_us, 30000000);
    assert_int_equal(rollback->instant_above_ppm, 500000);
    const struct conf_rollout *rollout = &service->rollout;
    const uint32_t steps_ppm[] = {10000, 50000, 250000, 500000, 1000000};
    assert_true(rollout->is_on);
    assert_int_equal(rollout->step_count, COUNT_OF(steps_ppm));
    assert_memory_equal(rollout->steps_ppm, steps_ppm, sizeof steps_ppm);
    assert_int_equal(rollout->min_time_us, 60000000);
    assert_int_equal(rollout->max_time_us, 86400000000);
    assert_int_equal(rollout->bake_us, 600000000);
    assert_int_equal(rollout->after_bake, CONF_AFTER_BAKE_ALERT);
    conf_destroy(conf);
}

static void project_is_watched_when_asked_for(void **state)
{
    (void)state;
    struct conf *conf = play_load(PLAY_BOTH("  platform: {pages: {project: shop}}\n"));
    assert_false(conf->services[0].platform.pages.watch);
    conf_destroy(conf);
    conf = play_load(
        PLAY_BOTH("  platform: {pages: {project: shop, watch: true, watch_every: 1m}}\n"));
    assert_true(conf->services[0].platform.pages.watch);
    assert_int_equal(conf->services[0].platform.pages.watch_every_us, 60000000);
    conf_destroy(conf);
}

static void rollout_may_pause_between_steps_or_be_off(void **state)
{
    (void)state;
    struct conf *conf = play_load(
        PLAY_BOTH("  rollout: {steps: [1%, pause, 100%], bake: 0s, after_bake: rollback}\n"));
    const uint32_t steps_ppm[] = {10000, CONF_STEP_PAUSE, 1000000};
    const struct conf_rollout *rollout = &conf->services[0].rollout;
    assert_int_equal(rollout->step_count, COUNT_OF(steps_ppm));
    assert_memory_equal(rollout->steps_ppm, steps_ppm, sizeof steps_ppm);
    assert_int_equal(rollout->bake_us, 0);
    assert_int_equal(rollout->after_bake, CONF_AFTER_BAKE_ROLLBACK);
    conf_destroy(conf);
    conf = play_load(PLAY_BOTH("  rollout: off\n"));
    assert_false(conf->services[0].rollout.is_on);
    conf_destroy(conf);
}

static void observed_policy_is_the_own_one_but_for_what_it_says(void **state)
{
    (void)state;
    struct conf *conf = play_load(PLAY_BOTH(
        "  observe: [{name: strict, error_rate: 2%, relative: rollback},\n"
        "            {name: errors, latency: off, false_alarm: 5%, instant_above: 10%}]\n"
        "  rollback: {error_rate: 8%, relative: hold, false_alarm: 3%, instant_above: 70%}\n"));
    const struct conf_service *service = &conf->services[0];
    assert_int_equal(service->observe_count, 2);
    const struct conf_policy *strict = &service->observe[0];
    const struct conf_policy *errors = &service->observe[1];
    assert_string_equal(strict->name, "strict");
    assert_int_equal(strict->error_rate_ppm, 20000);
    assert_int_equal(strict->relative, CONF_RELATIVE_ROLLBACK);
    assert_true(strict->is_latency_judged);
    assert_int_equal(strict->false_alarm_ppm, 30000);
    assert_int_equal(strict->instant_above_ppm, 700000);
    assert_int_equal(errors->error_rate_ppm, 80000);
    assert_int_equal(errors->relative, CONF_RELATIVE_HOLD);
    assert_false(errors->is_latency_judged);
    assert_int_equal(errors->false_alarm_ppm, 50000);
    assert_int_equal(errors->instant_above_ppm, 100000);
    conf_destroy(conf);
}

static void endpoint_knows_its_authority(void **state)
{
    (void)state;
    const struct {
        const char *url;
        const char *host;
        unsigned port;
        bool is_ip;
        const char *authority;
    } cases[] = {
        {"http://127.0.0.1:3001", "127.0.0.1", 3001, true, "127.0.0.1:3001"},
        {"http://127.0.0.1:3001/", "127.0.0.1", 3001, true, "127.0.0.1:3001"},
        {"HTTP://Origin.Example", "origin.example", 80, false, "origin.example"},
        {"http://origin:80", "origin", 80, false, "origin"},
        {"http://my_app-1:8080", "my_app-1", 8080, false, "my_app-1:8080"},
        {"http://[2001:DB8::1]", "2001:db8::1", 80, true, "[2001:db8::1]"},
        {"http://[::1]:65535", "::1", 65535, true, "[::1]:65535"},
        {"http://1.example", "1.example", 80, false, "1.example"},
        {"https://a.example", "a.example", 443, false, "a.example"},
        {"HTTPS://a.example:443/", "a.example", 443, false, "a.example"},
        {"https://a.example:80", "a.example", 80, false, "a.example:80"},
        {"https://[::1]:8443", "::1", 8443, true, "[::1]:8443"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[256];
        (void)snprintf(text, sizeof text,
                       PLAY_LISTEN "services: [{name: a, previous: {url: \"%s\"}}]\n",
                       cases[i].url);
        struct conf *conf = play_load(text);
        assert_int_equal(conf->services[0].previous.endpoint_count, 1);
        const struct conf_endpoint *endpoint = conf->services[0].previous.endpoints;
        assert_string_equal(endpoint->host, cases[i].host);
        assert_int_equal(endpoint->port, cases[i].port);
        assert_int_equal(endpoint->is_ip, cases[i].is_ip);
        assert_string_equal(endpoint->authority, cases[i].authority);
        bool is_tls = endpoint->scheme == CONF_SCHEME_HTTPS;
        assert_int_equal(is_tls, (cases[i].url[4] | 0x20) == 's');
        assert_string_equal(endpoint->url + strlen(is_tls ? "https://" : "http://"),
                            cases[i].authority);
        conf_destroy(conf);
    }
}

static void address_is_ready_to_bind(void **state)
{
    (void)state;
    struct conf *conf =
        play_load("listen: [{address: '*:80'}, {address: '[::]:80'}, {address: localhost:81},\n"
                  "  {address: '[2001:db8::1]:82'}]\n"
                  "admin: {address: unix:run/admin.sock}\n" PLAY_SERVICE);
    assert_int_equal(conf->listener_count, 4);
    const struct conf_address *any = &conf->listeners[0].address;
    assert_int_equal(any->socket.any.sa_family, AF_INET);
    assert_int_equal(any->socket_size, sizeof(struct sockaddr_in));
    assert_int_equal(any->socket.v4.sin_addr.s_addr, 0);
    assert_int_equal(any->socket.v4.sin_port, htons(80));
    assert_int_equal(conf->listeners[1].address.socket.any.sa_family, AF_INET6);
    assert_int_equal(conf->listeners[1].address.socket_size, sizeof(struct sockaddr_in6));
    assert_true(conf_address_is_local(&conf->listeners[2].address));
    assert_false(conf_address_is_local(&conf->listeners[3].address));
    assert_string_equal(conf->listeners[3].address.text, "[2001:db8::1]:82");
    assert_int_equal(conf->admin.address.socket.any.sa_family, AF_UNIX);
    assert_string_equal(conf->admin.address.socket.local.sun_path, "run/admin.sock");
    assert_true(conf_address_is_local(&conf->admin.address));
    conf_destroy(conf);
}

static void words_of_yaml_1_1_mean_what_they_say(void **state)
{
    (void)state;
    const char *const offs[] = {"off",   "none", "false", "no",      "Off",
                                "FALSE", "~",    "null",  "\"off\"", ""};
    for (size_t i = 0; i < COUNT_OF(offs); i++) {
        char text[512];
        (void)snprintf(
            text, sizeof text,
            PLAY_BOTH("  opt_in: %s\n  outlier: %s\n  health: %s\n  sticky: %s\n"
                      "  rollback: {relative: %s, latency: %s}\n") "access_log: %s\ntimeouts: "
                                                                   "{total: %s}\n",
            offs[i], offs[i], offs[i], offs[i], offs[i], offs[i], offs[i], offs[i]);
        struct conf *conf = play_load(text);
        const struct conf_service *service = &conf->services[0];
        assert_int_equal(service->opt_in, CONF_OPT_IN_OFF);
        assert_false(service->outlier.is_on);
        assert_false(service->health.is_on);
        assert_int_equal(service->sticky.by, CONF_STICKY_NONE);
        assert_int_equal(service->rollback.relative, CONF_RELATIVE_OFF);
        assert_false(service->rollback.is_latency_judged);
        assert_false(conf->access_log.is_on);
        assert_int_equal(conf->timeouts.total_us, 0);
        conf_destroy(conf);
    }
    const char *const ons[] = {"on", "true", "yes", "On", "TRUE", "'on'"};
    for (size_t i = 0; i < COUNT_OF(ons); i++) {
        char text[512];
        (void)snprintf(text, sizeof text, PLAY_BOTH("  opt_in: %s\n  outlier: %s\n  health: %s\n"),
                       ons[i], ons[i], ons[i]);
        struct conf *conf = play_load(text);
        assert_int_equal(conf->services[0].opt_in, CONF_OPT_IN_ON);
        assert_true(conf->services[0].outlier.is_on);
        assert_true(conf->services[0].health.is_on);
        assert_string_equal(conf->services[0].health.path, "/");
        assert_true(conf_health_accepts(&conf->services[0].health, 200));
        assert_false(conf_health_accepts(&conf->services[0].health, 400));
        conf_destroy(conf);
    }
}

static void names_that_look_like_numbers_stay_text(void **state)
{
    (void)state;
    struct conf *conf = play_load(PLAY_LISTEN "services:\n- name: 007\n"
                                              "  previous: {deployment: 1e10, url: http://o}\n"
                                              "  current: {deployment: on, url: http://o}\n");
    assert_string_equal(conf->services[0].name, "007");
    assert_string_equal(conf->services[0].previous.deployment, "1e10");
    assert_string_equal(conf->services[0].current.deployment, "on");
    assert_true(conf->services[0].has_current);
    assert_false(conf->services[0].has_weight);
    assert_int_equal(conf->services[0].weight_ppm, 0);
    conf_destroy(conf);
}

static void unnamed_deployment_is_a_hash_of_its_endpoints(void **state)
{
    (void)state;
    struct conf *one = play_load(
        PLAY_LISTEN "services:\n- name: a\n  previous: {endpoints: [http://x, http://y:81]}\n"
                    "  current: {endpoints: [http://x]}\n");
    struct conf *two = play_load(
        PLAY_LISTEN "services:\n- name: b\n  previous: {endpoints: [http://Y:81/, http://x:80]}\n"
                    "  current: {url: http://y}\n");
    const struct conf_version *version = &one->services[0].previous;
    assert_true(version->is_deployment_derived);
    assert_int_equal(strlen(version->deployment), 15);
    assert_string_equal(version->deployment, two->services[0].previous.deployment);
    assert_string_not_equal(version->deployment, one->services[0].current.deployment);
    conf_destroy(one);
    conf_destroy(two);
}

static void relative_files_start_at_the_folder_of_the_file(void **state)
{
    (void)state;
    const char text[] =
        PLAY_LISTEN PLAY_SERVICE "state: data/serin.db\naccess_log: {path: /var/log/a}\n"
                                 "admin: {address: unix:s, tokens: [{name: x, role: operator, "
                                 "file: x.token}, {name: y, env: Y}]}\n";
    struct conf_errors errors;
    struct conf *conf = NULL;
    conf_errors_init(&errors);
    assert_int_equal(conf_load_memory("etc/serin/serin.yaml", bytes_of(text), &errors, &conf), OK);
    assert_string_equal(conf->file, "etc/serin/serin.yaml");
    assert_string_equal(conf->state, "etc/serin/data/serin.db");
    assert_string_equal(conf->access_log.path, "/var/log/a");
    assert_string_equal(conf->admin.address.text, "unix:etc/serin/s");
    assert_string_equal(conf->admin.tokens[0].secret.file, "etc/serin/x.token");
    assert_int_equal(conf->admin.tokens[0].role, CONF_ROLE_OPERATOR);
    assert_null(conf->admin.tokens[1].secret.file);
    assert_string_equal(conf->admin.tokens[1].secret.env, "Y");
    assert_int_equal(conf->admin.tokens[1].role, CONF_ROLE_VIEWER);
    conf_destroy(conf);
    conf_errors_finish(&errors);
}

static void trusted_proxies_are_known_by_address(void **state)
{
    (void)state;
    struct conf *conf =
        play_load(PLAY_LISTEN PLAY_SERVICE "trusted_proxies: [10.0.0.0/8, '2001:db8::/32']\n");
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {htonl(0x0a010203)}};
    assert_true(conf_trusts(conf, (const struct sockaddr *)&v4));
    v4.sin_addr.s_addr = htonl(0x0b010203);
    assert_false(conf_trusts(conf, (const struct sockaddr *)&v4));
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    assert_false(conf_trusts(conf, (const struct sockaddr *)&local));
    conf_destroy(conf);
}

static void aliases_stand_for_what_they_name(void **state)
{
    (void)state;
    struct conf *conf =
        play_load(PLAY_LISTEN
                  "services:\n"
                  "- {name: a, hosts: [a], previous: &p {url: http://x}, health: &h {path: /up}}\n"
                  "- {name: b, hosts: [b], previous: *p, health: *h}\n");
    assert_string_equal(conf->services[1].previous.endpoints[0].url, "http://x");
    assert_string_equal(conf->services[1].health.path, "/up");
    conf_destroy(conf);
}

static void channels_of_alerts_are_read(void **state)
{
    (void)state;
    struct conf *conf = play_load(PLAY_LISTEN PLAY_SERVICE
                                  "alerts:\n"
                                  "- {alertmanager: \"http://127.0.0.1:9093/prefix\"}\n"
                                  "- {slack: {url_env: SLACK_WEBHOOK}}\n"
                                  "- {webhook: {url: \"https://[::1]:8443/a?b=c\", secret_file: "
                                  "/k}}\n"
                                  "- {exec: {command: [/bin/page, \"two words\", \"-\"]}}\n");
    assert_int_equal(conf->alert_count, 4);
    assert_string_equal(conf->alerts[0].alertmanager, "http://127.0.0.1:9093/prefix");
    assert_true(conf->alerts[1].slack.is_on);
    assert_string_equal(conf->alerts[1].slack.url.env, "SLACK_WEBHOOK");
    assert_string_equal(conf->alerts[2].webhook.url, "https://[::1]:8443/a?b=c");
    assert_string_equal(conf->alerts[2].webhook.secret.file, "/k");
    assert_int_equal(conf->alerts[3].exec.command_count, 3);
    assert_string_equal(conf->alerts[3].exec.command[1], "two words");
    assert_int_equal(conf->alerts[3].exec.timeout_us, 10000000);
    conf_destroy(conf);
}

static void incidents_are_on_off_a_folder_or_a_mapping(void **state)
{
    (void)state;
    struct conf *conf = play_load(PLAY_LISTEN PLAY_SERVICE);
    assert_true(conf->incidents.is_on);
    assert_null(conf->incidents.path);
    assert_int_equal(conf->incidents.keep, 100);
    assert_int_equal(conf->incidents.failures, 200);
    assert_int_equal(conf->incidents.redact_count, 0);
    conf_destroy(conf);
    conf = play_load(PLAY_LISTEN PLAY_SERVICE "incidents: ./reports\n");
    assert_true(conf->incidents.is_on);
    assert_string_equal(conf->incidents.path, "./reports");
    assert_int_equal(conf->incidents.keep, 100);
    conf_destroy(conf);
    conf = play_load(PLAY_LISTEN PLAY_SERVICE "incidents: off\n");
    assert_false(conf->incidents.is_on);
    conf_destroy(conf);
    conf = play_load(PLAY_LISTEN PLAY_SERVICE
                     "incidents: {path: /var/r, keep: 3, failures: 50, redact: [X-Customer]}\n");
    assert_string_equal(conf->incidents.path, "/var/r");
    assert_int_equal(conf->incidents.keep, 3);
    assert_int_equal(conf->incidents.failures, 50);
    assert_int_equal(conf->incidents.redact_count, 1);
    assert_string_equal(conf->incidents.redact[0], "x-customer");
    conf_destroy(conf);
}

static void every_key_can_be_written_out(void **state)
{
    (void)state;
    struct conf *conf = play_load(
        "workers: auto\n"
        "listen:\n  - address: 0.0.0.0:8080\n"
        "admin: {address: 127.0.0.1:9901, hosts: [], tokens: [{name: ops, role: operator, file: "
        "ops.token}]}\n"
        "state: serin.db\n"
        "access_log: {path: \"-\", format: json}\n"
        "timeouts: {client_header: 10s, client_body: 30s, client_idle: 60s, connect: 2s, "
        "response_header: 15s, "
        "response_body: 60s, total: none, upstream_idle: 60s, drain_delay: 0s, drain: 30s}\n"
        "limits: {header_size: 32KiB, header_line: 8KiB, headers: 100, body: none, "
        "requests_per_connection: none, "
        "client_connections: auto, upstream_connections: 1024}\n"
        "resolve: 30s\n"
        "trusted_proxies: []\n"
        "services:\n"
        "  - name: showcase\n"
        "    hosts: [showcase.example.com, \"*\"]\n"
        "    paths: [/]\n"
        "    previous: {deployment: 9c2e1a4, url: \"http://9c2e1a4.showcase.example\"}\n"
        "    current:  {deployment: d7a3f2b, endpoints: [http://10.0.0.1:80, http://10.0.0.2:80]}\n"
        "    weight: 10%\n"
        "    sticky: {by: cookie}\n"
        "    opt_in: trusted\n"
        "    host: keep\n"
        "    forwarded: x_forwarded\n"
        "    outlier: {consecutive: 5, eject: 30s, max_ejected: 50%}\n"
        "    health: {path: /healthz, interval: 2s, timeout: 1s, healthy: 2, unhealthy: 3, status: "
        "[200-399]}\n"
        "    rollback: {error_rate: 5%, relative: confirm, latency: on, false_alarm: 1%, "
        "on_breach: rollback, "
        "shift: [50%, 25%, 10%, 0%], every: 2s, max_wait: 30s, instant_above: 50%}\n");
    assert_int_equal(conf->services[0].current.endpoint_count, 2);
    assert_int_equal(conf->services[0].weight_ppm, 100000);
    assert_int_equal(conf->services[0].opt_in, CONF_OPT_IN_TRUSTED);
    assert_true(conf->services[0].health.is_on);
    conf_destroy(conf);
}

static void failures_may_be_widened_and_narrowed(void **state)
{
    (void)state;
    struct conf *conf = play_load(PLAY_BOTH(""));
    const struct conf_failures *failures = &conf->services[0].failures;
    assert_true(conf_failures_have(failures, 500));
    assert_true(conf_failures_have(failures, 599));
    assert_false(conf_failures_have(failures, 499));
    assert_int_equal(failures->exclude_path_count, 0);
    assert_int_equal(conf_failures_grpc(failures),
                     1u << 2 | 1u << 4 | 1u << 13 | 1u << 14 | 1u << 15);
    conf_destroy(conf);
    conf = play_load(PLAY_BOTH("  failures: {grpc_status: [1, not_found, 16, unavailable, 14]}\n"));
    assert_int_equal(conf_failures_grpc(&conf->services[0].failures),
                     1u << 1 | 1u << 5 | 1u << 14 | 1u << 16);
    conf_destroy(conf);
    conf = play_load(PLAY_BOTH("  failures: {grpc_status: []}\n"));
    assert_int_equal(conf_failures_grpc(&conf->services[0].failures), 0);
    conf_destroy(conf);
    conf = play_load(PLAY_BOTH("  failures: {status: [5xx, 429, 400-401], exclude_paths: "
                               "[/healthz, /internal/*]}\n"));
    failures = &conf->services[0].failures;
    const unsigned bad[] = {400, 401, 429, 500, 599};
    const unsigned good[] = {0, 200, 399, 402, 404, 428, 430, 499};
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        assert_true(conf_failures_have(failures, bad[i]));
    }
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        assert_false(conf_failures_have(failures, good[i]));
    }
    assert_int_equal(failures->exclude_path_count, 2);
    assert_string_equal(failures->exclude_paths[1], "/internal/*");
    conf_destroy(conf);
}

static void origin_may_live_beside_serin_on_another_loopback_address(void **state)
{
    (void)state;
    const char *others[] = {"http://127.0.0.2:8080", "http://127.0.0.2:9901", "http://[::1]:9901"};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        char text[256];
        (void)snprintf(text, sizeof text,
                       PLAY_LISTEN "services: [{name: a, previous: {url: '%s'}}]\n", others[i]);
        conf_destroy(play_load(text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least_file_gets_the_documented_defaults),
        cmocka_unit_test(service_gets_the_documented_defaults),
        cmocka_unit_test(failures_may_be_widened_and_narrowed),
        cmocka_unit_test(project_is_watched_when_asked_for),
        cmocka_unit_test(rollout_may_pause_between_steps_or_be_off),
        cmocka_unit_test(observed_policy_is_the_own_one_but_for_what_it_says),
        cmocka_unit_test(endpoint_knows_its_authority),
        cmocka_unit_test(address_is_ready_to_bind),
        cmocka_unit_test(words_of_yaml_1_1_mean_what_they_say),
        cmocka_unit_test(names_that_look_like_numbers_stay_text),
        cmocka_unit_test(unnamed_deployment_is_a_hash_of_its_endpoints),
        cmocka_unit_test(relative_files_start_at_the_folder_of_the_file),
        cmocka_unit_test(trusted_proxies_are_known_by_address),
        cmocka_unit_test(aliases_stand_for_what_they_name),
        cmocka_unit_test(channels_of_alerts_are_read),
        cmocka_unit_test(incidents_are_on_off_a_folder_or_a_mapping),
        cmocka_unit_test(every_key_can_be_written_out),
        cmocka_unit_test(origin_may_live_beside_serin_on_another_loopback_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

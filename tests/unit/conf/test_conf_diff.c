/* tests/unit/conf/test_conf_diff.c — what a reload is told to do. */
#include "conf/conf_diff.h"
#include "tests/unit/conf/conf_play.h"

static struct conf_diff *diff_of(struct conf *before, struct conf *after)
{
    struct conf_diff *diff = NULL;
    assert_int_equal(conf_diff_create(before, after, &diff), OK);
    return diff;
}

/* Two files, and the keys and parts that differ: "key key", and the parts of the one service that
 * changed. */
static void same_text_differs_in_nothing(void **state)
{
    (void)state;
    struct conf *before = play_load(PLAY_BOTH("  weight: 10%\n"));
    struct conf *after = play_load("# moved by a line\n" PLAY_BOTH(
        "  weight: 10.0%\n  opt_in: yes\n") "timeouts: {connect: 2000ms}\n");
    struct conf_diff *diff = diff_of(before, after);
    assert_true(conf_diff_is_empty(diff));
    conf_diff_destroy(diff);
    conf_destroy(before);
    conf_destroy(after);
}

static void each_change_has_its_key_and_part(void **state)
{
    (void)state;
    const struct {
        const char *before;
        const char *after;
        const char *key;
        const char *service;
        unsigned parts;
        bool needs_restart;
    } cases[] = {
        {PLAY_BOTH(""), PLAY_BOTH("") "workers: 2\n", "workers", NULL, 0, true},
        {PLAY_BOTH(""), PLAY_BOTH("") "state: other.db\n", "state", NULL, 0, true},
        {PLAY_BOTH(""), PLAY_BOTH("") "admin: {address: 127.0.0.1:9902}\n", "admin.address", NULL,
         0, true},
        {PLAY_BOTH(""), PLAY_BOTH("") "admin: {tokens: [{name: a, env: A}]}\n", "admin.tokens",
         NULL, 0, false},
        {PLAY_BOTH(""), PLAY_BOTH("") "timeouts: {total: 1m}\n", "timeouts.total", NULL, 0, false},
        {PLAY_BOTH(""), PLAY_BOTH("") "access_log: off\n", "access_log", NULL, 0, true},
        {PLAY_BOTH(""), PLAY_BOTH("") "access_log: {path: a.log}\n", "access_log.path", NULL, 0,
         true},
        {PLAY_BOTH(""), PLAY_BOTH("") "access_log: {format: combined}\n", "access_log.format", NULL,
         0, true},
        {PLAY_BOTH(""), PLAY_BOTH("") "trusted_proxies: [10.0.0.0/8]\n", "trusted_proxies", NULL, 0,
         false},
        {PLAY_BOTH(""), PLAY_BOTH("") "alerts: [{alertmanager: http://a}]\n", "alerts", NULL, 0,
         false},
        {PLAY_BOTH("") "alerts: [{exec: {command: [a, b]}}]\n",
         PLAY_BOTH("") "alerts: [{exec: {command: [a, c]}}]\n", "alerts", NULL, 0, false},
        {PLAY_BOTH("  weight: 1%\n"), PLAY_BOTH("  weight: 2%\n"), "weight", "a", CONF_PART_WEIGHT,
         false},
        {PLAY_BOTH(""), PLAY_BOTH("  weight: 0%\n"), "weight", "a", CONF_PART_WEIGHT, false},
        {PLAY_BOTH(""), PLAY_BOTH("  hosts: [x]\n"), "hosts", "a", CONF_PART_ROUTES, false},
        {PLAY_BOTH(""), PLAY_BOTH("  paths: [/x]\n"), "paths", "a", CONF_PART_ROUTES, false},
        {PLAY_BOTH(""), PLAY_BOTH("  health: on\n"), "health", "a", CONF_PART_SETTINGS, false},
        {PLAY_BOTH(""), PLAY_BOTH("  outlier: off\n"), "outlier", "a", CONF_PART_SETTINGS, false},
        {PLAY_BOTH(""), PLAY_BOTH("  rollback: {shift: [50%, 0%]}\n"), "rollback.shift", "a",
         CONF_PART_SETTINGS, false},
        {PLAY_BOTH("  health: {path: /a}\n"), PLAY_BOTH("  health: {path: /b}\n"), "health.path",
         "a", CONF_PART_SETTINGS, false},
        {PLAY_LISTEN "services: [{name: a, previous: {deployment: x, url: http://x}}]\n",
         PLAY_LISTEN "services: [{name: a, previous: {deployment: y, url: http://x}}]\n",
         "previous.deployment", "a", CONF_PART_PREVIOUS, false},
        {PLAY_LISTEN "services: [{name: a, previous: {deployment: x, url: http://x}}]\n",
         PLAY_LISTEN
         "services: [{name: a, previous: {deployment: x, endpoints: [http://x, http://y]}}]\n",
         "previous.endpoints", "a", CONF_PART_PREVIOUS, false},
        {PLAY_LISTEN "services: [{name: a, previous: {url: http://x}}]\n",
         PLAY_LISTEN "services: [{name: a, previous: {url: http://x}, current: {url: http://y}}]\n",
         "current", "a", CONF_PART_CURRENT, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct conf *before = play_load(cases[i].before);
        struct conf *after = play_load(cases[i].after);
        struct conf_diff *diff = diff_of(before, after);
        assert_int_equal(diff->key_count, 1);
        assert_string_equal(diff->keys[0].key, cases[i].key);
        assert_int_equal(diff->keys[0].needs_restart, cases[i].needs_restart);
        assert_int_equal(diff->needs_restart, cases[i].needs_restart);
        assert_int_equal(diff->listener_count, 0);
        assert_int_equal(diff->service_count, cases[i].service != NULL);
        if (cases[i].service != NULL) {
            assert_string_equal(diff->keys[0].service, cases[i].service);
            assert_string_equal(diff->services[0].before->name, cases[i].service);
            assert_string_equal(diff->services[0].after->name, cases[i].service);
            assert_int_equal(diff->services[0].parts, cases[i].parts);
        }
        conf_diff_destroy(diff);
        conf_destroy(before);
        conf_destroy(after);
    }
}

static void services_and_listeners_come_and_go(void **state)
{
    (void)state;
    struct conf *before =
        play_load("listen: [{address: 127.0.0.1:1}, {address: 127.0.0.1:2}]\n"
                  "services:\n- {name: a, hosts: [a], previous: {url: http://x}}\n"
                  "- {name: b, hosts: [b], previous: {url: http://x}}\n");
    struct conf *after = play_load("listen: [{address: 127.0.0.1:2}, {address: '[::1]:1'}]\n"
                                   "services:\n- {name: c, hosts: [c], previous: {url: http://x}}\n"
                                   "- {name: b, hosts: [b], previous: {url: http://x}}\n");
    struct conf_diff *diff = diff_of(before, after);
    assert_int_equal(diff->listener_count, 2);
    assert_string_equal(diff->listeners[0].before->address.text, "127.0.0.1:1");
    assert_null(diff->listeners[0].after);
    assert_null(diff->listeners[1].before);
    assert_string_equal(diff->listeners[1].after->address.text, "[::1]:1");
    assert_int_equal(diff->service_count, 2);
    assert_string_equal(diff->services[0].before->name, "a");
    assert_null(diff->services[0].after);
    assert_null(diff->services[1].before);
    assert_string_equal(diff->services[1].after->name, "c");
    assert_int_equal(diff->services[1].parts, CONF_PART_ALL);
    assert_int_equal(diff->key_count, 0);
    assert_false(conf_diff_is_empty(diff));
    conf_diff_destroy(diff);
    conf_destroy(before);
    conf_destroy(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_text_differs_in_nothing),
        cmocka_unit_test(each_change_has_its_key_and_part),
        cmocka_unit_test(services_and_listeners_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Who may ask, and from where. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/admin/admin_bench.h"

static char secret_path[] = "/tmp/admin-auth-XXXXXX";

static struct conf_token tokens[] = {
    {.name = "ops", .role = CONF_ROLE_OPERATOR, .secret = {.env = "ADMIN_TEST_OPS"}},
    {.name = "eyes", .role = CONF_ROLE_VIEWER, .secret = {.file = secret_path}},
};

static void write_secret(const char *text)
{
    FILE *file = fopen(secret_path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static int setup(void **state)
{
    struct admin_bench *bench = malloc(sizeof *bench);
    admin_bench_init(bench, NULL);
    bench->fake.result = ADMIN_DONE;
    *state = bench;
    return 0;
}

static int setup_tokens(void **state)
{
    (void)setup(state);
    struct admin_bench *bench = *state;
    struct note note = {""};
    (void)snprintf(secret_path, sizeof secret_path, "/tmp/admin-auth-XXXXXX");
    (void)close(mkstemp(secret_path));
    write_secret("looking-glass\n");
    assert_int_equal(setenv("ADMIN_TEST_OPS", "sesame", 1), 0);
    bench->conf.tokens = tokens;
    bench->conf.token_count = 2;
    assert_int_equal(admin_reload(bench->admin, &bench->conf, &note), OK);
    return 0;
}

static int teardown(void **state)
{
    struct admin_bench *bench = *state;
    if (bench->conf.token_count > 0) {
        (void)unlink(secret_path);
    }
    admin_bench_finish(bench);
    free(bench);
    return 0;
}

/* As a process that was started with this address. */
static void listen_on(struct admin_bench *bench, uint32_t address)
{
    struct admin_options options = {
        .ops = &fake_ops, .context = &bench->fake, .clock = clock_system(), .conf = &bench->conf};
    struct note note = {""};
    bench->conf.address.socket.v4.sin_addr.s_addr = htonl(address);
    admin_destroy(bench->admin);
    bench->admin = NULL;
    assert_int_equal(admin_create(&options, &bench->admin, &note), OK);
}

static void without_a_token_only_health_answers(void **state)
{
    struct admin_bench *bench = *state;
    const char *closed[] = {"/metrics",      "/api/v1/status",       "/api/v1/events",
                            "/api/v1/audit", "/api/v1/openapi.json", "/api/v1/whoami"};
    for (size_t i = 0; i < sizeof closed / sizeof closed[0]; i++) {
        (void)ask(bench, METHOD_GET, closed[i], NULL);
        assert_problem(bench, 401, "Authorization");
        assert_string_equal(bench->www_authenticate, "Bearer realm=\"serin\"");
    }
    assert_int_equal(ask(bench, METHOD_GET, "/healthz", NULL), 200);
    assert_int_equal(ask(bench, METHOD_GET, "/readyz", NULL), 200);
}

static void wrong_tokens_are_refused(void **state)
{
    struct admin_bench *bench = *state;
    const char *wrong[] = {"Bearer sesam", "Bearer sesame2", "Bearer SESAME",          "Bearer ",
                           "Bearer",       "Basic c2VzYW1l", "Bearer looking-glass x", "sesame",
                           "Bearer \xff"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        with(bench, "Authorization", wrong[i]);
        (void)ask(bench, METHOD_GET, "/api/v1/status", NULL);
        assert_problem(bench, 401, "Authorization");
    }
}

static void viewer_looks_and_does_not_change(void **state)
{
    struct admin_bench *bench = *state;
    with(bench, "Authorization", "bearer looking-glass");
    assert_int_equal(ask(bench, METHOD_GET, "/api/v1/status", NULL), 200);
    with(bench, "Authorization", "Bearer looking-glass");
    (void)ask(bench, METHOD_POST, "/api/v1/reload", NULL);
    assert_problem(bench, 403, "Authorization");
    assert_int_equal(bench->fake.asked, 0);
}

static void operator_changes_under_the_tokens_name(void **state)
{
    struct admin_bench *bench = *state;
    with(bench, "Authorization", "Bearer sesame");
    assert_int_equal(ask(bench, METHOD_POST, "/api/v1/reload", NULL), 200);
    assert_string_equal(bench->fake.last, "reload by ops");
}

static void everybody_can_ask_who_they_are(void **state)
{
    struct admin_bench *bench = *state;
    with(bench, "Authorization", "Bearer looking-glass");
    assert_int_equal(ask(bench, METHOD_GET, "/api/v1/whoami", NULL), 200);
    assert_string_equal(bench->body, "{\"actor\":\"eyes\",\"role\":\"viewer\"}");
    with(bench, "Authorization", "Bearer sesame");
    assert_int_equal(ask(bench, METHOD_GET, "/api/v1/whoami", NULL), 200);
    assert_string_equal(bench->body, "{\"actor\":\"ops\",\"role\":\"operator\"}");
}

static void secret_that_cannot_be_read_leaves_the_old_ones(void **state)
{
    struct admin_bench *bench = *state;
    struct note note = {""};
    write_secret(" \n");
    assert_int_equal(admin_reload(bench->admin, &bench->conf, &note), ERR_IO);
    assert_non_null(strstr(note.text, "\"eyes\""));
    char long_secret[4096 + 2];
    memset(long_secret, 'x', sizeof long_secret);
    long_secret[sizeof long_secret - 1] = '\0';
    write_secret(long_secret);
    assert_int_equal(admin_reload(bench->admin, &bench->conf, &note), ERR_IO);
    assert_non_null(strstr(note.text, "longer than"));
    assert_int_equal(unlink(secret_path), 0);
    assert_int_equal(admin_reload(bench->admin, &bench->conf, &note), ERR_IO);
    assert_int_equal(unsetenv("ADMIN_TEST_OPS"), 0);
    assert_int_equal(admin_reload(bench->admin, &bench->conf, &note), ERR_IO);
    assert_non_null(strstr(note.text, "ADMIN_TEST_OPS"));
    with(bench, "Authorization", "Bearer sesame");
    assert_int_equal(ask(bench, METHOD_GET, "/api/v1/status", NULL), 200);
}

struct follower {
    struct admin_subscriber subscriber;
    struct admin *admin;
    unsigned revoked;
};

static void on_revoked(struct admin_subscriber *subscriber)
{
    struct follower *follower = (struct follower *)(void *)subscriber;
    follower->revoked++;
    admin_unsubscribe(follower->admin, subscriber);
}

static void streams_end_when_a_token_is_taken_back(void **state)
{
    struct admin_bench *bench = *state;
    struct note note = {""};
    struct follower follower = {.subscriber = {.on_revoked = on_revoked}, .admin = bench->admin};
    admin_subscribe(bench->admin, &follower.subscriber, 0);
    assert_int_equal(admin_reload(bench->admin, &bench->conf, &note), OK);
    assert_int_equal(follower.revoked, 0);
    write_secret("another-glass\n");
    assert_int_equal(admin_reload(bench->admin, &bench->conf, &note), OK);
    assert_int_equal(follower.revoked, 1);

    admin_subscribe(bench->admin, &follower.subscriber, 0);
    bench->conf.token_count = 0; /* whoever reaches the address may look: the streams too */
    assert_int_equal(admin_reload(bench->admin, &bench->conf, &note), OK);
    assert_int_equal(follower.revoked, 1);
    bench->conf.token_count = 2;
    assert_int_equal(admin_reload(bench->admin, &bench->conf, &note), OK);
    assert_int_equal(follower.revoked, 2);
}

static void only_our_own_names_are_answered(void **state)
{
    struct admin_bench *bench = *state;
    const char *extra[] = {"admin.example"};
    struct note note = {""};
    bench->conf.hosts = extra;
    bench->conf.host_count = 1;
    assert_int_equal(admin_reload(bench->admin, &bench->conf, &note), OK);
    const char *ours[] = {"127.0.0.1:9901", "localhost",     "LocalHost:9901",   "[::1]:9901",
                          "127.9.9.9",      "admin.example", "Admin.Example:443"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        bench->authority = ours[i];
        assert_int_equal(ask(bench, METHOD_GET, "/api/v1/status", NULL), 200);
    }
    const char *foreign[] = {"evil.example",
                             "localhost.evil.example",
                             "10.0.0.1",
                             "127.0.0.1.evil.ex",
                             "",
                             "evil@localhost",
                             "admin.example.",
                             "[::2]",
                             "127.1"};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        bench->authority = foreign[i];
        (void)ask(bench, METHOD_GET, "/healthz", NULL);
        assert_problem(bench, 403, "Host");
    }
}

static void any_number_is_ours_when_every_address_is_served(void **state)
{
    struct admin_bench *bench = *state;
    listen_on(bench, INADDR_ANY);
    bench->authority = "10.0.0.1:9901";
    with(bench, "Authorization", "Bearer sesame");
    assert_int_equal(ask(bench, METHOD_GET, "/healthz", NULL), 200);
    bench->authority = "evil.example";
    assert_int_equal(ask(bench, METHOD_GET, "/healthz", NULL), 403);
}

/* A reload moves no socket: what other machines reach they reach until the restart. */
static void reload_takes_no_tokens_away_where_others_reach_us(void **state)
{
    struct admin_bench *bench = *state;
    struct note note = {""};
    listen_on(bench, INADDR_ANY);
    bench->conf.address.socket.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bench->conf.token_count = 0;
    assert_int_equal(admin_reload(bench->admin, &bench->conf, &note), ERR_STATE);
    assert_non_null(strstr(note.text, "admin.tokens"));
    bench->conf.token_count = 2;
    (void)ask(bench, METHOD_POST, "/api/v1/reload", NULL);
    assert_problem(bench, 401, "Authorization");
    assert_int_equal(bench->fake.asked, 0);
}

static void reload_keeps_answering_at_the_address_that_stays(void **state)
{
    struct admin_bench *bench = *state;
    struct note note = {""};
    listen_on(bench, 0x0A000001);
    bench->conf.address.socket.v4.sin_addr.s_addr = htonl(0x0A000002);
    assert_int_equal(admin_reload(bench->admin, &bench->conf, &note), OK);
    bench->authority = "10.0.0.1:9901";
    assert_int_equal(ask(bench, METHOD_GET, "/healthz", NULL), 200);
    bench->authority = "10.0.0.2:9901";
    assert_int_equal(ask(bench, METHOD_GET, "/healthz", NULL), 403);
}

static void other_sites_pages_change_nothing(void **state)
{
    struct admin_bench *bench = *state;
    static const struct {
        const char *name;
        const char *value;
    } foreign[] = {
        {"Origin", "http://evil.example"},
        {"Origin", "null"},
        {"Origin", "http://127.0.0.1:8080"},
        {"Origin", "http://127.0.0.1:9901.evil.example"},
        {"Origin", "https://127.0.0.1:9902"},
        {"Sec-Fetch-Site", "cross-site"},
        {"Sec-Fetch-Site", "same-site"},
        {"Sec-Fetch-Site", "bogus"},
        {"Origin", ""},
    };
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        with(bench, foreign[i].name, foreign[i].value);
        (void)ask(bench, METHOD_POST, "/api/v1/reload", NULL);
        assert_problem(bench, 403, "Origin");
    }
    assert_int_equal(bench->fake.asked, 0);
    with(bench, "Origin", "http://127.0.0.1:9901");
    with(bench, "Sec-Fetch-Site", "same-origin");
    assert_int_equal(ask(bench, METHOD_POST, "/api/v1/reload", NULL), 200);
    with(bench, "Origin", "http://evil.example");
    assert_int_equal(ask(bench, METHOD_GET, "/api/v1/status", NULL), 200);
}

/* Whoever can alter what comes without TLS must not speak for the page that came with it. */
static void pages_without_tls_are_another_site_than_we_with_it(void **state)
{
    struct admin_bench *bench = *state;
    bench->is_tls = true;
    static const char *const foreign[] = {"http://127.0.0.1:9901", "http://127.0.0.1", "null"};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        with(bench, "Origin", foreign[i]);
        (void)ask(bench, METHOD_POST, "/api/v1/reload", NULL);
        assert_problem(bench, 403, "Origin");
    }
    with(bench, "Origin", "https://127.0.0.1:9901");
    assert_int_equal(ask(bench, METHOD_POST, "/api/v1/reload", NULL), 200);
    bench->authority = "127.0.0.1";
    with(bench, "Origin", "https://127.0.0.1:443");
    assert_int_equal(ask(bench, METHOD_POST, "/api/v1/reload", NULL), 200);
    bench->is_tls = false; /* something that has TLS may stand in front */
    with(bench, "Origin", "https://127.0.0.1");
    assert_int_equal(ask(bench, METHOD_POST, "/api/v1/reload", NULL), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_token_only_health_answers, setup_tokens,
                                        teardown),
        cmocka_unit_test_setup_teardown(wrong_tokens_are_refused, setup_tokens, teardown),
        cmocka_unit_test_setup_teardown(viewer_looks_and_does_not_change, setup_tokens, teardown),
        cmocka_unit_test_setup_teardown(operator_changes_under_the_tokens_name, setup_tokens,
                                        teardown),
        cmocka_unit_test_setup_teardown(everybody_can_ask_who_they_are, setup_tokens, teardown),
        cmocka_unit_test_setup_teardown(secret_that_cannot_be_read_leaves_the_old_ones,
                                        setup_tokens, teardown),
        cmocka_unit_test_setup_teardown(streams_end_when_a_token_is_taken_back, setup_tokens,
                                        teardown),
        cmocka_unit_test_setup_teardown(only_our_own_names_are_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(any_number_is_ours_when_every_address_is_served,
                                        setup_tokens, teardown),
        cmocka_unit_test_setup_teardown(reload_takes_no_tokens_away_where_others_reach_us,
                                        setup_tokens, teardown),
        cmocka_unit_test_setup_teardown(reload_keeps_answering_at_the_address_that_stays,
                                        setup_tokens, teardown),
        cmocka_unit_test_setup_teardown(pages_without_tls_are_another_site_than_we_with_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(other_sites_pages_change_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The API over real sockets: server and client on one loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "canary/admin/server.h"
#include "canary/fetch/fetch.h"
#include "tests/support/certificates.h"
#include "tests/unit/admin/admin_bench.h"

struct stage {
    struct admin_bench bench;
    struct loop loop;
    struct history *history;
    struct admin_server *server;
    struct fetch *fetch;
    char folder[64];
    unsigned told;
    unsigned closed;
    enum err err;
    unsigned status;
    char body[65536];
    char etag[32];
    char events[16384];
    const char *events_until;
};

static void on_told(void *context, const struct fetch_answer *answer)
{
    struct stage *stage = context;
    stage->told++;
    stage->err = answer->err;
    stage->status = answer->status;
    (void)snprintf(stage->body, sizeof stage->body, "%.*s", BYTES_ARGS(answer->body));
    (void)snprintf(stage->etag, sizeof stage->etag, "%s", answer->etag ? answer->etag : "");
}

static void on_closed(void *context)
{
    struct stage *stage = context;
    stage->closed++;
}

static void open_server(struct stage *stage)
{
    struct note note = {""};
    enum err err = admin_server_open(&stage->loop, stage->bench.admin, &stage->bench.conf.address,
                                     NULL, &stage->server, &note);
    if (err != OK) {
        fail_msg("%s", note.text);
    }
}

static int setup(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
    char path[96];
    (void)snprintf(stage->folder, sizeof stage->folder, "/tmp/admin-server-XXXXXX");
    assert_non_null(mkdtemp(stage->folder));
    (void)snprintf(path, sizeof path, "%s/serin.db", stage->folder);
    assert_int_equal(loop_init(&stage->loop), OK);
    struct history_options options = {.path = path, .loop = &stage->loop.uv};
    assert_int_equal(history_create(&options, &stage->history), OK);
    assert_int_equal(fetch_create(&stage->loop.uv, &stage->fetch), OK);
    admin_bench_init(&stage->bench, stage->history);
    stage->bench.conf.address.socket.v4.sin_port = 0;
    stage->bench.conf.address.text = "127.0.0.1:0";
    *state = stage;
    return 0;
}

static void run_until(struct stage *stage, const unsigned *count, unsigned wanted)
{
    while (*count < wanted) {
        (void)loop_turn(&stage->loop, true);
    }
}

static int teardown(void **state)
{
    struct stage *stage = *state;
    stage->closed = 0;
    unsigned expected = 2;
    if (stage->server != NULL) {
        admin_server_close(stage->server, on_closed, stage);
        expected = 3;
    }
    fetch_close(stage->fetch, on_closed, stage);
    history_close(stage->history, on_closed, stage);
    run_until(stage, &stage->closed, expected);
    admin_bench_finish(&stage->bench);
    loop_enter(&stage->loop);
    loop_shutdown(&stage->loop);
    loop_leave(&stage->loop);
    loop_run(&stage->loop);
    loop_finish(&stage->loop);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", stage->folder);
    assert_int_equal(system(command), 0);
    free(stage);
    return 0;
}

static void start(struct stage *stage, const char *method, const char *path, const char *body)
{
    static const char *const headers[] = {"Content-Type: application/json"};
    char url[256];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", admin_server_port(stage->server),
                   path);
    struct fetch_request request = {.method = method,
                                    .url = url,
                                    .headers = headers,
                                    .header_count = 1,
                                    .body = bytes_of(body)};
    assert_int_equal(fetch_start(stage->fetch, &request, on_told, stage, NULL), OK);
}

static unsigned call(struct stage *stage, const char *method, const char *path, const char *body)
{
    unsigned told = stage->told;
    start(stage, method, path, body);
    run_until(stage, &stage->told, told + 1);
    assert_int_equal(stage->err, OK);
    return stage->status;
}

static void api_answers_over_tcp(void **state)
{
    struct stage *stage = *state;
    open_server(stage);
    assert_int_equal(call(stage, "GET", "/healthz", NULL), 200);
    assert_string_equal(stage->body, "ok\n");
    assert_int_equal(call(stage, "GET", "/api/v1/services/showcase", NULL), 200);
    assert_string_equal(stage->etag, "\"7\"");
    assert_int_equal(call(stage, "HEAD", "/api/v1/status", NULL), 200);
    assert_string_equal(stage->body, "");
    assert_int_equal(call(stage, "PUT", "/api/v1/services/showcase/weight", "{\"current\": 5}"),
                     200);
    assert_string_equal(stage->bench.fake.last, "weight showcase 50000 rev=-1 by local");
    assert_int_equal(call(stage, "GET", "/nothing", NULL), 404);
    /* fetch sends what changes something on a connection of its own; the others shared one */
    assert_int_equal(admin_server_connection_count(stage->server), 2);
}

static void api_answers_on_a_unix_socket(void **state)
{
    struct stage *stage = *state;
    char path[80];
    char text[96];
    (void)snprintf(path, sizeof path, "%s/admin.sock", stage->folder);
    (void)snprintf(text, sizeof text, "unix:%s", path);
    struct conf_address *address = &stage->bench.conf.address;
    address->socket.local.sun_family = AF_UNIX;
    (void)snprintf(address->socket.local.sun_path, sizeof address->socket.local.sun_path, "%s",
                   path);
    address->text = text;
    struct note note = {""};
    assert_int_equal(admin_reload(stage->bench.admin, &stage->bench.conf, &note), OK);
    open_server(stage);
    struct fetch_request request = {.url = "http://localhost/api/v1/status", .unix_path = path};
    assert_int_equal(fetch_start(stage->fetch, &request, on_told, stage, NULL), OK);
    run_until(stage, &stage->told, 1);
    assert_int_equal(stage->status, 200);
}

static void records_come_from_the_state_file(void **state)
{
    struct stage *stage = *state;
    open_server(stage);
    assert_int_equal(call(stage, "GET", "/api/v1/rollbacks?limit=5", NULL), 200);
    assert_string_equal(stage->body, "{\"rollbacks\":[]}");
    struct history_audit audit = {.actor = "ops", .action = "weight.set", .service = "showcase"};
    assert_int_equal(history_write(stage->history, &(struct history_change){.audit = &audit},
                                   HISTORY_SOON, NULL, NULL),
                     OK);
    while (history_stats(stage->history).committed_count == 0) {
        (void)loop_turn(&stage->loop, true);
    }
    assert_int_equal(call(stage, "GET", "/api/v1/audit?service=showcase", NULL), 200);
    assert_non_null(strstr(stage->body, "\"action\":\"weight.set\""));
    assert_int_equal(call(stage, "GET", "/api/v1/rollbacks/none", NULL), 404);
    assert_int_equal(call(stage, "GET", "/api/v1/rollbacks?before=none", NULL), 422);
    assert_int_equal(call(stage, "GET", "/api/v1/rollbacks?limit=0", NULL), 422);
    assert_int_equal(call(stage, "GET", "/api/v1/rollbacks?page=2", NULL), 400);
}

static void body_of_no_bytes_is_complete(void **state)
{
    struct stage *stage = *state;
    open_server(stage);
    assert_int_equal(call(stage, "POST", "/api/v1/reload", ""), 200);
    assert_int_equal(call(stage, "POST", "/api/v1/reload", NULL), 200);
    assert_int_equal(stage->bench.fake.asked, 2);
}

static void body_over_every_limit_is_answered(void **state)
{
    struct stage *stage = *state;
    open_server(stage);
    size_t size = 2 * ADMIN_CONFIG_MAX;
    char *body = malloc(size + 1);
    memset(body, ' ', size);
    body[size] = '\0';
    unsigned told = stage->told;
    start(stage, "POST", "/api/v1/reload", body);
    run_until(stage, &stage->told, told + 1);
    assert_int_equal(stage->status, 413);
    free(body);
}

static bool on_data(void *context, struct bytes data)
{
    struct stage *stage = context;
    size_t size = strlen(stage->events);
    (void)snprintf(stage->events + size, sizeof stage->events - size, "%.*s", BYTES_ARGS(data));
    if (size == 0) {
        admin_publish(stage->bench.admin, "phase", "showcase", NULL);
        admin_tick(stage->bench.admin);
    }
    return strstr(stage->events, stage->events_until) == NULL;
}

static void listen_until(struct stage *stage, const char *text)
{
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/api/v1/events",
                   admin_server_port(stage->server));
    stage->events_until = text;
    struct fetch_request request = {.url = url, .on_data = on_data, .deadline_ms = 30000};
    assert_int_equal(fetch_start(stage->fetch, &request, on_told, stage, NULL), OK);
}

static void events_stream_changes_and_counters(void **state)
{
    struct stage *stage = *state;
    open_server(stage);
    listen_until(stage, "event: counters");
    run_until(stage, &stage->told, 1);
    assert_int_equal(stage->err, ERR_CLOSED);
    assert_int_equal(stage->status, 200);
    assert_non_null(strstr(stage->events, "id: 1\nevent: phase\n"));
}

/* What was opened with a token that is taken back, or with none, is not open for ever. */
static void a_token_that_is_taken_back_ends_streams(void **state)
{
    struct stage *stage = *state;
    static struct conf_token tokens[] = {
        {.name = "a", .role = CONF_ROLE_VIEWER, .secret = {.env = "ADMIN_TEST_A"}},
        {.name = "b", .role = CONF_ROLE_VIEWER, .secret = {.env = "ADMIN_TEST_B"}},
    };
    struct conf_admin *conf = &stage->bench.conf;
    struct note note = {""};
    assert_int_equal(setenv("ADMIN_TEST_A", "first", 1), 0);
    assert_int_equal(setenv("ADMIN_TEST_B", "second", 1), 0);
    open_server(stage);
    listen_until(stage, "never");
    while (stage->events[0] == '\0') {
        (void)loop_turn(&stage->loop, true);
    }
    conf->tokens = tokens;
    conf->token_count = 2;
    assert_int_equal(admin_reload(stage->bench.admin, conf, &note), OK);
    run_until(stage, &stage->told, 1);
    assert_int_not_equal(stage->err, OK); /* cut, not ended */
}

static void closing_ends_streams_and_waiting_calls(void **state)
{
    struct stage *stage = *state;
    open_server(stage);
    stage->bench.fake.is_late = true;
    listen_until(stage, "never");
    start(stage, "POST", "/api/v1/reload", NULL);
    while (stage->bench.fake.kept == NULL || stage->events[0] == '\0') {
        (void)loop_turn(&stage->loop, true);
    }
    admin_server_close(stage->server, on_closed, stage);
    stage->server = NULL;
    run_until(stage, &stage->closed, 1);
    run_until(stage, &stage->told, 2);
    assert_int_equal(admin_call_count(stage->bench.admin), 1);
    fake_answer(&stage->bench);
    assert_int_equal(admin_call_count(stage->bench.admin), 0);
}

static void second_process_on_the_address_is_refused(void **state)
{
    struct stage *stage = *state;
    open_server(stage);
    char text[32];
    struct conf_address address = stage->bench.conf.address;
    unsigned port = admin_server_port(stage->server);
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", port);
    address.text = text;
    address.socket.v4.sin_port = htons((uint16_t)port);
    struct admin_server *second = NULL;
    struct note note = {""};
    assert_int_equal(
        admin_server_open(&stage->loop, stage->bench.admin, &address, NULL, &second, &note),
        ERR_IO);
    assert_non_null(strstr(note.text, "another process"));
}

/* ---- over TLS ---- */

/* From now on newcomers get this certificate. */
static void use(struct stage *stage, const char *certificate, const char *key)
{
    struct tls_certificate_files files = {certificates_path(certificate), certificates_path(key),
                                          NULL};
    struct tls_server_config config = {.certificates = &files, .certificate_count = 1};
    struct tls_server *tls = NULL;
    struct note note = {""};
    assert_int_equal(tls_server_create(&config, &note, &tls), OK);
    admin_server_use_tls(stage->server, tls);
    tls_server_unref(tls);
}

static void begin_tls(struct stage *stage)
{
    certificates_begin();
    certificates_make(&(struct certificate_wish){.file = "site", .names = "IP:127.0.0.1"});
    certificates_make(&(struct certificate_wish){.file = "other", .names = "DNS:other.example"});
    open_server(stage);
    use(stage, "site.pem", "site.key");
}

static void end_tls(struct stage *stage)
{
    unsigned closed = stage->closed;
    admin_server_close(stage->server, on_closed, stage);
    stage->server = NULL;
    run_until(stage, &stage->closed, closed + 1);
    certificates_end();
}

static void ask_over_tls(struct stage *stage, const char *scheme, const char *ca)
{
    char url[64];
    unsigned told = stage->told;
    (void)snprintf(url, sizeof url, "%s://127.0.0.1:%u/healthz", scheme,
                   admin_server_port(stage->server));
    /* A change gets a connection of its own, whatever is open. */
    struct fetch_request request = {.url = url, .method = "PUT", .ca = ca};
    assert_int_equal(fetch_start(stage->fetch, &request, on_told, stage, NULL), OK);
    run_until(stage, &stage->told, told + 1);
}

static void https_is_spoken_and_verified(void **state)
{
    struct stage *stage = *state;
    begin_tls(stage);
    ask_over_tls(stage, "https", certificates_path("ca.pem"));
    assert_int_equal(stage->err, OK);
    assert_int_equal(stage->status, 405);
    ask_over_tls(stage, "https", certificates_path("other.pem"));
    assert_int_equal(stage->err, ERR_IO);
    ask_over_tls(stage, "https", NULL);
    assert_int_equal(stage->err, ERR_IO);
    ask_over_tls(stage, "http", NULL);
    assert_int_equal(stage->status, 400);
    assert_non_null(strstr(stage->body, "https://"));
    end_tls(stage);
}

static void new_certificate_is_for_new_connections(void **state)
{
    struct stage *stage = *state;
    begin_tls(stage);
    char url[64];
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/api/v1/events",
                   admin_server_port(stage->server));
    stage->events_until = "event: weight";
    struct fetch_request request = {
        .url = url, .on_data = on_data, .deadline_ms = 30000, .ca = certificates_path("ca.pem")};
    assert_int_equal(fetch_start(stage->fetch, &request, on_told, stage, NULL), OK);
    while (stage->events[0] == '\0') {
        (void)loop_turn(&stage->loop, true);
    }
    use(stage, "other.pem", "other.key");
    admin_publish(stage->bench.admin, "weight", "showcase", NULL);
    run_until(stage, &stage->told, 1);
    assert_int_equal(stage->err, ERR_CLOSED);
    ask_over_tls(stage, "https", certificates_path("ca.pem"));
    assert_int_equal(stage->err, ERR_IO); /* it is of another name now */
    end_tls(stage);
}

static void closing_ends_handshakes_under_way(void **state)
{
    struct stage *stage = *state;
    begin_tls(stage);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)admin_server_port(stage->server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    while (admin_server_connection_count(stage->server) == 0) {
        (void)loop_turn(&stage->loop, true);
    }
    end_tls(stage);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 0);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(api_answers_over_tcp),
        TEST(api_answers_on_a_unix_socket),
        TEST(records_come_from_the_state_file),
        TEST(body_of_no_bytes_is_complete),
        TEST(body_over_every_limit_is_answered),
        TEST(events_stream_changes_and_counters),
        TEST(a_token_that_is_taken_back_ends_streams),
        TEST(closing_ends_streams_and_waiting_calls),
        TEST(second_process_on_the_address_is_refused),
        TEST(https_is_spoken_and_verified),
        TEST(new_certificate_is_for_new_connections),
        TEST(closing_ends_handshakes_under_way),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

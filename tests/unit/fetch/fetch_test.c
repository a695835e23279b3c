#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "canary/fetch/fetch.h"
#include "tests/unit/fetch/http_stub.h"

struct result {
    int count;
    enum err err;
    unsigned status;
    char body[8192];
    size_t body_size;
    char etag[32];
    char content_type[64];
    char error[256];
};

struct bench {
    uv_loop_t loop;
    struct fetch *fetch;
    struct http_stub *stub;
    struct result result;
    char events[256];
    int events_wanted;
    int is_closed;
};

static void on_done(void *context, const struct fetch_answer *answer)
{
    struct bench *bench = context;
    struct result *result = &bench->result;
    result->count++;
    result->err = answer->err;
    result->status = answer->status;
    result->body_size = answer->body.size;
    size_t kept = answer->body.size < sizeof result->body - 1 ? answer->body.size : 0;
    if (kept > 0) {
        memcpy(result->body, answer->body.data, kept);
    }
    result->body[kept] = '\0';
    (void)snprintf(result->etag, sizeof result->etag, "%s", answer->etag ? answer->etag : "");
    (void)snprintf(result->content_type, sizeof result->content_type, "%s",
                   answer->content_type ? answer->content_type : "");
    (void)snprintf(result->error, sizeof result->error, "%s", answer->error);
}

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    assert_int_equal(uv_loop_init(&bench->loop), 0);
    assert_int_equal(fetch_create(&bench->loop, &bench->fetch), OK);
    bench->stub = http_stub_open(&bench->loop, NULL);
    *state = bench;
    return 0;
}

static void on_closed(void *context)
{
    struct bench *bench = context;
    bench->is_closed = 1;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    if (bench->fetch != NULL) {
        fetch_close(bench->fetch, on_closed, bench);
    }
    http_stub_close(bench->stub);
    (void)uv_run(&bench->loop, UV_RUN_DEFAULT);
    assert_int_equal(bench->is_closed, 1);
    assert_int_equal(uv_loop_close(&bench->loop), 0);
    free(bench);
    return 0;
}

static void run_until_told(struct bench *bench, int count)
{
    while (bench->result.count < count) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
}

static void get(struct bench *bench, const char *path, struct fetch_request request)
{
    char url[256];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d%s", http_stub_port(bench->stub), path);
    request.url = url;
    assert_int_equal(fetch_start(bench->fetch, &request, on_done, bench, NULL), OK);
    assert_int_equal(bench->result.count, 0);
    run_until_told(bench, 1);
}

static void answer_is_told_with_its_status_and_fields(void **state)
{
    struct bench *bench = *state;
    get(bench, "/ok", (struct fetch_request){0});
    assert_int_equal(bench->result.err, OK);
    assert_int_equal(bench->result.status, 200);
    assert_string_equal(bench->result.body, "fine");
    assert_string_equal(bench->result.etag, "\"7\"");
    assert_string_equal(bench->result.content_type, "text/plain");
    assert_string_equal(bench->result.error, "");
}

/* What holds a token goes where it is addressed to, whatever the environment says. */
static void proxies_of_the_environment_are_not_used(void **state)
{
    static const char *const names[] = {"http_proxy", "all_proxy", "ALL_PROXY"};
    struct bench *bench = *state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(setenv(names[i], "http://127.0.0.1:1", 1), 0);
    }
    get(bench, "/ok", (struct fetch_request){0});
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(unsetenv(names[i]), 0);
    }
    assert_int_equal(bench->result.status, 200);
}

static void method_headers_and_body_are_sent(void **state)
{
    struct bench *bench = *state;
    const char *headers[] = {"If-Match: \"3\"", "Content-Type: application/json"};
    get(bench, "/echo",
        (struct fetch_request){
            .method = "PUT", .headers = headers, .header_count = 2, .body = BYTES("{\"a\":1}")});
    assert_non_null(strstr(bench->result.body, "PUT /echo HTTP/1.1\r\n"));
    assert_non_null(strstr(bench->result.body, "If-Match: \"3\"\r\n"));
    assert_non_null(strstr(bench->result.body, "\r\n\r\n{\"a\":1}"));
    assert_null(strstr(bench->result.body, "Expect"));
}

static void error_status_is_an_answer_with_its_body(void **state)
{
    struct bench *bench = *state;
    get(bench, "/nothing-here", (struct fetch_request){0});
    assert_int_equal(bench->result.err, OK);
    assert_int_equal(bench->result.status, 404);
    assert_string_equal(bench->result.body, "{\"status\":404}");
}

static void redirects_are_not_followed(void **state)
{
    struct bench *bench = *state;
    get(bench, "/redirect", (struct fetch_request){0});
    assert_int_equal(bench->result.status, 302);
    assert_int_equal(http_stub_requests(bench->stub), 1);
}

static void answer_over_its_bound_is_refused(void **state)
{
    struct bench *bench = *state;
    get(bench, "/big", (struct fetch_request){.body_max = 1000});
    assert_int_equal(bench->result.err, ERR_LIMIT);
    assert_true(bench->result.body_size <= 1000);
}

static void silent_origin_ends_at_the_deadline(void **state)
{
    struct bench *bench = *state;
    get(bench, "/silent", (struct fetch_request){.deadline_ms = 50});
    assert_int_equal(bench->result.err, ERR_TIMEOUT);
    assert_int_equal(bench->result.status, 0);
    assert_true(strlen(bench->result.error) > 0);
}

static bool is_connected_to(int fd, int port)
{
    struct sockaddr_in peer = {0};
    socklen_t size = sizeof peer;
    return getpeername(fd, (struct sockaddr *)&peer, &size) == 0 && ntohs(peer.sin_port) == port;
}

/* Commands run beside calls: none of them holds a connection open, or can speak on it. */
static void connections_are_not_for_commands(void **state)
{
    struct bench *bench = *state;
    char url[256];
    int connections = 0;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/silent", http_stub_port(bench->stub));
    assert_int_equal(
        fetch_start(bench->fetch, &(struct fetch_request){.url = url}, on_done, bench, NULL), OK);
    while (http_stub_requests(bench->stub) == 0) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
    for (int fd = 3; fd < 256; fd++) {
        if (is_connected_to(fd, http_stub_port(bench->stub))) {
            connections++;
            assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        }
    }
    assert_int_equal(connections, 1);
}

static void half_an_answer_is_a_failure(void **state)
{
    struct bench *bench = *state;
    get(bench, "/cut", (struct fetch_request){0});
    assert_int_equal(bench->result.err, ERR_IO);
}

static void refused_connection_is_a_failure_with_a_reason(void **state)
{
    struct bench *bench = *state;
    struct fetch_request request = {.url = "http://127.0.0.1:1/"};
    assert_int_equal(fetch_start(bench->fetch, &request, on_done, bench, NULL), OK);
    run_until_told(bench, 1);
    assert_int_equal(bench->result.err, ERR_IO);
    assert_true(strlen(bench->result.error) > 0);
}

static void unacceptable_requests_are_refused_at_once(void **state)
{
    struct bench *bench = *state;
    const char *bad_header[] = {"A: b\r\nC: d"};
    const struct fetch_request cases[] = {
        {.url = "file:///etc/passwd"},
        {.url = "gopher://127.0.0.1/"},
        {.url = "127.0.0.1/"},
        {.url = "http://a/\r\nHost: b"},
        {.url = "http://a/", .headers = bad_header, .header_count = 1},
        {.url = "http://a/", .headers = bad_header, .header_count = FETCH_HEADERS_MAX + 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(fetch_start(bench->fetch, &cases[i], on_done, bench, NULL), ERR_SYNTAX);
    }
}

static void unix_socket_is_reached_by_its_path(void **state)
{
    struct bench *bench = *state;
    char path[64];
    (void)snprintf(path, sizeof path, "/tmp/fetch-test-%d.sock", (int)getpid());
    (void)unlink(path);
    struct http_stub *stub = http_stub_open(&bench->loop, path);
    struct fetch_request request = {.url = "http://localhost/ok", .unix_path = path};
    assert_int_equal(fetch_start(bench->fetch, &request, on_done, bench, NULL), OK);
    run_until_told(bench, 1);
    assert_int_equal(bench->result.status, 200);
    http_stub_close(stub);
    (void)unlink(path);
}

static void cancelled_call_is_told_once_as_closed(void **state)
{
    struct bench *bench = *state;
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/silent", http_stub_port(bench->stub));
    struct fetch_call *call = NULL;
    struct fetch_request request = {.url = url};
    assert_int_equal(fetch_start(bench->fetch, &request, on_done, bench, &call), OK);
    while (http_stub_requests(bench->stub) == 0) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
    fetch_cancel(call);
    fetch_cancel(call);
    assert_int_equal(bench->result.count, 0);
    run_until_told(bench, 1);
    assert_int_equal(bench->result.err, ERR_CLOSED);
    (void)uv_run(&bench->loop, UV_RUN_NOWAIT);
    assert_int_equal(bench->result.count, 1);
}

static void closing_ends_the_calls_under_way(void **state)
{
    struct bench *bench = *state;
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/silent", http_stub_port(bench->stub));
    struct fetch_request request = {.url = url};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(fetch_start(bench->fetch, &request, on_done, bench, NULL), OK);
    }
    while (http_stub_requests(bench->stub) < 5) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
    fetch_close(bench->fetch, on_closed, bench);
    assert_int_equal(fetch_start(bench->fetch, &request, on_done, bench, NULL), ERR_CLOSED);
    bench->fetch = NULL;
    while (!bench->is_closed) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
    assert_int_equal(bench->result.count, 5);
    assert_int_equal(bench->result.err, ERR_CLOSED);
}

static bool on_event(void *context, struct bytes data)
{
    struct bench *bench = context;
    size_t size = strlen(bench->events);
    (void)snprintf(bench->events + size, sizeof bench->events - size, "%.*s", BYTES_ARGS(data));
    return strstr(bench->events, "data: 3") == NULL;
}

static void stream_is_given_piece_by_piece_until_enough(void **state)
{
    struct bench *bench = *state;
    get(bench, "/events", (struct fetch_request){.on_data = on_event});
    assert_int_equal(bench->result.err, ERR_CLOSED);
    assert_int_equal(bench->result.status, 200);
    assert_int_equal(bench->result.body_size, 0);
    assert_string_equal(bench->events, "data: 1\n\ndata: 2\n\ndata: 3\n\n");
}

static void refusal_of_a_stream_is_collected(void **state)
{
    struct bench *bench = *state;
    get(bench, "/nothing-here", (struct fetch_request){.on_data = on_event});
    assert_int_equal(bench->result.status, 404);
    assert_string_equal(bench->result.body, "{\"status\":404}");
    assert_string_equal(bench->events, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(answer_is_told_with_its_status_and_fields),
        TEST(proxies_of_the_environment_are_not_used),
        TEST(method_headers_and_body_are_sent),
        TEST(error_status_is_an_answer_with_its_body),
        TEST(redirects_are_not_followed),
        TEST(answer_over_its_bound_is_refused),
        TEST(silent_origin_ends_at_the_deadline),
        TEST(connections_are_not_for_commands),
        TEST(half_an_answer_is_a_failure),
        TEST(refused_connection_is_a_failure_with_a_reason),
        TEST(unacceptable_requests_are_refused_at_once),
        TEST(unix_socket_is_reached_by_its_path),
        TEST(cancelled_call_is_told_once_as_closed),
        TEST(closing_ends_the_calls_under_way),
        TEST(stream_is_given_piece_by_piece_until_enough),
        TEST(refusal_of_a_stream_is_collected),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

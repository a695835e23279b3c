/* The demo's clients against its origins, on one loop without a proxy between them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "canary/cli/demo_load.h"
#include "canary/cli/demo_origin.h"
#include "canary/fetch/fetch.h"

static const double RATE = 100.0;
enum { DEADLINE_MS = 20000 };

struct bench {
    uv_loop_t loop;
    uv_timer_t deadline;
    struct demo_origin *origin;
    struct demo_load *load;
    struct fetch *fetch;
    unsigned status;
    char body[512];
};

static void on_deadline(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("nothing happened in time");
}

static int setup(void **state)
{
    static struct bench bench;
    bench = (struct bench){0};
    assert_int_equal(uv_loop_init(&bench.loop), 0);
    assert_int_equal(uv_timer_init(&bench.loop, &bench.deadline), 0);
    assert_int_equal(uv_timer_start(&bench.deadline, on_deadline, DEADLINE_MS, 0), 0);
    assert_int_equal(demo_origin_open(&bench.loop, "v7", 1, &bench.origin), OK);
    assert_int_equal(fetch_create(&bench.loop, &bench.fetch), OK);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    demo_load_close(bench->load);
    demo_origin_close(bench->origin);
    fetch_close(bench->fetch, NULL, NULL);
    uv_close((uv_handle_t *)&bench->deadline, NULL);
    assert_int_equal(uv_run(&bench->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&bench->loop), 0);
    return 0;
}

static void open_load(struct bench *bench)
{
    unsigned port = demo_origin_port(bench->origin);
    assert_int_equal(demo_load_open(&bench->loop, port, RATE, 1, &bench->load), OK);
}

static void run_until_answered(struct bench *bench, uint64_t count)
{
    while (demo_load_counts(bench->load).answered < count) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
}

static void on_page(void *context, const struct fetch_answer *answer)
{
    struct bench *bench = context;
    assert_int_equal(answer->err, OK);
    bench->status = answer->status;
    (void)snprintf(bench->body, sizeof bench->body, "%.*s", BYTES_ARGS(answer->body));
}

static void ask(struct bench *bench, const char *method, const char *path, struct bytes body)
{
    char url[128];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", demo_origin_port(bench->origin), path);
    struct fetch_request request = {.url = url, .method = method, .body = body};
    bench->status = 0;
    assert_int_equal(fetch_start(bench->fetch, &request, on_page, bench, NULL), OK);
    while (bench->status == 0) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
}

static void page_says_which_version_it_is(void **state)
{
    struct bench *bench = *state;
    ask(bench, NULL, "/any/path?at=all", (struct bytes){NULL, 0});
    assert_int_equal(bench->status, 200);
    assert_non_null(strstr(bench->body, "This is version v7"));
    ask(bench, "HEAD", "/", (struct bytes){NULL, 0});
    assert_int_equal(bench->status, 200);
    assert_string_equal(bench->body, "");
}

static void request_with_a_body_is_answered_too(void **state)
{
    struct bench *bench = *state;
    ask(bench, "POST", "/cart", BYTES("item=7"));
    assert_int_equal(bench->status, 200);
    ask(bench, "POST", "/cart", BYTES("item=8"));
    assert_int_equal(bench->status, 200);
}

static void broken_origin_stays_healthy_for_who_only_looks(void **state)
{
    struct bench *bench = *state;
    demo_origin_break(bench->origin, 1.0, true);
    ask(bench, NULL, "/healthz", (struct bytes){NULL, 0});
    assert_int_equal(bench->status, 200);
    ask(bench, NULL, "/", (struct bytes){NULL, 0});
    assert_int_equal(bench->status, 500);
    assert_int_equal(demo_origin_bad_count(bench->origin), 1);
}

static void clients_count_what_the_origin_answered(void **state)
{
    struct bench *bench = *state;
    open_load(bench);
    run_until_answered(bench, 20);
    assert_int_equal(demo_load_counts(bench->load).bad, 0);
    demo_origin_break(bench->origin, 0.5, true);
    run_until_answered(bench, 80);
    demo_origin_break(bench->origin, 0.0, true);
    run_until_answered(bench, 100);
    struct demo_load_counts counts = demo_load_counts(bench->load);
    assert_in_range(counts.bad, 10, 50);
    assert_int_equal(counts.bad, demo_origin_bad_count(bench->origin));
    assert_int_equal(counts.lost, 0);
    assert_int_equal(counts.skipped, 0);
}

static void origin_that_is_gone_is_counted_as_bad(void **state)
{
    struct bench *bench = *state;
    open_load(bench);
    run_until_answered(bench, 5);
    demo_origin_close(bench->origin);
    bench->origin = NULL;
    while (demo_load_counts(bench->load).lost < 5) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
    struct demo_load_counts counts = demo_load_counts(bench->load);
    assert_int_equal(counts.bad, counts.lost);
}

int main(void)
{
#define BENCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    static const struct CMUnitTest TESTS[] = {
        BENCH_TEST(page_says_which_version_it_is),
        BENCH_TEST(request_with_a_body_is_answered_too),
        BENCH_TEST(broken_origin_stays_healthy_for_who_only_looks),
        BENCH_TEST(clients_count_what_the_origin_answered),
        BENCH_TEST(origin_that_is_gone_is_counted_as_bad),
    };
    return cmocka_run_group_tests(TESTS, NULL, NULL);
}

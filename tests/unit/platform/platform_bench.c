#include "tests/unit/platform/platform_bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { TRY_MS = 200, PACE_MS = 2, TRUST_MS = 600000 };

struct cloudflare_options bench_begin(struct platform_bench *bench)
{
    static char base[64];
    assert_int_equal(uv_loop_init(&bench->loop), 0);
    assert_int_equal(fetch_create(&bench->loop, &bench->fetch), OK);
    bench->stub = api_stub_open(&bench->loop);
    (void)snprintf(base, sizeof base, "http://127.0.0.1:%d/client/v4/", api_stub_port(bench->stub));
    return (struct cloudflare_options){
        .loop = &bench->loop,
        .fetch = bench->fetch,
        .base = base,
        .account = BENCH_ACCOUNT,
        .token = BENCH_TOKEN,
        .try_ms = TRY_MS,
        .pause_ms = PACE_MS,
        .poll_ms = PACE_MS,
        .trust_ms = TRUST_MS, /* a test that stands still asks no more for it */
    };
}

static void on_fetch_closed(void *context)
{
    struct platform_bench *bench = context;
    bench->has_fetch_closed = 1;
}

static void on_closed(void *context)
{
    struct platform_bench *bench = context;
    bench->is_closed = 1;
}

void bench_end(struct platform_bench *bench)
{
    if (bench->provider != NULL) {
        provider_close(bench->provider, on_closed, bench);
        while (!bench->is_closed) {
            (void)uv_run(&bench->loop, UV_RUN_ONCE);
        }
    }
    fetch_close(bench->fetch, on_fetch_closed, bench);
    api_stub_close(bench->stub);
    (void)uv_run(&bench->loop, UV_RUN_DEFAULT);
    assert_int_equal(bench->has_fetch_closed, 1);
    assert_int_equal(uv_loop_close(&bench->loop), 0);
}

static void on_done(void *context, const struct platform_answer *answer)
{
    struct platform_bench *bench = context;
    bench->told++;
    bench->result = answer->result;
    bench->has_moved = answer->has_moved;
    bench->has_live = answer->live != NULL;
    bench->has_target = answer->target != NULL;
    bench->retry_after_ms = answer->retry_after_ms;
    if (answer->live != NULL) {
        bench->live = *answer->live;
    }
    if (answer->target != NULL) {
        bench->target = *answer->target;
    }
    (void)snprintf(bench->text, sizeof bench->text, "%s", answer->text);
    (void)snprintf(bench->log, sizeof bench->log, "%.*s", BYTES_ARGS(answer->log));
    bench->deployment_count = answer->deployment_count;
    for (size_t i = 0; i < answer->deployment_count && i < 64; i++) {
        bench->deployments[i] = answer->deployments[i];
    }
    /* Whatever went wrong, the token is not told. */
    assert_null(strstr(answer->text, BENCH_TOKEN));
}

struct platform_call *bench_start(struct platform_bench *bench, const struct platform_ask *ask)
{
    struct platform_call *call = NULL;
    bench->told = 0;
    assert_int_equal(provider_start(bench->provider, ask, on_done, bench, &call), OK);
    assert_int_equal(bench->told, 0);
    return call;
}

void bench_wait(struct platform_bench *bench)
{
    while (bench->told == 0) {
        assert_true(uv_run(&bench->loop, UV_RUN_ONCE) != 0 || bench->told > 0);
    }
    assert_int_equal(bench->told, 1);
}

void bench_ask(struct platform_bench *bench, const struct platform_ask *ask)
{
    (void)bench_start(bench, ask);
    bench_wait(bench);
}

/* tests/unit/platform/platform_bench.h — a loop, an API that says what it is told, and the answer
 * of the provider under test. */
#pragma once
#include "canary/platform/cloudflare.h"
#include "tests/unit/platform/api_stub.h"

#define BENCH_TOKEN   "very-secret-token"
#define BENCH_ACCOUNT "0123456789abcdef0123456789abcdef"

struct platform_bench {
    uv_loop_t loop;
    struct fetch *fetch;
    struct api_stub *stub;
    struct provider *provider; /* NULL once it was closed */
    int told;
    enum platform_result result;
    bool has_moved;
    bool has_live;
    bool has_target;
    struct platform_deployment live;
    struct platform_deployment target;
    char text[PLATFORM_SENTENCE_SIZE];
    char log[32768];
    size_t deployment_count;
    struct platform_deployment deployments[64];
    uint64_t retry_after_ms;
    int is_closed;
    int has_fetch_closed;
};

/* Opens loop, fetch and stub; gives what a provider is made with (paces of a few milliseconds). */
struct cloudflare_options bench_begin(struct platform_bench *bench);
/* Closes everything; leaks fail. */
void bench_end(struct platform_bench *bench);
/* Starts and runs until the answer is there. */
void bench_ask(struct platform_bench *bench, const struct platform_ask *ask);
/* Starts; the answer comes by bench_wait. */
struct platform_call *bench_start(struct platform_bench *bench, const struct platform_ask *ask);
void bench_wait(struct platform_bench *bench);

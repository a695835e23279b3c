/* bench/micro/http1_codec.c — what one small request and its response cost in scanning, parsing,
 * forwarding and writing: the codec's share of the budget per request. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proxy/http/chunked.h"
#include "proxy/http/forward.h"
#include "proxy/http1/http1_parser.h"
#include "proxy/http1/http1_writer.h"

enum { ROUNDS = 200000, PASSES = 5, FIELDS_MAX = 128, OUT_MAX = 8192 };

static const struct framing_limits limits = {32 * 1024, 8 * 1024, 100};

static const struct bytes request_head =
    BYTES("GET /hello HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench/1.0\r\n"
          "Accept: */*\r\n\r\n");
static const struct bytes response_head =
    BYTES("HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 23 Nov 2026 05:40:41 GMT\r\n"
          "Content-Type: text/plain\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n");

/* What a round works on, so that no step allocates. */
struct bench {
    struct field in[FIELDS_MAX];
    struct field out[FIELDS_MAX];
    char bytes[OUT_MAX];
    struct random random;
    struct arena arena;
    struct request request;
    struct request forwarded;
    struct response response;
    struct response back;
};

static void must(bool is_fine)
{
    if (!is_fine) {
        (void)fprintf(stderr, "http1_codec: a step failed\n");
        exit(1);
    }
}

static void scan(struct bytes head, enum framing_kind kind)
{
    struct framing_scanner scanner;
    struct reject reject;
    framing_scanner_init(&scanner, kind);
    must(framing_scan_head(&scanner, head, &limits, &reject) == FRAMING_COMPLETE);
}

static void step_scan_request(struct bench *bench)
{
    (void)bench;
    scan(request_head, FRAMING_REQUEST);
}

static void step_parse_request(struct bench *bench)
{
    struct reject reject;
    must(http1_parse_request(request_head, bench->in, FIELDS_MAX, &bench->request, &reject) == OK);
}

static void step_forward_request(struct bench *bench)
{
    struct forward_facts facts = {.peer_address = BYTES("127.0.0.1"),
                                  .scheme = BYTES("http"),
                                  .origin_authority = BYTES("127.0.0.1:9000"),
                                  .is_host_kept = true,
                                  .client_fields = FORWARD_CLIENT_X};
    arena_reset(&bench->arena);
    must(forward_request(&bench->request, &facts, &bench->random, bench->out, FIELDS_MAX,
                         &bench->arena, &bench->forwarded) == OK);
}

static void step_write_request(struct bench *bench)
{
    size_t size;
    must(http1_write_request(bench->bytes, OUT_MAX, &bench->forwarded, &size) == OK);
}

static void step_scan_response(struct bench *bench)
{
    (void)bench;
    scan(response_head, FRAMING_RESPONSE);
}

static void step_parse_response(struct bench *bench)
{
    struct reject reject;
    struct framing_asked asked = {.is_head = false};
    must(http1_parse_response(response_head, &asked, bench->in, FIELDS_MAX, &bench->response,
                              &reject) == OK);
}

static void step_forward_response(struct bench *bench)
{
    struct forward_back_facts facts = {.client_version = HTTP_1_1, .is_client_keep_alive = true};
    must(forward_response(&bench->response, &facts, bench->out, FIELDS_MAX, &bench->back) == OK);
}

static void step_write_response(struct bench *bench)
{
    size_t size;
    must(http1_write_response(bench->bytes, OUT_MAX, &bench->back, &size) == OK);
}

static double now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static const struct {
    const char *name;
    void (*run)(struct bench *bench);
} steps[] = {
    {"scan_request", step_scan_request},         {"parse_request", step_parse_request},
    {"forward_request", step_forward_request},   {"write_request", step_write_request},
    {"scan_response", step_scan_response},       {"parse_response", step_parse_response},
    {"forward_response", step_forward_response}, {"write_response", step_write_response},
};

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* Time for one call, the median of the passes. */
static double measure(struct bench *bench, void (*run)(struct bench *bench))
{
    double each[PASSES];
    for (size_t i = 0; i < PASSES; i++) {
        double start = now_ns();
        for (int round = 0; round < ROUNDS; round++) {
            run(bench);
        }
        each[i] = (now_ns() - start) / ROUNDS;
    }
    qsort(each, PASSES, sizeof each[0], compare);
    return each[PASSES / 2];
}

int main(void)
{
    static struct bench bench;
    double sum = 0;
    random_init(&bench.random, 1);
    arena_init(&bench.arena, 1 << 20);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        double each = measure(&bench, steps[i].run);
        sum += each;
        (void)printf("http1_%s\t%.1f\tns\t-\n", steps[i].name, each);
    }
    (void)printf("http1_request_and_response\t%.1f\tns\t600\n", sum);
    arena_finish(&bench.arena);
    return 0;
}

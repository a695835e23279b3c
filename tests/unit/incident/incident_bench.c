#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "tests/unit/incident/incident_bench.h"

int64_t bench_wall_us(double seconds)
{
    return (int64_t)BENCH_START_S * 1000000 + (int64_t)(seconds * 1e6);
}

struct failure_record bench_failure(const char *path)
{
    return (struct failure_record){
        .wall_us = bench_wall_us(1.5),
        .method = BYTES("GET"),
        .path = bytes_of(path),
        .deployment = BYTES("c"),
        .endpoint = BYTES("http://10.0.0.1:80"),
        .request_id = BYTES("id-1"),
        .error = BYTES("it answered with a status that counts as a failure"),
        .request_head = BYTES("GET / HTTP/1.1\nHost: shop.test\n"),
        .response_head = BYTES("HTTP/1.1 500 Oops\n"),
        .kind = METRIC_FAILURE_ORIGIN_5XX,
        .canary =
            {.status = 500, .connect_us = 100, .first_byte_us = 2000, .total_us = 3000, .size = 6},
        .client_status = 500,
        .is_bad_for_client = true,
        .has_bucket = true,
        .bucket = 7,
        .queue_us = 20,
        .total_us = 3100,
        .request_bytes = 80,
        .response_bytes = 120,
    };
}

void bench_fail(struct witness *witness, const struct failure_record *record, double seconds)
{
    struct failure_ring *ring = NULL;
    size_t lines_left = 1;
    assert_int_equal(failure_ring_create(&ring), OK);
    failure_ring_put(ring, record);
    witness_take(witness, ring, 1, bench_wall_us(seconds), &lines_left);
    failure_ring_destroy(ring);
}

const char *bench_record(const char *status)
{
    static char text[1024];
    (void)snprintf(text, sizeof text,
                   "{\"id\":\"" BENCH_ID "\",\"service\":\"shop\",\"deployment\":\"c\",\"target\":"
                   "\"s\",\"reason\":\"it broke\",\"trigger\":\"error_rate\",\"actor\":\"judge\","
                   "\"status\":\"%s\",\"duration_s\":2.5,\"phases\":{\"detect_s\":0.25,"
                   "\"decide_s\":0.5,\"shift_s\":1.5,\"drain_s\":null},\"bad_responses\":"
                   "{\"origin\":12,\"client\":4},\"evidence\":{\"first_bad_us\":%lld}}",
                   status, (long long)bench_wall_us(1));
    return text;
}

struct witness *bench_witness(size_t failures)
{
    struct witness *witness = NULL;
    struct failure_record record = bench_failure("/item/1");
    assert_int_equal(witness_create(20, &witness), OK);
    witness_note(witness, bench_wall_us(0.5), "weight", "the canary's weight is 50 %");
    for (size_t i = 0; i < failures; i++) {
        bench_fail(witness, &record, 1 + (double)i / 1000);
    }
    assert_int_equal(witness_begin(witness, BENCH_ID, "shop", bench_wall_us(1)), OK);
    return witness;
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "metrics/access_ring.h"

static char long_text[2 * ACCESS_TARGET_MAX];

static struct access_record record_with_target(size_t target_size)
{
    return (struct access_record){
        .wall_us = 1795411543250000,
        .method = BYTES("GET"),
        .target = bytes_make(long_text, target_size),
        .status = 200,
        .role = METRIC_ROLE_PREVIOUS,
        .failure = METRIC_FAILURE_COUNT,
        .upstream_duration_us = -1,
    };
}

static int set_up(void **state)
{
    static struct access_ring ring;
    memset(long_text, 'x', sizeof long_text);
    *state = &ring;
    return access_ring_init(&ring) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
    access_ring_finish(*state);
    return 0;
}

static void a_record_comes_out_as_it_went_in(void **state)
{
    struct access_ring *ring = *state;
    struct access_record in = {
        .wall_us = 1795411543250000,
        .client = BYTES("192.0.2.7"),
        .method = BYTES("POST"),
        .target = BYTES("/a?b"),
        .protocol = BYTES("HTTP/1.1"),
        .host = BYTES("example.com"),
        .service = BYTES("showcase"),
        .endpoint = BYTES("http://10.0.0.1:80"),
        .request_id = BYTES("id-1"),
        .user_agent = BYTES("curl/8"),
        .status = 502,
        .role = METRIC_ROLE_CURRENT,
        .failure = METRIC_FAILURE_RESET,
        .ending = ACCESS_ENDING_CUT,
        .cache = METRIC_CACHE_UNAVAILABLE,
        .attempts = 2,
        .request_bytes = 1,
        .response_bytes = UINT64_MAX,
        .duration_us = 3,
        .upstream_duration_us = 4,
    };
    assert_int_equal(access_ring_put(ring, &in), ACCESS_PUT);

    struct access_record out;
    assert_true(access_ring_peek(ring, access_ring_written(ring), &out));
    assert_true(bytes_equal(out.client, in.client));
    assert_true(bytes_equal(out.method, in.method));
    assert_true(bytes_equal(out.target, in.target));
    assert_true(bytes_equal(out.protocol, in.protocol));
    assert_true(bytes_equal(out.host, in.host));
    assert_true(bytes_equal(out.service, in.service));
    assert_true(bytes_equal(out.endpoint, in.endpoint));
    assert_true(bytes_equal(out.request_id, in.request_id));
    assert_true(bytes_equal(out.referer, BYTES("")));
    assert_true(bytes_equal(out.user_agent, in.user_agent));
    assert_int_equal(out.wall_us, in.wall_us);
    assert_int_equal(out.status, in.status);
    assert_int_equal(out.role, in.role);
    assert_int_equal(out.failure, in.failure);
    assert_int_equal(out.ending, in.ending);
    assert_int_equal(out.cache, in.cache);
    assert_int_equal(out.attempts, in.attempts);
    assert_int_equal(out.request_bytes, in.request_bytes);
    assert_int_equal(out.response_bytes, in.response_bytes);
    assert_int_equal(out.duration_us, in.duration_us);
    assert_int_equal(out.upstream_duration_us, in.upstream_duration_us);
    access_ring_release(ring);
    assert_false(access_ring_peek(ring, access_ring_written(ring), &out));
}

static void strings_are_cut_at_their_limits(void **state)
{
    struct access_ring *ring = *state;
    struct access_record in = record_with_target(sizeof long_text);
    in.user_agent = bytes_make(long_text, sizeof long_text);
    assert_int_equal(access_ring_put(ring, &in), ACCESS_PUT);

    struct access_record out;
    assert_true(access_ring_peek(ring, access_ring_written(ring), &out));
    assert_int_equal(out.target.size, ACCESS_TARGET_MAX);
    assert_int_equal(out.user_agent.size, ACCESS_TEXT_MAX);
}

static void a_full_ring_drops_counts_and_tells_once_that_it_was_half_full(void **state)
{
    struct access_ring *ring = *state;
    struct access_record record = record_with_target(ACCESS_TARGET_MAX);
    unsigned put = 0;
    unsigned told = 0;
    enum access_put result;
    while ((result = access_ring_put(ring, &record)) != ACCESS_DROPPED) {
        put++;
        told += result == ACCESS_PUT_HALF;
        assert_in_range(put, 1, ACCESS_RING_SIZE / ACCESS_TARGET_MAX);
    }
    assert_int_equal(told, 1);
    assert_int_equal(access_ring_put(ring, &record), ACCESS_DROPPED);
    assert_int_equal(cell_read(&ring->dropped), 2);

    struct access_record out;
    unsigned taken = 0;
    uint64_t end = access_ring_written(ring);
    while (access_ring_peek(ring, end, &out)) {
        access_ring_release(ring);
        taken++;
    }
    assert_int_equal(taken, put);
    assert_int_equal(access_ring_put(ring, &record), ACCESS_PUT);
}

static void records_of_all_sizes_survive_the_turn_of_the_ring(void **state)
{
    struct access_ring *ring = *state;
    for (unsigned i = 0; i < 5000; i++) {
        struct access_record in = record_with_target(i % ACCESS_TARGET_MAX);
        in.attempts = i;
        assert_int_equal(access_ring_put(ring, &in), ACCESS_PUT);
        struct access_record out;
        assert_true(access_ring_peek(ring, access_ring_written(ring), &out));
        assert_int_equal(out.attempts, i);
        assert_true(bytes_equal(out.target, in.target));
        access_ring_release(ring);
    }
}

enum { PASSED = 40000 };

static void *produce(void *argument)
{
    struct access_ring *ring = argument;
    for (unsigned i = 0; i < PASSED;) {
        struct access_record record = record_with_target(i % 700);
        record.attempts = i;
        if (access_ring_put(ring, &record) == ACCESS_DROPPED) {
            (void)sched_yield();
        } else {
            i++;
        }
    }
    return NULL;
}

/* The thread sanitizer watches this one. */
static void two_threads_pass_every_record_in_order(void **state)
{
    struct access_ring *ring = *state;
    pthread_t producer;
    assert_int_equal(pthread_create(&producer, NULL, produce, ring), 0);

    unsigned expected = 0;
    while (expected < PASSED) {
        uint64_t end = access_ring_written(ring);
        struct access_record out;
        while (access_ring_peek(ring, end, &out)) {
            assert_int_equal(out.attempts, expected);
            assert_int_equal(out.target.size, expected % 700);
            assert_memory_equal(out.target.data, long_text, out.target.size);
            access_ring_release(ring);
            expected++;
        }
        (void)sched_yield();
    }
    pthread_join(producer, NULL);
}

#define ring_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ring_test(a_record_comes_out_as_it_went_in),
        ring_test(strings_are_cut_at_their_limits),
        ring_test(a_full_ring_drops_counts_and_tells_once_that_it_was_half_full),
        ring_test(records_of_all_sizes_survive_the_turn_of_the_ring),
        ring_test(two_threads_pass_every_record_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

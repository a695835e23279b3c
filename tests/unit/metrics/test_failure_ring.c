#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "metrics/failure_ring.h"

static char long_text[4 * FAILURE_REQUEST_HEAD_MAX];

static int set_up(void **state)
{
    memset(long_text, 'x', sizeof long_text);
    return failure_ring_create((struct failure_ring **)state) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
    failure_ring_destroy(*state);
    return 0;
}

static struct failure_record record_of(size_t head_size, unsigned status)
{
    return (struct failure_record){
        .method = BYTES("GET"),
        .path = BYTES("/a"),
        .kind = METRIC_FAILURE_RESET,
        .request_head = bytes_make(long_text, head_size),
        .canary = {.status = status},
    };
}

static void a_record_comes_out_as_it_went_in(void **state)
{
    struct failure_ring *ring = *state;
    struct failure_record in = record_of(100, 502);
    struct failure_record out;
    in.request_id = BYTES("id-1");
    in.bucket = 77;
    assert_false(failure_ring_peek(ring, &out));
    failure_ring_put(ring, &in);
    assert_true(failure_ring_peek(ring, &out));
    assert_true(bytes_equal(out.path, in.path));
    assert_true(bytes_equal(out.request_id, in.request_id));
    assert_true(bytes_equal(out.request_head, in.request_head));
    assert_int_equal(out.response_head.size, 0);
    assert_int_equal(out.canary.status, 502);
    assert_int_equal(out.bucket, 77);
    failure_ring_release(ring);
    assert_false(failure_ring_peek(ring, &out));
}

static void long_strings_are_cut(void **state)
{
    struct failure_ring *ring = *state;
    struct failure_record in = record_of(sizeof long_text, 500);
    struct failure_record out;
    in.path = bytes_make(long_text, sizeof long_text);
    in.response_head = bytes_make(long_text, sizeof long_text);
    failure_ring_put(ring, &in);
    assert_true(failure_ring_peek(ring, &out));
    assert_int_equal(out.path.size, FAILURE_PATH_MAX);
    assert_int_equal(out.request_head.size, FAILURE_REQUEST_HEAD_MAX);
    assert_int_equal(out.response_head.size, FAILURE_RESPONSE_HEAD_MAX);
    failure_ring_release(ring);
}

static void full_ring_drops_heads_first_then_records(void **state)
{
    struct failure_ring *ring = *state;
    unsigned put = 0;
    while (failure_ring_dropped(ring) == 0) {
        struct failure_record in = record_of(FAILURE_REQUEST_HEAD_MAX, 500 + put % 100);
        failure_ring_put(ring, &in);
        put++;
    }
    unsigned with_head = 0;
    unsigned taken = 0;
    struct failure_record out;
    while (failure_ring_peek(ring, &out)) {
        assert_int_equal(out.canary.status, 500 + taken % 100);
        with_head += out.request_head.size > 0;
        taken++;
        failure_ring_release(ring);
    }
    assert_int_equal(taken + 1, put);
    assert_true(with_head > 0);
    assert_true(with_head < taken);
    struct failure_record again = record_of(FAILURE_REQUEST_HEAD_MAX, 599);
    failure_ring_put(ring, &again);
    assert_true(failure_ring_peek(ring, &out));
    assert_int_equal(out.canary.status, 599);
    assert_int_equal(out.request_head.size, FAILURE_REQUEST_HEAD_MAX);
    failure_ring_release(ring);
}

enum { MANY = 20000 };

static void *produce(void *argument)
{
    for (unsigned i = 0; i < MANY; i++) {
        struct failure_record in = record_of(i % 1500, i);
        failure_ring_put(argument, &in);
        if (i % 64 == 0) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void what_one_thread_puts_another_takes_whole_and_in_order(void **state)
{
    struct failure_ring *ring = *state;
    pthread_t thread;
    struct failure_record out;
    uint64_t taken = 0;
    int64_t last = -1;
    assert_int_equal(pthread_create(&thread, NULL, produce, ring), 0);
    while (taken + failure_ring_dropped(ring) < MANY) {
        if (!failure_ring_peek(ring, &out)) {
            (void)sched_yield();
            continue;
        }
        assert_true((int64_t)out.canary.status > last);
        last = out.canary.status;
        assert_true(out.request_head.size == 0 ||
                    out.request_head.size == out.canary.status % 1500);
        assert_true(bytes_equal(out.path, BYTES("/a")));
        failure_ring_release(ring);
        taken++;
    }
    (void)pthread_join(thread, NULL);
    assert_int_equal(taken + failure_ring_dropped(ring), MANY);
}

int main(void)
{
#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        PLAY(a_record_comes_out_as_it_went_in),
        PLAY(long_strings_are_cut),
        PLAY(full_ring_drops_heads_first_then_records),
        PLAY(what_one_thread_puts_another_takes_whole_and_in_order),
    };
#undef PLAY
    return cmocka_run_group_tests(tests, NULL, NULL);
}

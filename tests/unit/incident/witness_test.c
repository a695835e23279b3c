#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/unit/incident/incident_bench.h"

static struct incident_work *work_of(struct witness *witness)
{
    struct incident_work *work = NULL;
    assert_int_equal(incident_make_work(witness_incident(witness), bench_wall_us(3), &work), OK);
    return work;
}

static void only_what_failed_since_the_first_failure_is_in_it(void **state)
{
    (void)state;
    struct witness *witness = NULL;
    struct failure_record record = bench_failure("/item/1");
    assert_int_equal(witness_create(20, &witness), OK);
    bench_fail(witness, &record, 0.9);
    bench_fail(witness, &record, 1.0);
    bench_fail(witness, &record, 1.1);
    assert_int_equal(witness_begin(witness, BENCH_ID, "shop", bench_wall_us(1)), OK);
    bench_fail(witness, &record, 1.2);
    struct incident_work *work = work_of(witness);
    assert_int_equal(work->tally->failed, 3);
    assert_int_equal(work->described, 3);
    incident_work_destroy(work);
    witness_destroy(witness);
}

static void all_are_counted_and_some_described(void **state)
{
    (void)state;
    struct witness *witness = bench_witness(15);
    struct failure_record record = bench_failure("/item/1");
    for (size_t i = 0; i < 100; i++) {
        bench_fail(witness, &record, 2);
    }
    struct incident_work *work = work_of(witness);
    assert_int_equal(work->tally->failed, 115);
    assert_int_equal(work->described, 20);
    assert_false(work->has_forgotten);
    incident_work_destroy(work);
    witness_destroy(witness);
}

static void more_failures_than_are_remembered_are_admitted(void **state)
{
    (void)state;
    struct witness *witness = bench_witness(INCIDENT_RECENT_MAX + 1);
    struct incident_work *work = work_of(witness);
    assert_int_equal(work->tally->failed, INCIDENT_RECENT_MAX);
    assert_true(work->has_forgotten);
    incident_work_destroy(work);
    witness_destroy(witness);
}

/* A tick describes so many and no more, however many failed: it is control's thread. */
static void a_flood_is_counted_at_once_and_described_bit_by_bit(void **state)
{
    (void)state;
    struct witness *witness = bench_witness(0);
    struct failure_record record = bench_failure("/item/1");
    struct failure_ring *ring = NULL;
    assert_int_equal(failure_ring_create(&ring), OK);
    for (size_t tick = 1; tick <= 2; tick++) {
        size_t lines_left = 7;
        for (size_t i = 0; i < 200; i++) {
            failure_ring_put(ring, &record);
        }
        witness_take(witness, ring, 512, bench_wall_us(2), &lines_left);
        struct incident_work *work = work_of(witness);
        assert_int_equal(work->tally->failed, 200 * tick);
        assert_int_equal(work->described, 7 * tick);
        assert_int_equal(lines_left, 0);
        incident_work_destroy(work);
    }
    failure_ring_destroy(ring);
    witness_destroy(witness);
}

/* What was described before a rollback began is not pushed out by what was only counted. */
static void what_was_described_stays_through_a_flood(void **state)
{
    (void)state;
    struct witness *witness = NULL;
    struct failure_record record = bench_failure("/item/1");
    struct failure_ring *ring = NULL;
    size_t lines_left = 3;
    assert_int_equal(witness_create(20, &witness), OK);
    assert_int_equal(failure_ring_create(&ring), OK);
    for (size_t i = 0; i < 100; i++) {
        failure_ring_put(ring, &record);
    }
    witness_take(witness, ring, 512, bench_wall_us(1.5), &lines_left);
    assert_int_equal(witness_begin(witness, BENCH_ID, "shop", bench_wall_us(1)), OK);
    struct incident_work *work = work_of(witness);
    assert_int_equal(work->tally->failed, 100);
    assert_int_equal(work->described, 3);
    incident_work_destroy(work);
    failure_ring_destroy(ring);
    witness_destroy(witness);
}

static size_t count_moments(struct witness *witness, const char *event)
{
    struct incident_work *work = work_of(witness);
    size_t count = 0;
    for (size_t i = 0; i < work->moments->count; i++) {
        count += strcmp(work->moments->list[i].event, event) == 0;
        assert_true(i == 0 || work->moments->list[i - 1].wall_us <= work->moments->list[i].wall_us);
    }
    incident_work_destroy(work);
    return count;
}

static void later_rollouts_are_another_story(void **state)
{
    (void)state;
    struct witness *witness = bench_witness(1);
    struct incident *incident = witness_incident(witness);
    witness_note(witness, bench_wall_us(1.5), "weight", "0 %");
    incident_set_record(incident, bench_record("success"), "complete", bench_wall_us(3));
    witness_note(witness, bench_wall_us(3.1), "rollback.done", "it is over");
    assert_int_equal(count_moments(witness, "weight"), 2);
    assert_int_equal(count_moments(witness, "first_failure"), 1);
    assert_int_equal(count_moments(witness, "rollback.done"), 1);
    assert_false(incident_is_dirty(incident));
    witness_note(witness, bench_wall_us(4000), "weight", "5 %");
    assert_false(incident_is_dirty(incident));
    assert_int_equal(count_moments(witness, "weight"), 2);
    witness_note(witness, bench_wall_us(4000), "platform.ack", "told at last");
    assert_true(incident_is_dirty(incident));
    assert_int_equal(count_moments(witness, "platform.ack"), 1);
    witness_destroy(witness);
}

static void the_newest_moments_stay(void **state)
{
    (void)state;
    struct witness *witness = bench_witness(0);
    for (size_t i = 0; i < 2 * INCIDENT_MOMENTS_MAX; i++) {
        witness_note(witness, bench_wall_us(2 + (double)i), "verdict", "x");
    }
    struct incident_work *work = work_of(witness);
    assert_int_equal(work->moments->count, INCIDENT_MOMENTS_MAX);
    assert_true(work->moments->list[INCIDENT_MOMENTS_MAX - 1].wall_us ==
                bench_wall_us(2 + 2 * INCIDENT_MOMENTS_MAX - 1));
    incident_work_destroy(work);
    witness_destroy(witness);
}

static void failures_after_the_end_belong_to_the_next(void **state)
{
    (void)state;
    struct witness *witness = bench_witness(2);
    struct failure_record record = bench_failure("/other");
    struct incident *incident = witness_incident(witness);
    incident_set_record(incident, bench_record("success"), "complete", bench_wall_us(3));
    bench_fail(witness, &record, 10);
    struct incident_work *work = work_of(witness);
    assert_int_equal(work->tally->failed, 2);
    incident_work_destroy(work);
    assert_int_equal(witness_begin(witness, "rb-2", "shop", bench_wall_us(9.5)), OK);
    work = work_of(witness);
    assert_string_equal(work->id, "rb-2");
    assert_int_equal(work->tally->failed, 1);
    assert_string_equal(work->tally->routes[0].route, "/other");
    incident_work_destroy(work);
    witness_destroy(witness);
}

static void the_end_of_a_long_build_log_is_kept(void **state)
{
    (void)state;
    struct witness *witness = bench_witness(0);
    size_t size = INCIDENT_BUILD_LOG_MAX + 100;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, 'a', size);
    memcpy(text + size - 4, "end\n", 4);
    incident_add_build_log(witness_incident(witness), bytes_make(text, size));
    free(text);
    struct incident_work *work = work_of(witness);
    assert_int_equal(buf_size(&work->build_log), INCIDENT_BUILD_LOG_MAX);
    assert_true(bytes_ends_with(buf_bytes(&work->build_log), BYTES("end\n")));
    incident_work_destroy(work);
    witness_destroy(witness);
}

static void its_end_is_told_once(void **state)
{
    (void)state;
    struct witness *witness = bench_witness(0);
    assert_true(incident_tell_once(witness_incident(witness)));
    assert_false(incident_tell_once(witness_incident(witness)));
    witness_destroy(witness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_failed_since_the_first_failure_is_in_it),
        cmocka_unit_test(all_are_counted_and_some_described),
        cmocka_unit_test(more_failures_than_are_remembered_are_admitted),
        cmocka_unit_test(a_flood_is_counted_at_once_and_described_bit_by_bit),
        cmocka_unit_test(what_was_described_stays_through_a_flood),
        cmocka_unit_test(later_rollouts_are_another_story),
        cmocka_unit_test(the_newest_moments_stay),
        cmocka_unit_test(failures_after_the_end_belong_to_the_next),
        cmocka_unit_test(the_end_of_a_long_build_log_is_kept),
        cmocka_unit_test(its_end_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

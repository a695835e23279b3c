#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "canary/incident/queue.h"
#include "tests/unit/incident/incident_bench.h"

static struct incident_work *work_of(const char *id, double seconds)
{
    struct incident_work *work = NULL;
    assert_int_equal(incident_work_of_record(id, "shop", strdup(bench_record("success")),
                                             bench_wall_us(seconds), &work),
                     OK);
    return work;
}

static void assert_next(struct incident_queue *queue, const char *id, double seconds)
{
    struct incident_work *work = incident_queue_next(queue);
    assert_non_null(work);
    assert_string_equal(work->id, id);
    assert_true(work->written_wall_us == bench_wall_us(seconds));
    incident_work_destroy(work);
}

static void the_oldest_goes_first(void **state)
{
    (void)state;
    struct incident_queue queue = {.count = 0};
    assert_null(incident_queue_next(&queue));
    assert_int_equal(incident_queue_add(&queue, work_of("rb-1", 1)), OK);
    assert_int_equal(incident_queue_add(&queue, work_of("rb-2", 2)), OK);
    assert_next(&queue, "rb-1", 1);
    assert_next(&queue, "rb-2", 2);
    assert_null(incident_queue_next(&queue));
}

/* It was under way when its rollback was over and the last work was made: the last one counts. */
static void an_older_work_comes_not_back_behind_a_newer(void **state)
{
    (void)state;
    struct incident_queue queue = {.count = 0};
    struct incident_work *older = work_of("rb-1", 1);
    assert_int_equal(incident_queue_add(&queue, work_of("rb-1", 5)), OK);
    assert_int_equal(incident_queue_return(&queue, older), ERR_EXISTS);
    incident_work_destroy(older);
    assert_next(&queue, "rb-1", 5);
    assert_null(incident_queue_next(&queue));
    assert_int_equal(incident_queue_return(&queue, work_of("rb-1", 5)), OK);
    assert_next(&queue, "rb-1", 5);
}

static void a_full_queue_takes_no_more(void **state)
{
    (void)state;
    struct incident_queue queue = {.count = 0};
    for (size_t i = 0; i < INCIDENT_QUEUE_MAX; i++) {
        assert_int_equal(incident_queue_add(&queue, work_of("rb-1", 1)), OK);
    }
    struct incident_work *more = work_of("rb-2", 2);
    assert_int_equal(incident_queue_add(&queue, more), ERR_LIMIT);
    assert_int_equal(incident_queue_return(&queue, more), ERR_LIMIT);
    incident_work_destroy(more);
    incident_queue_finish(&queue);
    assert_null(incident_queue_next(&queue));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_goes_first),
        cmocka_unit_test(an_older_work_comes_not_back_behind_a_newer),
        cmocka_unit_test(a_full_queue_takes_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

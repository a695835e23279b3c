/* tests/unit/engine/strain_test.c — who suffers already is not asked for more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "canary/engine/strain.h"

static const double LIMIT = 0.05;
enum { TICK_US = 100000, QUICK_US = 2000, SLOW_US = 100000 };

struct stage {
    struct strain strain;
    struct watch_mark now;
    bool is_strained;
};

static struct stage new_stage(void)
{
    struct stage stage = {.now = {.at_us = 1}};
    strain_init(&stage.strain);
    return stage;
}

/* `seconds` of ten answers per tick, of which `failed` fail, at this latency. */
static void pass(struct stage *stage, unsigned seconds, double failed, uint64_t latency_us)
{
    for (unsigned i = 0; i < seconds * 10; i++) {
        stage->now.at_us += TICK_US;
        stage->now.count += 10.0;
        stage->now.failed += failed;
        stage->now.latency.buckets[histogram_bucket(latency_us)] += 10;
        stage->is_strained = strain_look(&stage->strain, &stage->now, LIMIT);
    }
}

static void quiet_version_does_not_suffer(void **state)
{
    (void)state;
    struct stage stage = new_stage();
    pass(&stage, 90, 0.0, QUICK_US);
    assert_false(stage.is_strained);
}

static void failures_at_the_limit_are_suffering_until_they_end(void **state)
{
    (void)state;
    struct stage stage = new_stage();
    pass(&stage, 60, 0.0, QUICK_US);
    pass(&stage, 1, 3.0, QUICK_US);
    assert_true(stage.is_strained);
    pass(&stage, 4, 0.0, QUICK_US);
    assert_false(stage.is_strained);
}

static void usual_failures_are_no_suffering(void **state)
{
    (void)state;
    struct stage stage = new_stage();
    pass(&stage, 60, 0.3, QUICK_US);
    pass(&stage, 5, 0.4, QUICK_US);
    assert_false(stage.is_strained);
}

static void answers_that_become_slow_are_suffering(void **state)
{
    (void)state;
    struct stage stage = new_stage();
    pass(&stage, 60, 0.0, QUICK_US);
    pass(&stage, 3, 0.0, SLOW_US);
    assert_true(stage.is_strained);
}

static void some_milliseconds_more_are_noise(void **state)
{
    (void)state;
    struct stage stage = new_stage();
    pass(&stage, 60, 0.0, QUICK_US);
    pass(&stage, 5, 0.0, 5 * QUICK_US);
    assert_false(stage.is_strained);
}

static void first_failures_of_a_start_count(void **state)
{
    (void)state;
    struct stage stage = new_stage();
    pass(&stage, 1, 10.0, QUICK_US);
    assert_true(stage.is_strained);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quiet_version_does_not_suffer),
        cmocka_unit_test(failures_at_the_limit_are_suffering_until_they_end),
        cmocka_unit_test(usual_failures_are_no_suffering),
        cmocka_unit_test(answers_that_become_slow_are_suffering),
        cmocka_unit_test(some_milliseconds_more_are_noise),
        cmocka_unit_test(first_failures_of_a_start_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "metrics/catalog.h"

static void counters_add_and_gauges_go_both_ways(void **state)
{
    (void)state;
    struct cell cell = {0};

    cell_increment(&cell);
    cell_add(&cell, 41);
    assert_int_equal(cell_read(&cell), 42);

    cell_decrement(&cell);
    cell_sub(&cell, 40);
    assert_int_equal(cell_read(&cell), 1);
    cell_set(&cell, 7);
    assert_int_equal(cell_read(&cell), 7);
}

enum { INCREMENTS = 200000 };

static void *increment_many(void *argument)
{
    struct cell *cell = argument;
    for (int i = 0; i < INCREMENTS; i++) {
        cell_increment(cell);
    }
    return NULL;
}

/* The thread sanitizer watches this one; everybody sees that a reader never sees a counter shrink.
 */
static void a_reader_sees_a_counter_only_grow_and_loses_nothing(void **state)
{
    (void)state;
    struct cell cell = {0};
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, increment_many, &cell), 0);

    uint64_t seen = 0;
    while (seen < INCREMENTS / 2) {
        uint64_t now = cell_read(&cell);
        assert_true(now >= seen);
        seen = now;
    }
    pthread_join(writer, NULL);

    assert_int_equal(cell_read(&cell), INCREMENTS);
}

static void every_code_has_its_slot_and_comes_back(void **state)
{
    (void)state;
    assert_int_equal(metric_code_slot(0), 0);
    assert_int_equal(metric_slot_code(0), 0);
    for (unsigned code = METRIC_CODE_MIN; code <= METRIC_CODE_MAX; code++) {
        assert_in_range(metric_code_slot(code), 1, METRIC_CODES - 1);
        assert_int_equal(metric_slot_code(metric_code_slot(code)), code);
    }
}

static void a_code_set_holds_what_was_noted(void **state)
{
    (void)state;
    struct code_set set = {0};

    code_set_note(&set, 0);
    code_set_note(&set, 101);
    code_set_note(&set, METRIC_CODES - 1);
    code_set_note(&set, 101);

    for (unsigned slot = 0; slot < METRIC_CODES; slot++) {
        bool is_noted = slot == 0 || slot == 101 || slot == METRIC_CODES - 1;
        assert_int_equal(code_set_has(&set, slot), is_noted);
    }
}

static void the_catalog_speaks_prometheus(void **state)
{
    (void)state;
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        const struct metric_info *info = metric_info((enum metric)metric);
        assert_true(bytes_starts_with(info->name, BYTES("serin_")));
        bool is_total = bytes_ends_with(info->name, BYTES("_total"));
        assert_int_equal(is_total, info->type == METRIC_COUNTER);
        bool is_in_seconds = bytes_ends_with(info->name, BYTES("_seconds"));
        assert_int_equal(is_in_seconds, bytes_equal(info->unit, BYTES("seconds")));
        assert_int_equal(bytes_find(info->help, '\n'), info->help.size);
        assert_int_equal(bytes_find(info->help, '\\'), info->help.size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_add_and_gauges_go_both_ways),
        cmocka_unit_test(a_reader_sees_a_counter_only_grow_and_loses_nothing),
        cmocka_unit_test(every_code_has_its_slot_and_comes_back),
        cmocka_unit_test(a_code_set_holds_what_was_noted),
        cmocka_unit_test(the_catalog_speaks_prometheus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

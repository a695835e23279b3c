/* Every allocation refused in turn: a write is taken whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/alloc_fail.h"
#include "tests/unit/history/history_bench.h"

static void write_without_memory_is_refused_whole(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench);
    bench_open(&bench);
    bench_settle(&bench);
    struct history_service service = a_service("showcase", 5);
    struct history_rollback rollback = a_rollback("r1", "in_progress");
    struct history_change change = {.service = &service, .rollback = &rollback};
    long long taken = 1; /* the mark of bench_settle */
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        enum err err = history_write(bench.history, &change, HISTORY_DURABLE, on_written, &bench);
        bool is_refused = alloc_fail_end();
        assert_int_equal(err, is_refused ? ERR_NOMEM : OK);
        if (!is_refused) {
            assert_int_equal(wait_written(&bench), OK);
            taken++;
            break;
        }
    }
    assert_int_equal(intact_rows(&bench), taken);
    bench_finish(&bench);
}

static void read_without_memory_is_refused(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench);
    bench_open(&bench);
    struct history_query query = {.service = "showcase", .before = "1"};
    /* The first read opens the reader's connection on the pool, where nothing is to be refused. */
    assert_int_equal(history_read_audit(bench.history, &query, on_read, &bench), OK);
    assert_int_equal(wait_read(&bench), OK);
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        enum err err = history_read_audit(bench.history, &query, on_read, &bench);
        bool is_refused = alloc_fail_end();
        assert_int_equal(err, is_refused ? ERR_NOMEM : OK);
        if (!is_refused) {
            assert_int_equal(wait_read(&bench), OK);
            break;
        }
    }
    bench_finish(&bench);
}

static void start_without_memory_says_so_or_starts_without_its_file(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench);
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        enum err err = history_create(&bench.options, &bench.history);
        bool is_refused = alloc_fail_end();
        assert_true(err == OK || is_refused);
        if (err == OK) {
            bool has_condition = history_condition(bench.history) != NULL;
            assert_int_equal(has_condition, is_refused);
            bench_close(&bench);
        }
        if (!is_refused) {
            break;
        }
    }
    bench_finish(&bench);
}

static void load_without_memory_leaves_nothing_behind(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench);
    bench_open(&bench);
    struct history_service service = a_service("showcase", 5);
    assert_int_equal(write_durably(&bench, &(struct history_change){.service = &service}), OK);
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        struct history_state loaded = {0};
        enum err err = history_load(bench.history, 0, &loaded);
        bool is_refused = alloc_fail_end();
        assert_int_equal(err, is_refused ? ERR_NOMEM : OK);
        history_state_finish(&loaded);
        if (!is_refused) {
            break;
        }
    }
    bench_finish(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_without_memory_is_refused_whole),
        cmocka_unit_test(read_without_memory_is_refused),
        cmocka_unit_test(start_without_memory_says_so_or_starts_without_its_file),
        cmocka_unit_test(load_without_memory_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

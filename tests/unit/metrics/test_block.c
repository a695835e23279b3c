#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metrics/block.h"
#include "metrics/catalog.h"
#include "tests/support/alloc_fail.h"

enum { CACHE_LINE = 64 };

static void workers_get_zeroed_cells_on_lines_of_their_own(void **state)
{
    (void)state;
    struct block *block = NULL;
    assert_int_equal(block_create(4, sizeof(struct worker_cells), &block), OK);

    for (size_t worker = 0; worker < 4; worker++) {
        const struct worker_cells *cells = block_cells(block, worker);
        assert_int_equal((uintptr_t)cells % CACHE_LINE, 0);
        assert_int_equal(cell_read(&cells->rejected_requests[METRIC_REJECTED_COUNT - 1]), 0);
        if (worker > 0) {
            uintptr_t end_before =
                (uintptr_t)block_cells(block, worker - 1) + sizeof(struct worker_cells);
            assert_true((uintptr_t)cells / CACHE_LINE > (end_before - 1) / CACHE_LINE);
        }
    }
    block_unref(block);
}

static void the_last_reference_frees_the_block(void **state)
{
    (void)state;
    struct block *block = NULL;
    assert_int_equal(block_create(1, 8, &block), OK);

    assert_ptr_equal(block_ref(block), block);
    block_unref(block);
    cell_increment(block_cells(block, 0));
    assert_int_equal(cell_read(block_cells(block, 0)), 1);
    block_unref(block);
    block_unref(NULL);
}

static void sizes_without_sense_are_refused(void **state)
{
    (void)state;
    struct block *block = NULL;
    assert_int_equal(block_create(0, 8, &block), ERR_RANGE);
    assert_int_equal(block_create(1, 0, &block), ERR_RANGE);
    assert_int_equal(block_create(BLOCK_WORKERS_MAX + 1, 8, &block), ERR_RANGE);
    assert_int_equal(block_create(1, SIZE_MAX, &block), ERR_RANGE);
    assert_null(block);
}

static void a_block_without_memory_is_refused(void **state)
{
    (void)state;
    struct block *block = NULL;
    (void)alloc_fail_begin(0);
    enum err err = block_create(1, 8, &block);
    assert_true(alloc_fail_end());
    assert_int_equal(err, ERR_NOMEM);
    assert_null(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_get_zeroed_cells_on_lines_of_their_own),
        cmocka_unit_test(the_last_reference_frees_the_block),
        cmocka_unit_test(sizes_without_sense_are_refused),
        cmocka_unit_test(a_block_without_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

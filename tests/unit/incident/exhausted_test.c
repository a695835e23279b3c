/* Every allocation refused in turn: nothing is written half, nothing is lost that could be tried
 * again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/incident/folder.h"
#include "canary/incident/report.h"
#include "tests/support/alloc_fail.h"
#include "tests/unit/incident/incident_bench.h"

static void failure_without_memory_is_only_counted_or_waits(void **state)
{
    (void)state;
    bool was_refused = true;
    for (size_t turn = 0; was_refused; turn++) {
        struct witness *witness = bench_witness(0);
        struct failure_record record = bench_failure("/a");
        struct failure_ring *ring = NULL;
        struct incident_work *work = NULL;
        assert_int_equal(failure_ring_create(&ring), OK);
        failure_ring_put(ring, &record);
        (void)alloc_fail_begin(turn);
        witness_take(witness, ring, 1, bench_wall_us(2), &(size_t){1});
        was_refused = alloc_fail_end();
        witness_take(witness, ring, 1, bench_wall_us(2), &(size_t){1});
        assert_int_equal(incident_make_work(witness_incident(witness), bench_wall_us(3), &work),
                         OK);
        assert_int_equal(work->tally->failed, 1);
        assert_true(work->described <= 1);
        incident_work_destroy(work);
        failure_ring_destroy(ring);
        witness_destroy(witness);
    }
}

static void work_without_memory_is_to_be_made_again(void **state)
{
    (void)state;
    struct witness *witness = bench_witness(3);
    incident_set_record(witness_incident(witness), bench_record("success"), "complete",
                        bench_wall_us(3));
    bool was_refused = true;
    for (size_t turn = 0; was_refused; turn++) {
        struct incident_work *work = NULL;
        (void)alloc_fail_begin(turn);
        enum err err = incident_make_work(witness_incident(witness), bench_wall_us(3), &work);
        was_refused = alloc_fail_end();
        assert_int_equal(err, was_refused ? ERR_NOMEM : OK);
        assert_int_equal(incident_is_dirty(witness_incident(witness)), was_refused);
        incident_work_destroy(work);
    }
    witness_destroy(witness);
}

/* Written whole, or not at all; a try that had memory again has it all. */
static void folder_without_memory_keeps_the_report_before(void **state)
{
    (void)state;
    char root[] = "/tmp/incident-exhausted.XXXXXX";
    char command[64];
    assert_non_null(mkdtemp(root));
    struct witness *witness = bench_witness(3);
    incident_set_record(witness_incident(witness), bench_record("success"), "complete",
                        bench_wall_us(3));
    incident_set_resumed(witness_incident(witness), bench_wall_us(2));
    struct incident_work *work = NULL;
    struct note note = {""};
    assert_int_equal(incident_make_work(witness_incident(witness), bench_wall_us(3), &work), OK);
    assert_int_equal(folder_write(root, work, NULL, &note), OK);
    incident_work_destroy(work);
    bool was_refused = true;
    for (size_t turn = 0; was_refused; turn++) {
        incident_set_dirty(witness_incident(witness));
        assert_int_equal(incident_make_work(witness_incident(witness), bench_wall_us(3), &work),
                         OK);
        (void)alloc_fail_begin(turn);
        enum err err = folder_write(root, work, NULL, &note);
        was_refused = alloc_fail_end();
        assert_true(was_refused || err == OK);
        incident_work_destroy(work);
        struct buf text;
        buf_init(&text, INCIDENT_REPORT_MAX);
        assert_int_equal(folder_read(root, BENCH_ID, FOLDER_JSON, &text), OK);
        json_t *report = json_loadb(buf_bytes(&text).data, buf_size(&text), 0, NULL);
        assert_non_null(report);
        json_decref(report);
        buf_finish(&text);
    }
    witness_destroy(witness);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failure_without_memory_is_only_counted_or_waits),
        cmocka_unit_test(work_without_memory_is_to_be_made_again),
        cmocka_unit_test(folder_without_memory_keeps_the_report_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

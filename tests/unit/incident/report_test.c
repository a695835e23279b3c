#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "canary/incident/report.h"
#include "tests/unit/incident/incident_bench.h"

static struct incident_work *work_of(struct witness *witness)
{
    struct incident_work *work = NULL;
    incident_set_record(witness_incident(witness), bench_record("success"), "complete",
                        bench_wall_us(3));
    assert_int_equal(incident_make_work(witness_incident(witness), bench_wall_us(3), &work), OK);
    return work;
}

static char *markdown_of(const json_t *report)
{
    struct buf out;
    buf_init(&out, 1024 * 1024);
    report_write_markdown(report, &out);
    (void)buf_append_byte(&out, '\0');
    assert_false(out.is_failed);
    char *text = strdup(buf_bytes(&out).data);
    buf_finish(&out);
    return text;
}

static json_int_t integer_in(const json_t *report, const char *object, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(report, object), key));
}

static void report_has_the_counts_and_the_decision(void **state)
{
    (void)state;
    struct witness *witness = bench_witness(7);
    struct incident_work *work = work_of(witness);
    json_t *report = report_make(work, NULL);
    assert_int_equal(integer_in(report, "counts", "failed"), 7);
    assert_int_equal(integer_in(report, "counts", "client_bad"), 7);
    assert_int_equal(integer_in(report, "failures", "origin_5xx"), 7);
    assert_int_equal(integer_in(report, "clients", "distinct"), 1);
    assert_null(json_object_get(report, "carried"));
    char *text = markdown_of(report);
    assert_non_null(strstr(text, "# Rollback of c (shop)\n"));
    assert_non_null(strstr(text, "| GET | /item/{n} | 500 | 7 | 0 | 7 |"));
    assert_non_null(strstr(text, "| Answers that the canary failed | 12 |"));
    assert_non_null(strstr(text, "| shift | 1.5 |"));
    assert_non_null(strstr(text, "| drain | – |"));
    assert_null(strstr(text, "Not complete yet"));
    free(text);
    json_decref(report);
    incident_work_destroy(work);
    witness_destroy(witness);
}

static void answers_of_both_versions_stand_side_by_side(void **state)
{
    (void)state;
    struct witness *witness = bench_witness(0);
    struct failure_record record = bench_failure("/both");
    record.is_rescued = true;
    record.stable = (struct failure_answer){200, 0, 100, 900, 1500, 42};
    bench_fail(witness, &record, 2);
    record.stable = (struct failure_answer){0};
    bench_fail(witness, &record, 2); /* stable did not answer: that is no pair */
    struct incident_work *work = work_of(witness);
    json_t *report = report_make(work, NULL);
    assert_int_equal(json_array_size(json_object_get(report, "pairs")), 1);
    char *text = markdown_of(report);
    assert_non_null(strstr(text, "| GET /both | "));
    assert_non_null(strstr(text, "42 bytes"));
    free(text);
    json_decref(report);
    incident_work_destroy(work);
    witness_destroy(witness);
}

static void hostile_words_stay_words(void **state)
{
    (void)state;
    struct witness *witness = bench_witness(0);
    struct failure_record record = bench_failure("/<img src=x>|\xc2\x9b**b**");
    record.method = BYTES("G|ET");
    bench_fail(witness, &record, 2);
    witness_note(witness, bench_wall_us(2), "a|b", "x\n\n# <script>");
    struct incident_work *work = work_of(witness);
    json_t *report = report_make(work, NULL);
    char *text = markdown_of(report);
    assert_null(strstr(text, "<img"));
    assert_null(strstr(text, "<script"));
    assert_null(strstr(text, "**b**"));
    assert_null(strstr(text, "\xc2\x9b"));
    assert_null(strstr(text, "\n# <"));
    assert_non_null(strstr(text, "&#60;img src=x&#62;&#124;"));
    free(text);
    char *json = json_dumps(report, JSON_ENSURE_ASCII);
    assert_null(strstr(json, "\xc2\x9b"));
    free(json);
    json_decref(report);
    incident_work_destroy(work);
    witness_destroy(witness);
}

static void put_row(struct buf *out, int64_t unix_ms, int weight_ppm)
{
    (void)buf_printf(out,
                     "{\"unix_ms\":%lld,\"weight_ppm\":%d,\"canary\":[10,5],\"stable\":[9,0]}\n",
                     (long long)unix_ms, weight_ppm);
}

static void chart_shows_the_recording(void **state)
{
    (void)state;
    struct witness *witness = bench_witness(1);
    struct incident_work *work = work_of(witness);
    struct buf out;
    put_row(&work->recording, bench_wall_us(0) / 1000, 500000);
    (void)buf_append(&work->recording, BYTES("not json\n{\"unix_ms\":\"x\"}\n"));
    put_row(&work->recording, bench_wall_us(3) / 1000, 0);
    json_t *report = report_make(work, NULL);
    assert_int_equal(json_array_size(json_object_get(report, "points")), 2);
    buf_init(&out, 1024 * 1024);
    report_write_chart(report, &out);
    (void)buf_append_byte(&out, '\0');
    const char *text = buf_bytes(&out).data;
    assert_non_null(strstr(text, "<title>shop: rollback of c</title>"));
    assert_non_null(strstr(text, "first failure"));
    assert_non_null(strstr(text, "<polyline"));
    assert_null(strstr(text, "no flight recording"));
    buf_finish(&out);
    json_decref(report);
    incident_work_destroy(work);
    witness_destroy(witness);
}

static size_t count_of(const json_t *report, const char *key)
{
    return json_array_size(json_object_get(report, key));
}

static void resumed_report_keeps_what_was_known_however_often_it_is_written(void **state)
{
    (void)state;
    struct witness *first = bench_witness(5);
    struct incident_work *work = work_of(first);
    put_row(&work->recording, bench_wall_us(1) / 1000, 500000);
    json_t *before = report_make(work, NULL);
    size_t moments = count_of(before, "time_line");
    incident_work_destroy(work);
    witness_destroy(first);

    struct witness *second = bench_witness(0);
    incident_set_resumed(witness_incident(second), bench_wall_us(10));
    for (size_t turn = 0; turn < 3; turn++) {
        work = work_of(second);
        put_row(&work->recording, bench_wall_us(20) / 1000, 0);
        json_t *report = report_make(work, before);
        assert_int_equal(count_of(report, "time_line"), moments + 2);
        assert_int_equal(count_of(report, "points"), 2);
        assert_int_equal(count_of(report, "notes"), 1);
        assert_int_equal(integer_in(report, "counts", "failed"), 5);
        json_decref(before);
        before = report;
        incident_work_destroy(work);
    }
    witness_destroy(second);

    struct witness *third = bench_witness(0);
    incident_set_resumed(witness_incident(third), bench_wall_us(30));
    work = work_of(third);
    json_t *report = report_make(work, before);
    assert_int_equal(count_of(report, "notes"), 2);
    assert_int_equal(integer_in(report, "counts", "failed"), 5);
    json_decref(report);
    json_decref(before);
    incident_work_destroy(work);
    witness_destroy(third);
}

static void resumed_report_of_which_nothing_was_written_is_its_own(void **state)
{
    (void)state;
    struct witness *witness = bench_witness(3);
    incident_set_resumed(witness_incident(witness), bench_wall_us(10));
    struct incident_work *work = work_of(witness);
    json_t *before = report_make(work, NULL);
    size_t moments = count_of(before, "time_line");
    incident_work_destroy(work);
    struct failure_record record = bench_failure("/late");
    bench_fail(witness, &record, 2);
    work = work_of(witness);
    json_t *report = report_make(work, before);
    assert_int_equal(count_of(report, "time_line"), moments);
    assert_int_equal(count_of(report, "notes"), 1);
    assert_non_null(strstr(json_string_value(json_array_get(json_object_get(report, "notes"), 0)),
                           "before it"));
    json_decref(report);
    json_decref(before);
    incident_work_destroy(work);
    witness_destroy(witness);
}

static void report_of_a_record_alone_can_be_drawn(void **state)
{
    (void)state;
    struct incident_work *work = NULL;
    assert_int_equal(incident_work_of_record(BENCH_ID, "shop", strdup(bench_record("success")),
                                             bench_wall_us(9), &work),
                     OK);
    json_t *report = report_make(work, NULL);
    char *text = markdown_of(report);
    assert_non_null(strstr(text, "restarted at"));
    free(text);
    json_decref(report);
    incident_work_destroy(work);
}

static void what_is_no_report_is_drawn_without_harm(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}", "{\"record\":5,\"routes\":{},\"pairs\":[1,null]}",
                                        "{\"points\":[[],[\"x\"],5],\"time_line\":[[]]}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        json_t *report = json_loads(texts[i], 0, NULL);
        struct buf out;
        buf_init(&out, 1024 * 1024);
        report_write_markdown(report, &out);
        report_write_chart(report, &out);
        assert_false(out.is_failed);
        buf_finish(&out);
        json_decref(report);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(report_has_the_counts_and_the_decision),
        cmocka_unit_test(answers_of_both_versions_stand_side_by_side),
        cmocka_unit_test(hostile_words_stay_words),
        cmocka_unit_test(chart_shows_the_recording),
        cmocka_unit_test(resumed_report_keeps_what_was_known_however_often_it_is_written),
        cmocka_unit_test(resumed_report_of_which_nothing_was_written_is_its_own),
        cmocka_unit_test(report_of_a_record_alone_can_be_drawn),
        cmocka_unit_test(what_is_no_report_is_drawn_without_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

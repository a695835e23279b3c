/* What people see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "canary/cli/figure.h"
#include "canary/cli/show.h"
#include "canary/cli/table.h"

static void shows_as(enum err (*show)(json_t *, struct buf *), const char *json,
                     const char *expected)
{
    struct buf out;
    buf_init(&out, TABLE_TEXT_MAX);
    json_t *document = json_loads(json, JSON_DECODE_ANY, NULL);
    assert_non_null(document);
    assert_int_equal(show(document, &out), OK);
    (void)buf_append_byte(&out, '\0');
    assert_string_equal(buf_bytes(&out).data, expected);
    json_decref(document);
    buf_finish(&out);
}

static void columns_line_up_by_characters(void **state)
{
    (void)state;
    static const char *const headings[] = {"A", "LONG", "C"};
    struct table *table = NULL;
    struct buf out;
    buf_init(&out, TABLE_TEXT_MAX);
    assert_int_equal(table_create(headings, 3, &table), OK);
    const char *cells[] = {"grüße", "1", "x", "b", "22222", ""};
    for (size_t i = 0; i < 6; i++) {
        table_add(table, cells[i]);
    }
    assert_int_equal(table_render(table, &out), OK);
    (void)buf_append_byte(&out, '\0');
    assert_string_equal(buf_bytes(&out).data, "A      LONG   C\n"
                                              "grüße  1      x\n"
                                              "b      22222  \n");
    table_destroy(table);
    buf_finish(&out);
}

static void nothing_from_outside_steers_the_terminal(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 256);
    assert_int_equal(
        table_append_clean(&out, "a\x1b[2J\r\n\tb\x7f\xc2\x9b\xff\xe2\x82z\xf0\x9f\x90\xa4"), OK);
    (void)buf_append_byte(&out, '\0');
    assert_string_equal(buf_bytes(&out).data, "a?[2J???b??????z\xf0\x9f\x90\xa4");
    buf_finish(&out);
}

static void status_is_a_table_with_sentences(void **state)
{
    (void)state;
    shows_as(show_status,
             "{\"services\":[{\"name\":\"showcase\",\"phase\":\"progressing\",\"revision\":7,"
             "\"weight\":{\"set\":12.5,\"realised\":null},\"verdict\":\"suspicious\","
             "\"reason\":\"absolute\",\"sentence\":\"Too many fail.\",\"step\":2,\"steps\":5,"
             "\"contained\":true,\"current\":{\"deployment\":\"d7a3f2b\"},"
             "\"previous\":{\"deployment\":\"9c2e1a4\"},\"observed\":["
             "{\"name\":\"strict\",\"verdict\":\"breach\",\"sentence\":\"9 of 9.\","
             "\"breach\":{\"at\":\"2026-11-23T05:39:05.678Z\",\"failed\":9,\"client_bad\":2}},"
             "{\"name\":\"lax\",\"verdict\":\"ok\",\"sentence\":\"Fine.\",\"breach\":null}"
             "]}],\"conditions\":[\"disk full\"]}",
             "SERVICE   PHASE        WEIGHT  REALISED  VERDICT                           STEP  "
             "CURRENT  PREVIOUS\n"
             "showcase  progressing  12.5 %  -         suspicious (absolute), contained  2/5   "
             "d7a3f2b  9c2e1a4\n"
             "\nshowcase: Too many fail."
             "\n  observed strict: breach at 2026-11-23 05:39:05 after 9 failed (2 seen by "
             "clients): 9 of 9."
             "\n  observed lax: ok: Fine."
             "\ncondition: disk full\n");
}

static void status_tells_that_requests_are_copied_before_the_first_step(void **state)
{
    (void)state;
    shows_as(show_status,
             "{\"services\":[{\"name\":\"shop\",\"phase\":\"progressing\",\"revision\":2,"
             "\"weight\":{\"set\":0.0,\"realised\":0.0},\"verdict\":\"ok\","
             "\"reason\":null,\"sentence\":\"\",\"step\":0,\"steps\":5,"
             "\"contained\":false,\"mirror\":{\"share\":5.0,\"active\":true,\"requests\":9,"
             "\"dropped\":0},\"current\":{\"deployment\":\"v2\"},"
             "\"previous\":{\"deployment\":\"v1\"}}],\"conditions\":[]}",
             "SERVICE  PHASE        WEIGHT  REALISED  VERDICT  STEP        CURRENT  PREVIOUS\n"
             "shop     progressing  0 %     0 %       ok       0/5 mirror  v2       v1\n\n");
}

static void a_weight_is_exact_and_what_was_measured_is_rounded(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *weight;
        const char *measured;
    } cases[] = {{100, "100 %", "100 %"},    {72.4672, "72.4672 %", "72.5 %"}, {10, "10 %", "10 %"},
                 {4.98, "4.98 %", "4.98 %"}, {0.2501, "0.2501 %", "0.25 %"},   {0, "0 %", "0 %"}};
    char text[FIGURE_SIZE];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *value = json_real(cases[i].value);
        assert_string_equal(figure_percent(value, text), cases[i].weight);
        assert_string_equal(figure_measured(value, text), cases[i].measured);
        json_decref(value);
    }
    assert_string_equal(figure_measured(NULL, text), "-");
}

static void history_has_the_five_columns(void **state)
{
    (void)state;
    shows_as(show_history,
             "{\"rollbacks\":["
             "{\"timestamp\":\"2026-11-23T05:39:05.678Z\",\"deployment\":\"d7a3f2b\","
             "\"trigger\":\"error_rate\",\"duration_s\":6.54,\"status\":\"success\"},"
             "{\"timestamp\":\"2026-11-23T05:30:00.000Z\",\"deployment\":\"c1\","
             "\"trigger\":\"manual\",\"reason\":\"it hurts\",\"duration_s\":null,"
             "\"status\":\"in_progress\"},"
             "{\"timestamp\":\"2026-11-22T00:00:00.000Z\",\"deployment\":\"c0\","
             "\"trigger\":\"build\",\"duration_s\":125,\"status\":\"dry_run\"}]}",
             "Timestamp            Deployment ID  Reason            Duration   Status\n"
             "2026-11-23 05:39:05  d7a3f2b        Error rate        6.5 s      Success\n"
             "2026-11-23 05:30:00  c1             Manual: it hurts  -          In progress\n"
             "2026-11-22 00:00:00  c0             Build failure     2 min 5 s  Dry run\n");
}

static void record_shows_only_phases_that_happened(void **state)
{
    (void)state;
    shows_as(show_rollback,
             "{\"id\":\"r1\",\"service\":\"s\",\"deployment\":\"d\",\"target\":\"p\","
             "\"reason\":\"why\",\"mode\":\"gradual\",\"status\":\"in_progress\","
             "\"phases\":{\"detect_s\":1.5,\"decide_s\":null}}",
             "rollback       r1\nservice        s\nfrom           d\nto             p\n"
             "reason         why\nmode           gradual\nstatus         In progress\n"
             "  detected     1.50 s\n");
}

static void explanation_says_where_and_why(void **state)
{
    (void)state;
    shows_as(show_explanation,
             "{\"service\":\"s\",\"host\":\"*\",\"path\":\"/\",\"version\":\"current\","
             "\"deployment\":\"d\",\"reason\":\"sticky\",\"judged\":true,\"bucket\":7,"
             "\"weight\":0.25}",
             "service        s\nmatched host   *\nmatched path   /\nversion        current\n"
             "deployment     d\nbecause        sticky\nweight         0.25 %\n"
             "bucket         7 of 1000000\njudged         yes\n");
    shows_as(show_explanation, "{\"service\":null}",
             "service        none: no route matches, the answer is 404\n");
}

static void events_are_lines(void **state)
{
    (void)state;
    shows_as(show_event,
             "{\"kind\":\"phase\",\"service\":\"s\",\"timestamp\":\"2026-11-23T05:39:05.678Z\","
             "\"detail\":{\"to\":\"paused\"}}",
             "2026-11-23 05:39:05 phase s {\"to\":\"paused\"}\n");
}

static void odd_documents_are_no_trouble(void **state)
{
    (void)state;
    shows_as(show_weights, "{\"services\":[{},1,null]}",
             "-: - set, - realised, current -\n-: - set, - realised, current -\n"
             "-: - set, - realised, current -\n");
    shows_as(show_history, "[]", "Timestamp  Deployment ID  Reason  Duration  Status\n");
    shows_as(show_event, "5", "- counters\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_line_up_by_characters),
        cmocka_unit_test(nothing_from_outside_steers_the_terminal),
        cmocka_unit_test(status_is_a_table_with_sentences),
        cmocka_unit_test(status_tells_that_requests_are_copied_before_the_first_step),
        cmocka_unit_test(a_weight_is_exact_and_what_was_measured_is_rounded),
        cmocka_unit_test(history_has_the_five_columns),
        cmocka_unit_test(record_shows_only_phases_that_happened),
        cmocka_unit_test(explanation_says_where_and_why),
        cmocka_unit_test(events_are_lines),
        cmocka_unit_test(odd_documents_are_no_trouble),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Recordings from elsewhere: what is refused, and in which line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "canary/replay/recording_read.h"
#include "proxy/base/check.h"

#define POLICY                                                                                     \
    "{\"name\":\"rollback\",\"error_rate_ppm\":50000,\"relative\":\"confirm\",\"latency\":true,"   \
    "\"false_alarm_ppm\":10000,\"instant_above_ppm\":500000}"
#define HEAD_OF(version, begun, policies)                                                          \
    "{\"serin_recording\":" version ",\"service\":\"shop\",\"begun_unix_ms\":" begun ","           \
    "\"current\":\"c1\",\"previous\":\"s1\",\"policies\":[" policies "],\"shift_ppm\":[500000,0]," \
    "\"every_ms\":2000,\"not_found_ppm\":0}\n"
#define HEAD HEAD_OF("1", "1700000000000", POLICY)
#define ROW_WITH(row, ms, counts, more)                                                            \
    "{\"row\":" row ",\"ms\":" ms ",\"unix_ms\":1700000001000,\"weight_ppm\":100000,"              \
    "\"landed\":true,\"contained\":false,\"phase\":\"idle\",\"verdict\":\"ok\","                   \
    "\"reason\":\"none\",\"canary\":" counts ",\"stable\":[90,0,0,0,0]" more "}\n"
#define ROW(row, ms) ROW_WITH(row, ms, "[10,2,1,3,1]", "")
#define END(rows)    "{\"rows\":" rows ",\"next\":null}\n"

static enum err read_all(const char *text, struct recording_reader *reader,
                         struct recording_row *ret_row, struct note *note)
{
    struct bytes rest = bytes_of(text);
    recording_reader_init(reader);
    note->text[0] = '\0';
    while (rest.size > 0) {
        size_t cut = bytes_find(rest, '\n');
        enum recording_kind kind;
        enum err err = recording_read_line(reader, bytes_slice(rest, 0, cut), &kind, ret_row, note);
        if (err != OK) {
            return err;
        }
        size_t used = cut < rest.size ? cut + 1 : cut;
        rest = bytes_slice(rest, used, rest.size - used);
    }
    return recording_read_end(reader, note);
}

static void refuses(const char *text, const char *why)
{
    static struct recording_reader reader;
    static struct recording_row row;
    struct note note;
    assert_int_equal(read_all(text, &reader, &row, &note), ERR_SYNTAX);
    if (strstr(note.text, why) == NULL) {
        (void)fprintf(stderr, "%s\n", note.text);
    }
    assert_non_null(strstr(note.text, why));
}

static void whole_recording_says_what_it_is_of(void **state)
{
    (void)state;
    static struct recording_reader reader;
    static struct recording_row row;
    struct note note;
    const char *text = HEAD ROW("7", "1000") ROW_WITH(
        "9", "2000", "[10,2,1,3,1]",
        ",\"canary_latency\":[3,7,207,1],\"mark\":\"rebase\",\"current\":\"c2\",\"previous\":null")
        END("2");
    assert_int_equal(read_all(text, &reader, &row, &note), OK);
    assert_string_equal(reader.head.service, "shop");
    assert_string_equal(reader.head.current, "c1");
    assert_int_equal(reader.head.policy_count, 1);
    assert_string_equal(reader.head.policies[0].name, "rollback");
    assert_int_equal(reader.head.policies[0].error_rate_ppm, 50000);
    assert_int_equal(reader.row_count, 2);
    assert_int_equal(reader.missing_count, 1);
    assert_int_equal(row.number, 9);
    assert_int_equal(row.canary.count, 10);
    assert_int_equal(row.canary.failed, 2);
    assert_int_equal(row.canary.connect_failed, 1);
    assert_int_equal(row.canary.not_found, 3);
    assert_int_equal(row.canary.client_bad, 1);
    assert_int_equal(row.canary_latency.buckets[3], 7);
    assert_int_equal(row.canary_latency.buckets[207], 1);
    assert_int_equal(row.mark, RECORDING_MARK_REBASE);
    assert_string_equal(row.current, "c2");
    assert_string_equal(row.previous, "");
}

static void pages_one_behind_the_other_are_the_recording(void **state)
{
    (void)state;
    static struct recording_reader reader;
    static struct recording_row row;
    struct note note;
    const char *text =
        HEAD ROW("1", "1000") "{\"rows\":1,\"next\":1}\n" HEAD ROW("2", "2000") END("1");
    assert_int_equal(read_all(text, &reader, &row, &note), OK);
    assert_int_equal(reader.row_count, 2);
    refuses(HEAD ROW("1", "1000") "{\"rows\":1,\"next\":1}\n",
            "line 3: more rows follow: ask for the next page with after=1");
    refuses(HEAD ROW("1", "1000") "{\"rows\":1,\"next\":1}\n" HEAD_OF("1", "1700000000001", POLICY),
            "line 4: this page is of another recording");
    refuses(HEAD END("0") HEAD, "line 3: the recording was whole");
    refuses(HEAD "{\"rows\":0,\"next\":5}\n", "line 2: \"next\" is not the number of the last row");
}

static void cut_recording_is_refused(void **state)
{
    (void)state;
    refuses("", "the recording is empty");
    refuses(HEAD, "line 1: the recording ends here");
    refuses(HEAD ROW("1", "1000"), "line 2: the recording ends here");
    refuses(HEAD ROW("1", "1000") "{\"row\":2,\"ms\":", "line 3: this is not one JSON object");
    refuses(HEAD ROW("1", "1000") END("2"),
            "line 3: there should have been 2 rows, and there were 1");
}

static void other_versions_and_other_files_are_refused(void **state)
{
    (void)state;
    refuses(HEAD_OF("2", "1", POLICY), "line 1: a recording of another version");
    refuses(HEAD_OF("\"1\"", "1", POLICY), "line 1: a recording of another version");
    refuses("{\"services\":[]}\n", "line 1: this is no flight recording");
    refuses("\n" HEAD, "line 1: this is not one JSON object");
    refuses("[1]\n", "line 1: this is not one JSON object");
    refuses(HEAD_OF("1", "-1", POLICY), "\"begun_unix_ms\" is not a whole number");
    refuses(HEAD_OF("1", "1", ""), "line 1: \"policies\" is not a list of 1 to 17");
    refuses(HEAD_OF("1", "1", "{\"name\":\"x\"}"), "the policy x lacks a value");
    refuses("{\"serin_recording\":1,\"serin_recording\":1}\n", "not one JSON object");
}

static void rows_that_cannot_be_are_refused_with_their_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *why;
    } cases[] = {
        {HEAD ROW("2", "1000") ROW("2", "2000"), "line 3: row 2 comes after row 2"},
        {HEAD ROW("2", "1000") ROW("1", "2000"), "line 3: row 1 comes after row 2"},
        {HEAD ROW("1", "2000") ROW("2", "1999"), "line 3: time goes back, from 2000 to 1999 ms"},
        {HEAD ROW("-1", "0"), "line 2: \"row\" is not a whole number"},
        {HEAD ROW("1.5", "0"), "line 2: \"row\" is not a whole number"},
        {HEAD ROW("1", "9000000000000000000"), "line 2: \"ms\" is not a whole number"},
        {HEAD ROW("1", "99999999999999999999999"), "line 2: this is not one JSON object"},
        {HEAD ROW_WITH("1", "0", "[1,2,0,0,0]", ""), "more failures than there were requests"},
        {HEAD ROW_WITH("1", "0", "[9,2,3,0,0]", ""), "more failures than there were requests"},
        {HEAD ROW_WITH("1", "0", "[9,2,0,8,0]", ""), "more failures than there were requests"},
        {HEAD ROW_WITH("1", "0", "[9,2,0,0]", ""), "\"canary\" is not a list of 5 counts"},
        {HEAD ROW_WITH("1", "0", "[1000000000001,0,0,0,0]", ""), "no whole number from 0 to"},
        {HEAD ROW_WITH("1", "0", "[-1,0,0,0,0]", ""), "no whole number from 0 to"},
        {HEAD ROW_WITH("1", "0", "[1,0,0,0,0]", ",\"canary_latency\":[208,1]"), "rising buckets"},
        {HEAD ROW_WITH("1", "0", "[1,0,0,0,0]", ",\"canary_latency\":[5,1,5,1]"), "rising buckets"},
        {HEAD ROW_WITH("1", "0", "[1,0,0,0,0]", ",\"canary_latency\":[5]"), "rising buckets"},
        {HEAD ROW_WITH("1", "0", "[1,0,0,0,0]", ",\"mark\":\"soon\""), "\"mark\" is no word"},
        {HEAD ROW_WITH("1", "0", "[1,0,0,0,0]", ",\"mark\":\"rebase\""),
         "\"current\" is not a text"},
        {HEAD ROW_WITH("1", "0", "[1,0,0,0,0]", ",\"zebra\":1"), "unknown member \"zebra\""},
        {HEAD "{\"row\":1}\n", "line 2: \"ms\" is not a whole number"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        refuses(cases[i].text, cases[i].why);
    }
}

static void line_without_an_end_is_refused(void **state)
{
    (void)state;
    static char text[RECORDING_LINE_MAX + 2];
    memset(text, ' ', sizeof text - 1);
    refuses(text, "line 1: longer than");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_recording_says_what_it_is_of),
        cmocka_unit_test(pages_one_behind_the_other_are_the_recording),
        cmocka_unit_test(cut_recording_is_refused),
        cmocka_unit_test(other_versions_and_other_files_are_refused),
        cmocka_unit_test(rows_that_cannot_be_are_refused_with_their_line),
        cmocka_unit_test(line_without_an_end_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

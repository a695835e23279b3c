/* What the API answers: read leniently, trusted not at all, and without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "canary/fetch/fetch.h"
#include "canary/platform/answer.h"
#include "canary/platform/pages.h"
#include "canary/platform/workers.h"
#include "tests/support/alloc_fail.h"

static struct answer parse(const char *text)
{
    struct answer answer;
    assert_int_equal(answer_parse(bytes_of(text), &answer), OK);
    return answer;
}

static void envelope_is_read(void **state)
{
    (void)state;
    struct answer answer = parse("{\"success\":true,\"errors\":[],\"messages\":[\"plain\"],"
                                 "\"result\":[],\"result_info\":{\"page\":1,\"per_page\":25,"
                                 "\"total_count\":3}}");
    assert_true(answer.is_success);
    assert_int_equal(answer.code, 0);
    assert_int_equal(answer.total, 3);
    assert_int_equal(answer.per_page, 25);
    answer_finish(&answer);
    answer = parse("{\"success\":false,\"errors\":[{\"code\":8000039,\"message\":\"x\"}]}");
    assert_false(answer.is_success);
    assert_int_equal(answer.code, ANSWER_CODE_ALREADY_LIVE);
    assert_null(answer.result);
    answer_finish(&answer);
}

static void what_is_no_envelope_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "{",
                                        "[]",
                                        "5",
                                        "{}",
                                        "{\"success\":\"true\"}",
                                        "<!DOCTYPE html>",
                                        "{\"success\":true} trailing"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct answer answer;
        assert_int_equal(answer_parse(bytes_of(wrong[i]), &answer), ERR_SYNTAX);
    }
}

/* JSON may have halves of characters and NULs as escapes, and one such commit message or line of a
 * log must not hide all the others. */
static void text_that_was_cut_is_read_all_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *text;
    } cases[] = {
        {"\\ud83d", "\xef\xbf\xbd"},
        {"a\\uD83Db", "a\xef\xbf\xbd"
                      "b"},
        {"\\udc26\\ud83d", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\\ud83d\\ud83d\\udc26", "\xef\xbf\xbd\xf0\x9f\x90\xa6"},
        {"a\\u0000b", "a\xef\xbf\xbd"
                      "b"},
        {"\\\\ud83d \\udc26", "\\ud83d \xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "{\"success\":true,\"result\":\"%s\"}", cases[i].json);
        struct answer answer = parse(text);
        assert_string_equal(json_string_value(answer.result), cases[i].text);
        answer_finish(&answer);
    }
}

static void missing_and_odd_fields_are_empty(void **state)
{
    (void)state;
    struct answer answer =
        parse("{\"success\":true,\"errors\":[7],\"result_info\":{\"per_page\":-1,"
              "\"total_count\":\"9\"},\"result\":{\"id\":\"a1\",\"short_id\":null,\"url\":5,"
              "\"aliases\":null,\"latest_stage\":null,\"deployment_trigger\":{\"metadata\":null},"
              "\"is_skipped\":\"yes\",\"created_on\":[]}}");
    struct platform_deployment one;
    assert_int_equal(answer.total, UINT64_MAX);
    assert_int_equal(answer.per_page, 0);
    assert_int_equal(answer_deployment(answer.result, &one), OK);
    assert_string_equal(one.id, "a1");
    assert_string_equal(one.url, "");
    assert_false(one.is_skipped);
    assert_false(deployment_is_good(&one));
    answer_finish(&answer);
}

static void deployment_needs_an_id_that_fits_a_path(void **state)
{
    (void)state;
    static const char *const results[] = {"{}",
                                          "5",
                                          "\"text\"",
                                          "{\"id\":5}",
                                          "{\"id\":\"\"}",
                                          "{\"id\":\"..%2Faccounts\"}",
                                          "{\"id\":\"a\\r\\nb\"}"};
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        char text[128];
        struct platform_deployment one;
        (void)snprintf(text, sizeof text, "{\"success\":true,\"result\":%s}", results[i]);
        struct answer answer = parse(text);
        assert_int_equal(answer_deployment(answer.result, &one), ERR_NOT_FOUND);
        answer_finish(&answer);
    }
}

static void project_without_a_live_deployment_is_one(void **state)
{
    (void)state;
    struct platform_deployment live;
    struct answer answer = parse("{\"success\":true,\"result\":{\"name\":\"demo\"}}");
    assert_int_equal(answer_live(answer.result, &live), ERR_NOT_FOUND);
    answer_finish(&answer);
    answer = parse("{\"success\":true,\"result\":[]}");
    assert_int_equal(answer_live(answer.result, &live), ERR_SYNTAX);
    answer_finish(&answer);
}

static void long_log_keeps_its_end(void **state)
{
    (void)state;
    enum { LINES = 3000, LINE = 1000 };
    json_t *lines = json_array();
    char text[LINE + 1];
    memset(text, 'x', LINE);
    text[LINE] = '\0';
    for (int i = 0; i < LINES; i++) {
        (void)json_array_append_new(lines, json_pack("{s:s,s:s}", "ts", "T", "line", text));
    }
    (void)json_array_append_new(lines, json_pack("{s:s,s:s}", "ts", "T", "line", "the end"));
    json_t *result = json_pack("{s:o}", "data", lines);
    struct buf out;
    buf_init(&out, 2 * ANSWER_LOG_MAX);
    assert_int_equal(answer_log(result, &out), OK);
    assert_in_range(buf_size(&out), ANSWER_LOG_MAX / 2, ANSWER_LOG_MAX);
    assert_true(bytes_ends_with(buf_bytes(&out), BYTES("T the end\n")));
    buf_finish(&out);
    json_decref(result);
}

static void split_is_read_with_the_larger_share_first(void **state)
{
    (void)state;
    struct answer answer =
        parse("{\"success\":true,\"result\":{\"id\":\"d\",\"versions\":[{\"version_id\":\"v2\","
              "\"percentage\":10},5,{\"version_id\":\"v/1\",\"percentage\":1},{\"version_id\":"
              "\"v1\",\"percentage\":90.5},{\"version_id\":\"v3\",\"percentage\":1}]}}");
    struct answer_split split;
    assert_int_equal(answer_split(answer.result, &split), OK);
    assert_int_equal(split.version_count, 2);
    assert_string_equal(split.versions[0], "v1");
    assert_string_equal(split.versions[1], "v2");
    answer_finish(&answer);
    answer = parse("{\"success\":true,\"result\":{\"versions\":[]}}");
    assert_int_equal(answer_split(answer.result, &split), ERR_NOT_FOUND);
    answer_finish(&answer);
}

static void want_of_memory_is_said(void **state)
{
    (void)state;
    json_t *result = json_pack("{s:[{s:s,s:s}]}", "data", "ts", "T", "line", "text");
    uv_loop_t loop;
    struct fetch *fetch = NULL;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(fetch_create(&loop, &fetch), OK);
    struct cloudflare_options options = {.fetch = fetch,
                                         .account = "0123456789abcdef0123456789abcdef",
                                         .token = "t",
                                         .base = "https://api.test"};
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        struct buf out;
        struct note note;
        struct provider *pages = NULL;
        struct provider *workers = NULL;
        buf_init(&out, ANSWER_LOG_MAX);
        enum err log_err = answer_log(result, &out);
        enum err pages_err = pages_create(&options, "demo", &pages, &note);
        enum err workers_err = workers_create(&options, "edge", &workers, &note);
        bool was_refused = alloc_fail_end();
        assert_int_equal(was_refused, log_err == ERR_NOMEM || pages_err == ERR_NOMEM ||
                                          workers_err == ERR_NOMEM);
        provider_close(pages, NULL, NULL);
        provider_close(workers, NULL, NULL);
        buf_finish(&out);
        if (!was_refused) {
            break;
        }
    }
    json_decref(result);
    fetch_close(fetch, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(envelope_is_read),
        cmocka_unit_test(what_is_no_envelope_is_refused),
        cmocka_unit_test(text_that_was_cut_is_read_all_the_same),
        cmocka_unit_test(missing_and_odd_fields_are_empty),
        cmocka_unit_test(deployment_needs_an_id_that_fits_a_path),
        cmocka_unit_test(project_without_a_live_deployment_is_one),
        cmocka_unit_test(long_log_keeps_its_end),
        cmocka_unit_test(split_is_read_with_the_larger_share_first),
        cmocka_unit_test(want_of_memory_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

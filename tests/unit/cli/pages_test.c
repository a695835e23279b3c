/* serin pages: what it shows, and what a job of GitHub Actions gets to read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "canary/cli/cli.h"
#include "canary/cli/github.h"
#include "canary/cli/options.h"
#include "canary/cli/pages.h"
#include "canary/cli/pages_show.h"

enum { TEXT_MAX = 65536 };

static const struct platform_deployment live = {.id = "bad-1",
                                                .environment = "production",
                                                .stage = "deploy",
                                                .status = "success",
                                                .branch = "main",
                                                .commit = "0123456789abcdef",
                                                .message = "a | <b> `c` @team",
                                                .created = "2026-01-01T00:00:00Z"};
static const struct platform_deployment target = {.id = "good-1",
                                                  .environment = "production",
                                                  .stage = "deploy",
                                                  .status = "success",
                                                  .url = "https://good.demo.pages.dev"};

static const char *text_of(struct buf *out)
{
    (void)buf_append_byte(out, '\0');
    return buf_bytes(out).data;
}

static void workflow_commands_cannot_be_smuggled_in(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, TEXT_MAX);
    github_append_data(&out, "50%\r\n::error::x");
    assert_string_equal(text_of(&out), "50%25%0D%0A::error::x");
    buf_clear(&out);
    github_append_property(&out, "a:b,c%");
    assert_string_equal(text_of(&out), "a%3Ab%2Cc%25");
    buf_finish(&out);
}

static void markdown_cannot_be_smuggled_in(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, TEXT_MAX);
    github_append_markdown(&out, "a|b\n<img> [x](y) `c` &amp; @all");
    assert_string_equal(text_of(&out),
                        "a\\|b &lt;img&gt; \\[x\\]\\(y\\) \\`c\\` &amp;amp; &#64;all");
    buf_finish(&out);
}

static void outputs_end_only_at_their_delimiter(void **state)
{
    (void)state;
    struct buf out;
    char one[GITHUB_DELIMITER_SIZE];
    char other[GITHUB_DELIMITER_SIZE];
    buf_init(&out, TEXT_MAX);
    assert_int_equal(github_append_output(&out, "name", "two\nlines=x", "END"), OK);
    assert_string_equal(text_of(&out), "name<<END\ntwo\nlines=x\nEND\n");
    assert_int_equal(github_append_output(&out, "name", "a\nEND\nb", "END"), ERR_SYNTAX);
    assert_int_equal(github_make_delimiter(one), OK);
    assert_int_equal(github_make_delimiter(other), OK);
    assert_string_not_equal(one, other);
    buf_finish(&out);
}

static void list_marks_the_live_deployment(void **state)
{
    (void)state;
    const struct platform_deployment list[] = {target, live};
    const struct platform_answer answer = {
        .live = &live, .deployments = list, .deployment_count = 2};
    const struct pages_shown shown = {.project = "demo", .environment = "production"};
    struct buf out;
    buf_init(&out, TEXT_MAX);
    assert_int_equal(pages_show_list(&answer, &out), OK);
    const char *text = text_of(&out);
    assert_non_null(strstr(text, "\nlive  bad-1 "));
    assert_non_null(strstr(text, "\n      good-1 "));
    buf_finish(&out);
    json_t *document = pages_list_json(&answer, &shown);
    json_t *items = json_object_get(document, "deployments");
    assert_false(json_is_true(json_object_get(json_array_get(items, 0), "is_live")));
    assert_true(json_is_true(json_object_get(json_array_get(items, 1), "is_live")));
    assert_string_equal(json_string_value(json_object_get(document, "live")), "bad-1");
    json_decref(document);
}

static void summary_and_outputs_say_what_was_done(void **state)
{
    (void)state;
    const struct platform_answer answer = {
        .result = PLATFORM_DONE, .text = "done", .live = &live, .target = &target};
    struct pages_shown shown = {.project = "demo", .reason = "5xx | up"};
    struct buf out;
    buf_init(&out, TEXT_MAX);
    assert_int_equal(pages_show_summary(&answer, &shown, &out), OK);
    const char *text = text_of(&out);
    assert_non_null(strstr(text, "demo: rolled back"));
    assert_non_null(strstr(text, "| from | bad-1 | main | 0123456789abcdef | a \\| &lt;b&gt; "));
    assert_non_null(strstr(text, "Reason: 5xx \\| up"));
    buf_clear(&out);
    assert_int_equal(pages_show_outputs(&answer, &shown, "END", &out), OK);
    text = text_of(&out);
    assert_non_null(strstr(text, "rolled-back<<END\ntrue\nEND\n"));
    assert_non_null(strstr(text, "to-deployment-id<<END\ngood-1\nEND\n"));
    assert_non_null(strstr(text, "url<<END\nhttps://good.demo.pages.dev\nEND\n"));
    shown.is_dry_run = true;
    buf_clear(&out);
    assert_int_equal(pages_show_outputs(&answer, &shown, "END", &out), OK);
    assert_non_null(strstr(text_of(&out), "rolled-back<<END\nfalse\nEND\n"));
    buf_finish(&out);
}

static void failure_without_a_target_is_shown_too(void **state)
{
    (void)state;
    const struct pages_shown shown = {.project = "demo"};
    for (int result = 0; result < PLATFORM_RESULT_COUNT; result++) {
        const struct platform_answer answer = {.result = (enum platform_result)result,
                                               .text = "why"};
        struct buf out;
        buf_init(&out, TEXT_MAX);
        assert_int_equal(pages_show_rollback(&answer, &shown, &out), OK);
        assert_int_equal(pages_show_summary(&answer, &shown, &out), OK);
        assert_non_null(strstr(text_of(&out), "why"));
        buf_finish(&out);
        json_t *document = pages_rollback_json(&answer, &shown);
        assert_true(json_is_null(json_object_get(document, "to")));
        json_decref(document);
    }
}

static void results_have_exit_codes(void **state)
{
    (void)state;
    static const int exits[] = {
        [PLATFORM_DONE] = CLI_DONE,
        [PLATFORM_ALREADY] = CLI_DONE,
        [PLATFORM_REFUSED] = CLI_REFUSED,
        [PLATFORM_DENIED] = CLI_DENIED,
        [PLATFORM_RATE_LIMITED] = CLI_TIMED_OUT,
        [PLATFORM_TIMED_OUT] = CLI_TIMED_OUT,
        [PLATFORM_FAILED] = CLI_FAILED,
        [PLATFORM_CANCELLED] = CLI_FAILED,
    };
    for (int result = 0; result < PLATFORM_RESULT_COUNT; result++) {
        assert_int_equal(pages_exit_of(result), exits[result]);
    }
}

static enum err parse(struct cli_options *options, struct note *note, char *last)
{
    char *words[] = {"serin", "pages", "rollback", "--project=demo", last};
    return cli_options_parse(5, words, NULL, options, note);
}

static void waiting_is_said_in_seconds_or_as_a_time(void **state)
{
    (void)state;
    struct cli_options options;
    struct note note = {""};
    assert_int_equal(parse(&options, &note, "--wait"), OK);
    assert_int_equal(options.wait_ms, 120000);
    assert_int_equal(parse(&options, &note, "--wait=30"), OK);
    assert_int_equal(options.wait_ms, 30000);
    assert_int_equal(parse(&options, &note, "--wait=2m"), OK);
    assert_int_equal(options.wait_ms, 120000);
    assert_int_equal(parse(&options, &note, "--wait=0"), OK);
    assert_int_equal(options.wait_ms, 0);
    assert_int_equal(parse(&options, &note, "--wait=2h"), ERR_SYNTAX);
    assert_int_equal(parse(&options, &note, "--wait="), ERR_SYNTAX);
    assert_int_equal(parse(&options, &note, "--wait=x"), ERR_SYNTAX);
}

static void empty_guard_is_a_mistake(void **state)
{
    (void)state;
    struct cli_options options;
    struct note note = {""};
    assert_int_equal(parse(&options, &note, "--expect-current="), ERR_SYNTAX);
    assert_int_equal(parse(&options, &note, "--to="), ERR_SYNTAX);
    assert_int_equal(parse(&options, &note, "--expect-current=abc"), OK);
    assert_string_equal(options.expect_current, "abc");
}

static void misuse_exits_before_anything_is_asked(void **state)
{
    (void)state;
    (void)setenv("CLOUDFLARE_API_TOKEN", "t", 1);
    (void)setenv("CLOUDFLARE_ACCOUNT_ID", "0123456789abcdef0123456789abcdef", 1);
    (void)setenv("CLOUDFLARE_API_BASE_URL", "http://api.example.com/client/v4", 1);
    char *base[] = {"serin", "pages", "list", "-p", "demo"};
    char *what[] = {"serin", "pages", "dance", "-p", "demo"};
    char *guard[] = {"serin", "pages", "list", "-p", "demo", "--to", "x"};
    char *where[] = {"serin", "pages", "rollback", "-p", "demo", "--environment", "preview"};
    char *none[] = {"serin", "pages", "list"};
    assert_int_equal(cli_run(5, base), CLI_USAGE);
    (void)setenv("CLOUDFLARE_API_BASE_URL", "http://127.0.0.1:1/client/v4", 1);
    assert_int_equal(cli_run(5, what), CLI_USAGE);
    assert_int_equal(cli_run(7, guard), CLI_USAGE);
    assert_int_equal(cli_run(7, where), CLI_USAGE);
    assert_int_equal(cli_run(3, none), CLI_USAGE);
    (void)setenv("CLOUDFLARE_ACCOUNT_ID", "", 1);
    assert_int_equal(cli_run(5, base), CLI_USAGE);
    (void)unsetenv("CLOUDFLARE_API_TOKEN");
    assert_int_equal(cli_run(5, base), CLI_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workflow_commands_cannot_be_smuggled_in),
        cmocka_unit_test(markdown_cannot_be_smuggled_in),
        cmocka_unit_test(outputs_end_only_at_their_delimiter),
        cmocka_unit_test(list_marks_the_live_deployment),
        cmocka_unit_test(summary_and_outputs_say_what_was_done),
        cmocka_unit_test(failure_without_a_target_is_shown_too),
        cmocka_unit_test(results_have_exit_codes),
        cmocka_unit_test(waiting_is_said_in_seconds_or_as_a_time),
        cmocka_unit_test(empty_guard_is_a_mistake),
        cmocka_unit_test(misuse_exits_before_anything_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

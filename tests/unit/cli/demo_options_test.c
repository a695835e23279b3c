/* What `serin demo` takes, and how a short story fits its time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "canary/cli/demo_options.h"
#include "proxy/base/check.h"

static enum err parse(const char *first, const char *second, struct demo_options *options,
                      struct note *note)
{
    char words[3][64] = {"demo"};
    char *argv[] = {words[0], words[1], words[2], NULL};
    int argc = 1;
    const char *given[] = {first, second};
    for (size_t i = 0; i < 2 && given[i] != NULL; i++) {
        (void)snprintf(words[argc++], sizeof words[0], "%s", given[i]);
    }
    note->text[0] = '\0';
    return demo_options_parse(argc, argv, options, note);
}

static void without_options_the_story_has_its_defaults(void **state)
{
    (void)state;
    struct demo_options options;
    struct note note;
    assert_int_equal(parse(NULL, NULL, &options, &note), OK);
    assert_float_equal(options.seconds, 60.0, 0.0);
    assert_float_equal(options.break_at_s, 5.0, 0.0);
    assert_float_equal(options.fail_ratio, 0.3, 1e-12);
    assert_float_equal(options.rate, 200.0, 0.0);
    assert_int_equal(options.every_ms, 2000);
    assert_false(options.is_kept);
    assert_false(options.is_persistent);
    assert_false(options.is_json);
}

static void numbers_are_taken_as_own_words_or_after_a_sign(void **state)
{
    (void)state;
    struct demo_options options;
    struct note note;
    assert_int_equal(parse("--rate", "50", &options, &note), OK);
    assert_float_equal(options.rate, 50.0, 0.0);
    assert_int_equal(parse("--fail-rate=12.5%", "--keep", &options, &note), OK);
    assert_float_equal(options.fail_ratio, 0.125, 1e-12);
    assert_true(options.is_kept);
}

static void short_story_breaks_early_and_steps_quickly(void **state)
{
    (void)state;
    struct demo_options options;
    struct note note;
    assert_int_equal(parse("--seconds", "10", &options, &note), OK);
    assert_float_equal(options.break_at_s, 2.0, 1e-9);
    assert_int_equal(options.every_ms, 500);
}

static void story_to_look_at_breaks_when_a_browser_is_there(void **state)
{
    (void)state;
    struct demo_options options;
    struct note note;
    assert_int_equal(parse("--look", "300", &options, &note), OK);
    assert_float_equal(options.look_s, 300.0, 0.0);
    assert_float_equal(options.break_at_s, 20.0, 1e-9);
    assert_float_equal(options.seconds, 360.0, 0.0);
    assert_int_equal(parse("--look=60", "--seconds=30", &options, &note), OK);
    assert_float_equal(options.break_at_s, 10.0, 1e-9);
    assert_int_equal(parse("--look=60", "--break-at=3", &options, &note), OK);
    assert_float_equal(options.break_at_s, 3.0, 1e-9);
}

static void what_cannot_be_taken_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second;
        enum err err;
        const char *note;
    } CASES[] = {
        {"--speed", "9", ERR_SYNTAX, "there is no option --speed"},
        {"keep", NULL, ERR_SYNTAX, "there is no option keep"},
        {"--keep=yes", NULL, ERR_SYNTAX, "there is no option --keep=yes"},
        {"--seconds", NULL, ERR_SYNTAX, "--seconds needs a number"},
        {"--seconds=", NULL, ERR_SYNTAX, "--seconds needs a number"},
        {"--seconds", "soon", ERR_SYNTAX, "--seconds needs a number"},
        {"--seconds", "20s", ERR_SYNTAX, "--seconds needs a number"},
        {"--seconds", "nan", ERR_SYNTAX, "--seconds needs a number"},
        {"--seconds", "1e999", ERR_SYNTAX, "--seconds needs a number"},
        {"--seconds", "9", ERR_RANGE, "--seconds is from 10 to 3600"},
        {"--fail-rate", "0", ERR_RANGE, "--fail-rate is from 1 to 100"},
        {"--rate", "501", ERR_RANGE, "--rate is from 10 to 500"},
        {"--look", "0", ERR_RANGE, "--look is from 1 to 3600"},
        {"--break-at", "60", ERR_RANGE, "--break-at 60 lies behind the end, --seconds 60"},
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct demo_options options = {.rate = -1.0};
        struct note note;
        assert_int_equal(parse(CASES[i].first, CASES[i].second, &options, &note), CASES[i].err);
        assert_string_equal(note.text, CASES[i].note);
        assert_float_equal(options.rate, -1.0, 0.0);
    }
}

static void help_names_every_option(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"--seconds", "--break-at", "--fail-rate", "--persist",
                                        "--rate",    "--look",     "--keep",      "--json"};
    for (size_t i = 0; i < COUNT_OF(NAMES); i++) {
        assert_non_null(strstr(DEMO_USAGE, NAMES[i]));
    }
    struct demo_options options;
    struct note note;
    assert_int_equal(parse("--help", NULL, &options, &note), OK);
    assert_true(options.is_help);
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(without_options_the_story_has_its_defaults),
        cmocka_unit_test(numbers_are_taken_as_own_words_or_after_a_sign),
        cmocka_unit_test(short_story_breaks_early_and_steps_quickly),
        cmocka_unit_test(story_to_look_at_breaks_when_a_browser_is_there),
        cmocka_unit_test(what_cannot_be_taken_is_named),
        cmocka_unit_test(help_names_every_option),
    };
    return cmocka_run_group_tests(TESTS, NULL, NULL);
}

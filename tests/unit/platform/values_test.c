/* Pure parts: names, dates, texts from outside, what can be gone back to, the rate budget. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "canary/platform/budget.h"
#include "canary/platform/choice.h"
#include "canary/platform/provider.h"

enum { SECOND_US = 1000000 };

static struct platform_deployment deployment(const char *id, int64_t created_us)
{
    struct platform_deployment one = {.created_us = created_us,
                                      .environment = "production",
                                      .stage = "deploy",
                                      .status = "success",
                                      .url = "https://abcdef01.demo.pages.dev"};
    platform_text_copy(one.id, sizeof one.id, id);
    return one;
}

static void texts_lose_what_could_command_a_terminal_or_a_runner(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *copy;
    } cases[] = {
        {"fix: größer", "fix: größer"},
        {"a\r\n::error::b", "a??::error::b"},
        {"\x1b[31mred", "?[31mred"},
        {"c1 \xc2\x9b"
         "31m",
         "c1 ?31m"},
        {"bidi \xe2\x80\xae"
         "x",
         "bidi ?x"},
        {"bad \xff\xc3", "bad ??"},
        {"overlong \xc0\xaf", "overlong ??"},
        {"fix ##[set-output name=a]b ##[", "fix ##?set-output name=a]b ##?"},
        {"#[1] ## [2]", "#[1] ## [2]"},
        {"\xf0\x9f\x90\xa6", "\xf0\x9f\x90\xa6"},
        {NULL, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char copy[64];
        platform_text_copy(copy, sizeof copy, cases[i].text);
        assert_string_equal(copy, cases[i].copy);
    }
    char small[4];
    platform_text_copy(small, sizeof small, "ab\xc3\xa4");
    assert_string_equal(small, "ab");
}

static void dates_are_read_to_the_microsecond(void **state)
{
    (void)state;
    int64_t plain = platform_time_parse("2021-03-09T00:55:03Z");
    assert_int_equal(plain, INT64_C(1615251303) * SECOND_US);
    assert_int_equal(platform_time_parse("2021-03-09T00:55:03.923456Z"), plain + 923456);
    assert_int_equal(platform_time_parse("2021-03-09T01:55:03.5+01:00"), plain + 500000);
    static const char *const wrong[] = {"",
                                        "yesterday",
                                        "2021-03-09",
                                        "2021-13-09T00:55:03Z",
                                        "2021-03-09T00:55:03",
                                        "2021-03-09T00:55:03Zx",
                                        NULL};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(platform_time_parse(wrong[i]), 0);
    }
}

static void deployments_are_known_by_several_names(void **state)
{
    (void)state;
    struct platform_deployment one = deployment("d7a3f2b1-0000-4000-8000-000000000001", 1);
    platform_text_copy(one.short_id, sizeof one.short_id, "d7a3f2b1");
    platform_text_copy(one.commit, sizeof one.commit, "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567");
    assert_true(deployment_is_named(&one, "D7A3F2B1-0000-4000-8000-000000000001"));
    assert_true(deployment_is_named(&one, "d7a3f2b"));
    assert_true(deployment_is_named(&one, "https://abcdef01.demo.pages.dev/"));
    assert_true(deployment_is_named(&one, "abcdef01.demo.pages.dev"));
    assert_false(deployment_is_named(&one, "d7a3f2"));
    assert_false(deployment_is_named(&one, ""));
    assert_false(deployment_is_named(&one, "https://"));
    assert_false(deployment_is_named(&one, "https://demo.pages.dev"));
    assert_true(deployment_is_of_commit(&one, "0A1B2C3"));
    assert_false(deployment_is_of_commit(&one, "0a1b2c"));
    one.commit[0] = '\0';
    assert_false(deployment_is_of_commit(&one, ""));
}

static void states_have_one_word_each(void **state)
{
    (void)state;
    static const struct {
        const char *stage, *status, *word;
        bool is_good;
    } cases[] = {{"deploy", "success", "success", true},   {"build", "failure", "failure", false},
                 {"build", "canceled", "canceled", false}, {"queued", "idle", "queued", false},
                 {"build", "active", "building", false},   {"build", "success", "building", false},
                 {"queued", "skipped", "skipped", false},  {"", "", "building", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct platform_deployment one = deployment("x", 1);
        platform_text_copy(one.stage, sizeof one.stage, cases[i].stage);
        platform_text_copy(one.status, sizeof one.status, cases[i].status);
        assert_string_equal(deployment_state(&one), cases[i].word);
        assert_int_equal(deployment_is_good(&one), cases[i].is_good);
    }
}

static void newest_is_not_taken_for_the_live_one(void **state)
{
    (void)state;
    /* After a rollback to 3 the newest, 5, is neither live nor where to go back to. */
    struct platform_deployment list[] = {deployment("five", 5), deployment("three", 3),
                                         deployment("two", 2), deployment("one", 1)};
    struct note note = {""};
    size_t index = 9;
    platform_text_copy(list[2].status, sizeof list[2].status, "failure");
    assert_int_equal(choice_find(list, 4, &list[1], NULL, &index, &note), OK);
    assert_int_equal(index, 3);
    list[3].is_skipped = true;
    assert_int_equal(choice_find(list, 4, &list[1], NULL, &index, &note), ERR_NOT_FOUND);
    list[3] = deployment("undated", 0);
    assert_int_equal(choice_find(list, 4, &list[1], NULL, &index, &note), ERR_NOT_FOUND);
}

static void name_that_fits_several_is_refused(void **state)
{
    (void)state;
    struct platform_deployment list[] = {deployment("aaaaaaaa-1", 5), deployment("aaaaaaaa-2", 3)};
    struct note note = {""};
    size_t index = 9;
    platform_text_copy(list[1].url, sizeof list[1].url, "https://other.pages.dev");
    assert_int_equal(choice_find(list, 2, NULL, "aaaaaaaa", &index, &note), ERR_EXISTS);
    assert_int_equal(choice_find(list, 2, NULL, "aaaaaaaa-2", &index, &note), OK);
    assert_int_equal(index, 1);
    assert_int_equal(choice_find(list, 2, NULL, "bbbbbbbb", &index, &note), ERR_NOT_FOUND);
}

static void commit_means_its_newest_good_deployment(void **state)
{
    (void)state;
    struct platform_deployment list[] = {deployment("c", 5), deployment("b", 3),
                                         deployment("a", 2)};
    size_t index = 9;
    for (size_t i = 0; i < 3; i++) {
        platform_text_copy(list[i].commit, sizeof list[i].commit, "0123456789abcdef");
    }
    platform_text_copy(list[0].status, sizeof list[0].status, "failure");
    assert_int_equal(choice_find(list, 3, NULL, "0123456", &index, NULL), OK);
    assert_int_equal(index, 1);
}

static void preview_is_named_as_the_reason(void **state)
{
    (void)state;
    struct platform_deployment one = deployment("aaaaaaaa", 5);
    struct note note = {""};
    size_t index = 9;
    platform_text_copy(one.environment, sizeof one.environment, "preview");
    assert_int_equal(choice_find(&one, 1, NULL, "aaaaaaaa", &index, &note), ERR_STATE);
    assert_non_null(strstr(note.text, "preview"));
    assert_int_equal(index, 9);
}

static void ids_that_lead_elsewhere_are_no_ids(void **state)
{
    (void)state;
    assert_true(platform_id_is_plain("d7a3f2b1-0000-4000-8000-000000000001"));
    static const char *const wrong[] = {"", "..", "a/b", "a?b", "a b", "a%2f", NULL};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(platform_id_is_plain(wrong[i]));
    }
}

static void budget_leaves_room_for_others(void **state)
{
    (void)state;
    struct budget budget;
    uint64_t now = 1000;
    unsigned sent = 0;
    budget_init(&budget, now);
    for (unsigned second = 0; second < 300; second++) {
        for (; budget_wait_us(&budget, now) == 0; sent++) {
            budget_take(&budget, now);
        }
        now += SECOND_US;
    }
    assert_in_range(sent, 690, 700);
    assert_true(budget_wait_us(&budget, now - SECOND_US) > 0);
}

static void budget_heeds_what_the_api_says(void **state)
{
    (void)state;
    struct budget budget;
    budget_init(&budget, 0);
    budget_note(&budget, 0, "\"default\";r=50;t=30");
    budget_note(&budget, 0, NULL);
    budget_note(&budget, 0, "nonsense;r=;t=x, ;;,r=0");
    assert_int_equal(budget_wait_us(&budget, 0), 0);
    budget_note(&budget, 0, "\"a\";r=9;t=1, \"b\";r=0; t=30");
    assert_int_equal(budget_wait_us(&budget, 0), 30 * SECOND_US);
    assert_int_equal(budget_wait_us(&budget, 30 * SECOND_US), 0);
    budget_note(&budget, 0, "\"a\";r=0;t=999999999");
    assert_int_equal(budget_wait_us(&budget, 0), 300 * SECOND_US);
    budget_block(&budget, 400 * SECOND_US);
    budget_block(&budget, 10);
    assert_int_equal(budget_wait_us(&budget, 0), 400 * SECOND_US);
}

static void names_of_operations_and_results_are_labels(void **state)
{
    (void)state;
    for (int i = 0; i < PLATFORM_OPERATION_COUNT; i++) {
        assert_true(strlen(platform_operation_name((enum platform_operation)i)) > 2);
    }
    for (int i = 0; i < PLATFORM_RESULT_COUNT; i++) {
        assert_true(strlen(platform_result_name((enum platform_result)i)) > 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_lose_what_could_command_a_terminal_or_a_runner),
        cmocka_unit_test(dates_are_read_to_the_microsecond),
        cmocka_unit_test(deployments_are_known_by_several_names),
        cmocka_unit_test(states_have_one_word_each),
        cmocka_unit_test(newest_is_not_taken_for_the_live_one),
        cmocka_unit_test(name_that_fits_several_is_refused),
        cmocka_unit_test(commit_means_its_newest_good_deployment),
        cmocka_unit_test(preview_is_named_as_the_reason),
        cmocka_unit_test(ids_that_lead_elsewhere_are_no_ids),
        cmocka_unit_test(budget_leaves_room_for_others),
        cmocka_unit_test(budget_heeds_what_the_api_says),
        cmocka_unit_test(names_of_operations_and_results_are_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

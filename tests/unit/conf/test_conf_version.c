/* tests/unit/conf/test_conf_version.c — versions that stand outside of any file. */
#include "conf/conf_check.h"
#include "conf/conf_value.h"
#include "conf/conf_version.h"
#include "tests/support/alloc_fail.h"
#include "tests/unit/conf/conf_play.h"

static struct conf_version *make(const char *deployment, const char *first, const char *second)
{
    const char *urls[] = {first, second};
    struct note note = {""};
    struct conf_version *version = NULL;
    assert_int_equal(conf_version_create(deployment, urls, second != NULL ? 2 : 1, &note, &version),
                     OK);
    return version;
}

static void version_says_what_a_file_would(void **state)
{
    (void)state;
    struct conf_version *version = make("v2", "http://Origin.Example:80/", "http://[::1]:81");
    assert_string_equal(version->deployment, "v2");
    assert_string_equal(version->endpoints[0].url, "http://origin.example");
    assert_string_equal(version->endpoints[1].authority, "[::1]:81");
    struct conf_version *copy = NULL;
    assert_int_equal(conf_version_copy(version, &copy), OK);
    conf_version_destroy(version);
    assert_string_equal(copy->endpoints[1].url, "http://[::1]:81");
    conf_version_destroy(copy);
    conf_version_destroy(NULL);
}

static void name_of_a_version_follows_from_its_endpoints(void **state)
{
    (void)state;
    struct conf_version *one = make(NULL, "http://a", "http://b");
    struct conf_version *other = make(NULL, "http://b", "http://a");
    struct conf_version *third = make(NULL, "http://a", NULL);
    assert_true(one->is_deployment_derived);
    assert_memory_equal(one->deployment, "ep-", 3);
    assert_true(conf_version_equals(one, other));
    assert_false(conf_version_equals(one, third));
    conf_version_destroy(one);
    conf_version_destroy(other);
    conf_version_destroy(third);
}

static void what_is_wrong_with_a_place_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *urls[2];
        enum err err;
        const char *note;
    } cases[] = {
        {{"ftp://a", NULL}, ERR_SYNTAX, "ftp://a is not a URL"},
        {{"a", NULL}, ERR_SYNTAX, "a is not a URL"},
        {{"http://a/b", NULL}, ERR_SYNTAX, "http://a/b has a path"},
        {{"http://a:0", NULL}, ERR_SYNTAX, "http://a:0 has a port"},
        {{"http://a", "http://A:80/"}, ERR_EXISTS, "http://a is there twice"},
        {{"http://a", "https://a"}, ERR_EXISTS, "https://a is there twice"},
        {{NULL, NULL}, ERR_LIMIT, "a version has 1 to"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *const *urls = cases[i].urls;
        size_t count = (size_t)(urls[0] != NULL) + (size_t)(urls[1] != NULL);
        struct note note = {""};
        struct conf_version *version = NULL;
        assert_int_equal(conf_version_create("v", urls, count, &note, &version), cases[i].err);
        assert_null(version);
        assert_memory_equal(note.text, cases[i].note, strlen(cases[i].note));
    }
}

static void names_and_steps_are_held_to_the_files_rules(void **state)
{
    (void)state;
    struct note note = {""};
    uint32_t ppm = 0;
    assert_int_equal(conf_deployment_check("d7a3f2b", &note), OK);
    assert_int_equal(conf_deployment_check("", &note), ERR_SYNTAX);
    assert_int_equal(conf_deployment_check("a b", &note), ERR_SYNTAX);
    assert_int_equal(conf_deployment_check("a\"b", &note), ERR_SYNTAX);
    assert_int_equal(conf_step_parse(BYTES("12.5%"), &note, &ppm), OK);
    assert_int_equal(ppm, 125000);
    assert_int_equal(conf_step_parse(BYTES("pause"), &note, &ppm), OK);
    assert_true(ppm == CONF_STEP_PAUSE);
    assert_int_equal(conf_step_parse(BYTES("0%"), &note, &ppm), ERR_RANGE);
    assert_int_equal(conf_step_parse(BYTES("101%"), &note, &ppm), ERR_RANGE);
    assert_null(conf_steps_fault((uint32_t[]){10000, CONF_STEP_PAUSE, 1000000}, 3));
    assert_non_null(conf_steps_fault((uint32_t[]){CONF_STEP_PAUSE, 1000000}, 2));
    assert_non_null(conf_steps_fault((uint32_t[]){500000, 500000, 1000000}, 3));
    assert_non_null(conf_steps_fault((uint32_t[]){500000}, 1));
}

static void refused_memory_leaves_nothing(void **state)
{
    (void)state;
    const char *urls[] = {"http://a", "http://b"};
    bool is_done = false;
    for (size_t turn = 0; !is_done && alloc_fail_begin(turn); turn++) {
        struct note note = {""};
        struct conf_version *version = NULL;
        enum err err = conf_version_create(NULL, urls, 2, &note, &version);
        is_done = !alloc_fail_end();
        assert_int_equal(err, is_done ? OK : ERR_NOMEM);
        conf_version_destroy(version);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_says_what_a_file_would),
        cmocka_unit_test(name_of_a_version_follows_from_its_endpoints),
        cmocka_unit_test(what_is_wrong_with_a_place_is_told),
        cmocka_unit_test(names_and_steps_are_held_to_the_files_rules),
        cmocka_unit_test(refused_memory_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What `serin replay` can be asked for, and policies as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "canary/replay/replay_options.h"
#include "conf/conf_policy.h"
#include "proxy/base/check.h"

#define PARSE(...)                                                                                 \
    replay_options_parse((int)(sizeof((char *[]){"replay", __VA_ARGS__}) / sizeof(char *)),        \
                         (char *[]){"replay", __VA_ARGS__}, &options, &note)

static void everything_can_be_said(void **state)
{
    (void)state;
    struct replay_options options;
    struct note note = {""};
    assert_int_equal(PARSE("-c", "a.yaml", "--policy=x:error_rate=2%", "-py", "--json", "-s",
                           "shop", "--timeout", "3s", "--admin-ca", "ca.pem", "--admin-cert=me.pem",
                           "--", "-"),
                     OK);
    assert_string_equal(options.config, "a.yaml");
    assert_int_equal(options.policy_count, 2);
    assert_string_equal(options.policies[0], "x:error_rate=2%");
    assert_string_equal(options.policies[1], "y");
    assert_true(options.is_json);
    assert_string_equal(options.service, "shop");
    assert_int_equal(options.timeout_ms, 3000);
    assert_string_equal(options.admin_ca, "ca.pem");
    assert_string_equal(options.admin_cert, "me.pem");
    assert_string_equal(options.source, "-");
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    struct replay_options options;
    struct note note = {""};
    assert_int_equal(PARSE("--zebra"), ERR_SYNTAX);
    assert_non_null(strstr(note.text, "no option --zebra"));
    assert_int_equal(PARSE("-c"), ERR_SYNTAX);
    assert_non_null(strstr(note.text, "needs a value"));
    assert_int_equal(PARSE("--json=1"), ERR_SYNTAX);
    assert_int_equal(PARSE("a", "b"), ERR_SYNTAX);
    assert_non_null(strstr(note.text, "one word too many: b"));
    assert_int_equal(PARSE("--timeout", "soon"), ERR_SYNTAX);
    char *many[2 * REPLAY_ADHOC_MAX + 3] = {"replay"};
    for (size_t i = 1; i + 1 < COUNT_OF(many); i += 2) {
        many[i] = "-p";
        many[i + 1] = "x";
    }
    assert_int_equal(replay_options_parse((int)COUNT_OF(many), many, &options, &note), ERR_SYNTAX);
    assert_non_null(strstr(note.text, "16 times"));
}

static enum err parse_policy(const char *text, struct arena *arena, struct note *note,
                             struct conf_policy *ret_policy)
{
    return conf_policy_parse(bytes_of(text), arena, note, ret_policy);
}

static void policy_has_the_keys_of_the_configuration(void **state)
{
    (void)state;
    struct arena arena;
    struct note note = {""};
    struct conf_policy policy;
    arena_init(&arena, 65536);
    const char *text = "strict: error_rate=0.5%, relative=rollback,latency=off,false_alarm=2%";
    assert_int_equal(parse_policy(text, &arena, &note, &policy), OK);
    assert_string_equal(policy.name, "strict");
    assert_true(policy.has_error_rate);
    assert_int_equal(policy.error_rate_ppm, 5000);
    assert_int_equal(policy.relative, CONF_RELATIVE_ROLLBACK);
    assert_true(policy.has_latency);
    assert_false(policy.is_latency_judged);
    assert_int_equal(policy.false_alarm_ppm, 20000);
    assert_false(policy.has_instant_above);
    assert_int_equal(parse_policy("bare", &arena, &note, &policy), OK);
    assert_false(policy.has_error_rate);
    static const struct {
        const char *text;
        const char *why;
    } refusals[] = {
        {"", "name: \"\""},
        {"a b", "name: \"a b\""},
        {"x:error_rate", "is not key=value"},
        {"x:zebra=1", "is not key=value"},
        {"x:error_rate=5", "error_rate: \"5\" has no unit"},
        {"x:error_rate=0%", "is below the least"},
        {"x:error_rate=1%,error_rate=2%", "error_rate is given twice"},
        {"x:name=y", "name is given twice"},
        {"x:relative=maybe", "relative: \"maybe\""},
    };
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        assert_int_equal(parse_policy(refusals[i].text, &arena, &note, &policy), ERR_SYNTAX);
        assert_non_null(strstr(note.text, refusals[i].why));
    }
    arena_finish(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_can_be_said),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(policy_has_the_keys_of_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

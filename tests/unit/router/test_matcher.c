/* tests/unit/router/test_matcher.c — what a host pattern and a path prefix cover. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "router/matcher.h"

static void host_loses_its_port_and_final_dot(void **state)
{
    (void)state;
    const char *const cases[][2] = {
        {"example.com", "example.com"},
        {"example.com:80", "example.com"},
        {"example.com.", "example.com"},
        {"Example.COM.:8080", "Example.COM"},
        {"[2001:db8::1]", "[2001:db8::1]"},
        {"[2001:db8::1]:443", "[2001:db8::1]"},
        {"[2001:db8::1", "[2001:db8::1"},
        {"10.0.0.1:1", "10.0.0.1"},
        {"", ""},
        {":80", ""},
        {".", "."},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_true(bytes_equal(matcher_host_of(bytes_of(cases[i][0])), bytes_of(cases[i][1])));
    }
}

static void path_ends_at_the_query(void **state)
{
    (void)state;
    const char *const cases[][2] = {
        {"/a/b", "/a/b"}, {"/a?b=/c", "/a"}, {"/?", "/"}, {"*", "/"}, {"", "/"}, {"a/b", "/"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_true(bytes_equal(matcher_path_of(bytes_of(cases[i][0])), bytes_of(cases[i][1])));
    }
}

static void host_patterns_are_told_apart(void **state)
{
    (void)state;
    enum host_pattern_kind kind;
    struct bytes name;
    assert_true(matcher_host_pattern(BYTES("Example.com"), &kind, &name));
    assert_int_equal(kind, HOST_EXACT);
    assert_true(bytes_equal(name, BYTES("Example.com")));
    assert_true(matcher_host_pattern(BYTES("*.example.com"), &kind, &name));
    assert_int_equal(kind, HOST_WILDCARD);
    assert_true(bytes_equal(name, BYTES("example.com")));
    assert_true(matcher_host_pattern(BYTES("*"), &kind, &name));
    assert_int_equal(kind, HOST_ANY);
    assert_true(matcher_host_pattern(BYTES("[::1]"), &kind, &name));
    assert_int_equal(kind, HOST_EXACT);
}

static void odd_host_patterns_are_refused(void **state)
{
    (void)state;
    enum host_pattern_kind kind;
    struct bytes name;
    const char *const patterns[] = {
        "",       "*.",  "**",       "*.*",          "a.*",  "*a.example.com",   ".example.com",
        "a b",    "a/b", "a.com:80", "example.com.", "a\tb", "\xc3\xa4.example", "*.*.example.com",
        "a@b.com"};
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        assert_false(matcher_host_pattern(bytes_of(patterns[i]), &kind, &name));
    }
    char big[MATCHER_HOST_MAX + 2];
    memset(big, 'a', sizeof big);
    assert_true(matcher_host_pattern(bytes_make(big, MATCHER_HOST_MAX), &kind, &name));
    assert_false(matcher_host_pattern(bytes_make(big, MATCHER_HOST_MAX + 1), &kind, &name));
}

struct path_case {
    const char *prefix;
    const char *path;
    bool is_covered;
};

static void paths_are_covered_on_segment_boundaries(void **state)
{
    (void)state;
    const struct path_case cases[] = {
        {"/", "/", true},         {"/", "/a", true},         {"/api", "/api", true},
        {"/api", "/api/", true},  {"/api", "/api/x", true},  {"/api", "/apis", false},
        {"/api", "/ap", false},   {"/api", "/", false},      {"/api", "/API", false},
        {"/api/", "/api", true},  {"/api/", "/api/x", true}, {"/a/b", "/a/b/c", true},
        {"/a/b", "/a/bc", false}, {"//", "/a", true},        {"/a", "//a", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bytes prefix;
        assert_true(matcher_path_prefix(bytes_of(cases[i].prefix), &prefix));
        assert_int_equal(matcher_path_is_covered(prefix, bytes_of(cases[i].path)),
                         cases[i].is_covered);
    }
}

static void odd_path_prefixes_are_refused(void **state)
{
    (void)state;
    struct bytes prefix;
    const char *const texts[] = {"", "a", "*", "/a b", "/a?b", "/a#b", "/a\x7f", "/a\n"};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        assert_false(matcher_path_prefix(bytes_of(texts[i]), &prefix));
    }
}

static void pattern_fits_the_whole_path(void **state)
{
    (void)state;
    const struct {
        const char *pattern;
        const char *path;
        bool fits;
    } cases[] = {
        {"/healthz", "/healthz", true},
        {"/healthz", "/healthz/", false},
        {"/healthz", "/health", false},
        {"/internal/*", "/internal/", true},
        {"/internal/*", "/internal/a/b", true},
        {"/internal/*", "/internal", false},
        {"/*.js", "/a/b.js", true},
        {"/*.js", "/a/b.json", false},
        {"/*.js", "/.js.js", true},
        {"/a*b*c", "/abc", true},
        {"/a*b*c", "/axxbyybzzc", true},
        {"/a*b*c", "/axxbyyczz", false},
        {"/*", "/", true},
        {"/**", "/x", true},
        {"/a*", "/b", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(matcher_path_fits(bytes_of(cases[i].pattern), bytes_of(cases[i].path)),
                         cases[i].fits);
    }
}

/* A path is the client's to choose: what it costs grows with pattern times path and no more. */
static void hostile_path_costs_no_more_than_its_length(void **state)
{
    (void)state;
    char path[8192];
    memset(path, 'a', sizeof path);
    path[0] = '/';
    assert_false(matcher_path_fits(BYTES("/*a*a*a*a*a*a*a*a*b"), bytes_make(path, sizeof path)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pattern_fits_the_whole_path),
        cmocka_unit_test(hostile_path_costs_no_more_than_its_length),
        cmocka_unit_test(host_loses_its_port_and_final_dot),
        cmocka_unit_test(path_ends_at_the_query),
        cmocka_unit_test(host_patterns_are_told_apart),
        cmocka_unit_test(odd_host_patterns_are_refused),
        cmocka_unit_test(paths_are_covered_on_segment_boundaries),
        cmocka_unit_test(odd_path_prefixes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Host and port as RFC 3986 writes them, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/http/authority.h"

static void hosts_and_ports_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *port;
    } cases[] = {
        {"example.com", "example.com", ""},
        {"example.com:8080", "example.com", "8080"},
        {"example.com:", "example.com", ""},
        {"192.0.2.1:80", "192.0.2.1", "80"},
        {"[::1]", "[::1]", ""},
        {"[2001:db8::1]:443", "[2001:db8::1]", "443"},
        {"[v1.fe:80]:1", "[v1.fe:80]", "1"},
        {"a_b~c-d.e", "a_b~c-d.e", ""},
        {"caf%C3%a9.example:65535", "caf%C3%a9.example", "65535"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct authority authority;
        assert_true(authority_split(bytes_of(cases[i].text), &authority));
        assert_true(bytes_equal(authority.host, bytes_of(cases[i].host)));
        assert_true(bytes_equal(authority.port, bytes_of(cases[i].port)));
    }
}

static void anything_else_is_no_authority(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",       ":80",   "user@host", "a b",      "a/b",      "a?b",         "a#b",
        "a:b",    "a:1:2", "a:65536",   "a:000080", "a:-1",     "a:+1",        "a: 80",
        "[::1",   "::1",   "[::1]x",    "[::1]:x",  "[]",       "[1.2.3.4]",   "[::1%25lo]",
        "[g::1]", "[:::]", "[v.1]",     "[v1.]",    "[vx.1]",   "a%",          "a%4",
        "a%zz",   "a\"b",  "a\\b",      "a<b",      "a|b",      "a^b",         "a`b",
        "a{b}",   "a,b c", "a\x80z",    "a\tb",     "http://a", "[::1]:65536", "a]",
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct authority authority;
        assert_false(authority_split(bytes_of(cases[i]), &authority));
    }
    struct authority authority;
    assert_false(authority_split(BYTES("a\0b"), &authority));
    assert_false(authority_split(BYTES("[::1\0]"), &authority));
}

static void the_default_port_makes_no_difference(void **state)
{
    (void)state;
    struct authority bare;
    struct authority empty;
    struct authority said;
    struct authority other;
    assert_true(authority_split(BYTES("Example.com"), &bare));
    assert_true(authority_split(BYTES("example.com:"), &empty));
    assert_true(authority_split(BYTES("example.COM:80"), &said));
    assert_true(authority_split(BYTES("example.com:81"), &other));
    assert_true(authority_equal(&bare, &empty, BYTES("80")));
    assert_true(authority_equal(&bare, &said, BYTES("80")));
    assert_false(authority_equal(&bare, &said, BYTES("443")));
    assert_false(authority_equal(&bare, &other, BYTES("80")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hosts_and_ports_are_split),
        cmocka_unit_test(anything_else_is_no_authority),
        cmocka_unit_test(the_default_port_makes_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

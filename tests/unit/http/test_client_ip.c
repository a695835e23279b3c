/* Who asks, through a chain of proxies of which some are trusted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/http/client_ip.h"

static struct ip_range trusted[2];

static int trust_two_networks(void **state)
{
    (void)state;
    bool is_parsed = ip_range_parse(BYTES("10.0.0.0/8"), &trusted[0]) &&
                     ip_range_parse(BYTES("2001:db8::/32"), &trusted[1]);
    return is_parsed ? 0 : -1;
}

static void assert_client(const char *peer_text, struct field *items, size_t count,
                          const char *wanted)
{
    struct ip peer;
    assert_true(ip_parse(bytes_of(peer_text), &peer));
    struct fields fields = {items, count};
    struct ip client = client_ip_of(&fields, &peer, trusted, COUNT_OF(trusted));
    char text[IP_TEXT_SIZE];
    ip_format(&client, text);
    assert_string_equal(text, wanted);
}

static void the_chain_is_read_from_its_end(void **state)
{
    (void)state;
    static const struct {
        const char *peer, *list, *client;
    } cases[] = {
        {"10.0.0.1", "192.0.2.7", "192.0.2.7"},
        {"10.0.0.1", "198.51.100.9, 192.0.2.7", "192.0.2.7"},
        {"10.0.0.1", "192.0.2.7, 10.9.9.9", "192.0.2.7"},
        {"10.0.0.1", "10.1.1.1, 10.2.2.2", "10.1.1.1"},
        {"10.0.0.1", "192.0.2.7:4711", "192.0.2.7"},
        {"10.0.0.1", "[2001:db9::1]:80", "2001:db9::1"},
        {"10.0.0.1", "2001:db9::1", "2001:db9::1"},
        {"10.0.0.1", "192.0.2.7, unknown", "10.0.0.1"},
        {"10.0.0.1", "192.0.2.7,", "10.0.0.1"},
        {"10.0.0.1", "", "10.0.0.1"},
        {"192.0.2.1", "198.51.100.9", "192.0.2.1"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct field item = {BYTES("X-Forwarded-For"), bytes_of(cases[i].list),
                             FIELD_X_FORWARDED_FOR};
        assert_client(cases[i].peer, &item, 1, cases[i].client);
    }
}

static void several_fields_are_one_chain(void **state)
{
    (void)state;
    struct field items[] = {
        {BYTES("X-Forwarded-For"), BYTES("198.51.100.9"), FIELD_X_FORWARDED_FOR},
        {BYTES("Accept"), BYTES("*"), FIELD_OTHER},
        {BYTES("x-forwarded-for"), BYTES("192.0.2.7, 10.3.3.3"), FIELD_X_FORWARDED_FOR},
    };
    assert_client("10.0.0.1", items, COUNT_OF(items), "192.0.2.7");
}

static void forwarded_is_read_where_it_stands_alone(void **state)
{
    (void)state;
    struct field items[] = {
        {BYTES("Forwarded"),
         BYTES("for=192.0.2.7;proto=https, proto=http; For=\"[2001:db8::9]:80\""), FIELD_FORWARDED},
        {BYTES("X-Forwarded-For"), BYTES("198.51.100.9"), FIELD_X_FORWARDED_FOR},
    };
    assert_client("10.0.0.1", items, 1, "192.0.2.7");
    assert_client("10.0.0.1", items, 2, "198.51.100.9");
}

static void a_hidden_node_ends_the_chain(void **state)
{
    (void)state;
    static const char *const cases[] = {"for=_hidden", "proto=https", "for=\"", "for=", "="};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct field item = {BYTES("Forwarded"), bytes_of(cases[i]), FIELD_FORWARDED};
        assert_client("10.0.0.1", &item, 1, "10.0.0.1");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_chain_is_read_from_its_end),
        cmocka_unit_test(several_fields_are_one_chain),
        cmocka_unit_test(forwarded_is_read_where_it_stands_alone),
        cmocka_unit_test(a_hidden_node_ends_the_chain),
    };
    return cmocka_run_group_tests(tests, trust_two_networks, NULL);
}

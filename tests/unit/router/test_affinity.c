/* A client and its endpoint: always the same one, evenly spread, and only those who must move do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/base/hash.h"
#include "router/affinity.h"

enum { ENDPOINTS = 5, CLIENTS = 20000 };

static uint64_t endpoints[ENDPOINTS];

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < ENDPOINTS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "10.0.0.%zu:80", i + 1);
        endpoints[i] = affinity_endpoint(bytes_of(name));
    }
    return 0;
}

static size_t nearest(uint64_t key, size_t without)
{
    size_t best = without == 0 ? 1 : 0;
    for (size_t i = 0; i < ENDPOINTS; i++) {
        bool is_better = affinity_score(key, endpoints[i]) > affinity_score(key, endpoints[best]);
        if (i != without && is_better) {
            best = i;
        }
    }
    return best;
}

static void clients_are_spread_evenly(void **state)
{
    (void)state;
    unsigned counts[ENDPOINTS] = {0};
    for (uint64_t i = 0; i < CLIENTS; i++) {
        struct ip ip;
        char text[32];
        (void)snprintf(text, sizeof text, "10.9.%u.%u", (unsigned)(i >> 8), (unsigned)(i & 255));
        assert_true(ip_parse(bytes_of(text), &ip));
        counts[nearest(affinity_key_of_address(&ip), ENDPOINTS)]++;
    }
    for (size_t i = 0; i < ENDPOINTS; i++) {
        assert_in_range(counts[i], CLIENTS / ENDPOINTS * 9 / 10, CLIENTS / ENDPOINTS * 11 / 10);
    }
}

static void only_the_clients_of_a_lost_endpoint_move_and_to_all_others(void **state)
{
    (void)state;
    unsigned moved[ENDPOINTS] = {0};
    struct random random;
    random_init(&random, 7);
    for (int i = 0; i < CLIENTS; i++) {
        uint64_t key = random_u64(&random);
        size_t before = nearest(key, ENDPOINTS);
        size_t after = nearest(key, 2);
        if (before != 2) {
            assert_int_equal(before, after);
        } else {
            moved[after]++;
        }
    }
    for (size_t i = 0; i < ENDPOINTS; i++) {
        unsigned part = CLIENTS / ENDPOINTS / (ENDPOINTS - 1);
        assert_in_range(moved[i], i == 2 ? 0 : part * 8 / 10, i == 2 ? 0 : part * 12 / 10);
    }
}

static void a_network_of_ipv6_is_one_client(void **state)
{
    (void)state;
    struct ip a;
    struct ip b;
    struct ip c;
    assert_true(ip_parse(BYTES("2001:db8:0:1::1"), &a));
    assert_true(ip_parse(BYTES("2001:db8:0:1:ffff::9"), &b));
    assert_true(ip_parse(BYTES("2001:db8:0:2::1"), &c));
    assert_true(affinity_key_of_address(&a) == affinity_key_of_address(&b));
    assert_true(affinity_key_of_address(&a) != affinity_key_of_address(&c));
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    char text[AFFINITY_SET_COOKIE_MAX];
    uint64_t key = 0;
    struct bytes field = affinity_format(0x00ab, true, text);
    assert_true(bytes_equal(field, BYTES("serin-endpoint=00000000000000ab; Path=/; HttpOnly; "
                                         "SameSite=Lax; Secure")));
    assert_true(affinity_parse(bytes_slice(field, 15, 16), &key));
    assert_true(key == 0xab);
    field = affinity_format(UINT64_MAX, false, text);
    assert_false(bytes_ends_with(field, BYTES("Secure")));
}

static void what_is_not_exactly_a_key_is_none(void **state)
{
    (void)state;
    const char *const values[] = {"",
                                  "0",
                                  "0000000000000000",
                                  "0123456789abcde",
                                  "0123456789abcdef0",
                                  "0123456789ABCDEF",
                                  "0123456789abcdeg",
                                  "-123456789abcdef",
                                  "0x23456789abcdef",
                                  " 123456789abcdef"};
    for (size_t i = 0; i < COUNT_OF(values); i++) {
        uint64_t key = 0;
        if (affinity_parse(bytes_of(values[i]), &key)) {
            fail_msg("taken: %s", values[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_are_spread_evenly),
        cmocka_unit_test(only_the_clients_of_a_lost_endpoint_move_and_to_all_others),
        cmocka_unit_test(a_network_of_ipv6_is_one_client),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_not_exactly_a_key_is_none),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}

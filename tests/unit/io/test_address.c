#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/io/address.h"

static union address address_of(const char *text)
{
    struct ip ip;
    assert_true(ip_parse(bytes_of(text), &ip));
    return address_make(&ip, 80);
}

static void address_is_written_as_people_write_it(void **state)
{
    (void)state;
    const char *const cases[][2] = {
        {"192.0.2.1", "192.0.2.1:80"},
        {"2001:db8::1", "[2001:db8::1]:80"},
        {"::1", "[::1]:80"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        union address address = address_of(cases[i][0]);
        char text[ADDRESS_TEXT_SIZE];

        address_format(&address, text);

        assert_string_equal(text, cases[i][1]);
    }
}

static void address_of_a_socket_gets_the_port_asked_for(void **state)
{
    (void)state;
    union address from = address_of("192.0.2.7");
    union address address;

    assert_true(address_from_socket(&from.any, 8080, &address));

    assert_int_equal(ntohs(address.v4.sin_port), 8080);
    assert_memory_equal(&address.v4.sin_addr, &from.v4.sin_addr, sizeof from.v4.sin_addr);
}

static void address_of_another_family_is_none(void **state)
{
    (void)state;
    struct sockaddr local = {.sa_family = AF_UNIX};
    union address address;

    assert_false(address_from_socket(&local, 80, &address));
}

static void assert_order(const char *const *given, size_t given_count, const char *const *wanted,
                         size_t wanted_count)
{
    union address addresses[16];
    for (size_t i = 0; i < given_count; i++) {
        addresses[i] = address_of(given[i]);
    }

    size_t count = address_sort(addresses, given_count);

    assert_int_equal(count, wanted_count);
    for (size_t i = 0; i < wanted_count; i++) {
        union address address = address_of(wanted[i]);
        assert_true(address_equal(&addresses[i], &address));
    }
}

static void sorted_set_does_not_depend_on_the_order_it_came_in(void **state)
{
    (void)state;
    const char *const wanted[] = {"192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"};
    const char *const one[] = {"2001:db8::2", "192.0.2.2", "2001:db8::1", "192.0.2.1"};
    const char *const other[] = {"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"};

    assert_order(one, COUNT_OF(one), wanted, COUNT_OF(wanted));
    assert_order(other, COUNT_OF(other), wanted, COUNT_OF(wanted));
}

static void sorted_set_has_no_doubles(void **state)
{
    (void)state;
    const char *const given[] = {"192.0.2.1", "::1", "192.0.2.1", "::1", "::1"};
    const char *const wanted[] = {"192.0.2.1", "::1"};

    assert_order(given, COUNT_OF(given), wanted, COUNT_OF(wanted));
}

static void families_take_turns_until_one_is_used_up(void **state)
{
    (void)state;
    const char *const many_v4[] = {"10.0.0.4", "10.0.0.3", "::1", "10.0.0.2", "10.0.0.1"};
    const char *const v4_order[] = {"10.0.0.1", "::1", "10.0.0.2", "10.0.0.3", "10.0.0.4"};
    const char *const many_v6[] = {"::3", "::2", "10.0.0.1", "::4"};
    const char *const v6_order[] = {"10.0.0.1", "::2", "::3", "::4"};
    const char *const only_v6[] = {"::3", "::2"};
    const char *const only_v6_order[] = {"::2", "::3"};

    assert_order(many_v4, COUNT_OF(many_v4), v4_order, COUNT_OF(v4_order));
    assert_order(many_v6, COUNT_OF(many_v6), v6_order, COUNT_OF(v6_order));
    assert_order(only_v6, COUNT_OF(only_v6), only_v6_order, COUNT_OF(only_v6_order));
    assert_order(only_v6, 0, only_v6, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_is_written_as_people_write_it),
        cmocka_unit_test(address_of_a_socket_gets_the_port_asked_for),
        cmocka_unit_test(address_of_another_family_is_none),
        cmocka_unit_test(sorted_set_does_not_depend_on_the_order_it_came_in),
        cmocka_unit_test(sorted_set_has_no_doubles),
        cmocka_unit_test(families_take_turns_until_one_is_used_up),
    };
    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}

/* tests/unit/router/test_route_table.c — the most specific host and path win, whatever was asked
 * for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <stdlib.h>

#include "proxy/base/check.h"
#include "router/matcher.h"
#include "router/route_table.h"
#include "tests/support/alloc_fail.h"

#define RULE(host, path, service)                                                                  \
    {                                                                                              \
        BYTES(host), BYTES(path), service                                                          \
    }

static const struct route_rule rules[] = {
    RULE("example.com", "/", 1),
    RULE("example.com", "/api", 2),
    RULE("example.com", "/api/v2", 3),
    RULE("*.example.com", "/", 4),
    RULE("*.eu.example.com", "/", 5),
    RULE("www.example.com", "/shop/", 6),
    RULE("*", "/", 7),
    RULE("*", "/health", 8),
    RULE("[2001:db8::1]", "/", 9),
    RULE("Upper.Case.Example", "/", 10),
    RULE("*.only-api.example", "/api", 11),
};

struct find_case {
    const char *authority;
    const char *target;
    uint32_t service;
};

static void most_specific_host_then_longest_path_wins(void **state)
{
    (void)state;
    const struct find_case cases[] = {
        {"example.com", "/", 1},
        {"EXAMPLE.com:8080", "/x?y", 1},
        {"example.com.", "/apis", 1},
        {"example.com", "/api", 2},
        {"example.com", "/api?x", 2},
        {"example.com", "/api/v1", 2},
        {"example.com", "/api/v2/x", 3},
        {"example.com", "*", 1},
        {"a.example.com", "/api", 4},
        {"a.b.example.com", "/", 4},
        {"a.eu.example.com", "/", 5},
        {"a.b.eu.EXAMPLE.com", "/", 5},
        {"eu.example.com", "/", 4},
        {"www.example.com", "/shop", 6},
        {"www.example.com", "/shop/cart", 6},
        {"www.example.com", "/", 4},
        {"notexample.com", "/", 7},
        {".example.com", "/", 7},
        {"com", "/health", 8},
        {"", "/", 7},
        {"", "/health/live", 8},
        {"[2001:DB8::1]:443", "/", 9},
        {"[2001:db8::2]", "/", 7},
        {"upper.case.example", "/", 10},
        {"x.only-api.example", "/api/1", 11},
        {"x.only-api.example", "/", 7},
    };
    struct route_table *table = NULL;
    assert_int_equal(route_table_create(rules, COUNT_OF(rules), NULL, &table), OK);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(
            route_table_find(table, bytes_of(cases[i].authority), bytes_of(cases[i].target)),
            cases[i].service);
    }
    route_table_destroy(table);
}

static void unknown_host_has_no_route_without_a_star(void **state)
{
    (void)state;
    struct route_table *table = NULL;
    assert_int_equal(route_table_create(rules, 6, NULL, &table), OK);
    assert_int_equal(route_table_find(table, BYTES("other.org"), BYTES("/")), ROUTE_NONE);
    assert_int_equal(route_table_find(table, BYTES(""), BYTES("/")), ROUTE_NONE);
    route_table_destroy(table);
    assert_int_equal(route_table_create(NULL, 0, NULL, &table), OK);
    assert_int_equal(route_table_find(table, BYTES("example.com"), BYTES("/")), ROUTE_NONE);
    route_table_destroy(table);
    route_table_destroy(NULL);
}

static void hostile_hosts_only_reach_the_star(void **state)
{
    (void)state;
    struct route_table *table = NULL;
    assert_int_equal(route_table_create(rules, COUNT_OF(rules), NULL, &table), OK);
    char big[4096];
    memset(big, '.', sizeof big);
    assert_int_equal(route_table_find(table, bytes_make(big, sizeof big), BYTES("/")), 7);
    assert_int_equal(route_table_find(table, bytes_make(big, MATCHER_HOST_MAX), BYTES("/")), 7);
    const struct bytes hosts[] = {
        BYTES("example.com\0"), BYTES("\xff\xff"),       BYTES("@example.com"),  BYTES("[::::::"),
        BYTES(":::"),           BYTES("exam\x10le.com"), BYTES("*.example.org"), BYTES("*")};
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        assert_int_equal(route_table_find(table, hosts[i], BYTES("/")), 7);
    }
    route_table_destroy(table);
}

static void hosts_of_every_length_are_found(void **state)
{
    (void)state;
    char names[MATCHER_HOST_MAX][MATCHER_HOST_MAX];
    struct route_rule many[2 * MATCHER_HOST_MAX];
    char wild[MATCHER_HOST_MAX][MATCHER_HOST_MAX + 2];
    for (uint32_t i = 0; i < MATCHER_HOST_MAX; i++) {
        memset(names[i], 'A' + (int)(i % 26), i + 1);
        memset(wild[i], 'A' + (int)(i % 26), i + 3);
        wild[i][0] = '*';
        wild[i][1] = '.';
        many[2 * i] = (struct route_rule){bytes_make(names[i], i + 1), BYTES("/"), i};
        many[2 * i + 1] = (struct route_rule){bytes_make(wild[i], i + 3), BYTES("/"), i + 1000};
    }
    struct route_table *table = NULL;
    assert_int_equal(route_table_create(many, COUNT_OF(many), NULL, &table), OK);
    for (uint32_t i = 0; i < MATCHER_HOST_MAX; i++) {
        char low[MATCHER_HOST_MAX + 2] = "x.";
        memset(low + 2, 'a' + (int)(i % 26), i + 1);
        assert_int_equal(route_table_find(table, bytes_make(low + 2, i + 1), BYTES("/")), i);
        uint32_t expected = i + 3 <= MATCHER_HOST_MAX ? i + 1000 : ROUTE_NONE;
        assert_int_equal(route_table_find(table, bytes_make(low, i + 3), BYTES("/")), expected);
    }
    route_table_destroy(table);
}

static void thousands_of_hosts_keep_apart(void **state)
{
    (void)state;
    enum { HOSTS = 5000, NAME_MAX_SIZE = 32 };
    char(*names)[NAME_MAX_SIZE] = calloc(HOSTS, sizeof *names);
    struct route_rule *many = calloc(HOSTS, sizeof *many);
    assert_non_null(names);
    assert_non_null(many);
    for (uint32_t i = 0; i < HOSTS; i++) {
        (void)snprintf(names[i], sizeof names[i], "shop-%u.example.com", i);
        many[i] = (struct route_rule){bytes_of(names[i]), BYTES("/"), i};
    }
    struct route_table *table = NULL;
    assert_int_equal(route_table_create(many, HOSTS, NULL, &table), OK);
    for (uint32_t i = 0; i < HOSTS; i++) {
        assert_int_equal(route_table_find(table, bytes_of(names[i]), BYTES("/")), i);
    }
    assert_int_equal(route_table_find(table, BYTES("shop-5000.example.com"), BYTES("/")),
                     ROUTE_NONE);
    route_table_destroy(table);
    free(many);
    free(names);
}

static void two_services_cannot_have_the_same_route(void **state)
{
    (void)state;
    const struct route_rule same[] = {RULE("a.example", "/api", 1), RULE("b.example", "/", 2),
                                      RULE("A.EXAMPLE", "/api/", 3)};
    struct note note = {""};
    struct route_table *table = NULL;
    assert_int_equal(route_table_create(same, COUNT_OF(same), &note, &table), ERR_EXISTS);
    assert_null(table);
    assert_non_null(strstr(note.text, "twice"));
}

static void unreadable_rules_are_refused_with_a_note(void **state)
{
    (void)state;
    const struct route_rule bad_host[] = {RULE("a b", "/", 1)};
    const struct route_rule bad_path[] = {RULE("a", "api", 1)};
    struct note note = {""};
    struct route_table *table = NULL;
    assert_int_equal(route_table_create(bad_host, 1, &note, &table), ERR_SYNTAX);
    assert_non_null(strstr(note.text, "a b"));
    assert_int_equal(route_table_create(bad_path, 1, &note, &table), ERR_SYNTAX);
    assert_non_null(strstr(note.text, "api"));
    assert_int_equal(route_table_create(bad_path, ROUTE_RULES_MAX + 1, &note, &table), ERR_LIMIT);
    assert_null(table);
}

static void table_survives_every_refused_allocation(void **state)
{
    (void)state;
    size_t turn = 0;
    for (; alloc_fail_begin(turn); turn++) {
        struct route_table *table = NULL;
        enum err err = route_table_create(rules, COUNT_OF(rules), NULL, &table);
        bool was_refused = alloc_fail_end();
        assert_int_equal(err, was_refused ? ERR_NOMEM : OK);
        assert_true((table == NULL) == was_refused);
        route_table_destroy(table);
        if (!was_refused) {
            break;
        }
    }
    assert_true(turn >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(most_specific_host_then_longest_path_wins),
        cmocka_unit_test(unknown_host_has_no_route_without_a_star),
        cmocka_unit_test(hostile_hosts_only_reach_the_star),
        cmocka_unit_test(hosts_of_every_length_are_found),
        cmocka_unit_test(thousands_of_hosts_keep_apart),
        cmocka_unit_test(two_services_cannot_have_the_same_route),
        cmocka_unit_test(unreadable_rules_are_refused_with_a_note),
        cmocka_unit_test(table_survives_every_refused_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

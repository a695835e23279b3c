#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/incident/tally.h"
#include "proxy/base/check.h"

static void routes_are_paths_without_their_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *route;
    } cases[] = {
        {"/", "/"},
        {"/item/4711/photo", "/item/{n}/photo"},
        {"/item/4711", "/item/{n}"},
        {"/v2/cart", "/v2/cart"},
        {"/u/6f9619ff-8b86-d011-b42d-00cf4fc964ff/x", "/u/{id}/x"},
        {"/asset/deadbeef01", "/asset/{id}"},
        {"/cafe", "/cafe"},
        {"/deadbeefcafe", "/deadbeefcafe"},
        {"//1//", "//{n}//"},
        {"*", "*"},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char route[TALLY_ROUTE_SIZE];
        tally_route_of(bytes_of(cases[i].path), route);
        assert_string_equal(route, cases[i].route);
    }
}

static void long_path_is_cut_and_says_so(void **state)
{
    (void)state;
    char path[4096];
    char route[TALLY_ROUTE_SIZE];
    memset(path, 'x', sizeof path);
    path[0] = '/';
    tally_route_of(bytes_make(path, sizeof path), route);
    assert_int_equal(strlen(route), TALLY_ROUTE_SIZE - 1);
    assert_string_equal(route + strlen(route) - 3, "...");
    for (size_t i = 0; i < sizeof path; i += 2) {
        path[i] = '/';
    }
    tally_route_of(bytes_make(path, sizeof path), route);
    assert_true(strlen(route) < TALLY_ROUTE_SIZE);
    assert_string_equal(route + strlen(route) - 3, "...");
}

static struct tally_failure failure_of(const char *route, unsigned status, uint32_t bucket)
{
    struct tally_failure failure = {.status = status,
                                    .kind = METRIC_FAILURE_ORIGIN_5XX,
                                    .has_bucket = bucket > 0,
                                    .bucket = bucket,
                                    .is_bad_for_client = true};
    (void)snprintf(failure.route, sizeof failure.route, "%s", route);
    (void)snprintf(failure.method, sizeof failure.method, "GET");
    return failure;
}

static void what_fails_often_is_found_among_many_paths(void **state)
{
    (void)state;
    struct tally *tally = calloc(1, sizeof *tally);
    assert_non_null(tally);
    uint64_t total = 0;
    for (unsigned i = 0; i < 20 * TALLY_ROUTES_MAX; i++) {
        char route[32];
        (void)snprintf(route, sizeof route, "/rare-%u", i);
        struct tally_failure rare = failure_of(route, 500, 0);
        struct tally_failure hot = failure_of("/hot", 503, 1);
        tally_add(tally, &rare);
        tally_add(tally, &hot);
        total += 2;
    }
    tally_sort(tally);
    assert_string_equal(tally->routes[0].route, "/hot");
    assert_int_equal(tally->routes[0].failed, total / 2);
    assert_int_equal(tally->routes[0].client_bad, total / 2);
    uint64_t sum = tally->other_routes;
    for (size_t i = 0; i < tally->route_count; i++) {
        sum += tally->routes[i].failed;
    }
    assert_int_equal(sum, total);
    assert_int_equal(tally->failed, total);
    assert_int_equal(tally->kinds[METRIC_FAILURE_ORIGIN_5XX], total);
    assert_int_equal(tally->bucket_count, 1);
    assert_int_equal(tally->without_bucket, total / 2);
    free(tally);
}

static void clients_are_counted_once_each_up_to_a_bound(void **state)
{
    (void)state;
    struct tally *tally = calloc(1, sizeof *tally);
    assert_non_null(tally);
    for (unsigned i = 0; i < 3000; i++) {
        struct tally_failure failure = failure_of("/", 500, 1 + (i % 1000) * 997);
        tally_add(tally, &failure);
    }
    assert_int_equal(tally->bucket_count, 1000);
    assert_false(tally->has_more_buckets);
    for (unsigned i = 0; i < TALLY_BUCKETS_MAX; i++) {
        struct tally_failure failure = failure_of("/", 500, 1 + i);
        tally_add(tally, &failure);
    }
    assert_int_equal(tally->bucket_count, TALLY_BUCKETS_MAX / 2);
    assert_true(tally->has_more_buckets);
    free(tally);
}

static void statuses_beyond_the_table_are_summed(void **state)
{
    (void)state;
    struct tally *tally = calloc(1, sizeof *tally);
    assert_non_null(tally);
    for (unsigned status = 500; status < 500 + TALLY_STATUSES_MAX + 5; status++) {
        struct tally_failure failure = failure_of("/", status, 0);
        tally_add(tally, &failure);
    }
    assert_int_equal(tally->status_count, TALLY_STATUSES_MAX);
    assert_int_equal(tally->other_statuses, 5);
    free(tally);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_are_paths_without_their_numbers),
        cmocka_unit_test(long_path_is_cut_and_says_so),
        cmocka_unit_test(what_fails_often_is_found_among_many_paths),
        cmocka_unit_test(clients_are_counted_once_each_up_to_a_bound),
        cmocka_unit_test(statuses_beyond_the_table_are_summed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

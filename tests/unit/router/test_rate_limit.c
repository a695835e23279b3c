/* Limits per client: exact for each, over all workers, in bounded memory. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "router/rate_limit.h"

enum { SECOND_US = 1000000, START_US = 1000 * SECOND_US };

static struct rate_table *table;

static int set_up(void **state)
{
    (void)state;
    return rate_table_create(1024, &table) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    rate_table_unref(table);
    return 0;
}

static struct ip client_of(const char *text)
{
    struct ip ip;
    assert_true(ip_parse(bytes_of(text), &ip));
    return ip;
}

/* How many of `count` requests at that moment are let through. */
static unsigned ask(const struct rate_policy *policy, const char *client, unsigned count,
                    uint64_t now_us)
{
    struct ip ip = client_of(client);
    unsigned let = 0;
    for (unsigned i = 0; i < count; i++) {
        let += rate_table_ask(table, policy, &ip, now_us) == 0;
    }
    return let;
}

static void a_burst_is_let_through_and_then_the_rate(void **state)
{
    (void)state;
    struct rate_policy policy = rate_policy_make(10, SECOND_US, 20);
    assert_int_equal(ask(&policy, "192.0.2.1", 50, START_US), 20);
    unsigned let = 0;
    for (uint64_t ms = 1; ms <= 10000; ms++) {
        let += ask(&policy, "192.0.2.1", 1, START_US + ms * 1000);
    }
    assert_int_equal(let, 100);
}

static void a_pause_fills_the_bucket_and_not_more(void **state)
{
    (void)state;
    struct rate_policy policy = rate_policy_make(1, SECOND_US, 5);
    assert_int_equal(ask(&policy, "192.0.2.1", 9, START_US), 5);
    assert_int_equal(ask(&policy, "192.0.2.1", 9, START_US + 2 * SECOND_US), 2);
    assert_int_equal(ask(&policy, "192.0.2.1", 9, START_US + 3600ull * SECOND_US), 5);
}

static void the_wait_that_is_told_is_the_wait(void **state)
{
    (void)state;
    struct rate_policy policy = rate_policy_make(2, SECOND_US, 1);
    struct ip ip = client_of("192.0.2.1");
    assert_int_equal(rate_table_ask(table, &policy, &ip, START_US), 0);
    uint64_t wait_us = rate_table_ask(table, &policy, &ip, START_US + 100000);
    assert_int_equal(wait_us, 400000);
    assert_int_not_equal(rate_table_ask(table, &policy, &ip, START_US + 100000 + wait_us - 1), 0);
    assert_int_equal(rate_table_ask(table, &policy, &ip, START_US + 100000 + wait_us), 0);
}

static void a_refusal_costs_nothing(void **state)
{
    (void)state;
    struct rate_policy policy = rate_policy_make(1, SECOND_US, 1);
    assert_int_equal(ask(&policy, "192.0.2.1", 1000, START_US), 1);
    assert_int_equal(ask(&policy, "192.0.2.1", 1, START_US + SECOND_US), 1);
}

static void clients_do_not_pay_for_each_other(void **state)
{
    (void)state;
    struct rate_policy policy = rate_policy_make(1, SECOND_US, 3);
    assert_int_equal(ask(&policy, "192.0.2.1", 9, START_US), 3);
    assert_int_equal(ask(&policy, "192.0.2.2", 9, START_US), 3);
    assert_int_equal(ask(&policy, "2001:db8::1", 9, START_US), 3);
}

static void one_network_of_ipv6_is_one_client(void **state)
{
    (void)state;
    struct rate_policy policy = rate_policy_make(1, SECOND_US, 3);
    assert_int_equal(ask(&policy, "2001:db8:0:1::1", 2, START_US), 2);
    assert_int_equal(ask(&policy, "2001:db8:0:1:ffff::2", 9, START_US), 1);
    assert_int_equal(ask(&policy, "2001:db8:0:2::1", 9, START_US), 3);
}

static void clocks_that_differ_a_little_do_no_harm(void **state)
{
    (void)state;
    struct rate_policy policy = rate_policy_make(10, SECOND_US, 1);
    assert_int_equal(ask(&policy, "192.0.2.1", 1, START_US + 5000), 1);
    assert_int_equal(ask(&policy, "192.0.2.1", 1, START_US), 0);
    assert_int_equal(ask(&policy, "192.0.2.1", 1, START_US + 105000), 1);
}

static void the_fastest_and_the_slowest_policy_are_kept(void **state)
{
    (void)state;
    struct rate_policy fast = rate_policy_make(1000000, 100000, 1000000);
    struct rate_policy slow = rate_policy_make(1, 86400ull * SECOND_US, 1000000);
    assert_int_equal(ask(&fast, "192.0.2.1", 1000, START_US), 1000);
    assert_int_equal(ask(&slow, "192.0.2.2", 1000, START_US), 1000);
    struct rate_policy once = rate_policy_make(1, 86400ull * SECOND_US, 1);
    assert_int_equal(ask(&once, "192.0.2.3", 2, START_US), 1);
    assert_int_equal(ask(&once, "192.0.2.3", 2, START_US + 86399ull * SECOND_US), 0);
}

/* More addresses than there is room for: everyone gets a bucket, memory does not grow, and those
 * who ask most are the last to be forgotten. */
static void a_flood_of_addresses_forgets_the_idle_first(void **state)
{
    (void)state;
    struct rate_policy policy = rate_policy_make(1, 60ull * SECOND_US, 10);
    assert_int_equal(ask(&policy, "192.0.2.1", 99, START_US), 10);
    for (unsigned i = 0; i < 100000; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        assert_int_equal(ask(&policy, text, 1, START_US + i), 1);
    }
    assert_int_equal(ask(&policy, "192.0.2.1", 99, START_US + SECOND_US), 0);
}

/* ---- many workers ---- */

enum { THREADS = 4, ASKS = 20000 };

static atomic_uint let_through;
static struct rate_policy shared_policy;

static void *ask_on(void *context)
{
    struct ip ip = client_of("192.0.2.77");
    unsigned let = 0;
    (void)context;
    for (unsigned i = 0; i < ASKS; i++) {
        let += rate_table_ask(table, &shared_policy, &ip, START_US) == 0;
    }
    atomic_fetch_add(&let_through, let);
    return NULL;
}

static void workers_share_one_bucket(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct ip ip = client_of("192.0.2.77");
    atomic_init(&let_through, 1);
    shared_policy = rate_policy_make(1, SECOND_US, 5000);
    assert_int_equal(rate_table_ask(table, &shared_policy, &ip, START_US), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask_on, NULL), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&let_through), 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_burst_is_let_through_and_then_the_rate, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_pause_fills_the_bucket_and_not_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_wait_that_is_told_is_the_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refusal_costs_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(clients_do_not_pay_for_each_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_network_of_ipv6_is_one_client, set_up, tear_down),
        cmocka_unit_test_setup_teardown(clocks_that_differ_a_little_do_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_fastest_and_the_slowest_policy_are_kept, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_flood_of_addresses_forgets_the_idle_first, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(workers_share_one_bucket, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

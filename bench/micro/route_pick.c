/* bench/micro/route_pick.c — what it costs to find a request's service and to pick its version. */
#include <stdio.h>
#include <stdlib.h>

#include "proxy/base/check.h"
#include "proxy/base/clock.h"
#include "router/decide.h"
#include "router/route_table.h"

enum { PASSES = 7, CALLS = 2000000, HOSTS = 1000, NAME_SIZE = 32 };

static volatile uint32_t sink; /* keeps the work from being left out */

struct bench {
    struct decide_service service;
    struct decide_facts facts;
    struct bytes cookie;
    struct route_table *table;
    uint32_t host_count;
    char names[HOSTS][NAME_SIZE];
    struct bytes hosts[HOSTS];
};

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median_ns(void (*run)(const struct bench *bench), const struct bench *bench)
{
    double passes[PASSES];
    for (size_t i = 0; i < PASSES; i++) {
        uint64_t start_us = clock_monotonic_us(clock_system());
        run(bench);
        passes[i] = (double)(clock_monotonic_us(clock_system()) - start_us) * 1000 / CALLS;
    }
    qsort(passes, PASSES, sizeof *passes, compare_doubles);
    return passes[PASSES / 2];
}

static void run_decide(const struct bench *bench)
{
    struct split_accumulator accumulator;
    split_accumulator_init(&accumulator, 0, 1);
    struct random random;
    random_init(&random, 1);
    uint32_t sum = 0;
    for (int i = 0; i < CALLS; i++) {
        sum += decide(&bench->service, &bench->facts, &accumulator, &random).role;
    }
    sink = sum;
}

static void run_find(const struct bench *bench)
{
    uint32_t sum = 0;
    uint32_t host = 0;
    for (int i = 0; i < CALLS; i++) {
        sum += route_table_find(bench->table, bench->hosts[host], BYTES("/index.html?a=b"));
        host = host + 1 < bench->host_count ? host + 1 : 0;
    }
    sink = sum;
}

static double find_ns(struct bench *bench, uint32_t host_count)
{
    static struct route_rule rules[HOSTS];
    for (uint32_t i = 0; i < host_count; i++) {
        (void)snprintf(bench->names[i], NAME_SIZE, "shop-%04u.example.com", i);
        bench->hosts[i] = bytes_of(bench->names[i]);
        rules[i] = (struct route_rule){bench->hosts[i], BYTES("/"), i};
    }
    bench->host_count = host_count;
    CHECK(route_table_create(rules, host_count, NULL, &bench->table) == OK);
    double ns = median_ns(run_find, bench);
    route_table_destroy(bench->table);
    return ns;
}

static double decide_ns(struct bench *bench, enum sticky_by by, struct bytes cookie)
{
    static const char address[4] = {10, 1, 2, 3};
    bench->service =
        (struct decide_service){.weight_ppm = 100000, .sticky = {by, 0xabc, {NULL, 0}}};
    bench->cookie = cookie;
    bench->facts = (struct decide_facts){.is_live = {true, true},
                                         .client_address = bytes_make(address, sizeof address),
                                         .cookies = &bench->cookie,
                                         .cookie_count = cookie.size > 0};
    return median_ns(run_decide, bench);
}

int main(void)
{
    static struct bench bench;
    struct bytes ours = BYTES("theme=dark; session=0123456789abcdef; serin=0000000000000abc.77");
    struct bytes others = BYTES("theme=dark; session=0123456789abcdef; consent=all");
    (void)printf("route_pick/weight\t%.1f\tns\t20\n", decide_ns(&bench, STICKY_NONE, BYTES("")));
    (void)printf("route_pick/client_ip\t%.1f\tns\t-\n",
                 decide_ns(&bench, STICKY_CLIENT_IP, BYTES("")));
    (void)printf("route_pick/cookie\t%.1f\tns\t-\n", decide_ns(&bench, STICKY_COOKIE, ours));
    (void)printf("route_pick/cookie_of_others\t%.1f\tns\t-\n",
                 decide_ns(&bench, STICKY_COOKIE, others));
    double one_ns = find_ns(&bench, 1);
    double thousand_ns = find_ns(&bench, HOSTS);
    (void)printf("route_find/1_host\t%.1f\tns\t-\n", one_ns);
    (void)printf("route_find/1000_hosts\t%.1f\tns\t-\n", thousand_ns);
    return 0;
}

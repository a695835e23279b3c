#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proxy/io/resolver.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/dns_stub.h"

enum { SHORT_US = 500 * 1000, TICK_MS = 20, GAP_MAX_US = 150 * 1000, ATTEMPTS = 3 };

struct bench {
    struct loop loop;
    struct dns_stub dns;
    struct resolver resolver;
    struct resolver_lookup *lookup;
    unsigned answer_count;
    struct resolver_answer answer;
    union address addresses[RESOLVER_ADDRESSES_MAX];
    uint64_t tick_us;
    uint64_t gap_max_us;
};

static void set_up(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    assert_int_equal(loop_init(&bench->loop), OK);
    dns_stub_open(&bench->dns, &bench->loop.uv);
    struct resolver_options options = {bench->dns.servers, SHORT_US};
    assert_int_equal(resolver_init(&bench->resolver, &bench->loop, &options), OK);
}

static void tear_down(struct bench *bench)
{
    resolver_finish(&bench->resolver);
    dns_stub_close(&bench->dns);
    loop_shutdown(&bench->loop);
    loop_run(&bench->loop);
    loop_finish(&bench->loop);
}

static void on_done(void *context, const struct resolver_answer *answer)
{
    struct bench *bench = context;
    bench->answer_count++;
    bench->answer = *answer;
    memcpy(bench->addresses, answer->addresses, answer->address_count * sizeof *answer->addresses);
}

static void look_up(struct bench *bench, const char *name)
{
    unsigned before = bench->answer_count;
    assert_int_equal(resolver_start(&bench->resolver, name, 8080, on_done, bench, &bench->lookup),
                     OK);
    assert_int_equal(bench->answer_count, before);
    while (bench->answer_count == before) {
        (void)loop_turn(&bench->loop, true);
    }
    assert_int_equal(bench->answer_count, before + 1);
}

static void assert_address(const struct bench *bench, size_t index, const char *wanted)
{
    char text[ADDRESS_TEXT_SIZE];
    address_format(&bench->addresses[index], text);
    assert_string_equal(text, wanted);
}

static void name_gets_its_addresses_of_both_families_and_their_ttl(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    dns_stub_say(&bench.dns, "192.0.2.9", "2001:db8::9", 77);

    look_up(&bench, "shop.example");

    assert_int_equal(bench.answer.err, OK);
    assert_int_equal(bench.answer.ttl_s, 77);
    assert_int_equal(bench.answer.address_count, 2);
    assert_address(&bench, 0, "192.0.2.9:8080");
    assert_address(&bench, 1, "[2001:db8::9]:8080");
    tear_down(&bench);
}

static void name_with_one_family_is_fine(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);

    dns_stub_say(&bench.dns, "192.0.2.9", NULL, 5);
    look_up(&bench, "four.example");
    assert_int_equal(bench.answer.err, OK);
    assert_int_equal(bench.answer.address_count, 1);

    dns_stub_say(&bench.dns, NULL, "2001:db8::9", 5);
    look_up(&bench, "six.example");
    assert_int_equal(bench.answer.err, OK);
    assert_int_equal(bench.answer.address_count, 1);
    assert_address(&bench, 0, "[2001:db8::9]:8080");
    tear_down(&bench);
}

static void many_addresses_are_cut_but_keep_both_families(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    dns_stub_say(&bench.dns, NULL, "2001:db8::9", 5);
    for (int i = 12; i > 0; i--) {
        char text[32];
        (void)snprintf(text, sizeof text, "192.0.2.%d", i);
        dns_stub_add_v4(&bench.dns, text);
    }

    look_up(&bench, "many.example");

    assert_int_equal(bench.answer.address_count, RESOLVER_ADDRESSES_MAX);
    assert_address(&bench, 0, "192.0.2.1:8080");
    assert_address(&bench, 1, "[2001:db8::9]:8080");
    assert_address(&bench, 7, "192.0.2.7:8080");
    tear_down(&bench);
}

static void localhost_and_addresses_ask_no_server(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.dns.is_silent = true;

    look_up(&bench, "localhost");
    assert_int_equal(bench.answer.err, OK);
    assert_int_equal(bench.answer.ttl_s, RESOLVER_TTL_NONE);
    assert_address(&bench, 0, "127.0.0.1:8080");

    look_up(&bench, "192.0.2.1");
    assert_int_equal(bench.answer.err, OK);
    assert_int_equal(bench.answer.address_count, 1);
    assert_address(&bench, 0, "192.0.2.1:8080");

    assert_int_equal(bench.dns.query_count, 0);
    tear_down(&bench);
}

static void unknown_name_is_not_found(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.dns.rcode = DNS_STUB_NXDOMAIN;

    look_up(&bench, "nobody.example");
    assert_int_equal(bench.answer.err, ERR_NOT_FOUND);
    assert_int_equal(bench.answer.address_count, 0);
    assert_true(strlen(bench.answer.reason) > 0);

    bench.dns.rcode = DNS_STUB_NOERROR;
    look_up(&bench, "empty.example");
    assert_int_equal(bench.answer.err, ERR_NOT_FOUND);
    tear_down(&bench);
}

static void refusing_server_fails_the_lookup(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.dns.rcode = DNS_STUB_SERVFAIL;

    look_up(&bench, "shop.example");

    assert_int_not_equal(bench.answer.err, OK);
    assert_int_not_equal(bench.answer.err, ERR_NOT_FOUND);
    tear_down(&bench);
}

static void on_tick(uv_timer_t *timer)
{
    struct bench *bench = timer->data;
    uint64_t now_us = uv_hrtime() / 1000;
    uint64_t gap_us = now_us - bench->tick_us;
    bench->tick_us = now_us;
    bench->gap_max_us = gap_us > bench->gap_max_us ? gap_us : bench->gap_max_us;
}

static uint64_t longest_gap_us(void)
{
    struct bench bench;
    set_up(&bench);
    bench.dns.is_silent = true;
    uv_timer_t ticks;
    assert_int_equal(uv_timer_init(&bench.loop.uv, &ticks), 0);
    ticks.data = &bench;
    bench.tick_us = uv_hrtime() / 1000;
    assert_int_equal(uv_timer_start(&ticks, on_tick, TICK_MS, TICK_MS), 0);

    look_up(&bench, "silent.example");

    assert_int_equal(bench.answer.err, ERR_TIMEOUT);
    assert_true(bench.dns.query_count > 0);
    on_tick(&ticks);
    uv_close((uv_handle_t *)&ticks, NULL);
    tear_down(&bench);
    return bench.gap_max_us;
}

/* A busy machine may hold up any loop, so it is tried again; a resolver that waits does so each
 * time. */
static void silent_server_never_holds_up_the_loop(void **state)
{
    (void)state;
    uint64_t gap_us = longest_gap_us();
    for (int attempt = 1; attempt < ATTEMPTS && gap_us > GAP_MAX_US; attempt++) {
        gap_us = longest_gap_us();
    }
    assert_true(gap_us <= GAP_MAX_US);
}

static void one_family_suffices_when_the_other_is_never_answered(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    dns_stub_say(&bench.dns, "192.0.2.9", NULL, 30);
    bench.dns.is_v6_silent = true;

    look_up(&bench, "half.example");

    assert_int_equal(bench.answer.err, OK);
    assert_address(&bench, 0, "192.0.2.9:8080");
    tear_down(&bench);
}

static void cancelled_lookup_is_never_told(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    struct resolver_lookup *kept = NULL;
    dns_stub_say(&bench.dns, "192.0.2.9", NULL, 30);
    assert_int_equal(
        resolver_start(&bench.resolver, "one.example", 1, on_done, &bench, &bench.lookup), OK);
    assert_int_equal(resolver_start(&bench.resolver, "localhost", 1, on_done, &bench, &kept), OK);

    resolver_cancel(bench.lookup);
    resolver_cancel(kept); /* settled already, told by nobody */

    look_up(&bench, "two.example");
    assert_int_equal(bench.answer_count, 1);
    tear_down(&bench);
}

static void finish_takes_lookups_under_way_with_it(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    bench.dns.is_silent = true;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            resolver_start(&bench.resolver, "silent.example", 1, on_done, &bench, &bench.lookup),
            OK);
    }
    (void)loop_turn(&bench.loop, false);

    tear_down(&bench);

    assert_int_equal(bench.answer_count, 0);
}

static void unreadable_servers_are_an_error_of_the_start(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    struct resolver resolver;
    struct resolver_options options = {"not an address", 0};
    assert_int_equal(resolver_init(&resolver, &bench.loop, &options), OK);

    enum err err = resolver_start(&resolver, "a.example", 1, on_done, &bench, &bench.lookup);

    assert_int_equal(err, ERR_IO);
    resolver_finish(&resolver);
    tear_down(&bench);
}

static void want_of_memory_fails_one_lookup_and_no_more(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    dns_stub_say(&bench.dns, "192.0.2.9", NULL, 30);
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        unsigned before = bench.answer_count;
        enum err err =
            resolver_start(&bench.resolver, "tight.example", 1, on_done, &bench, &bench.lookup);
        while (err == OK && bench.answer_count == before) {
            (void)loop_turn(&bench.loop, true);
        }
        bool was_refused = alloc_fail_end();
        enum err outcome = err == OK ? bench.answer.err : err;
        assert_true(outcome == OK || outcome == ERR_NOMEM);
        if (!was_refused) {
            assert_int_equal(outcome, OK);
            break;
        }
    }
    tear_down(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_gets_its_addresses_of_both_families_and_their_ttl),
        cmocka_unit_test(name_with_one_family_is_fine),
        cmocka_unit_test(many_addresses_are_cut_but_keep_both_families),
        cmocka_unit_test(localhost_and_addresses_ask_no_server),
        cmocka_unit_test(unknown_name_is_not_found),
        cmocka_unit_test(refusing_server_fails_the_lookup),
        cmocka_unit_test(silent_server_never_holds_up_the_loop),
        cmocka_unit_test(one_family_suffices_when_the_other_is_never_answered),
        cmocka_unit_test(cancelled_lookup_is_never_told),
        cmocka_unit_test(finish_takes_lookups_under_way_with_it),
        cmocka_unit_test(unreadable_servers_are_an_error_of_the_start),
        cmocka_unit_test(want_of_memory_fails_one_lookup_and_no_more),
    };
    return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}

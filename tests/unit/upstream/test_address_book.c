#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/upstream/address_book.h"
#include "tests/support/alloc_fail.h"
#include "tests/support/dns_stub.h"

enum { RESOLVE_US = 30 * 1000 * 1000, DEADLINE_US = 500 * 1000, MANY = 40 };

struct bench {
    struct loop loop;
    struct dns_stub dns;
    struct resolver resolver;
    struct address_book *book;
    unsigned changed_count;
    unsigned failed_count;
    enum err failed_err;
};

static void on_changed(void *context)
{
    struct bench *bench = context;
    bench->changed_count++;
}

static void on_failed(void *context, struct bytes host, enum err err, const char *reason)
{
    struct bench *bench = context;
    bench->failed_count++;
    bench->failed_err = err;
    assert_true(host.size > 0);
    assert_true(strlen(reason) > 0);
}

static void set_up(struct bench *bench)
{
    static const struct address_book_ops ops = {on_changed, on_failed};
    memset(bench, 0, sizeof *bench);
    assert_int_equal(loop_init(&bench->loop), OK);
    dns_stub_open(&bench->dns, &bench->loop.uv);
    struct resolver_options options = {bench->dns.servers, DEADLINE_US};
    assert_int_equal(resolver_init(&bench->resolver, &bench->loop, &options), OK);
    assert_int_equal(address_book_create(&bench->loop, &bench->resolver, &ops, bench, &bench->book),
                     OK);
}

static void tear_down(struct bench *bench)
{
    address_book_destroy(bench->book);
    resolver_finish(&bench->resolver);
    dns_stub_close(&bench->dns);
    loop_shutdown(&bench->loop);
    loop_run(&bench->loop);
    loop_finish(&bench->loop);
}

static void run_until(struct bench *bench, const unsigned *count, unsigned wanted)
{
    while (*count < wanted) {
        (void)loop_turn(&bench->loop, true);
    }
}

static void run_until_settled(struct bench *bench)
{
    while (address_book_pending_count(bench->book) > 0) {
        (void)loop_turn(&bench->loop, true);
    }
}

static void set(struct bench *bench, const struct address_place *places, size_t count)
{
    assert_int_equal(address_book_set(bench->book, places, count, RESOLVE_US), OK);
}

static void assert_first(const struct bench *bench, struct bytes host, const char *wanted)
{
    struct address_entry entry;
    char text[ADDRESS_TEXT_SIZE];
    assert_true(address_book_find(bench->book, host, 80, &entry));
    assert_true(entry.address_count > 0);
    address_format(&entry.addresses[0], text);
    assert_string_equal(text, wanted);
}

static void address_stands_for_itself_at_once(void **state)
{
    (void)state;
    struct bench bench;
    set_up(&bench);
    const struct address_place places[] = {{BYTES("192.0.2.1"), 80}, {BYTES("2001:db8::1"), 80}};

    set(&bench, places, COUNT_OF(places));

    assert_int_equal(address_book_pending_count(bench.book), 0);
    assert_first(&bench, BYTES("192.0.2.1"), "192.0.2.1:80");
    assert_first(&bench, BYTES("2001:db8::1"), "[2001:db8::1]:80");
    (void)loop_turn(&bench.loop, false);
    assert_int_equal(bench.dns.query_count, 0);
    assert_int_equal(bench.changed_count, 0);
    tear_down(&bench);
}

static void name_gets_its_addresses_and_the_change_is_told(void **state)
{
    (void)state;
    struct bench bench;
    struct address_entry entry;
    const struct address_place places[] = {{BYTES("shop.example"), 80}};
    set_up(&bench);
    dns_stub_say(&bench.dns, "192.0.2.9", "2001:db8::9", 60);

    set(&bench, places, 1);
    assert_int_equal(address_book_pending_count(bench.book), 1);
    assert_true(address_book_find(bench.book, BYTES("shop.example"), 80, &entry));
    assert_int_equal(entry.address_count, 0);
    run_until(&bench, &bench.changed_count, 1);

    assert_int_equal(address_book_pending_count(bench.book), 0);
    assert_true(address_book_find(bench.book, BYTES("shop.example"), 80, &entry));
    assert_int_equal(entry.address_count, 2);
    assert_int_equal(entry.err, OK);
    assert_false(address_book_find(bench.book, BYTES("shop.example"), 81, &entry));
    tear_down(&bench);
}

static void addresses_follow_the_dns_and_outlive_its_failures(void **state)
{
    (void)state;
    struct bench bench;
    struct address_entry entry;
    const struct address_place places[] = {{BYTES("shop.example"), 80}};
    set_up(&bench);
    dns_stub_say(&bench.dns, "192.0.2.1", NULL, 1);
    set(&bench, places, 1);
    run_until(&bench, &bench.changed_count, 1);

    bench.dns.rcode = DNS_STUB_NXDOMAIN;
    run_until(&bench, &bench.failed_count, 1);
    assert_int_equal(bench.failed_err, ERR_NOT_FOUND);
    assert_first(&bench, BYTES("shop.example"), "192.0.2.1:80");
    assert_true(address_book_find(bench.book, BYTES("shop.example"), 80, &entry));
    assert_int_equal(entry.err, ERR_NOT_FOUND);

    dns_stub_say(&bench.dns, "192.0.2.2", NULL, 60);
    run_until(&bench, &bench.changed_count, 2);
    assert_first(&bench, BYTES("shop.example"), "192.0.2.2:80");
    assert_int_equal(bench.failed_count, 1);
    tear_down(&bench);
}

static void failure_is_told_once_while_it_lasts(void **state)
{
    (void)state;
    struct bench bench;
    const struct address_place places[] = {{BYTES("nobody.example"), 80}};
    set_up(&bench);
    bench.dns.rcode = DNS_STUB_NXDOMAIN;
    set(&bench, places, 1);

    run_until(&bench, &bench.failed_count, 1);
    size_t queries = bench.dns.query_count;
    while (bench.dns.query_count == queries) {
        (void)loop_turn(&bench.loop, true);
    }
    run_until_settled(&bench);

    assert_int_equal(bench.failed_count, 1);
    assert_int_equal(bench.changed_count, 0);
    tear_down(&bench);
}

static void place_that_stays_is_not_asked_for_again(void **state)
{
    (void)state;
    struct bench bench;
    struct address_entry entry;
    const struct address_place before[] = {{BYTES("old.example"), 80}, {BYTES("kept.example"), 80}};
    const struct address_place after[] = {{BYTES("kept.example"), 80}, {BYTES("kept.example"), 80}};
    set_up(&bench);
    dns_stub_say(&bench.dns, "192.0.2.9", NULL, 60);
    set(&bench, before, COUNT_OF(before));
    run_until_settled(&bench);
    size_t queries = bench.dns.query_count;

    set(&bench, after, COUNT_OF(after));

    assert_int_equal(address_book_pending_count(bench.book), 0);
    assert_first(&bench, BYTES("kept.example"), "192.0.2.9:80");
    assert_false(address_book_find(bench.book, BYTES("old.example"), 80, &entry));
    (void)loop_turn(&bench.loop, false);
    assert_int_equal(bench.dns.query_count, queries);
    tear_down(&bench);
}

static void place_may_go_while_it_is_looked_up(void **state)
{
    (void)state;
    struct bench bench;
    const struct address_place places[] = {{BYTES("silent.example"), 80}};
    set_up(&bench);
    bench.dns.is_silent = true;
    set(&bench, places, 1);
    (void)loop_turn(&bench.loop, false);

    set(&bench, NULL, 0);

    assert_int_equal(address_book_pending_count(bench.book), 0);
    tear_down(&bench);
    assert_int_equal(bench.failed_count, 0);
}

static void more_names_than_lookups_all_get_their_turn(void **state)
{
    (void)state;
    struct bench bench;
    char names[MANY][32];
    struct address_place places[MANY];
    set_up(&bench);
    dns_stub_say(&bench.dns, "192.0.2.9", NULL, 60);
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "n%zu.example", i);
        places[i] = (struct address_place){bytes_of(names[i]), 80};
    }

    set(&bench, places, MANY);
    run_until_settled(&bench);

    for (size_t i = 0; i < MANY; i++) {
        assert_first(&bench, places[i].host, "192.0.2.9:80");
    }
    assert_int_equal(bench.changed_count, MANY);
    tear_down(&bench);
}

static void host_without_end_is_refused(void **state)
{
    (void)state;
    struct bench bench;
    char name[300];
    set_up(&bench);
    memset(name, 'a', sizeof name);
    const struct address_place places[] = {{bytes_make(name, sizeof name), 80}};

    assert_int_equal(address_book_set(bench.book, places, 1, RESOLVE_US), ERR_RANGE);
    tear_down(&bench);
}

static void want_of_memory_leaves_the_book_as_it_was(void **state)
{
    (void)state;
    struct bench bench;
    struct address_entry entry;
    const struct address_place before[] = {{BYTES("192.0.2.1"), 80}};
    const struct address_place after[] = {{BYTES("192.0.2.2"), 80}, {BYTES("192.0.2.3"), 80}};
    set_up(&bench);
    set(&bench, before, COUNT_OF(before));

    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        enum err err = address_book_set(bench.book, after, COUNT_OF(after), RESOLVE_US);
        bool was_refused = alloc_fail_end();
        assert_int_equal(err, was_refused ? ERR_NOMEM : OK);
        assert_int_equal(address_book_find(bench.book, BYTES("192.0.2.1"), 80, &entry),
                         was_refused);
        assert_int_equal(address_book_find(bench.book, BYTES("192.0.2.3"), 80, &entry),
                         !was_refused);
        if (!was_refused) {
            break;
        }
    }
    tear_down(&bench);
}

static void want_of_memory_for_a_lookup_is_made_good_later(void **state)
{
    (void)state;
    struct bench bench;
    const struct address_place places[] = {{BYTES("shop.example"), 80}};
    set_up(&bench);
    dns_stub_say(&bench.dns, "192.0.2.9", NULL, 60);
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        unsigned changed = bench.changed_count;
        enum err err = address_book_set(bench.book, places, 1, RESOLVE_US);
        if (err == OK) {
            run_until(&bench, &bench.changed_count, changed + 1);
        }
        if (!alloc_fail_end()) {
            break;
        }
        assert_true(err == OK || err == ERR_NOMEM);
        set(&bench, NULL, 0);
    }
    assert_first(&bench, BYTES("shop.example"), "192.0.2.9:80");
    tear_down(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_stands_for_itself_at_once),
        cmocka_unit_test(name_gets_its_addresses_and_the_change_is_told),
        cmocka_unit_test(addresses_follow_the_dns_and_outlive_its_failures),
        cmocka_unit_test(failure_is_told_once_while_it_lasts),
        cmocka_unit_test(place_that_stays_is_not_asked_for_again),
        cmocka_unit_test(place_may_go_while_it_is_looked_up),
        cmocka_unit_test(more_names_than_lookups_all_get_their_turn),
        cmocka_unit_test(host_without_end_is_refused),
        cmocka_unit_test(want_of_memory_leaves_the_book_as_it_was),
        cmocka_unit_test(want_of_memory_for_a_lookup_is_made_good_later),
    };
    return cmocka_run_group_tests_name("address_book", tests, NULL, NULL);
}

/* What is frozen, what is shared, and who is counted as using it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "conf/conf_load.h"
#include "proxy/snapshot/snapshot.h"
#include "tests/support/alloc_fail.h"

enum { WORKERS = 3, SERVICES = 2 };

struct parts {
    struct snapshot_base *base;
    struct service *services[SERVICES];
    struct version *versions[SERVICES][ROLE_COUNT];
    struct endpoint *endpoints[SERVICES][ROLE_COUNT];
    union address address;
    struct snapshot_endpoint_plan targets[SERVICES][ROLE_COUNT];
    struct snapshot_service_plan plans[SERVICES];
};

static struct parts parts;

static struct conf *load(void)
{
    static const char text[] = "listen: [{address: 127.0.0.1:8080}]\n"
                               "services:\n"
                               "  - name: shop\n"
                               "    hosts: [shop.test]\n"
                               "    paths: [/, /cart]\n"
                               "    previous: {deployment: old, endpoints: [http://127.0.0.1:1]}\n"
                               "    current: {deployment: new, endpoints: [http://127.0.0.1:2]}\n"
                               "    weight: 10%\n"
                               "    sticky: {by: header, name: X-User}\n"
                               "    outlier: {consecutive: 7, eject: 3s, max_ejected: 25%}\n"
                               "  - name: rest\n"
                               "    hosts: [\"*\"]\n"
                               "    paths: [/]\n"
                               "    opt_in: off\n"
                               "    outlier: off\n"
                               "    previous: {deployment: old, endpoints: [http://127.0.0.1:1]}\n";
    struct conf_errors errors;
    struct conf *conf = NULL;
    conf_errors_init(&errors);
    enum err err = conf_load_memory("play.yaml", bytes_of(text), &errors, &conf);
    conf_errors_print(&errors, stderr);
    assert_int_equal(err, OK);
    conf_errors_finish(&errors);
    return conf;
}

static int set_up(void **state)
{
    (void)state;
    struct note note;
    memset(&parts, 0, sizeof parts);
    assert_int_equal(snapshot_base_create(load(), NULL, &note, &parts.base), OK);
    for (size_t s = 0; s < SERVICES; s++) {
        assert_int_equal(service_create(BYTES("service"), WORKERS, &parts.services[s]), OK);
        parts.plans[s] = (struct snapshot_service_plan){.service = parts.services[s],
                                                        .conf = &parts.base->conf->services[s],
                                                        .weight_ppm = 100000,
                                                        .rollout = 9};
        for (size_t role = 0; role < ROLE_COUNT; role++) {
            assert_int_equal(version_create(BYTES("v"), WORKERS, &parts.versions[s][role]), OK);
            assert_int_equal(endpoint_create(BYTES("e"), WORKERS, &parts.endpoints[s][role]), OK);
            parts.targets[s][role] = (struct snapshot_endpoint_plan){
                parts.endpoints[s][role], BYTES("authority"), &parts.address, 1, NULL};
            if (s == 0 || role == ROLE_PREVIOUS) {
                parts.plans[s].versions[role] = (struct snapshot_version_plan){
                    parts.versions[s][role], &parts.targets[s][role], 1, PROXY_PROTOCOL_NONE};
            }
        }
    }
    return 0;
}

static void assert_nothing_is_shared(void)
{
    assert_int_equal(parts.base->reference_count, 1);
    for (size_t s = 0; s < SERVICES; s++) {
        assert_int_equal(parts.services[s]->reference_count, 1);
        for (size_t role = 0; role < ROLE_COUNT; role++) {
            assert_int_equal(parts.versions[s][role]->reference_count, 1);
            assert_int_equal(parts.endpoints[s][role]->reference_count, 1);
        }
    }
}

static int tear_down(void **state)
{
    (void)state;
    assert_nothing_is_shared();
    for (size_t s = 0; s < SERVICES; s++) {
        service_unref(parts.services[s]);
        for (size_t role = 0; role < ROLE_COUNT; role++) {
            version_unref(parts.versions[s][role]);
            endpoint_unref(parts.endpoints[s][role]);
        }
    }
    snapshot_base_unref(parts.base);
    return 0;
}

static struct snapshot *make(void)
{
    struct snapshot *snapshot = NULL;
    assert_int_equal(snapshot_create(parts.base, parts.plans, SERVICES, WORKERS, 5, &snapshot), OK);
    return snapshot;
}

static void a_snapshot_holds_what_it_names_until_it_goes(void **state)
{
    (void)state;
    struct snapshot *first = make();
    struct snapshot *second = make();
    assert_int_equal(parts.base->reference_count, 3);
    assert_int_equal(parts.services[0]->reference_count, 3);
    assert_int_equal(parts.versions[0][ROLE_CURRENT]->reference_count, 3);
    assert_int_equal(parts.endpoints[1][ROLE_PREVIOUS]->reference_count, 3);
    assert_int_equal(parts.versions[1][ROLE_CURRENT]->reference_count, 1);
    snapshot_destroy(first);
    assert_int_equal(parts.services[0]->reference_count, 2);
    snapshot_destroy(second);
    snapshot_destroy(NULL);
    assert_nothing_is_shared();
}

static void put_page(const struct snapshot_service *service, uint64_t realm)
{
    static const struct fields nothing = {NULL, 0};
    struct cache_parts page = {.realm = realm, .key = {BYTES("/"), 1}, .status = 200};
    struct cache_entry *entry = NULL;
    assert_int_equal(cache_entry_create(service->cache, &page, 0, &entry), OK);
    assert_int_equal(cache_store_put(service->cache, entry, &nothing), OK);
}

/* A rollback makes a snapshot too: it waits for no lock, and frees nothing. */
static void what_is_kept_beyond_a_new_size_is_left_to_ticks(void **state)
{
    (void)state;
    struct conf_service *conf = (struct conf_service *)(uintptr_t)parts.plans[0].conf;
    struct version *version = parts.versions[0][ROLE_CURRENT];
    struct snapshot *first = make();
    struct cache_store *store = first->services[0].cache;
    uint64_t realm = atomic_load(&version->cache_realm);
    put_page(&first->services[0], realm);
    conf->cache.size = 1;
    struct snapshot *second = make();
    assert_int_equal(cache_store_usage(store).size, 1);
    assert_int_equal(cache_store_usage(store).entries, 1);
    assert_int_equal(atomic_load(&version->cache_realm), realm);
    conf->cache.is_on = false;
    struct snapshot *third = make();
    assert_int_equal(cache_store_usage(store).entries, 1);
    assert_int_equal(atomic_load(&version->cache_realm), 0);
    conf->cache.is_on = true;
    struct snapshot *fourth = make();
    assert_true(atomic_load(&version->cache_realm) > realm);
    assert_false(cache_store_shrink(store, 1));
    assert_int_equal(cache_store_usage(store).entries, 0);
    snapshot_destroy(first);
    snapshot_destroy(second);
    snapshot_destroy(third);
    snapshot_destroy(fourth);
}

static void rules_are_those_of_the_configuration_and_the_plan(void **state)
{
    (void)state;
    parts.plans[0].is_quarantined = true;
    struct snapshot *snapshot = make();
    const struct snapshot_service *shop = &snapshot->services[0];
    const struct snapshot_service *rest = &snapshot->services[1];
    assert_int_equal(snapshot->number, 5);
    assert_int_equal(shop->decide.weight_ppm, 100000);
    assert_int_equal(shop->decide.wishes, WISHES_OF_ALL);
    assert_true(shop->decide.is_quarantined);
    assert_int_equal(shop->decide.sticky.by, STICKY_HEADER);
    assert_true(bytes_equal(shop->decide.sticky.header, BYTES("x-user")));
    assert_int_equal(shop->decide.sticky.rollout, 9);
    assert_int_equal(shop->eject.consecutive, 7);
    assert_int_equal(shop->eject.eject_us, 3000000);
    assert_int_equal(shop->eject.max_ejected_ppm, 250000);
    assert_int_equal(rest->decide.wishes, WISHES_OF_NONE);
    assert_int_equal(rest->eject.consecutive, 0);
    snapshot_destroy(snapshot);
}

static void without_a_current_version_there_is_no_weight(void **state)
{
    (void)state;
    struct snapshot *snapshot = make();
    assert_int_equal(snapshot->services[1].decide.weight_ppm, 0);
    assert_null(snapshot->services[1].versions[ROLE_CURRENT].version);
    assert_int_equal(snapshot->services[1].versions[ROLE_CURRENT].endpoint_count, 0);
    snapshot_destroy(snapshot);
}

static void routes_lead_to_the_services_by_their_order(void **state)
{
    (void)state;
    const struct route_table *routes = parts.base->routes;
    assert_int_equal(route_table_find(routes, BYTES("shop.test"), BYTES("/cart/1")), 0);
    assert_int_equal(route_table_find(routes, BYTES("other.test"), BYTES("/")), 1);
}

static void more_addresses_than_there_is_room_for_are_left_out(void **state)
{
    (void)state;
    static const union address many[SNAPSHOT_ADDRESSES_MAX + 3];
    parts.targets[0][ROLE_CURRENT].addresses = many;
    parts.targets[0][ROLE_CURRENT].address_count = COUNT_OF(many);
    struct snapshot *snapshot = make();
    assert_int_equal(snapshot->services[0].versions[ROLE_CURRENT].endpoints[0].address_count,
                     SNAPSHOT_ADDRESSES_MAX);
    snapshot_destroy(snapshot);
}

static void a_lease_is_sent_home_by_its_last_user_and_only_once(void **state)
{
    (void)state;
    struct snapshot *snapshot = make();
    struct lease *lease = &snapshot->leases[1];
    assert_ptr_equal(lease->snapshot, snapshot);
    assert_int_equal((uintptr_t)lease % 64, 0);
    lease->is_current = true;
    lease_acquire(lease);
    assert_false(lease_release(lease));
    lease_acquire(lease);
    lease_acquire(lease);
    lease->is_current = false;
    assert_false(lease_release(lease));
    assert_true(lease_release(lease));
    assert_int_equal(snapshot->leases[0].user_count, 0);
    snapshot_destroy(snapshot);
}

static void accumulators_start_in_step_and_live_on(void **state)
{
    (void)state;
    struct split_accumulator *first = &service_seat(parts.services[0], 0)->accumulator;
    struct split_accumulator *second = &service_seat(parts.services[0], 1)->accumulator;
    assert_ptr_not_equal(first, second);
    assert_memory_not_equal(first, second, sizeof *first);
    (void)split_deal(first, 300000);
    struct split_accumulator kept = *first;
    struct snapshot *snapshot = make();
    assert_ptr_equal(&service_seat(snapshot->services[0].service, 0)->accumulator, first);
    assert_memory_equal(first, &kept, sizeof kept);
    snapshot_destroy(snapshot);
}

static void every_refused_allocation_leaves_nothing_behind(void **state)
{
    (void)state;
    size_t turn = 0;
    for (;; turn++) {
        struct snapshot *snapshot = NULL;
        (void)alloc_fail_begin(turn);
        enum err err = snapshot_create(parts.base, parts.plans, SERVICES, WORKERS, 1, &snapshot);
        bool has_refused = alloc_fail_end();
        if (!has_refused) {
            assert_int_equal(err, OK);
            snapshot_destroy(snapshot);
            break;
        }
        assert_int_equal(err, ERR_NOMEM);
        assert_null(snapshot);
        assert_nothing_is_shared();
    }
    assert_true(turn > 0);
}

static void without_memory_no_part_is_made(void **state)
{
    (void)state;
    for (size_t turn = 0;; turn++) {
        struct service *service = NULL;
        struct version *version = NULL;
        struct snapshot_base *base = NULL;
        struct conf *conf = load();
        struct note note;
        (void)alloc_fail_begin(turn);
        enum err err = service_create(BYTES("s"), WORKERS, &service);
        err = err == OK ? version_create(BYTES("v"), WORKERS, &version) : err;
        if (err == OK) {
            err = snapshot_base_create(conf, NULL, &note, &base);
            conf = NULL; /* taken, whatever came of it */
        }
        bool has_refused = alloc_fail_end();
        service_unref(service);
        version_unref(version);
        snapshot_base_unref(base);
        conf_destroy(conf);
        assert_int_equal(err, has_refused ? ERR_NOMEM : OK);
        if (!has_refused) {
            return;
        }
    }
}

#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(a_snapshot_holds_what_it_names_until_it_goes),
        PLAY(what_is_kept_beyond_a_new_size_is_left_to_ticks),
        PLAY(rules_are_those_of_the_configuration_and_the_plan),
        PLAY(without_a_current_version_there_is_no_weight),
        PLAY(routes_lead_to_the_services_by_their_order),
        PLAY(more_addresses_than_there_is_room_for_are_left_out),
        PLAY(a_lease_is_sent_home_by_its_last_user_and_only_once),
        PLAY(accumulators_start_in_step_and_live_on),
        PLAY(every_refused_allocation_leaves_nothing_behind),
        PLAY(without_memory_no_part_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

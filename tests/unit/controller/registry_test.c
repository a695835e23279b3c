/* Objects that outlive configurations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "canary/controller/registry.h"
#include "tests/support/alloc_fail.h"

static void same_names_give_the_same_object(void **state)
{
    (void)state;
    struct registry registry;
    struct version *first = NULL;
    struct version *again = NULL;
    struct version *other = NULL;
    registry_init(&registry, 2);
    assert_int_equal(registry_version(&registry, BYTES("shop"), BYTES("v1"), &first), OK);
    assert_int_equal(registry_version(&registry, BYTES("shop"), BYTES("v1"), &again), OK);
    assert_int_equal(registry_version(&registry, BYTES("blog"), BYTES("v1"), &other), OK);
    assert_ptr_equal(first, again);
    assert_ptr_not_equal(first, other);
    registry_finish(&registry);
}

/* "ab" + "c" and "a" + "bc" are two versions. */
static void names_do_not_run_into_each_other(void **state)
{
    (void)state;
    struct registry registry;
    struct version *one = NULL;
    struct version *two = NULL;
    registry_init(&registry, 1);
    assert_int_equal(registry_version(&registry, BYTES("ab"), BYTES("c"), &one), OK);
    assert_int_equal(registry_version(&registry, BYTES("a"), BYTES("bc"), &two), OK);
    assert_ptr_not_equal(one, two);
    registry_finish(&registry);
}

static void sweep_lets_go_of_what_nobody_holds(void **state)
{
    (void)state;
    struct registry registry;
    struct service *held = NULL;
    struct service *forgotten = NULL;
    registry_init(&registry, 1);
    assert_int_equal(registry_service(&registry, BYTES("held"), &held), OK);
    assert_int_equal(registry_service(&registry, BYTES("forgotten"), &forgotten), OK);
    (void)service_ref(held);
    registry_sweep(&registry);
    assert_int_equal(registry.item_count, 1);
    struct service *again = NULL;
    assert_int_equal(registry_service(&registry, BYTES("held"), &again), OK);
    assert_ptr_equal(again, held);
    service_unref(held);
    registry_finish(&registry);
}

static void endpoint_with_a_connection_is_not_swept(void **state)
{
    (void)state;
    struct registry registry;
    struct endpoint *endpoint = NULL;
    registry_init(&registry, 2);
    assert_int_equal(
        registry_endpoint(&registry, BYTES("shop"), BYTES("v1"), BYTES("127.0.0.1:80"), &endpoint),
        OK);
    struct endpoint_seat *seat = endpoint_seat(endpoint, 1);
    cell_increment(&seat->open_count);
    registry_sweep(&registry);
    assert_int_equal(registry.item_count, 1);
    cell_sub(&seat->open_count, 1);
    registry_sweep(&registry);
    assert_int_equal(registry.item_count, 0);
    registry_finish(&registry);
}

static void refused_memory_leaves_the_registry_as_it_was(void **state)
{
    (void)state;
    struct registry registry;
    struct endpoint *endpoint = NULL;
    registry_init(&registry, 2);
    bool is_done = false;
    for (size_t turn = 0; !is_done && alloc_fail_begin(turn); turn++) {
        enum err err =
            registry_endpoint(&registry, BYTES("shop"), BYTES("v1"), BYTES("a:1"), &endpoint);
        is_done = !alloc_fail_end();
        assert_int_equal(err, is_done ? OK : ERR_NOMEM);
        assert_int_equal(registry.item_count, is_done ? 1 : 0);
    }
    assert_non_null(endpoint);
    registry_finish(&registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_names_give_the_same_object),
        cmocka_unit_test(names_do_not_run_into_each_other),
        cmocka_unit_test(sweep_lets_go_of_what_nobody_holds),
        cmocka_unit_test(endpoint_with_a_connection_is_not_swept),
        cmocka_unit_test(refused_memory_leaves_the_registry_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

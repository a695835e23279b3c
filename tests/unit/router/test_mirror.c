/* tests/unit/router/test_mirror.c — only what changes nothing is copied, and exactly its share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/mirror.h"

static const struct mirror_facts PLAIN = {.is_stable = true, .is_judged = true, .is_asking = true};

static unsigned copies_of(uint32_t share_ppm, unsigned requests, const struct mirror_facts *facts)
{
    struct split_accumulator accumulator;
    split_accumulator_init(&accumulator, 0, 1);
    unsigned copies = 0;
    for (unsigned i = 0; i < requests; i++) {
        copies += mirror_pick(&accumulator, share_ppm, facts) == MIRROR_COPY;
    }
    return copies;
}

static void share_is_exact(void **state)
{
    (void)state;
    assert_int_equal(copies_of(50000, 1000, &PLAIN), 50);
    assert_int_equal(copies_of(SPLIT_TOTAL, 1000, &PLAIN), 1000);
    assert_int_equal(copies_of(0, 1000, &PLAIN), 0);
    assert_in_range(copies_of(333333, 1000, &PLAIN), 332, 334);
}

static void workers_do_not_copy_their_first_request_together(void **state)
{
    (void)state;
    unsigned copies = 0;
    for (uint32_t worker = 0; worker < 4; worker++) {
        struct split_accumulator accumulator;
        split_accumulator_init(&accumulator, worker, 4);
        copies += mirror_pick(&accumulator, 250000, &PLAIN) == MIRROR_COPY;
    }
    assert_int_equal(copies, 1);
}

static void what_may_change_something_is_not_copied(void **state)
{
    (void)state;
    struct mirror_facts facts = PLAIN;
    facts.is_asking = false;
    assert_int_equal(copies_of(SPLIT_TOTAL, 10, &facts), 0);
    facts = PLAIN;
    facts.has_body = true;
    assert_int_equal(copies_of(SPLIT_TOTAL, 10, &facts), 0);
    facts = PLAIN;
    facts.is_upgrade = true;
    assert_int_equal(copies_of(SPLIT_TOTAL, 10, &facts), 0);
}

static void what_the_canary_answers_or_a_client_chose_is_not_copied(void **state)
{
    (void)state;
    struct mirror_facts facts = PLAIN;
    facts.is_stable = false;
    assert_int_equal(copies_of(SPLIT_TOTAL, 10, &facts), 0);
    facts = PLAIN;
    facts.is_judged = false;
    assert_int_equal(copies_of(SPLIT_TOTAL, 10, &facts), 0);
}

static void requests_that_are_not_copied_leave_the_accumulator(void **state)
{
    (void)state;
    struct split_accumulator accumulator = {.filled = 100};
    struct mirror_facts facts = PLAIN;
    facts.has_body = true;
    assert_int_equal(mirror_pick(&accumulator, 50000, &facts), MIRROR_NOT);
    assert_int_equal(accumulator.filled, 100);
    assert_int_equal(mirror_pick(&accumulator, 50000, &PLAIN), MIRROR_NOT);
    assert_int_equal(accumulator.filled, 50100);
}

static void too_many_under_way_are_dropped(void **state)
{
    (void)state;
    struct split_accumulator accumulator = {0};
    struct mirror_facts facts = PLAIN;
    facts.in_flight = MIRROR_IN_FLIGHT_MAX - 1;
    assert_int_equal(mirror_pick(&accumulator, SPLIT_TOTAL, &facts), MIRROR_COPY);
    facts.in_flight = MIRROR_IN_FLIGHT_MAX;
    assert_int_equal(mirror_pick(&accumulator, SPLIT_TOTAL, &facts), MIRROR_DROP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(share_is_exact),
        cmocka_unit_test(workers_do_not_copy_their_first_request_together),
        cmocka_unit_test(what_may_change_something_is_not_copied),
        cmocka_unit_test(what_the_canary_answers_or_a_client_chose_is_not_copied),
        cmocka_unit_test(requests_that_are_not_copied_leave_the_accumulator),
        cmocka_unit_test(too_many_under_way_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

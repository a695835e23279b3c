/* What a channel has still to be told: order, bounds, waits under a turned clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "canary/alert/outbox.h"

enum { SECOND_US = 1000000 };

static struct event *an_event(int64_t seq)
{
    struct event_facts facts = {"SerinBreach", "site", "v2", "critical", "absolute", "5 of 10"};
    struct event *event = event_create(&facts, EVENT_FIRING, seq, 1000 + seq);
    assert_non_null(event);
    return event;
}

static void push(struct outbox *outbox, int64_t seq)
{
    struct event *event = an_event(seq);
    assert_null(outbox_push(outbox, event));
    event_unref(event);
}

static void events_leave_in_their_order(void **state)
{
    (void)state;
    struct outbox outbox;
    struct random random;
    random_init(&random, 1);
    outbox_init(&outbox);
    push(&outbox, 1);
    push(&outbox, 2);
    for (int64_t seq = 1; seq <= 2; seq++) {
        assert_true(outbox_is_ready(&outbox, 0));
        assert_int_equal(outbox_first(&outbox)->seq, seq);
        outbox_begin(&outbox, true);
        assert_false(outbox_is_ready(&outbox, UINT64_MAX));
        struct event *done = outbox_end(&outbox, ALERT_DELIVERED, 0, &random, 0);
        assert_int_equal(done->seq, seq);
        event_unref(done);
    }
    assert_null(outbox_first(&outbox));
    assert_int_equal(outbox.counts[ALERT_DELIVERED], 2);
    outbox_finish(&outbox);
}

static void full_outbox_gives_up_its_oldest_but_not_the_one_under_way(void **state)
{
    (void)state;
    struct outbox outbox;
    struct random random;
    random_init(&random, 1);
    outbox_init(&outbox);
    for (int64_t seq = 0; seq < OUTBOX_MAX; seq++) {
        push(&outbox, seq);
    }
    struct event *newest = an_event(OUTBOX_MAX);
    struct event *gone = outbox_push(&outbox, newest);
    assert_int_equal(gone->seq, 0);
    event_unref(gone);
    outbox_begin(&outbox, true);
    gone = outbox_push(&outbox, newest);
    assert_int_equal(gone->seq, 2);
    event_unref(gone);
    assert_int_equal(outbox_first(&outbox)->seq, 1);
    struct event *done = outbox_end(&outbox, ALERT_DELIVERED, 0, &random, 0);
    assert_int_equal(done->seq, 1);
    event_unref(done);
    assert_int_equal(outbox_first(&outbox)->seq, 3);
    assert_int_equal(outbox.count, OUTBOX_MAX - 1);
    assert_int_equal(outbox.counts[ALERT_DROPPED], 2);
    event_unref(newest);
    outbox_finish(&outbox);
}

/* Fails once more at `now_us`; gives the wait. */
static uint64_t wait_after_failure(struct outbox *outbox, uint64_t asked_us, struct random *random,
                                   uint64_t now_us)
{
    outbox_begin(outbox, true);
    assert_null(outbox_end(outbox, ALERT_FAILED, asked_us, random, now_us));
    uint64_t due_us = outbox_ready_us(outbox);
    assert_false(outbox_is_ready(outbox, due_us - 1));
    assert_true(outbox_is_ready(outbox, due_us));
    return due_us - now_us;
}

static void waits_double_up_to_a_minute_with_jitter(void **state)
{
    (void)state;
    bool has_differed = false;
    uint64_t first_wait_us = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct outbox outbox;
        struct random random;
        random_init(&random, seed);
        outbox_init(&outbox);
        push(&outbox, 1);
        uint64_t now_us = 0;
        uint64_t most_us = SECOND_US;
        for (int attempt = 1; attempt <= 40; attempt++) {
            uint64_t wait_us = wait_after_failure(&outbox, 0, &random, now_us);
            assert_in_range(wait_us, most_us / 2, most_us);
            now_us += wait_us;
            most_us = most_us * 2 > 60 * SECOND_US ? 60 * SECOND_US : most_us * 2;
            if (attempt == 1) {
                first_wait_us = seed == 1 ? wait_us : first_wait_us;
                has_differed = has_differed || wait_us != first_wait_us;
            }
        }
        outbox_finish(&outbox);
    }
    assert_true(has_differed);
}

static void success_ends_the_waiting(void **state)
{
    (void)state;
    struct outbox outbox;
    struct random random;
    random_init(&random, 1);
    outbox_init(&outbox);
    push(&outbox, 1);
    push(&outbox, 2);
    for (int i = 0; i < 10; i++) {
        (void)wait_after_failure(&outbox, 0, &random, 0);
    }
    outbox_begin(&outbox, true);
    event_unref(outbox_end(&outbox, ALERT_DELIVERED, 0, &random, 500));
    assert_true(outbox_is_ready(&outbox, 500));
    assert_in_range(wait_after_failure(&outbox, 0, &random, 500), SECOND_US / 2, SECOND_US);
    outbox_finish(&outbox);
}

static void receiver_may_ask_for_more_time_but_not_for_ever(void **state)
{
    (void)state;
    struct outbox outbox;
    struct random random;
    random_init(&random, 1);
    outbox_init(&outbox);
    push(&outbox, 1);
    assert_int_equal(wait_after_failure(&outbox, 7 * SECOND_US, &random, 0), 7 * SECOND_US);
    assert_true(wait_after_failure(&outbox, 1, &random, 0) >= SECOND_US);
    uint64_t most_us = (uint64_t)OUTBOX_ASKED_MAX_MS * 1000;
    assert_int_equal(wait_after_failure(&outbox, 10 * most_us, &random, 0), most_us);
    outbox_finish(&outbox);
}

static void refused_event_makes_way_for_the_next(void **state)
{
    (void)state;
    struct outbox outbox;
    struct random random;
    random_init(&random, 1);
    outbox_init(&outbox);
    push(&outbox, 1);
    push(&outbox, 2);
    outbox_begin(&outbox, true);
    struct event *done = outbox_end(&outbox, ALERT_REFUSED, 0, &random, 9);
    assert_int_equal(done->seq, 1);
    event_unref(done);
    assert_true(outbox_is_ready(&outbox, 9));
    assert_int_equal(outbox_first(&outbox)->seq, 2);
    outbox_finish(&outbox);
}

static void attempt_of_the_channels_own_leaves_the_events_alone(void **state)
{
    (void)state;
    struct outbox outbox;
    struct random random;
    random_init(&random, 1);
    outbox_init(&outbox);
    outbox_begin(&outbox, false);
    push(&outbox, 1);
    assert_null(outbox_end(&outbox, ALERT_DELIVERED, 0, &random, 0));
    assert_int_equal(outbox_first(&outbox)->seq, 1);
    outbox_finish(&outbox);
}

static void event_of_yesterday_is_not_sent(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox);
    push(&outbox, 1);
    uint64_t begun_us = 7 * SECOND_US;
    outbox_first(&outbox)->expires_us = outbox_expiry_us(begun_us, 0);
    assert_null(outbox_expire(&outbox, begun_us + OUTBOX_LIFE_US - 1));
    outbox_begin(&outbox, true);
    assert_null(outbox_expire(&outbox, begun_us + OUTBOX_LIFE_US));
    outbox_break_off(&outbox);
    struct event *old = outbox_expire(&outbox, begun_us + OUTBOX_LIFE_US);
    assert_non_null(old);
    event_unref(old);
    assert_int_equal(outbox.counts[ALERT_EXPIRED], 1);
    outbox_finish(&outbox);
}

/* Whatever the wall clock says of an age, there is time to send it, and no more than a life. */
static void age_by_the_wall_clock_is_bounded(void **state)
{
    (void)state;
    const uint64_t now_us = 7 * SECOND_US;
    const int64_t hour_us = INT64_C(3600) * SECOND_US;
    assert_int_equal(outbox_expiry_us(now_us, 2 * hour_us), now_us + 22 * (uint64_t)hour_us);
    assert_int_equal(outbox_expiry_us(now_us, -hour_us), now_us + OUTBOX_LIFE_US);
    assert_int_equal(outbox_expiry_us(now_us, INT64_MIN), now_us + OUTBOX_LIFE_US);
    assert_int_equal(outbox_expiry_us(now_us, 50 * hour_us), now_us + OUTBOX_LIFE_LEFT_MIN_US);
    assert_int_equal(outbox_expiry_us(now_us, INT64_MAX), now_us + OUTBOX_LIFE_LEFT_MIN_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_leave_in_their_order),
        cmocka_unit_test(full_outbox_gives_up_its_oldest_but_not_the_one_under_way),
        cmocka_unit_test(waits_double_up_to_a_minute_with_jitter),
        cmocka_unit_test(success_ends_the_waiting),
        cmocka_unit_test(receiver_may_ask_for_more_time_but_not_for_ever),
        cmocka_unit_test(refused_event_makes_way_for_the_next),
        cmocka_unit_test(attempt_of_the_channels_own_leaves_the_events_alone),
        cmocka_unit_test(event_of_yesterday_is_not_sent),
        cmocka_unit_test(age_by_the_wall_clock_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Timeouts by the thousand, under a clock that is turned. */
#include <stdlib.h>

#include "tests/support/loop_play.h"

enum { MS = 1000, MANY = 10000 };

struct alarm {
    struct deadline deadline;
    size_t count;
    uint64_t at_ms;         /* the loop's time of the last call */
    struct alarm *finishes; /* taken out of the wheel by the call */
    uint64_t arms_again_us;
};

static struct loop loop;

static void on_due(struct deadline *deadline)
{
    struct alarm *alarm = CONTAINER_OF(deadline, struct alarm, deadline);
    alarm->count++;
    alarm->at_ms = loop.now_us / MS;
    if (alarm->finishes != NULL) {
        deadline_finish(&alarm->finishes->deadline);
    }
    if (alarm->arms_again_us > 0) {
        deadline_arm(&loop.wheel, deadline, alarm->arms_again_us);
    }
}

static void init(struct alarm *alarm)
{
    *alarm = (struct alarm){.count = 0};
    deadline_init(&alarm->deadline, on_due);
}

static void arm(struct alarm *alarm, uint64_t ms)
{
    loop_enter(&loop);
    deadline_arm(&loop.wheel, &alarm->deadline, ms * MS);
    loop_leave(&loop);
}

static int set_up(void **state)
{
    (void)state;
    play_begin(&loop);
    loop.stream_count = 1; /* as if there were something to wait for */
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop.stream_count = 0;
    play_end(&loop);
    return 0;
}

static void a_deadline_is_never_early(void **state)
{
    (void)state;
    struct alarm alarm;
    init(&alarm);
    for (uint64_t ms = 1; ms < 400; ms += 37) {
        alarm.count = 0;
        arm(&alarm, ms);
        uint64_t due_ms = loop.now_us / MS + ms;
        play_until(&loop, (play_pass(100), alarm.count == 1));
        assert_true(alarm.at_ms >= due_ms);
        assert_false(deadline_is_armed(&alarm.deadline));
    }
}

static void arming_later_moves_it_without_moving_it(void **state)
{
    (void)state;
    struct alarm alarm;
    init(&alarm);
    arm(&alarm, 1000);
    uint64_t standing_ms = alarm.deadline.standing_ms;
    arm(&alarm, 5000);
    assert_int_equal(alarm.deadline.standing_ms, standing_ms);
    play_turn(&loop, 1500);
    assert_int_equal(alarm.count, 0);
    play_turn(&loop, 3500);
    assert_int_equal(alarm.count, 1);
}

static void arming_earlier_takes_effect(void **state)
{
    (void)state;
    struct alarm alarm;
    init(&alarm);
    arm(&alarm, 60000);
    arm(&alarm, 100);
    play_turn(&loop, 100);
    assert_int_equal(alarm.count, 1);
    play_turn(&loop, 60000);
    assert_int_equal(alarm.count, 1);
}

static void disarmed_it_stays_silent_until_armed_again(void **state)
{
    (void)state;
    struct alarm alarm;
    init(&alarm);
    arm(&alarm, 100);
    deadline_disarm(&alarm.deadline);
    play_turn(&loop, 200);
    assert_int_equal(alarm.count, 0);
    arm(&alarm, 100);
    arm(&alarm, 0);
    play_turn(&loop, 200);
    assert_int_equal(alarm.count, 0);
    arm(&alarm, 100);
    play_turn(&loop, 100);
    assert_int_equal(alarm.count, 1);
}

static void it_may_be_farther_away_than_the_wheel_is_round(void **state)
{
    (void)state;
    enum { ROUND_MS = DEADLINE_SLOTS * DEADLINE_TICK_MS };
    struct alarm alarm;
    init(&alarm);
    arm(&alarm, 3 * ROUND_MS + 500);
    for (int i = 0; i < 3; i++) {
        play_turn(&loop, ROUND_MS - 100);
        assert_int_equal(alarm.count, 0);
    }
    play_turn(&loop, 800);
    assert_int_equal(alarm.count, 1);
    arm(&alarm, 100);
    play_turn(&loop, 10 * ROUND_MS); /* a machine that slept */
    assert_int_equal(alarm.count, 2);
}

static void a_call_may_finish_its_neighbours_and_arm_itself(void **state)
{
    (void)state;
    struct alarm alarms[3];
    for (size_t i = 0; i < COUNT_OF(alarms); i++) {
        init(&alarms[i]);
        arm(&alarms[i], 100);
    }
    alarms[0].finishes = &alarms[1];
    alarms[2].finishes = &alarms[2];
    alarms[0].arms_again_us = 100 * MS;
    play_turn(&loop, 100);
    assert_int_equal(alarms[0].count, 1);
    assert_int_equal(alarms[1].count, 0);
    assert_int_equal(alarms[2].count, 1);
    play_turn(&loop, 100);
    assert_int_equal(alarms[0].count, 2);
    deadline_finish(&alarms[0].deadline);
}

static void ten_thousand_fall_due_each_in_its_time(void **state)
{
    (void)state;
    struct alarm *alarms = calloc(MANY, sizeof *alarms);
    assert_non_null(alarms);
    for (size_t i = 0; i < MANY; i++) {
        init(&alarms[i]);
        arm(&alarms[i], 1000 + i);
        if (i % 3 == 0) {
            arm(&alarms[i], 2000 + i);
        }
    }
    uint64_t start_ms = loop.now_us / MS;
    play_turn(&loop, 500);
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(alarms[i].count, 0);
    }
    for (int i = 0; i < 13; i++) {
        play_turn(&loop, 1000);
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(alarms[i].count, 1);
        assert_true(alarms[i].at_ms + 1000 >= start_ms + 1000 + i);
        deadline_finish(&alarms[i].deadline);
    }
    free(alarms);
}

#define PLAY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAY(a_deadline_is_never_early),
        PLAY(arming_later_moves_it_without_moving_it),
        PLAY(arming_earlier_takes_effect),
        PLAY(disarmed_it_stays_silent_until_armed_again),
        PLAY(it_may_be_farther_away_than_the_wheel_is_round),
        PLAY(a_call_may_finish_its_neighbours_and_arm_itself),
        PLAY(ten_thousand_fall_due_each_in_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

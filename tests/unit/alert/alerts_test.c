/* Who is told what, how often, and what a restart finds. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/alert/alerts_bench.h"

enum { MINUTE_US = 60000000 };

static void alert_that_is_raised_again_and_again_is_told_once(void **state)
{
    (void)state;
    struct bench bench;
    char states[256];
    bench_init(&bench, 2);
    struct event_facts facts = bench_facts("SerinBreach");
    for (int i = 0; i < 50; i++) {
        facts.reason = i == 0 ? "absolute" : "relative";
        alerts_raise(bench.alerts, &facts);
    }
    bench_wait(&bench, 0, 1);
    bench_wait(&bench, 1, 1);
    assert_int_equal(alerts_active_count(bench.alerts), 1);
    alerts_resolve(bench.alerts, alerts_active_at(bench.alerts, 0), "well again");
    assert_int_equal(alerts_active_count(bench.alerts), 0);
    bench_wait(&bench, 0, 2);
    bench_wait(&bench, 1, 2);
    assert_string_equal(bench_states(&bench, 0, states), "firing resolved");
    assert_string_equal(bench_states(&bench, 1, states), "firing resolved");
    assert_int_equal(bench.row_count, 0);
    bench_finish(&bench);
}

static void other_service_or_deployment_is_another_alert(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 0);
    struct event_facts facts = bench_facts("SerinBreach");
    alerts_raise(bench.alerts, &facts);
    facts.deployment = "v3";
    alerts_raise(bench.alerts, &facts);
    facts.service = "blog";
    alerts_raise(bench.alerts, &facts);
    facts.deployment = NULL;
    alerts_raise(bench.alerts, &facts);
    assert_int_equal(alerts_active_count(bench.alerts), 4);
    bench_finish(&bench);
}

static void channel_that_fails_is_tried_again_when_its_time_has_come(void **state)
{
    (void)state;
    struct bench bench;
    char states[256];
    bench_init(&bench, 1);
    bench_set_failing(&bench, true);
    struct event_facts facts = bench_facts("SerinBreach");
    alerts_raise(bench.alerts, &facts);
    bench_wait(&bench, 0, 1);
    assert_non_null(strstr(alerts_condition(bench.alerts), "the command said 1"));
    bench_turn(&bench, 400000); /* too early: at least half a second */
    (void)uv_run(&bench.loop, UV_RUN_NOWAIT);
    bench_wait(&bench, 0, 1);
    bench_turn(&bench, 600001);
    bench_wait(&bench, 0, 2);
    bench_set_failing(&bench, false);
    bench_turn(&bench, MINUTE_US);
    bench_wait(&bench, 0, 3);
    assert_null(alerts_condition(bench.alerts));
    assert_string_equal(bench_states(&bench, 0, states), "firing");
    bench_finish(&bench);
}

static void what_was_not_delivered_is_delivered_after_a_restart(void **state)
{
    (void)state;
    struct bench bench;
    char states[256];
    bench_init(&bench, 1);
    bench_set_failing(&bench, true);
    struct event_facts facts = bench_facts("SerinBreach");
    alerts_raise(bench.alerts, &facts);
    alerts_resolve(bench.alerts, alerts_active_at(bench.alerts, 0), "well again");
    alerts_notice(bench.alerts, &facts);
    bench_wait(&bench, 0, 1);
    bench_restart(&bench);
    bench_set_failing(&bench, false);
    bench_wait(&bench, 0, 3);
    assert_string_equal(bench_states(&bench, 0, states), "firing resolved notice");
    assert_int_equal(bench.row_count, 0);
    bench_restart(&bench);
    bench_turn(&bench, MINUTE_US);
    alerts_notice(bench.alerts, &facts);
    bench_wait(&bench, 0, 1);
    assert_string_equal(bench_states(&bench, 0, states), "firing resolved notice notice");
    bench_finish(&bench);
}

static void what_is_active_stays_active_over_a_restart(void **state)
{
    (void)state;
    struct bench bench;
    char states[256];
    bench_init(&bench, 1);
    struct event_facts facts = bench_facts("SerinBreach");
    alerts_raise(bench.alerts, &facts);
    bench_wait(&bench, 0, 1);
    int64_t starts_us = alerts_active_at(bench.alerts, 0)->starts_us;
    bench_restart(&bench);
    bench_turn(&bench, MINUTE_US);
    assert_int_equal(alerts_active_count(bench.alerts), 1);
    assert_int_equal(alerts_active_at(bench.alerts, 0)->starts_us, starts_us);
    alerts_raise(bench.alerts, &facts);
    alerts_resolve(bench.alerts, alerts_active_at(bench.alerts, 0), "well again");
    bench_wait(&bench, 0, 1);
    assert_string_equal(bench_states(&bench, 0, states), "firing resolved");
    json_t *told = bench_told(&bench, 0);
    assert_true(json_equal(json_object_get(json_array_get(told, 0), "starts_at"),
                           json_object_get(json_array_get(told, 1), "starts_at")));
    json_decref(told);
    bench_finish(&bench);
}

static void wall_clock_that_was_set_back_makes_no_number_twice(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 0);
    struct event_facts facts = bench_facts("SerinBreach");
    alerts_raise(bench.alerts, &facts);
    int64_t seq = alerts_active_at(bench.alerts, 0)->seq;
    bench_restart(&bench);
    bench.wall_us -= INT64_C(3600000000);
    facts.service = "blog";
    alerts_raise(bench.alerts, &facts);
    assert_true(alerts_active_at(bench.alerts, 1)->seq > seq);
    bench_finish(&bench);
}

/* A machine that learns the date late: whatever waits is as young as it was. */
static void wall_clock_that_leaps_ages_nothing(void **state)
{
    (void)state;
    struct bench bench;
    char states[256];
    const int64_t day_us = INT64_C(24) * 3600 * 1000000;
    bench_init(&bench, 1);
    bench_set_failing(&bench, true);
    struct event_facts facts = bench_facts("SerinBreach");
    alerts_notice(bench.alerts, &facts);
    bench_wait(&bench, 0, 1);
    bench.wall_us += 3 * day_us;
    bench_turn(&bench, MINUTE_US);
    bench_wait(&bench, 0, 2);
    bench_restart(&bench); /* which must believe the wall clock, but not all of it */
    bench_wait(&bench, 0, 1);
    bench_set_failing(&bench, false);
    bench_turn(&bench, MINUTE_US);
    bench_wait(&bench, 0, 2);
    assert_string_equal(bench_states(&bench, 0, states), "notice");
    bench_finish(&bench);
}

static void what_waited_for_a_day_is_given_up(void **state)
{
    (void)state;
    struct bench bench;
    struct alerts_channel view;
    bench_init(&bench, 1);
    bench_set_failing(&bench, true);
    struct event_facts facts = bench_facts("SerinBreach");
    alerts_notice(bench.alerts, &facts);
    bench_wait(&bench, 0, 1);
    bench_turn(&bench, OUTBOX_LIFE_US);
    (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
    alerts_channel_at(bench.alerts, 0, &view);
    assert_int_equal(view.counts[ALERT_EXPIRED], 1);
    assert_int_equal(bench.row_count, 0);
    bench_finish(&bench);
}

static void journal_that_holds_nonsense_is_cleaned(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    const char *bodies[] = {"", "nonsense", "[]", "{\"state\":\"firing\"}"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        alerts_restore(bench.alerts, (int64_t)i + 1, bodies[i]);
    }
    assert_int_equal(bench.write_count, 4);
    assert_int_equal(bench.row_count, 0);
    assert_int_equal(alerts_active_count(bench.alerts), 0);
    bench_finish(&bench);
}

/* One that holds, and one that is over but that its channel was not told of yet. */
static void journal_that_is_lost_is_written_again(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    bench_set_failing(&bench, true);
    struct event_facts facts = bench_facts("SerinBreach");
    alerts_raise(bench.alerts, &facts);
    facts.service = "blog";
    alerts_raise(bench.alerts, &facts);
    alerts_resolve(bench.alerts, alerts_active_at(bench.alerts, 0), "well again");
    bench_wait(&bench, 0, 1);
    size_t count = bench.row_count;
    assert_true(count > 1);
    bench_lose(&bench);
    alerts_write_again(bench.alerts);
    assert_int_equal(bench.row_count, count);
    bench_restart(&bench);
    assert_int_equal(alerts_active_count(bench.alerts), 1);
    bench_finish(&bench);
}

static void reload_keeps_the_outbox_of_a_channel_that_stays(void **state)
{
    (void)state;
    struct bench bench;
    char states[256];
    bench_init(&bench, 2);
    bench_set_failing(&bench, true);
    struct event_facts facts = bench_facts("SerinBreach");
    alerts_raise(bench.alerts, &facts);
    bench_wait(&bench, 0, 1);
    bench_wait(&bench, 1, 1);
    /* The first goes, the second becomes the first. */
    bench.conf.alerts = &bench.channels[1];
    bench.conf.alert_count = 1;
    bench_turn(&bench, 0);
    assert_int_equal(alerts_channel_count(bench.alerts), 1);
    bench_set_failing(&bench, false);
    bench_turn(&bench, MINUTE_US);
    bench_wait(&bench, 0, 2);
    assert_string_equal(bench_states(&bench, 0, states), "");
    assert_string_equal(bench_states(&bench, 1, states), "firing");
    alerts_resolve(bench.alerts, alerts_active_at(bench.alerts, 0), "well again");
    bench_wait(&bench, 0, 3);
    assert_int_equal(bench.row_count, 0);
    bench_finish(&bench);
}

static void channel_is_taken_away_while_its_command_runs(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    bench.words[0][2] = "sleep 300";
    bench_turn(&bench, 0);
    struct event_facts facts = bench_facts("SerinBreach");
    alerts_raise(bench.alerts, &facts);
    (void)uv_run(&bench.loop, UV_RUN_ONCE);
    bench.conf.alert_count = 0;
    bench_turn(&bench, 0);
    assert_int_equal(alerts_channel_count(bench.alerts), 0);
    alerts_resolve(bench.alerts, alerts_active_at(bench.alerts, 0), "well again");
    assert_int_equal(bench.row_count, 0);
    bench_finish(&bench);
}

static void board_that_is_full_takes_no_more_and_recovers(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 0);
    bench.row_count = 0;
    char name[32];
    struct event_facts facts = bench_facts(name);
    size_t raised = 0;
    for (; raised < ALERTS_ACTIVE_MAX + 10; raised++) {
        (void)snprintf(name, sizeof name, "Serin%zu", raised);
        /* The journal of this bench is smaller than the board. */
        bench.row_count = 0;
        alerts_raise(bench.alerts, &facts);
        while (bench.row_count > 0) {
            free(bench.rows[--bench.row_count].body);
        }
    }
    assert_int_equal(alerts_active_count(bench.alerts), ALERTS_ACTIVE_MAX);
    alerts_resolve(bench.alerts, alerts_active_at(bench.alerts, 7), "well again");
    alerts_raise(bench.alerts, &facts);
    assert_int_equal(alerts_active_count(bench.alerts), ALERTS_ACTIVE_MAX);
    assert_true(alerts_is_active(bench.alerts, &facts));
    bench_finish(&bench);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alert_that_is_raised_again_and_again_is_told_once),
        cmocka_unit_test(other_service_or_deployment_is_another_alert),
        cmocka_unit_test(channel_that_fails_is_tried_again_when_its_time_has_come),
        cmocka_unit_test(what_was_not_delivered_is_delivered_after_a_restart),
        cmocka_unit_test(what_is_active_stays_active_over_a_restart),
        cmocka_unit_test(wall_clock_that_was_set_back_makes_no_number_twice),
        cmocka_unit_test(wall_clock_that_leaps_ages_nothing),
        cmocka_unit_test(what_waited_for_a_day_is_given_up),
        cmocka_unit_test(journal_that_holds_nonsense_is_cleaned),
        cmocka_unit_test(journal_that_is_lost_is_written_again),
        cmocka_unit_test(reload_keeps_the_outbox_of_a_channel_that_stays),
        cmocka_unit_test(channel_is_taken_away_while_its_command_runs),
        cmocka_unit_test(board_that_is_full_takes_no_more_and_recovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The controller's drills under a turned clock: real workers, a real state file, and a schedule
 * that takes no time to come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/controller/controller_bench.h"

#define SHOP                                                                                       \
    "  - name: shop\n"                                                                             \
    "    previous: {deployment: s1, endpoints: ['http://127.0.0.1:1']}\n"                          \
    "    current: {deployment: c1, endpoints: ['http://127.0.0.1:2']}\n"                           \
    "    rollback: {verify: off}\n"
#define AT_TEN SHOP "    weight: 10%\n"

enum { TICK_US = 100000, HOUR_S = 3600 };

struct turned {
    uint64_t now_us;
    int64_t wall_us;
};

struct sim {
    struct bench bench;
    struct turned turned;
    struct clock clock;
    struct steward *shop;
};

static uint64_t turned_monotonic_us(void *context)
{
    return ((const struct turned *)context)->now_us;
}

static int64_t turned_wall_us(void *context)
{
    return ((const struct turned *)context)->wall_us;
}

static int sim_open(void **state)
{
    static struct sim sim;
    memset(&sim, 0, sizeof sim);
    bench_open(&sim.bench);
    /* Half past nine in the evening, UTC. */
    sim.turned = (struct turned){.now_us = 3600000000, .wall_us = INT64_C(1700083800000000)};
    sim.clock = (struct clock){turned_monotonic_us, turned_wall_us, &sim.turned};
    sim.bench.clock = &sim.clock;
    *state = &sim;
    return 0;
}

static int sim_close(void **state)
{
    struct sim *sim = *state;
    bench_close(&sim->bench);
    return 0;
}

static bool is_settled(void *context)
{
    const struct steward *steward = context;
    return steward->published_ppm == steward->engine.rollout.weight_ppm &&
           steward->landed_revision == steward->published_revision;
}

static void start(struct sim *sim, const char *services)
{
    bench_configure(&sim->bench, "", services);
    assert_int_equal(bench_start(&sim->bench), OK);
    (void)uv_timer_stop(&sim->bench.controller->tick_timer);
    sim->shop = bench_steward(&sim->bench, "shop");
    bench_run_until(&sim->bench, is_settled, sim->shop);
}

static void tick_after(struct sim *sim, uint64_t us)
{
    sim->turned.now_us += us;
    sim->turned.wall_us += (int64_t)us;
    controller_tick(sim->bench.controller);
    (void)uv_run(&sim->bench.loop.uv, UV_RUN_NOWAIT);
}

/* What the drill asked of the workers, they have. */
static bool has_landed(void *context)
{
    const struct drill_run *run = ((struct sim *)context)->shop->drills.run;
    return run == NULL || run->asked_snapshot == 0 || run->landed_revision == run->asked_revision;
}

static void seconds(struct sim *sim, double count)
{
    for (int i = 0; i < (int)(count * 10 + 0.5); i++) {
        tick_after(sim, TICK_US);
        bench_run_until(&sim->bench, has_landed, sim);
    }
}

/* Time goes by in one leap, as on a machine that sleeps: what is due is looked at within a second.
 */
static void leap(struct sim *sim, uint64_t count)
{
    tick_after(sim, count * 1000000);
    seconds(sim, 1.0);
}

static unsigned drill(struct sim *sim)
{
    return bench_status(&sim->bench, METHOD_POST, "/api/v1/services/shop/drill", "{}");
}

struct wish {
    struct sim *sim;
    const char *sql;
    const char *text;
};

static bool is_written(void *context)
{
    const struct wish *wish = context;
    char text[256];
    bench_look_up(&wish->sim->bench, wish->sql, text);
    return strcmp(text, wish->text) == 0;
}

static void until_written(struct sim *sim, const char *sql, const char *text)
{
    struct wish wish = {sim, sql, text};
    bench_run_until(&sim->bench, is_written, &wish);
}

static void fail_requests(struct sim *sim, enum role role, uint64_t count)
{
    struct version_cells *cells = block_cells(sim->shop->versions[role].version->cells, 0);
    cell_add(&cells->err, count);
}

/* ---- stories ---- */

static void drill_changes_nothing_but_the_history(void **state)
{
    struct sim *sim = *state;
    start(sim, AT_TEN);
    uint64_t revision = sim->shop->engine.rollout.revision;
    uint64_t snapshot = sim->bench.controller->snapshot_number;
    assert_int_equal(drill(sim), 202);
    assert_int_equal(drill(sim), 409);
    seconds(sim, 8.0);
    assert_null(sim->shop->drills.run);
    assert_false(drills_is_missed(&sim->shop->drills, 120));
    assert_int_equal(sim->shop->engine.rollout.revision, revision);
    assert_int_equal(sim->shop->engine.rollout.phase, ROLLOUT_IDLE);
    assert_int_equal(sim->shop->published_ppm, 100000);
    assert_int_equal(sim->bench.controller->snapshot_number, snapshot + 1);
    assert_int_equal(sim->bench.controller->quarantined_count, 0);
    assert_int_equal(histogram_count(&sim->shop->rollbacks.durations), 0);
    until_written(sim,
                  "SELECT trigger_kind || ' ' || status || ' ' || deployment || ' ' || target || "
                  "' ' || (drain_s IS NULL) FROM rollback",
                  "drill dry_run c1 s1 1");
    until_written(sim, "SELECT count(*) FROM quarantine", "0");
}

static void real_breach_drops_the_drill_and_waits_for_nothing(void **state)
{
    struct sim *sim = *state;
    start(sim, AT_TEN);
    seconds(sim, 5.0);
    assert_int_equal(drill(sim), 202);
    seconds(sim, 0.2);
    assert_non_null(sim->shop->drills.run);
    double took_s = 0;
    while (sim->shop->published_ppm > 0 && took_s < 10.0) {
        struct version_cells *stable =
            block_cells(sim->shop->versions[ROLE_PREVIOUS].version->cells, 0);
        fail_requests(sim, ROLE_CURRENT, 10);
        cell_add(&stable->ok, 90);
        tick_after(sim, TICK_US);
        took_s += 0.1;
        if (sim->shop->engine.finding.verdict == JUDGE_BREACH) {
            assert_null(sim->shop->drills.run); /* in the very same tick */
        }
    }
    assert_int_equal(sim->shop->published_ppm, 0);
    assert_true(took_s < 3.0);
    until_written(sim, "SELECT reason FROM rollback WHERE trigger_kind = 'drill'",
                  "dropped: the canary is in trouble");
    until_written(sim, "SELECT count(*) FROM rollback WHERE trigger_kind <> 'drill'", "1");
}

static void change_of_weight_drops_the_drill(void **state)
{
    struct sim *sim = *state;
    start(sim, AT_TEN);
    assert_int_equal(drill(sim), 202);
    seconds(sim, 1.0);
    bench_set_weight(&sim->bench, "20");
    seconds(sim, 0.1);
    assert_null(sim->shop->drills.run);
    until_written(sim, "SELECT reason || ' ' || (duration_s IS NULL) FROM rollback",
                  "dropped: the service's weight, phase or version has changed 1");
}

static void reload_drops_the_drill(void **state)
{
    struct sim *sim = *state;
    start(sim, AT_TEN);
    assert_int_equal(drill(sim), 202);
    seconds(sim, 0.5);
    bench_reload(&sim->bench, AT_TEN "    rto_target: 90s\n");
    sim->shop = bench_steward(&sim->bench, "shop");
    assert_null(sim->shop->drills.run);
    until_written(sim, "SELECT reason FROM rollback",
                  "dropped: the configuration was loaded again");
    assert_int_equal(drill(sim), 202);
    seconds(sim, 8.0);
    until_written(sim, "SELECT count(*) FROM rollback WHERE reason LIKE 'in time%target is 90 s'",
                  "1");
}

static void end_of_the_process_drops_the_drill(void **state)
{
    struct sim *sim = *state;
    start(sim, AT_TEN);
    assert_int_equal(drill(sim), 202);
    seconds(sim, 0.5);
    bench_stop(&sim->bench);
    char text[256];
    bench_look_up(&sim->bench, "SELECT reason FROM rollback", text);
    assert_string_equal(text, "dropped: the process is about to end");
}

static void schedule_goes_by_the_clock_on_the_wall(void **state)
{
    struct sim *sim = *state;
    start(sim, AT_TEN "    drill: {every: 1d, at: 3h}\n");
    seconds(sim, 2.0);
    leap(sim, 5 * HOUR_S); /* half past two */
    assert_null(sim->shop->drills.run);
    leap(sim, HOUR_S);
    assert_non_null(sim->shop->drills.run);
    assert_string_equal(sim->shop->drills.run->drill.actor, "schedule");
    seconds(sim, 8.0);
    assert_null(sim->shop->drills.run);
    leap(sim, 23 * HOUR_S);
    assert_null(sim->shop->drills.run);
    sim->turned.wall_us -=
        INT64_C(7200000000); /* a clock that is set back repeats nothing at once */
    leap(sim, 1);
    assert_null(sim->shop->drills.run);
    leap(sim, 3 * HOUR_S);
    assert_non_null(sim->shop->drills.run);
}

static void schedule_is_not_begun_by_a_start_or_a_reload(void **state)
{
    struct sim *sim = *state;
    start(sim, AT_TEN);
    seconds(sim, 1.0);
    bench_reload(&sim->bench, AT_TEN "    drill: {every: 1h}\n");
    sim->shop = bench_steward(&sim->bench, "shop");
    seconds(sim, 2.0);
    assert_null(sim->shop->drills.run);
    leap(sim, HOUR_S);
    assert_non_null(sim->shop->drills.run);
}

static void drill_that_is_due_in_a_rollout_is_skipped_with_a_line(void **state)
{
    struct sim *sim = *state;
    start(sim, SHOP "    drill: {every: 1h}\n    rollout: {steps: [10%, 100%], min_time: 1d}\n");
    seconds(sim, 2.0);
    assert_true(sim->shop->engine.rollout.ascent.is_running);
    assert_int_equal(drill(sim), 409);
    leap(sim, HOUR_S);
    assert_null(sim->shop->drills.run);
    until_written(
        sim, "SELECT count(*) FROM audit WHERE action = 'drill.skip' AND actor = 'schedule'", "1");
    until_written(sim, "SELECT count(*) FROM rollback", "0");
}

static void missed_target_is_an_alert_until_one_is_met(void **state)
{
    struct sim *sim = *state;
    start(sim, AT_TEN "    rto_target: 1s\n");
    struct event_facts facts = {.name = "SerinDrillMissed", .service = "shop"};
    assert_int_equal(drill(sim), 202);
    seconds(sim, 8.0);
    assert_true(alerts_is_active(sim->bench.controller->alerts, &facts));
    bench_set_weight(&sim->bench, "20"); /* whatever the versions do */
    seconds(sim, 2.0);
    assert_true(alerts_is_active(sim->bench.controller->alerts, &facts));
    bench_reload(&sim->bench, AT_TEN);
    sim->shop = bench_steward(&sim->bench, "shop");
    assert_int_equal(drill(sim), 202);
    seconds(sim, 8.0);
    assert_false(alerts_is_active(sim->bench.controller->alerts, &facts));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, sim_open, sim_close)
        TEST(drill_changes_nothing_but_the_history),
        TEST(real_breach_drops_the_drill_and_waits_for_nothing),
        TEST(change_of_weight_drops_the_drill),
        TEST(reload_drops_the_drill),
        TEST(end_of_the_process_drops_the_drill),
        TEST(schedule_goes_by_the_clock_on_the_wall),
        TEST(schedule_is_not_begun_by_a_start_or_a_reload),
        TEST(drill_that_is_due_in_a_rollout_is_skipped_with_a_line),
        TEST(missed_target_is_an_alert_until_one_is_met),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The whole controller under a turned clock: real workers, a real state file, and counts that the
 * test puts into the workers' ledgers. What takes time by the clock takes none here; what the
 * kernel does is waited for.
 *
 *   crash between act and journal     the next start goes by the file, finds the canary bad again
 *   crash in a shift that is written  weight 0 before the first request, one record, no time lost
 *   state file that hangs             delays no step, and has it all when it comes back
 *   late tick                         told, loses nothing
 *   clock set back                    stretches no duration
 *   worker that does not answer       the shift is not called done before it has the weight
 *   crash on the way up               keeps the step; the bake ends in success
 *   platform down for an hour         delays its own acknowledgement and nothing else */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/traffic.h"
#include "tests/unit/controller/controller_bench.h"

#define SHOP                                                                                       \
    "  - name: shop\n"                                                                             \
    "    previous: {deployment: s1, endpoints: ['http://127.0.0.1:1']}\n"                          \
    "    current: {deployment: c1, endpoints: ['http://127.0.0.1:2']}\n"                           \
    "    rollback: {verify: off}\n"

enum { TICK_US = 100000, SHIFTS_MAX = 16 };

struct turned {
    uint64_t now_us;
    int64_t wall_us;
};

struct shift {
    uint64_t at_us;
    uint32_t weight_ppm;
};

struct sim {
    struct bench bench;
    struct turned turned;
    struct clock clock;
    struct traffic traffic;
    struct judge_counts counted; /* what of the traffic stands in the ledgers */
    bool is_canary_weak;         /* fails above 6 % of the traffic */
    bool is_worker_hung;         /* it does not say that it has the newest weight */
    struct steward *shop;        /* borrowed from the controller that runs */
    struct shift shifts[SHIFTS_MAX];
    size_t shift_count;
    char image[2][112]; /* copies of the state file and of its log, as a crash would leave them */
};

static uint64_t turned_monotonic_us(void *context)
{
    return ((const struct turned *)context)->now_us;
}

static int64_t turned_wall_us(void *context)
{
    return ((const struct turned *)context)->wall_us;
}

/* ---- life ---- */

static int sim_open(void **state)
{
    static struct sim sim;
    memset(&sim, 0, sizeof sim);
    bench_open(&sim.bench);
    sim.turned = (struct turned){.now_us = 3600000000, .wall_us = INT64_C(1700000000000000)};
    sim.clock = (struct clock){turned_monotonic_us, turned_wall_us, &sim.turned};
    sim.bench.clock = &sim.clock;
    (void)snprintf(sim.image[0], sizeof sim.image[0], "%s/image", sim.bench.folder);
    (void)snprintf(sim.image[1], sizeof sim.image[1], "%s/image-wal", sim.bench.folder);
    *state = &sim;
    return 0;
}

static int sim_close(void **state)
{
    struct sim *sim = *state;
    (void)unlink(sim->image[0]);
    (void)unlink(sim->image[1]);
    bench_close(&sim->bench);
    return 0;
}

/* What the engine wants is published (a raise waits for the disk first), and every worker has it.
 */
static bool is_settled(void *context)
{
    const struct steward *steward = context;
    return steward->published_ppm == steward->engine.rollout.weight_ppm &&
           steward->landed_revision == steward->published_revision;
}

/* Its own timer stands still: the test ticks. */
static void sim_start(struct sim *sim)
{
    assert_int_equal(bench_start(&sim->bench), OK);
    (void)uv_timer_stop(&sim->bench.controller->tick_timer);
    sim->shop = bench_steward(&sim->bench, "shop");
    sim->counted = sim->traffic.counts = (struct judge_counts){0};
    bench_run_until(&sim->bench, is_settled, sim->shop);
}

/* ---- traffic and ticks ---- */

static void count(struct steward *shop, enum role role, uint64_t all, uint64_t failed)
{
    struct version_cells *cells = block_cells(shop->versions[role].version->cells, 0);
    cell_add(&cells->ok, all - failed);
    cell_add(&cells->err, failed);
    if (role == ROLE_CURRENT) {
        cell_add(&cells->client_bad, failed);
    }
}

/* No request reaches a worker, so their ledgers are the test's to write. */
static void pass(struct sim *sim, double seconds)
{
    struct traffic *traffic = &sim->traffic;
    sim->turned.now_us += (uint64_t)(seconds * 1e6 + 0.5);
    sim->turned.wall_us += (int64_t)(seconds * 1e6 + 0.5);
    traffic->weight = (double)sim->shop->published_ppm / PLAN_WHOLE;
    if (sim->is_canary_weak) {
        traffic->canary.fail_ratio = traffic->weight > 0.06 ? 0.2 : 0.0;
    }
    traffic_tick(traffic, seconds);
    const struct judge_counts *now = &traffic->counts;
    const struct judge_counts *then = &sim->counted;
    count(sim->shop, ROLE_CURRENT, now->canary_count - then->canary_count,
          now->canary_failed - then->canary_failed);
    count(sim->shop, ROLE_PREVIOUS, now->stable_count - then->stable_count,
          now->stable_failed - then->stable_failed);
    sim->counted = *now;
}

static void look(struct sim *sim)
{
    uint32_t before_ppm = sim->shop->published_ppm;
    controller_tick(sim->bench.controller);
    if (sim->shop->published_ppm != before_ppm) {
        assert_true(sim->shift_count < SHIFTS_MAX);
        sim->shifts[sim->shift_count++] =
            (struct shift){sim->turned.now_us, sim->shop->published_ppm};
    }
    if (!sim->is_worker_hung) {
        (void)uv_run(&sim->bench.loop.uv, UV_RUN_NOWAIT);
        if (!is_settled(sim->shop)) {
            bench_run_until(&sim->bench, is_settled, sim->shop);
        }
    }
}

static void sim_run(struct sim *sim, double seconds)
{
    for (int i = 0; i < (int)(seconds * 10.0 + 0.5); i++) {
        pass(sim, TICK_US / 1e6);
        look(sim);
    }
}

/* The seconds it took; fails where it takes longer than `max_s`. */
static double sim_until(struct sim *sim, enum rollout_phase phase, double max_s)
{
    uint64_t from_us = sim->turned.now_us;
    while (sim->shop->engine.rollout.phase != phase) {
        assert_true((double)(sim->turned.now_us - from_us) < 1e6 * max_s);
        sim_run(sim, 0.1);
    }
    return (double)(sim->turned.now_us - from_us) / 1e6;
}

/* A service at 10 % for a healthy minute. */
static void sim_begin(struct sim *sim, uint64_t seed)
{
    bench_configure(&sim->bench, "", SHOP "    weight: 10%\n");
    traffic_init(&sim->traffic, seed, 200.0, 0.1);
    sim->traffic.stable.fail_ratio = 0.001;
    sim_start(sim);
    sim_run(sim, 60.0);
    assert_int_equal(sim->shift_count, 0);
}

static void assert_whole_plan(const struct sim *sim)
{
    static const uint32_t PLAN[] = {50000, 25000, 10000, 0};
    assert_int_equal(sim->shift_count, COUNT_OF(PLAN));
    for (size_t i = 0; i < COUNT_OF(PLAN); i++) {
        assert_int_equal(sim->shifts[i].weight_ppm, PLAN[i]);
        if (i > 0) {
            assert_int_equal(sim->shifts[i].at_us - sim->shifts[i - 1].at_us, 2000000);
        }
    }
}

/* ---- the file ---- */

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

static void copy_file(const char *from, const char *to)
{
    char bytes[4096];
    FILE *in = fopen(from, "rb");
    (void)unlink(to);
    if (in == NULL) {
        return;
    }
    FILE *out = fopen(to, "wb");
    assert_non_null(out);
    for (size_t size = fread(bytes, 1, sizeof bytes, in); size > 0;
         size = fread(bytes, 1, sizeof bytes, in)) {
        assert_int_equal(fwrite(bytes, 1, size, out), size);
    }
    assert_int_equal(fclose(in), 0);
    assert_int_equal(fclose(out), 0);
}

/* What a crash at this moment would leave. */
static void take_image(struct sim *sim)
{
    char log[112];
    (void)snprintf(log, sizeof log, "%s-wal", sim->bench.state_path);
    copy_file(sim->bench.state_path, sim->image[0]);
    copy_file(log, sim->image[1]);
}

/* The process is gone, the file is as it was then; another one starts `away_s` later, its clock at
 * another zero. */
static void crash_and_start(struct sim *sim, double away_s)
{
    char log[112];
    (void)snprintf(log, sizeof log, "%s-wal", sim->bench.state_path);
    bench_stop(&sim->bench);
    copy_file(sim->image[0], sim->bench.state_path);
    copy_file(sim->image[1], log);
    sim->turned.now_us = 1000000;
    sim->turned.wall_us += (int64_t)(away_s * 1e6);
    sim_start(sim);
}

/* ---- stories ---- */

static void crash_between_act_and_journal_finds_the_canary_bad_again(void **state)
{
    struct sim *sim = *state;
    sim_begin(sim, 1);
    until_written(sim, "SELECT phase || ' ' || weight_ppm FROM service", "idle 100000");
    take_image(sim);
    sim->traffic.canary.fail_ratio = 1.0;
    (void)sim_until(sim, ROLLOUT_VERIFYING, 10.0);
    assert_int_equal(sim->shop->published_ppm, 0);
    crash_and_start(sim, 3.0); /* nothing of it had reached the disk */
    assert_int_equal(sim->shop->published_ppm, 100000);
    double found_s = sim_until(sim, ROLLOUT_ROLLED_BACK, 20.0);
    assert_true(found_s < 10.0);
    assert_int_equal(sim->shop->published_ppm, 0);
    until_written(sim, "SELECT count(*) || ' ' || status || ' ' || mode FROM rollback",
                  "1 success instant");
    until_written(sim, "SELECT phase || ' ' || weight_ppm FROM service", "rolled_back 0");
    until_written(sim, "SELECT deployment FROM quarantine", "c1");
}

static void crash_in_a_written_shift_goes_on_at_nothing(void **state)
{
    struct sim *sim = *state;
    sim_begin(sim, 2);
    sim->is_canary_weak = true;
    (void)sim_until(sim, ROLLOUT_SHIFTING_BACK, 30.0);
    assert_int_equal(sim->shop->published_ppm, 50000);
    int64_t first_bad_wall_us = sim->shop->engine.rollout.record.first_bad_wall_us;
    until_written(sim, "SELECT phase || ' ' || weight_ppm FROM service", "shifting_back 50000");
    take_image(sim);
    crash_and_start(sim, 5.0);
    assert_int_equal(sim->shop->published_ppm, 0); /* before the first tick */
    (void)sim_until(sim, ROLLOUT_ROLLED_BACK, 10.0);
    const struct record *record = &sim->shop->engine.rollout.record;
    assert_int_equal(record->status, RECORD_SUCCESS);
    assert_int_equal(record->weight_ppm, 100000);
    assert_true(llabs(record->first_bad_wall_us - first_bad_wall_us) < 2000);
    assert_true(record->phase_s[RECORD_SHIFT] > 5.0); /* the time away counts */
    assert_true(record->phase_s[RECORD_SHIFT] < 30.0);
    until_written(sim, "SELECT count(*) || ' ' || status FROM rollback", "1 success");
}

static void state_file_that_hangs_delays_no_step(void **state)
{
    struct sim *sim = *state;
    sim_begin(sim, 3);
    until_written(sim, "SELECT phase FROM service", "idle");
    void *lock = bench_lock(&sim->bench);
    sim->is_canary_weak = true;
    (void)sim_until(sim, ROLLOUT_ROLLED_BACK, 60.0);
    assert_whole_plan(sim);
    bench_unlock(lock);
    until_written(sim, "SELECT phase || ' ' || weight_ppm FROM service", "rolled_back 0");
    until_written(sim, "SELECT count(*) || ' ' || status || ' ' || mode FROM rollback",
                  "1 success gradual");
}

static bool is_told(struct sim *sim, const char *part)
{
    const char *texts[16];
    size_t text_count = view_conditions(sim->bench.controller, texts, COUNT_OF(texts));
    for (size_t i = 0; i < text_count; i++) {
        if (strstr(texts[i], part) != NULL) {
            return true;
        }
    }
    return false;
}

static void late_tick_is_told_and_loses_nothing(void **state)
{
    struct sim *sim = *state;
    sim_begin(sim, 4);
    assert_false(is_told(sim, "control runs late"));
    pass(sim, 5.0);
    look(sim);
    assert_true(is_told(sim, "control runs late"));
    sim_run(sim, 9.0);
    assert_true(is_told(sim, "control runs late"));
    sim_run(sim, 2.0);
    assert_false(is_told(sim, "control runs late"));
    assert_int_equal(sim->shift_count, 0);
    sim->traffic.canary.fail_ratio = 1.0;
    pass(sim, 20.0);
    look(sim);
    assert_true(sim_until(sim, ROLLOUT_ROLLED_BACK, 20.0) < 10.0);
    assert_int_equal(sim->shop->published_ppm, 0);
    assert_true(sim->shop->engine.rollout.record.phase_s[RECORD_DETECT] > 15.0);
}

static void clock_set_back_in_a_shift_stretches_no_duration(void **state)
{
    struct sim *sim = *state;
    sim_begin(sim, 5);
    sim->is_canary_weak = true;
    (void)sim_until(sim, ROLLOUT_SHIFTING_BACK, 30.0);
    sim->turned.wall_us -= INT64_C(86400000000);
    (void)sim_until(sim, ROLLOUT_ROLLED_BACK, 30.0);
    assert_whole_plan(sim);
    const struct record *record = &sim->shop->engine.rollout.record;
    assert_true(record->phase_s[RECORD_SHIFT] >= 6.0);
    assert_true(record->phase_s[RECORD_VERIFY] < 60.0);
    until_written(sim, "SELECT status || (duration_s < 60) FROM rollback", "success1");
}

static void worker_that_does_not_answer_leaves_the_shift_open(void **state)
{
    struct sim *sim = *state;
    sim_begin(sim, 6);
    sim->traffic.canary.fail_ratio = 1.0;
    sim->is_worker_hung = true;
    (void)sim_until(sim, ROLLOUT_SHIFTING_BACK, 10.0);
    sim_run(sim, 30.0);
    assert_int_equal(sim->shop->published_ppm, 0);
    assert_int_equal(sim->shop->engine.rollout.phase, ROLLOUT_SHIFTING_BACK);
    sim->is_worker_hung = false;
    (void)sim_until(sim, ROLLOUT_ROLLED_BACK, 10.0);
    assert_true(sim->shop->engine.rollout.record.phase_s[RECORD_SHIFT] >= 30.0);
}

static void crash_on_the_way_up_keeps_the_step(void **state)
{
    struct sim *sim = *state;
    bench_configure(&sim->bench, "",
                    SHOP "    rollout: {steps: [10%, 50%, 100%], min_time: 30s, bake: 2m}\n");
    traffic_init(&sim->traffic, 7, 400.0, 0.0);
    sim_start(sim);
    while (sim->shop->engine.rollout.ascent.step < 2) {
        assert_true(sim->turned.now_us < UINT64_C(3600000000) + 1800000000);
        sim_run(sim, 0.1);
    }
    assert_int_equal(sim->shop->published_ppm, 500000);
    until_written(sim, "SELECT phase || ' ' || step FROM service", "progressing 2");
    take_image(sim);
    sim_run(sim, 20.0);
    crash_and_start(sim, 60.0);
    assert_int_equal(sim->shop->engine.rollout.ascent.step, 2);
    assert_int_equal(sim->shop->published_ppm, 500000);
    sim_run(sim, 29.0);
    assert_int_equal(sim->shop->published_ppm, 500000); /* min_time begins again */
    double baked_s = sim_until(sim, ROLLOUT_SUCCEEDED, 1800.0);
    assert_true(baked_s >= 120.0);
    assert_int_equal(sim->shop->published_ppm, 1000000);
    until_written(sim, "SELECT phase || ' ' || weight_ppm FROM service", "succeeded 1000000");
}

static bool is_acknowledged(struct sim *sim)
{
    return sim->shop->engine.rollout.record.platform == RECORD_PLATFORM_ACKNOWLEDGED;
}

/* The platform is a command that fails as long as a file is missing. Each failure is noticed when
 * the command ended, which the turned clock does not wait for. */
static void platform_that_is_down_for_an_hour_delays_only_its_acknowledgement(void **state)
{
    struct sim *sim = *state;
    char services[512];
    char path[96];
    enum { TRIES_MAX = 200000 }; /* seconds of the turned clock, which are short */
    (void)snprintf(path, sizeof path, "%s/up", sim->bench.folder);
    (void)snprintf(services, sizeof services,
                   SHOP "    weight: 10%%\n    platform: {exec: {command: [sh, -c, 'cat "
                        ">/dev/null; test -e %s']}}\n",
                   path);
    bench_configure(&sim->bench, "", services);
    traffic_init(&sim->traffic, 8, 200.0, 0.1);
    sim_start(sim);
    sim_run(sim, 60.0);
    sim->is_canary_weak = true;
    (void)sim_until(sim, ROLLOUT_SHIFTING_BACK, 30.0);
    (void)sim_until(sim, ROLLOUT_ROLLED_BACK, 30.0);
    struct record before = sim->shop->engine.rollout.record;
    assert_int_equal(before.status, RECORD_SUCCESS);
    assert_true(before.phase_s[RECORD_VERIFY] < 60.0);

    sim_run(sim, 3600.0);
    for (int i = 0; i < TRIES_MAX && teller_condition(sim->bench.controller->teller) == NULL; i++) {
        sim_run(sim, 1.0);
    }
    assert_non_null(teller_condition(sim->bench.controller->teller));
    assert_int_equal(sim->shop->engine.rollout.record.platform, RECORD_PLATFORM_PENDING);
    assert_int_equal(sim->shop->engine.rollout.phase, ROLLOUT_ROLLED_BACK);
    assert_int_equal(sim->shop->published_ppm, 0);

    FILE *up = fopen(path, "wb");
    assert_non_null(up);
    assert_int_equal(fclose(up), 0);
    for (int i = 0; i < TRIES_MAX && !is_acknowledged(sim); i++) {
        sim_run(sim, 1.0);
    }
    (void)unlink(path);
    assert_true(is_acknowledged(sim));
    const struct record *record = &sim->shop->engine.rollout.record;
    assert_int_equal(record->status, RECORD_SUCCESS);
    assert_true(record->phase_s[RECORD_PLATFORM_ACK] >= 3600.0);
    assert_true(record->phase_s[RECORD_SHIFT] == before.phase_s[RECORD_SHIFT]);
    assert_true(record->phase_s[RECORD_VERIFY] == before.phase_s[RECORD_VERIFY]);
    assert_null(teller_condition(sim->bench.controller->teller));
    until_written(sim, "SELECT status || (platform_ack_s >= 3600) || (verify_s < 60) FROM rollback",
                  "success11");
    until_written(sim, "SELECT count(*) FROM platform", "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, sim_open, sim_close)
        TEST(crash_between_act_and_journal_finds_the_canary_bad_again),
        TEST(crash_in_a_written_shift_goes_on_at_nothing),
        TEST(state_file_that_hangs_delays_no_step),
        TEST(late_tick_is_told_and_loses_nothing),
        TEST(clock_set_back_in_a_shift_stretches_no_duration),
        TEST(worker_that_does_not_answer_leaves_the_shift_open),
        TEST(crash_on_the_way_up_keeps_the_step),
        TEST(platform_that_is_down_for_an_hour_delays_only_its_acknowledgement),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

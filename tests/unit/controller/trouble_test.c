/* A disk that stands still, an end in the middle of things, starts that fail. */
#include <arpa/inet.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/controller/controller_bench.h"

#define SHOP                                                                                       \
    "  - name: shop\n"                                                                             \
    "    previous: {deployment: s1, endpoints: ['http://127.0.0.1:1']}\n"                          \
    "    current: {deployment: c1, endpoints: ['http://127.0.0.1:2']}\n"                           \
    "    weight: 10%\n"
#define WEIGHT "/api/v1/services/shop/weight"

static int open_bench(void **state)
{
    static struct bench bench;
    bench_open(&bench);
    bench_configure(&bench, "", SHOP);
    *state = &bench;
    return 0;
}

static int close_bench(void **state)
{
    bench_close(*state);
    return 0;
}

static bool is_answered(void *context)
{
    const struct answer *answer = context;
    return answer->status != 0;
}

/* ---- a disk that stands still ---- */

static void weight_that_cannot_be_written_is_taken_back(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    struct steward *steward = bench_steward(bench, "shop");
    struct answer raise;
    bench_set_weight(bench, "20");
    void *lock = bench_lock(bench);
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":80}", &raise);
    assert_int_equal(steward->published_ppm, 200000);
    bench_run_until(bench, is_answered, &raise);
    assert_int_equal(raise.status, 503);
    bench_forget(&raise);
    assert_int_equal(steward->published_ppm, 200000);
    assert_int_equal(steward->engine.rollout.weight_ppm, 200000);
    bench_unlock(lock);
    bench_stop(bench);
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 200000);
}

static void weight_is_lowered_while_nothing_can_be_written(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    void *lock = bench_lock(bench);
    bench_set_weight(bench, "5");
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 50000);
    bench_unlock(lock);
}

/* The later, lower weight is in force; the raise that was overtaken changes nothing, and nobody is
 * told that it was done. */
static void raise_that_was_overtaken_is_left_out(void **state)
{
    struct bench *bench = *state;
    char text[256];
    assert_int_equal(bench_start(bench), OK);
    struct answer raise;
    void *lock = bench_lock(bench);
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":80}", &raise);
    bench_set_weight(bench, "3");
    bench_unlock(lock);
    bench_run_until(bench, is_answered, &raise);
    assert_int_equal(raise.status, 409);
    bench_forget(&raise);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 30000);
    assert_int_equal(bench_steward(bench, "shop")->engine.rollout.weight_ppm, 30000);
    bench_stop(bench);
    bench_look_up(bench, "SELECT count(*) FROM audit WHERE action='weight.set'", text);
    assert_string_equal(text, "1");
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 30000);
}

/* It is less than the raise that still waits, and more than the workers have. */
static void raise_after_a_raise_that_waits_waits_too(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    struct answer high;
    struct answer lower;
    void *lock = bench_lock(bench);
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":80}", &high);
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":50}", &lower);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 100000);
    bench_unlock(lock);
    bench_run_until(bench, is_answered, &high);
    bench_run_until(bench, is_answered, &lower);
    assert_int_equal(high.status, 409);
    assert_int_equal(lower.status, 200);
    bench_forget(&high);
    bench_forget(&lower);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 500000);
}

/* Nobody is told that a weight is in force before it is. */
static void raise_that_is_asked_for_twice_is_answered_once_written(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    struct answer first;
    struct answer second;
    void *lock = bench_lock(bench);
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":80}", &first);
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":80}", &second);
    assert_int_equal(second.status, 0);
    bench_unlock(lock);
    bench_run_until(bench, is_answered, &second);
    assert_int_equal(second.status, 200);
    assert_int_equal(first.status, 200);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 800000);
    bench_forget(&first);
    bench_forget(&second);
}

static void raise_that_fails_fails_all_who_asked_for_it(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    struct answer first;
    struct answer second;
    void *lock = bench_lock(bench);
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":80}", &first);
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":80}", &second);
    bench_run_until(bench, is_answered, &second);
    assert_int_equal(first.status, 503);
    assert_int_equal(second.status, 503);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 100000);
    bench_forget(&first);
    bench_forget(&second);
    bench_unlock(lock);
}

static void raise_that_is_overtaken_is_so_for_all_who_asked_for_it(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    struct answer first;
    struct answer second;
    void *lock = bench_lock(bench);
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":80}", &first);
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":80}", &second);
    bench_set_weight(bench, "3");
    bench_unlock(lock);
    bench_run_until(bench, is_answered, &second);
    assert_int_equal(first.status, 409);
    assert_int_equal(second.status, 409);
    bench_forget(&first);
    bench_forget(&second);
}

struct wait {
    const struct controller *controller;
    uint64_t until_tick;
};

static bool is_over(void *context)
{
    const struct wait *wait = context;
    return wait->controller->tick_count >= wait->until_tick;
}

/* The first write fails while the second, asked for later, still may succeed: on a slow machine it
 * fails too, and then says so. */
static void raise_that_fails_leaves_the_one_that_waits(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    struct answer first;
    struct answer second;
    struct wait wait = {bench->controller, 0};
    void *lock = bench_lock(bench);
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":80}", &first);
    wait.until_tick = bench->controller->tick_count + 2 * CONTROLLER_TICKS_PER_SECOND;
    bench_run_until(bench, is_over, &wait);
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":50}", &second);
    bench_run_until(bench, is_answered, &first);
    bench_unlock(lock);
    bench_run_until(bench, is_answered, &second);
    uint32_t weight_ppm = second.status == 200 ? 500000 : 100000;
    assert_int_equal(first.status, 503);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, weight_ppm);
    assert_int_equal(bench_steward(bench, "shop")->engine.rollout.weight_ppm, weight_ppm);
    bench_forget(&first);
    bench_forget(&second);
}

static bool has_ticked(void *context)
{
    const struct steward *steward = context;
    return steward->engine.seen.stable_live > 0;
}

/* The way down begins where the workers are. */
static void rollback_begins_below_a_raise_that_waits(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    struct steward *steward = bench_steward(bench, "shop");
    struct answer raise;
    struct answer rollback;
    bench_run_until(bench, has_ticked, steward);
    void *lock = bench_lock(bench);
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":80}", &raise);
    bench_ask_later(bench, METHOD_POST, "/api/v1/services/shop/rollback", "{\"reason\":\"a\"}",
                    &rollback);
    assert_int_equal(rollback.status, 202);
    assert_int_equal(steward->engine.rollout.record.weight_ppm, 100000);
    assert_true(steward->published_ppm < 100000);
    bench_unlock(lock);
    bench_run_until(bench, is_answered, &raise);
    assert_int_equal(raise.status, 409);
    assert_true(steward->published_ppm < 100000);
    bench_forget(&raise);
    bench_forget(&rollback);
}

static void step_that_a_rollback_overtook_is_not_told(void **state)
{
    struct bench *bench = *state;
    char text[256];
    assert_int_equal(bench_start(bench), OK);
    bench_run_until(bench, has_ticked, bench_steward(bench, "shop"));
    struct rollout_command start = {.kind = ROLLOUT_START, .actor = "ops"};
    controller_command(bench->controller, bench_steward(bench, "shop"), &start);
    struct answer promote;
    void *lock = bench_lock(bench);
    bench_ask_later(bench, METHOD_POST, "/api/v1/services/shop/rollout/promote", "{\"full\":true}",
                    &promote);
    assert_int_equal(
        bench_status(bench, METHOD_POST, "/api/v1/services/shop/rollback", "{\"reason\":\"a\"}"),
        202);
    bench_unlock(lock);
    bench_run_until(bench, is_answered, &promote);
    assert_int_equal(promote.status, 409);
    bench_forget(&promote);
    bench_stop(bench);
    bench_look_up(bench,
                  "SELECT group_concat(action) FROM (SELECT action FROM audit WHERE action IN "
                  "('rollout.promote', 'rollout.step', 'rollout.bake') ORDER BY seq)",
                  text);
    assert_string_equal(text, "rollout.promote");
}

struct pulse {
    uv_check_t check;
    const struct controller *controller;
    uint64_t ticked_us;
    uint64_t gap_us; /* the longest */
};

static void on_check(uv_check_t *check)
{
    struct pulse *pulse = check->data;
    uint64_t ticked_us = pulse->controller->ticked_us;
    if (pulse->ticked_us > 0 && ticked_us - pulse->ticked_us > pulse->gap_us) {
        pulse->gap_us = ticked_us - pulse->ticked_us;
    }
    pulse->ticked_us = ticked_us;
}

/* The writer stands still for three seconds; ticks come a tenth apart, and a busy machine may make
 * that more, but never so much more. */
static void disk_that_stands_still_delays_no_tick(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    struct answer raise;
    struct pulse pulse = {.controller = bench->controller};
    assert_int_equal(uv_check_init(&bench->loop.uv, &pulse.check), 0);
    pulse.check.data = &pulse;
    assert_int_equal(uv_check_start(&pulse.check, on_check), 0);
    void *lock = bench_lock(bench);
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":80}", &raise);
    bench_run_until(bench, is_answered, &raise);
    bench_forget(&raise);
    bench_unlock(lock);
    uv_close((uv_handle_t *)&pulse.check, NULL);
    assert_true(pulse.ticked_us > 0);
    assert_true(pulse.gap_us < 1500000);
    bench_stop(bench);
}

/* ---- a file that somebody deletes ---- */

#define CONFIRMED_SOON SHOP "    rollback: {verify: off}\n"

static bool is_rolled_back(void *context)
{
    const struct bench *bench = context;
    return bench_steward(context, "shop")->engine.rollout.phase == ROLLOUT_ROLLED_BACK &&
           history_stats(bench->controller->history).queued == 0;
}

struct renewal {
    struct bench *bench;
    uint64_t failed_batches; /* before */
    uint64_t well_tick;      /* the first one at which writes work again; 0: not yet */
};

/* Two seconds have passed since: what is written anew is in the queue, or in the file. */
static bool is_renewed(void *context)
{
    struct renewal *renewal = context;
    const struct controller *controller = renewal->bench->controller;
    bool has_failed = history_stats(controller->history).failed_batches > renewal->failed_batches;
    bool is_well = has_failed && history_condition(controller->history) == NULL;
    if (is_well && renewal->well_tick == 0) {
        renewal->well_tick = controller->tick_count;
    }
    return is_well && controller->tick_count > renewal->well_tick + 2 * CONTROLLER_TICKS_PER_SECOND;
}

/* Until all is written anew; the services are there for something to be written. */
static void lose_state_file(struct bench *bench, const char *services)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    struct renewal renewal = {bench, history_stats(bench->controller->history).failed_batches, 0};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s%s", bench->state_path, ends[i]);
        (void)unlink(path);
    }
    bench_reload(bench, services);
    bench_run_until(bench, is_renewed, &renewal);
}

static void quarantine_outlives_a_file_that_is_deleted(void **state)
{
    struct bench *bench = *state;
    bench_configure(bench, "", CONFIRMED_SOON);
    assert_int_equal(bench_start(bench), OK);
    bench_run_until(bench, has_ticked, bench_steward(bench, "shop"));
    assert_int_equal(bench_status(bench, METHOD_POST, "/api/v1/services/shop/rollback",
                                  "{\"reason\":\"a\",\"mode\":\"instant\"}"),
                     202);
    bench_run_until(bench, is_rolled_back, bench);
    lose_state_file(bench, CONFIRMED_SOON);
    bench_stop(bench);
    assert_int_equal(bench_start(bench), OK);
    assert_true(controller_is_quarantined(bench->controller, "shop", "c1"));
    const struct rollout *rollout = &bench_steward(bench, "shop")->engine.rollout;
    assert_int_equal(rollout->phase, ROLLOUT_ROLLED_BACK);
    assert_int_equal(rollout->weight_ppm, 0);
    assert_int_equal(bench_status(bench, METHOD_PUT, WEIGHT, "{\"current\":5}"), 422);
}

static void expect_one(struct bench *bench, const char *sql)
{
    char text[256];
    bench_look_up(bench, sql, text);
    assert_string_equal(text, "1");
}

/* Whoever got no answer, because of a crash perhaps, asks again: it is not to be done again. */
static void key_outlives_a_file_that_is_deleted(void **state)
{
    struct bench *bench = *state;
    struct history_key key = {"k1", "rollback of shop", "r0", clock_wall_us(clock_system())};
    const char *id = NULL;
    bench_write(bench, &(struct history_change){.key = &key});
    bench_configure(bench, "", CONFIRMED_SOON);
    assert_int_equal(bench_start(bench), OK);
    bench_run_until(bench, has_ticked, bench_steward(bench, "shop"));
    assert_int_equal(bench_status(bench, METHOD_POST, "/api/v1/services/shop/rollback",
                                  "{\"reason\":\"a\",\"mode\":\"instant\"}"),
                     202);
    bench_run_until(bench, is_rolled_back, bench);
    lose_state_file(bench, CONFIRMED_SOON);
    bench_stop(bench);
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(keys_find(bench->controller->keys, "k1", "rollback of shop", key.at_us, &id),
                     KEYS_REPLAY);
    assert_string_equal(id, "r0");
    bench_stop(bench);
    expect_one(bench, "SELECT count(*) FROM rollback WHERE reason = 'a' AND status = 'success'");
}

/* Without its token the platform is asked for nothing. */
#define WATCHED                                                                                    \
    SHOP "    platform: {pages: {project: shop, token_env: SERIN_TEST_NO_TOKEN, watch: true}}\n"

static bool is_platform_alert_written(void *context)
{
    const struct bench *bench = context;
    return history_stats(bench->controller->history).queued == 0 &&
           alerts_is_active(bench->controller->alerts,
                            &(struct event_facts){.name = "SerinPlatformFailing"});
}

static void what_was_not_done_yet_outlives_a_file_that_is_deleted(void **state)
{
    struct bench *bench = *state;
    struct history_platform platform = {
        .rollback = "rb-1",
        .body = "{\"service\":\"shop\",\"deployment\":\"c0\",\"current\":\"c0\","
                "\"target\":\"s1\",\"reason\":\"it was bad\",\"record\":{}}",
        .ack_s = NAN,
    };
    struct history_watch watch = {
        .service = "shop",
        .body = "{\"project\":\"shop\",\"live\":\"c0\",\"before\":\"\",\"wanted\":\"\","
                "\"moved\":\"\",\"live_us\":1,\"ended_us\":1,\"ended\":[]}",
    };
    bench_write(bench, &(struct history_change){.platform = &platform, .watch = &watch});
    bench_configure(bench, "", WATCHED);
    assert_int_equal(bench_start(bench), OK);
    bench_run_until(bench, is_platform_alert_written, bench);
    lose_state_file(bench, WATCHED);
    bench_stop(bench);
    expect_one(bench, "SELECT count(*) FROM platform WHERE rollback='rb-1'");
    expect_one(bench, "SELECT count(*) FROM watch WHERE service='shop'");
    expect_one(bench, "SELECT count(*) FROM alert WHERE body LIKE '%SerinPlatform%'");
}

/* ---- alerts of it ---- */

static uint64_t hands_us = 3600000000;

static uint64_t turned_monotonic_us(void *context)
{
    (void)context;
    return hands_us;
}

static int64_t turned_wall_us(void *context)
{
    (void)context;
    return INT64_C(1700000000000000) + (int64_t)hands_us;
}

static bool is_state_alert_active(void *context)
{
    const struct bench *bench = context;
    return alerts_is_active(bench->controller->alerts,
                            &(struct event_facts){.name = "SerinStateFailing"});
}

static bool is_state_well(void *context)
{
    const struct bench *bench = context;
    return history_condition(bench->controller->history) == NULL;
}

/* The alert is itself written to that file: ended at once, a slow disk would raise it for ever. */
static void alert_of_the_file_ends_when_it_was_well_for_a_minute(void **state)
{
    static const struct clock turned = {turned_monotonic_us, turned_wall_us, NULL};
    struct bench *bench = *state;
    bench->clock = &turned;
    assert_int_equal(bench_start(bench), OK);
    void *lock = bench_lock(bench);
    controller_audit(bench->controller, "test", "test", NULL, "to be written");
    bench_run_until(bench, is_state_alert_active, bench);
    bench_unlock(lock);
    bench_run_until(bench, is_state_well, bench);
    controller_alarm_tick(bench->controller);
    assert_true(is_state_alert_active(bench));
    hands_us += 61 * UINT64_C(1000000);
    controller_alarm_tick(bench->controller);
    assert_false(is_state_alert_active(bench));
}

/* ---- the end ---- */

static void ends_while_a_write_waits(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    struct answer raise;
    void *lock = bench_lock(bench);
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":80}", &raise);
    bench_stop(bench);
    assert_int_equal(raise.status, 503);
    bench_forget(&raise);
    bench_unlock(lock);
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 100000);
}

struct release {
    uv_timer_t timer;
    void *lock;
};

static void on_release(uv_timer_t *timer)
{
    struct release *release = timer->data;
    bench_unlock(release->lock);
    uv_close((uv_handle_t *)timer, NULL);
}

/* Its write arrives while the process closes: the next start has it. */
static void raise_written_at_the_end_is_done_by_the_next_start(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(bench_start(bench), OK);
    struct answer raise;
    struct release release = {.lock = bench_lock(bench)};
    bench_ask_later(bench, METHOD_PUT, WEIGHT, "{\"current\":80}", &raise);
    assert_int_equal(uv_timer_init(&bench->loop.uv, &release.timer), 0);
    release.timer.data = &release;
    assert_int_equal(uv_timer_start(&release.timer, on_release, 300, 0), 0);
    bench_stop(bench);
    assert_int_equal(raise.status, 200);
    bench_forget(&raise);
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 800000);
}

/* ---- rollbacks asked for twice ---- */

static bool is_at_zero(void *context)
{
    const struct steward *steward = context;
    return steward->published_ppm == 0;
}

static void rollback_that_is_hurried_keeps_its_record(void **state)
{
    struct bench *bench = *state;
    char text[256];
    static const char target[] = "/api/v1/services/shop/rollback";
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_status(bench, METHOD_POST, target, "{\"reason\":\"a\"}"), 202);
    assert_int_equal(
        bench_status(bench, METHOD_POST, target, "{\"reason\":\"b\",\"mode\":\"instant\"}"), 202);
    bench_run_until(bench, is_at_zero, bench_steward(bench, "shop"));
    bench_stop(bench);
    bench_look_up(bench, "SELECT count(*) || ' ' || mode FROM rollback", text);
    assert_string_equal(text, "1 instant");
}

/* ---- starts that fail ---- */

static void start_fails_where_an_address_is_taken(void **state)
{
    struct bench *bench = *state;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)bench->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(bench_start(bench), ERR_IO);
    assert_non_null(strstr(bench->note.text, "cannot listen"));
    assert_null(bench->controller);
    assert_int_equal(close(fd), 0);
}

static void start_fails_without_a_secret(void **state)
{
    struct bench *bench = *state;
    char more[256];
    (void)snprintf(more, sizeof more,
                   "admin: {address: 'unix:%s/admin', tokens: [{name: ops, role: operator, file: "
                   "token}]}\n",
                   bench->folder);
    bench_configure(bench, more, SHOP);
    assert_int_equal(bench_start(bench), ERR_IO);
    assert_non_null(strstr(bench->note.text, "ops"));
    assert_null(bench->controller);
}

/* A second process with the same configuration, by mistake. */
static void second_start_touches_neither_file_nor_sockets(void **state)
{
    struct bench *bench = *state;
    char before[256];
    char after[256];
    assert_int_equal(bench_start(bench), OK);
    bench_set_weight(bench, "20");
    bench_look_up(bench, "SELECT updated_us || ' ' || revision FROM service", before);
    struct bench second = *bench;
    second.controller = NULL;
    assert_int_equal(loop_init(&second.loop), OK);
    assert_int_equal(bench_start(&second), ERR_IO);
    loop_shutdown(&second.loop);
    loop_run(&second.loop);
    loop_finish(&second.loop);
    bench_look_up(bench, "SELECT updated_us || ' ' || revision FROM service", after);
    assert_string_equal(before, after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)
        TEST(weight_that_cannot_be_written_is_taken_back),
        TEST(weight_is_lowered_while_nothing_can_be_written),
        TEST(raise_that_was_overtaken_is_left_out),
        TEST(raise_after_a_raise_that_waits_waits_too),
        TEST(raise_that_is_asked_for_twice_is_answered_once_written),
        TEST(raise_that_fails_fails_all_who_asked_for_it),
        TEST(raise_that_is_overtaken_is_so_for_all_who_asked_for_it),
        TEST(raise_that_fails_leaves_the_one_that_waits),
        TEST(rollback_begins_below_a_raise_that_waits),
        TEST(step_that_a_rollback_overtook_is_not_told),
        TEST(disk_that_stands_still_delays_no_tick),
        TEST(quarantine_outlives_a_file_that_is_deleted),
        TEST(key_outlives_a_file_that_is_deleted),
        TEST(what_was_not_done_yet_outlives_a_file_that_is_deleted),
        TEST(alert_of_the_file_ends_when_it_was_well_for_a_minute),
        TEST(ends_while_a_write_waits),
        TEST(raise_written_at_the_end_is_done_by_the_next_start),
        TEST(rollback_that_is_hurried_keeps_its_record),
        TEST(start_fails_where_an_address_is_taken),
        TEST(start_fails_without_a_secret),
        TEST(second_start_touches_neither_file_nor_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Where services stand after a start. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/controller/controller_bench.h"

#define SERVICE_OF(canary, weight)                                                                 \
    "  - name: shop\n"                                                                             \
    "    previous: {deployment: s1, endpoints: ['http://127.0.0.1:1']}\n"                          \
    "    current: {deployment: " canary ", endpoints: ['http://127.0.0.1:2']}\n"                   \
    "    weight: " weight "\n"
#define SERVICE(weight) SERVICE_OF("c1", weight)

static int open_bench(void **state)
{
    static struct bench bench;
    bench_open(&bench);
    *state = &bench;
    return 0;
}

static int close_bench(void **state)
{
    bench_close(*state);
    return 0;
}

static void write_state(struct bench *bench, const char *current, const char *previous,
                        const char *phase, uint32_t weight_ppm)
{
    struct history_service service = {.name = "shop",
                                      .current_deployment = current,
                                      .previous_deployment = previous,
                                      .phase = phase,
                                      .weight_ppm = weight_ppm,
                                      .revision = 41,
                                      .salt = 7};
    bench_write(bench, &(struct history_change){.service = &service});
}

static void write_record(struct bench *bench, const char *target, bool is_quarantining)
{
    struct history_rollback rollback = {
        .id = "rb-1",
        .service = "shop",
        .at_us = clock_wall_us(clock_system()),
        .deployment = "c1",
        .target = target,
        .reason = "it was bad",
        .reason_code = "absolute",
        .trigger = "error_rate",
        .actor = "judge",
        .mode = "gradual",
        .status = "in_progress",
        .duration_s = NAN,
        .evidence = is_quarantining ? "{\"weight_ppm\":100000,\"quarantining\":true}"
                                    : "{\"weight_ppm\":100000,\"quarantining\":false}",
    };
    for (size_t i = 0; i < HISTORY_PHASE_COUNT; i++) {
        rollback.phase_s[i] = NAN;
    }
    bench_write(bench, &(struct history_change){.rollback = &rollback});
}

static void file_weight_is_for_the_first_time_only(void **state)
{
    struct bench *bench = *state;
    bench_configure(bench, "", SERVICE("10%"));
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 100000);
    struct answer answer =
        bench_ask(bench, METHOD_PUT, "/api/v1/services/shop/weight", "{\"current\":40}", NULL);
    assert_int_equal(answer.status, 200);
    bench_forget(&answer);
    bench_stop(bench);
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 400000);
}

/* The record was written, the quarantine not: the process was killed between the two. */
static void rollback_on_record_is_resumed_with_its_quarantine(void **state)
{
    struct bench *bench = *state;
    char text[256];
    write_state(bench, "c1", "s1", "idle", 100000);
    write_record(bench, "s1", true);
    bench_configure(bench, "", SERVICE("10%"));
    assert_int_equal(bench_start(bench), OK);
    const struct steward *steward = bench_steward(bench, "shop");
    assert_int_equal(steward->published_ppm, 0);
    assert_int_equal(steward->engine.rollout.phase, ROLLOUT_SHIFTING_BACK);
    assert_true(steward->engine.rollout.is_quarantined);
    struct answer answer =
        bench_ask(bench, METHOD_PUT, "/api/v1/services/shop/weight", "{\"current\":40}", NULL);
    assert_true(answer.status == 409 || answer.status == 422);
    bench_forget(&answer);
    bench_stop(bench);
    bench_look_up(bench, "SELECT reason FROM quarantine WHERE deployment='c1'", text);
    assert_string_equal(text, "it was bad");
}

#define COMMAND "    platform: {exec: {command: [sh, -c, 'cat >/dev/null; false']}}\n"

/* The command has yet to take c1 back; it would take c2 back as well. */
static void command_of_before_takes_no_canary_back_that_came_meanwhile(void **state)
{
    struct bench *bench = *state;
    char text[256];
    struct history_platform platform = {
        .rollback = "rb-1",
        .body = "{\"service\":\"shop\",\"deployment\":\"c1\",\"current\":\"c1\","
                "\"target\":\"s1\",\"reason\":\"it was bad\",\"record\":{}}",
        .ack_s = NAN,
    };
    write_state(bench, "c1", "s1", "rolled_back", 0);
    bench_write(bench, &(struct history_change){.platform = &platform});
    bench_configure(bench, "", SERVICE("0%") COMMAND);
    assert_int_equal(bench_start(bench), OK);
    assert_true(teller_knows(bench->controller->teller, "rb-1"));
    bench_stop(bench);
    bench_configure(bench, "", SERVICE_OF("c2", "10%") COMMAND);
    assert_int_equal(bench_start(bench), OK);
    assert_false(teller_knows(bench->controller->teller, "rb-1"));
    bench_stop(bench);
    bench_look_up(bench, "SELECT count(*) FROM platform", text);
    assert_string_equal(text, "0");
    bench_look_up(bench, "SELECT count(*) FROM audit WHERE action='platform.given_up'", text);
    assert_string_equal(text, "1");
}

static void rollback_whose_target_is_gone_is_superseded(void **state)
{
    struct bench *bench = *state;
    char text[256];
    write_state(bench, "c1", "s0", "shifting_back", 50000);
    write_record(bench, "s0", true);
    bench_configure(bench, "", SERVICE("10%"));
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 0);
    assert_true(bench_steward(bench, "shop")->engine.rollout.is_quarantined);
    bench_stop(bench);
    bench_look_up(bench, "SELECT status || ' ' || target FROM rollback WHERE id='rb-1'", text);
    assert_string_equal(text, "superseded s0");
}

static void abort_under_way_gives_no_weight_to_another_pair(void **state)
{
    struct bench *bench = *state;
    write_state(bench, "c1", "s0", "shifting_back", 50000);
    write_record(bench, "s0", false);
    bench_configure(bench, "", SERVICE("10%"));
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 0);
    assert_false(bench_steward(bench, "shop")->engine.rollout.is_quarantined);
}

static void another_stable_version_leaves_the_canary_its_weight(void **state)
{
    struct bench *bench = *state;
    write_state(bench, "c1", "s0", "idle", 300000);
    bench_configure(bench, "", SERVICE("10%"));
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 300000);
    assert_true(bench_steward(bench, "shop")->engine.rollout.revision > 41);
}

static void another_canary_gets_the_weight_of_the_file(void **state)
{
    struct bench *bench = *state;
    write_state(bench, "c0", "s1", "idle", 300000);
    bench_configure(bench, "", SERVICE("10%"));
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 100000);
}

static void phase_of_another_program_gives_no_weight(void **state)
{
    struct bench *bench = *state;
    write_state(bench, "c1", "s1", "levitating", 300000);
    bench_configure(bench, "", SERVICE("10%"));
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 0);
}

#define CLIMBING                                                                                   \
    "  - name: shop\n"                                                                             \
    "    previous: {deployment: s1, endpoints: ['http://127.0.0.1:1']}\n"                          \
    "    current: {deployment: c1, endpoints: ['http://127.0.0.1:2']}\n"

static void canary_without_a_weight_begins_a_rollout(void **state)
{
    struct bench *bench = *state;
    bench_configure(bench, "", CLIMBING);
    assert_int_equal(bench_start(bench), OK);
    const struct rollout *rollout = &bench_steward(bench, "shop")->engine.rollout;
    assert_int_equal(rollout->phase, ROLLOUT_PROGRESSING);
    assert_true(rollout->ascent.is_running);
    assert_int_equal(rollout->ascent.ladder.count, 5);
}

static void rollout_that_is_off_leaves_it_idle(void **state)
{
    struct bench *bench = *state;
    bench_configure(bench, "", CLIMBING "    rollout: off\n");
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_steward(bench, "shop")->engine.rollout.phase, ROLLOUT_IDLE);
}

static void rollout_goes_on_from_its_step(void **state)
{
    struct bench *bench = *state;
    struct history_service service = {
        .name = "shop",
        .current_deployment = "c1",
        .previous_deployment = "s1",
        .phase = "paused",
        .weight_ppm = 300000,
        .revision = 41,
        .salt = 7,
        .step = 1,
        .detail =
            "{\"rollout\":{\"steps_ppm\":[300000,\"pause\",1000000],\"gate\":1,\"since_us\":5}}",
    };
    bench_write(bench, &(struct history_change){.service = &service});
    bench_configure(bench, "", CLIMBING);
    assert_int_equal(bench_start(bench), OK);
    const struct rollout *rollout = &bench_steward(bench, "shop")->engine.rollout;
    assert_int_equal(rollout->phase, ROLLOUT_PAUSED);
    assert_int_equal(rollout->ascent.step, 1);
    assert_int_equal(rollout->ascent.ladder.count, 2);
    assert_true(rollout->ascent.ladder.has_gate[0]);
    assert_int_equal(rollout->ascent.gate, ROLLOUT_GATE_REACHED);
    assert_int_equal(rollout->ascent.waiting_wall_us, 5);
    assert_int_equal(rollout->weight_ppm, 300000);
}

static void steps_that_cannot_be_read_leave_a_plain_split(void **state)
{
    struct bench *bench = *state;
    struct history_service service = {
        .name = "shop",
        .current_deployment = "c1",
        .previous_deployment = "s1",
        .phase = "progressing",
        .weight_ppm = 300000,
        .revision = 41,
        .step = 9,
        .detail = "{\"rollout\":{\"steps_ppm\":[300000,1000000],\"gate\":7,\"since_us\":5}}",
    };
    bench_write(bench, &(struct history_change){.service = &service});
    bench_configure(bench, "", CLIMBING);
    assert_int_equal(bench_start(bench), OK);
    const struct rollout *rollout = &bench_steward(bench, "shop")->engine.rollout;
    assert_int_equal(rollout->phase, ROLLOUT_IDLE);
    assert_false(rollout->ascent.is_running);
    assert_int_equal(rollout->weight_ppm, 300000);
}

/* What could not be read is not overwritten, and nothing is risked on it. */
static void file_that_cannot_be_read_gives_no_weight(void **state)
{
    struct bench *bench = *state;
    FILE *file = fopen(bench->state_path, "w");
    assert_non_null(file);
    for (int i = 0; i < 1000; i++) {
        assert_true(fputs("this is not a database", file) >= 0);
    }
    assert_int_equal(fclose(file), 0);
    bench_configure(bench, "", SERVICE("10%"));
    assert_int_equal(bench_start(bench), OK);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 0);
    struct answer answer =
        bench_ask(bench, METHOD_PUT, "/api/v1/services/shop/weight", "{\"current\":40}", NULL);
    assert_int_equal(answer.status, 503);
    bench_forget(&answer);
    assert_int_equal(bench_steward(bench, "shop")->published_ppm, 0);
    assert_int_equal(bench_steward(bench, "shop")->engine.rollout.weight_ppm, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)
        TEST(file_weight_is_for_the_first_time_only),
        TEST(rollback_on_record_is_resumed_with_its_quarantine),
        TEST(command_of_before_takes_no_canary_back_that_came_meanwhile),
        TEST(rollback_whose_target_is_gone_is_superseded),
        TEST(abort_under_way_gives_no_weight_to_another_pair),
        TEST(another_stable_version_leaves_the_canary_its_weight),
        TEST(another_canary_gets_the_weight_of_the_file),
        TEST(phase_of_another_program_gives_no_weight),
        TEST(canary_without_a_weight_begins_a_rollout),
        TEST(rollout_that_is_off_leaves_it_idle),
        TEST(rollout_goes_on_from_its_step),
        TEST(steps_that_cannot_be_read_leave_a_plain_split),
        TEST(file_that_cannot_be_read_gives_no_weight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* tests/unit/engine/drill_test.c — a rehearsal under a turned clock. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "canary/engine/drill.h"

enum { TICK_US = 100000 };

struct stage {
    struct drill drill;
    struct drill_input input;
    uint64_t now_us;
    uint64_t wanted_revision;
    unsigned publishes, platform_looks;
    bool has_hung_worker;
    uint64_t good_per_tick, bad_per_tick; /* what the real stable version answers */
};

static void open_stage(struct stage *stage, const struct engine_config *config)
{
    memset(stage, 0, sizeof *stage);
    stage->now_us = 5000000;
    stage->input = (struct drill_input){.wall_us = INT64_C(1700000000000000),
                                        .stable_live = 1,
                                        .stable_count = 7000,
                                        .stable_failed = 400};
    drill_init(&stage->drill, config, "rb-1", "ops", stage->now_us, stage->input.wall_us);
}

static void tick(struct stage *stage)
{
    struct drill_wish wish;
    stage->now_us += TICK_US;
    stage->input.wall_us += TICK_US;
    stage->input.stable_count += stage->good_per_tick + stage->bad_per_tick;
    stage->input.stable_failed += stage->bad_per_tick;
    drill_tick(&stage->drill, &stage->input, stage->now_us, &wish);
    if (wish.wants_publish) {
        stage->publishes++;
        stage->wanted_revision = wish.revision;
    }
    if (!stage->has_hung_worker) {
        stage->input.landed_revision = stage->wanted_revision;
        stage->input.landed_us = stage->now_us + 30000; /* between two ticks */
    }
    stage->platform_looks += wish.wants_platform;
}

static void no_platform(struct stage *stage)
{
    drill_note_platform(&stage->drill, RECORD_PLATFORM_NOT_NEEDED, NULL, stage->now_us);
}

/* The seconds it took. */
static double run(struct stage *stage)
{
    uint64_t from_us = stage->now_us;
    while (stage->drill.state == DRILL_RUNNING) {
        unsigned looks = stage->platform_looks;
        assert_true(stage->now_us - from_us <= DRILL_US_MAX);
        tick(stage);
        if (stage->platform_looks > looks) {
            no_platform(stage);
        }
    }
    return (double)(stage->now_us - from_us) / 1e6;
}

static void drill_goes_the_whole_way_and_is_timed(void **state)
{
    (void)state;
    struct engine_config config = engine_config_default();
    struct stage stage;
    open_stage(&stage, &config);
    assert_int_equal(drill_record(&stage.drill, 120).status, RECORD_IN_PROGRESS);
    double took_s = run(&stage);
    struct record record = drill_record(&stage.drill, 120);
    assert_int_equal(stage.drill.state, DRILL_DONE);
    assert_int_equal(record.trigger, RECORD_DRILL);
    assert_int_equal(record.status, RECORD_DRY_RUN);
    assert_string_equal(record.id, "rb-1");
    assert_string_equal(record.actor, "ops");
    assert_false(record.is_quarantining);
    assert_int_equal(record.bad_origin + record.bad_client, 0);
    assert_true(record.phase_s[RECORD_DETECT] > 0.05);
    assert_true(record.phase_s[RECORD_DETECT] < 3.0);
    assert_true(record.phase_s[RECORD_SHIFT] >= record.phase_s[RECORD_DECIDE] + 0.03);
    assert_true(record.phase_s[RECORD_SHIFT] < record.phase_s[RECORD_DECIDE] + 0.1);
    assert_true(record.phase_s[RECORD_VERIFY] > record.phase_s[RECORD_SHIFT] + 2.9);
    assert_true(isnan(record.phase_s[RECORD_DRAIN]));
    assert_true(isnan(record.phase_s[RECORD_PLATFORM_ACK]));
    assert_int_equal(record.platform, RECORD_PLATFORM_NOT_NEEDED);
    assert_float_equal(record.duration_s, record.phase_s[RECORD_VERIFY], 1e-9);
    assert_true(took_s < 6.0);
    assert_int_equal(stage.publishes, 1);
    assert_int_equal(stage.platform_looks, 1);
    assert_true(record.counts.canary_failed > 0);
}

static void target_decides_and_is_said(void **state)
{
    (void)state;
    struct engine_config config = engine_config_default();
    struct stage stage;
    open_stage(&stage, &config);
    (void)run(&stage);
    assert_true(drill_is_met(&stage.drill, 120));
    assert_false(drill_is_met(&stage.drill, 0.001));
    assert_non_null(strstr(drill_record(&stage.drill, 120).reason_text.text, "in time"));
    const struct record slow = drill_record(&stage.drill, 0.001);
    assert_non_null(strstr(slow.reason_text.text, "too slow"));
    assert_non_null(strstr(slow.reason_text.text, "the target is 0.001 s"));
}

static void breach_is_rolled_back_whatever_the_policy_says(void **state)
{
    (void)state;
    static const enum rollout_on_breach policies[] = {ROLLOUT_FREEZE, ROLLOUT_ALERT};
    for (size_t i = 0; i < 2; i++) {
        struct engine_config config = engine_config_default();
        config.rollout.on_breach = policies[i];
        struct stage stage;
        open_stage(&stage, &config);
        (void)run(&stage);
        assert_int_equal(stage.drill.state, DRILL_DONE);
    }
}

static void patient_judge_takes_longer_and_is_waited_for(void **state)
{
    (void)state;
    struct engine_config config = engine_config_default();
    struct stage quick;
    struct stage patient;
    open_stage(&quick, &config);
    config.judge.limit = config.rollout.limit = 0.9;
    config.judge.relative = JUDGE_RELATIVE_OFF;
    open_stage(&patient, &config);
    (void)run(&quick);
    (void)run(&patient);
    assert_int_equal(patient.drill.state, DRILL_DONE);
    assert_true(drill_record(&patient.drill, 1).phase_s[RECORD_DETECT] >
                drill_record(&quick.drill, 1).phase_s[RECORD_DETECT]);
}

static void assert_failed(const struct stage *stage, const char *part)
{
    struct record record = drill_record(&stage->drill, 120);
    assert_int_equal(stage->drill.state, DRILL_FAILED);
    assert_int_equal(record.status, RECORD_DRY_RUN);
    assert_non_null(strstr(record.reason_text.text, part));
    assert_false(drill_is_met(&stage->drill, 1e9));
}

static void stable_version_that_really_fails_is_not_confirmed(void **state)
{
    (void)state;
    struct engine_config config = engine_config_default();
    struct stage stage;
    open_stage(&stage, &config);
    stage.good_per_tick = 3;
    stage.bad_per_tick = 1;
    (void)run(&stage);
    assert_failed(&stage, "could not be confirmed");
    assert_true(drill_record(&stage.drill, 120).phase_s[RECORD_SHIFT] < 3.0);
}

static void without_a_stable_endpoint_nothing_is_shifted(void **state)
{
    (void)state;
    struct engine_config config = engine_config_default();
    struct stage stage;
    open_stage(&stage, &config);
    stage.input.stable_live = 0;
    (void)run(&stage);
    assert_failed(&stage, "no live endpoint");
    assert_int_equal(stage.publishes, 0);
}

static void worker_that_does_not_answer_leaves_the_shift_open(void **state)
{
    (void)state;
    struct engine_config config = engine_config_default();
    struct stage stage;
    open_stage(&stage, &config);
    stage.has_hung_worker = true;
    (void)run(&stage);
    assert_failed(&stage, "shift was not over");
    assert_true(isnan(drill_record(&stage.drill, 120).phase_s[RECORD_SHIFT]));
}

static void run_to_platform(struct stage *stage)
{
    while (stage->platform_looks == 0) {
        assert_int_equal(stage->drill.state, DRILL_RUNNING);
        tick(stage);
    }
}

static void platform_that_answers_late_makes_it_longer(void **state)
{
    (void)state;
    struct engine_config config = engine_config_default();
    struct stage stage;
    open_stage(&stage, &config);
    run_to_platform(&stage);
    for (int i = 0; i < 100; i++) {
        tick(&stage);
    }
    assert_int_equal(stage.drill.state, DRILL_RUNNING);
    drill_note_platform(&stage.drill, RECORD_PLATFORM_ACKNOWLEDGED, "live", stage.now_us);
    tick(&stage);
    struct record record = drill_record(&stage.drill, 120);
    assert_int_equal(stage.drill.state, DRILL_DONE);
    assert_true(record.phase_s[RECORD_PLATFORM_ACK] > 10.0);
    assert_float_equal(record.duration_s, record.phase_s[RECORD_PLATFORM_ACK], 1e-9);
}

static void platform_that_would_refuse_fails_the_drill(void **state)
{
    (void)state;
    struct engine_config config = engine_config_default();
    struct stage stage;
    open_stage(&stage, &config);
    run_to_platform(&stage);
    drill_note_platform(&stage.drill, RECORD_PLATFORM_GIVEN_UP, "the token is wrong", stage.now_us);
    assert_failed(&stage, "the token is wrong");
}

static void platform_that_never_answers_is_waited_for_no_longer_than_all(void **state)
{
    (void)state;
    struct engine_config config = engine_config_default();
    struct stage stage;
    open_stage(&stage, &config);
    run_to_platform(&stage);
    while (stage.drill.state == DRILL_RUNNING) {
        tick(&stage);
    }
    assert_failed(&stage, "the platform has not answered");
}

static void dropped_drill_has_no_times(void **state)
{
    (void)state;
    struct engine_config config = engine_config_default();
    struct stage stage;
    open_stage(&stage, &config);
    run_to_platform(&stage);
    struct record record = drill_record_dropped(&stage.drill, "a breach began");
    assert_int_equal(record.status, RECORD_DRY_RUN);
    assert_string_equal(record.reason_text.text, "dropped: a breach began");
    assert_true(isnan(record.duration_s));
    for (size_t i = 0; i < RECORD_PHASE_COUNT; i++) {
        assert_true(isnan(record.phase_s[i]));
    }
    open_stage(&stage, &config);
    record = drill_record_dropped(&stage.drill, "at once");
    assert_string_equal(record.id, "rb-1");
    assert_int_equal(record.decided_wall_us, stage.drill.began_wall_us);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drill_goes_the_whole_way_and_is_timed),
        cmocka_unit_test(target_decides_and_is_said),
        cmocka_unit_test(breach_is_rolled_back_whatever_the_policy_says),
        cmocka_unit_test(patient_judge_takes_longer_and_is_waited_for),
        cmocka_unit_test(stable_version_that_really_fails_is_not_confirmed),
        cmocka_unit_test(without_a_stable_endpoint_nothing_is_shifted),
        cmocka_unit_test(worker_that_does_not_answer_leaves_the_shift_open),
        cmocka_unit_test(platform_that_answers_late_makes_it_longer),
        cmocka_unit_test(platform_that_would_refuse_fails_the_drill),
        cmocka_unit_test(platform_that_never_answers_is_waited_for_no_longer_than_all),
        cmocka_unit_test(dropped_drill_has_no_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

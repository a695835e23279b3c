/* Phases, commands, records and recovery of a rollout. */
#include "tests/unit/engine/rollout_stage.h"

/* A breach at once, everything landed and confirmed. */
static void stage_roll_back(struct stage *stage)
{
    stage_breach(stage, JUDGE_REASON_ABSOLUTE, 10, 10);
    stage_wait(stage, 6.0);
    assert_int_equal(stage->rollout.phase, ROLLOUT_ROLLED_BACK);
}

static void rollback_is_confirmed_by_three_good_looks(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
    stage_tick(&stage);
    assert_int_equal(stage.rollout.phase, ROLLOUT_SHIFTING_BACK);
    stage_tick(&stage);
    assert_int_equal(stage.rollout.phase, ROLLOUT_VERIFYING);
    stage_wait(&stage, 2.9);
    assert_int_equal(stage.rollout.phase, ROLLOUT_VERIFYING);
    stage_tick(&stage);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLED_BACK);
    assert_int_equal(stage.written.status, RECORD_SUCCESS);
    assert_int_equal(stage.quarantine_count, 1);
}

static void shift_is_not_done_before_every_worker_has_the_weight(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage.is_slow_to_land = true;
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
    stage_wait(&stage, 5.0);
    assert_int_equal(stage.published_ppm, 0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_SHIFTING_BACK);
    stage.is_slow_to_land = false;
    stage_tick(&stage);
    assert_int_equal(stage.rollout.phase, ROLLOUT_VERIFYING);
    assert_true(stage.written.phase_s[RECORD_SHIFT] > 5.0);
}

static void unconfirmed_rollback_fails_and_looks_on(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
    stage_tick(&stage);
    for (int i = 0; i < 650; i++) {
        stage.input.tally.stable_count += 10;
        stage.input.tally.stable_failed += 5;
        stage_tick(&stage);
    }
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLBACK_FAILED);
    assert_int_equal(stage.written.status, RECORD_FAILED);
    assert_int_equal(stage.alert_count, 2);
    stage_wait(&stage, 5.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLED_BACK);
    assert_int_equal(stage.written.status, RECORD_SUCCESS);
}

static void record_stamps_phases_from_the_first_bad_response(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 20, 10);
    stage.input.canary_in_flight = 4;
    stage_tick(&stage); /* the breach tells of a failure 0.4 s before the tick it was set up in */
    stage.input.tally.canary_failed += 3; /* in flight when the weight fell; one was rescued */
    stage.input.tally.client_bad += 2;
    stage_tick(&stage);
    stage_tick(&stage);
    stage.input.canary_in_flight = 0;
    stage_wait(&stage, 4.0);
    const struct record *record = &stage.written;
    assert_int_equal(record->status, RECORD_SUCCESS);
    assert_string_equal(record->id, "r1");
    assert_true(fabs(record->phase_s[RECORD_DETECT] - 0.5) < 1e-6);
    assert_true(fabs(record->phase_s[RECORD_DECIDE] - 0.5) < 1e-6);
    assert_true(fabs(record->phase_s[RECORD_SHIFT] - 0.6) < 1e-6);
    assert_true(fabs(record->phase_s[RECORD_DRAIN] - 0.8) < 1e-6);
    assert_true(isnan(record->phase_s[RECORD_PLATFORM_ACK]));
    assert_true(fabs(record->phase_s[RECORD_VERIFY] - 3.6) < 1e-6);
    assert_true(record->duration_s == record->phase_s[RECORD_VERIFY]);
    assert_true(fabs(record->last_client_bad_s - 0.6) < 1e-6);
    assert_int_equal(record->bad_origin, 13);
    assert_int_equal(record->bad_client, 12);
    assert_int_equal(record->decided_wall_us - record->first_bad_wall_us, 500000);
    assert_int_equal(record->weight_ppm, STAGE_START_PPM);
    assert_string_equal(record->reason_text.text, "canary 10 of 20 requests failed");
}

static void canary_that_drains_late_is_stamped_late_and_once(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 20, 10);
    stage.input.canary_in_flight = 1;
    stage_wait(&stage, 8.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLED_BACK);
    assert_int_equal(stage.written.status, RECORD_SUCCESS);
    assert_true(isnan(stage.written.phase_s[RECORD_DRAIN]));
    unsigned record_count = stage.record_count;
    stage.input.canary_in_flight = 0;
    stage_wait(&stage, 5.0);
    assert_int_equal(stage.record_count, record_count + 1);
    assert_true(fabs(stage.written.phase_s[RECORD_DRAIN] - 8.5) < 1e-6);
    assert_true(stage.written.duration_s == stage.written.phase_s[RECORD_DRAIN]);
}

/* The raise waits for its write when the breach comes: it is not to be carried out after that. */
static void freeze_withdraws_a_raise_that_waits(void **state)
{
    (void)state;
    struct stage stage;
    struct note note;
    struct rollout_command promote = {.kind = ROLLOUT_PROMOTE, .actor = "ops"};
    stage_open(&stage, ROLLOUT_FREEZE);
    assert_int_equal(stage_command(&stage, (struct rollout_command){.kind = ROLLOUT_START}), OK);
    uint32_t step = stage.rollout.ascent.step;
    assert_int_equal(rollout_command(&stage.rollout, &promote, &stage.input, stage.now_us,
                                     &stage.actions, &note),
                     OK);
    uint64_t raise_revision = stage.rollout.weight_revision;
    assert_true(stage.rollout.weight_ppm > STAGE_START_PPM);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
    stage_tick(&stage);
    assert_int_equal(stage.rollout.phase, ROLLOUT_FROZEN);
    assert_int_equal(stage.published_ppm, STAGE_START_PPM);
    assert_true(stage.rollout.weight_revision > raise_revision);
    assert_int_equal(stage.rollout.ascent.step, step);
}

/* The bake was of all traffic, which the canary never got. */
static void held_outage_ends_a_bake_whose_weight_waits(void **state)
{
    (void)state;
    struct stage stage;
    struct note note;
    struct rollout_command promote = {.kind = ROLLOUT_PROMOTE, .is_full = true, .actor = "ops"};
    stage_open(&stage, ROLLOUT_ROLLBACK);
    assert_int_equal(stage_command(&stage, (struct rollout_command){.kind = ROLLOUT_START}), OK);
    assert_int_equal(rollout_command(&stage.rollout, &promote, &stage.input, stage.now_us,
                                     &stage.actions, &note),
                     OK);
    assert_int_equal(stage.rollout.phase, ROLLOUT_BAKING);
    stage.input.stable_live = 0;
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
    stage_tick(&stage);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PAUSED);
    assert_true(stage_has_told(&stage, "rollout.pause"));
    assert_true(stage_has_told(&stage, "rollback.hold"));
    assert_int_equal(stage.published_ppm, STAGE_START_PPM);
    stage.input.stable_live = 2;
    stage_tick(&stage);
    assert_int_equal(stage.rollout.phase, ROLLOUT_SHIFTING_BACK);
}

/* Stable has no live endpoint, so that nothing is shifted yet: the raise is not to come either. */
static void abort_without_stable_withdraws_a_raise_that_waits(void **state)
{
    (void)state;
    struct stage stage;
    struct note note;
    struct rollout_command raise = {
        .kind = ROLLOUT_SET_WEIGHT, .weight_ppm = 500000, .actor = "ops"};
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage.input.stable_live = 0;
    assert_int_equal(
        rollout_command(&stage.rollout, &raise, &stage.input, stage.now_us, &stage.actions, &note),
        OK);
    uint64_t raise_revision = stage.rollout.weight_revision;
    assert_int_equal(stage_command(&stage, (struct rollout_command){.kind = ROLLOUT_ABORT}), OK);
    assert_int_equal(stage.rollout.phase, ROLLOUT_SHIFTING_BACK);
    assert_int_equal(stage.published_ppm, STAGE_START_PPM);
    assert_true(stage.rollout.weight_revision > raise_revision);
    stage.input.stable_live = 2;
    stage_wait(&stage, 30.0);
    assert_int_equal(stage.published_ppm, 0);
}

static void freeze_holds_the_weight_until_resume(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_FREEZE);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
    stage_wait(&stage, 60.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_FROZEN);
    assert_int_equal(stage.published_ppm, STAGE_START_PPM);
    assert_int_equal(stage.alert_count, 1);
    assert_int_equal(stage_command(&stage, (struct rollout_command){.kind = ROLLOUT_RESUME}), OK);
    assert_true(stage.actions.is_judge_started);
    assert_int_equal(stage.rollout.phase, ROLLOUT_IDLE);
}

static void frozen_ends_by_rollback_too(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_FREEZE);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
    stage_tick(&stage);
    struct rollout_command command = {
        .kind = ROLLOUT_ROLL_BACK, .is_instant = true, .reason = "enough"};
    assert_int_equal(stage_command(&stage, command), OK);
    assert_int_equal(stage.published_ppm, 0);
    assert_int_equal(stage.written.trigger, RECORD_MANUAL);
    assert_string_equal(stage.written.actor, "ops");
    assert_string_equal(stage.written.reason_text.text, "enough");
}

static void alert_tells_once_and_changes_nothing(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ALERT);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
    stage_wait(&stage, 60.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_IDLE);
    assert_int_equal(stage.published_ppm, STAGE_START_PPM);
    assert_int_equal(stage.alert_count, 1);
}

static void breach_without_traffic_changes_nothing(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    struct rollout_command off = {.kind = ROLLOUT_SET_WEIGHT, .weight_ppm = 0};
    assert_int_equal(stage_command(&stage, off), OK);
    stage_breach(&stage, JUDGE_REASON_HEALTH, 0, 0);
    stage_wait(&stage, 5.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_IDLE);
    assert_int_equal(stage.record_count, 0);
}

static void paused_canary_is_still_rolled_back(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    assert_int_equal(stage_command(&stage, (struct rollout_command){.kind = ROLLOUT_PAUSE}), OK);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PAUSED);
    stage_roll_back(&stage);
}

static void rolled_back_deployment_is_refused_until_released(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_roll_back(&stage);
    struct rollout_command raise = {.kind = ROLLOUT_SET_WEIGHT, .weight_ppm = 100000};
    assert_int_equal(stage_command(&stage, raise), ERR_DENIED);
    struct rollout_command release = {.kind = ROLLOUT_RELEASE, .reason = "fixed"};
    assert_int_equal(stage_command(&stage, release), OK);
    assert_int_equal(stage_command(&stage, release), ERR_NOT_FOUND);
    stage.input.finding = (struct finding){JUDGE_OK, JUDGE_REASON_NONE};
    assert_int_equal(stage_command(&stage, raise), OK);
    assert_true(stage.actions.is_judge_started); /* the latch ends */
    assert_int_equal(stage.rollout.phase, ROLLOUT_IDLE);
    assert_int_equal(stage.published_ppm, 100000);
    stage_roll_back(&stage); /* ... and it is judged as before */
}

static void raising_waits_for_the_disk_and_lowering_does_not(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    struct rollout_command raise = {.kind = ROLLOUT_SET_WEIGHT, .weight_ppm = 300000};
    assert_int_equal(stage_command(&stage, raise), OK);
    assert_int_equal(stage.actions.list[0].kind, ROLLOUT_WRITE);
    assert_true(stage.actions.list[0].is_barrier);
    assert_int_equal(stage.actions.list[0].weight_ppm, 300000);
    assert_int_equal(stage.actions.list[1].kind, ROLLOUT_PUBLISH);
    assert_false(stage.actions.is_judge_started);
    assert_true(stage.actions.is_judge_stepped);
    struct rollout_command lower = {.kind = ROLLOUT_SET_WEIGHT, .weight_ppm = 50000};
    assert_int_equal(stage_command(&stage, lower), OK);
    assert_int_equal(stage.actions.list[0].kind, ROLLOUT_PUBLISH);
    assert_int_equal(stage.actions.list[1].kind, ROLLOUT_WRITE);
    assert_false(stage.actions.list[1].is_barrier);
    uint64_t revision = stage.rollout.revision;
    assert_int_equal(stage_command(&stage, lower), OK); /* nothing to do, nothing done */
    assert_int_equal(stage.actions.count, 0);
    assert_int_equal(stage.rollout.revision, revision);
    lower.weight_ppm = PLAN_WHOLE + 1;
    assert_int_equal(stage_command(&stage, lower), ERR_RANGE);
}

static void commands_are_refused_where_they_make_no_sense(void **state)
{
    (void)state;
    const struct {
        enum rollout_phase phase;
        enum rollout_command_kind kind;
        enum err err;
    } cases[] = {
        {ROLLOUT_SHIFTING_BACK, ROLLOUT_SET_WEIGHT, ERR_STATE},
        {ROLLOUT_SHIFTING_BACK, ROLLOUT_ROLL_BACK, ERR_STATE},
        {ROLLOUT_SHIFTING_BACK, ROLLOUT_ABORT, ERR_STATE},
        {ROLLOUT_SHIFTING_BACK, ROLLOUT_RELEASE, ERR_STATE},
        {ROLLOUT_VERIFYING, ROLLOUT_SET_WEIGHT, ERR_STATE},
        {ROLLOUT_VERIFYING, ROLLOUT_ROLL_BACK, ERR_STATE},
        {ROLLOUT_ROLLED_BACK, ROLLOUT_ROLL_BACK, ERR_STATE},
        {ROLLOUT_ROLLED_BACK, ROLLOUT_ABORT, ERR_STATE},
        {ROLLOUT_ROLLED_BACK, ROLLOUT_PAUSE, ERR_STATE},
        {ROLLOUT_IDLE, ROLLOUT_RESUME, ERR_STATE},
        {ROLLOUT_IDLE, ROLLOUT_RELEASE, ERR_NOT_FOUND},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct stage stage;
        stage_open(&stage, ROLLOUT_ROLLBACK);
        if (cases[i].phase != ROLLOUT_IDLE) {
            stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
        }
        for (int k = 0; k < 100 && stage.rollout.phase != cases[i].phase; k++) {
            stage_tick(&stage);
        }
        assert_int_equal(stage.rollout.phase, cases[i].phase);
        uint64_t revision = stage.rollout.revision;
        struct rollout_command command = {.kind = cases[i].kind, .weight_ppm = 1};
        assert_int_equal(stage_command(&stage, command), cases[i].err);
        assert_int_equal(stage.rollout.revision, revision);
    }
}

static void gradual_rollback_by_hand_can_be_hurried(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    struct rollout_command command = {.kind = ROLLOUT_ROLL_BACK, .reason = "looks odd"};
    assert_int_equal(stage_command(&stage, command), OK);
    assert_int_equal(stage.published_ppm, STAGE_START_PPM / 2);
    assert_true(isnan(stage.written.phase_s[RECORD_DETECT]));
    assert_true(stage.written.phase_s[RECORD_DECIDE] == 0.0);
    stage_wait(&stage, 1.0);
    assert_int_equal(stage.published_ppm, STAGE_START_PPM / 2);
    command.is_instant = true;
    assert_int_equal(stage_command(&stage, command), OK);
    assert_int_equal(stage.published_ppm, 0);
}

static void rollback_during_an_abort_quarantines(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    assert_int_equal(stage_command(&stage, (struct rollout_command){.kind = ROLLOUT_ABORT}), OK);
    struct rollout_command command = {
        .kind = ROLLOUT_ROLL_BACK, .is_instant = true, .reason = "it loses orders"};
    assert_int_equal(stage_command(&stage, command), OK);
    assert_int_equal(stage.published_ppm, 0);
    assert_int_equal(stage.quarantine_count, 1);
    assert_true(stage.written.is_quarantining);
    assert_string_equal(stage.written.reason_text.text, "it loses orders");
    stage_wait(&stage, 12.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLED_BACK);
}

static void instant_rollback_by_hand_goes_even_to_a_dead_stable(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage.input.stable_live = 0;
    struct rollout_command command = {.kind = ROLLOUT_ROLL_BACK};
    assert_int_equal(stage_command(&stage, command), OK);
    assert_int_equal(stage.published_ppm, STAGE_START_PPM);
    command.is_instant = true;
    assert_int_equal(stage_command(&stage, command), OK);
    assert_int_equal(stage.published_ppm, 0);
}

static void abort_ends_idle_without_quarantine(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    assert_int_equal(stage_command(&stage, (struct rollout_command){.kind = ROLLOUT_ABORT}), OK);
    stage_wait(&stage, 12.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_IDLE);
    assert_int_equal(stage.published_ppm, 0);
    assert_int_equal(stage.quarantine_count, 0);
    assert_false(stage.rollout.is_quarantined);
    assert_int_equal(stage.written.status, RECORD_SUCCESS);
    assert_int_equal(stage.written.trigger, RECORD_MANUAL);
    assert_int_equal(stage_command(&stage, (struct rollout_command){.kind = ROLLOUT_ABORT}),
                     ERR_STATE);
}

static void dry_run_leaves_only_a_record(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    struct rollout_command command = {.kind = ROLLOUT_ROLL_BACK, .is_dry_run = true};
    uint64_t revision = stage.rollout.revision;
    assert_int_equal(stage_command(&stage, command), OK);
    assert_int_equal(stage.written.status, RECORD_DRY_RUN);
    assert_int_equal(stage.rollout.phase, ROLLOUT_IDLE);
    assert_int_equal(stage.rollout.revision, revision);
    assert_false(stage.rollout.has_record);
}

static void another_deployment_supersedes_what_was_going_on(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    stage_breach(&stage, JUDGE_REASON_LATENCY, 10, 0);
    stage_tick(&stage);
    uint64_t revision = stage.rollout.revision;
    stage.published_ppm = 0; /* of the new deployment, nobody has anything yet */
    struct rollout_command deploy = {.kind = ROLLOUT_DEPLOY, .weight_ppm = 10000};
    assert_int_equal(stage_command(&stage, deploy), OK);
    assert_int_equal(stage.written.status, RECORD_SUPERSEDED);
    assert_int_equal(stage.rollout.phase, ROLLOUT_IDLE);
    assert_int_equal(stage.published_ppm, 10000);
    assert_true(stage.actions.is_judge_rebased);
    assert_true(stage.rollout.revision > revision);
    assert_false(stage.rollout.is_quarantined);
}

/* Only stable is another version: workers have the canary's weight all the time. */
static void weight_that_workers_have_is_no_raise_of_another_deployment(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_FREEZE);
    struct note note;
    struct rollout_command deploy = {.kind = ROLLOUT_DEPLOY,
                                     .weight_ppm = STAGE_START_PPM,
                                     .held_ppm = STAGE_START_PPM,
                                     .actor = "config"};
    assert_int_equal(
        rollout_command(&stage.rollout, &deploy, &stage.input, stage.now_us, &stage.actions, &note),
        OK);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
    stage_tick(&stage);
    assert_int_equal(stage.rollout.phase, ROLLOUT_FROZEN);
    assert_int_equal(stage.rollout.weight_ppm, STAGE_START_PPM);
}

static void quarantined_deployment_comes_back_without_weight(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    struct rollout_command deploy = {
        .kind = ROLLOUT_DEPLOY, .weight_ppm = 10000, .is_quarantined = true};
    assert_int_equal(stage_command(&stage, deploy), OK);
    assert_int_equal(stage.published_ppm, 0);
    assert_true(stage.rollout.is_quarantined);
}

/* What a process that is killed now leaves on the disk. */
static struct rollout_journal journal_of(const struct rollout *rollout)
{
    return (struct rollout_journal){
        .phase = rollout->phase,
        .weight_ppm = rollout->weight_ppm,
        .revision = rollout->revision,
        .is_quarantined = rollout->is_quarantined,
        .has_record = rollout->has_record,
        .record = rollout->record,
    };
}

static void restart(struct stage *stage, double later_s)
{
    struct rollout_journal journal = journal_of(&stage->rollout);
    struct rollout_config config = stage->rollout.config;
    int64_t wall_us = stage->input.wall_us + (int64_t)(later_s * 1e6);
    stage->now_us = 5000000; /* another boot, another monotonic clock */
    rollout_recover(&stage->rollout, &config, &journal, stage->now_us, wall_us);
    stage->published_ppm = stage->rollout.weight_ppm;
    stage->input.tally = (struct judge_tally){0};
    stage->input.finding = (struct finding){JUDGE_INSUFFICIENT_DATA, JUDGE_REASON_NONE};
    stage->input.excursion = (struct judge_excursion){0};
}

static void rollback_on_record_resumes_from_weight_zero(void **state)
{
    (void)state;
    /* Given kill -9 at each tick of a rollback, when the process starts again 10 s later, then the
     * weight is 0 before the first request, the rollback is confirmed, and its times count from the
     * first bad response. */
    for (int ticks = 1; ticks <= 100; ticks++) {
        struct stage stage;
        stage_open(&stage, ROLLOUT_ROLLBACK);
        stage_breach(&stage, JUDGE_REASON_LATENCY, 100, 1);
        for (int i = 0; i < ticks; i++) {
            stage_tick(&stage);
        }
        bool was_done = stage.rollout.phase == ROLLOUT_ROLLED_BACK;
        uint64_t revision = stage.rollout.revision;
        restart(&stage, 10.0);
        assert_int_equal(stage.published_ppm, 0);
        assert_true(stage.rollout.revision > revision);
        assert_true(stage.rollout.is_quarantined);
        stage_wait(&stage, 5.0);
        assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLED_BACK);
        if (!was_done) {
            assert_int_equal(stage.written.status, RECORD_SUCCESS);
            assert_true(stage.written.duration_s > 10.0);
            assert_true(stage.written.duration_s < 60.0);
            assert_int_equal(stage.written.bad_origin, 1);
        }
    }
}

static void without_a_rollback_the_last_written_weight_holds(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    restart(&stage, 10.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_IDLE);
    assert_int_equal(stage.published_ppm, STAGE_START_PPM);
    stage_wait(&stage, 10.0);
    assert_int_equal(stage.published_ppm, STAGE_START_PPM);
}

static void frozen_stays_frozen_after_a_restart(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_FREEZE);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
    stage_tick(&stage);
    restart(&stage, 1.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_FROZEN);
    assert_int_equal(stage.published_ppm, STAGE_START_PPM);
}

static void names_find_their_way_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ROLLOUT_PHASE_COUNT; i++) {
        enum rollout_phase phase = ROLLOUT_PHASE_COUNT;
        assert_true(rollout_phase_find(rollout_phase_name((enum rollout_phase)i), &phase));
        assert_int_equal(phase, i);
    }
    for (unsigned i = 0; i < RECORD_STATUS_COUNT; i++) {
        enum record_status status = RECORD_STATUS_COUNT;
        assert_true(record_status_find(record_status_name((enum record_status)i), &status));
        assert_int_equal(status, i);
    }
    for (unsigned i = 0; i < RECORD_TRIGGER_COUNT; i++) {
        enum record_trigger trigger = RECORD_TRIGGER_COUNT;
        assert_true(record_trigger_find(record_trigger_name((enum record_trigger)i), &trigger));
        assert_int_equal(trigger, i);
    }
    for (unsigned i = 0; i < RECORD_MODE_COUNT; i++) {
        enum record_mode mode = RECORD_MODE_COUNT;
        assert_true(record_mode_find(record_mode_name((enum record_mode)i), &mode));
        assert_int_equal(mode, i);
    }
    enum rollout_phase phase = ROLLOUT_IDLE;
    assert_false(rollout_phase_find("flying", &phase));
    assert_string_equal(record_phase_name(RECORD_PLATFORM_ACK), "platform_ack");
}

/* Write, then act: what could not be written is taken back, with the rest that it left. */
static void raise_that_was_not_written_returns_to_its_rest(void **state)
{
    (void)state;
    static const enum rollout_phase rests[] = {ROLLOUT_ROLLED_BACK, ROLLOUT_ROLLBACK_FAILED,
                                               ROLLOUT_FROZEN};
    for (size_t i = 0; i < COUNT_OF(rests); i++) {
        struct stage stage;
        stage_open(&stage, ROLLOUT_ROLLBACK);
        stage.rollout.phase = rests[i];
        stage.rollout.weight_ppm = 0;
        stage.published_ppm = 0;
        struct rollout_command raise = {.kind = ROLLOUT_SET_WEIGHT, .weight_ppm = 100000};
        assert_int_equal(stage_command(&stage, raise), OK);
        assert_int_equal(stage.rollout.phase, ROLLOUT_IDLE);
        assert_int_equal(stage.actions.phase_before, rests[i]);
        uint64_t revision = stage.rollout.revision;
        struct rollout_command undo = {
            .kind = ROLLOUT_SET_WEIGHT, .is_undo = true, .phase = stage.actions.phase_before};
        assert_int_equal(stage_command(&stage, undo), OK);
        assert_int_equal(stage.rollout.phase, rests[i]);
        assert_int_equal(stage.published_ppm, 0);
        assert_true(stage.rollout.revision > revision);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rollback_is_confirmed_by_three_good_looks),
        cmocka_unit_test(shift_is_not_done_before_every_worker_has_the_weight),
        cmocka_unit_test(unconfirmed_rollback_fails_and_looks_on),
        cmocka_unit_test(record_stamps_phases_from_the_first_bad_response),
        cmocka_unit_test(canary_that_drains_late_is_stamped_late_and_once),
        cmocka_unit_test(freeze_withdraws_a_raise_that_waits),
        cmocka_unit_test(abort_without_stable_withdraws_a_raise_that_waits),
        cmocka_unit_test(held_outage_ends_a_bake_whose_weight_waits),
        cmocka_unit_test(freeze_holds_the_weight_until_resume),
        cmocka_unit_test(frozen_ends_by_rollback_too),
        cmocka_unit_test(alert_tells_once_and_changes_nothing),
        cmocka_unit_test(breach_without_traffic_changes_nothing),
        cmocka_unit_test(paused_canary_is_still_rolled_back),
        cmocka_unit_test(rolled_back_deployment_is_refused_until_released),
        cmocka_unit_test(raising_waits_for_the_disk_and_lowering_does_not),
        cmocka_unit_test(commands_are_refused_where_they_make_no_sense),
        cmocka_unit_test(gradual_rollback_by_hand_can_be_hurried),
        cmocka_unit_test(rollback_during_an_abort_quarantines),
        cmocka_unit_test(instant_rollback_by_hand_goes_even_to_a_dead_stable),
        cmocka_unit_test(abort_ends_idle_without_quarantine),
        cmocka_unit_test(dry_run_leaves_only_a_record),
        cmocka_unit_test(another_deployment_supersedes_what_was_going_on),
        cmocka_unit_test(weight_that_workers_have_is_no_raise_of_another_deployment),
        cmocka_unit_test(quarantined_deployment_comes_back_without_weight),
        cmocka_unit_test(rollback_on_record_resumes_from_weight_zero),
        cmocka_unit_test(without_a_rollback_the_last_written_weight_holds),
        cmocka_unit_test(frozen_stays_frozen_after_a_restart),
        cmocka_unit_test(names_find_their_way_back),
        cmocka_unit_test(raise_that_was_not_written_returns_to_its_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

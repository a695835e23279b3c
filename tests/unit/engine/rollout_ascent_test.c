/* The way up: health checks, steps, gates, bake, and what an operator may ask of it. */
#include "tests/unit/engine/rollout_stage.h"

/* 1 % (gate behind it), 10 %, 100 %; a minute each at least, ten at most, five minutes of bake. */
static struct rollout_config ascent_config(void)
{
    struct rollout_config config = ROLLOUT_CONFIG_DEFAULT;
    config.ladder =
        (struct ladder){.weights_ppm = {10000, 100000, 1000000}, .has_gate = {true}, .count = 3};
    config.min_time_us = 60000000;
    config.max_time_us = 600000000;
    config.bake_us = 300000000;
    return config;
}

static void ascent_open(struct stage *stage, const struct rollout_config *config)
{
    *stage = (struct stage){.now_us = 1000000000};
    rollout_init(&stage->rollout, config, 0, false);
    stage->input.stable_live = 2;
    stage->input.stable_latency = &stage->stable_latency;
    stage->input.record_id = "r1";
    stage->input.is_canary_ready = true;
    note_set(&stage->input.sentence, "canary 0 of 3 requests failed");
    struct rollout_command start = {.kind = ROLLOUT_START};
    assert_int_equal(stage_command(stage, start), OK);
    assert_int_equal(stage->rollout.phase, ROLLOUT_PROGRESSING);
    assert_true(stage_has_told(stage, "rollout.start"));
    assert_true(stage->actions.is_judge_started);
}

static void open_plain(struct stage *stage)
{
    struct rollout_config config = ascent_config();
    config.ladder.has_gate[0] = false;
    ascent_open(stage, &config);
}

static enum err ask(struct stage *stage, enum rollout_command_kind kind)
{
    return stage_command(stage, (struct rollout_command){.kind = kind, .reason = "test"});
}

static void weight_waits_for_health_checks(void **state)
{
    (void)state;
    struct stage stage;
    open_plain(&stage);
    stage.input.is_canary_ready = false;
    stage_wait(&stage, 299.0);
    assert_int_equal(stage.published_ppm, 0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PROGRESSING);
    stage.input.is_canary_ready = true;
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 10000);
    assert_int_equal(stage.rollout.ascent.step, 1);
    assert_true(stage.actions.is_judge_stepped);
}

static void canary_that_never_gets_ready_pauses_with_an_alert_and_no_quarantine(void **state)
{
    (void)state;
    struct stage stage;
    open_plain(&stage);
    stage.input.is_canary_ready = false;
    assert_int_equal(ask(&stage, ROLLOUT_PROMOTE), ERR_STATE);
    stage_wait(&stage, 301.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PAUSED);
    assert_int_equal(stage.published_ppm, 0);
    assert_int_equal(stage.alert_count, 1);
    assert_int_equal(stage.quarantine_count, 0);
    assert_int_equal(ask(&stage, ROLLOUT_RESUME), OK);
    stage_wait(&stage, 250.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PROGRESSING);
    stage.input.is_canary_ready = true;
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 10000);
}

static void step_needs_both_time_and_evidence(void **state)
{
    (void)state;
    struct stage stage;
    open_plain(&stage);
    stage_tick(&stage);
    stage.input.is_promotable = true;
    stage_wait(&stage, 59.0);
    assert_int_equal(stage.published_ppm, 10000);
    stage_wait(&stage, 1.5);
    assert_int_equal(stage.published_ppm, 100000);
    stage.input.is_promotable = false;
    stage_wait(&stage, 300.0);
    assert_int_equal(stage.published_ppm, 100000);
    stage.input.is_promotable = true;
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 1000000);
}

/* ---- mirroring ---- */

static void open_mirrored(struct stage *stage)
{
    struct rollout_config config = ascent_config();
    config.mirror_ppm = 50000;
    config.ladder.has_gate[0] = false;
    ascent_open(stage, &config);
}

static bool has_published(const struct stage *stage)
{
    bool has = false;
    for (size_t i = 0; i < stage->actions.count; i++) {
        has |= stage->actions.list[i].kind == ROLLOUT_PUBLISH;
    }
    return has;
}

static void copies_begin_when_the_canary_is_ready(void **state)
{
    (void)state;
    struct stage stage;
    open_mirrored(&stage);
    stage.input.is_canary_ready = false;
    stage_wait(&stage, 10.0);
    assert_false(rollout_is_mirroring(&stage.rollout));
    stage.input.is_canary_ready = true;
    stage_tick(&stage);
    assert_true(rollout_is_mirroring(&stage.rollout));
    assert_true(stage_has_told(&stage, "rollout.mirror"));
    assert_true(has_published(&stage));
    assert_true(stage.actions.is_judge_stepped); /* evidence is that of the copies */
    assert_int_equal(stage.published_ppm, 0);
}

static void first_weight_needs_time_health_and_good_copies(void **state)
{
    (void)state;
    struct stage stage;
    open_mirrored(&stage);
    stage.input.is_mirror_good = true;
    stage_wait(&stage, 59.0);
    assert_int_equal(stage.published_ppm, 0);
    stage.input.is_mirror_good = false;
    stage_wait(&stage, 30.0);
    assert_int_equal(stage.published_ppm, 0);
    stage.input.is_mirror_good = true;
    stage.input.is_canary_ready = false;
    stage_wait(&stage, 10.0);
    assert_int_equal(stage.published_ppm, 0);
    assert_true(rollout_is_mirroring(&stage.rollout));
    stage.input.is_canary_ready = true;
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 10000);
    assert_int_equal(stage.rollout.ascent.step, 1);
    assert_false(rollout_is_mirroring(&stage.rollout));
}

static void too_few_copies_pause_and_give_no_weight(void **state)
{
    (void)state;
    struct stage stage;
    open_mirrored(&stage);
    stage_wait(&stage, 601.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PAUSED);
    assert_int_equal(stage.alert_count, 1);
    assert_int_equal(stage.published_ppm, 0);
    assert_true(rollout_is_mirroring(&stage.rollout)); /* what is paused stays as it is */
    stage.input.is_mirror_good = true;
    stage_wait(&stage, 100.0);
    assert_int_equal(stage.published_ppm, 0);
    assert_int_equal(ask(&stage, ROLLOUT_RESUME), OK);
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 10000);
}

static void breach_by_copies_ends_the_rollout_before_any_weight(void **state)
{
    (void)state;
    struct stage stage;
    open_mirrored(&stage);
    stage_wait(&stage, 5.0);
    stage_breach(&stage, JUDGE_REASON_CONNECT, 20.0, 20.0);
    stage_tick(&stage);
    assert_int_equal(stage.rollout.phase, ROLLOUT_SHIFTING_BACK);
    assert_false(rollout_is_mirroring(&stage.rollout));
    assert_true(has_published(&stage));
    assert_int_equal(stage.quarantine_count, 1);
    assert_int_equal(stage.written.trigger, RECORD_CONNECT);
    stage_wait(&stage, 5.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLED_BACK);
    assert_int_equal(stage.written.status, RECORD_SUCCESS);
    assert_int_equal(stage.written.weight_ppm, 0);
    assert_true(stage.written.phase_s[RECORD_SHIFT] >= stage.written.phase_s[RECORD_DECIDE]);
    assert_true(stage.rollout.is_quarantined);
    assert_int_equal(stage.published_ppm, 0);
}

static void breach_matters_only_while_copies_are_made(void **state)
{
    (void)state;
    struct stage stage;
    open_plain(&stage);
    stage.input.is_canary_ready = false;
    stage_breach(&stage, JUDGE_REASON_CONNECT, 20.0, 20.0);
    stage_wait(&stage, 5.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PROGRESSING);
}

static void freeze_and_abort_end_copies(void **state)
{
    (void)state;
    struct stage stage;
    open_mirrored(&stage);
    stage.rollout.config.on_breach = ROLLOUT_FREEZE;
    stage_tick(&stage);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 20.0, 20.0);
    stage_tick(&stage);
    assert_int_equal(stage.rollout.phase, ROLLOUT_FROZEN);
    assert_false(rollout_is_mirroring(&stage.rollout));
    assert_true(has_published(&stage));
    stage.input.finding = (struct finding){JUDGE_OK, JUDGE_REASON_NONE};
    assert_int_equal(ask(&stage, ROLLOUT_RESUME), OK);
    assert_true(has_published(&stage));
    assert_true(rollout_is_mirroring(&stage.rollout));
    assert_int_equal(ask(&stage, ROLLOUT_ABORT), OK);
    assert_true(has_published(&stage));
    assert_false(rollout_is_mirroring(&stage.rollout));
    assert_int_equal(stage.rollout.phase, ROLLOUT_IDLE);
}

static void promotion_by_hand_does_not_wait_for_copies(void **state)
{
    (void)state;
    struct stage stage;
    open_mirrored(&stage);
    stage_tick(&stage);
    assert_int_equal(ask(&stage, ROLLOUT_PROMOTE), OK);
    assert_int_equal(stage.published_ppm, 10000);
    assert_false(rollout_is_mirroring(&stage.rollout));
}

static void weight_taken_away_by_hand_brings_no_copies(void **state)
{
    (void)state;
    struct stage stage;
    open_mirrored(&stage);
    stage_tick(&stage);
    struct rollout_command set = {.kind = ROLLOUT_SET_WEIGHT, .weight_ppm = 10000};
    assert_int_equal(stage_command(&stage, set), OK);
    set.weight_ppm = 0;
    assert_int_equal(stage_command(&stage, set), OK);
    stage_wait(&stage, 5.0);
    assert_false(rollout_is_mirroring(&stage.rollout));
}

/* Commands whose actions are not carried out yet: the disk stands still. */
static void ask_unwritten(struct stage *stage, struct rollout_command command)
{
    struct note note;
    command.actor = "ops";
    assert_int_equal(rollout_command(&stage->rollout, &command, &stage->input, stage->now_us,
                                     &stage->actions, &note),
                     OK);
}

/* A weight below the first step waits for its write when the canary gets ready. */
static void copies_bring_no_weight_that_is_not_written(void **state)
{
    (void)state;
    struct stage stage;
    open_mirrored(&stage);
    stage.input.is_canary_ready = false;
    ask_unwritten(&stage, (struct rollout_command){.kind = ROLLOUT_SET_WEIGHT, .weight_ppm = 5000});
    ask_unwritten(&stage, (struct rollout_command){.kind = ROLLOUT_RESUME});
    stage.input.is_canary_ready = true;
    stage.now_us += STAGE_TICK_US;
    rollout_step(&stage.rollout, &stage.input, stage.now_us, &stage.actions);
    assert_false(stage.rollout.ascent.is_mirroring);
    assert_false(has_published(&stage));
}

static void reload_without_mirroring_goes_on_without_copies(void **state)
{
    (void)state;
    struct stage stage;
    open_mirrored(&stage);
    stage_tick(&stage);
    struct rollout_config config = stage.rollout.config;
    config.mirror_ppm = 0;
    rollout_configure(&stage.rollout, &config);
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 10000);
}

static void restart_waits_for_health_and_copies_anew(void **state)
{
    (void)state;
    struct stage stage;
    open_mirrored(&stage);
    stage_wait(&stage, 400.0); /* longer than health checks may take */
    const struct rollout *before = &stage.rollout;
    struct rollout_journal journal = {.phase = before->phase,
                                      .revision = before->revision,
                                      .is_ascending = true,
                                      .ladder = before->ascent.ladder,
                                      .waiting_wall_us = before->ascent.waiting_wall_us};
    struct rollout_config config = before->config;
    stage.now_us += 3600000000;
    rollout_recover(&stage.rollout, &config, &journal, stage.now_us,
                    STAGE_WALL_US + (int64_t)stage.now_us);
    stage.input.is_canary_ready = false;
    stage_wait(&stage, 200.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PROGRESSING);
    assert_false(rollout_is_mirroring(&stage.rollout));
    stage.input.is_canary_ready = true;
    stage_tick(&stage);
    assert_true(rollout_is_mirroring(&stage.rollout));
}

static void silence_pauses_and_never_promotes(void **state)
{
    (void)state;
    struct stage stage;
    open_plain(&stage);
    stage_wait(&stage, 601.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PAUSED);
    assert_int_equal(stage.published_ppm, 10000);
    assert_int_equal(stage.alert_count, 1);
    stage.input.is_promotable = true;
    stage_wait(&stage, 601.0);
    assert_int_equal(stage.published_ppm, 10000); /* somebody has to say so */
    assert_int_equal(ask(&stage, ROLLOUT_RESUME), OK);
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 100000);
}

static void gate_holds_until_resume(void **state)
{
    (void)state;
    struct stage stage;
    struct rollout_config config = ascent_config();
    ascent_open(&stage, &config);
    stage.input.is_promotable = true;
    stage_wait(&stage, 61.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PAUSED);
    assert_int_equal(stage.published_ppm, 10000);
    assert_int_equal(stage.alert_count, 0);
    stage_wait(&stage, 10000.0);
    assert_int_equal(stage.published_ppm, 10000);
    assert_int_equal(ask(&stage, ROLLOUT_RESUME), OK);
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 100000);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PROGRESSING);
}

static void pause_by_hand_does_not_open_the_gate_behind_it(void **state)
{
    (void)state;
    struct stage stage;
    struct rollout_config config = ascent_config();
    ascent_open(&stage, &config);
    stage_tick(&stage);
    assert_int_equal(ask(&stage, ROLLOUT_PAUSE), OK);
    assert_int_equal(ask(&stage, ROLLOUT_RESUME), OK);
    stage.input.is_promotable = true;
    stage_wait(&stage, 61.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PAUSED);
    assert_int_equal(stage.published_ppm, 10000);
}

static void climb_to_the_bake(struct stage *stage)
{
    stage->input.is_promotable = true;
    stage_wait(stage, 185.0);
    assert_int_equal(stage->rollout.phase, ROLLOUT_BAKING);
    assert_int_equal(stage->published_ppm, 1000000);
}

static void bake_ends_by_time_in_success(void **state)
{
    (void)state;
    struct stage stage;
    open_plain(&stage);
    climb_to_the_bake(&stage);
    stage.input.is_promotable = false;
    stage_wait(&stage, 290.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_BAKING);
    stage_wait(&stage, 15.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_SUCCEEDED);
    assert_false(stage.rollout.ascent.is_running);
    assert_int_equal(stage.published_ppm, 1000000);
}

static void suspicion_keeps_the_bake_from_ending(void **state)
{
    (void)state;
    struct stage stage;
    open_plain(&stage);
    climb_to_the_bake(&stage);
    stage.input.finding = (struct finding){JUDGE_SUSPICIOUS, JUDGE_REASON_ABSOLUTE};
    stage_wait(&stage, 600.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_BAKING);
    stage_wait(&stage, 310.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PAUSED);
    assert_int_equal(stage.alert_count, 1);
}

static void breach_ends_the_rollout_in_every_phase(void **state)
{
    (void)state;
    for (int scene = 0; scene < 4; scene++) {
        struct stage stage;
        open_plain(&stage);
        stage_tick(&stage);
        if (scene == 1) {
            assert_int_equal(ask(&stage, ROLLOUT_PAUSE), OK);
        } else if (scene == 2) {
            climb_to_the_bake(&stage);
        } else if (scene == 3) {
            stage.input.is_promotable = true;
            stage_wait(&stage, 61.0);
            assert_int_equal(stage.published_ppm, 100000);
        }
        stage.input.is_promotable = false;
        stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
        stage_wait(&stage, 6.0);
        assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLED_BACK);
        assert_int_equal(stage.published_ppm, 0);
        assert_int_equal(stage.quarantine_count, 1);
        assert_false(stage.rollout.ascent.is_running);
        assert_int_equal(ask(&stage, ROLLOUT_START), ERR_DENIED);
        assert_int_equal(ask(&stage, ROLLOUT_RELEASE), OK);
        stage.input.finding = (struct finding){JUDGE_OK, JUDGE_REASON_NONE};
        assert_int_equal(ask(&stage, ROLLOUT_START), OK);
        stage_tick(&stage);
        assert_int_equal(stage.published_ppm, 10000);
    }
}

static void breach_after_success_alerts_or_rolls_back(void **state)
{
    (void)state;
    for (int rolls_back = 0; rolls_back < 2; rolls_back++) {
        struct stage stage;
        struct rollout_config config = ascent_config();
        config.ladder.has_gate[0] = false;
        config.rolls_back_after_bake = rolls_back != 0;
        ascent_open(&stage, &config);
        climb_to_the_bake(&stage);
        assert_int_equal(ask(&stage, ROLLOUT_PROMOTE), OK);
        assert_int_equal(stage.rollout.phase, ROLLOUT_SUCCEEDED);
        stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
        stage_wait(&stage, 6.0);
        assert_int_equal(stage.rollout.phase, rolls_back ? ROLLOUT_ROLLED_BACK : ROLLOUT_SUCCEEDED);
        assert_int_equal(stage.published_ppm, rolls_back ? 0 : 1000000);
        assert_true(stage.alert_count >= 1);
    }
}

static void frozen_rollout_resumes_on_its_step_and_is_judged_anew(void **state)
{
    (void)state;
    struct stage stage;
    struct rollout_config config = ascent_config();
    config.on_breach = ROLLOUT_FREEZE;
    config.ladder.has_gate[0] = false;
    ascent_open(&stage, &config);
    stage_wait(&stage, 59.0);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
    stage_tick(&stage);
    assert_int_equal(stage.rollout.phase, ROLLOUT_FROZEN);
    assert_int_equal(ask(&stage, ROLLOUT_PROMOTE), ERR_STATE);
    assert_int_equal(ask(&stage, ROLLOUT_RESUME), OK);
    assert_true(stage.actions.is_judge_started);
    stage.input.finding = (struct finding){JUDGE_HEALTHY, JUDGE_REASON_NONE};
    stage.input.is_promotable = true;
    stage_wait(&stage, 58.0);
    assert_int_equal(stage.published_ppm, 10000);
    stage_wait(&stage, 3.0);
    assert_int_equal(stage.published_ppm, 100000);
}

static void weight_by_hand_pauses_and_resume_goes_on_above_it(void **state)
{
    (void)state;
    struct stage stage;
    open_plain(&stage);
    stage_tick(&stage);
    struct rollout_command weight = {.kind = ROLLOUT_SET_WEIGHT, .weight_ppm = 300000};
    assert_int_equal(stage_command(&stage, weight), OK);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PAUSED);
    assert_int_equal(stage.rollout.ascent.step, 2);
    assert_int_equal(ask(&stage, ROLLOUT_RESUME), OK);
    stage.input.is_promotable = true;
    stage_wait(&stage, 59.0);
    assert_int_equal(stage.published_ppm, 300000);
    stage_wait(&stage, 2.0);
    assert_int_equal(stage.published_ppm, 1000000);
    weight.weight_ppm = 0;
    assert_int_equal(stage_command(&stage, weight), OK);
    assert_int_equal(stage.rollout.ascent.step, 0);
    assert_int_equal(ask(&stage, ROLLOUT_RESUME), OK);
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 10000);
}

static void promote_skips_one_step_or_all(void **state)
{
    (void)state;
    struct stage stage;
    struct rollout_config config = ascent_config();
    ascent_open(&stage, &config);
    assert_int_equal(ask(&stage, ROLLOUT_PROMOTE), OK);
    assert_int_equal(stage.published_ppm, 10000);
    assert_int_equal(ask(&stage, ROLLOUT_PAUSE), OK);
    assert_int_equal(ask(&stage, ROLLOUT_PROMOTE), OK); /* past the gate too */
    assert_int_equal(stage.published_ppm, 100000);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PROGRESSING);
    struct rollout_command full = {.kind = ROLLOUT_PROMOTE, .is_full = true};
    assert_int_equal(stage_command(&stage, full), OK);
    assert_int_equal(stage.published_ppm, 1000000);
    assert_int_equal(stage.rollout.phase, ROLLOUT_BAKING);
    assert_int_equal(ask(&stage, ROLLOUT_PROMOTE), OK);
    assert_int_equal(stage.rollout.phase, ROLLOUT_SUCCEEDED);
    assert_int_equal(ask(&stage, ROLLOUT_PROMOTE), ERR_STATE);
    assert_int_equal(ask(&stage, ROLLOUT_ABORT), ERR_STATE);
}

static void start_while_one_runs_is_refused(void **state)
{
    (void)state;
    struct stage stage;
    open_plain(&stage);
    assert_int_equal(ask(&stage, ROLLOUT_START), ERR_STATE);
    stage_tick(&stage);
    assert_int_equal(ask(&stage, ROLLOUT_PAUSE), OK);
    assert_int_equal(ask(&stage, ROLLOUT_START), ERR_STATE);
    assert_int_equal(ask(&stage, ROLLOUT_ABORT), OK);
    assert_int_equal(ask(&stage, ROLLOUT_START), ERR_STATE); /* shifting back */
    stage_wait(&stage, 15.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_IDLE);
    assert_int_equal(stage.quarantine_count, 0);
    assert_int_equal(ask(&stage, ROLLOUT_START), OK);
}

static void abort_before_any_weight_only_ends_it(void **state)
{
    (void)state;
    struct stage stage;
    open_plain(&stage);
    assert_int_equal(ask(&stage, ROLLOUT_ABORT), OK);
    assert_int_equal(stage.rollout.phase, ROLLOUT_IDLE);
    assert_int_equal(stage.record_count, 0);
    assert_int_equal(ask(&stage, ROLLOUT_ABORT), ERR_STATE);
}

static void journal_of(const struct rollout *rollout, struct rollout_journal *journal)
{
    *journal = (struct rollout_journal){
        .phase = rollout->phase,
        .weight_ppm = rollout->weight_ppm,
        .revision = rollout->revision,
        .is_ascending = rollout->ascent.is_running,
        .ladder = rollout->ascent.ladder,
        .step = rollout->ascent.step,
        .gate = rollout->ascent.gate,
        .waiting_wall_us = rollout->ascent.waiting_wall_us,
    };
}

static void restart_keeps_step_and_max_time_but_not_min_time(void **state)
{
    (void)state;
    struct stage stage;
    open_plain(&stage);
    stage_wait(&stage, 500.0);
    struct rollout_journal journal;
    journal_of(&stage.rollout, &journal);
    struct rollout_config other = ROLLOUT_CONFIG_DEFAULT;
    other.max_time_us = 600000000;
    rollout_recover(&stage.rollout, &other, &journal, stage.now_us, stage.input.wall_us);
    assert_int_equal(stage.rollout.weight_ppm, 10000);
    assert_int_equal(stage.rollout.ascent.ladder.count, 3); /* not the configuration's five */
    stage_tick(&stage);
    assert_true(stage_has_told(&stage, "rollout.recover"));
    stage_tick(&stage);
    assert_false(stage_has_told(&stage, "rollout.recover"));
    stage.input.is_promotable = true;
    stage_wait(&stage, 58.0);
    assert_int_equal(stage.published_ppm, 10000);
    stage.input.is_promotable = false;
    stage_wait(&stage, 45.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PAUSED); /* 600 s in all */
}

static void restart_at_a_gate_still_waits_there(void **state)
{
    (void)state;
    struct stage stage;
    struct rollout_config config = ascent_config();
    ascent_open(&stage, &config);
    stage.input.is_promotable = true;
    stage_wait(&stage, 61.0);
    struct rollout_journal journal;
    journal_of(&stage.rollout, &journal);
    rollout_recover(&stage.rollout, &config, &journal, stage.now_us, stage.input.wall_us);
    stage_wait(&stage, 120.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PAUSED);
    assert_int_equal(ask(&stage, ROLLOUT_RESUME), OK);
    stage_wait(&stage, 1.0);
    assert_int_equal(stage.published_ppm, 100000);
}

static void restart_without_the_steps_leaves_a_plain_split(void **state)
{
    (void)state;
    struct stage stage;
    open_plain(&stage);
    stage_tick(&stage);
    struct rollout_journal journal;
    journal_of(&stage.rollout, &journal);
    journal.is_ascending = false;
    struct rollout_config config = ascent_config();
    rollout_recover(&stage.rollout, &config, &journal, stage.now_us, stage.input.wall_us);
    assert_int_equal(stage.rollout.phase, ROLLOUT_IDLE);
    assert_int_equal(stage.rollout.weight_ppm, 10000);
}

static void reload_keeps_the_steps_of_a_rollout_that_runs(void **state)
{
    (void)state;
    struct stage stage;
    open_plain(&stage);
    stage_tick(&stage);
    struct rollout_config config = ROLLOUT_CONFIG_DEFAULT;
    config.min_time_us = 5000000;
    rollout_configure(&stage.rollout, &config);
    rollout_lose_evidence(&stage.rollout);
    stage.input.is_promotable = true;
    stage_tick(&stage);
    assert_true(stage_has_told(&stage, "rollout.recover"));
    stage_wait(&stage, 6.0);
    assert_int_equal(stage.published_ppm, 100000);
}

static void ladder_must_rise_to_the_whole(void **state)
{
    (void)state;
    struct ladder ladder = {.weights_ppm = {10000, 1000000}, .count = 2};
    assert_true(ladder_is_sound(&ladder));
    assert_int_equal(ladder_step_at(&ladder, 9999), 0);
    assert_int_equal(ladder_step_at(&ladder, 10000), 1);
    assert_int_equal(ladder_step_at(&ladder, 1000000), 2);
    assert_int_equal(ladder_weight_ppm(&ladder, 0), 0);
    ladder.has_gate[1] = true;
    assert_false(ladder_is_sound(&ladder));
    assert_false(ladder_is_sound(&(struct ladder){.count = 0}));
    assert_false(ladder_is_sound(&(struct ladder){.weights_ppm = {0, 1000000}, .count = 2}));
    assert_false(ladder_is_sound(&(struct ladder){.weights_ppm = {10000}, .count = 1}));
    assert_false(ladder_is_sound(&(struct ladder){.weights_ppm = {1000000}, .count = 99}));
}

static void start_brings_its_own_steps_and_is_news(void **state)
{
    (void)state;
    struct stage stage = {.now_us = 1000000000};
    struct rollout_config config = ascent_config();
    struct ladder ladder = {.weights_ppm = {500000, 1000000}, .count = 2};
    rollout_init(&stage.rollout, &config, 0, false);
    stage.input.stable_latency = &stage.stable_latency;
    struct rollout_command start = {
        .kind = ROLLOUT_START, .ladder = &ladder, .reason = "canary v3, stable v2"};
    assert_int_equal(stage_command(&stage, start), OK);
    assert_int_equal(stage.rollout.ascent.ladder.count, 2);
    const struct rollout_action *told = &stage.actions.list[stage.actions.count - 1];
    assert_true(told->is_notice);
    assert_string_equal(told->text.text, "rollout of 2 steps begins: canary v3, stable v2");
    assert_int_equal(stage.alert_count, 0);
    stage.input.is_canary_ready = true;
    stage_tick(&stage);
    assert_int_equal(stage.published_ppm, 500000);
}

static void success_is_news_and_no_alert(void **state)
{
    (void)state;
    struct stage stage;
    open_plain(&stage);
    stage_tick(&stage);
    assert_int_equal(
        stage_command(&stage, (struct rollout_command){.kind = ROLLOUT_PROMOTE, .is_full = true}),
        OK);
    assert_int_equal(ask(&stage, ROLLOUT_PROMOTE), OK);
    assert_int_equal(stage.rollout.phase, ROLLOUT_SUCCEEDED);
    bool is_news = false;
    for (size_t i = 0; i < stage.actions.count; i++) {
        is_news |= stage.actions.list[i].is_notice;
    }
    assert_true(is_news);
    assert_int_equal(stage.alert_count, 0);
}

static void no_phase_but_a_rest_may_start(void **state)
{
    (void)state;
    for (int phase = 0; phase < ROLLOUT_PHASE_COUNT; phase++) {
        struct rollout rollout;
        struct rollout_config config = ascent_config();
        struct note note = {""};
        rollout_init(&rollout, &config, 0, false);
        rollout.phase = (enum rollout_phase)phase;
        bool may_start = phase == ROLLOUT_IDLE || phase == ROLLOUT_PAUSED ||
                         phase == ROLLOUT_SUCCEEDED || phase == ROLLOUT_ROLLED_BACK;
        assert_int_equal(rollout_check_start(&rollout, &note), may_start ? OK : ERR_STATE);
        assert_true(may_start == (note.text[0] == '\0'));
        rollout.ascent.is_running = true;
        assert_int_equal(rollout_check_start(&rollout, &note), ERR_STATE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weight_waits_for_health_checks),
        cmocka_unit_test(canary_that_never_gets_ready_pauses_with_an_alert_and_no_quarantine),
        cmocka_unit_test(step_needs_both_time_and_evidence),
        cmocka_unit_test(copies_begin_when_the_canary_is_ready),
        cmocka_unit_test(first_weight_needs_time_health_and_good_copies),
        cmocka_unit_test(too_few_copies_pause_and_give_no_weight),
        cmocka_unit_test(breach_by_copies_ends_the_rollout_before_any_weight),
        cmocka_unit_test(breach_matters_only_while_copies_are_made),
        cmocka_unit_test(freeze_and_abort_end_copies),
        cmocka_unit_test(promotion_by_hand_does_not_wait_for_copies),
        cmocka_unit_test(weight_taken_away_by_hand_brings_no_copies),
        cmocka_unit_test(copies_bring_no_weight_that_is_not_written),
        cmocka_unit_test(reload_without_mirroring_goes_on_without_copies),
        cmocka_unit_test(restart_waits_for_health_and_copies_anew),
        cmocka_unit_test(silence_pauses_and_never_promotes),
        cmocka_unit_test(gate_holds_until_resume),
        cmocka_unit_test(pause_by_hand_does_not_open_the_gate_behind_it),
        cmocka_unit_test(bake_ends_by_time_in_success),
        cmocka_unit_test(suspicion_keeps_the_bake_from_ending),
        cmocka_unit_test(breach_ends_the_rollout_in_every_phase),
        cmocka_unit_test(breach_after_success_alerts_or_rolls_back),
        cmocka_unit_test(frozen_rollout_resumes_on_its_step_and_is_judged_anew),
        cmocka_unit_test(weight_by_hand_pauses_and_resume_goes_on_above_it),
        cmocka_unit_test(promote_skips_one_step_or_all),
        cmocka_unit_test(start_while_one_runs_is_refused),
        cmocka_unit_test(abort_before_any_weight_only_ends_it),
        cmocka_unit_test(restart_keeps_step_and_max_time_but_not_min_time),
        cmocka_unit_test(restart_at_a_gate_still_waits_there),
        cmocka_unit_test(restart_without_the_steps_leaves_a_plain_split),
        cmocka_unit_test(reload_keeps_the_steps_of_a_rollout_that_runs),
        cmocka_unit_test(ladder_must_rise_to_the_whole),
        cmocka_unit_test(start_brings_its_own_steps_and_is_news),
        cmocka_unit_test(success_is_news_and_no_alert),
        cmocka_unit_test(no_phase_but_a_rest_may_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

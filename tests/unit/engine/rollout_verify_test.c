/* How a rollback is confirmed when the stable version's own URLs are asked. */
#include "tests/unit/engine/rollout_stage.h"

/* What its URLs answer, when a round of questions is wanted. */
struct answers {
    bool is_silent; /* the round stays open */
    bool is_bad;
    unsigned round_count;
};

static void open_asking(struct stage *stage)
{
    stage_open(stage, ROLLOUT_ROLLBACK);
    stage->rollout.config.verify_asks = true;
    stage_breach(stage, JUDGE_REASON_ABSOLUTE, 10, 10);
    stage_tick(stage);
    stage_tick(stage);
    assert_int_equal(stage->rollout.phase, ROLLOUT_VERIFYING);
    assert_int_equal(rollout_asked_round(&stage->rollout), 0);
}

/* A tick, with the answers that have come since the last one. */
static void tick(struct stage *stage, struct answers *answers)
{
    uint64_t round = rollout_asked_round(&stage->rollout);
    struct rollout_checked *checked = &stage->input.checked;
    if (round > 0 && !answers->is_silent && checked->round != round) {
        checked->round = round;
        checked->is_good = !answers->is_bad;
        note_set(&checked->trouble, "%s", answers->is_bad ? "http://s answered 503" : "");
        answers->round_count++;
    }
    stage_tick(stage);
}

static void wait(struct stage *stage, struct answers *answers, double seconds)
{
    for (int i = 0; i < (int)(seconds * 10.0 + 0.5); i++) {
        tick(stage, answers);
    }
}

static void good_answers_in_a_row_confirm_it(void **state)
{
    (void)state;
    struct stage stage;
    struct answers answers = {0};
    open_asking(&stage);
    wait(&stage, &answers, 5.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLED_BACK);
    assert_int_equal(stage.written.status, RECORD_SUCCESS);
    assert_int_equal(answers.round_count, 3);
    assert_int_equal(rollout_asked_round(&stage.rollout), 0);
}

static void row_begins_again_after_a_bad_answer(void **state)
{
    (void)state;
    struct stage stage;
    struct answers answers = {0};
    open_asking(&stage);
    while (answers.round_count < 2) {
        tick(&stage, &answers);
    }
    assert_int_equal(stage.rollout.verification.good_looks, 2);
    answers.is_bad = true;
    while (answers.round_count < 3) {
        tick(&stage, &answers);
    }
    assert_int_equal(stage.rollout.verification.good_looks, 0);
    assert_string_equal(stage.rollout.verification.trouble.text, "http://s answered 503");
    answers.is_bad = false;
    while (answers.round_count < 5) {
        tick(&stage, &answers);
        assert_int_equal(stage.rollout.phase, ROLLOUT_VERIFYING);
    }
    wait(&stage, &answers, 2.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLED_BACK);
    assert_int_equal(answers.round_count, 6);
}

static void without_an_answer_nothing_is_confirmed(void **state)
{
    (void)state;
    struct stage stage;
    struct answers answers = {.is_silent = true};
    open_asking(&stage);
    wait(&stage, &answers, 59.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_VERIFYING);
    assert_int_equal(rollout_asked_round(&stage.rollout), 1);
    wait(&stage, &answers, 2.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLBACK_FAILED);
}

static void bad_answers_fail_it_with_their_reason_and_looks_go_on(void **state)
{
    (void)state;
    struct stage stage;
    struct answers answers = {.is_bad = true};
    open_asking(&stage);
    unsigned alerts = stage.alert_count;
    wait(&stage, &answers, 61.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLBACK_FAILED);
    assert_int_equal(stage.written.status, RECORD_FAILED);
    assert_int_equal(stage.alert_count, alerts + 1);
    wait(&stage, &answers, 3600.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLBACK_FAILED);
    assert_int_equal(stage.alert_count, alerts + 1);
    assert_true(answers.round_count > 3000);
    answers.is_bad = false;
    wait(&stage, &answers, 5.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLED_BACK);
    assert_int_equal(stage.written.status, RECORD_SUCCESS);
    assert_true(stage.written.phase_s[RECORD_VERIFY] > 3600.0);
}

static void reason_is_in_what_is_told(void **state)
{
    (void)state;
    struct stage stage;
    struct answers answers = {.is_bad = true};
    bool is_told = false;
    open_asking(&stage);
    while (stage.rollout.phase == ROLLOUT_VERIFYING) {
        tick(&stage, &answers);
        for (size_t i = 0; i < stage.actions.count; i++) {
            const struct rollout_action *action = &stage.actions.list[i];
            bool is_it = action->event != NULL && strcmp(action->event, "rollback.failed") == 0;
            is_told |= is_it && strstr(action->text.text, "(http://s answered 503)") != NULL;
        }
    }
    assert_true(is_told);
}

static void good_answers_do_not_hide_that_others_get_bad_ones(void **state)
{
    (void)state;
    struct stage stage;
    struct answers answers = {0};
    open_asking(&stage);
    for (int i = 0; i < 100; i++) {
        stage.input.tally.stable_count += 100;
        stage.input.tally.stable_failed += 6; /* the limit is 5 % */
        tick(&stage, &answers);
    }
    assert_int_equal(stage.rollout.phase, ROLLOUT_VERIFYING);
    assert_int_equal(stage.rollout.verification.good_looks, 0);
    assert_non_null(strstr(stage.rollout.verification.trouble.text, "requests it failed"));
    for (int i = 0; i < 50; i++) {
        stage.input.tally.stable_count += 100;
        stage.input.tally.stable_failed += 4;
        tick(&stage, &answers);
    }
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLED_BACK);
}

static void answer_to_an_earlier_rollback_confirms_no_other(void **state)
{
    (void)state;
    struct stage stage;
    struct answers answers = {0};
    open_asking(&stage);
    wait(&stage, &answers, 5.0);
    uint64_t last = stage.input.checked.round;
    struct rollout_command release = {.kind = ROLLOUT_RELEASE, .reason = "mended"};
    assert_int_equal(stage_command(&stage, release), OK);
    struct rollout_command raise = {.kind = ROLLOUT_SET_WEIGHT, .weight_ppm = 100000};
    stage.input.finding = (struct finding){JUDGE_OK, JUDGE_REASON_NONE};
    assert_int_equal(stage_command(&stage, raise), OK);
    stage_tick(&stage);
    stage_breach(&stage, JUDGE_REASON_ABSOLUTE, 10, 10);
    stage_tick(&stage);
    stage_tick(&stage);
    assert_int_equal(stage.rollout.phase, ROLLOUT_VERIFYING);
    answers.is_silent = true;
    wait(&stage, &answers, 10.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_VERIFYING);
    assert_int_equal(rollout_asked_round(&stage.rollout), last + 1);
}

static void asking_can_be_given_up_by_a_reload(void **state)
{
    (void)state;
    struct stage stage;
    struct answers answers = {.is_silent = true};
    open_asking(&stage);
    wait(&stage, &answers, 5.0);
    struct rollout_config config = stage.rollout.config;
    config.verify_asks = false;
    rollout_configure(&stage.rollout, &config);
    wait(&stage, &answers, 4.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLED_BACK);
}

static void failed_one_is_still_looked_at_after_a_crash(void **state)
{
    (void)state;
    struct stage stage;
    struct answers answers = {.is_bad = true};
    open_asking(&stage);
    wait(&stage, &answers, 61.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLBACK_FAILED);
    struct rollout_config config = stage.rollout.config;
    struct rollout_journal journal = {
        .phase = stage.rollout.phase,
        .revision = stage.rollout.revision,
        .is_quarantined = true,
        .has_record = true,
        .record = stage.rollout.record,
    };
    rollout_recover(&stage.rollout, &config, &journal, stage.now_us, stage.input.wall_us);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLBACK_FAILED);
    stage.input.checked = (struct rollout_checked){0};
    stage.published_ppm = 0;
    wait(&stage, &answers, 61.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLBACK_FAILED);
    answers.is_bad = false;
    wait(&stage, &answers, 5.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_ROLLED_BACK);
    assert_int_equal(stage.written.status, RECORD_SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_answers_in_a_row_confirm_it),
        cmocka_unit_test(row_begins_again_after_a_bad_answer),
        cmocka_unit_test(without_an_answer_nothing_is_confirmed),
        cmocka_unit_test(bad_answers_fail_it_with_their_reason_and_looks_go_on),
        cmocka_unit_test(reason_is_in_what_is_told),
        cmocka_unit_test(good_answers_do_not_hide_that_others_get_bad_ones),
        cmocka_unit_test(answer_to_an_earlier_rollback_confirms_no_other),
        cmocka_unit_test(asking_can_be_given_up_by_a_reload),
        cmocka_unit_test(failed_one_is_still_looked_at_after_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

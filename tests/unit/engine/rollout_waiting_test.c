/* A weight that was decided upon and waits for its write: it is not in force yet, so nothing may go
 * on as if it were. */
#include "tests/unit/engine/rollout_stage.h"

enum { TICKS_PER_MINUTE = 600 };

/* Runs at 20 %, on the first of two steps. */
static void open_running(struct stage *stage)
{
    stage_open(stage, ROLLOUT_ROLLBACK);
    static const struct ladder ladder = {.weights_ppm = {STAGE_START_PPM, 1000000}, .count = 2};
    struct rollout_command start = {.kind = ROLLOUT_START, .ladder = &ladder};
    stage->input.is_canary_ready = true;
    assert_int_equal(stage_command(stage, start), OK);
    assert_int_equal(stage->rollout.ascent.step, 1);
}

/* The actions are not carried out: the disk stands still. */
static enum err ask(struct stage *stage, struct rollout_command command)
{
    struct note note = {0};
    command.actor = "ops";
    return rollout_command(&stage->rollout, &command, &stage->input, stage->now_us, &stage->actions,
                           &note);
}

static void pass(struct stage *stage, unsigned minutes)
{
    for (unsigned i = 0; i < minutes * TICKS_PER_MINUTE; i++) {
        stage->now_us += STAGE_TICK_US;
        rollout_step(&stage->rollout, &stage->input, stage->now_us, &stage->actions);
        assert_int_equal(stage->actions.count, 0);
    }
}

static void write_arrives(struct stage *stage)
{
    stage->published_ppm = stage->rollout.weight_ppm;
    rollout_note_published(&stage->rollout, stage->rollout.weight_revision);
}

/* It is of all traffic, which the canary does not have: its time begins when it does. */
static void bake_begins_when_the_weight_is_written(void **state)
{
    (void)state;
    struct stage stage;
    open_running(&stage);
    assert_int_equal(
        ask(&stage, (struct rollout_command){.kind = ROLLOUT_PROMOTE, .is_full = true}), OK);
    assert_int_equal(stage.rollout.phase, ROLLOUT_BAKING);
    pass(&stage, 20);
    write_arrives(&stage);
    stage_wait(&stage, 590.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_BAKING);
    stage_wait(&stage, 20.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_SUCCEEDED);
}

static void bake_is_not_promoted_before_its_weight_is_written(void **state)
{
    (void)state;
    struct stage stage;
    open_running(&stage);
    struct rollout_command promote = {.kind = ROLLOUT_PROMOTE};
    assert_int_equal(ask(&stage, promote), OK);
    assert_int_equal(stage.rollout.weight_ppm, 1000000);
    assert_int_equal(ask(&stage, promote), ERR_STATE); /* to the bake */
    promote.is_full = true;
    assert_int_equal(ask(&stage, promote), ERR_STATE);
    assert_int_equal(stage.actions.count, 0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PROGRESSING);
    write_arrives(&stage);
    assert_int_equal(stage_command(&stage, promote), OK);
    assert_int_equal(stage.rollout.phase, ROLLOUT_BAKING);
    assert_int_equal(stage_command(&stage, promote), OK);
    assert_int_equal(stage.rollout.phase, ROLLOUT_SUCCEEDED);
}

/* What speaks for the canary was seen at the weight before. */
static void step_is_not_gone_on_from_before_it_is_written(void **state)
{
    (void)state;
    struct stage stage;
    open_running(&stage);
    stage.input.is_promotable = true;
    assert_int_equal(ask(&stage, (struct rollout_command){.kind = ROLLOUT_PROMOTE}), OK);
    pass(&stage, 5);
    write_arrives(&stage);
    stage_wait(&stage, 50.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_PROGRESSING);
    stage_wait(&stage, 15.0);
    assert_int_equal(stage.rollout.phase, ROLLOUT_BAKING);
}

/* The same weight once more shares the wait of the first. */
static void weight_that_waits_is_awaited_by_who_asks_for_it_too(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage, ROLLOUT_ROLLBACK);
    struct rollout_command set = {.kind = ROLLOUT_SET_WEIGHT, .weight_ppm = 300000};
    assert_int_equal(ask(&stage, set), OK);
    assert_int_equal(ask(&stage, set), OK);
    assert_int_equal(stage.actions.count, 1);
    assert_int_equal(stage.actions.list[0].kind, ROLLOUT_AWAIT);
    assert_int_equal(stage.actions.list[0].revision, stage.rollout.weight_revision);
    write_arrives(&stage);
    assert_int_equal(ask(&stage, set), OK);
    assert_int_equal(stage.actions.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bake_begins_when_the_weight_is_written),
        cmocka_unit_test(bake_is_not_promoted_before_its_weight_is_written),
        cmocka_unit_test(step_is_not_gone_on_from_before_it_is_written),
        cmocka_unit_test(weight_that_waits_is_awaited_by_who_asks_for_it_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

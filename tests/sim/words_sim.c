/* Every verdict in one sentence with its numbers, and the same one in status, record, log, audit
 * trail and alert: for each way in which a canary may be bad. */
#include "tests/sim/world.h"

/* One way to be found bad, or to be said to be. */
struct scene {
    const char *name;
    void (*spoil)(struct world *world);
    enum rollout_on_breach on_breach;
    enum judge_verdict verdict;
    enum judge_reason reason;
    const char *event;    /* of the TELL that carries the sentence */
    const char *words[3]; /* that must stand in it */
};

static void failing(struct world *world)
{
    world->traffic.canary.fail_ratio = 0.3;
}

static void a_little_worse(struct world *world)
{
    world->engine.config.judge.relative = JUDGE_RELATIVE_ROLLBACK;
    world->engine.judge.config.relative = JUDGE_RELATIVE_ROLLBACK;
    world->traffic.canary.fail_ratio = 0.04;
}

static void unreachable(struct world *world)
{
    world->traffic.canary.connect_fail_ratio = 1.0;
}

static void slow(struct world *world)
{
    world->traffic.canary.latency_us = 400000;
}

static void unhealthy(struct world *world)
{
    world->input.endpoints.canary_failing = 2;
    world->input.endpoints.canary_live = 0;
}

static void held_back(struct world *world)
{
    world->traffic.canary.fail_ratio = 1.0;
    world->traffic.rate = 2.0; /* too little for the judge in five seconds */
    world->input.endpoints.is_contained = true;
}

static void both_fail(struct world *world)
{
    world->traffic.canary.fail_ratio = 0.5;
    world->traffic.stable.fail_ratio = 0.5;
}

static void failing_without_stable(struct world *world)
{
    world->traffic.canary.fail_ratio = 0.5;
    world->input.endpoints.stable_live = 0;
}

static const struct scene scenes[] = {
    {"absolute",
     failing,
     ROLLOUT_ROLLBACK,
     JUDGE_BREACH,
     JUDGE_REASON_ABSOLUTE,
     "rollback.start",
     {"requests failed (", "limit 5 %", "evidence "}},
    {"relative",
     a_little_worse,
     ROLLOUT_ROLLBACK,
     JUDGE_BREACH,
     JUDGE_REASON_RELATIVE,
     "rollback.start",
     {"requests failed (", "stable ", "evidence "}},
    {"connect",
     unreachable,
     ROLLOUT_ROLLBACK,
     JUDGE_BREACH,
     JUDGE_REASON_CONNECT,
     "rollback.start",
     {"requests failed to connect (100 %)", "limit 0.5 %", "evidence "}},
    {"latency",
     slow,
     ROLLOUT_ROLLBACK,
     JUDGE_BREACH,
     JUDGE_REASON_LATENCY,
     "rollback.start",
     {"slower than stable", " ms", "evidence "}},
    {"health",
     unhealthy,
     ROLLOUT_ROLLBACK,
     JUDGE_BREACH,
     JUDGE_REASON_HEALTH,
     "rollback.start",
     {"2 of 2 endpoints", "2 of stable live", ""}},
    {"containment",
     held_back,
     ROLLOUT_ROLLBACK,
     JUDGE_BREACH,
     JUDGE_REASON_ABSOLUTE,
     "rollback.start",
     {"at a trickle for 5.0 s", "requests failed (", "limit 5 %"}},
    {"freeze",
     failing,
     ROLLOUT_FREEZE,
     JUDGE_BREACH,
     JUDGE_REASON_ABSOLUTE,
     "breach.frozen",
     {"requests failed (", "limit 5 %", "evidence "}},
    {"alert",
     failing,
     ROLLOUT_ALERT,
     JUDGE_BREACH,
     JUDGE_REASON_ABSOLUTE,
     "breach",
     {"requests failed (", "limit 5 %", "evidence "}},
    {"shared outage",
     both_fail,
     ROLLOUT_ROLLBACK,
     JUDGE_SUSPICIOUS,
     JUDGE_REASON_SHARED_OUTAGE,
     "shared_outage",
     {"both versions fail", "canary ", "stable "}},
    {"hold",
     failing_without_stable,
     ROLLOUT_ROLLBACK,
     JUDGE_SUSPICIOUS,
     JUDGE_REASON_SHARED_OUTAGE,
     "rollback.hold",
     {"no live endpoint", "requests failed (", "evidence "}},
};

static const struct rollout_action *find_action(const struct world *world,
                                                enum rollout_action_kind kind, const char *event)
{
    for (size_t i = 0; i < world->actions.count; i++) {
        const struct rollout_action *action = &world->actions.list[i];
        if (action->kind == kind && (event == NULL || strcmp(action->event, event) == 0)) {
            return action;
        }
    }
    return NULL;
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text);
    size_t end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* Runs until the event is told. */
static void until_told(struct world *world, const struct scene *scene)
{
    for (int i = 0; i < 600; i++) {
        world_tick(world);
        if (find_action(world, ROLLOUT_TELL, scene->event) != NULL) {
            return;
        }
    }
    fail_msg("%s: %s was never told", scene->name, scene->event);
}

static void check_words(const struct scene *scene, const char *sentence)
{
    assert_true(strlen(sentence) < NOTE_TEXT_MAX - 64); /* room for what is said around it */
    for (size_t i = 0; i < COUNT_OF(scene->words); i++) {
        if (strstr(sentence, scene->words[i]) == NULL) {
            fail_msg("%s: no \"%s\" in: %s", scene->name, scene->words[i], sentence);
        }
    }
}

static void play(const struct scene *scene)
{
    struct world world;
    world_open(&world, 3, 200.0, 0.2);
    world.engine.config.rollout.on_breach = scene->on_breach;
    world.engine.rollout.config.on_breach = scene->on_breach;
    world.traffic.canary.latency_us = 40000;
    world.traffic.stable.latency_us = 40000;
    world_run(&world, 90.0);
    scene->spoil(&world);
    until_told(&world, scene);
    struct note status = world.engine.sentence;
    assert_int_equal(world.engine.finding.verdict, scene->verdict);
    assert_int_equal(world.engine.finding.reason, scene->reason);
    check_words(scene, status.text);
    /* log and audit trail */
    const struct rollout_action *tell = find_action(&world, ROLLOUT_TELL, scene->event);
    if (!ends_with(tell->text.text, status.text)) {
        fail_msg("%s: told \"%s\", shown \"%s\"", scene->name, tell->text.text, status.text);
    }
    const struct rollout_action *alert = find_action(&world, ROLLOUT_RAISE_ALERT, NULL);
    assert_non_null(alert);
    assert_string_equal(alert->text.text, status.text);
    if (find_action(&world, ROLLOUT_WRITE_RECORD, NULL) != NULL) {
        assert_string_equal(world.record.reason_text.text, status.text);
        const struct rollout_action *quarantine = find_action(&world, ROLLOUT_QUARANTINE, NULL);
        assert_string_equal(quarantine->text.text, status.text);
    }
    if (scene->verdict == JUDGE_BREACH) {
        world_run(&world, 30.0);
        world.traffic.canary.fail_ratio = 0.0;
        world_run(&world, 30.0);
        assert_string_equal(world.engine.sentence.text, status.text);
        assert_int_equal(world.engine.finding.reason, scene->reason);
    }
}

static void every_way_to_be_bad_is_said_the_same_everywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(scenes); i++) {
        play(&scenes[i]);
    }
}

static void a_new_start_has_new_words(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 3, 200.0, 0.2);
    world_run(&world, 30.0);
    failing(&world);
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 60.0) > 0.0);
    struct note before = world.engine.sentence;
    world.traffic.canary.fail_ratio = 0.0;
    struct rollout_command release = {.kind = ROLLOUT_RELEASE, .reason = "mended"};
    assert_int_equal(world_command(&world, release), OK);
    struct rollout_command raise = {.kind = ROLLOUT_SET_WEIGHT, .weight_ppm = 200000};
    assert_int_equal(world_command(&world, raise), OK);
    world_run(&world, 5.0);
    assert_int_equal(world.engine.finding.verdict == JUDGE_BREACH, false);
    assert_string_not_equal(world.engine.sentence.text, before.text);
    failing(&world);
    assert_true(world_until(&world, ROLLOUT_ROLLED_BACK, 60.0) > 0.0);
    assert_string_equal(world.record.reason_text.text, world.engine.sentence.text);
}

static void milder_verdicts_have_their_numbers_too(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, 3, 20.0, 0.2);
    world_run(&world, 2.0);
    assert_int_equal(world.engine.finding.verdict, JUDGE_INSUFFICIENT_DATA);
    assert_non_null(strstr(world.engine.sentence.text, "of the 59 requests needed"));
    world_run(&world, 30.0);
    assert_int_equal(world.engine.finding.verdict, JUDGE_OK);
    assert_non_null(strstr(world.engine.sentence.text, "limit 5 %, stable "));
    world_run(&world, 600.0);
    assert_int_equal(world.engine.finding.verdict, JUDGE_HEALTHY);
    assert_non_null(strstr(world.engine.sentence.text, " needed"));
    world.input.endpoints.canary_live = 1;
    world_tick(&world);
    assert_int_equal(world.engine.finding.verdict, JUDGE_SUSPICIOUS);
    assert_non_null(strstr(world.engine.sentence.text, "1 of 2 endpoints"));
    world.input.endpoints.canary_live = 2;
    world.input.endpoints.is_contained = true;
    world_tick(&world);
    assert_non_null(strstr(world.engine.sentence.text, "at a trickle for 0.0 s"));
    assert_non_null(strstr(world.engine.sentence.text, "requests failed ("));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_to_be_bad_is_said_the_same_everywhere),
        cmocka_unit_test(a_new_start_has_new_words),
        cmocka_unit_test(milder_verdicts_have_their_numbers_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* canary/engine/rollout_ascent.c — see rollout_ascent.h.
 *
 * Silence promotes nothing: a step ends by evidence or in a pause. */
#include "canary/engine/rollout_ascent.h"

#include <stdio.h>

#include "canary/engine/judge_sentence.h"
#include "canary/engine/rollout_act.h"
#include "proxy/base/check.h"

/* A step, the wait for health checks or the bake begins now. */
static void begin_wait(struct rollout_ascent *ascent, const struct rollout_input *input,
                       uint64_t now_us)
{
    ascent->waiting_us = now_us;
    ascent->waited_us = 0;
    ascent->waiting_wall_us = input->wall_us;
}

static uint64_t waited_us(const struct rollout_ascent *ascent, uint64_t now_us)
{
    return ascent->waited_us + (now_us - ascent->waiting_us);
}

static void say_step(const struct rollout *rollout, char text[ROLLOUT_STEP_TEXT_SIZE])
{
    char weight[JUDGE_COUNT_TEXT_SIZE];
    judge_percent_text((double)rollout->weight_ppm / LADDER_WHOLE, weight);
    (void)snprintf(text, ROLLOUT_STEP_TEXT_SIZE, "step %u of %u, weight %s", rollout->ascent.step,
                   rollout->ascent.ladder.count, weight);
}

/* Towards risk: on disk before any worker has it. */
static void climb(struct rollout *rollout, uint32_t step, const char *actor,
                  const struct rollout_input *input, uint64_t now_us,
                  struct rollout_actions *actions)
{
    struct rollout_ascent *ascent = &rollout->ascent;
    uint32_t weight_ppm = ladder_weight_ppm(&ascent->ladder, step);
    CHECK(weight_ppm > rollout->weight_ppm);
    rollout_raise(rollout, weight_ppm);
    ascent->step = step;
    ascent->is_mirroring = false;
    ascent->gate = ROLLOUT_GATE_CLOSED;
    ascent->stepped_us = now_us;
    begin_wait(ascent, input, now_us);
    rollout_write(rollout, true, actions);
    rollout_publish(rollout, actions);
    char text[ROLLOUT_STEP_TEXT_SIZE];
    say_step(rollout, text);
    rollout_tell(actions, ROLLOUT_INFO, "rollout.step", actor, "%s", text);
}

void rollout_ascent_begin(struct rollout *rollout, const struct rollout_command *command,
                          const struct rollout_input *input, uint64_t now_us,
                          struct rollout_actions *actions)
{
    const struct ladder *ladder =
        command->ladder != NULL ? command->ladder : &rollout->config.ladder;
    const char *reason = command->reason;
    CHECK(ladder_is_sound(ladder));
    rollout->ascent = (struct rollout_ascent){
        .is_running = true,
        .ladder = *ladder,
        .step = ladder_step_at(ladder, rollout->weight_ppm),
        .stepped_us = now_us,
    };
    begin_wait(&rollout->ascent, input, now_us);
    rollout_enter(rollout, ROLLOUT_PROGRESSING);
    rollout_write(rollout, false, actions);
    rollout_notice(actions, "rollout.start", command->actor, "rollout of %u steps begins%s%s",
                   ladder->count, reason != NULL ? ": " : "", reason != NULL ? reason : "");
}

static void pause_by_itself(struct rollout *rollout, const char *event, const char *text,
                            struct rollout_actions *actions)
{
    rollout_enter(rollout, ROLLOUT_PAUSED);
    rollout_write(rollout, false, actions);
    rollout_tell(actions, ROLLOUT_WARN, event, ROLLOUT_ACTOR_JUDGE, "%s", text);
    rollout_alert(actions, event, "%s", text);
}

static void reach_gate(struct rollout *rollout, struct rollout_actions *actions)
{
    rollout->ascent.gate = ROLLOUT_GATE_REACHED;
    rollout_enter(rollout, ROLLOUT_PAUSED);
    rollout_write(rollout, false, actions);
    char text[ROLLOUT_STEP_TEXT_SIZE];
    say_step(rollout, text);
    rollout_tell(actions, ROLLOUT_INFO, "rollout.gate", ROLLOUT_ACTOR_JUDGE,
                 "%s, is proven healthy; here the steps ask for a pause: resume goes on", text);
}

void rollout_ascent_bake(struct rollout *rollout, const char *actor,
                         const struct rollout_input *input, uint64_t now_us,
                         struct rollout_actions *actions)
{
    CHECK(rollout->ascent.step == rollout->ascent.ladder.count);
    rollout->ascent.stepped_us = now_us;
    begin_wait(&rollout->ascent, input, now_us);
    rollout_enter(rollout, ROLLOUT_BAKING);
    rollout_write(rollout, false, actions);
    rollout_tell(actions, ROLLOUT_INFO, "rollout.bake", actor,
                 "the canary has all traffic and is watched for %.0f s more, the previous version "
                 "stays ready",
                 (double)rollout->config.bake_us / 1e6);
}

void rollout_ascent_succeed(struct rollout *rollout, const char *actor,
                            struct rollout_actions *actions)
{
    rollout->ascent.is_running = false;
    rollout_enter(rollout, ROLLOUT_SUCCEEDED);
    rollout_write(rollout, false, actions);
    rollout_notice(actions, "rollout.success", actor,
                   "the rollout succeeded: the canary has all traffic");
}

/* The step is proven. */
static void go_on(struct rollout *rollout, const struct rollout_input *input, uint64_t now_us,
                  struct rollout_actions *actions)
{
    struct rollout_ascent *ascent = &rollout->ascent;
    if (ascent->step == ascent->ladder.count) {
        rollout_ascent_bake(rollout, ROLLOUT_ACTOR_JUDGE, input, now_us, actions);
    } else if (ascent->ladder.has_gate[ascent->step - 1] && ascent->gate != ROLLOUT_GATE_OPEN) {
        reach_gate(rollout, actions);
    } else {
        climb(rollout, ascent->step + 1, ROLLOUT_ACTOR_JUDGE, input, now_us, actions);
    }
}

/* The canary is ready: from now on it gets copies. What they tell begins here. */
static void begin_mirroring(struct rollout *rollout, const struct rollout_input *input,
                            uint64_t now_us, struct rollout_actions *actions)
{
    struct rollout_ascent *ascent = &rollout->ascent;
    ascent->is_mirroring = true;
    ascent->stepped_us = now_us;
    begin_wait(ascent, input, now_us);
    rollout_publish(rollout, actions);
    rollout_write(rollout, false, actions);
    char share[JUDGE_COUNT_TEXT_SIZE];
    judge_percent_text((double)rollout->config.mirror_ppm / LADDER_WHOLE, share);
    rollout_tell(actions, ROLLOUT_INFO, "rollout.mirror", ROLLOUT_ACTOR_JUDGE,
                 "the canary is ready; before it gets weight %s of the safe requests are copied to "
                 "it, for %.0f s at least",
                 share, (double)rollout->config.min_time_us / 1e6);
}

/* The first weight asks of the copies what silence does not give: so many answers that the judge
 * would speak at all, and nothing against the canary. They need not prove it healthy: the steps
 * do. */
static void mirror(struct rollout *rollout, const struct rollout_input *input, uint64_t now_us,
                   struct rollout_actions *actions)
{
    struct rollout_ascent *ascent = &rollout->ascent;
    bool is_off = rollout->config.mirror_ppm == 0; /* since a reload */
    bool is_old_enough = now_us >= ascent->stepped_us + rollout->config.min_time_us;
    if (input->is_canary_ready && (is_off || (is_old_enough && input->is_mirror_good))) {
        climb(rollout, 1, ROLLOUT_ACTOR_JUDGE, input, now_us, actions);
    } else if (waited_us(ascent, now_us) >= rollout->config.max_time_us) {
        struct note note;
        note_set(&note,
                 "paused: the requests copied to the canary did not speak for it within max_time, "
                 "it got no weight; resume waits on: %s",
                 input->sentence.text);
        pause_by_itself(rollout, "rollout.max_time", note.text, actions);
    }
}

static void wait_for_health(struct rollout *rollout, const struct rollout_input *input,
                            uint64_t now_us, struct rollout_actions *actions)
{
    if (rollout->ascent.is_mirroring) {
        mirror(rollout, input, now_us, actions);
    } else if (input->is_canary_ready && rollout->config.mirror_ppm > 0) {
        begin_mirroring(rollout, input, now_us, actions);
    } else if (input->is_canary_ready) {
        climb(rollout, 1, ROLLOUT_ACTOR_JUDGE, input, now_us, actions);
    } else if (waited_us(&rollout->ascent, now_us) >= rollout->config.health_us_max) {
        struct note note;
        note_set(&note,
                 "paused: the canary did not pass its health checks within %.0f s and got no "
                 "weight; resume waits for them again",
                 (double)rollout->config.health_us_max / 1e6);
        pause_by_itself(rollout, "rollout.unready", note.text, actions);
    }
}

static void progress(struct rollout *rollout, const struct rollout_input *input, uint64_t now_us,
                     struct rollout_actions *actions)
{
    struct rollout_ascent *ascent = &rollout->ascent;
    if (ascent->step == 0) {
        wait_for_health(rollout, input, now_us, actions);
        return;
    }
    bool is_old_enough = now_us >= ascent->stepped_us + rollout->config.min_time_us;
    if (is_old_enough && input->is_promotable) {
        go_on(rollout, input, now_us, actions);
    } else if (waited_us(ascent, now_us) >= rollout->config.max_time_us) {
        struct note note;
        char text[ROLLOUT_STEP_TEXT_SIZE];
        say_step(rollout, text);
        note_set(&note, "paused: %s, was not proven healthy within max_time; resume waits on: %s",
                 text, input->sentence.text);
        pause_by_itself(rollout, "rollout.max_time", note.text, actions);
    }
}

static void bake(struct rollout *rollout, const struct rollout_input *input, uint64_t now_us,
                 struct rollout_actions *actions)
{
    bool is_quiet =
        input->finding.verdict != JUDGE_SUSPICIOUS && input->finding.verdict != JUDGE_BREACH;
    if (now_us >= rollout->ascent.stepped_us + rollout->config.bake_us && is_quiet) {
        rollout_ascent_succeed(rollout, ROLLOUT_ACTOR_JUDGE, actions);
    } else if (waited_us(&rollout->ascent, now_us) >=
               rollout->config.bake_us + rollout->config.max_time_us) {
        struct note note;
        note_set(&note, "paused: the bake did not end within max_time: %s", input->sentence.text);
        pause_by_itself(rollout, "rollout.max_time", note.text, actions);
    }
}

void rollout_ascent_tell_anew(struct rollout *rollout, struct rollout_actions *actions)
{
    enum rollout_untold untold = rollout->ascent.untold;
    rollout->ascent.untold = ROLLOUT_UNTOLD_NOTHING;
    if (untold == ROLLOUT_UNTOLD_NOTHING || !rollout->ascent.is_running) {
        return;
    }
    char text[ROLLOUT_STEP_TEXT_SIZE];
    say_step(rollout, text);
    rollout_tell(actions, ROLLOUT_INFO, "rollout.recover", ROLLOUT_ACTOR_JUDGE, "%s: %s", text,
                 untold == ROLLOUT_UNTOLD_RESTART
                     ? "goes on after a restart; the evidence was counted by the process before "
                       "and starts anew, and min_time or bake with it"
                     : "the judge's numbers have changed, evidence starts anew");
}

void rollout_ascent_tick(struct rollout *rollout, const struct rollout_input *input,
                         uint64_t now_us, struct rollout_actions *actions)
{
    CHECK(rollout->ascent.is_running);
    if (rollout->raise_revision != 0) {
        rollout->ascent.stepped_us = now_us;
        begin_wait(&rollout->ascent, input, now_us);
        return;
    }
    if (rollout->phase == ROLLOUT_BAKING) {
        bake(rollout, input, now_us, actions);
    } else {
        CHECK(rollout->phase == ROLLOUT_PROGRESSING);
        progress(rollout, input, now_us, actions);
    }
}

void rollout_ascent_resume(struct rollout *rollout, bool is_anew, const struct rollout_input *input,
                           uint64_t now_us)
{
    struct rollout_ascent *ascent = &rollout->ascent;
    CHECK(ascent->is_running);
    if (ascent->gate == ROLLOUT_GATE_REACHED) {
        ascent->gate = ROLLOUT_GATE_OPEN;
    }
    if (is_anew) {
        ascent->stepped_us = now_us;
    }
    begin_wait(ascent, input, now_us);
    rollout_enter(rollout, ROLLOUT_PROGRESSING);
}

void rollout_ascent_promote(struct rollout *rollout, uint32_t step, const char *actor,
                            const struct rollout_input *input, uint64_t now_us,
                            struct rollout_actions *actions)
{
    struct rollout_ascent *ascent = &rollout->ascent;
    if (ascent->step == ascent->ladder.count) {
        rollout_ascent_bake(rollout, actor, input, now_us, actions);
        return;
    }
    if (rollout->phase != ROLLOUT_PROGRESSING) {
        rollout_enter(rollout, ROLLOUT_PROGRESSING);
    }
    climb(rollout, step, actor, input, now_us, actions);
}

void rollout_ascent_follow(struct rollout *rollout, const struct rollout_input *input,
                           uint64_t now_us)
{
    struct rollout_ascent *ascent = &rollout->ascent;
    if (!ascent->is_running) {
        return;
    }
    ascent->step = ladder_step_at(&ascent->ladder, rollout->weight_ppm);
    ascent->is_mirroring = false;
    ascent->gate = ROLLOUT_GATE_CLOSED;
    ascent->stepped_us = now_us;
    begin_wait(ascent, input, now_us);
}

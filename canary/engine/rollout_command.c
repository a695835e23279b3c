/* canary/engine/rollout_command.c — what an operator, or the configuration, asks of a rollout. */
#include <string.h>

#include "canary/engine/judge_sentence.h"
#include "canary/engine/rollout.h"
#include "canary/engine/rollout_act.h"
#include "canary/engine/rollout_ascent.h"
#include "canary/engine/rollout_shift.h"
#include "proxy/base/check.h"

/* One command with everything it is judged by. */
struct ask {
    struct rollout *rollout;
    const struct rollout_command *command;
    const struct rollout_input *input;
    uint64_t now_us;
    struct rollout_actions *actions;
    struct note *note;
};

static enum err refuse_phase(const struct ask *ask, const char *what)
{
    note_set(ask->note, "%s is not possible in phase %s", what,
             rollout_phase_name(ask->rollout->phase));
    return ERR_STATE;
}

static bool is_rolling_back(const struct rollout *rollout)
{
    return rollout->phase == ROLLOUT_SHIFTING_BACK || rollout->phase == ROLLOUT_VERIFYING;
}

/* The judge's latch ends, and with it what was told of the breach. */
static void start_anew(const struct ask *ask)
{
    ask->rollout->is_breach_alerted = false;
    ask->rollout->has_breach = false;
    ask->rollout->is_outage_held = false;
    ask->actions->is_judge_started = true;
}

/* Towards risk: on disk before any worker has it. Towards safety: the other way round. */
static void change_weight(const struct ask *ask, uint32_t to_ppm)
{
    if (to_ppm > rollout_held_ppm(ask->rollout)) {
        rollout_raise(ask->rollout, to_ppm);
        rollout_write(ask->rollout, true, ask->actions);
        rollout_publish(ask->rollout, ask->actions);
        return;
    }
    rollout_set_weight(ask->rollout, to_ppm);
    rollout_publish(ask->rollout, ask->actions);
    rollout_write(ask->rollout, false, ask->actions);
}

static enum err check_weight(const struct ask *ask)
{
    uint32_t weight_ppm = ask->command->weight_ppm;
    if (weight_ppm > PLAN_WHOLE) {
        note_set(ask->note, "a weight is at most 100 %%");
        return ERR_RANGE;
    }
    if (is_rolling_back(ask->rollout)) {
        return refuse_phase(ask, "setting the weight");
    }
    if (weight_ppm > 0 && ask->rollout->is_quarantined) {
        note_set(ask->note, "the deployment was rolled back and is quarantined; release it first");
        return ERR_DENIED;
    }
    return OK;
}

/* A weight by somebody's wish ends what the judge was about to do with it. */
static void yield_to_wish(const struct ask *ask)
{
    struct rollout *rollout = ask->rollout;
    switch (rollout->phase) {
    case ROLLOUT_IDLE:
    case ROLLOUT_PAUSED:
        return;
    case ROLLOUT_PROGRESSING:
    case ROLLOUT_BAKING:
        rollout_enter(rollout, ROLLOUT_PAUSED);
        rollout_tell(ask->actions, ROLLOUT_WARN, "rollout.pause", ask->command->actor,
                     "the rollout pauses: %s",
                     ask->command->reason != NULL ? ask->command->reason : "the weight was set");
        return;
    case ROLLOUT_FROZEN:
        if (rollout->weight_ppm > 0) {
            return;
        }
        rollout_enter(rollout, rollout->ascent.is_running ? ROLLOUT_PAUSED : ROLLOUT_IDLE);
        return;
    case ROLLOUT_SUCCEEDED:
    case ROLLOUT_ROLLED_BACK:
    case ROLLOUT_ROLLBACK_FAILED:
        rollout_enter(rollout, ROLLOUT_IDLE);
        return;
    case ROLLOUT_SHIFTING_BACK:
    case ROLLOUT_VERIFYING:
    case ROLLOUT_PHASE_COUNT:
        break;
    }
    CHECK(false);
}

/* The raise that left this rest never reached a worker. */
static void return_to_rest(const struct ask *ask)
{
    struct rollout *rollout = ask->rollout;
    enum rollout_phase phase = ask->command->phase;
    bool was_resting =
        phase == ROLLOUT_ROLLED_BACK || phase == ROLLOUT_ROLLBACK_FAILED || phase == ROLLOUT_FROZEN;
    if (ask->command->is_undo && was_resting && rollout->phase == ROLLOUT_IDLE) {
        rollout_return(rollout, phase);
    }
}

static enum err set_weight(const struct ask *ask)
{
    struct rollout *rollout = ask->rollout;
    enum err err = check_weight(ask);
    if (err != OK) {
        return err;
    }
    uint32_t from_ppm = rollout->weight_ppm;
    uint32_t to_ppm = ask->command->weight_ppm;
    if (to_ppm == from_ppm) {
        if (rollout->raise_revision != 0) {
            rollout_await(rollout, ask->actions);
        }
        return OK;
    }
    if (from_ppm == 0) {
        start_anew(ask);
    }
    yield_to_wish(ask);
    return_to_rest(ask);
    change_weight(ask, to_ppm);
    rollout_ascent_follow(rollout, ask->input, ask->now_us);
    char from[JUDGE_COUNT_TEXT_SIZE];
    char to[JUDGE_COUNT_TEXT_SIZE];
    judge_percent_text((double)from_ppm / PLAN_WHOLE, from);
    judge_percent_text((double)to_ppm / PLAN_WHOLE, to);
    rollout_tell(ask->actions, ROLLOUT_INFO, "weight.set", ask->command->actor,
                 "weight of the canary set from %s to %s", from, to);
    return OK;
}

static struct shift_cause cause_by_hand(const struct ask *ask, bool is_quarantining)
{
    const char *reason = ask->command->reason;
    return (struct shift_cause){
        .trigger = ask->command->is_build ? RECORD_BUILD : RECORD_MANUAL,
        .reason = JUDGE_REASON_NONE,
        .is_by_hand = true,
        .is_instant = ask->command->is_instant,
        .is_quarantining = is_quarantining,
        .actor = ask->command->actor,
        .text = reason != NULL && reason[0] != '\0' ? reason : "asked for by hand",
    };
}

static enum err preview(const struct ask *ask)
{
    struct shift_cause cause = cause_by_hand(ask, false);
    struct record record = rollout_shift_preview(ask->rollout, &cause, ask->input);
    record.status = RECORD_DRY_RUN;
    record_stamp(&record, RECORD_DECIDE, 0.0);
    rollout_write_record(&record, ask->actions);
    rollout_tell(ask->actions, ROLLOUT_INFO, "rollback.dry_run", ask->command->actor,
                 "a rollback was tried out, nothing was changed");
    return OK;
}

/* What an abort began becomes a rollback: the deployment is not to come back by itself. */
static void condemn(const struct ask *ask)
{
    struct record *record = &ask->rollout->record;
    if (record->is_quarantining) {
        return;
    }
    struct shift_cause cause = cause_by_hand(ask, true);
    record->is_quarantining = true;
    note_set(&record->reason_text, "%s", cause.text);
    rollout_copy_text(record->actor, sizeof record->actor, cause.actor);
    rollout_write_record(record, ask->actions);
    rollout_quarantine(ask->rollout, cause.actor, cause.text, ask->actions);
}

static enum err roll_back(const struct ask *ask)
{
    struct rollout *rollout = ask->rollout;
    if (ask->command->is_dry_run) {
        return preview(ask);
    }
    if (rollout->phase == ROLLOUT_SHIFTING_BACK && ask->command->is_instant) {
        rollout_shift_hurry(rollout, ask->input, ask->now_us, ask->actions);
        condemn(ask);
        rollout_tell(ask->actions, ROLLOUT_INFO, "rollback.hurry", ask->command->actor,
                     "the rest of the shift back happens at once");
        return OK;
    }
    if (is_rolling_back(rollout) || rollout->phase == ROLLOUT_ROLLED_BACK) {
        return refuse_phase(ask, "a rollback");
    }
    struct shift_cause cause = cause_by_hand(ask, true);
    rollout_shift_begin(rollout, &cause, ask->input, ask->now_us, ask->actions);
    return OK;
}

static enum err abort_rollout(const struct ask *ask)
{
    struct rollout *rollout = ask->rollout;
    bool is_over = rollout->phase == ROLLOUT_SUCCEEDED || rollout->phase == ROLLOUT_ROLLED_BACK ||
                   rollout->phase == ROLLOUT_ROLLBACK_FAILED;
    if (is_over || is_rolling_back(rollout)) {
        return refuse_phase(ask, "abort");
    }
    if (rollout->weight_ppm > 0) {
        struct shift_cause cause = cause_by_hand(ask, false);
        rollout_shift_begin(rollout, &cause, ask->input, ask->now_us, ask->actions);
        return OK;
    }
    if (!rollout->ascent.is_running) {
        note_set(ask->note, "the canary has no weight: there is nothing to abort");
        return ERR_STATE;
    }
    bool was_mirroring = rollout_is_mirroring(rollout);
    rollout->ascent.is_running = false;
    rollout_enter(rollout, ROLLOUT_IDLE);
    if (was_mirroring) {
        rollout_publish(rollout, ask->actions);
    }
    rollout_write(rollout, false, ask->actions);
    rollout_tell(ask->actions, ROLLOUT_INFO, "rollout.abort", ask->command->actor,
                 "the rollout ends before the canary had any weight");
    return OK;
}

enum err rollout_check_start(const struct rollout *rollout, struct note *note)
{
    if (rollout->ascent.is_running) {
        note_set(note, "a rollout runs already, it is %s", rollout_phase_name(rollout->phase));
        return ERR_STATE;
    }
    bool may_start = rollout->phase == ROLLOUT_IDLE || rollout->phase == ROLLOUT_PAUSED ||
                     rollout->phase == ROLLOUT_SUCCEEDED || rollout->phase == ROLLOUT_ROLLED_BACK;
    if (!may_start) {
        note_set(note, "starting a rollout is not possible in phase %s",
                 rollout_phase_name(rollout->phase));
        return ERR_STATE;
    }
    return OK;
}

static enum err start_rollout(const struct ask *ask)
{
    struct rollout *rollout = ask->rollout;
    enum err err = rollout_check_start(rollout, ask->note);
    if (err != OK) {
        return err;
    }
    if (rollout->is_quarantined) {
        note_set(ask->note, "the deployment was rolled back and is quarantined; release it first");
        return ERR_DENIED;
    }
    start_anew(ask);
    rollout_ascent_begin(rollout, ask->command, ask->input, ask->now_us, ask->actions);
    return OK;
}

static enum err pause_rollout(const struct ask *ask)
{
    struct rollout *rollout = ask->rollout;
    if (rollout->phase == ROLLOUT_PAUSED) {
        return OK;
    }
    bool may_pause = rollout->phase == ROLLOUT_IDLE || rollout->phase == ROLLOUT_PROGRESSING ||
                     rollout->phase == ROLLOUT_BAKING;
    if (!may_pause) {
        return refuse_phase(ask, "pause");
    }
    rollout_enter(rollout, ROLLOUT_PAUSED);
    rollout_write(rollout, false, ask->actions);
    rollout_tell(ask->actions, ROLLOUT_INFO, "rollout.pause", ask->command->actor,
                 "paused by hand");
    return OK;
}

static enum err resume_rollout(const struct ask *ask)
{
    struct rollout *rollout = ask->rollout;
    bool was_frozen = rollout->phase == ROLLOUT_FROZEN;
    if (!was_frozen && rollout->phase != ROLLOUT_PAUSED) {
        return refuse_phase(ask, "resume");
    }
    if (was_frozen) {
        start_anew(ask);
    }
    if (rollout->ascent.is_running) {
        rollout_ascent_resume(rollout, was_frozen, ask->input, ask->now_us);
    } else {
        rollout_enter(rollout, ROLLOUT_IDLE);
    }
    if (was_frozen && rollout_is_mirroring(rollout)) {
        rollout_publish(rollout, ask->actions);
    }
    rollout_write(rollout, false, ask->actions);
    rollout_tell(ask->actions, ROLLOUT_INFO, "rollout.resume", ask->command->actor, "%s",
                 was_frozen ? "resumed by hand, judged anew" : "resumed by hand");
    return OK;
}

static enum err promote(const struct ask *ask)
{
    struct rollout *rollout = ask->rollout;
    const struct rollout_ascent *ascent = &rollout->ascent;
    const char *actor = ask->command->actor;
    if (!ascent->is_running || rollout->phase == ROLLOUT_FROZEN) {
        return refuse_phase(ask, "promote");
    }
    if (ascent->step == 0 && !ask->input->is_canary_ready) {
        note_set(ask->note, "the canary has not passed its health checks yet");
        return ERR_STATE;
    }
    uint32_t top = ascent->ladder.count;
    if (ascent->step == top && rollout->raise_revision != 0) {
        note_set(ask->note,
                 "the canary gets all traffic once that is written down; promote it again then");
        return ERR_STATE;
    }
    rollout_tell(ask->actions, ROLLOUT_WARN, "rollout.promote", actor,
                 "promoted by hand, without waiting for evidence");
    if (rollout->phase == ROLLOUT_BAKING) {
        rollout_ascent_succeed(rollout, actor, ask->actions);
        return OK;
    }
    bool is_below_top = ascent->step < top;
    uint32_t step = ask->command->is_full || !is_below_top ? top : ascent->step + 1;
    rollout_ascent_promote(rollout, step, actor, ask->input, ask->now_us, ask->actions);
    if (ask->command->is_full && is_below_top) {
        rollout_ascent_bake(rollout, actor, ask->input, ask->now_us, ask->actions);
    }
    return OK;
}

static enum err release(const struct ask *ask)
{
    struct rollout *rollout = ask->rollout;
    if (!rollout->is_quarantined) {
        note_set(ask->note, "the deployment is not quarantined");
        return ERR_NOT_FOUND;
    }
    if (is_rolling_back(rollout)) {
        return refuse_phase(ask, "a release");
    }
    rollout_unquarantine(rollout, ask->command->actor, ask->command->reason, ask->actions);
    rollout_write(rollout, false, ask->actions);
    rollout_tell(ask->actions, ROLLOUT_WARN, "quarantine.release", ask->command->actor,
                 "deployment released: %s",
                 ask->command->reason != NULL ? ask->command->reason : "");
    return OK;
}

/* Whatever was going on concerned the versions before. */
static enum err deploy(const struct ask *ask)
{
    struct rollout *rollout = ask->rollout;
    const struct rollout_command *command = ask->command;
    CHECK(command->held_ppm <= PLAN_WHOLE);
    if (command->weight_ppm > PLAN_WHOLE) {
        note_set(ask->note, "a weight is at most 100 %%");
        return ERR_RANGE;
    }
    bool is_superseding = rollout->has_record && rollout->record.status == RECORD_IN_PROGRESS;
    if (is_superseding) {
        rollout->record.status = RECORD_SUPERSEDED;
        rollout_write_record(&rollout->record, ask->actions);
    }
    struct rollout_config config = rollout->config;
    uint64_t revision = rollout->revision;
    bool is_refused = command->is_quarantined && command->weight_ppm > 0;
    rollout_init(rollout, &config, command->held_ppm, command->is_quarantined);
    rollout->revision = revision;
    start_anew(ask);
    ask->actions->is_judge_rebased = true;
    rollout_tell(ask->actions, is_refused ? ROLLOUT_WARN : ROLLOUT_INFO, "deployment.change",
                 command->actor, "another deployment takes the canary's place%s%s%s",
                 is_refused ? "; it is quarantined and gets no weight" : "",
                 command->reason != NULL ? ": " : "",
                 command->reason != NULL ? command->reason : "");
    change_weight(ask, command->is_quarantined ? 0 : command->weight_ppm);
    return OK;
}

enum err rollout_command(struct rollout *rollout, const struct rollout_command *command,
                         const struct rollout_input *input, uint64_t now_us,
                         struct rollout_actions *ret_actions, struct note *note)
{
    rollout_actions_init(ret_actions);
    ret_actions->phase_before = rollout->phase;
    struct ask ask = {rollout, command, input, now_us, ret_actions, note};
    switch (command->kind) {
    case ROLLOUT_SET_WEIGHT:
        return set_weight(&ask);
    case ROLLOUT_ROLL_BACK:
        return roll_back(&ask);
    case ROLLOUT_ABORT:
        return abort_rollout(&ask);
    case ROLLOUT_START:
        return start_rollout(&ask);
    case ROLLOUT_PROMOTE:
        return promote(&ask);
    case ROLLOUT_PAUSE:
        return pause_rollout(&ask);
    case ROLLOUT_RESUME:
        return resume_rollout(&ask);
    case ROLLOUT_RELEASE:
        return release(&ask);
    case ROLLOUT_DEPLOY:
        return deploy(&ask);
    }
    CHECK(false);
    return ERR_STATE;
}

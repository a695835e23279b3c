/* canary/engine/drill.c — see drill.h. */
#include "canary/engine/drill.h"

#include <math.h>
#include <stdio.h>

#include "canary/engine/rollout_act.h"
#include "proxy/base/check.h"

enum { SECOND_US = 1000000, DURATION_SIZE = 32 };

static struct engine_config rehearsed(const struct engine_config *config)
{
    struct engine_config own = *config;
    own.is_latency_judged = false; /* requests that were never made took no time */
    own.rollout.on_breach = ROLLOUT_ROLLBACK;
    return own;
}

void drill_init(struct drill *drill, const struct engine_config *config, const char *id,
                const char *actor, uint64_t now_us, int64_t wall_us)
{
    struct engine_config own = rehearsed(config);
    *drill = (struct drill){.began_us = now_us, .looked_us = now_us, .began_wall_us = wall_us};
    rollout_copy_text(drill->id, sizeof drill->id, id);
    rollout_copy_text(drill->actor, sizeof drill->actor, actor);
    engine_init(&drill->engine, &own, DRILL_WEIGHT_PPM, false);
}

/* ---- looking ---- */

static bool is_shifting(const struct drill *drill)
{
    enum rollout_phase phase = drill->engine.rollout.phase;
    return phase == ROLLOUT_IDLE || phase == ROLLOUT_SHIFTING_BACK;
}

/* What would have been asked since the last look, had there been anybody. From the end of the shift
 * on only real answers count: as many or as few as there are. */
static void pass(struct drill *drill, const struct drill_input *input, uint64_t now_us)
{
    double asked = (double)DRILL_RATE * (double)(now_us - drill->looked_us) / SECOND_US;
    double share = (double)drill->engine.rollout.weight_ppm / PLAN_WHOLE;
    if (is_shifting(drill)) {
        drill->canary_count += asked * share;
        drill->stable_count += asked * (1.0 - share);
    } else {
        drill->verified_count += input->stable_count - drill->real_count;
        drill->verified_failed += input->stable_failed - drill->real_failed;
    }
    drill->real_count = input->stable_count;
    drill->real_failed = input->stable_failed;
    drill->looked_us = now_us;
}

static struct engine_input engine_input_of(const struct drill *drill,
                                           const struct drill_input *input)
{
    uint64_t failed = (uint64_t)drill->canary_count;
    return (struct engine_input){
        .wall_us = input->wall_us,
        .counts = {.canary_count = failed,
                   .canary_failed = failed,
                   .stable_count = (uint64_t)drill->stable_count + drill->verified_count,
                   .stable_failed = drill->verified_failed},
        .endpoints = {.canary_endpoints = 1, .canary_live = 1, .stable_live = input->stable_live},
        .is_canary_ready = true,
        .landed_revision = input->landed_revision,
        .landed_us = input->landed_us,
        .canary_in_flight = 1, /* so that no drain is stamped: nothing was in flight */
        .checked = input->checked,
        .record_id = drill->id,
    };
}

static void fail(struct drill *drill, const char *why)
{
    drill->state = DRILL_FAILED;
    drill->is_platform_open = false;
    note_set(&drill->failure, "%s", why);
}

static const char *what_it_waits_for(const struct drill *drill, const struct drill_input *input)
{
    if (input->stable_live == 0) {
        return "the stable version has no live endpoint to go back to";
    }
    switch (drill->engine.rollout.phase) {
    case ROLLOUT_IDLE:
        return "the judge has not found a breach in time";
    case ROLLOUT_SHIFTING_BACK:
        return "the shift was not over in time";
    case ROLLOUT_VERIFYING:
        return "the stable version was not confirmed in time";
    default:
        return "the platform has not answered in time";
    }
}

static void settle(struct drill *drill, const struct drill_input *input, uint64_t now_us)
{
    const struct rollout *rollout = &drill->engine.rollout;
    if (rollout->phase == ROLLOUT_ROLLBACK_FAILED) {
        const char *trouble = rollout->verification.trouble.text;
        struct note note;
        note_set(&note, "the stable version could not be confirmed to serve well (%s)",
                 trouble[0] != '\0' ? trouble : "too few good looks in a row");
        fail(drill, note.text);
    } else if (rollout->phase == ROLLOUT_IDLE || !rollout->has_record ||
               rollout->record.status != RECORD_SUCCESS || drill->is_platform_open) {
        if (now_us - drill->began_us >= DRILL_US_MAX) {
            fail(drill, what_it_waits_for(drill, input));
        }
    } else {
        drill->state = DRILL_DONE;
    }
}

void drill_tick(struct drill *drill, const struct drill_input *input, uint64_t now_us,
                struct drill_wish *ret_wish)
{
    *ret_wish = (struct drill_wish){0};
    if (drill->state != DRILL_RUNNING) {
        return;
    }
    struct rollout_actions actions;
    pass(drill, input, now_us);
    struct engine_input looked = engine_input_of(drill, input);
    engine_tick(&drill->engine, &looked, now_us, &actions);
    for (size_t i = 0; i < actions.count; i++) {
        if (actions.list[i].kind == ROLLOUT_PUBLISH) {
            ret_wish->wants_publish = true;
            ret_wish->revision = actions.list[i].revision;
        }
    }
    if (!is_shifting(drill) && !drill->has_asked_platform) {
        drill->has_asked_platform = true;
        drill->is_platform_open = true;
        ret_wish->wants_platform = true;
    }
    settle(drill, input, now_us);
}

void drill_note_platform(struct drill *drill, enum record_platform platform, const char *why,
                         uint64_t now_us)
{
    struct record *record = &drill->engine.rollout.record;
    if (drill->state != DRILL_RUNNING || !drill->is_platform_open) {
        return;
    }
    drill->is_platform_open = false;
    record->platform = platform;
    if (platform == RECORD_PLATFORM_ACKNOWLEDGED) {
        int64_t elapsed_us = (int64_t)now_us - drill->engine.rollout.first_bad_us;
        record_stamp(record, RECORD_PLATFORM_ACK, (double)elapsed_us / SECOND_US);
    } else if (platform == RECORD_PLATFORM_GIVEN_UP) {
        struct note note;
        note_set(&note, "the platform would not go back: %s", why != NULL ? why : "it cannot");
        fail(drill, note.text);
    }
}

/* ---- the record ---- */

bool drill_is_met(const struct drill *drill, double target_s)
{
    return drill->state == DRILL_DONE && drill->engine.rollout.record.duration_s <= target_s;
}

/* "120 s", "1.5 s", "0.001 s". */
static void say_seconds(double seconds, char text[DURATION_SIZE])
{
    (void)snprintf(text, DURATION_SIZE, seconds < 0.1 ? "%.3f s" : "%.3g s", seconds);
}

static void say(const struct drill *drill, double target_s, struct record *record)
{
    char target[DURATION_SIZE];
    say_seconds(target_s, target);
    switch (drill->state) {
    case DRILL_RUNNING:
        note_set(&record->reason_text, "under way");
        return;
    case DRILL_DONE:
        note_set(&record->reason_text, "%s: %.2f s, the target is %s",
                 drill_is_met(drill, target_s) ? "in time" : "too slow", record->duration_s,
                 target);
        return;
    case DRILL_FAILED:
        note_set(&record->reason_text, "failed: %s", drill->failure.text);
        return;
    }
}

/* Failures that were made up harmed nobody: they are counted in the evidence alone. */
static struct record record_of(const struct drill *drill)
{
    struct record record = drill->engine.rollout.record;
    if (!drill->engine.rollout.has_record) {
        record_init(&record);
        rollout_copy_text(record.id, sizeof record.id, drill->id);
        record.decided_wall_us = drill->began_wall_us;
        record.first_bad_wall_us = drill->began_wall_us;
        record.weight_ppm = DRILL_WEIGHT_PPM;
    }
    rollout_copy_text(record.actor, sizeof record.actor, drill->actor);
    record.trigger = RECORD_DRILL;
    record.is_quarantining = false;
    record.bad_origin = 0;
    record.bad_client = 0;
    record.last_client_bad_s = NAN;
    return record;
}

struct record drill_record(const struct drill *drill, double target_s)
{
    struct record record = record_of(drill);
    record.status = drill->state == DRILL_RUNNING ? RECORD_IN_PROGRESS : RECORD_DRY_RUN;
    say(drill, target_s, &record);
    return record;
}

struct record drill_record_dropped(const struct drill *drill, const char *why)
{
    struct record record = record_of(drill);
    record.status = RECORD_DRY_RUN;
    record.duration_s = NAN;
    for (size_t i = 0; i < RECORD_PHASE_COUNT; i++) {
        record.phase_s[i] = NAN;
    }
    note_set(&record.reason_text, "dropped: %s", why);
    return record;
}

/* canary/engine/rollout_act.c — see rollout_act.h. */
#include "canary/engine/rollout_act.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/check.h"

#define TO(phase) (1u << (phase))

#define AWAY (TO(ROLLOUT_FROZEN) | TO(ROLLOUT_SHIFTING_BACK))

static const unsigned ARROWS[ROLLOUT_PHASE_COUNT] = {
    [ROLLOUT_IDLE] = TO(ROLLOUT_PROGRESSING) | TO(ROLLOUT_PAUSED) | AWAY,
    [ROLLOUT_PROGRESSING] = TO(ROLLOUT_IDLE) | TO(ROLLOUT_PAUSED) | TO(ROLLOUT_BAKING) | AWAY,
    [ROLLOUT_PAUSED] = TO(ROLLOUT_IDLE) | TO(ROLLOUT_PROGRESSING) | TO(ROLLOUT_BAKING) | AWAY,
    [ROLLOUT_BAKING] = TO(ROLLOUT_PAUSED) | TO(ROLLOUT_SUCCEEDED) | AWAY,
    [ROLLOUT_SUCCEEDED] = TO(ROLLOUT_IDLE) | TO(ROLLOUT_PROGRESSING) | TO(ROLLOUT_SHIFTING_BACK),
    [ROLLOUT_FROZEN] =
        TO(ROLLOUT_IDLE) | TO(ROLLOUT_PROGRESSING) | TO(ROLLOUT_PAUSED) | TO(ROLLOUT_SHIFTING_BACK),
    [ROLLOUT_SHIFTING_BACK] = TO(ROLLOUT_IDLE) | TO(ROLLOUT_VERIFYING),
    [ROLLOUT_VERIFYING] = TO(ROLLOUT_IDLE) | TO(ROLLOUT_ROLLED_BACK) | TO(ROLLOUT_ROLLBACK_FAILED),
    [ROLLOUT_ROLLED_BACK] = TO(ROLLOUT_IDLE) | TO(ROLLOUT_PROGRESSING),
    [ROLLOUT_ROLLBACK_FAILED] =
        TO(ROLLOUT_IDLE) | TO(ROLLOUT_ROLLED_BACK) | TO(ROLLOUT_SHIFTING_BACK),
};

void rollout_enter(struct rollout *rollout, enum rollout_phase phase)
{
    CHECK(phase < ROLLOUT_PHASE_COUNT);
    CHECK((ARROWS[rollout->phase] & TO(phase)) != 0);
    rollout->phase = phase;
    rollout->revision++;
}

void rollout_return(struct rollout *rollout, enum rollout_phase phase)
{
    CHECK(rollout->phase == ROLLOUT_IDLE);
    CHECK(phase == ROLLOUT_ROLLED_BACK || phase == ROLLOUT_ROLLBACK_FAILED ||
          phase == ROLLOUT_FROZEN);
    rollout->phase = phase;
    rollout->revision++;
}

void rollout_actions_init(struct rollout_actions *actions)
{
    actions->count = 0;
    actions->is_judge_started = false;
    actions->is_judge_rebased = false;
    actions->is_judge_stepped = false;
}

static struct rollout_action *act(struct rollout_actions *actions, enum rollout_action_kind kind)
{
    CHECK(actions->count < ROLLOUT_ACTIONS_MAX);
    struct rollout_action *action = &actions->list[actions->count++];
    *action = (struct rollout_action){.kind = kind};
    return action;
}

void rollout_set_weight(struct rollout *rollout, uint32_t weight_ppm)
{
    CHECK(weight_ppm <= PLAN_WHOLE);
    rollout->weight_ppm = weight_ppm;
    rollout->revision++;
    rollout->weight_revision = rollout->revision;
}

void rollout_raise(struct rollout *rollout, uint32_t weight_ppm)
{
    uint32_t held_ppm = rollout_held_ppm(rollout);
    CHECK(weight_ppm > held_ppm);
    rollout_set_weight(rollout, weight_ppm);
    rollout->raised_from_ppm = held_ppm;
    rollout->raise_revision = rollout->weight_revision;
}

uint32_t rollout_held_ppm(const struct rollout *rollout)
{
    return rollout->raise_revision != 0 ? rollout->raised_from_ppm : rollout->weight_ppm;
}

bool rollout_withdraw(struct rollout *rollout)
{
    if (rollout->raise_revision == 0) {
        return false;
    }
    rollout_set_weight(rollout, rollout->raised_from_ppm);
    rollout->raise_revision = 0;
    return true;
}

void rollout_publish(const struct rollout *rollout, struct rollout_actions *actions)
{
    struct rollout_action *action = act(actions, ROLLOUT_PUBLISH);
    action->weight_ppm = rollout->weight_ppm;
    action->revision = rollout->weight_revision;
    actions->is_judge_stepped = true;
}

void rollout_write(const struct rollout *rollout, bool is_barrier, struct rollout_actions *actions)
{
    struct rollout_action *action = act(actions, ROLLOUT_WRITE);
    action->weight_ppm = rollout->weight_ppm;
    action->revision = rollout->revision;
    action->is_barrier = is_barrier;
}

void rollout_await(const struct rollout *rollout, struct rollout_actions *actions)
{
    CHECK(rollout->raise_revision != 0);
    act(actions, ROLLOUT_AWAIT)->revision = rollout->raise_revision;
}

void rollout_write_record(const struct record *record, struct rollout_actions *actions)
{
    act(actions, ROLLOUT_WRITE_RECORD);
    actions->record = *record;
}

void rollout_copy_text(char *ret_text, size_t size, const char *text)
{
    snprintf(ret_text, size, "%s", text != NULL ? text : "");
}

void rollout_quarantine(struct rollout *rollout, const char *actor, const char *text,
                        struct rollout_actions *actions)
{
    rollout->is_quarantined = true;
    struct rollout_action *action = act(actions, ROLLOUT_QUARANTINE);
    rollout_copy_text(action->actor, sizeof(action->actor), actor);
    note_set(&action->text, "%s", text);
}

void rollout_unquarantine(struct rollout *rollout, const char *actor, const char *text,
                          struct rollout_actions *actions)
{
    rollout->is_quarantined = false;
    struct rollout_action *action = act(actions, ROLLOUT_UNQUARANTINE);
    rollout_copy_text(action->actor, sizeof(action->actor), actor);
    rollout_copy_text(action->text.text, sizeof(action->text.text), text);
}

void rollout_tell(struct rollout_actions *actions, enum rollout_level level, const char *event,
                  const char *actor, const char *format, ...)
{
    struct rollout_action *action = act(actions, ROLLOUT_TELL);
    action->level = level;
    action->event = event;
    rollout_copy_text(action->actor, sizeof(action->actor), actor);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(action->text.text, sizeof(action->text.text), format, arguments);
    va_end(arguments);
}

void rollout_notice(struct rollout_actions *actions, const char *event, const char *actor,
                    const char *format, ...)
{
    struct rollout_action *action = act(actions, ROLLOUT_TELL);
    action->level = ROLLOUT_INFO;
    action->is_notice = true;
    action->event = event;
    rollout_copy_text(action->actor, sizeof(action->actor), actor);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(action->text.text, sizeof(action->text.text), format, arguments);
    va_end(arguments);
}

void rollout_alert(struct rollout_actions *actions, const char *event, const char *format, ...)
{
    struct rollout_action *action = act(actions, ROLLOUT_RAISE_ALERT);
    action->level = ROLLOUT_ERROR;
    action->event = event;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(action->text.text, sizeof(action->text.text), format, arguments);
    va_end(arguments);
}

struct watch_mark rollout_stable_mark(const struct rollout_input *input, uint64_t now_us)
{
    struct watch_mark mark = {
        .at_us = now_us,
        .count = input->tally.stable_count,
        .failed = input->tally.stable_failed,
    };
    if (input->stable_latency != NULL) {
        mark.latency = *input->stable_latency;
    }
    return mark;
}

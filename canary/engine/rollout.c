/* canary/engine/rollout.c — see rollout.h. */
#include "canary/engine/rollout.h"

#include <string.h>

#include "canary/engine/rollout_act.h"
#include "canary/engine/rollout_ascent.h"
#include "canary/engine/rollout_shift.h"
#include "proxy/base/check.h"

enum { OUTAGE_QUIET_US = 300000000 };

static const char *const PHASE_NAMES[] = {
    "idle",   "progressing",   "paused",    "baking",      "succeeded",
    "frozen", "shifting_back", "verifying", "rolled_back", "rollback_failed"};
_Static_assert(COUNT_OF(PHASE_NAMES) == ROLLOUT_PHASE_COUNT, "a name for each phase");

const struct rollout_config ROLLOUT_CONFIG_DEFAULT = {
    .on_breach = ROLLOUT_ROLLBACK,
    .shift = {.steps_ppm = {500000, 250000, 100000, 0}, .step_count = 4, .every_us = 2000000},
    .max_wait_us = 30000000,
    .limit = 0.05,
    .instant_above = 0.5,
    .verify_looks = 3,
    .verify_every_us = 1000000,
    .verify_us_max = 60000000,
    .ladder = {.weights_ppm = {10000, 50000, 250000, 500000, 1000000}, .count = 5},
    .min_time_us = 60000000,
    .max_time_us = 86400000000,
    .bake_us = 600000000,
    .health_us_max = 300000000,
};

const char *rollout_phase_name(enum rollout_phase phase)
{
    CHECK(phase < ROLLOUT_PHASE_COUNT);
    return PHASE_NAMES[phase];
}

bool rollout_phase_find(const char *name, enum rollout_phase *ret_phase)
{
    for (size_t i = 0; i < COUNT_OF(PHASE_NAMES); i++) {
        if (strcmp(PHASE_NAMES[i], name) == 0) {
            *ret_phase = (enum rollout_phase)i;
            return true;
        }
    }
    return false;
}

void rollout_init(struct rollout *rollout, const struct rollout_config *config, uint32_t weight_ppm,
                  bool is_quarantined)
{
    CHECK(plan_is_shift(&config->shift));
    CHECK(ladder_is_sound(&config->ladder));
    CHECK(weight_ppm <= PLAN_WHOLE);
    *rollout = (struct rollout){
        .config = *config,
        .phase = ROLLOUT_IDLE,
        .weight_ppm = is_quarantined ? 0 : weight_ppm,
        .revision = 1,
        .weight_revision = 1,
        .is_quarantined = is_quarantined,
    };
    record_init(&rollout->record);
    watch_init(&rollout->watch);
}

/* A rollback on record goes on, from weight 0. */
static void recover_rollback(struct rollout *rollout, const struct rollout_journal *journal)
{
    rollout->weight_ppm = 0;
    rollout->phase = ROLLOUT_SHIFTING_BACK;
    rollout->shift = (struct rollout_shift){
        .plan = rollout->config.shift,
        .start_ppm = journal->record.weight_ppm,
        .is_at_once = true,
    };
}

/* The way up goes on from the step that was written; false when there is none. */
static bool recover_ascent(struct rollout *rollout, const struct rollout_journal *journal,
                           uint64_t now_us, int64_t wall_us)
{
    bool is_sound = journal->is_ascending && !journal->is_quarantined &&
                    ladder_is_sound(&journal->ladder) && journal->step <= journal->ladder.count;
    if (!is_sound) {
        return false;
    }
    /* Health checks and mirroring begin anew with the process, and so does the wait for them. */
    int64_t waited_us = journal->step > 0 ? wall_us - journal->waiting_wall_us : 0;
    rollout->ascent = (struct rollout_ascent){
        .is_running = true,
        .ladder = journal->ladder,
        .step = journal->step,
        .gate = journal->gate,
        .untold = ROLLOUT_UNTOLD_RESTART,
        .stepped_us = now_us,
        .waiting_us = now_us,
        .waited_us = waited_us > 0 ? (uint64_t)waited_us : 0,
        .waiting_wall_us = journal->waiting_wall_us,
    };
    return true;
}

void rollout_recover(struct rollout *rollout, const struct rollout_config *config,
                     const struct rollout_journal *journal, uint64_t now_us, int64_t wall_us)
{
    rollout_init(rollout, config, journal->weight_ppm, journal->is_quarantined);
    rollout->phase = journal->phase;
    rollout->revision = journal->revision + 1;
    rollout->weight_revision = rollout->revision;
    rollout->has_record = journal->has_record;
    if (journal->has_record) {
        rollout->record = journal->record;
        rollout->first_bad_us = (int64_t)now_us - (wall_us - journal->record.first_bad_wall_us);
        /* The counters begin at 0 again; what was counted before is in the record. */
        rollout->base_failed = -(double)journal->record.bad_origin;
        rollout->base_client_bad = -(double)journal->record.bad_client;
    }
    bool is_unfinished = journal->has_record && journal->record.status == RECORD_IN_PROGRESS;
    bool was_unfinished =
        journal->phase == ROLLOUT_SHIFTING_BACK || journal->phase == ROLLOUT_VERIFYING;
    if (is_unfinished) {
        recover_rollback(rollout, journal);
    } else if (was_unfinished) {
        /* Phase and record are written in one go; without a record nothing is known to go on with.
         */
        rollout->phase = ROLLOUT_IDLE;
        rollout->weight_ppm = 0;
    } else if (!recover_ascent(rollout, journal, now_us, wall_us)) {
        bool was_ascending =
            journal->phase == ROLLOUT_PROGRESSING || journal->phase == ROLLOUT_BAKING;
        rollout->phase = was_ascending ? ROLLOUT_IDLE : rollout->phase;
    }
    rollout->verification.began_us = now_us;
    rollout->verification.looked_us = now_us;
}

void rollout_configure(struct rollout *rollout, const struct rollout_config *config)
{
    CHECK(plan_is_shift(&config->shift));
    CHECK(ladder_is_sound(&config->ladder));
    rollout->config = *config;
}

void rollout_note_published(struct rollout *rollout, uint64_t revision)
{
    if (revision >= rollout->raise_revision) {
        rollout->raise_revision = 0;
    }
}

void rollout_lose_evidence(struct rollout *rollout)
{
    if (rollout->ascent.untold == ROLLOUT_UNTOLD_NOTHING) {
        rollout->ascent.untold = ROLLOUT_UNTOLD_RELOAD;
    }
}

static void breach_alert(struct rollout *rollout, const struct rollout_input *input,
                         struct rollout_actions *actions)
{
    if (rollout->is_breach_alerted) {
        return;
    }
    rollout->is_breach_alerted = true;
    rollout_tell(actions, ROLLOUT_ERROR, "breach", ROLLOUT_ACTOR_JUDGE, "%s", input->sentence.text);
    rollout_alert(actions, "breach", "%s", input->sentence.text);
}

static void breach_freeze(struct rollout *rollout, const struct rollout_input *input,
                          uint64_t now_us, struct rollout_actions *actions)
{
    bool was_mirroring = rollout_is_mirroring(rollout);
    bool was_rising = rollout_withdraw(rollout);
    if (was_rising) {
        rollout_ascent_follow(rollout, input, now_us);
    }
    rollout_enter(rollout, ROLLOUT_FROZEN);
    if (was_mirroring || was_rising) {
        rollout_publish(rollout, actions);
    }
    rollout_write(rollout, false, actions);
    rollout_tell(actions, ROLLOUT_ERROR, "breach.frozen", ROLLOUT_ACTOR_JUDGE,
                 "weight held until resume, abort or rollback: %s", input->sentence.text);
    rollout_alert(actions, "breach", "%s", input->sentence.text);
}

/* Nothing is shifted back, and nothing rises either. A bake is one of all traffic: without it, it
 * is none. */
static void take_raise_back(struct rollout *rollout, const struct rollout_input *input,
                            uint64_t now_us, struct rollout_actions *actions)
{
    if (!rollout_withdraw(rollout)) {
        return;
    }
    rollout_ascent_follow(rollout, input, now_us);
    bool was_baking = rollout->phase == ROLLOUT_BAKING;
    if (was_baking) {
        rollout_enter(rollout, ROLLOUT_PAUSED);
    }
    rollout_publish(rollout, actions);
    rollout_write(rollout, false, actions);
    if (was_baking) {
        rollout_tell(actions, ROLLOUT_WARN, "rollout.pause", ROLLOUT_ACTOR_JUDGE,
                     "the rollout pauses: the breach came before the canary had all traffic");
    }
}

static void breach_rollback(struct rollout *rollout, const struct rollout_input *input,
                            uint64_t now_us, struct rollout_actions *actions)
{
    if (input->stable_live == 0) {
        take_raise_back(rollout, input, now_us, actions);
        rollout_hold_for_outage(rollout, input, actions);
        return;
    }
    rollout->is_outage_held = false;
    struct shift_cause cause = {
        .trigger = record_trigger_of(input->finding.reason),
        .reason = input->finding.reason,
        .is_quarantining = true,
        .actor = ROLLOUT_ACTOR_JUDGE,
        .text = input->sentence.text,
    };
    rollout_shift_begin(rollout, &cause, input, now_us, actions);
}

static enum rollout_on_breach answer_to_breach(const struct rollout *rollout)
{
    if (rollout->phase != ROLLOUT_SUCCEEDED) {
        return rollout->config.on_breach;
    }
    return rollout->config.rolls_back_after_bake ? ROLLOUT_ROLLBACK : ROLLOUT_ALERT;
}

bool rollout_is_mirroring(const struct rollout *rollout)
{
    bool is_waiting = rollout->phase == ROLLOUT_PROGRESSING || rollout->phase == ROLLOUT_PAUSED;
    return is_waiting && rollout->ascent.is_running && rollout->ascent.is_mirroring &&
           rollout->weight_ppm == 0;
}

/* A breach matters where the canary has traffic, be it copies. */
static void look_for_breach(struct rollout *rollout, const struct rollout_input *input,
                            uint64_t now_us, struct rollout_actions *actions)
{
    bool is_in_use = rollout->weight_ppm > 0 || rollout_is_mirroring(rollout);
    if (!is_in_use || input->finding.verdict != JUDGE_BREACH) {
        rollout->has_breach = false;
        rollout->is_outage_held = false;
        return;
    }
    if (!rollout->has_breach) {
        rollout->has_breach = true;
        rollout->breach_us = now_us;
    }
    switch (answer_to_breach(rollout)) {
    case ROLLOUT_ROLLBACK:
        breach_rollback(rollout, input, now_us, actions);
        return;
    case ROLLOUT_FREEZE:
        breach_freeze(rollout, input, now_us, actions);
        return;
    case ROLLOUT_ALERT:
        breach_alert(rollout, input, actions);
        return;
    }
}

bool rollout_has_outage(const struct rollout *rollout, uint64_t now_us)
{
    return rollout->is_outage_held ||
           (rollout->has_outage && now_us <= rollout->outage_us + OUTAGE_QUIET_US);
}

/* Both versions fail: nothing is shifted, but somebody must know. One alert for all that follows
 * within minutes. */
static void look_for_outage(struct rollout *rollout, const struct rollout_input *input,
                            uint64_t now_us, struct rollout_actions *actions)
{
    bool is_outage = input->finding.verdict == JUDGE_SUSPICIOUS &&
                     input->finding.reason == JUDGE_REASON_SHARED_OUTAGE;
    /* A moment of doubt beside a stable version that never failed is no outage of both. */
    bool has_stable_trouble =
        input->stable_live == 0 || input->excursion.counts.stable_failed > 0.0;
    if (!is_outage || !has_stable_trouble) {
        return;
    }
    bool is_news = !rollout->has_outage || now_us > rollout->outage_us + OUTAGE_QUIET_US;
    rollout->has_outage = true;
    rollout->outage_us = now_us;
    if (is_news) {
        rollout_tell(actions, ROLLOUT_ERROR, "shared_outage", ROLLOUT_ACTOR_JUDGE, "%s",
                     input->sentence.text);
        rollout_alert(actions, "shared_outage", "%s", input->sentence.text);
    }
}

void rollout_step(struct rollout *rollout, const struct rollout_input *input, uint64_t now_us,
                  struct rollout_actions *ret_actions)
{
    rollout_actions_init(ret_actions);
    ret_actions->phase_before = rollout->phase;
    struct watch_mark now = rollout_stable_mark(input, now_us);
    watch_tick(&rollout->watch, &now);
    look_for_outage(rollout, input, now_us, ret_actions);
    rollout_ascent_tell_anew(rollout, ret_actions);
    switch (rollout->phase) {
    case ROLLOUT_IDLE:
        rollout_drain_tick(rollout, input, now_us, ret_actions);
        look_for_breach(rollout, input, now_us, ret_actions);
        return;
    case ROLLOUT_PAUSED:
    case ROLLOUT_SUCCEEDED:
        look_for_breach(rollout, input, now_us, ret_actions);
        return;
    case ROLLOUT_PROGRESSING:
    case ROLLOUT_BAKING:
        look_for_breach(rollout, input, now_us, ret_actions);
        if (rollout->phase == ROLLOUT_PROGRESSING || rollout->phase == ROLLOUT_BAKING) {
            rollout_ascent_tick(rollout, input, now_us, ret_actions);
        }
        return;
    case ROLLOUT_SHIFTING_BACK:
        rollout_shift_tick(rollout, input, now_us, ret_actions);
        return;
    case ROLLOUT_VERIFYING:
    case ROLLOUT_ROLLBACK_FAILED:
        rollout_verify_tick(rollout, input, now_us, ret_actions);
        return;
    case ROLLOUT_ROLLED_BACK:
        rollout_drain_tick(rollout, input, now_us, ret_actions);
        return;
    case ROLLOUT_FROZEN:
    case ROLLOUT_PHASE_COUNT:
        return;
    }
}

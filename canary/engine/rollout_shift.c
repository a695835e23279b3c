/* canary/engine/rollout_shift.c — see rollout_shift.h.
 *
 * A step waits only for a stable version that suffers from what it was given; a canary that still
 * fails after a step is worse than any overload, so then nothing waits. */
#include "canary/engine/rollout_shift.h"

#include <math.h>
#include <string.h>

#include "canary/engine/judge_sentence.h"
#include "canary/engine/rollout_act.h"
#include "proxy/base/check.h"

enum { SUFFERS_FAILED_MIN = 3, SUFFERS_ANSWERS_MIN = 20 };
static const double SUFFERS_RATIO_FACTOR = 3.0;
static const double SUFFERS_P95_FACTOR = 2.0;
static const double SUFFERS_P95_MARGIN_S = 0.010; /* below this a doubling is noise (decision 15) */

static double elapsed_s(const struct rollout *rollout, uint64_t now_us)
{
    return (double)((int64_t)now_us - rollout->first_bad_us) / 1e6;
}

static bool is_record_open(const struct rollout *rollout)
{
    return rollout->has_record && (rollout->record.status == RECORD_IN_PROGRESS ||
                                   rollout->phase == ROLLOUT_ROLLBACK_FAILED);
}

/* What clients and canary did since the first failure. */
static void follow_harm(struct rollout *rollout, const struct rollout_input *input, uint64_t now_us)
{
    if (!is_record_open(rollout)) {
        return;
    }
    struct record *record = &rollout->record;
    const struct judge_tally *tally = &input->tally;
    record->bad_origin = (uint64_t)fmax(tally->canary_failed - rollout->base_failed, 0.0);
    record->bad_client = (uint64_t)fmax(tally->client_bad - rollout->base_client_bad, 0.0);
    if (tally->client_bad > rollout->last_client_bad) {
        rollout->last_client_bad = tally->client_bad;
        record->last_client_bad_s = fmax(elapsed_s(rollout, now_us), 0.0);
    }
}

static bool is_severe(const struct rollout *rollout, const struct shift_cause *cause,
                      const struct rollout_input *input)
{
    if (cause->is_by_hand) {
        return cause->is_instant;
    }
    if (cause->reason == JUDGE_REASON_CONNECT || cause->reason == JUDGE_REASON_HEALTH ||
        input->is_canary_down) {
        return true;
    }
    return judge_excursion_has_ratio(&input->excursion, rollout->config.instant_above);
}

struct record rollout_shift_preview(const struct rollout *rollout, const struct shift_cause *cause,
                                    const struct rollout_input *input)
{
    struct record record;
    record_init(&record);
    rollout_copy_text(record.id, sizeof(record.id), input->record_id);
    rollout_copy_text(record.actor, sizeof(record.actor), cause->actor);
    note_set(&record.reason_text, "%s", cause->text);
    record.decided_wall_us = input->wall_us;
    record.first_bad_wall_us = input->wall_us;
    record.trigger = cause->trigger;
    record.reason = cause->reason;
    record.mode = is_severe(rollout, cause, input) ? RECORD_INSTANT : RECORD_GRADUAL;
    record.is_quarantining = cause->is_quarantining;
    record.weight_ppm = rollout->weight_ppm;
    record.has_evidence = !cause->is_by_hand;
    record.evidence = input->evidence;
    record.counts = input->excursion.counts;
    return record;
}

/* Dates the first bad response and sets the bases that harm is counted from. */
static void date_first_bad(struct rollout *rollout, const struct shift_cause *cause,
                           const struct rollout_input *input, uint64_t now_us)
{
    const struct judge_excursion *excursion = &input->excursion;
    rollout->first_bad_us = (int64_t)now_us;
    rollout->base_failed = input->tally.canary_failed;
    rollout->base_client_bad = input->tally.client_bad;
    if (!cause->is_by_hand) {
        rollout->first_bad_us = (int64_t)rollout->breach_us;
        if (excursion->has_failure) {
            rollout->first_bad_us = excursion->first_failure_ms * 1000;
            rollout->base_failed = excursion->base.canary_failed;
            rollout->base_client_bad = excursion->base.client_bad;
        } else if (input->canary_down_since_us > 0) {
            rollout->first_bad_us = (int64_t)input->canary_down_since_us;
        }
    }
    rollout->last_client_bad = rollout->base_client_bad;
    rollout->record.first_bad_wall_us = input->wall_us - ((int64_t)now_us - rollout->first_bad_us);
}

/* Canary answers since the last step: one failed, and the ratio is at the limit. */
static bool does_trouble_persist(const struct rollout *rollout, const struct rollout_input *input)
{
    const struct rollout_shift *shift = &rollout->shift;
    double count = input->tally.canary_count - shift->stepped_tally.canary_count;
    double failed = input->tally.canary_failed - shift->stepped_tally.canary_failed;
    return shift->has_stepped && failed > 0.0 && failed >= rollout->config.limit * count;
}

static bool does_stable_suffer(const struct rollout *rollout, const struct watch_mark *now)
{
    const struct rollout_shift *shift = &rollout->shift;
    struct watch_view since = watch_since(&shift->stepped_stable, now);
    double ratio_max = fmax(rollout->config.limit, SUFFERS_RATIO_FACTOR * shift->before.ratio);
    if (since.failed >= SUFFERS_FAILED_MIN && since.ratio >= ratio_max) {
        return true;
    }
    double before_s = shift->before.p95_s;
    return since.answers >= SUFFERS_ANSWERS_MIN && !isnan(before_s) &&
           since.p95_s > fmax(SUFFERS_P95_FACTOR * before_s, before_s + SUFFERS_P95_MARGIN_S);
}

/* The next step is due; may it still wait for stable? */
static bool must_wait(struct rollout *rollout, const struct watch_mark *now,
                      struct rollout_actions *actions)
{
    struct rollout_shift *shift = &rollout->shift;
    uint64_t waiting_us = shift->is_waiting ? now->at_us - shift->wait_began_us : 0;
    bool may_wait = shift->waited_us + waiting_us < rollout->config.max_wait_us;
    if (may_wait && does_stable_suffer(rollout, now)) {
        if (!shift->is_waiting) {
            shift->is_waiting = true;
            shift->wait_began_us = now->at_us;
            rollout_tell(actions, ROLLOUT_WARN, "rollback.wait", rollout->record.actor,
                         "the shift back waits: stable suffers from what it was given");
        }
        return true;
    }
    shift->waited_us += waiting_us;
    shift->is_waiting = false;
    return false;
}

void rollout_outage_sentence(const struct note *finding, struct note *ret_sentence)
{
    note_set(ret_sentence, "stable has no live endpoint, nothing is shifted until it has one; %s",
             finding->text);
}

void rollout_hold_for_outage(struct rollout *rollout, const struct rollout_input *input,
                             struct rollout_actions *actions)
{
    if (rollout->is_outage_held) {
        return;
    }
    struct note sentence;
    rollout_outage_sentence(&input->sentence, &sentence);
    rollout->is_outage_held = true;
    rollout_tell(actions, ROLLOUT_ERROR, "rollback.hold", ROLLOUT_ACTOR_JUDGE, "%s", sentence.text);
    rollout_alert(actions, "shared_outage", "%s", sentence.text);
}

static void move(struct rollout *rollout, const struct rollout_input *input,
                 const struct watch_mark *now, struct rollout_actions *actions)
{
    struct rollout_shift *shift = &rollout->shift;
    uint32_t weight_ppm = 0;
    if (!shift->is_at_once) {
        do { /* tiny weights round two steps to the same */
            weight_ppm = plan_weight_ppm(&shift->plan, shift->next_step++, shift->start_ppm);
        } while (weight_ppm >= rollout->weight_ppm);
    }
    CHECK(weight_ppm < rollout->weight_ppm);
    shift->has_stepped = true;
    shift->stepped_us = now->at_us;
    shift->stepped_tally = input->tally;
    shift->stepped_stable = *now;
    rollout_set_weight(rollout, weight_ppm);
    rollout_publish(rollout, actions);
}

/* Lowers the weight when that is due; true when it did. */
static bool advance(struct rollout *rollout, const struct rollout_input *input, uint64_t now_us,
                    struct rollout_actions *actions)
{
    struct rollout_shift *shift = &rollout->shift;
    if (rollout->weight_ppm == 0) {
        return false;
    }
    if (input->is_canary_down || does_trouble_persist(rollout, input)) {
        shift->is_at_once = true;
    }
    if (input->stable_live == 0 && !shift->is_forced) {
        rollout_hold_for_outage(rollout, input, actions);
        return false;
    }
    rollout->is_outage_held = false;
    struct watch_mark now = rollout_stable_mark(input, now_us);
    if (!shift->is_at_once && shift->has_stepped) {
        bool is_due = now_us >= shift->stepped_us + shift->plan.every_us;
        if (!is_due || must_wait(rollout, &now, actions)) {
            return false;
        }
    }
    move(rollout, input, &now, actions);
    return true;
}

static void tell_step(const struct rollout *rollout, struct rollout_actions *actions)
{
    char weight[JUDGE_COUNT_TEXT_SIZE];
    judge_percent_text((double)rollout->weight_ppm / PLAN_WHOLE, weight);
    rollout_tell(actions, ROLLOUT_INFO, "rollback.step", rollout->record.actor,
                 "weight of the canary %s%s", weight, rollout->shift.is_at_once ? ", at once" : "");
}

/* Weight 0 holds in every worker: the shift is done, the looks begin. */
static void land(struct rollout *rollout, const struct rollout_input *input, uint64_t now_us,
                 struct rollout_actions *actions)
{
    if (rollout->weight_ppm > 0 || input->landed_revision < rollout->weight_revision) {
        return;
    }
    uint64_t landed_us = input->landed_us > 0 ? input->landed_us : now_us;
    record_stamp(&rollout->record, RECORD_SHIFT, elapsed_s(rollout, landed_us));
    rollout_enter(rollout, ROLLOUT_VERIFYING);
    rollout->verification = (struct rollout_verification){
        .began_us = now_us,
        .looked_us = now_us,
        .round = rollout->verification.round,
        .count = input->tally.stable_count,
        .failed = input->tally.stable_failed,
    };
    rollout_write_record(&rollout->record, actions);
    rollout_write(rollout, false, actions);
    rollout_tell(actions, ROLLOUT_INFO, "rollback.shifted", rollout->record.actor,
                 "all traffic is back on stable, %.1f s after the first bad response",
                 rollout->record.phase_s[RECORD_SHIFT]);
}

void rollout_shift_begin(struct rollout *rollout, const struct shift_cause *cause,
                         const struct rollout_input *input, uint64_t now_us,
                         struct rollout_actions *actions)
{
    struct watch_mark now = rollout_stable_mark(input, now_us);
    bool was_rising = rollout_withdraw(rollout);
    rollout->record = rollout_shift_preview(rollout, cause, input);
    rollout->has_record = true;
    rollout->ascent.is_running = false;
    rollout_enter(rollout, ROLLOUT_SHIFTING_BACK);
    date_first_bad(rollout, cause, input, now_us);
    if (!cause->is_by_hand) {
        double detected_s = (double)((int64_t)rollout->breach_us - rollout->first_bad_us) / 1e6;
        record_stamp(&rollout->record, RECORD_DETECT, detected_s);
    }
    record_stamp(&rollout->record, RECORD_DECIDE, elapsed_s(rollout, now_us));
    rollout->shift = (struct rollout_shift){
        .plan = rollout->config.shift,
        .start_ppm = rollout->weight_ppm,
        .is_at_once = rollout->record.mode == RECORD_INSTANT,
        .is_forced = cause->is_by_hand && cause->is_instant,
        .before = watch_last_minute(&rollout->watch, &now),
    };
    follow_harm(rollout, input, now_us);
    bool has_moved = advance(rollout, input, now_us, actions);
    if ((rollout->weight_ppm == 0 || was_rising) && !has_moved) {
        /* Nothing to shift (yet): what has to land is the end of mirroring or of a raise, and the
         * quarantine. */
        rollout_set_weight(rollout, rollout->weight_ppm);
        rollout_publish(rollout, actions);
    }
    rollout_write_record(&rollout->record, actions);
    rollout_write(rollout, false, actions);
    if (cause->is_quarantining) {
        rollout_quarantine(rollout, cause->actor, cause->text, actions);
    }
    rollout_tell(actions, ROLLOUT_WARN, cause->is_quarantining ? "rollback.start" : "abort.start",
                 cause->actor, "shift back begins (%s): %s", record_mode_name(rollout->record.mode),
                 cause->text);
    if (has_moved) {
        tell_step(rollout, actions);
    }
    rollout_alert(actions, "rollback.start", "%s", cause->text);
}

void rollout_shift_tick(struct rollout *rollout, const struct rollout_input *input, uint64_t now_us,
                        struct rollout_actions *actions)
{
    CHECK(rollout->phase == ROLLOUT_SHIFTING_BACK);
    follow_harm(rollout, input, now_us);
    if (advance(rollout, input, now_us, actions)) {
        rollout_write(rollout, false, actions);
        tell_step(rollout, actions);
    }
    land(rollout, input, now_us, actions);
}

void rollout_shift_hurry(struct rollout *rollout, const struct rollout_input *input,
                         uint64_t now_us, struct rollout_actions *actions)
{
    rollout->shift.is_at_once = true;
    rollout->shift.is_forced = true;
    rollout->record.mode = RECORD_INSTANT;
    if (advance(rollout, input, now_us, actions)) {
        rollout_write_record(&rollout->record, actions);
        rollout_write(rollout, false, actions);
        tell_step(rollout, actions);
    }
}

/* What was asked is answered; without questions a look is due by the clock alone. */
static bool is_look_due(struct rollout *rollout, const struct rollout_input *input, uint64_t now_us)
{
    struct rollout_verification *verification = &rollout->verification;
    if (!rollout->config.verify_asks) {
        verification->is_asking = false;
    } else if (verification->is_asking) {
        return input->checked.round == verification->round;
    }
    if (now_us < verification->looked_us + rollout->config.verify_every_us) {
        return false;
    }
    if (rollout->config.verify_asks) {
        verification->round++;
        verification->is_asking = true;
    }
    return !verification->is_asking;
}

/* One look: stable lives, its own URLs answered well, and what it answered to everybody since the
 * last look is below the limit. The note stays empty then. */
static void look_at_stable(struct rollout *rollout, const struct rollout_input *input)
{
    struct rollout_verification *verification = &rollout->verification;
    double count = input->tally.stable_count - verification->count;
    double failed = input->tally.stable_failed - verification->failed;
    verification->count = input->tally.stable_count;
    verification->failed = input->tally.stable_failed;
    note_set(&verification->trouble, "%s", "");
    if (input->stable_live == 0) {
        note_set(&verification->trouble, "it has no live endpoint");
    } else if (verification->is_asking && !input->checked.is_good) {
        verification->trouble = input->checked.trouble;
    } else if (failed > 0.0 && failed >= rollout->config.limit * count) {
        note_set(&verification->trouble, "of the last %.0f requests it failed %.0f", count, failed);
    }
    verification->is_asking = false;
}

static void verify_success(struct rollout *rollout, uint64_t now_us,
                           struct rollout_actions *actions)
{
    struct record *record = &rollout->record;
    bool is_abort = rollout->has_record && !record->is_quarantining;
    if (rollout->has_record) {
        record_stamp(record, RECORD_VERIFY, elapsed_s(rollout, now_us));
        record->status = RECORD_SUCCESS;
        rollout_write_record(record, actions);
    }
    rollout_enter(rollout, is_abort ? ROLLOUT_IDLE : ROLLOUT_ROLLED_BACK);
    rollout_write(rollout, false, actions);
    const char *actor = rollout->has_record ? record->actor : ROLLOUT_ACTOR_JUDGE;
    const char *event = is_abort ? "abort.success" : "rollback.success";
    struct note note;
    note_set(
        &note,
        "all traffic is back on stable, which is confirmed to serve well; %llu bad responses of "
        "the canary, %llu seen by clients, %.1f s in all",
        (unsigned long long)record->bad_origin, (unsigned long long)record->bad_client,
        rollout->has_record ? record->duration_s : 0.0);
    rollout_tell(actions, ROLLOUT_INFO, event, actor, "%s", note.text);
    rollout_alert(actions, "rollback.success", "%s", note.text);
}

static void verify_failure(struct rollout *rollout, struct rollout_actions *actions)
{
    const char *trouble = rollout->verification.trouble.text;
    rollout_enter(rollout, ROLLOUT_ROLLBACK_FAILED);
    if (rollout->has_record) {
        rollout->record.status = RECORD_FAILED;
        rollout_write_record(&rollout->record, actions);
    }
    rollout_write(rollout, false, actions);
    struct note note;
    note_set(&note,
             "traffic is back on stable, but stable could not be confirmed to serve well (%s); "
             "looking on",
             trouble[0] != '\0' ? trouble : "too few good looks in a row");
    rollout_tell(actions, ROLLOUT_ERROR, "rollback.failed", ROLLOUT_ACTOR_JUDGE, "%s", note.text);
    rollout_alert(actions, "rollback.failed", "%s", note.text);
}

void rollout_drain_tick(struct rollout *rollout, const struct rollout_input *input, uint64_t now_us,
                        struct rollout_actions *actions)
{
    struct record *record = &rollout->record;
    bool is_draining = rollout->has_record && record->status == RECORD_SUCCESS &&
                       isnan(record->phase_s[RECORD_DRAIN]) && rollout->weight_ppm == 0;
    if (is_draining && input->canary_in_flight == 0) {
        record_stamp(record, RECORD_DRAIN, elapsed_s(rollout, now_us));
        rollout_write_record(record, actions);
    }
}

void rollout_verify_tick(struct rollout *rollout, const struct rollout_input *input,
                         uint64_t now_us, struct rollout_actions *actions)
{
    struct rollout_verification *verification = &rollout->verification;
    follow_harm(rollout, input, now_us);
    if (is_record_open(rollout) && input->canary_in_flight == 0) {
        bool is_news = isnan(rollout->record.phase_s[RECORD_DRAIN]);
        record_stamp(&rollout->record, RECORD_DRAIN, elapsed_s(rollout, now_us));
        if (is_news && rollout->phase == ROLLOUT_ROLLBACK_FAILED) {
            rollout_write_record(&rollout->record, actions); /* it may take long to be confirmed */
        }
    }
    if (is_look_due(rollout, input, now_us)) {
        verification->looked_us = now_us;
        look_at_stable(rollout, input);
        bool is_good = verification->trouble.text[0] == '\0';
        verification->good_looks = is_good ? verification->good_looks + 1 : 0;
    }
    if (verification->good_looks >= rollout->config.verify_looks) {
        verify_success(rollout, now_us, actions);
    } else if (rollout->phase == ROLLOUT_VERIFYING &&
               now_us >= verification->began_us + rollout->config.verify_us_max) {
        verify_failure(rollout, actions);
    }
}

bool rollout_is_verifying(const struct rollout *rollout)
{
    return rollout->phase == ROLLOUT_VERIFYING || rollout->phase == ROLLOUT_ROLLBACK_FAILED;
}

uint64_t rollout_asked_round(const struct rollout *rollout)
{
    const struct rollout_verification *verification = &rollout->verification;
    return rollout_is_verifying(rollout) && verification->is_asking ? verification->round : 0;
}

void rollout_note_platform(struct rollout *rollout, const char *record_id,
                           enum record_platform platform, uint64_t now_us,
                           struct rollout_actions *ret_actions)
{
    struct record *record = &rollout->record;
    rollout_actions_init(ret_actions);
    if (!rollout->has_record || strcmp(record->id, record_id) != 0) {
        return;
    }
    record->platform = platform;
    if (platform == RECORD_PLATFORM_ACKNOWLEDGED) {
        record_stamp(record, RECORD_PLATFORM_ACK, elapsed_s(rollout, now_us));
    }
    rollout_write_record(record, ret_actions);
}

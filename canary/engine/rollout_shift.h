/* canary/engine/rollout_shift.h — the shift back, and the looks that confirm it.
 *
 * Internal to the room; see rollout.h for the rules. Pure. */
#pragma once
#include "canary/engine/rollout.h"

/* Why a shift begins. Texts are borrowed during the call. */
struct shift_cause {
    enum record_trigger trigger;
    enum judge_reason reason;
    bool is_by_hand;
    bool is_instant; /* by hand: not in steps */
    bool is_quarantining;
    const char *actor;
    const char *text;
};

/* Opens the record, ends the rollout and takes the first step; from any phase that is not part of a
 * rollback, and from rollback_failed. */
void rollout_shift_begin(struct rollout *rollout, const struct shift_cause *cause,
                         const struct rollout_input *input, uint64_t now_us,
                         struct rollout_actions *actions);
/* A record of what rollout_shift_begin would do now. */
struct record rollout_shift_preview(const struct rollout *rollout, const struct shift_cause *cause,
                                    const struct rollout_input *input);
/* One tick in shifting_back. */
void rollout_shift_tick(struct rollout *rollout, const struct rollout_input *input, uint64_t now_us,
                        struct rollout_actions *actions);
/* By hand: the rest at once, even to a stable version without a live endpoint. */
void rollout_shift_hurry(struct rollout *rollout, const struct rollout_input *input,
                         uint64_t now_us, struct rollout_actions *actions);
/* One tick in verifying or rollback_failed. */
void rollout_verify_tick(struct rollout *rollout, const struct rollout_input *input,
                         uint64_t now_us, struct rollout_actions *actions);
/* One tick after it: a canary that went on with long-lived connections when all was confirmed has
 * drained once the last of them has ended. */
void rollout_drain_tick(struct rollout *rollout, const struct rollout_input *input, uint64_t now_us,
                        struct rollout_actions *actions);
/* A breach finds no stable version to go to: told once, held. */
void rollout_hold_for_outage(struct rollout *rollout, const struct rollout_input *input,
                             struct rollout_actions *actions);
/* Says that of a finding. */
void rollout_outage_sentence(const struct note *finding, struct note *ret_sentence);

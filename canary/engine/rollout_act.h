/* canary/engine/rollout_act.h — the moves that the parts of the rollout share: change the state,
 * note the action.
 *
 * Internal to the room. Every change of phase goes through rollout_enter, every change of weight
 * through rollout_set_weight. Pure. */
#pragma once
#include "canary/engine/rollout.h"

/* The judge acts, nobody asked. */
#define ROLLOUT_ACTOR_JUDGE "judge"

void rollout_actions_init(struct rollout_actions *actions);
/* CHECKs that the arrow is in the table. */
void rollout_enter(struct rollout *rollout, enum rollout_phase phase);
/* From idle back to the rest that it was in: a raise was taken back. */
void rollout_return(struct rollout *rollout, enum rollout_phase phase);
/* Changes the weight; the caller publishes and writes it, in the order that safety asks. */
void rollout_set_weight(struct rollout *rollout, uint32_t weight_ppm);
/* The same for a weight that has to be on disk first. */
void rollout_raise(struct rollout *rollout, uint32_t weight_ppm);
/* The weight that workers have: lower than the rollout's while a raise waits for its write. */
uint32_t rollout_held_ppm(const struct rollout *rollout);
/* A raise that waits is not to come any more: the weight is again what workers have. True when
 * there was one; the caller publishes, so that its list overtakes the raise's. */
bool rollout_withdraw(struct rollout *rollout);
void rollout_publish(const struct rollout *rollout, struct rollout_actions *actions);
void rollout_write(const struct rollout *rollout, bool is_barrier, struct rollout_actions *actions);
/* There is a raise that waits: the rest of the list comes when it does. */
void rollout_await(const struct rollout *rollout, struct rollout_actions *actions);
void rollout_write_record(const struct record *record, struct rollout_actions *actions);
void rollout_quarantine(struct rollout *rollout, const char *actor, const char *text,
                        struct rollout_actions *actions);
void rollout_unquarantine(struct rollout *rollout, const char *actor, const char *text,
                          struct rollout_actions *actions);
void rollout_tell(struct rollout_actions *actions, enum rollout_level level, const char *event,
                  const char *actor, const char *format, ...) PRINTF_LIKE(5, 6);
/* The same about good news that people want to hear of: a start, a success. */
void rollout_notice(struct rollout_actions *actions, const char *event, const char *actor,
                    const char *format, ...) PRINTF_LIKE(4, 5);
void rollout_alert(struct rollout_actions *actions, const char *event, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* Cuts at the end of the room there is. */
void rollout_copy_text(char *ret_text, size_t size, const char *text);

/* The stable version's totals now. */
struct watch_mark rollout_stable_mark(const struct rollout_input *input, uint64_t now_us);

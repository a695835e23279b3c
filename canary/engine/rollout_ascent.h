/* canary/engine/rollout_ascent.h — the way up: health checks, mirroring, steps, gates, bake.
 *
 * Internal to the room; see rollout.h for the rules. Pure. */
#pragma once
#include "canary/engine/rollout.h"

/* From idle, paused, succeeded or rolled_back, by the command's ladder (copied). What has weight
 * already stands on the step of that weight. */
void rollout_ascent_begin(struct rollout *rollout, const struct rollout_command *command,
                          const struct rollout_input *input, uint64_t now_us,
                          struct rollout_actions *actions);
/* One tick in progressing or baking. While a raise waits nothing goes on, and time does not count.
 */
void rollout_ascent_tick(struct rollout *rollout, const struct rollout_input *input,
                         uint64_t now_us, struct rollout_actions *actions);
/* Says once what became of the evidence after a restart or a reload. */
void rollout_ascent_tell_anew(struct rollout *rollout, struct rollout_actions *actions);
/* From paused or frozen back to progressing; a gate that was reached is open now. `is_anew`: the
 * judge begins anew, and with it the time of the step. */
void rollout_ascent_resume(struct rollout *rollout, bool is_anew, const struct rollout_input *input,
                           uint64_t now_us);
/* By hand: up to `step` without evidence, to progressing; where it stands on the last step already,
 * to baking. */
void rollout_ascent_promote(struct rollout *rollout, uint32_t step, const char *actor,
                            const struct rollout_input *input, uint64_t now_us,
                            struct rollout_actions *actions);
/* From progressing or paused, on the last step: the bake begins. */
void rollout_ascent_bake(struct rollout *rollout, const char *actor,
                         const struct rollout_input *input, uint64_t now_us,
                         struct rollout_actions *actions);
/* From baking: done. */
void rollout_ascent_succeed(struct rollout *rollout, const char *actor,
                            struct rollout_actions *actions);
/* Another weight holds by somebody's wish: the rollout stands on the step at or below it. */
void rollout_ascent_follow(struct rollout *rollout, const struct rollout_input *input,
                           uint64_t now_us);

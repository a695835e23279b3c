/* canary/controller/progress.h — how far a rollout is, to and from the history.
 *
 * The step has a column of its own; what else a restart needs stands beside it as JSON: a member
 * "rollout" with steps, gate and time. Pure. */
#pragma once
#include "canary/engine/rollout.h"

enum { PROGRESS_TEXT_SIZE = 1024 };

/* Writes the member, `"rollout":{...}`; false when no rollout runs. */
bool progress_to_text(const struct rollout_journal *journal, char ret_text[PROGRESS_TEXT_SIZE]);
/* Back from the whole text into the journal, which is left as it is when that says nothing sound.
 */
void progress_from_text(const char *text, int32_t step, struct rollout_journal *journal);

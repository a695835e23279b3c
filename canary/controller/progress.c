/* canary/controller/progress.c — how far a rollout is, to and from the history.
 *
 * The step has a column of its own; what else a restart needs stands beside it as JSON. */
#include <stdio.h>
#include <string.h>

#include "canary/controller/controller_state.h"

static bool append_steps(const struct ladder *ladder, struct buf *out)
{
    for (uint32_t i = 0; i < ladder->count; i++) {
        (void)buf_printf(out, "%s%u%s", i > 0 ? "," : "", (unsigned)ladder->weights_ppm[i],
                         ladder->has_gate[i] ? ",\"pause\"" : "");
    }
    return !out->is_failed;
}

bool progress_to_text(const struct rollout_journal *journal, char ret_text[PROGRESS_TEXT_SIZE])
{
    if (!journal->is_ascending) {
        return false;
    }
    struct buf text;
    buf_init(&text, PROGRESS_TEXT_SIZE - 1);
    bool is_whole = buf_append(&text, BYTES("{\"rollout\":{\"steps_ppm\":[")) == OK &&
                    append_steps(&journal->ladder, &text) &&
                    buf_printf(&text, "],\"gate\":%d,\"since_us\":%lld}}", (int)journal->gate,
                               (long long)journal->waiting_wall_us) == OK;
    struct bytes bytes = buf_bytes(&text);
    if (is_whole) {
        memcpy(ret_text, bytes.data, bytes.size);
        ret_text[bytes.size] = '\0';
    }
    buf_finish(&text);
    return is_whole;
}

static bool read_steps(const json_t *steps, struct ladder *ret_ladder)
{
    struct ladder ladder = {.count = 0};
    size_t index;
    json_t *step;
    json_array_foreach(steps, index, step)
    {
        json_int_t ppm = json_integer_value(step);
        if (json_is_string(step) && ladder.count > 0) {
            ladder.has_gate[ladder.count - 1] = true;
        } else if (ppm > 0 && ppm <= LADDER_WHOLE && ladder.count < LADDER_STEPS_MAX) {
            ladder.weights_ppm[ladder.count++] = (uint32_t)ppm;
        } else {
            return false;
        }
    }
    *ret_ladder = ladder;
    return ladder_is_sound(&ladder);
}

void progress_from_text(const char *text, int32_t step, struct rollout_journal *journal)
{
    json_t *json = text != NULL ? json_loads(text, 0, NULL) : NULL;
    const json_t *rollout = json_object_get(json, "rollout");
    json_int_t gate = json_integer_value(json_object_get(rollout, "gate"));
    bool is_sound = read_steps(json_object_get(rollout, "steps_ppm"), &journal->ladder) &&
                    step >= 0 && (uint32_t)step <= journal->ladder.count && gate >= 0 &&
                    gate < ROLLOUT_GATE_COUNT;
    if (is_sound) {
        journal->is_ascending = true;
        journal->step = (uint32_t)step;
        journal->gate = (enum rollout_gate)gate;
        journal->waiting_wall_us = json_integer_value(json_object_get(rollout, "since_us"));
    }
    json_decref(json);
}

#include "canary/controller/progress.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/check.h"

enum { STEP_TEXT_MAX = sizeof "1000000,\"pause\"," - 1, FRAME_TEXT_MAX = 128 };
_Static_assert(LADDER_STEPS_MAX *STEP_TEXT_MAX + FRAME_TEXT_MAX < PROGRESS_TEXT_SIZE,
               "all steps fit");

bool progress_to_text(const struct rollout_journal *journal, char ret_text[PROGRESS_TEXT_SIZE])
{
    const struct ladder *ladder = &journal->ladder;
    if (!journal->is_ascending) {
        return false;
    }
    int used = snprintf(ret_text, PROGRESS_TEXT_SIZE, "\"rollout\":{\"steps_ppm\":[");
    for (uint32_t i = 0; i < ladder->count; i++) {
        used +=
            snprintf(ret_text + used, PROGRESS_TEXT_SIZE - (size_t)used, "%s%u%s", i > 0 ? "," : "",
                     (unsigned)ladder->weights_ppm[i], ladder->has_gate[i] ? ",\"pause\"" : "");
    }
    used += snprintf(ret_text + used, PROGRESS_TEXT_SIZE - (size_t)used,
                     "],\"gate\":%d,\"since_us\":%lld}", (int)journal->gate,
                     (long long)journal->waiting_wall_us);
    CHECK(used < PROGRESS_TEXT_SIZE);
    return true;
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

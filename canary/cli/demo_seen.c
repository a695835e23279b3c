#include "canary/cli/demo_seen.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "proxy/base/check.h"

static const double RATE_WINDOW_S = 1.0;

static const char *const PHASE_KEYS[DEMO_PHASES] = {"detect_s", "decide_s",       "shift_s",
                                                    "drain_s",  "platform_ack_s", "verify_s"};
static const char *const PHASE_NAMES[DEMO_PHASES] = {"detect", "decide",       "shift",
                                                     "drain",  "platform_ack", "verify"};

/* `json` may be NULL in all of these. */
static void read_text(const json_t *json, char *text, size_t size)
{
    const char *string = json_string_value(json);
    size_t length = string != NULL ? strnlen(string, size - 1) : 0;
    memcpy(text, length > 0 ? string : "", length);
    text[length] = '\0';
}

static uint64_t read_count(const json_t *json)
{
    json_int_t count = json_integer_value(json);
    return count > 0 ? (uint64_t)count : 0;
}

static double read_number(const json_t *json)
{
    return json_is_number(json) ? json_number_value(json) : (double)NAN;
}

static void read_version(const json_t *json, struct demo_version_seen *version)
{
    read_text(json_object_get(json, "deployment"), version->deployment, sizeof version->deployment);
    version->requests = read_count(json_object_get(json, "requests"));
    version->failures = read_count(json_object_get(json, "failures"));
    version->client_bad = read_count(json_object_get(json, "client_bad"));
}

enum err demo_seen_read(struct bytes text, struct demo_seen *ret_seen)
{
    json_t *json = json_loadb(text.data, text.size, 0, NULL);
    const json_t *weight = json_object_get(json_object_get(json, "weight"), "set");
    if (!json_is_string(json_object_get(json, "phase")) || !json_is_number(weight)) {
        json_decref(json);
        return ERR_SYNTAX;
    }
    struct demo_seen seen = {.weight_percent = json_number_value(weight)};
    read_text(json_object_get(json, "phase"), seen.phase, sizeof seen.phase);
    read_text(json_object_get(json, "verdict"), seen.verdict, sizeof seen.verdict);
    read_text(json_object_get(json, "reason"), seen.reason, sizeof seen.reason);
    read_text(json_object_get(json, "sentence"), seen.sentence, sizeof seen.sentence);
    read_version(json_object_get(json, "current"), &seen.versions[ROLE_CURRENT]);
    read_version(json_object_get(json, "previous"), &seen.versions[ROLE_PREVIOUS]);
    json_decref(json);
    *ret_seen = seen;
    return OK;
}

static void read_record(const json_t *json, struct demo_record *record)
{
    read_text(json_object_get(json, "id"), record->id, sizeof record->id);
    read_text(json_object_get(json, "deployment"), record->deployment, sizeof record->deployment);
    read_text(json_object_get(json, "target"), record->target, sizeof record->target);
    read_text(json_object_get(json, "trigger"), record->trigger, sizeof record->trigger);
    read_text(json_object_get(json, "actor"), record->actor, sizeof record->actor);
    read_text(json_object_get(json, "mode"), record->mode, sizeof record->mode);
    read_text(json_object_get(json, "status"), record->status, sizeof record->status);
    read_text(json_object_get(json, "reason"), record->reason, sizeof record->reason);
    record->duration_s = read_number(json_object_get(json, "duration_s"));
    const json_t *phases = json_object_get(json, "phases");
    for (size_t i = 0; i < DEMO_PHASES; i++) {
        record->phases[i].name = PHASE_NAMES[i];
        record->phases[i].seconds = read_number(json_object_get(phases, PHASE_KEYS[i]));
    }
    const json_t *bad = json_object_get(json, "bad_responses");
    record->bad_origin = read_count(json_object_get(bad, "origin"));
    record->bad_client = read_count(json_object_get(bad, "client"));
}

enum err demo_record_read(struct bytes text, struct demo_record *ret_record)
{
    json_t *json = json_loadb(text.data, text.size, 0, NULL);
    const json_t *list = json_object_get(json, "rollbacks");
    enum err err = json_is_array(list) ? OK : ERR_SYNTAX;
    if (err == OK && json_array_size(list) == 0) {
        err = ERR_NOT_FOUND;
    }
    if (err == OK) {
        struct demo_record record = {0};
        read_record(json_array_get(list, 0), &record);
        *ret_record = record;
    }
    json_decref(json);
    return err;
}

bool demo_record_is_over(const struct demo_record *record)
{
    return record->status[0] != '\0' && strcmp(record->status, "in_progress") != 0;
}

void demo_rates_add(struct demo_rates *rates, const struct demo_seen *seen, double now_s)
{
    struct demo_sample sample = {.at_s = now_s};
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        sample.requests[role] = seen->versions[role].requests;
        sample.failures[role] = seen->versions[role].failures;
    }
    if (rates->count == DEMO_SAMPLES) {
        memmove(rates->samples, rates->samples + 1, sizeof sample * (DEMO_SAMPLES - 1));
        rates->count--;
    }
    rates->samples[rates->count++] = sample;
}

struct demo_rate demo_rates_of(const struct demo_rates *rates, enum role role)
{
    CHECK(role < ROLE_COUNT);
    if (rates->count < 2) {
        return (struct demo_rate){0.0, 0.0};
    }
    const struct demo_sample *last = &rates->samples[rates->count - 1];
    const struct demo_sample *first = last - 1;
    while (first > rates->samples && last->at_s - first->at_s < RATE_WINDOW_S) {
        first--;
    }
    double elapsed_s = last->at_s - first->at_s;
    if (elapsed_s <= 0.0) {
        return (struct demo_rate){0.0, 0.0};
    }
    double requests = (double)last->requests[role] - (double)first->requests[role];
    double failures = (double)last->failures[role] - (double)first->failures[role];
    return (struct demo_rate){fmax(requests, 0.0) / elapsed_s, fmax(failures, 0.0) / elapsed_s};
}

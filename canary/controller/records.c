/* canary/controller/records.c — rollback records to and from the history. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "canary/controller/controller_state.h"

void record_to_history(const struct record *record, const struct steward *steward,
                       const char *evidence, struct history_rollback *ret_row)
{
    const struct steward_recorded *recorded = &steward->recorded;
    bool is_recorded = strcmp(recorded->id, record->id) == 0;
    *ret_row = (struct history_rollback){
        .id = record->id,
        .service = steward->conf->name,
        .at_us = record->decided_wall_us,
        .deployment =
            is_recorded ? recorded->deployment : steward_deployment(steward, ROLE_CURRENT),
        .target = is_recorded ? recorded->target : steward_deployment(steward, ROLE_PREVIOUS),
        .reason = record->reason_text.text,
        .reason_code = judge_reason_name(record->reason),
        .trigger = record_trigger_name(record->trigger),
        .actor = record->actor,
        .mode = record_mode_name(record->mode),
        .status = record_status_name(record->status),
        .duration_s = record->duration_s,
        .bad_origin = record->bad_origin,
        .bad_client = record->bad_client,
        .evidence = evidence,
        .incident =
            steward->witness != NULL && record->status != RECORD_DRY_RUN ? record->id : NULL,
    };
    static_assert((int)HISTORY_PHASE_COUNT == (int)RECORD_PHASE_COUNT,
                  "phases have the same order");
    for (size_t i = 0; i < RECORD_PHASE_COUNT; i++) {
        ret_row->phase_s[i] = record->phase_s[i];
    }
}

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

char *record_evidence(const struct record *record)
{
    const struct judge_result *result = &record->evidence;
    json_t *json = json_object();
    (void)json_object_set_new(json, "first_bad_us", json_integer(record->first_bad_wall_us));
    (void)json_object_set_new(json, "weight_ppm", json_integer(record->weight_ppm));
    (void)json_object_set_new(json, "quarantining", json_boolean(record->is_quarantining));
    (void)json_object_set_new(json, "last_client_bad_s", number(record->last_client_bad_s));
    if (record->platform != RECORD_PLATFORM_NONE) {
        (void)json_object_set_new(json, "platform",
                                  json_string(record_platform_name(record->platform)));
    }
    if (record->has_evidence) {
        (void)json_object_set_new(json, "log_absolute", number(result->log_absolute));
        (void)json_object_set_new(json, "log_absolute_allowed",
                                  number(result->log_absolute_allowed));
        (void)json_object_set_new(json, "log_connect", number(result->log_connect));
        (void)json_object_set_new(json, "log_relative", number(result->log_relative));
        (void)json_object_set_new(json, "log_latency", number(result->log_latency));
        if (isfinite(result->log_not_found)) {
            (void)json_object_set_new(json, "log_not_found", number(result->log_not_found));
            (void)json_object_set_new(json, "canary_not_found",
                                      number(record->counts.canary_not_found));
            (void)json_object_set_new(json, "stable_not_found",
                                      number(record->counts.stable_not_found));
        }
        (void)json_object_set_new(json, "phi", number(result->phi));
        (void)json_object_set_new(json, "canary_requests", number(record->counts.canary_count));
        (void)json_object_set_new(json, "canary_failed", number(record->counts.canary_failed));
        (void)json_object_set_new(json, "stable_requests", number(record->counts.stable_count));
        (void)json_object_set_new(json, "stable_failed", number(record->counts.stable_failed));
    }
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

json_t *record_to_json(const struct record *record, const struct steward *steward)
{
    char *evidence = record_evidence(record);
    struct history_rollback row;
    record_to_history(record, steward, evidence, &row);
    json_t *json = history_rollback_to_json(&row);
    free(evidence);
    return json;
}

static enum judge_reason reason_find(const char *name)
{
    for (int i = 0; i < JUDGE_REASON_COUNT; i++) {
        if (name != NULL && strcmp(judge_reason_name((enum judge_reason)i), name) == 0) {
            return (enum judge_reason)i;
        }
    }
    return JUDGE_REASON_NONE;
}

/* NAN for what was no number. */
static double number_at(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

/* What the judge knew is not known twice: a record that is gone on with keeps it. */
static void read_judged(const json_t *json, struct record *record)
{
    record->has_evidence = json_object_get(json, "log_absolute") != NULL;
    if (!record->has_evidence) {
        return;
    }
    record->evidence = (struct judge_result){
        .log_absolute = number_at(json, "log_absolute"),
        .log_absolute_allowed = number_at(json, "log_absolute_allowed"),
        .log_connect = number_at(json, "log_connect"),
        .log_relative = number_at(json, "log_relative"),
        .log_latency = number_at(json, "log_latency"),
        .log_not_found = number_at(json, "log_not_found"),
        .phi = number_at(json, "phi"),
    };
    record->counts = (struct judge_tally){
        .canary_count = number_at(json, "canary_requests"),
        .canary_failed = number_at(json, "canary_failed"),
        .canary_not_found = number_at(json, "canary_not_found"),
        .stable_count = number_at(json, "stable_requests"),
        .stable_failed = number_at(json, "stable_failed"),
        .stable_not_found = number_at(json, "stable_not_found"),
    };
}

static void read_evidence(const char *text, struct record *record)
{
    json_t *json = text != NULL ? json_loads(text, 0, NULL) : NULL;
    record->first_bad_wall_us = record->decided_wall_us;
    if (json == NULL) {
        return;
    }
    json_t *first = json_object_get(json, "first_bad_us");
    if (json_is_integer(first)) {
        record->first_bad_wall_us = json_integer_value(first);
    }
    record->weight_ppm = (uint32_t)json_integer_value(json_object_get(json, "weight_ppm"));
    record->is_quarantining = json_is_true(json_object_get(json, "quarantining"));
    const char *platform = json_string_value(json_object_get(json, "platform"));
    if (platform != NULL) {
        (void)record_platform_find(platform, &record->platform);
    }
    record->last_client_bad_s = number_at(json, "last_client_bad_s");
    read_judged(json, record);
    json_decref(json);
}

bool record_from_history(const struct history_rollback *row, struct record *ret_record)
{
    struct record record;
    record_init(&record);
    bool is_known = record_trigger_find(row->trigger, &record.trigger) &&
                    record_status_find(row->status, &record.status) &&
                    record_mode_find(row->mode, &record.mode);
    if (!is_known || strlen(row->id) >= sizeof record.id) {
        return false;
    }
    (void)snprintf(record.id, sizeof record.id, "%s", row->id);
    (void)snprintf(record.actor, sizeof record.actor, "%s", row->actor);
    note_set(&record.reason_text, "%s", row->reason);
    record.reason = reason_find(row->reason_code);
    record.decided_wall_us = row->at_us;
    record.duration_s = row->duration_s;
    record.bad_origin = row->bad_origin;
    record.bad_client = row->bad_client;
    for (size_t i = 0; i < RECORD_PHASE_COUNT; i++) {
        record.phase_s[i] = row->phase_s[i];
    }
    read_evidence(row->evidence, &record);
    *ret_record = record;
    return true;
}

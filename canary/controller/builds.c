/* canary/controller/builds.c — builds that failed: rolled back when the bad one is in use, and
 * otherwise recorded and told. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "canary/controller/controller_state.h"
#include "canary/history/history_json.h"
#include "proxy/base/log.h"

/* An alert of a failed build has no end of its own. */
#define BUILD_ALERT_US UINT64_C(3600000000)

enum { SHORT_ID_SIZE = 8 }; /* of a deployment's id, so much tells it from others */

bool build_is_in_use(const struct steward *steward, const char *deployment)
{
    const struct rollout *rollout = &steward->engine.rollout;
    const char *current = steward_deployment(steward, ROLE_CURRENT);
    bool is_named = deployment != NULL && current != NULL && strcmp(current, deployment) == 0;
    bool is_going_back = rollout->phase == ROLLOUT_SHIFTING_BACK ||
                         rollout->phase == ROLLOUT_VERIFYING ||
                         rollout->phase == ROLLOUT_ROLLED_BACK;
    return is_named && !is_going_back && (rollout->weight_ppm > 0 || rollout->ascent.is_running);
}

bool build_has_failed_lately(const struct controller *controller, const struct steward *steward)
{
    return steward->build_failed_us != 0 &&
           controller_now_us(controller) - steward->build_failed_us < BUILD_ALERT_US;
}

static void fill_record(struct controller *controller, const struct admin_rollback *failure,
                        struct record *record)
{
    record_init(record);
    controller_make_id(controller, record->id);
    record->decided_wall_us = clock_wall_us(controller->clock);
    record->first_bad_wall_us = record->decided_wall_us;
    record->trigger = RECORD_BUILD;
    record->reason = JUDGE_REASON_NONE;
    record->mode = failure->is_instant ? RECORD_INSTANT : RECORD_GRADUAL;
    record->status = RECORD_DRY_RUN; /* nothing was changed */
    (void)snprintf(record->actor, sizeof record->actor, "%s", failure->actor);
    note_set(&record->reason_text, "%s", failure->reason);
}

/* The end of the log, from the beginning of a line. Freed by the caller. */
static char *copy_tail(struct bytes log)
{
    struct bytes tail = log;
    if (log.size > BUILD_LOG_MAX) {
        tail = bytes_slice(log, log.size - BUILD_LOG_MAX, BUILD_LOG_MAX);
        size_t cut = bytes_find(tail, '\n');
        tail = cut < tail.size ? bytes_slice(tail, cut + 1, tail.size - cut - 1) : tail;
    }
    char *copy = malloc(tail.size + 1);
    if (copy != NULL) {
        memcpy(copy, tail.data, tail.size);
        copy[tail.size] = '\0';
    }
    return copy;
}

static char *evidence_of(const struct admin_rollback *failure, const struct record *record)
{
    char *log = failure->build_log.size > 0 ? copy_tail(failure->build_log) : NULL;
    char *evidence = record_evidence(record);
    if (log == NULL || evidence == NULL) {
        free(log);
        return evidence;
    }
    json_t *json = json_loads(evidence, 0, NULL);
    (void)json_object_set_new(json, "build_log", history_text_to_json(log));
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    free(log);
    free(evidence);
    return text;
}

static const char *label_of(const struct admin_rollback *failure)
{
    const char *label = failure->deployment != NULL ? failure->deployment : failure->expect_current;
    return label != NULL ? label : "-";
}

static void tell(struct controller *controller, struct steward *steward,
                 const struct admin_rollback *failure, const struct record *record)
{
    struct event_facts facts = {
        .name = "SerinBuildFailed",
        .service = steward->conf->name,
        .deployment = label_of(failure),
        .severity = "warning",
        .reason = "build",
        .summary = record->reason_text.text,
    };
    log_warn("%s: build of %s failed, nothing was rolled back: %s (build.failure by %s)",
             steward->conf->name, label_of(failure), failure->reason, failure->actor);
    controller_audit(controller, failure->actor, "build.failure", steward->conf->name,
                     failure->reason);
    steward->build_failed_us = controller_now_us(controller);
    alerts_raise(controller->alerts, &facts);
}

static void keep_key(struct controller *controller, const struct admin_rollback *failure,
                     const struct record *record, struct history_key *key,
                     struct history_change *change)
{
    *key = (struct history_key){failure->key, failure->fingerprint, record->id,
                                record->decided_wall_us};
    bool has_key = failure->key != NULL && keys_add(controller->keys, key->key, key->fingerprint,
                                                    key->rollback_id, key->at_us) == OK;
    change->key = has_key ? key : NULL;
}

/* The record of a rollback has no place for the log: the trail has. */
static void audit_log(struct controller *controller, const struct admin_rollback *failure)
{
    struct record none;
    record_init(&none);
    char *evidence = evidence_of(failure, &none);
    struct history_audit row = {clock_wall_us(controller->clock), failure->actor, "build.log",
                                failure->service, evidence};
    controller_write(controller, &(struct history_change){.audit = &row}, "the build's log",
                     failure->service);
    free(evidence);
}

/* ---- one build, seen by several: a guard around the command, the watch of the platform ---- */

/* One may say the id, the other its beginning. */
static bool is_same_build(const char *a, const char *b)
{
    size_t size = strlen(a) < strlen(b) ? strlen(a) : strlen(b);
    return strcmp(a, b) == 0 || (size >= SHORT_ID_SIZE && strncmp(a, b, size) == 0);
}

void controller_note_build(struct controller *controller, struct steward *steward,
                           const struct admin_rollback *failure, const char *id, json_t *record)
{
    struct build_seen *seen = &steward->build_seen;
    json_decref(seen->record);
    *seen = (struct build_seen){.at_us = controller_now_us(controller), .record = record};
    (void)snprintf(seen->name, sizeof seen->name, "%s", label_of(failure));
    (void)snprintf(seen->actor, sizeof seen->actor, "%s", failure->actor);
    (void)snprintf(seen->id, sizeof seen->id, "%s", id);
}

/* Somebody who says it twice means two builds; another one, of the same deployment, the same. */
static bool was_seen(const struct controller *controller, const struct steward *steward,
                     const struct admin_rollback *failure)
{
    const struct build_seen *seen = &steward->build_seen;
    bool is_recent =
        seen->at_us != 0 && controller_now_us(controller) - seen->at_us < BUILD_ALERT_US;
    return is_recent && strcmp(seen->actor, failure->actor) != 0 &&
           is_same_build(seen->name, label_of(failure));
}

static json_t *seen_record(const struct steward *steward)
{
    const struct record *record = &steward->engine.rollout.record;
    const struct build_seen *seen = &steward->build_seen;
    if (seen->record != NULL) {
        return json_incref(seen->record);
    }
    bool is_rollouts = steward->engine.rollout.has_record && strcmp(record->id, seen->id) == 0;
    return is_rollouts ? record_to_json(record, steward) : NULL;
}

/* False: it was not seen before, or what came of that is forgotten. */
static bool join(struct controller *controller, struct steward *steward,
                 const struct admin_rollback *failure, struct admin_call *call)
{
    json_t *json = was_seen(controller, steward, failure) ? seen_record(steward) : NULL;
    if (json == NULL) {
        return false;
    }
    struct note text;
    struct record record;
    struct history_key key;
    struct history_change change = {.key = NULL};
    note_set(&text, "%s (the same build as in %s)", failure->reason, steward->build_seen.id);
    controller_audit(controller, failure->actor, "build.failure", steward->conf->name, text.text);
    if (failure->build_log.size > 0) {
        audit_log(controller, failure);
    }
    record_init(&record);
    (void)snprintf(record.id, sizeof record.id, "%s", steward->build_seen.id);
    record.decided_wall_us = clock_wall_us(controller->clock);
    keep_key(controller, failure, &record, &key, &change);
    if (change.key != NULL) {
        controller_write(controller, &change, "a key", steward->conf->name);
    }
    if (call != NULL) {
        admin_reply(call, &(struct admin_reply){.result = ADMIN_DONE, .body = json});
    }
    json_decref(json);
    return true;
}

void controller_record_build(struct controller *controller, struct steward *steward,
                             const struct admin_rollback *failure, struct admin_call *call)
{
    struct record record;
    struct history_rollback row;
    struct history_key key;
    if (join(controller, steward, failure, call)) {
        return;
    }
    fill_record(controller, failure, &record);
    char *evidence = evidence_of(failure, &record);
    record_to_history(&record, steward, evidence, &row);
    row.deployment = label_of(failure);
    row.target = "";
    struct history_change change = {.rollback = &row};
    keep_key(controller, failure, &record, &key, &change);
    controller_write(controller, &change, "the failed build", steward->conf->name);
    steward->rollbacks.counts[record.trigger][record.status]++;
    tell(controller, steward, failure, &record);
    json_t *json = history_rollback_to_json(&row);
    admin_publish(controller->admin, "rollback", steward->conf->name, json_incref(json));
    controller_note_build(controller, steward, failure, record.id, json_incref(json));
    if (call != NULL) {
        admin_reply(call, &(struct admin_reply){.result = ADMIN_DONE, .body = json});
    }
    json_decref(json);
    free(evidence);
}

/* False: not in this phase. */
static bool roll_back(struct controller *controller, struct steward *steward,
                      const struct admin_rollback *failure)
{
    char id[RECORD_ID_SIZE];
    controller_make_id(controller, id);
    struct rollout_command what = {.kind = ROLLOUT_ROLL_BACK,
                                   .is_build = true,
                                   .is_instant = failure->is_instant,
                                   .actor = failure->actor,
                                   .reason = failure->reason};
    struct rollout_actions actions;
    struct note note = {{0}};
    enum err err = engine_command(&steward->engine, &what, id, controller_now_us(controller),
                                  clock_wall_us(controller->clock), &actions, &note);
    if (err != OK) {
        log_info("%s: %s", steward->conf->name, note.text);
        return false;
    }
    controller_act(controller, steward, &actions, NULL);
    controller_note_build(controller, steward, failure, id, NULL);
    return true;
}

void controller_build_failed(struct controller *controller, struct steward *steward,
                             const struct admin_rollback *failure)
{
    bool is_shifted = build_is_in_use(steward, failure->expect_current) &&
                      roll_back(controller, steward, failure);
    if (!is_shifted) {
        controller_record_build(controller, steward, failure, NULL);
    } else if (failure->build_log.size > 0) {
        audit_log(controller, failure);
    }
}

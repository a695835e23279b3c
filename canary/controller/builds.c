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

void controller_record_build(struct controller *controller, struct steward *steward,
                             const struct admin_rollback *failure, struct admin_call *call)
{
    struct record record;
    struct history_rollback row;
    struct history_key key;
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
    return true;
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

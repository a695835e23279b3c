/* canary/controller/drills.c — rollbacks are rehearsed, by hand and by schedule.
 *
 * A drill publishes the split that is in force once more and looks at the platform; nothing else of
 * it reaches the world. It is looked at after the service's own engine has acted, and gives way to
 * whatever happens to the service: it is dropped then. It is in the history once it is over, so one
 * that a crash ends leaves only the line in the audit trail that it began. */
#include "canary/controller/drills.h"

#include <math.h>
#include <stdlib.h>

#include "canary/controller/controller_state.h"
#include "canary/platform/choice.h"
#include "proxy/base/log.h"

enum { LOOK_DEADLINE_MS = 60000 };

static void run_destroy(struct drill_run *run)
{
    if (run != NULL) {
        checks_finish(&run->checks);
        free(run);
    }
}

void drills_finish(struct drills *drills)
{
    run_destroy(drills->run);
    drills->run = NULL;
}

void drills_note_landed(struct drills *drills, uint64_t snapshot_number, uint64_t now_us)
{
    struct drill_run *run = drills->run;
    if (run != NULL && run->asked_snapshot > 0 && snapshot_number >= run->asked_snapshot &&
        run->landed_revision != run->asked_revision) {
        run->landed_revision = run->asked_revision;
        run->landed_us = now_us;
    }
}

bool drills_is_missed(const struct drills *drills, double target_s)
{
    return drills->has_judged && (drills->is_failed || drills->duration_s > target_s);
}

static double target_of(const struct steward *steward)
{
    return (double)steward->conf->rto_target_us / 1e6;
}

/* ---- records ---- */

static struct drill_result result_of(const struct drill_run *run, const struct record *record)
{
    struct drill_result result = {
        .record = *record,
        .target_s = run->target_s,
        .is_met = drill_is_met(&run->drill, run->target_s),
    };
    memcpy(result.deployment, run->deployment, sizeof result.deployment);
    memcpy(result.target, run->target, sizeof result.target);
    return result;
}

/* Freed by the caller; NULL without memory. */
static char *evidence_of(const struct drill_result *result)
{
    char *text = record_evidence(&result->record);
    json_t *json = text != NULL ? json_loads(text, 0, NULL) : NULL;
    free(text);
    (void)json_object_set_new(json, "target_s", json_real(result->target_s));
    if (result->record.status != RECORD_IN_PROGRESS && !result->is_dropped) {
        (void)json_object_set_new(json, "in_time", json_boolean(result->is_met));
    }
    text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

/* Borrows both. */
static void fill_row(const struct steward *steward, const struct drill_result *result,
                     const char *evidence, struct history_rollback *ret_row)
{
    record_to_history(&result->record, steward, evidence, ret_row);
    ret_row->deployment = result->deployment;
    ret_row->target = result->target;
}

static json_t *result_to_json(const struct steward *steward, const struct drill_result *result)
{
    char *evidence = evidence_of(result);
    struct history_rollback row;
    fill_row(steward, result, evidence, &row);
    json_t *json = history_rollback_to_json(&row);
    free(evidence);
    return json;
}

static struct drill_result present(const struct drill_run *run)
{
    struct record record = drill_record(&run->drill, run->target_s);
    return result_of(run, &record);
}

json_t *controller_drill_find(const struct steward *steward, const char *id)
{
    const struct drills *drills = &steward->drills;
    if (drills->run != NULL && strcmp(drills->run->drill.id, id) == 0) {
        struct drill_result result = present(drills->run);
        return result_to_json(steward, &result);
    }
    bool is_last = drills->has_last && strcmp(drills->last.record.id, id) == 0;
    return is_last ? result_to_json(steward, &drills->last) : NULL;
}

static void keep(struct controller *controller, struct steward *steward,
                 const struct drill_run *run, const struct drill_result *result)
{
    struct history_rollback row;
    char *evidence = evidence_of(result);
    struct history_key key = {run->key, run->fingerprint, run->drill.id, run->key_at_us};
    fill_row(steward, result, evidence, &row);
    controller_write(controller,
                     &(struct history_change){.rollback = &row, .key = run->has_key ? &key : NULL},
                     "the drill's record", steward->conf->name);
    admin_publish(controller->admin, "rollback", steward->conf->name,
                  history_rollback_to_json(&row));
    free(evidence);
    steward->rollbacks.counts[RECORD_DRILL][RECORD_DRY_RUN]++;
    steward->drills.last = *result;
    steward->drills.has_last = true;
}

/* ---- the end ---- */

static void tell(struct controller *controller, struct steward *steward, enum log_level level,
                 const char *event, const char *actor, const char *text)
{
    log_write(level, "%s: drill: %s (%s by %s)", steward->conf->name, text, event, actor);
    controller_audit(controller, actor, event, steward->conf->name, text);
}

void controller_drop_drill(struct controller *controller, struct steward *steward, const char *why)
{
    struct drill_run *run = steward->drills.run;
    if (run == NULL) {
        return;
    }
    struct record record = drill_record_dropped(&run->drill, why);
    struct drill_result result = result_of(run, &record);
    result.is_dropped = true;
    steward->drills.run = NULL;
    tell(controller, steward, LOG_LEVEL_INFO, "drill.drop", record.actor, record.reason_text.text);
    keep(controller, steward, run, &result);
    run_destroy(run);
}

void controller_drop_drills(struct controller *controller, const char *why)
{
    for (size_t i = 0; i < controller->steward_count; i++) {
        controller_drop_drill(controller, controller->stewards[i], why);
    }
}

static void note_judged(struct drills *drills, const struct drill_result *result, bool is_failed,
                        int64_t wall_us)
{
    drills->has_judged = true;
    drills->is_failed = is_failed;
    drills->duration_s = is_failed ? (double)NAN : result->record.duration_s;
    drills->judged_target_s = result->target_s;
    drills->judged_wall_us = wall_us;
}

static void end(struct controller *controller, struct steward *steward)
{
    struct drill_run *run = steward->drills.run;
    struct drill_result result = present(run);
    struct rollout_action action = {
        .kind = result.is_met ? ROLLOUT_TELL : ROLLOUT_RAISE_ALERT,
        .event = result.is_met ? "drill.done" : "drill.missed",
    };
    steward->drills.run = NULL;
    note_set(&action.text, "drill: %s", result.record.reason_text.text);
    tell(controller, steward, result.is_met ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, action.event,
         result.record.actor, result.record.reason_text.text);
    keep(controller, steward, run, &result);
    note_judged(&steward->drills, &result, run->drill.state == DRILL_FAILED,
                clock_wall_us(controller->clock));
    if (result.is_met) {
        controller_notice(controller, steward, &action);
    }
    controller_alarm(controller, steward, &action);
    run_destroy(run);
}

/* ---- the platform ---- */

/* A look under way; it outlives the drill, and knows it by name. */
struct look {
    struct controller *controller;
    char service[CONF_NAME_MAX + 1];
    char id[RECORD_ID_SIZE];
    char current[TELLER_NAME_SIZE]; /* the canary, as the platform may know it */
};

static struct drill_run *run_of(const struct look *look)
{
    const struct steward *steward = controller_find(look->controller, look->service);
    struct drill_run *run = steward != NULL ? steward->drills.run : NULL;
    return run != NULL && strcmp(run->drill.id, look->id) == 0 ? run : NULL;
}

/* As a rollback would end (see teller.h). */
static enum record_platform outcome_of(const struct look *look,
                                       const struct platform_answer *answer)
{
    bool is_other = answer->live != NULL && !choice_is_expected(answer->live, look->current);
    bool is_refused = answer->result == PLATFORM_REFUSED || answer->result == PLATFORM_ALREADY;
    if (is_other && is_refused) {
        return RECORD_PLATFORM_NOT_NEEDED;
    }
    bool would_go = answer->result == PLATFORM_DONE || answer->result == PLATFORM_ALREADY;
    return would_go ? RECORD_PLATFORM_ACKNOWLEDGED : RECORD_PLATFORM_GIVEN_UP;
}

static void on_looked(void *context, const struct platform_answer *answer)
{
    struct look *look = context;
    struct drill_run *run = run_of(look);
    if (run != NULL) {
        drill_note_platform(&run->drill, outcome_of(look, answer), answer->text,
                            controller_now_us(look->controller));
    }
    free(look);
}

/* ERR_NOT_FOUND: there is none; ERR_UNSUPPORTED: it cannot be looked at without being changed. */
static enum err look_at(struct controller *controller, const struct steward *steward,
                        const struct drill_run *run, struct note *note)
{
    struct look *look = malloc(sizeof *look);
    if (look == NULL) {
        return ERR_NOMEM;
    }
    look->controller = controller;
    (void)snprintf(look->service, sizeof look->service, "%s", steward->conf->name);
    (void)snprintf(look->id, sizeof look->id, "%s", run->drill.id);
    (void)snprintf(look->current, sizeof look->current, "%s",
                   controller_platform_name(steward, ROLE_CURRENT));
    struct platform_ask ask = {
        .operation = PLATFORM_LOOK,
        .target = controller_platform_name(steward, ROLE_PREVIOUS),
        .expect_current = look->current,
        .deadline_ms = LOOK_DEADLINE_MS,
    };
    enum err err =
        teller_look(controller->teller, steward->conf->name, &ask, on_looked, look, note);
    if (err != OK) {
        free(look);
    }
    return err;
}

static void ask_platform(struct controller *controller, const struct steward *steward,
                         struct drill_run *run)
{
    struct note note = {""};
    enum err err = look_at(controller, steward, run, &note);
    if (err == ERR_NOT_FOUND || err == ERR_UNSUPPORTED) {
        drill_note_platform(&run->drill, RECORD_PLATFORM_NOT_NEEDED, NULL, 0);
    } else if (err != OK) {
        drill_note_platform(&run->drill, RECORD_PLATFORM_GIVEN_UP,
                            note.text[0] != '\0' ? note.text : err_text(err), 0);
    }
}

/* ---- while it runs ---- */

/* NULL: it may go on. */
static const char *why_dropped(const struct steward *steward, const struct drill_run *run)
{
    const struct engine *engine = &steward->engine;
    if (engine->finding.verdict == JUDGE_BREACH || engine->rollout.is_outage_held) {
        return "the canary is in trouble";
    }
    if (steward_contained_count(steward) > 0) {
        return "workers hold the canary back";
    }
    return engine->rollout.revision != run->service_revision
               ? "the service's weight, phase or version has changed"
               : NULL;
}

static void look(struct controller *controller, struct steward *steward, uint64_t now_us,
                 int64_t wall_us)
{
    struct drill_run *run = steward->drills.run;
    const struct version_reading *stable = &steward->versions[ROLE_PREVIOUS].reading;
    checks_look(&run->checks, controller, steward, rollout_asked_round(&run->drill.engine.rollout));
    struct drill_input input = {
        .wall_us = wall_us,
        .stable_live = steward_reachable_count(steward, ROLE_PREVIOUS),
        .stable_count = stable->ok + stable->err,
        .stable_failed = stable->err,
        .landed_revision = run->landed_revision,
        .landed_us = run->landed_us,
        .checked = run->checks.checked,
    };
    struct drill_wish wish;
    drill_tick(&run->drill, &input, now_us, &wish);
    if (wish.wants_publish) {
        run->asked_revision = wish.revision;
        run->asked_snapshot = controller->snapshot_number + 1;
        controller_publish(controller);
    }
    if (wish.wants_platform) {
        ask_platform(controller, steward, run);
    }
    if (run->drill.state != DRILL_RUNNING) {
        end(controller, steward);
    }
}

void controller_drill_tick(struct controller *controller, struct steward *steward, uint64_t now_us,
                           int64_t wall_us)
{
    if (steward->drills.run == NULL) {
        return;
    }
    const char *why = why_dropped(steward, steward->drills.run);
    if (why != NULL) {
        controller_drop_drill(controller, steward, why);
    } else {
        look(controller, steward, now_us, wall_us);
    }
}

/* ---- the beginning ---- */

static enum err check(const struct controller *controller, const struct steward *steward,
                      struct note *note)
{
    const struct rollout *rollout = &steward->engine.rollout;
    bool is_resting = rollout->phase == ROLLOUT_IDLE || rollout->phase == ROLLOUT_PAUSED ||
                      rollout->phase == ROLLOUT_SUCCEEDED || rollout->phase == ROLLOUT_ROLLED_BACK;
    bool is_in_trouble = steward->engine.finding.verdict == JUDGE_BREACH ||
                         rollout->is_outage_held || steward_contained_count(steward) > 0;
    if (controller->stage != CONTROLLER_SERVING || !controller->is_started) {
        note_set(note, "the process is not ready, or about to end");
    } else if (!steward_has_canary(steward)) {
        note_set(note, "the service has no current version");
    } else if (steward->drills.run != NULL) {
        note_set(note, "a drill runs already");
    } else if (rollout->ascent.is_running || !is_resting) {
        note_set(note, "a drill is not possible while a rollout or a shift runs: the phase is %s",
                 rollout_phase_name(rollout->phase));
    } else if (is_in_trouble) {
        note_set(note, "a drill is not possible while the canary is in trouble");
    } else {
        return OK;
    }
    return ERR_STATE;
}

/* ERR_STATE: the note says why; ERR_NOMEM. */
static enum err begin(struct controller *controller, struct steward *steward, const char *actor,
                      struct note *note)
{
    enum err err = check(controller, steward, note);
    if (err != OK) {
        return err;
    }
    struct drill_run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        note_set(note, "out of memory");
        return ERR_NOMEM;
    }
    char id[RECORD_ID_SIZE];
    controller_make_id(controller, id);
    struct engine_config config = steward_engine_config(steward->conf);
    drill_init(&run->drill, &config, id, actor, controller_now_us(controller),
               clock_wall_us(controller->clock));
    run->target_s = target_of(steward);
    run->service_revision = steward->engine.rollout.revision;
    (void)snprintf(run->deployment, sizeof run->deployment, "%s",
                   steward_deployment(steward, ROLE_CURRENT));
    (void)snprintf(run->target, sizeof run->target, "%s",
                   steward_deployment(steward, ROLE_PREVIOUS));
    steward->drills.run = run;
    tell(controller, steward, LOG_LEVEL_INFO, "drill.start", actor,
         "a rollback is rehearsed; nobody's requests are touched");
    return OK;
}

void controller_drill(void *context, struct admin_call *call, const struct admin_drill *wish)
{
    struct controller *controller = context;
    struct steward *steward = controller_find(controller, wish->service);
    struct note note = {""};
    if (steward == NULL) {
        admin_reply(call, &(struct admin_reply){.result = ADMIN_UNKNOWN,
                                                .detail = "There is no such service.",
                                                .field = "service"});
        return;
    }
    if (controller_is_replay(controller, call, wish->key, wish->fingerprint)) {
        return;
    }
    enum err err = begin(controller, steward, wish->actor, &note);
    if (err != OK) {
        admin_reply(call, &(struct admin_reply){.result = err == ERR_STATE ? ADMIN_CONFLICT
                                                                           : ADMIN_UNAVAILABLE,
                                                .detail = note.text});
        return;
    }
    struct drill_run *run = steward->drills.run;
    run->key_at_us = clock_wall_us(controller->clock);
    run->has_key = wish->key != NULL && keys_add(controller->keys, wish->key, wish->fingerprint,
                                                 run->drill.id, run->key_at_us) == OK;
    (void)snprintf(run->key, sizeof run->key, "%s", run->has_key ? wish->key : "");
    (void)snprintf(run->fingerprint, sizeof run->fingerprint, "%s",
                   run->has_key ? wish->fingerprint : "");
    struct drill_result result = present(run);
    json_t *body = result_to_json(steward, &result);
    admin_reply(call, &(struct admin_reply){.result = ADMIN_ACCEPTED, .body = body});
    json_decref(body);
}

/* ---- the schedule ---- */

static int64_t slot_of(const struct conf_drill *conf, int64_t wall_us)
{
    int64_t since_us = wall_us - (int64_t)conf->at_us;
    return since_us > 0 ? since_us / (int64_t)conf->every_us : 0;
}

void controller_drill_schedule(struct controller *controller, struct steward *steward)
{
    const struct conf_drill *conf = &steward->conf->drill;
    struct drills *drills = &steward->drills;
    if (!conf->is_on) {
        drills->every_us = 0;
        return;
    }
    int64_t slot = slot_of(conf, clock_wall_us(controller->clock));
    bool is_same = drills->every_us == conf->every_us && drills->at_us == conf->at_us;
    bool is_due = is_same && slot > drills->slot;
    drills->every_us = conf->every_us;
    drills->at_us = conf->at_us;
    drills->slot = slot;
    struct note note = {""};
    if (is_due && begin(controller, steward, "schedule", &note) != OK) {
        tell(controller, steward, LOG_LEVEL_INFO, "drill.skip", "schedule", note.text);
    }
}

/* canary/controller/recovery.c — where each service stood: after a start, and when a reload brings
 * back what another one took away.
 *
 * A service that is known with both versions goes on where it stood. With another stable version
 * the canary keeps its weight, or has none when it was being rolled back; a rollout ends there. A
 * canary that is seen for the first time gets the file's weight, or without one begins a rollout.
 */
#include <math.h>
#include <stdlib.h>

#include "canary/controller/controller_state.h"
#include "proxy/base/log.h"

static bool is_same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* A version that does not exist has the empty name. */
static bool is_version(const char *remembered, const char *deployment)
{
    return deployment != NULL ? strcmp(remembered, deployment) == 0 : remembered[0] == '\0';
}

/* ---- what is remembered ---- */

static struct remembered *find_remembered(const struct controller *controller, const char *service)
{
    for (size_t i = 0; i < controller->remembered_count; i++) {
        if (strcmp(controller->remembered[i].service, service) == 0) {
            return &controller->remembered[i];
        }
    }
    return NULL;
}

static struct remembered *make_remembered(struct controller *controller, const char *service)
{
    struct remembered *one = find_remembered(controller, service);
    if (one != NULL) {
        lineup_finish(&one->lineup);
        return one;
    }
    size_t count = controller->remembered_count + 1;
    struct remembered *more = realloc(controller->remembered, count * sizeof *more);
    if (more == NULL) {
        return NULL;
    }
    controller->remembered = more;
    controller->remembered_count = count;
    return &more[count - 1];
}

/* ERR_NOMEM: nothing of it is remembered that could mislead. */
static enum err remember_lineup(const struct history_service *state, struct remembered *one)
{
    enum err err = lineup_from_detail(state->detail, &one->lineup);
    if (err == ERR_SYNTAX) {
        log_error("%s: what was started at run time cannot be read from the state file: the "
                  "configuration's versions are in force",
                  state->name);
    }
    return err == ERR_NOMEM ? err : OK;
}

static enum err remember(struct controller *controller, const struct history_service *state)
{
    struct remembered *one = make_remembered(controller, state->name);
    if (one == NULL) {
        return ERR_NOMEM;
    }
    *one = (struct remembered){
        .weight_ppm = state->weight_ppm,
        .revision = state->revision,
        .salt = state->salt,
    };
    one->is_phase_known = rollout_phase_find(state->phase, &one->phase);
    progress_from_text(state->detail, state->step, &one->progress);
    (void)snprintf(one->service, sizeof one->service, "%s", state->name);
    (void)snprintf(one->current, sizeof one->current, "%s",
                   state->current_deployment != NULL ? state->current_deployment : "");
    (void)snprintf(one->previous, sizeof one->previous, "%s",
                   state->previous_deployment != NULL ? state->previous_deployment : "");
    return remember_lineup(state, one);
}

void controller_remember(struct controller *controller, struct steward *steward)
{
    const struct rollout *rollout = &steward->engine.rollout;
    if (rollout->has_record && rollout->record.status == RECORD_IN_PROGRESS) {
        struct rollout_command command = {
            .kind = ROLLOUT_DEPLOY,
            .is_quarantined = rollout->is_quarantined,
            .actor = "config",
        };
        controller_command(controller, steward, &command);
    }
    if (rollout->raise_revision != 0) {
        struct rollout_command command = {
            .kind = ROLLOUT_SET_WEIGHT,
            .weight_ppm = steward->published_ppm,
            .is_undo = true,
            .actor = "config",
            .reason = "the service was taken away before the weight was written down",
        };
        controller_command(controller, steward, &command);
    }
    struct history_service state;
    controller_fill_state(controller, steward, &state);
    if (remember(controller, &state) != OK) {
        log_error("%s: where it stands is known to the state file only", state.name);
    }
}

void controller_forget_remembered(struct controller *controller)
{
    for (size_t i = 0; i < controller->remembered_count; i++) {
        lineup_finish(&controller->remembered[i].lineup);
    }
    free(controller->remembered);
    controller->remembered = NULL;
    controller->remembered_count = 0;
}

/* ---- versions that were started at run time ---- */

void controller_tell_overruled(struct controller *controller, const struct steward *steward)
{
    struct note versions;
    struct note text;
    steward_say_versions(steward, &versions);
    note_set(&text,
             "the configuration names other versions than when a rollout was started at run time, "
             "and is in force again: %s",
             versions.text);
    log_warn("%s: %s", steward->conf->name, text.text);
    controller_audit(controller, "config", "deployment.overrule", steward->conf->name, text.text);
}

enum err controller_recall_versions(struct controller *controller, struct steward *steward)
{
    const struct remembered *before = find_remembered(controller, steward->conf->name);
    if (before == NULL || !before->lineup.is_started) {
        return OK;
    }
    if (!lineup_holds(&before->lineup, steward->conf)) {
        controller_tell_overruled(controller, steward);
        return OK;
    }
    struct lineup lineup;
    struct steward_cast cast;
    enum err err = lineup_follow(&before->lineup, steward->conf, &lineup);
    if (err == OK) {
        err = steward_prepare(&controller->registry, steward->conf, &lineup, &cast);
    }
    if (err == OK) {
        steward_adopt(steward, steward->conf, &cast);
    }
    return err;
}

/* ---- going on ---- */

static bool was_rolling_back(const struct remembered *before)
{
    return before->phase == ROLLOUT_SHIFTING_BACK || before->phase == ROLLOUT_VERIFYING;
}

uint32_t controller_first_weight(const struct controller *controller, const struct steward *steward)
{
    const struct conf_service *conf = steward->conf;
    bool may_have_weight =
        conf->has_weight && steward_has_canary(steward) && !controller->is_history_unread;
    return may_have_weight ? conf->weight_ppm : 0;
}

bool controller_starts_rollout(const struct controller *controller, const struct steward *steward)
{
    const struct conf_service *conf = steward->conf;
    return steward_has_canary(steward) && !conf->has_weight && conf->rollout.is_on &&
           !controller->is_history_unread;
}

/* The file knows the canary as it is now. */
static bool is_known(const struct remembered *before, const struct steward *steward)
{
    const char *deployment = steward_deployment(steward, ROLE_CURRENT);
    return before != NULL && deployment != NULL && is_version(before->current, deployment);
}

/* Phase and weight to go on with; the record is added by who knows one. */
static struct rollout_journal journal_of(const struct controller *controller,
                                         struct steward *steward, const struct remembered *before)
{
    const char *name = steward->conf->name;
    const char *deployment = steward_deployment(steward, ROLE_CURRENT);
    struct rollout_journal journal = {
        .phase = ROLLOUT_IDLE,
        .revision = before->revision,
        .is_quarantined = controller_is_quarantined(controller, name, deployment),
    };
    if (!is_known(before, steward)) {
        journal.weight_ppm = controller_first_weight(controller, steward);
        return journal;
    }
    steward->rollout = before->salt;
    if (!before->is_phase_known) {
        log_warn("%s: the phase it was in is not known here: the canary begins without weight",
                 name);
    } else if (is_version(before->previous, steward_deployment(steward, ROLE_PREVIOUS))) {
        journal.phase = before->phase;
        journal.weight_ppm = before->weight_ppm;
        journal.is_ascending = before->progress.is_ascending;
        journal.ladder = before->progress.ladder;
        journal.step = before->progress.step;
        journal.gate = before->progress.gate;
        journal.waiting_wall_us = before->progress.waiting_wall_us;
    } else if (!was_rolling_back(before)) {
        journal.weight_ppm = before->weight_ppm;
    }
    return journal;
}

static void start_rollout(struct controller *controller, struct steward *steward)
{
    struct rollout_command command = {.kind = ROLLOUT_START, .actor = "config"};
    controller_command(controller, steward, &command);
}

static void begin(struct controller *controller, struct steward *steward,
                  const struct record *record)
{
    const struct remembered *before = find_remembered(controller, steward->conf->name);
    struct engine_config config = steward_engine_config(steward->conf);
    if (before != NULL) {
        struct rollout_journal journal = journal_of(controller, steward, before);
        journal.has_record = record != NULL;
        if (record != NULL) {
            journal.record = *record;
        }
        engine_recover(&steward->engine, &config, &journal, controller_now_us(controller),
                       clock_wall_us(controller->clock));
        log_info("%s: goes on in phase %s", steward->conf->name,
                 rollout_phase_name(steward->engine.rollout.phase));
    } else {
        const char *deployment = steward_deployment(steward, ROLE_CURRENT);
        engine_init(&steward->engine, &config, controller_first_weight(controller, steward),
                    controller_is_quarantined(controller, steward->conf->name, deployment));
    }
    steward->published_ppm = steward->engine.rollout.weight_ppm;
    steward->published_revision = steward->engine.rollout.weight_revision;
    if (!controller->is_history_unread) {
        controller_write_state(controller, steward);
    }
    bool is_canary_new = steward_has_canary(steward) && !is_known(before, steward);
    if (is_canary_new) {
        teller_overtake(controller->teller, steward->conf->name);
    }
    if (is_canary_new && controller_starts_rollout(controller, steward)) {
        start_rollout(controller, steward);
    }
}

void controller_begin_service(struct controller *controller, struct steward *steward)
{
    begin(controller, steward, NULL);
}

/* ---- the start ---- */

static void recover_keys(struct controller *controller, const struct history_state *state)
{
    for (size_t i = 0; i < state->key_count; i++) {
        const struct history_key *key = &state->keys[i];
        if (keys_add(controller->keys, key->key, key->fingerprint, key->rollback_id, key->at_us) !=
            OK) {
            log_warn("an Idempotency-Key of before is not known any more");
        }
    }
}

static void recover_quarantines(struct controller *controller, const struct history_state *state)
{
    for (size_t i = 0; i < state->quarantine_count; i++) {
        const struct history_quarantine *row = &state->quarantines[i];
        controller_note_quarantine(controller, row->service, row->deployment, row->reason,
                                   row->since_us, false);
    }
}

/* A rollback can go on where both of its versions are still the service's. */
static bool may_resume(const struct controller *controller, const struct history_rollback *row)
{
    const struct steward *steward = controller_find(controller, row->service);
    return steward != NULL && find_remembered(controller, row->service) != NULL &&
           is_same_text(row->deployment, steward_deployment(steward, ROLE_CURRENT)) &&
           is_same_text(row->target, steward_deployment(steward, ROLE_PREVIOUS));
}

static void resume(struct controller *controller, const struct history_rollback *row,
                   const struct record *record)
{
    struct steward *steward = controller_find(controller, row->service);
    steward_note_record(steward, record);
    begin(controller, steward, record);
    steward->is_begun = true;
}

static void supersede(struct controller *controller, struct history_rollback *row)
{
    log_warn("%s: the rollback %s of %s cannot go on: the versions are others now", row->service,
             row->id, row->deployment);
    row->status = record_status_name(RECORD_SUPERSEDED);
    controller_write(controller, &(struct history_change){.rollback = row}, "the rollback's record",
                     row->service);
}

/* The quarantine is part of the rollback, whatever becomes of it. */
static void quarantine(struct controller *controller, const struct history_rollback *row)
{
    if (controller_is_quarantined(controller, row->service, row->deployment)) {
        return;
    }
    struct history_quarantine quarantine = {
        .service = row->service,
        .deployment = row->deployment,
        .reason = row->reason,
        .since_us = row->at_us,
    };
    controller_note_quarantine(controller, row->service, row->deployment, row->reason, row->at_us,
                               false);
    controller_write(controller, &(struct history_change){.quarantine = &quarantine},
                     "the quarantine", row->service);
}

/* The newest of a service first: an older one that was left over is not gone on with. */
static void recover_rollbacks(struct controller *controller, const struct history_state *state)
{
    for (size_t i = state->rollback_count; i > 0; i--) {
        struct history_rollback *row = &state->rollbacks[i - 1];
        struct record record;
        bool is_read = record_from_history(row, &record);
        bool is_open = !is_read || record.status == RECORD_IN_PROGRESS;
        if (is_open && (!is_read || record.is_quarantining)) {
            quarantine(controller, row); /* of one that has failed it was written long ago */
        }
        const struct steward *steward = controller_find(controller, row->service);
        bool is_first = steward != NULL && !steward->is_begun;
        if (is_read && is_first && may_resume(controller, row)) {
            resume(controller, row, &record);
        } else if (is_open) {
            supersede(controller, row);
        }
    }
}

static enum err recall(struct controller *controller, const struct history_state *state)
{
    enum err err = OK;
    for (size_t i = 0; i < state->service_count && err == OK; i++) {
        err = remember(controller, &state->services[i]);
    }
    for (size_t i = 0; i < controller->steward_count && err == OK; i++) {
        err = controller_recall_versions(controller, controller->stewards[i]);
    }
    return err;
}

enum err controller_begin_services(struct controller *controller)
{
    struct history_state state;
    int64_t now_us = clock_wall_us(controller->clock);
    enum err err = OK;
    controller->is_history_unread = history_load(controller->history, now_us, &state) != OK;
    if (controller->is_history_unread) {
        log_error("the state file cannot be read: canaries begin without weight");
    } else {
        err = recall(controller, &state);
        recover_keys(controller, &state);
        for (size_t i = 0; i < state.alert_count; i++) {
            alerts_restore(controller->alerts, state.alerts[i].seq, state.alerts[i].body);
        }
        for (size_t i = 0; i < state.platform_count; i++) {
            teller_restore(controller->teller, state.platforms[i].rollback,
                           state.platforms[i].body);
        }
        for (size_t i = 0; i < state.watch_count; i++) {
            controller_restore_watch(controller, &state.watches[i]);
        }
        recover_quarantines(controller, &state);
        recover_rollbacks(controller, &state);
        history_state_finish(&state);
    }
    for (size_t i = 0; i < controller->steward_count; i++) {
        if (!controller->stewards[i]->is_begun) {
            begin(controller, controller->stewards[i], NULL);
        }
    }
    return err;
}

/* ---- another state file ---- */

/* The rollback that a start would go on with, or the last one, which a key may stand for. */
static const struct record *record_to_keep(const struct steward *steward)
{
    const struct rollout *rollout = &steward->engine.rollout;
    bool is_open = rollout->has_record && (rollout->record.status == RECORD_IN_PROGRESS ||
                                           rollout->phase == ROLLOUT_ROLLBACK_FAILED);
    if (is_open) {
        return &rollout->record;
    }
    return steward->has_written ? &steward->written : NULL;
}

/* Where it stands, and its rollback. */
static void write_service_anew(struct controller *controller, const struct steward *steward)
{
    const struct record *record = record_to_keep(steward);
    struct history_service state;
    struct history_rollback row;
    struct history_change change = {.service = &state};
    char *evidence = NULL;
    controller_fill_state(controller, steward, &state);
    if (record != NULL) {
        evidence = record_evidence(record);
        record_to_history(record, steward, evidence, &row);
        change.rollback = &row;
    }
    controller_write(controller, &change, "state", state.name);
    free(evidence);
}

static void write_quarantine_anew(struct controller *controller, const struct quarantined *one)
{
    struct history_quarantine quarantine = {
        .service = one->service,
        .deployment = one->deployment,
        .reason = one->reason,
        .since_us = one->since_us,
    };
    controller_write(controller, &(struct history_change){.quarantine = &quarantine},
                     "the quarantine", one->service);
}

static void write_platform_anew(void *context, const char *rollback, const char *body)
{
    struct history_platform platform = {.rollback = rollback, .body = body, .ack_s = NAN};
    controller_write(context, &(struct history_change){.platform = &platform},
                     "the platform's journal", rollback);
}

/* A request that comes again is not to be done again, also where its record is lost. */
static void write_key_anew(void *context, const char *key, const char *fingerprint,
                           const char *rollback_id, int64_t at_us)
{
    struct history_key row = {key, fingerprint, rollback_id, at_us};
    controller_write(context, &(struct history_change){.key = &row}, "the Idempotency-Key",
                     rollback_id);
}

void controller_renew_state(struct controller *controller)
{
    if (!history_take_renewed(controller->history) || controller->is_history_unread) {
        return;
    }
    log_warn("the state file was lost and is another one now: what holds is written down again, "
             "what was before is not in it");
    for (size_t i = 0; i < controller->quarantined_count; i++) {
        write_quarantine_anew(controller, &controller->quarantined[i]);
    }
    for (size_t i = 0; i < controller->steward_count; i++) {
        write_service_anew(controller, controller->stewards[i]);
    }
    keys_visit(controller->keys, clock_wall_us(controller->clock), write_key_anew, controller);
    if (teller_write_again(controller->teller, write_platform_anew, controller) != OK) {
        log_error("out of memory: a restart will not know what platforms are still to be told");
    }
    alerts_write_again(controller->alerts);
    controller_renew_watch(controller);
    controller_audit(controller, "serin", "state.renew", NULL,
                     "the state file before was deleted, replaced or overwritten");
}

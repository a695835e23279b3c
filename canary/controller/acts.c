/* canary/controller/acts.c — carries out what an engine answered, in the order in which it says it.
 *
 * Towards safety: the split is published, then written down. Towards risk: written down
 * (synchronous=FULL), then published. A list that waits for its write holds up nothing but itself.
 */
#include <stdlib.h>

#include "canary/controller/controller_state.h"
#include "proxy/base/log.h"

struct act {
    struct list link; /* in controller->acts */
    struct controller *controller;
    char service[CONF_NAME_MAX + 1]; /* by name: the steward may go while this waits */
    struct rollout_actions actions;
    size_t next;
    struct admin_call *call; /* to be answered, or NULL */
    bool shows_record;
};

static void run(struct act *act);

static struct steward *steward_of(const struct act *act)
{
    return controller_find(act->controller, act->service);
}

/* ---- answers ---- */

static void answer(struct act *act)
{
    if (act->call == NULL) {
        return;
    }
    struct admin_reply reply = {.result = ADMIN_DONE, .service = act->service};
    if (act->shows_record) {
        struct steward *steward = steward_of(act);
        reply = (struct admin_reply){
            .result = ADMIN_ACCEPTED,
            .body = steward != NULL ? record_to_json(&act->actions.record, steward) : NULL};
    }
    struct admin_call *call = act->call;
    act->call = NULL;
    admin_reply(call, &reply);
    json_decref(reply.body);
}

static void finish(struct act *act)
{
    answer(act);
    list_remove(&act->link);
    free(act);
}

/* ---- writing ---- */

static void fill_state(const struct steward *steward, struct history_service *ret_state)
{
    const struct rollout *rollout = &steward->engine.rollout;
    *ret_state = (struct history_service){
        .name = steward->conf->name,
        .current_deployment = steward_deployment(steward, ROLE_CURRENT),
        .previous_deployment = steward_deployment(steward, ROLE_PREVIOUS),
        .weight_ppm = rollout->weight_ppm,
        .phase = rollout_phase_name(rollout->phase),
        .revision = rollout->revision,
        .salt = steward->rollout,
        .updated_us = clock_wall_us(clock_system()),
    };
}

static void complain(enum err err, const char *what, const char *service)
{
    if (err != OK) {
        log_error("%s: %s was not written: %s", service, what, err_text(err));
    }
}

void controller_write_state(struct controller *controller, const struct steward *steward)
{
    struct history_service state;
    fill_state(steward, &state);
    struct history_change change = {.service = &state};
    complain(history_write(controller->history, &change, HISTORY_SOON, NULL, NULL), "state",
             steward->conf->name);
}

void controller_audit(struct controller *controller, const char *actor, const char *action,
                      const char *service, const char *text)
{
    json_t *detail = json_pack("{s:s}", "text", text);
    char *detail_text = detail != NULL ? json_dumps(detail, JSON_COMPACT) : NULL;
    struct history_audit audit = {clock_wall_us(clock_system()), actor, action, service,
                                  detail_text};
    struct history_change change = {.audit = &audit};
    complain(history_write(controller->history, &change, HISTORY_SOON, NULL, NULL), action,
             service != NULL ? service : "serin");
    free(detail_text);
    json_decref(detail);
}

/* The workers still have the weight from before: the engine is told so. */
static void take_back(struct act *act)
{
    struct steward *steward = steward_of(act);
    if (steward == NULL || steward->engine.rollout.weight_ppm <= steward->published_ppm) {
        return;
    }
    struct rollout_command command = {
        .kind = ROLLOUT_SET_WEIGHT,
        .weight_ppm = steward->published_ppm,
        .actor = "serin",
        .reason = "the change could not be written down",
    };
    controller_command(act->controller, steward, &command);
}

static void on_barrier(void *context, enum err err)
{
    struct act *act = context;
    if (err == OK) {
        run(act);
        return;
    }
    log_error("%s: not done, because it could not be written down first: %s", act->service,
              err_text(err));
    take_back(act);
    struct admin_call *call = act->call;
    act->call = NULL;
    if (call != NULL) {
        admin_reply(
            call,
            &(struct admin_reply){
                .result = ADMIN_UNAVAILABLE,
                .detail =
                    "the change could not be written to the state file; nothing was changed"});
    }
    finish(act);
}

/* True when the list has to wait. */
static bool write_state(struct act *act, struct steward *steward,
                        const struct rollout_action *action)
{
    if (!action->is_barrier) {
        controller_write_state(act->controller, steward);
        return false;
    }
    struct history_service state;
    fill_state(steward, &state);
    struct history_change change = {.service = &state};
    enum err err =
        history_write(act->controller->history, &change, HISTORY_DURABLE, on_barrier, act);
    if (err != OK) {
        on_barrier(act, err);
    }
    return true;
}

static void write_record(struct act *act, struct steward *steward)
{
    struct controller *controller = act->controller;
    const struct record *record = &act->actions.record;
    char *evidence = record_evidence(record);
    struct history_rollback row;
    record_to_history(record, steward, evidence, &row);
    struct history_change change = {.rollback = &row};
    complain(history_write(controller->history, &change, HISTORY_SOON, NULL, NULL),
             "the rollback's record", act->service);
    admin_publish(controller->admin, "rollback", act->service, history_rollback_to_json(&row));
    free(evidence);
    bool is_over = record->status != RECORD_IN_PROGRESS;
    struct steward_rollbacks *rollbacks = &steward->rollbacks;
    if (!is_over) {
        return;
    }
    rollbacks->counts[record->trigger][record->status]++;
    if (record->status == RECORD_DRY_RUN) {
        return;
    }
    rollbacks->last_wall_us = record->decided_wall_us;
    if (record->duration_s >= 0) {
        histogram_record(&rollbacks->durations, (uint64_t)(record->duration_s * 1e6));
    }
    for (size_t i = 0; i < RECORD_PHASE_COUNT; i++) {
        if (record->phase_s[i] >= 0) {
            histogram_record(&rollbacks->phases[i], (uint64_t)(record->phase_s[i] * 1e6));
        }
    }
}

static void write_quarantine(struct act *act, struct steward *steward,
                             const struct rollout_action *action, bool is_released)
{
    struct history_quarantine quarantine = {
        .service = act->service,
        .deployment = steward_deployment(steward, ROLE_CURRENT),
        .reason = action->text.text,
        .since_us = clock_wall_us(clock_system()),
        .is_released = is_released,
    };
    struct history_change change = {.quarantine = &quarantine};
    complain(history_write(act->controller->history, &change, HISTORY_SOON, NULL, NULL),
             "the quarantine", act->service);
    controller_note_quarantine(act->controller, act->service, quarantine.deployment, is_released);
    (void)snprintf(steward->quarantine_reason, sizeof steward->quarantine_reason, "%s",
                   action->text.text);
    steward->quarantined_us = quarantine.since_us;
    controller_publish(act->controller);
    admin_publish(
        act->controller->admin, "quarantine", act->service,
        json_pack("{s:s, s:b}", "deployment", quarantine.deployment, "released", is_released));
}

/* ---- telling ---- */

static void tell(struct act *act, const struct rollout_action *action)
{
    static const enum log_level levels[] = {[ROLLOUT_INFO] = LOG_LEVEL_INFO,
                                            [ROLLOUT_WARN] = LOG_LEVEL_WARN,
                                            [ROLLOUT_ERROR] = LOG_LEVEL_ERROR};
    log_write(levels[action->level], "%s: %s (%s by %s)", act->service, action->text.text,
              action->event, action->actor);
    controller_audit(act->controller, action->actor, action->event, act->service,
                     action->text.text);
    admin_publish(act->controller->admin, "phase", act->service,
                  json_pack("{s:s, s:s, s:s}", "event", action->event, "actor", action->actor,
                            "text", action->text.text));
}

static void publish(struct act *act, struct steward *steward, const struct rollout_action *action)
{
    if (action->revision < steward->published_revision) {
        return;
    }
    bool is_news = action->weight_ppm != steward->published_ppm;
    steward->published_ppm = action->weight_ppm;
    steward->published_revision = action->revision;
    controller_publish(act->controller);
    if (is_news) {
        admin_publish(act->controller->admin, "weight", act->service,
                      json_pack("{s:f}", "current", (double)action->weight_ppm / 10000.0));
    }
}

static void run(struct act *act)
{
    while (act->next < act->actions.count) {
        const struct rollout_action *action = &act->actions.list[act->next++];
        struct steward *steward = steward_of(act);
        if (steward == NULL) {
            break;
        }
        switch (action->kind) {
        case ROLLOUT_PUBLISH:
            publish(act, steward, action);
            break;
        case ROLLOUT_WRITE:
            if (write_state(act, steward, action)) {
                return;
            }
            break;
        case ROLLOUT_WRITE_RECORD:
            write_record(act, steward);
            break;
        case ROLLOUT_QUARANTINE:
            write_quarantine(act, steward, action, false);
            break;
        case ROLLOUT_UNQUARANTINE:
            write_quarantine(act, steward, action, true);
            break;
        case ROLLOUT_TELL:
            tell(act, action);
            break;
        case ROLLOUT_RAISE_ALERT:
            log_error("%s: ALERT: %s", act->service, action->text.text);
            controller_audit(act->controller, "serin", "alert", act->service, action->text.text);
            break;
        }
    }
    finish(act);
}

void controller_act(struct controller *controller, struct steward *steward,
                    const struct rollout_actions *actions, struct admin_call *call,
                    bool shows_record)
{
    if (actions->count == 0 && call == NULL) {
        return;
    }
    struct act *act = calloc(1, sizeof *act);
    if (act == NULL) {
        /* Without memory for the list the split still changes: that is what must never wait. */
        for (size_t i = 0; i < actions->count; i++) {
            if (actions->list[i].kind == ROLLOUT_PUBLISH &&
                actions->list[i].weight_ppm < steward->published_ppm) {
                steward->published_ppm = actions->list[i].weight_ppm;
                steward->published_revision = actions->list[i].revision;
                controller_publish(controller);
            }
        }
        if (call != NULL) {
            admin_reply(call,
                        &(struct admin_reply){.result = ADMIN_BUSY, .detail = "out of memory"});
        }
        return;
    }
    act->controller = controller;
    (void)snprintf(act->service, sizeof act->service, "%s", steward->conf->name);
    act->actions = *actions;
    act->call = call;
    act->shows_record = shows_record;
    list_push_back(&controller->acts, &act->link);
    run(act);
}

void controller_command(struct controller *controller, struct steward *steward,
                        const struct rollout_command *command)
{
    struct rollout_actions actions;
    struct note note = {{0}};
    char id[RECORD_ID_SIZE];
    controller_make_id(controller, id);
    enum err err = engine_command(&steward->engine, command, id, controller->loop->now_us,
                                  clock_wall_us(clock_system()), &actions, &note);
    if (err != OK) {
        log_warn("%s: not taken over from %s: %s", steward->conf->name, command->actor, note.text);
        return;
    }
    controller_act(controller, steward, &actions, NULL, false);
}

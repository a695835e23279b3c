/* canary/controller/acts.c — carries out what an engine answered, in the order in which it says it.
 *
 * Towards safety: the split is published, then written down. Towards risk: written down
 * (synchronous=FULL), then published. A list that waits for its write holds up nothing but itself.
 */
#include <stdlib.h>
#include <string.h>

#include "canary/controller/controller_state.h"
#include "proxy/base/log.h"

struct act {
    struct controller *controller;
    struct steward *steward;               /* borrowed; NULL once it is gone */
    const char *service;                   /* borrowed */
    const struct rollout_actions *actions; /* borrowed */
    size_t next;
    struct act_for whom;
};

/* A list that waits for its write, or for that of another one, with all of what it borrowed. */
struct waiting {
    struct list link; /* in controller->acts */
    struct act act;
    struct rollout_actions actions;
    char service[CONF_NAME_MAX + 1];
    uint64_t awaited_revision; /* of the raise whose write it shares; 0: the write is its own */
};

static void run(struct act *act);

/* ---- writing ---- */

void controller_write(struct controller *controller, const struct history_change *change,
                      const char *what, const char *service)
{
    enum err err = ERR_CLOSED;
    if (controller->history != NULL) {
        err = history_write(controller->history, change, HISTORY_SOON, NULL, NULL);
    }
    if (err != OK) {
        log_error("%s: %s was not written: %s", service, what, err_text(err));
    }
}

/* ---- answers ---- */

static void reply(struct act *act, const struct admin_reply *with)
{
    struct admin_call *call = act->whom.call;
    act->whom.call = NULL;
    if (call != NULL) {
        admin_reply(call, with);
    }
}

static void answer(struct act *act)
{
    if (act->whom.key != NULL) {
        controller_write(act->controller, &(struct history_change){.key = act->whom.key},
                         "the Idempotency-Key", act->service);
        act->whom.key = NULL;
    }
    if (act->whom.call == NULL) {
        return;
    }
    struct admin_reply with = {.result = act->whom.is_accepted ? ADMIN_ACCEPTED : ADMIN_DONE,
                               .service = act->service};
    if (act->whom.shows_record && act->steward != NULL) {
        with = (struct admin_reply){.result = ADMIN_ACCEPTED,
                                    .body = record_to_json(&act->actions->record, act->steward)};
    }
    reply(act, &with);
    json_decref(with.body);
}

void controller_fill_state(const struct controller *controller, const struct steward *steward,
                           struct history_service *ret_state)
{
    const struct rollout *rollout = &steward->engine.rollout;
    struct rollout_journal journal = engine_journal(&steward->engine);
    *ret_state = (struct history_service){
        .name = steward->conf->name,
        .current_deployment = steward_deployment(steward, ROLE_CURRENT),
        .previous_deployment = steward_deployment(steward, ROLE_PREVIOUS),
        .weight_ppm = rollout->weight_ppm,
        .phase = rollout_phase_name(rollout->phase),
        .revision = rollout->revision,
        .salt = steward->rollout,
        .step = journal.is_ascending ? (int32_t)journal.step : 0,
        .detail = lineup_detail(&steward->lineup, &journal),
        .updated_us = clock_wall_us(controller->clock),
    };
}

void controller_write_state(struct controller *controller, const struct steward *steward)
{
    struct history_service state;
    controller_fill_state(controller, steward, &state);
    controller_write(controller, &(struct history_change){.service = &state}, "state",
                     steward->conf->name);
}

void controller_audit(struct controller *controller, const char *actor, const char *action,
                      const char *service, const char *text)
{
    if (service != NULL) {
        controller_note_moment(controller, service, action, text);
    }
    json_t *detail = json_pack("{s:s}", "text", text);
    char *detail_text = detail != NULL ? json_dumps(detail, JSON_COMPACT) : NULL;
    struct history_audit audit = {clock_wall_us(controller->clock), actor, action, service,
                                  detail_text};
    controller_write(controller, &(struct history_change){.audit = &audit}, action,
                     service != NULL ? service : "serin");
    free(detail_text);
    json_decref(detail);
}

/* What the list publishes when its write is on disk. */
static const struct rollout_action *raise_of(const struct act *act)
{
    size_t i = act->next;
    while (i < act->actions->count && act->actions->list[i].kind != ROLLOUT_PUBLISH) {
        i++;
    }
    CHECK(i < act->actions->count);
    return &act->actions->list[i];
}

/* Other versions, or a lower weight, hold since; or another raise is decided upon and follows. */
static bool is_overtaken(const struct act *act)
{
    const struct steward *steward = act->steward;
    const struct rollout_action *raise = raise_of(act);
    return steward == NULL || raise->revision < steward->published_revision ||
           raise->revision < steward->engine.rollout.weight_revision;
}

/* The workers still have the weight from before: the engine is told so, and so is the file, where
 * the write may have arrived all the same. A later raise that waits writes over it, or is itself
 * taken back. */
static void take_back(struct act *act)
{
    struct steward *steward = act->steward;
    const struct rollout *rollout = &steward->engine.rollout;
    if (rollout->raise_revision > raise_of(act)->revision) {
        return;
    }
    if (rollout->raise_revision == 0) {
        controller_write_state(act->controller, steward);
        return;
    }
    struct rollout_command command = {
        .kind = ROLLOUT_SET_WEIGHT,
        .weight_ppm = steward->published_ppm,
        .is_undo = true,
        .phase = act->actions->phase_before,
        .actor = "serin",
        .reason = "the change could not be written down",
    };
    controller_command(act->controller, steward, &command);
}

static void reply_unwritten(struct act *act)
{
    reply(act,
          &(struct admin_reply){
              .result = ADMIN_UNAVAILABLE,
              .detail = "the change could not be written to the state file; nothing was changed"});
}

static void give_up(struct act *act, enum err err)
{
    log_error("%s: not done, because it could not be written down first: %s", act->service,
              err_text(err));
    if (act->steward != NULL && act->controller->stage != CONTROLLER_CLOSING) {
        take_back(act);
    }
    reply_unwritten(act);
}

/* What overtook it has told what happened instead. */
static void give_way(struct act *act)
{
    reply(act, &(struct admin_reply){.result = ADMIN_CONFLICT,
                                     .detail = "The service changed while the raise was written "
                                               "down; what came later is in force instead."});
}

static struct waiting *find_follower(const struct waiting *raise, uint64_t revision)
{
    struct list *acts = &raise->act.controller->acts;
    for (struct list *link = acts->next; link != acts; link = link->next) {
        struct waiting *waiting = CONTAINER_OF(link, struct waiting, link);
        if (waiting->awaited_revision == revision && waiting->act.steward == raise->act.steward &&
            strcmp(waiting->service, raise->service) == 0) {
            return waiting;
        }
    }
    return NULL;
}

enum fate { WRITTEN, UNWRITTEN, OVERTAKEN };

/* Lists that share the write fare as the raise did. */
static void settle_followers(const struct waiting *raise, uint64_t revision, enum fate fate)
{
    struct waiting *follower;
    while ((follower = find_follower(raise, revision)) != NULL) {
        list_remove(&follower->link);
        if (fate == UNWRITTEN) {
            reply_unwritten(&follower->act);
        } else if (fate == OVERTAKEN) {
            give_way(&follower->act);
        } else if (raise->act.controller->stage == CONTROLLER_CLOSING) {
            answer(&follower->act);
        } else {
            run(&follower->act);
        }
        free(follower);
    }
}

static void on_barrier(void *context, enum err err)
{
    struct waiting *waiting = context;
    struct controller *controller = waiting->act.controller;
    uint64_t revision = raise_of(&waiting->act)->revision;
    enum fate fate = WRITTEN;
    loop_enter(controller->loop);
    list_remove(&waiting->link);
    if (err != OK) {
        fate = UNWRITTEN;
        give_up(&waiting->act, err);
    } else if (is_overtaken(&waiting->act)) {
        fate = OVERTAKEN;
        log_info("%s: a raise was overtaken while it was written down", waiting->service);
        give_way(&waiting->act);
    } else if (controller->stage == CONTROLLER_CLOSING) {
        /* It is on disk: the next start does it. */
        answer(&waiting->act);
    } else {
        run(&waiting->act);
    }
    settle_followers(waiting, revision, fate);
    free(waiting);
    loop_leave(controller->loop);
}

/* NULL without memory. */
static struct waiting *wait_as(const struct act *act)
{
    struct waiting *waiting = malloc(sizeof *waiting);
    if (waiting == NULL) {
        return NULL;
    }
    waiting->act = *act;
    waiting->actions = *act->actions;
    waiting->act.actions = &waiting->actions;
    waiting->act.service = waiting->service;
    waiting->awaited_revision = 0;
    (void)snprintf(waiting->service, sizeof waiting->service, "%s", act->service);
    list_init(&waiting->link);
    list_push_back(&act->controller->acts, &waiting->link);
    return waiting;
}

/* The rest of the list comes when the state is on disk. */
static void write_first(struct act *act)
{
    struct controller *controller = act->controller;
    struct waiting *waiting = wait_as(act);
    if (waiting == NULL) {
        give_up(act, ERR_NOMEM);
        return;
    }
    struct history_service state;
    controller_fill_state(act->controller, act->steward, &state);
    enum err err = history_write(controller->history, &(struct history_change){.service = &state},
                                 HISTORY_DURABLE, on_barrier, waiting);
    if (err != OK) {
        list_remove(&waiting->link);
        give_up(&waiting->act, err);
        free(waiting);
    }
}

static bool is_raise_waiting(const struct act *act, uint64_t revision)
{
    const struct list *acts = &act->controller->acts;
    for (const struct list *link = acts->next; link != acts; link = link->next) {
        const struct waiting *waiting = CONTAINER_OF(link, struct waiting, link);
        if (waiting->awaited_revision == 0 && waiting->act.steward == act->steward &&
            raise_of(&waiting->act)->revision == revision) {
            return true;
        }
    }
    return false;
}

/* The rest of the list comes with that raise. */
static void await_raise(struct act *act, uint64_t revision)
{
    bool is_waiting = is_raise_waiting(act, revision); /* not where it failed as the process ends */
    struct waiting *waiting = is_waiting ? wait_as(act) : NULL;
    if (waiting == NULL) {
        reply_unwritten(act);
        return;
    }
    waiting->awaited_revision = revision;
}

void controller_forget(struct controller *controller, const struct steward *steward)
{
    for (struct list *link = controller->acts.next; link != &controller->acts; link = link->next) {
        struct waiting *waiting = CONTAINER_OF(link, struct waiting, link);
        if (waiting->act.steward == steward) {
            waiting->act.steward = NULL;
        }
    }
}

/* ---- records and quarantines ---- */

static void count_status(struct steward *steward, const struct record *record)
{
    struct steward_rollbacks *rollbacks = &steward->rollbacks;
    unsigned bit = 1U << record->status;
    if ((steward->recorded.counted_statuses & bit) != 0) {
        return;
    }
    steward->recorded.counted_statuses |= bit;
    rollbacks->counts[record->trigger][record->status]++;
    rollbacks->last_wall_us = record->decided_wall_us;
    if (record->status == RECORD_SUCCESS && record->duration_s >= 0) {
        histogram_record(&rollbacks->durations, (uint64_t)(record->duration_s * 1e6));
    }
}

/* A rollback that failed at first is counted again when it succeeds, its times only once; one that
 * is written again because something ended late is not. */
static void count_rollback(struct steward *steward, const struct record *record)
{
    struct steward_rollbacks *rollbacks = &steward->rollbacks;
    if (record->status == RECORD_IN_PROGRESS) {
        return;
    }
    if (record->status == RECORD_DRY_RUN) {
        rollbacks->counts[record->trigger][record->status]++;
        return;
    }
    count_status(steward, record);
    for (size_t i = 0; i < RECORD_PHASE_COUNT; i++) {
        unsigned bit = 1U << i;
        if (record->phase_s[i] >= 0 && (steward->recorded.counted_phases & bit) == 0) {
            steward->recorded.counted_phases |= bit;
            histogram_record(&rollbacks->phases[i], (uint64_t)(record->phase_s[i] * 1e6));
        }
    }
}

static void note_quarantine(struct act *act, const struct history_quarantine *quarantine)
{
    struct controller *controller = act->controller;
    struct steward *steward = act->steward;
    controller_note_quarantine(controller, quarantine->service, quarantine->deployment,
                               quarantine->reason, quarantine->since_us, quarantine->is_released);
    if (steward->carried_quarantine != steward->engine.rollout.is_quarantined) {
        controller_publish(controller);
    }
    if (quarantine->is_released) {
        teller_drop(controller->teller, quarantine->service, quarantine->deployment);
    }
    admin_publish(controller->admin, "quarantine", act->service,
                  json_pack("{s:s, s:b}", "deployment", quarantine->deployment, "released",
                            quarantine->is_released));
}

static bool is_write(const struct rollout_action *action)
{
    switch (action->kind) {
    case ROLLOUT_WRITE:
        return !action->is_barrier;
    case ROLLOUT_WRITE_RECORD:
    case ROLLOUT_QUARANTINE:
    case ROLLOUT_UNQUARANTINE:
        return true;
    case ROLLOUT_PUBLISH:
    case ROLLOUT_AWAIT:
    case ROLLOUT_TELL:
    case ROLLOUT_RAISE_ALERT:
        break;
    }
    return false;
}

/* What stands together in the list is written together, so that a crash leaves all of it or
 * nothing: a record never without its quarantine, nor a phase without its record. */
static void write_together(struct act *act)
{
    struct steward *steward = act->steward;
    const struct record *record = &act->actions->record;
    struct history_change change = {0};
    struct history_service state;
    struct history_rollback row;
    struct history_quarantine quarantine;
    char *evidence = NULL;
    for (; act->next < act->actions->count && is_write(&act->actions->list[act->next]);
         act->next++) {
        const struct rollout_action *action = &act->actions->list[act->next];
        if (action->kind == ROLLOUT_WRITE) {
            controller_fill_state(act->controller, steward, &state);
            change.service = &state;
        } else if (action->kind == ROLLOUT_WRITE_RECORD) {
            free(evidence);
            evidence = record_evidence(record);
            steward_note_record(steward, record);
            steward->has_written = true;
            steward->written = *record;
            record_to_history(record, steward, evidence, &row);
            change.rollback = &row;
            change.key = act->whom.key;
            act->whom.key = NULL;
        } else {
            quarantine = (struct history_quarantine){
                .service = act->service,
                .deployment = steward_deployment(steward, ROLE_CURRENT),
                .reason = action->text.text,
                .since_us = clock_wall_us(act->controller->clock),
                .is_released = action->kind == ROLLOUT_UNQUARANTINE,
            };
            change.quarantine = &quarantine;
        }
    }
    controller_write(act->controller, &change,
                     change.rollback != NULL ? "the rollback's record" : "state", act->service);
    if (change.rollback != NULL) {
        admin_publish(act->controller->admin, "rollback", act->service,
                      history_rollback_to_json(&row));
        count_rollback(steward, record);
        controller_follow_record(act->controller, steward, record, &row);
    }
    if (change.quarantine != NULL) {
        note_quarantine(act, &quarantine);
    }
    free(evidence);
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
    if (action->is_notice) {
        controller_notice(act->controller, act->steward, action);
    }
    admin_publish(act->controller->admin, "phase", act->service,
                  json_pack("{s:s, s:s, s:s, s:b}", "event", action->event, "actor", action->actor,
                            "text", action->text.text, "notice", (int)action->is_notice));
}

static void publish(struct act *act, struct steward *steward, const struct rollout_action *action)
{
    rollout_note_published(&steward->engine.rollout, action->revision);
    bool is_news = action->weight_ppm != steward->published_ppm;
    steward->published_ppm = action->weight_ppm;
    steward->published_revision = action->revision;
    controller_publish(act->controller);
    if (is_news) {
        char text[64];
        (void)snprintf(text, sizeof text, "the canary's weight is %.4g %%",
                       (double)action->weight_ppm / 10000.0);
        controller_note_moment(act->controller, act->service, "weight", text);
        admin_publish(act->controller->admin, "weight", act->service,
                      json_pack("{s:f}", "current", (double)action->weight_ppm / 10000.0));
    }
}

static void run(struct act *act)
{
    while (act->next < act->actions->count) {
        const struct rollout_action *action = &act->actions->list[act->next];
        if (is_write(action)) {
            write_together(act);
            continue;
        }
        act->next++;
        switch (action->kind) {
        case ROLLOUT_PUBLISH:
            publish(act, act->steward, action);
            break;
        case ROLLOUT_WRITE:
            write_first(act);
            return;
        case ROLLOUT_AWAIT:
            await_raise(act, action->revision);
            return;
        case ROLLOUT_TELL:
            tell(act, action);
            break;
        case ROLLOUT_RAISE_ALERT:
            log_error("%s: ALERT: %s", act->service, action->text.text);
            controller_audit(act->controller, "serin", "alert", act->service, action->text.text);
            controller_alarm(act->controller, act->steward, action);
            break;
        case ROLLOUT_WRITE_RECORD:
        case ROLLOUT_QUARANTINE:
        case ROLLOUT_UNQUARANTINE:
            CHECK(false);
        }
    }
    answer(act);
}

void controller_act(struct controller *controller, struct steward *steward,
                    const struct rollout_actions *actions, const struct act_for *whom)
{
    struct act act = {
        .controller = controller,
        .steward = steward,
        .service = steward->conf->name,
        .actions = actions,
    };
    if (whom != NULL) {
        act.whom = *whom;
    }
    run(&act);
    controller_follow_kept(steward);
}

void controller_command(struct controller *controller, struct steward *steward,
                        const struct rollout_command *command)
{
    struct rollout_actions actions;
    struct note note = {{0}};
    char id[RECORD_ID_SIZE];
    controller_make_id(controller, id);
    enum err err = engine_command(&steward->engine, command, id, controller_now_us(controller),
                                  clock_wall_us(controller->clock), &actions, &note);
    if (err != OK) {
        log_warn("%s: not taken over from %s: %s", steward->conf->name, command->actor, note.text);
        return;
    }
    controller_act(controller, steward, &actions, NULL);
}

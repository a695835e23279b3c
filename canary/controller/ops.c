/* canary/controller/ops.c — what the admin API may ask the controller to do. */
#include <stdlib.h>

#include "canary/controller/controller_state.h"
#include "conf/conf_load.h"
#include "proxy/base/log.h"

static void refuse(struct admin_call *call, enum admin_result result, const char *detail,
                   const char *field)
{
    admin_reply(call, &(struct admin_reply){.result = result, .detail = detail, .field = field});
}

static struct steward *find_any(struct controller *controller, struct admin_call *call,
                                const char *service)
{
    struct steward *steward = controller_find(controller, service);
    if (steward == NULL) {
        refuse(call, ADMIN_UNKNOWN, "There is no such service.", "service");
    }
    return steward;
}

static struct steward *find(struct controller *controller, struct admin_call *call,
                            const char *service)
{
    struct steward *steward = find_any(controller, call, service);
    if (steward != NULL && !steward_has_canary(steward)) {
        refuse(call, ADMIN_CONFLICT, "The service has no current version.", "service");
        steward = NULL;
    }
    return steward;
}

static enum admin_result result_of(enum err err)
{
    switch (err) {
    case ERR_RANGE:
        return ADMIN_INVALID;
    case ERR_DENIED:
        return ADMIN_QUARANTINED;
    case ERR_NOT_FOUND:
        return ADMIN_UNKNOWN;
    case ERR_STATE:
        return ADMIN_CONFLICT;
    default:
        return ADMIN_FAILED;
    }
}

/* Gives the command to the engine; the call is answered when its actions are carried out, or with
 * the refusal. */
static void command(struct controller *controller, struct steward *steward,
                    const struct rollout_command *what, const char *record_id,
                    struct admin_call *call)
{
    struct rollout_actions actions;
    struct note note = {{0}};
    enum err err = engine_command(&steward->engine, what, record_id, controller_now_us(controller),
                                  clock_wall_us(controller->clock), &actions, &note);
    if (err != OK) {
        refuse(call, result_of(err), note.text, NULL);
        return;
    }
    controller_act(controller, steward, &actions, &(struct act_for){.call = call});
}

static bool is_stale(const struct steward *steward, bool has_revision, uint64_t revision,
                     struct admin_call *call)
{
    if (has_revision && revision != steward->engine.rollout.revision) {
        refuse(call, ADMIN_STALE, "The service has changed since that revision.", "If-Match");
        return true;
    }
    return false;
}

static void set_weight(void *context, struct admin_call *call,
                       const struct admin_weight_change *change)
{
    struct controller *controller = context;
    struct steward *steward = find(controller, call, change->service);
    if (steward == NULL || is_stale(steward, change->has_revision, change->revision, call)) {
        return;
    }
    if (controller->is_history_unread && change->weight_ppm > steward->published_ppm) {
        refuse(
            call, ADMIN_UNAVAILABLE,
            "The state file could not be read at the start: it is not known what is quarantined. "
            "Start anew with a file that can be read.",
            NULL);
        return;
    }
    struct rollout_command what = {
        .kind = ROLLOUT_SET_WEIGHT, .weight_ppm = change->weight_ppm, .actor = change->actor};
    command(controller, steward, &what, NULL, call);
}

static void on_replayed(void *context, enum err err, json_t *result)
{
    struct admin_call *call = context;
    if (err != OK) {
        refuse(call, ADMIN_UNAVAILABLE, "The record of the first request cannot be read now.",
               NULL);
        return;
    }
    admin_reply(call, &(struct admin_reply){.result = ADMIN_REPLAYED, .body = result});
}

bool controller_is_replay(struct controller *controller, struct admin_call *call, const char *key,
                          const char *fingerprint)
{
    const char *id = NULL;
    if (key == NULL) {
        return false;
    }
    switch (keys_find(controller->keys, key, fingerprint, clock_wall_us(controller->clock), &id)) {
    case KEYS_UNKNOWN:
        return false;
    case KEYS_MISUSED:
        refuse(call, ADMIN_KEY_MISUSED, "This Idempotency-Key came with another request before.",
               "Idempotency-Key");
        return true;
    case KEYS_REPLAY:
        break;
    }
    json_t *body = view_record_find(controller, id);
    if (body != NULL) {
        /* The file may not have it yet. */
        admin_reply(call, &(struct admin_reply){.result = ADMIN_REPLAYED, .body = body});
        json_decref(body);
        return true;
    }
    if (history_read_rollback(controller->history, id, on_replayed, call) != OK) {
        refuse(call, ADMIN_BUSY, "Too many reads are under way.", NULL);
    }
    return true;
}

static void roll_back(void *context, struct admin_call *call, const struct admin_rollback *rollback)
{
    struct controller *controller = context;
    struct steward *steward = rollback->is_build ? find_any(controller, call, rollback->service)
                                                 : find(controller, call, rollback->service);
    if (steward == NULL ||
        controller_is_replay(controller, call, rollback->key, rollback->fingerprint)) {
        return;
    }
    if (rollback->is_build && !build_is_in_use(steward, rollback->expect_current)) {
        controller_record_build(controller, steward, rollback, call);
        return;
    }
    char id[RECORD_ID_SIZE];
    controller_make_id(controller, id);
    struct rollout_command what = {
        .kind = ROLLOUT_ROLL_BACK,
        .is_instant = rollback->is_instant,
        .is_dry_run = rollback->is_dry_run,
        .is_build = rollback->is_build,
        .actor = rollback->actor,
        .reason = rollback->reason,
    };
    struct rollout_actions actions;
    struct note note = {{0}};
    enum err err = engine_command(&steward->engine, &what, id, controller_now_us(controller),
                                  clock_wall_us(controller->clock), &actions, &note);
    if (err != OK) {
        refuse(call, result_of(err), note.text, NULL);
        return;
    }
    if (!rollback->is_dry_run) {
        actions.record = steward->engine.rollout.record;
    }
    if (rollback->is_build) {
        controller_note_build(controller, steward, rollback, actions.record.id, NULL);
    }
    struct history_key key = {rollback->key, rollback->fingerprint, actions.record.id,
                              clock_wall_us(controller->clock)};
    bool has_key = rollback->key != NULL && keys_add(controller->keys, key.key, key.fingerprint,
                                                     key.rollback_id, key.at_us) == OK;
    struct act_for whom = {.call = call, .shows_record = true, .key = has_key ? &key : NULL};
    controller_act(controller, steward, &actions, &whom);
}

static void roll_out(void *context, struct admin_call *call, const struct admin_rollout *rollout)
{
    static const enum rollout_command_kind kinds[] = {[ADMIN_PAUSE] = ROLLOUT_PAUSE,
                                                      [ADMIN_RESUME] = ROLLOUT_RESUME,
                                                      [ADMIN_PROMOTE] = ROLLOUT_PROMOTE,
                                                      [ADMIN_ABORT] = ROLLOUT_ABORT};
    struct controller *controller = context;
    struct steward *steward = find(controller, call, rollout->service);
    if (steward == NULL || is_stale(steward, rollout->has_revision, rollout->revision, call)) {
        return;
    }
    char id[RECORD_ID_SIZE];
    controller_make_id(controller, id);
    struct rollout_command what = {
        .kind = kinds[rollout->verb], .is_full = rollout->is_full, .actor = rollout->actor};
    command(controller, steward, &what, id, call);
}

/* One that is not the service's current version (any more): no engine is concerned. */
static void release_other(struct controller *controller, struct admin_call *call,
                          const struct admin_release *wish)
{
    if (!controller_is_quarantined(controller, wish->service, wish->deployment)) {
        refuse(call, ADMIN_UNKNOWN, "The deployment is not quarantined.", "deployment");
        return;
    }
    int64_t now_us = clock_wall_us(controller->clock);
    struct history_quarantine quarantine = {
        .service = wish->service,
        .deployment = wish->deployment,
        .reason = wish->reason,
        .since_us = now_us,
        .is_released = true,
    };
    controller_write(controller, &(struct history_change){.quarantine = &quarantine}, "the release",
                     wish->service);
    controller_audit(controller, wish->actor, "quarantine.release", wish->service, wish->reason);
    controller_note_quarantine(controller, wish->service, wish->deployment, wish->reason, now_us,
                               true);
    admin_publish(controller->admin, "quarantine", wish->service,
                  json_pack("{s:s, s:b}", "deployment", wish->deployment, "released", 1));
    admin_reply(call, &(struct admin_reply){.result = ADMIN_DONE, .service = wish->service});
}

static void release(void *context, struct admin_call *call, const struct admin_release *wish)
{
    struct controller *controller = context;
    struct steward *steward = controller_find(controller, wish->service);
    if (steward == NULL) {
        refuse(call, ADMIN_UNKNOWN, "There is no such service.", "service");
        return;
    }
    const char *deployment = steward_deployment(steward, ROLE_CURRENT);
    if (deployment == NULL || strcmp(deployment, wish->deployment) != 0) {
        release_other(controller, call, wish);
        return;
    }
    struct rollout_command what = {
        .kind = ROLLOUT_RELEASE, .actor = wish->actor, .reason = wish->reason};
    command(controller, steward, &what, NULL, call);
}

static void reload(void *context, struct admin_call *call, const char *actor)
{
    struct controller *controller = context;
    if (controller->stage != CONTROLLER_SERVING || !controller->is_started) {
        refuse(call, ADMIN_CONFLICT, "The process is not ready, or about to end.", NULL);
        return;
    }
    controller_load_again(controller, actor, call);
}

/* Every line of what conf_errors prints is one error. */
static json_t *errors_as_json(const struct conf_errors *errors)
{
    struct buf text;
    buf_init(&text, 256 * 1024);
    (void)conf_errors_append(errors, &text);
    json_t *list = json_array();
    struct bytes rest = buf_bytes(&text);
    struct bytes line;
    while (rest.size > 0 && bytes_next(&rest, '\n', &line)) {
        if (line.size > 0) {
            (void)json_array_append_new(list, json_stringn(line.data, line.size));
        }
    }
    buf_finish(&text);
    return list;
}

/* The versions that would be in force with this configuration. */
static json_t *versions_as_json(const struct controller *controller, const struct conf *conf)
{
    json_t *list = json_array();
    for (size_t i = 0; i < conf->service_count; i++) {
        const struct conf_service *service = &conf->services[i];
        const struct steward *steward = controller_find(controller, service->name);
        bool is_kept = steward != NULL && lineup_holds(&steward->lineup, service);
        const char *current = is_kept                ? steward_deployment(steward, ROLE_CURRENT)
                              : service->has_current ? service->current.deployment
                                                     : NULL;
        const char *previous =
            is_kept ? steward_deployment(steward, ROLE_PREVIOUS) : service->previous.deployment;
        (void)json_array_append_new(list, json_pack("{s:s, s:s?, s:s, s:b}", "name", service->name,
                                                    "current", current, "previous", previous,
                                                    "started", (int)is_kept));
    }
    return list;
}

static void config_check(void *context, struct admin_call *call, struct bytes text)
{
    struct controller *controller = context;
    struct conf_errors errors;
    struct conf *conf = NULL;
    conf_errors_init(&errors);
    enum err err = text.data != NULL ? conf_load_memory(controller->conf_path, text, &errors, &conf)
                                     : conf_load_file(controller->conf_path, &errors, &conf);
    struct admin_reply reply = {.result = ADMIN_DONE};
    struct snapshot_base *base = NULL;
    struct note note = {""};
    if (err != OK) {
        reply.result = ADMIN_INVALID;
        reply.detail = "The configuration has errors.";
        reply.errors = errors_as_json(&errors);
    } else if (snapshot_base_create(conf, controller->tickets, &note, &base) != OK) {
        reply.result = ADMIN_INVALID;
        reply.detail = "The configuration names files that cannot be used.";
        reply.errors = json_pack("[s]", note.text);
    } else {
        reply.body =
            json_pack("{s:b, s:o}", "ok", 1, "services", versions_as_json(controller, base->conf));
    }
    snapshot_base_unref(base);
    admin_reply(call, &reply);
    json_decref(reply.body);
    json_decref(reply.errors);
    conf_errors_finish(&errors);
}

const struct admin_ops controller_admin_ops = {
    .service_at = view_service_at,
    .service_find = view_service_find,
    .process = view_process,
    .conditions = view_conditions,
    .metrics = view_metrics,
    .recording = view_recording,
    .incident = view_incident,
    .record_find = view_record_find,
    .explain = view_explain,
    .set_weight = set_weight,
    .rollback = roll_back,
    .rollout = roll_out,
    .start = controller_start,
    .drill = controller_drill,
    .release = release,
    .purge = controller_purge,
    .reload = reload,
    .config_check = config_check,
};

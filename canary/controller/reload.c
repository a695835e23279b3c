/* canary/controller/reload.c — takes another configuration over without dropping a request.
 *
 * Everything that can fail is done first (the file, new sockets, new objects, secrets); then
 * services are matched by name, the engines are told what changed, and one snapshot makes all of it
 * true at once. */
#include <stdlib.h>

#include "canary/controller/controller_state.h"
#include "conf/conf_diff.h"
#include "conf/conf_load.h"
#include "proxy/base/log.h"
#include "router/sticky.h"

/* A service of the new configuration: the old steward where there is one. */
struct arrival {
    struct steward *steward;
    struct steward_cast cast; /* owned: what the old steward is to adopt */
    bool is_new;
    bool is_overruled; /* versions that were started at run time give way to the file's */
};

/* All that a reload needs and that can fail. */
struct takeover {
    struct snapshot_base *base;   /* owned; becomes the controller's, as all of it */
    struct steward **stewards;    /* owned: the room for them */
    struct crew_binding *binding; /* owned */
    struct arrival *arrivals;     /* owned */
    size_t count;
};

static void abandon(struct controller *controller, struct takeover *takeover)
{
    for (size_t i = 0; i < takeover->count; i++) {
        steward_release(&takeover->arrivals[i].cast);
        if (takeover->arrivals[i].is_new) {
            steward_destroy(takeover->arrivals[i].steward);
        }
    }
    crew_unbind(controller->crew, takeover->binding);
    free(takeover->arrivals);
    free(takeover->stewards);
    snapshot_base_unref(takeover->base);
}

static enum err create_one(struct controller *controller, const struct conf_service *conf,
                           struct arrival *arrival)
{
    struct steward *steward = NULL;
    enum err err = steward_create(&controller->registry, conf, &steward);
    if (err == OK) {
        err = controller_recall_versions(controller, steward);
    }
    if (err != OK) {
        steward_destroy(steward);
        return err;
    }
    arrival->steward = steward;
    return OK;
}

static enum err match_one(struct controller *controller, const struct conf_service *conf,
                          struct arrival *arrival)
{
    arrival->steward = controller_find(controller, conf->name);
    arrival->is_new = arrival->steward == NULL;
    if (arrival->is_new) {
        return create_one(controller, conf, arrival);
    }
    const struct lineup *before = &arrival->steward->lineup;
    arrival->is_overruled = before->is_started && !lineup_holds(before, conf);
    struct lineup lineup;
    enum err err = lineup_follow(before, conf, &lineup);
    return err == OK ? steward_prepare(&controller->registry, conf, &lineup, &arrival->cast) : err;
}

static enum err match(struct controller *controller, struct takeover *takeover)
{
    const struct conf *conf = takeover->base->conf;
    takeover->arrivals = calloc(conf->service_count, sizeof *takeover->arrivals);
    takeover->stewards = calloc(conf->service_count, sizeof *takeover->stewards);
    if (takeover->arrivals == NULL || takeover->stewards == NULL) {
        return ERR_NOMEM;
    }
    for (; takeover->count < conf->service_count; takeover->count++) {
        size_t i = takeover->count;
        enum err err = match_one(controller, &conf->services[i], &takeover->arrivals[i]);
        if (err != OK) {
            return err;
        }
        takeover->stewards[i] = takeover->arrivals[i].steward;
    }
    return OK;
}

static bool stays(const struct takeover *takeover, const struct steward *steward)
{
    for (size_t i = 0; i < takeover->count; i++) {
        if (takeover->arrivals[i].steward == steward) {
            return true;
        }
    }
    return false;
}

/* What a canary keeps when only the stable version is another one: the file's weight was for the
 * first time that it was seen. */
static uint32_t kept_weight(const struct steward *steward)
{
    const struct rollout *rollout = &steward->engine.rollout;
    bool is_shifting = rollout->phase == ROLLOUT_SHIFTING_BACK;
    return steward_has_canary(steward) && !is_shifting ? rollout->weight_ppm : 0;
}

/* Other versions: the engine begins anew with them. */
static void deploy(struct controller *controller, struct steward *steward, bool is_canary_new)
{
    const struct conf_service *conf = steward->conf;
    const char *deployment = steward_deployment(steward, ROLE_CURRENT);
    struct deployment change = {
        .is_canary_new = is_canary_new,
        .weight_ppm =
            is_canary_new ? controller_first_weight(controller, steward) : kept_weight(steward),
        .salt =
            sticky_rollout_of(bytes_of(conf->name), bytes_of(deployment != NULL ? deployment : "")),
        .actor = "config",
    };
    controller_deploy(controller, steward, &change);
    if (is_canary_new && controller_starts_rollout(controller, steward)) {
        struct rollout_command command = {.kind = ROLLOUT_START, .actor = "config"};
        controller_command(controller, steward, &command);
    }
}

/* The file's weight is that of the canary which the file names. */
static bool is_weight_meant(const struct steward *steward)
{
    const struct conf_service *conf = steward->conf;
    const char *deployment = steward_deployment(steward, ROLE_CURRENT);
    if (strcmp(conf->current.deployment, deployment) == 0) {
        return true;
    }
    log_warn("%s: the weight in the file is that of %s, and %s was started since: not taken over",
             conf->name, conf->current.deployment, deployment);
    return false;
}

static void reweigh(struct controller *controller, struct steward *steward)
{
    struct rollout_command command = {
        .kind = ROLLOUT_SET_WEIGHT, .weight_ppm = steward->conf->weight_ppm, .actor = "config"};
    if (controller->is_history_unread && command.weight_ppm > steward->published_ppm) {
        log_warn("%s: not taken over from config: it is not known what is quarantined",
                 steward->conf->name);
        return;
    }
    controller_command(controller, steward, &command);
}

static unsigned parts_of(const struct conf_diff *diff, const char *service)
{
    for (size_t i = 0; i < diff->service_count; i++) {
        const struct conf_service_change *change = &diff->services[i];
        if (change->after != NULL && strcmp(change->after->name, service) == 0) {
            return change->parts;
        }
    }
    return 0;
}

static bool is_same(const struct steward *steward, enum role role, const char *before)
{
    const char *after = steward_deployment(steward, role);
    return before == NULL || after == NULL ? before == after : strcmp(before, after) == 0;
}

static void note_name(const struct steward *steward, enum role role,
                      char text[CONF_DEPLOYMENT_MAX + 1], const char **ret_name)
{
    const char *name = steward_deployment(steward, role);
    (void)snprintf(text, CONF_DEPLOYMENT_MAX + 1, "%s", name != NULL ? name : "");
    *ret_name = name != NULL ? text : NULL;
}

static void take_service(struct controller *controller, struct arrival *arrival,
                         const struct conf_service *conf, unsigned parts)
{
    struct steward *steward = arrival->steward;
    char texts[ROLE_COUNT][CONF_DEPLOYMENT_MAX + 1];
    const char *before[ROLE_COUNT];
    note_name(steward, ROLE_CURRENT, texts[ROLE_CURRENT], &before[ROLE_CURRENT]);
    note_name(steward, ROLE_PREVIOUS, texts[ROLE_PREVIOUS], &before[ROLE_PREVIOUS]);
    steward_adopt(steward, conf, &arrival->cast);
    if (arrival->is_overruled) {
        controller_tell_overruled(controller, steward);
    }
    struct engine_config config = steward_engine_config(conf);
    engine_configure(&steward->engine, &config, controller_now_us(controller));
    bool is_canary_new = !is_same(steward, ROLE_CURRENT, before[ROLE_CURRENT]);
    if (is_canary_new || !is_same(steward, ROLE_PREVIOUS, before[ROLE_PREVIOUS])) {
        deploy(controller, steward, is_canary_new);
    }
    bool is_weight_changed = (parts & CONF_PART_WEIGHT) != 0 && conf->has_weight;
    if (is_weight_changed && !is_canary_new && steward_has_canary(steward) &&
        is_weight_meant(steward)) {
        reweigh(controller, steward);
    }
}

static void take_services(struct controller *controller, struct takeover *takeover,
                          const struct conf_diff *diff)
{
    for (size_t i = 0; i < takeover->count; i++) {
        const struct conf_service *conf = &takeover->base->conf->services[i];
        if (takeover->arrivals[i].is_new) {
            controller_begin_service(controller, takeover->stewards[i]);
        } else {
            take_service(controller, &takeover->arrivals[i], conf, parts_of(diff, conf->name));
        }
        if (steward_record(takeover->stewards[i], &takeover->base->conf->recorder) != OK) {
            log_error("%s: its recording goes on as before: out of memory", conf->name);
        }
    }
}

/* Nothing fails from here on; what wants memory later is tried again until there is some. */
static void take_over(struct controller *controller, struct takeover *takeover,
                      const struct conf_diff *diff)
{
    struct snapshot_base *old_base = controller->base;
    struct steward **old = controller->stewards;
    size_t old_count = controller->steward_count;
    controller->is_taking_over = true;
    controller_forget_starts(controller);
    controller_drop_drills(controller, "the configuration was loaded again");
    for (size_t i = 0; i < old_count; i++) {
        if (!stays(takeover, old[i])) {
            controller_remember(controller, old[i]);
        }
    }
    controller->base = takeover->base;
    controller->stewards = takeover->stewards;
    controller->steward_count = takeover->count;
    take_services(controller, takeover, diff);
    controller_watch_endpoints(controller);
    controller->is_taking_over = false;
    controller_publish(controller);
    controller_limit_connections(controller);
    admin_server_use_tls(controller->admin_server, controller->base->admin_tls);
    controller_name_alerts(controller);
    if (alerts_configure(controller->alerts, controller->base->conf) != OK) {
        log_error("reload: out of memory: alert channels are not all as the file has them");
    }
    controller_configure_platforms(controller, controller->base->conf);
    if (controller_configure_incidents(controller, controller->base->conf) != OK) {
        log_error("reload: out of memory: incident reports go on as before");
    }
    crew_listen(controller->crew, takeover->binding);
    for (size_t i = 0; i < old_count; i++) {
        if (!stays(takeover, old[i])) {
            controller_drop_purges(old[i]);
            controller_let_go_incident(controller, old[i]);
            controller_forget(controller, old[i]);
            steward_destroy(old[i]);
        }
    }
    free(old);
    free(takeover->arrivals);
    snapshot_base_unref(old_base);
}

static void log_changes(const struct conf_diff *diff)
{
    for (size_t i = 0; i < diff->key_count; i++) {
        const struct conf_key_change *key = &diff->keys[i];
        const char *service = key->service != NULL ? key->service : "";
        if (key->needs_restart) {
            log_warn("reload: %s%s%s has changed and needs a restart; the old value stays", service,
                     service[0] != '\0' ? ": " : "", key->key);
        } else {
            log_info("reload: %s%s%s has changed", service, service[0] != '\0' ? ": " : "",
                     key->key);
        }
    }
}

static void report(struct controller *controller, const struct conf_errors *errors,
                   json_t *ret_errors)
{
    struct buf text;
    buf_init(&text, 256 * 1024);
    (void)conf_errors_append(errors, &text);
    struct bytes rest = buf_bytes(&text);
    struct bytes line;
    while (rest.size > 0 && bytes_next(&rest, '\n', &line)) {
        if (line.size == 0) {
            continue;
        }
        log_error("reload: %.*s", BYTES_ARGS(line));
        if (controller->reload_note.text[0] == '\0') {
            note_set(&controller->reload_note, "%.*s", BYTES_ARGS(line));
        }
        if (ret_errors != NULL) {
            (void)json_array_append_new(ret_errors, json_stringn(line.data, line.size));
        }
    }
    buf_finish(&text);
}

/* The file was held against the address that it says itself; the one before is listened on until a
 * restart. */
static enum err check_is_elsewhere(const struct controller *controller,
                                   const struct conf_service *service,
                                   const struct conf_version *version, struct note *note)
{
    for (size_t i = 0; i < version->endpoint_count; i++) {
        if (admin_is_at(controller->admin, &version->endpoints[i])) {
            note_set(note,
                     "services.%s: %s is where the admin API listens until a restart, which "
                     "clients are not to reach",
                     service->name, version->endpoints[i].url);
            return ERR_STATE;
        }
    }
    return OK;
}

static enum err check_places(const struct controller *controller, const struct conf *conf,
                             struct note *note)
{
    enum err err = OK;
    for (size_t i = 0; i < conf->service_count && err == OK; i++) {
        const struct conf_service *service = &conf->services[i];
        err = check_is_elsewhere(controller, service, &service->previous, note);
        if (err == OK && service->has_current) {
            err = check_is_elsewhere(controller, service, &service->current, note);
        }
    }
    return err;
}

/* The tokens come last: nothing after them can fail. */
static enum err prepare(struct controller *controller, struct conf *conf, struct takeover *takeover,
                        struct note *note)
{
    enum err err = snapshot_base_create(conf, controller->tickets, note, &takeover->base);
    if (err != OK) {
        return err;
    }
    err = check_places(controller, takeover->base->conf, note);
    if (err == OK) {
        err = match(controller, takeover);
    }
    if (err == OK) {
        err = crew_bind(controller->crew, takeover->base->conf, note, &takeover->binding);
    }
    if (err == OK) {
        err = admin_reload(controller->admin, &takeover->base->conf->admin, note);
    }
    if (err != OK) {
        abandon(controller, takeover);
    }
    return err;
}

/* Takes `conf`. */
static enum err apply(struct controller *controller, struct conf *conf, struct note *note)
{
    struct conf_diff *diff = NULL;
    if (conf_diff_create(controller->base->conf, conf, &diff) != OK) {
        conf_destroy(conf);
        return ERR_NOMEM;
    }
    struct takeover takeover = {0};
    enum err err = prepare(controller, conf, &takeover, note);
    if (err == OK) {
        log_changes(diff);
        take_over(controller, &takeover, diff);
    }
    conf_diff_destroy(diff);
    return err;
}

/* ---- one reload ---- */

static void answer(struct admin_call *call, const struct admin_reply *reply)
{
    if (call != NULL) {
        admin_reply(call, reply);
    }
}

/* Takes `errors`. */
static void answer_failure(struct admin_call *call, json_t *errors)
{
    answer(call, &(struct admin_reply){
                     .result = ADMIN_INVALID,
                     .detail = "The configuration was not taken over; the one before stays in "
                               "force.",
                     .errors = errors});
    json_decref(errors);
}

static void answer_success(struct admin_call *call)
{
    json_t *body = json_pack("{s:b}", "reloaded", 1);
    answer(call, &(struct admin_reply){.result = ADMIN_DONE, .body = body});
    json_decref(body);
}

static void finish(struct controller *controller)
{
    struct reload reload = controller->reload;
    struct note note = {{0}};
    controller->reload = (struct reload){0};
    enum err err = apply(controller, reload.conf, &note);
    controller->has_reload_failed = err != OK;
    controller_tell_ready(controller);
    if (err != OK) {
        const char *why = note.text[0] != '\0' ? note.text : err_text(err);
        note_set(&controller->reload_note, "%s", why);
        log_error("reload: %s; the configuration before stays in force", why);
        controller_watch_endpoints(controller);
        answer_failure(reload.call, json_pack("[s]", why));
        return;
    }
    controller->reloaded_wall_us = clock_wall_us(controller->clock);
    controller_audit(controller, reload.actor, "config.reload", NULL,
                     "the configuration was loaded again");
    admin_publish(controller->admin, "config", NULL, NULL);
    controller_tell_trust(controller);
    log_info("reload: done");
    answer_success(reload.call);
}

void controller_reload_tick(struct controller *controller)
{
    const struct reload *reload = &controller->reload;
    bool is_over = address_book_pending_count(controller->book) == 0 ||
                   controller->loop->now_us >= reload->until_us;
    if (reload->conf != NULL && is_over) {
        finish(controller);
    }
}

void controller_reload_cancel(struct controller *controller, const char *why)
{
    struct reload reload = controller->reload;
    controller->reload = (struct reload){0};
    if (reload.conf != NULL) {
        conf_destroy(reload.conf);
        answer(reload.call, &(struct admin_reply){.result = ADMIN_CONFLICT, .detail = why});
    }
}

void controller_load_again(struct controller *controller, const char *actor,
                           struct admin_call *call)
{
    struct conf_errors errors;
    struct conf *conf = NULL;
    controller_reload_cancel(controller, "Another reload came before this one was done.");
    controller_tell_reloading(controller);
    controller->reload_note = (struct note){{0}};
    conf_errors_init(&errors);
    enum err err = conf_load_file(controller->conf_path, &errors, &conf);
    if (err != OK) {
        json_t *texts = json_array();
        report(controller, &errors, texts);
        conf_errors_finish(&errors);
        controller->has_reload_failed = true;
        log_error("reload: the configuration before stays in force");
        controller_tell_ready(controller);
        answer_failure(call, texts);
        return;
    }
    conf_errors_finish(&errors);
    controller->reload = (struct reload){
        .conf = conf,
        .call = call,
        .until_us = controller->loop->now_us + (uint64_t)CONTROLLER_NAMES_MS * 1000,
    };
    /* Copied: the name belongs to the tokens, which the reload makes anew. */
    (void)snprintf(controller->reload.actor, sizeof controller->reload.actor, "%s", actor);
    if (controller_look_up_too(controller, conf) != OK) {
        controller->reload.until_us = 0;
    }
    controller_reload_tick(controller);
}

void controller_reload(struct controller *controller, const char *actor)
{
    if (controller->stage == CONTROLLER_SERVING) {
        controller_reopen_logs(controller);
        controller_load_again(controller, actor, NULL);
    }
}

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

/* The services of the new configuration: those that stay are the old stewards. */
struct takeover {
    struct steward **stewards; /* owned; becomes the controller's */
    bool *is_new;
    size_t count;
};

static void abandon(struct takeover *takeover)
{
    for (size_t i = 0; i < takeover->count; i++) {
        if (takeover->is_new[i]) {
            steward_destroy(takeover->stewards[i]);
        }
    }
    free(takeover->stewards);
    free(takeover->is_new);
}

static enum err match(struct controller *controller, const struct conf *conf,
                      struct takeover *takeover)
{
    takeover->stewards = calloc(conf->service_count, sizeof *takeover->stewards);
    takeover->is_new = calloc(conf->service_count, sizeof *takeover->is_new);
    if (takeover->stewards == NULL || takeover->is_new == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < conf->service_count; i++) {
        struct steward *steward = controller_find(controller, conf->services[i].name);
        bool is_new = steward == NULL;
        if (is_new) {
            enum err err = steward_create(&controller->registry, &conf->services[i], &steward);
            if (err != OK) {
                return err;
            }
        }
        takeover->stewards[i] = steward;
        takeover->is_new[i] = is_new;
        takeover->count++;
    }
    return OK;
}

static bool stays(const struct takeover *takeover, const struct steward *steward)
{
    for (size_t i = 0; i < takeover->count; i++) {
        if (takeover->stewards[i] == steward) {
            return true;
        }
    }
    return false;
}

static void begin_service(struct controller *controller, struct steward *steward)
{
    struct engine_config config = steward_engine_config(steward->conf);
    uint32_t weight_ppm = steward->conf->has_weight ? steward->conf->weight_ppm : 0;
    engine_init(&steward->engine, &config, steward_has_canary(steward) ? weight_ppm : 0, false);
    steward->published_ppm = steward->engine.rollout.weight_ppm;
    steward->published_revision = steward->engine.rollout.weight_revision;
    controller_write_state(controller, steward);
}

/* Other versions: the engine begins anew with them. */
static void deploy(struct controller *controller, struct steward *steward)
{
    const struct conf_service *conf = steward->conf;
    steward->published_revision = 0;
    steward->landed_revision = 0;
    steward->published_ppm = 0;
    steward->canary_down_since_us = 0;
    const char *deployment = steward_deployment(steward, ROLE_CURRENT);
    steward->rollout =
        sticky_rollout_of(bytes_of(conf->name), bytes_of(deployment != NULL ? deployment : ""));
    struct rollout_command command = {
        .kind = ROLLOUT_DEPLOY,
        .weight_ppm = steward_has_canary(steward) && conf->has_weight ? conf->weight_ppm : 0,
        .is_quarantined = controller_is_quarantined(controller, conf->name, deployment),
        .actor = "config",
        .reason = "the configuration names other versions",
    };
    controller_command(controller, steward, &command);
}

static void reweigh(struct controller *controller, struct steward *steward)
{
    struct rollout_command command = {
        .kind = ROLLOUT_SET_WEIGHT, .weight_ppm = steward->conf->weight_ppm, .actor = "config"};
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

static bool is_same_deployments(const struct steward *steward, const char *const before[ROLE_COUNT])
{
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        const char *after = steward_deployment(steward, (enum role)role);
        bool is_same = before[role] == NULL ? after == NULL
                                            : after != NULL && strcmp(before[role], after) == 0;
        if (!is_same) {
            return false;
        }
    }
    return true;
}

/* False when it stays as it was, with what it borrows from the configuration before. */
static bool take_service(struct controller *controller, struct steward *steward,
                         const struct conf_service *conf, unsigned parts)
{
    char names[ROLE_COUNT][CONF_DEPLOYMENT_MAX + 1];
    const char *before[ROLE_COUNT] = {NULL, NULL};
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        const char *name = steward_deployment(steward, (enum role)role);
        if (name != NULL) {
            (void)snprintf(names[role], sizeof names[role], "%s", name);
            before[role] = names[role];
        }
    }
    if (steward_configure(steward, &controller->registry, conf) != OK) {
        log_error("%s: stays as it was: out of memory", conf->name);
        return false;
    }
    struct engine_config config = steward_engine_config(conf);
    engine_configure(&steward->engine, &config, controller->loop->now_us);
    if (!is_same_deployments(steward, before)) {
        deploy(controller, steward);
    } else if ((parts & CONF_PART_WEIGHT) != 0 && conf->has_weight && steward_has_canary(steward)) {
        reweigh(controller, steward);
    }
    return true;
}

static void take_over(struct controller *controller, struct snapshot_base *base,
                      struct takeover *takeover, const struct conf_diff *diff)
{
    struct snapshot_base *old_base = controller->base;
    struct steward **old = controller->stewards;
    size_t old_count = controller->steward_count;
    controller->base = base;
    controller->is_taking_over = true;
    controller->stewards = takeover->stewards;
    controller->steward_count = takeover->count;
    bool is_complete = true;
    for (size_t i = 0; i < takeover->count; i++) {
        const struct conf_service *conf = &base->conf->services[i];
        if (takeover->is_new[i]) {
            begin_service(controller, takeover->stewards[i]);
        } else {
            is_complete =
                take_service(controller, takeover->stewards[i], conf, parts_of(diff, conf->name)) &&
                is_complete;
        }
    }
    if (controller_watch_endpoints(controller, base->conf) != OK) {
        log_error("health checks and names stay as they were: out of memory");
    }
    controller->is_taking_over = false;
    controller_publish(controller);
    for (size_t i = 0; i < old_count; i++) {
        if (!stays(takeover, old[i])) {
            steward_destroy(old[i]);
        }
    }
    free(old);
    free(takeover->is_new);
    if (is_complete) {
        snapshot_base_unref(old_base);
    }
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

static enum err fail(struct controller *controller, enum err err, const struct note *note,
                     json_t *ret_errors)
{
    controller->has_reload_failed = true;
    controller->reload_note = *note;
    log_error("reload: %s; the configuration before stays in force",
              note->text[0] != '\0' ? note->text : err_text(err));
    if (ret_errors != NULL) {
        (void)json_array_append_new(
            ret_errors, json_string(note->text[0] != '\0' ? note->text : err_text(err)));
    }
    return err;
}

static enum err prepare(struct controller *controller, struct conf *conf, struct takeover *takeover,
                        struct snapshot_base **ret_base, struct note *note)
{
    struct snapshot_base *base = NULL;
    enum err err = snapshot_base_create(conf, note, &base);
    if (err != OK) {
        return err;
    }
    err = match(controller, base->conf, takeover);
    if (err == OK) {
        err = admin_reload(controller->admin, &base->conf->admin, note);
    }
    if (err == OK) {
        err = crew_listen(controller->crew, base->conf, note);
    }
    if (err != OK) {
        abandon(takeover);
        snapshot_base_unref(base);
        return err;
    }
    *ret_base = base;
    return OK;
}

enum err controller_load_again(struct controller *controller, const char *actor, json_t *ret_errors)
{
    struct conf_errors errors;
    struct conf *conf = NULL;
    struct note note = {{0}};
    controller->reload_note = (struct note){{0}};
    conf_errors_init(&errors);
    enum err err = conf_load_file(controller->conf_path, &errors, &conf);
    if (err != OK) {
        report(controller, &errors, ret_errors);
        conf_errors_finish(&errors);
        controller->has_reload_failed = true;
        log_error("reload: the configuration before stays in force");
        return err;
    }
    conf_errors_finish(&errors);
    struct conf_diff *diff = NULL;
    if (conf_diff_create(controller->base->conf, conf, &diff) != OK) {
        conf_destroy(conf);
        return fail(controller, ERR_NOMEM, &note, ret_errors);
    }
    struct takeover takeover = {0};
    struct snapshot_base *base = NULL;
    err = prepare(controller, conf, &takeover, &base, &note);
    if (err != OK) {
        conf_diff_destroy(diff);
        return fail(controller, err, &note, ret_errors);
    }
    log_changes(diff);
    take_over(controller, base, &takeover, diff);
    conf_diff_destroy(diff);
    controller->has_reload_failed = false;
    controller->reloaded_wall_us = clock_wall_us(clock_system());
    controller_audit(controller, actor, "config.reload", NULL,
                     "the configuration was loaded again");
    admin_publish(controller->admin, "config", NULL, NULL);
    log_info("reload: done");
    return OK;
}

void controller_reload(struct controller *controller, const char *actor)
{
    if (controller->stage == CONTROLLER_SERVING) {
        controller_reopen_logs(controller);
        (void)!controller_load_again(controller, actor, NULL);
    }
}

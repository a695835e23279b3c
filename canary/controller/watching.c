/* canary/controller/watching.c — what is seen at the platform, and what follows from it.
 *
 * The watcher looks, the lookout says what it means, and here it is done: a new deployment begins a
 * rollout, a failed build is recorded, a move that nobody made here raises an alert. What was seen
 * is kept in the state file, so that a restart takes nothing for new that is not; a rollout is on
 * disk with its versions before it begins, so that none begins twice. */
#include <stdlib.h>
#include <string.h>

#include "canary/controller/controller_state.h"
#include "canary/platform/lookout.h"
#include "canary/platform/pages.h"
#include "proxy/base/log.h"

#define ACTOR "watch"

/* A service's view of its project. */
struct sight {
    struct list link; /* in controller->sights */
    char service[CONF_NAME_MAX + 1];
    char project[PAGES_PROJECT_MAX + 1];
    struct lookout lookout;
    char *kept; /* owned: as the state file has it; NULL: not at all */
    /* Builds that failed and whose logs are being asked for. */
    struct platform_deployment failing[WATCHER_LOGS_MAX];
    size_t failing_count;
    int64_t built_us; /* the newest that went well was created then */
    bool is_kept;     /* configured since the last sweep */
};

/* One look, and what is done about it. */
struct look {
    struct controller *controller;
    struct steward *steward;
    struct sight *sight;
    struct lookout_service service;
};

static struct sight *sight_of(struct list *link)
{
    return CONTAINER_OF(link, struct sight, link);
}

static struct sight *find_sight(const struct controller *controller, const char *service)
{
    for (struct list *link = controller->sights.next; link != &controller->sights;
         link = link->next) {
        if (strcmp(sight_of(link)->service, service) == 0) {
            return sight_of(link);
        }
    }
    return NULL;
}

static void sight_destroy(struct sight *sight)
{
    list_remove(&sight->link);
    free(sight->kept);
    free(sight);
}

/* ---- memory ---- */

static void forget(struct controller *controller, const char *service)
{
    controller_write(controller,
                     &(struct history_change){.watch = &(struct history_watch){service, NULL}},
                     "what was seen of its project", service);
}

/* Only what has changed: most looks see what the one before saw. */
static void keep(struct controller *controller, struct sight *sight)
{
    char *text = lookout_to_text(&sight->lookout, sight->project);
    bool is_same = text != NULL && sight->kept != NULL && strcmp(text, sight->kept) == 0;
    if (text == NULL || is_same || controller->is_history_unread) {
        free(text); /* without memory the next look tries again */
        return;
    }
    controller_write(
        controller,
        &(struct history_change){.watch = &(struct history_watch){sight->service, text}},
        "what was seen of its project", sight->service);
    free(sight->kept);
    sight->kept = text;
}

void controller_restore_watch(struct controller *controller, const struct history_watch *kept)
{
    struct sight *sight = find_sight(controller, kept->service);
    enum err err = sight == NULL ? ERR_NOT_FOUND
                                 : lookout_from_text(kept->body, sight->project, &sight->lookout);
    if (err == ERR_SYNTAX) {
        log_error("%s: what was seen of its project cannot be read from the state file: looking "
                  "begins anew",
                  kept->service);
    }
    if (err != OK) {
        forget(controller, kept->service);
    }
}

void controller_renew_watch(struct controller *controller)
{
    for (struct list *link = controller->sights.next; link != &controller->sights;
         link = link->next) {
        struct sight *sight = sight_of(link);
        if (sight->lookout.has_looked) {
            free(sight->kept);
            sight->kept = NULL;
            keep(controller, sight);
        }
    }
}

bool controller_has_moved(const struct controller *controller, const char *service,
                          const char *deployment)
{
    const struct sight *sight = find_sight(controller, service);
    size_t size = strlen(deployment);
    return sight != NULL && size > 0 && strncmp(sight->lookout.moved, deployment, size) == 0;
}

/* ---- telling ---- */

static void tell(const struct look *look, enum log_level level, const char *event,
                 const struct note *text)
{
    log_write(level, "%s: %s (%s by " ACTOR ")", look->sight->service, text->text, event);
    controller_audit(look->controller, ACTOR, event, look->sight->service, text->text);
}

static const char *before_of(const struct sight *sight, char ret_name[DEPLOYMENT_ID_SIZE])
{
    (void)snprintf(ret_name, DEPLOYMENT_ID_SIZE, "%.8s", sight->lookout.before);
    return ret_name[0] != '\0' ? ret_name : "nothing";
}

static void alert_moved(const struct look *look, const struct platform_deployment *live,
                        const char *why)
{
    char before[DEPLOYMENT_ID_SIZE];
    struct note text;
    note_set(&text, "%s is live at project %s, where %s was live before, and %s",
             lookout_name(live), look->sight->project, before_of(look->sight, before), why);
    tell(look, LOG_LEVEL_WARN, "platform.moved", &text);
    controller_alarm_moved(look->controller, look->steward, lookout_name(live), text.text);
}

static void tell_first(const struct look *look, const struct platform_deployment *live)
{
    bool is_known = lookout_is_known(live, &look->service);
    log_write(is_known ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
              "%s: watching project %s begins: %s is live there%s", look->sight->service,
              look->sight->project, lookout_name(live),
              is_known ? "" : ", which is no version of the service");
}

static void tell_new(const struct look *look, const struct platform_deployment *live)
{
    char before[DEPLOYMENT_ID_SIZE];
    struct note text;
    bool waits = look->service.follows && !look->service.may_start;
    note_set(&text,
             "%s is a new production deployment (%s, %.12s) and live at project %s, where %s "
             "was live before%s",
             lookout_name(live), live->branch, live->commit, look->sight->project,
             before_of(look->sight, before),
             waits ? "; its rollout waits until the service is ready for one" : "");
    tell(look, LOG_LEVEL_INFO, "platform.new", &text);
}

static void tell_settled(const struct look *look, const struct platform_deployment *live)
{
    struct note text;
    note_set(&text, "%s is live at project %s, and that is as it should be again",
             lookout_name(live), look->sight->project);
    tell(look, LOG_LEVEL_INFO, "platform.settled", &text);
}

/* ---- doing ---- */

/* The canary is pinned to the host that is the deployment's own for ever; the stable version is
 * what serves here, which a release that goes by the platform has made the one that was live
 * before. */
static void start(const struct look *look, const struct platform_deployment *live)
{
    const char *url = NULL;
    struct note why = {""};
    enum err err = lookout_origin(live, &url, &why);
    if (err == OK) {
        struct admin_start wish = {
            .service = look->sight->service,
            .deployment = lookout_name(live),
            .urls = &url,
            .url_count = 1,
            .url_field = "url",
            .actor = ACTOR,
        };
        err = controller_start_alone(look->controller, &wish, &why);
    }
    if (err == OK) {
        struct note text;
        note_set(&text, "a rollout of %s begins, at %s", lookout_name(live), url);
        tell(look, LOG_LEVEL_INFO, "watch.start", &text);
    } else if (err == ERR_STATE) {
        log_info("%s: no rollout of %s yet: %s", look->sight->service, lookout_name(live),
                 why.text);
    } else {
        struct note text;
        note_set(&text, "it cannot be tried here: %s", why.text);
        lookout_give_up(&look->sight->lookout);
        alert_moved(look, live, text.text);
    }
}

static void note_failing(const struct look *look, const struct platform_deployment *failed)
{
    struct sight *sight = look->sight;
    bool is_asked = sight->failing_count < WATCHER_LOGS_MAX &&
                    watcher_want_log(look->controller->watcher, sight->service, failed->id);
    if (is_asked) {
        sight->failing[sight->failing_count++] = *failed;
    }
}

static void note_built(const struct look *look, const struct platform_deployment *built)
{
    struct sight *sight = look->sight;
    sight->built_us = built->created_us > sight->built_us ? built->created_us : sight->built_us;
    look->steward->build_failed_us = 0;
}

static void act(const struct look *look, const struct lookout_event *event)
{
    const struct platform_deployment *deployment = event->deployment;
    switch (event->kind) {
    case LOOKOUT_BUILD_FAILED:
        note_failing(look, deployment);
        break;
    case LOOKOUT_BUILT:
        note_built(look, deployment);
        break;
    case LOOKOUT_FIRST:
        tell_first(look, deployment);
        break;
    case LOOKOUT_NEW:
        tell_new(look, deployment);
        break;
    case LOOKOUT_START:
        start(look, deployment);
        break;
    case LOOKOUT_MOVED:
        alert_moved(look, deployment,
                    look->service.follows ? "nobody made it so here"
                                          : "no rollout begins, because rollouts are off");
        break;
    case LOOKOUT_SETTLED:
        tell_settled(look, deployment);
        break;
    }
}

/* ---- what the watcher says ---- */

static const char *name_of(const struct steward *steward, enum role role)
{
    bool has_one = steward_deployment(steward, role) != NULL;
    return has_one ? controller_platform_name(steward, role) : NULL;
}

static struct lookout_service service_of(const struct controller *controller,
                                         const struct steward *steward)
{
    const struct rollout *rollout = &steward->engine.rollout;
    bool has_canary = steward_has_canary(steward);
    struct note note = {""};
    return (struct lookout_service){
        .current = name_of(steward, ROLE_CURRENT),
        .previous = name_of(steward, ROLE_PREVIOUS),
        .is_on_current = has_canary && (rollout->ascent.is_running || rollout->weight_ppm > 0),
        .follows = steward->conf->rollout.is_on,
        .may_start = !controller->is_history_unread && controller->stage == CONTROLLER_SERVING &&
                     !controller_is_starting(controller, steward->conf->name) &&
                     rollout_check_start(rollout, &note) == OK,
    };
}

static void on_looked(void *context, const char *service, const struct platform_answer *answer)
{
    struct controller *controller = context;
    struct look look = {
        controller, controller_find(controller, service), find_sight(controller, service), {0}};
    if (look.steward == NULL || look.sight == NULL || controller->stage != CONTROLLER_SERVING) {
        return;
    }
    loop_enter(controller->loop);
    look.service = service_of(controller, look.steward);
    struct lookout_view view = {answer->live, answer->deployments, answer->deployment_count};
    struct lookout_events events;
    lookout_look(&look.sight->lookout, &view, &look.service, &events);
    /* A crash from here on is made good by the next look: what is new stays wanted until it is a
     * version of the service, and a failed build is not ended before it is recorded. */
    keep(controller, look.sight);
    for (size_t i = 0; i < events.count; i++) {
        act(&look, &events.list[i]);
    }
    keep(controller, look.sight);
    loop_leave(controller->loop);
}

static bool take_failing(struct sight *sight, const char *id,
                         struct platform_deployment *ret_failed)
{
    for (size_t i = 0; i < sight->failing_count; i++) {
        if (strcmp(sight->failing[i].id, id) == 0) {
            *ret_failed = sight->failing[i];
            sight->failing[i] = sight->failing[--sight->failing_count];
            return true;
        }
    }
    return false;
}

static void record_failed(struct controller *controller, struct steward *steward,
                          const struct platform_deployment *failed, struct bytes log)
{
    const char *current = name_of(steward, ROLE_CURRENT);
    bool is_canary = current != NULL && deployment_is_named(failed, current);
    struct note reason;
    note_set(&reason, "the build of %s (%s, %.12s) failed in stage %s", lookout_name(failed),
             failed->branch, failed->commit, failed->stage);
    struct admin_rollback failure = {
        .service = steward->conf->name,
        .reason = reason.text,
        .is_build = true,
        .deployment = lookout_name(failed),
        .expect_current =
            is_canary ? steward_deployment(steward, ROLE_CURRENT) : lookout_name(failed),
        .build_log = log,
        .actor = ACTOR,
    };
    controller_build_failed(controller, steward, &failure);
}

static void on_logged(void *context, const char *service, const char *deployment, struct bytes log)
{
    struct controller *controller = context;
    struct steward *steward = controller_find(controller, service);
    struct sight *sight = find_sight(controller, service);
    struct platform_deployment failed;
    bool is_known = steward != NULL && sight != NULL && take_failing(sight, deployment, &failed);
    if (!is_known || controller->stage != CONTROLLER_SERVING) {
        return;
    }
    loop_enter(controller->loop);
    record_failed(controller, steward, &failed, log);
    if (failed.created_us < sight->built_us) {
        steward->build_failed_us = 0; /* a later one went well */
    }
    lookout_note_ended(&sight->lookout, &failed);
    keep(controller, sight);
    loop_leave(controller->loop);
}

/* ---- the configuration ---- */

static struct sight *make_sight(struct controller *controller, const char *service)
{
    struct sight *sight = find_sight(controller, service);
    if (sight == NULL) {
        sight = calloc(1, sizeof *sight);
        if (sight == NULL) {
            return NULL;
        }
        (void)snprintf(sight->service, sizeof sight->service, "%s", service);
        list_push_back(&controller->sights, &sight->link);
    }
    return sight;
}

static void watch(struct controller *controller, const struct conf_service *service)
{
    const struct conf_cloudflare *conf = &service->platform.pages;
    struct sight *sight = make_sight(controller, service->name);
    struct provider *provider = NULL;
    struct note note = {""};
    if (sight == NULL) {
        log_error("%s: out of memory: its project is not watched", service->name);
        return;
    }
    if (strcmp(sight->project, conf->name) != 0) {
        sight->lookout = (struct lookout){.has_looked = false};
        (void)snprintf(sight->project, sizeof sight->project, "%s", conf->name);
    }
    sight->is_kept = true;
    sight->failing_count = 0; /* the next look finds them again */
    enum err err = controller_make_cloudflare(controller, conf, true, &provider, &note);
    const char *why = note.text[0] != '\0' ? note.text : err_text(err);
    if (watcher_seat(controller->watcher, service->name, provider, conf->watch_every_us, why) !=
        OK) {
        log_error("%s: out of memory: its project is not watched", service->name);
        provider_close(provider, NULL, NULL);
    }
}

void controller_configure_watch(struct controller *controller, const struct conf *conf)
{
    for (size_t i = 0; i < conf->service_count; i++) {
        const struct conf_platform *platform = &conf->services[i].platform;
        if (platform->is_on && platform->pages.is_on && platform->pages.watch) {
            watch(controller, &conf->services[i]);
        }
    }
    watcher_sweep(controller->watcher);
    for (struct list *link = controller->sights.next; link != &controller->sights;) {
        struct sight *sight = sight_of(link);
        link = link->next;
        if (!sight->is_kept) {
            forget(controller, sight->service);
            sight_destroy(sight);
            continue;
        }
        sight->is_kept = false;
    }
}

enum err controller_open_watch(struct controller *controller)
{
    static const struct watcher_ops ops = {on_looked, on_logged};
    struct watcher_options options = {.ops = &ops, .context = controller};
    return watcher_create(&options, &controller->watcher);
}

void controller_finish_watch(struct controller *controller)
{
    while (!list_is_empty(&controller->sights)) {
        sight_destroy(sight_of(controller->sights.next));
    }
}

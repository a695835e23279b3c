/* canary/controller/start.c — a rollout that is started at run time: other versions for a service,
 * without a change of its configuration.
 *
 * Towards risk, write then act: the service is written down as it will stand (versions, step 0, no
 * weight), and only when that is on disk do steward, engine and workers learn of it. A write that
 * fails has changed nothing. What happens to the service meanwhile goes first: the start is refused
 * then, and the state of now written over it. */
#include <stdlib.h>

#include "canary/controller/controller_state.h"
#include "conf/conf_check.h"
#include "proxy/base/log.h"

/* What its Idempotency-Key leads to; a rollback's leads to the id of a record. */
#define START_KEY "start"

/* A start that waits for its write. */
struct start {
    struct list link; /* in controller->starts */
    struct controller *controller;
    struct steward *steward;  /* borrowed; NULL: a reload came in between */
    struct admin_call *call;  /* to be answered; NULL: nobody waits */
    struct steward_cast cast; /* owned */
    bool is_same;             /* the canary is what it was: it starts from where it stands */
    uint64_t revision;        /* of the service when it was asked for */
    uint64_t salt;
    struct ladder ladder;
    bool has_key;
    char key[KEY_SIZE_MAX];
    char fingerprint[KEY_SIZE_MAX];
    char service[CONF_NAME_MAX + 1];
    char actor[RECORD_ACTOR_SIZE];
};

static void destroy(struct start *start)
{
    if (start != NULL) {
        list_remove(&start->link);
        steward_release(&start->cast);
        free(start);
    }
}

/* Who asked: a call that is answered, or nobody who waits; then the words are kept here. */
struct asker {
    struct admin_call *call; /* NULL: none */
    bool is_refused;
    enum admin_result result; /* of a refusal, */
    struct note why;          /* ... and its words */
};

static void refuse(struct asker *asker, enum admin_result result, const char *detail,
                   const char *field)
{
    asker->is_refused = true;
    asker->result = result;
    note_set(&asker->why, "%s", detail);
    if (asker->call != NULL) {
        admin_reply(asker->call,
                    &(struct admin_reply){.result = result, .detail = detail, .field = field});
    }
}

/* One that had begun comes to nothing. */
static void fail(struct start *start, enum admin_result result, const char *detail)
{
    if (start->call != NULL) {
        admin_reply(start->call, &(struct admin_reply){.result = result, .detail = detail});
    } else {
        log_warn("%s: no rollout was started for %s: %s", start->service, start->actor, detail);
    }
}

/* ---- other versions ---- */

/* What is on disk says already how the service will stand when its start is done: a crash in
 * between is not to find it idle. */
static void leave_state(struct rollout_actions *actions)
{
    size_t kept = 0;
    for (size_t i = 0; i < actions->count; i++) {
        if (actions->list[i].kind != ROLLOUT_WRITE) {
            actions->list[kept++] = actions->list[i];
        }
    }
    actions->count = kept;
}

static void deploy_for_start(struct controller *controller, struct steward *steward,
                             const struct rollout_command *command)
{
    struct rollout_actions actions;
    struct note note = {{0}};
    enum err err = engine_command(&steward->engine, command, NULL, controller_now_us(controller),
                                  clock_wall_us(controller->clock), &actions, &note);
    CHECK(err == OK); /* a weight of 0 is never refused */
    leave_state(&actions);
    controller_act(controller, steward, &actions, NULL);
}

void controller_deploy(struct controller *controller, struct steward *steward,
                       const struct deployment *deployment)
{
    struct note versions;
    steward_say_versions(steward, &versions);
    /* Lists of before that still wait for their write have lower numbers than the next one: what
     * they would publish was meant for the versions of before. */
    steward->published_revision = steward->engine.rollout.revision + 1;
    steward->canary_down_since_us = 0;
    steward->has_written = false;
    if (deployment->is_canary_new && steward_has_canary(steward)) {
        teller_overtake(controller->teller, steward->conf->name);
    }
    if (deployment->is_canary_new) {
        steward->build_failed_us = 0;
        steward->published_ppm = 0;
        steward->rollout = deployment->salt;
        steward_forget_picks(steward);
    }
    struct rollout_command command = {
        .kind = ROLLOUT_DEPLOY,
        .weight_ppm = deployment->weight_ppm,
        .held_ppm = steward->published_ppm,
        .is_quarantined = controller_is_quarantined(controller, steward->conf->name,
                                                    steward_deployment(steward, ROLE_CURRENT)),
        .actor = deployment->actor,
        .reason = versions.text,
    };
    if (deployment->is_starting) {
        deploy_for_start(controller, steward, &command);
    } else {
        controller_command(controller, steward, &command);
    }
}

/* ---- the start itself ---- */

static void replace_versions(struct start *start)
{
    struct controller *controller = start->controller;
    struct steward *steward = start->steward;
    steward_adopt(steward, steward->conf, &start->cast);
    controller_deploy(controller, steward,
                      &(struct deployment){.is_canary_new = true,
                                           .is_starting = true,
                                           .salt = start->salt,
                                           .actor = start->actor});
    controller_watch_endpoints(controller);
}

/* The call is answered when the engine's list is carried out. */
static void climb(struct start *start)
{
    struct controller *controller = start->controller;
    struct steward *steward = start->steward;
    struct note versions;
    struct note note = {{0}};
    struct rollout_actions actions;
    int64_t wall_us = clock_wall_us(controller->clock);
    steward_say_versions(steward, &versions);
    struct rollout_command command = {.kind = ROLLOUT_START,
                                      .ladder = &start->ladder,
                                      .actor = start->actor,
                                      .reason = versions.text};
    enum err err = engine_command(&steward->engine, &command, NULL, controller_now_us(controller),
                                  wall_us, &actions, &note);
    if (err != OK) {
        controller_write_state(controller, steward);
        fail(start, ADMIN_CONFLICT, note.text);
        return;
    }
    struct history_key key = {start->key, start->fingerprint, START_KEY, wall_us};
    bool has_key = start->has_key && keys_add(controller->keys, key.key, key.fingerprint,
                                              key.rollback_id, key.at_us) == OK;
    struct act_for whom = {.call = start->call, .is_accepted = true, .key = has_key ? &key : NULL};
    controller_act(controller, steward, &actions, &whom);
}

/* One snapshot for all of it. Nothing fails from here on; what wants memory later is tried again
 * until there is some. */
static void launch(struct start *start)
{
    struct controller *controller = start->controller;
    controller->is_taking_over = true;
    if (!start->is_same) {
        replace_versions(start);
    } else if (start->steward->published_ppm == 0) {
        start->steward->rollout = start->salt;
    }
    climb(start);
    controller->is_taking_over = false;
    controller_publish(controller);
}

/* The present state over the one that was, or may have been, written. */
static void write_back(const struct start *start)
{
    struct steward *steward = controller_find(start->controller, start->service);
    if (steward != NULL) {
        controller_write_state(start->controller, steward);
    }
}

static void say_accepted(const struct start *start)
{
    if (start->call != NULL) {
        admin_reply(start->call,
                    &(struct admin_reply){.result = ADMIN_ACCEPTED, .service = start->service});
    }
}

static bool has_changed(const struct start *start)
{
    return start->steward == NULL || start->steward->engine.rollout.revision != start->revision;
}

static void on_written(void *context, enum err err)
{
    struct start *start = context;
    struct controller *controller = start->controller;
    loop_enter(controller->loop);
    if (err != OK) {
        log_error("%s: no rollout was started, because it could not be written down first: %s",
                  start->service, err_text(err));
        write_back(start);
        fail(start, ADMIN_UNAVAILABLE,
             "the start could not be written to the state file; nothing was changed");
    } else if (controller->stage == CONTROLLER_CLOSING) {
        /* It is on disk: the next start of the process goes on with it. */
        say_accepted(start);
    } else if (has_changed(start)) {
        write_back(start);
        fail(start, ADMIN_CONFLICT,
             "The service changed while the start was written down; nothing was started.");
    } else {
        launch(start);
    }
    destroy(start);
    loop_leave(controller->loop);
}

void controller_forget_starts(struct controller *controller)
{
    struct list *link = controller->starts.next;
    for (; link != &controller->starts; link = link->next) {
        CONTAINER_OF(link, struct start, link)->steward = NULL;
    }
}

/* ---- writing it down ---- */

/* The service as it will stand. */
static enum err write_down(struct start *start)
{
    const struct rollout *rollout = &start->steward->engine.rollout;
    int64_t wall_us = clock_wall_us(start->controller->clock);
    uint32_t weight_ppm = start->is_same ? rollout->weight_ppm : 0;
    struct rollout_journal journal = {
        .is_ascending = true,
        .ladder = start->ladder,
        .step = ladder_step_at(&start->ladder, weight_ppm),
        .waiting_wall_us = wall_us,
    };
    struct lineup *lineup = start->is_same ? &start->steward->lineup : &start->cast.lineup;
    struct history_service state = {
        .name = start->service,
        .current_deployment = lineup->versions[ROLE_CURRENT]->deployment,
        .previous_deployment = lineup->versions[ROLE_PREVIOUS]->deployment,
        .weight_ppm = weight_ppm,
        .phase = rollout_phase_name(ROLLOUT_PROGRESSING),
        .revision = rollout->revision,
        .salt = weight_ppm > 0 ? start->steward->rollout : start->salt,
        .step = (int32_t)journal.step,
        .detail = lineup_detail(lineup, &journal),
        .updated_us = wall_us,
    };
    return history_write(start->controller->history, &(struct history_change){.service = &state},
                         HISTORY_DURABLE, on_written, start);
}

static void take_texts(struct start *start, const struct admin_start *wish)
{
    (void)snprintf(start->service, sizeof start->service, "%s", wish->service);
    (void)snprintf(start->actor, sizeof start->actor, "%s", wish->actor);
    start->has_key = wish->key != NULL;
    if (start->has_key) {
        (void)snprintf(start->key, sizeof start->key, "%s", wish->key);
        (void)snprintf(start->fingerprint, sizeof start->fingerprint, "%s", wish->fingerprint);
    }
}

/* What the service is to consist of, with all objects that it takes. */
static enum err prepare(struct start *start, const struct conf_version *canary, bool is_takeover)
{
    struct steward *steward = start->steward;
    struct lineup lineup;
    if (start->is_same) {
        return OK;
    }
    enum err err = lineup_start(&steward->lineup, steward->conf, canary, is_takeover, &lineup);
    if (err == OK) {
        err = steward_prepare(&start->controller->registry, steward->conf, &lineup, &start->cast);
    }
    return err;
}

static bool is_canary(const struct steward *steward, const struct conf_version *version)
{
    const struct conf_version *canary = steward->lineup.versions[ROLE_CURRENT];
    return canary != NULL && conf_version_equals(canary, version);
}

static bool takes_over(const struct steward *steward)
{
    return steward_has_canary(steward) && steward->engine.rollout.weight_ppm == CONF_PPM;
}

static void begin(struct controller *controller, struct steward *steward, struct asker *asker,
                  const struct admin_start *wish, const struct conf_version *canary)
{
    struct start *start = calloc(1, sizeof *start);
    if (start == NULL) {
        refuse(asker, ADMIN_BUSY, "There is no memory for it now.", NULL);
        return;
    }
    *start = (struct start){
        .controller = controller,
        .steward = steward,
        .call = asker->call,
        .is_same = is_canary(steward, canary),
        .revision = steward->engine.rollout.revision,
        .salt = random_u64(&controller->loop->random) | 1,
        .ladder = wish->step_count > 0 ? steward_ladder(wish->steps_ppm, wish->step_count)
                                       : steward->engine.rollout.config.ladder,
    };
    list_init(&start->link);
    take_texts(start, wish);
    enum err err = prepare(start, canary, takes_over(steward));
    if (err == OK) {
        list_push_back(&controller->starts, &start->link);
        err = write_down(start);
    }
    if (err != OK) {
        log_error("%s: no rollout was started: %s", start->service, err_text(err));
        destroy(start);
        refuse(asker, err == ERR_NOMEM ? ADMIN_BUSY : ADMIN_UNAVAILABLE,
               "The start cannot be written down now; nothing was changed.", NULL);
    }
}

/* ---- what may be started ---- */

/* http://d7a3f2b.showcase.pages.dev is where the deployment d7a3f2b is; showcase.pages.dev is an
 * alias. */
static bool read_pages_label(const struct conf_version *version, char label[64])
{
    struct bytes host = bytes_of(version->endpoints[0].host);
    struct bytes suffix = BYTES(".pages.dev");
    if (host.size <= suffix.size || version->endpoint_count != 1) {
        return false;
    }
    size_t cut = bytes_find(host, '.');
    size_t project = host.size - suffix.size;
    bool is_deployment =
        bytes_equal(bytes_slice(host, project, suffix.size), suffix) && cut < project && cut < 64;
    if (is_deployment) {
        memcpy(label, host.data, cut);
        label[cut] = '\0';
    }
    return is_deployment;
}

static enum err name_by_label(const struct admin_start *wish, struct conf_version **version)
{
    char label[64];
    struct note note;
    struct conf_version *named = NULL;
    if (wish->deployment != NULL || !read_pages_label(*version, label)) {
        return OK;
    }
    enum err err = conf_version_create(label, wish->urls, wish->url_count, &note, &named);
    if (err == OK) {
        conf_version_destroy(*version);
        *version = named;
    }
    return err;
}

/* The version that is asked for, or NULL: refused. Gives it to the caller. */
static struct conf_version *read_version(struct asker *asker, const struct admin_start *wish)
{
    struct note why = {""};
    struct note detail;
    struct conf_version *version = NULL;
    if (wish->deployment != NULL && conf_deployment_check(wish->deployment, &why) != OK) {
        note_set(&detail, "The deployment's name %s.", why.text);
        refuse(asker, ADMIN_INVALID, detail.text, "deployment");
        return NULL;
    }
    enum err err =
        conf_version_create(wish->deployment, wish->urls, wish->url_count, &why, &version);
    if (err == OK) {
        err = name_by_label(wish, &version);
    }
    if (err == OK) {
        return version;
    }
    conf_version_destroy(version);
    note_set(&detail, "%s.", why.text);
    refuse(asker, err == ERR_NOMEM ? ADMIN_BUSY : ADMIN_INVALID,
           err == ERR_NOMEM ? "There is no memory for it now." : detail.text, wish->url_field);
    return NULL;
}

/* Is the place one that the configuration would take? */
static bool is_place_sound(const struct controller *controller, const struct steward *steward,
                           struct asker *asker, const struct admin_start *wish,
                           const struct conf_version *version)
{
    const struct conf_service *conf = steward->conf;
    const struct conf_version *filed[] = {&conf->previous,
                                          conf->has_current ? &conf->current : NULL};
    struct note detail;
    for (size_t i = 0; i < version->endpoint_count; i++) {
        const struct conf_endpoint *endpoint = &version->endpoints[i];
        if (conf_own_address(controller->base->conf, endpoint) != NULL ||
            admin_is_at(controller->admin, endpoint)) {
            note_set(&detail, "%s is where this proxy itself listens.", endpoint->url);
            refuse(asker, ADMIN_INVALID, detail.text, wish->url_field);
            return false;
        }
    }
    for (size_t i = 0; i < COUNT_OF(filed); i++) {
        bool is_named = filed[i] != NULL && strcmp(filed[i]->deployment, version->deployment) == 0;
        if (is_named && !conf_version_equals(filed[i], version)) {
            note_set(&detail, "The configuration says that %s is at %s.", version->deployment,
                     filed[i]->endpoints[0].url);
            refuse(asker, ADMIN_INVALID, detail.text, wish->url_field);
            return false;
        }
    }
    return true;
}

/* Is the deployment one that can be tried? */
static bool is_deployment_new(const struct controller *controller, const struct steward *steward,
                              struct asker *asker, const struct conf_version *version)
{
    const char *name = version->deployment;
    enum role stable = takes_over(steward) ? ROLE_CURRENT : ROLE_PREVIOUS;
    struct note detail;
    if (strcmp(name, steward_deployment(steward, stable)) == 0) {
        note_set(&detail, "%s is the version that serves: there is nothing to try.", name);
        refuse(asker, ADMIN_INVALID, detail.text, "deployment");
        return false;
    }
    if (controller_is_quarantined(controller, steward->conf->name, name)) {
        note_set(&detail, "%s was rolled back and is quarantined; release it first.", name);
        refuse(asker, ADMIN_QUARANTINED, detail.text, "deployment");
        return false;
    }
    return true;
}

/* False: the steps are those of the configuration, or sound. */
static bool are_steps_bad(struct asker *asker, const struct admin_start *wish)
{
    const char *fault =
        wish->step_count > 0 ? conf_steps_fault(wish->steps_ppm, wish->step_count) : NULL;
    struct note detail;
    if (fault != NULL) {
        note_set(&detail, "The steps cannot be climbed: %s.", fault);
        refuse(asker, ADMIN_INVALID, detail.text, "steps");
    }
    return fault != NULL;
}

bool controller_is_starting(const struct controller *controller, const char *service)
{
    const struct list *link = controller->starts.next;
    for (; link != &controller->starts; link = link->next) {
        if (strcmp(CONTAINER_OF(link, const struct start, link)->service, service) == 0) {
            return true;
        }
    }
    return false;
}

/* Is this the time for it? */
static bool may_start(struct controller *controller, const struct steward *steward,
                      struct asker *asker, const struct admin_start *wish)
{
    struct note note = {""};
    if (wish->has_revision && wish->revision != steward->engine.rollout.revision) {
        refuse(asker, ADMIN_STALE, "The service has changed since that revision.", "If-Match");
    } else if (controller->is_history_unread) {
        refuse(asker, ADMIN_UNAVAILABLE,
               "The state file could not be read at the start: it is not known what is "
               "quarantined. Start the process anew with a file that can be read.",
               NULL);
    } else if (controller_is_starting(controller, wish->service)) {
        refuse(asker, ADMIN_CONFLICT, "A rollout is being started.", NULL);
    } else if (rollout_check_start(&steward->engine.rollout, &note) != OK) {
        refuse(asker, ADMIN_CONFLICT, note.text, NULL);
    } else {
        return true;
    }
    return false;
}

/* True when the key decided the matter. */
static bool is_replay(struct controller *controller, struct asker *asker,
                      const struct admin_start *wish)
{
    const char *id = NULL;
    if (wish->key == NULL) {
        return false;
    }
    switch (keys_find(controller->keys, wish->key, wish->fingerprint,
                      clock_wall_us(controller->clock), &id)) {
    case KEYS_UNKNOWN:
        return false;
    case KEYS_MISUSED:
        refuse(asker, ADMIN_KEY_MISUSED, "This Idempotency-Key came with another request before.",
               "Idempotency-Key");
        return true;
    case KEYS_REPLAY:
        break;
    }
    admin_reply(asker->call,
                &(struct admin_reply){.result = ADMIN_REPLAYED, .service = wish->service});
    return true;
}

static void start_for(struct controller *controller, struct asker *asker,
                      const struct admin_start *wish)
{
    struct steward *steward = controller_find(controller, wish->service);
    if (controller->stage != CONTROLLER_SERVING || !controller->is_started) {
        refuse(asker, ADMIN_CONFLICT, "The process is not ready, or about to end.", NULL);
        return;
    }
    if (steward == NULL) {
        refuse(asker, ADMIN_UNKNOWN, "There is no such service.", "service");
        return;
    }
    if (is_replay(controller, asker, wish) || are_steps_bad(asker, wish)) {
        return;
    }
    struct conf_version *version = read_version(asker, wish);
    bool may_begin = version != NULL && may_start(controller, steward, asker, wish) &&
                     is_deployment_new(controller, steward, asker, version) &&
                     is_place_sound(controller, steward, asker, wish, version);
    if (may_begin) {
        begin(controller, steward, asker, wish, version);
    }
    conf_version_destroy(version);
}

void controller_start(void *context, struct admin_call *call, const struct admin_start *wish)
{
    struct asker asker = {.call = call};
    start_for(context, &asker, wish);
}

enum err controller_start_alone(struct controller *controller, const struct admin_start *wish,
                                struct note *ret_why)
{
    struct asker asker = {.call = NULL};
    start_for(controller, &asker, wish);
    if (!asker.is_refused) {
        return OK;
    }
    *ret_why = asker.why;
    return asker.result == ADMIN_INVALID || asker.result == ADMIN_QUARANTINED ? ERR_DENIED
                                                                              : ERR_STATE;
}

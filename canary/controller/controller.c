#include "canary/controller/controller.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "canary/controller/controller_state.h"
#include "proxy/base/log.h"

enum {
    DESCRIPTOR_RESERVE = 64, /* for the state file, the log, curl, epoll and whatever else */
    LOG_CLOSE_WAIT_MS = 2000,
    STAGE_LOOK_MS = 20,

};

/* ---- snapshots ---- */

static size_t endpoint_total(const struct controller *controller)
{
    size_t total = 0;
    for (size_t i = 0; i < controller->steward_count; i++) {
        const struct steward *steward = controller->stewards[i];
        total += steward->versions[ROLE_CURRENT].endpoint_count +
                 steward->versions[ROLE_PREVIOUS].endpoint_count;
    }
    return total;
}

static enum err make_snapshot(struct controller *controller, struct snapshot **ret_snapshot)
{
    struct snapshot_service_plan *plans = calloc(controller->steward_count + 1, sizeof *plans);
    struct snapshot_endpoint_plan *targets =
        calloc(endpoint_total(controller) + 1, sizeof *targets);
    enum err err = ERR_NOMEM;
    if (plans != NULL && targets != NULL) {
        size_t used = 0;
        for (size_t i = 0; i < controller->steward_count; i++) {
            const struct steward *steward = controller->stewards[i];
            steward_plan(steward, controller->book, targets + used, &plans[i]);
            used += steward->versions[ROLE_CURRENT].endpoint_count +
                    steward->versions[ROLE_PREVIOUS].endpoint_count;
        }
        err = snapshot_create(controller->base, plans, controller->steward_count,
                              crew_worker_count(controller->crew), controller->snapshot_number + 1,
                              ret_snapshot);
    }
    free(plans);
    free(targets);
    return err;
}

void controller_publish(struct controller *controller)
{
    struct snapshot *snapshot = NULL;
    if (controller->is_taking_over || controller->stage == CONTROLLER_CLOSING) {
        return;
    }
    enum err err = make_snapshot(controller, &snapshot);
    controller->needs_publish = err != OK;
    if (err != OK) {
        log_error("the workers keep the split they have: %s", err_text(err));
        return;
    }
    controller->snapshot_number++;
    for (size_t i = 0; i < controller->steward_count; i++) {
        steward_note_carried(controller->stewards[i], controller->snapshot_number);
    }
    crew_publish(controller->crew, snapshot);
}

/* Every worker's next request is split as the snapshot says. */
static void on_adopted(void *context, const struct snapshot *snapshot)
{
    struct controller *controller = context;
    for (size_t i = 0; i < controller->steward_count; i++) {
        steward_note_landed(controller->stewards[i], snapshot->number,
                            controller_now_us(controller));
        drills_note_landed(&controller->stewards[i]->drills, snapshot->number,
                           controller_now_us(controller));
    }
}

static void on_home(void *context, const struct snapshot *snapshot)
{
    (void)context;
    (void)snapshot;
}

static const struct crew_ops crew_ops = {on_adopted, on_home};

/* ---- services ---- */

struct steward *controller_find(const struct controller *controller, const char *service)
{
    for (size_t i = 0; i < controller->steward_count; i++) {
        if (strcmp(controller->stewards[i]->conf->name, service) == 0) {
            return controller->stewards[i];
        }
    }
    return NULL;
}

static struct quarantined *find_quarantined(const struct controller *controller,
                                            const char *service, const char *deployment)
{
    for (size_t i = 0; i < controller->quarantined_count; i++) {
        struct quarantined *one = &controller->quarantined[i];
        if (strcmp(one->service, service) == 0 && strcmp(one->deployment, deployment) == 0) {
            return one;
        }
    }
    return NULL;
}

bool controller_is_quarantined(const struct controller *controller, const char *service,
                               const char *deployment)
{
    return deployment != NULL && find_quarantined(controller, service, deployment) != NULL;
}

void controller_note_quarantine(struct controller *controller, const char *service,
                                const char *deployment, const char *reason, int64_t since_us,
                                bool is_released)
{
    struct quarantined *one = find_quarantined(controller, service, deployment);
    if (one != NULL && is_released) {
        *one = controller->quarantined[--controller->quarantined_count];
    }
    if (one != NULL || is_released) {
        return;
    }
    struct quarantined *more =
        realloc(controller->quarantined, (controller->quarantined_count + 1) * sizeof *more);
    if (more == NULL) {
        log_error("%s: the quarantine of %s is known to the state file only", service, deployment);
        return;
    }
    controller->quarantined = more;
    one = &more[controller->quarantined_count++];
    (void)snprintf(one->service, sizeof one->service, "%s", service);
    (void)snprintf(one->deployment, sizeof one->deployment, "%s", deployment);
    (void)snprintf(one->reason, sizeof one->reason, "%s", reason != NULL ? reason : "");
    one->since_us = since_us;
}

void controller_make_id(struct controller *controller, char id[RECORD_ID_SIZE])
{
    char time[CLOCK_TEXT_SIZE];
    clock_format(clock_wall_us(controller->clock), time);
    unsigned random = (unsigned)(random_u64(&controller->loop->random) & 0xffffff);
    (void)snprintf(id, RECORD_ID_SIZE, "rb-%.4s%.2s%.2sT%.2s%.2s%.2s-%03u%06x", time, time + 5,
                   time + 8, time + 11, time + 14, time + 17, controller->record_serial++ % 1000,
                   random);
}

/* ---- endpoints ---- */

static size_t list_places(const struct controller *controller, struct address_place *places)
{
    size_t count = 0;
    for (size_t i = 0; i < controller->steward_count; i++) {
        for (size_t role = 0; role < ROLE_COUNT; role++) {
            const struct steward_version *version = &controller->stewards[i]->versions[role];
            for (size_t e = 0; e < version->endpoint_count; e++) {
                const struct conf_endpoint *conf = version->endpoints[e].conf;
                places[count++] = (struct address_place){bytes_of(conf->host), conf->port};
            }
        }
    }
    return count;
}

static size_t list_version(const struct conf_version *version, struct address_place *places)
{
    for (size_t i = 0; i < version->endpoint_count; i++) {
        const struct conf_endpoint *conf = &version->endpoints[i];
        places[i] = (struct address_place){bytes_of(conf->host), conf->port};
    }
    return version->endpoint_count;
}

static size_t conf_endpoint_total(const struct conf *conf)
{
    size_t total = 0;
    for (size_t i = 0; i < conf->service_count; i++) {
        const struct conf_service *service = &conf->services[i];
        total += service->previous.endpoint_count;
        total += service->has_current ? service->current.endpoint_count : 0;
    }
    return total;
}

static enum err list_targets(const struct controller *controller, struct prober_target *targets,
                             size_t *ret_count)
{
    enum err err = OK;
    size_t count = 0;
    for (size_t i = 0; i < controller->steward_count; i++) {
        const struct steward *steward = controller->stewards[i];
        for (size_t role = 0; role < ROLE_COUNT && steward->conf->health.is_on; role++) {
            const struct steward_version *version = &steward->versions[role];
            for (size_t e = 0; e < version->endpoint_count && err == OK; e++) {
                err = controller_target(controller, steward, (enum role)role, e,
                                        &steward->conf->health, &targets[count++]);
            }
        }
    }
    *ret_count = count;
    return err;
}

static enum err watch_health(struct controller *controller)
{
    struct prober_target *targets = calloc(endpoint_total(controller) + 1, sizeof *targets);
    if (targets == NULL) {
        return ERR_NOMEM;
    }
    size_t count = 0;
    enum err err = list_targets(controller, targets, &count);
    if (err == OK) {
        err = prober_set(controller->prober, targets, count);
    }
    free(targets);
    return err;
}

static void note_addresses(struct controller *controller)
{
    for (size_t i = 0; i < controller->steward_count; i++) {
        steward_note_addresses(controller->stewards[i], controller->book);
    }
}

static enum err watch_names(struct controller *controller)
{
    struct address_place *places = calloc(endpoint_total(controller) + 1, sizeof *places);
    if (places == NULL) {
        return ERR_NOMEM;
    }
    enum err err = address_book_set(controller->book, places, list_places(controller, places),
                                    controller->base->conf->resolve_us);
    free(places);
    return err;
}

void controller_watch_endpoints(struct controller *controller)
{
    enum err err = watch_names(controller);
    if (err == OK) {
        err = watch_health(controller);
    }
    if (err != OK && !controller->needs_watch) {
        log_error("names and health checks stay as they were: %s", err_text(err));
    }
    controller->needs_watch = err != OK;
    note_addresses(controller);
}

enum err controller_look_up_too(struct controller *controller, const struct conf *conf)
{
    size_t room = endpoint_total(controller) + conf_endpoint_total(conf);
    struct address_place *places = calloc(room + 1, sizeof *places);
    if (places == NULL) {
        return ERR_NOMEM;
    }
    size_t count = list_places(controller, places);
    for (size_t i = 0; i < conf->service_count; i++) {
        count += list_version(&conf->services[i].previous, places + count);
        if (conf->services[i].has_current) {
            count += list_version(&conf->services[i].current, places + count);
        }
    }
    enum err err = address_book_set(controller->book, places, count, conf->resolve_us);
    free(places);
    return err;
}

static void on_addresses_changed(void *context)
{
    struct controller *controller = context;
    note_addresses(controller);
    controller_publish(controller);
    controller->needs_watch = watch_health(controller) != OK || controller->needs_watch;
}

static void on_lookup_failed(void *context, struct bytes host, enum err err, const char *reason)
{
    (void)context;
    log_warn("cannot resolve %.*s: %s (%s); the last known addresses stay", BYTES_ARGS(host),
             err_text(err), reason);
}

static void on_health_changed(void *context, struct endpoint *endpoint, bool is_healthy,
                              const char *reason)
{
    (void)context;
    log_write(is_healthy ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "endpoint %.*s is %s: %s",
              BYTES_ARGS(endpoint->name), is_healthy ? "healthy" : "unhealthy", reason);
}

/* ---- ticks ---- */

/* Every endpoint of the canary is known by address and passed `healthy` checks in a row. */
static bool is_canary_ready(const struct controller *controller, const struct steward *steward)
{
    const struct steward_version *canary = &steward->versions[ROLE_CURRENT];
    for (size_t i = 0; i < canary->endpoint_count; i++) {
        if (!canary->endpoints[i].has_address) {
            return false;
        }
    }
    for (size_t i = 0; i < canary->endpoint_count && steward->conf->health.is_on; i++) {
        struct prober_facts facts;
        if (!prober_find(controller->prober, canary->endpoints[i].endpoint, &facts) ||
            facts.good_in_row < steward->conf->health.healthy) {
            return false;
        }
    }
    return true;
}

static void tick_steward(struct controller *controller, struct steward *steward, uint64_t now_us,
                         int64_t wall_us)
{
    steward->is_canary_ready = is_canary_ready(controller, steward);
    struct rollout_actions actions;
    char id[RECORD_ID_SIZE];
    controller_make_id(controller, id);
    checks_look(&steward->checks, controller, steward,
                rollout_asked_round(&steward->engine.rollout));
    steward_tick(steward, id, now_us, wall_us, &actions);
    if (actions.count > 0) {
        controller_act(controller, steward, &actions, NULL);
    }
    controller_follow_kept(steward);
    controller_sweep_kept(controller, steward);
    controller_tell_platform(controller, steward);
    controller_drill_tick(controller, steward, now_us, wall_us);
    controller_tell_observed(controller, steward);
    controller_tell_hold(controller, steward);
    controller_tell_verdict(controller, steward);
}

/* Tickets that were recorded cannot be read for longer than two of these. */
static void rotate_tickets(struct controller *controller)
{
    uint64_t now_us = controller->loop->now_us;
    if (now_us - controller->tickets_rotated_us < (uint64_t)CONTROLLER_TICKETS_HOURS * 3600000000) {
        return;
    }
    controller->tickets_rotated_us = now_us;
    if (tls_ticket_keys_rotate(controller->tickets) != OK) {
        log_warn("no randomness for new keys of TLS session tickets: the old ones stay");
    }
}

static void tick_second(struct controller *controller)
{
    rotate_tickets(controller);
    for (size_t i = 0; i < controller->steward_count; i++) {
        steward_note_second(controller->stewards[i]);
        controller_drill_schedule(controller, controller->stewards[i]);
    }
    controller_alarm_tick(controller);
    controller_retain_tick(controller);
    controller_renew_state(controller);
    admin_tick(controller->admin);
    registry_sweep(&controller->registry);
}

void controller_tick(struct controller *controller)
{
    loop_enter(controller->loop);
    uint64_t now_us = controller_now_us(controller);
    uint64_t since_us = controller->ticked_us > 0 ? now_us - controller->ticked_us : 0;
    if (since_us > (uint64_t)CONTROLLER_LATE_MS * 1000) {
        controller->late_until_us = now_us + (uint64_t)CONTROLLER_LATE_SHOWN_S * 1000000;
    }
    controller->ticked_us = now_us;
    int64_t wall_us = clock_wall_us(controller->clock);
    if (controller->needs_watch) {
        controller_watch_endpoints(controller);
        controller->needs_publish = true;
    }
    if (controller->needs_publish) {
        controller_publish(controller);
    }
    controller_keep_witnesses(controller);
    for (size_t i = 0; i < controller->steward_count; i++) {
        if (steward_has_canary(controller->stewards[i])) {
            tick_steward(controller, controller->stewards[i], now_us, wall_us);
        }
    }
    if (controller->tick_count++ % CONTROLLER_TICKS_PER_SECOND == 0) {
        tick_second(controller);
    }
    teller_tick(controller->teller, now_us);
    watcher_tick(controller->watcher, now_us);
    controller_watch_failures(controller, wall_us);
    controller_write_incidents(controller);
    controller_reload_tick(controller);
    controller_supervise_tick(controller);
    loop_leave(controller->loop);
}

static void on_tick(uv_timer_t *timer)
{
    struct controller *controller = timer->data;
    controller_tick(controller);
}

/* ---- making ---- */

static size_t connection_limit(const struct conf *conf)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        return conf->limits.client_connections > 0 ? conf->limits.client_connections : SIZE_MAX;
    }
    size_t descriptors = (size_t)limit.rlim_cur;
    size_t reserve = DESCRIPTOR_RESERVE + descriptors / 5;
    size_t most = descriptors > reserve ? descriptors - reserve : 1;
    if (conf->limits.client_connections > 0 && conf->limits.client_connections < most) {
        return conf->limits.client_connections;
    }
    return most;
}

void controller_limit_connections(struct controller *controller)
{
    crew_set_connection_max(controller->crew, connection_limit(controller->base->conf));
}

static enum err create_stewards(struct controller *controller, const struct conf *conf)
{
    controller->stewards = calloc(conf->service_count, sizeof(struct steward *));
    if (controller->stewards == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < conf->service_count; i++) {
        enum err err =
            steward_create(&controller->registry, &conf->services[i], &controller->stewards[i]);
        if (err != OK) {
            return err;
        }
        err = steward_record(controller->stewards[controller->steward_count++], &conf->recorder);
        if (err != OK) {
            return err;
        }
    }
    return OK;
}

static enum err open_log(struct controller *controller, const struct conf *conf, unsigned workers,
                         struct note *note)
{
    if (!conf->access_log.is_on) {
        return OK;
    }
    enum access_log_format format =
        conf->access_log.format == CONF_LOG_JSON ? ACCESS_LOG_JSON : ACCESS_LOG_COMBINED;
    return access_log_open(conf->access_log.path, format, workers, note, &controller->access_log);
}

static enum err open_watchers(struct controller *controller, const struct conf *conf)
{
    static const struct address_book_ops book_ops = {on_addresses_changed, on_lookup_failed};
    struct framing_limits limits = {.head_max = conf->limits.header_size,
                                    .line_max = conf->limits.header_line,
                                    .fields_max = conf->limits.headers};
    controller->resolver = calloc(1, sizeof *controller->resolver);
    if (controller->resolver == NULL) {
        return ERR_NOMEM;
    }
    enum err err = resolver_init(controller->resolver, controller->loop, NULL);
    if (err != OK) {
        free(controller->resolver);
        controller->resolver = NULL;
        return err;
    }
    err = address_book_create(controller->loop, controller->resolver, &book_ops, controller,
                              &controller->book);
    if (err == OK) {
        err = prober_create(controller->loop, &limits, on_health_changed, controller,
                            &controller->prober);
    }
    return err;
}

static enum err open_state(struct controller *controller, const struct conf *conf)
{
    struct history_options options = {.path = conf->state, .loop = &controller->loop->uv};
    enum err err = keys_create(&controller->keys);
    return err == OK ? history_create(&options, &controller->history) : err;
}

static enum err open_admin(struct controller *controller, const struct conf *conf,
                           struct note *note)
{
    struct admin_options options = {
        .ops = &controller_admin_ops,
        .context = controller,
        .history = controller->history,
        .clock = controller->clock,
        .conf = &conf->admin,
    };
    return admin_create(&options, &controller->admin, note);
}

static void on_waited(uv_timer_t *timer)
{
    (void)timer;
}

/* Names have a moment to be looked up before anything is asked of them. Only what was opened so far
 * runs meanwhile. */
static void wait_for_names(struct controller *controller)
{
    loop_leave(controller->loop);
    uint64_t until_ms = uv_now(&controller->loop->uv) + CONTROLLER_NAMES_MS;
    (void)uv_timer_start(&controller->stage_timer, on_waited, CONTROLLER_NAMES_MS, 0);
    while (address_book_pending_count(controller->book) > 0 &&
           uv_now(&controller->loop->uv) < until_ms) {
        (void)uv_run(&controller->loop->uv, UV_RUN_ONCE);
    }
    (void)uv_timer_stop(&controller->stage_timer);
    loop_enter(controller->loop);
}

static enum err start(struct controller *controller, struct note *note)
{
    const struct conf *conf = controller->base->conf;
    /* First, because it finds a process that serves this configuration already: nothing is written
     * to that one's file, and no connection is taken from its shared sockets. */
    enum err err = admin_server_open(controller->loop, controller->admin, &conf->admin.address,
                                     controller->inherited, &controller->admin_server, note);
    struct crew_binding *binding = NULL;
    if (err == OK) {
        admin_server_use_tls(controller->admin_server, controller->base->admin_tls);
        err = crew_bind(controller->crew, conf, note, &binding);
    }
    if (err != OK) {
        return err;
    }
    if (inherited_has_unused(controller->inherited, note)) {
        crew_unbind(controller->crew, binding);
        return ERR_STATE;
    }
    err = controller_begin_services(controller);
    if (err != OK) {
        crew_unbind(controller->crew, binding);
        return err;
    }
    controller_alarm_begin(controller);
    controller_finish_incidents(controller);
    controller_watch_endpoints(controller);
    wait_for_names(controller);
    controller_publish(controller);
    controller_limit_connections(controller);
    crew_listen(controller->crew, binding);
    err = controller->needs_publish || controller->needs_watch ? ERR_NOMEM : OK;
    if (err == OK) {
        err = crew_start(controller->crew);
    }
    if (err == OK) {
        controller->is_started = true;
        controller_audit(controller, "serin", "start", NULL, controller->version);
        controller_tell_trust(controller);
        controller_tell_ready(controller);
    }
    return err;
}

static enum err open_all(struct controller *controller, struct conf *conf, struct note *note)
{
    unsigned workers = conf_worker_count(conf);
    registry_init(&controller->registry, workers);
    enum err err = tls_ticket_keys_create(&controller->tickets);
    controller->tickets_rotated_us = controller->loop->now_us;
    if (err != OK) {
        conf_destroy(conf);
        return err;
    }
    err = snapshot_base_create(conf, controller->tickets, note, &controller->base);
    if (err != OK) {
        return err;
    }
    err = open_log(controller, conf, workers, note);
    if (err == OK) {
        err = open_state(controller, conf);
    }
    if (err == OK) {
        err = controller_open_alerts(controller, conf);
    }
    if (err == OK) {
        err = controller_open_platforms(controller, conf);
    }
    if (err == OK) {
        err = controller_open_incidents(controller, conf);
    }
    if (err == OK) {
        err = open_watchers(controller, conf);
    }
    if (err == OK) {
        err = open_admin(controller, conf, note);
    }
    if (err == OK) {
        err = crew_create(controller->loop, workers, controller->access_log, &crew_ops, controller,
                          &controller->crew);
    }
    if (err == OK) {
        crew_inherit(controller->crew, controller->inherited);
        err = create_stewards(controller, conf);
    }
    return err == OK ? start(controller, note) : err;
}

enum err controller_create(const struct controller_options *options, struct note *note,
                           struct controller **ret_controller)
{
    struct controller *controller = calloc(1, sizeof *controller);
    if (controller == NULL) {
        conf_destroy(options->conf);
        return ERR_NOMEM;
    }
    controller->loop = options->loop;
    controller->clock = options->clock != NULL ? options->clock : clock_system();
    controller->conf_path = options->conf_path;
    controller->version = options->version;
    controller->commit = options->commit;
    controller->inherited = options->inherited;
    controller->supervision.notify = options->notify;
    controller->started_wall_us = clock_wall_us(controller->clock);
    controller->reloaded_wall_us = controller->started_wall_us;
    list_init(&controller->acts);
    list_init(&controller->starts);
    list_init(&controller->sights);
    (void)uv_timer_init(&controller->loop->uv, &controller->tick_timer);
    (void)uv_timer_init(&controller->loop->uv, &controller->stage_timer);
    controller->tick_timer.data = controller;
    controller->stage_timer.data = controller;
    loop_enter(controller->loop);
    enum err err = open_all(controller, options->conf, note);
    if (err == OK) {
        /* At once: commands are judged by what the last tick saw. */
        (void)uv_timer_start(&controller->tick_timer, on_tick, 0, CONTROLLER_TICK_MS);
    }
    loop_leave(controller->loop);
    if (err != OK) {
        controller_destroy(controller);
        return err;
    }
    *ret_controller = controller;
    return OK;
}

void controller_reopen_logs(struct controller *controller)
{
    if (controller->access_log != NULL) {
        access_log_reopen(controller->access_log);
    }
}

unsigned controller_port(const struct controller *controller, size_t index)
{
    return crew_port(controller->crew, index);
}

/* ---- ending ---- */

static void on_part_closed(void *context)
{
    struct controller *controller = context;
    controller->closing_count--;
}

static void close_parts(struct controller *controller)
{
    controller->stage = CONTROLLER_CLOSING;
    controller_reload_cancel(controller, "The process is about to end.");
    for (size_t i = 0; i < controller->steward_count; i++) {
        controller_drop_purges(controller->stewards[i]);
    }
    (void)uv_timer_stop(&controller->tick_timer);
    crew_destroy(controller->crew);
    controller->crew = NULL;
    address_book_destroy(controller->book);
    controller->book = NULL;
    if (controller->prober != NULL) {
        controller->closing_count++;
        prober_close(controller->prober, on_part_closed, controller);
        controller->prober = NULL;
    }
    if (controller->resolver != NULL) {
        resolver_finish(controller->resolver);
    }
    if (controller->admin_server != NULL) {
        controller->closing_count++;
        admin_server_close(controller->admin_server, on_part_closed, controller);
        controller->admin_server = NULL;
    }
    if (controller->alerts != NULL) {
        controller->closing_count++;
        alerts_close(controller->alerts, on_part_closed, controller);
        controller->alerts = NULL;
    }
    controller_close_platforms(controller);
    controller_close_incidents(controller);
    if (controller->history != NULL) {
        controller->closing_count++;
        history_close(controller->history, on_part_closed, controller);
        controller->history = NULL;
    }
    uv_close((uv_handle_t *)&controller->tick_timer, NULL);
    uv_close((uv_handle_t *)&controller->stage_timer, NULL);
    loop_shutdown(controller->loop);
}

static void on_stage_look(uv_timer_t *timer)
{
    struct controller *controller = timer->data;
    loop_enter(controller->loop);
    const struct conf_timeouts *timeouts = &controller->base->conf->timeouts;
    uint64_t now_us = controller->loop->now_us;
    if (controller->stage == CONTROLLER_DELAYING && now_us >= controller->stage_until_us) {
        controller->stage = CONTROLLER_DRAINING;
        controller->stage_until_us = now_us + timeouts->drain_us;
        crew_drain(controller->crew);
    } else if (controller->stage == CONTROLLER_DRAINING && crew_has_ended(controller->crew)) {
        log_info("drained");
        (void)uv_timer_stop(timer);
        close_parts(controller);
    } else if (controller->stage == CONTROLLER_DRAINING && now_us >= controller->stage_until_us) {
        log_warn("the drain's deadline has passed: what is still open is cut");
        controller->stage_until_us = now_us + timeouts->drain_us + 1000000;
        crew_cut(controller->crew);
    }
    loop_leave(controller->loop);
}

void controller_drain(struct controller *controller)
{
    switch (controller->stage) {
    case CONTROLLER_SERVING:
        log_info("draining");
        controller_tell_stopping(controller);
        controller_drop_drills(controller, "the process is about to end");
        controller_reload_cancel(controller, "The process is about to end.");
        controller->stage = CONTROLLER_DELAYING;
        controller->stage_until_us =
            controller->loop->now_us + controller->base->conf->timeouts.drain_delay_us;
        (void)uv_timer_start(&controller->stage_timer, on_stage_look, 0, STAGE_LOOK_MS);
        break;
    case CONTROLLER_DELAYING:
    case CONTROLLER_DRAINING:
        log_info("told to end again: cutting");
        crew_drain(controller->crew);
        controller->stage = CONTROLLER_DRAINING;
        controller->stage_until_us = 0;
        break;
    case CONTROLLER_CLOSING:
        break;
    }
}

void controller_destroy(struct controller *controller)
{
    if (controller == NULL) {
        return;
    }
    if (controller->stage != CONTROLLER_CLOSING) {
        /* It never began to serve. */
        close_parts(controller);
        loop_run(controller->loop);
    }
    CHECK(controller->closing_count == 0);
    CHECK(list_is_empty(&controller->acts));
    CHECK(list_is_empty(&controller->starts));
    for (size_t i = 0; i < controller->steward_count; i++) {
        steward_destroy(controller->stewards[i]);
    }
    free(controller->stewards);
    admin_destroy(controller->admin);
    keys_destroy(controller->keys);
    registry_finish(&controller->registry);
    snapshot_base_unref(controller->base);
    tls_ticket_keys_destroy(controller->tickets);
    access_log_close(controller->access_log, LOG_CLOSE_WAIT_MS);
    free(controller->resolver);
    free(controller->quarantined);
    controller_forget_remembered(controller);
    controller_finish_watch(controller);
    free(controller);
}

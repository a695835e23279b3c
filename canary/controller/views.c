/* canary/controller/views.c — how things stand, for the admin API and for Prometheus. Changes
 * nothing. */
#include <math.h>
#include <stdlib.h>

#include "canary/controller/controller_state.h"
#include "metrics/exposition.h"
#include "router/matcher.h"

/* ---- services ---- */

static void view_version(const struct steward *steward, enum role role,
                         struct admin_version *ret_version)
{
    const struct steward_version *version = &steward->versions[role];
    if (version->version == NULL) {
        return;
    }
    struct version_reading reading;
    version_reading_take(version->version->cells, &reading);
    *ret_version = (struct admin_version){
        .deployment = version->version->deployment.data,
        .url = version->endpoint_count > 0 ? version->endpoints[0].conf->url : NULL,
        .endpoints = (unsigned)version->endpoint_count,
        .endpoints_live = steward_live_count(steward, role),
        .requests = reading.ok + reading.err,
        .failures = reading.err,
        .client_bad = reading.client_bad,
        .in_flight = steward_in_flight(steward, role),
    };
}

static void add_evidence(struct admin_service *service, const char *name, double value,
                         double threshold)
{
    if (service->evidence_count < ADMIN_TESTS_MAX) {
        service->evidence[service->evidence_count++] =
            (struct admin_evidence){name, value, threshold};
    }
}

static void view_evidence(const struct engine *engine, struct admin_service *service)
{
    const struct judge *judge = &engine->judge;
    const struct judge_result *result = &engine->seen.evidence;
    double absolute = judge_threshold(judge, JUDGE_REASON_ABSOLUTE);
    add_evidence(service, "absolute", result->log_absolute, absolute);
    add_evidence(service, "absolute_allowed", result->log_absolute_allowed, absolute);
    add_evidence(service, "connect", result->log_connect,
                 judge_threshold(judge, JUDGE_REASON_CONNECT));
    add_evidence(service, "relative", result->log_relative,
                 judge_threshold(judge, JUDGE_REASON_RELATIVE));
    add_evidence(service, "latency", result->log_latency,
                 judge_threshold(judge, JUDGE_REASON_LATENCY));
    if (judge_is_watching_not_found(judge)) {
        add_evidence(service, "not_found", result->log_not_found,
                     judge->not_found.test.restart.threshold);
    }
    add_evidence(service, "promote_absolute", result->log_promote_absolute, 0);
    add_evidence(service, "promote_relative", result->log_promote_relative, 0);
}

/* The steps of the rollout that runs, in order, with the pauses between them. */
static void view_ladder(const struct rollout_ascent *ascent, struct admin_service *service)
{
    _Static_assert(ADMIN_LADDER_MAX >= 2 * LADDER_STEPS_MAX, "each step may have a pause");
    for (uint32_t i = 0; ascent->is_running && i < ascent->ladder.count; i++) {
        service->ladder_ppm[service->ladder_count++] = ascent->ladder.weights_ppm[i];
        if (ascent->ladder.has_gate[i]) {
            service->ladder_ppm[service->ladder_count++] = ADMIN_PAUSE_STEP;
        }
    }
}

static const char *verdict_name(const struct steward *steward)
{
    return judge_verdict_name(steward->engine.finding.verdict);
}

static struct admin_cache view_cache(const struct steward *steward)
{
    struct admin_cache cache = {.is_on = steward->conf->cache.is_on};
    const struct block *cells = steward->service->cells;
    cache.mode = steward->conf->cache.mode == CONF_CACHE_FULL ? "full" : "fallback";
    if (steward->service->cache == NULL) {
        return cache;
    }
    struct cache_usage usage = cache_store_usage(steward->service->cache);
    cache.bytes = usage.held_bytes + usage.loose_bytes;
    cache.size = usage.size;
    cache.entries = usage.entries;
    for (size_t i = 0; i < METRIC_CACHE_COUNT; i++) {
        cache.requests[i] = reading_sum(cells, offsetof(struct service_cells, cache_requests) +
                                                   i * sizeof(struct cell));
    }
    return cache;
}

static void view_service(const struct controller *controller, const struct steward *steward,
                         struct admin_service *ret_service)
{
    const struct engine *engine = &steward->engine;
    const struct rollout *rollout = &engine->rollout;
    enum judge_reason reason = engine->finding.reason;
    bool is_rolling_back = rollout->has_record && rollout->record.status == RECORD_IN_PROGRESS;
    *ret_service = (struct admin_service){
        .name = steward->conf->name,
        .phase = rollout_phase_name(rollout->phase),
        .revision = rollout->revision,
        .weight_ppm = steward_has_canary(steward) ? steward->published_ppm : 0,
        .realised_ratio = steward_realised(steward),
        .verdict = verdict_name(steward),
        .reason = reason == JUDGE_REASON_NONE ? NULL : judge_reason_name(reason),
        .sentence = engine->sentence.text,
        .step = rollout->ascent.is_running ? (int32_t)rollout->ascent.step : 0,
        .step_count = rollout->ascent.is_running ? (int32_t)rollout->ascent.ladder.count : 0,
        .is_contained = steward_contained_count(steward) > 0,
        .is_mirroring = rollout_is_mirroring(rollout),
        .mirror_ppm = steward->conf->mirror_ppm,
        .mirrored = reading_sum(steward->service->cells, offsetof(struct service_cells, mirrored)),
        .mirror_dropped =
            reading_sum(steward->service->cells, offsetof(struct service_cells, mirror_dropped)),
        .cache = view_cache(steward),
        .is_started = steward->lineup.is_started,
        .rollback_id = is_rolling_back ? rollout->record.id : NULL,
        .is_verifying = rollout_is_verifying(rollout),
        .good_looks = rollout->verification.good_looks,
        .looks_needed = rollout->config.verify_looks,
        .trouble = rollout->verification.trouble.text[0] != '\0'
                       ? rollout->verification.trouble.text
                       : NULL,
    };
    view_version(steward, ROLE_CURRENT, &ret_service->current);
    view_version(steward, ROLE_PREVIOUS, &ret_service->previous);
    view_evidence(engine, ret_service);
    view_ladder(&rollout->ascent, ret_service);
    ret_service->observed_count = controller_view_observed(steward, ret_service->observed);
    for (size_t i = 0; i < controller->quarantined_count; i++) {
        const struct quarantined *one = &controller->quarantined[i];
        if (strcmp(one->service, steward->conf->name) == 0 &&
            ret_service->quarantine_count < ADMIN_QUARANTINES_MAX) {
            ret_service->quarantines[ret_service->quarantine_count++] =
                (struct admin_quarantine){one->deployment, one->reason, one->since_us};
        }
    }
}

bool view_service_at(void *context, size_t index, struct admin_service *ret_service)
{
    struct controller *controller = context;
    if (index >= controller->steward_count) {
        return false;
    }
    view_service(controller, controller->stewards[index], ret_service);
    return true;
}

bool view_service_find(void *context, const char *name, struct admin_service *ret_service)
{
    struct controller *controller = context;
    const struct steward *steward = controller_find(controller, name);
    if (steward != NULL) {
        view_service(controller, steward, ret_service);
    }
    return steward != NULL;
}

json_t *view_record_find(void *context, const char *id)
{
    struct controller *controller = context;
    for (size_t i = 0; i < controller->steward_count; i++) {
        const struct steward *steward = controller->stewards[i];
        const struct rollout *rollout = &steward->engine.rollout;
        if (rollout->has_record && strcmp(rollout->record.id, id) == 0) {
            return record_to_json(&rollout->record, steward);
        }
        if (steward->has_written && strcmp(steward->written.id, id) == 0) {
            return record_to_json(&steward->written, steward);
        }
        json_t *drill = controller_drill_find(steward, id);
        if (drill != NULL) {
            return drill;
        }
    }
    return NULL;
}

/* ---- the process ---- */

void view_process(void *context, struct admin_process *ret_process)
{
    struct controller *controller = context;
    struct worker_reading reading;
    worker_reading_take(crew_cells(controller->crew), &reading);
    *ret_process = (struct admin_process){
        .version = controller->version,
        .started_us = controller->started_wall_us,
        .workers = crew_worker_count(controller->crew),
        .client_connections = reading.client_connections[METRIC_CONNECTION_ACTIVE] +
                              reading.client_connections[METRIC_CONNECTION_IDLE],
        .is_ready = controller->stage == CONTROLLER_SERVING && controller->is_started,
        .is_draining = controller->stage != CONTROLLER_SERVING,
    };
}

void controller_conditions(struct controller *controller,
                           struct condition ret_conditions[CONDITIONS])
{
    const char *history = history_condition(controller->history);
    if (history == NULL && controller->is_history_unread) {
        history = "the state file could not be read at the start: canaries began without weight";
    }
    ret_conditions[0] = (struct condition){"state", history};
    ret_conditions[1] = (struct condition){
        "access_log",
        access_log_is_failing(controller->access_log) ? "the access log cannot be written" : NULL};
    ret_conditions[2] = (struct condition){
        "reload", controller->has_reload_failed ? controller->reload_note.text : NULL};
    ret_conditions[3] = (struct condition){
        "memory",
        controller->needs_publish ? "out of memory: a change of the split waits for memory" : NULL};
    ret_conditions[4] = (struct condition){
        "late_ticks", controller->late_until_us > controller_now_us(controller)
                          ? "control runs late: the machine is overloaded or was stopped"
                          : NULL};
    ret_conditions[5] = (struct condition){"alerts", alerts_condition(controller->alerts)};
    const char *platform = teller_condition(controller->teller);
    ret_conditions[6] = (struct condition){
        "platform", platform != NULL ? platform : watcher_condition(controller->watcher)};
    ret_conditions[7] = (struct condition){"incidents", incidents_condition(controller->incidents)};
}

size_t view_conditions(void *context, const char **texts, size_t max)
{
    struct condition conditions[CONDITIONS];
    size_t count = 0;
    controller_conditions(context, conditions);
    for (size_t i = 0; i < CONDITIONS && count < max; i++) {
        if (conditions[i].text != NULL) {
            texts[count++] = conditions[i].text;
        }
    }
    return count;
}

/* ---- /metrics ---- */

enum { EVIDENCE = 6, ROLLBACKS = RECORD_TRIGGER_COUNT * RECORD_STATUS_COUNT };

/* What the exposition of one service points at. */
struct service_parts {
    struct exposition_endpoint *endpoints; /* owned */
    struct exposition_value evidence[EVIDENCE];
    struct exposition_rollbacks rollbacks[ROLLBACKS];
    struct exposition_durations phases[RECORD_PHASE_COUNT];
};

static void expose_version(const struct steward *steward, enum role role,
                           struct exposition_version *ret_version)
{
    const struct steward_version *version = &steward->versions[role];
    if (version->version == NULL) {
        return;
    }
    double set = (double)steward->published_ppm / CONF_PPM;
    double realised = steward_realised(steward);
    *ret_version = (struct exposition_version){
        .exists = true,
        .deployment = version->version->deployment,
        .url = bytes_of(version->endpoint_count > 0 ? version->endpoints[0].conf->url : ""),
        .weight_set = role == ROLE_CURRENT ? set : 1 - set,
        .weight_realised = role == ROLE_CURRENT ? realised : 1 - realised,
    };
}

static size_t expose_endpoints(const struct steward *steward, struct exposition_endpoint *endpoints)
{
    size_t count = 0;
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        const struct steward_version *version = &steward->versions[role];
        for (size_t i = 0; i < version->endpoint_count; i++) {
            const struct endpoint *endpoint = version->endpoints[i].endpoint;
            endpoints[count++] =
                (struct exposition_endpoint){(enum metric_role)role, endpoint->name,
                                             endpoint_is_healthy(endpoint), endpoint->cells};
        }
    }
    return count;
}

static const char *const *verdict_names(void)
{
    static const char *names[JUDGE_VERDICT_COUNT];
    for (int i = 0; i < JUDGE_VERDICT_COUNT; i++) {
        names[i] = judge_verdict_name((enum judge_verdict)i);
    }
    return names;
}

static const char *const *phase_names(void)
{
    static const char *names[ROLLOUT_PHASE_COUNT];
    for (int i = 0; i < ROLLOUT_PHASE_COUNT; i++) {
        names[i] = rollout_phase_name((enum rollout_phase)i);
    }
    return names;
}

static size_t expose_evidence(const struct steward *steward, struct service_parts *parts)
{
    const struct judge_result *result = &steward->engine.seen.evidence;
    parts->evidence[0] = (struct exposition_value){"absolute", result->log_absolute};
    parts->evidence[1] =
        (struct exposition_value){"absolute_allowed", result->log_absolute_allowed};
    parts->evidence[2] = (struct exposition_value){"connect", result->log_connect};
    parts->evidence[3] = (struct exposition_value){"relative", result->log_relative};
    parts->evidence[4] = (struct exposition_value){"latency", result->log_latency};
    if (!judge_is_watching_not_found(&steward->engine.judge)) {
        return EVIDENCE - 1;
    }
    parts->evidence[EVIDENCE - 1] = (struct exposition_value){"not_found", result->log_not_found};
    return EVIDENCE;
}

static size_t expose_rollbacks(const struct steward *steward, struct service_parts *parts)
{
    size_t count = 0;
    for (size_t trigger = 0; trigger < RECORD_TRIGGER_COUNT; trigger++) {
        for (size_t status = 0; status < RECORD_STATUS_COUNT; status++) {
            uint64_t rollbacks = steward->rollbacks.counts[trigger][status];
            if (rollbacks > 0) {
                parts->rollbacks[count++] = (struct exposition_rollbacks){
                    record_trigger_name((enum record_trigger)trigger),
                    record_status_name((enum record_status)status), rollbacks};
            }
        }
    }
    for (size_t i = 0; i < RECORD_PHASE_COUNT; i++) {
        parts->phases[i] = (struct exposition_durations){record_phase_name((enum record_phase)i),
                                                         &steward->rollbacks.phases[i]};
    }
    return count;
}

static enum err expose_service(const struct steward *steward, struct service_parts *parts,
                               struct exposition_service *ret_service)
{
    size_t endpoint_max = steward->versions[0].endpoint_count + steward->versions[1].endpoint_count;
    parts->endpoints = calloc(endpoint_max + 1, sizeof *parts->endpoints);
    if (parts->endpoints == NULL) {
        return ERR_NOMEM;
    }
    size_t evidence_count = expose_evidence(steward, parts);
    size_t rollback_count = expose_rollbacks(steward, parts);
    const struct engine *engine = &steward->engine;
    *ret_service = (struct exposition_service){
        .name = steward->service->name,
        .cells = steward->service->cells,
        .endpoints = parts->endpoints,
        .endpoint_count = expose_endpoints(steward, parts->endpoints),
        .contained_count = steward_contained_count(steward),
        .verdict = {verdict_names(), JUDGE_VERDICT_COUNT, (size_t)engine->finding.verdict},
        .step = engine->rollout.ascent.is_running ? engine->rollout.ascent.step : 0,
        .phase = {phase_names(), ROLLOUT_PHASE_COUNT, (size_t)engine->rollout.phase},
        .evidence = parts->evidence,
        .evidence_count = evidence_count,
        .rollbacks = parts->rollbacks,
        .rollbacks_count = rollback_count,
        .rollback_durations = &steward->rollbacks.durations,
        .phase_durations = parts->phases,
        .phase_duration_count = RECORD_PHASE_COUNT,
        .last_rollback_s = steward->rollbacks.last_wall_us > 0
                               ? (double)steward->rollbacks.last_wall_us / 1e6
                               : (double)NAN,
        .last_drill_s =
            steward->drills.has_judged ? (double)steward->drills.judged_wall_us / 1e6 : (double)NAN,
        .drill_duration_s = steward->drills.duration_s,
        .is_drill_in_time = !drills_is_missed(&steward->drills, steward->drills.judged_target_s),
    };
    expose_version(steward, ROLE_CURRENT, &ret_service->versions[METRIC_ROLE_CURRENT]);
    expose_version(steward, ROLE_PREVIOUS, &ret_service->versions[METRIC_ROLE_PREVIOUS]);
    return OK;
}

static size_t expose_alerts(const struct alerts *alerts, struct exposition_alerts *ret_alerts)
{
    size_t count = 0;
    for (size_t i = 0; i < alerts_channel_count(alerts) && i < CONF_ALERTS_MAX; i++) {
        struct alerts_channel channel;
        alerts_channel_at(alerts, i, &channel);
        for (size_t result = 0; result < ALERT_RESULT_COUNT; result++) {
            ret_alerts[count++] = (struct exposition_alerts){
                channel.label, alert_result_text((enum alert_result)result),
                channel.counts[result]};
        }
    }
    return count;
}

enum { PLATFORM_ROWS_MAX = TELLER_KINDS_MAX * PLATFORM_OPERATION_COUNT * PLATFORM_RESULT_COUNT };

static size_t expose_platforms(const struct teller *teller, const struct watcher *watcher,
                               struct exposition_platform ret_platforms[PLATFORM_ROWS_MAX])
{
    const char *provider = NULL;
    struct platform_counts counts;
    size_t count = 0;
    for (size_t i = 0; teller_counts_at(teller, i, &provider, &counts); i++) {
        watcher_add_counts(watcher, provider, &counts);
        for (size_t j = 0; j < PLATFORM_OPERATION_COUNT * PLATFORM_RESULT_COUNT; j++) {
            enum platform_operation operation =
                (enum platform_operation)(j / PLATFORM_RESULT_COUNT);
            enum platform_result result = (enum platform_result)(j % PLATFORM_RESULT_COUNT);
            ret_platforms[count++] = (struct exposition_platform){
                provider, platform_operation_name(operation), platform_result_name(result),
                counts.requests[operation][result]};
        }
    }
    return count;
}

static uint64_t kept_bytes(const struct controller *controller)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < controller->steward_count; i++) {
        const struct cache_store *store = controller->stewards[i]->service->cache;
        struct cache_usage usage = {0};
        if (store != NULL) {
            usage = cache_store_usage(store);
        }
        bytes += usage.held_bytes + usage.loose_bytes;
    }
    return bytes;
}

static enum err expose(struct controller *controller, struct exposition_service *services,
                       struct service_parts *parts, struct buf *out)
{
    for (size_t i = 0; i < controller->steward_count; i++) {
        enum err err = expose_service(controller->stewards[i], &parts[i], &services[i]);
        if (err != OK) {
            return err;
        }
    }
    struct condition conditions[CONDITIONS];
    struct exposition_value values[CONDITIONS];
    controller_conditions(controller, conditions);
    for (size_t i = 0; i < CONDITIONS; i++) {
        values[i] =
            (struct exposition_value){conditions[i].name, conditions[i].text != NULL ? 1 : 0};
    }
    struct exposition_alerts alerts[CONF_ALERTS_MAX * ALERT_RESULT_COUNT];
    struct exposition_platform platforms[PLATFORM_ROWS_MAX];
    struct history_stats history = {0};
    if (controller->history != NULL) {
        history = history_stats(controller->history);
    }
    struct exposition exposition = {
        .services = services,
        .service_count = controller->steward_count,
        .workers = crew_cells(controller->crew),
        .access_log_dropped = access_log_dropped_count(controller->access_log),
        .history_audit_lost = history.dropped_count,
        .history_changes_lost = history.refused_count,
        .history_waiting = history.queued,
        .config_last_reload_success_s = (double)controller->reloaded_wall_us / 1e6,
        .conditions = values,
        .condition_count = CONDITIONS,
        .platforms = platforms,
        .platform_count = expose_platforms(controller->teller, controller->watcher, platforms),
        .alerts = alerts,
        .alerts_count = expose_alerts(controller->alerts, alerts),
        .incidents_written = incidents_counts(controller->incidents).written,
        .cache_bytes = kept_bytes(controller),
        .incidents_failed = incidents_counts(controller->incidents).failed,
        .version = bytes_of(controller->version),
        .commit = bytes_of(controller->commit),
    };
    return exposition_write(&exposition, out);
}

enum err view_metrics(void *context, struct buf *out)
{
    struct controller *controller = context;
    struct exposition_service *services = calloc(controller->steward_count + 1, sizeof *services);
    struct service_parts *parts = calloc(controller->steward_count + 1, sizeof *parts);
    enum err err = ERR_NOMEM;
    if (services != NULL && parts != NULL) {
        err = expose(controller, services, parts, out);
        for (size_t i = 0; i < controller->steward_count; i++) {
            free(parts[i].endpoints);
        }
    }
    free(services);
    free(parts);
    return err;
}

/* ---- explain ---- */

static bool is_live(const struct steward *steward, enum role role)
{
    return steward_live_count(steward, role) > 0;
}

enum { COOKIES_MAX = 8 };

static void gather(const struct admin_explain_query *query, const struct steward *steward,
                   struct decide_facts *facts, struct bytes cookies[COOKIES_MAX])
{
    const char *sticky_header = steward->conf->sticky.header;
    for (size_t i = 0; i < query->fields.count; i++) {
        const struct field *field = &query->fields.items[i];
        if (field->id == FIELD_COOKIE && facts->cookie_count < COOKIES_MAX) {
            cookies[facts->cookie_count++] = field->value;
        } else if (field->id == FIELD_SERIN_VERSION) {
            facts->version_header = field->value;
        } else if (sticky_header != NULL && facts->sticky_header.size == 0 &&
                   bytes_equal_nocase(field->name, bytes_of(sticky_header))) {
            facts->sticky_header = field->value;
        }
    }
    facts->cookies = cookies;
}

/* Asks the router as a worker would, with an accumulator of its own: explaining moves nothing. */
static struct decision ask(struct controller *controller, const struct steward *steward,
                           const struct admin_explain_query *query)
{
    struct ip ip = {.bytes = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    if (query->client.size > 0) {
        (void)!ip_parse(query->client, &ip);
    }
    struct bytes cookies[COOKIES_MAX];
    struct decide_facts facts = {
        .is_live = {is_live(steward, ROLE_CURRENT), is_live(steward, ROLE_PREVIOUS)},
        .is_contained = steward_contained_count(steward) > 0,
        .is_trusted = true,
        .client_address = bytes_make((const char *)ip.bytes, sizeof ip.bytes),
    };
    gather(query, steward, &facts, cookies);
    struct snapshot_service_plan plan;
    struct snapshot_endpoint_plan targets[2 * CONF_ENDPOINTS_MAX];
    steward_plan(steward, controller->book, targets, &plan);
    struct decide_service service = snapshot_rules(&plan);
    struct split_accumulator accumulator;
    split_accumulator_init(&accumulator, 0, 1);
    return decide(&service, &facts, &accumulator, &controller->loop->random);
}

static bool covers_host(struct bytes pattern, struct bytes host, size_t *ret_rank)
{
    enum host_pattern_kind kind;
    struct bytes name;
    if (!matcher_host_pattern(pattern, &kind, &name)) {
        return false;
    }
    *ret_rank = kind == HOST_EXACT ? SIZE_MAX : kind == HOST_WILDCARD ? name.size : 0;
    if (kind == HOST_ANY) {
        return true;
    }
    if (kind == HOST_EXACT) {
        return bytes_equal_nocase(host, name);
    }
    bool is_longer = host.size > name.size + 1 && host.data[host.size - name.size - 1] == '.';
    return is_longer &&
           bytes_equal_nocase(bytes_slice(host, host.size - name.size, name.size), name);
}

/* Which of the service's own patterns the route table went by: the most specific host, the longest
 * path. */
static void name_route(const struct conf_service *conf, const struct admin_explain_query *query,
                       struct admin_explanation *explanation)
{
    struct bytes host = matcher_host_of(query->host);
    struct bytes path = matcher_path_of(query->path);
    size_t best_rank = 0;
    size_t best_size = 0;
    for (size_t i = 0; i < conf->host_count; i++) {
        size_t rank = 0;
        bool is_better = covers_host(bytes_of(conf->hosts[i]), host, &rank) &&
                         (explanation->host == NULL || rank > best_rank);
        if (is_better) {
            explanation->host = conf->hosts[i];
            best_rank = rank;
        }
    }
    for (size_t i = 0; i < conf->path_count; i++) {
        struct bytes prefix;
        bool is_better = matcher_path_prefix(bytes_of(conf->paths[i]), &prefix) &&
                         matcher_path_is_covered(prefix, path) &&
                         (explanation->path == NULL || prefix.size > best_size);
        if (is_better) {
            explanation->path = conf->paths[i];
            best_size = prefix.size;
        }
    }
}

void view_explain(void *context, const struct admin_explain_query *query,
                  struct admin_explanation *ret_explanation)
{
    struct controller *controller = context;
    uint32_t index = route_table_find(controller->base->routes, query->host, query->path);
    *ret_explanation = (struct admin_explanation){0};
    if (index == ROUTE_NONE) {
        return;
    }
    const struct steward *steward = controller->stewards[index];
    struct decision decision = ask(controller, steward, query);
    *ret_explanation = (struct admin_explanation){
        .service = steward->conf->name,
        .role = role_text(decision.role),
        .deployment = steward_deployment(steward, decision.role),
        .reason = decide_reason_text(decision.reason),
        .is_judged = decision.is_judged,
        .has_bucket = decision.reason == DECIDE_STICKY,
        .bucket = decision.bucket,
        .weight_ppm = steward->published_ppm,
    };
    name_route(steward->conf, query, ret_explanation);
}

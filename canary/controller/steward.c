#include "canary/controller/steward.h"

#include <math.h>
#include <stdlib.h>

#include "canary/policy/policy.h"
#include "proxy/base/log.h"
#include "router/sticky.h"

_Static_assert(CONF_STEPS_MAX < 2 * LADDER_STEPS_MAX, "a ladder has room for all steps");

static void release_version(struct steward_version *version)
{
    for (size_t i = 0; i < version->endpoint_count; i++) {
        endpoint_unref(version->endpoints[i].endpoint);
    }
    free(version->endpoints);
    version_unref(version->version);
    *version = (struct steward_version){0};
}

static enum err build_version(struct registry *registry, const struct conf_service *service,
                              const struct conf_version *conf, struct steward_version *ret_version)
{
    struct steward_version version = {.endpoints =
                                          calloc(conf->endpoint_count, sizeof *version.endpoints)};
    struct bytes name = bytes_of(service->name);
    struct bytes deployment = bytes_of(conf->deployment);
    enum err err = version.endpoints != NULL
                       ? registry_version(registry, name, deployment, &version.version)
                       : ERR_NOMEM;
    if (err != OK) {
        free(version.endpoints);
        return err;
    }
    (void)version_ref(version.version);
    for (size_t i = 0; i < conf->endpoint_count; i++) {
        struct endpoint *endpoint = NULL;
        err = registry_endpoint(registry, name, deployment, bytes_of(conf->endpoints[i].authority),
                                &endpoint);
        if (err != OK) {
            release_version(&version);
            return err;
        }
        version.endpoints[version.endpoint_count++] =
            (struct steward_endpoint){endpoint_ref(endpoint), &conf->endpoints[i], false};
    }
    *ret_version = version;
    return OK;
}

enum err steward_prepare(struct registry *registry, const struct conf_service *conf,
                         struct lineup *lineup, struct steward_cast *ret_cast)
{
    struct steward_cast cast = {.lineup = *lineup};
    enum err err = OK;
    *lineup = (struct lineup){.is_started = false};
    for (size_t role = 0; role < ROLE_COUNT && err == OK; role++) {
        const struct conf_version *version = cast.lineup.versions[role];
        err = version != NULL ? build_version(registry, conf, version, &cast.versions[role]) : OK;
    }
    if (err != OK) {
        steward_release(&cast);
        return err;
    }
    *ret_cast = cast;
    return OK;
}

void steward_release(struct steward_cast *cast)
{
    release_version(&cast->versions[ROLE_CURRENT]);
    release_version(&cast->versions[ROLE_PREVIOUS]);
    lineup_finish(&cast->lineup);
}

static uint64_t default_rollout(const struct conf_service *conf)
{
    const char *deployment =
        conf->has_current ? conf->current.deployment : conf->previous.deployment;
    return sticky_rollout_of(bytes_of(conf->name), bytes_of(deployment));
}

/* Old snapshots may still know a version that left and comes back. What was written or purged
 * meanwhile was not made known to what is kept of it. */
static void forget_returned(struct steward *steward, const struct steward_cast *cast)
{
    const struct steward_version *present = steward->versions;
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        struct version *version = cast->versions[role].version;
        bool has_stayed =
            version == present[ROLE_CURRENT].version || version == present[ROLE_PREVIOUS].version;
        if (version != NULL && !has_stayed) {
            version_drop_cached(version, steward->service);
        }
    }
}

static void take_cast(struct steward *steward, const struct conf_service *conf,
                      struct steward_cast *cast)
{
    forget_returned(steward, cast);
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        cast->versions[role].reading = steward->versions[role].reading;
        release_version(&steward->versions[role]);
        steward->versions[role] = cast->versions[role];
    }
    lineup_finish(&steward->lineup);
    steward->lineup = cast->lineup;
    *cast = (struct steward_cast){.lineup = {.is_started = false}};
    strain_init(&steward->strain); /* of a stable version that may be another */
    steward->conf = conf;
}

enum err steward_create(struct registry *registry, const struct conf_service *conf,
                        struct steward **ret_steward)
{
    struct steward *steward = calloc(1, sizeof *steward);
    struct service *service = NULL;
    if (steward == NULL || registry_service(registry, bytes_of(conf->name), &service) != OK) {
        free(steward);
        return ERR_NOMEM;
    }
    steward->service = service_ref(service);
    steward->conf = conf;
    steward->rollout = default_rollout(conf);
    struct lineup lineup;
    struct steward_cast cast;
    enum err err = lineup_of_file(conf, &lineup);
    if (err == OK) {
        err = steward_prepare(registry, conf, &lineup, &cast);
    }
    if (err == OK) {
        take_cast(steward, conf, &cast);
        err = steward_observe(steward);
    }
    if (err != OK) {
        steward_destroy(steward);
        return err;
    }
    steward_forget_picks(steward);
    *ret_steward = steward;
    return OK;
}

void steward_destroy(struct steward *steward)
{
    if (steward == NULL) {
        return;
    }
    release_version(&steward->versions[ROLE_CURRENT]);
    release_version(&steward->versions[ROLE_PREVIOUS]);
    lineup_finish(&steward->lineup);
    service_unref(steward->service);
    observe_finish(&steward->observe);
    recorder_destroy(steward->recorder);
    checks_finish(&steward->checks);
    drills_finish(&steward->drills);
    witness_destroy(steward->witness);
    json_decref(steward->build_seen.record);
    free(steward);
}

void steward_adopt(struct steward *steward, const struct conf_service *conf,
                   struct steward_cast *cast)
{
    take_cast(steward, conf, cast);
    if (steward_observe(steward) != OK) {
        log_error("%s: the observed policies stay as they were: out of memory", conf->name);
    }
}

void steward_forget_picks(struct steward *steward)
{
    for (size_t i = 0; i <= STEWARD_SECONDS; i++) {
        steward_note_second(steward);
    }
}

static enum rollout_on_breach on_breach_of(enum conf_on_breach on_breach)
{
    switch (on_breach) {
    case CONF_ON_BREACH_FREEZE:
        return ROLLOUT_FREEZE;
    case CONF_ON_BREACH_ALERT:
        return ROLLOUT_ALERT;
    case CONF_ON_BREACH_ROLLBACK:
        break;
    }
    return ROLLOUT_ROLLBACK;
}

struct ladder steward_ladder(const uint32_t *steps_ppm, size_t step_count)
{
    struct ladder ladder = {.count = 0};
    for (size_t i = 0; i < step_count; i++) {
        if (steps_ppm[i] == CONF_STEP_PAUSE) {
            ladder.has_gate[ladder.count - 1] = true;
        } else {
            ladder.weights_ppm[ladder.count++] = steps_ppm[i];
        }
    }
    return ladder;
}

static void configure_rollout(const struct conf_rollout *conf, struct rollout_config *config)
{
    if (!conf->is_on) {
        return;
    }
    config->ladder = steward_ladder(conf->steps_ppm, conf->step_count);
    config->min_time_us = conf->min_time_us;
    config->max_time_us = conf->max_time_us;
    config->bake_us = conf->bake_us;
    config->rolls_back_after_bake = conf->after_bake == CONF_AFTER_BAKE_ROLLBACK;
}

/* `off` leaves the looks as they are by default. */
static void configure_verify(const struct conf_verify *conf, struct rollout_config *ret_config)
{
    if (conf->is_on) {
        ret_config->verify_asks = true;
        ret_config->verify_looks = (uint32_t)conf->checks;
        ret_config->verify_every_us = conf->interval_us;
        ret_config->verify_us_max = conf->within_us;
    }
}

struct engine_config steward_engine_config(const struct conf_service *conf)
{
    const struct conf_rollback *rollback = &conf->rollback;
    struct engine_config config = engine_config_default();
    struct observe_policy own = policy_own(conf);
    config.judge = own.judge;
    config.is_latency_judged = own.is_latency_judged;
    config.rollout.on_breach = on_breach_of(rollback->on_breach);
    config.rollout.limit = config.judge.limit;
    config.rollout.instant_above = own.instant_above;
    config.rollout.max_wait_us = rollback->max_wait_us;
    config.rollout.mirror_ppm = conf->mirror_ppm;
    configure_verify(&rollback->verify, &config.rollout);
    configure_rollout(&conf->rollout, &config.rollout);
    config.rollout.shift.every_us = rollback->every_us;
    config.rollout.shift.step_count = rollback->shift_count;
    for (size_t i = 0; i < rollback->shift_count; i++) {
        config.rollout.shift.steps_ppm[i] = rollback->shift_ppm[i];
    }
    return config;
}

bool steward_has_canary(const struct steward *steward)
{
    return steward->versions[ROLE_CURRENT].version != NULL;
}

const char *steward_deployment(const struct steward *steward, enum role role)
{
    const struct version *version = steward->versions[role].version;
    return version != NULL ? version->deployment.data : NULL;
}

void steward_say_versions(const struct steward *steward, struct note *ret_note)
{
    const struct conf_version *canary = steward->lineup.versions[ROLE_CURRENT];
    const struct conf_version *stable = steward->lineup.versions[ROLE_PREVIOUS];
    note_set(ret_note, "canary %s (%s), stable %s (%s)", canary != NULL ? canary->deployment : "-",
             canary != NULL ? canary->endpoints[0].url : "-", stable->deployment,
             stable->endpoints[0].url);
}

/* ---- looking ---- */

static bool is_ejected_somewhere(const struct endpoint *endpoint)
{
    return reading_sum(endpoint->cells, offsetof(struct endpoint_cells, ejected)) > 0;
}

unsigned steward_live_count(const struct steward *steward, enum role role)
{
    const struct steward_version *version = &steward->versions[role];
    unsigned live = 0;
    for (size_t i = 0; i < version->endpoint_count; i++) {
        const struct endpoint *endpoint = version->endpoints[i].endpoint;
        live += version->endpoints[i].has_address && endpoint_is_healthy(endpoint) &&
                !is_ejected_somewhere(endpoint);
    }
    return live;
}

static unsigned failing_count(const struct steward *steward, enum role role)
{
    const struct steward_version *version = &steward->versions[role];
    unsigned failing = 0;
    for (size_t i = 0; i < version->endpoint_count; i++) {
        failing += !endpoint_is_healthy(version->endpoints[i].endpoint);
    }
    return failing;
}

unsigned steward_reachable_count(const struct steward *steward, enum role role)
{
    const struct steward_version *version = &steward->versions[role];
    unsigned reachable = 0;
    for (size_t i = 0; i < version->endpoint_count; i++) {
        const struct steward_endpoint *endpoint = &version->endpoints[i];
        reachable += endpoint->has_address && endpoint_is_healthy(endpoint->endpoint);
    }
    return reachable;
}

void steward_note_addresses(struct steward *steward, const struct address_book *book)
{
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        struct steward_version *version = &steward->versions[role];
        for (size_t i = 0; i < version->endpoint_count; i++) {
            const struct conf_endpoint *conf = version->endpoints[i].conf;
            struct address_entry entry;
            version->endpoints[i].has_address =
                address_book_find(book, bytes_of(conf->host), conf->port, &entry) &&
                entry.address_count > 0;
        }
    }
}

/* What a rollback counts its times from: the last endpoint's first failed check of the row. */
static void note_canary_down(struct steward *steward, unsigned failing, uint64_t now_us)
{
    const struct conf_health *health = &steward->conf->health;
    if (failing == 0 || failing < steward->versions[ROLE_CURRENT].endpoint_count) {
        steward->canary_down_since_us = 0;
    } else if (steward->canary_down_since_us == 0) {
        uint64_t row_us = health->unhealthy > 1 ? (health->unhealthy - 1) * health->interval_us : 0;
        steward->canary_down_since_us = now_us > row_us ? now_us - row_us : 1;
    }
}

unsigned steward_contained_count(const struct steward *steward)
{
    const struct version *canary = steward->versions[ROLE_CURRENT].version;
    return canary == NULL
               ? 0
               : (unsigned)reading_sum(canary->cells, offsetof(struct version_cells, contained));
}

uint64_t steward_containments(const struct steward *steward)
{
    return reading_sum(steward->service->cells, offsetof(struct service_cells, containments));
}

uint64_t steward_in_flight(const struct steward *steward, enum role role)
{
    const struct steward_version *version = &steward->versions[role];
    uint64_t sum = 0;
    for (size_t i = 0; i < version->endpoint_count; i++) {
        sum += reading_sum(version->endpoints[i].endpoint->cells,
                           offsetof(struct endpoint_cells, in_flight));
    }
    return sum;
}

/* A hung canary would never finish a request: what its slow threshold is goes to the workers, who
 * count at that time. */
static void tell_slow_limit(struct steward *steward)
{
    const struct judge_quantile *median = &steward->engine.judge.latency.quantiles[0];
    bool is_known = steward->engine.config.is_latency_judged && median->is_watching;
    uint64_t limit_us = is_known ? histogram_edge_us(median->canary_slow) : 0;
    atomic_store_explicit(&steward->service->slow_limit_us, limit_us, memory_order_relaxed);
}

static uint64_t rescue_count(const struct steward *steward, enum metric_rescue result)
{
    return reading_sum(steward->service->cells, offsetof(struct service_cells, rescues[result]));
}

/* A stable version that suffers from what it has is not asked for more. What it answered in the
 * canary's place is not in its ledger, but tells as much about it. */
static void tell_strain(struct steward *steward, uint64_t now_us)
{
    const struct version_reading *stable = &steward->versions[ROLE_PREVIOUS].reading;
    uint64_t rescued = rescue_count(steward, METRIC_RESCUE_SUCCESS);
    uint64_t lost = rescue_count(steward, METRIC_RESCUE_FAILURE);
    struct watch_mark now = {
        .at_us = now_us,
        .count = (double)(stable->ok + stable->err + rescued + lost),
        .failed = (double)(stable->err + lost),
        .latency = stable->latency,
    };
    double limit = (double)steward->conf->rollback.error_rate_ppm / CONF_PPM;
    bool is_strained = strain_look(&steward->strain, &now, limit);
    atomic_store_explicit(&steward->service->is_stable_strained, is_strained, memory_order_relaxed);
}

void steward_tick(struct steward *steward, const char *record_id, uint64_t now_us, int64_t wall_us,
                  struct rollout_actions *ret_actions)
{
    struct steward_version *canary = &steward->versions[ROLE_CURRENT];
    struct steward_version *stable = &steward->versions[ROLE_PREVIOUS];
    version_reading_take(canary->version->cells, &canary->reading);
    version_reading_take(stable->version->cells, &stable->reading);
    unsigned failing = failing_count(steward, ROLE_CURRENT);
    note_canary_down(steward, failing, now_us);
    struct engine_input input = {
        .wall_us = wall_us,
        .counts = engine_counts(&canary->reading, &stable->reading),
        .endpoints = {.canary_endpoints = (uint32_t)canary->endpoint_count,
                      .canary_failing = failing,
                      .canary_live = steward_live_count(steward, ROLE_CURRENT),
                      .stable_live = steward_reachable_count(steward, ROLE_PREVIOUS),
                      .is_contained = steward_contained_count(steward) > 0},
        .canary_down_since_us = steward->canary_down_since_us,
        .landed_revision = steward->landed_revision,
        .landed_us = steward->landed_us,
        .is_canary_ready = steward->is_canary_ready,
        .canary_in_flight = steward_in_flight(steward, ROLE_CURRENT),
        .checked = steward->checks.checked,
        .record_id = record_id,
    };
    steward_tell_observers(steward, now_us);
    engine_tick(&steward->engine, &input, now_us, ret_actions);
    observe_look(&steward->observe, (int64_t)(now_us / 1000), wall_us, &input.counts);
    steward_record_look(steward, now_us, wall_us);
    steward_tell_observers(steward, now_us);
    tell_slow_limit(steward);
    tell_strain(steward, now_us);
}

void steward_note_record(struct steward *steward, const struct record *record)
{
    struct steward_recorded *recorded = &steward->recorded;
    if (record->status == RECORD_DRY_RUN || strcmp(recorded->id, record->id) == 0) {
        return;
    }
    const char *deployment = steward_deployment(steward, ROLE_CURRENT);
    const char *target = steward_deployment(steward, ROLE_PREVIOUS);
    *recorded = (struct steward_recorded){.counted_phases = 0};
    (void)snprintf(recorded->id, sizeof recorded->id, "%s", record->id);
    (void)snprintf(recorded->deployment, sizeof recorded->deployment, "%s",
                   deployment != NULL ? deployment : "");
    (void)snprintf(recorded->target, sizeof recorded->target, "%s", target != NULL ? target : "");
}

void steward_note_carried(struct steward *steward, uint64_t snapshot_number)
{
    steward->carried_quarantine = steward->engine.rollout.is_quarantined;
    if (steward->carried_snapshot == 0 ||
        steward->carried_revision != steward->published_revision) {
        steward->carried_revision = steward->published_revision;
        steward->carried_snapshot = snapshot_number;
    }
}

void steward_note_landed(struct steward *steward, uint64_t snapshot_number, uint64_t now_us)
{
    bool is_in = steward->carried_snapshot > 0 && snapshot_number >= steward->carried_snapshot;
    if (is_in && steward->landed_revision != steward->carried_revision) {
        steward->landed_revision = steward->carried_revision;
        steward->landed_us = now_us;
    }
}

void steward_note_second(struct steward *steward)
{
    uint64_t picks[METRIC_ROLE_COUNT];
    service_picks_take(steward->service->cells, picks);
    steward->second = (steward->second + 1) % (STEWARD_SECONDS + 1);
    steward->picks[steward->second][ROLE_CURRENT] = picks[METRIC_ROLE_CURRENT];
    steward->picks[steward->second][ROLE_PREVIOUS] = picks[METRIC_ROLE_PREVIOUS];
}

double steward_realised(const struct steward *steward)
{
    size_t oldest = (steward->second + 1) % (STEWARD_SECONDS + 1);
    uint64_t picks[METRIC_ROLE_COUNT];
    service_picks_take(steward->service->cells, picks);
    double canary = (double)(picks[METRIC_ROLE_CURRENT] - steward->picks[oldest][ROLE_CURRENT]);
    double stable = (double)(picks[METRIC_ROLE_PREVIOUS] - steward->picks[oldest][ROLE_PREVIOUS]);
    return canary + stable > 0 ? canary / (canary + stable) : (double)NAN;
}

/* ---- the snapshot's part ---- */

static size_t plan_version(const struct steward_version *version, const struct address_book *book,
                           struct snapshot_endpoint_plan *targets,
                           struct snapshot_version_plan *ret_plan)
{
    for (size_t i = 0; i < version->endpoint_count; i++) {
        const struct steward_endpoint *from = &version->endpoints[i];
        targets[i] = (struct snapshot_endpoint_plan){
            .endpoint = from->endpoint,
            .authority = from->endpoint->name,
            .conf = from->conf,
        };
        struct address_entry entry;
        if (address_book_find(book, bytes_of(from->conf->host), from->conf->port, &entry)) {
            targets[i].addresses = entry.addresses;
            targets[i].address_count = entry.address_count;
        }
    }
    *ret_plan = (struct snapshot_version_plan){.version = version->version,
                                               .endpoints = targets,
                                               .endpoint_count = version->endpoint_count};
    return version->endpoint_count;
}

enum proxy_protocol steward_proxy_protocol(const struct steward *steward, enum role role)
{
    const struct conf_service *conf = steward->conf;
    const char *deployment = steward_deployment(steward, role);
    bool is_named_current = conf->has_current && deployment != NULL &&
                            strcmp(conf->current.deployment, deployment) == 0;
    return (enum proxy_protocol)(is_named_current ? conf->current.proxy_protocol
                                                  : conf->previous.proxy_protocol);
}

void steward_plan(const struct steward *steward, const struct address_book *book,
                  struct snapshot_endpoint_plan *targets, struct snapshot_service_plan *ret_plan)
{
    *ret_plan = (struct snapshot_service_plan){
        .service = steward->service,
        .conf = steward->conf,
        .weight_ppm = steward->published_ppm,
        .rollout = steward->rollout,
        .is_quarantined = steward->engine.rollout.is_quarantined,
        .is_mirrored = rollout_is_mirroring(&steward->engine.rollout),
    };
    size_t used = plan_version(&steward->versions[ROLE_PREVIOUS], book, targets,
                               &ret_plan->versions[ROLE_PREVIOUS]);
    if (steward_has_canary(steward)) {
        (void)plan_version(&steward->versions[ROLE_CURRENT], book, targets + used,
                           &ret_plan->versions[ROLE_CURRENT]);
    }
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        ret_plan->versions[role].proxy_protocol = steward_proxy_protocol(steward, (enum role)role);
    }
}

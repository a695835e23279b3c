/* canary/controller/alarm.c — what is worth an alert, and for how long.
 *
 * Alerts that an engine asks for fire when it does, with the sentence it says; here a table says
 * what they are called and until when they hold. The rest (a canary that is held back, conditions
 * of the process) is looked at once a second. What does not hold any more is resolved, whatever
 * ended it: so nothing stays behind when a service changes its versions or leaves the
 * configuration. */
#include "canary/controller/controller_state.h"
#include "canary/engine/judge_sentence.h"
#include "proxy/base/log.h"

/* An alert is written to the state file itself: of a disk that is slow each write would raise one,
 * and end it, and so on for ever. */
enum { STATE_QUIET_US = 60 * 1000000 };

enum { ORIGIN_SIZE = CONTROLLER_ADDRESS_SIZE + sizeof "https://" };

struct rule {
    const char *event; /* of ROLLOUT_RAISE_ALERT; NULL: looked at here */
    const char *name;
    const char *severity;
    bool (*holds)(const struct controller *controller, const struct steward *steward);
};

/* ---- what holds ---- */

static bool has_breach(const struct controller *controller, const struct steward *steward)
{
    const struct rollout *rollout = &steward->engine.rollout;
    (void)controller;
    bool is_looked_at =
        rollout->phase != ROLLOUT_SHIFTING_BACK && rollout->phase != ROLLOUT_VERIFYING &&
        rollout->phase != ROLLOUT_ROLLED_BACK && rollout->phase != ROLLOUT_ROLLBACK_FAILED;
    bool is_in_use = rollout->weight_ppm > 0 || rollout_is_mirroring(rollout);
    return rollout->phase == ROLLOUT_FROZEN || (is_looked_at && rollout->has_breach && is_in_use);
}

static bool is_rolling_back(const struct controller *controller, const struct steward *steward)
{
    enum rollout_phase phase = steward->engine.rollout.phase;
    (void)controller;
    return phase == ROLLOUT_SHIFTING_BACK || phase == ROLLOUT_VERIFYING ||
           phase == ROLLOUT_ROLLBACK_FAILED;
}

static bool has_rollback_failed(const struct controller *controller, const struct steward *steward)
{
    (void)controller;
    return steward->engine.rollout.phase == ROLLOUT_ROLLBACK_FAILED;
}

static bool has_outage(const struct controller *controller, const struct steward *steward)
{
    return rollout_has_outage(&steward->engine.rollout, controller_now_us(controller));
}

static bool is_paused(const struct controller *controller, const struct steward *steward)
{
    (void)controller;
    return steward->engine.rollout.phase == ROLLOUT_PAUSED;
}

static bool is_contained(const struct controller *controller, const struct steward *steward)
{
    (void)controller;
    return steward_contained_count(steward) > 0;
}

static bool has_failed_build(const struct controller *controller, const struct steward *steward)
{
    return build_has_failed_lately(controller, steward);
}

/* After a restart nothing is known of drills: what was active stays until one says otherwise. */
static bool has_missed_drill(const struct controller *controller, const struct steward *steward)
{
    const struct drills *drills = &steward->drills;
    (void)controller;
    return !drills->has_judged ||
           drills_is_missed(drills, (double)steward->conf->rto_target_us / 1e6);
}

static const struct rule rules[] = {
    {"breach", "SerinBreach", "critical", has_breach},
    {"rollback.start", "SerinRollback", "critical", is_rolling_back},
    {"rollback.failed", "SerinRollbackFailed", "critical", has_rollback_failed},
    {"shared_outage", "SerinSharedOutage", "critical", has_outage},
    {"rollout.unready", "SerinRolloutPaused", "warning", is_paused},
    {"rollout.max_time", "SerinRolloutPaused", "warning", is_paused},
    {"build.failure", "SerinBuildFailed", "warning", has_failed_build},
    {"drill.missed", "SerinDrillMissed", "warning", has_missed_drill},
    {NULL, "SerinContained", "warning", is_contained},
};

#define LIVE_MOVED    "SerinLiveMoved"
#define STATE_FAILING "SerinStateFailing"

static const struct {
    const char *condition;
    const char *name;
    const char *severity;
} condition_rules[] = {
    {"state", STATE_FAILING, "critical"},
    {"access_log", "SerinAccessLogFailing", "warning"},
    {"reload", "SerinReloadFailed", "warning"},
    {"memory", "SerinOutOfMemory", "critical"},
    {"incidents", "SerinIncidentsFailing", "warning"},
    {"platform", "SerinPlatformFailing", "warning"},
};

static const struct rule *find_rule(const char *event)
{
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        if (rules[i].event != NULL && strcmp(rules[i].event, event) == 0) {
            return &rules[i];
        }
    }
    return NULL;
}

/* ---- raising ---- */

/* The judge's word for it; by hand there is none. */
static const char *reason_of(const struct steward *steward)
{
    const struct rollout *rollout = &steward->engine.rollout;
    if (is_rolling_back(NULL, steward) && rollout->has_record) {
        bool is_asked_for =
            rollout->record.trigger == RECORD_MANUAL || rollout->record.trigger == RECORD_BUILD;
        return is_asked_for ? record_trigger_name(rollout->record.trigger)
                            : judge_reason_name(rollout->record.reason);
    }
    return judge_reason_name(steward->engine.finding.reason);
}

/* Of the service, whichever its versions are. */
static bool is_of_drill(const struct rule *rule)
{
    return rule != NULL && rule->holds == has_missed_drill;
}

static void fire(struct controller *controller, const struct steward *steward,
                 const struct rule *rule, const char *summary)
{
    const struct rollout *rollout = &steward->engine.rollout;
    bool is_by_hand = rule->holds == is_rolling_back && rollout->has_record &&
                      rollout->record.trigger == RECORD_MANUAL;
    struct event_facts facts = {
        .name = rule->name,
        .service = steward->conf->name,
        .deployment = is_of_drill(rule) ? NULL : steward_deployment(steward, ROLE_CURRENT),
        .severity = is_by_hand ? "warning" : rule->severity,
        .reason = is_of_drill(rule) ? "drill" : reason_of(steward),
        .summary = summary,
    };
    alerts_raise(controller->alerts, &facts);
}

void controller_alarm(struct controller *controller, const struct steward *steward,
                      const struct rollout_action *action)
{
    const struct rule *rule = find_rule(action->event);
    if (rule != NULL) {
        fire(controller, steward, rule, action->text.text);
    } else {
        controller_alarm_tick(controller); /* good news: what it ends need not wait */
    }
}

void controller_alarm_moved(struct controller *controller, const struct steward *steward,
                            const char *deployment, const char *summary)
{
    alerts_raise(controller->alerts, &(struct event_facts){.name = LIVE_MOVED,
                                                           .service = steward->conf->name,
                                                           .deployment = deployment,
                                                           .severity = "warning",
                                                           .reason = "platform",
                                                           .summary = summary});
}

void controller_notice(struct controller *controller, const struct steward *steward,
                       const struct rollout_action *action)
{
    struct event_facts facts = {
        .name = "SerinNotice",
        .service = steward->conf->name,
        .deployment = steward_deployment(steward, ROLE_CURRENT),
        .severity = "info",
        .reason = action->event,
        .summary = action->text.text,
    };
    alerts_notice(controller->alerts, &facts);
}

/* ---- resolving ---- */

static void say_end(const struct steward *steward, struct note *ret_note)
{
    if (steward == NULL) {
        note_set(ret_note, "the service is not in the configuration any more");
        return;
    }
    const struct rollout *rollout = &steward->engine.rollout;
    char weight[JUDGE_COUNT_TEXT_SIZE];
    judge_percent_text((double)rollout->weight_ppm / CONF_PPM, weight);
    bool is_confirmed = rollout->has_record && rollout->record.status == RECORD_SUCCESS &&
                        (rollout->phase == ROLLOUT_ROLLED_BACK || rollout->phase == ROLLOUT_IDLE);
    if (is_confirmed) {
        note_set(ret_note,
                 "all traffic is back on stable and confirmed, %.1f s after the first bad response",
                 rollout->record.duration_s);
    } else {
        note_set(ret_note, "it does not hold any more: the phase is %s, the canary's weight %s",
                 rollout_phase_name(rollout->phase), weight);
    }
}

static bool is_about_canary(const struct event *event, const struct steward *steward)
{
    const char *deployment = steward_deployment(steward, ROLE_CURRENT);
    return strcmp(event->deployment, deployment != NULL ? deployment : "") == 0;
}

/* Rules of one name hold for the same reason. */
static const struct rule *find_rule_by_name(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(rules); i++) {
        if (strcmp(rules[i].name, name) == 0) {
            return &rules[i];
        }
    }
    return NULL;
}

static const char *condition_text(const struct condition conditions[CONDITIONS], const char *name)
{
    for (size_t i = 0; i < COUNT_OF(condition_rules); i++) {
        for (size_t j = 0; j < CONDITIONS && strcmp(condition_rules[i].name, name) == 0; j++) {
            if (strcmp(conditions[j].name, condition_rules[i].condition) == 0) {
                return conditions[j].text;
            }
        }
    }
    return NULL;
}

/* After a restart a platform that failed is still to be asked. */
static bool is_unknown(const struct controller *controller, const char *name)
{
    return strcmp(name, "SerinPlatformFailing") == 0 && controller->teller != NULL &&
           teller_has_untried(controller->teller);
}

/* Has it been well for long enough? */
static bool is_quiet(const struct controller *controller, const char *name)
{
    return strcmp(name, STATE_FAILING) != 0 ||
           controller_now_us(controller) >= controller->state_failed_us + STATE_QUIET_US;
}

/* True when it does not hold any more; then the note says why. */
static bool is_over(struct controller *controller, const struct condition conditions[CONDITIONS],
                    const struct event *event, struct note *ret_note)
{
    if (event->service[0] == '\0') {
        note_set(ret_note, "it is well again");
        return condition_text(conditions, event->name) == NULL &&
               !is_unknown(controller, event->name) && is_quiet(controller, event->name);
    }
    const struct steward *steward = controller_find(controller, event->service);
    const struct rule *rule = find_rule_by_name(event->name);
    if (steward != NULL && rule != NULL && rule->holds == has_failed_build) {
        note_set(ret_note, "another deployment came, or an hour has passed");
        return !rule->holds(controller, steward); /* whichever deployment it was the build of */
    }
    if (strcmp(event->name, LIVE_MOVED) == 0) {
        note_set(ret_note, "what is live at the platform is what should be");
        return !controller_has_moved(controller, event->service, event->deployment);
    }
    say_end(steward, ret_note);
    if (steward == NULL || rule == NULL) {
        return true;
    }
    if (is_of_drill(rule)) {
        note_set(ret_note, "a drill met the target of %.3g s",
                 (double)steward->conf->rto_target_us / 1e6);
        return !rule->holds(controller, steward);
    }
    return !is_about_canary(event, steward) || !rule->holds(controller, steward);
}

static void resolve_over(struct controller *controller,
                         const struct condition conditions[CONDITIONS])
{
    size_t index = 0;
    while (index < alerts_active_count(controller->alerts)) {
        const struct event *event = alerts_active_at(controller->alerts, index);
        size_t count = alerts_active_count(controller->alerts);
        struct note note = {""};
        if (is_over(controller, conditions, event, &note)) {
            alerts_resolve(controller->alerts, event, note.text);
        }
        bool is_gone = alerts_active_count(controller->alerts) < count;
        index += is_gone ? 0 : 1;
    }
}

static void raise_conditions(struct controller *controller,
                             const struct condition conditions[CONDITIONS])
{
    for (size_t i = 0; i < COUNT_OF(condition_rules); i++) {
        const char *text = condition_text(conditions, condition_rules[i].name);
        if (text != NULL) {
            alerts_raise(controller->alerts,
                         &(struct event_facts){.name = condition_rules[i].name,
                                               .severity = condition_rules[i].severity,
                                               .reason = condition_rules[i].condition,
                                               .summary = text});
        }
    }
}

void controller_alarm_tick(struct controller *controller)
{
    struct condition conditions[CONDITIONS];
    controller_conditions(controller, conditions);
    if (condition_text(conditions, STATE_FAILING) != NULL) {
        controller->state_failed_us = controller_now_us(controller);
    }
    raise_conditions(controller, conditions);
    for (size_t i = 0; i < controller->steward_count; i++) {
        const struct steward *steward = controller->stewards[i];
        for (size_t j = 0; j < COUNT_OF(rules); j++) {
            if (rules[j].event == NULL && rules[j].holds(controller, steward)) {
                fire(controller, steward, &rules[j], steward->engine.sentence.text);
            }
        }
    }
    resolve_over(controller, conditions);
}

/* A process that dies between a decision and the next batch of the journal leaves the record of the
 * rollback behind, or its phase, but no alert. */
void controller_alarm_begin(struct controller *controller)
{
    for (size_t i = 0; i < controller->steward_count; i++) {
        const struct steward *steward = controller->stewards[i];
        const struct rollout *rollout = &steward->engine.rollout;
        for (size_t j = 0; j < COUNT_OF(rules); j++) {
            const struct rule *rule = &rules[j];
            if (rule->holds == is_rolling_back && is_rolling_back(controller, steward) &&
                rollout->has_record) {
                fire(controller, steward, rule, rollout->record.reason_text.text);
            } else if (rule->holds == has_rollback_failed &&
                       has_rollback_failed(controller, steward)) {
                fire(controller, steward, rule, "stable could not be confirmed to serve well");
            } else if (rule->holds == has_breach && rollout->phase == ROLLOUT_FROZEN) {
                fire(controller, steward, rule, "a breach froze the weight before the restart");
            }
        }
    }
}

/* ---- the journal ---- */

static void write_alert(void *context, int64_t seq, const char *body)
{
    struct controller *controller = context;
    if (controller->history != NULL) {
        controller_write(controller,
                         &(struct history_change){.alert = &(struct history_alert){seq, body}},
                         "an alert", "serin");
    }
}

void controller_name_alerts(struct controller *controller)
{
    char origin[ORIGIN_SIZE];
    (void)snprintf(origin, sizeof origin, "%s://%s",
                   controller->base->admin_tls != NULL ? "https" : "http",
                   controller->admin_address);
    alerts_name(controller->alerts, origin);
}

enum err controller_open_alerts(struct controller *controller, const struct conf *conf)
{
    bool is_local = conf->admin.address.socket.any.sa_family == AF_UNIX;
    (void)snprintf(controller->admin_address, sizeof controller->admin_address, "%s",
                   is_local ? "localhost" : conf->admin.address.text);
    struct alerts_options options = {
        .loop = &controller->loop->uv,
        .clock = controller->clock,
        .write = write_alert,
        .context = controller,
    };
    enum err err = alerts_create(&options, &controller->alerts);
    if (err == OK) {
        controller_name_alerts(controller);
        err = alerts_configure(controller->alerts, conf);
    }
    return err;
}

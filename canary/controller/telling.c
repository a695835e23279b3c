/* canary/controller/telling.c — a verdict that changes is told: in the event stream at once, in log
 * and audit trail where it lasts. The words are those of the status. */
#include "canary/controller/controller_state.h"
#include "canary/engine/rollout_act.h"
#include "proxy/base/log.h"

/* A verdict may waver; log and audit trail need not follow each turn of it. A breach never waits.
 */
enum { TELL_EVERY_US = 10000000 };

static const char *event_of(enum judge_verdict verdict)
{
    static const char *const events[JUDGE_VERDICT_COUNT] = {
        [JUDGE_INSUFFICIENT_DATA] = "verdict.insufficient_data",
        [JUDGE_OK] = "verdict.ok",
        [JUDGE_SUSPICIOUS] = "verdict.suspicious",
        [JUDGE_BREACH] = "verdict.breach",
        [JUDGE_HEALTHY] = "verdict.healthy",
    };
    return events[verdict];
}

static enum log_level level_of(enum judge_verdict verdict)
{
    return verdict == JUDGE_BREACH       ? LOG_LEVEL_ERROR
           : verdict == JUDGE_SUSPICIOUS ? LOG_LEVEL_WARN
                                         : LOG_LEVEL_INFO;
}

/* That nothing is known yet, or nothing bad as ever, is no news. */
static bool is_news(const struct steward *steward, uint64_t now_us)
{
    enum judge_verdict verdict = steward->engine.finding.verdict;
    enum judge_verdict told = steward->told_finding.verdict;
    bool was_bad = told == JUDGE_SUSPICIOUS || told == JUDGE_BREACH;
    bool is_plain = verdict == JUDGE_INSUFFICIENT_DATA || verdict == JUDGE_OK;
    bool is_change =
        verdict != told || steward->engine.finding.reason != steward->told_finding.reason;
    if (!is_change || (is_plain && !was_bad)) {
        return false;
    }
    return verdict == JUDGE_BREACH || steward->told_finding_us == 0 ||
           now_us >= steward->told_finding_us + TELL_EVERY_US;
}

void controller_tell_verdict(struct controller *controller, struct steward *steward)
{
    const struct finding *finding = &steward->engine.finding;
    const char *service = steward->conf->name;
    const char *sentence = steward->engine.sentence.text;
    if (finding->verdict != steward->shown_verdict) {
        steward->shown_verdict = finding->verdict;
        admin_publish(controller->admin, "verdict", service,
                      json_pack("{s:s, s:s, s:s}", "verdict", judge_verdict_name(finding->verdict),
                                "reason", judge_reason_name(finding->reason), "sentence",
                                sentence));
    }
    if (is_news(steward, controller_now_us(controller))) {
        steward->told_finding = *finding;
        steward->told_finding_us = controller_now_us(controller);
        const char *event = event_of(finding->verdict);
        log_write(level_of(finding->verdict), "%s: %s (%s by judge)", service, sentence, event);
        controller_audit(controller, ROLLOUT_ACTOR_JUDGE, event, service, sentence);
    }
}

static void publish_hold(struct controller *controller, const struct steward *steward,
                         double held_s)
{
    json_t *detail = json_pack("{s:b, s:i}", "contained", (int)steward->hold.is_on, "workers",
                               (int)steward_contained_count(steward));
    if (detail != NULL && !steward->hold.is_on) {
        (void)json_object_set_new(detail, "held_s", json_real(held_s));
    }
    admin_publish(controller->admin, "contained", steward->conf->name, detail);
}

void controller_tell_trust(const struct controller *controller)
{
    for (size_t i = 0; i < controller->steward_count; i++) {
        const struct conf_service *conf = controller->stewards[i]->conf;
        if (!conf->origin_tls.is_verified) {
            log_warn("%s: the certificates of its origins are not verified (origin_tls.verify)",
                     conf->name);
        }
    }
}

static void tell_hold_begins(struct controller *controller, struct steward *steward)
{
    steward->hold.is_on = true;
    steward->hold.since_us = controller->loop->now_us;
    log_warn("%s: workers hold the canary at a trickle: clients saw too many bad answers of it "
             "(max_bad_responses %llu for all workers)",
             steward->conf->name, (unsigned long long)steward->conf->rollback.max_bad_responses);
    publish_hold(controller, steward, 0.0);
}

static void tell_hold_ends(struct controller *controller, struct steward *steward)
{
    double held_s = (double)(controller->loop->now_us - steward->hold.since_us) / 1e6;
    bool has_weight = steward->engine.rollout.weight_ppm > 0;
    steward->hold.is_on = false;
    log_info("%s: the canary is no longer held at a trickle, after %.1f s: %s", steward->conf->name,
             held_s, has_weight ? "it answers well again" : "it has no weight");
    publish_hold(controller, steward, held_s);
}

void controller_tell_hold(struct controller *controller, struct steward *steward)
{
    bool is_held = steward_contained_count(steward) > 0;
    uint64_t begun_count = steward_containments(steward);
    bool has_begun = begun_count > steward->hold.begun_count;
    steward->hold.begun_count = begun_count;
    if (!steward->hold.is_on && (is_held || has_begun)) {
        tell_hold_begins(controller, steward);
    }
    if (steward->hold.is_on && !is_held) {
        tell_hold_ends(controller, steward);
    }
}

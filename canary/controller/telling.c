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

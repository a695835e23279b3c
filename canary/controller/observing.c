/* canary/controller/observing.c — policies that look on: fed with their service, told about, shown.
 */
#include "canary/controller/controller_state.h"
#include "canary/engine/judge_sentence.h"
#include "canary/policy/policy.h"
#include "proxy/base/log.h"

_Static_assert((int)ADMIN_OBSERVED_MAX >= (int)OBSERVE_MAX, "every policy can be shown");

enum err steward_observe(struct steward *steward)
{
    struct observe_policy policies[OBSERVE_MAX];
    size_t count = policy_observed(steward->conf, policies);
    return observe_configure(&steward->observe, policies, count);
}

static void mark(const struct steward *steward, enum recording_mark mark)
{
    if (steward->recorder != NULL) {
        recorder_mark(steward->recorder, mark, steward_deployment(steward, ROLE_CURRENT),
                      steward_deployment(steward, ROLE_PREVIOUS));
    }
}

void steward_tell_observers(struct steward *steward, uint64_t now_us)
{
    const struct engine_told *told = &steward->engine.told;
    int64_t now_ms = (int64_t)(now_us / 1000);
    if (told->rebased != steward->told.rebased) {
        observe_rebase(&steward->observe);
        mark(steward, RECORDING_MARK_REBASE);
    } else if (told->started != steward->told.started) {
        observe_start(&steward->observe, now_ms);
        mark(steward, RECORDING_MARK_START);
    } else if (told->stepped != steward->told.stepped) {
        observe_step(&steward->observe, now_ms);
        mark(steward, RECORDING_MARK_STEP);
    }
    steward->told = *told;
}

static json_t *breach_to_json(const struct observed *observed, const char *sentence)
{
    const struct observe_breach *breach = &observed->breach;
    return json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:b}", "policy", observed->policy.name,
                     "verdict", judge_verdict_name(JUDGE_BREACH), "reason",
                     judge_reason_name(breach->reason), "sentence", sentence, "failed",
                     breach->failed, "client_bad", breach->client_bad, "instant",
                     (int)breach->is_instant);
}

void controller_tell_observed(struct controller *controller, struct steward *steward)
{
    for (size_t i = 0; i < steward->observe.count; i++) {
        struct observed *observed = &steward->observe.list[i];
        if (!observed->is_news) {
            continue;
        }
        struct note sentence;
        observed->is_news = false;
        judge_sentence(&observed->judge, &sentence);
        log_info("%s: the observed policy %s would call this a breach (%s), nothing is done: %s",
                 steward->conf->name, observed->policy.name,
                 judge_reason_name(observed->breach.reason), sentence.text);
        admin_publish(controller->admin, "observed", steward->conf->name,
                      breach_to_json(observed, sentence.text));
    }
}

size_t controller_view_observed(const struct steward *steward,
                                struct admin_observed ret_observed[ADMIN_OBSERVED_MAX])
{
    for (size_t i = 0; i < steward->observe.count; i++) {
        const struct observed *from = &steward->observe.list[i];
        enum judge_reason reason = observed_reason(from);
        struct admin_observed *observed = &ret_observed[i];
        *observed = (struct admin_observed){
            .name = from->policy.name,
            .verdict = judge_verdict_name(observed_verdict(from)),
            .reason = reason == JUDGE_REASON_NONE ? NULL : judge_reason_name(reason),
            .has_breached = from->has_breached,
            .breached_us = from->breach.wall_us,
            .after_s = from->breach.after_s,
            .failed = (uint64_t)from->breach.failed,
            .client_bad = (uint64_t)from->breach.client_bad,
            .is_instant = from->breach.is_instant,
        };
        if (from->is_started) {
            judge_sentence(&from->judge, &observed->sentence);
        } else {
            note_set(&observed->sentence, "nothing was seen yet");
        }
    }
    return steward->observe.count;
}

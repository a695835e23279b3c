#include "conf/conf_policy.h"

struct conf_policy conf_policy_own(const struct conf_rollback *rollback)
{
    return (struct conf_policy){
        .name = CONF_POLICY_OWN,
        .error_rate_ppm = rollback->error_rate_ppm,
        .relative = rollback->relative,
        .is_latency_judged = rollback->is_latency_judged,
        .false_alarm_ppm = rollback->false_alarm_ppm,
        .instant_above_ppm = rollback->instant_above_ppm,
    };
}

void conf_policy_complete(struct conf_policy *policy, const struct conf_policy *own)
{
    if (!policy->has_error_rate) {
        policy->error_rate_ppm = own->error_rate_ppm;
    }
    if (!policy->has_relative) {
        policy->relative = own->relative;
    }
    if (!policy->has_latency) {
        policy->is_latency_judged = own->is_latency_judged;
    }
    if (!policy->has_false_alarm) {
        policy->false_alarm_ppm = own->false_alarm_ppm;
    }
    if (!policy->has_instant_above) {
        policy->instant_above_ppm = own->instant_above_ppm;
    }
}

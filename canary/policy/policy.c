#include "canary/policy/policy.h"

#include <stdio.h>

#include "conf/conf_policy.h"
#include "proxy/base/hash.h"

_Static_assert((int)CONF_OBSERVE_MAX <= (int)OBSERVE_MAX, "there is room for all policies");
_Static_assert((int)CONF_NAME_MAX <= (int)OBSERVE_NAME_MAX, "there is room for every name");

static enum judge_relative relative_of(enum conf_relative relative)
{
    switch (relative) {
    case CONF_RELATIVE_OFF:
        return JUDGE_RELATIVE_OFF;
    case CONF_RELATIVE_HOLD:
        return JUDGE_RELATIVE_HOLD;
    case CONF_RELATIVE_ROLLBACK:
        return JUDGE_RELATIVE_ROLLBACK;
    case CONF_RELATIVE_CONFIRM:
        break;
    }
    return JUDGE_RELATIVE_CONFIRM;
}

struct observe_policy policy_of(const struct conf_policy *conf)
{
    struct observe_policy policy = {
        .judge = JUDGE_CONFIG_DEFAULT,
        .is_latency_judged = conf->is_latency_judged,
        .instant_above = (double)conf->instant_above_ppm / CONF_PPM,
    };
    (void)snprintf(policy.name, sizeof policy.name, "%s", conf->name);
    policy.judge.alpha = (double)conf->false_alarm_ppm / CONF_PPM;
    policy.judge.limit = (double)conf->error_rate_ppm / CONF_PPM;
    policy.judge.relative = relative_of(conf->relative);
    return policy;
}

/* A number for what the service calls a failure: the same for the same list only, for all practical
 * purposes. */
static uint64_t criteria_of(const struct conf_failures *failures)
{
    static const struct hash_key key = {0x6661696c75726573, 0x63726974657269a1};
    uint64_t sum = hash_bytes(key, bytes_make((const char *)failures->statuses,
                                              failures->status_count * sizeof *failures->statuses));
    for (size_t i = 0; i < failures->exclude_path_count; i++) {
        sum = sum * 31 + hash_bytes(key, bytes_of(failures->exclude_paths[i]));
    }
    return sum;
}

static void take_criteria(const struct conf_failures *failures, struct judge_config *judge)
{
    judge->criteria = criteria_of(failures);
    if (failures->not_found_ppm > 0) {
        judge_config_watch_not_found(judge, (double)failures->not_found_ppm / CONF_PPM);
    }
}

struct observe_policy policy_own(const struct conf_service *conf)
{
    struct conf_policy own = conf_policy_own(&conf->rollback);
    struct observe_policy policy = policy_of(&own);
    take_criteria(&conf->failures, &policy.judge);
    return policy;
}

size_t policy_observed(const struct conf_service *conf,
                       struct observe_policy ret_policies[OBSERVE_MAX])
{
    for (size_t i = 0; i < conf->observe_count; i++) {
        ret_policies[i] = policy_of(&conf->observe[i]);
        take_criteria(&conf->failures, &ret_policies[i].judge);
    }
    return conf->observe_count;
}

#include "canary/policy/policy.h"

#include <stdio.h>

#include "conf/conf_policy.h"
#include "conf/conf_schema.h"
#include "proxy/base/check.h"
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
    sum = sum * 31 + conf_failures_grpc(failures);
    for (size_t i = 0; i < failures->exclude_path_count; i++) {
        sum = sum * 31 + hash_bytes(key, bytes_of(failures->exclude_paths[i]));
    }
    return sum;
}

void policy_watch_not_found(struct observe_policy *policy, uint32_t limit_ppm)
{
    if (limit_ppm > 0) {
        judge_config_watch_not_found(&policy->judge, (double)limit_ppm / CONF_PPM);
    }
}

static void take_criteria(const struct conf_failures *failures, struct observe_policy *policy)
{
    policy->judge.criteria = criteria_of(failures);
    policy_watch_not_found(policy, failures->not_found_ppm);
}

struct observe_policy policy_own(const struct conf_service *conf)
{
    struct conf_policy own = conf_policy_own(&conf->rollback);
    struct observe_policy policy = policy_of(&own);
    take_criteria(&conf->failures, &policy);
    return policy;
}

size_t policy_observed(const struct conf_service *conf,
                       struct observe_policy ret_policies[OBSERVE_MAX])
{
    for (size_t i = 0; i < conf->observe_count; i++) {
        ret_policies[i] = policy_of(&conf->observe[i]);
        take_criteria(&conf->failures, &ret_policies[i]);
    }
    return conf->observe_count;
}

/* ---- JSON ---- */

static const char *const RELATIVE_NAMES[] = {"off", "hold", "rollback", "confirm"};

json_t *policy_to_json(const struct conf_policy *conf)
{
    return json_pack("{s:s, s:I, s:s, s:b, s:I, s:I}", "name", conf->name, "error_rate_ppm",
                     (json_int_t)conf->error_rate_ppm, "relative", RELATIVE_NAMES[conf->relative],
                     "latency", (int)conf->is_latency_judged, "false_alarm_ppm",
                     (json_int_t)conf->false_alarm_ppm, "instant_above_ppm",
                     (json_int_t)conf->instant_above_ppm);
}

static bool read_rate(const json_t *json, const char *member, const char *key, uint32_t *ret_ppm)
{
    const struct conf_key *bounds = conf_section_find(&conf_schema_policy, bytes_of(key));
    CHECK(bounds != NULL);
    const json_t *value = json_object_get(json, member);
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < (json_int_t)bounds->low ||
        number > (json_int_t)bounds->high) {
        return false;
    }
    *ret_ppm = (uint32_t)number;
    return true;
}

static bool read_relative(const json_t *json, enum conf_relative *ret_relative)
{
    const char *name = json_string_value(json_object_get(json, "relative"));
    for (size_t i = 0; name != NULL && i < COUNT_OF(RELATIVE_NAMES); i++) {
        if (strcmp(RELATIVE_NAMES[i], name) == 0) {
            *ret_relative = (enum conf_relative)i;
            return true;
        }
    }
    return false;
}

bool policy_from_json(const json_t *json, struct note *note, struct conf_policy *ret_conf)
{
    struct conf_policy policy = {.name = json_string_value(json_object_get(json, "name"))};
    const json_t *latency = json_object_get(json, "latency");
    if (policy.name == NULL || policy.name[0] == '\0' || strlen(policy.name) > CONF_NAME_MAX) {
        note_set(note, "a policy has no name of 1 to %d bytes", CONF_NAME_MAX);
        return false;
    }
    bool is_whole =
        read_rate(json, "error_rate_ppm", "error_rate", &policy.error_rate_ppm) &&
        read_rate(json, "false_alarm_ppm", "false_alarm", &policy.false_alarm_ppm) &&
        read_rate(json, "instant_above_ppm", "instant_above", &policy.instant_above_ppm) &&
        read_relative(json, &policy.relative) && json_is_boolean(latency);
    if (!is_whole) {
        note_set(note, "the policy %s lacks a value, or has one out of bounds", policy.name);
        return false;
    }
    policy.is_latency_judged = json_is_true(latency);
    *ret_conf = policy;
    return true;
}

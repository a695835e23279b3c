/* bench/judge/rules.c — see rules.h. */
#include "bench/judge/rules.h"

#include <math.h>

#include "proxy/base/check.h"

const struct rule_form RULE_FORMS[RULE_COUNT] = {
    {"Flagger 1m x5, <99%", RULE_FLAGGER, 60, 0.01, 5, 0},
    {"Flagger fast 10s x2, <99%", RULE_FLAGGER, 10, 0.01, 2, 0},
    {"Argo 1m, <95%, limit 3", RULE_ARGO, 60, 0.05, 3, 0},
    {"5% window 10s", RULE_WINDOW, 10, 0.05, 0, 1},
    {"5% window 30s", RULE_WINDOW, 30, 0.05, 0, 1},
    {"5% window 60s", RULE_WINDOW, 60, 0.05, 0, 1},
    {"5% 10s, min 100", RULE_WINDOW, 10, 0.05, 0, 100},
    {"5% 30s, min 100", RULE_WINDOW, 30, 0.05, 0, 100},
    {"5% 60s, min 100", RULE_WINDOW, 60, 0.05, 0, 100},
    {"Envoy consecutive_5xx 5", RULE_CONSECUTIVE, 0, 0.0, 5, 0},
    {"Envoy success-rate (10 hosts)", RULE_SUCCESS_RATE, 10, 0.0, 0, 100},
    {"Wilson 99% peeking", RULE_WILSON, 0, 0.05, 0, 0},
};

enum { STABLE_HOSTS = 9, HOSTS_MIN = 5 };
static const double STDEV_FACTOR = 1.9;
static const double WILSON_Z = 2.5758293035489004;

void rule_init(struct rule *rule, const struct rule_form *form, uint64_t seed)
{
    *rule = (struct rule){.form = form};
    random_init(&rule->random, seed ^ UINT64_C(0x5eed));
}

static void add(struct look *sum, const struct look *look)
{
    sum->canary_count += look->canary_count;
    sum->canary_failed += look->canary_failed;
    sum->stable_count += look->stable_count;
    sum->stable_failed += look->stable_failed;
}

static void subtract(struct look *sum, const struct look *look)
{
    sum->canary_count -= look->canary_count;
    sum->canary_failed -= look->canary_failed;
    sum->stable_count -= look->stable_count;
    sum->stable_failed -= look->stable_failed;
}

static double ratio_of(uint64_t failed, uint64_t count)
{
    return (double)failed / (double)count;
}

static bool end_flagger_interval(struct rule *rule)
{
    const struct rule_form *form = rule->form;
    if (rule->failed_count >= form->threshold) {
        return true;
    }
    const struct look *sum = &rule->sum;
    if (sum->canary_count == 0 ||
        ratio_of(sum->canary_failed, sum->canary_count) > form->ratio_limit) {
        rule->failed_count++;
    }
    return false;
}

static bool end_argo_interval(struct rule *rule)
{
    const struct look *sum = &rule->sum;
    if (sum->canary_count > 0 &&
        ratio_of(sum->canary_failed, sum->canary_count) > rule->form->ratio_limit) {
        rule->failed_count++;
    }
    return rule->failed_count > rule->form->threshold;
}

/* Hands `count` things to the hosts by chance: to each about its share, as many draws as there are
 * things while they are few, else by the normal limit of the binomial. */
static void share_out(struct rule *rule, uint64_t count, double hosts[STABLE_HOSTS])
{
    double left = (double)count;
    for (unsigned i = 0; i < STABLE_HOSTS; i++) {
        unsigned hosts_left = STABLE_HOSTS - i;
        double chance = 1.0 / hosts_left;
        double mean = left * chance;
        double part = left;
        if (hosts_left > 1 && mean > 50.0) {
            double spread = sqrt(mean * (1.0 - chance));
            part = floor(mean + spread * draw_normal(&rule->random) + 0.5);
        } else if (hosts_left > 1) {
            part = 0.0;
            for (uint64_t j = 0; j < (uint64_t)left; j++) {
                part += draw_uniform(&rule->random) < chance;
            }
        }
        hosts[i] = fmin(fmax(part, 0.0), left);
        left -= hosts[i];
    }
}

static bool end_success_interval(struct rule *rule)
{
    const struct look *sum = &rule->sum;
    double passed[STABLE_HOSTS];
    double failed[STABLE_HOSTS];
    double rates[STABLE_HOSTS + 1];
    unsigned host_count = 0;
    share_out(rule, sum->stable_count - sum->stable_failed, passed);
    share_out(rule, sum->stable_failed, failed);
    double count_min = (double)rule->form->count_min;
    for (unsigned i = 0; i < STABLE_HOSTS; i++) {
        if (passed[i] + failed[i] >= count_min) {
            rates[host_count++] = passed[i] / (passed[i] + failed[i]);
        }
    }
    if (sum->canary_count < rule->form->count_min || host_count + 1 < HOSTS_MIN) {
        return false;
    }
    double canary = 1.0 - ratio_of(sum->canary_failed, sum->canary_count);
    rates[host_count++] = canary;
    double mean = 0.0;
    double variance = 0.0;
    for (unsigned i = 0; i < host_count; i++) {
        mean += rates[i] / host_count;
    }
    for (unsigned i = 0; i < host_count; i++) {
        variance += (rates[i] - mean) * (rates[i] - mean) / host_count;
    }
    return canary < mean - STDEV_FACTOR * sqrt(variance);
}

static bool end_window_second(struct rule *rule)
{
    const struct look *sum = &rule->sum;
    return sum->canary_count >= rule->form->count_min &&
           ratio_of(sum->canary_failed, sum->canary_count) > rule->form->ratio_limit;
}

static bool end_wilson_second(struct rule *rule)
{
    double count = (double)rule->sum.canary_count;
    if (count == 0.0) {
        return false;
    }
    double ratio = (double)rule->sum.canary_failed / count;
    double z2 = WILSON_Z * WILSON_Z;
    double spread = WILSON_Z * sqrt(ratio * (1.0 - ratio) / count + z2 / (4.0 * count * count));
    return (ratio + z2 / (2.0 * count) - spread) / (1.0 + z2 / count) > rule->form->ratio_limit;
}

/* The order within a look is not known: any is as likely. */
static bool follow_streak(struct rule *rule, const struct look *look)
{
    uint64_t failed = look->canary_failed;
    for (uint64_t left = look->canary_count; left > 0; left--) {
        if (failed == 0) {
            rule->failed_count = 0;
            return false;
        }
        bool is_failed = random_below(&rule->random, left) < failed;
        failed -= is_failed;
        rule->failed_count = is_failed ? rule->failed_count + 1 : 0;
        if (rule->failed_count >= rule->form->threshold) {
            return true;
        }
    }
    return false;
}

static bool end_second(struct rule *rule)
{
    const struct rule_form *form = rule->form;
    rule->second_number++;
    add(&rule->sum, &rule->second);
    if (form->kind == RULE_WINDOW) {
        struct look *oldest = &rule->window[rule->second_number % form->window_s];
        subtract(&rule->sum, oldest);
        *oldest = rule->second;
        return end_window_second(rule);
    }
    if (form->kind == RULE_WILSON) {
        return end_wilson_second(rule);
    }
    if (rule->second_number % form->window_s != 0) {
        return false;
    }
    bool has_fired = form->kind == RULE_FLAGGER ? end_flagger_interval(rule)
                     : form->kind == RULE_ARGO  ? end_argo_interval(rule)
                                                : end_success_interval(rule);
    rule->sum = (struct look){0};
    return has_fired;
}

bool rule_feed(struct rule *rule, const struct look *look, bool is_second)
{
    if (rule->has_fired) {
        return true;
    }
    if (rule->form->kind == RULE_CONSECUTIVE) {
        rule->has_fired = follow_streak(rule, look);
        return rule->has_fired;
    }
    CHECK(rule->form->window_s <= RULE_WINDOW_MAX_S);
    add(&rule->second, look);
    if (is_second) {
        rule->has_fired = end_second(rule);
        rule->second = (struct look){0};
    }
    return rule->has_fired;
}

/* bench/judge/options.c — see options.h. */
#include "bench/judge/options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/base/check.h"

#define OPTION(name, initial)                                                                      \
    {                                                                                              \
#name, offsetof(struct options, name), initial                                             \
    }

static const struct {
    const char *name;
    size_t offset;
    double initial;
} OPTIONS[] = {
    OPTION(seed, 1),
    OPTION(runs, 1),
    OPTION(rate, 100),
    OPTION(weight, 0.1),
    OPTION(cluster, 1),
    OPTION(stable, 0.001),
    OPTION(canary, -1),
    OPTION(fault_stable, -1),
    OPTION(fault_canary, -1),
    OPTION(healthy_s, 0),
    OPTION(fault_s, 0),
    OPTION(offset_ms, 0),
    OPTION(horizon_s, 3600),
    OPTION(tick_ms, 100),
    OPTION(coarse_ms, 1000),
    OPTION(is_forgiving, 0),
    OPTION(has_rules, 0),
    OPTION(hiccup_s, 0),
    OPTION(hiccup_every_s, 60),
    OPTION(hiccup_ratio, 1),
    OPTION(outage_s, 0),
    OPTION(outage_ratio, 0.5),
    OPTION(warm_s, 0),
    OPTION(span_s, 3600),
    OPTION(swing, 0),
    OPTION(factor, 0),
    OPTION(margin, 0),
    OPTION(stable_ms, 40),
    OPTION(canary_ms, 40),
    OPTION(slow_share, 0),
    OPTION(slow_factor, 1),
    OPTION(relative, JUDGE_RELATIVE_CONFIRM),
    OPTION(restarts, 1),
    OPTION(burst, 0),
    OPTION(cap_rate, 0),
};

static double *value_of(struct options *options, size_t index)
{
    return (double *)(void *)((char *)options + OPTIONS[index].offset);
}

static bool read_word(const char *word, struct options *options)
{
    const char *equals = strchr(word, '=');
    for (size_t i = 0; equals != NULL && i < COUNT_OF(OPTIONS); i++) {
        size_t length = strlen(OPTIONS[i].name);
        if (length == (size_t)(equals - word) && strncmp(word, OPTIONS[i].name, length) == 0) {
            char *end = NULL;
            *value_of(options, i) = strtod(equals + 1, &end);
            return end != equals + 1 && *end == '\0';
        }
    }
    return false;
}

enum err options_read(int count, char *const *words, struct options *ret_options)
{
    struct options options;
    for (size_t i = 0; i < COUNT_OF(OPTIONS); i++) {
        *value_of(&options, i) = OPTIONS[i].initial;
    }
    for (int i = 0; i < count; i++) {
        if (!read_word(words[i], &options)) {
            fprintf(stderr, "judge_proof: what is %s?\n", words[i]);
            return ERR_SYNTAX;
        }
    }
    /* A ratio that is not told is that of the version beside, or of the time before. */
    options.canary = options.canary < 0.0 ? options.stable : options.canary;
    options.fault_stable = options.fault_stable < 0.0 ? options.stable : options.fault_stable;
    options.fault_canary = options.fault_canary < 0.0 ? options.canary : options.fault_canary;
    *ret_options = options;
    return OK;
}

struct judge_config options_judge(const struct options *options)
{
    struct judge_config config = JUDGE_CONFIG_DEFAULT;
    config.relative = (enum judge_relative)options->relative;
    config.burst = options->burst;
    if (options->cap_rate > 0.0) {
        config.cap_rate = options->cap_rate;
    }
    if (options->restarts == 0.0) { /* a day's mass at once, and nothing later */
        config.mass_start += config.mass_per_day;
        config.mass_per_day = 0.0;
    }
    return config;
}

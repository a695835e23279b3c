/* bench/judge/days.c — healthy days, with what happens on healthy days. */
#include <stdio.h>

#include "bench/judge/experiments.h"
#include "bench/judge/rules.h"

/* Short brown-outs of one version: it is in one until, and the next begins. */
struct hiccups {
    double until_s, next_s;
};

struct day {
    struct source source;
    struct random random; /* of when things happen */
    struct judge judge;
    struct judge_counts counts;
    struct rule rules[RULE_COUNT];
    struct hiccups canary, stable;
    double outage_s; /* when the day's outage begins; negative: there is none */
};

static void plan_hiccup(struct day *day, struct hiccups *hiccups, double after_s, double every_s)
{
    hiccups->next_s = after_s + 2.0 * every_s * draw_uniform(&day->random);
}

static double ratio_at(struct day *day, struct hiccups *hiccups, const struct options *options,
                       double now_s, double ratio)
{
    if (options->hiccup_s > 0.0 && now_s >= hiccups->next_s) {
        hiccups->until_s = now_s + options->hiccup_s;
        plan_hiccup(day, hiccups, hiccups->until_s, options->hiccup_every_s);
    }
    if (now_s < hiccups->until_s) {
        return options->hiccup_ratio;
    }
    bool is_out =
        day->outage_s >= 0.0 && now_s >= day->outage_s && now_s < day->outage_s + options->outage_s;
    return is_out ? options->outage_ratio : ratio;
}

static void day_open(struct day *day, const struct options *options, uint64_t run)
{
    struct judge_config config = options_judge(options);
    uint64_t seed = source_seed(options->seed, run);
    *day = (struct day){.outage_s = -1.0};
    source_init(&day->source, seed, options->rate, 0.0, options->cluster);
    random_init(&day->random, seed ^ UINT64_C(0xda1));
    judge_init(&day->judge, &config);
    for (size_t i = 0; i < RULE_COUNT; i++) {
        rule_init(&day->rules[i], &RULE_FORMS[i], seed + i);
    }
    plan_hiccup(day, &day->canary, options->warm_s, options->hiccup_every_s);
    plan_hiccup(day, &day->stable, 0.0, options->hiccup_every_s);
    if (options->outage_s > 0.0) {
        day->outage_s = 600.0 + draw_uniform(&day->random) * (options->span_s - 1800.0);
    }
}

/* The judge's and the rules' looks; true when the judge rolled back. The rules begin with the
 * canary. */
static bool day_run(struct day *day, const struct options *options)
{
    bool has_breach = false;
    double tick_s = options->tick_ms / 1000.0;
    int64_t start_ms = (int64_t)(1000.0 * options->warm_s);
    int64_t end_ms = start_ms + (int64_t)(1000.0 * options->span_s);
    for (int64_t now_ms = 0; now_ms < end_ms; now_ms += (int64_t)options->tick_ms) {
        double now_s = (double)now_ms / 1000.0;
        if (now_ms == start_ms) { /* until here stable alone */
            judge_start(&day->judge, now_ms);
            day->source.weight = options->weight;
            day->source.elapsed_s = 0.0;
        }
        double canary = ratio_at(day, &day->canary, options, now_s, options->canary);
        double stable = ratio_at(day, &day->stable, options, now_s, options->stable);
        source_set(&day->source, tick_s, canary, stable);
        struct look look = source_next(&day->source);
        look_count(&look, &day->counts);
        if (!has_breach) {
            has_breach = judge_check(&day->judge, now_ms, &day->counts).verdict == JUDGE_BREACH;
        }
        for (size_t i = 0; options->has_rules != 0.0 && now_ms >= start_ms && i < RULE_COUNT; i++) {
            rule_feed(&day->rules[i], &look, (now_ms + (int64_t)options->tick_ms) % 1000 == 0);
        }
        if (has_breach && options->has_rules == 0.0) {
            break;
        }
    }
    return has_breach;
}

void experiment_days(const struct options *options)
{
    static struct day day;
    unsigned breach_count = 0;
    unsigned fired_counts[RULE_COUNT] = {0};
    unsigned day_count = (unsigned)options->runs;
    for (unsigned run = 0; run < day_count; run++) {
        day_open(&day, options, run);
        breach_count += day_run(&day, options);
        for (size_t i = 0; i < RULE_COUNT; i++) {
            fired_counts[i] += day.rules[i].has_fired;
        }
    }
    printf("serin\t%u\t%u\n", breach_count, day_count);
    for (size_t i = 0; options->has_rules != 0.0 && i < RULE_COUNT; i++) {
        printf("%s\t%u\t%u\n", RULE_FORMS[i].name, fired_counts[i], day_count);
    }
}

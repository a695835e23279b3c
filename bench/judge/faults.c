/* bench/judge/faults.c — something breaks: who notices, how soon, and what did it cost?
 *
 * Every rule is given a shift at once and for free; the answers that were in flight at that moment
 * (50 ms of traffic) are still bad. */
#include <stdio.h>

#include "bench/judge/experiments.h"
#include "bench/judge/rules.h"

static const double IN_FLIGHT_S = 0.05;
static const double FINE_S = 300.0; /* before the fault, looks come at their true pace */
static const double PHASE_S = 60.0; /* a fault begins at any moment of the others' intervals */

/* How one decider fared. */
struct outcome {
    bool is_decided;
    bool was_before; /* the fault */
    double seconds;
    struct look seen; /* since the fault */
};

struct trial {
    struct source source;
    struct judge judge;
    struct judge_counts counts;
    struct rule rules[RULE_COUNT];
    int64_t canary_from_ms, canary_to_ms, stable_from_ms, stable_to_ms;
    int64_t fault_ms; /* the earlier of both */
    struct look since_fault;
    struct outcome judged;
    struct outcome ruled[RULE_COUNT];
};

static void trial_open(struct trial *trial, const struct options *options, uint64_t run)
{
    struct judge_config config = options_judge(options);
    uint64_t seed = source_seed(options->seed, run);
    *trial = (struct trial){0};
    source_init(&trial->source, seed, options->rate, options->weight, options->cluster);
    judge_init(&trial->judge, &config);
    for (size_t i = 0; i < RULE_COUNT; i++) {
        rule_init(&trial->rules[i], &RULE_FORMS[i], seed + i);
    }
    int64_t tick_ms = (int64_t)options->tick_ms;
    int64_t from_ms = (int64_t)(1000.0 * options->healthy_s);
    if (options->healthy_s > 0.0) {
        from_ms += (int64_t)(1000.0 * PHASE_S * draw_uniform(&trial->source.random));
        from_ms -= from_ms % tick_ms;
    }
    int64_t lasts_ms = (int64_t)(1000.0 * (options->fault_s > 0.0 ? options->fault_s : 1e12));
    trial->stable_from_ms = from_ms;
    trial->stable_to_ms = from_ms + lasts_ms;
    trial->canary_from_ms = from_ms + (int64_t)options->offset_ms;
    trial->canary_to_ms = trial->canary_from_ms + lasts_ms;
    trial->fault_ms = from_ms < trial->canary_from_ms ? from_ms : trial->canary_from_ms;
}

static void look_on(struct outcome *outcome, bool is_decided, const struct trial *trial,
                    int64_t now_ms)
{
    if (!is_decided || outcome->is_decided) {
        return;
    }
    outcome->is_decided = true;
    outcome->was_before = now_ms <= trial->fault_ms;
    outcome->seconds = (double)(now_ms - trial->fault_ms) / 1000.0;
    outcome->seen = trial->since_fault;
}

/* One look at `now_ms`, `elapsed_ms` after the one before. */
static void trial_look(struct trial *trial, const struct options *options, int64_t now_ms,
                       int64_t elapsed_ms)
{
    int64_t from_ms = now_ms - elapsed_ms;
    bool is_canary_bad = from_ms >= trial->canary_from_ms && from_ms < trial->canary_to_ms;
    bool is_stable_bad = from_ms >= trial->stable_from_ms && from_ms < trial->stable_to_ms;
    source_set(&trial->source, (double)elapsed_ms / 1000.0,
               is_canary_bad ? options->fault_canary : options->canary,
               is_stable_bad ? options->fault_stable : options->stable);
    struct look look = source_next(&trial->source);
    look_count(&look, &trial->counts);
    if (from_ms >= trial->fault_ms) {
        trial->since_fault.canary_count += look.canary_count;
        trial->since_fault.canary_failed += look.canary_failed;
    }
    struct judge_result result = judge_check(&trial->judge, now_ms, &trial->counts);
    look_on(&trial->judged, result.verdict == JUDGE_BREACH, trial, now_ms);
    for (size_t i = 0; options->has_rules != 0.0 && i < RULE_COUNT; i++) {
        bool has_fired = rule_feed(&trial->rules[i], &look, now_ms % 1000 == 0);
        look_on(&trial->ruled[i], has_fired, trial, now_ms);
    }
}

/* What fired on healthy traffic is told elsewhere (days.c). */
static void forgive(struct trial *trial)
{
    for (size_t i = 0; i < RULE_COUNT; i++) {
        trial->rules[i].has_fired = false;
        trial->ruled[i] = (struct outcome){0};
    }
}

static bool is_all_decided(const struct trial *trial, const struct options *options)
{
    bool is_decided = trial->judged.is_decided;
    for (size_t i = 0; options->has_rules != 0.0 && i < RULE_COUNT; i++) {
        is_decided = is_decided && trial->ruled[i].is_decided;
    }
    return is_decided;
}

static void trial_run(struct trial *trial, const struct options *options)
{
    int64_t tick_ms = (int64_t)options->tick_ms;
    int64_t coarse_ms = (int64_t)options->coarse_ms;
    int64_t fine_from_ms = trial->fault_ms - (int64_t)(1000.0 * FINE_S);
    int64_t end_ms = trial->fault_ms + (int64_t)(1000.0 * options->horizon_s);
    int64_t now_ms = 0;
    judge_check(&trial->judge, now_ms, &trial->counts); /* the base of the counters */
    while (now_ms < end_ms && !is_all_decided(trial, options)) {
        int64_t elapsed_ms = now_ms + coarse_ms <= fine_from_ms ? coarse_ms : tick_ms;
        if (options->is_forgiving != 0.0 && now_ms == trial->fault_ms) {
            forgive(trial);
        }
        now_ms += elapsed_ms;
        trial_look(trial, options, now_ms, elapsed_ms);
    }
}

static void print_outcome(const struct options *options, const char *name, unsigned run,
                          const struct outcome *outcome)
{
    const char *state = !outcome->is_decided ? "never" : outcome->was_before ? "before" : "found";
    double in_flight = options->rate * options->weight * options->fault_canary * IN_FLIGHT_S;
    printf("%s\t%u\t%s\t%.1f\t%llu\t%.1f\n", name, run, state, outcome->seconds,
           (unsigned long long)outcome->seen.canary_count,
           (double)outcome->seen.canary_failed + in_flight);
}

void experiment_faults(const struct options *options)
{
    static struct trial trial;
    for (unsigned run = 0; run < (unsigned)options->runs; run++) {
        trial_open(&trial, options, run);
        trial_run(&trial, options);
        print_outcome(options, "serin", run, &trial.judged);
        for (size_t i = 0; options->has_rules != 0.0 && i < RULE_COUNT; i++) {
            print_outcome(options, RULE_FORMS[i].name, run, &trial.ruled[i]);
        }
    }
}

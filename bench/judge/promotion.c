/* bench/judge/promotion.c — how soon a canary is called healthy, and whether it is. */
#include <stdio.h>

#include "bench/judge/experiments.h"
#include "bench/judge/source.h"

static void run_once(struct judge *judge, const struct options *options, unsigned run)
{
    struct judge_config config = options_judge(options);
    struct source source;
    struct judge_counts counts = {0};
    judge_init(judge, &config);
    source_init(&source, source_seed(options->seed, run), options->rate, 0.0, 1.0);
    source_set(&source, options->tick_ms / 1000.0, options->canary, options->stable);
    const char *state = "neither";
    int64_t start_ms = (int64_t)(1000.0 * options->warm_s);
    int64_t end_ms = start_ms + (int64_t)(1000.0 * options->horizon_s);
    int64_t now_ms = 0;
    judge_check(judge, now_ms, &counts);
    while (now_ms < end_ms) {
        if (now_ms == start_ms) { /* until here stable alone */
            judge_start(judge, now_ms);
            source.weight = options->weight;
            source.elapsed_s = 0.0;
            source_set(&source, options->tick_ms / 1000.0, options->canary, options->stable);
        }
        now_ms += (int64_t)options->tick_ms;
        struct look look = source_next(&source);
        look_count(&look, &counts);
        enum judge_verdict verdict = judge_check(judge, now_ms, &counts).verdict;
        if (verdict == JUDGE_HEALTHY || verdict == JUDGE_BREACH) {
            state = verdict == JUDGE_HEALTHY ? "healthy" : "breach";
            break;
        }
    }
    printf("%u\t%s\t%.1f\t%llu\n", run, state, (double)(now_ms - start_ms) / 1000.0,
           (unsigned long long)counts.canary_count);
}

void experiment_promotion(const struct options *options)
{
    static struct judge judge;
    for (unsigned run = 0; run < (unsigned)options->runs; run++) {
        run_once(&judge, options, run);
    }
}

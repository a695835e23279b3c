/* bench/judge/odds.c — is the guarantee true? A canary exactly on the boundary, one day's mass.
 *
 * The mass of a day is put into the span that is simulated, so that a thousand days take minutes.
 */
#include <math.h>
#include <stdio.h>

#include "bench/judge/experiments.h"
#include "bench/judge/source.h"
#include "canary/engine/judge_math.h"
#include "proxy/base/check.h"

static const double DAY_S = 86400.0;
static const double LEVELS[] = {5.0, 20.0, 100.0, 250.0};

enum {
    TEST_ABSOLUTE,
    TEST_RELATIVE,
    TEST_PROMOTE_ABSOLUTE,
    TEST_PROMOTE_RELATIVE,
    TEST_HEALTHY, /* the verdicts, as 0 or 1 */
    TEST_BREACH,
    TEST_COUNT
};
static const char *const TEST_NAMES[TEST_COUNT] = {
    "absolute", "relative", "promote_absolute", "promote_relative", "healthy", "breach"};

/* The largest log odds of a run. */
struct peaks {
    double logs[TEST_COUNT];
};

static void follow(struct peaks *peaks, const struct judge_result *result)
{
    const double logs[TEST_COUNT] = {result->log_absolute,
                                     result->log_relative,
                                     result->log_promote_absolute,
                                     result->log_promote_relative,
                                     result->verdict == JUDGE_HEALTHY ? INFINITY : -INFINITY,
                                     result->verdict == JUDGE_BREACH ? INFINITY : -INFINITY};
    for (size_t i = 0; i < TEST_COUNT; i++) {
        peaks->logs[i] = fmax(peaks->logs[i], logs[i]);
    }
}

static double stable_ratio(struct source *source, const struct options *options)
{
    if (options->swing <= 0.0) {
        return options->stable;
    }
    return options->stable + draw_uniform(&source->random) * (options->swing - options->stable);
}

static void run_once(struct judge *judge, const struct options *options, uint64_t run,
                     struct peaks *peaks)
{
    struct judge_config config = options_judge(options);
    config.mass_per_day *= DAY_S / options->span_s;
    struct source source;
    struct judge_counts counts = {0};
    source_init(&source, source_seed(options->seed, run), options->rate, 0.0, options->cluster);
    judge_init(judge, &config);
    int64_t tick_ms = (int64_t)options->tick_ms;
    int64_t start_ms = (int64_t)(1000.0 * options->warm_s);
    int64_t end_ms = start_ms + (int64_t)(1000.0 * options->span_s);
    for (int64_t now_ms = 0; now_ms < end_ms; now_ms += tick_ms) {
        if (now_ms == start_ms) {
            judge_start(judge, now_ms);
            source.weight = options->weight;
            source.elapsed_s = 0.0; /* made anew below */
        }
        double stable = stable_ratio(&source, options);
        double canary =
            options->factor > 0.0 ? options->factor * stable + options->margin : options->canary;
        source_set(&source, options->tick_ms / 1000.0, canary, stable);
        struct look look = source_next(&source);
        look_count(&look, &counts);
        struct judge_result result = judge_check(judge, now_ms, &counts);
        if (now_ms > start_ms) {
            follow(peaks, &result);
        }
    }
}

void experiment_odds(const struct options *options)
{
    static struct judge judge;
    unsigned reached[TEST_COUNT][COUNT_OF(LEVELS)] = {{0}};
    for (unsigned run = 0; run < (unsigned)options->runs; run++) {
        struct peaks peaks;
        for (size_t i = 0; i < TEST_COUNT; i++) {
            peaks.logs[i] = -INFINITY;
        }
        run_once(&judge, options, run, &peaks);
        for (size_t i = 0; i < TEST_COUNT; i++) {
            for (size_t j = 0; j < COUNT_OF(LEVELS); j++) {
                reached[i][j] += peaks.logs[i] >= log(LEVELS[j]);
            }
        }
    }
    double mass = JUDGE_CONFIG_DEFAULT.mass_start + JUDGE_CONFIG_DEFAULT.mass_per_day;
    for (size_t i = 0; i < TEST_COUNT; i++) {
        for (size_t j = 0; j < COUNT_OF(LEVELS); j++) {
            printf("%s\t%g\t%u\t%u\t%g\n", TEST_NAMES[i], LEVELS[j], reached[i][j],
                   (unsigned)options->runs, i < TEST_PROMOTE_ABSOLUTE ? mass : 1.0);
        }
    }
}

static double binomial_chance(double count, double failed, double ratio)
{
    return exp(lgamma(count + 1.0) - lgamma(failed + 1.0) - lgamma(count - failed + 1.0) +
               failed * log(ratio) + (count - failed) * log1p(-ratio));
}

/* E[e-value] of a block of these sizes for (alternative, guess), at `stable` on the line. */
static double expectation(double canary_count, double stable_count, double stable,
                          double alternative, double guess, double factor, double margin)
{
    double sum = 0.0;
    for (double i = 0.0; i <= canary_count; i++) {
        double chance = binomial_chance(canary_count, i, factor * stable + margin);
        for (double j = 0.0; j <= stable_count; j++) {
            struct judge_block block = {canary_count, i, stable_count, j};
            double evidence = judge_block_evidence(&block, alternative, guess, factor, margin);
            sum += chance * binomial_chance(stable_count, j, stable) * exp(evidence);
        }
    }
    return sum;
}

void experiment_blocks(const struct options *options)
{
    (void)options;
    static const double SIZES[][2] = {{1, 1},   {1, 9},   {1, 99}, {5, 5},
                                      {10, 90}, {40, 10}, {30, 30}};
    static const double RATIOS[] = {0.001, 0.01, 0.1, 0.4};
    double worst = 0.0;
    unsigned count = 0;
    for (size_t i = 0; i < COUNT_OF(SIZES); i++) {
        for (size_t j = 0; j < COUNT_OF(RATIOS); j++) {
            double guess = RATIOS[(j + i) % COUNT_OF(RATIOS)];
            double alternatives[JUDGE_GRID_COUNT];
            judge_grid(1.25 * guess + 0.001, alternatives);
            for (size_t k = 0; k < JUDGE_GRID_COUNT; k++) {
                worst = fmax(worst, expectation(SIZES[i][0], SIZES[i][1], RATIOS[j],
                                                alternatives[k], guess, 1.25, 0.001));
                count++;
            }
        }
    }
    printf("blocks\t%u\t%.9f\n", count, worst);
}

/* bench/judge/source.c — see source.h. */
#include "bench/judge/source.h"

void source_init(struct source *source, uint64_t seed, double rate, double weight, double cluster)
{
    *source = (struct source){.rate = rate, .weight = weight, .cluster = cluster};
    random_init(&source->random, seed);
}

static void set_version(struct source_version *version, double mean, double ratio, double cluster)
{
    version->ratio = ratio;
    draw_poisson_init(&version->passed, mean * (1.0 - ratio));
    draw_poisson_init(&version->failed, mean * ratio / cluster);
}

void source_set(struct source *source, double elapsed_s, double canary_ratio, double stable_ratio)
{
    bool is_new = elapsed_s != source->elapsed_s;
    double mean = source->rate * elapsed_s;
    source->elapsed_s = elapsed_s;
    if (is_new || source->canary.ratio != canary_ratio) {
        set_version(&source->canary, mean * source->weight, canary_ratio, source->cluster);
    }
    if (is_new || source->stable.ratio != stable_ratio) {
        set_version(&source->stable, mean * (1.0 - source->weight), stable_ratio, source->cluster);
    }
}

static uint64_t draw_failed(struct source *source, const struct source_version *version)
{
    return (uint64_t)source->cluster * draw_poisson(&version->failed, &source->random);
}

struct look source_next(struct source *source)
{
    struct look look;
    look.canary_failed = draw_failed(source, &source->canary);
    look.canary_count = look.canary_failed + draw_poisson(&source->canary.passed, &source->random);
    look.stable_failed = draw_failed(source, &source->stable);
    look.stable_count = look.stable_failed + draw_poisson(&source->stable.passed, &source->random);
    return look;
}

void look_count(const struct look *look, struct judge_counts *counts)
{
    counts->canary_count += look->canary_count;
    counts->canary_failed += look->canary_failed;
    counts->stable_count += look->stable_count;
    counts->stable_failed += look->stable_failed;
}

uint64_t source_seed(double seed, uint64_t run)
{
    return (uint64_t)seed * UINT64_C(1000003) + run + 1;
}

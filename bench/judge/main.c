/* bench/judge/main.c — judge_proof: the judge against simulated traffic, one experiment a call.
 *
 * judge_proof EXPERIMENT [name=number...]; see experiments.h and options.h. Everything is seeded,
 * so a call prints the same each time. */
#include <stdio.h>
#include <string.h>

#include "bench/judge/experiments.h"
#include "proxy/base/check.h"

static const struct {
    const char *name;
    void (*run)(const struct options *options);
} EXPERIMENTS[] = {
    {"days", experiment_days},           {"faults", experiment_faults},
    {"odds", experiment_odds},           {"blocks", experiment_blocks},
    {"promotion", experiment_promotion}, {"latency", experiment_latency},
};

int main(int argc, char **argv)
{
    struct options options;
    if (argc < 2 || options_read(argc - 2, argv + 2, &options) != OK) {
        fprintf(stderr, "usage: judge_proof EXPERIMENT [name=number...]\n");
        return 2;
    }
    for (size_t i = 0; i < COUNT_OF(EXPERIMENTS); i++) {
        if (strcmp(argv[1], EXPERIMENTS[i].name) == 0) {
            EXPERIMENTS[i].run(&options);
            return 0;
        }
    }
    fprintf(stderr, "judge_proof: there is no experiment %s\n", argv[1]);
    return 2;
}

/* bench/judge/experiments.h — each shows one thing of the judge, by simulated traffic.
 *
 * An experiment prints lines of words divided by tabs; bench/judge/run makes tables of them. */
#pragma once
#include "bench/judge/options.h"

/* Healthy days, looked at each second: who would have rolled back? `rule, rolled back, days`. */
void experiment_days(const struct options *options);
/* A fault after a healthy time: `rule, run, found | never | before, seconds, canary requests,
 * bad responses`. */
void experiment_faults(const struct options *options);
/* The canary exactly on the boundary all day: how often does the odds' maximum reach c?
 * `test, c, runs that did, runs, mass`. */
void experiment_odds(const struct options *options);
/* The exact expectation of a block's e-value on the line, over all outcomes: `blocks, worst`. */
void experiment_blocks(const struct options *options);
/* Is it called healthy, and when? `run, healthy | breach | neither, seconds, canary requests`. */
void experiment_promotion(const struct options *options);
/* The canary gets slower after a while: `run, found | never, seconds, canary requests`. */
void experiment_latency(const struct options *options);

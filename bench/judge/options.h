/* bench/judge/options.h — what one experiment is asked to do: words of the form name=number.
 *
 * Plain values. */
#pragma once
#include "canary/engine/judge_config.h"
#include "proxy/base/err.h"

struct options {
    double seed, runs;
    double rate;    /* requests per second, both versions together */
    double weight;  /* the canary's share */
    double cluster; /* failures at a time */
    /* Failure ratios: while all is well, and during the fault. */
    double stable, canary;
    double fault_stable, fault_canary;
    double healthy_s; /* before the fault; 0: broken from the first request */
    double fault_s;   /* how long it lasts; 0: to the end */
    double
        offset_ms; /* the canary's fault begins and ends so much after stable's; may be negative */
    double horizon_s;    /* given up so long after the fault's begin */
    double tick_ms;      /* between two looks, near the fault and after it */
    double coarse_ms;    /* ... long before it */
    double is_forgiving; /* a rule that fired before the fault begins anew with it */
    double has_rules;    /* the others' rules see the same traffic */
    double hiccup_s, hiccup_every_s, hiccup_ratio; /* each version on its own, at random moments */
    double outage_s, outage_ratio; /* one a day of both versions, at a random moment */
    double warm_s;                 /* stable alone, before the judge starts */
    double span_s;                 /* on the boundary */
    double swing; /* stable's ratio jumps between two looks, evenly from `stable` to this */
    double factor, margin;          /* the canary's ratio on the line: factor * stable's + margin */
    double stable_ms, canary_ms;    /* median of the answers' times */
    double slow_share, slow_factor; /* some of the canary's answers take so many times as long */
    /* The judge's own. */
    double relative, restarts, burst, cap_rate;
};

/* ERR_SYNTAX: a word that is none; it is told on stderr. */
MUST_USE enum err options_read(int count, char *const *words, struct options *ret_options);
/* The defaults, with what the options say of the judge. */
struct judge_config options_judge(const struct options *options);

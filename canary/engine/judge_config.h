/* canary/engine/judge_config.h — every number of the judge that a user or a test may turn.
 *
 * Plain values, copied into the judge; the defaults are what docs/JUDGE.md argues for. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* What the relative test ("worse than the stable version") may do. */
enum judge_relative {
    JUDGE_RELATIVE_OFF,
    JUDGE_RELATIVE_HOLD,     /* suspicious at most */
    JUDGE_RELATIVE_ROLLBACK, /* breach also below the absolute limit */
    JUDGE_RELATIVE_CONFIRM   /* breach when proven worse and seen at the absolute limit or above */
};

struct judge_config {
    double alpha; /* chance of a false rollback in a day-long rollout, all tests together */
    double share_absolute; /* ... and how the tests divide it; the shares sum to 1 */
    double share_relative;
    double share_latency;
    double share_connect;
    double share_not_found; /* 0 while 404s are not judged */
    double mass_start;      /* restart mass: at the start, per day, per change of weight */
    double mass_per_day;
    double mass_per_step;
    double cap;      /* evidence one check may add, nats ... */
    double cap_rate; /* ... and per second */
    double
        cap_rate_recovering; /* ... per second while the stable version is or just was in trouble */
    double recovering_ms;    /* how long "just" lasts */
    double burst;            /* failures come this many at a time; 0: measure it */
    double limit;            /* absolute limit of the failure ratio */
    double connect_limit;    /* ... of the connect failure ratio */
    double relative_factor;  /* the canary may have factor * stable's ratio + margin */
    double relative_margin;
    double promote_factor; /* the same line for promotion */
    double promote_margin;
    double promote_alpha;  /* chance to call an unacceptable canary healthy, per step */
    double guard_alpha;    /* chance to blame the canary for one outage that both share */
    double guard_wait_ms;  /* crossed this long, a quiet stable version is proof enough */
    double block_ms_max;   /* an open block older than this is dropped unread */
    double latency_factor; /* the canary may be max(factor * t, t + margin) where stable needs t */
    double latency_margin_us;
    double not_found_limit; /* from this ratio of 404s on more than stable's are a breach; 0: off */
    uint64_t warm_count;    /* canary requests below which nothing can be said */
    uint64_t criteria;      /* what the counts call a failure, as a number: never looked at, but
                               evidence is of one of them only */
    /* The numbers above are compared as bytes: no padding among them. */
    bool is_strict; /* the absolute test ignores how the stable version does */
    enum judge_relative relative;
};

/* The defaults; static. */
extern const struct judge_config JUDGE_CONFIG_DEFAULT;
/* Judges 404s too, with `limit` above 0 and below 1: a fifth of the budget goes to them, and the
 * other tests keep their proportions. */
void judge_config_watch_not_found(struct judge_config *config, double limit);

/* Restart mass that `elapsed_ms` of wall time adds; 0 for a clock that stood or went back. */
double judge_config_mass(const struct judge_config *config, int64_t elapsed_ms);
/* The failure ratio of a stable version in trouble, for a limit below 1: twice the limit, or half
 * way from it to 1 where that is less. */
double judge_trouble_ratio(double limit);
bool judge_config_is_equal(const struct judge_config *a, const struct judge_config *b);

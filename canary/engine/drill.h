/* canary/engine/drill.h — a rollback rehearsed: what one would take now, tried on nobody.
 *
 * A drill has a judge and a rollout of its own, with the service's numbers, and a ledger that it
 * makes up: DRILL_RATE requests a second, DRILL_WEIGHT_PPM of them to a canary that fails every
 * one, the others to a stable version that fails none. All else is real: the clock, how long a
 * split takes to reach every worker (the owner publishes the one that is in force again), what the
 * platform says when it is only looked at, and, once the shift is over, the stable version itself,
 * its endpoints, its own URLs and its answers to others. A breach is always rolled back here,
 * whatever `on_breach` says. Nothing is quarantined, nothing drains.
 *
 * Embedded by its owner, about 50 KB; pure, the clock is an argument; one thread (control). */
#pragma once
#include "canary/engine/engine.h"

enum {
    DRILL_RATE = 100,          /* requests a second, both versions together */
    DRILL_WEIGHT_PPM = 100000, /* the canary's: 10 a second */
    DRILL_US_MAX = 300000000,  /* what is not over by then has failed */
};

enum drill_state {
    DRILL_RUNNING,
    DRILL_DONE,   /* all phases have their time */
    DRILL_FAILED, /* the note says why */
};

struct drill {
    struct engine engine;
    char id[RECORD_ID_SIZE];
    char actor[RECORD_ACTOR_SIZE];
    enum drill_state state;
    struct note failure;
    uint64_t began_us, looked_us;
    int64_t began_wall_us;
    double canary_count, stable_count;        /* of the ledger */
    uint64_t real_count, real_failed;         /* of the stable version, at the last look */
    uint64_t verified_count, verified_failed; /* ... and since the shift was over */
    bool has_asked_platform;
    bool is_platform_open; /* its answer is waited for */
};

struct drill_input {
    int64_t wall_us;
    uint32_t stable_live;                 /* endpoints */
    uint64_t stable_count, stable_failed; /* really, cumulative */
    uint64_t landed_revision;             /* of the newest split asked for that every worker has */
    uint64_t landed_us;                   /* since when */
    struct rollout_checked checked;       /* the stable version's own URLs; see rollout.h */
};

/* What the owner is to do after a tick. */
struct drill_wish {
    bool wants_publish; /* the split in force, once more; then say that `revision` has landed */
    uint64_t revision;
    bool wants_platform; /* look at the platform, or say at once that there is none; once */
};

/* The service's numbers; `id` and `actor` are copied. */
void drill_init(struct drill *drill, const struct engine_config *config, const char *id,
                const char *actor, uint64_t now_us, int64_t wall_us);
/* Does nothing once it is over. */
void drill_tick(struct drill *drill, const struct drill_input *input, uint64_t now_us,
                struct drill_wish *ret_wish);
/* The platform was looked at (ACKNOWLEDGED), needs no call (NOT_NEEDED), or would not have done it
 * (GIVEN_UP, and `why`): then the drill has failed. */
void drill_note_platform(struct drill *drill, enum record_platform platform, const char *why,
                         uint64_t now_us);

/* The record as it stands: trigger drill, status in_progress while it runs, then dry_run. The
 * reason says how it went, against a target of that many seconds. */
struct record drill_record(const struct drill *drill, double target_s);
/* The same of one that was dropped: no times, and why. */
struct record drill_record_dropped(const struct drill *drill, const char *why);
/* Is it done, and in time? */
bool drill_is_met(const struct drill *drill, double target_s);

/* canary/engine/engine.h — one service's judge, tripwire and rollout, turned together.
 *
 * What the controller owns per service. Each tick (100 ms): engine_tick with the counts, then carry
 * out the actions in order. A command of an operator in between: engine_command, the same. All of
 * it is pure; control thread. */
#pragma once
#include "canary/engine/judge.h"
#include "canary/engine/rollout.h"
#include "canary/engine/tripwire.h"
#include "metrics/reading.h"

struct engine_config {
    struct judge_config judge;
    bool is_latency_judged;
    struct rollout_config rollout;
};

/* The defaults of all parts. */
struct engine_config engine_config_default(void);

/* What the controller saw. */
struct engine_input {
    int64_t wall_us;
    struct judge_counts counts; /* with both histograms where they are kept; see engine_counts */
    struct tripwire_input endpoints; /* is_in_use is the engine's to say */
    bool is_canary_ready;            /* passed its health checks, where there are any */
    uint64_t
        canary_down_since_us; /* when the first of the failed health checks was; 0: not known */
    uint64_t landed_revision; /* of the newest weight that every worker has */
    uint64_t landed_us;       /* since when they have it; 0: not known, as of this tick */
    uint64_t canary_in_flight;
    struct rollout_checked checked; /* the stable version's own URLs */
    const char *record_id; /* an unused id, for the record of a rollback that may begin now */
};

/* The judge's ledgers of both versions as counts; borrows both for their histograms. */
struct judge_counts engine_counts(const struct version_reading *canary,
                                  const struct version_reading *stable);

/* How often the judge was told something; who judges beside it is told the same (see observe.h). */
struct engine_told {
    uint32_t rebased, started, stepped;
};

struct engine {
    struct engine_config config;
    struct judge judge;
    struct tripwire tripwire;
    struct rollout rollout;
    struct finding finding;    /* of the last tick, as shown: with what the rollout made of it */
    struct note sentence;      /* says it */
    struct rollout_input seen; /* of the last tick, for commands between ticks; borrows nothing */
    struct histogram stable_latency;
    struct engine_told told;
};

/* About 50 KB, embedded by its owner. A service seen for the first time. */
void engine_init(struct engine *engine, const struct engine_config *config, uint32_t weight_ppm,
                 bool is_quarantined);
/* A service that was journalled; see rollout_recover. */
void engine_recover(struct engine *engine, const struct engine_config *config,
                    const struct rollout_journal *journal, uint64_t now_us, int64_t wall_us);
/* A reload. Evidence starts anew only where the judge's own numbers changed. */
void engine_configure(struct engine *engine, const struct engine_config *config, uint64_t now_us);
/* What to write for ROLLOUT_WRITE. */
struct rollout_journal engine_journal(const struct engine *engine);

void engine_tick(struct engine *engine, const struct engine_input *input, uint64_t now_us,
                 struct rollout_actions *ret_actions);
/* See rollout_command for the errors. `record_id` as in engine_input. */
MUST_USE enum err engine_command(struct engine *engine, const struct rollout_command *command,
                                 const char *record_id, uint64_t now_us, int64_t wall_us,
                                 struct rollout_actions *ret_actions, struct note *note);

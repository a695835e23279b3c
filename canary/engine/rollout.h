/* canary/engine/rollout.h — where a service's canary stands, and what is to be done next.
 *
 * Pure: a step takes the state, what was seen and the time, changes the state and gives a list of
 * actions; nothing is done by itself. The owner carries the list out in its order.
 *
 *   idle -> progressing <-> paused      any but verifying and rolled_back -> shifting_back
 *             |  \-> frozen (on_breach; ends by resume, abort, rollback)       |
 *             v                                                               v
 *           baking -> succeeded        idle (after an abort) <- verifying -> rolled_back
 *                                                                  \-> rollback_failed (looks on)
 *
 * A rollout climbs its ladder: no weight before the canary is ready, each step until it is old
 * enough and proven good, at 100 % a bake that ends by time. What is not proven in time pauses.
 * With mirroring a ready canary first gets copies of requests, and weight when these speak for it;
 * a breach by them is one before any weight: there is nothing to shift, all else is the same.
 * Idle is an operator's fixed split; it may be paused too. Another deployment: idle, from any
 * phase.
 *
 * A breach starts the shift back: the weight falls by plan while both versions are watched; at once
 * when severe or when the trouble persists; a step waits while stable suffers; nothing is shifted
 * to a stable version without a live endpoint. After a breach the weight never rises by itself.
 * Order on disk: towards safety act, then write; towards risk write, then act. Embedded in the
 * engine; one thread (control). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "canary/engine/judge.h"
#include "canary/engine/ladder.h"
#include "canary/engine/plan.h"
#include "canary/engine/record.h"
#include "canary/engine/tripwire.h"
#include "canary/engine/watch.h"
#include "proxy/base/err.h"

enum rollout_phase {
    ROLLOUT_IDLE,        /* an operator's fixed split, judged all the same */
    ROLLOUT_PROGRESSING, /* step by step; on step 0 it waits for health checks */
    ROLLOUT_PAUSED,
    ROLLOUT_BAKING,    /* all traffic, the previous version ready */
    ROLLOUT_SUCCEEDED, /* all traffic, until the next start */
    ROLLOUT_FROZEN,
    ROLLOUT_SHIFTING_BACK,
    ROLLOUT_VERIFYING,
    ROLLOUT_ROLLED_BACK,
    ROLLOUT_ROLLBACK_FAILED,
    ROLLOUT_PHASE_COUNT
};

enum rollout_on_breach { ROLLOUT_ROLLBACK, ROLLOUT_FREEZE, ROLLOUT_ALERT };

/* As API, metrics and the journal write them; static. */
const char *rollout_phase_name(enum rollout_phase phase);
bool rollout_phase_find(const char *name, enum rollout_phase *ret_phase);

struct rollout_config {
    enum rollout_on_breach on_breach;
    struct plan shift;
    uint64_t max_wait_us;     /* steps wait this long in all for a suffering stable version */
    double limit;             /* failure ratio: the judge's absolute limit */
    double instant_above;     /* failure ratio of the excursion from which there are no steps */
    uint32_t verify_looks;    /* good looks in a row that confirm a rollback */
    uint64_t verify_every_us; /* between two looks */
    uint64_t verify_us_max;   /* without confirmation it has failed */
    bool verify_asks;         /* a look needs the answers of the stable version's own URLs */
    struct ladder ladder;     /* of the next start; a rollout that runs keeps its own */
    uint32_t mirror_ppm;      /* of safe requests: copied to the canary before its first weight */
    uint64_t min_time_us;     /* of each step, and of mirroring */
    uint64_t max_time_us;     /* of each step, then it pauses */
    uint64_t bake_us;
    uint64_t health_us_max;     /* for the first weight, then it pauses */
    bool rolls_back_after_bake; /* a breach in succeeded: not only an alert */
};

/* The defaults; static. */
extern const struct rollout_config ROLLOUT_CONFIG_DEFAULT;

/* What the stable version's own URLs answered when they were asked. */
struct rollout_checked {
    uint64_t round; /* the last that is over; see rollout_asked_round; 0: none */
    bool is_good;   /* every answer was */
    struct note trouble;
};

/* What was seen in this look. Totals never go backwards (the judge's tally). */
struct rollout_input {
    int64_t wall_us;
    struct finding finding;
    bool is_promotable;   /* proven good since the weight last changed */
    bool is_mirror_good;  /* enough answers at this weight, and nothing against the canary */
    bool is_canary_ready; /* passed its health checks, where there are any */
    bool is_canary_down;  /* the tripwire's */
    uint64_t
        canary_down_since_us; /* first of the failed checks behind breach(health); 0: not known */
    struct judge_excursion excursion; /* of finding.reason */
    struct judge_result evidence;
    struct note sentence; /* says the finding */
    struct judge_tally tally;
    const struct histogram *stable_latency; /* cumulative, or NULL; borrowed during the call */
    uint32_t stable_live;                   /* endpoints */
    uint64_t landed_revision;               /* newest weight that every worker has */
    uint64_t landed_us;                     /* since when; 0: not known, as of this look */
    uint64_t canary_in_flight;
    struct rollout_checked checked;
    const char *record_id; /* for a record that this call may open; borrowed during the call */
};

enum rollout_command_kind {
    ROLLOUT_SET_WEIGHT,
    ROLLOUT_ROLL_BACK,
    ROLLOUT_ABORT, /* shift back without quarantine, then idle */
    ROLLOUT_START, /* climb the ladder from here */
    ROLLOUT_PAUSE,
    ROLLOUT_RESUME,  /* from paused or frozen */
    ROLLOUT_PROMOTE, /* the next step at once, without evidence; in baking: succeeded */
    ROLLOUT_RELEASE, /* end the quarantine of the current deployment */
    ROLLOUT_DEPLOY   /* the service has another canary (or stable version) now */
};

/* What an operator, or the configuration, wants. */
struct rollout_command {
    enum rollout_command_kind kind;
    uint32_t weight_ppm; /* SET_WEIGHT, DEPLOY */
    uint32_t held_ppm;   /* DEPLOY: the weight that workers give the canary already; 0: a new one */
    bool is_instant;     /* ROLL_BACK, ABORT: not in steps */
    bool is_dry_run;     /* ROLL_BACK: only the record of what would be done */
    bool is_build;       /* ROLL_BACK: because a build failed */
    bool is_full;        /* PROMOTE: past all steps, to the bake */
    bool is_quarantined; /* DEPLOY: the new canary is */
    bool is_undo;        /* SET_WEIGHT: back, because the raise could not be written down, to: */
    enum rollout_phase phase;
    const struct ladder *ladder; /* START: its steps; NULL: those of the configuration; borrowed */
    const char *actor;           /* borrowed during the call */
    const char *reason; /* ROLL_BACK, RELEASE; for the others it may be NULL; borrowed too */
};

/* What the owner carries out, in this order. */
enum rollout_action_kind {
    ROLLOUT_PUBLISH, /* split by weight_ppm from now on; report `revision` as landed when all
                        workers have it */
    ROLLOUT_WRITE, /* phase, weight and revision to disk; with is_barrier wait until they are there
                      before the rest of THIS list (lists of later calls do not wait: the rest of a
                      list whose PUBLISH was overtaken by one with a higher revision is left out,
                      also by one that still waits) */
    ROLLOUT_AWAIT, /* the rest of this list waits for the list whose PUBLISH has `revision` and that
                      itself waits for its write: it fares as that one does */
    ROLLOUT_WRITE_RECORD, /* insert or update `record` of the list */
    ROLLOUT_QUARANTINE,   /* the current deployment; the text says why */
    ROLLOUT_UNQUARANTINE,
    ROLLOUT_TELL,       /* one event: log, audit trail, event stream */
    ROLLOUT_RAISE_ALERT /* the same to the alert channels */
};

enum rollout_level { ROLLOUT_INFO, ROLLOUT_WARN, ROLLOUT_ERROR };

struct rollout_action {
    enum rollout_action_kind kind;
    uint32_t weight_ppm;      /* PUBLISH */
    uint64_t revision;        /* PUBLISH, WRITE, AWAIT */
    bool is_barrier;          /* WRITE */
    enum rollout_level level; /* TELL */
    bool is_notice;           /* TELL: worth telling people who do not watch, though nothing is
                                 wrong */
    const char *event;        /* TELL, RAISE_ALERT: "weight.set", "rollback.start"; static */
    char actor[RECORD_ACTOR_SIZE];
    struct note text;
};

enum { ROLLOUT_ACTIONS_MAX = 16 };

struct rollout_actions {
    struct rollout_action list[ROLLOUT_ACTIONS_MAX];
    size_t count;
    enum rollout_phase phase_before; /* of the call that made the list */
    struct record record;            /* what WRITE_RECORD writes */
    bool is_judge_started;           /* the engine has the judge begin anew */
    bool is_judge_rebased;           /* ... on counters of other objects */
    bool is_judge_stepped;           /* ... told that the weight changed */
};

enum { ROLLOUT_STEP_TEXT_SIZE = 96 };

/* The pause that the ladder may have behind the present step. */
enum rollout_gate {
    ROLLOUT_GATE_CLOSED,
    ROLLOUT_GATE_REACHED, /* paused there */
    ROLLOUT_GATE_OPEN,    /* resumed: goes on when the step is proven */
    ROLLOUT_GATE_COUNT
};

/* Evidence that was lost is told with the next tick. */
enum rollout_untold { ROLLOUT_UNTOLD_NOTHING, ROLLOUT_UNTOLD_RESTART, ROLLOUT_UNTOLD_RELOAD };

/* The way up. */
struct rollout_ascent {
    bool is_running; /* from start to success, abort or shift back; paused and frozen too */
    struct ladder ladder;
    uint32_t step;     /* from 1; 0: no weight yet */
    bool is_mirroring; /* on step 0: the canary was ready and gets copies */
    enum rollout_gate gate;
    enum rollout_untold untold;
    uint64_t stepped_us; /* min_time, mirroring and bake count from here, */
    uint64_t waiting_us; /* max_time from here, */
    uint64_t waited_us;  /* with what passed before a restart */
    int64_t waiting_wall_us;
};

/* The shift back as it goes. */
struct rollout_shift {
    struct plan plan; /* as it was when the shift began */
    uint32_t start_ppm;
    size_t next_step;
    bool has_stepped;
    bool is_at_once; /* severe, by wish, or the trouble persists: no more steps, no waiting */
    bool is_forced;  /* by hand and instant: even to a stable version without a live endpoint */
    bool is_waiting; /* since: */
    uint64_t wait_began_us;
    uint64_t stepped_us;
    uint64_t waited_us; /* by earlier steps */
    struct judge_tally stepped_tally;
    struct watch_mark stepped_stable;
    struct watch_view before; /* stable in the minute before the breach */
};

struct rollout_verification {
    uint64_t began_us, looked_us;
    uint32_t good_looks;
    double count, failed; /* of stable, at the last look */
    uint64_t round;       /* of questions: the last one begun, over all verifications */
    bool is_asking;       /* its answers are waited for */
    struct note trouble;  /* of the last look; empty when it was good, or there was none */
};

struct rollout {
    struct rollout_config config;
    enum rollout_phase phase;
    uint32_t weight_ppm;      /* in effect, steps of a shift included */
    uint64_t revision;        /* of phase and weight: grows with each change, an ETag */
    uint64_t weight_revision; /* of the last PUBLISH */
    uint64_t raise_revision;  /* of a raise that no worker has yet; 0: none, else */
    uint32_t raised_from_ppm; /* ... the workers still have this weight */
    bool is_quarantined;
    bool is_breach_alerted; /* once until the next start */
    bool is_outage_held;    /* a breach without a live stable endpoint: nothing is shifted */
    bool has_outage;        /* suspicious(shared_outage) was seen, last: */
    uint64_t outage_us;
    bool has_breach; /* since: */
    uint64_t breach_us;
    bool has_record;
    struct record record; /* the last rollback, also when it is done */
    int64_t first_bad_us; /* on the monotonic clock; may lie before its zero after a restart */
    double base_failed, base_client_bad, last_client_bad;
    struct rollout_ascent ascent;
    struct rollout_shift shift;
    struct rollout_verification verification;
    struct watch watch;
};

/* A service seen for the first time, idle at `weight_ppm` (0 where the deployment is quarantined).
 */
void rollout_init(struct rollout *rollout, const struct rollout_config *config, uint32_t weight_ppm,
                  bool is_quarantined);

/* What was written by ROLLOUT_WRITE and ROLLOUT_WRITE_RECORD. */
struct rollout_journal {
    enum rollout_phase phase;
    uint32_t weight_ppm;
    uint64_t revision;
    bool is_quarantined;
    bool has_record; /* one that is in progress, or of rollback_failed */
    struct record record;
    bool is_ascending; /* a rollout runs, with: */
    struct ladder ladder;
    uint32_t step;
    enum rollout_gate gate;
    int64_t waiting_wall_us; /* max_time counts from here */
};
/* After a restart. A rollback on record goes on from weight 0, to be in effect before the first
 * request; everything else stands where it was last written and is judged anew: a rollout keeps its
 * step and the time towards max_time, min_time and bake begin again. Publish
 * rollout->weight_ppm as rollout->weight_revision. */
void rollout_recover(struct rollout *rollout, const struct rollout_config *config,
                     const struct rollout_journal *journal, uint64_t now_us, int64_t wall_us);

/* The owner has carried out a PUBLISH of that revision. Until then a raise that waits for its write
 * is none: whatever comes meanwhile goes by the weight that the workers have. */
void rollout_note_published(struct rollout *rollout, uint64_t revision);

/* Is the canary to get copies of requests now? Changes with a PUBLISH only. */
bool rollout_is_mirroring(const struct rollout *rollout);

/* Other numbers from now on; a shift or a rollout that runs goes on with the steps it began with.
 */
void rollout_configure(struct rollout *rollout, const struct rollout_config *config);
/* The judge begins anew by itself: to be told. */
void rollout_lose_evidence(struct rollout *rollout);

/* Did both versions fail together within the last minutes, or is a breach held because stable has
 * no live endpoint? */
bool rollout_has_outage(const struct rollout *rollout, uint64_t now_us);

/* What the platform was told of that rollback; the list is empty when the record is another one
 * now. An acknowledgement is stamped. */
void rollout_note_platform(struct rollout *rollout, const char *record_id,
                           enum record_platform platform, uint64_t now_us,
                           struct rollout_actions *ret_actions);

/* The round of questions to the stable version's own URLs that is waited for; 0: none. The owner
 * reports its end in `checked`. */
uint64_t rollout_asked_round(const struct rollout *rollout);
/* Is it being confirmed that the stable version serves well? Also when that has failed so far. */
bool rollout_is_verifying(const struct rollout *rollout);

/* One tick. */
void rollout_step(struct rollout *rollout, const struct rollout_input *input, uint64_t now_us,
                  struct rollout_actions *ret_actions);
/* May a rollout begin now, whatever the deployment? ERR_STATE, and the note says why not. Pure. */
MUST_USE enum err rollout_check_start(const struct rollout *rollout, struct note *note);
/* ERR_RANGE: weight above 100 %. ERR_STATE: not in this phase. ERR_DENIED: the deployment is
 * quarantined. ERR_NOT_FOUND: nothing to release. On failure nothing changed, the list is empty and
 * `note` says why. */
MUST_USE enum err rollout_command(struct rollout *rollout, const struct rollout_command *command,
                                  const struct rollout_input *input, uint64_t now_us,
                                  struct rollout_actions *ret_actions, struct note *note);

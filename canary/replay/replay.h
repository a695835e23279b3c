/* canary/replay/replay.h — policies judged on what was recorded, and what really happened.
 *
 * Each row is one look of every policy's judge, with the recorded marks told at their moments. The
 * recording falls into runs: from one start of the judge to the next. Within a run a policy either
 * would have acted, at a row, after so many bad answers; or it would not. What comes after that row
 * is what happened with the traffic that really was, so nothing after it is counted for that
 * policy, but for an estimate of what the shift back itself costs at the rate of the excursion.
 * Heap; pure; one thread. */
#pragma once
#include "canary/engine/observe.h"
#include "canary/engine/recording.h"

enum { REPLAY_POLICIES_MAX = 64, REPLAY_RUNS_MAX = 256 };

/* What a policy would have done in a run. */
struct replay_outcome {
    bool has_breached;
    struct observe_breach breach; /* at_ms is the recording's */
    bool is_late;                 /* ... after the traffic really had begun to go back */
    double shift_failed;          /* estimate: what fails during the policy's own shift */
    double shift_client_bad;      /* ... and is seen by clients */
    enum judge_verdict verdict; /* without a breach: when the traffic went back, else at the end */
    enum judge_reason reason;
    struct note sentence;
};

/* A moment of what really happened, with the canary's counts in the run until then. */
struct replay_moment {
    bool is_there;
    uint64_t at_ms;
    int64_t wall_ms;
    uint64_t count, failed, client_bad;
};

struct replay_run {
    uint64_t from_ms, to_ms;
    int64_t from_wall_ms, to_wall_ms;
    uint64_t row_count;
    char current[RECORDING_NAME_MAX + 1];
    char previous[RECORDING_NAME_MAX + 1];
    uint32_t weight_max_ppm;
    uint64_t count, failed, client_bad; /* of the canary, all of the run */
    uint64_t stable_count, stable_failed;
    struct replay_moment breach; /* the acting policy's, or the health checks' */
    enum judge_reason breach_reason;
    struct replay_moment shift;      /* the traffic began to go back */
    struct replay_moment zero;       /* the weight was 0 again */
    enum rollout_phase phase;        /* of the last row */
    struct replay_outcome *outcomes; /* owned; one for each policy */
};

struct replay;

/* Copies the policies. `shift_s`: seconds of full traffic that a shift back by steps is worth.
 * ERR_NOMEM. */
MUST_USE enum err replay_create(const struct observe_policy *policies, size_t policy_count,
                                double shift_s, struct replay **ret_replay);
void replay_destroy(struct replay *replay); /* NULL is fine */
/* The versions when the first row begins; before any row. */
void replay_name(struct replay *replay, const char *current, const char *previous);
/* The next row. ERR_LIMIT: more than REPLAY_RUNS_MAX runs; ERR_NOMEM. */
MUST_USE enum err replay_feed(struct replay *replay, const struct recording_row *row);
/* After the last row: the run that is open ends. ERR_LIMIT, ERR_NOMEM. */
MUST_USE enum err replay_end(struct replay *replay);

/* Runs in which the canary had traffic or weight, oldest first; if there was none, none. */
size_t replay_run_count(const struct replay *replay);
const struct replay_run *replay_run_at(const struct replay *replay, size_t index);
size_t replay_policy_count(const struct replay *replay);
const struct observe_policy *replay_policy_at(const struct replay *replay, size_t index);
/* What a shift by these steps is worth: each but the last holds for `every_s`. */
double replay_shift_s(const uint32_t *shift_ppm, size_t shift_count, double every_s);

/* canary/controller/drills.h — what a steward keeps of its drills.
 *
 * Embedded in the steward; the functions on it that need the whole controller stand in
 * controller_state.h. Control only. */
#pragma once
#include "canary/controller/checks.h"
#include "canary/engine/drill.h"
#include "canary/history/keys.h"
#include "conf/conf.h"

/* One that runs. */
struct drill_run {
    struct drill drill;
    struct checks checks;
    double target_s;
    char deployment[CONF_DEPLOYMENT_MAX + 1]; /* the versions that it is about */
    char target[CONF_DEPLOYMENT_MAX + 1];
    uint64_t service_revision; /* the service's: a change drops the drill */
    uint64_t asked_revision;   /* the split that the drill wants everywhere, */
    uint64_t asked_snapshot;   /* ... the first snapshot that is it; 0: none was asked for */
    uint64_t landed_revision, landed_us;
    bool has_key; /* an Idempotency-Key, written with the record: */
    char key[KEY_SIZE_MAX];
    char fingerprint[KEY_SIZE_MAX];
    int64_t key_at_us;
};

/* How the last one went. */
struct drill_result {
    struct record record;
    double target_s;
    bool is_met;
    bool is_dropped;
    char deployment[CONF_DEPLOYMENT_MAX + 1];
    char target[CONF_DEPLOYMENT_MAX + 1];
};

struct drills {
    struct drill_run *run; /* owned; NULL: none runs */
    bool has_last;
    struct drill_result last;
    bool has_judged;   /* one ran to its end in this process, last: */
    bool is_failed;    /* ... without times */
    double duration_s; /* NAN where it failed */
    double judged_target_s;
    int64_t judged_wall_us;
    uint64_t every_us, at_us; /* the schedule that `slot` is of */
    int64_t slot;
};

void drills_finish(struct drills *drills);
/* Every worker has the snapshot of that number. */
void drills_note_landed(struct drills *drills, uint64_t snapshot_number, uint64_t now_us);
/* Was the last one that ran to its end too slow for `target_s`, or did it fail? */
bool drills_is_missed(const struct drills *drills, double target_s);

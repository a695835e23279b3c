/* canary/engine/record.h — what is remembered of one rollback.
 *
 * Each phase's value is the seconds from the first bad response (the first failure of the canary's
 * excursion; for a rollback by hand the arrival of the request) to that phase's end, NAN while it
 * has not happened; the duration is the latest of them. Plain value, owns nothing; what the judge
 * knew stands in `evidence`. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "canary/engine/judge.h"
#include "proxy/base/err.h"

enum record_trigger {
    RECORD_ERROR_RATE,
    RECORD_LATENCY,
    RECORD_CONNECT,
    RECORD_HEALTH,
    RECORD_MANUAL,
    RECORD_BUILD, /* somebody said that its build failed */
    RECORD_DRILL, /* a rehearsal; see drill.h */
    RECORD_TRIGGER_COUNT
};

enum record_status {
    RECORD_IN_PROGRESS,
    RECORD_SUCCESS,
    RECORD_FAILED,
    RECORD_SUPERSEDED, /* another deployment came before it was done */
    RECORD_DRY_RUN,
    RECORD_STATUS_COUNT
};

enum record_mode { RECORD_GRADUAL, RECORD_INSTANT, RECORD_MODE_COUNT };

/* In the order in which they end. */
enum record_phase {
    RECORD_DETECT,
    RECORD_DECIDE,
    RECORD_SHIFT, /* weight 0 holds in every worker */
    RECORD_DRAIN, /* the last request on the canary ended */
    RECORD_PLATFORM_ACK,
    RECORD_VERIFY,
    RECORD_PHASE_COUNT
};

/* What the hosting platform was told of it. */
enum record_platform {
    RECORD_PLATFORM_NONE, /* nobody is to be told, or it is too early */
    RECORD_PLATFORM_PENDING,
    RECORD_PLATFORM_ACKNOWLEDGED,
    RECORD_PLATFORM_NOT_NEEDED, /* the canary is not what is live there */
    RECORD_PLATFORM_GIVEN_UP,
    RECORD_PLATFORM_COUNT
};

enum { RECORD_ID_SIZE = 48, RECORD_ACTOR_SIZE = 80 };

struct record {
    char id[RECORD_ID_SIZE]; /* the owner's name for it */
    int64_t decided_wall_us;
    int64_t first_bad_wall_us;
    enum record_trigger trigger;
    enum judge_reason reason; /* reason_code */
    enum record_mode mode;    /* instant: not in steps, by wish or because it was severe */
    enum record_status status;
    enum record_platform platform;
    bool is_quarantining; /* false: an abort */
    char actor[RECORD_ACTOR_SIZE];
    struct note reason_text;
    uint32_t weight_ppm; /* at the breach */
    double phase_s[RECORD_PHASE_COUNT];
    double duration_s;        /* NAN before the first phase ended */
    double last_client_bad_s; /* the last bad response that a client saw; NAN: none */
    uint64_t bad_origin;      /* failures of the canary since the first */
    uint64_t bad_client;      /* ... that clients saw */
    bool has_evidence;        /* false: by hand, or by a tripwire before the judge had looked */
    struct judge_result evidence;
    struct judge_tally counts; /* of the excursion, when it was decided */
};

/* As API, metrics and tables of the history write them; static. */
const char *record_trigger_name(enum record_trigger trigger);
const char *record_status_name(enum record_status status);
const char *record_mode_name(enum record_mode mode);
const char *record_phase_name(enum record_phase phase);          /* "platform_ack" */
const char *record_platform_name(enum record_platform platform); /* "not_needed" */
bool record_platform_find(const char *name, enum record_platform *ret_platform);
bool record_trigger_find(const char *name, enum record_trigger *ret_trigger);
bool record_status_find(const char *name, enum record_status *ret_status);
bool record_mode_find(const char *name, enum record_mode *ret_mode);

/* Nothing happened yet: all times NAN. */
void record_init(struct record *record);
/* The phase ended now; only the first time counts. */
void record_stamp(struct record *record, enum record_phase phase, double elapsed_s);
enum record_trigger record_trigger_of(enum judge_reason reason);

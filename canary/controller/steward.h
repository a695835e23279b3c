/* canary/controller/steward.h — one service's control: what it consists of, its engine, and what it
 * did lately.
 *
 * The controller has one steward per configured service. A steward knows the objects of both
 * versions (shared with the snapshots), feeds its engine with their counts each tick, and remembers
 * what the workers have been told. Control only. */
#pragma once
#include <jansson.h>

#include "canary/controller/checks.h"
#include "canary/controller/drills.h"
#include "canary/controller/lineup.h"
#include "canary/controller/recorder.h"
#include "canary/controller/registry.h"
#include "canary/engine/engine.h"
#include "canary/engine/observe.h"
#include "canary/engine/strain.h"
#include "canary/incident/incident.h"
#include "conf/conf.h"
#include "metrics/reading.h"
#include "proxy/snapshot/snapshot.h"
#include "proxy/upstream/address_book.h"

enum { STEWARD_SECONDS = 10, STEWARD_RECENT_MAX = 8 };

struct steward_endpoint {
    struct endpoint *endpoint;        /* shared: a reference */
    const struct conf_endpoint *conf; /* borrowed from the lineup */
    bool has_address;
};

struct steward_version {
    struct version *version;            /* shared: a reference; NULL: none */
    struct steward_endpoint *endpoints; /* owned */
    size_t endpoint_count;
    struct version_reading reading; /* of the last tick */
};

/* A lineup with the objects of its versions: what a steward consists of, or is to adopt. */
struct steward_cast {
    struct lineup lineup; /* owned */
    struct steward_version versions[ROLE_COUNT];
};

/* Times of finished rollbacks, for histograms. */
struct steward_rollbacks {
    uint64_t counts[RECORD_TRIGGER_COUNT][RECORD_STATUS_COUNT];
    struct histogram durations;
    struct histogram phases[RECORD_PHASE_COUNT];
    int64_t last_wall_us; /* 0: none */
};

/* The rollback that the latest records are about; its versions may be others than now. */
struct steward_recorded {
    char id[RECORD_ID_SIZE];
    char deployment[CONF_DEPLOYMENT_MAX + 1];
    char target[CONF_DEPLOYMENT_MAX + 1];
    unsigned counted_statuses; /* bits: with which it was counted */
    unsigned counted_phases;   /* bits: whose times are in the histograms */
};

/* Do workers hold the canary back, as far as log and events know? */
struct steward_hold {
    bool is_on;
    uint64_t since_us;
    uint64_t begun_count; /* times that a worker began to, so far */
};

/* A failed build that has a record: another observer of the same one gets no second. */
struct build_seen {
    uint64_t at_us;                     /* 0: none */
    char name[CONF_DEPLOYMENT_MAX + 1]; /* of the deployment */
    char actor[RECORD_ACTOR_SIZE];
    char id[RECORD_ID_SIZE];
    json_t *record; /* owned; NULL: a rollback's, which the engine has */
};

struct steward {
    struct service *service;         /* shared: a reference */
    const struct conf_service *conf; /* borrowed from the base */
    struct lineup lineup;            /* owned: what it consists of */
    struct steward_version versions[ROLE_COUNT];
    uint64_t rollout; /* salt of the stickiness */
    struct engine engine;
    struct observe observe;        /* policies that look on */
    struct engine_told told;       /* what of the engine's they were told */
    struct recorder *recorder;     /* owned; NULL: off */
    struct strain strain;          /* of the stable version */
    uint32_t published_ppm;        /* what workers are to have */
    uint64_t published_revision;   /* the engine's number of it */
    uint64_t carried_revision;     /* the newest that a snapshot carries */
    uint64_t carried_snapshot;     /* the first snapshot that does */
    bool is_begun;                 /* a record of before has given it its engine */
    bool carried_quarantine;       /* as the newest snapshot says */
    uint64_t landed_revision;      /* the newest that every worker has */
    uint64_t landed_us;            /* since when; 0: never */
    bool is_canary_ready;          /* passed its health checks, where there are any */
    uint64_t canary_down_since_us; /* the first failed check of those that took all endpoints out;
                                      0: none */
    uint64_t picks[STEWARD_SECONDS + 1][ROLE_COUNT]; /* once a second, a ring */
    size_t second;
    enum judge_verdict shown_verdict; /* last told to the event stream */
    struct finding told_finding;      /* last told to log and audit trail, */
    uint64_t told_finding_us;         /* ... then; 0: never */
    uint64_t build_failed_us;         /* the last failed build that rolled nothing back; 0: none */
    struct build_seen build_seen;     /* the last one of all */
    struct steward_hold hold;         /* containment, as it was last told */
    enum rollout_phase kept_phase;    /* the last that kept answers followed */
    uint64_t kept_realms[ROLE_COUNT]; /* and under which they were kept then */
    struct kept_purge *purges;        /* controller's, under way; the oldest first */
    struct steward_rollbacks rollbacks;
    struct steward_recorded recorded;
    struct checks checks; /* of the stable version, to confirm a rollback */
    struct drills drills;
    struct witness *witness; /* owned; NULL: there are no incident reports */
    uint64_t lost_before;    /* failures that rings had lost when the present incident began */
    bool has_written;        /* a record, last: */
    struct record written;
};

/* Finds or makes the service's objects. On failure the steward is left without versions. ERR_NOMEM.
 */
MUST_USE enum err steward_create(struct registry *registry, const struct conf_service *conf,
                                 struct steward **ret_steward);
void steward_destroy(struct steward *steward); /* NULL is fine */
/* The objects of a lineup of the service. Takes the lineup, also on failure. ERR_NOMEM. Gives the
 * cast to the caller, who has a steward adopt it or lets it go. */
MUST_USE enum err steward_prepare(struct registry *registry, const struct conf_service *conf,
                                  struct lineup *lineup, struct steward_cast *ret_cast);
void steward_release(struct steward_cast *cast);
/* Points the steward at that configuration and cast. Takes the cast. */
void steward_adopt(struct steward *steward, const struct conf_service *conf,
                   struct steward_cast *cast);
/* The picks of before were of other versions: the realised share begins anew. */
void steward_forget_picks(struct steward *steward);
/* The engine's numbers as the configuration has them. */
struct engine_config steward_engine_config(const struct conf_service *conf);

/* The policies that its configuration observes. ERR_NOMEM: they stay as they were. */
MUST_USE enum err steward_observe(struct steward *steward);
/* Keeps a flight recording of it from now on, with other bounds, or no longer. ERR_NOMEM: as it
 * was. */
MUST_USE enum err steward_record(struct steward *steward, const struct conf_recorder *conf);
/* What the last tick saw, for the recording. */
void steward_record_look(struct steward *steward, uint64_t now_us, int64_t wall_us);
/* What the engine's judge was told since the last time, they and the recorder are told too. */
void steward_tell_observers(struct steward *steward, uint64_t now_us);
/* The steps of a rollout as the engine climbs them; sound, as conf has found them. */
struct ladder steward_ladder(const uint32_t *steps_ppm, size_t step_count);

bool steward_has_canary(const struct steward *steward);
/* The deployment's name, or NULL. */
const char *steward_deployment(const struct steward *steward, enum role role);
/* "canary v3 (http://10.0.0.3), stable v2 (http://10.0.0.2)", for people. */
void steward_say_versions(const struct steward *steward, struct note *ret_note);

/* A record is about to be written: the first time its versions are those of now. */
void steward_note_record(struct steward *steward, const struct record *record);
/* A snapshot carries the steward's split from now on, and later every worker has it. */
void steward_note_carried(struct steward *steward, uint64_t snapshot_number);
void steward_note_landed(struct steward *steward, uint64_t snapshot_number, uint64_t now_us);

/* The book has learnt something. */
void steward_note_addresses(struct steward *steward, const struct address_book *book);
/* Reads the ledgers and asks the engine. */
void steward_tick(struct steward *steward, const char *record_id, uint64_t now_us, int64_t wall_us,
                  struct rollout_actions *ret_actions);
/* Once a second: notes the picks. */
void steward_note_second(struct steward *steward);
/* The canary's share of the requests that weight decided in the last ten seconds, 0 to 1; NAN
 * without any. */
double steward_realised(const struct steward *steward);
/* How many endpoints of the role are live, and how many there are. */
unsigned steward_live_count(const struct steward *steward, enum role role);
/* ... and how many could be shifted to: ejected ones come back by themselves. */
unsigned steward_reachable_count(const struct steward *steward, enum role role);
/* How many workers hold the canary at a trickle. */
unsigned steward_contained_count(const struct steward *steward);
/* How often a worker began to. */
uint64_t steward_containments(const struct steward *steward);
uint64_t steward_in_flight(const struct steward *steward, enum role role);

/* What connections to that version begin with, as the configuration says of its deployment. */
enum proxy_protocol steward_proxy_protocol(const struct steward *steward, enum role role);
/* Fills the plan for the next snapshot; `targets` has room for the endpoints of both versions.
 * Borrows from the steward and the book. */
void steward_plan(const struct steward *steward, const struct address_book *book,
                  struct snapshot_endpoint_plan *targets, struct snapshot_service_plan *ret_plan);

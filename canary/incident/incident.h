/* canary/incident/incident.h — what control gathers about one rollback while it happens.
 *
 * A witness stands beside each service all the time: it remembers the last failures of the canary,
 * the last of them in full, and the last moments worth a line. When a rollback begins, an incident
 * takes over what the witness has seen since the canary's first failure, and everything that comes
 * later. Nothing here touches a disk; what is to be written is copied out as an `incident_work`
 * (canary/incident/report.h makes files of it). All is bounded. Control, but for works, which
 * belong to whoever has them. */
#pragma once
#include <stdbool.h>

#include "canary/incident/tally.h"
#include "metrics/failure_ring.h"
#include "proxy/base/buf.h"
#include "proxy/base/err.h"

enum {
    INCIDENT_ID_SIZE = 64,
    INCIDENT_SERVICE_SIZE = 128,
    INCIDENT_MOMENTS_MAX = 96,
    INCIDENT_RECENT_MAX = 4096,    /* failures that a witness remembers */
    INCIDENT_LINE_MAX = 16 * 1024, /* of a failure as JSON */
    INCIDENT_REQUESTS_MAX = 8 * 1024 * 1024,
    INCIDENT_ACCESS_MAX = 512 * 1024,
    INCIDENT_BUILD_LOG_MAX = 256 * 1024,
    INCIDENT_REPORT_MAX = 16 * 1024 * 1024, /* of report.json */
};

/* A line of the time line. */
struct incident_moment {
    int64_t wall_us;
    char event[40];
    char text[NOTE_TEXT_MAX];
};

struct incident_moments {
    struct incident_moment list[INCIDENT_MOMENTS_MAX];
    size_t count;
};

struct witness;
struct incident;

/* `describe_max`: failures kept in full. ERR_NOMEM. */
MUST_USE enum err witness_create(size_t describe_max, struct witness **ret_witness);
void witness_destroy(struct witness *witness); /* NULL is fine */
/* How many failures it keeps in full. */
size_t witness_describe_max(const struct witness *witness);
/* Something happened that a report should tell. The present incident's does if it is not over, or
 * has just ended; what the platform says ("platform.*") belongs to it later too. */
void witness_note(struct witness *witness, int64_t wall_us, const char *event, const char *text);
/* Takes at most `max` failures out of a worker's ring; `wall_us` is the time of the tick, by which
 * the engine dates what it counted. All are counted; `lines_left` says how many may be described,
 * and is counted down. Without memory they stay in the ring. */
void witness_take(struct witness *witness, struct failure_ring *ring, size_t max, int64_t wall_us,
                  size_t *lines_left);
/* The present incident; NULL: none. */
struct incident *witness_incident(struct witness *witness);
/* A rollback begins, whose first failure was then; ends the incident before. ERR_NOMEM. */
MUST_USE enum err witness_begin(struct witness *witness, const char *id, const char *service,
                                int64_t first_bad_wall_us);

const char *incident_id(const struct incident *incident);
int64_t incident_first_bad_us(const struct incident *incident);
/* Its end is to be told: true the first time. */
bool incident_tell_once(struct incident *incident);
/* Is nothing more to come? */
bool incident_is_complete(const struct incident *incident);
/* The rollback's record as JSON (copied), how far it is ("breach", "weight_zero", "complete";
 * static), and when it ended (0: it goes on). */
void incident_set_record(struct incident *incident, const char *json, const char *stage,
                         int64_t ended_wall_us);
/* The process began after the rollback did: what was gathered before is on the disk at best. */
void incident_set_resumed(struct incident *incident, int64_t started_wall_us);
/* The log of the build that made the deployment, as the platform has it; beyond
 * INCIDENT_BUILD_LOG_MAX its end counts, since that says why a build failed. */
void incident_add_build_log(struct incident *incident, struct bytes text);
/* Has it anything that was not yet copied out? */
bool incident_is_dirty(const struct incident *incident);
void incident_set_dirty(struct incident *incident);
/* Failures that did not get through the workers' rings since it began. */
void incident_set_lost(struct incident *incident, uint64_t lost);
/* Lines of the access log (canary/incident/access_lines.h) that a work brought back. */
void incident_add_access(struct incident *incident, struct bytes lines, uint64_t position);

/* What is to be written; owns all of it. */
struct incident_work {
    char id[INCIDENT_ID_SIZE];
    char service[INCIDENT_SERVICE_SIZE];
    const char *stage; /* static */
    bool is_complete;
    bool has_forgotten;      /* failures before the decision were more than are remembered */
    int64_t resumed_wall_us; /* 0: it was gathered from the beginning */
    int64_t written_wall_us;
    int64_t first_bad_wall_us;
    char *record;        /* JSON, or NULL */
    struct tally *tally; /* or NULL */
    struct incident_moments *moments;
    struct buf requests;   /* lines of JSON */
    uint64_t described;    /* how many */
    uint64_t lost;         /* failures that did not get through the rings */
    struct buf access;     /* lines of the access log so far */
    uint64_t access_after; /* where it stands in the log; the work moves it on */
    struct buf access_new; /* what the work found there */
    struct buf recording;  /* the flight recording around it, as lines of JSON */
    struct buf build_log;
    /* Of a resumed one, read from the disk once: the report so far, and how many bytes of
     * `requests` and `access` come from processes before. */
    bool has_read_before;
    struct buf before;
    size_t carried_requests, carried_access;
};

/* Copies out what is known; then it is not dirty any more. ERR_NOMEM. Gives the work. */
MUST_USE enum err incident_make_work(struct incident *incident, int64_t wall_us,
                                     struct incident_work **ret_work);
/* A work that has nothing but its record (taken): for a report that a crash left unfinished.
 * ERR_NOMEM, then the record is freed. */
MUST_USE enum err incident_work_of_record(const char *id, const char *service, char *record,
                                          int64_t wall_us, struct incident_work **ret_work);
void incident_work_destroy(struct incident_work *work); /* NULL is fine */

#include "canary/incident/incident.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/incident/failure_line.h"

/* What comes so long after the end still belongs to it: the sentences about the end, for one. */
enum { LINGER_US = 5 * 1000000 };
#define BEFORE_US_MAX (3600 * INT64_C(1000000))

/* A failure in full. */
struct described {
    char *line; /* owned; NULL: none */
    int64_t wall_us;
};

struct witness {
    struct tally_failure *recent; /* owned; INCIDENT_RECENT_MAX, a ring; NULL before the first */
    uint64_t recent_count;        /* since the start */
    struct described *described;  /* owned; describe_max, a ring; the same */
    uint64_t described_count;
    size_t describe_max;
    struct incident_moments moments; /* the oldest go first */
    struct incident *incident;       /* owned */
};

struct incident {
    char id[INCIDENT_ID_SIZE];
    char service[INCIDENT_SERVICE_SIZE];
    int64_t first_bad_wall_us;
    int64_t resumed_wall_us;
    char *record; /* owned */
    const char *stage;
    bool is_complete;
    int64_t ended_wall_us;
    bool is_dirty;
    bool was_told;      /* that it is complete */
    bool has_forgotten; /* more failed before the decision than a witness remembers */
    struct incident_moments moments;
    struct tally tally;
    struct buf requests;
    uint64_t described, describe_max;
    uint64_t lost;
    struct buf access;
    uint64_t access_after;
    struct buf build_log;
};

/* ---- moments ---- */

/* In the order of their times; the oldest make room. */
static void add_moment(struct incident_moments *moments, const struct incident_moment *moment)
{
    if (moments->count == INCIDENT_MOMENTS_MAX) {
        memmove(moments->list, moments->list + 1,
                (INCIDENT_MOMENTS_MAX - 1) * sizeof moments->list[0]);
        moments->count--;
    }
    size_t at = moments->count++;
    for (; at > 0 && moments->list[at - 1].wall_us > moment->wall_us; at--) {
        moments->list[at] = moments->list[at - 1];
    }
    moments->list[at] = *moment;
}

/* Weights and rollouts of later days are another story; what the platform says comes late. */
static bool belongs_to(const struct incident *incident, const struct incident_moment *moment)
{
    return !incident->is_complete || moment->wall_us - incident->ended_wall_us <= LINGER_US ||
           bytes_starts_with(bytes_of(moment->event), BYTES("platform."));
}

void witness_note(struct witness *witness, int64_t wall_us, const char *event, const char *text)
{
    struct incident_moment moment = {.wall_us = wall_us};
    (void)snprintf(moment.event, sizeof moment.event, "%s", event);
    (void)snprintf(moment.text, sizeof moment.text, "%s", text);
    add_moment(&witness->moments, &moment);
    if (witness->incident != NULL && belongs_to(witness->incident, &moment)) {
        add_moment(&witness->incident->moments, &moment);
        witness->incident->is_dirty = true;
    }
}

/* ---- the incident ---- */

static void incident_destroy(struct incident *incident)
{
    if (incident != NULL) {
        free(incident->record);
        buf_finish(&incident->requests);
        buf_finish(&incident->access);
        buf_finish(&incident->build_log);
        free(incident);
    }
}

static void describe(struct incident *incident, const char *line)
{
    if (incident->described < incident->describe_max && !incident->requests.is_failed) {
        (void)buf_append(&incident->requests, bytes_of(line));
        incident->described += !incident->requests.is_failed;
    }
}

/* What the witness saw since the first failure. */
static void take_over(struct incident *incident, const struct witness *witness)
{
    uint64_t count = witness->recent_count;
    uint64_t first = count > INCIDENT_RECENT_MAX ? count - INCIDENT_RECENT_MAX : 0;
    incident->has_forgotten = first > 0 && witness->recent[first % INCIDENT_RECENT_MAX].wall_us >=
                                               incident->first_bad_wall_us;
    for (uint64_t i = first; i < count; i++) {
        const struct tally_failure *failure = &witness->recent[i % INCIDENT_RECENT_MAX];
        if (failure->wall_us >= incident->first_bad_wall_us) {
            tally_add(&incident->tally, failure);
        }
    }
    count = witness->described_count;
    first = count > witness->describe_max ? count - witness->describe_max : 0;
    for (uint64_t i = first; i < count; i++) {
        const struct described *described = &witness->described[i % witness->describe_max];
        if (described->line != NULL && described->wall_us >= incident->first_bad_wall_us) {
            describe(incident, described->line);
        }
    }
    for (size_t i = 0; i < witness->moments.count; i++) {
        const struct incident_moment *moment = &witness->moments.list[i];
        if (moment->wall_us >= incident->first_bad_wall_us - BEFORE_US_MAX) {
            add_moment(&incident->moments, moment);
        }
    }
}

const char *incident_id(const struct incident *incident)
{
    return incident->id;
}

int64_t incident_first_bad_us(const struct incident *incident)
{
    return incident->first_bad_wall_us;
}

bool incident_is_complete(const struct incident *incident)
{
    return incident->is_complete;
}

bool incident_tell_once(struct incident *incident)
{
    bool was_told = incident->was_told;
    incident->was_told = true;
    return !was_told;
}

void incident_set_record(struct incident *incident, const char *json, const char *stage,
                         int64_t ended_wall_us)
{
    char *copy = strdup(json);
    if (copy != NULL) {
        free(incident->record);
        incident->record = copy;
    }
    incident->stage = stage;
    if (!incident->is_complete) {
        incident->is_complete = ended_wall_us != 0;
        incident->ended_wall_us = ended_wall_us;
    }
    incident->is_dirty = true;
}

void incident_set_resumed(struct incident *incident, int64_t started_wall_us)
{
    incident->resumed_wall_us = started_wall_us;
}

void incident_add_build_log(struct incident *incident, struct bytes text)
{
    size_t skipped = text.size > INCIDENT_BUILD_LOG_MAX ? text.size - INCIDENT_BUILD_LOG_MAX : 0;
    buf_clear(&incident->build_log);
    (void)buf_append(&incident->build_log, bytes_slice(text, skipped, text.size - skipped));
    incident->is_dirty = true;
}

void incident_set_lost(struct incident *incident, uint64_t lost)
{
    incident->lost = lost;
}

void incident_add_access(struct incident *incident, struct bytes lines, uint64_t position)
{
    incident->access_after = position;
    (void)buf_append(&incident->access, lines);
}

bool incident_is_dirty(const struct incident *incident)
{
    return incident->is_dirty;
}

void incident_set_dirty(struct incident *incident)
{
    incident->is_dirty = true;
}

/* ---- the witness ---- */

enum err witness_create(size_t describe_max, struct witness **ret_witness)
{
    struct witness *witness = calloc(1, sizeof *witness);
    if (witness == NULL) {
        return ERR_NOMEM;
    }
    witness->describe_max = describe_max;
    *ret_witness = witness;
    return OK;
}

void witness_destroy(struct witness *witness)
{
    if (witness == NULL) {
        return;
    }
    for (size_t i = 0; witness->described != NULL && i < witness->describe_max; i++) {
        free(witness->described[i].line);
    }
    free(witness->described);
    free(witness->recent);
    incident_destroy(witness->incident);
    free(witness);
}

size_t witness_describe_max(const struct witness *witness)
{
    return witness->describe_max;
}

struct incident *witness_incident(struct witness *witness)
{
    return witness->incident;
}

static bool has_memory(struct witness *witness)
{
    if (witness->recent == NULL) {
        witness->recent = malloc(INCIDENT_RECENT_MAX * sizeof *witness->recent);
    }
    if (witness->described == NULL) {
        witness->described = calloc(witness->describe_max, sizeof *witness->described);
    }
    return witness->recent != NULL && witness->described != NULL;
}

static void remember(struct witness *witness, const struct tally_failure *failure, char *line)
{
    witness->recent[witness->recent_count++ % INCIDENT_RECENT_MAX] = *failure;
    if (line == NULL) {
        return;
    }
    struct described *described =
        &witness->described[witness->described_count++ % witness->describe_max];
    free(described->line);
    *described = (struct described){line, failure->wall_us};
}

static bool wants_line(const struct witness *witness)
{
    const struct incident *incident = witness->incident;
    return incident == NULL || incident->is_complete ||
           incident->described < incident->describe_max;
}

static void take_one(struct witness *witness, const struct failure_record *record, int64_t wall_us,
                     size_t *lines_left)
{
    struct tally_failure failure;
    tally_failure_of(record, wall_us, &failure);
    struct incident *incident = witness->incident;
    char *line = NULL;
    if (*lines_left > 0 && wants_line(witness)) {
        line = failure_line_make(record);
        (*lines_left)--;
    }
    if (incident != NULL && !incident->is_complete &&
        failure.wall_us >= incident->first_bad_wall_us) {
        tally_add(&incident->tally, &failure);
        if (line != NULL) {
            describe(incident, line);
        }
    }
    remember(witness, &failure, line);
}

void witness_take(struct witness *witness, struct failure_ring *ring, size_t max, int64_t wall_us,
                  size_t *lines_left)
{
    struct failure_record record;
    for (size_t i = 0; i < max && has_memory(witness) && failure_ring_peek(ring, &record); i++) {
        take_one(witness, &record, wall_us, lines_left);
        failure_ring_release(ring);
    }
}

enum err witness_begin(struct witness *witness, const char *id, const char *service,
                       int64_t first_bad_wall_us)
{
    struct incident *incident = calloc(1, sizeof *incident);
    if (incident == NULL) {
        return ERR_NOMEM;
    }
    (void)snprintf(incident->id, sizeof incident->id, "%s", id);
    (void)snprintf(incident->service, sizeof incident->service, "%s", service);
    incident->first_bad_wall_us = first_bad_wall_us;
    incident->describe_max = witness->describe_max;
    incident->stage = "breach";
    buf_init(&incident->requests, INCIDENT_REQUESTS_MAX);
    buf_init(&incident->access, INCIDENT_ACCESS_MAX);
    buf_init(&incident->build_log, INCIDENT_BUILD_LOG_MAX);
    take_over(incident, witness);
    incident_destroy(witness->incident);
    witness->incident = incident;
    witness_note(witness, first_bad_wall_us, "first_failure",
                 "the first failure of what led to the decision");
    return OK;
}

/* ---- works ---- */

static struct incident_work *make_work(const char *id, const char *service, int64_t wall_us)
{
    struct incident_work *work = calloc(1, sizeof *work);
    if (work == NULL) {
        return NULL;
    }
    (void)snprintf(work->id, sizeof work->id, "%s", id);
    (void)snprintf(work->service, sizeof work->service, "%s", service);
    work->written_wall_us = wall_us;
    buf_init(&work->requests, INCIDENT_REQUESTS_MAX);
    buf_init(&work->access, INCIDENT_ACCESS_MAX);
    buf_init(&work->access_new, INCIDENT_ACCESS_MAX);
    buf_init(&work->recording, 2 * 1024 * 1024);
    buf_init(&work->build_log, 3 * (size_t)INCIDENT_BUILD_LOG_MAX); /* cleaned it may be longer */
    buf_init(&work->before, INCIDENT_REPORT_MAX);
    return work;
}

static bool copy_parts(const struct incident *incident, struct incident_work *work)
{
    work->tally = malloc(sizeof *work->tally);
    work->moments = malloc(sizeof *work->moments);
    work->record = incident->record != NULL ? strdup(incident->record) : NULL;
    if (work->tally == NULL || work->moments == NULL ||
        (work->record == NULL && incident->record != NULL)) {
        return false;
    }
    *work->tally = incident->tally;
    *work->moments = incident->moments;
    return buf_append(&work->requests, buf_bytes(&incident->requests)) == OK &&
           buf_append(&work->access, buf_bytes(&incident->access)) == OK &&
           buf_append(&work->build_log, buf_bytes(&incident->build_log)) == OK;
}

enum err incident_make_work(struct incident *incident, int64_t wall_us,
                            struct incident_work **ret_work)
{
    struct incident_work *work = make_work(incident->id, incident->service, wall_us);
    if (work == NULL || !copy_parts(incident, work)) {
        incident_work_destroy(work);
        return ERR_NOMEM;
    }
    work->stage = incident->stage;
    work->is_complete = incident->is_complete;
    work->resumed_wall_us = incident->resumed_wall_us;
    work->first_bad_wall_us = incident->first_bad_wall_us;
    work->described = incident->described;
    work->has_forgotten = incident->has_forgotten;
    work->lost = incident->lost;
    work->access_after = incident->access_after;
    incident->is_dirty = false;
    *ret_work = work;
    return OK;
}

enum err incident_work_of_record(const char *id, const char *service, char *record, int64_t wall_us,
                                 struct incident_work **ret_work)
{
    struct incident_work *work = make_work(id, service, wall_us);
    if (work == NULL) {
        free(record);
        return ERR_NOMEM;
    }
    work->record = record;
    work->stage = "complete";
    work->is_complete = true;
    work->resumed_wall_us = wall_us;
    *ret_work = work;
    return OK;
}

void incident_work_destroy(struct incident_work *work)
{
    if (work == NULL) {
        return;
    }
    free(work->record);
    free(work->tally);
    free(work->moments);
    buf_finish(&work->requests);
    buf_finish(&work->access);
    buf_finish(&work->access_new);
    buf_finish(&work->recording);
    buf_finish(&work->build_log);
    buf_finish(&work->before);
    free(work);
}

/* canary/incident/queue.h — works of incidents that are present no longer and wait to be written.
 *
 * The oldest first. Embedded; control only. */
#pragma once
#include "canary/incident/incident.h"

enum { INCIDENT_QUEUE_MAX = 32 };

/* Zeroed memory is an empty queue. */
struct incident_queue {
    struct incident_work *works[INCIDENT_QUEUE_MAX]; /* owned */
    size_t count;
};

/* Takes the work. ERR_LIMIT: it is full, and the work stays the caller's. */
MUST_USE enum err incident_queue_add(struct incident_queue *queue, struct incident_work *work);
/* Takes back a work that could not be written. Where a later one of the same report waits, that one
 * has all that is in it and more, and must not be written over: ERR_EXISTS, and the work stays the
 * caller's. ERR_LIMIT as above. */
MUST_USE enum err incident_queue_return(struct incident_queue *queue, struct incident_work *work);
/* Gives the oldest to the caller; NULL: none waits. */
struct incident_work *incident_queue_next(struct incident_queue *queue);
void incident_queue_finish(struct incident_queue *queue);

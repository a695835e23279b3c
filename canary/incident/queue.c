#include "canary/incident/queue.h"

#include <string.h>

enum err incident_queue_add(struct incident_queue *queue, struct incident_work *work)
{
    if (queue->count == INCIDENT_QUEUE_MAX) {
        return ERR_LIMIT;
    }
    queue->works[queue->count++] = work;
    return OK;
}

enum err incident_queue_return(struct incident_queue *queue, struct incident_work *work)
{
    for (size_t i = 0; i < queue->count; i++) {
        if (strcmp(queue->works[i]->id, work->id) == 0) {
            return ERR_EXISTS;
        }
    }
    return incident_queue_add(queue, work);
}

struct incident_work *incident_queue_next(struct incident_queue *queue)
{
    if (queue->count == 0) {
        return NULL;
    }
    struct incident_work *work = queue->works[0];
    queue->count--;
    memmove(queue->works, queue->works + 1, queue->count * sizeof queue->works[0]);
    return work;
}

void incident_queue_finish(struct incident_queue *queue)
{
    struct incident_work *work;
    while ((work = incident_queue_next(queue)) != NULL) {
        incident_work_destroy(work);
    }
}

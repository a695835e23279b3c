/* proxy/worker/crew.h — all workers: the one door through which control reaches the data plane.
 *
 * Control publishes snapshots, opens and closes listening addresses, and drains. Answers come back
 * as calls on control's loop: when every worker's next request uses a snapshot (adopted: the shift
 * is complete), and when the last request that used it is over (home: the crew then destroys it).
 * Everything here is called on control's thread unless it says otherwise. */
#pragma once
#include "conf/conf.h"
#include "proxy/io/inherited.h"
#include "proxy/worker/worker.h"

struct crew;
struct crew_binding;

struct crew_ops {
    /* Every worker has taken the snapshot. */
    void (*on_adopted)(void *context, const struct snapshot *snapshot);
    /* Nobody uses the snapshot any more; it is destroyed after this call. */
    void (*on_home)(void *context, const struct snapshot *snapshot);
};

/* Makes the workers, not yet running; `control` is control's inbox-bearing loop. ERR_NOMEM. */
MUST_USE enum err crew_create(struct loop *control, unsigned worker_count,
                              struct access_log *access_log, const struct crew_ops *ops,
                              void *context, struct crew **ret_crew);
/* What is bound from now on is looked for among these sockets first; borrowed until the end. */
void crew_inherit(struct crew *crew, struct inherited *inherited);
/* Starts the threads. A snapshot must have been published before. */
MUST_USE enum err crew_start(struct crew *crew);
/* Hands the snapshot to every worker: takes it. */
void crew_publish(struct crew *crew, struct snapshot *snapshot);
/* Binds what `conf` listens on beyond the present addresses; nothing is accepted there yet. When
 * one cannot be bound nothing changes and the note says why. Gives the binding to the caller, who
 * commits or abandons it. */
MUST_USE enum err crew_bind(struct crew *crew, const struct conf *conf, struct note *note,
                            struct crew_binding **ret_binding);
/* From now on these are the listening addresses: new ones accept, others close. Takes it. */
void crew_listen(struct crew *crew, struct crew_binding *binding);
/* Closes what was bound for it. Takes it; NULL is fine. */
void crew_unbind(struct crew *crew, struct crew_binding *binding);
/* The port of the i-th listening address (for port 0), or 0. */
unsigned crew_port(const struct crew *crew, size_t index);
/* How many client connections the process may have. */
void crew_set_connection_max(struct crew *crew, size_t connection_max);
/* Stops accepting, lets requests end and connections close. */
void crew_drain(struct crew *crew);
/* Drains, and cuts what is still open. */
void crew_cut(struct crew *crew);
/* Waits for the threads and lets everything go; the last of it when control's loop runs next. NULL
 * is fine. */
void crew_destroy(struct crew *crew);
/* Has every worker's loop gone on since it was asked last? If not, `ret_silent` is one that has
 * not. True while nobody was asked, and once the drain has begun, whose deadlines are its own. */
bool crew_has_pulse(const struct crew *crew, unsigned *ret_silent);
/* Asks every worker, each of which has answered the question before. */
void crew_ask_pulse(struct crew *crew);
/* Have all threads ended? */
bool crew_has_ended(const struct crew *crew);

unsigned crew_worker_count(const struct crew *crew);
/* The workers' cells; borrowed. */
const struct block *crew_cells(const struct crew *crew);
/* Are there as many client connections as there may be? Any worker. */
bool crew_is_full(const struct crew *crew);

/* proxy/worker/worker.h — one thread that serves: its loop, its listening sockets, its connections,
 * its cells.
 *
 * Workers share nothing on the way of a request but what is immutable. The crew makes them and
 * talks to them by messages; what happens here happens on the worker's own thread unless it says
 * otherwise. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "proxy/exchange/exchange.h"
#include "proxy/io/inbox.h"
#include "proxy/io/listener.h"
#include "proxy/worker/door.h"
#include "proxy/worker/gate.h"

struct crew;
struct worker;

/* What the crew can ask of a worker. Orders to listen or not are heap, taken and freed by the
 * worker; those to end, and to show a pulse, lie ready in it, since they must get through without
 * memory. */
enum worker_order { WORKER_LISTEN, WORKER_UNLISTEN, WORKER_DRAIN, WORKER_CUT, WORKER_PULSE };

struct worker_message {
    struct inbox_message message;
    enum worker_order order;
    int fd;              /* WORKER_LISTEN: taken */
    char *address;       /* WORKER_LISTEN: as the configuration writes it; owned, taken */
    uint64_t address_id; /* WORKER_LISTEN, WORKER_UNLISTEN */
    bool is_shared;      /* WORKER_LISTEN: others accept from the same socket */
};

/* A listening socket of this worker. */
struct worker_listener {
    struct list link;
    struct worker *worker; /* borrowed */
    struct listener *listener;
    uint64_t address_id; /* the crew's number of the address */
    char *address;       /* owned: as the configuration writes it */
};

struct worker {
    struct crew *crew; /* borrowed */
    unsigned index;
    pthread_t thread;
    struct loop loop;
    struct inbox inbox;         /* from control */
    struct worker_cells *cells; /* borrowed from the crew's block */
    struct exchange_host exchanges;
    struct http1_server_host servers;
    struct http2_server_host servers2;
    struct gate gate;
    struct door door;
    struct list listeners;
    uv_timer_t drain_timer;
    struct worker_message drain_order; /* each is left once */
    struct worker_message cut_order;
    struct worker_message pulse_order; /* left again when it was answered */
    uint64_t pulse_asked_count;        /* control's */
    _Atomic uint64_t pulse_count;      /* answers: written by the worker, read by control */
    bool is_draining;
};

/* Prepares everything but the thread; control. */
MUST_USE enum err worker_init(struct worker *worker, struct crew *crew, unsigned index,
                              struct worker_cells *cells, struct access_log *access_log,
                              struct inbox *control);
/* The thread's function: serves until drained, then lets go of everything. */
void *worker_run(void *worker);
/* Frees what init made, on control's thread: after the thread has ended, or (has_run false) instead
 * of running it. */
void worker_finish(struct worker *worker, bool has_run);
/* The run function of worker messages and of leases being published. */
void worker_on_order(struct inbox_message *message, void *context);
void worker_on_publish(struct inbox_message *message, void *context);

/* proxy/io/watch.h — a socket on the loop: told when the kernel has news, freed when nobody can
 * mean it any more.
 *
 * Sockets of connections are registered once, edge-triggered, for everything; what is wanted of
 * them right now is a flag in the stream and no system call (epoll(7)). Listening sockets are
 * level-triggered. Closing is immediate for the kernel and deferred for memory: `on_closed` comes
 * when the event is over, so events of the same batch that still name the watch find it closed.
 * Embedded in its owner; one loop's thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/err.h"
#include "proxy/base/list.h"

struct loop;
struct watch;

/* SHARED: a listening socket that other threads or processes accept from too; one of them is woken
 * (EPOLLEXCLUSIVE), and its description outlives our descriptor. */
enum watch_mode { WATCH_EDGES, WATCH_LEVEL_IN, WATCH_SHARED };

struct watch {
    void (*on_ready)(struct watch *watch,
                     uint32_t events);      /* EPOLLIN and others, inside an event */
    void (*on_closed)(struct watch *watch); /* the last call */
    struct list link; /* in the loop's list of those to be resumed, or closed */
    int fd;           /* owned; -1 without one, and once closed */
    bool is_open;
    bool is_shared;
    bool is_pending; /* the kernel has told of news, its turn is still to come */
};

/* Registers `fd`, which the watch owns from now on. ERR_NOMEM, ERR_IO: the descriptor stays the
 * caller's. */
MUST_USE enum err watch_open(struct loop *loop, struct watch *watch, int fd, enum watch_mode mode);
/* A watch without a descriptor: told only what watch_resume asks for. For a stream over a stream.
 */
void watch_open_bare(struct loop *loop, struct watch *watch);
/* on_ready(watch, 0) in this or the next turn of the loop, without news from the kernel. */
void watch_resume(struct loop *loop, struct watch *watch);
/* Level-triggered watches only: no news, or news again. ERR_NOMEM: still none; a pause never
 * fails. */
MUST_USE enum err watch_set_paused(struct loop *loop, struct watch *watch, bool is_paused);
/* Gives the descriptor to the caller, unregistered; the watch stays open without one. */
int watch_release(struct loop *loop, struct watch *watch);
/* Registers `fd` as watch_open does, for an open watch that has none. Errors as there. */
MUST_USE enum err watch_adopt(struct loop *loop, struct watch *watch, int fd);
/* Closes the descriptor, where there is one; on_closed follows when the event is over. */
void watch_close(struct loop *loop, struct watch *watch);

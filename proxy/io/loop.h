/* proxy/io/loop.h — one thread's event loop and what its streams share.
 *
 * Every worker has one, and so has control. Sockets are watched by an epoll of the loop's own
 * (watch.h); libuv is embedded in it by its backend descriptor (uv_backend_fd) and brings timers,
 * messages between threads, signals, its thread pool and the descriptors of other libraries. The
 * read buffer is lent to whichever stream is being read right now, so an idle connection holds no
 * memory for it; the cork buffer gathers the small writes of one event into one system call.
 * Everything happens inside an event: callbacks begin with loop_enter and end with loop_leave,
 * which sends what was gathered. `now_us` is the time at which the running event began or, where
 * many sockets have news, one of the LOOP_EVENTS_PER_LOOK - 1 before it. Embedded; one thread. */
#pragma once
#include <uv.h>

#include "proxy/base/err.h"
#include "proxy/base/hash.h"
#include "proxy/io/deadline.h"

enum {
    LOOP_READ_SIZE = 64 * 1024,
    LOOP_CORK_SIZE = 320 * 1024,
    LOOP_LAYER_SIZE = 64 * 1024,
    LOOP_LATE_US = 4000,
    LOOP_EVENTS_PER_LOOK = 4 /* sockets with news that share one look at the clock */
};

struct stream;

struct loop {
    uv_loop_t uv;
    int epoll_fd;          /* owned */
    bool is_stopped;       /* loop_stop was called */
    struct list resumed;   /* watches that want a turn without news */
    struct list closed;    /* watches whose memory may go when the event is over */
    char *read_buffer;     /* owned, LOOP_READ_SIZE */
    char *cork_buffer;     /* owned, LOOP_CORK_SIZE */
    char *layer_buffer;    /* owned; NULL before the first loop_layer_buffer */
    struct stream *corked; /* borrowed: whose bytes are in cork_buffer, or NULL */
    size_t cork_used;
    struct stream *broken; /* borrowed: whose write failed during this event, told at its end */
    unsigned depth;        /* events under way, one in another */
    uint64_t now_us;       /* monotonic */
    uint64_t asked_us;     /* when the kernel was last asked for news, and told all it had */
    struct deadline_wheel wheel;
    struct random random;
    size_t stream_count; /* open streams, for drain */
};

MUST_USE enum err loop_init(struct loop *loop);
/* Closes the loop; every handle must be closed. CHECKs that. */
void loop_finish(struct loop *loop);
/* Runs until there is nothing left to wait for, or loop_stop. */
void loop_run(struct loop *loop);
/* One turn: waits for news if `may_wait`, handles what there is. False when there is nothing left
 * to wait for. */
bool loop_turn(struct loop *loop, bool may_wait);
void loop_stop(struct loop *loop);
/* Begins an event: reads the clock. */
static inline void loop_enter(struct loop *loop)
{
    loop->depth++;
    loop->now_us = uv_hrtime() / 1000;
}
/* May the kernel know of things by now that matter and that this turn was not told? */
static inline bool loop_is_late(const struct loop *loop)
{
    return loop->now_us - loop->asked_us > LOOP_LATE_US;
}
/* Ends an event: sends what was gathered and tells the owners of streams that broke. */
void loop_leave(struct loop *loop);
/* Two buffers of LOOP_LAYER_SIZE each, in one: what a stream over a stream lends to its owner, and
 * what it hands to the stream below. NULL without memory. */
char *loop_layer_buffer(struct loop *loop);
/* Stops what loop_init started (the wheel's timer), so that loop_run can return. */
void loop_shutdown(struct loop *loop);

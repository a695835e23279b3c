/* proxy/io/inbox.h — how one thread leaves messages for another's loop.
 *
 * Any thread pushes (a lock-free stack, Treiber 1986: push only, the reader takes all at once); the
 * loop's thread runs each message in the order it was left. Messages are embedded in what they
 * carry and belong to the receiver once pushed. */
#pragma once
#include <stdatomic.h>
#include <uv.h>

#include "proxy/base/err.h"
#include "proxy/io/loop.h"

struct inbox_message {
    struct inbox_message *next;
    void (*run)(struct inbox_message *message, void *context); /* on the receiver's thread */
};

struct inbox {
    _Atomic(struct inbox_message *) newest;
    uv_async_t async;
    struct loop *loop; /* borrowed */
    void *context;     /* borrowed: given to every message */
    void (*on_closed)(struct inbox *inbox);
};

MUST_USE enum err inbox_init(struct inbox *inbox, struct loop *loop, void *context);
/* Any thread, until inbox_close. */
void inbox_push(struct inbox *inbox, struct inbox_message *message);
/* The loop's thread: runs what has been left so far. */
void inbox_drain(struct inbox *inbox);
/* Nobody may push after this. `on_closed` (may be NULL) is called when the inbox's memory may go.
 */
void inbox_close(struct inbox *inbox, void (*on_closed)(struct inbox *inbox));

/* proxy/io/listener.h — accepts connections on one address for one loop.
 *
 * Each worker has its own socket on the address (SO_REUSEPORT), so the kernel deals connections out
 * and no lock is taken, unless a service manager opened it for all of them. Accepting is ours
 * rather than libuv's: it closes connections unseen when descriptors run out, and a drain has to
 * empty the queue before the socket goes, because closing a listening socket resets what waits in
 * it. Heap; belongs to its loop's thread. */
#pragma once
#include <sys/socket.h>

#include "proxy/io/loop.h"

struct listener;

struct listener_ops {
    /* A new connection: takes `fd` (non-blocking, close-on-exec). `peer` is lent until return. */
    void (*on_accept)(void *context, int fd, const struct sockaddr_storage *peer);
    /* accept failed for want of descriptors or memory; the connection waits in the queue and is
     * tried again shortly. */
    void (*on_exhausted)(void *context);
};

/* Makes a bound, listening socket; any thread. `address` is "host:port", "[v6]:port" or
 * "unix:/path"; port 0 picks a free one. The note says in words what failed. */
MUST_USE enum err listener_bind(const char *address, int backlog, int *ret_fd, struct note *note);
/* The port a bound socket has. */
unsigned listener_port(int fd);

/* Takes the listening descriptor and starts to accept. `is_shared`: it is a duplicate of one that
 * others accept from too (proxy/io/inherited.h). */
MUST_USE enum err listener_open(struct loop *loop, int fd, bool is_shared,
                                const struct listener_ops *ops, void *context,
                                struct listener **ret_listener);
/* Accepts what waits in the queue, then closes and frees; what waits in a shared one's waits for
 * the others. NULL is fine. */
void listener_close(struct listener *listener);

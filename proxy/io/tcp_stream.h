/* proxy/io/tcp_stream.h — the stream over a TCP or unix socket.
 *
 * Writes go to the kernel at once (uv_try_write); only what it does not take is copied into a write
 * job. Reading lends the loop's one buffer. The object is allocated here, belongs to itself, and is
 * freed after on_closed. */
#pragma once
#include <sys/socket.h>

#include "proxy/io/stream.h"

/* Takes over a connected, non-blocking descriptor; on failure the descriptor is closed. Attach a
 * listener before reading. */
MUST_USE enum err tcp_stream_open(struct loop *loop, int fd, struct stream **ret_stream);
/* Starts to connect; the listener's on_connected says how it ended. IPv4 and IPv6. */
MUST_USE enum err tcp_stream_connect(struct loop *loop, const struct sockaddr *address,
                                     const struct stream_listener *listener, void *owner,
                                     struct stream **ret_stream);

/* proxy/io/tcp_stream.h — the stream over a TCP or unix socket.
 *
 * Writes go to the kernel at once; only what it does not take is copied into a queue and sent when
 * there is room again. Reading lends the loop's one buffer. Whether to read is a flag: pausing and
 * resuming cost no system call. The object is allocated here, belongs to itself, and is freed after
 * on_closed. */
#pragma once
#include <sys/socket.h>

#include "conf/ip.h"
#include "proxy/io/address.h"
#include "proxy/io/stream.h"

/* Sets what every TCP socket of ours has: no delay, and keep-alive probes. Listening sockets pass
 * it on to what they accept (tcp(7)), so that no connection pays for it. Harmless on unix sockets.
 */
void tcp_stream_tune(int fd);
/* Takes over a connected, non-blocking descriptor; on failure the descriptor is closed. Attach a
 * listener before reading. ERR_NOMEM, ERR_IO. */
MUST_USE enum err tcp_stream_open(struct loop *loop, int fd, struct stream **ret_stream);
/* Where one name leads to. */
struct tcp_route {
    const union address *addresses; /* in address_sort's order; lent for the call */
    size_t count;                   /* at least 1 */
    size_t first;                   /* which one is tried first; any number below count */
};
/* Starts to connect, to several addresses as tcp_race.h says; the listener's on_connected says how
 * it ended. IPv4 and IPv6. ERR_LIMIT: no descriptors. */
MUST_USE enum err tcp_stream_connect(struct loop *loop, const struct tcp_route *route,
                                     const struct stream_listener *listener, void *owner,
                                     struct stream **ret_stream);

/* What the other side of an accepted connection connected to, of any stream over TCP: as a PROXY
 * header said, or the kernel knows. False: neither. */
bool tcp_stream_local(const struct stream *stream, struct ip *ret_ip, uint16_t *ret_port);
/* That is what a PROXY header said it was. ERR_NOMEM. */
MUST_USE enum err tcp_stream_set_local(struct stream *stream, const struct ip *ip, uint16_t port);
/* Sends bytes ahead of all that this stream, or one over it, will write: right after connecting
 * has begun. Inside an event. */
void tcp_stream_send_ahead(struct stream *stream, struct bytes bytes);

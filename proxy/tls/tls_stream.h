/* proxy/tls/tls_stream.h — the stream of plain bytes over a stream of sealed ones.
 *
 * OpenSSL reads from what the stream below lends and writes into a buffer that goes to it in one
 * piece: no socket BIO, no memory BIO. The listener hears nothing before the handshake is over;
 * then on_connected says how it ended, on both sides, and on success reading and writing may
 * begin. An end without close_notify is told as ERR_CLOSED, since bytes may be missing (RFC 8446
 * section 6.1); stream_close and stream_finish send ours. A peer that sends TLS_IDLE_RECORDS_MAX
 * records without a byte for the owner (key updates, refused renegotiations, tickets, alerts) only
 * keeps us busy: that is an end by ERR_IO. The loop's thread. */
#pragma once
#include <sys/socket.h>

#include "proxy/base/bytes.h"
#include "proxy/io/tcp_stream.h"
#include "proxy/tls/tls_client.h"
#include "proxy/tls/tls_result.h"
#include "proxy/tls/tls_server.h"

enum { TLS_IDLE_RECORDS_MAX = 32 }; /* in a row, after the handshake */

/* Waits for a client's handshake on `under`, which it takes: on failure it is closed. The server is
 * shared while the stream lives. ERR_NOMEM. */
MUST_USE enum err tls_stream_accept(struct stream *under, struct tls_server *server,
                                    const struct stream_listener *listener, void *owner,
                                    struct stream **ret_stream);

struct tls_connect {
    struct tcp_route route;
    struct tls_client *client; /* shared while the stream lives */
    enum tls_protocols protocols;
    const char *name;          /* whose certificate it must be, and the SNI unless it is an address,
                                  if the client has no name of its own; lent until return */
    struct tls_resume *resume; /* borrowed while the stream lives; NULL: nothing to resume */
};
/* Connects and shakes hands. on_connected: those of tcp_stream_connect, ERR_DENIED: not the
 * certificate it must be, ERR_SYNTAX: the handshake failed otherwise. Errors as
 * tcp_stream_connect. */
MUST_USE enum err tls_stream_connect(struct loop *loop, const struct tls_connect *connect,
                                     const struct stream_listener *listener, void *owner,
                                     struct stream **ret_stream);

/* Is it a stream of this kind? */
bool tls_stream_is(const struct stream *stream);
/* After on_connected: how the handshake ended. */
enum tls_result tls_stream_result(const struct stream *stream);
/* After a good handshake: what ALPN agreed on, empty without. Lent while the stream lives. */
struct bytes tls_stream_protocol(const struct stream *stream);
/* Was the other side reached at all? Else a failure is the network's, not the handshake's. */
bool tls_stream_is_reached(const struct stream *stream);
/* Who connected, or NULL where a client was waited for; borrowed. */
const struct tls_client *tls_stream_client(const struct stream *stream);
/* "TLSv1.3"; static. */
const char *tls_stream_version(const struct stream *stream);
/* Why a handshake failed, in words. */
void tls_stream_explain(const struct stream *stream, struct note *ret_note);

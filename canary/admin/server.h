/* canary/admin/server.h — the admin API on its socket: HTTP/1.1 on control's loop, plain or over
 * TLS, loopback or unix by default.
 *
 * Collects a request's body, hands it to admin_handle, writes the answer, feeds event streams. Slow
 * readers of events miss counters; one that cannot take a change is cut and may come back with its
 * Last-Event-ID. Control only. */
#pragma once
#include "canary/admin/admin.h"
#include "proxy/io/inherited.h"
#include "proxy/io/loop.h"
#include "proxy/tls/tls_server.h"

struct admin_server;

enum {
    ADMIN_CONNECTIONS_MAX = 256,
    ADMIN_STREAM_QUEUE_MAX = 256 * 1024, /* bytes that an event stream may lag behind */
};

/* Listens: on the socket that was passed for the address (`inherited` may be NULL), else on one of
 * its own. ERR_IO: it cannot, or another process already answers there; `note` says so.
 * ERR_NOMEM. Borrows loop and admin until on_closed. */
MUST_USE enum err admin_server_open(struct loop *loop, struct admin *admin,
                                    const struct conf_address *address, struct inherited *inherited,
                                    struct admin_server **ret_server, struct note *note);
/* New connections speak TLS by `tls`, which it shares, or plain HTTP with NULL, as it is at first;
 * those that are open, and streams of events, go on as they began. */
void admin_server_use_tls(struct admin_server *server, struct tls_server *tls);
/* The port it listens on; 0 for a unix socket. */
unsigned admin_server_port(const struct admin_server *server);
/* Those that still shake hands included. */
size_t admin_server_connection_count(const struct admin_server *server);
/* Stops accepting, cuts every connection and stream, then calls on_closed (may be NULL) and frees.
 * Calls under way are abandoned; whoever owns the admin waits for admin_call_count to be 0 before
 * destroying it. */
void admin_server_close(struct admin_server *server, void (*on_closed)(void *context),
                        void *context);

/* proxy/upstream/seat.h — what one worker knows of an endpoint: its connections, its requests in
 * flight, its opinion. Nobody else touches it.
 *
 * An HTTP/1.1 connection carries one call and rests in the pool between two. HTTP/2 connections are
 * shared: a call goes on the first one that has room, and a further connection is made only when
 * none has. While the protocol is not known, and when HTTP/2 is, calls that find a connection being
 * made wait for that one, as many as it will carry, instead of each making its own; once the
 * endpoint has chosen HTTP/1.1 nobody waits for another's connection. A connection is shared only
 * by calls for the same host under the same TLS settings. */
#pragma once
#include "metrics/catalog.h"
#include "proxy/http1/http1_client.h"
#include "proxy/http2/http2_client.h"
#include "proxy/upstream/eject.h"

struct endpoint;

/* What the seats of one worker share. */
struct seat_host {
    struct loop *loop;                     /* borrowed */
    struct list seats;                     /* that have connections */
    struct http2_client_settings settings; /* lent to connections, so it stays put */
    uint32_t open_max;                     /* this worker's connections to one endpoint */
};

/* So many failures in a row are the endpoint's; a single one may be one page's. */
enum { SEAT_FAILURES_MAX = 2 };

/* Zeroed memory is a seat that was never used. */
struct endpoint_seat {
    struct client_keeper keeper;
    struct http2_keeper shared_keeper;
    struct endpoint *endpoint; /* borrowed; NULL before the first use */
    struct endpoint_cells *cells;
    struct seat_host *host; /* borrowed; NULL before the first connection */
    struct list link;       /* in host->seats, exactly while there are connections */
    struct list idle;       /* HTTP/1.1 connections, the latest used first */
    struct list shared;     /* HTTP/2 connections that take calls, or are being made */
    uint32_t idle_count;    /* connections without a call, of both kinds */
    uint32_t live_count;    /* connections that are not closed: what the cap is about */
    uint32_t in_flight;     /* requests */
    uint32_t streams_seen; /* what the latest HTTP/2 connection carries at once; 0: none was made */
    bool is_http1_chosen;  /* by ALPN, the last time */
    struct cell open_count; /* connections, idle or not; control waits for its end */
    uint64_t epoch;         /* the newest snapshot that is known to name the endpoint */
    bool is_retired;        /* the configuration has forgotten it: connections are not kept */
    uint32_t failure_count; /* attempts that failed since it last did well, at most
                               SEAT_FAILURES_MAX; so many at once when nothing answered */
    struct eject_state eject;
    struct tls_resume resume; /* its connections' newest TLS session */
    bool speaks_rpc;          /* it has answered a call of gRPC as one */
    bool is_tls_trouble_told; /* why handshakes fail was logged; until one goes well */
};

/* For endpoint_seat: the first use. */
void seat_init(struct endpoint_seat *seat, struct endpoint *endpoint, struct endpoint_cells *cells);

/* How a call would get its connection. */
enum seat_prospect {
    SEAT_TAKES, /* there is one with room */
    SEAT_JOINS, /* one is being made */
    SEAT_DIALS  /* a further one is needed */
};
enum seat_prospect seat_prospect(const struct endpoint_seat *seat, enum client_speech speech,
                                 const struct tls_client *tls, bool is_fresh);

/* A connection for a call that speaks as it must and was made as `tls` (NULL: without) makes them
 * now: one that is shared and has room, or the most recently used idle one. client_send may follow.
 * NULL: there is none. One on which the origin has spoken out of turn, or that it has ended, is
 * closed and passed over. `is_fresh`: no idle one, since another has just turned out to be dead.
 * The seat's worker, as all below. */
struct client *seat_checkout(struct endpoint_seat *seat, enum client_speech speech,
                             const struct tls_client *tls, bool is_fresh,
                             const struct client_ops *ops, void *call);
/* Opens a further connection for the call, or has it wait for one that is being made; `way` needs
 * no `resume`, which is the seat's. host->open_max bounds this worker's connections to the
 * endpoint: the longest idle one makes room, without one the error is ERR_LIMIT, as when the
 * process is out of descriptors: our own lack, never the endpoint's failure. ERR_NOMEM and ERR_IO
 * are the kernel's. */
MUST_USE enum err seat_connect(struct endpoint_seat *seat, struct seat_host *host,
                               const struct client_way *way, uint64_t connect_us,
                               const struct client_ops *ops, void *call,
                               struct client **ret_client);
/* The call is over: keeps the connection for the next one where it can carry one, else closes it. A
 * shared one stays in any case, and what is missing of the answer is not waited for. */
void seat_checkin(struct endpoint_seat *seat, struct client *client, uint64_t idle_us);
/* The call is over, and so is the connection, unless it is shared. */
void seat_drop(struct endpoint_seat *seat, struct client *client);
/* The call is over but its answer is not: what is left of it is read and thrown away, to keep the
 * connection, unless it is long or slow to come, or the connection is shared. */
void seat_drain(struct endpoint_seat *seat, struct client *client, uint64_t idle_us);
/* Closes the connection that was idle for the longest; there is one. */
void seat_close_oldest(struct endpoint_seat *seat);
/* Closes what is idle. */
void seat_close_idle(struct endpoint_seat *seat);
/* The configuration no longer names the endpoint: closes what is idle, and later what comes back.
 */
void seat_retire(struct endpoint_seat *seat);

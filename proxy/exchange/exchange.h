/* proxy/exchange/exchange.h — one request's life, from its head to the last byte of its answer.
 *
 * An exchange is opened by a server codec through the handler port, takes the worker's lease (one
 * request sees one configuration, first byte to last, but for one that has waited for another's
 * answer when its canary lost its weight), asks the router which version answers, and
 * makes attempts at endpoints of it until one answers or there is nothing left to try. Bodies flow
 * through it in both directions at the slower side's pace. It lives in the request's arena, so it
 * is gone with its last call to the responder. Which protocol the client speaks it cannot tell but
 * by the request's version. One worker's loop.
 *
 *                 no idle connection            connected
 *      OPEN --------------------> CONNECTING ----------------+
 *       |  idle connection                                   v
 *       +-----------------------------------------------> WAITING (head sent, request body flows)
 *       |                             ^   retry               |  final head
 *       |  our own answer             +-----------------------+--> RELAYING --> CLOSED
 *       +-----------------------------------------------------|--> TUNNEL  ------^
 *       |  no version can answer, but one was kept (cached.h) |                  |
 *       +-----------------------------------------------------+--> SERVING ------^
 *                                                             +------------------^  failed: answer
 * of our own, or cut
 */
#pragma once
#include "metrics/access_log.h"
#include "proxy/http/date.h"
#include "proxy/http/framing.h"
#include "proxy/http/handler.h"
#include "proxy/snapshot/snapshot.h"

enum { EXCHANGE_FLIGHT_CHAINS = 256 };

/* What the exchanges of one worker share; embedded in the worker. */
struct exchange_host {
    struct handler handler; /* what server codecs are given */
    struct loop *loop;      /* borrowed */
    unsigned worker_index;
    struct snapshot *snapshot;  /* the newest; its lease is this worker's; NULL before the first */
    struct worker_cells *cells; /* borrowed */
    struct date date;           /* for answers that have none */
    struct access_log *access_log;               /* borrowed; NULL: off */
    struct inbox *control;                       /* borrowed: where leases go home to */
    struct seat_host upstream;                   /* of this worker's connections to endpoints */
    struct list mirrors;                         /* copies of requests under way; owned */
    struct list lasting;                         /* exchanges that may last for hours (lasting.h) */
    struct list flights[EXCHANGE_FLIGHT_CHAINS]; /* fetches that other requests wait for, by the
                                                    hash of what they fetch (fresh.h) */
    bool is_draining;
    size_t exchange_count;
};

void exchange_host_init(struct exchange_host *host, struct loop *loop, unsigned worker_index,
                        struct worker_cells *cells);
/* Makes `snapshot` the one that new requests use; the one before goes home when its last request is
 * over. The worker. */
void exchange_host_adopt(struct exchange_host *host, struct snapshot *snapshot);
/* The process is going to end: WebSockets are told so, spread over a part of the drain's time. The
 * worker. */
void exchange_host_drain(struct exchange_host *host);
/* Nothing more will be asked: closes idle connections to origins and gives the last lease up. The
 * worker. */
void exchange_host_finish(struct exchange_host *host);

/* proxy/exchange/mirror.h — copies of safe requests, sent to a canary that has no weight yet.
 *
 * The client is answered by the stable version and notices nothing: a copy is made before the
 * request is sent, has memory, a connection and deadlines of its own, and what comes back is
 * counted in the canary's ledger and thrown away. It is tried once. A body is read for at most
 * OUTCOME_SETTLE_MS and MIRROR_BODY_MAX, so that one long answer costs one connection at most.
 *
 * A copy holds no lease. It uses what the newest snapshot names (service, version) and its open
 * connection keeps the endpoint; mirrors_follow ends the copies for which a new snapshot has no
 * use, before the old one can go home. So copies hold up neither a drain nor a reload, and none is
 * counted for a canary that has weight. One worker's loop. */
#pragma once
#include "proxy/base/list.h"

struct exchange;
struct exchange_host;
struct mirror;

enum { MIRROR_BODY_MAX = 1024 * 1024 };

/* The copy of a request that is about to be sent to the stable version, or NULL: none is wanted, or
 * there is no room for it. Gives it; it is to be started in the same turn of the loop. Borrows
 * nothing from the exchange, which may be over by then. */
struct mirror *mirror_copy(struct exchange *exchange);
/* Sends it on its way; takes it. NULL is fine. */
void mirror_start(struct mirror *mirror);

/* The host's snapshot is another one: ends the copies that it has no use for, uncounted. */
void mirrors_follow(struct exchange_host *host);
/* Ends all of them, uncounted. */
void mirrors_end(struct exchange_host *host);

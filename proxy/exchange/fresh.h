/* proxy/exchange/fresh.h — `cache: {mode: full}`: what is kept answers first.
 *
 * A fresh answer goes out without an origin. A stale one is asked about (If-None-Match): a 304
 * makes it fresh again. While that, or the first fetch of a page, is under way, this worker's other
 * requests for it wait, or, where the answer allows stale-while-revalidate, get the stale one. Who
 * has waited too long, or in vain, asks by itself. When a client goes away in the middle of its
 * fetch, the next one takes its place. Each worker has flights of its own: a page that
 * everybody wants at once is fetched once by each worker, at most.
 *
 *     OPEN -- another one fetches it --> PENDING -- it is there ------> SERVING
 *                                           +------ too late, or not --> CONNECTING, WAITING
 *
 * Part of the exchange; one worker's loop. */
#pragma once
#include "proxy/exchange/cached.h"

/* The version is decided: true when the request was answered, or waits. */
bool fresh_answers(struct exchange *exchange);
/* The request for the origin is made: turns it into a question, if there is something to ask about.
 * ERR_NOMEM, ERR_LIMIT. */
MUST_USE enum err fresh_prepare(struct exchange *exchange);
/* The final head of an attempt is in and counted: true when it was the answer to such a question,
 * and the client gets what is kept. The exchange may be over then. */
bool fresh_on_head(struct exchange *exchange, const struct response *response);
/* The value of Cache-Status for an answer that is relayed; empty: none. */
struct bytes fresh_status(const struct exchange *exchange, char text[CACHE_STATUS_MAX]);
/* It waited long enough. */
void fresh_on_late(struct exchange *exchange);
/* The exchange's client is gone, and what it fetched with it: one of those who wait fetches in its
 * place, and the others go on waiting, as long as they would have. */
void fresh_on_gone(struct exchange *exchange);
/* Those who wait for this exchange go on; nothing happens when nobody can. */
void fresh_land(struct exchange *exchange);
/* There is a new snapshot: who waits for a canary that has no weight in it waits no longer. */
void fresh_follow(struct exchange_host *host);
/* The exchange ends. */
void fresh_end(struct exchange *exchange);

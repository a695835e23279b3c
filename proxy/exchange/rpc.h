/* proxy/exchange/rpc.h — exchanges that speak gRPC: their status is not HTTP's.
 *
 * A call of gRPC that failed is a 200, and says so in a field: of its trailers, or of its head when
 * it has nothing else to say. So what counts as a failure is known at the end of an answer, for
 * which reason these answers neither count nor weigh as good at their heads. A client's own
 * deadline (`grpc-timeout`) ends a call like the client's leaving: it is no evidence, or clients
 * could make a version fail. Origins know it too, and mostly give up before our clock does: with
 * any status, or with a reset. What they say then is no evidence either, neither bad nor good. A
 * client so only takes its own calls out of the count. What Serin has to say itself is said in
 * gRPC's words. Shared by the files of this room and nobody else. */
#pragma once
#include "proxy/exchange/exchange_state.h"

/* A request has come: is it a call, and how long does its client wait? */
void rpc_note_request(struct exchange *exchange);
/* The deadline of the whole exchange: the client's, where that is the nearer one. 0: none. */
uint64_t rpc_total_us(struct exchange *exchange, uint64_t total_us);
/* Is the client's deadline over, or so nearly that an origin may have gone by it? false: there is
 * none. */
bool rpc_is_past_deadline(const struct exchange *exchange);
/* It has passed, and it was the client's. The last call. */
void rpc_time_out(struct exchange *exchange);

/* The final head of an attempt is in. */
void rpc_note_head(struct attempt *attempt, const struct response *response);
/* The answer has ended as its framing says; `trailers` may be NULL. */
void rpc_note_end(struct attempt *attempt, const struct fields *trailers);
/* Is it an answer whose status is still to come? */
bool rpc_is_open(const struct attempt *attempt);
/* Did the call fail, as the service sees it? false while that is not known. */
bool rpc_has_failed(const struct exchange *exchange);
/* The same for outlier ejection: as a 5xx of HTTP, whatever the service calls a failure. */
bool rpc_is_unwell(const struct attempt *attempt);
/* Did the call end that way because its client's time was over? */
bool rpc_is_no_evidence(const struct exchange *exchange, enum attempt_end end);
/* Did its client wait for longer than the judge calls slow, and in vain? Such calls are no
 * failures, but are latencies, of either version: a canary that hangs is not to be seen otherwise,
 * and one that answers as late as the stable version is not slow. */
bool rpc_is_slow(const struct exchange *exchange, enum attempt_end end);

/* Answers in gRPC's words, where the client is one and `answer` a failure; false: it is not. The
 * last call. */
bool rpc_answer(struct exchange *exchange, const struct answer *answer);
/* Ends an answer that has begun with this status, where its framing has room for trailers; else it
 * is cut. Everything is counted. The last call. */
void rpc_end(struct exchange *exchange, int status, struct bytes message);

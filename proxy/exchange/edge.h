/* proxy/exchange/edge.h — what an edge does for a site before any version of it is asked.
 *
 * Answers challenges of certificate authorities, sends plain HTTP on to HTTPS, tells browsers to
 * stay there, and holds back clients that ask too often. All of it is off unless configured, and
 * then costs a request a few comparisons. The worker. */
#pragma once
#include "proxy/exchange/exchange_state.h"

enum { EDGE_FIELDS_MAX = 1 };

/* Before routing. True: the request was answered, the exchange is over. */
bool edge_answers_challenge(struct exchange *exchange);
/* After the service is known, before its version is. True as above. */
bool edge_answers(struct exchange *exchange, bool is_peer_trusted);
/* Fields that every answer to this client gets; returns how many. */
size_t edge_fields(const struct exchange *exchange, struct field fields[EDGE_FIELDS_MAX]);

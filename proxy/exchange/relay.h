/* proxy/exchange/relay.h — the answer's way from an origin's connection to the client: callbacks
 * for attempt.c. */
#pragma once
#include "proxy/http/message.h"

struct exchange;

/* `call` is the exchange; the meaning is that of client_ops (http1_client.h). */
void relay_on_inform(void *call, const struct response *response);
/* Gives the final head to the client; what follows it is relayed. False when that failed and the
 * exchange is over. */
bool relay_answer(struct exchange *exchange, const struct response *response);
void relay_on_head(void *call, const struct response *response);
void relay_on_body(void *call, struct bytes piece);
void relay_on_end(void *call, const struct fields *trailers);
void relay_on_origin_drained(void *call);

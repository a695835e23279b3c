/* proxy/exchange/relay.h — the answer's way from an origin's connection to the client: callbacks
 * for attempt.c. */
#pragma once
#include "proxy/base/err.h"
#include "proxy/http/message.h"
#include "proxy/http/reverse.h"

struct exchange;

/* `call` is the exchange; the meaning is that of client_ops (proxy/http/client.h). */
void relay_on_inform(void *call, const struct response *response);
/* Gives the final head to the client; what follows it is relayed. False when that failed and the
 * exchange is over. */
bool relay_answer(struct exchange *exchange, const struct response *response);
/* Only the head, with what every answer to this client gets besides. ERR_LIMIT, ERR_NOMEM: nothing
 * was sent. */
MUST_USE enum err relay_send_head(struct exchange *exchange, const struct response *response);
/* The origin's name, and the site as the client calls it; a trusted proxy in front may know that
 * better than we do. Only with an attempt. */
struct reverse_facts relay_site(const struct exchange *exchange);
/* An answer's head without the origin's own name, where that is hidden: what is kept has been
 * cleaned of it, and what is put into that is cleaned alike. In the arena. ERR_NOMEM. */
MUST_USE enum err relay_clean(struct exchange *exchange, const struct response *response,
                              struct response *ret_response);
void relay_on_head(void *call, const struct response *response);
void relay_on_body(void *call, struct bytes piece);
void relay_on_end(void *call, const struct fields *trailers);
void relay_on_origin_drained(void *call);

/* proxy/exchange/lasting.h — exchanges that may last for hours, and how they end when their version
 * loses its traffic or the process drains.
 *
 * Tunnels and event streams are kept in a list of their worker; ordinary requests never are. Each
 * has a bucket as clients have (split.h): the client's own, or one drawn evenly from the share that
 * sent it. When a snapshot lowers the canary's weight, exactly those that run on it with a bucket
 * outside the new weight are called: so of a hundred that came at 20 % fifty go at 10 %, none of
 * those that came at 10 %, and at 0 all. A call has a moment of its own, so that clients do not
 * come again all at once, and an end that holds.
 *
 *               called            its moment              between two frames
 *     STANDING ---------> CALLED ------------> DUE -----------------------> CLOSED --> (over)
 *                           |  no WebSocket     |  the end has come           the client's Close,
 *                           +-------> cut <-----+                             or waited long enough
 *
 * Owned by the exchange, in its arena; shared by the files of this room and nobody else. */
#pragma once
#include "proxy/exchange/exchange_state.h"

/* The answer's head is about to go to the client: an exchange that may last is listed. Nothing
 * happens to others. ERR_NOMEM. */
MUST_USE enum err lasting_begin(struct exchange *exchange, const struct response *response);
/* The exchange is being closed: forgets it. */
void lasting_end(struct exchange *exchange);

/* The tunnel's origin says `piece`: what of it goes to the client. */
struct bytes lasting_pass(struct exchange *exchange, struct bytes piece);
/* What lasting_pass gave was handed to the client: if the moment has come, and the frame's end, the
 * Close follows. */
void lasting_passed(struct exchange *exchange);
/* The tunnel's client has said `piece`, and it was handed to the origin. */
void lasting_client_passed(struct exchange *exchange, struct bytes piece);
/* Has the client been told to go? What the origin still says is for nobody. */
bool lasting_is_closed(const struct exchange *exchange);
/* Then: the exchange is over. Its last call. */
void lasting_finish(struct exchange *exchange);
/* How it was ended, for the access log. */
enum access_ending lasting_ending(const struct exchange *exchange);

/* The worker moves from `before` to `now`: calls those that no longer belong where they are. */
void lasting_follow(struct exchange_host *host, const struct snapshot *before,
                    const struct snapshot *now);
/* The process drains: WebSockets are told that the server goes away. */
void lasting_drain(struct exchange_host *host);

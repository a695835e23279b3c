/* proxy/io/tcp_race.h — connects to the addresses of one name; the first that answers wins.
 *
 * The addresses get their turns in order, from `first` around: the next one when the one before has
 * failed, or TCP_RACE_STAGGER_MS after it began (RFC 8305 section 5). As address_sort has both
 * families in turn, one that swallows packets costs that pause and no more. What is still on its
 * way when one wins is closed. Owned by its tcp_stream until it ends; the loop's thread. */
#pragma once
#include "proxy/io/tcp_stream.h"

enum { TCP_RACE_STAGGER_MS = 250, TCP_RACE_LANES_MAX = 8 };

struct tcp_race;
/* The last call, in an event and never from inside tcp_race_start: a connected descriptor, given,
 * or -1 and the last errno. The race is over: nobody may use it. */
typedef void tcp_race_on_end(void *context, int fd, int error);

/* Addresses are copied; of more than TCP_RACE_LANES_MAX the first ones run. ERR_NOMEM, ERR_LIMIT:
 * our own lack. */
MUST_USE enum err tcp_race_start(struct loop *loop, const struct tcp_route *route,
                                 tcp_race_on_end *on_end, void *context,
                                 struct tcp_race **ret_race);
/* No call follows. */
void tcp_race_cancel(struct tcp_race *race);

/* proxy/io/resolver.h — from names to addresses, on the loop and never in its way.
 *
 * c-ares asks the servers of /etc/resolv.conf; /etc/hosts and `localhost` (RFC 6761 section 6.3)
 * come first. No thread, no waiting: a server that keeps silent costs a socket and a timer until
 * the deadline. Each look-up has a channel of its own, because c-ares 1.18 can cancel only a whole
 * channel, and because a new channel reads resolv.conf as it is by now. Embedded; used only by the
 * loop's thread (control). */
#pragma once
#include "proxy/base/list.h"
#include "proxy/io/address.h"
#include "proxy/io/loop.h"

enum {
    RESOLVER_ADDRESSES_MAX = 8, /* of one answer; of more the first in address_sort's order */
    RESOLVER_DEADLINE_DEFAULT_US = 5 * 1000 * 1000,
    RESOLVER_TTL_NONE = 0 /* DNS said nothing (a hosts file), or "do not keep" */
};

struct resolver_options {
    const char *servers;  /* "192.0.2.53:53,[2001:db8::53]:53" instead of resolv.conf; NULL: not */
    uint64_t deadline_us; /* of one look-up; 0: default */
};

struct resolver {
    struct loop *loop; /* borrowed */
    char *servers;     /* owned; NULL: resolv.conf */
    uint64_t deadline_us;
    struct list lookups; /* under way; each owns itself */
};

/* What came of a look-up; all of it is lent until return. */
struct resolver_answer {
    enum err err;       /* ERR_NOT_FOUND: no such name, or it has no address; ERR_TIMEOUT: nobody
                           answered in time; ERR_IO: the servers could or would not; ERR_NOMEM */
    const char *reason; /* a few words for a human; "" with OK */
    const union address *addresses; /* sorted by address_sort; at least one with OK */
    size_t address_count;
    uint32_t ttl_s; /* the shortest of all that was answered, or RESOLVER_TTL_NONE */
};

struct resolver_lookup;
/* Called once per look-up that is not cancelled, in an event of the loop, never from inside
 * resolver_start; the look-up is gone afterwards. */
typedef void resolver_on_done(void *context, const struct resolver_answer *answer);

/* Copies the options (NULL: all defaults), borrows the loop. ERR_NOMEM; ERR_IO when c-ares cannot
 * start. */
MUST_USE enum err resolver_init(struct resolver *resolver, struct loop *loop,
                                const struct resolver_options *options);
/* Cancels all look-ups. Their handles close on the loop, which has to run a little further. */
void resolver_finish(struct resolver *resolver);

/* Looks up IPv4 and IPv6 addresses of `name` (copied), which get the port given. An address instead
 * of a name is its own answer. ERR_NOMEM; ERR_IO when c-ares cannot start (no descriptors,
 * unreadable `servers`). */
MUST_USE enum err resolver_start(struct resolver *resolver, const char *name, uint16_t port,
                                 resolver_on_done *on_done, void *context,
                                 struct resolver_lookup **ret_lookup);
/* Ends a look-up; no call follows. */
void resolver_cancel(struct resolver_lookup *lookup);

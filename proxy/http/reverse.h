/* proxy/http/reverse.h — what an origin says of its own name, said of the site's.
 *
 * An origin behind a name of its own (a deployment's host) puts that into redirects and cookies,
 * and asks robots to stay away from it. Passed on, the first would lead clients around the proxy,
 * the second would be refused by them, and the third would take the site out of every index. Pure;
 * any thread. */
#pragma once
#include "proxy/base/arena.h"
#include "proxy/base/err.h"
#include "proxy/http/fields.h"

struct reverse_facts {
    struct bytes origin;    /* host[:port] that the origin goes by; never empty */
    struct bytes scheme;    /* "http" or "https": how the client reached the site */
    struct bytes authority; /* the site's host[:port] as the client calls it; empty: not known, then
                               redirects stay what they are */
};

/* Changes an answer's fields in place:
 * - Location and Content-Location that are absolute and name the origin (with its port, or none)
 *   name the site;
 * - Domain of a Set-Cookie that covers the origin becomes the site's host, or goes where that is an
 *   address or a single word (RFC 6265 section 5.1.3);
 * - X-Robots-Tag goes where it says `noindex` and no more, as deployment hosts do; what an
 *   application says (`noindex, nofollow`, or for one robot) stays;
 * - Alt-Svc goes: it speaks of other ways to the origin's name (RFC 7838).
 * New values are in the arena, all else is borrowed as before. ERR_NOMEM: some may be changed. */
MUST_USE enum err reverse_fields(struct fields *fields, const struct reverse_facts *facts,
                                 struct arena *arena);

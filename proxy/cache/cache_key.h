/* proxy/cache/cache_key.h — what makes two requests ask for the same stored answer.
 *
 * The primary key is the version that answers (so that what a canary said is never told as the
 * stable version's), scheme and authority as the client named the site, the Host it came with, and
 * the target to the letter. GET and HEAD share it. The secondary key is made of those request
 * fields that the stored answer's Vary names (RFC 9111 section 4.1). Both are compared byte by
 * byte: the hash only finds the bucket. Pure; any thread. */
#pragma once
#include "proxy/base/arena.h"
#include "proxy/base/err.h"
#include "proxy/base/hash.h"
#include "proxy/http/fields.h"

enum { CACHE_KEY_MAX = 16 * 1024, CACHE_VARY_NAMES_MAX = 16, CACHE_VARY_MAX = 8 * 1024 };

struct cache_key_facts {
    struct bytes service;    /* name */
    struct bytes deployment; /* name of the version; empty only where a service has but one */
    struct bytes scheme;     /* "http" or "https" */
    struct bytes authority;  /* host[:port] as the client named it; may be empty */
    struct bytes target;     /* origin-form */
    struct bytes host;       /* Host of the request, where a proxy in front names the site; may be
                                empty: origins get that too */
    struct bytes besides; /* what else origins are told of the site; a key has no room for what is
                             larger than CACHE_KEY_MAX */
};

struct cache_key {
    struct bytes text; /* in the arena; opaque */
    uint64_t hash;     /* of the text, by the seed */
};

/* Hosts are lower-cased and the scheme's own port is left out; nothing else is changed, for an
 * origin may tell "/a%7e" from "/a~". ERR_LIMIT past CACHE_KEY_MAX, ERR_NOMEM. */
MUST_USE enum err cache_key_make(const struct cache_key_facts *facts, struct hash_key seed,
                                 struct arena *arena, struct cache_key *ret_key);

static inline bool cache_key_equal(const struct cache_key *a, const struct cache_key *b)
{
    return a->hash == b->hash && bytes_equal(a->text, b->text);
}

/* Writes the secondary key of an answer: the names in its Vary and what the request (as the client
 * sent it) said in each. In the arena; empty when there is no Vary. ERR_UNSUPPORTED for `*`, for
 * what is no list of names, and for names of what Serin tells an origin in the client's stead (its
 * address, an id): no request ever matches. ERR_LIMIT past the bounds above, ERR_NOMEM. */
MUST_USE enum err cache_vary_make(const struct fields *response, const struct fields *request,
                                  struct arena *arena, struct bytes *ret_vary);

/* Does a request say the same in all fields of a secondary key? Several lines of a field are one;
 * blanks and letter case count only where their meaning is not known to be nothing; Serin's own
 * cookies do not count. An absent field is not an empty one. */
bool cache_vary_matches(struct bytes vary, const struct fields *request);

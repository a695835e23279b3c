/* proxy/http/forward.h — what a message looks like on its way through a proxy (RFC 9110
 * section 7.6).
 *
 * Hop-by-hop fields and those that Connection names stay behind, in both directions; Via,
 * X-Forwarded-* or Forwarded, X-Request-Id and traceparent come in. Fields that frame a message
 * (Content-Length, Transfer-Encoding, Connection, TE, Upgrade) are never copied: the writer makes
 * them from `body`, `is_keep_alive`, `upgrade` and `accepts_trailers`. A WebSocket that comes by
 * HTTP/2 gets a key of ours (RFC 8441 section 5), whose answer stays behind on the way back.
 * Results borrow from the input message, the facts and the arena. Pure; any thread. */
#pragma once
#include "proxy/base/arena.h"
#include "proxy/base/err.h"
#include "proxy/base/hash.h"
#include "proxy/http/message.h"

enum {
    FORWARD_FIELDS_ADDED_MAX = 9, /* an out array needs room for the message's fields and these */
    FORWARD_REQUEST_ID_MAX = 128  /* a longer X-Request-Id is replaced */
};

/* How an origin learns who asked; may be combined. */
enum forward_client { FORWARD_CLIENT_NONE = 0, FORWARD_CLIENT_X = 1, FORWARD_CLIENT_RFC7239 = 2 };

struct forward_facts {
    struct bytes peer_address;     /* the client's address as text, without port or brackets */
    struct bytes scheme;           /* "http" or "https": how the client reached us */
    struct bytes origin_authority; /* the origin's own host[:port]; never empty */
    bool is_host_kept;             /* send the client's Host; else the origin's own */
    bool is_behind_edge;           /* the origin's edge speaks CF-* fields: nobody else may */
    bool is_peer_trusted;          /* its X-Forwarded-* and Forwarded are believed and continued */
    unsigned client_fields;        /* enum forward_client, or-ed */
};

/* Makes the request for the origin. `out_items` has room for out_max fields. Nothing of `in`
 * changes. For a second attempt at another origin keep the result and change its Host by
 * forward_set_host: ids stay what they were. ERR_LIMIT when the fields do not fit, ERR_NOMEM when
 * the arena is out. */
MUST_USE enum err forward_request(const struct request *in, const struct forward_facts *facts,
                                  struct random *random, struct field *out_items, size_t out_max,
                                  struct arena *arena, struct request *ret_out);

/* Does an origin learn in this field of a request what Serin makes of it, and not what its client
 * said? Not so of the host and the scheme, which go by what the client named. */
bool forward_is_remade(struct bytes name);

/* What origins are told in X-Forwarded-Proto or X-Forwarded-Host of this client's request: what a
 * trusted peer says there, once and not for the next hop alone, else `own`. */
struct bytes forward_told(const struct request *in, bool is_peer_trusted, enum field_id id,
                          struct bytes own);

/* What else origins are told of the site by a trusted peer: proto and host of its Forwarded, and
 * X-Forwarded-Port, -Prefix, -Scheme and -Ssl; one text in the arena, empty where there is nothing.
 * ERR_NOMEM. */
MUST_USE enum err forward_told_besides(const struct request *in, bool is_peer_trusted,
                                       struct arena *arena, struct bytes *ret_text);

/* Names another origin in a request that forward_request made (a retry or rescue elsewhere). */
void forward_set_host(struct request *out, struct bytes authority);

struct forward_back_facts {
    enum http_version client_version; /* of the request being answered */
    bool is_client_keep_alive;        /* may our connection to the client live on */
    bool is_head;                     /* the request was HEAD */
    struct bytes date;         /* IMF-fixdate, for a response without Date; empty: add none */
    const struct field *extra; /* appended as they are (Set-Cookie); borrowed */
    size_t extra_count;
};

/* Makes the response for the client, final or informational. Decides its framing too: what an
 * HTTP/1.1 client gets chunked goes to an HTTP/1.0 client until close. Errors as above. */
MUST_USE enum err forward_response(const struct response *in,
                                   const struct forward_back_facts *facts, struct field *out_items,
                                   size_t out_max, struct response *ret_out);

/* May a 1xx other than 101 be shown to a client of this version? RFC 9110 section 15.2: never to
 * HTTP/1.0. */
bool forward_may_inform(enum http_version client_version);

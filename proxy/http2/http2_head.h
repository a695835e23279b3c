/* proxy/http2/http2_head.h — a head or trailer section as HPACK gives it, field by field, until it
 * is a request, an answer, or refused (RFC 9113 section 8).
 *
 * Fields are copied into the message's arena while they come. The first objection is remembered
 * and nothing is kept behind it, but sizes are still summed up, so that the caller sees a header
 * bomb. A finished head has passed framing_check_request (or _response) as an HTTP/1.1 head of the
 * same meaning would: what comes out here may be written as HTTP/1.1 and cannot be read in two
 * ways. Nothing is repaired but what the RFC asks for: crumbs of a cookie are joined
 * (section 8.2.3), :authority becomes Host (section 8.3.1). A CONNECT that asks for a WebSocket
 * (RFC 8441) becomes the GET with an `upgrade` that HTTP/1.1 says the same with; its DATA is the
 * tunnel's and no body. Embedded; borrows arena and limits. Pure; any thread. */
#pragma once
#include "proxy/http/framing.h"

enum {
    HTTP2_FIELD_OVERHEAD = 32, /* what a field counts for beside its bytes (section 6.5.2) */
    HTTP2_BOMB_FACTOR = 4      /* so many times the limit of a head is no accident */
};

enum http2_pseudo {
    HTTP2_METHOD,
    HTTP2_SCHEME,
    HTTP2_PATH,
    HTTP2_AUTHORITY,
    HTTP2_PROTOCOL, /* RFC 8441 section 4 */
    HTTP2_STATUS,
    HTTP2_PSEUDO_COUNT
};

enum http2_head_kind { HTTP2_REQUEST_HEAD, HTTP2_RESPONSE_HEAD, HTTP2_TRAILERS };

struct http2_head {
    struct arena *arena;
    const struct framing_limits *limits;
    enum http2_head_kind kind;
    struct field *items; /* of a request: items[0] is Host's place */
    size_t count;
    size_t capacity;
    size_t field_count; /* as they came: crumbs one by one */
    size_t size;        /* of all that came, as SETTINGS_MAX_HEADER_LIST_SIZE counts it */
    size_t cookie_count;
    struct bytes pseudo[HTTP2_PSEUDO_COUNT];
    bool has_pseudo[HTTP2_PSEUDO_COUNT];
    bool has_regular;          /* pseudo-header fields may come no more */
    bool is_secret;            /* some field came as never to be indexed; set by the caller */
    enum reject_reason reason; /* REJECT_NONE: no objection so far */
};

void http2_head_init(struct http2_head *head, enum http2_head_kind kind, struct arena *arena,
                     const struct framing_limits *limits);
/* Takes a field; the bytes are lent until return. */
void http2_head_add(struct http2_head *head, struct bytes name, struct bytes value);
/* More than anybody honest sends by mistake. */
bool http2_head_is_bomb(const struct http2_head *head);

/* The whole head is in; `is_last` when the stream ends with it. Fills the request, which borrows
 * from the arena. ERR_SYNTAX with the reason when it must be refused. */
MUST_USE enum err http2_head_finish(struct http2_head *head, bool is_last,
                                    struct request *ret_request, struct reject *ret_reject);
/* The same of an answer, whose request was HEAD or not; interim answers too, but no 101. */
MUST_USE enum err http2_head_finish_response(struct http2_head *head, bool is_last, bool is_head,
                                             struct response *ret_response,
                                             struct reject *ret_reject);
/* The same for trailers; those that may not stand there are left out (RFC 9110 section 6.5.1). */
MUST_USE enum err http2_head_finish_trailers(const struct http2_head *head,
                                             struct fields *ret_trailers,
                                             struct reject *ret_reject);

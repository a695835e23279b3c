/* proxy/http/message.h — a request or response head, whatever protocol it came in.
 *
 * Codecs fill it, framing has vetted it, everybody above reads it. All runs of bytes are borrowed
 * as fields.h says. Pure data; any thread. */
#pragma once
#include "proxy/http/fields.h"

/* X(ID, "TOKEN", is_safe, is_idempotent): RFC 9110 section 9, RFC 5789 for PATCH. Other tokens get
 * 501. */
#define METHOD_LIST(X)                                                                             \
    X(GET, "GET", true, true)                                                                      \
    X(HEAD, "HEAD", true, true)                                                                    \
    X(POST, "POST", false, false)                                                                  \
    X(PUT, "PUT", false, true)                                                                     \
    X(DELETE, "DELETE", false, true)                                                               \
    X(OPTIONS, "OPTIONS", true, true)                                                              \
    X(PATCH, "PATCH", false, false)                                                                \
    X(TRACE, "TRACE", true, true)                                                                  \
    X(CONNECT, "CONNECT", false, false)                                                            \
    X(PROPFIND, "PROPFIND", true, true)                                                            \
    X(REPORT, "REPORT", true, true)                                                                \
    X(SEARCH, "SEARCH", true, true)                                                                \
    X(MKCOL, "MKCOL", false, true)                                                                 \
    X(COPY, "COPY", false, true)                                                                   \
    X(MOVE, "MOVE", false, true)                                                                   \
    X(LOCK, "LOCK", false, false)                                                                  \
    X(UNLOCK, "UNLOCK", false, true)                                                               \
    X(PROPPATCH, "PROPPATCH", false, true)                                                         \
    X(PURGE, "PURGE", false, true)

enum method {
#define METHOD_ID(id, token, is_safe, is_idempotent) METHOD_##id,
    METHOD_LIST(METHOD_ID)
#undef METHOD_ID
        METHOD_COUNT
};

struct bytes method_text(enum method method);
/* Methods compare with case (RFC 9110 section 9.1). false for a token that the list lacks. */
bool method_of(struct bytes text, enum method *ret_method);
bool method_is_safe(enum method method);
bool method_is_idempotent(enum method method);

enum http_version { HTTP_1_0 = 10, HTTP_1_1 = 11, HTTP_2 = 20 };

/* "HTTP/1.0", "HTTP/1.1", "HTTP/2.0": as access logs write it. */
struct bytes http_version_text(enum http_version version);

/* How a body ends (RFC 9112 section 6.3). */
enum body_kind {
    BODY_NONE,        /* there is none: the head is all */
    BODY_LENGTH,      /* after content_length bytes (may be 0 bytes: `Content-Length: 0`) */
    BODY_CHUNKED,     /* at the last chunk; trailers may follow */
    BODY_UNTIL_CLOSE, /* responses only: when the origin closes */
};

struct request {
    enum method method;
    enum http_version version;
    struct bytes
        target; /* origin-form ("/a?b") or "*"; an absolute-form target arrives here in two parts */
    struct bytes
        authority; /* host[:port] as the client named it; empty only in HTTP/1.0 without Host */
    struct bytes upgrade; /* value of Upgrade when Connection names it, else empty */
    struct fields fields; /* all of them, in order, Host included */
    enum body_kind body;  /* BODY_NONE, BODY_LENGTH or BODY_CHUNKED */
    uint64_t content_length;
    bool is_keep_alive; /* may the connection carry another request */
    bool expects_continue;
    bool accepts_trailers; /* TE: trailers */
    bool is_secret;        /* some field is for no table: http2_outlet.h */
};

struct response {
    unsigned status; /* 100 to 599 */
    enum http_version version;
    struct bytes reason;
    struct bytes upgrade; /* as in a request: only with 101 */
    struct fields fields;
    enum body_kind body;
    uint64_t content_length; /* also what a HEAD or 304 announces, when has_content_length */
    bool has_content_length;
    bool is_keep_alive;
    bool is_secret; /* as in a request */
};

static inline bool response_is_informational(const struct response *response)
{
    return response->status < 200 && response->status != 101;
}

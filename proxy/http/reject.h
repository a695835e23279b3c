/* proxy/http/reject.h — why a message was refused: one list for answers, logs and metric labels.
 *
 * X(ID, "label", status): the label is the value of `reason` in serin_rejected_requests_total and
 * never changes once shipped; the status is what a client gets (DESIGN section 8). For a response
 * of an origin the same reasons apply and the client gets 502, so struct reject carries the status
 * that fits. Pure data; any thread. */
#pragma once
#include "proxy/base/bytes.h"

#define REJECT_LIST(X)                                                                             \
    X(REQUEST_LINE, "request_line", 400)             /* not `method SP target SP version` */       \
    X(METHOD_SYNTAX, "method_syntax", 400)           /* the method is no token */                  \
    X(METHOD_UNKNOWN, "method_unknown", 501)         /* a token that METHOD_LIST lacks */          \
    X(METHOD_CONNECT, "method_connect", 405)         /* Serin is no tunnel */                      \
    X(PROTOCOL_UNKNOWN, "protocol_unknown", 501)     /* HTTP/2: CONNECT for what nobody speaks */  \
    X(TARGET, "target", 400)                         /* a target no method of ours may have */     \
    X(TARGET_TOO_LONG, "target_too_long", 414)       /* the request line is over its limit */      \
    X(VERSION, "version", 505)                       /* neither HTTP/1.0 nor HTTP/1.1 */           \
    X(EMPTY_LINES, "empty_lines", 400)               /* more than one before the request */        \
    X(BARE_CR, "bare_cr", 400)                       /* CR without LF */                           \
    X(BARE_LF, "bare_lf", 400)                       /* LF without CR */                           \
    X(CONTROL, "control", 400)                       /* NUL or another control byte */             \
    X(OBS_FOLD, "obs_fold", 400)                     /* a line that continues the one before */    \
    X(SPACE_BEFORE_COLON, "space_before_colon", 400) /* `Name : value` */                          \
    X(FIELD_NAME, "field_name", 400)                 /* empty, or no token, or no colon */         \
    X(FIELD_TOO_LONG, "field_too_long", 431)         /* a field line over its limit */             \
    X(HEAD_TOO_LONG, "head_too_long", 431)           /* head or trailers over their limit */       \
    X(TOO_MANY_FIELDS, "too_many_fields", 431)       /* more than limits.headers */                \
    X(CONTENT_LENGTH, "content_length", 400)         /* duplicate, list, sign, not decimal */      \
    X(LENGTH_AND_CODING, "length_and_coding", 400)   /* Content-Length with Transfer-Encoding */   \
    X(TRANSFER_ENCODING, "transfer_encoding", 400)   /* not a single final chunked */              \
    X(CODING_UNSUPPORTED, "coding_unsupported", 501) /* a transfer coding that is not ours */      \
    X(CODING_IN_HTTP_1_0, "coding_in_http_1_0", 400) /* Transfer-Encoding in HTTP/1.0 */           \
    X(HOST_MISSING, "host_missing", 400)             /* in HTTP/1.1 */                             \
    X(HOST_DUPLICATE, "host_duplicate", 400)         /* two Host fields */                         \
    X(HOST_INVALID, "host_invalid", 400)             /* not RFC 3986 host and port */              \
    X(HOST_MISMATCH, "host_mismatch", 400)           /* target and Host name two hosts */          \
    X(EXPECTATION, "expectation", 417)               /* other than 100-continue */                 \
    X(CHUNK_SIZE, "chunk_size", 400)                 /* not 1 to 16 hex digits */                  \
    X(CHUNK_EXTENSION, "chunk_extension", 400)       /* malformed, or too much of them */          \
    X(CHUNK_END, "chunk_end", 400)                   /* data not followed by CRLF */               \
    X(TRAILER, "trailer", 400)                       /* a framing field among trailers */          \
    X(PSEUDO_FIELD, "pseudo_field", 400)             /* HTTP/2: missing, unknown, twice, late */   \
    X(CONNECTION_FIELD, "connection_field", 400)     /* HTTP/2: one about the connection */        \
    X(FIELD_VALUE, "field_value", 400)               /* HTTP/2: blanks at an end */                \
    X(BODY_TOO_LARGE, "body_too_large", 413)         /* over limits.body */                        \
    X(HEAD_TIMEOUT, "head_timeout", 408)             /* no head within client_header */            \
    X(BODY_TIMEOUT, "body_timeout", 408)             /* the body stalled for client_body */        \
    X(NO_ROUTE, "no_route", 404)                     /* no service has this host and path */       \
    X(NO_ENDPOINT, "no_endpoint", 503)               /* neither version has a live endpoint */     \
    X(UPSTREAM_LIMIT, "upstream_limit", 503)         /* limits.upstream_connections reached */     \
    X(STATUS_LINE, "status_line", 502)               /* not `HTTP/1.x` and three digits */         \
    X(UNASKED_UPGRADE, "unasked_upgrade", 502)       /* 101 that nobody asked for */               \
    X(NOT_SWITCHED, "not_switched", 502)             /* HTTP/2: 2xx without a WebSocket */         \
    X(ACME_CHALLENGE, "acme_challenge", 404)         /* answered from `acme.webroot` */            \
    X(HTTPS_REDIRECT, "https_redirect", 308)         /* sent on to HTTPS */                        \
    X(RATE_LIMIT, "rate_limit", 429)                 /* the client asks too often */               \
    X(CIRCUIT, "circuit", 503)                       /* the version's limits are reached */        \
    X(PARSER, "parser", 400)                         /* the parser objects where we did not */     \
    X(MEMORY, "memory", 503)                         /* no memory to keep it */

enum reject_reason {
#define REJECT_ID(id, label, status) REJECT_##id,
    REJECT_LIST(REJECT_ID)
#undef REJECT_ID
        REJECT_REASON_COUNT,
    REJECT_NONE = REJECT_REASON_COUNT /* no reason: all is in order */
};

enum { REJECT_STATUS_BAD_RESPONSE = 502 };

struct reject {
    unsigned status; /* of the answer to the client */
    enum reject_reason reason;
};

/* The refusal of a request for this reason, with the status of REJECT_LIST. */
struct reject reject_request(enum reject_reason reason);
/* The refusal of an origin's response for this reason: always 502. */
struct reject reject_response(enum reject_reason reason);
/* The metric label; never NULL. */
const char *reject_label(enum reject_reason reason);

/* proxy/http/fields.h — header and trailer fields as they travel through the house.
 *
 * A field borrows its name and value from whoever parsed or made it: the arena of the exchange for
 * requests, the worker's read buffer (valid during the callback) for responses. Names that Serin
 * must act on have an id, so that nobody compares strings twice. Pure; any thread. */
#pragma once
#include "proxy/base/bytes.h"

/* Every field name the house knows: X(ID, "lower-case-name"). */
#define FIELD_LIST(X)                                                                              \
    X(HOST, "host")                                                                                \
    X(CONTENT_LENGTH, "content-length")                                                            \
    X(TRANSFER_ENCODING, "transfer-encoding")                                                      \
    X(CONNECTION, "connection")                                                                    \
    X(KEEP_ALIVE, "keep-alive")                                                                    \
    X(PROXY_CONNECTION, "proxy-connection")                                                        \
    X(PROXY_AUTHENTICATE, "proxy-authenticate")                                                    \
    X(PROXY_AUTHORIZATION, "proxy-authorization")                                                  \
    X(TE, "te")                                                                                    \
    X(TRAILER, "trailer")                                                                          \
    X(UPGRADE, "upgrade")                                                                          \
    X(HTTP2_SETTINGS, "http2-settings")                                                            \
    X(EXPECT, "expect")                                                                            \
    X(VIA, "via")                                                                                  \
    X(FORWARDED, "forwarded")                                                                      \
    X(X_FORWARDED_FOR, "x-forwarded-for")                                                          \
    X(X_FORWARDED_PROTO, "x-forwarded-proto")                                                      \
    X(X_FORWARDED_HOST, "x-forwarded-host")                                                        \
    X(X_REQUEST_ID, "x-request-id")                                                                \
    X(TRACEPARENT, "traceparent")                                                                  \
    X(TRACESTATE, "tracestate")                                                                    \
    X(COOKIE, "cookie")                                                                            \
    X(SET_COOKIE, "set-cookie")                                                                    \
    X(SERIN_VERSION, "serin-version")                                                              \
    X(SERIN_MIRROR, "serin-mirror")                                                                \
    X(CONTENT_TYPE, "content-type")                                                                \
    X(SEC_FETCH_DEST, "sec-fetch-dest")                                                            \
    X(LOCATION, "location")                                                                        \
    X(X_ROBOTS_TAG, "x-robots-tag")                                                                \
    X(DATE, "date")                                                                                \
    X(SERVER, "server")                                                                            \
    X(USER_AGENT, "user-agent")                                                                    \
    X(REFERER, "referer")                                                                          \
    X(AUTHORIZATION, "authorization")                                                              \
    X(ORIGIN, "origin")                                                                            \
    X(IF_MATCH, "if-match")                                                                        \
    X(IDEMPOTENCY_KEY, "idempotency-key")                                                          \
    X(SEC_FETCH_SITE, "sec-fetch-site")                                                            \
    X(STRICT_TRANSPORT_SECURITY, "strict-transport-security")                                      \
    X(SEC_WEBSOCKET_KEY, "sec-websocket-key")                                                      \
    X(SEC_WEBSOCKET_ACCEPT, "sec-websocket-accept")                                                \
    X(GRPC_STATUS, "grpc-status")                                                                  \
    X(GRPC_TIMEOUT, "grpc-timeout")                                                                \
    X(CACHE_CONTROL, "cache-control")                                                              \
    X(ETAG, "etag")                                                                                \
    X(AGE, "age")                                                                                  \
    X(EXPIRES, "expires")                                                                          \
    X(PRAGMA, "pragma")                                                                            \
    X(VARY, "vary")                                                                                \
    X(LAST_MODIFIED, "last-modified")                                                              \
    X(IF_NONE_MATCH, "if-none-match")                                                              \
    X(IF_MODIFIED_SINCE, "if-modified-since")                                                      \
    X(IF_UNMODIFIED_SINCE, "if-unmodified-since")                                                  \
    X(IF_RANGE, "if-range")                                                                        \
    X(RANGE, "range")                                                                              \
    X(CONTENT_RANGE, "content-range")                                                              \
    X(CONTENT_LOCATION, "content-location")                                                        \
    X(CONTENT_ENCODING, "content-encoding")

enum field_id {
    FIELD_OTHER = 0,
#define FIELD_ID(id, name) FIELD_##id,
    FIELD_LIST(FIELD_ID)
#undef FIELD_ID
        FIELD_ID_COUNT
};

struct field {
    struct bytes name;  /* as it was written */
    struct bytes value; /* without blanks at its ends */
    enum field_id id;
};

/* The id of a name, in any case of letters; FIELD_OTHER for names the house does not know. */
enum field_id field_id_of(struct bytes name);
/* The lower-case name of an id; empty for FIELD_OTHER. */
struct bytes field_id_name(enum field_id id);

struct fields {
    struct field *items; /* borrowed */
    size_t count;
};

/* The first field with this id, or NULL. */
const struct field *fields_find(const struct fields *fields, enum field_id id);
/* The first field with this name (any case), or NULL. */
const struct field *fields_find_name(const struct fields *fields, struct bytes name);
/* Is `token` (any case) an element of the comma-separated list in any field with this id? RFC 9110
 * section 5.6.1. */
bool fields_has_token(const struct fields *fields, enum field_id id, struct bytes token);

/* proxy/http/grpc.h — what a proxy has to know of gRPC: whether a message is one, how a call ended,
 * how long its client waits, and how to say in its words that a call failed here.
 *
 * After the protocol's own documents: "gRPC over HTTP2" (Trailers-Only, Timeout, Status) and "HTTP
 * to gRPC Status Code Mapping". Pure; any thread. */
#pragma once
#include <stdbool.h>

#include "proxy/http/message.h"

/* The statuses that Serin says or looks for itself; there are 17, from OK to UNAUTHENTICATED. */
enum grpc_status {
    GRPC_NONE = -1, /* no answer of gRPC, or its end is not in yet */
    GRPC_OK = 0,
    GRPC_UNKNOWN = 2,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
    GRPC_STATUS_COUNT = 17
};

enum { GRPC_FIELDS_MAX = 8, GRPC_EXTRA_MAX = 4, GRPC_TRAILERS_MAX = 2 };

/* `application/grpc`, also with a subtype (`+proto`) or parameters; not gRPC-Web, whose trailers
 * are in its body. */
bool grpc_is_type(const struct fields *fields);
/* Of a head or trailers: GRPC_NONE without one; one that is no status of gRPC's is GRPC_UNKNOWN. */
enum grpc_status grpc_read_status(const struct fields *fields);
/* `grpc-timeout`; false when there is none, or it is not as the protocol has it. */
bool grpc_read_timeout(const struct fields *fields, uint64_t *ret_us);
/* What a client makes of an answer that is no gRPC. */
enum grpc_status grpc_of_http(unsigned status);

/* An answer of our own that has no body: the status is in its head. `items` has room for
 * GRPC_FIELDS_MAX; all is borrowed. */
struct grpc_reply {
    enum grpc_status status;
    struct bytes message; /* printable ASCII without `%` */
    struct bytes date;    /* empty: none */
    enum http_version client_version;
    bool is_keep_alive;
    const struct field *extra; /* at most GRPC_EXTRA_MAX */
    size_t extra_count;
};
void grpc_make_reply(const struct grpc_reply *reply, struct field *items,
                     struct response *ret_response);
/* The trailers that end an answer which had begun. `items` has room for GRPC_TRAILERS_MAX. */
struct fields grpc_make_trailers(enum grpc_status status, struct bytes message,
                                 struct field *items);

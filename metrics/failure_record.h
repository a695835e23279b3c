/* metrics/failure_record.h — what is kept of a request that the canary failed.
 *
 * Plain data that borrows its strings. Secrets are not in it: the heads come without them
 * (proxy/http/head_text.h), and of a target only the path. Times below zero mean "did not happen".
 * Any thread. */
#pragma once
#include "metrics/catalog.h"
#include "proxy/base/bytes.h"

/* Longest piece of each kind that is kept, in bytes; the rest is cut off. */
enum {
    FAILURE_PATH_MAX = 1024,
    FAILURE_TEXT_MAX = 256,
    FAILURE_REQUEST_HEAD_MAX = 2048,
    FAILURE_RESPONSE_HEAD_MAX = 1024
};

/* One version's answer to the request, or the lack of one. */
struct failure_answer {
    unsigned status;      /* 0: none */
    unsigned grpc_status; /* of a gRPC answer; 0: OK, or none */
    int64_t connect_us;   /* from the attempt's start to the request sent; 0: a pooled connection */
    int64_t first_byte_us; /* from the attempt's start to the end of the answer's head */
    int64_t total_us;      /* of the attempt */
    int64_t size;          /* of its body; below zero: not known */
};

struct failure_record {
    int64_t wall_us; /* when the request's head was complete */
    struct bytes method;
    struct bytes path;       /* up to FAILURE_PATH_MAX; without query */
    struct bytes deployment; /* these up to FAILURE_TEXT_MAX */
    struct bytes endpoint;
    struct bytes request_id;
    struct bytes error;         /* what went wrong, in words */
    struct bytes request_head;  /* up to FAILURE_REQUEST_HEAD_MAX; empty: not kept */
    struct bytes response_head; /* up to FAILURE_RESPONSE_HEAD_MAX; the same */
    enum metric_failure kind;
    struct failure_answer canary;
    bool is_rescued;              /* the stable version was asked, */
    struct failure_answer stable; /* ... and said this */
    unsigned client_status;       /* what the client got; 0: nothing */
    bool is_bad_for_client;
    bool is_from_cache; /* it got what was kept of an answer */
    bool has_bucket;
    uint32_t bucket;  /* of the client's stickiness */
    int64_t queue_us; /* from the request's head to the attempt's start */
    int64_t total_us; /* of the whole request */
    uint64_t request_bytes;
    uint64_t response_bytes; /* that the client got */
};

/* metrics/access_record.h — what is known of a finished request, and how it reads as a line.
 *
 * Plain data that borrows its strings, and two pure writers: JSON for programs (one object per
 * line) and the combined format that web servers have written since NCSA httpd and Apache made it
 * common. Whatever clients and origins put into the strings, a record is exactly one line. Any
 * thread. */
#pragma once
#include "metrics/catalog.h"
#include "proxy/base/buf.h"

/* Longest piece of each kind that is kept, in bytes; the rest is cut off. */
enum { ACCESS_TARGET_MAX = 2048, ACCESS_TEXT_MAX = 256 };

/* How Serin itself ended an exchange that could have lasted. */
enum access_ending {
    ACCESS_ENDING_NONE,
    ACCESS_ENDING_MOVED,   /* a WebSocket was closed with 1012, a stream of gRPC ended with
                              UNAVAILABLE: its version had lost its share */
    ACCESS_ENDING_CUT,     /* cut at the deadline, for the same reason */
    ACCESS_ENDING_DRAINED, /* a WebSocket was closed with 1001, the process was about to end */
    ACCESS_ENDING_COUNT
};

/* What is known of a finished request. Empty strings and numbers below zero mean "there was none".
 */
struct access_record {
    int64_t wall_us;     /* when its head was complete */
    struct bytes client; /* address, without port */
    struct bytes method;
    struct bytes target;   /* up to ACCESS_TARGET_MAX; all others up to ACCESS_TEXT_MAX */
    struct bytes protocol; /* "HTTP/1.1" */
    struct bytes host;
    struct bytes service;
    struct bytes endpoint; /* the one that answered, or was tried last */
    struct bytes request_id;
    struct bytes referer;
    struct bytes user_agent;
    unsigned status;             /* the client's; 0 when it got none */
    int grpc_status;             /* of a gRPC answer that it got; below zero: none */
    enum metric_role role;       /* METRIC_ROLE_COUNT: not routed */
    enum metric_failure failure; /* of the last attempt that failed; METRIC_FAILURE_COUNT: none */
    bool is_rescued;             /* the stable version was asked for what the canary failed */
    enum access_ending ending;
    enum metric_cache
        cache; /* what came of looking for a kept answer; METRIC_CACHE_COUNT: nobody did */
    unsigned attempts;
    uint64_t request_bytes;  /* body received */
    uint64_t response_bytes; /* body sent */
    uint64_t duration_us;
    int64_t upstream_duration_us; /* of the last attempt; -1: none */
};

/* Appends the line, line feed included. Strings are written as far as they are given: the limits
 * above are the ring's. The buf's is_failed says whether it fitted. */
void access_record_write_json(const struct access_record *record, struct buf *line);
/* "client - - [time] "request line" status bytes "referer" "user agent"", times in UTC. Bytes that
 * could end a field or a line, and all above ASCII, become \xHH. */
void access_record_write_combined(const struct access_record *record, struct buf *line);

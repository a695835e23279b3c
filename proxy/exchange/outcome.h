/* proxy/exchange/outcome.h — what the end of an attempt means: for the judge, for the counters, for
 * the client.
 *
 * One table instead of a rule per place. An attempt is looked at up to three times: when its head
 * was read (a failing status counts at once), one second after that (a stream would never count
 * otherwise), and at its end. The caller remembers in `is_counted` whether an earlier look counted
 * it. Pure values; any thread, but for outcome_enter. */
#pragma once
#include <stdbool.h>

#include "metrics/catalog.h"

enum { OUTCOME_SETTLE_MS = 1000 };

/* Where an attempt at one endpoint stands, or how it ended. */
enum attempt_end {
    ATTEMPT_HEAD_READ,       /* not over: the final head is in and well-formed */
    ATTEMPT_SETTLED,         /* not over: OUTCOME_SETTLE_MS have passed since the head */
    ATTEMPT_DONE,            /* the answer ended as its framing says */
    ATTEMPT_CONNECT_FAILED,  /* no address, refused, unreachable */
    ATTEMPT_CONNECT_TIMEOUT, /* no connection within `connect` */
    ATTEMPT_TLS_FAILED,      /* handshake or verification */
    ATTEMPT_TLS_TIMEOUT,     /* the handshake was not over within `connect` */
    ATTEMPT_HEAD_TIMEOUT,    /* no whole head within `response_header`, or `total` */
    ATTEMPT_RESET,           /* closed or reset before the head was whole */
    ATTEMPT_BAD_RESPONSE,    /* what came is not HTTP, or can be read in two ways */
    ATTEMPT_TRUNCATED,       /* closed or reset inside the body */
    ATTEMPT_BODY_TIMEOUT,    /* the body stalled past `response_body`, or `total` ran out in it */
    ATTEMPT_CLIENT_GONE,     /* the client left first, or kept the origin waiting (pace.c) */
    ATTEMPT_REFUSED,         /* by ourselves: no memory, no connection to be had */
    ATTEMPT_END_COUNT
};

struct attempt_facts {
    enum attempt_end end;
    unsigned status;         /* of the final head; 0 before it */
    bool is_failing_status;  /* the service calls this status a failure (`failures.status`) */
    bool is_failing_rpc;     /* it ended with a status of gRPC that the service calls a failure, and
                                this has not counted yet */
    bool is_unwell_rpc;      /* ... with one that says that its origin is not well */
    bool is_no_evidence;     /* a call of gRPC that ended because its client's time was over */
    bool is_excused;         /* another version has the asset that this one lacks: no failure */
    bool is_reused;          /* the connection came from the pool and had carried a request */
    bool is_unprocessed;     /* the origin says that it has not looked at the request at all */
    bool is_stream_reset;    /* HTTP/2: it ended the request, and not the connection */
    bool is_body_late;       /* a part of the request's body is missing, or took long to come */
    bool has_response_bytes; /* any byte of an answer was seen, 1xx included */
    bool is_retried;         /* the same version gets the request again (retry.h) */
    bool is_judged; /* false: the client chose the version, or this is a second attempt elsewhere */
    bool is_counted; /* an earlier look at this attempt had is_request */
};

struct outcome {
    bool is_request; /* n: one more judged request */
    bool is_failure; /* e: it failed */
    bool is_connect; /* x: as connections fail */
    bool is_unwell;  /* the endpoint did badly, whatever the service calls a failure and whether it
                        is judged: outlier ejection */
    enum metric_failure
        failure; /* count it under this kind; METRIC_FAILURE_COUNT: nothing (more) to count */
    unsigned client_status; /* what to answer when nothing was sent yet: 502, 503 or 504; 0: the
                               origin's own answer */
};

/* Is an answer of this status bad, with what the service's own list says of it? What the edge says
 * when it could not reach the origin (Cloudflare's 520 to 527 and 530) always is. */
bool outcome_is_bad_status(unsigned status, bool is_failing_status);
/* Pure. What it says to count is to be counted now; a later look at the same attempt says only what
 * is new. */
struct outcome outcome_of(const struct attempt_facts *facts);
/* Enters an outcome into the judge's ledger; `facts` are those it was made of. The cells' worker.
 */
void outcome_enter(const struct outcome *outcome, const struct attempt_facts *facts,
                   struct version_cells *cells);

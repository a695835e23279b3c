/* proxy/exchange/exchange_state.h — the inside of an exchange, shared by the files of this room and
 * nobody else. */
#pragma once
#include "proxy/exchange/exchange.h"
#include "proxy/exchange/outcome.h"
#include "proxy/exchange/retry.h"
#include "proxy/http/forward.h"

enum { EXCHANGE_TAG = TAG('e', 'x', 'c', 'h') };

enum exchange_state {
    EXCHANGE_OPEN,
    EXCHANGE_CONNECTING,
    EXCHANGE_WAITING,
    EXCHANGE_RELAYING,
    EXCHANGE_TUNNEL,
    EXCHANGE_SERVING,
    EXCHANGE_PENDING,
    EXCHANGE_CLOSED,
    EXCHANGE_STATE_COUNT
};

/* What of a client is waited for (pace.c). */
enum pace_wait { PACE_SENDING, PACE_READING, PACE_WAIT_COUNT };

struct pace {
    struct {
        bool is_awaited;
        uint64_t since_us; /* its latest piece, while it is awaited */
    } waits[PACE_WAIT_COUNT];
    uint64_t since_us;           /* the client is waited for, whatever for */
    uint64_t waited_us;          /* in all, up to then */
    uint64_t excused_until_us;   /* a long silence in sending is over, but may still be answered */
    uint64_t excused_until_size; /* ... in reading: up to so many bytes of the answer */
};

/* One try at one endpoint. */
struct attempt {
    const struct snapshot_endpoint *target; /* borrowed from the snapshot; NULL: none was made */
    size_t target_index;
    uint32_t address;           /* which of the target's is tried first */
    struct endpoint_seat *seat; /* borrowed */
    struct client *client;      /* ours while the attempt runs; NULL else */
    struct circuit *circuit;    /* borrowed: counts this attempt; NULL: nothing is limited */
    enum role role;
    enum proxy_protocol proxy_protocol; /* what its connection begins with */
    uint64_t realm; /* the version's, when it began: what it answers is kept under that */
    uint64_t era;   /* its service's store's, then */
    uint64_t started_us;
    uint64_t sent_us; /* when its head was given to a connection; 0: never */
    uint64_t head_us; /* when the answer's head was in; 0: never */
    uint64_t ended_us;
    const struct response *head; /* borrowed, only while it is being counted; or NULL */
    unsigned status;             /* of the final head; 0 before */
    enum metric_failure failure; /* how it failed; METRIC_FAILURE_COUNT */
    bool is_judged;              /* counts for the judge at all */
    bool is_counted;             /* has counted as a request */
    bool is_excused;             /* it lacked an asset that the other version has: no failure */
    bool is_latency_counted;     /* its latency is in the judge's histogram */
    bool is_pending;             /* counted as waiting for a connection */
    bool is_unprocessed;         /* the origin says that it did not look at it */
    bool is_stream_reset;        /* the origin ended it, and not the connection */
    bool is_over;                /* ended and counted */
    bool is_rpc;                 /* the answer is one of gRPC (rpc.h) */
    bool is_rpc_counted;         /* and its failure has counted */
    int grpc_status;             /* its end; GRPC_NONE while it is not in */
    int head_grpc_status;        /* as the head has it, which may not be the last word */
};

struct exchange {
    unsigned tag;
    enum exchange_state state;
    struct exchange_host *host;             /* borrowed */
    struct responder *responder;            /* borrowed until the last call */
    const struct request *request;          /* the client's; in the arena */
    struct lease *lease;                    /* held until closed */
    const struct snapshot_service *service; /* NULL: no route */
    struct decision decision;
    struct attempt attempt;
    struct lasting *lasting; /* in the arena; NULL: an ordinary request (lasting.h) */
    struct service_cells *service_cells;
    struct deadline watch; /* slow limit before the head, settling after it */
    struct deadline total;
    uint64_t started_us;
    uint64_t request_bytes;
    uint64_t response_bytes;
    uint64_t response_left; /* BODY_LENGTH: bytes of the answer still to come */
    uint64_t whole_us;      /* when the request's body had come to its end; 0: it has none */
    struct pace pace;
    unsigned client_status; /* what the client got; 0: nothing yet */
    uint32_t attempt_count;
    uint32_t retry_count;
    enum body_kind response_body;
    bool has_request_body;
    bool is_request_done;             /* the body has come to its end */
    bool has_sent_body;               /* a byte of it went to an origin */
    bool is_excluded;                 /* its path is one of `failures.exclude_paths` */
    bool is_bad_for_client;           /* its answer was bad, or is cut */
    bool has_informed;                /* a 1xx went to the client */
    bool is_trickle;                  /* let through to a canary that is held back */
    bool is_trickle_told;             /* and what came of it is known */
    bool is_rescued;                  /* the attempt is at the stable version, for the canary */
    bool is_secure;                   /* came by TLS, where that matters (edge.h) */
    bool sets_affinity;               /* the client is given its key */
    bool is_undecided;                /* answered before a version was chosen */
    bool is_rpc;                      /* the request is a call of gRPC (rpc.h) */
    bool is_client_deadline;          /* `total` is what the client said it waits */
    uint64_t rpc_timeout_us;          /* that; 0: it did not say */
    int client_grpc_status;           /* what the client got; GRPC_NONE: nothing, or no gRPC */
    bool is_peer_trusted;             /* what it says of the client is believed */
    bool is_from_cache;               /* the client gets what was kept (cached.h) */
    bool is_asset_found;              /* the other version had what the chosen one lacked */
    struct failed *failed;            /* capture.c: how the canary failed; in the arena; or NULL */
    struct cached *cached;            /* cached.c: kept or looked for; in the arena; or NULL */
    struct held *held;                /* asset.c: an answer that waits; in the arena */
    uint64_t affinity;                /* the client's key to endpoints; 0: none */
    enum metric_failure rescued_from; /* how the canary failed; with is_rescued */
    struct request forwarded;         /* what origins get */
    char set_cookie[STICKY_SET_COOKIE_MAX];
    char peer_text[IP_TEXT_SIZE];
};

/* The worker's seat at an endpoint. */
struct endpoint_seat *exchange_seat(struct exchange_host *host, struct endpoint *endpoint);
/* Not ejected, or back from it: may this worker use the endpoint as far as outliers go? */
bool exchange_is_allowed(const struct exchange_host *host, struct endpoint_seat *seat);
/* One use less of a snapshot; the last one sends it home. */
void exchange_return_lease(struct exchange_host *host, struct lease *lease);
/* Moves to the next state; CHECKs that the picture in exchange.h has the arrow. */
void exchange_enter(struct exchange *exchange, enum exchange_state next);
/* Gives the request the Host that this endpoint gets. */
void exchange_set_host(const struct snapshot_endpoint *target, struct request *out);
/* The version is decided and nothing is kept for the request: the origin is asked. */
void exchange_go_on(struct exchange *exchange);
/* The exchange's service in the newest snapshot; NULL: it is gone. */
const struct snapshot_service *exchange_newest(const struct exchange *exchange);
/* Has the canary that the exchange is for no weight any more, in a newer snapshot? */
bool exchange_is_outdated(const struct exchange *exchange);
/* Moves an outdated exchange that has asked nobody yet to the newest snapshot, which decides.
 * False: no version can answer there. */
bool exchange_decide_anew(struct exchange *exchange);
/* From now on timeouts.total, or what the client says it waits, runs; nothing changes when it does
 * already. */
void exchange_bound(struct exchange *exchange);
/* Starts an attempt at the decided version; `avoid` is an endpoint that just failed, or
 * BALANCE_NONE. */
void exchange_attempt(struct exchange *exchange, size_t avoid, bool is_fresh);
/* An answer of our own, complete: the last call. `reason` is counted unless REJECT_REASON_COUNT. */
void exchange_reply(struct exchange *exchange, unsigned status, enum reject_reason reason);
/* The same with more to say. */
struct answer {
    unsigned status;
    int grpc_status; /* for a client of gRPC; 0: what belongs to the status */
    enum reject_reason reason;
    struct bytes location;     /* empty: none */
    struct bytes retry_after;  /* seconds as text; empty: none, but for 503 */
    struct bytes body;         /* data NULL: a line that says the status */
    struct bytes content_type; /* of the body */
    bool is_wished;            /* it is what the client asked for, whatever the status */
};
void exchange_answer(struct exchange *exchange, const struct answer *answer);
/* No version can answer any more: what was kept of one is given (cached.c), or an answer of our
 * own.
 */
void exchange_fail(struct exchange *exchange, unsigned status, enum reject_reason reason);
/* What a client saw of a version that the split chose was bad. */
void exchange_count_client_bad(struct exchange *exchange);
/* The client's connection is broken off: the last call. */
void exchange_cut(struct exchange *exchange);
/* The same where the client did not get a bad answer by it: it was too slow, or had a tunnel. */
void exchange_abandon(struct exchange *exchange);
/* Everything is counted and let go; the caller then makes the last call to the responder, or has
 * had it. */
void exchange_close(struct exchange *exchange);

/* Is an origin's answer of this status what the service calls bad? */
bool exchange_is_bad_status(const struct exchange *exchange, unsigned status);
/* The client's connection as a PROXY header tells it. */
struct proxy_ends exchange_ends(const struct exchange *exchange);
/* What the attempt's progress means is counted, once. */
void exchange_count(struct exchange *exchange, enum attempt_end end, bool is_retried);
/* How a request goes to this endpoint: upgrades by HTTP/1.1, unless HTTP/2 is all that it may be
 * spoken to; what is asked for is passed over then. */
enum client_speech exchange_speech(const struct request *request,
                                   const struct snapshot_endpoint *target);
/* From now on the client is waited for, or no longer: another piece has come, or was taken. */
void pace_await(struct exchange *exchange, enum pace_wait what);
void pace_go_on(struct exchange *exchange, enum pace_wait what);
/* Is the client silent for so long, or was it just now, that an origin may have given up on it? A
 * call of gRPC may be, at an origin that speaks it: its sides talk when they have something to say.
 */
bool pace_is_silent(const struct exchange *exchange);
/* Was the client waited for for long in all, silent or not? */
bool pace_has_kept_waiting(const struct exchange *exchange);
/* ... or does it still owe a part of its body? Who hangs up then may do so for that. */
bool pace_is_body_late(const struct exchange *exchange);
/* The whole time is over: was it the client that used it up? */
bool pace_has_used_up_total(const struct exchange *exchange);
/* Does the origin wait for a body that the client has not sent? */
bool pace_owes_body(const struct exchange *exchange);
/* How long the origin has had the whole request, while the attempt ran. */
uint64_t pace_latency_us(const struct exchange *exchange);
/* Ends an exchange that its client kept from coming to an end: no version has failed. `status` is
 * for who has sent all that was due. */
void pace_blame_client(struct exchange *exchange, unsigned status);

/* Before the head: arms the judge's slow limit for an attempt that it is about. */
void exchange_watch_slowness(struct exchange *exchange);
/* Gives the attempt's connection back or ends it. */
void exchange_release_client(struct exchange *exchange);
/* The endpoint of the version that this worker uses next, but for `avoid` where it can: its index,
 * or BALANCE_NONE. A version with only one is not asked whether it is live. */
size_t exchange_pick(const struct exchange *exchange, const struct snapshot_version *version,
                     size_t avoid);
/* Has the version an endpoint that this worker may use? */
bool exchange_is_live(struct exchange_host *host, const struct snapshot_version *version);

/* What comes after what the attempt did; RETRY_OTHER_VERSION has its token taken. */
struct retry_decision exchange_decide_retry(struct exchange *exchange,
                                            const struct attempt_facts *facts);
/* The stable version is asked instead; the attempt before is counted and its connection given up.
 */
void exchange_rescue(struct exchange *exchange);
/* The final head of the attempt is in and counted: is it held back and the request rescued? Then
 * nothing more is to be done with it. */
bool exchange_rescue_answer(struct exchange *exchange);
/* A safe request without a body, in a service that rescues. */
bool exchange_is_rescuable(const struct exchange *exchange);

/* The decided version is the canary, which is held back: lets the request through or diverts it. */
void exchange_contain(struct exchange *exchange, struct containment *containment);
/* A request that was let through does not go to the canary after all: another one may. */
void exchange_spare_trickle(struct exchange *exchange);
/* The client saw an answer, or the lack of one: weighs it if it was the canary's. */
void exchange_weigh(struct exchange *exchange, bool is_bad);
/* What came of a request that was let through. */
void exchange_tell_trickle(struct exchange *exchange, bool has_failed);
/* At the end: how the rescue went, if there was one. */
void exchange_count_rescue(struct exchange *exchange);

/* The canary's attempt has just failed: what is known of it is noted for control. */
void exchange_capture(struct exchange *exchange, enum attempt_end end, enum metric_failure kind);
/* At the end: what was noted goes to control, with what became of the request. */
void exchange_give_capture(struct exchange *exchange);

/* Would an attempt at this endpoint of the role pass a limit of `circuit`? Then it is dealt with:
 * rescued, answered or, of an asset, given up. `is_fresh`: it takes no idle connection. */
bool exchange_overflows(struct exchange *exchange, enum role role, size_t index, bool is_fresh);
/* The same for an attempt under way that has to go on without the connection it waited for. */
bool circuit_overflows_again(struct exchange *exchange);
/* May the stable version stand in for a canary that is full? Takes the token for it. */
bool exchange_may_divert(struct exchange *exchange);
/* The attempt begins, waits for a connection, has one, is over. */
void circuit_begin(struct exchange *exchange);
void circuit_wait(struct attempt *attempt);
void circuit_go_on(struct attempt *attempt);
void circuit_end(struct attempt *attempt);

/* The client's key to endpoints, where the service keeps clients with theirs. */
void exchange_find_affinity(struct exchange *exchange, bool is_peer_trusted);
/* The cookie for a client that is new to us; 0: none is due. `text` has AFFINITY_SET_COOKIE_MAX
 * bytes and lasts as long as the field. */
size_t exchange_affinity_field(const struct exchange *exchange, char *text,
                               struct field *ret_field);

/* The access log's line. */
void exchange_log(struct exchange *exchange);

extern const struct client_ops exchange_client_ops;
extern const struct request_ops exchange_request_ops;

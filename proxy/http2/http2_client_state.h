/* proxy/http2/http2_client_state.h — the inside of a client connection, shared by the files of
 * http2_client and nobody else: http2_client.c moves the connection, http2_client_session.c hears
 * what nghttp2 read, http2_call.c is the port to the calls' users.
 *
 * A call is freed when its user has given it up and nghttp2 knows its stream no more, and not
 * before bytes have been fed or settled to the end: so nothing is freed under anybody's feet. One
 * whose connection is closed keeps what its user has not read. */
#pragma once
#include "proxy/http2/http2_client.h"
#include "proxy/http2/http2_guard.h"
#include "proxy/http2/http2_head.h"
#include "proxy/http2/http2_outlet.h"
#include "proxy/io/watch.h"

enum {
    HTTP2_CLIENT_TAG = TAG('h', '2', 'c', 'l'),
    HTTP2_CALL_TAG = TAG('h', '2', 'c', 'a'),
    HTTP2_CALL_OUT_HIGH = 32 * 1024 /* waiting bytes of a request's body that block its user */
};

enum http2_client_state {
    HTTP2_CLIENT_CONNECTING,
    HTTP2_CLIENT_GREETING,
    HTTP2_CLIENT_SERVING,
    HTTP2_CLIENT_LEAVING,
    HTTP2_CLIENT_CLOSED
};

struct http2_client {
    unsigned tag;
    enum http2_client_state state;
    const struct http2_client_settings *settings; /* borrowed */
    struct http2_keeper *keeper;                  /* borrowed */
    struct loop *loop;                            /* borrowed */
    struct stream *stream;                        /* NULL once it was given away */
    nghttp2_session *session;                     /* owned */
    struct watch turn; /* settles once for all that was said in a turn of the loop */
    struct list link;  /* the keeper's */
    struct list calls;
    struct list due;          /* calls that settle has to look at */
    uint32_t waiting_count;   /* calls that wait for the connection */
    uint32_t call_count;      /* calls that it carries */
    uint32_t reset_count;     /* streams that we reset */
    struct deadline deadline; /* idle, or a look at whether the origin lives */
    uint64_t heard_us;        /* when bytes last came */
    uint64_t ping_us;         /* when the origin was asked for a sign of life; 0: was not */
    uint64_t calm_us;         /* from when on a PING cannot be too early */
    unsigned ping_count;      /* since the origin's latest HEADERS or DATA */
    struct http2_guard guard;
    enum metric_http2_violation violation; /* why it is being ended; METRIC_HTTP2_COUNT: is not */
    unsigned closed_parts;
    bool may_be_http1;
    bool is_announced; /* a PROXY header names its one client */
    bool has_carried;  /* a call */
    bool has_answered; /* a head, or the beginning of one */
    bool has_spoken;   /* HEADERS or DATA went out since bytes last came */
    bool has_objected; /* we said GOAWAY with an error */
    bool is_greeted;   /* the origin's first SETTINGS have come */
    bool is_idle_told;
    bool is_ended_told;
    bool is_dismissed; /* GOAWAY was read */
    bool is_unagreed;  /* ALPN did not give the protocol it must be */
    bool is_busy;      /* feed or settle is on the stack */
    bool is_pump_due;
};

/* One request, its answer, and what waits in both directions. */
struct http2_call {
    struct client base; /* what its user has */
    unsigned tag;
    struct http2_client *connection; /* borrowed; NULL once it is freed */
    struct list link;                /* in connection->calls */
    struct list due;                 /* in connection->due */
    int32_t id;                      /* 0: not sent yet */
    enum body_kind in_body;
    bool is_waiting; /* for the connection */
    bool is_head;    /* the request was HEAD */
    bool is_head_sent;
    bool is_wanted;
    bool is_blocked;   /* its user was told to stop */
    bool is_drain_due; /* and may go on */
    bool has_head;     /* the final head was told: what comes now are trailers */
    bool is_complete;  /* the answer has come to its end */
    bool is_told;      /* on_end or on_failed was called */
    bool is_reset;     /* we ended the stream before its time */
    bool is_objected;  /* nghttp2 did */
    bool is_gone;      /* nghttp2 knows it no more, or never did */
    bool is_given_up;  /* its user has let go of it */
    bool is_telling;   /* deliver is on the stack */
    unsigned informational_count;
    uint32_t reset_code;
    uint64_t body_left;           /* BODY_LENGTH: to come */
    struct arena arena;           /* of one head, then of the trailers */
    struct arena out_arena;       /* of trailers that wait to be sent */
    struct buf in;                /* read and not yet wanted */
    struct http2_outlet out;      /* the request's body */
    size_t withheld;              /* bytes read whose window is not given back yet */
    struct framing_limits limits; /* as they were when the call began */
    struct http2_head head;
    struct fields trailers;
};

/* ---- http2_client.c ---- */
/* Something is due for the call (NULL: for the connection): settle comes in this turn. */
void http2_client_schedule(struct http2_client *connection, struct http2_call *call);
/* It takes no more calls; the keeper is told, once. */
void http2_client_leave(struct http2_client *connection);
/* A call that waited does so no more. */
void http2_client_waits_no_more(struct http2_client *connection);
/* One call less is carried. */
void http2_client_let_go(struct http2_client *connection);

/* ---- http2_client_session.c ---- */
/* A session with our callbacks whose settings are submitted. ERR_NOMEM. */
MUST_USE enum err http2_client_session_create(struct http2_client *connection,
                                              nghttp2_session **ret_session);

/* ---- http2_call.c ---- */
MUST_USE enum err http2_call_create(struct http2_client *connection, const struct client_ops *ops,
                                    void *call, struct http2_call **ret_call);
void http2_call_destroy(struct http2_call *call); /* NULL is fine */
/* Whatever is due: what its user gave up is reset or freed, what waited goes on. */
void http2_call_attend(struct http2_call *call);
/* Gives pieces that wait to the user, as long as they are wanted, and the answer's end. */
void http2_call_deliver(struct http2_call *call);
/* Tells the user of the failure, unless the call is over. */
void http2_call_fail(struct http2_call *call, enum client_failure failure);
/* The answer breaks the rules. */
void http2_call_refuse(struct http2_call *call, enum reject_reason reason);
/* nghttp2 knows the stream no more. */
void http2_call_is_over(struct http2_call *call);
/* Its connection is about to be freed. */
void http2_call_detach(struct http2_call *call);
ssize_t http2_call_on_read(nghttp2_session *session, int32_t id, uint8_t *out, size_t size,
                           uint32_t *flags, nghttp2_data_source *source, void *context);
int http2_call_on_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                       size_t size, nghttp2_data_source *source, void *context);

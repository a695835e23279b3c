/* proxy/http2/http2_server_state.h — the inside of a server connection, shared by the files of
 * http2_server and nobody else: http2_server.c moves the connection, http2_session.c hears what
 * nghttp2 read, http2_responder.c answers, http2_server_host.c keeps what they share.
 *
 * Handlers are called from two places only: while bytes are fed to nghttp2, and by
 * http2_server_settle, which goes through the streams that something is due for. nghttp2's word
 * that a stream is closed only marks it. So nothing is freed under anybody's feet. */
#pragma once
#include <nghttp2/nghttp2.h>

#include "proxy/base/buf.h"
#include "proxy/http2/http2_guard.h"
#include "proxy/http2/http2_head.h"
#include "proxy/http2/http2_outlet.h"
#include "proxy/http2/http2_server.h"
#include "proxy/io/watch.h"

enum {
    HTTP2_SERVER_TAG = TAG('h', '2', 's', 'v'),
    HTTP2_OUT_HIGH = 32 * 1024,        /* waiting bytes of an answer above which its source stops */
    HTTP2_LINGER_US = 2 * 1000 * 1000, /* for the client's end, of a stream or the connection */
};

enum http2_state { HTTP2_SERVING, HTTP2_LINGERING, HTTP2_CLOSED };
/* What the client was told of the end. */
enum http2_farewell { HTTP2_NO_FAREWELL, HTTP2_NOTICE_SENT, HTTP2_GOAWAY_SENT };

struct http2_server {
    unsigned tag;
    enum http2_state state;
    enum http2_farewell farewell;
    struct http2_server_host *host; /* borrowed */
    struct stream *stream;          /* gone after on_closed */
    nghttp2_session *session;       /* owned */
    struct watch turn;              /* settles once for all that was said in a turn of the loop */
    struct list link;               /* in host->connections */
    struct list streams;
    struct list due; /* streams that settle has to look at */
    size_t stream_count;
    size_t withheld; /* the sum of what streams withhold */
    struct deadline deadline;
    struct ip peer;
    unsigned peer_port;
    unsigned closed_parts;
    uint64_t request_count;
    uint64_t head_since_us;  /* a head, or the first SETTINGS, has been coming; 0: none is */
    uint64_t quiet_since_us; /* without a stream */
    uint64_t sent_us;        /* the socket was last known to take bytes */
    uint64_t farewell_us;    /* when the notice was sent */
    struct http2_guard guard;
    enum metric_http2_violation violation; /* why it is being ended; METRIC_HTTP2_COUNT: is not */
    unsigned weighed_count; /* resets by nghttp2 that were weighed and are still to be sent */
    unsigned late_count;    /* resets by us that are still to be sent, of streams that are closed */
    bool is_busy;           /* feed or settle is on the stack */
    bool is_pump_due;
    bool is_active; /* counted as a connection with a request on it */
    bool has_peer_finished;
};

/* One request and what waits in both directions. */
struct http2_stream {
    struct list link; /* in server->streams, or host->spares */
    struct list due;  /* in server->due */
    struct responder responder;
    struct http2_server *server; /* borrowed */
    int32_t id;
    enum body_kind out_body;
    bool is_pending;    /* opened when the body has proven as empty as it was announced */
    bool is_open;       /* the handler has it: open() was called and no last call yet */
    bool is_closed;     /* nghttp2 knows it no more: settle tells and frees */
    bool is_reset;      /* we ended it before its time */
    bool is_reset_sent; /* to the client */
    bool has_head;      /* the final head was given to nghttp2 */
    bool is_said;       /* its end has been sent, and the client may still be sending */
    bool is_head;       /* the request is HEAD */
    bool is_tunnel;     /* it asks for one (RFC 8441) */
    bool is_switched;   /* and has it: bytes go both ways */
    bool is_finished;   /* the origin has said all it has to say in the tunnel */
    bool is_blocked;    /* its source was told to stop */
    bool is_drain_due;  /* and may go on */
    bool is_body_wanted;
    bool is_body_read;  /* the client has ended its side */
    bool is_body_done;  /* and the handler knows */
    bool has_head_read; /* the head has been complete: what comes now are trailers */
    struct arena arena;
    struct buf in;           /* read and not yet wanted */
    struct http2_outlet out; /* answered and not yet sent */
    size_t withheld;         /* bytes read whose windows are not given back yet */
    uint64_t body_received;
    uint64_t discarded;           /* of these, what came for nobody */
    uint64_t asked_us;            /* when bytes of the request last came, or began to be wanted */
    uint64_t answered_us;         /* when bytes of the answer last went, or began to wait */
    struct framing_limits limits; /* as they were when the head began */
    struct http2_head head;       /* then of the trailers */
    struct request message;
    struct fields trailers;
};

extern const struct responder_ops http2_responder_ops;

/* ---- http2_server.c ---- */
/* Something is due for the stream (NULL: for the connection): settle comes in this turn. */
void http2_server_schedule(struct http2_server *server, struct http2_stream *stream);
/* Of what was withheld the stream does so no more: the client may send as much again, on whatever
 * stream. */
void http2_stream_release(struct http2_stream *stream);
/* So many bytes came for nobody, or are withheld no more. */
void http2_server_give_back(struct http2_server *server, size_t size);
/* Lets nghttp2 say what it has to say. */
void http2_server_pump(struct http2_server *server);
/* Tells the handler that its client is gone, once. */
void http2_stream_tell_gone(struct http2_stream *stream, enum err why);
/* Ends the stream before its time; its handler has been told. */
void http2_stream_reset(struct http2_stream *stream, uint32_t code);
/* Gives pieces that wait to the handler, as long as it wants them, and the body's end. */
void http2_stream_deliver(struct http2_stream *stream);
void http2_server_count(struct http2_server *server, enum metric_http2_violation kind);
/* No new streams: the notice now, the rest when the client has got it. */
void http2_server_say_farewell(struct http2_server *server);

/* ---- http2_session.c ---- */
/* A session with our callbacks whose settings are submitted. ERR_NOMEM. */
MUST_USE enum err http2_session_create(struct http2_server *server, nghttp2_session **ret_session);
/* Says after which stream the end is. */
void http2_session_go_away(struct http2_server *server);

/* ---- http2_responder.c ---- */
/* An answer of our own in the place of the handler's, who has been told that its client is gone. */
void http2_stream_reply(struct http2_stream *stream, unsigned status);
ssize_t http2_on_read_answer(nghttp2_session *session, int32_t id, uint8_t *out, size_t size,
                             uint32_t *flags, nghttp2_data_source *source, void *context);
int http2_on_send_answer(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                         size_t size, nghttp2_data_source *source, void *context);

/* ---- http2_server_host.c ---- */
/* A block for one stream, from the host's spares or the heap; NULL when memory is out. */
struct http2_stream *http2_server_take_block(struct http2_server *server, int32_t id);
void http2_server_give_block(struct http2_server_host *host, struct http2_stream *stream);

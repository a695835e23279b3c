/* proxy/http1/http1_server_state.h — the inside of a server connection, shared by the files of
 * http1_server and nobody else: http1_server.c reads and moves the state, http1_responder.c writes,
 * http1_server_host.c keeps what they share. */
#pragma once
#include "proxy/base/buf.h"
#include "proxy/http/chunked.h"
#include "proxy/http1/http1_server.h"

enum {
    SERVER_TAG = TAG('h', '1', 's', 'v'),
    LINGER_US = 2 * 1000 * 1000, /* how long a finished connection waits for the client's end */
    DRAIN_IDLE_US =
        1000 * 1000, /* how long an idle connection may still bring a request while draining */
};

enum server_state { SERVER_IDLE, SERVER_HEAD, SERVER_EXCHANGE, SERVER_LINGER, SERVER_CLOSED };

struct http1_request;

struct http1_server {
    unsigned tag;
    uint16_t peer_port;
    uint8_t state;                  /* enum server_state */
    bool is_feeding : 1;            /* pump is on the stack */
    bool has_peer_finished : 1;     /* the client's FIN was read */
    struct http1_server_host *host; /* borrowed */
    struct stream *stream;          /* gone after on_closed */
    struct http1_request *request;  /* owned; NULL when idle */
    struct list link;               /* in host->connections */
    struct deadline deadline;
    struct ip peer;
    uint64_t request_count;
};

/* One request on the connection, and the bytes that wait behind it. While the origin works the
 * block falls out of the caches, so what an answer touches stands together. */
struct http1_request {
    struct list link; /* in host->spares */
    struct responder responder;
    struct http1_server *server; /* borrowed */
    enum body_kind out_body;
    bool is_open;  /* the handler has it: open() was called and no last call yet */
    bool is_ended; /* a last call was made: the block is done with when pump gets to it */
    bool is_body_done;
    bool is_body_wanted;
    bool has_head; /* the final head was written */
    bool is_tunnel;
    bool is_half_tunnel; /* the origin has finished, the client may go on */
    bool is_keep_alive;  /* decided with the head */
    struct arena arena;
    struct buf pending;     /* read and not yet consumed */
    uint64_t body_left;     /* BODY_LENGTH: bytes to come */
    uint64_t body_received; /* BODY_CHUNKED: bytes so far */
    struct request message;
    struct framing_scanner scanner;
    struct framing_limits limits; /* as they were when the head began */
    struct chunked_decoder decoder;
};

extern const struct responder_ops http1_responder_ops;

/* A block for one request, from the host's spares or the heap; NULL when memory is out. */
struct http1_request *http1_server_take_block(struct http1_server *server);
/* Gives a block back; its pending bytes are forgotten. */
void http1_server_give_block(struct http1_server_host *host, struct http1_request *request);
/* Works on the bytes that wait, after something has changed. */
void http1_server_pump(struct http1_server *server);
/* Arms the connection's one deadline; 0 disarms. */
void http1_server_arm(struct http1_server *server, uint64_t timeout_us);
/* Within an exchange: arms it for what the client owes us now, or disarms. */
void http1_server_watch(struct http1_server *server);
/* Ends the connection so that the client sees the answer broken off; tells the handler if it still
 * listens. */
void http1_server_cut(struct http1_server *server);
/* The body, or the tunnel's client, has come to its end: tells the handler. `trailers` may be NULL.
 */
void http1_server_tell_body_end(struct http1_request *request, const struct fields *trailers);
/* Writes a head; one that cannot be written breaks the stream. */
void http1_server_write_head(struct http1_server *server, const struct response *response);

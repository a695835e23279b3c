/* proxy/http/client.h — the port between a client codec below and whoever asks an origin above.
 *
 * A client is one call's hold on a connection: a request sent and the answer read, whichever
 * protocol the connection speaks. With HTTP/1.1 (http1_client) the two are one and the same, with
 * HTTP/2 (http2_client) many calls share a connection. The user (an attempt, a mirrored request, a
 * health check) gets the answer through client_ops as it comes and says when it wants no more for
 * now; bodies are relayed, never gathered. After on_end or on_failed the call is over and the user
 * gives the client up: to the seat it came from (proxy/upstream/seat.h), or by client_close.
 * Deadlines are the user's to choose, one at a time. One loop's thread, inside an event. */
#pragma once
#include "proxy/http/message.h"
#include "proxy/http/reject.h"
#include "proxy/io/proxy_protocol.h"
#include "proxy/io/tcp_stream.h"
#include "proxy/tls/tls_client.h"

struct client;

/* How a call failed. */
enum client_failure {
    CLIENT_REFUSED,      /* the connection could not be made */
    CLIENT_TLS,          /* it was, and then there was no TLS, or not the protocol it must be */
    CLIENT_TLS_TIMEOUT,  /* the deadline passed in the handshake */
    CLIENT_TIMEOUT,      /* the armed deadline passed */
    CLIENT_RESET,        /* the connection ended before the answer's head was complete */
    CLIENT_STREAM_RESET, /* the origin ended this call before that, and not the connection */
    CLIENT_UNPROCESSED,  /* the origin says that it has not looked at the request at all */
    CLIENT_MALFORMED,    /* the answer breaks the rules (`reject` says which) */
    CLIENT_TRUNCATED,    /* it ended within the body */
    CLIENT_MEMORY        /* no memory to go on: not the origin's fault */
};

struct client_ops {
    /* The connection is made; client_send may follow. `client` is the call's from here on, in the
     * place of the one that it waited with. */
    void (*on_connected)(void *call, struct client *client);
    /* The connection that the call waited for is made, but cannot carry this call too: the call is
     * over, and its client gone. The user may connect again. */
    void (*on_turned_away)(void *call);
    /* A 1xx answer other than 101. Fields are lent until return, here and below. */
    void (*on_inform)(void *call, const struct response *response);
    /* The final head, or 101 after which both directions carry plain bytes. */
    void (*on_head)(void *call, const struct response *response);
    void (*on_body)(void *call, struct bytes piece);
    /* The answer is complete; trailers may be NULL. They last until the client is given up. */
    void (*on_end)(void *call, const struct fields *trailers);
    /* What was written has left: more of the request's body may come. */
    void (*on_drained)(void *call);
    void (*on_failed)(void *call, enum client_failure failure);
};

/* What a codec provides; called through the functions below. */
struct client_protocol {
    enum err (*send)(struct client *client, const struct request *request);
    void (*send_body)(struct client *client, struct bytes piece);
    void (*send_end)(struct client *client, const struct fields *trailers);
    bool (*is_blocked)(const struct client *client);
    void (*want)(struct client *client, bool is_wanted);
    void (*explain)(const struct client *client, struct note *ret_note);
    void (*close)(struct client *client);
};

/* Embedded in the codec's own. */
struct client {
    const struct client_protocol *protocol;
    const struct client_ops *ops; /* borrowed; NULL while nobody uses it */
    void *call;                   /* borrowed */
    struct loop *loop;            /* borrowed */
    struct deadline deadline;     /* on_failed(CLIENT_TIMEOUT) */
    struct reject reject;         /* after CLIENT_MALFORMED: why the answer was refused */
    bool is_reused;               /* there was a call on the connection before this one */
    bool has_bytes;               /* something of the answer has come */
};

/* Sends the head. ERR_SYNTAX or ERR_LIMIT when it cannot be written: nothing was sent. ERR_NOMEM.
 */
MUST_USE static inline enum err client_send(struct client *client, const struct request *request)
{
    return client->protocol->send(client, request);
}

static inline void client_send_body(struct client *client, struct bytes piece)
{
    client->protocol->send_body(client, piece);
}

/* The request's body is complete. In a tunnel: ends our direction. */
static inline void client_send_end(struct client *client, const struct fields *trailers)
{
    client->protocol->send_end(client, trailers);
}

/* Bytes of the request wait for the origin. */
static inline bool client_is_blocked(const struct client *client)
{
    return client->protocol->is_blocked(client);
}

/* Whether pieces of the answer may come; true at first. */
static inline void client_want(struct client *client, bool is_wanted)
{
    client->protocol->want(client, is_wanted);
}

/* Arms the one deadline of the call: on_failed(CLIENT_TIMEOUT). 0 disarms. */
static inline void client_arm(struct client *client, uint64_t timeout_us)
{
    deadline_arm(&client->loop->wheel, &client->deadline, timeout_us);
}

/* After CLIENT_TLS, until the client is given up: why, in words. */
static inline void client_explain(const struct client *client, struct note *ret_note)
{
    client->protocol->explain(client, ret_note);
}

/* Whoever made the call wants no more of its answer, which has not ended: what is left of it is
 * told to another one. */
void client_hand_over(struct client *client, const struct client_ops *ops, void *call);

/* Gives the client up, whatever goes on: no call to the user follows. With HTTP/1.1 that ends the
 * connection, with HTTP/2 this call alone. */
static inline void client_close(struct client *client)
{
    client->protocol->close(client);
}

/* Which protocol a connection is to speak. */
enum client_speech {
    CLIENT_HTTP1,
    CLIENT_HTTP2,     /* agreed on by ALPN; without TLS the origin is known to speak it */
    CLIENT_HTTP2_OR_1 /* with tls: which of them ALPN says */
};

/* Where a connection goes, and how it begins. All is lent for the call but `resume`, which is
 * borrowed while the connection lives. */
struct client_way {
    struct tcp_route route;
    struct tls_client *tls;    /* NULL: not sealed */
    const char *name;          /* with tls: the origin's host */
    struct tls_resume *resume; /* with tls; NULL: every handshake is a full one */
    enum client_speech speech;
    enum proxy_protocol announces; /* says first of all who asks; it carries one call then */
    const struct proxy_ends *ends; /* with that: who */
};

/* For codecs: starts to connect. ERR_NOMEM, ERR_LIMIT (descriptors), ERR_IO. */
MUST_USE enum err client_way_open(const struct client_way *way, struct loop *loop,
                                  const struct stream_listener *listener, void *owner,
                                  struct stream **ret_stream);

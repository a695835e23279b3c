/* proxy/tls/tls_pipe.h — OpenSSL's two ends at the stream below: a BIO over our buffers.
 *
 * Internal to the room. What the stream below lends is read where it lies; only what is left when
 * the event ends is kept. What OpenSSL seals is gathered in a buffer of the loop and goes down in
 * one piece by tls_pipe_flush. Embedded in the tls_stream; its thread. */
#pragma once
#include "proxy/base/buf.h"
#include "proxy/io/stream.h"
#include "proxy/tls/tls_library.h"

struct tls_pipe {
    struct stream *under; /* borrowed */
    struct bytes lent;    /* sealed bytes of the read under way */
    struct buf kept;      /* ... of reads before, older than those */
    char *sealed;         /* borrowed: the loop's, during an event */
    size_t sealed_size;
    enum err err;   /* what became of the bytes that went down: the first failure */
    bool has_ended; /* no more will come from below */
    bool is_shut;   /* no more is read, whatever comes */
};

/* The kind of BIO; shared by all pipes, owned by whoever made it. NULL without memory. */
BIO_METHOD *tls_pipe_method_create(void);
void tls_pipe_init(struct tls_pipe *pipe, struct stream *under);
void tls_pipe_finish(struct tls_pipe *pipe);
/* A BIO at the pipe, given to the caller; NULL without memory. */
BIO *tls_pipe_bio(struct tls_pipe *pipe, BIO_METHOD *method);

/* Bytes have come; lent until tls_pipe_keep. */
void tls_pipe_lend(struct tls_pipe *pipe, struct bytes bytes);
/* The event is over: keeps what was not read. ERR_NOMEM, ERR_LIMIT. */
MUST_USE enum err tls_pipe_keep(struct tls_pipe *pipe);
static inline bool tls_pipe_has_bytes(const struct tls_pipe *pipe)
{
    return buf_size(&pipe->kept) > 0 || pipe->lent.size > 0;
}
/* Hands what was sealed to the stream below; the first failure stays in `err`. */
enum err tls_pipe_flush(struct tls_pipe *pipe);

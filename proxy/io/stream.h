/* proxy/io/stream.h — a connected, ordered, two-way run of bytes: TCP today, TLS over it.
 *
 * The owner (a codec) gets bytes through its listener and writes at will; what the kernel does not
 * take at once is copied and queued, and the owner who cares for back-pressure stops its source
 * while stream_is_blocked and goes on at on_drained. `close` may be called at any time and twice;
 * on_closed is the last call and the place to free the owner. After close no other callback comes.
 * Used only by the loop's thread. */
#pragma once
#include "proxy/base/bytes.h"
#include "proxy/io/loop.h"

struct stream;

struct stream_listener {
    /* Bytes lent until return. */
    void (*on_read)(struct stream *stream, struct bytes bytes);
    /* No more bytes will come: OK at an orderly end, ERR_CLOSED at a reset, ERR_IO else. The stream
     * stays open for writing. */
    void (*on_end)(struct stream *stream, enum err why);
    /* The queue has become empty. */
    void (*on_drained)(struct stream *stream);
    /* A connect has come to its end; ERR_CLOSED refused, ERR_TIMEOUT by the kernel, ERR_IO else.
     * May be NULL when never connecting. */
    void (*on_connected)(struct stream *stream, enum err err);
    /* The stream is gone; `stream` is freed after this call. */
    void (*on_closed)(struct stream *stream);
};

struct stream_ops {
    void (*read_start)(struct stream *stream);
    void (*read_stop)(struct stream *stream);
    /* Writes every piece, in order; see stream_write. */
    enum err (*write)(struct stream *stream, const struct bytes *pieces, size_t count);
    void (*finish)(struct stream *stream);
    void (*close)(struct stream *stream);
    void (*reset)(struct stream *stream);
};

struct stream {
    const struct stream_ops *ops;
    const struct stream_listener *listener;
    void *owner;       /* borrowed: the codec */
    struct loop *loop; /* borrowed */
    size_t queued;     /* bytes copied and not yet taken by the kernel */
    bool is_reading;
    bool is_broken; /* a write failed: nothing more will go out */
    bool is_closing;
};

static inline void stream_attach(struct stream *stream, const struct stream_listener *listener,
                                 void *owner)
{
    stream->listener = listener;
    stream->owner = owner;
}

static inline void stream_read_start(struct stream *stream)
{
    if (!stream->is_reading && !stream->is_closing) {
        stream->is_reading = true;
        stream->ops->read_start(stream);
    }
}

static inline void stream_read_stop(struct stream *stream)
{
    if (stream->is_reading) {
        stream->is_reading = false;
        stream->ops->read_stop(stream);
    }
}

/* Writes the pieces in order, queueing a copy of what the kernel does not take. While the stream is
 * corked small pieces wait in the loop's cork buffer. ERR_CLOSED or ERR_NOMEM: the stream is broken
 * and should be closed. */
MUST_USE enum err stream_write(struct stream *stream, const struct bytes *pieces, size_t count);
/* Room for `size` <= LOOP_CORK_SIZE bytes to be filled in place while corked; then stream_commit.
 * Never NULL. */
char *stream_reserve(struct stream *stream, size_t size);
void stream_commit(struct stream *stream, size_t size);
/* From here to stream_uncork what is written is gathered. One stream of a loop is corked at a time.
 * Returns false, and does nothing, when the stream is corked already: then whoever corked it
 * uncorks it. */
MUST_USE bool stream_cork(struct stream *stream);
/* Sends what was gathered. The result is that of the write. */
MUST_USE enum err stream_uncork(struct stream *stream);

/* Bytes are waiting for the kernel: stop producing until on_drained. */
static inline bool stream_is_blocked(const struct stream *stream)
{
    return stream->queued > 0;
}

/* Ends our direction after what is queued (FIN). Reading goes on. */
void stream_finish(struct stream *stream);
void stream_close(struct stream *stream);
/* Closes so that the other side sees a reset, not an orderly end: a short body must not look whole.
 */
void stream_reset(struct stream *stream);

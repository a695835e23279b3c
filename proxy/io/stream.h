/* proxy/io/stream.h — a connected, ordered, two-way run of bytes: TCP today, TLS over it.
 *
 * The owner (a codec) gets bytes through its listener and writes at will. Writes of one event are
 * gathered and go out together when it ends; what the kernel does not take is copied and queued,
 * and an owner that cares for back-pressure stops its source while stream_is_blocked and goes on at
 * on_drained. Writing never fails in the writer's face: a stream that broke says so by on_end when
 * the event is over. `close` may be called at any time and twice; on_closed is the last call and
 * the place to free the owner; between the two nothing else is called. Used only by the loop's
 * thread. */
#pragma once
#include "proxy/base/bytes.h"
#include "proxy/io/loop.h"

struct stream;

enum { STREAM_PIECES_MAX = 7 }; /* of one write */

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
    /* Takes every piece, in order: the kernel's part at once, a copy of the rest. ERR_CLOSED,
     * ERR_NOMEM, ERR_IO. */
    enum err (*write)(struct stream *stream, const struct bytes *pieces, size_t count);
    bool (*has_unread)(struct stream *stream);
    void (*finish)(struct stream *stream);
    void (*close)(struct stream *stream);
    void (*reset)(struct stream *stream);
};

struct stream {
    const struct stream_ops *ops;
    const struct stream_listener *listener;
    void *owner;                /* borrowed: the codec */
    struct loop *loop;          /* borrowed */
    struct stream *under;       /* borrowed: the stream that carries this one, or NULL */
    struct stream *next_broken; /* borrowed: in the loop's list of those to be told */
    size_t queued;              /* bytes copied and not yet taken by the kernel */
    uint16_t https_port;        /* where plain HTTP is sent on to, as its listener has it; 0: not */
    bool is_sealed;             /* nobody on the way can read it: TLS */
    bool is_reading;
    bool is_broken;  /* a write failed: nothing more will go out */
    bool is_patient; /* see stream_set_patient */
    bool is_closing;
    bool is_ending;   /* what is being written is the last, and the end follows at once */
    bool is_end_told; /* on_end was called with an error */
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

/* With patience a failed write is not told, since what the other side said before it went is still
 * to be read, and its end after that. */
static inline void stream_set_patient(struct stream *stream, bool is_patient)
{
    for (struct stream *at = stream; at != NULL; at = at->under) {
        at->is_patient = is_patient;
    }
}

/* Writes the pieces in order, inside an event. Pieces are lent until return. */
void stream_write(struct stream *stream, const struct bytes *pieces, size_t count);
static inline void stream_write_one(struct stream *stream, struct bytes piece)
{
    stream_write(stream, &piece, 1);
}
/* Room for `size` <= LOOP_CORK_SIZE bytes to be filled in place and then counted by stream_commit.
 * Never NULL. */
char *stream_reserve(struct stream *stream, size_t size);
void stream_commit(struct stream *stream, size_t size);
/* Sends what was gathered now, so that stream_is_blocked knows of it. */
void stream_flush(struct stream *stream);
/* Nothing more can go out in good order: the owner is told by on_end(ERR_CLOSED) when the event is
 * over, as after a failed write. Inside an event. */
void stream_break(struct stream *stream);
/* For loop_leave: sends what was gathered, tells the broken. */
void stream_settle(struct loop *loop);

/* Bytes are waiting for the kernel: stop producing until on_drained. */
static inline bool stream_is_blocked(const struct stream *stream)
{
    return stream->queued > 0;
}

/* Has the other side said something that nobody read yet, or ended? What the kernel knew when this
 * turn of the loop began is known for nothing; it is asked again only when there is a doubt, or the
 * turn has lasted for more than LOOP_LATE_US. */
static inline bool stream_has_unread(struct stream *stream)
{
    return stream->ops->has_unread(stream);
}

/* Ends our direction after what is queued (FIN). Reading goes on. */
void stream_finish(struct stream *stream);
/* For implementations: the connection is no good any more; the owner is told once. */
void stream_fail(struct stream *stream, enum err why);
/* Lets what is queued in the kernel go out; what is queued here is dropped. */
void stream_close(struct stream *stream);
/* Closes so that the other side sees a reset, not an orderly end: a short body must not look whole.
 */
void stream_reset(struct stream *stream);

/* For owners that have nothing to hear yet, or any more: bytes are dropped, an end closes, and the
 * rest is nothing. `stream_nobody` listens with all of them, to a stream that nobody owns. */
void stream_ignore_read(struct stream *stream, struct bytes bytes);
void stream_close_at_end(struct stream *stream, enum err why);
void stream_ignore(struct stream *stream);
extern const struct stream_listener stream_nobody;

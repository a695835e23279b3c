#include "proxy/io/stream.h"

#include "proxy/base/check.h"

/* Pieces up to this size are copied into the cork buffer; larger ones go out by reference with what
 * was gathered. */
enum { CORK_COPY_MAX = 4096, PIECES_MAX = 8 };

static enum err write_now(struct stream *stream, const struct bytes *pieces, size_t count)
{
    if (stream->is_broken || stream->is_closing) {
        return ERR_CLOSED;
    }
    enum err err = stream->ops->write(stream, pieces, count);
    if (err != OK) {
        stream->is_broken = true;
    }
    return err;
}

/* Sends the gathered bytes and, behind them, `piece`. */
static enum err flush_with(struct stream *stream, struct bytes piece)
{
    struct loop *loop = stream->loop;
    struct bytes pieces[2] = {{loop->cork_buffer, loop->cork_used}, piece};
    size_t first = loop->cork_used == 0 ? 1 : 0;
    size_t count = piece.size == 0 ? 1 : 2;
    loop->cork_used = 0;
    if (first >= count) {
        return OK;
    }
    return write_now(stream, pieces + first, count - first);
}

static enum err write_corked(struct stream *stream, struct bytes piece)
{
    struct loop *loop = stream->loop;
    if (piece.size > CORK_COPY_MAX) {
        return flush_with(stream, piece);
    }
    if (piece.size > LOOP_CORK_SIZE - loop->cork_used) {
        enum err err = flush_with(stream, (struct bytes){NULL, 0});
        if (err != OK) {
            return err;
        }
    }
    if (piece.size > 0) {
        memcpy(loop->cork_buffer + loop->cork_used, piece.data, piece.size);
        loop->cork_used += piece.size;
    }
    return OK;
}

enum err stream_write(struct stream *stream, const struct bytes *pieces, size_t count)
{
    CHECK(count <= PIECES_MAX);
    if (stream->loop->corked != stream) {
        return write_now(stream, pieces, count);
    }
    for (size_t i = 0; i < count; i++) {
        enum err err = write_corked(stream, pieces[i]);
        if (err != OK) {
            return err;
        }
    }
    return OK;
}

char *stream_reserve(struct stream *stream, size_t size)
{
    struct loop *loop = stream->loop;
    CHECK(loop->corked == stream);
    CHECK(size <= LOOP_CORK_SIZE);
    if (size > LOOP_CORK_SIZE - loop->cork_used) {
        /* A failure marks the stream broken; the caller meets it when it uncorks. */
        (void)!flush_with(stream, (struct bytes){NULL, 0});
    }
    return loop->cork_buffer + loop->cork_used;
}

void stream_commit(struct stream *stream, size_t size)
{
    struct loop *loop = stream->loop;
    CHECK(loop->corked == stream);
    CHECK(size <= LOOP_CORK_SIZE - loop->cork_used);
    loop->cork_used += size;
}

bool stream_cork(struct stream *stream)
{
    struct loop *loop = stream->loop;
    if (loop->corked == stream) {
        return false;
    }
    CHECK(loop->corked == NULL);
    loop->corked = stream;
    loop->cork_used = 0;
    return true;
}

enum err stream_uncork(struct stream *stream)
{
    struct loop *loop = stream->loop;
    CHECK(loop->corked == stream);
    loop->corked = NULL;
    if (loop->cork_used == 0) {
        return stream->is_broken ? ERR_CLOSED : OK;
    }
    return flush_with(stream, (struct bytes){NULL, 0});
}

/* Closing while corked: what was gathered goes first, as it would have without the cork. */
static void flush_before_end(struct stream *stream)
{
    if (stream->loop->corked == stream) {
        (void)!flush_with(stream, (struct bytes){NULL, 0});
    }
}

void stream_finish(struct stream *stream)
{
    flush_before_end(stream);
    if (!stream->is_closing && !stream->is_broken) {
        stream->ops->finish(stream);
    }
}

void stream_close(struct stream *stream)
{
    if (stream->is_closing) {
        return;
    }
    flush_before_end(stream);
    stream->is_closing = true;
    stream->ops->close(stream);
}

void stream_reset(struct stream *stream)
{
    if (stream->is_closing) {
        return;
    }
    flush_before_end(stream);
    stream->is_closing = true;
    stream->ops->reset(stream);
}

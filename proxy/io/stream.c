#include "proxy/io/stream.h"

#include "proxy/base/check.h"

/* Writes up to this size are copied into the cork buffer; larger ones go out by reference with what
 * was gathered. */
enum { CORK_COPY_MAX = 4096 };

void stream_break(struct stream *stream)
{
    CHECK(stream->loop->depth > 0);
    if (stream->is_broken || stream->is_closing) {
        return;
    }
    stream->is_broken = true;
    stream->next_broken = stream->loop->broken;
    stream->loop->broken = stream;
}

/* Sends the gathered bytes and, behind them, the pieces, in one call. */
static void flush_with(struct loop *loop, const struct bytes *pieces, size_t count)
{
    struct stream *stream = loop->corked;
    struct bytes all[1 + STREAM_PIECES_MAX];
    size_t all_count = 0;
    if (loop->cork_used > 0) {
        all[all_count++] = bytes_make(loop->cork_buffer, loop->cork_used);
    }
    for (size_t i = 0; i < count; i++) {
        all[all_count++] = pieces[i];
    }
    loop->cork_used = 0;
    if (all_count == 0 || stream->is_broken || stream->is_closing) {
        return;
    }
    if (stream->ops->write(stream, all, all_count) != OK) {
        stream_break(stream);
    }
}

static void cork(struct stream *stream)
{
    struct loop *loop = stream->loop;
    CHECK(loop->depth > 0);
    if (loop->corked == stream) {
        return;
    }
    if (loop->corked != NULL) {
        flush_with(loop, NULL, 0);
    }
    loop->corked = stream;
}

static void gather(struct loop *loop, struct bytes piece)
{
    if (piece.size > 0) {
        memcpy(loop->cork_buffer + loop->cork_used, piece.data, piece.size);
        loop->cork_used += piece.size;
    }
}

void stream_write(struct stream *stream, const struct bytes *pieces, size_t count)
{
    struct loop *loop = stream->loop;
    size_t total = 0;
    CHECK(count <= STREAM_PIECES_MAX);
    if (stream->is_broken || stream->is_closing) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        total += pieces[i].size;
    }
    cork(stream);
    if (total > CORK_COPY_MAX) {
        flush_with(loop, pieces, count);
        return;
    }
    if (total > LOOP_CORK_SIZE - loop->cork_used) {
        flush_with(loop, NULL, 0);
    }
    for (size_t i = 0; i < count; i++) {
        gather(loop, pieces[i]);
    }
}

char *stream_reserve(struct stream *stream, size_t size)
{
    struct loop *loop = stream->loop;
    CHECK(size <= LOOP_CORK_SIZE);
    cork(stream);
    if (size > LOOP_CORK_SIZE - loop->cork_used) {
        flush_with(loop, NULL, 0);
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

static void tell_end(struct stream *stream, enum err why)
{
    if (!stream->is_closing && !stream->is_end_told) {
        stream->is_end_told = true;
        stream_read_stop(stream);
        stream->listener->on_end(stream, why);
    }
}

/* Telling one owner may write to, and break, another stream: go on until all is quiet. Streams are
 * freed only by later events, so the list stays good. */
void stream_settle(struct loop *loop)
{
    while (loop->corked != NULL || loop->broken != NULL) {
        if (loop->corked != NULL) {
            flush_with(loop, NULL, 0);
            loop->corked = NULL;
        }
        struct stream *stream = loop->broken;
        if (stream != NULL) {
            loop->broken = stream->next_broken;
            stream->next_broken = NULL;
            if (!stream->is_patient) {
                tell_end(stream, ERR_CLOSED);
            }
        }
    }
}

void stream_flush(struct stream *stream)
{
    struct loop *loop = stream->loop;
    if (loop->corked == stream) {
        flush_with(loop, NULL, 0);
        loop->corked = NULL;
    }
}

/* Ending while gathering: what was gathered goes first, as it would have without the cork. */
void stream_finish(struct stream *stream)
{
    stream->is_ending = true;
    stream_flush(stream);
    if (!stream->is_closing && !stream->is_broken) {
        stream->ops->finish(stream);
    }
    stream->is_ending = false;
}

void stream_fail(struct stream *stream, enum err why)
{
    stream->is_broken = true;
    tell_end(stream, why);
}

void stream_close(struct stream *stream)
{
    if (stream->is_closing) {
        return;
    }
    stream->is_ending = true;
    stream_flush(stream);
    stream->is_closing = true;
    stream->ops->close(stream);
}

void stream_reset(struct stream *stream)
{
    if (stream->is_closing) {
        return;
    }
    stream_flush(stream);
    stream->is_closing = true;
    stream->ops->reset(stream);
}

/* ---- nobody ---- */

void stream_ignore_read(struct stream *stream, struct bytes bytes)
{
    (void)stream;
    (void)bytes;
}

void stream_close_at_end(struct stream *stream, enum err why)
{
    (void)why;
    stream_close(stream);
}

void stream_ignore(struct stream *stream)
{
    (void)stream;
}

const struct stream_listener stream_nobody = {.on_read = stream_ignore_read,
                                              .on_end = stream_close_at_end,
                                              .on_drained = stream_ignore,
                                              .on_closed = stream_ignore};

/* tests/fuzz/fake_stream.h — a stream without a socket: all that a fuzzer does not look at. */
#pragma once
#include "proxy/io/stream.h"

static inline void fake_nothing(struct stream *stream)
{
    (void)stream;
}

static inline bool fake_has_unread(struct stream *stream)
{
    (void)stream;
    return false;
}

/* What it takes and how it ends are the fuzzer's. */
#define FAKE_STREAM(write_it, close_it)                                                            \
    {                                                                                              \
        .read_start = fake_nothing, .read_stop = fake_nothing, .write = (write_it),                \
        .has_unread = fake_has_unread, .finish = fake_nothing, .close = (close_it),                \
        .reset = (close_it)                                                                        \
    }

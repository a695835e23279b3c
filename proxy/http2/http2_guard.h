/* proxy/http2/http2_guard.h — how much the other side, client or origin, may do that costs us and
 * brings it nothing.
 *
 * Each kind of frame that an attack can be made of has a budget: a bucket that leaks at a steady
 * rate and may hold a burst. Frames are weighed by their heads as they come in, before anybody does
 * something with them, also those that will be ignored. A connection over one of them is ended with
 * ENHANCE_YOUR_CALM (RFC 9113 section 10.5) and counted by kind. Who is honest stays far below; the
 * budgets stand in docs/OPERATING.md. Embedded in the connection. Pure: time is an argument; any
 * thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "metrics/catalog.h"
#include "proxy/base/bytes.h"

enum {
    HTTP2_CONTINUATIONS_MAX = 8, /* of one head */
    HTTP2_FRAME_HEAD_SIZE = 9,
    HTTP2_BUDGETS = METRIC_HTTP2_BUDGET_LAST + 1
};

struct http2_guard {
    uint64_t level[HTTP2_BUDGETS];  /* thousandths of an event */
    uint64_t at_us[HTTP2_BUDGETS];  /* when that was its level */
    uint64_t credit[HTTP2_BUDGETS]; /* events that are free of charge */
    unsigned continuations;         /* of the head that is coming in */
    uint64_t skipped;               /* bytes to come until the next frame begins */
    unsigned frame_size;            /* of its head, so far */
    unsigned char frame[HTTP2_FRAME_HEAD_SIZE];
};

/* Begins a connection, whose first `preface_size` bytes are no frame. */
void http2_guard_init(struct http2_guard *guard, size_t preface_size);
/* Weighs all frames that begin in these bytes, which follow on those before. METRIC_HTTP2_COUNT:
 * nothing to object to; else why the connection is to be ended. */
enum metric_http2_violation http2_guard_read(struct http2_guard *guard, struct bytes bytes,
                                             uint64_t now_us);

/* One event more; false when its budget is spent. `kind` is one that has a budget. */
bool http2_guard_spend(struct http2_guard *guard, enum metric_http2_violation kind,
                       uint64_t now_us);
/* It did something useful that asks for `count` such events in return: what was spent is less. */
void http2_guard_earn(struct http2_guard *guard, enum metric_http2_violation kind, unsigned count);
/* We sent DATA of `size` bytes, for which WINDOW_UPDATE is due: some for the frame, and as many as
 * come from one who gives back the windows of stream and connection for every 4 KiB it reads. */
void http2_guard_earn_data(struct http2_guard *guard, size_t size);
/* We did what may bring `count` such events, at once or ever: they will cost nothing. */
void http2_guard_allow(struct http2_guard *guard, enum metric_http2_violation kind, unsigned count);

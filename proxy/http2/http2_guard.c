#include "proxy/http2/http2_guard.h"

#include "proxy/base/check.h"

enum {
    EVENT = 1000,
    US_PER_MS = 1000,
    CREDIT_MAX = 1000,
    UPDATES_PER_DATA = 3,
    BYTES_PER_UPDATE = 2048
};

/* Events at once, and events per second ever after. */
static const struct {
    uint64_t burst;
    uint64_t per_second;
} budgets[HTTP2_BUDGETS] = {
    [METRIC_HTTP2_RAPID_RESET] = {200, 33},     /* a page left early cancels all its requests */
    [METRIC_HTTP2_PING] = {200, 20},            /* besides those that our frames earn */
    [METRIC_HTTP2_SETTINGS] = {32, 1},          /* one at the start, hardly any after it */
    [METRIC_HTTP2_EMPTY_DATA] = {100, 10},      /* DATA without a byte that does not end a body */
    [METRIC_HTTP2_PRIORITY] = {500, 100},       /* browsers build whole trees, ignored here */
    [METRIC_HTTP2_WINDOW_UPDATE] = {2000, 200}, /* besides those that our DATA earns */
    [METRIC_HTTP2_UNKNOWN_FRAME] = {100, 10},   /* extensions that nobody agreed on */
};

bool http2_guard_spend(struct http2_guard *guard, enum metric_http2_violation kind, uint64_t now_us)
{
    CHECK((size_t)kind < HTTP2_BUDGETS);
    if (guard->credit[kind] > 0) {
        guard->credit[kind]--;
        return true;
    }
    uint64_t passed_ms = (now_us - guard->at_us[kind]) / US_PER_MS;
    if (passed_ms > 0) {
        uint64_t leaked = passed_ms * budgets[kind].per_second;
        guard->level[kind] -= leaked < guard->level[kind] ? leaked : guard->level[kind];
        guard->at_us[kind] = now_us;
    }
    guard->level[kind] += EVENT;
    return guard->level[kind] <= budgets[kind].burst * EVENT;
}

void http2_guard_earn(struct http2_guard *guard, enum metric_http2_violation kind, unsigned count)
{
    CHECK((size_t)kind < HTTP2_BUDGETS);
    uint64_t earned = (uint64_t)count * EVENT;
    guard->level[kind] -= earned < guard->level[kind] ? earned : guard->level[kind];
}

void http2_guard_earn_data(struct http2_guard *guard, size_t size)
{
    http2_guard_earn(guard, METRIC_HTTP2_WINDOW_UPDATE,
                     UPDATES_PER_DATA + (unsigned)(size / BYTES_PER_UPDATE));
}

void http2_guard_allow(struct http2_guard *guard, enum metric_http2_violation kind, unsigned count)
{
    CHECK((size_t)kind < HTTP2_BUDGETS);
    guard->credit[kind] += count;
    guard->credit[kind] = guard->credit[kind] < CREDIT_MAX ? guard->credit[kind] : CREDIT_MAX;
}

void http2_guard_init(struct http2_guard *guard, size_t preface_size)
{
    *guard = (struct http2_guard){.skipped = preface_size};
}

/* ---- frames ---- */

/* RFC 9113 section 6, and RFC 9218 section 7.1 for the last. */
enum frame_type {
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_PRIORITY = 2,
    FRAME_RST_STREAM = 3,
    FRAME_SETTINGS = 4,
    FRAME_PUSH_PROMISE = 5,
    FRAME_PING = 6,
    FRAME_GOAWAY = 7,
    FRAME_WINDOW_UPDATE = 8,
    FRAME_CONTINUATION = 9,
    FRAME_PRIORITY_UPDATE = 16
};
enum { FLAG_END_STREAM = 1, FLAG_ACK = 1 };

static size_t size_of(const unsigned char frame[HTTP2_FRAME_HEAD_SIZE])
{
    return (size_t)frame[0] << 16 | (size_t)frame[1] << 8 | frame[2];
}

/* The budget that a frame is spent from; METRIC_HTTP2_COUNT: it is useful. */
static enum metric_http2_violation budget_of(const unsigned char frame[HTTP2_FRAME_HEAD_SIZE])
{
    unsigned flags = frame[4];
    switch (frame[3]) {
    case FRAME_DATA:
        return size_of(frame) == 0 && (flags & FLAG_END_STREAM) == 0 ? METRIC_HTTP2_EMPTY_DATA
                                                                     : METRIC_HTTP2_COUNT;
    case FRAME_PING:
        return (flags & FLAG_ACK) == 0 ? METRIC_HTTP2_PING : METRIC_HTTP2_COUNT;
    case FRAME_SETTINGS:
        return (flags & FLAG_ACK) == 0 ? METRIC_HTTP2_SETTINGS : METRIC_HTTP2_COUNT;
    case FRAME_RST_STREAM:
        return METRIC_HTTP2_RAPID_RESET;
    case FRAME_PRIORITY:
    case FRAME_PRIORITY_UPDATE:
        return METRIC_HTTP2_PRIORITY;
    case FRAME_WINDOW_UPDATE:
        return METRIC_HTTP2_WINDOW_UPDATE;
    case FRAME_HEADERS:
    case FRAME_PUSH_PROMISE:
    case FRAME_GOAWAY:
    case FRAME_CONTINUATION:
        return METRIC_HTTP2_COUNT;
    default:
        return METRIC_HTTP2_UNKNOWN_FRAME;
    }
}

static enum metric_http2_violation weigh(struct http2_guard *guard, uint64_t now_us)
{
    bool is_continuation = guard->frame[3] == FRAME_CONTINUATION;
    enum metric_http2_violation kind = budget_of(guard->frame);
    guard->continuations = is_continuation ? guard->continuations + 1 : 0;
    if (guard->continuations > HTTP2_CONTINUATIONS_MAX) {
        return METRIC_HTTP2_CONTINUATION;
    }
    bool is_affordable = kind == METRIC_HTTP2_COUNT || http2_guard_spend(guard, kind, now_us);
    return is_affordable ? METRIC_HTTP2_COUNT : kind;
}

enum metric_http2_violation http2_guard_read(struct http2_guard *guard, struct bytes bytes,
                                             uint64_t now_us)
{
    size_t at = 0;
    for (;;) {
        size_t left = bytes.size - at;
        size_t skipped = guard->skipped < left ? (size_t)guard->skipped : left;
        guard->skipped -= skipped;
        at += skipped;
        if (at == bytes.size) {
            return METRIC_HTTP2_COUNT;
        }
        size_t size = HTTP2_FRAME_HEAD_SIZE - guard->frame_size;
        size = size < bytes.size - at ? size : bytes.size - at;
        memcpy(guard->frame + guard->frame_size, bytes.data + at, size);
        guard->frame_size += (unsigned)size;
        at += size;
        if (guard->frame_size == HTTP2_FRAME_HEAD_SIZE) {
            guard->frame_size = 0;
            guard->skipped = size_of(guard->frame);
            enum metric_http2_violation kind = weigh(guard, now_us);
            if (kind != METRIC_HTTP2_COUNT) {
                return kind;
            }
        }
    }
}

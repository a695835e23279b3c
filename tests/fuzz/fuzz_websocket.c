/* tests/fuzz/fuzz_websocket.c — the tracker of frames agrees with one that sees everything at once,
 * however the bytes are cut.
 *
 * The input's first byte seeds the cuts; the rest is one direction of a WebSocket. */
#include "proxy/base/check.h"
#include "proxy/http/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    bool is_between;
    bool is_lost;
    bool has_closed;
};

/* Reads by index, with all the bytes at hand. */
static struct seen read_whole(const uint8_t *data, size_t size)
{
    struct seen seen = {true, false, false};
    size_t at = 0;
    while (at < size) {
        seen.is_between = false;
        size_t header = 2;
        uint64_t length = 0;
        if (size - at < header) {
            return seen;
        }
        size_t extra = (data[at + 1] & 0x7f) == 126 ? 2 : (data[at + 1] & 0x7f) == 127 ? 8 : 0;
        length = extra == 0 ? data[at + 1] & 0x7f : 0;
        header += extra + ((data[at + 1] & 0x80) != 0 ? 4 : 0);
        if (size - at < header) {
            return seen;
        }
        for (size_t i = 0; i < extra; i++) {
            length = length << 8 | data[at + 2 + i];
        }
        if (length > INT64_MAX) {
            seen.is_lost = true;
            return seen;
        }
        if (size - at - header < length) {
            return seen;
        }
        seen.has_closed = seen.has_closed || (data[at] & 0x0f) == 8;
        seen.is_between = true;
        at += header + (size_t)length;
    }
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    uint32_t cut = data[0];
    struct websocket_tracker tracker;
    websocket_tracker_init(&tracker);
    for (size_t at = 1; at < size;) {
        cut = cut * 1103515245 + 12345;
        size_t piece = 1 + (cut >> 16) % 13;
        piece = piece < size - at ? piece : size - at;
        size_t taken = websocket_pass(&tracker, bytes_make((const char *)data + at, piece));
        CHECK(taken >= 1);
        CHECK(taken <= piece);
        CHECK(taken == piece || websocket_is_between_frames(&tracker));
        at += taken;
    }
    struct seen seen = read_whole(data + 1, size - 1);
    CHECK(tracker.is_lost == seen.is_lost);
    CHECK(websocket_is_between_frames(&tracker) == seen.is_between);
    CHECK(tracker.has_closed == seen.has_closed);
    return 0;
}

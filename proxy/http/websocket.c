#include "proxy/http/websocket.h"

enum {
    HEADER_SIZE_MIN = 2,
    OPCODE_MASK = 0x0f,
    OPCODE_CLOSE = 0x8,
    FINAL_CLOSE = 0x80 | OPCODE_CLOSE,
    MASKED = 0x80,
    MASK_SIZE = 4,
    LENGTH_MASK = 0x7f,
    LENGTH_16 = 126,
    LENGTH_64 = 127,
};

void websocket_tracker_init(struct websocket_tracker *tracker)
{
    *tracker = (struct websocket_tracker){0};
}

bool websocket_is_between_frames(const struct websocket_tracker *tracker)
{
    return tracker->header_size == 0 && tracker->payload_left == 0 && !tracker->is_lost;
}

static uint8_t extra_length_size(uint8_t second)
{
    switch (second & LENGTH_MASK) {
    case LENGTH_16:
        return 2;
    case LENGTH_64:
        return 8;
    default:
        return 0;
    }
}

static void read_second(struct websocket_tracker *tracker, uint8_t byte)
{
    uint8_t extra = extra_length_size(byte);
    uint8_t mask = (byte & MASKED) != 0 ? MASK_SIZE : 0;
    tracker->length = extra == 0 ? byte & LENGTH_MASK : 0;
    tracker->length_end = (uint8_t)(HEADER_SIZE_MIN + extra);
    tracker->header_whole = (uint8_t)(tracker->length_end + mask);
}

static void end_frame(struct websocket_tracker *tracker)
{
    tracker->has_closed = tracker->has_closed || tracker->opcode == OPCODE_CLOSE;
}

/* One byte of a header. */
static void read_header(struct websocket_tracker *tracker, uint8_t byte)
{
    uint8_t at = tracker->header_size++;
    if (at == 0) {
        tracker->opcode = byte & OPCODE_MASK;
        return;
    }
    if (at == 1) {
        read_second(tracker, byte);
    } else if (at < tracker->length_end) {
        tracker->length = tracker->length << 8 | byte;
    }
    if (tracker->header_size < tracker->header_whole) {
        return;
    }
    tracker->header_size = 0;
    tracker->payload_left = tracker->length;
    tracker->is_lost = tracker->length >> 63 != 0;
    if (tracker->payload_left == 0) {
        end_frame(tracker);
    }
}

size_t websocket_pass(struct websocket_tracker *tracker, struct bytes bytes)
{
    size_t at = 0;
    if (tracker->is_lost) {
        return bytes.size;
    }
    bool is_in_header = tracker->payload_left == 0;
    while (is_in_header && at < bytes.size) {
        read_header(tracker, (uint8_t)bytes.data[at++]);
        is_in_header = tracker->header_size > 0;
    }
    if (is_in_header || tracker->payload_left == 0 || tracker->is_lost) {
        return tracker->is_lost ? bytes.size : at;
    }
    size_t rest = bytes.size - at;
    size_t size = rest < tracker->payload_left ? rest : (size_t)tracker->payload_left;
    tracker->payload_left -= size;
    if (tracker->payload_left == 0) {
        end_frame(tracker);
    }
    return at + size;
}

void websocket_pass_all(struct websocket_tracker *tracker, struct bytes bytes)
{
    while (bytes.size > 0) {
        size_t size = websocket_pass(tracker, bytes);
        bytes = bytes_slice(bytes, size, bytes.size - size);
    }
}

struct bytes websocket_write_close(char out[WEBSOCKET_CLOSE_SIZE], unsigned code)
{
    out[0] = (char)FINAL_CLOSE;
    out[1] = 2;
    out[2] = (char)(code >> 8);
    out[3] = (char)(code & 0xff);
    return bytes_make(out, WEBSOCKET_CLOSE_SIZE);
}

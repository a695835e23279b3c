/* proxy/http/websocket.h — where the frames of a WebSocket end, so that a proxy can say something
 * between two of them.
 *
 * One tracker per direction walks over bytes that are passed on untouched and reads nothing but
 * frame headers (RFC 6455 section 5.2). Extensions and reserved bits are no business of ours: none
 * may change how long a frame is. Between two frames any control frame may stand, also in the
 * middle of a fragmented message (section 5.4). A length with its highest bit set is forbidden;
 * after one nobody knows where frames end, and the tracker is lost for good. Pure; any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "proxy/base/bytes.h"

enum {
    WEBSOCKET_CLOSE_SIZE = 4,
    WEBSOCKET_GOING_AWAY = 1001,     /* section 7.4.1: a server that goes down */
    WEBSOCKET_SERVICE_RESTART = 1012 /* IANA's registry of close codes: come again */
};

/* Embedded; nothing to finish. */
struct websocket_tracker {
    uint64_t payload_left; /* of the present frame, once its header is whole */
    uint64_t length;       /* as far as the header has told it */
    uint8_t header_size;   /* bytes of the header seen; 0 between headers */
    uint8_t header_whole;  /* how many it has, once two are seen */
    uint8_t length_end;    /* where its length ends and the mask begins */
    uint8_t opcode;
    bool has_closed; /* a whole Close frame has passed: no more data follows (section 5.5.1) */
    bool is_lost;    /* a length that cannot be: frames are no longer known */
};

/* Before the first byte behind the head of the 101. */
void websocket_tracker_init(struct websocket_tracker *tracker);
/* Walks to the end of the present frame, or as far as the bytes go; returns how many it took, at
 * least one if there are any. */
size_t websocket_pass(struct websocket_tracker *tracker, struct bytes bytes);
/* The same over all frames in the bytes. */
void websocket_pass_all(struct websocket_tracker *tracker, struct bytes bytes);
/* May a frame be put in here? */
bool websocket_is_between_frames(const struct websocket_tracker *tracker);

/* Writes a server's Close frame with this code (unmasked, section 5.1). */
struct bytes websocket_write_close(char out[WEBSOCKET_CLOSE_SIZE], unsigned code);

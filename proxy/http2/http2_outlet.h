/* proxy/http2/http2_outlet.h — what one side of a stream has to say, as nghttp2 takes it.
 *
 * Heads become name-value pairs; a body waits here until the other side's windows and the socket
 * take it, and its trailers behind it. Used by both ends: answers to clients, requests to origins.
 * Embedded in the stream. One loop's thread. */
#pragma once
#include <nghttp2/nghttp2.h>

#include "proxy/base/arena.h"
#include "proxy/base/buf.h"
#include "proxy/http/fields.h"
#include "proxy/io/stream.h"

enum { HTTP2_DECIMAL_SIZE = 20 };

/* Both are lent to nghttp2 for a call; it copies them. */
nghttp2_nv http2_name_value(struct bytes name, struct bytes value);
/* Writes a number's digits so that they end before `end`, which has HTTP2_DECIMAL_SIZE bytes in
 * front of it. */
struct bytes http2_write_decimal(char *end, uint64_t value);
/* Adds what HTTP/2 says as fields (RFC 9113 section 8.2.2) and the caller does not make from the
 * message's facts. Of a request Host is left out, too: it goes into :authority. Lower-case names
 * that have to be made live in the arena. ERR_NOMEM. */
MUST_USE enum err http2_put_fields(const struct fields *fields, bool is_request,
                                   struct arena *arena, nghttp2_nv *out, size_t *count);

/* Of a message whose sender wants some field kept out of HPACK's tables: so it goes on, too, since
 * tables serve many clients, and who shares one can guess what is in it (RFC 7541 sections 6.2.3
 * and 7.1). All of it does: which field it was is not known any more. */
void http2_keep_secret(nghttp2_nv *fields, size_t count);
/* For nghttp2_on_header_callback: is this such a field? */
static inline bool http2_is_secret(uint8_t flags)
{
    return (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0;
}

struct http2_outlet {
    struct buf waiting;
    bool is_ended; /* nothing comes behind what waits, but the trailers */
    nghttp2_nv *trailers;
    size_t trailer_count;
};

/* The trailers are lent, and sent only behind what waits: those that may stand there are copied
 * into the arena. ERR_NOMEM. */
MUST_USE enum err http2_outlet_keep_trailers(struct http2_outlet *outlet,
                                             const struct fields *trailers, struct arena *arena);
/* For nghttp2_data_source_read_callback: how much there is, without a copy. */
ssize_t http2_outlet_read(const struct http2_outlet *outlet, nghttp2_session *session, int32_t id,
                          size_t size, uint32_t *flags);
/* The next piece of a body that waited to be wanted: no more than a frame of it at once, so that
 * who is blocked by it can say so before all of a window moves into the next buffer. */
struct bytes http2_piece(const struct buf *waiting);
/* For nghttp2_send_callback: every frame but DATA. */
ssize_t http2_outlet_write(struct stream *stream, const uint8_t *frames, size_t size);
/* For nghttp2_send_data_callback: writes the frame. False: the stream takes no more now. */
bool http2_outlet_send(struct http2_outlet *outlet, struct stream *stream, const uint8_t *head,
                       size_t size);

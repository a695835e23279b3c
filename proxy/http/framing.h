/* proxy/http/framing.h — where a head ends, where a body ends, and everything that could be read in
 * two ways.
 *
 * The parser is never trusted alone. Before it, the scanner walks the raw bytes of a head and
 * refuses what RFC 9112 does not write: bare CR or LF, NUL and controls, folded lines, names that
 * are no tokens, spaces where there must be none or one. After it, framing_check_request and
 * _response look at version, Host, target, Content-Length and Transfer-Encoding once more and
 * decide how the body ends (RFC 9112 section 6.3). Nothing is ever repaired. Pure; any thread. */
#pragma once
#include "proxy/base/arena.h"
#include "proxy/base/err.h"
#include "proxy/http/message.h"
#include "proxy/http/reject.h"

/* What a head may be; bytes and counts. */
struct framing_limits {
    size_t head_max;   /* whole head, or whole trailer section, its last CRLF included */
    size_t line_max;   /* one line without its CRLF */
    size_t fields_max; /* field lines */
};

enum framing_kind { FRAMING_REQUEST, FRAMING_RESPONSE, FRAMING_TRAILERS };
enum framing_scan { FRAMING_INCOMPLETE, FRAMING_COMPLETE, FRAMING_REFUSED };

/* Remembers where the search for the end of a head stopped, so that no byte is looked at twice.
 * Holds offsets only: the bytes may move between calls. Embedded; framing_scanner_init before each
 * head. */
struct framing_scanner {
    enum framing_kind kind;
    bool has_start_line;  /* it was seen, or there is none */
    bool is_after_cr;     /* the next byte must be LF */
    unsigned empty_lines; /* before the request line; one is forgiven (RFC 9112 section 2.2) */
    size_t position;      /* next byte to look at; when complete: the bytes to consume */
    size_t line_start;
    size_t head_start; /* where the start line begins */
    size_t field_count;
};

void framing_scanner_init(struct framing_scanner *scanner, enum framing_kind kind);

/* Goes on with the search. `in` is all that came since the head began (the same bytes as last time,
 * and more). The outcome never depends on how the bytes were cut. Only REFUSED writes ret_reject;
 * it is final. */
enum framing_scan framing_scan_head(struct framing_scanner *scanner, struct bytes in,
                                    const struct framing_limits *limits, struct reject *ret_reject);

/* Once COMPLETE: the head from its start line to its empty line, both included. */
static inline struct bytes framing_head(const struct framing_scanner *scanner, struct bytes in)
{
    return bytes_make(in.data + scanner->head_start, scanner->position - scanner->head_start);
}

/* Takes a request whose method, version, target (as written) and fields are set, and fills the
 * rest: target in origin-form or "*", authority, upgrade, body and content_length, is_keep_alive,
 * expects_continue, accepts_trailers. ERR_SYNTAX with the reason when it must be refused; `request`
 * is then half done. */
MUST_USE enum err framing_check_request(struct request *request, struct reject *ret_reject);

/* `http://host?query` is legal and means `/?query` (RFC 9112 section 3.2.1), but its bytes have no
 * room for the slash: framing_check_request leaves such a target with its question mark in front,
 * and this gives it its path. Nothing happens to others. ERR_NOMEM. */
MUST_USE enum err framing_add_path(struct request *request, struct arena *arena);

/* What the request behind a response was. */
struct framing_asked {
    bool is_head;         /* the request was HEAD */
    struct bytes upgrade; /* the Upgrade that was sent; empty: none, and 101 is refused */
};

/* Takes a response whose status, version, reason and fields are set, and fills upgrade, body,
 * content_length, has_content_length and is_keep_alive. ERR_SYNTAX with the reason when it must be
 * refused. */
MUST_USE enum err framing_check_response(struct response *response,
                                         const struct framing_asked *asked,
                                         struct reject *ret_reject);

/* Looks only at Content-Length and Transfer-Encoding: the precise reason when a parser gave up on
 * them. false when they are in order. */
bool framing_refuses_length(const struct fields *fields, enum http_version version,
                            enum reject_reason *ret_reason);

/* Splits vetted field lines (each with its CRLF, without the last empty line) into at most
 * items_max fields; returns how many and leaves in `lines` those that found no room. */
size_t framing_split_fields(struct bytes *lines, struct field *items, size_t items_max);

/* May a field with this id stand among trailers? Framing fields there are refused, other fields
 * that steer routing or connections are dropped (RFC 9110 section 6.5.1). */
bool framing_is_trailer_refused(enum field_id id);
bool framing_is_trailer_dropped(enum field_id id);

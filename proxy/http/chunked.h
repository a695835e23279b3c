/* proxy/http/chunked.h — the chunked transfer coding, read strictly (RFC 9112 section 7.1).
 *
 * Sizes are 1 to 16 hex digits, every line ends in CRLF, extensions must be well-formed and are
 * dropped, trailers pass the same scanner as heads. The decoder looks at each byte once, in
 * whatever pieces they come, stops exactly behind the message, and copies nothing but trailers.
 * Embedded; owned by one thread. */
#pragma once
#include "proxy/base/arena.h"
#include "proxy/http/framing.h"

enum {
    CHUNKED_EXTENSION_LINE_MAX = 1024, /* bytes of extensions behind one size */
    CHUNKED_EXTENSIONS_MAX =
        16 * 1024, /* in one body: sizes with little data must not be a way to burn us */
    CHUNKED_SIZE_DIGITS_MAX = 16
};

enum chunked_event {
    CHUNKED_MORE,   /* all bytes were taken; more are needed */
    CHUNKED_DATA,   /* ret_data is a run of content; call again */
    CHUNKED_END,    /* the message is over; what is left in `in` is the next one's */
    CHUNKED_REFUSED /* final */
};

struct chunked_decoder {
    unsigned state;         /* chunked.c */
    bool is_response;       /* refusals get 502 instead of REJECT_LIST's status */
    unsigned digits;        /* of the size being read */
    uint64_t left;          /* bytes of the chunk that are still to come */
    size_t extension_line;  /* bytes of extensions on this line */
    size_t extension_total; /* and in this body */
    struct framing_limits limits;
    struct framing_scanner scanner;
    struct arena *arena; /* borrowed until the end of the body; trailers live there */
    char *trailer_bytes; /* in the arena */
    size_t trailer_size;
    size_t trailer_capacity;
    struct fields trailers; /* complete with CHUNKED_END, dropped ones taken out; in the arena */
};

/* Borrows `arena` until the end of the body (touched only when trailers come), copies `limits`. */
void chunked_decoder_init(struct chunked_decoder *decoder, bool is_response,
                          const struct framing_limits *limits, struct arena *arena);

/* Takes bytes off the front of `in`. With CHUNKED_DATA ret_data is a slice of them; otherwise it is
 * untouched. Only CHUNKED_REFUSED writes ret_reject. */
enum chunked_event chunked_decoder_next(struct chunked_decoder *decoder, struct bytes *in,
                                        struct bytes *ret_data, struct reject *ret_reject);

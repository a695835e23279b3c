/* proxy/http/token.h — classes of bytes in HTTP (RFC 9110 section 5.6), by table. Pure; any thread.
 */
#pragma once
#include "proxy/base/bytes.h"

enum token_class {
    TOKEN_TCHAR = 1,      /* may stand in a token */
    TOKEN_TARGET = 2,     /* may stand in a request target: printable ASCII without '#' */
    TOKEN_HOST = 4,       /* unreserved or sub-delim of RFC 3986; '%' is checked apart */
    TOKEN_HEX = 8,        /* 0-9 a-f A-F */
    TOKEN_CONTROL = 16,   /* must not stand in any line: controls but HTAB, and DEL */
    TOKEN_QUOTED = 32,    /* qdtext of a quoted-string */
    TOKEN_REQUEST_ID = 64 /* what we let through as an X-Request-Id */
};

extern const uint8_t token_table[256];

static inline bool token_is(char byte, enum token_class class)
{
    return (token_table[(uint8_t)byte] & class) != 0;
}

/* Are there one or more bytes, all of this class? */
bool token_is_all(struct bytes bytes, enum token_class class);

/* Takes the next non-empty element, trimmed, off a comma-separated list; false when none is left.
 * Quoted strings are not looked into: for lists of tokens only. */
bool token_next(struct bytes *list, struct bytes *ret_element);

/* proxy/exchange/challenge.h — the answers to an ACME authority's HTTP-01 challenges (RFC 8555
 * section 8.3), as a client like certbot leaves them in a folder.
 *
 * A challenge is a file WEBROOT/.well-known/acme-challenge/TOKEN. The worker reads it as it is
 * asked for: a few system calls on at most CHALLENGE_SIZE_MAX bytes, which is meant for a folder on
 * a local disk. No name but a token's is ever looked up and no link is followed on the way. Any
 * thread. */
#pragma once
#include "proxy/base/bytes.h"
#include "proxy/base/err.h"

enum {
    CHALLENGE_SIZE_MAX = 4096, /* bytes of an answer: tokens are about 40, thumbprints 43 */
    CHALLENGE_TOKEN_MAX = 128
};

/* Is this path below the challenges' own? Then what stands behind, which may be no token. Pure. */
bool challenge_path(struct bytes path, struct bytes *ret_token);
/* Reads the answer into `text`. ERR_NOT_FOUND: no token, no such file, or not a plain one;
 * ERR_LIMIT: it is too long; ERR_IO. */
MUST_USE enum err challenge_read(const char *webroot, struct bytes token,
                                 char text[CHALLENGE_SIZE_MAX], struct bytes *ret_answer);

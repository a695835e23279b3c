/* proxy/base/utf8.h — what is UTF-8 and what is not. Pure; any thread. */
#pragma once
#include "proxy/base/bytes.h"

/* Length of the well-formed UTF-8 sequence at the front (RFC 3629 section 4), 1 to 4, or 0. `bytes`
 * is not empty. */
size_t utf8_length(struct bytes bytes);
/* Is the well-formed sequence at the front, of `length` bytes, one that nobody sees but terminals
 * and browsers obey: a C0 or C1 control, DEL, a mark of writing direction, or a noncharacter? */
bool utf8_is_unseen(struct bytes bytes, size_t length);

/* router/cookie.h — reads the pairs of a Cookie field (RFC 6265 section 4.2.1) as leniently as
 * browsers write them.
 *
 * A pair without `=` or with an empty name is passed over; a value in quotes loses them. What a
 * value may be is for its reader to say: those of other people are none of our business. Nothing is
 * copied. Pure; any thread. */
#pragma once
#include "proxy/base/bytes.h"

struct cookie {
    struct bytes name; /* borrowed from the field's value, like the value */
    struct bytes value;
};

/* Cuts the next readable pair off `rest`, which starts as the whole field value; false when none is
 * left. */
bool cookie_next(struct bytes *rest, struct cookie *ret_cookie);

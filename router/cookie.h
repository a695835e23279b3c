/* router/cookie.h — reads the pairs of a Cookie field (RFC 6265 section 4.2.1) as leniently as
 * browsers write them.
 *
 * A pair without `=`, an empty name or a value with bytes that no cookie may hold is passed over; a
 * quoted value loses its quotes. Nothing is copied. Pure; any thread. */
#pragma once
#include "proxy/base/bytes.h"

struct cookie {
    struct bytes name; /* borrowed from the field's value, like the value */
    struct bytes value;
};

/* Cuts the next readable pair off `rest`, which starts as the whole field value; false when none is
 * left. */
bool cookie_next(struct bytes *rest, struct cookie *ret_cookie);

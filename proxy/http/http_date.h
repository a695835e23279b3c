/* proxy/http/http_date.h — reads the dates of HTTP (RFC 9110 section 5.6.7). Pure; any thread. */
#pragma once
#include "proxy/base/bytes.h"

/* Reads one of the three forms: "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT"
 * and "Sun Nov  6 08:49:37 1994". Names compare with case, the day's name is not held against the
 * date. `now_s` (seconds since 1970) says in which century a year of two digits lies: never more
 * than 50 years ahead. false for all else, also for a 30 February. */
bool http_date_parse(struct bytes text, int64_t now_s, int64_t *ret_seconds);

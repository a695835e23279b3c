/* proxy/http/date.h — the Date of answers, made once a second.
 *
 * Formatting a date costs more than all the rest of a small head, so whoever answers keeps one.
 * Embedded; zeroed is ready for use. One thread. */
#pragma once
#include <stdint.h>

#include "proxy/base/bytes.h"
#include "proxy/http/reply.h"

struct date {
    char text[REPLY_DATE_SIZE];
    uint64_t until_us; /* monotonic: when the next second begins */
};

/* The value of a Date field (RFC 9110 section 6.6.1); lent until the next call. `now_us` is
 * monotonic: the wall clock is only asked when that second is over. */
struct bytes date_now(struct date *date, uint64_t now_us);

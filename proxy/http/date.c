#include "proxy/http/date.h"

#include "proxy/base/clock.h"

enum { SECOND_US = 1000 * 1000 };

struct bytes date_now(struct date *date, uint64_t now_us)
{
    if (now_us >= date->until_us) {
        int64_t wall_us = clock_wall_us(clock_system());
        reply_date(wall_us, date->text);
        date->until_us = now_us + SECOND_US - (uint64_t)(wall_us % SECOND_US);
    }
    return bytes_of(date->text);
}

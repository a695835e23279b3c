/* proxy/base/clock.h — the two clocks, behind a port so that tests can turn the hands.
 *
 * `monotonic` measures durations and never jumps; `wall` dates records and may jump. Pure code
 * takes times as arguments; only loops and the controller hold a `struct clock`. Microseconds
 * everywhere. Any thread. */
#pragma once
#include <stdint.h>

struct clock {
    uint64_t (*monotonic_us)(void *context);
    int64_t (*wall_us)(void *context); /* since 1970-01-01T00:00:00Z */
    void *context;                     /* borrowed */
};

/* The machine's own clocks; static, never freed. */
const struct clock *clock_system(void);

static inline uint64_t clock_monotonic_us(const struct clock *clock)
{
    return clock->monotonic_us(clock->context);
}

static inline int64_t clock_wall_us(const struct clock *clock)
{
    return clock->wall_us(clock->context);
}

enum { CLOCK_TEXT_SIZE = 28 };
/* "2026-11-23T05:25:00.123Z" (RFC 3339, UTC, milliseconds), terminated. */
void clock_format(int64_t wall_us, char text[CLOCK_TEXT_SIZE]);

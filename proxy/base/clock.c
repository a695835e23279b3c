#include "proxy/base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec now;
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static uint64_t system_monotonic_us(void *context)
{
    (void)context;
    return (uint64_t)read_us(CLOCK_MONOTONIC);
}

static int64_t system_wall_us(void *context)
{
    (void)context;
    return read_us(CLOCK_REALTIME);
}

const struct clock *clock_system(void)
{
    static const struct clock clock = {system_monotonic_us, system_wall_us, NULL};
    return &clock;
}

void clock_format(int64_t wall_us, char text[CLOCK_TEXT_SIZE])
{
    int64_t seconds = wall_us / 1000000;
    int64_t rest = wall_us % 1000000;
    if (rest < 0) {
        seconds--;
        rest += 1000000;
    }
    time_t time = (time_t)seconds;
    struct tm utc;
    (void)gmtime_r(&time, &utc);
    size_t size = strftime(text, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(text + size, CLOCK_TEXT_SIZE - size, ".%03uZ", (unsigned)(rest / 1000) % 1000);
}

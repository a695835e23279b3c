#include "canary/fetch/retry.h"

#include "proxy/base/check.h"
#include "proxy/http/http_date.h"

bool fetch_may_pass(enum err err, unsigned status)
{
    if (err != OK) {
        return err == ERR_IO || err == ERR_TIMEOUT;
    }
    return status == 408 || status == 429 || status >= 500;
}

uint64_t fetch_retry_after_ms(const char *text, int64_t wall_us)
{
    uint64_t seconds = 0;
    if (text == NULL) {
        return 0;
    }
    if (bytes_to_u64(bytes_of(text), &seconds)) {
        bool is_long = seconds > FETCH_RETRY_AFTER_MAX_MS / 1000;
        return is_long ? FETCH_RETRY_AFTER_MAX_MS : seconds * 1000;
    }
    int64_t at_s = 0;
    if (!http_date_parse(bytes_of(text), wall_us / 1000000, &at_s) ||
        at_s * 1000 <= wall_us / 1000) {
        return 0;
    }
    int64_t wait_ms = at_s * 1000 - wall_us / 1000;
    return wait_ms < FETCH_RETRY_AFTER_MAX_MS ? (uint64_t)wait_ms : FETCH_RETRY_AFTER_MAX_MS;
}

uint64_t fetch_backoff_ms(unsigned tries, uint64_t base_ms, uint64_t max_ms, struct random *random)
{
    CHECK(tries > 0);
    uint64_t pause_ms = base_ms;
    for (unsigned i = 1; i < tries && pause_ms < max_ms; i++) {
        pause_ms *= 2;
    }
    pause_ms = pause_ms < max_ms ? pause_ms : max_ms;
    return pause_ms - random_below(random, pause_ms / 2 + 1);
}

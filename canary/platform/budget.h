/* canary/platform/budget.h — how many requests an API may get from us. Pure: time is passed in.
 *
 * Cloudflare allows 1200 requests in five minutes for all that a token's owner does, and then says
 * 429 to everything for up to five more. Ours is a bucket of a hundred that fills with two a
 * second: at most 700 in any five minutes, so that deploys and dashboards have room. What the
 * answers' Ratelimit field says goes before it. Owned by one thread. */
#pragma once
#include <stdint.h>

struct budget {
    double tokens;
    uint64_t filled_us;        /* when tokens was true */
    uint64_t blocked_until_us; /* 0: not */
};

void budget_init(struct budget *budget, uint64_t now_us);
/* How long the next request must wait; 0: it may go. */
uint64_t budget_wait_us(const struct budget *budget, uint64_t now_us);
/* A request goes out. */
void budget_take(struct budget *budget, uint64_t now_us);
/* Nothing before `until_us` (Retry-After). */
void budget_block(struct budget *budget, uint64_t until_us);
/* A Ratelimit field, `"name";r=LEFT;t=SECONDS` (draft-ietf-httpapi-ratelimit-headers): with none
 * left nothing goes out before the window ends. Any other text, or NULL, changes nothing. */
void budget_note(struct budget *budget, uint64_t now_us, const char *field);

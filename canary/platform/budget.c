#include "canary/platform/budget.h"

#include <stddef.h>

#include "proxy/base/bytes.h"

static const double TOKENS_MAX = 100;
static const double TOKENS_PER_S = 2;
enum { WINDOW_MAX_S = 300 };

void budget_init(struct budget *budget, uint64_t now_us)
{
    *budget = (struct budget){.tokens = TOKENS_MAX, .filled_us = now_us};
}

static double tokens_at(const struct budget *budget, uint64_t now_us)
{
    double passed_s = now_us > budget->filled_us ? (double)(now_us - budget->filled_us) / 1e6 : 0;
    double tokens = budget->tokens + passed_s * TOKENS_PER_S;
    return tokens < TOKENS_MAX ? tokens : TOKENS_MAX;
}

uint64_t budget_wait_us(const struct budget *budget, uint64_t now_us)
{
    double tokens = tokens_at(budget, now_us);
    uint64_t fill_us = tokens >= 1 ? 0 : (uint64_t)((1 - tokens) / TOKENS_PER_S * 1e6) + 1;
    uint64_t blocked_us = budget->blocked_until_us > now_us ? budget->blocked_until_us - now_us : 0;
    return fill_us > blocked_us ? fill_us : blocked_us;
}

void budget_take(struct budget *budget, uint64_t now_us)
{
    double tokens = tokens_at(budget, now_us) - 1;
    budget->tokens = tokens > 0 ? tokens : 0;
    budget->filled_us = now_us;
}

void budget_block(struct budget *budget, uint64_t until_us)
{
    if (until_us > budget->blocked_until_us) {
        budget->blocked_until_us = until_us;
    }
}

/* The number of parameter `name` ("r" or "t") in one element of the list. */
static bool find_number(struct bytes element, char name, uint64_t *ret_value)
{
    struct bytes parameter;
    while (bytes_next(&element, ';', &parameter)) {
        parameter = bytes_trim(parameter);
        if (parameter.size > 2 && parameter.data[0] == name && parameter.data[1] == '=' &&
            bytes_to_u64(bytes_slice(parameter, 2, parameter.size - 2), ret_value)) {
            return true;
        }
    }
    return false;
}

void budget_note(struct budget *budget, uint64_t now_us, const char *field)
{
    struct bytes rest = bytes_of(field);
    struct bytes element;
    while (bytes_next(&rest, ',', &element)) {
        uint64_t left = 0;
        uint64_t seconds = 0;
        if (find_number(element, 'r', &left) && find_number(element, 't', &seconds) && left == 0) {
            seconds = seconds < WINDOW_MAX_S ? seconds : WINDOW_MAX_S;
            budget_block(budget, now_us + seconds * 1000000);
        }
    }
}

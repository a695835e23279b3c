#include "proxy/upstream/balance.h"

size_t balance_live_count(const struct balance_endpoint *endpoints, size_t endpoint_count)
{
    size_t live_count = 0;
    for (size_t i = 0; i < endpoint_count; i++) {
        live_count += endpoints[i].is_live;
    }
    return live_count;
}

/* The index of the live endpoint number `rank`, passing over `avoid`. There is one. */
static size_t nth_live(const struct balance_endpoint *endpoints, size_t avoid, uint64_t rank)
{
    size_t i = 0;
    for (;; i++) {
        if (!endpoints[i].is_live || i == avoid) {
            continue;
        }
        if (rank == 0) {
            return i;
        }
        rank--;
    }
}

size_t balance_pick(const struct balance_endpoint *endpoints, size_t endpoint_count, size_t avoid,
                    struct random *random)
{
    size_t live_count = balance_live_count(endpoints, endpoint_count);
    if (live_count == 0) {
        return BALANCE_NONE;
    }
    bool is_avoidable = live_count > 1 && avoid < endpoint_count && endpoints[avoid].is_live;
    avoid = is_avoidable ? avoid : BALANCE_NONE;
    live_count -= is_avoidable;
    if (live_count == 1) {
        return nth_live(endpoints, avoid, 0);
    }
    /* The second rank is drawn from the others, so the two differ. On a tie the first drawn wins:
     * also by chance. */
    uint64_t first_rank = random_below(random, live_count);
    uint64_t second_rank = random_below(random, live_count - 1);
    second_rank += second_rank >= first_rank;
    size_t first = nth_live(endpoints, avoid, first_rank);
    size_t second = nth_live(endpoints, avoid, second_rank);
    return endpoints[second].in_flight < endpoints[first].in_flight ? second : first;
}

size_t balance_pick_faithful(const struct balance_endpoint *endpoints, const uint64_t *scores,
                             size_t endpoint_count, size_t avoid)
{
    size_t best = BALANCE_NONE;
    for (size_t i = 0; i < endpoint_count; i++) {
        bool is_better = best == BALANCE_NONE || scores[i] > scores[best];
        if (endpoints[i].is_live && i != avoid && is_better) {
            best = i;
        }
    }
    bool is_only = best == BALANCE_NONE && avoid < endpoint_count && endpoints[avoid].is_live;
    return is_only ? avoid : best;
}

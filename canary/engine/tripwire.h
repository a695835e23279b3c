/* canary/engine/tripwire.h — hard limits beside the judge: facts that need no statistics.
 *
 *   every endpoint of the canary fails its health checks, stable has a live one    breach(health),
 * at once
 *   ... and stable has none either suspicious(shared_outage) workers have contained the canary for
 * 5 s                                      breach(absolute), unless shared_outage workers contain
 * the canary                                                    at least suspicious(absolute) some
 * endpoint of the canary is ejected or unhealthy                            at least
 * suspicious(health)
 *
 * A breach of the judge stands above all of them. Embedded in the engine; pure, the clock is an
 * argument. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "canary/engine/judge.h"
#include "proxy/base/err.h"

/* What is found, by whom it may be. */
struct finding {
    enum judge_verdict verdict;
    enum judge_reason reason;
};

struct tripwire_input {
    uint32_t canary_endpoints;
    uint32_t canary_failing; /* by active health checks; endpoints not yet checked do not fail */
    uint32_t canary_live;    /* neither failing nor ejected */
    uint32_t stable_live;
    bool is_contained;
    bool is_in_use; /* the canary has weight: only then is there a breach */
};

struct tripwire {
    bool is_contained;
    uint64_t contained_since_us;
    bool is_latched; /* a breach stays until tripwire_start, as the judge's does */
    enum judge_reason latched_reason;
    bool is_canary_down; /* breach(health) holds, whatever the judge says */
};

void tripwire_init(struct tripwire *tripwire);
/* A new rollout, or judged anew: the latch ends, and the time of a containment begins again. */
void tripwire_start(struct tripwire *tripwire);
/* `judged` is what the judge found in the same look. */
struct finding tripwire_look(struct tripwire *tripwire, const struct tripwire_input *input,
                             struct finding judged, uint64_t now_us);
/* Says a finding that tripwire_look made of a milder one. */
void tripwire_sentence(const struct tripwire *tripwire, const struct tripwire_input *input,
                       struct finding finding, uint64_t now_us, struct note *ret_sentence);

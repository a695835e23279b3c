/* canary/controller/checks.h — the stable version's own URLs are asked, to confirm a rollback.
 *
 * One round asks each endpoint that takes traffic once, to CHECKS_MAX of them, the next round those
 * that follow; it is good when every answer is. Embedded in who wants to know (a steward, a drill);
 * control only. */
#pragma once
#include "canary/engine/rollout.h"
#include "proxy/upstream/prober.h"

enum { CHECKS_MAX = 16 };

struct controller;
struct steward;

struct check_slot {
    struct checks *checks;
    struct prober_question *question; /* under way, or NULL */
    char url[160];
};

struct checks {
    struct check_slot slots[CHECKS_MAX];
    size_t open_count;
    size_t next_endpoint;
    uint64_t asked_round;           /* begun; 0: none */
    struct note trouble;            /* of the round under way */
    struct rollout_checked checked; /* the last that is over */
};

/* Begins the round if that is news; 0: none is wanted, and what is under way is withdrawn. Zeros
 * are a fine beginning. */
void checks_look(struct checks *checks, const struct controller *controller,
                 const struct steward *steward, uint64_t round);
void checks_finish(struct checks *checks);

/* canary/cli/demo_seen.h — what the admin API says, as the demo keeps it.
 *
 * Readers of GET /api/v1/services/{s} and GET /api/v1/rollbacks, and the rates between two looks.
 * Plain values; pure; any thread. Texts are cut at their size, numbers that are missing or null are
 * 0 or NAN as said. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/bytes.h"
#include "proxy/base/err.h"
#include "proxy/base/role.h"

enum { DEMO_WORD_SIZE = 32, DEMO_SENTENCE_SIZE = 400, DEMO_PHASES = 6 };

struct demo_version_seen {
    char deployment[DEMO_WORD_SIZE];
    uint64_t requests;
    uint64_t failures;
    uint64_t client_bad;
};

struct demo_seen {
    char phase[DEMO_WORD_SIZE];
    char verdict[DEMO_WORD_SIZE];
    char reason[DEMO_WORD_SIZE]; /* "" without one */
    char sentence[DEMO_SENTENCE_SIZE];
    double weight_percent; /* of the canary, in effect */
    struct demo_version_seen versions[ROLE_COUNT];
};

/* Unknown members are passed over. ERR_SYNTAX: not a service's view. */
MUST_USE enum err demo_seen_read(struct bytes json, struct demo_seen *ret_seen);

struct demo_phase_seen {
    const char *name; /* "detect"; static */
    double seconds;   /* since the first bad response; NAN: did not happen */
};

struct demo_record {
    char id[64];
    char deployment[DEMO_WORD_SIZE];
    char target[DEMO_WORD_SIZE];
    char trigger[DEMO_WORD_SIZE];
    char actor[DEMO_WORD_SIZE];
    char mode[DEMO_WORD_SIZE];
    char status[DEMO_WORD_SIZE];
    char reason[DEMO_SENTENCE_SIZE];
    double duration_s;
    struct demo_phase_seen phases[DEMO_PHASES];
    uint64_t bad_origin, bad_client;
};

/* The newest rollback of the list. ERR_SYNTAX: not such a list. ERR_NOT_FOUND: it is empty. */
MUST_USE enum err demo_record_read(struct bytes json, struct demo_record *ret_record);
/* The rollback is over, one way or the other. */
bool demo_record_is_over(const struct demo_record *record);

enum { DEMO_SAMPLES = 16 };

/* One look at counters that only grow. */
struct demo_sample {
    double at_s;
    uint64_t requests[ROLE_COUNT];
    uint64_t failures[ROLE_COUNT];
};

struct demo_rate {
    double requests_per_s;
    double failures_per_s;
};

/* The last looks; starts zeroed. */
struct demo_rates {
    struct demo_sample samples[DEMO_SAMPLES];
    size_t count;
};

/* Keeps a look made at `now_s`; looks should be at least a twelfth of a second apart. */
void demo_rates_add(struct demo_rates *rates, const struct demo_seen *seen, double now_s);
/* Over about the last second; 0 before there are two looks. */
struct demo_rate demo_rates_of(const struct demo_rates *rates, enum role role);

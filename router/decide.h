/* router/decide.h — the one door to the router's judgement: facts in, a version and the reason out.
 *
 * In order of precedence: the client's own wish (header `Serin-Version`, then cookie
 * `serin-version`), its bucket (sticky.h), the weight (split.h). A version without a live endpoint
 * gives its share to the other at once; neither the weight nor the accumulator is touched by that.
 * Nothing is allocated and nothing is looked up that the service did not ask for. The worker that
 * owns accumulator and random; all else is borrowed for the call. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/base/bytes.h"
#include "proxy/base/hash.h"
#include "router/split.h"
#include "router/sticky.h"

/* Whose wishes are heard (`opt_in: on | trusted | off`). */
enum wishes { WISHES_OF_ALL, WISHES_OF_TRUSTED, WISHES_OF_NONE };

/* X(ID, "text"): why this version. */
#define DECIDE_REASON_LIST(X)                                                                      \
    X(WEIGHT, "weight")       /* dealt by error diffusion */                                       \
    X(STICKY, "sticky")       /* by the client's bucket */                                         \
    X(OPT_IN, "opt_in")       /* the client asked for the current version */                       \
    X(OPT_OUT, "opt_out")     /* the client asked for the previous one */                          \
    X(ONLY_LIVE, "only_live") /* the version it would have been has no live endpoint */            \
    X(CONTAINED, "contained") /* the canary's, but this worker holds it back */                    \
    X(NONE_LIVE, "none_live") /* neither has: nobody can answer */

enum decide_reason {
#define DECIDE_REASON_ID(id, text) DECIDE_##id,
    DECIDE_REASON_LIST(DECIDE_REASON_ID)
#undef DECIDE_REASON_ID
        DECIDE_REASON_COUNT
};

/* The reason's name in the API, the access log and `serin explain`; never NULL. */
const char *decide_reason_text(enum decide_reason reason);

/* What a snapshot knows about a service. Immutable. */
struct decide_service {
    uint32_t weight_ppm; /* of the current version */
    enum wishes wishes;
    bool is_quarantined; /* the current deployment was rolled back: wishes are not heard, and it
                            takes nothing over from the previous version */
    struct sticky sticky;
};

/* What is known about one request. Empty where the request says nothing, or where the service does
 * not ask. */
struct decide_facts {
    bool is_live[ROLE_COUNT];    /* has a live endpoint */
    bool is_contained;           /* this worker holds the canary back: wishes are not heard */
    bool is_trusted;             /* the peer is one of trusted_proxies */
    struct bytes version_header; /* value of Serin-Version */
    struct bytes sticky_header;  /* value of the field that sticky.header names */
    struct bytes client_address; /* 4 or 16 bytes, network order */
    const struct bytes *cookies; /* values of the Cookie fields */
    size_t cookie_count;
};

struct decision {
    enum role role; /* with DECIDE_NONE_LIVE the version that would have answered */
    enum decide_reason reason;
    bool is_judged;   /* counts for the judge: false when the client chose its version, or nobody
                         answers */
    bool sets_cookie; /* give the client its bucket (sticky_format) with the answer */
    uint32_t bucket; /* of the client; meaningful when sets_cookie or the reason is DECIDE_STICKY */
};

/* The same request, which was the canary's, goes to the stable version: the worker holds the canary
 * back. The client keeps the bucket it has and gets none. */
struct decision decide_contained(struct decision decision);
struct decision decide(const struct decide_service *service, const struct decide_facts *facts,
                       struct split_accumulator *accumulator, struct random *random);

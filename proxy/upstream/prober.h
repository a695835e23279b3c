/* proxy/upstream/prober.h — active health checks: asks each endpoint again and again whether it is
 * well.
 *
 * A probe is a GET on a fresh connection. A good answer has an accepted status and is complete
 * within the timeout; anything else is a bad one. `unhealthy` bad ones in a row take an endpoint
 * out (endpoint->is_healthy, which every worker reads), `healthy` good ones in a row bring it back:
 *
 *        +-- `unhealthy` bad in a row -->
 *     healthy                          unhealthy
 *        <-- `healthy` good in a row ---+
 *
 * An endpoint starts as healthy, so that a start does not wait for checks, but until one of the two
 * runs is complete for the first time probes follow each other faster. What fails on our side (no
 * memory, no descriptors) is no answer and counts for nothing. Probes are no requests: no metric of
 * requests counts them. At most one at a time per endpoint, the first after a random delay, so that
 * endpoints are not asked in step. Owned by control; used only by the thread of its loop. */
#pragma once
#include "conf/conf.h"
#include "proxy/io/address.h"
#include "proxy/upstream/endpoint.h"

struct prober;
struct prober_question; /* asked once; valid until its on_answer */

enum {
    PROBER_PROBES_MAX = 256,        /* at a time; more wait for their turn */
    PROBER_BODY_MAX = 64 * 1024,    /* bytes of an answer's body that are read */
    PROBER_FIRST_US = 250 * 1000,   /* the first probe comes within this, or the interval */
    PROBER_FAST_PART = 10,          /* the interval's part between probes until decided … */
    PROBER_FAST_MIN_US = 100 * 1000 /* … but not less, unless the interval is */
};

/* One endpoint to be probed; everything is copied, the endpoint referenced. */
struct prober_target {
    struct endpoint *endpoint;
    struct bytes authority; /* for the Host field */
    const union address *addresses;
    size_t address_count;             /* 0: not resolved: not probed for now */
    struct tls_client *tls;           /* NULL: without */
    struct bytes host;                /* with tls: whose certificate it must be; terminated */
    const struct conf_health *health; /* is_on */
    enum proxy_protocol proxy_protocol;
    enum client_speech speech;
};

/* What the checks of an endpoint say, for status. */
struct prober_facts {
    bool is_healthy;
    bool is_decided;       /* one of the two runs has been complete */
    uint64_t probe_count;  /* results since the endpoint is probed */
    uint64_t good_in_row;  /* ends at a bad one */
    uint64_t bad_in_row;   /* ends at a good one */
    uint64_t last_at_us;   /* monotonic, of the last result; 0: none yet */
    unsigned last_status;  /* 0: no answer */
    const char *last_text; /* "status 503", "connection refused", …; static; "" before the first */
};

/* The endpoint's health has turned. In an event of the loop, never from inside a function of the
 * prober; may call prober_set. `reason` is a part of a sentence ("3 health checks in a row failed,
 * the last with status 503"), lent. */
typedef void prober_on_changed(void *context, struct endpoint *endpoint, bool is_healthy,
                               const char *reason);

/* What was answered once; the texts are lent. */
struct prober_answer {
    bool is_good;
    bool is_ours;     /* nothing was asked: no memory or descriptors, or the prober closes */
    unsigned status;  /* 0: no answer */
    const char *text; /* as prober_facts.last_text; static */
};

/* Called once, in an event of the loop, also from inside prober_ask and prober_close. */
typedef void prober_on_answer(void *context, const struct prober_answer *answer);

/* Borrows the loop for life. `limits` bounds the heads of answers, copied. ERR_NOMEM. */
MUST_USE enum err prober_create(struct loop *loop, const struct framing_limits *limits,
                                prober_on_changed *on_changed, void *context,
                                struct prober **ret_prober);
/* From now on these are probed. An endpoint that stays keeps its health, counts and schedule while
 * the rest of its target may change; one that comes starts as above; one that goes is healthy
 * again, for nobody asks it any more. Of doubles the first counts. ERR_NOMEM, ERR_RANGE (too
 * many statuses): all is as it was. */
MUST_USE enum err prober_set(struct prober *prober, const struct prober_target *targets,
                             size_t target_count);
/* False when the endpoint is not probed. */
bool prober_find(const struct prober *prober, const struct endpoint *endpoint,
                 struct prober_facts *ret_facts);
/* Asks once, beside the schedule, as `target->health` says; copies what it needs, and changes
 * nobody's health. The target has an address. `*ret_question` is set before on_answer may be
 * called. ERR_NOMEM; ERR_RANGE (too many statuses). */
MUST_USE enum err prober_ask(struct prober *prober, const struct prober_target *target,
                             prober_on_answer *on_answer, void *context,
                             struct prober_question **ret_question);
/* No call follows. */
void prober_withdraw(struct prober_question *question);
/* Answers all questions, stops all probes, lets go of all endpoints (whose health stays as it is)
 * and frees the prober when the last connection is closed: at once, or later on the loop.
 * `on_closed` (may be NULL) is the last call. Not from on_changed. */
void prober_close(struct prober *prober, void (*on_closed)(void *context), void *context);

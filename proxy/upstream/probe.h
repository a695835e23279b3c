/* proxy/upstream/probe.h — one health check of one endpoint, from the first connect to what it
 * says.
 *
 * A probe asks at one of the endpoint's addresses; where no connection can be made it goes on to
 * the next, all within one timeout. It owns itself and lives until its last connection is closed.
 * Belongs to the prober; used only by the thread of its loop. */
#pragma once
#include "proxy/upstream/prober.h"

enum { PROBE_ADDRESSES_MAX = 8 };

/* X(RESULT, "text") */
#define PROBE_RESULTS(X)                                                                           \
    X(GOOD, "accepted status")                                                                     \
    X(BAD_STATUS, "status not accepted")                                                           \
    X(BAD_BODY, "body without what it is to contain")                                              \
    X(NO_CONNECTION, "no connection")                                                              \
    X(NO_TLS, "TLS handshake failed")                                                              \
    X(TIMEOUT, "timeout")                                                                          \
    X(RESET, "connection reset")                                                                   \
    X(MALFORMED, "malformed answer")                                                               \
    X(TRUNCATED, "answer cut short")                                                               \
    X(OURS, "no memory or descriptors") /* says nothing about the endpoint */

enum probe_result {
#define PROBE_RESULT_ID(id, text) PROBE_##id,
    PROBE_RESULTS(PROBE_RESULT_ID)
#undef PROBE_RESULT_ID
        PROBE_RESULT_COUNT
};

/* Static; never NULL. */
const char *probe_result_text(enum probe_result result);

/* What is asked; immutable, shared by reference. */
struct check {
    size_t reference_count;
    struct conf_health health; /* path, statuses and contains point in here */
    struct bytes authority;    /* points in here */
    enum proxy_protocol proxy_protocol;
    enum client_speech speech;
    struct tls_client *tls; /* shared; NULL: without */
    const char *host;       /* points in here */
    size_t address_count;   /* 0: nobody to ask */
    union address addresses[PROBE_ADDRESSES_MAX];
    struct conf_statuses statuses[CONF_STATUSES_MAX];
    char text[];
};

/* Copies what it needs of the target, of too many addresses the first. One reference, the caller's.
 * ERR_NOMEM; ERR_RANGE when there are more statuses than CONF_STATUSES_MAX. */
MUST_USE enum err check_create(const struct prober_target *target, struct check **ret_check);
struct check *check_ref(struct check *check);
void check_unref(struct check *check); /* NULL is fine */

/* What all probes of a prober share; outlives them. */
struct probe_host {
    struct loop *loop;                     /* borrowed */
    struct http2_client_settings settings; /* of which streams_max is at least 1 */
    size_t probe_count;                    /* those that live, the closing ones included */
    /* A probe is gone. In an event of the loop. */
    void (*on_gone)(struct probe_host *host);
};

struct probe_end {
    enum probe_result result;
    unsigned status;      /* 0: no answer */
    size_t address_index; /* the address it ended with */
};

struct probe;
/* Called once per probe that is not cancelled, in an event of the loop, also from inside
 * probe_start; nobody may use the probe afterwards. */
typedef void probe_on_end(void *context, const struct probe_end *end);

/* Starts inside an event, with address number `first_address` (any number: it wraps). Shares
 * `check`, which has an address. `*ret_probe` is set before on_end may be called. ERR_NOMEM. */
MUST_USE enum err probe_start(struct probe_host *host, struct check *check, size_t first_address,
                              probe_on_end *on_end, void *context, struct probe **ret_probe);
/* No call follows. */
void probe_cancel(struct probe *probe);

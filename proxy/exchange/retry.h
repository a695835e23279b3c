/* proxy/exchange/retry.h — after an attempt failed: again, or what does the client get?
 *
 * The same version is tried once more, on a new connection, when a pooled connection turned out
 * closed (RFC 9110 section 9.2.2): the method is idempotent, no byte of the body was sent and none
 * of an answer was seen. Whatever the method, it is tried once more when the origin says that it
 * has not looked at the request (RFC 9113 section 8.7) and no byte of the body was sent. What the
 * canary failed is asked of the stable version where the request and the configuration
 * (`rescue.when`) allow it and the client got no byte; the caller has the budget for that.
 * Everything else is answered, or cut when the answer had begun, so that a short body never looks
 * whole. Pure; any thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "proxy/exchange/outcome.h"

enum { RETRY_SAME_VERSION_MAX = 1 };

/* What is known about the request beside the attempt's own facts. */
struct retry_facts {
    bool is_idempotent;   /* its method is */
    bool has_sent_body;   /* any byte of its body went to the origin */
    bool has_answered;    /* any byte of a final answer went to the client */
    uint32_t retry_count; /* retries on the same version so far */
    unsigned rescue_when; /* bits 1 << enum conf_rescue_when: what the stable version makes good; 0:
                             nothing */
};

enum retry_action {
    RETRY_GO_ON,         /* nothing failed: the attempt ended well, or is not over */
    RETRY_SAME_VERSION,  /* once more, on a new connection */
    RETRY_OTHER_VERSION, /* rescue: the stable version is asked */
    RETRY_ANSWER,        /* give `status` */
    RETRY_CUT,           /* end the client's connection visibly */
    RETRY_DROP,          /* the client is gone: nobody to answer */
};

struct retry_decision {
    enum retry_action action;
    unsigned status; /* with RETRY_ANSWER */
};

/* `attempt->is_retried` and the counting facts are not looked at: they follow from this. */
struct retry_decision retry_decide(const struct attempt_facts *attempt,
                                   const struct retry_facts *request);

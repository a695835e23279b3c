#include "proxy/exchange/retry.h"

/* The origin closed a connection it had kept: it did not see this request, or says so by not
 * answering it. */
static bool is_stale_connection(const struct attempt_facts *attempt)
{
    return attempt->end == ATTEMPT_RESET && attempt->is_reused && !attempt->has_response_bytes;
}

static bool may_repeat(const struct retry_facts *request)
{
    return request->is_idempotent && !request->has_sent_body && !request->has_answered &&
           request->retry_count < RETRY_SAME_VERSION_MAX;
}

static bool has_failed(enum attempt_end end)
{
    return end != ATTEMPT_HEAD_READ && end != ATTEMPT_SETTLED && end != ATTEMPT_DONE;
}

struct retry_decision retry_decide(const struct attempt_facts *attempt,
                                   const struct retry_facts *request)
{
    if (!has_failed(attempt->end)) {
        return (struct retry_decision){.action = RETRY_GO_ON};
    }
    if (attempt->end == ATTEMPT_CLIENT_GONE) {
        return (struct retry_decision){.action = RETRY_DROP};
    }
    if (request->has_answered) {
        return (struct retry_decision){.action = RETRY_CUT};
    }
    if (is_stale_connection(attempt) && may_repeat(request)) {
        return (struct retry_decision){.action = RETRY_SAME_VERSION};
    }
    return (struct retry_decision){RETRY_ANSWER, outcome_of(attempt).client_status};
}

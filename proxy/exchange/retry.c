#include "proxy/exchange/retry.h"

/* The origin closed a connection it had kept: it did not see this request, or says so by not
 * answering it. */
static bool is_stale_connection(const struct attempt_facts *attempt)
{
    return attempt->end == ATTEMPT_RESET && attempt->is_reused && !attempt->is_stream_reset &&
           !attempt->has_response_bytes;
}

static bool is_unprocessed(const struct attempt_facts *attempt)
{
    return attempt->end == ATTEMPT_RESET && attempt->is_unprocessed && !attempt->has_response_bytes;
}

static bool may_repeat(const struct attempt_facts *attempt, const struct retry_facts *request)
{
    bool is_safe =
        is_unprocessed(attempt) || (is_stale_connection(attempt) && request->is_idempotent);
    return is_safe && !request->has_sent_body && !request->has_answered &&
           request->retry_count < RETRY_SAME_VERSION_MAX;
}

static bool has_failed(enum attempt_end end)
{
    return end != ATTEMPT_HEAD_READ && end != ATTEMPT_SETTLED && end != ATTEMPT_DONE;
}

static unsigned rescue_bit_of_status(unsigned status)
{
    switch (status) {
    case 500:
        return 1u << CONF_RESCUE_500;
    case 502:
        return 1u << CONF_RESCUE_502;
    case 503:
        return 1u << CONF_RESCUE_503;
    case 504:
        return 1u << CONF_RESCUE_504;
    default:
        return 0;
    }
}

/* What happened as `rescue.when` calls it. An answer that is no proper HTTP would be a 502 to the
 * client. */
static unsigned rescue_bit(const struct attempt_facts *attempt)
{
    switch (attempt->end) {
    case ATTEMPT_CONNECT_FAILED:
    case ATTEMPT_CONNECT_TIMEOUT:
    case ATTEMPT_TLS_FAILED:
    case ATTEMPT_TLS_TIMEOUT:
        return 1u << CONF_RESCUE_CONNECT;
    case ATTEMPT_HEAD_TIMEOUT:
        return 1u << CONF_RESCUE_TIMEOUT;
    case ATTEMPT_RESET:
        return attempt->has_response_bytes ? 1u << CONF_RESCUE_502 : 1u << CONF_RESCUE_RESET;
    case ATTEMPT_BAD_RESPONSE:
        return 1u << CONF_RESCUE_502;
    case ATTEMPT_HEAD_READ:
        return rescue_bit_of_status(attempt->status);
    default:
        return 0;
    }
}

struct retry_decision retry_decide(const struct attempt_facts *attempt,
                                   const struct retry_facts *request)
{
    bool is_rescuable = !request->has_answered && (rescue_bit(attempt) & request->rescue_when) != 0;
    if (may_repeat(attempt, request)) {
        return (struct retry_decision){.action = RETRY_SAME_VERSION};
    }
    if (is_rescuable) {
        return (struct retry_decision){.action = RETRY_OTHER_VERSION};
    }
    if (!has_failed(attempt->end)) {
        return (struct retry_decision){.action = RETRY_GO_ON};
    }
    if (attempt->end == ATTEMPT_CLIENT_GONE) {
        return (struct retry_decision){.action = RETRY_DROP};
    }
    if (request->has_answered) {
        return (struct retry_decision){.action = RETRY_CUT};
    }
    return (struct retry_decision){RETRY_ANSWER, outcome_of(attempt).client_status};
}

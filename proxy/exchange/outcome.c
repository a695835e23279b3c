/* proxy/exchange/outcome.c — the table of what counts.
 *
 *     end              n e x  failure        client
 *     connect failed   1 1 1  connect        502      no address, refused, unreachable
 *     connect timeout  1 1 1  connect        504
 *     tls failed       1 1 1  tls            502
 *     tls timeout      1 1 1  tls            504
 *     head timeout     1 1 1  timeout        504
 *     reset, new       1 1 1  reset          502      before a byte
 *     reset, reused    1 1 0  reset          502      before a byte, and not retried
 *     reset of a stream alone  as reused, and never retried; unprocessed: as reused
 *     reset, retried   0 0 0  reset          –        the race of keep-alive: the next attempt
 * counts reset in a head  1 1 0  bad_response   502 bad response     1 1 0  bad_response   502
 *     truncated        1 1 0  bad_response   502      one more after a counted success, none after
 * a failure body timeout     1 1 0  timeout        504      the same 52x at the head  1 1 1
 * edge_52x       –        520 to 527 and 530 5xx at the head  1 1 0  origin_5xx     – settled, done
 * 1 0 0  –              –        unless the head counted already client gone      0 0 0  – – after
 * a good head: as done refused          0 0 0  –              503
 *
 * A service may list other statuses than 5xx as failures: one below 500 that is listed has 1 1 0 at
 * the head and is of the kind `status`; a 5xx that is not listed counts as a good answer, but keeps
 * its kind.
 *
 * A 200 of gRPC whose status is listed has 1 1 0 and the kind `grpc_status` where that comes to be
 * known, at the head or the end; one more after a counted success. Once its client's own time is
 * over it has 0 0 0 and no kind, whatever its status.
 *
 * A reset before a byte has 1 1 0 where a part of the request's body was missing, or took long to
 * come: one client that dawdles is no proof that a version takes no connections.
 *
 * n, e and x are zero for attempts that are not judged; failure kind and client status are the same
 * for all. */
#include "proxy/exchange/outcome.h"

#include "proxy/base/check.h"

enum {
    STATUS_SERVER_ERROR = 500,
    STATUS_NOT_FOUND = 404,
    STATUS_BAD_GATEWAY = 502,
    STATUS_UNAVAILABLE = 503,
    STATUS_GATEWAY_TIMEOUT = 504
};

struct row {
    bool is_failure;
    bool is_connect;
    enum metric_failure failure;
    unsigned client_status;
};

static const struct row rows[] = {
    [ATTEMPT_HEAD_READ] = {false, false, METRIC_FAILURE_COUNT, 0},
    [ATTEMPT_SETTLED] = {false, false, METRIC_FAILURE_COUNT, 0},
    [ATTEMPT_DONE] = {false, false, METRIC_FAILURE_COUNT, 0},
    [ATTEMPT_CONNECT_FAILED] = {true, true, METRIC_FAILURE_CONNECT, STATUS_BAD_GATEWAY},
    [ATTEMPT_CONNECT_TIMEOUT] = {true, true, METRIC_FAILURE_CONNECT, STATUS_GATEWAY_TIMEOUT},
    [ATTEMPT_TLS_FAILED] = {true, true, METRIC_FAILURE_TLS, STATUS_BAD_GATEWAY},
    [ATTEMPT_TLS_TIMEOUT] = {true, true, METRIC_FAILURE_TLS, STATUS_GATEWAY_TIMEOUT},
    [ATTEMPT_HEAD_TIMEOUT] = {true, true, METRIC_FAILURE_TIMEOUT, STATUS_GATEWAY_TIMEOUT},
    [ATTEMPT_RESET] = {true, true, METRIC_FAILURE_RESET, STATUS_BAD_GATEWAY},
    [ATTEMPT_BAD_RESPONSE] = {true, false, METRIC_FAILURE_BAD_RESPONSE, STATUS_BAD_GATEWAY},
    [ATTEMPT_TRUNCATED] = {true, false, METRIC_FAILURE_BAD_RESPONSE, STATUS_BAD_GATEWAY},
    [ATTEMPT_BODY_TIMEOUT] = {true, false, METRIC_FAILURE_TIMEOUT, STATUS_GATEWAY_TIMEOUT},
    [ATTEMPT_CLIENT_GONE] = {false, false, METRIC_FAILURE_COUNT, 0},
    [ATTEMPT_REFUSED] = {false, false, METRIC_FAILURE_COUNT, STATUS_UNAVAILABLE},
};
_Static_assert(COUNT_OF(rows) == ATTEMPT_END_COUNT, "every end has a row");

/* What the edge in front of an origin says when it could not reach it (Cloudflare's own statuses).
 */
static bool is_edge_failure(unsigned status)
{
    return (status >= 520 && status <= 527) || status == 530;
}

bool outcome_is_bad_status(unsigned status, bool is_failing_status)
{
    return is_failing_status || is_edge_failure(status);
}

static enum metric_failure kind_of(unsigned status, bool is_bad)
{
    if (is_edge_failure(status)) {
        return METRIC_FAILURE_EDGE_52X;
    }
    if (status >= STATUS_SERVER_ERROR) {
        return METRIC_FAILURE_ORIGIN_5XX;
    }
    return is_bad ? METRIC_FAILURE_STATUS : METRIC_FAILURE_COUNT;
}

/* The answer so far is what its status says: a failing one counts at once, a good one when it has
 * lasted. */
static struct outcome outcome_of_status(const struct attempt_facts *facts)
{
    if (facts->is_failing_rpc) {
        return (struct outcome){.is_request = true,
                                .is_failure = true,
                                .is_unwell = facts->is_unwell_rpc,
                                .failure = METRIC_FAILURE_GRPC_STATUS};
    }
    if (facts->is_counted || facts->is_no_evidence) {
        return (struct outcome){.failure = METRIC_FAILURE_COUNT};
    }
    bool is_head = facts->end == ATTEMPT_HEAD_READ;
    bool is_bad = outcome_is_bad_status(facts->status, facts->is_failing_status);
    enum metric_failure kind = kind_of(facts->status, is_bad);
    return (struct outcome){.is_request = is_bad || !is_head,
                            .is_failure = is_bad,
                            .is_connect = is_edge_failure(facts->status),
                            .is_unwell =
                                facts->status >= STATUS_SERVER_ERROR && (is_bad || is_head),
                            .failure = is_bad || is_head ? kind : METRIC_FAILURE_COUNT};
}

static struct outcome outcome_of_reset(const struct attempt_facts *facts, struct outcome outcome)
{
    if (facts->has_response_bytes) {
        outcome.is_connect = false;
        outcome.failure = METRIC_FAILURE_BAD_RESPONSE;
    } else if (facts->is_reused || facts->is_unprocessed || facts->is_stream_reset) {
        outcome.is_request = !facts->is_retried;
        outcome.is_failure = !facts->is_retried;
        outcome.is_unwell = !facts->is_retried;
        outcome.is_connect = false;
    }
    outcome.is_connect = outcome.is_connect && !facts->is_body_late;
    return outcome;
}

static struct outcome outcome_of_failure(const struct attempt_facts *facts)
{
    const struct row *row = &rows[facts->end];
    struct outcome outcome = {.is_request = row->is_failure,
                              .is_failure = row->is_failure,
                              .is_connect = row->is_connect,
                              .is_unwell = row->is_failure,
                              .failure = row->failure,
                              .client_status = row->client_status};
    if (facts->end == ATTEMPT_RESET) {
        return outcome_of_reset(facts, outcome);
    }
    if (outcome_is_bad_status(facts->status, facts->is_failing_status)) {
        /* Its head was a failure already; the same answer does not fail twice. */
        return (struct outcome){.failure = METRIC_FAILURE_COUNT,
                                .client_status = row->client_status};
    }
    return outcome;
}

struct outcome outcome_of(const struct attempt_facts *facts)
{
    CHECK(facts->end < ATTEMPT_END_COUNT);
    bool is_answer =
        facts->end <= ATTEMPT_DONE || (facts->end == ATTEMPT_CLIENT_GONE && facts->status != 0);
    struct outcome outcome = is_answer ? outcome_of_status(facts) : outcome_of_failure(facts);
    if (!facts->is_judged) {
        outcome.is_request = false;
        outcome.is_failure = false;
        outcome.is_connect = false;
    }
    return outcome;
}

void outcome_enter(const struct outcome *outcome, const struct attempt_facts *facts,
                   struct version_cells *cells)
{
    if (outcome->is_failure && facts->is_counted) {
        version_cells_count_late_err(cells);
    } else if (outcome->is_failure) {
        version_cells_count_err(cells, outcome->is_connect);
    } else if (outcome->is_request) {
        version_cells_count_ok(cells);
        if (facts->status == STATUS_NOT_FOUND && !facts->is_excused) {
            cell_increment(&cells->not_found);
        }
    }
    if (outcome->is_failure) {
        cell_increment(&cells->origin_bad);
    }
}

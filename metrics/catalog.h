/* metrics/catalog.h — every metric, declared once.
 *
 * The tables below are the only place where a metric, or a value of one of its labels, is named.
 * From them come the structs of cells (one line more in a table is one cell more), the exposition
 * (metrics/exposition.c has one writer per row and does not compile without it) and
 * docs/metrics.md. Names never change once shipped.
 *
 * Cells live in blocks (metrics/block.h): the worker that owns the struct writes, through the
 * functions at the end where more than one cell is meant; anybody reads. An increment is a load and
 * a store. */
#pragma once
#include <stdbool.h>

#include "metrics/cell.h"
#include "metrics/histogram.h"
#include "proxy/base/check.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* X(ID, id, "name", TYPE, "unit", "labels", "help") in the order of the exposition. */
#define METRIC_CATALOG(X)                                                                          \
    X(REQUESTS, requests, "serin_requests_total", COUNTER, "", "service, code, method",            \
      "Requests by the final status that the client got; `none` when it got none.")                \
    X(REQUEST_DURATION, request_duration, "serin_request_duration_seconds", HISTOGRAM, "seconds",  \
      "service", "From the complete request head to the last byte of the response.")               \
    X(REQUESTS_IN_FLIGHT, requests_in_flight, "serin_requests_in_flight", GAUGE, "",               \
      "service, role", "Requests now under way, by the version that the split chose.")             \
    X(REQUEST_BYTES, request_bytes, "serin_request_bytes_total", COUNTER, "bytes",                 \
      "service, role", "Body bytes received from clients.")                                        \
    X(RESPONSE_BYTES, response_bytes, "serin_response_bytes_total", COUNTER, "bytes",              \
      "service, role", "Body bytes sent to clients.")                                              \
    X(CLIENT_BAD_RESPONSES, client_bad_responses, "serin_client_bad_responses_total", COUNTER, "", \
      "service, role", "Failed answers that clients saw, by the version that the split chose.")    \
    X(UPSTREAM_REQUESTS, upstream_requests, "serin_upstream_requests_total", COUNTER, "",          \
      "service, role, endpoint, code",                                                             \
      "Attempts at an endpoint, retries and rescues too, health checks not; `none` without "       \
      "answer.")                                                                                   \
    X(UPSTREAM_FAILURES, upstream_failures, "serin_upstream_failures_total", COUNTER, "",          \
      "service, role, kind", "Attempts that failed, by how they failed.")                          \
    X(UPSTREAM_DURATION, upstream_duration, "serin_upstream_duration_seconds", HISTOGRAM,          \
      "seconds", "service, role", "From the start of an attempt to the end of its answer.")        \
    X(UPSTREAM_CONNECTIONS, upstream_connections, "serin_upstream_connections", GAUGE, "",         \
      "service, role, state", "Open connections to the endpoints of a version.")                   \
    X(UPSTREAM_HTTP2_VIOLATIONS, upstream_http2_violations,                                        \
      "serin_upstream_http2_violations_total", COUNTER, "", "service, role, kind",                 \
      "What HTTP/2 origins must not do, or did too much of: streams reset, connections ended.")    \
    X(ENDPOINT_UP, endpoint_up, "serin_endpoint_up", GAUGE, "", "service, role, endpoint",         \
      "1 when the endpoint passes its health checks, else 0.")                                     \
    X(OUTLIER_EJECTIONS, outlier_ejections, "serin_outlier_ejections_total", COUNTER, "",          \
      "service, role, endpoint",                                                                   \
      "Times that a worker took the endpoint out for failing in a row.")                           \
    X(RESCUES, rescues, "serin_rescues_total", COUNTER, "", "service, result",                     \
      "Requests that the canary failed and the stable version was to make good; with `asset_`, "   \
      "assets that one version lacked and the other was asked for.")                               \
    X(CIRCUIT_OVERFLOWS, circuit_overflows, "serin_circuit_overflows_total", COUNTER, "",          \
      "service, role, limit",                                                                      \
      "Requests that a version did not get because its `circuit` was full, by the limit.")         \
    X(STALE_SERVED, stale_served, "serin_stale_served_total", COUNTER, "", "service",              \
      "Requests that got a kept answer because the origins failed.")                               \
    X(CACHE_REQUESTS, cache_requests, "serin_cache_requests_total", COUNTER, "",                   \
      "service, result", "Requests that looked for a kept answer, by what came of it.")            \
    X(CACHE_BYTES, cache_bytes, "serin_cache_bytes", GAUGE, "bytes", "",                           \
      "Memory that kept answers take, in all services.")                                           \
    X(MIRRORED_REQUESTS, mirrored_requests, "serin_mirrored_requests_total", COUNTER, "",          \
      "service", "Requests copied to a canary without weight; no other family counts them.")       \
    X(MIRROR_DROPPED, mirror_dropped, "serin_mirror_dropped_total", COUNTER, "", "service",        \
      "Copies that were not made: too many were under way, or there was no memory.")               \
    X(CONTAINED, contained, "serin_contained", GAUGE, "", "service",                               \
      "Workers that hold the canary at a trickle, because clients saw too many bad answers.")      \
    X(CONTAINMENTS, containments, "serin_containments_total", COUNTER, "", "service",              \
      "Times that a worker began to hold the canary back.")                                        \
    X(WEIGHT_RATIO, weight_ratio, "serin_weight_ratio", GAUGE, "ratio", "service, role, kind",     \
      "Share of the traffic: `set` is in effect, `realised` was seen in the last ten seconds.")    \
    X(VERDICT, verdict, "serin_verdict", GAUGE, "", "service, verdict",                            \
      "1 for the judge's present verdict, 0 for the others.")                                      \
    X(EVIDENCE_LOG_E, evidence_log_e, "serin_evidence_log_e", GAUGE, "", "service, test",          \
      "Evidence against the canary by test, as the natural logarithm of the odds.")                \
    X(ROLLOUT_PHASE, rollout_phase, "serin_rollout_phase", GAUGE, "", "service, phase",            \
      "1 for the present phase of the rollout, 0 for the others.")                                 \
    X(ROLLOUT_STEP, rollout_step, "serin_rollout_step", GAUGE, "", "service",                      \
      "Step of the rollout, counted from 1; 0 when none runs.")                                    \
    X(ROLLBACKS, rollbacks, "serin_rollbacks_total", COUNTER, "", "service, trigger, status",      \
      "Rollbacks that ended, by trigger and outcome.")                                             \
    X(ROLLBACK_DURATION, rollback_duration, "serin_rollback_duration_seconds", HISTOGRAM,          \
      "seconds", "service", "From the first bad response to the end of the last phase.")           \
    X(ROLLBACK_PHASE_DURATION, rollback_phase_duration, "serin_rollback_phase_duration_seconds",   \
      HISTOGRAM, "seconds", "service, phase",                                                      \
      "From the first bad response to the end of the phase.")                                      \
    X(LAST_ROLLBACK_TIMESTAMP, last_rollback_timestamp, "serin_last_rollback_timestamp_seconds",   \
      GAUGE, "seconds", "service", "When the latest rollback began; absent before the first.")     \
    X(LAST_DRILL_TIMESTAMP, last_drill_timestamp, "serin_last_drill_timestamp_seconds", GAUGE,     \
      "seconds", "service",                                                                        \
      "When the latest drill that was not dropped ended; absent before the first.")                \
    X(DRILL_DURATION, drill_duration, "serin_drill_duration_seconds", GAUGE, "seconds", "service", \
      "What a rollback took in that drill, by the same phases; absent when it failed. No other "   \
      "family of durations has it.")                                                               \
    X(DRILL_IN_TIME, drill_in_time, "serin_drill_in_time", GAUGE, "", "service",                   \
      "1 when that drill met the target of its time, 0 when it was slower or failed.")             \
    X(DEPLOYMENT_INFO, deployment_info, "serin_deployment_info", GAUGE, "",                        \
      "service, role, deployment, url", "Always 1: which deployment plays which role.")            \
    X(CLIENT_CONNECTIONS, client_connections, "serin_client_connections", GAUGE, "", "state",      \
      "Open connections of clients.")                                                              \
    X(REJECTED_REQUESTS, rejected_requests, "serin_rejected_requests_total", COUNTER, "",          \
      "reason", "Requests that were answered here and not forwarded.")                             \
    X(TLS_HANDSHAKES, tls_handshakes, "serin_tls_handshakes_total", COUNTER, "", "result",         \
      "TLS handshakes with clients, by how they ended.")                                           \
    X(HTTP2_VIOLATIONS, http2_violations, "serin_http2_violations_total", COUNTER, "", "kind",     \
      "What HTTP/2 clients must not do, or did too much of: streams refused or reset, and "        \
      "connections ended.")                                                                        \
    X(REJECTED_CONNECTIONS, rejected_connections, "serin_rejected_connections_total", COUNTER, "", \
      "reason", "Connections closed without being served.")                                        \
    X(ACCESS_LOG_DROPPED, access_log_dropped, "serin_access_log_dropped_total", COUNTER, "", "",   \
      "Access records lost because they could not be written in time.")                            \
    X(HISTORY_LOST, history_lost, "serin_history_lost_total", COUNTER, "", "part",                 \
      "Entries of the audit trail given up, and changes refused: no room, no memory, bad "         \
      "content.")                                                                                  \
    X(HISTORY_WAITING, history_waiting, "serin_history_waiting", GAUGE, "", "",                    \
      "Changes that are not in the state file yet.")                                               \
    X(CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP, config_last_reload_success_timestamp,                  \
      "serin_config_last_reload_success_timestamp_seconds", GAUGE, "seconds", "",                  \
      "When a configuration was last loaded without an error.")                                    \
    X(ALERTS, alerts, "serin_alerts_total", COUNTER, "", "channel, result",                        \
      "Alerts and notices by channel: delivered, refused, dropped, expired; failed attempts.")     \
    X(PLATFORM_REQUESTS, platform_requests, "serin_platform_requests_total", COUNTER, "",          \
      "provider, operation, result",                                                               \
      "Requests to hosting platforms, each try; of exec, runs of the command.")                    \
    X(INCIDENT_REPORTS, incident_reports, "serin_incident_reports_total", COUNTER, "", "result",   \
      "Incident reports: written (each at several moments), and tries that failed.")               \
    X(CONDITION, condition, "serin_condition", GAUGE, "", "condition",                             \
      "1 while the condition holds: something is broken that traffic does not notice.")            \
    X(BUILD_INFO, build_info, "serin_build_info", GAUGE, "", "version, commit",                    \
      "Always 1: which build this is.")

enum metric {
#define METRIC_ID(ID, id, name, type, unit, labels, help) METRIC_##ID,
    METRIC_CATALOG(METRIC_ID)
#undef METRIC_ID
        METRIC_COUNT
};

/* The two versions of a service as labels name them: `current` is the canary, `previous` the stable
 * one. */
#define METRIC_ROLES(X)                                                                            \
    X(CURRENT, "current")                                                                          \
    X(PREVIOUS, "previous")

/* Methods, in the order of METHOD_LIST in proxy/http/message.h; OTHER for what it does not know. */
#define METRIC_METHODS(X)                                                                          \
    X(GET, "GET")                                                                                  \
    X(HEAD, "HEAD")                                                                                \
    X(POST, "POST")                                                                                \
    X(PUT, "PUT")                                                                                  \
    X(DELETE, "DELETE")                                                                            \
    X(OPTIONS, "OPTIONS")                                                                          \
    X(PATCH, "PATCH")                                                                              \
    X(TRACE, "TRACE")                                                                              \
    X(CONNECT, "CONNECT")                                                                          \
    X(PROPFIND, "PROPFIND")                                                                        \
    X(REPORT, "REPORT")                                                                            \
    X(SEARCH, "SEARCH")                                                                            \
    X(MKCOL, "MKCOL")                                                                              \
    X(COPY, "COPY")                                                                                \
    X(MOVE, "MOVE")                                                                                \
    X(LOCK, "LOCK")                                                                                \
    X(UNLOCK, "UNLOCK")                                                                            \
    X(PROPPATCH, "PROPPATCH")                                                                      \
    X(PURGE, "PURGE")                                                                              \
    X(OTHER, "OTHER")

/* How an attempt failed. */
#define METRIC_FAILURES(X)                                                                         \
    X(CONNECT, "connect")                                                                          \
    X(TLS, "tls")                                                                                  \
    X(TIMEOUT, "timeout")                                                                          \
    X(RESET, "reset")                                                                              \
    X(BAD_RESPONSE, "bad_response")                                                                \
    X(ORIGIN_5XX, "origin_5xx")                                                                    \
    X(EDGE_52X, "edge_52x")                                                                        \
    X(STATUS, "status")                                                                            \
    X(GRPC_STATUS, "grpc_status")

/* What came of what might be rescued: the stable version answered, or failed too; or it was not
 * asked: no budget, or it suffers already, or has no live endpoint. Of an asset that one version
 * lacked: the other had it, or not; or it was not asked: no budget, or it is held back, suffers or
 * has no live endpoint. */
#define METRIC_RESCUES(X)                                                                          \
    X(SUCCESS, "success")                                                                          \
    X(FAILURE, "failure")                                                                          \
    X(NO_BUDGET, "no_budget")                                                                      \
    X(STABLE_SUFFERS, "stable_suffers")                                                            \
    X(STABLE_DOWN, "stable_down")                                                                  \
    X(ASSET_SUCCESS, "asset_success")                                                              \
    X(ASSET_FAILURE, "asset_failure")                                                              \
    X(ASSET_NO_BUDGET, "asset_no_budget")                                                          \
    X(ASSET_NOT_ASKED, "asset_not_asked")

/* Limits of a version (`circuit` in the configuration). */
#define METRIC_OVERFLOWS(X)                                                                        \
    X(CONNECTIONS, "connections")                                                                  \
    X(PENDING, "pending")                                                                          \
    X(REQUESTS, "requests")

/* What came of looking for a kept answer. In mode full: `hit`, it was fresh; `collapsed`, it became
 * so while the request waited; `revalidated`, the origin said that it still holds; `updating`, it
 * was stale, and another request asks. In both: `stale`: the origins failed, and one was given in
 * place of the error; `unavailable`: they failed, and there was none. */
#define METRIC_CACHE_RESULTS(X)                                                                    \
    X(HIT, "hit")                                                                                  \
    X(COLLAPSED, "collapsed")                                                                      \
    X(REVALIDATED, "revalidated")                                                                  \
    X(UPDATING, "updating")                                                                        \
    X(STALE, "stale")                                                                              \
    X(UNAVAILABLE, "unavailable")

/* A connection with a request on it is active, one that waits for the next is idle. */
#define METRIC_CONNECTION_STATES(X)                                                                \
    X(ACTIVE, "active")                                                                            \
    X(IDLE, "idle")

/* Why a request, or an origin's answer, was refused, in the order of REJECT_LIST in
 * proxy/http/reject.h. */
#define METRIC_REQUEST_REJECTIONS(X)                                                               \
    X(REQUEST_LINE, "request_line")                                                                \
    X(METHOD_SYNTAX, "method_syntax")                                                              \
    X(METHOD_UNKNOWN, "method_unknown")                                                            \
    X(METHOD_CONNECT, "method_connect")                                                            \
    X(PROTOCOL_UNKNOWN, "protocol_unknown")                                                        \
    X(TARGET, "target")                                                                            \
    X(TARGET_TOO_LONG, "target_too_long")                                                          \
    X(VERSION, "version")                                                                          \
    X(EMPTY_LINES, "empty_lines")                                                                  \
    X(BARE_CR, "bare_cr")                                                                          \
    X(BARE_LF, "bare_lf")                                                                          \
    X(CONTROL, "control")                                                                          \
    X(OBS_FOLD, "obs_fold")                                                                        \
    X(SPACE_BEFORE_COLON, "space_before_colon")                                                    \
    X(FIELD_NAME, "field_name")                                                                    \
    X(FIELD_TOO_LONG, "field_too_long")                                                            \
    X(HEAD_TOO_LONG, "head_too_long")                                                              \
    X(TOO_MANY_FIELDS, "too_many_fields")                                                          \
    X(CONTENT_LENGTH, "content_length")                                                            \
    X(LENGTH_AND_CODING, "length_and_coding")                                                      \
    X(TRANSFER_ENCODING, "transfer_encoding")                                                      \
    X(CODING_UNSUPPORTED, "coding_unsupported")                                                    \
    X(CODING_IN_HTTP_1_0, "coding_in_http_1_0")                                                    \
    X(HOST_MISSING, "host_missing")                                                                \
    X(HOST_DUPLICATE, "host_duplicate")                                                            \
    X(HOST_INVALID, "host_invalid")                                                                \
    X(HOST_MISMATCH, "host_mismatch")                                                              \
    X(EXPECTATION, "expectation")                                                                  \
    X(CHUNK_SIZE, "chunk_size")                                                                    \
    X(CHUNK_EXTENSION, "chunk_extension")                                                          \
    X(CHUNK_END, "chunk_end")                                                                      \
    X(TRAILER, "trailer")                                                                          \
    X(PSEUDO_FIELD, "pseudo_field")                                                                \
    X(CONNECTION_FIELD, "connection_field")                                                        \
    X(FIELD_VALUE, "field_value")                                                                  \
    X(BODY_TOO_LARGE, "body_too_large")                                                            \
    X(HEAD_TIMEOUT, "head_timeout")                                                                \
    X(BODY_TIMEOUT, "body_timeout")                                                                \
    X(NO_ROUTE, "no_route")                                                                        \
    X(NO_ENDPOINT, "no_endpoint")                                                                  \
    X(UPSTREAM_LIMIT, "upstream_limit")                                                            \
    X(STATUS_LINE, "status_line")                                                                  \
    X(UNASKED_UPGRADE, "unasked_upgrade")                                                          \
    X(NOT_SWITCHED, "not_switched")                                                                \
    X(ACME_CHALLENGE, "acme_challenge")                                                            \
    X(HTTPS_REDIRECT, "https_redirect")                                                            \
    X(RATE_LIMIT, "rate_limit")                                                                    \
    X(CIRCUIT, "circuit")                                                                          \
    X(PARSER, "parser")                                                                            \
    X(MEMORY, "memory")

/* How a TLS handshake ended, in the order of enum tls_result in proxy/tls/tls_result.h. */
#define METRIC_TLS_RESULTS(X)                                                                      \
    X(FULL, "full")                                                                                \
    X(RESUMED, "resumed")                                                                          \
    X(TIMEOUT, "timeout")                                                                          \
    X(GONE, "gone")                                                                                \
    X(PLAIN_HTTP, "plain_http")                                                                    \
    X(UNSUPPORTED_VERSION, "unsupported_version")                                                  \
    X(NO_SHARED_CIPHER, "no_shared_cipher")                                                        \
    X(NO_PROTOCOL, "no_protocol")                                                                  \
    X(BAD_CERTIFICATE, "bad_certificate")                                                          \
    X(ALERT, "alert")                                                                              \
    X(MALFORMED, "malformed")                                                                      \
    X(MEMORY, "memory")

/* What HTTP/2 clients, or origins, did that they must not, or too much of. The first ones have a
 * budget (proxy/http2/http2_guard.h). */
#define METRIC_HTTP2_VIOLATIONS(X)                                                                 \
    X(RAPID_RESET, "rapid_reset")                                                                  \
    X(PING, "ping")                                                                                \
    X(SETTINGS, "settings")                                                                        \
    X(EMPTY_DATA, "empty_data")                                                                    \
    X(PRIORITY, "priority")                                                                        \
    X(WINDOW_UPDATE, "window_update")                                                              \
    X(UNKNOWN_FRAME, "unknown_frame")                                                              \
    X(CONTINUATION, "continuation")                                                                \
    X(HEADER_BOMB, "header_bomb")                                                                  \
    X(STREAMS, "streams")                                                                          \
    X(STALLED, "stalled")                                                                          \
    X(PROTOCOL, "protocol")

/* Why a connection was closed without being served. */
#define METRIC_CONNECTION_REJECTIONS(X)                                                            \
    X(LIMIT, "limit")                                                                              \
    X(OUT_OF_DESCRIPTORS, "out_of_descriptors")                                                    \
    X(OUT_OF_MEMORY, "out_of_memory")                                                              \
    X(PROXY_HEADER, "proxy_header")                                                                \
    X(PROXY_TIMEOUT, "proxy_timeout")

enum metric_role {
#define METRIC_ROLE_ID(ID, text) METRIC_ROLE_##ID,
    METRIC_ROLES(METRIC_ROLE_ID)
#undef METRIC_ROLE_ID
        METRIC_ROLE_COUNT
};

enum metric_method {
#define METRIC_METHOD_ID(ID, text) METRIC_METHOD_##ID,
    METRIC_METHODS(METRIC_METHOD_ID)
#undef METRIC_METHOD_ID
        METRIC_METHOD_COUNT
};

enum metric_failure {
#define METRIC_FAILURE_ID(ID, text) METRIC_FAILURE_##ID,
    METRIC_FAILURES(METRIC_FAILURE_ID)
#undef METRIC_FAILURE_ID
        METRIC_FAILURE_COUNT
};

enum metric_rescue {
#define METRIC_RESCUE_ID(ID, text) METRIC_RESCUE_##ID,
    METRIC_RESCUES(METRIC_RESCUE_ID)
#undef METRIC_RESCUE_ID
        METRIC_RESCUE_COUNT
};

enum metric_overflow {
#define METRIC_OVERFLOW_ID(ID, text) METRIC_OVERFLOW_##ID,
    METRIC_OVERFLOWS(METRIC_OVERFLOW_ID)
#undef METRIC_OVERFLOW_ID
        METRIC_OVERFLOW_COUNT
};

enum metric_cache {
#define METRIC_CACHE_ID(ID, text) METRIC_CACHE_##ID,
    METRIC_CACHE_RESULTS(METRIC_CACHE_ID)
#undef METRIC_CACHE_ID
        METRIC_CACHE_COUNT
};

enum metric_connection_state {
#define METRIC_CONNECTION_ID(ID, text) METRIC_CONNECTION_##ID,
    METRIC_CONNECTION_STATES(METRIC_CONNECTION_ID)
#undef METRIC_CONNECTION_ID
        METRIC_CONNECTION_COUNT
};

enum metric_request_rejection {
#define METRIC_REJECTED_ID(ID, text) METRIC_REJECTED_##ID,
    METRIC_REQUEST_REJECTIONS(METRIC_REJECTED_ID)
#undef METRIC_REJECTED_ID
        METRIC_REJECTED_COUNT
};

enum metric_tls_result {
#define METRIC_TLS_ID(ID, text) METRIC_TLS_##ID,
    METRIC_TLS_RESULTS(METRIC_TLS_ID)
#undef METRIC_TLS_ID
        METRIC_TLS_COUNT
};

enum metric_http2_violation {
#define METRIC_HTTP2_ID(ID, text) METRIC_HTTP2_##ID,
    METRIC_HTTP2_VIOLATIONS(METRIC_HTTP2_ID)
#undef METRIC_HTTP2_ID
        METRIC_HTTP2_COUNT,
    METRIC_HTTP2_BUDGET_LAST = METRIC_HTTP2_UNKNOWN_FRAME
};

enum metric_connection_rejection {
#define METRIC_REFUSED_ID(ID, text) METRIC_REFUSED_##ID,
    METRIC_CONNECTION_REJECTIONS(METRIC_REFUSED_ID)
#undef METRIC_REFUSED_ID
        METRIC_REFUSED_COUNT
};

/* The label values of the tables above; static text. Any thread. */
struct bytes metric_role_text(enum metric_role role);
struct bytes metric_method_text(enum metric_method method);
struct bytes metric_failure_text(enum metric_failure failure);
struct bytes metric_rescue_text(enum metric_rescue result);
struct bytes metric_overflow_text(enum metric_overflow limit);
struct bytes metric_cache_text(enum metric_cache result);
struct bytes metric_connection_state_text(enum metric_connection_state state);
struct bytes metric_request_rejection_text(enum metric_request_rejection reason);
struct bytes metric_connection_rejection_text(enum metric_connection_rejection reason);
struct bytes metric_http2_violation_text(enum metric_http2_violation kind);
struct bytes metric_tls_result_text(enum metric_tls_result result);

struct metric_info {
    struct bytes name;
    enum metric_type type;
    struct bytes unit;   /* base unit, empty for plain counts */
    struct bytes labels; /* comma separated */
    struct bytes help;
};

/* A row of the catalog; static. Any thread. */
const struct metric_info *metric_info(enum metric metric);

/* Codes have slots: 0 is `none`, then 100 to 599 in order. */
enum { METRIC_CODE_MIN = 100, METRIC_CODE_MAX = 599, METRIC_CODES = 501 };

/* 0 stands for `none`; other codes outside 100 to 599 are our own mistake. */
static inline unsigned metric_code_slot(unsigned code)
{
    if (code == 0) {
        return 0;
    }
    CHECK(code >= METRIC_CODE_MIN);
    CHECK(code <= METRIC_CODE_MAX);
    return code - METRIC_CODE_MIN + 1;
}

static inline unsigned metric_slot_code(unsigned slot)
{
    return slot == 0 ? 0 : slot - 1 + METRIC_CODE_MIN;
}

/* Which codes were ever counted: few of 501 are, and readers skip the rest without touching their
 * pages. */
struct code_set {
    struct cell words[(METRIC_CODES + 63) / 64];
};

static inline void code_set_note(struct code_set *set, unsigned slot)
{
    struct cell *word = &set->words[slot / 64];
    uint64_t held = cell_read(word);
    uint64_t bit = UINT64_C(1) << (slot % 64);
    if (__builtin_expect((held & bit) == 0, 0)) {
        cell_set(word, held | bit);
    }
}

static inline bool code_set_has(const struct code_set *set, unsigned slot)
{
    return (cell_read(&set->words[slot / 64]) >> (slot % 64) & 1) != 0;
}

/* What a worker counts for the whole process. */
struct worker_cells {
    struct cell client_connections[METRIC_CONNECTION_COUNT]; /* gauges */
    struct cell rejected_requests[METRIC_REJECTED_COUNT];
    struct cell rejected_connections[METRIC_REFUSED_COUNT];
    struct cell tls_handshakes[METRIC_TLS_COUNT];
    struct cell http2_violations[METRIC_HTTP2_COUNT];
};

/* What a worker counts for a service: its name is the identity, deployments come and go beneath.
 * The big table stands last; in it only the rows of codes that occur are ever touched. */
struct service_cells {
    struct cell picks[METRIC_ROLE_COUNT]; /* decided by weight: what realised weights are made of */
    struct cell in_flight[METRIC_ROLE_COUNT]; /* gauges */
    struct cell request_bytes[METRIC_ROLE_COUNT];
    struct cell response_bytes[METRIC_ROLE_COUNT];
    struct cell client_bad_responses[METRIC_ROLE_COUNT];
    struct cell upstream_failures[METRIC_ROLE_COUNT][METRIC_FAILURE_COUNT];
    struct cell rescues[METRIC_RESCUE_COUNT];
    struct cell overflows[METRIC_ROLE_COUNT][METRIC_OVERFLOW_COUNT];
    struct cell cache_requests[METRIC_CACHE_COUNT];
    struct cell containments;
    struct cell mirrored;       /* copies sent to a canary without weight */
    struct cell mirror_dropped; /* copies that were not made */
    struct code_set codes;
    struct histogram_cells request_duration;
    struct histogram_cells upstream_duration[METRIC_ROLE_COUNT];
    struct cell requests[METRIC_CODES][METRIC_METHOD_COUNT];
};

/* What a worker counts for an endpoint. */
struct endpoint_cells {
    struct cell in_flight;                            /* gauge */
    struct cell connections[METRIC_CONNECTION_COUNT]; /* gauges */
    struct cell http2_violations[METRIC_HTTP2_COUNT];
    struct cell outlier_ejections;
    struct cell ejected; /* gauge: 1 while this worker leaves the endpoint alone */
    struct code_set codes;
    struct cell attempts[METRIC_CODES];
};

/* The judge's ledger of one deployment. n = ok + err; err and connect_err are section "what the
 * judge counts" of docs/JUDGE.md: connect_err is counted in err too. */
struct version_cells {
    struct cell ok;
    struct cell err;
    struct cell connect_err;
    struct cell late_err; /* failures after the success was counted (a truncated stream); counted in
                             err too */
    struct cell not_found;          /* 404s that count as good */
    struct cell origin_bad;         /* failed answers that the origin gave */
    struct cell client_bad;         /* failed answers that clients saw */
    struct cell contained;          /* gauge: 1 while this worker holds the version at a trickle */
    struct histogram_cells latency; /* answers below 500, and timeouts at the time they took */
};

/* A client got its final answer (code 0: it got none). The cells' worker only, as all below. */
static inline void service_cells_count_request(struct service_cells *cells, unsigned code,
                                               enum metric_method method, uint64_t duration_us)
{
    unsigned slot = metric_code_slot(code);
    CHECK(method < METRIC_METHOD_COUNT);
    code_set_note(&cells->codes, slot);
    cell_increment(&cells->requests[slot][method]);
    histogram_cells_record(&cells->request_duration, duration_us);
}

/* An attempt at an endpoint ended (code 0: without an answer). */
static inline void endpoint_cells_count_attempt(struct endpoint_cells *cells, unsigned code)
{
    unsigned slot = metric_code_slot(code);
    code_set_note(&cells->codes, slot);
    cell_increment(&cells->attempts[slot]);
}

/* The judge hears of a good answer. */
static inline void version_cells_count_ok(struct version_cells *cells)
{
    cell_increment(&cells->ok);
}

/* The judge hears of a failure; `is_connect` when nothing came back at all. */
static inline void version_cells_count_err(struct version_cells *cells, bool is_connect)
{
    cell_increment(&cells->err);
    if (is_connect) {
        cell_increment(&cells->connect_err);
    }
}

/* An answer that was already counted as good broke off after all: one failure more. */
static inline void version_cells_count_late_err(struct version_cells *cells)
{
    cell_increment(&cells->err);
    cell_increment(&cells->late_err);
}

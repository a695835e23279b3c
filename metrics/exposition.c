#include "metrics/exposition.h"

#include <math.h>
#include <stddef.h>

#include "metrics/prometheus.h"
#include "metrics/reading.h"

enum { LABELS_MAX = 16 * 1024 };

/* What the writer of one family works with. */
struct writer {
    const struct exposition *tree;
    const struct metric_info *family;
    struct buf *text;
    struct buf labels; /* owned; of the sample that comes next */
    bool has_failed;   /* a list of labels did not fit */
};

static void labels_clear(struct writer *writer)
{
    buf_clear(&writer->labels);
}

static void labels_service(struct writer *writer, const struct exposition_service *service)
{
    labels_clear(writer);
    prometheus_label(&writer->labels, "service", service->name);
}

static void labels_role(struct writer *writer, const struct exposition_service *service,
                        size_t role)
{
    labels_service(writer, service);
    prometheus_label(&writer->labels, "role", metric_role_text((enum metric_role)role));
}

static void labels_endpoint(struct writer *writer, const struct exposition_service *service,
                            const struct exposition_endpoint *endpoint)
{
    labels_role(writer, service, endpoint->role);
    prometheus_label(&writer->labels, "endpoint", endpoint->name);
}

static void label(struct writer *writer, const char *name, struct bytes value)
{
    prometheus_label(&writer->labels, name, value);
}

/* Three digits, or `none` for slot 0. */
static void label_code(struct writer *writer, unsigned slot)
{
    unsigned code = metric_slot_code(slot);
    char digits[3] = {(char)('0' + code / 100), (char)('0' + code / 10 % 10),
                      (char)('0' + code % 10)};
    label(writer, "code", slot == 0 ? BYTES("none") : bytes_make(digits, sizeof digits));
}

/* A cut list would make two samples look alike, so it fails the whole text. */
static struct bytes labels_text(struct writer *writer)
{
    writer->has_failed = writer->has_failed || writer->labels.is_failed;
    return buf_bytes(&writer->labels);
}

static void count(struct writer *writer, uint64_t value)
{
    prometheus_count(writer->text, writer->family->name, labels_text(writer), value);
}

static void value(struct writer *writer, double number)
{
    prometheus_value(writer->text, writer->family->name, labels_text(writer), number);
}

static void histogram(struct writer *writer, const struct histogram *numbers)
{
    prometheus_histogram(writer->text, writer->family->name, labels_text(writer), numbers);
}

static void histogram_of_cells(struct writer *writer, const struct block *block, size_t offset)
{
    struct histogram sum;
    reading_histogram(block, offset, &sum);
    histogram(writer, &sum);
}

/* The cell `member` of struct `type`, summed. */
#define SUM(block, type, member) reading_sum((block), offsetof(struct type, member))

/* One sample per role of a service, from an array of cells at `offset` that is indexed by role. */
static void count_by_role(struct writer *writer, const struct exposition_service *service,
                          size_t offset)
{
    for (size_t role = 0; role < METRIC_ROLE_COUNT; role++) {
        labels_role(writer, service, role);
        count(writer, reading_sum(service->cells, offset + role * sizeof(struct cell)));
    }
}

static void write_requests(struct writer *w, const struct exposition_service *service)
{
    uint64_t seen[(METRIC_CODES + 63) / 64];
    reading_codes(service->cells, offsetof(struct service_cells, codes), seen);
    for (unsigned slot = reading_next_code(seen, 0); slot < METRIC_CODES;
         slot = reading_next_code(seen, slot + 1)) {
        for (size_t method = 0; method < METRIC_METHOD_COUNT; method++) {
            uint64_t sum = SUM(service->cells, service_cells, requests[slot][method]);
            if (sum > 0) {
                labels_service(w, service);
                label_code(w, slot);
                label(w, "method", metric_method_text((enum metric_method)method));
                count(w, sum);
            }
        }
    }
}

static void write_request_duration(struct writer *w, const struct exposition_service *service)
{
    labels_service(w, service);
    histogram_of_cells(w, service->cells, offsetof(struct service_cells, request_duration));
}

static void write_requests_in_flight(struct writer *w, const struct exposition_service *service)
{
    count_by_role(w, service, offsetof(struct service_cells, in_flight));
}

static void write_request_bytes(struct writer *w, const struct exposition_service *service)
{
    count_by_role(w, service, offsetof(struct service_cells, request_bytes));
}

static void write_response_bytes(struct writer *w, const struct exposition_service *service)
{
    count_by_role(w, service, offsetof(struct service_cells, response_bytes));
}

static void write_client_bad_responses(struct writer *w, const struct exposition_service *service)
{
    count_by_role(w, service, offsetof(struct service_cells, client_bad_responses));
}

static void write_attempts(struct writer *w, const struct exposition_service *service,
                           const struct exposition_endpoint *endpoint)
{
    uint64_t seen[(METRIC_CODES + 63) / 64];
    reading_codes(endpoint->cells, offsetof(struct endpoint_cells, codes), seen);
    for (unsigned slot = reading_next_code(seen, 0); slot < METRIC_CODES;
         slot = reading_next_code(seen, slot + 1)) {
        uint64_t sum = SUM(endpoint->cells, endpoint_cells, attempts[slot]);
        if (sum > 0) {
            labels_endpoint(w, service, endpoint);
            label_code(w, slot);
            count(w, sum);
        }
    }
}

static void write_upstream_requests(struct writer *w, const struct exposition_service *service)
{
    for (size_t i = 0; i < service->endpoint_count; i++) {
        write_attempts(w, service, &service->endpoints[i]);
    }
}

static void write_upstream_failures(struct writer *w, const struct exposition_service *service)
{
    for (size_t role = 0; role < METRIC_ROLE_COUNT; role++) {
        for (size_t kind = 0; kind < METRIC_FAILURE_COUNT; kind++) {
            labels_role(w, service, role);
            label(w, "kind", metric_failure_text((enum metric_failure)kind));
            count(w, SUM(service->cells, service_cells, upstream_failures[role][kind]));
        }
    }
}

static void write_upstream_duration(struct writer *w, const struct exposition_service *service)
{
    for (size_t role = 0; role < METRIC_ROLE_COUNT; role++) {
        labels_role(w, service, role);
        histogram_of_cells(w, service->cells,
                           offsetof(struct service_cells, upstream_duration[role]));
    }
}

/* Of all endpoints of the version, the cell at `offset`. */
static uint64_t endpoints_sum(const struct exposition_service *service, size_t role, size_t offset)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < service->endpoint_count; i++) {
        if ((size_t)service->endpoints[i].role == role) {
            sum += reading_sum(service->endpoints[i].cells, offset);
        }
    }
    return sum;
}

static void write_upstream_connections(struct writer *w, const struct exposition_service *service)
{
    for (size_t role = 0; role < METRIC_ROLE_COUNT; role++) {
        for (size_t state = 0; state < METRIC_CONNECTION_COUNT; state++) {
            labels_role(w, service, role);
            label(w, "state", metric_connection_state_text((enum metric_connection_state)state));
            count(w, endpoints_sum(service, role,
                                   offsetof(struct endpoint_cells, connections[state])));
        }
    }
}

static void write_upstream_http2_violations(struct writer *w,
                                            const struct exposition_service *service)
{
    for (size_t role = 0; role < METRIC_ROLE_COUNT; role++) {
        for (size_t kind = 0; kind < METRIC_HTTP2_COUNT; kind++) {
            labels_role(w, service, role);
            label(w, "kind", metric_http2_violation_text((enum metric_http2_violation)kind));
            count(w, endpoints_sum(service, role,
                                   offsetof(struct endpoint_cells, http2_violations[kind])));
        }
    }
}

static void write_endpoint_up(struct writer *w, const struct exposition_service *service)
{
    for (size_t i = 0; i < service->endpoint_count; i++) {
        labels_endpoint(w, service, &service->endpoints[i]);
        count(w, service->endpoints[i].is_up ? 1 : 0);
    }
}

static void write_outlier_ejections(struct writer *w, const struct exposition_service *service)
{
    for (size_t i = 0; i < service->endpoint_count; i++) {
        labels_endpoint(w, service, &service->endpoints[i]);
        count(w, SUM(service->endpoints[i].cells, endpoint_cells, outlier_ejections));
    }
}

static void write_rescues(struct writer *w, const struct exposition_service *service)
{
    for (size_t result = 0; result < METRIC_RESCUE_COUNT; result++) {
        labels_service(w, service);
        label(w, "result", metric_rescue_text((enum metric_rescue)result));
        count(w, SUM(service->cells, service_cells, rescues[result]));
    }
}

static void write_circuit_overflows(struct writer *w, const struct exposition_service *service)
{
    for (size_t role = 0; role < METRIC_ROLE_COUNT; role++) {
        for (size_t limit = 0; limit < METRIC_OVERFLOW_COUNT; limit++) {
            labels_service(w, service);
            label(w, "role", metric_role_text((enum metric_role)role));
            label(w, "limit", metric_overflow_text((enum metric_overflow)limit));
            count(w, SUM(service->cells, service_cells, overflows[role][limit]));
        }
    }
}

static void write_stale_served(struct writer *w, const struct exposition_service *service)
{
    labels_service(w, service);
    count(w, SUM(service->cells, service_cells, cache_requests[METRIC_CACHE_STALE]));
}

static void write_cache_requests(struct writer *w, const struct exposition_service *service)
{
    for (size_t result = 0; result < METRIC_CACHE_COUNT; result++) {
        labels_service(w, service);
        label(w, "result", metric_cache_text((enum metric_cache)result));
        count(w, SUM(service->cells, service_cells, cache_requests[result]));
    }
}

static void write_cache_bytes(struct writer *w, const struct exposition_service *none)
{
    (void)none;
    labels_clear(w);
    count(w, w->tree->cache_bytes);
}

static void write_mirrored_requests(struct writer *w, const struct exposition_service *service)
{
    labels_service(w, service);
    count(w, SUM(service->cells, service_cells, mirrored));
}

static void write_mirror_dropped(struct writer *w, const struct exposition_service *service)
{
    labels_service(w, service);
    count(w, SUM(service->cells, service_cells, mirror_dropped));
}

static void write_contained(struct writer *w, const struct exposition_service *service)
{
    labels_service(w, service);
    count(w, service->contained_count);
}

static void write_containments(struct writer *w, const struct exposition_service *service)
{
    labels_service(w, service);
    count(w, SUM(service->cells, service_cells, containments));
}

static void write_weight_ratio(struct writer *w, const struct exposition_service *service)
{
    for (size_t role = 0; role < METRIC_ROLE_COUNT; role++) {
        labels_role(w, service, role);
        label(w, "kind", BYTES("set"));
        value(w, service->versions[role].weight_set);
        labels_role(w, service, role);
        label(w, "kind", BYTES("realised"));
        value(w, service->versions[role].weight_realised);
    }
}

static void write_states(struct writer *w, const struct exposition_service *service,
                         const char *name, const struct exposition_states *states)
{
    for (size_t i = 0; i < states->name_count; i++) {
        labels_service(w, service);
        label(w, name, bytes_of(states->names[i]));
        count(w, i == states->current ? 1 : 0);
    }
}

static void write_verdict(struct writer *w, const struct exposition_service *service)
{
    write_states(w, service, "verdict", &service->verdict);
}

static void write_evidence_log_e(struct writer *w, const struct exposition_service *service)
{
    for (size_t i = 0; i < service->evidence_count; i++) {
        labels_service(w, service);
        label(w, "test", bytes_of(service->evidence[i].name));
        value(w, service->evidence[i].value);
    }
}

static void write_rollout_phase(struct writer *w, const struct exposition_service *service)
{
    write_states(w, service, "phase", &service->phase);
}

static void write_rollout_step(struct writer *w, const struct exposition_service *service)
{
    labels_service(w, service);
    count(w, service->step);
}

static void write_rollbacks(struct writer *w, const struct exposition_service *service)
{
    for (size_t i = 0; i < service->rollbacks_count; i++) {
        labels_service(w, service);
        label(w, "trigger", bytes_of(service->rollbacks[i].trigger));
        label(w, "status", bytes_of(service->rollbacks[i].status));
        count(w, service->rollbacks[i].count);
    }
}

static void write_rollback_duration(struct writer *w, const struct exposition_service *service)
{
    if (service->rollback_durations != NULL) {
        labels_service(w, service);
        histogram(w, service->rollback_durations);
    }
}

static void write_rollback_phase_duration(struct writer *w,
                                          const struct exposition_service *service)
{
    for (size_t i = 0; i < service->phase_duration_count; i++) {
        labels_service(w, service);
        label(w, "phase", bytes_of(service->phase_durations[i].phase));
        histogram(w, service->phase_durations[i].durations);
    }
}

static void write_last_drill_timestamp(struct writer *w, const struct exposition_service *service)
{
    if (!isnan(service->last_drill_s)) {
        labels_service(w, service);
        value(w, service->last_drill_s);
    }
}

static void write_drill_duration(struct writer *w, const struct exposition_service *service)
{
    if (!isnan(service->last_drill_s) && !isnan(service->drill_duration_s)) {
        labels_service(w, service);
        value(w, service->drill_duration_s);
    }
}

static void write_drill_in_time(struct writer *w, const struct exposition_service *service)
{
    if (!isnan(service->last_drill_s)) {
        labels_service(w, service);
        count(w, service->is_drill_in_time ? 1 : 0);
    }
}

static void write_last_rollback_timestamp(struct writer *w,
                                          const struct exposition_service *service)
{
    if (!isnan(service->last_rollback_s)) {
        labels_service(w, service);
        value(w, service->last_rollback_s);
    }
}

static void write_deployment_info(struct writer *w, const struct exposition_service *service)
{
    for (size_t role = 0; role < METRIC_ROLE_COUNT; role++) {
        if (service->versions[role].exists) {
            labels_role(w, service, role);
            label(w, "deployment", service->versions[role].deployment);
            label(w, "url", service->versions[role].url);
            count(w, 1);
        }
    }
}

static void write_client_connections(struct writer *w, const struct exposition_service *none)
{
    (void)none;
    for (size_t state = 0; state < METRIC_CONNECTION_COUNT; state++) {
        labels_clear(w);
        label(w, "state", metric_connection_state_text((enum metric_connection_state)state));
        count(w, SUM(w->tree->workers, worker_cells, client_connections[state]));
    }
}

static void write_rejected_requests(struct writer *w, const struct exposition_service *none)
{
    (void)none;
    for (size_t reason = 0; reason < METRIC_REJECTED_COUNT; reason++) {
        labels_clear(w);
        label(w, "reason", metric_request_rejection_text((enum metric_request_rejection)reason));
        count(w, SUM(w->tree->workers, worker_cells, rejected_requests[reason]));
    }
}

static void write_rejected_connections(struct writer *w, const struct exposition_service *none)
{
    (void)none;
    for (size_t reason = 0; reason < METRIC_REFUSED_COUNT; reason++) {
        labels_clear(w);
        label(w, "reason",
              metric_connection_rejection_text((enum metric_connection_rejection)reason));
        count(w, SUM(w->tree->workers, worker_cells, rejected_connections[reason]));
    }
}

static void write_tls_handshakes(struct writer *w, const struct exposition_service *none)
{
    (void)none;
    for (size_t result = 0; result < METRIC_TLS_COUNT; result++) {
        labels_clear(w);
        label(w, "result", metric_tls_result_text((enum metric_tls_result)result));
        count(w, SUM(w->tree->workers, worker_cells, tls_handshakes[result]));
    }
}

static void write_http2_violations(struct writer *w, const struct exposition_service *none)
{
    (void)none;
    for (size_t kind = 0; kind < METRIC_HTTP2_COUNT; kind++) {
        labels_clear(w);
        label(w, "kind", metric_http2_violation_text((enum metric_http2_violation)kind));
        count(w, SUM(w->tree->workers, worker_cells, http2_violations[kind]));
    }
}

static void write_access_log_dropped(struct writer *w, const struct exposition_service *none)
{
    (void)none;
    labels_clear(w);
    count(w, w->tree->access_log_dropped);
}

static void write_history_lost(struct writer *w, const struct exposition_service *none)
{
    (void)none;
    labels_clear(w);
    label(w, "part", BYTES("audit"));
    count(w, w->tree->history_audit_lost);
    labels_clear(w);
    label(w, "part", BYTES("change"));
    count(w, w->tree->history_changes_lost);
}

static void write_history_waiting(struct writer *w, const struct exposition_service *none)
{
    (void)none;
    labels_clear(w);
    count(w, w->tree->history_waiting);
}

static void write_config_last_reload_success_timestamp(struct writer *w,
                                                       const struct exposition_service *none)
{
    (void)none;
    labels_clear(w);
    value(w, w->tree->config_last_reload_success_s);
}

static void write_condition(struct writer *w, const struct exposition_service *none)
{
    (void)none;
    for (size_t i = 0; i < w->tree->condition_count; i++) {
        labels_clear(w);
        label(w, "condition", bytes_of(w->tree->conditions[i].name));
        value(w, w->tree->conditions[i].value);
    }
}

static void write_alerts(struct writer *w, const struct exposition_service *none)
{
    (void)none;
    for (size_t i = 0; i < w->tree->alerts_count; i++) {
        labels_clear(w);
        label(w, "channel", bytes_of(w->tree->alerts[i].channel));
        label(w, "result", bytes_of(w->tree->alerts[i].result));
        count(w, w->tree->alerts[i].count);
    }
}

static void write_platform_requests(struct writer *w, const struct exposition_service *none)
{
    (void)none;
    for (size_t i = 0; i < w->tree->platform_count; i++) {
        labels_clear(w);
        label(w, "provider", bytes_of(w->tree->platforms[i].provider));
        label(w, "operation", bytes_of(w->tree->platforms[i].operation));
        label(w, "result", bytes_of(w->tree->platforms[i].result));
        count(w, w->tree->platforms[i].count);
    }
}

static void write_incident_reports(struct writer *w, const struct exposition_service *none)
{
    (void)none;
    labels_clear(w);
    label(w, "result", BYTES("written"));
    count(w, w->tree->incidents_written);
    labels_clear(w);
    label(w, "result", BYTES("failed"));
    count(w, w->tree->incidents_failed);
}

static void write_build_info(struct writer *w, const struct exposition_service *none)
{
    (void)none;
    labels_clear(w);
    label(w, "version", w->tree->version);
    label(w, "commit", w->tree->commit);
    count(w, 1);
}

typedef void write_function(struct writer *writer, const struct exposition_service *service);

static write_function *const family_writers[METRIC_COUNT] = {
#define FAMILY_WRITER(ID, id, name, type, unit, labels, help) [METRIC_##ID] = write_##id,
    METRIC_CATALOG(FAMILY_WRITER)
#undef FAMILY_WRITER
};

/* A family whose first label is `service` has samples per service, any other is the process's. */
static void write_family(struct writer *writer, enum metric metric)
{
    writer->family = metric_info(metric);
    prometheus_family(writer->text, writer->family);
    if (!bytes_starts_with(writer->family->labels, BYTES("service"))) {
        family_writers[metric](writer, NULL);
        return;
    }
    for (size_t i = 0; i < writer->tree->service_count; i++) {
        family_writers[metric](writer, &writer->tree->services[i]);
    }
}

enum err exposition_write(const struct exposition *exposition, struct buf *text)
{
    struct writer writer = {.tree = exposition, .text = text};
    buf_init(&writer.labels, LABELS_MAX);
    for (int metric = 0; metric < METRIC_COUNT; metric++) {
        write_family(&writer, (enum metric)metric);
    }
    buf_finish(&writer.labels);
    return text->is_failed || writer.has_failed ? ERR_LIMIT : OK;
}

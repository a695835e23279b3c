#include "tests/unit/metrics/sample.h"

#include <math.h>
#include <stdlib.h>

enum { SERVICES = 2, ENDPOINTS = 2, WORKERS = 2 };

static const char *const verdicts[] = {"insufficient_data", "ok", "suspicious", "breach",
                                       "healthy"};
static const char *const phases[] = {"idle", "progressing", "paused", "rolled_back"};

struct sample {
    struct exposition exposition;
    struct exposition_service services[SERVICES];
    struct exposition_endpoint endpoints[SERVICES][ENDPOINTS];
    struct exposition_value evidence[2];
    struct exposition_rollbacks rollbacks[1];
    struct exposition_durations phase_durations[2];
    struct exposition_value conditions[1];
    struct histogram durations;
    struct block *workers; /* owned, as the blocks below */
    struct block *service_blocks[SERVICES];
    struct block *endpoint_blocks[SERVICES][ENDPOINTS];
};

static bool create_blocks(struct sample *sample)
{
    if (block_create(WORKERS, sizeof(struct worker_cells), &sample->workers) != OK) {
        return false;
    }
    for (size_t i = 0; i < SERVICES; i++) {
        if (block_create(WORKERS, sizeof(struct service_cells), &sample->service_blocks[i]) != OK) {
            return false;
        }
        for (size_t j = 0; j < ENDPOINTS; j++) {
            struct block **block = &sample->endpoint_blocks[i][j];
            if (block_create(WORKERS, sizeof(struct endpoint_cells), block) != OK) {
                return false;
            }
        }
    }
    return true;
}

static void count_traffic(struct sample *sample)
{
    for (size_t worker = 0; worker < WORKERS; worker++) {
        struct service_cells *service = block_cells(sample->service_blocks[0], worker);
        service_cells_count_request(service, 200, METRIC_METHOD_GET, 1500);
        service_cells_count_request(service, 502, METRIC_METHOD_POST, 90000);
        service_cells_count_request(service, 0, METRIC_METHOD_GET, 10);
        cell_increment(&service->client_bad_responses[METRIC_ROLE_CURRENT]);
        cell_increment(&service->upstream_failures[METRIC_ROLE_CURRENT][METRIC_FAILURE_CONNECT]);
        histogram_cells_record(&service->upstream_duration[METRIC_ROLE_PREVIOUS], 1200);
        struct endpoint_cells *endpoint = block_cells(sample->endpoint_blocks[0][1], worker);
        cell_increment(&endpoint->connections[METRIC_CONNECTION_IDLE]);
        endpoint_cells_count_attempt(endpoint, 200);
        endpoint_cells_count_attempt(endpoint, 0);
        struct worker_cells *cells = block_cells(sample->workers, worker);
        cell_increment(&cells->rejected_requests[METRIC_REJECTED_LENGTH_AND_CODING]);
        cell_increment(&cells->client_connections[METRIC_CONNECTION_IDLE]);
    }
    histogram_record(&sample->durations, 2300000);
}

static void fill_service(struct sample *sample, size_t i)
{
    for (size_t j = 0; j < ENDPOINTS; j++) {
        sample->endpoints[i][j] = (struct exposition_endpoint){
            .role = (enum metric_role)j,
            .name = j == 0 ? BYTES("http://10.0.0.1:80") : BYTES("http://10.0.0.2:80"),
            .is_up = j == 1,
            .cells = sample->endpoint_blocks[i][j]};
    }
    sample->services[i] = (struct exposition_service){
        .name = i == 0 ? BYTES("showcase") : BYTES("odd \"name\" \\ with\nall"),
        .cells = sample->service_blocks[i],
        .versions = {{true, BYTES("d7a3f2b"), BYTES("http://10.0.0.1:80"), 0.1, NAN},
                     {i == 0, BYTES("9c2e1a4"), BYTES("http://10.0.0.2:80"), 0.9, 1}},
        .endpoints = sample->endpoints[i],
        .endpoint_count = ENDPOINTS,
        .verdict = {verdicts, COUNT_OF(verdicts), 1},
        .phase = {phases, COUNT_OF(phases), 3},
        .step = 2,
        .evidence = sample->evidence,
        .evidence_count = COUNT_OF(sample->evidence),
        .rollbacks = sample->rollbacks,
        .rollbacks_count = COUNT_OF(sample->rollbacks),
        .rollback_durations = &sample->durations,
        .phase_durations = sample->phase_durations,
        .phase_duration_count = COUNT_OF(sample->phase_durations),
        .last_rollback_s = i == 0 ? 1795411543.25 : NAN,
        .last_drill_s = i == 0 ? 1795411600.5 : NAN,
        .drill_duration_s = 4.25,
        .is_drill_in_time = true};
}

struct sample *sample_create(void)
{
    struct sample *sample = calloc(1, sizeof *sample);
    if (sample == NULL || !create_blocks(sample)) {
        sample_destroy(sample);
        return NULL;
    }
    sample->evidence[0] = (struct exposition_value){"absolute", -INFINITY};
    sample->evidence[1] = (struct exposition_value){"relative", 3.25};
    sample->rollbacks[0] = (struct exposition_rollbacks){"error_rate", "success", 1};
    sample->phase_durations[0] = (struct exposition_durations){"detect", &sample->durations};
    sample->phase_durations[1] = (struct exposition_durations){"shift", &sample->durations};
    sample->conditions[0] = (struct exposition_value){"history_unwritable", 1};
    count_traffic(sample);
    for (size_t i = 0; i < SERVICES; i++) {
        fill_service(sample, i);
    }
    sample->exposition = (struct exposition){.services = sample->services,
                                             .service_count = SERVICES,
                                             .workers = sample->workers,
                                             .access_log_dropped = 12,
                                             .history_audit_lost = 7,
                                             .history_changes_lost = 2,
                                             .history_waiting = 5,
                                             .config_last_reload_success_s = 1795411000,
                                             .conditions = sample->conditions,
                                             .condition_count = COUNT_OF(sample->conditions),
                                             .version = BYTES("0.1.0"),
                                             .commit = BYTES("8c5373f")};
    return sample;
}

void sample_destroy(struct sample *sample)
{
    if (sample == NULL) {
        return;
    }
    block_unref(sample->workers);
    for (size_t i = 0; i < SERVICES; i++) {
        block_unref(sample->service_blocks[i]);
        for (size_t j = 0; j < ENDPOINTS; j++) {
            block_unref(sample->endpoint_blocks[i][j]);
        }
    }
    free(sample);
}

const struct exposition *sample_exposition(const struct sample *sample)
{
    return &sample->exposition;
}

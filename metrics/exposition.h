/* metrics/exposition.h — everything /metrics says, from one tree that the caller fills.
 *
 * The caller (admin, on the control thread) knows services, phases and deployments; the counters
 * are read straight from the blocks while the text is written, so a scrape copies nothing. Families
 * come in catalog order, each with its samples for all services; codes that never occurred have no
 * sample. The tree borrows everything it points at for the time of the call. */
#pragma once
#include "metrics/block.h"
#include "metrics/catalog.h"
#include "proxy/base/buf.h"

/* One sample per name: 1 for `current`, 0 for the others. */
struct exposition_states {
    const char *const *names;
    size_t name_count;
    size_t current; /* index; name_count when none of them */
};

struct exposition_value {
    const char *name; /* value of the family's own label */
    double value;
};

struct exposition_rollbacks {
    const char *trigger;
    const char *status;
    uint64_t count;
};

struct exposition_alerts {
    const char *channel;
    const char *result;
    uint64_t count;
};

struct exposition_platform {
    const char *provider;
    const char *operation;
    const char *result;
    uint64_t count;
};

struct exposition_durations {
    const char *phase;
    const struct histogram *durations;
};

struct exposition_version {
    bool exists; /* false: nobody plays this role; its counters are shown all the same */
    struct bytes deployment;
    struct bytes url;
    double weight_set;      /* 0 to 1 */
    double weight_realised; /* of the last ten seconds; NaN without requests */
};

struct exposition_endpoint {
    enum metric_role role;
    struct bytes name;
    bool is_up;                /* true also where nobody checks */
    const struct block *cells; /* of struct endpoint_cells */
};

struct exposition_service {
    struct bytes name;
    const struct block *cells; /* of struct service_cells */
    struct exposition_version versions[METRIC_ROLE_COUNT];
    const struct exposition_endpoint *endpoints;
    size_t endpoint_count;
    uint64_t contained_count; /* workers that hold the canary back */
    struct exposition_states verdict;
    struct exposition_states phase;
    unsigned step;
    const struct exposition_value *evidence; /* by test */
    size_t evidence_count;
    const struct exposition_rollbacks *rollbacks;
    size_t rollbacks_count;
    const struct histogram *rollback_durations; /* NULL: nothing to show */
    const struct exposition_durations *phase_durations;
    size_t phase_duration_count;
    double last_rollback_s;  /* Unix time; NaN before the first */
    double last_drill_s;     /* the same; what is about drills is shown only with it */
    double drill_duration_s; /* NaN: it failed */
    bool is_drill_in_time;
};

struct exposition {
    const struct exposition_service *services;
    size_t service_count;
    const struct block *workers; /* of struct worker_cells */
    uint64_t access_log_dropped;
    uint64_t history_audit_lost, history_changes_lost, history_waiting;
    double config_last_reload_success_s;       /* Unix time */
    const struct exposition_value *conditions; /* 0 or 1 each */
    size_t condition_count;
    const struct exposition_platform *platforms;
    size_t platform_count;
    const struct exposition_alerts *alerts;
    size_t alerts_count;
    uint64_t incidents_written, incidents_failed;
    uint64_t cache_bytes;
    struct bytes version;
    struct bytes commit;
};

/* Appends the whole text. ERR_LIMIT when it does not fit or memory is out: the buf then holds a
 * part. */
MUST_USE enum err exposition_write(const struct exposition *exposition, struct buf *text);

#include "metrics/catalog.h"

static const struct metric_info infos[] = {
#define INFO_ROW(ID, id, name, type, unit, labels, help)                                           \
    {BYTES(name), METRIC_##type, BYTES(unit), BYTES(labels), BYTES(help)},
    METRIC_CATALOG(INFO_ROW)
#undef INFO_ROW
};
static_assert(COUNT_OF(infos) == METRIC_COUNT, "one row per metric");

const struct metric_info *metric_info(enum metric metric)
{
    CHECK(metric < METRIC_COUNT);
    return &infos[metric];
}

/* Each table of label values becomes a lookup; the tables and the enums grow together. */
#define TEXT_ROW(ID, text) BYTES(text),
#define TEXT_LOOKUP(TABLE, type, function)                                                         \
    struct bytes function(enum type value)                                                         \
    {                                                                                              \
        static const struct bytes texts[] = {TABLE(TEXT_ROW)};                                     \
        CHECK((size_t)value < COUNT_OF(texts));                                                    \
        return texts[value];                                                                       \
    }

TEXT_LOOKUP(METRIC_ROLES, metric_role, metric_role_text)
TEXT_LOOKUP(METRIC_METHODS, metric_method, metric_method_text)
TEXT_LOOKUP(METRIC_FAILURES, metric_failure, metric_failure_text)
TEXT_LOOKUP(METRIC_RESCUES, metric_rescue, metric_rescue_text)
TEXT_LOOKUP(METRIC_OVERFLOWS, metric_overflow, metric_overflow_text)
TEXT_LOOKUP(METRIC_CACHE_RESULTS, metric_cache, metric_cache_text)
TEXT_LOOKUP(METRIC_CONNECTION_STATES, metric_connection_state, metric_connection_state_text)
TEXT_LOOKUP(METRIC_REQUEST_REJECTIONS, metric_request_rejection, metric_request_rejection_text)
TEXT_LOOKUP(METRIC_CONNECTION_REJECTIONS, metric_connection_rejection,
            metric_connection_rejection_text)
TEXT_LOOKUP(METRIC_HTTP2_VIOLATIONS, metric_http2_violation, metric_http2_violation_text)
TEXT_LOOKUP(METRIC_TLS_RESULTS, metric_tls_result, metric_tls_result_text)

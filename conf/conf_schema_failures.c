/* conf/conf_schema_failures.c — the keys of what a service calls a failure. */
#include <assert.h>
#include <stddef.h>

#include "conf/conf_schema.h"
#include "proxy/base/check.h"

#define KEYS(array)          .keys = (array), .key_count = COUNT_OF(array)
#define FROM_TO(least, most) .low = (least), .high = (most)

/* From 1 on, as the protocol numbers them, and once more as numbers. */
static const char *const grpc_words[] = {"cancelled",
                                         "unknown",
                                         "invalid_argument",
                                         "deadline_exceeded",
                                         "not_found",
                                         "already_exists",
                                         "permission_denied",
                                         "resource_exhausted",
                                         "failed_precondition",
                                         "aborted",
                                         "out_of_range",
                                         "unimplemented",
                                         "internal",
                                         "unavailable",
                                         "data_loss",
                                         "unauthenticated",
                                         "1",
                                         "2",
                                         "3",
                                         "4",
                                         "5",
                                         "6",
                                         "7",
                                         "8",
                                         "9",
                                         "10",
                                         "11",
                                         "12",
                                         "13",
                                         "14",
                                         "15",
                                         "16",
                                         NULL};
static_assert(COUNT_OF(grpc_words) == 2 * CONF_GRPC_STATUSES_MAX + 1, "each twice");

static const struct conf_key failures_keys[] = {
    {.name = "status",
     .type = CONF_TYPE_STATUSES,
     .offset = offsetof(struct conf_failures, statuses),
     .count_offset = offsetof(struct conf_failures, status_count),
     .list_min = 1,
     .list_max = CONF_STATUSES_MAX,
     .fallback = "5xx",
     .help = "Statuses of an origin's answer that are a failure: single ones, ranges, classes as "
             "in `5xx`, none below 300. More than the default (`[5xx, 429]`) or less (`[500, 502, "
             "503]`)."},
    {.name = "grpc_status",
     .type = CONF_TYPE_CHOICE,
     .offset = offsetof(struct conf_failures, grpc_statuses),
     .count_offset = offsetof(struct conf_failures, grpc_status_count),
     .list_max = CONF_GRPC_STATUSES_MAX,
     .fallback = "unknown, deadline_exceeded, internal, unavailable, data_loss",
     .choices = grpc_words,
     .help = "Statuses of an origin's gRPC answer (`Content-Type: application/grpc`) that are a "
             "failure, by name or number; an answer that ends without one is `unknown`. What a "
             "client's own `grpc-timeout` brought about is none. `[]`: only HTTP's own count."},
    {.name = "not_found",
     .type = CONF_TYPE_RATE,
     .offset = offsetof(struct conf_failures, not_found_ppm),
     FROM_TO(100, 900000),
     .flags = CONF_KEY_NONE,
     .fallback = "none",
     .help = "Judges answers of 404 apart from failures: a breach (`relative`) is a canary that is "
             "proven to answer it more often than the stable version and does so at this ratio or "
             "above. For static sites, which never answer 5xx. `off`: they are good answers."},
    {.name = "exclude_paths",
     .type = CONF_TYPE_GLOB,
     .offset = offsetof(struct conf_failures, exclude_paths),
     .count_offset = offsetof(struct conf_failures, exclude_path_count),
     .list_max = CONF_GLOBS_MAX,
     .help = "Requests to these paths are no evidence, neither good nor bad: `/healthz` is this "
             "path alone, and `*` stands for any bytes, so `/internal/*` is everything below "
             "`/internal/`. Compared byte by byte, without the query. The metrics count them all "
             "the same."},
};

const struct conf_section conf_schema_failures = {
    .title = "services.failures",
    .help = "What the judge calls a failure, for this service. Connections that fail, timeouts, "
            "answers that are malformed or broken off, and the statuses 520 to 527 and 530 of an "
            "edge that did not reach its origin are failures whatever stands here. `error_rate`, "
            "`instant_above` and `max_bad_responses` of `rollback` speak of these failures. "
            "Outlier ejection and `rescue.when` do not look here, and metrics named 5xx count "
            "statuses of 500 and above.",
    KEYS(failures_keys),
    .size = sizeof(struct conf_failures),
    .place_offset = offsetof(struct conf_failures, place),
};

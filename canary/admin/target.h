/* canary/admin/target.h — a request target taken apart: decoded path segments and query parameters.
 *
 * Strict: bad percent-encoding, NUL, empty segments, dot segments and doubled parameters are
 * refused rather than repaired. Private to canary/admin; pure, the texts live in the caller's
 * arena. */
#pragma once
#include "proxy/base/arena.h"
#include "proxy/base/err.h"

enum { TARGET_SEGMENTS_MAX = 8, TARGET_PARAMETERS_MAX = 8, TARGET_TEXT_MAX = 2048 };

struct target_parameter {
    const char *name;
    const char *value;
};

struct target {
    const char *segments[TARGET_SEGMENTS_MAX]; /* "/" has none */
    size_t segment_count;
    struct target_parameter parameters[TARGET_PARAMETERS_MAX];
    size_t parameter_count;
};

/* ERR_SYNTAX, ERR_LIMIT (too many, too long), ERR_NOMEM. */
MUST_USE enum err target_parse(struct bytes text, struct arena *arena, struct target *ret_target);
/* The parameter's value, or NULL. */
const char *target_parameter(const struct target *target, const char *name);

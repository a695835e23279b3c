/* canary/engine/record.c — see record.h. */
#include "canary/engine/record.h"

#include <math.h>
#include <string.h>

#include "proxy/base/check.h"

static const char *const TRIGGER_NAMES[] = {"error_rate", "latency", "connect", "health",
                                            "manual",     "build",   "drill"};
static const char *const STATUS_NAMES[] = {"in_progress", "success", "failed", "superseded",
                                           "dry_run"};
static const char *const MODE_NAMES[] = {"gradual", "instant"};
static const char *const PHASE_NAMES[] = {"detect", "decide",       "shift",
                                          "drain",  "platform_ack", "verify"};
static const char *const PLATFORM_NAMES[] = {"none", "pending", "acknowledged", "not_needed",
                                             "given_up"};
_Static_assert(COUNT_OF(PLATFORM_NAMES) == RECORD_PLATFORM_COUNT, "a name for each state");
_Static_assert(COUNT_OF(TRIGGER_NAMES) == RECORD_TRIGGER_COUNT, "a name for each trigger");
_Static_assert(COUNT_OF(STATUS_NAMES) == RECORD_STATUS_COUNT, "a name for each status");
_Static_assert(COUNT_OF(MODE_NAMES) == RECORD_MODE_COUNT, "a name for each mode");
_Static_assert(COUNT_OF(PHASE_NAMES) == RECORD_PHASE_COUNT, "a name for each phase");

const char *record_trigger_name(enum record_trigger trigger)
{
    CHECK(trigger < RECORD_TRIGGER_COUNT);
    return TRIGGER_NAMES[trigger];
}

const char *record_status_name(enum record_status status)
{
    CHECK(status < RECORD_STATUS_COUNT);
    return STATUS_NAMES[status];
}

const char *record_mode_name(enum record_mode mode)
{
    CHECK(mode < RECORD_MODE_COUNT);
    return MODE_NAMES[mode];
}

const char *record_phase_name(enum record_phase phase)
{
    CHECK(phase < RECORD_PHASE_COUNT);
    return PHASE_NAMES[phase];
}

const char *record_platform_name(enum record_platform platform)
{
    CHECK(platform < RECORD_PLATFORM_COUNT);
    return PLATFORM_NAMES[platform];
}

/* The index of `name`, or `count`. */
static size_t find(const char *const *names, size_t count, const char *name)
{
    size_t i = 0;
    while (i < count && strcmp(names[i], name) != 0) {
        i++;
    }
    return i;
}

bool record_trigger_find(const char *name, enum record_trigger *ret_trigger)
{
    size_t at = find(TRIGGER_NAMES, COUNT_OF(TRIGGER_NAMES), name);
    if (at == COUNT_OF(TRIGGER_NAMES)) {
        return false;
    }
    *ret_trigger = (enum record_trigger)at;
    return true;
}

bool record_status_find(const char *name, enum record_status *ret_status)
{
    size_t at = find(STATUS_NAMES, COUNT_OF(STATUS_NAMES), name);
    if (at == COUNT_OF(STATUS_NAMES)) {
        return false;
    }
    *ret_status = (enum record_status)at;
    return true;
}

bool record_mode_find(const char *name, enum record_mode *ret_mode)
{
    size_t at = find(MODE_NAMES, COUNT_OF(MODE_NAMES), name);
    if (at == COUNT_OF(MODE_NAMES)) {
        return false;
    }
    *ret_mode = (enum record_mode)at;
    return true;
}

bool record_platform_find(const char *name, enum record_platform *ret_platform)
{
    size_t at = find(PLATFORM_NAMES, COUNT_OF(PLATFORM_NAMES), name);
    if (at == COUNT_OF(PLATFORM_NAMES)) {
        return false;
    }
    *ret_platform = (enum record_platform)at;
    return true;
}

void record_init(struct record *record)
{
    *record = (struct record){.duration_s = NAN, .last_client_bad_s = NAN};
    for (size_t i = 0; i < RECORD_PHASE_COUNT; i++) {
        record->phase_s[i] = NAN;
    }
}

void record_stamp(struct record *record, enum record_phase phase, double elapsed_s)
{
    CHECK(phase < RECORD_PHASE_COUNT);
    if (!isnan(record->phase_s[phase])) {
        return;
    }
    record->phase_s[phase] = fmax(elapsed_s, 0.0);
    record->duration_s = fmax(record->duration_s, record->phase_s[phase]); /* fmax ignores a NAN */
}

enum record_trigger record_trigger_of(enum judge_reason reason)
{
    switch (reason) {
    case JUDGE_REASON_CONNECT:
        return RECORD_CONNECT;
    case JUDGE_REASON_LATENCY:
        return RECORD_LATENCY;
    case JUDGE_REASON_HEALTH:
        return RECORD_HEALTH;
    case JUDGE_REASON_ABSOLUTE:
    case JUDGE_REASON_RELATIVE:
    case JUDGE_REASON_SHARED_OUTAGE:
        return RECORD_ERROR_RATE;
    case JUDGE_REASON_NONE:
    case JUDGE_REASON_COUNT:
        break;
    }
    return RECORD_MANUAL;
}

#include <stddef.h>

#include "conf/conf_schema.h"
#include "proxy/base/check.h"

static const char *const relative_words[] = {"off", "hold", "rollback", "confirm", NULL};

#define POLICY(type_, member) .type = (type_), .offset = offsetof(struct conf_policy, member)
#define GIVEN(member)         .flag_offset = offsetof(struct conf_policy, member)
#define FROM_TO(least, most)  .low = (least), .high = (most)

static const struct conf_key policy_keys[] = {
    {.name = "name",
     POLICY(CONF_TYPE_NAME, name),
     .flags = CONF_KEY_REQUIRED,
     .help = "What it is called in the status, the log and `serin replay`; not `rollback`."},
    {.name = "error_rate",
     POLICY(CONF_TYPE_RATE, error_rate_ppm),
     GIVEN(has_error_rate),
     FROM_TO(100, 900000),
     .help = "As `rollback.error_rate`, which holds where it is left out."},
    {.name = "relative",
     POLICY(CONF_TYPE_CHOICE, relative),
     GIVEN(has_relative),
     .choices = relative_words,
     .help = "As `rollback.relative`."},
    {.name = "latency",
     POLICY(CONF_TYPE_SWITCH, is_latency_judged),
     GIVEN(has_latency),
     .help = "As `rollback.latency`."},
    {.name = "false_alarm",
     POLICY(CONF_TYPE_RATE, false_alarm_ppm),
     GIVEN(has_false_alarm),
     FROM_TO(1, 200000),
     .help = "As `rollback.false_alarm`."},
    {.name = "instant_above",
     POLICY(CONF_TYPE_RATE, instant_above_ppm),
     GIVEN(has_instant_above),
     FROM_TO(10000, CONF_PPM),
     .help = "As `rollback.instant_above`: whether it would have gone to 0 at once."},
};

const struct conf_section conf_schema_policy = {
    .title = "services.observe",
    .help = "A policy to try before it is trusted. It is fed with the same counts at the same "
            "times as `rollback`, and what it leaves out is as there; its breach is logged and "
            "shown, and changes nothing.",
    .keys = policy_keys,
    .key_count = COUNT_OF(policy_keys),
    .size = sizeof(struct conf_policy),
    .place_offset = offsetof(struct conf_policy, place),
};

/* canary/replay/replay_show.h — what a replay found, as text for people and as JSON for programs.
 * Pure: values in, text out. */
#pragma once
#include <jansson.h>

#include "canary/replay/recording_read.h"
#include "canary/replay/replay.h"
#include "proxy/base/buf.h"

/* Appends to `out`; ERR_NOMEM. `reader` has read the recording to its end. */
MUST_USE enum err replay_show(const struct replay *replay, const struct recording_reader *reader,
                              struct buf *out);
/* NULL without memory. Gives the value. */
json_t *replay_to_json(const struct replay *replay, const struct recording_reader *reader);

/* canary/history/history_json.h — texts and rows as JSON, for this room and who writes evidence.
 * Any thread. */
#pragma once
#include "canary/history/history.h"

/* A JSON string; bytes that are not UTF-8 become U+FFFD; NULL text is JSON null. NULL when memory
 * is out. */
json_t *history_text_to_json(const char *text);
/* A text that should hold JSON, parsed; as a string when it does not; null when NULL. */
json_t *history_detail_to_json(const char *detail);
/* Microseconds of the wall clock as RFC 3339. */
json_t *history_time_to_json(int64_t wall_us);
/* Seconds, or null for NAN. */
json_t *history_seconds_to_json(double seconds);

/* canary/cli/figure.h — numbers, times and names of the API in words for people. Pure.
 *
 * Each gives `text`, or a text that lives longer; "-" for what is not there. */
#pragma once
#include <jansson.h>

enum { FIGURE_SIZE = 48, FIGURE_LABEL_SIZE = 128 };

/* At most four decimals, none that say nothing: "12.5 %". */
const char *figure_percent(const json_t *value, char text[FIGURE_SIZE]);
/* What was measured: about three digits, "72.5 %". */
const char *figure_measured(const json_t *value, char text[FIGURE_SIZE]);
/* "2.4 s", "83 s", "3 min 20 s". */
const char *figure_seconds(const json_t *value, char text[FIGURE_SIZE]);
/* "2026-11-23T05:39:05.678Z" as "2026-11-23 05:39:05". */
const char *figure_time(const char *timestamp, char text[FIGURE_SIZE]);
/* "in_progress" as "In progress". */
const char *figure_label(const char *name, char text[FIGURE_LABEL_SIZE]);
/* What set a rollback off, in the table's words. */
const char *figure_trigger(const char *trigger);

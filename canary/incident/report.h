/* canary/incident/report.h — an incident as a document.
 *
 * report.json is the report; Markdown and chart are drawn from it alone. So a report that a crash
 * left unfinished is finished by reading it back, taking from it what only the process before knew,
 * and drawing it anew. Pure, in some milliseconds: on libuv's pool. */
#pragma once
#include <jansson.h>

#include "canary/incident/incident.h"

enum { REPORT_VERSION = 1, REPORT_ROUTES_MAX = 20, REPORT_PAIRS_MAX = 20 };

/* The report of what the work knows, and of what `before` said (an earlier report of the same
 * incident, borrowed; NULL: none) where the work was resumed. NULL without memory. Gives the
 * value. */
json_t *report_make(const struct incident_work *work, const json_t *before);
/* Appends it as Markdown. */
void report_write_markdown(const json_t *report, struct buf *out);
/* Appends its chart. */
void report_write_chart(const json_t *report, struct buf *out);

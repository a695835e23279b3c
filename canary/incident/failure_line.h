/* canary/incident/failure_line.h — a failed request as one line of JSON. Pure; any thread. */
#pragma once
#include "metrics/failure_record.h"

/* One object with its line feed, at most INCIDENT_LINE_MAX bytes: heads that do not fit are left
 * out. NULL without memory. Gives the text, which is freed with free(). */
char *failure_line_make(const struct failure_record *record);

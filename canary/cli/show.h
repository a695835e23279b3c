/* canary/cli/show.h — the API's JSON as text for people. Pure: values in, text out. */
#pragma once
#include <jansson.h>

#include "proxy/base/buf.h"

/* Each appends to `out`; ERR_NOMEM. What is missing in the document is shown as "-". */
MUST_USE enum err show_status(json_t *status, struct buf *out);
MUST_USE enum err show_weights(json_t *status, struct buf *out);
/* Timestamp, Deployment ID, Reason, Duration, Status. */
MUST_USE enum err show_history(json_t *document, struct buf *out);
/* Period, Rollbacks, Success, Failed, Success rate, and the RTO's mean, p50, p90, p99 and worst. */
MUST_USE enum err show_summary(json_t *document, struct buf *out);
/* Is the audit trail whole? In one sentence. */
MUST_USE enum err show_verification(json_t *document, struct buf *out);
/* Where the export is. */
MUST_USE enum err show_export(json_t *document, struct buf *out);
MUST_USE enum err show_audit(json_t *document, struct buf *out);
/* One rollback's record as lines. */
MUST_USE enum err show_rollback(json_t *record, struct buf *out);
MUST_USE enum err show_explanation(json_t *explanation, struct buf *out);
/* One event's data as a line. */
MUST_USE enum err show_event(json_t *event, struct buf *out);

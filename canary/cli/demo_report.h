/* canary/cli/demo_report.h — the end of the demo's story: the record, and what its clients counted.
 *
 * Pure; any thread. */
#pragma once

#include "canary/cli/demo_load.h"
#include "canary/cli/demo_seen.h"
#include "proxy/base/buf.h"
#include "proxy/base/err.h"

/* Appends it for a human. A failed append shows in the buf. */
void demo_report_text(const struct demo_record *record, const struct demo_load_counts *clients,
                      struct buf *out);
/* Appends {"rollback": the first record of the list, "clients": {…}} and a line's end.
 * ERR_SYNTAX: `rollbacks` is not the answer of GET /api/v1/rollbacks, or has none. ERR_NOMEM. */
MUST_USE enum err demo_report_json(struct bytes rollbacks, const struct demo_load_counts *clients,
                                   struct buf *out);

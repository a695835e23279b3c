/* canary/incident/access_lines.h — lines of the access log as a report may show them. Pure; any
 * thread. */
#pragma once
#include "proxy/base/buf.h"

/* Appends the newest whole lines of `text`, `line_max` at most, without what stands behind a
 * question mark or a fragment's hash inside quotes: queries have secrets in them. Understands both
 * formats of the log. */
void access_lines_append(struct buf *out, struct bytes text, size_t line_max);

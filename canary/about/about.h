/* canary/about/about.h — which Serin this is: version, commit, compiler, flags, and the libraries
 * it was built with and runs with.
 *
 * What is known of the build was fixed when it was made and says nothing of the place or the time,
 * so that the same sources give the same program. Pure; any thread. */
#pragma once
#include <stdio.h>

#include "proxy/base/buf.h"

/* "0.1.0", and the commit in hexadecimal or "unknown". */
const char *about_version(void);
const char *about_commit(void);

/* For people, and as one JSON object; both end with a line feed. A failure is the buffer's. */
void about_append_text(struct buf *out);
void about_append_json(struct buf *out);

/* `serin version [--json]`: `argv[0]` is the verb. Exit code. */
int about_run(int argc, char **argv);

/* canary/cli/completion.h — what a shell completes, and serin(1), made of the tables that make
 * --help. Pure. */
#pragma once
#include "canary/cli/options.h"
#include "proxy/base/buf.h"

enum { COMPLETION_MAX = 1024 * 1024 };

/* Appends a script for "bash", "zsh" or "fish"; ERR_NOT_FOUND for another shell. */
MUST_USE enum err completion_script(const char *shell, struct buf *out);
/* Appends serin(1). */
void completion_manual(struct buf *page);
/* `serin completion SHELL`. */
int completion_run(const struct cli_options *options);

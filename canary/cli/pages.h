/* canary/cli/pages.h — `serin pages list | rollback`: Cloudflare Pages by hand and in CI, without a
 * Serin that runs. Blocking; a process of its own. */
#pragma once
#include "canary/cli/options.h"

/* Reads CLOUDFLARE_API_BASE_URL, CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_API_TOKEN where the options
 * say nothing. Returns the exit code. */
int pages_run(const struct cli_options *options);
/* What a result means for the exit code. Pure. */
int pages_exit_of(int result);

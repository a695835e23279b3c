/* canary/cli/cli.h — the verbs that talk to a running Serin through its admin API. Blocking; its
 * own process. */
#pragma once

/* Runs the verb in argv[1] and returns the exit code: 0 done, 1 failed, 2 usage, 3 refused, 4 not
 * authorised, 5 timed out or rate limited. */
int cli_run(int argc, char **argv);

/* canary/platform/exec.h — the provider that runs a command: any platform there is a tool for.
 *
 * The command gets the rollback's record as JSON on standard input and says by its exit code how it
 * went: 0 done, 3 refused, 4 not authorised, 5 timed out or rate limited, anything else failed. It
 * runs as canary/command/command.h says: in a process group of its own, which is killed at the
 * deadline, and when it is cancelled.
 * What it prints is kept up to EXEC_OUTPUT_MAX bytes, as log; the rest is read and dropped. */
#pragma once
#include <uv.h>

#include "canary/platform/provider.h"

enum { EXEC_ARGUMENTS_MAX = 64, EXEC_OUTPUT_MAX = 16 * 1024 };

/* `argv` is copied: the program (looked for in PATH) and its arguments, no shell; NULL ends it.
 * Does only PLATFORM_ROLL_BACK. ERR_SYNTAX: no program, or too many arguments; ERR_NOMEM. */
MUST_USE enum err exec_create(uv_loop_t *loop, const char *const *argv,
                              struct provider **ret_provider);
/* Whether `provider` is of this kind and runs these very words. NULL is none. */
bool exec_is(const struct provider *provider, const char *const *argv);

/* canary/cli/guard_child.h — a command as if nobody stood around it.
 *
 * It has our terminal, streams, environment and process group, so its output goes where it would
 * have gone, unbuffered. Signals that end us go to it, and we to its end. Blocking; a process with
 * one thread of its own. */
#pragma once
#include <signal.h>

#include "proxy/base/err.h"

struct child_end {
    int code;        /* what a shell would say: its exit code, 128 + signal, 126, 127 */
    int signal;      /* that ended it; 0: none */
    int start_errno; /* why it could not be started; 0: it was */
};

/* From now on signals wait for child_run; before other threads begin. `ret_before` is the mask that
 * the command gets. */
void child_hold_signals(sigset_t *ret_before);
/* One that came meanwhile and would have ended us; 0: none. */
int child_take_signal(void);
/* Runs argv[0], looked for in PATH. ERR_NOMEM, ERR_IO: no process could be made. */
MUST_USE enum err child_run(char *const *argv, const sigset_t *mask, struct child_end *ret_end);
/* "ended with exit code 3", "was ended by signal 9 (Killed)", "could not be started: ...". */
void child_say_end(const struct child_end *end, struct note *ret_note);

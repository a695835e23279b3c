/* canary/cli/terminal.h — the terminal that a verb draws on: what it can show, how large it is, and
 * how it was before.
 *
 * terminal_enter takes the whole screen (the alternate one) and the keyboard; terminal_leave gives
 * back what was there. In between a crash gives it back too, from a signal handler: hence the one
 * piece of state that belongs to the process. One thread. */
#pragma once
#include <stdbool.h>

#include "proxy/base/bytes.h"

/* Is standard output a terminal that understands more than lines? Not with TERM=dumb. */
bool terminal_is_capable(void);
/* NO_COLOR says no. */
bool terminal_is_coloured(void);
/* As setlocale would decide. */
bool terminal_is_unicode(void);
/* Of standard output; false: unknown, and untouched. */
bool terminal_size(unsigned *ret_columns, unsigned *ret_rows);
/* All of it to standard output; false: nobody reads it any more. */
bool terminal_write(struct bytes bytes);

/* Takes screen and keyboard: no echo, no lines, Ctrl-C still a signal. Returns whether there are
 * keys: standard input is a terminal too. */
bool terminal_enter(void);
/* Gives both back; nothing when they were not taken. May be called in a signal handler. */
void terminal_leave(void);

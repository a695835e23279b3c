/* canary/replay/replay_verb.h — `serin replay`: what other policies would have done.
 *
 * Reads a flight recording from a file, standard input or the Serin that runs, and replays it under
 * the service's policies and those of the command line. Main thread of a process of its own. */
#pragma once

/* `argv[0]` is the verb, options follow. Returns the exit code: 0 done, 1 failed, 2 usage, and
 * those of the admin API's client. */
int replay_run(int argc, char **argv);

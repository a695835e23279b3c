/* canary/cli/demo.h — `serin demo`: a release that breaks, and what Serin does about it.
 *
 * Two origins and a load of clients on this process' own loop, and the proxy as a child: the real
 * binary with a configuration of its own, in a folder that is gone afterwards. Everything listens
 * on loopback, on ports that were free. The canary starts at 10 %, breaks, is found out and rolled
 * back; what is told about it comes from the proxy's admin API. Main thread. */
#pragma once

/* `argv[0]` is the verb, options follow; `self_path` is the program to run as the proxy
 * ("/proc/self/exe"). Returns the exit code: 0 rolled back, 1 not, 2 usage. */
int demo_run(int argc, char **argv, const char *self_path);

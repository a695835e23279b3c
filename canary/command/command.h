/* canary/command/command.h — one run of a command: bytes in, exit code out, and nothing left
 * behind.
 *
 * The command runs in a session and process group of its own, without a shell, with the process's
 * environment. At its deadline, and when it leaves children behind that hold its output open, the
 * whole group is killed. Its output is read to the end, of which only the beginning is kept. One
 * loop; control only. */
#pragma once
#include <uv.h>

#include "proxy/base/bytes.h"
#include "proxy/base/err.h"

struct command;

enum { COMMAND_OUTPUT_MAX = 1024, COMMAND_WORDS_MAX = 64 };

struct command_request {
    const char *const *words; /* the program and its arguments; looked for in PATH */
    size_t word_count;        /* 1 to COMMAND_WORDS_MAX */
    struct bytes input;       /* copied */
    uint64_t deadline_ms;
    size_t output_max; /* bytes of its output that are kept; 0: COMMAND_OUTPUT_MAX */
};

struct command_result {
    enum err err; /* OK: it ended by itself. ERR_TIMEOUT, ERR_CLOSED (killed by command_kill),
                     ERR_IO (it could not be started) */
    int exit_code;
    int signal;          /* 0: none */
    const char *why;     /* ERR_IO: what the kernel said; else "" */
    struct bytes output; /* the beginning of what it wrote, both streams; borrowed */
};

typedef void command_on_done(void *context, const struct command_result *result);

/* `on_done` comes exactly once, later on the loop, also when the program cannot be started; all
 * handles are closed then. ERR_NOMEM. */
MUST_USE enum err command_start(uv_loop_t *loop, const struct command_request *request,
                                command_on_done *on_done, void *context,
                                struct command **ret_command);
/* Ends it at once, with what it left behind; on_done comes with ERR_CLOSED, later on the loop.
 * Again is fine; what could not be started keeps its ERR_IO. */
void command_kill(struct command *command);

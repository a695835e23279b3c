/* tests/unit/controller/controller_bench.h — a whole controller in the test's own process.
 *
 * Its folder, configuration and state file are made in /tmp and taken away again; it listens on
 * loopback, ports of the kernel's choice. Questions go to the admin API below its sockets. */
#pragma once
#include <jansson.h>

#include "canary/controller/controller.h"
#include "canary/controller/controller_state.h"

struct bench {
    char folder[64];
    char conf_path[96];
    char state_path[96];
    char token_path[96];
    unsigned port; /* of the one address that is listened on */
    struct loop loop;
    struct controller *controller; /* NULL: not running */
    struct note note;              /* why it could not start */
    const struct clock *clock;     /* what engines and records go by; NULL: the machine's */
};

/* An answer; bench_forget lets it go. */
struct answer {
    unsigned status; /* 0: none yet */
    json_t *body;
};

/* A port on loopback that nobody uses just now. */
unsigned bench_free_port(void);
void bench_open(struct bench *bench);
void bench_close(struct bench *bench);
/* Writes the configuration: the services as YAML, below `services:`; `more` are further keys, which
 * may be those of `listen` and `admin`. */
void bench_configure(struct bench *bench, const char *more, const char *services);
void bench_write_token(struct bench *bench, const char *secret);
/* Starts with the configuration; what controller_create says. */
enum err bench_start(struct bench *bench);
/* Drains, and runs until all is over. */
void bench_stop(struct bench *bench);
/* Runs the loop until `is_done` says so; fails the test when that takes too long. */
void bench_run_until(struct bench *bench, bool (*is_done)(void *context), void *context);
/* Asks and waits for the answer. `token` may be NULL. */
struct answer bench_ask(struct bench *bench, enum method method, const char *target,
                        const char *body, const char *token);
/* Only what came of it. */
unsigned bench_status(struct bench *bench, enum method method, const char *target,
                      const char *body);
void bench_set_weight(struct bench *bench, const char *percent);
/* Writes the services and has them taken over. */
void bench_reload(struct bench *bench, const char *services);
/* Asks and does not wait: `answer` is filled when it comes. */
void bench_ask_later(struct bench *bench, enum method method, const char *target, const char *body,
                     struct answer *answer);
void bench_forget(struct answer *answer);
struct steward *bench_steward(struct bench *bench, const char *name);
/* Opens the state file as the next start would and writes a change there. */
void bench_write(struct bench *bench, const struct history_change *change);
/* One text of the state file by a query of one row and column; "" where there is none. */
void bench_look_up(struct bench *bench, const char *sql, char text[256]);
/* Keeps writers out of the state file until bench_unlock, as a disk that stands still would; after
 * three seconds they give up. */
void *bench_lock(struct bench *bench);
void bench_unlock(void *lock);

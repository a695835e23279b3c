/* canary/controller/controller.h — the control plane: what is the case, what is to be done, and
 * doing it.
 *
 * Owns the configuration in force, every service's engine, the crew of workers, the history and the
 * admin API. Ten times a second it reads the counters, asks each engine, and carries out what the
 * engine answers: a changed split is published first, everything else (disk, log, API events)
 * follows and is waited for by nobody. Lives on the main thread and its loop. */
#pragma once
#include "canary/supervisor/notify.h"
#include "conf/conf.h"
#include "proxy/base/clock.h"
#include "proxy/base/err.h"
#include "proxy/io/inherited.h"
#include "proxy/io/loop.h"

struct controller;

struct controller_options {
    struct loop *loop;     /* control's; borrowed */
    struct conf *conf;     /* taken, also on failure */
    const char *conf_path; /* what a reload reads again; borrowed */
    const char *version;   /* of the program; borrowed */
    const char *commit;
    const struct clock *clock;   /* what engines and records go by; NULL: the machine's; borrowed */
    struct inherited *inherited; /* sockets that were passed; NULL: none; borrowed */
    const struct notify *notify; /* whom to tell how the process is; NULL: nobody; borrowed */
};

/* Opens state, log and sockets, resumes what a crash interrupted, and starts to serve. The note
 * says what failed. */
MUST_USE enum err controller_create(const struct controller_options *options, struct note *note,
                                    struct controller **ret_controller);
/* Reads the configuration again; a bad one changes nothing and its errors are logged. `actor` goes
 * into the audit trail. */
void controller_reload(struct controller *controller, const char *actor);
/* Opens the access log's file anew (after logrotate). */
void controller_reopen_logs(struct controller *controller);
/* Ends: readyz says no, then accepting stops, then what is in flight may finish until the deadline.
 * The loop runs out when all is done. A second call cuts at once. */
void controller_drain(struct controller *controller);
/* After the loop has run out. NULL is fine. */
void controller_destroy(struct controller *controller);

/* The port that the i-th listening address got. */
unsigned controller_port(const struct controller *controller, size_t index);

/* canary/cli/demo_proxy.h — the demo's proxy: the real program, as a child with a folder of its
 * own.
 *
 * The child gets its configuration, state and logs in a folder that is made for it and removed with
 * it, its own process group (so that Ctrl-C reaches the parent alone), and dies when the parent
 * does, however that ends. Main thread: the child is bound to the thread that started it. */
#pragma once
#include <stdbool.h>

#include "proxy/base/buf.h"
#include "proxy/base/err.h"

struct demo_proxy;

struct demo_proxy_options {
    const char *self_path; /* the program; borrowed during the call */
    unsigned stable_port;  /* where the origins listen */
    unsigned canary_port;
    const char *stable_name; /* deployments; borrowed during the call */
    const char *canary_name;
    double weight_percent; /* the canary's, at the start */
    unsigned every_ms;     /* between two steps of the shift back */
};

/* The service's name in the configuration and the admin API. */
extern const char DEMO_SERVICE[];

/* Finds free ports, writes the configuration and starts the program. ERR_NOMEM; ERR_IO, with a
 * note. The ports might be taken by somebody else before the child has them: then it ends. */
MUST_USE enum err demo_proxy_start(const struct demo_proxy_options *options,
                                   struct demo_proxy **ret_proxy, struct note *note);
unsigned demo_proxy_port(const struct demo_proxy *proxy);
unsigned demo_proxy_admin_port(const struct demo_proxy *proxy);
const char *demo_proxy_folder(const struct demo_proxy *proxy);
/* Takes note of the child's end; does not wait. True once it has ended. */
bool demo_proxy_reap(struct demo_proxy *proxy);
/* Asks the child to end (SIGTERM), or makes it end (SIGKILL). NULL is fine. */
void demo_proxy_stop(struct demo_proxy *proxy, bool is_at_once);
/* Appends the end of what the child told its operator. */
void demo_proxy_log_tail(const struct demo_proxy *proxy, struct buf *out);
/* Ends a child that still runs, waits for it, removes the folder, frees. NULL is fine. */
void demo_proxy_destroy(struct demo_proxy *proxy);

/* The configuration. Pure; `folder` is absolute. ERR_NOMEM. */
MUST_USE enum err demo_proxy_configure(const struct demo_proxy_options *options, const char *folder,
                                       unsigned port, unsigned admin_port, struct buf *out);

/* canary/cli/verb.h — what client verbs have in common: a client, the service that is meant, a
 * change, its answer.
 *
 * What went wrong has been told on standard error; numbers are exit codes. */
#pragma once
#include "canary/cli/client.h"
#include "canary/cli/options.h"
#include "canary/cli/show.h"

enum { VERB_PATH_SIZE = 2048, VERB_NAME_SIZE = 512 };

/* NULL: the exit code is set. Gives the client to the caller, who client_destroys it. */
struct client *verb_open_client(const struct cli_options *options, int *ret_exit);
/* The last answer: as the API gave it, with --json; otherwise as `show` makes it. */
int verb_print_answer(const struct client *client, const struct cli_options *options,
                      enum err (*show)(json_t *, struct buf *));
/* The service that is meant, escaped for a path: the named one, or the only one there is. */
int verb_find_service(struct client *client, const struct cli_options *options,
                      char name[VERB_NAME_SIZE]);
/* POSTs `action` below the service's path. Takes `body`, which may be NULL. */
int verb_change_service(struct client *client, const struct cli_options *options,
                        const char *action, json_t *body);
/* The answer of a change to a service, as a status of one line. */
enum err verb_show_changed(json_t *service, struct buf *out);
/* All of it: a client, the change, its answer. Takes `body`. */
int verb_post_and_show(const struct cli_options *options, const char *action, json_t *body,
                       enum err (*show)(json_t *, struct buf *));

/* ---- the view of everything, live (top.c) ---- */

int verb_run_top(const struct cli_options *options);

/* ---- rehearsals (verbs_drill.c) ---- */

int verb_run_drill(const struct cli_options *options);

/* ---- incident reports (verbs_incident.c) ---- */

int verb_run_incident(const struct cli_options *options);

/* ---- the verbs of rollouts (verbs_rollout.c) ---- */

int verb_run_start(const struct cli_options *options);
int verb_run_pause(const struct cli_options *options);
int verb_run_resume(const struct cli_options *options);
int verb_run_promote(const struct cli_options *options);
int verb_run_abort(const struct cli_options *options);
int verb_run_wait(const struct cli_options *options);

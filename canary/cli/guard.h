/* canary/cli/guard.h — `serin guard -- COMMAND`: a build or deploy command, and the way back when
 * it fails.
 *
 *   look ── run the command ── ended with 0 ─────────────────────────────── its exit code
 *                          └── failed ── look again ── guard_decide ─┬─ roll back ─┤
 *                                                                    └─ record ────┘
 *
 * Output, signals and the exit code are the command's own. What is live is asked of a Pages project
 * or of a running Serin, behind a small port. Blocking; a process of its own. */
#pragma once
#include "canary/cli/guard_decide.h"
#include "canary/cli/options.h"
#include "canary/cli/pages_desk.h"

/* Returns the command's exit code; 2, 3 or 4 when it was not started, since nothing could ever be
 * guarded so. */
int guard_run(const struct cli_options *options);

/* ---- between its files ---- */

enum { GUARD_WORD_SIZE = 24 };

struct guard {
    const struct cli_options *options;
    struct cli_options serin; /* for the running Serin: --token-file of Pages is not for it */
    const struct guard_place *place;
    bool is_job;
    struct pages_token token;       /* of the Pages project */
    struct note failure;            /* how the command ended */
    char label[DEPLOYMENT_ID_SIZE]; /* what was built; "" */
};

/* What came of it. */
struct guard_result {
    enum guard_cause cause;
    int code;                            /* the command's */
    bool was_tried;                      /* a rollback */
    bool is_done;                        /* ... and it is done, or was already */
    bool has_rolled_back;                /* ... now */
    bool is_recorded;                    /* a running Serin has it in its history */
    char word[GUARD_WORD_SIZE];          /* platform_result_name, or "passed", "left_alone" */
    struct note sentence;                /* what was found and done */
    struct platform_deployment from, to; /* id "": none */
};

/* Where the deployments are. */
struct guard_place {
    /* `is_before`: the command has not run yet. CLI_DONE, also when `ret_look` stays unknown for a
     * reason that may pass; otherwise nothing can be guarded. `note` says why. */
    int (*look)(struct guard *guard, bool is_before, struct guard_look *ret_look,
                struct note *note);
    void (*roll_back)(struct guard *guard, const struct guard_look *before,
                      const struct guard_look *after, struct guard_result *result);
};

extern const struct guard_place guard_pages; /* guard_pages.c */
extern const struct guard_place guard_admin; /* guard_admin.c */

/* Has the running Serin keep the failure, with nothing rolled back by it (guard_admin.c). */
void guard_record(struct guard *guard, struct guard_result *result);
/* On standard error, and to a job: outputs, summary, annotation (guard_show.c). */
void guard_tell(const struct guard *guard, const struct guard_result *result);
/* A warning or an error of our own, before or beside a result. */
void guard_say(const struct guard *guard, const char *level, const char *text);

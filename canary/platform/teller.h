/* canary/platform/teller.h — platforms are told of rollbacks until they say that it is so.
 *
 * A task is one rollback to be told to one service's provider. It is journalled before anything is
 * asked, asked again with growing pauses as long as it fails, and ends when the target is live at
 * the platform, when the bad deployment is not (then nothing is needed), or when it is dropped.
 * Because a provider looks before it asks, a task that is begun again after a crash does not change
 * anything twice. Nothing here delays a shift: tasks begin when it is over. Owned by the
 * controller; control only. */
#pragma once
#include "canary/platform/provider.h"

struct teller;

enum {
    TELLER_NAME_SIZE = 256,
    TELLER_KINDS_MAX = 4, /* of providers */
    TELLER_PAUSE_MIN_MS = 2000,
    TELLER_PAUSE_MAX_MS = 300000,
    TELLER_TASKS_MAX = 64, /* the oldest is given up for a newer one */
};

enum teller_outcome {
    TELLER_ACKNOWLEDGED, /* the target is live at the platform */
    TELLER_NOT_NEEDED,   /* the bad deployment is not what is live there */
    TELLER_GIVEN_UP,     /* dropped, or overtaken by a later rollback */
};

struct teller_facts {
    const char *rollback;   /* the record's id; a task's name */
    const char *service;    /* whose provider is asked */
    const char *deployment; /* the bad one, as the configuration names it */
    const char *current;    /* the same, as the platform may know it */
    const char *target;     /* the good one, as the platform may know it */
    const char *reason;
    const char *record;   /* JSON; what a command gets */
    int64_t first_bad_us; /* wall clock */
};

struct teller_ops {
    /* Keep the body under the rollback's id, on disk, then call teller_written (also when that
     * fails); NULL: forget it. */
    void (*journal)(void *context, const char *rollback, const char *body);
    /* An attempt failed. */
    void (*failed)(void *context, const struct teller_facts *facts, const char *text,
                   uint64_t next_ms);
    /* It is over, and forgotten when this returns. The journal's body is to be forgotten together
     * with the writing of this, so that no crash leaves a task that is neither open nor ended. */
    void (*ended)(void *context, const struct teller_facts *facts, enum teller_outcome outcome,
                  const char *text);
};

struct teller_options {
    const struct teller_ops *ops; /* borrowed for life */
    void *context;
    uint64_t pause_ms; /* the first pause after a failure; 0: TELLER_PAUSE_MIN_MS */
};

/* ERR_NOMEM. */
MUST_USE enum err teller_create(const struct teller_options *options, struct teller **ret_teller);

/* Gives the service another provider: takes it, closes the one before, whose question is asked
 * again. NULL: there should be one, but `why`. ERR_NOMEM leaves the provider with the caller. */
MUST_USE enum err teller_seat(struct teller *teller, const char *service, struct provider *provider,
                              const char *why);
/* Who has the seat; borrowed until the next one has it. NULL: nobody. */
const struct provider *teller_provider(const struct teller *teller, const char *service);
/* Whoever has the seat keeps it, with what it is asked. Somebody has it. */
void teller_keep(struct teller *teller, const char *service);
/* Lets go of the services that were not seated since the last sweep, and of their tasks. */
void teller_sweep(struct teller *teller);
/* Has the service a platform? */
bool teller_has(const struct teller *teller, const char *service);

/* Looks at the service's platform (PLATFORM_LOOK alone), once and beside all tasks; see
 * provider_start for further errors. ERR_NOT_FOUND: it has none; ERR_STATE: there is nobody to ask,
 * and the note says why. */
MUST_USE enum err teller_look(struct teller *teller, const char *service,
                              const struct platform_ask *ask, platform_on_done *on_done,
                              void *context, struct note *note);

/* Begins a task; copies all. Other tasks of the service are given up. ERR_NOMEM. */
MUST_USE enum err teller_begin(struct teller *teller, const struct teller_facts *facts);
/* The journal has it (or cannot have it): it may be asked. */
void teller_written(struct teller *teller, const char *rollback);
/* What the journal kept, after a start; unreadable bodies are forgotten. */
void teller_restore(struct teller *teller, const char *rollback, const char *body);
/* The journal has lost what it had: gives it the body of each task again, oldest first, by `write`,
 * which must not call back. ERR_NOMEM: some are left out. */
MUST_USE enum err teller_write_again(const struct teller *teller,
                                     void (*write)(void *context, const char *rollback,
                                                   const char *body),
                                     void *context);
bool teller_knows(const struct teller *teller, const char *rollback);
/* Gives up the tasks of a deployment that somebody released. */
void teller_drop(struct teller *teller, const char *service, const char *deployment);
/* The service tries another deployment. A platform that is blind (see provider.h) would take that
 * one back, so its tasks are given up; the others find out by themselves. */
void teller_overtake(struct teller *teller, const char *service);

/* Asks the service's platform for the log of the build that made `deployment` (named as the
 * platform knows it) in an environment. `on_done` as in provider.h. ERR_NOT_FOUND: the service has
 * no platform; and what provider_start returns, ERR_UNSUPPORTED where platforms build nothing. */
MUST_USE enum err teller_read_log(struct teller *teller, const char *service,
                                  const char *deployment, const char *environment,
                                  platform_on_done *on_done, void *context);

/* Asks what is due. */
void teller_tick(struct teller *teller, uint64_t now_us);
/* What is wrong, for the status; NULL: nothing. Valid until the next call. */
const char *teller_condition(struct teller *teller);

/* Is there a task of a process before that was not asked about in this one? Then it is not known
 * whether what was wrong still is. */
bool teller_has_untried(const struct teller *teller);

/* Requests by kind of provider; false past the end. */
bool teller_counts_at(const struct teller *teller, size_t index, const char **ret_provider,
                      struct platform_counts *ret_counts);

/* Ends what is under way; tasks stay in the journal. Calls `on_closed` when all is closed, maybe at
 * once, and frees. */
void teller_close(struct teller *teller, void (*on_closed)(void *context), void *context);

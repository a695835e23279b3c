/* canary/cli/guard_decide.h — whether a command that failed may have put what is live there. Pure.
 *
 * Somebody else's good deployment must not be rolled back because a build failed that never went
 * live. So what is live has to have changed while the command ran, or be the one that the caller
 * believes to be bad; if he names one, only that. In doubt nothing is done. */
#pragma once
#include "canary/platform/deployment.h"
#include "proxy/base/err.h"

/* What was live at some moment. */
struct guard_look {
    bool is_known;    /* false: it could not be read */
    bool has_live;    /* something was */
    bool may_go_back; /* it is one that could be rolled back: of a service, its canary in use */
    struct platform_deployment live;
};

enum guard_cause {
    GUARD_CHANGED,   /* went live while the command ran */
    GUARD_EXPECTED,  /* is the one that was named */
    GUARD_UNCHANGED, /* was live before */
    GUARD_OTHER,     /* is not the one that was named */
    GUARD_NOTHING,   /* nothing is live that could be rolled back */
    GUARD_UNKNOWN,   /* what is live now cannot be read */
    GUARD_NOT_SEEN,  /* what was live before could not be read */
    GUARD_CAUSE_COUNT
};

/* `expected` as choice_is_expected takes it; NULL: none was named. */
enum guard_cause guard_decide(const struct guard_look *before, const struct guard_look *after,
                              const char *expected);
/* Is it a reason to roll back? */
bool guard_acts(enum guard_cause cause);
/* One word for programs: "changed", "expected", "unchanged", "other", …; static. */
const char *guard_cause_name(enum guard_cause cause);
/* For people: what was found, and so what is done or left. */
void guard_say_cause(enum guard_cause cause, const struct guard_look *before,
                     const struct guard_look *after, const char *expected, struct note *ret_note);

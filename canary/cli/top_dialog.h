/* canary/cli/top_dialog.h — what a key means in `serin top`: a move, a question, an order.
 *
 * Nothing is ordered by one key. The key of an action asks; a rollback asks for the reason first;
 * only `y` orders, and every other key leaves it. What was asked is about the service as it was
 * shown then, so the texts are copies. Pure; embedded, starts zeroed. */
#pragma once
#include <stdint.h>

#include "canary/cli/keys.h"

enum {
    TOP_NAME_SIZE = 256,
    TOP_REASON_SIZE = 201, /* with the end */
};

enum top_mode { TOP_LOOKING, TOP_HELP, TOP_REASON, TOP_CONFIRM };

enum top_action { TOP_PAUSE, TOP_RESUME, TOP_PROMOTE, TOP_ROLL_BACK, TOP_ACTION_COUNT };

/* The service that is chosen, when a key is pressed. */
struct top_subject {
    const char *service; /* NULL: there is none */
    const char *canary;  /* deployments */
    const char *stable;
    double weight_percent;
    int64_t revision;
};

struct top_dialog {
    enum top_mode mode;
    enum top_action action;
    char service[TOP_NAME_SIZE];
    char canary[TOP_NAME_SIZE];
    char stable[TOP_NAME_SIZE];
    double weight_percent;
    int64_t revision;
    char reason[TOP_REASON_SIZE];
};

enum top_wish {
    TOP_NOTHING,
    TOP_QUIT,
    TOP_REDRAW,
    TOP_ABOVE, /* the service above */
    TOP_BELOW,
    TOP_ORDER, /* the dialog says which action, for which service, why */
};

/* Takes a key; what else has to be done for it. */
enum top_wish top_dialog_key(struct top_dialog *dialog, struct key key,
                             const struct top_subject *subject);
/* As the API's path has it, below the service's. */
const char *top_action_path(enum top_action action);
/* "pause", ... */
const char *top_action_text(enum top_action action);

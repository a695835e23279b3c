/* canary/cli/top_view.h — what `serin top` shows, as lines of text.
 *
 * A frame is a head, a block for each service (the chosen one with its steps and its evidence), the
 * last rollbacks, and at the bottom a question or the keys. It has at most the rows and columns of
 * the look: where they are few, services that are not chosen shrink to a line, then what is far
 * from the chosen one is left out. Pure; any thread. */
#pragma once
#include "canary/cli/sheet.h"
#include "canary/cli/top_dialog.h"
#include "canary/cli/top_rates.h"

enum {
    TOP_COLUMNS_MIN = 24,
    TOP_COLUMNS_MAX = 160, /* more is not used */
    TOP_ROWS_MIN = 8,
};

/* Everything is borrowed; documents are the API's. */
struct top_scene {
    const char *admin;       /* where Serin answers */
    const char *clock;       /* the time as text */
    const json_t *status;    /* NULL: none was seen yet */
    const json_t *detail;    /* of the chosen service, or NULL */
    const json_t *rollbacks; /* NULL: none was seen yet */
    const struct top_rates *rates;
    const struct top_dialog *dialog;
    size_t chosen;       /* of the status' services */
    double age_s;        /* of the status; without one, since the start */
    const char *trouble; /* why nothing newer is there, or NULL */
    const char *message; /* what became of the last order, or NULL */
    bool is_message_bad;
    bool is_stale;
    bool has_keys; /* there is a keyboard */
    bool is_plain; /* no screen: all that there is, without a foot */
};

/* Appends a frame, each line ended by "\n". A failed append shows in the buf. */
void top_view_frame(const struct top_scene *scene, const struct sheet_look *look, struct buf *out);

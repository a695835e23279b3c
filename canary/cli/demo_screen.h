/* canary/cli/demo_screen.h — where the demo shows itself: a terminal that is drawn anew, or plain
 * lines.
 *
 * A terminal gets frames; anything else, TERM=dumb and a window of a few lines get lines. NO_COLOR
 * is respected, and without a UTF-8 locale bars are made of ASCII. Writes to standard output.
 * Embedded; one thread.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "canary/cli/demo_view.h"

struct demo_screen {
    bool is_live;   /* draws frames */
    bool is_silent; /* shows nothing */
    bool is_colour;
    bool is_unicode;
    bool has_written_all; /* false once nobody reads standard output */
    size_t drawn_lines;   /* of the frame that stands on the terminal */
    double line_at_s;     /* of the last plain line */
    struct buf out;
};

/* Looks at standard output and the environment. */
void demo_screen_init(struct demo_screen *screen, bool is_silent);
/* Shows how things stand now: the frame, or the line when a second has passed. */
void demo_screen_show(struct demo_screen *screen, const struct demo_scene *scene);
/* This just happened: a line of its own where there are no frames. */
void demo_screen_event(struct demo_screen *screen, const struct demo_event *event);
/* Text below everything shown so far; frames drawn later begin below it. */
void demo_screen_text(struct demo_screen *screen, struct bytes text);
/* Gives the terminal its cursor back. */
void demo_screen_finish(struct demo_screen *screen);

#include "canary/cli/demo_screen.h"

#include "canary/cli/terminal.h"

enum { OUT_MAX = 256 * 1024, COLUMNS_DEFAULT = 80, ROWS_DEFAULT = 24 };

static const double LINE_EVERY_S = 1.0;

static void flush(struct demo_screen *screen)
{
    screen->has_written_all = screen->has_written_all && terminal_write(buf_bytes(&screen->out));
    buf_clear(&screen->out);
}

static struct sheet_look look_of(const struct demo_screen *screen)
{
    unsigned columns = COLUMNS_DEFAULT;
    unsigned rows = ROWS_DEFAULT;
    (void)terminal_size(&columns, &rows);
    return (struct sheet_look){
        .columns = columns > DEMO_COLUMNS_MIN ? columns : DEMO_COLUMNS_MIN,
        .rows = rows,
        .is_colour = screen->is_colour,
        .is_unicode = screen->is_unicode,
    };
}

void demo_screen_init(struct demo_screen *screen, bool is_silent)
{
    *screen = (struct demo_screen){
        .is_live = !is_silent && terminal_is_capable(),
        .is_silent = is_silent,
        .is_colour = terminal_is_coloured(),
        .is_unicode = terminal_is_unicode(),
        .has_written_all = true,
    };
    buf_init(&screen->out, OUT_MAX);
    screen->is_live &= look_of(screen).rows >= DEMO_ROWS_MIN;
    if (screen->is_live) {
        (void)buf_append(&screen->out, BYTES("\033[?25l"));
        flush(screen);
    }
}

static void draw(struct demo_screen *screen, const struct demo_scene *scene)
{
    struct sheet_look look = look_of(screen);
    if (screen->drawn_lines > 0) {
        (void)buf_printf(&screen->out, "\033[%zuA", screen->drawn_lines);
    }
    /* What stood there is wiped first: lines may have become shorter, fewer, or have wrapped. */
    (void)buf_append(&screen->out, BYTES("\r\033[J"));
    demo_view_frame(scene, &look, &screen->out, &screen->drawn_lines);
    flush(screen);
}

void demo_screen_show(struct demo_screen *screen, const struct demo_scene *scene)
{
    if (screen->is_live) {
        draw(screen, scene);
        return;
    }
    if (screen->is_silent || scene->elapsed_s < screen->line_at_s + LINE_EVERY_S) {
        return;
    }
    screen->line_at_s = scene->elapsed_s;
    demo_view_line(scene, &screen->out);
    flush(screen);
}

void demo_screen_event(struct demo_screen *screen, const struct demo_event *event)
{
    if (screen->is_live || screen->is_silent) {
        return;
    }
    demo_view_event(event, &screen->out);
    flush(screen);
}

void demo_screen_text(struct demo_screen *screen, struct bytes text)
{
    (void)buf_append(&screen->out, text);
    flush(screen);
    screen->drawn_lines = 0;
}

void demo_screen_finish(struct demo_screen *screen)
{
    if (screen->is_live) {
        (void)buf_append(&screen->out, BYTES("\033[?25h"));
        flush(screen);
    }
    buf_finish(&screen->out);
}

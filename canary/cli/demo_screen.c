#include "canary/cli/demo_screen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { OUT_MAX = 256 * 1024, COLUMNS_DEFAULT = 80, ROWS_DEFAULT = 24 };

static const double LINE_EVERY_S = 1.0;

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0';
}

/* As setlocale would decide: the first of these that is set. */
static bool is_locale_unicode(void)
{
    static const char *const NAMES[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (is_set(NAMES[i])) {
            const char *value = getenv(NAMES[i]);
            return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
        }
    }
    return false;
}

static void flush(struct demo_screen *screen)
{
    struct bytes rest = buf_bytes(&screen->out);
    while (rest.size > 0 && screen->has_written_all) {
        ssize_t written = write(STDOUT_FILENO, rest.data, rest.size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        screen->has_written_all = written > 0;
        if (written > 0) {
            rest = bytes_slice(rest, (size_t)written, rest.size - (size_t)written);
        }
    }
    buf_clear(&screen->out);
}

static struct demo_look look_of(const struct demo_screen *screen)
{
    struct winsize size = {0};
    bool is_known =
        ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    unsigned columns = is_known ? size.ws_col : COLUMNS_DEFAULT;
    return (struct demo_look){
        .columns = columns > DEMO_COLUMNS_MIN ? columns : DEMO_COLUMNS_MIN,
        .rows = is_known ? size.ws_row : ROWS_DEFAULT,
        .is_colour = screen->is_colour,
        .is_unicode = screen->is_unicode,
    };
}

void demo_screen_init(struct demo_screen *screen, bool is_silent)
{
    bool is_capable = is_set("TERM") && strcmp(getenv("TERM"), "dumb") != 0;
    *screen = (struct demo_screen){
        .is_live = !is_silent && is_capable && isatty(STDOUT_FILENO) == 1,
        .is_silent = is_silent,
        .is_colour = !is_set("NO_COLOR"),
        .is_unicode = is_locale_unicode(),
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
    struct demo_look look = look_of(screen);
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

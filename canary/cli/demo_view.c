#include "canary/cli/demo_view.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/check.h"

enum {
    BAR_COLUMNS_MAX = 50,
    BAR_COLUMNS_MIN = 8,
    NUMBER_COLUMNS = 50, /* beside a bar */
    NUMBER_COLUMNS_NARROW = 36,
    SENTENCE_LINES_MAX = 3,
    EVENT_LINES_MAX = 4,
    EVENT_INDENT = 10, /* "  12.3 s  " */
};

static const char *const ROLE_WORDS[ROLE_COUNT] = {
    [ROLE_CURRENT] = "canary", [ROLE_PREVIOUS] = "stable"};

/* ---- events ---- */

void demo_events_add(struct demo_events *events, double at_s, bool is_bad, const char *format, ...)
{
    if (events->count == DEMO_EVENTS_MAX) {
        memmove(events->list, events->list + 1, sizeof events->list[0] * (DEMO_EVENTS_MAX - 1));
        events->count--;
    }
    struct demo_event *event = &events->list[events->count++];
    *event = (struct demo_event){.at_s = at_s, .is_bad = is_bad};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(event->text.text, sizeof event->text.text, format, arguments);
    va_end(arguments);
}

/* ---- the parts of a frame ---- */

static void head(const struct demo_scene *scene, struct sheet *sheet)
{
    sheet_put(sheet, INK_BOLD, "serin demo");
    sheet_put(sheet, INK_PLAIN, "  %5.1f s  ", scene->elapsed_s);
    sheet_put(sheet, INK_BOLD, "%s", scene->seen.phase);
    sheet_put(sheet, INK_DIM, "  %s", scene->url);
    sheet_end(sheet);
}

static void version(const struct demo_scene *scene, enum role role, struct sheet *sheet)
{
    const struct demo_version_seen *seen = &scene->seen.versions[role];
    const struct demo_rate *rate = &scene->rates[role];
    double canary = scene->seen.weight_percent;
    double percent = role == ROLE_CURRENT ? canary : 100.0 - canary;
    bool is_failing = rate->failures_per_s > 0.0;
    bool is_wide = sheet->columns_left >= NUMBER_COLUMNS + BAR_COLUMNS_MIN;
    unsigned taken = is_wide ? NUMBER_COLUMNS : NUMBER_COLUMNS_NARROW;
    unsigned width = sheet->columns_left > taken ? sheet->columns_left - taken : 0;
    width = width < BAR_COLUMNS_MAX ? width : BAR_COLUMNS_MAX;
    enum sheet_ink calm = role == ROLE_CURRENT ? INK_YELLOW : INK_GREEN;
    sheet_put(sheet, INK_PLAIN, "%-4s ", seen->deployment);
    sheet_put(sheet, INK_DIM, "%s ", ROLE_WORDS[role]);
    if (width >= BAR_COLUMNS_MIN) {
        sheet_bar(sheet, is_failing ? INK_RED : calm, percent, width);
    }
    sheet_put(sheet, INK_BOLD, " %5.4g %%", percent);
    sheet_put(sheet, INK_PLAIN, is_wide ? "  %5.0f requests/s" : " %4.0f/s", rate->requests_per_s);
    sheet_put(sheet, is_failing ? INK_RED : INK_PLAIN, is_wide ? "  %3.0f 5xx/s" : " %3.0f 5xx",
              rate->failures_per_s);
    sheet_end(sheet);
}

static void verdict(const struct demo_scene *scene, struct sheet *sheet)
{
    const struct demo_seen *seen = &scene->seen;
    sheet_put(sheet, INK_DIM, "verdict ");
    sheet_put(sheet, sheet_verdict_ink(seen->verdict), "%s", seen->verdict);
    if (seen->reason[0] != '\0') {
        sheet_put(sheet, INK_PLAIN, " (%s)", seen->reason);
    }
    sheet_end(sheet);
    sheet_put(sheet, INK_PLAIN, "        ");
    sheet_words(sheet, INK_PLAIN, seen->sentence, 8, SENTENCE_LINES_MAX);
}

static void clients(const struct demo_scene *scene, struct sheet *sheet)
{
    sheet_put(sheet, INK_DIM, "clients ");
    sheet_put(sheet, INK_PLAIN, "%llu answers, ", (unsigned long long)scene->clients.answered);
    sheet_put(sheet, scene->clients.bad > 0 ? INK_RED : INK_PLAIN, "%llu bad",
              (unsigned long long)scene->clients.bad);
    sheet_end(sheet);
}

/* The latest for which there is room. */
static void events(const struct demo_events *list, struct sheet *sheet)
{
    size_t room =
        sheet->look.rows > sheet->line_count + 1 ? sheet->look.rows - sheet->line_count - 1 : 0;
    size_t first = list->count;
    while (first > 0) {
        size_t lines = sheet_words_lines(list->list[first - 1].text.text,
                                         sheet_room(sheet, EVENT_INDENT), EVENT_LINES_MAX);
        if (lines > room) {
            break;
        }
        room -= lines;
        first--;
    }
    for (size_t i = first; i < list->count; i++) {
        const struct demo_event *event = &list->list[i];
        sheet_put(sheet, INK_DIM, "%6.1f s  ", event->at_s);
        sheet_words(sheet, event->is_bad ? INK_RED : INK_PLAIN, event->text.text, EVENT_INDENT,
                    EVENT_LINES_MAX);
    }
}

void demo_view_frame(const struct demo_scene *scene, const struct sheet_look *look, struct buf *out,
                     size_t *ret_line_count)
{
    struct sheet sheet;
    sheet_init(&sheet, look, DEMO_COLUMNS_MAX, out);
    head(scene, &sheet);
    sheet_blank(&sheet);
    version(scene, ROLE_PREVIOUS, &sheet);
    version(scene, ROLE_CURRENT, &sheet);
    sheet_blank(&sheet);
    verdict(scene, &sheet);
    clients(scene, &sheet);
    sheet_blank(&sheet);
    events(&scene->events, &sheet);
    *ret_line_count = sheet.line_count;
}

/* ---- plain lines ---- */

void demo_view_line(const struct demo_scene *scene, struct buf *out)
{
    const struct demo_seen *seen = &scene->seen;
    (void)buf_printf(out, "%6.1f s  %s", scene->elapsed_s, seen->phase);
    static const enum role ORDER[] = {ROLE_PREVIOUS, ROLE_CURRENT};
    for (size_t i = 0; i < COUNT_OF(ORDER); i++) {
        const struct demo_rate *rate = &scene->rates[ORDER[i]];
        double canary = seen->weight_percent;
        (void)buf_printf(out, " | %s %.4g %%, %.0f requests/s, %.0f 5xx/s",
                         seen->versions[ORDER[i]].deployment,
                         ORDER[i] == ROLE_CURRENT ? canary : 100.0 - canary, rate->requests_per_s,
                         rate->failures_per_s);
    }
    (void)buf_printf(out, " | %s", seen->verdict);
    if (seen->reason[0] != '\0') {
        (void)buf_printf(out, " (%s)", seen->reason);
    }
    (void)buf_printf(out, " | clients: %llu bad\n", (unsigned long long)scene->clients.bad);
}

void demo_view_event(const struct demo_event *event, struct buf *out)
{
    (void)buf_printf(out, "%6.1f s  %s%s\n", event->at_s, event->is_bad ? "! " : "* ",
                     event->text.text);
}

#include "canary/cli/demo_view.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proxy/base/check.h"

enum {
    LINE_SIZE = 1024,
    BAR_COLUMNS_MAX = 50,
    BAR_COLUMNS_MIN = 8,
    NUMBER_COLUMNS = 50, /* beside a bar */
    NUMBER_COLUMNS_NARROW = 36,
    SENTENCE_LINES_MAX = 3,
    EVENT_LINES_MAX = 4,
    EVENT_INDENT = 10, /* "  12.3 s  " */
};

enum ink { INK_PLAIN, INK_BOLD, INK_DIM, INK_GREEN, INK_YELLOW, INK_RED, INK_COUNT };

static const char *const INK_CODES[INK_COUNT] = {
    "", "\033[1m", "\033[2m", "\033[32m", "\033[33m", "\033[31m",
};

/* One line of a frame as it grows. */
struct line {
    const struct demo_look *look;
    struct buf *out;
    unsigned columns_left;
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

/* ---- a line that is never too wide ---- */

static struct line line_begin(const struct demo_look *look, struct buf *out)
{
    unsigned columns = look->columns < DEMO_COLUMNS_MAX ? look->columns : DEMO_COLUMNS_MAX;
    return (struct line){look, out, columns};
}

/* Bytes of the text that fill at most `columns`; a byte that continues a character has no width. */
static size_t cut_at(const char *text, unsigned columns, unsigned *ret_used)
{
    size_t size = 0;
    unsigned used = 0;
    for (; text[size] != '\0'; size++) {
        bool is_start = ((unsigned char)text[size] & 0xC0) != 0x80;
        if (is_start && used == columns) {
            break;
        }
        used += is_start;
    }
    *ret_used = used;
    return size;
}

static void put(struct line *line, enum ink ink, const char *format, ...) PRINTF_LIKE(3, 4);

static void put(struct line *line, enum ink ink, const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    unsigned used = 0;
    size_t size = cut_at(text, line->columns_left, &used);
    bool is_inked = line->look->is_colour && ink != INK_PLAIN;
    (void)buf_append(line->out, bytes_of(is_inked ? INK_CODES[ink] : ""));
    (void)buf_append(line->out, bytes_make(text, size));
    (void)buf_append(line->out, bytes_of(is_inked ? "\033[0m" : ""));
    line->columns_left -= used;
}

static void end(struct line *line, size_t *line_count)
{
    (void)buf_append_byte(line->out, '\n');
    (*line_count)++;
}

/* Takes as many words off the text as fit, or a piece of a word that never would. */
static struct bytes take_words(const char **rest, unsigned columns)
{
    unsigned used = 0;
    size_t size = cut_at(*rest, columns, &used);
    struct bytes piece = bytes_make(*rest, size);
    if ((*rest)[size] != '\0' && (*rest)[size] != ' ') {
        size_t space = size;
        while (space > 0 && (*rest)[space - 1] != ' ') {
            space--;
        }
        piece.size = space > 0 ? space : size;
    }
    *rest += piece.size;
    while (**rest == ' ') {
        (*rest)++;
    }
    return bytes_trim(piece);
}

static unsigned text_columns(const struct demo_look *look, unsigned indent)
{
    unsigned columns = look->columns < DEMO_COLUMNS_MAX ? look->columns : DEMO_COLUMNS_MAX;
    return columns > indent ? columns - indent : 1;
}

static size_t count_lines(const char *text, const struct demo_look *look, unsigned indent)
{
    size_t count = 0;
    do {
        (void)take_words(&text, text_columns(look, indent));
        count++;
    } while (*text != '\0' && count < EVENT_LINES_MAX);
    return count;
}

/* Goes on in `line`, and below it with the indent, for at most `lines_max` lines; ends the last. */
static void put_words(struct line *line, enum ink ink, const char *text, unsigned indent,
                      size_t lines_max, size_t *line_count)
{
    size_t count = 1;
    struct bytes piece = take_words(&text, line->columns_left);
    put(line, ink, "%.*s", BYTES_ARGS(piece));
    end(line, line_count);
    while (*text != '\0' && count++ < lines_max) {
        *line = line_begin(line->look, line->out);
        put(line, INK_PLAIN, "%*s", (int)indent, "");
        piece = take_words(&text, line->columns_left);
        put(line, ink, "%.*s", BYTES_ARGS(piece));
        end(line, line_count);
    }
}

/* ---- the parts of a frame ---- */

static void head(const struct demo_scene *scene, const struct demo_look *look, struct buf *out,
                 size_t *line_count)
{
    struct line line = line_begin(look, out);
    put(&line, INK_BOLD, "serin demo");
    put(&line, INK_PLAIN, "  %5.1f s  ", scene->elapsed_s);
    put(&line, INK_BOLD, "%s", scene->seen.phase);
    put(&line, INK_DIM, "  %s", scene->url);
    end(&line, line_count);
}

static void fill(struct line *line, enum ink ink, const char *piece, unsigned count)
{
    char text[LINE_SIZE] = "";
    size_t size = strlen(piece);
    CHECK(count * size < sizeof text);
    for (unsigned i = 0; i < count; i++) {
        memcpy(text + i * size, piece, size + 1);
    }
    put(line, ink, "%s", text);
}

static void bar(struct line *line, enum ink ink, double percent, unsigned width)
{
    unsigned filled = (unsigned)lround(fmin(fmax(percent, 0.0), 100.0) / 100.0 * width);
    if (percent > 0.0 && filled == 0) {
        filled = 1;
    }
    bool is_unicode = line->look->is_unicode;
    fill(line, ink, is_unicode ? "█" : "#", filled);
    fill(line, INK_DIM, is_unicode ? "░" : ".", width - filled);
}

static void version(const struct demo_scene *scene, enum role role, const struct demo_look *look,
                    struct buf *out, size_t *line_count)
{
    const struct demo_version_seen *seen = &scene->seen.versions[role];
    const struct demo_rate *rate = &scene->rates[role];
    double canary = scene->seen.weight_percent;
    double percent = role == ROLE_CURRENT ? canary : 100.0 - canary;
    bool is_failing = rate->failures_per_s > 0.0;
    struct line line = line_begin(look, out);
    bool is_wide = line.columns_left >= NUMBER_COLUMNS + BAR_COLUMNS_MIN;
    unsigned taken = is_wide ? NUMBER_COLUMNS : NUMBER_COLUMNS_NARROW;
    unsigned width = line.columns_left > taken ? line.columns_left - taken : 0;
    width = width < BAR_COLUMNS_MAX ? width : BAR_COLUMNS_MAX;
    enum ink calm = role == ROLE_CURRENT ? INK_YELLOW : INK_GREEN;
    put(&line, INK_PLAIN, "%-4s ", seen->deployment);
    put(&line, INK_DIM, "%s ", ROLE_WORDS[role]);
    if (width >= BAR_COLUMNS_MIN) {
        bar(&line, is_failing ? INK_RED : calm, percent, width);
    }
    put(&line, INK_BOLD, " %5.4g %%", percent);
    put(&line, INK_PLAIN, is_wide ? "  %5.0f requests/s" : " %4.0f/s", rate->requests_per_s);
    put(&line, is_failing ? INK_RED : INK_PLAIN, is_wide ? "  %3.0f 5xx/s" : " %3.0f 5xx",
        rate->failures_per_s);
    end(&line, line_count);
}

static enum ink verdict_ink(const char *verdict)
{
    if (strcmp(verdict, "breach") == 0) {
        return INK_RED;
    }
    if (strcmp(verdict, "suspicious") == 0) {
        return INK_YELLOW;
    }
    bool is_good = strcmp(verdict, "ok") == 0 || strcmp(verdict, "healthy") == 0;
    return is_good ? INK_GREEN : INK_PLAIN;
}

static void blank(const struct demo_look *look, struct buf *out, size_t *line_count)
{
    struct line line = line_begin(look, out);
    end(&line, line_count);
}

static void verdict(const struct demo_scene *scene, const struct demo_look *look, struct buf *out,
                    size_t *line_count)
{
    const struct demo_seen *seen = &scene->seen;
    struct line line = line_begin(look, out);
    put(&line, INK_DIM, "verdict ");
    put(&line, verdict_ink(seen->verdict), "%s", seen->verdict);
    if (seen->reason[0] != '\0') {
        put(&line, INK_PLAIN, " (%s)", seen->reason);
    }
    end(&line, line_count);
    line = line_begin(look, out);
    put(&line, INK_PLAIN, "        ");
    put_words(&line, INK_PLAIN, seen->sentence, 8, SENTENCE_LINES_MAX, line_count);
}

static void clients(const struct demo_scene *scene, const struct demo_look *look, struct buf *out,
                    size_t *line_count)
{
    struct line line = line_begin(look, out);
    put(&line, INK_DIM, "clients ");
    put(&line, INK_PLAIN, "%llu answers, ", (unsigned long long)scene->clients.answered);
    put(&line, scene->clients.bad > 0 ? INK_RED : INK_PLAIN, "%llu bad",
        (unsigned long long)scene->clients.bad);
    end(&line, line_count);
}

/* The latest for which there is room. */
static void events(const struct demo_events *list, const struct demo_look *look, struct buf *out,
                   size_t *line_count)
{
    size_t room = look->rows > *line_count + 1 ? look->rows - *line_count - 1 : 0;
    size_t first = list->count;
    while (first > 0) {
        size_t lines = count_lines(list->list[first - 1].text.text, look, EVENT_INDENT);
        if (lines > room) {
            break;
        }
        room -= lines;
        first--;
    }
    for (size_t i = first; i < list->count; i++) {
        const struct demo_event *event = &list->list[i];
        struct line line = line_begin(look, out);
        put(&line, INK_DIM, "%6.1f s  ", event->at_s);
        put_words(&line, event->is_bad ? INK_RED : INK_PLAIN, event->text.text, EVENT_INDENT,
                  EVENT_LINES_MAX, line_count);
    }
}

void demo_view_frame(const struct demo_scene *scene, const struct demo_look *look, struct buf *out,
                     size_t *ret_line_count)
{
    size_t line_count = 0;
    head(scene, look, out, &line_count);
    blank(look, out, &line_count);
    version(scene, ROLE_PREVIOUS, look, out, &line_count);
    version(scene, ROLE_CURRENT, look, out, &line_count);
    blank(look, out, &line_count);
    verdict(scene, look, out, &line_count);
    clients(scene, look, out, &line_count);
    blank(look, out, &line_count);
    events(&scene->events, look, out, &line_count);
    *ret_line_count = line_count;
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

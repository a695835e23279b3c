#include "canary/incident/chart.h"

#include <stdio.h>

#include "canary/incident/escape.h"
#include "proxy/base/clock.h"

enum {
    WIDTH = 860,
    HEIGHT = 320,
    LEFT = 56,
    RIGHT = 20,
    TOP = 54,
    BOTTOM = 46,
    TIME_AT = 11, /* where the time of day stands in a text of a clock */
    TIME_SIZE = 8,
    PERCENT = 100
};

struct frame {
    int64_t from_ms, to_ms;
};

static double x_of(const struct frame *frame, int64_t at_ms)
{
    double span = (double)(frame->to_ms - frame->from_ms);
    double part = span > 0 ? (double)(at_ms - frame->from_ms) / span : 0.0;
    return LEFT + part * (WIDTH - LEFT - RIGHT);
}

/* `ratio` from 0 to 1. */
static double y_of(double ratio)
{
    return TOP + (1.0 - ratio) * (HEIGHT - TOP - BOTTOM);
}

static void open_document(const struct chart *chart, struct buf *out)
{
    (void)buf_printf(out,
                     "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                     "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                     "viewBox=\"0 0 %d %d\" role=\"img\" font-family=\"sans-serif\" "
                     "font-size=\"12\">\n<title>",
                     WIDTH, HEIGHT, WIDTH, HEIGHT);
    escape_xml(out, chart->title);
    (void)buf_printf(out,
                     "</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n"
                     "<text x=\"%d\" y=\"20\" font-size=\"14\" fill=\"#222222\">",
                     WIDTH, HEIGHT, LEFT);
    escape_xml(out, chart->title);
    (void)buf_append(out, BYTES("</text>\n"));
}

static void draw_text(struct buf *out, double x, double y, const char *anchor, const char *colour,
                      struct bytes text)
{
    (void)buf_printf(out,
                     "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"%s\">%.*s</text>\n", x,
                     y, anchor, colour, BYTES_ARGS(text));
}

static void draw_line(struct buf *out, double x1, double y1, double x2, double y2,
                      const char *style)
{
    (void)buf_printf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1,
                     x2, y2, style);
}

static void draw_grid(const struct frame *frame, struct buf *out)
{
    for (int percent = 0; percent <= PERCENT; percent += PERCENT / 4) {
        char label[8];
        double y = y_of(percent / (double)PERCENT);
        (void)snprintf(label, sizeof label, "%d%%", percent);
        draw_line(out, LEFT, y, WIDTH - RIGHT, y, "stroke=\"#e2e2e2\"");
        draw_text(out, LEFT - 6, y + 4, "end", "#555555", bytes_of(label));
    }
    for (int part = 0; part <= 4; part++) {
        char time[CLOCK_TEXT_SIZE];
        int64_t at_ms = frame->from_ms + (frame->to_ms - frame->from_ms) * part / 4;
        clock_format(at_ms * 1000, time);
        draw_text(out, x_of(frame, at_ms), HEIGHT - BOTTOM + 18,
                  part == 0   ? "start"
                  : part == 4 ? "end"
                              : "middle",
                  "#555555", bytes_make(time + TIME_AT, TIME_SIZE));
    }
}

static void draw_mark(const struct frame *frame, int64_t at_ms, const char *name, double y,
                      struct buf *out)
{
    if (at_ms < frame->from_ms || at_ms > frame->to_ms || at_ms == 0) {
        return;
    }
    double x = x_of(frame, at_ms);
    draw_line(out, x, TOP, x, HEIGHT - BOTTOM, "stroke=\"#888888\" stroke-dasharray=\"4 3\"");
    draw_text(out, x + 4, y, "start", "#555555", bytes_of(name));
}

/* The weight holds until the next point: a staircase. */
static void draw_weight(const struct chart *chart, const struct frame *frame, struct buf *out)
{
    (void)buf_append(out, BYTES("<polyline fill=\"none\" stroke=\"#3366cc\" stroke-width=\"2\" "
                                "points=\""));
    for (size_t i = 0; i < chart->point_count; i++) {
        const struct chart_point *point = &chart->points[i];
        int64_t from_ms = i > 0 ? chart->points[i - 1].wall_ms : frame->from_ms;
        double y = y_of((double)point->weight_ppm / 1e6);
        (void)buf_printf(out, "%.1f,%.1f %.1f,%.1f ", x_of(frame, from_ms), y,
                         x_of(frame, point->wall_ms), y);
    }
    (void)buf_append(out, BYTES("\"/>\n"));
}

static void draw_ratio(const struct chart *chart, const struct frame *frame, bool is_canary,
                       struct buf *out)
{
    (void)buf_printf(out, "<g fill=\"%s\">\n", is_canary ? "#cc3333" : "#339966");
    for (size_t i = 0; i < chart->point_count; i++) {
        const struct chart_point *point = &chart->points[i];
        uint64_t count = is_canary ? point->canary_count : point->stable_count;
        uint64_t failed = is_canary ? point->canary_failed : point->stable_failed;
        if (count > 0) {
            (void)buf_printf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"/>\n",
                             x_of(frame, point->wall_ms), y_of((double)failed / (double)count),
                             is_canary ? "3" : "2");
        }
    }
    (void)buf_append(out, BYTES("</g>\n"));
}

static void draw_legend(struct buf *out)
{
    static const struct {
        const char *colour;
        const char *text;
    } entries[] = {
        {"#3366cc", "weight of the canary"},
        {"#cc3333", "canary: failed of its answers"},
        {"#339966", "stable: failed of its answers"},
    };
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        double x = LEFT + (double)i * 230;
        (void)buf_printf(out,
                         "<rect x=\"%.1f\" y=\"30\" width=\"10\" height=\"10\" fill=\"%s\"/>\n", x,
                         entries[i].colour);
        draw_text(out, x + 16, 39, "start", "#333333", bytes_of(entries[i].text));
    }
}

void chart_draw(const struct chart *chart, struct buf *out)
{
    open_document(chart, out);
    if (chart->point_count == 0) {
        draw_text(out, WIDTH / 2.0, HEIGHT / 2.0, "middle", "#555555",
                  BYTES("There is no flight recording of this rollback."));
    } else {
        struct frame frame = {chart->points[0].wall_ms,
                              chart->points[chart->point_count - 1].wall_ms};
        draw_grid(&frame, out);
        draw_legend(out);
        draw_mark(&frame, chart->first_bad_ms, "first failure", TOP + 12, out);
        draw_mark(&frame, chart->decided_ms, "decision", TOP + 28, out);
        draw_weight(chart, &frame, out);
        draw_ratio(chart, &frame, false, out);
        draw_ratio(chart, &frame, true, out);
    }
    (void)buf_append(out, BYTES("</svg>\n"));
}

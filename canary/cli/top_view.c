#include "canary/cli/top_view.h"

#include <stdio.h>
#include <string.h>

#include "canary/cli/figure.h"
#include "canary/cli/top_foot.h"
#include "canary/cli/top_service.h"
#include "proxy/base/check.h"

enum {
    BODY_MAX = 4 * 1024 * 1024,
    CONDITIONS_MAX = 4,
    ROLLBACKS_MAX = 5,
    TIME_COLUMNS = 21,
    SERVICE_COLUMNS = 16,
    DEPLOYMENT_COLUMNS = 18,
    DURATION_COLUMNS = 11,
    STATUS_COLUMNS = 15,
    REASON_COLUMNS_MIN = 30,
    REASON_INDENT = 4,
};

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "-";
}

/* ---- head ---- */

static void head(const struct top_scene *scene, struct sheet *sheet)
{
    const json_t *process = json_object_get(scene->status, "process");
    sheet_put(sheet, INK_BOLD, "serin top");
    if (scene->status != NULL && scene->is_stale) {
        sheet_put(sheet, INK_RED, "  STALE: seen %.0f s ago", scene->age_s);
    } else if (scene->status != NULL) {
        sheet_put(sheet, INK_GREEN, "  live");
    }
    sheet_put(sheet, INK_PLAIN, "  %s", scene->clock);
    sheet_put(sheet, INK_DIM, "  %s", scene->admin);
    if (process != NULL) {
        bool is_draining = json_is_true(json_object_get(process, "draining"));
        bool is_ready = json_is_true(json_object_get(process, "ready"));
        sheet_put(sheet, is_ready ? INK_DIM : INK_YELLOW, "  %s",
                  is_draining ? "draining"
                  : is_ready  ? "ready"
                              : "not ready");
        sheet_put(sheet, INK_DIM, ", %s, %lld connections", text_of(process, "version"),
                  (long long)json_integer_value(json_object_get(process, "client_connections")));
    }
    sheet_end(sheet);
    if (scene->trouble != NULL) {
        sheet_words(sheet, INK_RED, scene->trouble, 0, 2);
    }
}

static void conditions(const struct top_scene *scene, struct sheet *sheet)
{
    const json_t *list = json_object_get(scene->status, "conditions");
    size_t count = json_array_size(list);
    for (size_t i = 0; i < count && i < CONDITIONS_MAX; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        sheet_put(sheet, INK_YELLOW, "condition: ");
        sheet_words(sheet, INK_YELLOW, text != NULL ? text : "-", 11, 2);
    }
    if (count > CONDITIONS_MAX) {
        sheet_put(sheet, INK_YELLOW, "%zu more conditions", count - CONDITIONS_MAX);
        sheet_end(sheet);
    }
}

/* ---- services ---- */

/* Lines of the body, and which of them are the chosen service's. */
struct body {
    struct buf text;
    size_t line_count;
    size_t first;
    size_t end;
};

static void draw_services(const struct top_scene *scene, const struct sheet_look *look,
                          bool is_short, struct body *body)
{
    struct sheet sheet;
    size_t index;
    const json_t *service;
    const json_t *services = json_object_get(scene->status, "services");
    buf_clear(&body->text);
    sheet_init(&sheet, look, TOP_COLUMNS_MAX, &body->text);
    for (index = 0; index < json_array_size(services); index++) {
        service = json_array_get(services, index);
        bool is_chosen = index == scene->chosen;
        struct top_block block = {service, is_chosen ? scene->detail : NULL, scene->rates,
                                  is_chosen && !scene->is_plain};
        size_t first = sheet.line_count;
        if (is_short && !is_chosen) {
            top_service_line(&block, &sheet);
        } else {
            sheet_blank(&sheet);
            top_service_block(&block, &sheet);
        }
        body->first = is_chosen ? first : body->first;
        body->end = is_chosen ? sheet.line_count : body->end;
    }
    body->line_count = sheet.line_count;
}

/* Appends the lines from `first` to before `end`. */
static void copy_lines(struct bytes text, size_t first, size_t end, struct buf *out)
{
    struct bytes rest = text;
    struct bytes line;
    for (size_t i = 0; i < end && rest.size > 0; i++) {
        size_t cut = bytes_find(rest, '\n');
        line = bytes_slice(rest, 0, cut < rest.size ? cut + 1 : cut);
        rest = bytes_slice(rest, line.size, rest.size - line.size);
        if (i >= first) {
            (void)buf_append(out, line);
        }
    }
}

/* What fits of them around the chosen service, with a word about what does not. */
static void services(const struct top_scene *scene, size_t room, struct sheet *sheet)
{
    struct body body = {.line_count = 0};
    buf_init(&body.text, BODY_MAX);
    draw_services(scene, &sheet->look, false, &body);
    if (body.line_count > room) {
        draw_services(scene, &sheet->look, true, &body);
    }
    size_t first = 0;
    size_t end = body.line_count;
    if (end > room) {
        size_t spare = room > body.end - body.first ? room - (body.end - body.first) : 0;
        first = body.first > spare / 2 ? body.first - spare / 2 : 0;
        first = first + room > end ? end - room : first;
        end = first + room;
    }
    copy_lines(buf_bytes(&body.text), first, end, sheet->out);
    sheet->line_count += end - first;
    sheet->out->is_failed |= body.text.is_failed;
    buf_finish(&body.text);
}

/* ---- rollbacks ---- */

/* In a row of its own, where the line has no room for it. */
static bool is_reason_apart(const struct sheet *sheet)
{
    enum { OTHERS = TIME_COLUMNS + SERVICE_COLUMNS + DEPLOYMENT_COLUMNS + DURATION_COLUMNS };
    return sheet->columns < (unsigned)OTHERS + STATUS_COLUMNS + REASON_COLUMNS_MIN;
}

/* Columns for the deployment, where the time, it and the status are all that there is room for. */
static unsigned short_deployment_columns(const struct sheet *sheet)
{
    enum { OTHERS = TIME_COLUMNS + 1 };
    unsigned room = sheet_room(sheet, OTHERS + (STATUS_COLUMNS - 4));
    return room < DEPLOYMENT_COLUMNS - 1 ? room : DEPLOYMENT_COLUMNS - 1;
}

static bool has_all_columns(const struct sheet *sheet)
{
    enum { ALL = TIME_COLUMNS + SERVICE_COLUMNS + DEPLOYMENT_COLUMNS + DURATION_COLUMNS };
    return sheet->columns >= (unsigned)ALL + STATUS_COLUMNS - 4;
}

static void rollback(const json_t *record, struct sheet *sheet)
{
    char at[FIGURE_SIZE];
    char duration[FIGURE_SIZE];
    char status[FIGURE_LABEL_SIZE];
    const char *trigger = figure_trigger(text_of(record, "trigger"));
    const char *service = text_of(record, "service");
    const char *deployment = text_of(record, "deployment");
    bool is_bad = strcmp(text_of(record, "status"), "failed") == 0;
    bool is_apart = is_reason_apart(sheet);
    sheet_column(sheet, INK_PLAIN, figure_time(text_of(record, "timestamp"), at), TIME_COLUMNS);
    if (has_all_columns(sheet)) {
        sheet_column(sheet, INK_PLAIN, service, SERVICE_COLUMNS - 1);
        sheet_put(sheet, INK_PLAIN, " ");
        sheet_column(sheet, INK_PLAIN, deployment, DEPLOYMENT_COLUMNS - 1);
        sheet_put(sheet, INK_PLAIN, " ");
        sheet_column(sheet, INK_PLAIN,
                     figure_seconds(json_object_get(record, "duration_s"), duration),
                     DURATION_COLUMNS);
    } else {
        sheet_column(sheet, INK_PLAIN, deployment, short_deployment_columns(sheet));
        sheet_put(sheet, INK_PLAIN, " ");
    }
    sheet_column(sheet, is_bad ? INK_RED : INK_PLAIN,
                 figure_label(text_of(record, "status"), status), STATUS_COLUMNS);
    if (is_apart) {
        sheet_end(sheet);
        sheet_put(sheet, INK_PLAIN, "%*s", REASON_INDENT, "");
    }
    sheet_put(sheet, INK_PLAIN, "%s: %s", trigger, text_of(record, "reason"));
    sheet_end(sheet);
}

static void rollbacks_heading(struct sheet *sheet)
{
    sheet_blank(sheet);
    sheet_column(sheet, INK_DIM, "last rollbacks (UTC)", TIME_COLUMNS);
    if (has_all_columns(sheet)) {
        sheet_column(sheet, INK_DIM, "service", SERVICE_COLUMNS);
        sheet_column(sheet, INK_DIM, "deployment", DEPLOYMENT_COLUMNS);
        sheet_column(sheet, INK_DIM, "duration", DURATION_COLUMNS);
    } else {
        sheet_column(sheet, INK_DIM, "deployment", short_deployment_columns(sheet) + 1);
    }
    sheet_column(sheet, INK_DIM, "status", STATUS_COLUMNS);
    sheet_put(sheet, INK_DIM, "%s", is_reason_apart(sheet) ? "" : "reason");
    sheet_end(sheet);
}

static void rollbacks(const struct top_scene *scene, size_t room, struct sheet *sheet)
{
    enum { HEADING_LINES = 2 };
    const json_t *list = json_object_get(scene->rollbacks, "rollbacks");
    size_t lines = is_reason_apart(sheet) ? 2 : 1;
    size_t fitting = room > HEADING_LINES ? (room - HEADING_LINES) / lines : 0;
    size_t count = json_array_size(list);
    count = count < ROLLBACKS_MAX ? count : ROLLBACKS_MAX;
    count = count < fitting ? count : fitting;
    if (count == 0) {
        return;
    }
    rollbacks_heading(sheet);
    for (size_t i = 0; i < count; i++) {
        rollback(json_array_get(list, i), sheet);
    }
}

/* ---- a frame ---- */

static size_t left_of(size_t rows, size_t taken)
{
    return rows > taken ? rows - taken : 0;
}

void top_view_frame(const struct top_scene *scene, const struct sheet_look *look, struct buf *out)
{
    struct sheet sheet;
    sheet_init(&sheet, look, TOP_COLUMNS_MAX, out);
    if (!scene->is_plain && (look->columns < TOP_COLUMNS_MIN || look->rows < TOP_ROWS_MIN)) {
        sheet_put(&sheet, INK_YELLOW, "the window is too small");
        sheet_end(&sheet);
        return;
    }
    size_t foot = scene->is_plain ? 0 : top_foot_lines(scene, &sheet);
    size_t rows = scene->is_plain ? SIZE_MAX : left_of(look->rows, foot);
    head(scene, &sheet);
    if (scene->dialog->mode == TOP_HELP) {
        top_foot_help(&sheet, rows);
    } else {
        conditions(scene, &sheet);
        services(scene, left_of(rows, sheet.line_count), &sheet);
        rollbacks(scene, left_of(rows, sheet.line_count), &sheet);
    }
    while (!scene->is_plain && sheet.line_count < rows) {
        sheet_blank(&sheet);
    }
    if (!scene->is_plain) {
        top_foot(scene, &sheet);
    }
}

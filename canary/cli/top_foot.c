#include "canary/cli/top_foot.h"

#include <stdio.h>
#include <string.h>

#include "proxy/base/check.h"

enum { QUESTION_SIZE = 2048, QUESTION_LINES_MAX = 4 };

/* ---- questions ---- */

/* What will happen, before it does. */
static void say_question(const struct top_dialog *dialog, char text[QUESTION_SIZE])
{
    const char *service = dialog->service;
    const char *canary = dialog->canary;
    double weight = dialog->weight_percent;
    switch (dialog->action) {
    case TOP_PAUSE:
        (void)snprintf(text, QUESTION_SIZE,
                       "Pause %s? %s stays at %.6g %% and takes no step until it is resumed.",
                       service, canary, weight);
        return;
    case TOP_RESUME:
        (void)snprintf(text, QUESTION_SIZE, "Resume %s? The rollout of %s goes on from %.6g %%.",
                       service, canary, weight);
        return;
    case TOP_PROMOTE:
        (void)snprintf(
            text, QUESTION_SIZE,
            "Promote %s? %s leaves %.6g %% for its next step now, without waiting for evidence.",
            service, canary, weight);
        return;
    case TOP_ROLL_BACK:
        (void)snprintf(text, QUESTION_SIZE,
                       "Roll back %s? %s loses its %.6g %% of the traffic, %s gets all of it, and "
                       "%s is quarantined. Reason: %s",
                       service, canary, weight, dialog->stable, canary, dialog->reason);
        return;
    case TOP_ACTION_COUNT:
        break;
    }
    text[0] = '\0';
}

/* The end of a text that is too wide, from a character's start. */
static const char *end_of(const char *text, unsigned columns)
{
    while (sheet_width(text) > columns) {
        do {
            text++;
        } while (((unsigned char)*text & 0xC0) == 0x80);
    }
    return text;
}

static void reason_line(const struct top_scene *scene, struct sheet *sheet)
{
    sheet_put(sheet, INK_BOLD, "Roll back ");
    sheet_column(sheet, INK_BOLD, scene->dialog->service,
                 sheet_width(scene->dialog->service) < sheet->columns / 4
                     ? sheet_width(scene->dialog->service)
                     : sheet->columns / 4);
    sheet_put(sheet, INK_BOLD, ": why? ");
    unsigned room = sheet->columns_left > 1 ? sheet->columns_left - 1 : 0;
    sheet_put(sheet, INK_PLAIN, "%s%s", end_of(scene->dialog->reason, room),
              sheet->look.is_unicode ? "▏" : "_");
    sheet_end(sheet);
}

/* ---- the foot ---- */

static const char *keys_text(const struct top_scene *scene, const struct sheet *sheet)
{
    enum { WIDE_FROM_COLUMNS = 76, MIDDLE_FROM_COLUMNS = 56 };
    switch (scene->dialog->mode) {
    case TOP_LOOKING:
        break;
    case TOP_HELP:
        return "any key goes back   q quit";
    case TOP_REASON:
        return "Enter go on   Esc leave it";
    case TOP_CONFIRM:
        return "y yes   any other key: no";
    }
    if (!scene->has_keys) {
        return "no keyboard here: Ctrl-C ends";
    }
    if (sheet->columns < MIDDLE_FROM_COLUMNS) {
        return "p r P R  ? help  q quit";
    }
    if (sheet->columns < WIDE_FROM_COLUMNS) {
        return "p pause  r resume  P promote  R back  ? help  q quit";
    }
    return sheet->look.is_unicode
               ? "p pause  r resume  P promote  R roll back  ↑↓ service  ? help  q quit"
               : "p pause  r resume  P promote  R roll back  up/down service  ? help  q quit";
}

size_t top_foot_lines(const struct top_scene *scene, const struct sheet *sheet)
{
    enum { KEY_LINES = 1 };
    if (scene->dialog->mode != TOP_CONFIRM) {
        return KEY_LINES + 1;
    }
    char text[QUESTION_SIZE];
    say_question(scene->dialog, text);
    return KEY_LINES + sheet_words_lines(text, sheet->columns, QUESTION_LINES_MAX);
}

void top_foot(const struct top_scene *scene, struct sheet *sheet)
{
    char text[QUESTION_SIZE];
    switch (scene->dialog->mode) {
    case TOP_LOOKING:
    case TOP_HELP:
        sheet_put(sheet, scene->is_message_bad ? INK_RED : INK_GREEN, "%s",
                  scene->message != NULL ? scene->message : "");
        sheet_end(sheet);
        break;
    case TOP_REASON:
        reason_line(scene, sheet);
        break;
    case TOP_CONFIRM:
        say_question(scene->dialog, text);
        sheet_words(sheet, INK_BOLD, text, 0, QUESTION_LINES_MAX);
        break;
    }
    sheet_put(sheet, INK_DIM, "%s", keys_text(scene, sheet));
    sheet_end(sheet);
}

/* ---- help ---- */

void top_foot_help(struct sheet *sheet, size_t rows)
{
    static const struct {
        const char *key; /* NULL: a sentence by itself */
        const char *text;
    } LINES[] = {
        {NULL, ""},
        {"p", "pause the chosen service's rollout"},
        {"r", "resume it"},
        {"P", "promote it: the next step now"},
        {"R", "roll it back; asks why"},
        {"Up, k", "the service above"},
        {"Down, j", "the service below"},
        {"Ctrl-L", "draw the screen anew"},
        {"q", "quit"},
        {NULL, ""},
        {NULL, "Each says what will happen and asks first; only y does it."},
        {NULL, "requests/s and failed: of each version, over the last ten seconds."},
        {NULL, "realised: the canary's share of the last ten seconds."},
        {NULL, "evidence: the test that is nearest to a breach, and what it needs."},
        {NULL, "STALE: the last look failed; it is tried again each second."},
    };
    enum { KEY_COLUMNS = 9, INDENT = 2, LINES_MAX = 3 };
    for (size_t i = 0; i < COUNT_OF(LINES) && sheet->line_count < rows; i++) {
        bool has_key = LINES[i].key != NULL;
        size_t left = rows - sheet->line_count;
        if (has_key) {
            sheet_put(sheet, INK_PLAIN, "%*s%-*s", INDENT, "", KEY_COLUMNS, LINES[i].key);
        }
        sheet_words(sheet, INK_PLAIN, LINES[i].text, has_key ? INDENT + KEY_COLUMNS : INDENT,
                    left < LINES_MAX ? left : LINES_MAX);
    }
}

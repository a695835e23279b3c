#include "canary/cli/top_dialog.h"

#include <stdio.h>
#include <string.h>

#include "proxy/base/bytes.h"
#include "proxy/base/check.h"

static const struct {
    char letter;
    const char *text;
    const char *path;
} ACTIONS[TOP_ACTION_COUNT] = {
    [TOP_PAUSE] = {'p', "pause", "rollout/pause"},
    [TOP_RESUME] = {'r', "resume", "rollout/resume"},
    [TOP_PROMOTE] = {'P', "promote", "rollout/promote"},
    [TOP_ROLL_BACK] = {'R', "roll back", "rollback"},
};

const char *top_action_path(enum top_action action)
{
    CHECK(action < TOP_ACTION_COUNT);
    return ACTIONS[action].path;
}

const char *top_action_text(enum top_action action)
{
    CHECK(action < TOP_ACTION_COUNT);
    return ACTIONS[action].text;
}

/* A name that does not fit is none that may be acted on. */
static bool copy_text(char *ret_text, size_t size, const char *text)
{
    int length = snprintf(ret_text, size, "%s", text != NULL ? text : "-");
    return length >= 0 && (size_t)length < size;
}

static void ask(struct top_dialog *dialog, enum top_action action,
                const struct top_subject *subject)
{
    if (subject->service == NULL ||
        !copy_text(dialog->service, sizeof dialog->service, subject->service)) {
        return;
    }
    (void)copy_text(dialog->canary, sizeof dialog->canary, subject->canary);
    (void)copy_text(dialog->stable, sizeof dialog->stable, subject->stable);
    dialog->weight_percent = subject->weight_percent;
    dialog->revision = subject->revision;
    dialog->action = action;
    dialog->reason[0] = '\0';
    dialog->mode = action == TOP_ROLL_BACK ? TOP_REASON : TOP_CONFIRM;
}

static enum top_wish key_while_looking(struct top_dialog *dialog, struct key key,
                                       const struct top_subject *subject)
{
    for (enum top_action action = 0; key.kind == KEY_TEXT && action < TOP_ACTION_COUNT; action++) {
        if (ACTIONS[action].letter == key.text) {
            ask(dialog, action, subject);
            return TOP_NOTHING;
        }
    }
    bool is_text = key.kind == KEY_TEXT;
    if (key.kind == KEY_END_OF_INPUT || (is_text && (key.text == 'q' || key.text == 'Q'))) {
        return TOP_QUIT;
    }
    if (is_text && (key.text == '?' || key.text == 'h')) {
        dialog->mode = TOP_HELP;
    }
    if (key.kind == KEY_UP || (is_text && key.text == 'k')) {
        return TOP_ABOVE;
    }
    bool is_below = key.kind == KEY_DOWN || (is_text && key.text == 'j');
    return is_below ? TOP_BELOW : TOP_NOTHING;
}

/* The last character goes, with all its bytes. */
static void take_back(char *text)
{
    size_t size = strlen(text);
    while (size > 0 && ((unsigned char)text[size - 1] & 0xC0) == 0x80) {
        size--;
    }
    text[size > 0 ? size - 1 : 0] = '\0';
}

static bool has_words(const char *text)
{
    return bytes_trim(bytes_of(text)).size > 0;
}

static void key_in_reason(struct top_dialog *dialog, struct key key)
{
    size_t size = strlen(dialog->reason);
    switch (key.kind) {
    case KEY_TEXT:
        if (size + 1 < sizeof dialog->reason) {
            dialog->reason[size] = key.text;
            dialog->reason[size + 1] = '\0';
        }
        break;
    case KEY_BACKSPACE:
        take_back(dialog->reason);
        break;
    case KEY_CLEAR:
        dialog->reason[0] = '\0';
        break;
    case KEY_ENTER:
        dialog->mode = has_words(dialog->reason) ? TOP_CONFIRM : TOP_REASON;
        break;
    case KEY_ESCAPE:
    case KEY_END_OF_INPUT:
        dialog->mode = TOP_LOOKING;
        break;
    case KEY_REDRAW:
    case KEY_UP:
    case KEY_DOWN:
    case KEY_OTHER:
        break;
    }
}

enum top_wish top_dialog_key(struct top_dialog *dialog, struct key key,
                             const struct top_subject *subject)
{
    if (key.kind == KEY_REDRAW) {
        return TOP_REDRAW;
    }
    switch (dialog->mode) {
    case TOP_LOOKING:
        return key_while_looking(dialog, key, subject);
    case TOP_HELP:
        dialog->mode = TOP_LOOKING;
        return key.kind == KEY_TEXT && key.text == 'q' ? TOP_QUIT : TOP_NOTHING;
    case TOP_REASON:
        key_in_reason(dialog, key);
        return TOP_NOTHING;
    case TOP_CONFIRM:
        dialog->mode = TOP_LOOKING;
        return key.kind == KEY_TEXT && (key.text == 'y' || key.text == 'Y') ? TOP_ORDER
                                                                            : TOP_NOTHING;
    }
    return TOP_NOTHING;
}

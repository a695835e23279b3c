/* canary/cli/guard_pages.c — guarded is what a Pages project has live. */
#include <stdio.h>
#include <string.h>

#include "canary/cli/guard.h"
#include "canary/cli/pages.h"

enum { LOOK_BEFORE_MS = 20000, LOOK_AFTER_MS = 60000, DEADLINE_MORE_MS = 60000 };

struct looked {
    struct guard_look *look;
    struct note *note;
    enum platform_result result;
};

static void on_looked(void *context, const struct platform_answer *answer)
{
    struct looked *looked = context;
    looked->result = answer->result;
    note_set(looked->note, "%s", answer->text);
    if (answer->result != PLATFORM_DONE) {
        return;
    }
    *looked->look = (struct guard_look){
        .is_known = true, .has_live = answer->live != NULL, .may_go_back = true};
    if (answer->live != NULL) {
        looked->look->live = *answer->live;
    }
}

/* What will not be otherwise the next time: the token, the project's name. */
static bool is_final(enum platform_result result)
{
    return result == PLATFORM_DENIED || result == PLATFORM_REFUSED;
}

static int look(struct guard *guard, bool is_before, struct guard_look *ret_look, struct note *note)
{
    const struct cli_options *options = guard->options;
    struct pages_desk *desk = NULL;
    struct looked looked = {.look = ret_look, .note = note, .result = PLATFORM_FAILED};
    int exit = pages_desk_open(options, &guard->token, &desk, note);
    if (exit != CLI_DONE) {
        return exit;
    }
    uint64_t deadline_ms = is_before ? LOOK_BEFORE_MS : LOOK_AFTER_MS;
    struct platform_ask ask = {
        .operation = PLATFORM_LIST,
        .limit = 1,
        .deadline_ms = options->has_timeout ? options->timeout_ms : deadline_ms,
    };
    enum err err = pages_desk_ask(desk, &ask, on_looked, &looked);
    pages_desk_close(desk);
    if (err != OK) {
        note_set(note, "%s", err_text(err));
        return CLI_FAILED;
    }
    return is_final(looked.result) ? pages_exit_of((int)looked.result) : CLI_DONE;
}

/* ---- back ---- */

struct going_back {
    const struct guard *guard;
    struct guard_result *result;
};

static void on_rolled_back(void *context, const struct platform_answer *answer)
{
    struct going_back *back = context;
    struct guard_result *result = back->result;
    bool is_dry_run = back->guard->options->is_dry_run;
    struct note found = result->sentence;
    result->is_done = pages_exit_of((int)answer->result) == CLI_DONE;
    result->has_rolled_back = answer->result == PLATFORM_DONE && !is_dry_run;
    (void)snprintf(result->word, sizeof result->word, "%s", platform_result_name(answer->result));
    if (answer->target != NULL) {
        result->to = *answer->target;
    }
    note_set(&result->sentence, "%s; %s%s", found.text, is_dry_run ? "dry run: " : "",
             answer->text);
}

/* To what was live before the command; where that is not known, to the last good one. */
static void roll_back(struct guard *guard, const struct guard_look *before,
                      const struct guard_look *after, struct guard_result *result)
{
    const struct cli_options *options = guard->options;
    bool was_other =
        before->is_known && before->has_live && strcmp(before->live.id, after->live.id) != 0;
    struct pages_desk *desk = NULL;
    struct going_back back = {guard, result};
    struct platform_ask ask = {
        .operation = options->is_dry_run ? PLATFORM_LOOK : PLATFORM_ROLL_BACK,
        .target = options->to != NULL ? options->to
                  : was_other         ? before->live.id
                                      : NULL,
        .expect_current = after->live.id,
        .deadline_ms =
            options->has_timeout ? options->timeout_ms : options->wait_ms + DEADLINE_MORE_MS,
        .wait_ms = options->wait_ms,
    };
    struct note note = {""};
    (void)snprintf(result->word, sizeof result->word, "failed");
    enum err err = OK;
    if (pages_desk_open(options, &guard->token, &desk, &note) == CLI_DONE) {
        err = pages_desk_ask(desk, &ask, on_rolled_back, &back);
        note_set(&note, "%s", err == ERR_SYNTAX ? "--to cannot be one" : err_text(err));
    }
    if (desk == NULL || err != OK) {
        struct note found = result->sentence;
        note_set(&result->sentence, "%s; %s", found.text, note.text);
    }
    pages_desk_close(desk);
}

const struct guard_place guard_pages = {look, roll_back};

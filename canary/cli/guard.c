#include "canary/cli/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/cli/github.h"
#include "canary/cli/guard_child.h"

/* ---- before ---- */

static int check(const struct guard *guard)
{
    const struct cli_options *options = guard->options;
    bool has_pages_word = options->to != NULL || options->account != NULL;
    if (options->project == NULL && has_pages_word) {
        guard_say(guard, "error", "guard takes --to and --account only with --project");
        return CLI_USAGE;
    }
    if (options->project != NULL && options->is_instant) {
        guard_say(guard, "error", "guard takes no --instant with --project");
        return CLI_USAGE;
    }
    return CLI_DONE;
}

static void find_label(struct guard *guard)
{
    const char *commit = getenv("GITHUB_SHA");
    const char *label = guard->options->deployment != NULL ? guard->options->deployment : commit;
    platform_text_copy(guard->label, sizeof guard->label, label);
}

static int look_before(struct guard *guard, struct guard_look *ret_before)
{
    struct note note = {""};
    struct note text;
    int exit = guard->place->look(guard, true, ret_before, &note);
    if (exit != CLI_DONE) {
        note_set(&text, "the command was not started: %s", note.text);
        guard_say(guard, "error", text.text);
    } else if (!ret_before->is_known) {
        note_set(&text, "what is live cannot be read, the command runs all the same: %s",
                 note.text);
        guard_say(guard, "warning", text.text);
    }
    return exit;
}

/* ---- after ---- */

static void note_failure(struct guard *guard, const struct child_end *end)
{
    const char *reason = guard->options->reason;
    const char *program = strrchr(guard->options->command[0], '/');
    char name[DEPLOYMENT_ID_SIZE];
    struct note how;
    /* Only the program: its arguments may have secrets in them. */
    platform_text_copy(name, sizeof name,
                       program != NULL ? program + 1 : guard->options->command[0]);
    child_say_end(end, &how);
    note_set(&guard->failure, "%s%s%s %s", reason != NULL ? reason : "", reason != NULL ? ": " : "",
             name, how.text);
}

/* Beside a Pages project only one that was named. */
static bool has_serin(const struct guard *guard)
{
    const struct cli_options *options = guard->options;
    return options->project == NULL || options->has_admin || options->service != NULL;
}

static void answer_failure(struct guard *guard, const struct guard_look *before,
                           struct guard_result *result)
{
    const char *expected = guard->options->expect_current;
    struct guard_look after = {.is_known = false};
    struct note note = {""};
    if (guard->place->look(guard, false, &after, &note) != CLI_DONE) {
        after.is_known = false;
    }
    result->cause = guard_decide(before, &after, expected);
    result->from = after.live;
    guard_say_cause(result->cause, before, &after, expected, &result->sentence);
    if (result->cause == GUARD_UNKNOWN) {
        note_set(&result->sentence, "what is live cannot be read, so nothing is rolled back: %s",
                 note.text);
    }
    if (guard_acts(result->cause)) {
        result->was_tried = true;
        guard->place->roll_back(guard, before, &after, result);
    }
    bool is_silent = guard->options->project == NULL && result->cause == GUARD_UNKNOWN;
    if (!result->is_recorded && !guard->options->is_dry_run && !is_silent && has_serin(guard)) {
        guard_record(guard, result);
    }
}

static int run(struct guard *guard, const sigset_t *mask)
{
    struct guard_look before = {.is_known = false};
    struct guard_result result = {.word = "left_alone"};
    struct child_end end;
    int exit = look_before(guard, &before);
    if (exit != CLI_DONE) {
        return exit;
    }
    int number = child_take_signal();
    if (number != 0) {
        return 128 + number;
    }
    enum err err = child_run(guard->options->command, mask, &end);
    if (err != OK) {
        guard_say(guard, "error", "no process could be made for the command");
        return CLI_FAILED;
    }
    result.code = end.code;
    if (end.code == 0) {
        (void)snprintf(result.word, sizeof result.word, "passed");
        result.from = before.live;
    } else {
        note_failure(guard, &end);
        answer_failure(guard, &before, &result);
    }
    guard_tell(guard, &result);
    return end.code;
}

int guard_run(const struct cli_options *options)
{
    struct guard guard = {
        .options = options,
        .serin = *options,
        .place = options->project != NULL ? &guard_pages : &guard_admin,
        .is_job = options->is_github || github_is_job(),
    };
    struct note note = {""};
    sigset_t mask;
    int exit = check(&guard);
    if (exit != CLI_DONE) {
        return exit;
    }
    child_hold_signals(&mask);
    find_label(&guard);
    if (options->project != NULL) {
        guard.serin.token_file = NULL;
        exit = pages_find_token(options, guard.is_job ? stderr : NULL, &guard.token, &note);
    }
    if (exit != CLI_DONE) {
        guard_say(&guard, "error", note.text);
        return exit;
    }
    exit = run(&guard, &mask);
    explicit_bzero(&guard.token, sizeof guard.token);
    return exit;
}

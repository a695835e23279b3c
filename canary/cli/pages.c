#include "canary/cli/pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/cli/github.h"
#include "canary/cli/pages_desk.h"
#include "canary/cli/pages_show.h"
#include "canary/cli/table.h"

enum { DEADLINE_MORE_MS = 60000 };

/* One run: one question. */
struct run {
    const struct cli_options *options;
    struct pages_shown shown;
    bool is_list;
    bool is_job;
    FILE *commands; /* where workflow commands go: not into the JSON */
    int exit;
};

int pages_exit_of(int result)
{
    switch ((enum platform_result)result) {
    case PLATFORM_DONE:
    case PLATFORM_ALREADY:
        return CLI_DONE;
    case PLATFORM_REFUSED:
        return CLI_REFUSED;
    case PLATFORM_DENIED:
        return CLI_DENIED;
    case PLATFORM_RATE_LIMITED:
    case PLATFORM_TIMED_OUT:
        return CLI_TIMED_OUT;
    case PLATFORM_FAILED:
    case PLATFORM_CANCELLED:
    case PLATFORM_RESULT_COUNT:
        break;
    }
    return CLI_FAILED;
}

/* ---- telling ---- */

static int fail(const struct run *run, int exit, const char *text)
{
    (void)fprintf(stderr, "serin: %s\n", text);
    if (run->is_job) {
        github_annotate(run->commands, "error", text);
    }
    return exit;
}

static void print(const struct buf *text, FILE *out)
{
    struct bytes bytes = buf_bytes(text);
    (void)fwrite(bytes.data, 1, bytes.size, out);
}

static enum err show_json(const struct run *run, const struct platform_answer *answer)
{
    json_t *document = run->is_list && answer->result == PLATFORM_DONE
                           ? pages_list_json(answer, &run->shown)
                           : pages_rollback_json(answer, &run->shown);
    char *text = document != NULL ? json_dumps(document, JSON_INDENT(2)) : NULL;
    json_decref(document);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    (void)printf("%s\n", text);
    free(text);
    return OK;
}

static enum err show_text(const struct run *run, const struct platform_answer *answer)
{
    struct buf text;
    buf_init(&text, TABLE_TEXT_MAX);
    bool is_good = pages_exit_of((int)answer->result) == CLI_DONE;
    enum err err = run->is_list && is_good ? pages_show_list(answer, &text)
                                           : pages_show_rollback(answer, &run->shown, &text);
    if (err == OK) {
        print(&text, is_good ? stdout : stderr);
    }
    buf_finish(&text);
    return err;
}

/* Outputs and summary. What cannot be written is a warning: what was done is done. */
static void tell_job(const struct run *run, const struct platform_answer *answer)
{
    char delimiter[GITHUB_DELIMITER_SIZE];
    struct buf text;
    bool is_good = pages_exit_of((int)answer->result) == CLI_DONE;
    if (!run->is_list || !is_good) {
        github_annotate(run->commands, is_good ? "notice" : "error", answer->text);
    }
    if (run->is_list) {
        return;
    }
    buf_init(&text, TABLE_TEXT_MAX);
    enum err err = github_make_delimiter(delimiter);
    if (err == OK) {
        err = pages_show_outputs(answer, &run->shown, delimiter, &text);
    }
    if (err == OK) {
        err = github_append_file("GITHUB_OUTPUT", buf_bytes(&text));
    }
    buf_clear(&text);
    enum err summary_err = pages_show_summary(answer, &run->shown, &text);
    if (summary_err == OK) {
        summary_err = github_append_file("GITHUB_STEP_SUMMARY", buf_bytes(&text));
    }
    buf_finish(&text);
    if (err != OK || summary_err != OK) {
        github_annotate(run->commands, "warning", "the job's outputs or summary cannot be written");
    }
}

static void on_done(void *context, const struct platform_answer *answer)
{
    struct run *run = context;
    run->exit = pages_exit_of((int)answer->result);
    if (run->is_job) {
        tell_job(run, answer);
    }
    enum err err = run->options->is_json ? show_json(run, answer) : show_text(run, answer);
    if (err != OK) {
        (void)fprintf(stderr, "serin: %s\n", err_text(err));
        run->exit = run->exit == CLI_DONE ? CLI_FAILED : run->exit;
    }
}

/* ---- asking ---- */

static int ask(struct run *run, struct pages_desk *desk)
{
    const struct cli_options *options = run->options;
    enum platform_operation change = options->is_dry_run ? PLATFORM_LOOK : PLATFORM_ROLL_BACK;
    struct platform_ask wish = {
        .operation = run->is_list ? PLATFORM_LIST : change,
        .target = options->to,
        .expect_current = options->expect_current,
        .environment = run->shown.environment,
        .limit = options->limit,
        .deadline_ms =
            options->has_timeout ? options->timeout_ms : options->wait_ms + DEADLINE_MORE_MS,
        .wait_ms = options->wait_ms,
    };
    enum err err = pages_desk_ask(desk, &wish, on_done, run);
    if (err != OK) {
        return fail(run, err == ERR_SYNTAX ? CLI_USAGE : CLI_FAILED,
                    err == ERR_SYNTAX ? "--to, --expect-current or --environment cannot be one"
                                      : err_text(err));
    }
    return run->exit;
}

/* ---- its life ---- */

static int check(const struct run *run)
{
    const struct cli_options *options = run->options;
    bool is_rollback = strcmp(options->argument, "rollback") == 0;
    if (!run->is_list && !is_rollback) {
        return fail(run, CLI_USAGE, "pages does list or rollback");
    }
    if (is_rollback && options->environment != NULL) {
        return fail(run, CLI_USAGE, "pages rollback takes no --environment");
    }
    if (run->is_list && (options->to != NULL || options->expect_current != NULL)) {
        return fail(run, CLI_USAGE, "pages list takes no --to and no --expect-current");
    }
    return CLI_DONE;
}

int pages_run(const struct cli_options *options)
{
    struct run run = {
        .options = options,
        .shown = {.project = options->project,
                  .environment = options->environment != NULL ? options->environment : "production",
                  .reason = options->reason,
                  .is_dry_run = options->is_dry_run},
        .is_list = strcmp(options->argument, "list") == 0,
        .is_job = options->is_github || github_is_job(),
        .commands = options->is_json ? stderr : stdout,
    };
    int exit = check(&run);
    if (exit != CLI_DONE) {
        return exit;
    }
    struct pages_token token = {""};
    struct pages_desk *desk = NULL;
    struct note note = {""};
    exit = pages_find_token(options, run.is_job ? run.commands : NULL, &token, &note);
    if (exit == CLI_DONE) {
        exit = pages_desk_open(options, &token, &desk, &note);
    }
    explicit_bzero(&token, sizeof token);
    exit = exit == CLI_DONE ? ask(&run, desk) : fail(&run, exit, note.text);
    pages_desk_close(desk);
    return exit;
}

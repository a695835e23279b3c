/* canary/cli/guard_show.c — how it went, for people and for a job. All on standard error: standard
 * output is the command's. */
#include <stdio.h>

#include "canary/cli/github.h"
#include "canary/cli/guard.h"
#include "canary/cli/table.h"
#include "proxy/base/check.h"

static void print_clean(const char *prefix, const char *text)
{
    struct buf line;
    buf_init(&line, TABLE_TEXT_MAX);
    (void)buf_append(&line, bytes_of(prefix));
    (void)table_append_clean(&line, text);
    (void)buf_append_byte(&line, '\n');
    struct bytes whole = buf_bytes(&line);
    (void)fwrite(whole.data, 1, whole.size, stderr);
    buf_finish(&line);
}

void guard_say(const struct guard *guard, const char *level, const char *text)
{
    print_clean("serin: guard: ", text);
    if (guard->is_job) {
        github_annotate(stderr, level, text);
    }
}

/* ---- for a job of GitHub Actions ---- */

static enum err append_outputs(const struct guard_result *result, struct buf *out)
{
    char delimiter[GITHUB_DELIMITER_SIZE];
    char code[GUARD_WORD_SIZE];
    bool has_failed = result->code != 0;
    (void)snprintf(code, sizeof code, "%d", result->code);
    const struct {
        const char *name;
        const char *value;
    } outputs[] = {
        {"exit-code", code},
        {"rolled-back", result->has_rolled_back ? "true" : "false"},
        {"result", result->word},
        {"cause", has_failed ? guard_cause_name(result->cause) : ""},
        {"recorded", result->is_recorded ? "true" : "false"},
        {"from-deployment-id", result->from.id},
        {"to-deployment-id", result->to.id},
        {"url", result->to.url},
    };
    enum err err = github_make_delimiter(delimiter);
    for (size_t i = 0; i < COUNT_OF(outputs) && err == OK; i++) {
        err = github_append_output(out, outputs[i].name, outputs[i].value, delimiter);
    }
    return err;
}

static void append_row(struct buf *out, const char *name, const struct platform_deployment *one)
{
    if (one->id[0] == '\0') {
        return;
    }
    const char *const cells[] = {one->id, one->commit, one->message, one->url};
    (void)buf_printf(out, "| %s", name);
    for (size_t i = 0; i < COUNT_OF(cells); i++) {
        (void)buf_append(out, BYTES(" | "));
        github_append_markdown(out, cells[i][0] != '\0' ? cells[i] : "-");
    }
    (void)buf_append(out, BYTES(" |\n"));
}

static const char *headline(const struct guard *guard, const struct guard_result *result)
{
    if (!result->was_tried) {
        return "failed, nothing was rolled back";
    }
    if (guard->options->is_dry_run) {
        return "failed, dry run";
    }
    return result->is_done ? "failed and rolled back" : "failed, and the rollback is not done";
}

static enum err append_summary(const struct guard *guard, const struct guard_result *result,
                               struct buf *out)
{
    (void)buf_printf(out, "### Build or deploy %s\n\n", headline(guard, result));
    github_append_markdown(out, guard->failure.text);
    (void)buf_append(out, BYTES(".\n\n"));
    github_append_markdown(out, result->sentence.text);
    (void)buf_append(out, BYTES(".\n\n| | Deployment | Commit | Message | URL |\n"
                                "|---|---|---|---|---|\n"));
    append_row(out, result->was_tried ? "from" : "live", &result->from);
    append_row(out, "to", &result->to);
    (void)buf_append_byte(out, '\n');
    return out->is_failed ? ERR_NOMEM : OK;
}

static void write_files(const struct guard *guard, const struct guard_result *result)
{
    struct buf text;
    buf_init(&text, TABLE_TEXT_MAX);
    enum err err = append_outputs(result, &text);
    if (err == OK) {
        err = github_append_file("GITHUB_OUTPUT", buf_bytes(&text));
    }
    buf_clear(&text);
    if (err == OK && result->code != 0) {
        err = append_summary(guard, result, &text);
        if (err == OK) {
            err = github_append_file("GITHUB_STEP_SUMMARY", buf_bytes(&text));
        }
    }
    buf_finish(&text);
    if (err != OK) {
        github_annotate(stderr, "warning", "the job's outputs or summary cannot be written");
    }
}

/* ---- all of it ---- */

/* Where nothing could be seen, what is bad may be live. */
static const char *level_of(const struct guard_result *result)
{
    if (!result->was_tried) {
        bool is_blind = result->cause == GUARD_UNKNOWN || result->cause == GUARD_NOT_SEEN;
        return is_blind ? "warning" : "notice";
    }
    return result->is_done ? "warning" : "error";
}

void guard_tell(const struct guard *guard, const struct guard_result *result)
{
    struct note text;
    if (result->code != 0) {
        note_set(&text, "%s; %s", guard->failure.text, result->sentence.text);
        guard_say(guard, level_of(result), text.text);
        if (result->is_recorded) {
            print_clean("serin: guard: ", "it is in the history of the running Serin");
        }
    }
    if (guard->is_job) {
        write_files(guard, result);
    }
}

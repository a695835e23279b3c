#include "canary/cli/pages_show.h"

#include <stdio.h>
#include <string.h>

#include "canary/cli/github.h"
#include "canary/cli/table.h"
#include "proxy/base/check.h"

enum { COMMIT_SHOWN = 8, MESSAGE_SHOWN = 60 };

static bool is_live(const struct platform_answer *answer, const struct platform_deployment *one)
{
    return answer->live != NULL && strcmp(answer->live->id, one->id) == 0;
}

bool pages_has_rolled_back(const struct platform_answer *answer, const struct pages_shown *shown)
{
    return answer->result == PLATFORM_DONE && !shown->is_dry_run;
}

static const char *or_dash(const char *text)
{
    return text[0] != '\0' ? text : "-";
}

/* ---- for people ---- */

static void add_row(struct table *table, const struct platform_answer *answer,
                    const struct platform_deployment *one)
{
    char commit[COMMIT_SHOWN + 1];
    char message[MESSAGE_SHOWN + 1];
    platform_text_copy(commit, sizeof commit, one->commit);
    platform_text_copy(message, sizeof message, one->message);
    table_add(table, is_live(answer, one) ? "live" : "");
    table_add(table, one->id);
    table_add(table, deployment_state(one));
    table_add(table, or_dash(one->created));
    table_add(table, or_dash(one->branch));
    table_add(table, or_dash(commit));
    table_add(table, or_dash(message));
}

enum err pages_show_list(const struct platform_answer *answer, struct buf *out)
{
    static const char *const headings[] = {"",       "DEPLOYMENT", "STATE",  "CREATED",
                                           "BRANCH", "COMMIT",     "MESSAGE"};
    struct table *table = NULL;
    enum err err = table_create(headings, COUNT_OF(headings), &table);
    if (err != OK) {
        return err;
    }
    for (size_t i = 0; i < answer->deployment_count; i++) {
        add_row(table, answer, &answer->deployments[i]);
    }
    err = table_render(table, out);
    table_destroy(table);
    return err;
}

static void append_line(struct buf *out, const char *name, const struct platform_deployment *one)
{
    if (one != NULL) {
        (void)buf_printf(out, "  %-5s %s  %s  %.*s  %s\n", name, one->id, or_dash(one->branch),
                         COMMIT_SHOWN, or_dash(one->commit), or_dash(one->message));
    }
}

static const char *headline(const struct platform_answer *answer, const struct pages_shown *shown)
{
    static const char *const headlines[] = {
        [PLATFORM_DONE] = "rolled back",
        [PLATFORM_ALREADY] = "nothing to do",
        [PLATFORM_REFUSED] = "refused",
        [PLATFORM_DENIED] = "not authorised",
        [PLATFORM_RATE_LIMITED] = "rate limited",
        [PLATFORM_TIMED_OUT] = "timed out",
        [PLATFORM_FAILED] = "failed",
        [PLATFORM_CANCELLED] = "cancelled",
    };
    bool is_plan = shown->is_dry_run && answer->result == PLATFORM_DONE;
    return is_plan ? "dry run, nothing was changed" : headlines[answer->result];
}

enum err pages_show_rollback(const struct platform_answer *answer, const struct pages_shown *shown,
                             struct buf *out)
{
    (void)buf_printf(out, "%s: %s: %s\n", shown->project, headline(answer, shown), answer->text);
    append_line(out, "from", answer->live);
    append_line(out, "to", answer->target);
    if (answer->target != NULL && answer->target->url[0] != '\0') {
        (void)buf_printf(out, "  %-5s %s\n", "url", answer->target->url);
    }
    return out->is_failed ? ERR_NOMEM : OK;
}

/* ---- for programs ---- */

static json_t *deployment_json(const struct platform_deployment *one)
{
    if (one == NULL) {
        return json_null();
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "id", one->id, "short_id",
                     one->short_id, "environment", one->environment, "state", deployment_state(one),
                     "created", one->created, "branch", one->branch, "commit", one->commit,
                     "message", one->message, "url", one->url);
}

json_t *pages_list_json(const struct platform_answer *answer, const struct pages_shown *shown)
{
    json_t *list = json_array();
    for (size_t i = 0; i < answer->deployment_count; i++) {
        const struct platform_deployment *one = &answer->deployments[i];
        json_t *shown_one = deployment_json(one);
        (void)json_object_set_new(shown_one, "is_live", json_boolean(is_live(answer, one)));
        (void)json_array_append_new(list, shown_one);
    }
    return json_pack("{s:s, s:s, s:s?, s:o}", "project", shown->project, "environment",
                     shown->environment, "live", answer->live != NULL ? answer->live->id : NULL,
                     "deployments", list);
}

json_t *pages_rollback_json(const struct platform_answer *answer, const struct pages_shown *shown)
{
    bool has_told = answer->retry_after_ms > 0;
    json_t *retry = has_told ? json_real((double)answer->retry_after_ms / 1e3) : json_null();
    return json_pack("{s:s, s:s, s:b, s:b, s:b, s:s, s:o, s:o, s:o}", "project", shown->project,
                     "result", platform_result_name(answer->result), "rolled_back",
                     (int)pages_has_rolled_back(answer, shown), "dry_run", (int)shown->is_dry_run,
                     "verified", (int)answer->has_moved, "sentence", answer->text, "from",
                     deployment_json(answer->live), "to", deployment_json(answer->target),
                     "retry_after_s", retry);
}

/* ---- for a job of GitHub Actions ---- */

static void append_row(struct buf *out, const char *name, const struct platform_deployment *one)
{
    if (one == NULL) {
        return;
    }
    (void)buf_printf(out, "| %s | ", name);
    github_append_markdown(out, one->id);
    (void)buf_append(out, BYTES(" | "));
    github_append_markdown(out, or_dash(one->branch));
    (void)buf_append(out, BYTES(" | "));
    github_append_markdown(out, or_dash(one->commit));
    (void)buf_append(out, BYTES(" | "));
    github_append_markdown(out, or_dash(one->message));
    (void)buf_append(out, BYTES(" | "));
    github_append_markdown(out, or_dash(one->url));
    (void)buf_append(out, BYTES(" |\n"));
}

enum err pages_show_summary(const struct platform_answer *answer, const struct pages_shown *shown,
                            struct buf *out)
{
    (void)buf_append(out, BYTES("### Pages project "));
    github_append_markdown(out, shown->project);
    (void)buf_printf(out, ": %s\n\n", headline(answer, shown));
    github_append_markdown(out, answer->text);
    (void)buf_append(out, BYTES(".\n\n"));
    if (shown->reason != NULL) {
        (void)buf_append(out, BYTES("Reason: "));
        github_append_markdown(out, shown->reason);
        (void)buf_append(out, BYTES("\n\n"));
    }
    if (answer->live != NULL || answer->target != NULL) {
        (void)buf_append(out, BYTES("| | Deployment | Branch | Commit | Message | URL |\n"
                                    "|---|---|---|---|---|---|\n"));
        append_row(out, "from", answer->live);
        append_row(out, "to", answer->target);
        (void)buf_append_byte(out, '\n');
    }
    return out->is_failed ? ERR_NOMEM : OK;
}

enum err pages_show_outputs(const struct platform_answer *answer, const struct pages_shown *shown,
                            const char *delimiter, struct buf *out)
{
    const struct {
        const char *name;
        const char *value;
    } outputs[] = {
        {"rolled-back", pages_has_rolled_back(answer, shown) ? "true" : "false"},
        {"result", platform_result_name(answer->result)},
        {"from-deployment-id", answer->live != NULL ? answer->live->id : ""},
        {"to-deployment-id", answer->target != NULL ? answer->target->id : ""},
        {"url", answer->target != NULL ? answer->target->url : ""},
    };
    for (size_t i = 0; i < COUNT_OF(outputs); i++) {
        enum err err = github_append_output(out, outputs[i].name, outputs[i].value, delimiter);
        if (err != OK) {
            return err;
        }
    }
    return OK;
}

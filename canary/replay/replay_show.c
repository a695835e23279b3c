#include "canary/replay/replay_show.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "canary/cli/table.h"
#include "canary/engine/judge_sentence.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"

enum { TEXT_SIZE = 96, TIME_END = 19 };

/* "2026-11-23 05:39:05" */
static const char *time_text(int64_t wall_ms, char text[CLOCK_TEXT_SIZE])
{
    clock_format(1000 * wall_ms, text);
    text[10] = ' ';
    text[TIME_END] = '\0';
    return text;
}

static const char *seconds_text(double seconds, char text[TEXT_SIZE])
{
    if (seconds < 60.0) {
        (void)snprintf(text, TEXT_SIZE, "%.1f s", seconds);
    } else {
        long whole = lround(seconds);
        (void)snprintf(text, TEXT_SIZE, "%ld min %ld s", whole / 60, whole % 60);
    }
    return text;
}

static const char *count_text(double count, char text[TEXT_SIZE])
{
    char plain[JUDGE_COUNT_TEXT_SIZE];
    judge_count_text(count, plain);
    (void)snprintf(text, TEXT_SIZE, "%s", plain);
    return text;
}

/* "12", or "12 + 3" with what a shift by steps would have cost on top. */
static const char *cost_text(double counted, double shift, char text[TEXT_SIZE])
{
    char before[TEXT_SIZE];
    char during[TEXT_SIZE];
    (void)count_text(counted, before);
    if (shift < 0.5) {
        return count_text(counted, text);
    }
    (void)snprintf(text, TEXT_SIZE, "%.40s + %.40s", before, count_text(shift, during));
    return text;
}

/* ---- text ---- */

static void say_moment(const struct replay_run *run, const struct replay_moment *moment,
                       const char *what, struct buf *out)
{
    char after[TEXT_SIZE];
    char failed[TEXT_SIZE];
    char bad[TEXT_SIZE];
    if (!moment->is_there) {
        return;
    }
    (void)buf_printf(out, "%s after %s, %s failed and %s seen by clients until then; ", what,
                     seconds_text((double)(moment->at_ms - run->from_ms) / 1000.0, after),
                     count_text((double)moment->failed, failed),
                     count_text((double)moment->client_bad, bad));
}

static void say_run(const struct replay_run *run, struct buf *out)
{
    char at[CLOCK_TEXT_SIZE];
    char lasted[TEXT_SIZE];
    char failed[TEXT_SIZE];
    char count[TEXT_SIZE];
    char bad[TEXT_SIZE];
    (void)buf_append_byte(out, '\n');
    (void)table_append_clean(out, run->current[0] != '\0' ? run->current : "-");
    (void)buf_append(out, BYTES(" beside "));
    (void)table_append_clean(out, run->previous[0] != '\0' ? run->previous : "-");
    (void)buf_printf(out, " from %s for %s: canary %s of %s requests failed, %s seen by clients; ",
                     time_text(run->from_wall_ms, at),
                     seconds_text((double)(run->to_ms - run->from_ms) / 1000.0, lasted),
                     count_text((double)run->failed, failed), count_text((double)run->count, count),
                     count_text((double)run->client_bad, bad));
    (void)buf_printf(out, "stable %s of %s\n", count_text((double)run->stable_failed, failed),
                     count_text((double)run->stable_count, count));
    (void)buf_append(out, BYTES("really: "));
    char breach[TEXT_SIZE];
    (void)snprintf(breach, sizeof breach, "breach (%s)", judge_reason_name(run->breach_reason));
    say_moment(run, &run->breach, breach, out);
    say_moment(run, &run->shift, "the traffic began to go back", out);
    say_moment(run, &run->zero, "weight 0", out);
    (void)buf_printf(out, "%s%s at the end\n", run->breach.is_there ? "" : "no breach; ",
                     rollout_phase_name(run->phase));
}

static void add_outcome(struct table *table, const char *name, const struct replay_outcome *outcome)
{
    char text[TEXT_SIZE];
    char at[CLOCK_TEXT_SIZE];
    const struct observe_breach *breach = &outcome->breach;
    bool has_reason = outcome->reason != JUDGE_REASON_NONE;
    table_add(table, name);
    (void)snprintf(text, sizeof text, "%s%s%s%s%s%s", judge_verdict_name(outcome->verdict),
                   has_reason ? " (" : "", has_reason ? judge_reason_name(outcome->reason) : "",
                   has_reason ? ")" : "",
                   outcome->has_breached && breach->is_instant ? ", at once" : "",
                   outcome->is_late ? ", too late" : "");
    table_add(table, text);
    if (outcome->has_breached) {
        table_add(table, time_text(breach->wall_us / 1000, at));
        table_add(table, seconds_text(breach->after_s, text));
        table_add(table, cost_text(breach->failed, outcome->shift_failed, text));
        table_add(table, cost_text(breach->client_bad, outcome->shift_client_bad, text));
    } else {
        for (int i = 0; i < 4; i++) {
            table_add(table, "-");
        }
    }
    table_add(table, outcome->sentence.text);
}

static enum err show_run(const struct replay *replay, const struct replay_run *run, struct buf *out)
{
    static const char *const headings[] = {"POLICY", "VERDICT", "AT", "AFTER",
                                           "FAILED", "SEEN",    "WHY"};
    struct table *table = NULL;
    say_run(run, out);
    enum err err = table_create(headings, COUNT_OF(headings), &table);
    if (err != OK) {
        return err;
    }
    for (size_t i = 0; i < replay_policy_count(replay); i++) {
        add_outcome(table, replay_policy_at(replay, i)->name, &run->outcomes[i]);
    }
    err = table_render(table, out);
    table_destroy(table);
    return err;
}

enum err replay_show(const struct replay *replay, const struct recording_reader *reader,
                     struct buf *out)
{
    char rows[TEXT_SIZE];
    enum err err = OK;
    (void)buf_append(out, BYTES("recording of "));
    (void)table_append_clean(out, reader->head.service);
    (void)buf_printf(out, ": %s rows", count_text((double)reader->row_count, rows));
    if (reader->missing_count > 0) {
        (void)buf_printf(out, ", %s missing among them",
                         count_text((double)reader->missing_count, rows));
    }
    (void)buf_append_byte(out, '\n');
    for (size_t i = 0; i < replay_run_count(replay) && err == OK; i++) {
        err = show_run(replay, replay_run_at(replay, i), out);
    }
    if (replay_run_count(replay) == 0) {
        (void)buf_append(out, BYTES("no canary had traffic or weight in it\n"));
    } else {
        (void)buf_append(
            out, BYTES("\nFAILED and SEEN are the canary's bad answers until the policy's breach; "
                       "\"+\" is an estimate for its shift back.\n"));
    }
    return out->is_failed ? ERR_NOMEM : err;
}

/* ---- JSON ---- */

static json_t *time_to_json(int64_t wall_ms)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(1000 * wall_ms, text);
    return json_string(text);
}

static json_t *moment_to_json(const struct replay_run *run, const struct replay_moment *moment)
{
    if (!moment->is_there) {
        return json_null();
    }
    return json_pack("{s:o, s:f, s:I, s:I, s:I}", "at", time_to_json(moment->wall_ms), "after_s",
                     (double)(moment->at_ms - run->from_ms) / 1000.0, "requests",
                     (json_int_t)moment->count, "failed", (json_int_t)moment->failed, "client_bad",
                     (json_int_t)moment->client_bad);
}

static json_t *breach_to_json(const struct replay_outcome *outcome)
{
    const struct observe_breach *breach = &outcome->breach;
    if (!outcome->has_breached) {
        return json_null();
    }
    return json_pack("{s:o, s:f, s:I, s:I, s:I, s:b, s:b, s:f, s:f}", "at",
                     time_to_json(breach->wall_us / 1000), "after_s", breach->after_s, "requests",
                     (json_int_t)breach->count, "failed", (json_int_t)breach->failed, "client_bad",
                     (json_int_t)breach->client_bad, "instant", (int)breach->is_instant,
                     "after_the_real_shift", (int)outcome->is_late, "shift_failed_estimate",
                     outcome->shift_failed, "shift_client_bad_estimate", outcome->shift_client_bad);
}

static json_t *outcome_to_json(const char *name, const struct replay_outcome *outcome)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "name", name, "verdict",
                     judge_verdict_name(outcome->verdict), "reason",
                     judge_reason_name(outcome->reason), "sentence", outcome->sentence.text,
                     "breach", breach_to_json(outcome));
}

static json_t *outcomes_to_json(const struct replay *replay, const struct replay_run *run)
{
    json_t *list = json_array();
    for (size_t i = 0; i < replay_policy_count(replay) && list != NULL; i++) {
        json_t *outcome = outcome_to_json(replay_policy_at(replay, i)->name, &run->outcomes[i]);
        if (json_array_append_new(list, outcome) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *name_to_json(const char *name)
{
    return name[0] != '\0' ? json_string(name) : json_null();
}

static json_t *run_to_json(const struct replay *replay, const struct replay_run *run)
{
    json_t *really = json_pack(
        "{s:o, s:s, s:o, s:o, s:s}", "breach", moment_to_json(run, &run->breach), "reason",
        judge_reason_name(run->breach_reason), "shift", moment_to_json(run, &run->shift),
        "weight_0", moment_to_json(run, &run->zero), "phase", rollout_phase_name(run->phase));
    return json_pack("{s:o, s:o, s:o, s:o, s:[I, I, I], s:[I, I], s:o, s:o}", "from",
                     time_to_json(run->from_wall_ms), "to", time_to_json(run->to_wall_ms),
                     "current", name_to_json(run->current), "previous", name_to_json(run->previous),
                     "canary", (json_int_t)run->count, (json_int_t)run->failed,
                     (json_int_t)run->client_bad, "stable", (json_int_t)run->stable_count,
                     (json_int_t)run->stable_failed, "really", really, "policies",
                     outcomes_to_json(replay, run));
}

json_t *replay_to_json(const struct replay *replay, const struct recording_reader *reader)
{
    json_t *runs = json_array();
    for (size_t i = 0; i < replay_run_count(replay) && runs != NULL; i++) {
        if (json_array_append_new(runs, run_to_json(replay, replay_run_at(replay, i))) != 0) {
            json_decref(runs);
            runs = NULL;
        }
    }
    return json_pack("{s:s, s:I, s:I, s:o}", "service", reader->head.service, "rows",
                     (json_int_t)reader->row_count, "missing_rows",
                     (json_int_t)reader->missing_count, "runs", runs);
}

#include "canary/cli/show.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/cli/figure.h"
#include "canary/cli/table.h"
#include "proxy/base/check.h"

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "-";
}

static const char *deployment_of(const json_t *service, const char *role)
{
    return text_of(json_object_get(service, role), "deployment");
}

static enum err render(struct table *table, struct buf *out)
{
    enum err err = table_render(table, out);
    table_destroy(table);
    return err;
}

static void append_line(struct buf *out, const char *label, const char *text)
{
    (void)buf_printf(out, "%-14s ", label);
    (void)table_append_clean(out, text);
    (void)buf_append_byte(out, '\n');
}

static void append_if_there(struct buf *out, const char *label, const json_t *object,
                            const char *name)
{
    if (json_is_string(json_object_get(object, name))) {
        append_line(out, label, text_of(object, name));
    }
}

/* ---- status ---- */

static void add_service(struct table *table, const json_t *service)
{
    char set[FIGURE_SIZE];
    char realised[FIGURE_SIZE];
    char step[FIGURE_SIZE];
    char verdict[FIGURE_LABEL_SIZE];
    const json_t *weight = json_object_get(service, "weight");
    json_int_t number = json_integer_value(json_object_get(service, "step"));
    bool is_contained = json_is_true(json_object_get(service, "contained"));
    bool has_reason = json_is_string(json_object_get(service, "reason"));
    json_int_t count = json_integer_value(json_object_get(service, "steps"));
    bool is_mirroring = json_is_true(json_object_get(json_object_get(service, "mirror"), "active"));
    (void)snprintf(step, sizeof step, "%lld/%lld%s", (long long)number, (long long)count,
                   is_mirroring ? " mirror" : "");
    (void)snprintf(verdict, sizeof verdict, "%s%s%s%s%s", text_of(service, "verdict"),
                   has_reason ? " (" : "", has_reason ? text_of(service, "reason") : "",
                   has_reason ? ")" : "", is_contained ? ", contained" : "");
    table_add(table, text_of(service, "name"));
    table_add(table, text_of(service, "phase"));
    table_add(table, figure_percent(json_object_get(weight, "set"), set));
    table_add(table, figure_measured(json_object_get(weight, "realised"), realised));
    table_add(table, verdict);
    table_add(table, count > 0 ? step : "-");
    table_add(table, deployment_of(service, "current"));
    table_add(table, deployment_of(service, "previous"));
}

/* A line for each policy that looks on. */
static void append_observed(const json_t *service, struct buf *out)
{
    size_t index;
    json_t *observed;
    json_array_foreach(json_object_get(service, "observed"), index, observed)
    {
        char at[FIGURE_SIZE];
        const json_t *breach = json_object_get(observed, "breach");
        (void)buf_append(out, BYTES("\n  observed "));
        (void)table_append_clean(out, text_of(observed, "name"));
        if (json_is_object(breach)) {
            (void)buf_append(out, BYTES(": breach at "));
            (void)table_append_clean(out, figure_time(text_of(breach, "at"), at));
            (void)buf_printf(out, " after %lld failed (%lld seen by clients)",
                             (long long)json_integer_value(json_object_get(breach, "failed")),
                             (long long)json_integer_value(json_object_get(breach, "client_bad")));
        } else {
            (void)buf_append(out, BYTES(": "));
            (void)table_append_clean(out, text_of(observed, "verdict"));
        }
        (void)buf_append(out, BYTES(": "));
        (void)table_append_clean(out, text_of(observed, "sentence"));
    }
}

/* A line while a rollback waits for its confirmation. */
static void append_verification(const json_t *service, struct buf *out)
{
    const json_t *verification = json_object_get(service, "verification");
    if (!json_is_object(verification)) {
        return;
    }
    (void)buf_printf(out, "\n  verification: %lld of %lld good looks in a row",
                     (long long)json_integer_value(json_object_get(verification, "good_looks")),
                     (long long)json_integer_value(json_object_get(verification, "needed")));
    const char *trouble = json_string_value(json_object_get(verification, "trouble"));
    if (trouble != NULL) {
        (void)buf_append(out, BYTES(": "));
        (void)table_append_clean(out, trouble);
    }
}

static void append_sentences(json_t *status, struct buf *out)
{
    size_t index;
    json_t *row;
    json_array_foreach(json_object_get(status, "services"), index, row)
    {
        const char *sentence = json_string_value(json_object_get(row, "sentence"));
        if (sentence != NULL && sentence[0] != '\0') {
            (void)buf_append_byte(out, '\n');
            (void)table_append_clean(out, text_of(row, "name"));
            (void)buf_append(out, BYTES(": "));
            (void)table_append_clean(out, sentence);
        }
        append_verification(row, out);
        append_observed(row, out);
    }
    json_array_foreach(json_object_get(status, "conditions"), index, row)
    {
        (void)buf_append(out, BYTES("\ncondition: "));
        (void)table_append_clean(out,
                                 json_string_value(row) != NULL ? json_string_value(row) : "-");
    }
    (void)buf_append_byte(out, '\n');
}

enum err show_status(json_t *status, struct buf *out)
{
    static const char *const headings[] = {"SERVICE", "PHASE", "WEIGHT",  "REALISED",
                                           "VERDICT", "STEP",  "CURRENT", "PREVIOUS"};
    struct table *table = NULL;
    enum err err = table_create(headings, COUNT_OF(headings), &table);
    if (err != OK) {
        return err;
    }
    size_t index;
    json_t *service;
    json_array_foreach(json_object_get(status, "services"), index, service)
    {
        add_service(table, service);
    }
    err = render(table, out);
    if (err == OK) {
        append_sentences(status, out);
    }
    return out->is_failed ? ERR_NOMEM : err;
}

enum err show_weights(json_t *status, struct buf *out)
{
    size_t index;
    json_t *service;
    json_array_foreach(json_object_get(status, "services"), index, service)
    {
        char set[FIGURE_SIZE];
        char realised[FIGURE_SIZE];
        const json_t *weight = json_object_get(service, "weight");
        (void)table_append_clean(out, text_of(service, "name"));
        (void)buf_printf(out, ": %s set, %s realised, current ",
                         figure_percent(json_object_get(weight, "set"), set),
                         figure_measured(json_object_get(weight, "realised"), realised));
        (void)table_append_clean(out, deployment_of(service, "current"));
        (void)buf_append_byte(out, '\n');
    }
    return out->is_failed ? ERR_NOMEM : OK;
}

/* ---- history ---- */

static void add_rollback(struct table *table, const json_t *record)
{
    char at[FIGURE_SIZE];
    char duration[FIGURE_SIZE];
    char status[FIGURE_LABEL_SIZE];
    const char *trigger = text_of(record, "trigger");
    bool has_words = strcmp(trigger, "manual") == 0 || strcmp(trigger, "drill") == 0;
    char reason[FIGURE_LABEL_SIZE];
    (void)snprintf(reason, sizeof reason, "%s%s%s", figure_trigger(trigger), has_words ? ": " : "",
                   has_words ? text_of(record, "reason") : "");
    table_add(table, figure_time(text_of(record, "timestamp"), at));
    table_add(table, text_of(record, "deployment"));
    table_add(table, reason);
    table_add(table, figure_seconds(json_object_get(record, "duration_s"), duration));
    table_add(table, figure_label(text_of(record, "status"), status));
}

enum err show_history(json_t *document, struct buf *out)
{
    static const char *const headings[] = {"Timestamp", "Deployment ID", "Reason", "Duration",
                                           "Status"};
    struct table *table = NULL;
    enum err err = table_create(headings, COUNT_OF(headings), &table);
    if (err != OK) {
        return err;
    }
    size_t index;
    json_t *record;
    json_array_foreach(json_object_get(document, "rollbacks"), index, record)
    {
        add_rollback(table, record);
    }
    return render(table, out);
}

static void add_period(struct table *table, const json_t *period, size_t date_size)
{
    static const char *const counts[] = {"rollbacks", "success", "failed"};
    static const char *const times[] = {"mean", "p50", "p90", "p99", "max"};
    char text[FIGURE_SIZE];
    char number[FIGURE_SIZE];
    const char *from = text_of(period, "from");
    if (date_size > 0) {
        (void)snprintf(text, sizeof text, "%.*s", (int)date_size, from);
    }
    table_add(table, date_size > 0 ? text : "all");
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        (void)snprintf(number, sizeof number, "%lld",
                       (long long)json_integer_value(json_object_get(period, counts[i])));
        table_add(table, number);
    }
    const json_t *rate = json_object_get(period, "success_rate");
    (void)snprintf(number, sizeof number, "%.1f %%", 100 * json_number_value(rate));
    table_add(table, json_is_number(rate) ? number : "-");
    const json_t *durations = json_object_get(period, "duration_s");
    for (size_t i = 0; i < COUNT_OF(times); i++) {
        table_add(table, figure_seconds(json_object_get(durations, times[i]), number));
    }
}

enum err show_summary(json_t *document, struct buf *out)
{
    enum { DATE_SIZE = sizeof "2026-11-23" - 1, MONTH_SIZE = sizeof "2026-11" - 1 };
    static const char *const headings[] = {"Since",        "Rollbacks", "Success", "Failed",
                                           "Success rate", "RTO mean",  "p50",     "p90",
                                           "p99",          "worst"};
    struct table *table = NULL;
    enum err err = table_create(headings, COUNT_OF(headings), &table);
    if (err != OK) {
        return err;
    }
    bool is_monthly = strcmp(text_of(document, "period"), "month") == 0;
    size_t index;
    json_t *period;
    json_array_foreach(json_object_get(document, "periods"), index, period)
    {
        add_period(table, period, is_monthly ? MONTH_SIZE : DATE_SIZE);
    }
    add_period(table, json_object_get(document, "total"), 0);
    return render(table, out);
}

enum err show_verification(json_t *document, struct buf *out)
{
    const json_t *anchor = json_object_get(document, "anchor");
    long long rows = (long long)json_integer_value(json_object_get(document, "rows"));
    if (json_is_true(json_object_get(document, "intact"))) {
        (void)buf_printf(out, "the audit trail is whole: %lld rows", rows);
    } else {
        (void)buf_printf(out, "the audit trail is BROKEN at row %lld: ",
                         (long long)json_integer_value(json_object_get(document, "first_bad")));
        (void)table_append_clean(out, text_of(document, "why"));
    }
    if (json_is_object(anchor)) {
        (void)buf_printf(out, "; it begins behind row %lld, what was before is in ",
                         (long long)json_integer_value(json_object_get(anchor, "seq")));
        (void)table_append_clean(out, text_of(anchor, "export"));
    }
    (void)buf_append_byte(out, '\n');
    return out->is_failed ? ERR_NOMEM : OK;
}

enum err show_export(json_t *document, struct buf *out)
{
    (void)buf_printf(out, "%lld rows are in ",
                     (long long)json_integer_value(json_object_get(document, "rows")));
    (void)table_append_clean(out, text_of(document, "path"));
    (void)buf_append_byte(out, '\n');
    return out->is_failed ? ERR_NOMEM : OK;
}

enum err show_audit(json_t *document, struct buf *out)
{
    static const char *const headings[] = {"Timestamp", "Actor", "Action", "Service", "Detail"};
    struct table *table = NULL;
    enum err err = table_create(headings, COUNT_OF(headings), &table);
    if (err != OK) {
        return err;
    }
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(document, "audit"), index, entry)
    {
        char at[FIGURE_SIZE];
        json_t *detail = json_object_get(entry, "detail");
        char *text =
            json_is_null(detail) ? NULL : json_dumps(detail, JSON_COMPACT | JSON_ENCODE_ANY);
        table_add(table, figure_time(text_of(entry, "timestamp"), at));
        table_add(table, text_of(entry, "actor"));
        table_add(table, text_of(entry, "action"));
        table_add(table, text_of(entry, "service"));
        table_add(table, text != NULL ? text : "-");
        free(text);
    }
    return render(table, out);
}

static void append_phases(const json_t *phases, struct buf *out)
{
    static const struct {
        const char *name;
        const char *label;
    } rows[] = {{"detect_s", "  detected"},       {"decide_s", "  decided"},
                {"shift_s", "  shifted"},         {"drain_s", "  drained"},
                {"platform_ack_s", "  platform"}, {"verify_s", "  verified"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[FIGURE_SIZE];
        const json_t *value = json_object_get(phases, rows[i].name);
        if (json_is_number(value)) {
            (void)snprintf(text, sizeof text, "%.2f s", json_number_value(value));
            append_line(out, rows[i].label, text);
        }
    }
}

enum err show_rollback(json_t *record, struct buf *out)
{
    char text[FIGURE_LABEL_SIZE];
    append_line(out, "rollback", text_of(record, "id"));
    append_line(out, "service", text_of(record, "service"));
    append_line(out, "from", text_of(record, "deployment"));
    append_line(out, "to", text_of(record, "target"));
    append_line(out, "reason", text_of(record, "reason"));
    append_line(out, "mode", text_of(record, "mode"));
    append_line(out, "status", figure_label(text_of(record, "status"), text));
    append_phases(json_object_get(record, "phases"), out);
    return out->is_failed ? ERR_NOMEM : OK;
}

/* ---- explain, events ---- */

enum err show_explanation(json_t *explanation, struct buf *out)
{
    char text[FIGURE_SIZE];
    if (!json_is_string(json_object_get(explanation, "service"))) {
        append_line(out, "service", "none: no route matches, the answer is 404");
        return out->is_failed ? ERR_NOMEM : OK;
    }
    append_line(out, "service", text_of(explanation, "service"));
    append_if_there(out, "matched host", explanation, "host");
    append_if_there(out, "matched path", explanation, "path");
    append_line(out, "version", text_of(explanation, "version"));
    append_line(out, "deployment", text_of(explanation, "deployment"));
    append_line(out, "because", text_of(explanation, "reason"));
    append_line(out, "weight", figure_percent(json_object_get(explanation, "weight"), text));
    json_t *bucket = json_object_get(explanation, "bucket");
    if (json_is_integer(bucket)) {
        (void)snprintf(text, sizeof text, "%lld of 1000000", (long long)json_integer_value(bucket));
        append_line(out, "bucket", text);
    }
    append_line(out, "judged", json_is_true(json_object_get(explanation, "judged")) ? "yes" : "no");
    return out->is_failed ? ERR_NOMEM : OK;
}

enum err show_event(json_t *event, struct buf *out)
{
    char at[FIGURE_SIZE];
    json_t *detail = json_object_get(event, "detail");
    bool has_kind = json_is_string(json_object_get(event, "kind"));
    (void)table_append_clean(out, figure_time(text_of(event, "timestamp"), at));
    (void)buf_append_byte(out, ' ');
    (void)table_append_clean(out, has_kind ? text_of(event, "kind") : "counters");
    if (json_is_string(json_object_get(event, "service"))) {
        (void)buf_append_byte(out, ' ');
        (void)table_append_clean(out, text_of(event, "service"));
    }
    json_t *shown = has_kind ? detail : json_object_get(event, "services");
    char *text = shown != NULL && !json_is_null(shown)
                     ? json_dumps(shown, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6))
                     : NULL;
    if (text != NULL) {
        (void)buf_append_byte(out, ' ');
        (void)table_append_clean(out, text);
        free(text);
    }
    (void)buf_append_byte(out, '\n');
    return out->is_failed ? ERR_NOMEM : OK;
}

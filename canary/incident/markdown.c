/* canary/incident/markdown.c — a report for people. Everything that is not written here is escaped:
 * it may be an attacker's. */
#include <stdio.h>
#include <string.h>

#include "canary/incident/escape.h"
#include "canary/incident/report.h"

/* ---- words ---- */

static void put(struct buf *out, const char *text)
{
    (void)buf_append(out, bytes_of(text));
}

static void put_plain(struct buf *out, const char *text)
{
    escape_markdown(out, bytes_of(text != NULL ? text : "–"));
}

/* A string, number or null of the report. */
static void put_value(struct buf *out, const json_t *value)
{
    if (json_is_string(value)) {
        escape_markdown(out, bytes_make(json_string_value(value), json_string_length(value)));
    } else if (json_is_integer(value)) {
        (void)buf_printf(out, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        (void)buf_printf(out, "%.4g", json_real_value(value));
    } else if (json_is_boolean(value)) {
        put(out, json_is_true(value) ? "yes" : "no");
    } else {
        put(out, "–");
    }
}

static void put_member(struct buf *out, const json_t *object, const char *key)
{
    put_value(out, json_object_get(object, key));
}

static void put_row(struct buf *out, const char *name, const json_t *object, const char *key)
{
    (void)buf_printf(out, "| %s | ", name);
    put_member(out, object, key);
    put(out, " |\n");
}

/* ---- sections ---- */

static void write_head(const json_t *report, struct buf *out)
{
    const json_t *record = json_object_get(report, "record");
    put(out, "# Rollback of ");
    put_member(out, record, "deployment");
    put(out, " (");
    put_member(out, report, "service");
    put(out, ")\n\n");
    if (!json_is_true(json_object_get(report, "is_complete"))) {
        put(out, "**Not complete yet**: written while the rollback was under way (stage: ");
        put_member(out, report, "stage");
        put(out, ").\n\n");
    }
    put_member(out, record, "reason");
    put(out, "\n\n| | |\n|---|---|\n");
    put_row(out, "Incident", report, "id");
    put_row(out, "Decided at", record, "timestamp");
    put_row(out, "Status", record, "status");
    put_row(out, "Trigger", record, "trigger");
    put_row(out, "By", record, "actor");
    put_row(out, "Mode", record, "mode");
    put_row(out, "Traffic went back to", record, "target");
    put_row(out, "Duration in seconds", record, "duration_s");
    put(out, "\n![Weight and failures over time](chart.svg)\n");
}

static void write_harm(const json_t *report, struct buf *out)
{
    const json_t *bad = json_object_get(json_object_get(report, "record"), "bad_responses");
    const json_t *counts = json_object_get(report, "counts");
    const json_t *clients = json_object_get(report, "clients");
    put(out, "\n## Harm\n\n| | |\n|---|---|\n");
    put_row(out, "Answers that the canary failed", bad, "origin");
    put_row(out, "… that clients saw", bad, "client");
    put_row(out, "Failed requests that were noted", counts, "failed");
    put_row(out, "… sent to the stable version instead", counts, "rescued");
    put_row(out, "… answered with what was kept", counts, "stale");
    put_row(out, "Distinct clients (stickiness buckets)", clients, "distinct");
    put_row(out, "Failed requests without a bucket", clients, "requests_without_bucket");
    if (json_is_true(json_object_get(clients, "is_at_least"))) {
        put(out, "\nThere were more clients than are told apart.\n");
    }
}

static void write_phases(const json_t *report, struct buf *out)
{
    static const struct {
        const char *key;
        const char *name;
    } phases[] = {
        {"detect_s", "detect"}, {"decide_s", "decide"}, {"shift_s", "shift"},
        {"drain_s", "drain"},   {"verify_s", "verify"}, {"platform_ack_s", "platform acknowledged"},
    };
    const json_t *record = json_object_get(report, "record");
    put(out, "\n## Recovery time\n\nSeconds from the first failure to the end of each phase.\n\n"
             "| Phase | Seconds |\n|---|---|\n");
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++) {
        put_row(out, phases[i].name, json_object_get(record, "phases"), phases[i].key);
    }
    put_row(out, "last bad answer that a client saw", json_object_get(record, "evidence"),
            "last_client_bad_s");
}

static void write_time_line(const json_t *report, struct buf *out)
{
    size_t i;
    json_t *moment;
    put(out, "\n## Time line\n\n| Time | Event | |\n|---|---|---|\n");
    json_array_foreach(json_object_get(report, "time_line"), i, moment)
    {
        put(out, "| ");
        put_member(out, moment, "timestamp");
        put(out, " | ");
        put_member(out, moment, "event");
        put(out, " | ");
        put_member(out, moment, "text");
        put(out, " |\n");
    }
}

static void write_decision(const json_t *report, struct buf *out)
{
    json_t *evidence = json_object_get(json_object_get(report, "record"), "evidence");
    const char *key;
    json_t *value;
    put(out, "\n## Decision\n\n");
    put_member(out, json_object_get(report, "record"), "reason");
    put(out, "\n\n| Number | Value |\n|---|---|\n");
    json_object_foreach(evidence, key, value)
    {
        put(out, "| ");
        put_plain(out, key);
        put(out, " | ");
        put_value(out, value);
        put(out, " |\n");
    }
}

static void write_kinds(const json_t *report, struct buf *out)
{
    const char *key;
    json_t *value;
    size_t i;
    put(out, "\n## What failed\n\n| Kind | Failed |\n|---|---|\n");
    json_object_foreach(json_object_get(report, "failures"), key, value)
    {
        put(out, "| ");
        put_plain(out, key);
        put(out, " | ");
        put_value(out, value);
        put(out, " |\n");
    }
    put(out, "\n| Status | Failed |\n|---|---|\n");
    json_array_foreach(json_object_get(report, "statuses"), i, value)
    {
        put(out, "| ");
        put_member(out, value, "status");
        put(out, " | ");
        put_member(out, value, "count");
        put(out, " |\n");
    }
}

static void write_routes(const json_t *report, struct buf *out)
{
    size_t i;
    json_t *route;
    put(out, "\n### Failing routes\n\n| Method | Route | First status | Failed | Rescued | Clients "
             "saw |\n|---|---|---|---|---|---|\n");
    json_array_foreach(json_object_get(report, "routes"), i, route)
    {
        static const char *const keys[] = {"method", "route",   "status",
                                           "failed", "rescued", "client_bad"};
        put(out, "|");
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
            put(out, " ");
            put_member(out, route, keys[k]);
            put(out, " |");
        }
        put(out, "\n");
    }
    put(out, "\nOn other routes: ");
    put_member(out, report, "other_routes");
    put(out, "\n");
}

static void write_answer(const json_t *answer, struct buf *out)
{
    put_member(out, answer, "status");
    put(out, " in ");
    put_member(out, answer, "total_ms");
    put(out, " ms, ");
    put_member(out, answer, "bytes");
    put(out, " bytes");
}

static void write_pairs(const json_t *report, struct buf *out)
{
    size_t i;
    json_t *pair;
    put(out, "\n## The same request, asked of both versions\n\n");
    if (json_array_size(json_object_get(report, "pairs")) == 0) {
        put(out, "No failed request was asked of the stable version too.\n");
        return;
    }
    put(out, "| Time | Request | Canary | Stable |\n|---|---|---|---|\n");
    json_array_foreach(json_object_get(report, "pairs"), i, pair)
    {
        put(out, "| ");
        put_member(out, pair, "timestamp");
        put(out, " | ");
        put_member(out, pair, "method");
        put(out, " ");
        put_member(out, pair, "path");
        put(out, " | ");
        write_answer(json_object_get(pair, "canary"), out);
        put(out, " | ");
        write_answer(json_object_get(pair, "stable"), out);
        put(out, " |\n");
    }
}

static void write_list(const json_t *list, const char *title, const char *bullet, struct buf *out)
{
    size_t i;
    json_t *item;
    if (json_array_size(list) == 0) {
        return;
    }
    (void)buf_printf(out, "\n## %s\n\n", title);
    json_array_foreach(list, i, item)
    {
        put(out, bullet);
        put_value(out, item);
        put(out, "\n");
    }
}

static void write_build_log(const json_t *report, struct buf *out)
{
    const json_t *tail = json_object_get(report, "build_log_end");
    if (!json_is_string(tail)) {
        return;
    }
    put(out, "\n## The end of the build log\n\n");
    escape_code(out, bytes_make(json_string_value(tail), json_string_length(tail)));
}

void report_write_markdown(const json_t *report, struct buf *out)
{
    write_head(report, out);
    write_harm(report, out);
    write_list(json_object_get(report, "next"), "What to do next", "- [ ] ", out);
    write_phases(report, out);
    write_decision(report, out);
    write_time_line(report, out);
    write_kinds(report, out);
    write_routes(report, out);
    write_pairs(report, out);
    write_build_log(report, out);
    write_list(json_object_get(report, "notes"), "What is not known", "- ", out);
    write_list(json_object_get(report, "files"), "Files", "- ", out);
}

#include "canary/incident/report.h"

#include <stdlib.h>
#include <string.h>

#include "canary/incident/chart.h"
#include "proxy/base/clock.h"
#include "proxy/base/utf8.h"

enum { TEXT_MAX = 4096, BUILD_LOG_SHOWN = 4000 };

/* ---- values ---- */

/* Strings that are not UTF-8 are repaired. */
static json_t *text_to_json(struct bytes text)
{
    json_t *value = json_stringn(text.data != NULL ? text.data : "", text.size);
    if (value != NULL) {
        return value;
    }
    struct buf repaired;
    buf_init(&repaired, 8 * (size_t)TEXT_MAX);
    (void)buf_append_json(&repaired, text);
    struct bytes bytes = buf_bytes(&repaired);
    value = json_loadb(bytes.data, bytes.size, JSON_DECODE_ANY, NULL);
    buf_finish(&repaired);
    return value;
}

static json_t *time_to_json(int64_t wall_us)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(wall_us, text);
    return json_string(text);
}

static json_t *count_to_json(uint64_t count)
{
    return json_integer(count > INT64_MAX ? INT64_MAX : (json_int_t)count);
}

static void set(json_t *object, const char *key, json_t *value)
{
    (void)json_object_set_new(object, key, value != NULL ? value : json_null());
}

/* ---- parts ---- */

static json_t *time_line_of(const struct incident_moments *moments)
{
    json_t *list = json_array();
    for (size_t i = 0; i < moments->count; i++) {
        const struct incident_moment *moment = &moments->list[i];
        (void)json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "timestamp",
                                                    time_to_json(moment->wall_us), "event",
                                                    text_to_json(bytes_of(moment->event)), "text",
                                                    text_to_json(bytes_of(moment->text))));
    }
    return list;
}

static json_t *kinds_of(const struct tally *tally)
{
    json_t *kinds = json_object();
    for (size_t i = 0; i < METRIC_FAILURE_COUNT; i++) {
        struct bytes name = metric_failure_text((enum metric_failure)i);
        if (tally->kinds[i] > 0) {
            (void)json_object_setn_new(kinds, name.data, name.size, count_to_json(tally->kinds[i]));
        }
    }
    return kinds;
}

static json_t *status_to_json(unsigned status)
{
    return status != 0 ? json_integer((json_int_t)status) : json_null();
}

static json_t *statuses_of(const struct tally *tally)
{
    json_t *list = json_array();
    for (size_t i = 0; i < tally->status_count; i++) {
        (void)json_array_append_new(
            list, json_pack("{s:o, s:o}", "status", status_to_json(tally->statuses[i].status),
                            "count", count_to_json(tally->statuses[i].count)));
    }
    return list;
}

static json_t *routes_of(const struct tally *tally, uint64_t *ret_others)
{
    json_t *list = json_array();
    *ret_others = tally->other_routes;
    for (size_t i = 0; i < tally->route_count; i++) {
        const struct tally_route *route = &tally->routes[i];
        if (i >= REPORT_ROUTES_MAX) {
            *ret_others += route->failed;
            continue;
        }
        (void)json_array_append_new(
            list, json_pack("{s:o, s:s, s:o, s:o, s:o, s:o}", "route",
                            text_to_json(bytes_of(route->route)), "method", route->method, "status",
                            status_to_json(route->status), "failed", count_to_json(route->failed),
                            "rescued", count_to_json(route->rescued), "client_bad",
                            count_to_json(route->client_bad)));
    }
    return list;
}

static json_t *clients_of(const struct tally *tally)
{
    return json_pack("{s:o, s:b, s:o}", "distinct", count_to_json(tally->bucket_count),
                     "is_at_least", tally->has_more_buckets, "requests_without_bucket",
                     count_to_json(tally->without_bucket));
}

static bool is_pair(const json_t *line)
{
    const json_t *stable = json_object_get(line, "stable");
    return json_is_true(json_object_get(line, "rescued")) &&
           json_is_true(json_object_get(stable, "answered"));
}

static json_t *pair_of(const json_t *line)
{
    static const char *const keys[] = {"timestamp",  "method", "path",  "failure",
                                       "request_id", "canary", "stable"};
    json_t *pair = json_object();
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        (void)json_object_set(pair, keys[i], json_object_get(line, keys[i]));
    }
    return pair;
}

/* Evenly out of what was described, so that not only the first seconds speak. */
static json_t *pairs_of(const struct buf *requests)
{
    json_t *all = json_array();
    struct bytes rest = buf_bytes(requests);
    struct bytes text;
    while (rest.size > 0 && bytes_next(&rest, '\n', &text)) {
        json_t *line = json_loadb(text.data, text.size, 0, NULL);
        if (line != NULL && is_pair(line)) {
            (void)json_array_append_new(all, pair_of(line));
        }
        json_decref(line);
    }
    size_t count = json_array_size(all);
    json_t *list = json_array();
    size_t taken = count < REPORT_PAIRS_MAX ? count : REPORT_PAIRS_MAX;
    for (size_t i = 0; i < taken; i++) {
        (void)json_array_append(list, json_array_get(all, i * count / taken));
    }
    json_decref(all);
    return list;
}

/* [unix_ms, weight_ppm, canary's answers, failed, stable's answers, failed] */
static json_t *point_of(const json_t *row)
{
    const json_t *canary = json_object_get(row, "canary");
    const json_t *stable = json_object_get(row, "stable");
    if (!json_is_integer(json_object_get(row, "unix_ms"))) {
        return NULL;
    }
    return json_pack("[O, O, O, O, O, O]", json_object_get(row, "unix_ms"),
                     json_object_get(row, "weight_ppm"), json_array_get(canary, 0),
                     json_array_get(canary, 1), json_array_get(stable, 0),
                     json_array_get(stable, 1));
}

static json_t *points_of(const struct buf *recording)
{
    json_t *list = json_array();
    struct bytes rest = buf_bytes(recording);
    struct bytes text;
    while (rest.size > 0 && bytes_next(&rest, '\n', &text)) {
        json_t *row = json_loadb(text.data, text.size, 0, NULL);
        json_t *point = row != NULL ? point_of(row) : NULL;
        if (point != NULL && json_array_size(list) < CHART_POINTS_MAX) {
            (void)json_array_append(list, point);
        }
        json_decref(point);
        json_decref(row);
    }
    return list;
}

/* ---- what to do ---- */

static json_t *next_of(const json_t *record)
{
    const char *deployment = json_string_value(json_object_get(record, "deployment"));
    const char *status = json_string_value(json_object_get(record, "status"));
    bool has_failed = status != NULL && strcmp(status, "failed") == 0;
    json_t *list = json_array();
    if (has_failed) {
        (void)json_array_append_new(
            list, json_string("Stable could not be confirmed: look at it first, then roll back "
                              "again by hand."));
    }
    (void)json_array_append_new(
        list, json_string("Review: the failing routes, the paired answers and requests.jsonl say "
                          "what broke."));
    (void)json_array_append_new(
        list, json_string("Fix forward: mend the cause in a new deployment; the one that failed "
                          "stays quarantined."));
    (void)json_array_append_new(
        list, json_string("Test: repeat the failing requests of requests.jsonl against the new "
                          "deployment before it gets traffic."));
    (void)json_array_append_new(list,
                                json_string("Deploy again as a canary, from its first step."));
    (void)json_array_append_new(
        list, json_sprintf("Document: the cause, and what would have found it sooner. Release %s "
                           "only with a reason.",
                           deployment != NULL ? deployment : "the deployment"));
    return list;
}

/* ---- the whole ---- */

static void note(json_t *report, json_t *text)
{
    (void)json_array_append_new(json_object_get(report, "notes"), text);
}

static void add_tally(json_t *report, const struct incident_work *work)
{
    const struct tally *tally = work->tally;
    uint64_t others = 0;
    tally_sort(work->tally);
    json_t *routes = routes_of(tally, &others);
    set(report, "counts",
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "failed", count_to_json(tally->failed),
                  "rescued", count_to_json(tally->rescued), "stale", count_to_json(tally->stale),
                  "client_bad", count_to_json(tally->client_bad), "described",
                  count_to_json(work->described), "lost", count_to_json(work->lost)));
    set(report, "failures", kinds_of(tally));
    set(report, "statuses", statuses_of(tally));
    set(report, "routes", routes);
    set(report, "other_routes", count_to_json(others));
    set(report, "clients", clients_of(tally));
    set(report, "pairs", pairs_of(&work->requests));
}

/* What the report says about processes before, if it was this one that wrote it; else NULL. */
static const json_t *own_carried(const json_t *before, const struct incident_work *work)
{
    const json_t *carried = json_object_get(before, "carried");
    bool is_own = json_integer_value(json_object_get(carried, "by")) == work->resumed_wall_us;
    return is_own ? carried : NULL;
}

/* How many elements of a list come from processes before: all, if this one has not written yet. */
static size_t carried_count(const json_t *before, const struct incident_work *work, const char *key)
{
    const json_t *carried = own_carried(before, work);
    size_t whole = json_array_size(json_object_get(before, key));
    json_int_t count = json_integer_value(json_object_get(carried, key));
    return carried != NULL && count >= 0 && (size_t)count < whole ? (size_t)count : whole;
}

/* Did a process before leave a report? */
static bool was_begun(const json_t *before, const struct incident_work *work)
{
    const json_t *carried = own_carried(before, work);
    return before != NULL && (carried == NULL || json_is_true(json_object_get(carried, "begun")));
}

/* What processes before had in a list stands in front of what this one has. */
static void put_in_front(json_t *report, const json_t *before, const char *key, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append(list, json_array_get(json_object_get(before, key), i));
    }
    (void)json_array_extend(list, json_object_get(report, key));
    set(report, key, list);
}

/* What only processes before knew (`before`; NULL: nothing). `carried` says how much of the report
 * that is, for the next time that this process writes it. */
static void take_before(json_t *report, const struct incident_work *work, const json_t *before)
{
    static const char *const values[] = {"counts",       "failures", "statuses", "routes",
                                         "other_routes", "clients",  "pairs"};
    static const char *const lists[] = {"time_line", "points", "notes"};
    bool is_begun = was_begun(before, work);
    json_t *carried =
        json_pack("{s:I, s:b, s:o, s:o}", "by", (json_int_t)work->resumed_wall_us, "begun",
                  is_begun, "requests.jsonl", count_to_json(work->carried_requests), "access.log",
                  count_to_json(work->carried_access));
    for (size_t i = 0; is_begun && i < sizeof values / sizeof values[0]; i++) {
        json_t *value = json_object_get(before, values[i]);
        if (value != NULL) {
            (void)json_object_set(report, values[i], value);
        }
    }
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        size_t count = carried_count(before, work, lists[i]);
        put_in_front(report, before, lists[i], count);
        set(carried, lists[i], count_to_json(count));
    }
    set(report, "carried", carried);
}

static void note_resumed(json_t *report, const struct incident_work *work, bool has_before)
{
    char time[CLOCK_TEXT_SIZE];
    clock_format(work->resumed_wall_us, time);
    note(
        report,
        json_sprintf(
            has_before
                ? "The process was restarted at %s: what it had gathered since it last wrote this "
                  "report is lost (failed requests, lines of the access log, the flight recording)."
                : "The process was restarted at %s before it had written anything: failed "
                  "requests, access log and flight recording of this rollback are lost; what is "
                  "told here comes from its record.",
            time));
}

static struct bytes end_of(struct bytes text)
{
    size_t skipped = text.size > BUILD_LOG_SHOWN ? text.size - BUILD_LOG_SHOWN : 0;
    return bytes_slice(text, skipped, text.size - skipped);
}

static void add_files(json_t *report, const struct incident_work *work)
{
    json_t *files = json_pack("[s, s, s, s, s]", "report.md", "report.json", "chart.svg",
                              "requests.jsonl", "access.log");
    if (buf_size(&work->build_log) > 0) {
        (void)json_array_append_new(files, json_string("build.log"));
        set(report, "build_log_end", text_to_json(end_of(buf_bytes(&work->build_log))));
    }
    set(report, "files", files);
}

json_t *report_make(const struct incident_work *work, const json_t *before)
{
    json_t *record = work->record != NULL ? json_loads(work->record, 0, NULL) : NULL;
    json_t *report =
        json_pack("{s:i, s:s, s:s, s:s, s:b, s:o, s:[], s:[], s:[], s:[]}", "serin_incident",
                  REPORT_VERSION, "id", work->id, "service", work->service, "stage", work->stage,
                  "is_complete", work->is_complete, "written", time_to_json(work->written_wall_us),
                  "time_line", "points", "pairs", "notes");
    if (report == NULL) {
        json_decref(record);
        return NULL;
    }
    set(report, "next", next_of(record));
    set(report, "record", record);
    if (work->moments != NULL) {
        set(report, "time_line", time_line_of(work->moments));
    }
    if (work->tally != NULL) {
        add_tally(report, work);
    }
    set(report, "points", points_of(&work->recording));
    if (work->resumed_wall_us != 0) {
        take_before(report, work, before);
        note_resumed(report, work, was_begun(before, work));
    }
    if (work->has_forgotten) {
        note(report, json_sprintf("More requests failed before the decision than are remembered: "
                                  "those by route and client are the last %d of them.",
                                  INCIDENT_RECENT_MAX));
    }
    if (work->lost > 0) {
        note(report, json_sprintf("%llu failed requests came faster than they could be noted: they "
                                  "are in the record's counts, not in those by route and client.",
                                  (unsigned long long)work->lost));
    }
    add_files(report, work);
    return report;
}

/* ---- the chart ---- */

static int64_t integer_at(const json_t *array, size_t index)
{
    return json_integer_value(json_array_get(array, index));
}

static uint64_t count_at(const json_t *array, size_t index)
{
    int64_t value = integer_at(array, index);
    return value > 0 ? (uint64_t)value : 0;
}

void report_write_chart(const json_t *report, struct buf *out)
{
    const json_t *points = json_object_get(report, "points");
    const json_t *record = json_object_get(report, "record");
    const json_t *first_bad = json_object_get(json_object_get(record, "evidence"), "first_bad_us");
    struct chart_point *list = calloc(CHART_POINTS_MAX, sizeof *list);
    size_t count = 0;
    for (size_t i = 0; list != NULL && i < json_array_size(points) && i < CHART_POINTS_MAX; i++) {
        const json_t *point = json_array_get(points, i);
        list[count++] = (struct chart_point){
            .wall_ms = integer_at(point, 0),
            .weight_ppm = (uint32_t)count_at(point, 1),
            .canary_count = count_at(point, 2),
            .canary_failed = count_at(point, 3),
            .stable_count = count_at(point, 4),
            .stable_failed = count_at(point, 5),
        };
    }
    struct buf title;
    buf_init(&title, 1024);
    const char *deployment = json_string_value(json_object_get(record, "deployment"));
    (void)buf_printf(&title, "%s: rollback of %s",
                     json_string_value(json_object_get(report, "service")),
                     deployment != NULL ? deployment : "the canary");
    int64_t first_bad_ms = json_integer_value(first_bad) / 1000;
    const json_t *decide_s = json_object_get(json_object_get(record, "phases"), "decide_s");
    struct chart chart = {
        .title = buf_bytes(&title),
        .points = list,
        .point_count = count,
        .first_bad_ms = first_bad_ms,
        .decided_ms = json_is_real(decide_s)
                          ? first_bad_ms + (int64_t)(json_real_value(decide_s) * 1000.0)
                          : 0,
    };
    chart_draw(&chart, out);
    buf_finish(&title);
    free(list);
}

/* The routes that only look. */
#include <string.h>

#include "canary/admin/body.h"
#include "canary/admin/routes.h"
#include "canary/admin/views.h"
#include "proxy/base/check.h"

/* Embedded at build. */
extern const char admin_openapi[];

static const struct admin_ops *ops_of(const struct admin_call *call)
{
    return call->admin->options.ops;
}

static void *context_of(const struct admin_call *call)
{
    return call->admin->options.context;
}

void route_healthz(struct admin_call *call)
{
    call_text(call, 200, "text/plain; charset=utf-8", BYTES("ok\n"));
}

void route_readyz(struct admin_call *call)
{
    struct admin_process process = {0};
    ops_of(call)->process(context_of(call), &process);
    if (process.is_ready) {
        call_text(call, 200, "text/plain; charset=utf-8", BYTES("ready\n"));
        return;
    }
    call_text(call, 503, "text/plain; charset=utf-8",
              process.is_draining ? BYTES("draining\n") : BYTES("not ready\n"));
}

void route_metrics(struct admin_call *call)
{
    struct buf text;
    buf_init(&text, ADMIN_METRICS_MAX);
    if (ops_of(call)->metrics(context_of(call), &text) == OK) {
        call_text(call, 200, "text/plain; version=0.0.4; charset=utf-8", buf_bytes(&text));
    } else {
        call_problem(call, 503, NULL, "The metrics do not fit into memory.");
    }
    buf_finish(&text);
}

void route_openapi(struct admin_call *call)
{
    call_text(call, 200, "application/json", bytes_of(admin_openapi));
}

void route_whoami(struct admin_call *call)
{
    const char *role = call->role == CONF_ROLE_OPERATOR ? "operator" : "viewer";
    call_json(call, 200, json_pack("{s:o, s:s}", "actor", view_text(call->actor), "role", role),
              NULL);
}

void route_status(struct admin_call *call)
{
    call_json(call, 200, view_status(ops_of(call), context_of(call)), NULL);
}

void route_service(struct admin_call *call)
{
    call_service(call, 200, call->parameters[0]);
}

/* ---- the flight recording ---- */

/* false: answered. */
static bool read_page(struct admin_call *call, struct admin_recording *ret_page)
{
    const struct target *target = &call->target;
    *ret_page =
        (struct admin_recording){.service = call->parameters[0], .row_max = ADMIN_RECORDING_MAX};
    for (size_t i = 0; i < target->parameter_count; i++) {
        const struct target_parameter *parameter = &target->parameters[i];
        uint64_t value = 0;
        bool is_number = bytes_to_u64(bytes_of(parameter->value), &value);
        if (strcmp(parameter->name, "limit") == 0) {
            if (!is_number || value == 0 || value > ADMIN_RECORDING_MAX) {
                call_problem(call, 422, "limit", "\"limit\" is a number from 1 to %d.",
                             ADMIN_RECORDING_MAX);
                return false;
            }
            ret_page->row_max = (size_t)value;
        } else if (strcmp(parameter->name, "after") == 0) {
            if (!is_number || value > INT64_MAX) {
                call_problem(call, 422, "after", "\"after\" is the number of a row.");
                return false;
            }
            ret_page->after = value;
        } else if (strcmp(parameter->name, "since") == 0) {
            if (!is_number || value > INT64_MAX / 1000) {
                call_problem(call, 422, "since", "\"since\" is a time in unix milliseconds.");
                return false;
            }
            ret_page->since_us = (int64_t)value * 1000;
        } else {
            call_problem(call, 400, parameter->name, "There is no such parameter here.");
            return false;
        }
    }
    return true;
}

void route_recording(struct admin_call *call)
{
    struct admin_recording page;
    if (!read_page(call, &page)) {
        return;
    }
    struct buf text;
    buf_init(&text, ADMIN_ANSWER_MAX);
    enum err err = ops_of(call)->recording(context_of(call), &page, &text);
    if (err == OK) {
        call_text(call, 200, "application/x-ndjson", buf_bytes(&text));
    } else if (err == ERR_NOT_FOUND) {
        call_problem(call, 404, "service", "There is no such service.");
    } else if (err == ERR_STATE) {
        call_problem(call, 409, NULL, "Nothing is recorded: the recorder is off.");
    } else {
        call_problem(call, 503, NULL, "The recording does not fit into memory.");
    }
    buf_finish(&text);
}

/* ---- records ---- */

static void on_list_read(struct admin_call *call, const char *name, enum err err, json_t *list)
{
    if (err == ERR_NOT_FOUND) {
        call_problem(call, 422, "before", "There is no such record to go on from.");
        return;
    }
    if (err != OK) {
        call_refuse_read(call, err);
        return;
    }
    call_json(call, 200, json_pack("{s:O}", name, list), NULL);
}

static void on_rollbacks_read(void *context, enum err err, json_t *list)
{
    on_list_read(call_of(context), "rollbacks", err, list);
}

static void on_audit_read(void *context, enum err err, json_t *list)
{
    on_list_read(call_of(context), "audit", err, list);
}

static void on_object_read(void *context, enum err err, json_t *record)
{
    struct admin_call *call = call_of(context);
    if (err != OK) {
        call_refuse_read(call, err);
        return;
    }
    call_json(call, 200, json_incref(record), NULL);
}

static bool is_query_parameter(const char *name, bool may_sum_up)
{
    return strcmp(name, "limit") == 0 || strcmp(name, "before") == 0 ||
           strcmp(name, "service") == 0 || (may_sum_up && strcmp(name, "summary") == 0);
}

/* false: answered. */
static bool read_query(struct admin_call *call, bool may_sum_up, struct history_query *ret_query)
{
    const struct target *target = &call->target;
    for (size_t i = 0; i < target->parameter_count; i++) {
        const char *name = target->parameters[i].name;
        if (!is_query_parameter(name, may_sum_up)) {
            call_problem(call, 400, name, "There is no such parameter here.");
            return false;
        }
    }
    const char *limit_text = target_parameter(target, "limit");
    uint64_t limit = 0;
    if (limit_text != NULL &&
        (!bytes_to_u64(bytes_of(limit_text), &limit) || limit == 0 || limit > HISTORY_LIST_MAX)) {
        call_problem(call, 422, "limit", "\"limit\" is a number from 1 to %d.", HISTORY_LIST_MAX);
        return false;
    }
    *ret_query = (struct history_query){
        .service = target_parameter(target, "service"),
        .before = target_parameter(target, "before"),
        .limit = (size_t)limit,
    };
    return true;
}

static bool has_history(struct admin_call *call)
{
    if (call->admin->options.history == NULL) {
        call_problem(call, 503, NULL, "There is no state file.");
        return false;
    }
    return true;
}

static void read_list(struct admin_call *call,
                      enum err (*read)(struct history *, const struct history_query *,
                                       history_on_read *, void *),
                      history_on_read *on_read)
{
    struct history_query query;
    if (!has_history(call) || !read_query(call, false, &query)) {
        return;
    }
    enum err err = read(call->admin->options.history, &query, on_read, call);
    if (err != OK) {
        call_refuse_read(call, err);
    }
}

/* By period instead of one by one. False: answered. */
static bool find_period(struct admin_call *call, const char *name, enum history_period *ret_period)
{
    static const char *const names[] = {"day", "week", "month"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strcmp(names[i], name) == 0) {
            *ret_period = (enum history_period)i;
            return true;
        }
    }
    call_problem(call, 422, "summary", "\"summary\" is day, week or month.");
    return false;
}

static void read_summary(struct admin_call *call, const char *period)
{
    struct history_query query;
    if (!has_history(call) || !read_query(call, true, &query) ||
        !find_period(call, period, &query.period)) {
        return;
    }
    if (query.before != NULL) {
        call_problem(call, 400, "before", "A summary has no \"before\".");
        return;
    }
    enum err err = history_read_summary(call->admin->options.history, &query, on_object_read, call);
    if (err != OK) {
        call_refuse_read(call, err);
    }
}

void route_rollbacks(struct admin_call *call)
{
    const char *period = target_parameter(&call->target, "summary");
    if (period != NULL) {
        read_summary(call, period);
    } else {
        read_list(call, history_read_rollbacks, on_rollbacks_read);
    }
}

/* A file more on the disk: told by the trail, which the file then has. */
void route_audit_export(struct admin_call *call)
{
    json_t *document = NULL;
    if (!has_history(call) || !body_read(call, NULL, 0, &document)) {
        return;
    }
    json_decref(document);
    struct history_audit audit = {.at_us = clock_wall_us(call->admin->options.clock),
                                  .actor = call->actor,
                                  .action = "history.export"};
    struct history *history = call->admin->options.history;
    enum err err =
        history_write(history, &(struct history_change){.audit = &audit}, HISTORY_SOON, NULL, NULL);
    if (err == OK) {
        err = history_export(history, NULL, on_object_read, call);
    }
    if (err != OK) {
        call_refuse_read(call, err);
    }
}

void route_audit_verify(struct admin_call *call)
{
    if (!has_history(call)) {
        return;
    }
    enum err err = history_verify(call->admin->options.history, on_object_read, call);
    if (err != OK) {
        call_refuse_read(call, err);
    }
}

void route_audit(struct admin_call *call)
{
    read_list(call, history_read_audit, on_audit_read);
}

void route_rollback(struct admin_call *call)
{
    if (!has_history(call)) {
        return;
    }
    json_t *record = ops_of(call)->record_find(context_of(call), call->parameters[0]);
    if (record != NULL) {
        call_json(call, 200, record, NULL);
        return;
    }
    enum err err = history_read_rollback(call->admin->options.history, call->parameters[0],
                                         on_object_read, call);
    if (err != OK) {
        call_refuse_read(call, err);
    }
}

/* ---- incidents ---- */

static const struct {
    const char *ending;
    enum admin_report report;
} report_endings[] = {
    {".json", ADMIN_REPORT_JSON},
    {".md", ADMIN_REPORT_MARKDOWN},
    {".svg", ADMIN_REPORT_CHART},
};

/* "ID", "ID.json", "ID.md" or "ID.svg". */
void route_incident(struct admin_call *call)
{
    struct bytes name = bytes_of(call->parameters[0]);
    enum admin_report report = ADMIN_REPORT_JSON;
    if (call->target.parameter_count > 0) {
        call_problem(call, 400, call->target.parameters[0].name,
                     "There is no such parameter here.");
        return;
    }
    for (size_t i = 0; i < COUNT_OF(report_endings); i++) {
        struct bytes ending = bytes_of(report_endings[i].ending);
        if (bytes_ends_with(name, ending)) {
            report = report_endings[i].report;
            name = bytes_slice(name, 0, name.size - ending.size);
            break;
        }
    }
    char *id = arena_alloc(&call->arena, name.size + 1);
    if (id == NULL) {
        call_json(call, 503, NULL, NULL);
        return;
    }
    memcpy(id, name.data, name.size);
    id[name.size] = '\0';
    ops_of(call)->incident(context_of(call), call, id, report);
}

/* ---- explain ---- */

enum { EXPLAIN_FIELDS_MAX = 32 };

static bool split_url(struct admin_call *call, const char *url, struct admin_explain_query *query)
{
    struct bytes text = bytes_of(url);
    struct bytes scheme = BYTES("http://");
    if (bytes_starts_with(text, BYTES("https://"))) {
        scheme = BYTES("https://");
    } else if (!bytes_starts_with(text, scheme)) {
        call_problem(call, 422, "url", "\"url\" must begin with http:// or https://.");
        return false;
    }
    struct bytes rest = bytes_slice(text, scheme.size, text.size - scheme.size);
    size_t cut = bytes_find(rest, '/');
    size_t question = bytes_find(rest, '?');
    cut = question < cut ? question : cut;
    query->host = bytes_slice(rest, 0, cut);
    query->path = bytes_slice(rest, cut, rest.size - cut);
    if (query->host.size == 0) {
        call_problem(call, 422, "url", "\"url\" has no host.");
        return false;
    }
    if (query->path.size == 0 || query->path.data[0] == '?') {
        struct bytes tail = query->path;
        char *path = arena_alloc(&call->arena, tail.size + 1);
        if (path == NULL) {
            call_json(call, 503, NULL, NULL);
            return false;
        }
        path[0] = '/';
        if (tail.size > 0) {
            memcpy(path + 1, tail.data, tail.size);
        }
        query->path = bytes_make(path, tail.size + 1);
    }
    return true;
}

static bool is_field_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if (((unsigned char)*text < 0x20 && *text != '\t') || *text == 0x7F) {
            return false;
        }
    }
    return true;
}

static bool add_field(struct admin_call *call, const char *name, const json_t *value,
                      struct field items[EXPLAIN_FIELDS_MAX], size_t *count)
{
    if (*count == EXPLAIN_FIELDS_MAX) {
        call_problem(call, 422, "headers", "\"headers\" may have %d values.", EXPLAIN_FIELDS_MAX);
        return false;
    }
    if (!json_is_string(value) || !is_field_text(json_string_value(value))) {
        call_problem(call, 422, name,
                     "A header's value must be a string on one line, or a list of such.");
        return false;
    }
    struct bytes name_bytes = bytes_of(name);
    items[(*count)++] = (struct field){
        .name = name_bytes,
        .value = bytes_trim(bytes_of(json_string_value(value))),
        .id = field_id_of(name_bytes),
    };
    return true;
}

static bool read_fields(struct admin_call *call, json_t *headers,
                        struct field items[EXPLAIN_FIELDS_MAX], struct fields *ret_fields)
{
    size_t count = 0;
    const char *name;
    json_t *value;
    json_object_foreach(headers, name, value)
    {
        bool is_list = json_is_array(value);
        for (size_t i = 0; i < (is_list ? json_array_size(value) : 1); i++) {
            if (!add_field(call, name, is_list ? json_array_get(value, i) : value, items, &count)) {
                return false;
            }
        }
    }
    *ret_fields = (struct fields){items, count};
    return true;
}

void route_explain(struct admin_call *call)
{
    enum { URL, HEADERS, CLIENT, COUNT };
    struct body_member members[COUNT] = {
        [URL] = {"url", BODY_STRING, true, NULL},
        [HEADERS] = {"headers", BODY_OBJECT, false, NULL},
        [CLIENT] = {"client", BODY_STRING, false, NULL},
    };
    json_t *document = NULL;
    if (!body_read(call, members, COUNT, &document)) {
        return;
    }
    struct field items[EXPLAIN_FIELDS_MAX];
    struct admin_explain_query query = {0};
    if (split_url(call, json_string_value(members[URL].value), &query) &&
        read_fields(call, members[HEADERS].value, items, &query.fields)) {
        query.client = bytes_of(json_string_value(members[CLIENT].value));
        struct admin_explanation explanation = {0};
        ops_of(call)->explain(context_of(call), &query, &explanation);
        call_json(call, 200, view_explanation(&explanation), NULL);
    }
    json_decref(document);
}

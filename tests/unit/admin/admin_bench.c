#include "tests/unit/admin/admin_bench.h"

#include <arpa/inet.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/check.h"

/* ---- the controller that pretends ---- */

static bool fake_service_at(void *context, size_t index, struct admin_service *ret_service)
{
    const struct fake_controller *fake = context;
    if (index > 0) {
        return false;
    }
    *ret_service = fake->service;
    return true;
}

static bool fake_service_find(void *context, const char *name, struct admin_service *ret_service)
{
    const struct fake_controller *fake = context;
    if (strcmp(name, fake->service.name) != 0) {
        return false;
    }
    *ret_service = fake->service;
    return true;
}

static void fake_process(void *context, struct admin_process *ret_process)
{
    const struct fake_controller *fake = context;
    *ret_process = (struct admin_process){.version = "0.1.0",
                                          .started_us = 1795412345678901,
                                          .workers = 2,
                                          .client_connections = 17,
                                          .is_ready = fake->is_ready,
                                          .is_draining = !fake->is_ready};
}

static size_t fake_conditions(void *context, const char **texts, size_t max)
{
    (void)context;
    CHECK(max > 0);
    texts[0] = "state file serin.db: cannot be written";
    return 1;
}

static enum err fake_metrics(void *context, struct buf *out)
{
    (void)context;
    return buf_append(out, BYTES("serin_build_info 1\n"));
}

static enum err fake_recording(void *context, const struct admin_recording *page, struct buf *out)
{
    const struct fake_controller *fake = context;
    if (strcmp(page->service, fake->service.name) != 0) {
        return ERR_NOT_FOUND;
    }
    return fake->is_ready ? buf_printf(out, "{\"after\":%llu,\"since\":%lld,\"max\":%zu}\n",
                                       (unsigned long long)page->after, (long long)page->since_us,
                                       page->row_max)
                          : ERR_STATE;
}

static void fake_incident(void *context, struct admin_call *call, const char *id,
                          enum admin_report report)
{
    static const char *const texts[] = {
        [ADMIN_REPORT_JSON] = "{}", [ADMIN_REPORT_MARKDOWN] = "# x", [ADMIN_REPORT_CHART] = "<x/>"};
    (void)context;
    if (strcmp(id, "rb-1") != 0 && strcmp(id, "x") != 0) {
        admin_reply(call, &(struct admin_reply){.result = ADMIN_UNKNOWN});
        return;
    }
    admin_reply_text(call, "text/plain", NULL, bytes_of(texts[report]));
}

static void fake_explain(void *context, const struct admin_explain_query *query,
                         struct admin_explanation *ret_explanation)
{
    struct fake_controller *fake = context;
    int used = snprintf(fake->explained, sizeof fake->explained, "%.*s|%.*s|",
                        BYTES_ARGS(query->host), BYTES_ARGS(query->path));
    for (size_t i = 0; i < query->fields.count; i++) {
        used += snprintf(fake->explained + used, sizeof fake->explained - (size_t)used, "%s%.*s",
                         i > 0 ? ", " : "", BYTES_ARGS(query->fields.items[i].value));
    }
    (void)snprintf(fake->explained + used, sizeof fake->explained - (size_t)used, "|%.*s",
                   BYTES_ARGS(query->client));
    if (bytes_equal(query->host, BYTES("nobody.example"))) {
        return;
    }
    *ret_explanation = (struct admin_explanation){.service = "showcase",
                                                  .host = "*",
                                                  .path = "/",
                                                  .role = "current",
                                                  .deployment = "d7a3f2b",
                                                  .reason = "sticky",
                                                  .is_judged = true,
                                                  .has_bucket = true,
                                                  .bucket = 4711,
                                                  .weight_ppm = 100000};
}

static void reply_with(struct fake_controller *fake, struct admin_call *call)
{
    json_t *record = json_pack("{s:s, s:s}", "id", "r1", "status", "in_progress");
    struct admin_reply reply = {.result = fake->result};
    bool is_start = strncmp(fake->last, "start ", 6) == 0;
    if (!is_start && (fake->result == ADMIN_ACCEPTED || fake->result == ADMIN_REPLAYED)) {
        reply.body = record;
    } else if (is_start || fake->result == ADMIN_DONE) {
        reply.service = fake->service.name;
    } else {
        reply.detail = "It is not to be.";
        reply.field = "service";
    }
    admin_reply(call, &reply);
    json_decref(record);
}

static void asked(struct fake_controller *fake, struct admin_call *call)
{
    fake->asked++;
    if (fake->is_late) {
        CHECK(fake->kept == NULL);
        fake->kept = call;
        return;
    }
    reply_with(fake, call);
}

static void fake_set_weight(void *context, struct admin_call *call,
                            const struct admin_weight_change *change)
{
    struct fake_controller *fake = context;
    (void)snprintf(fake->last, sizeof fake->last, "weight %s %u rev=%lld by %s", change->service,
                   change->weight_ppm, change->has_revision ? (long long)change->revision : -1,
                   change->actor);
    asked(fake, call);
}

static void fake_rollback(void *context, struct admin_call *call,
                          const struct admin_rollback *rollback)
{
    struct fake_controller *fake = context;
    if (rollback->is_build) {
        (void)snprintf(fake->last, sizeof fake->last, "build %s '%s' of %s expects %s%s key=%s",
                       rollback->service, rollback->reason,
                       rollback->deployment ? rollback->deployment : "-",
                       rollback->expect_current ? rollback->expect_current : "-",
                       rollback->is_instant ? " instant" : "", rollback->key ? rollback->key : "-");
        asked(fake, call);
        return;
    }
    (void)snprintf(fake->last, sizeof fake->last, "rollback %s '%s'%s%s key=%s by %s",
                   rollback->service, rollback->reason, rollback->is_instant ? " instant" : "",
                   rollback->is_dry_run ? " dry" : "", rollback->key ? rollback->key : "-",
                   rollback->actor);
    asked(fake, call);
}

static void fake_rollout(void *context, struct admin_call *call,
                         const struct admin_rollout *rollout)
{
    static const char *const verbs[] = {"pause", "resume", "promote", "abort"};
    struct fake_controller *fake = context;
    (void)snprintf(fake->last, sizeof fake->last, "%s %s rev=%lld by %s%s", verbs[rollout->verb],
                   rollout->service, rollout->has_revision ? (long long)rollout->revision : -1,
                   rollout->actor, rollout->is_full ? " full" : "");
    asked(fake, call);
}

static void fake_start(void *context, struct admin_call *call, const struct admin_start *start)
{
    struct fake_controller *fake = context;
    int size = snprintf(fake->last, sizeof fake->last, "start %s %s %s=", start->service,
                        start->deployment ? start->deployment : "-", start->url_field);
    for (size_t i = 0; i < start->url_count; i++) {
        size += snprintf(fake->last + size, sizeof fake->last - (size_t)size, "%s%s",
                         i > 0 ? "," : "", start->urls[i]);
    }
    for (size_t i = 0; i < start->step_count; i++) {
        size += snprintf(fake->last + size, sizeof fake->last - (size_t)size, " %lld",
                         start->steps_ppm[i] == CONF_STEP_PAUSE ? -1LL
                                                                : (long long)start->steps_ppm[i]);
    }
    (void)snprintf(fake->last + size, sizeof fake->last - (size_t)size, " key=%s rev=%lld by %s",
                   start->key ? start->key : "-",
                   start->has_revision ? (long long)start->revision : -1, start->actor);
    asked(fake, call);
}

static json_t *fake_record_find(void *context, const char *id)
{
    (void)context;
    return strcmp(id, "rb-new") == 0 ? json_pack("{s:s, s:s}", "id", id, "status", "in_progress")
                                     : NULL;
}

static void fake_release(void *context, struct admin_call *call,
                         const struct admin_release *release)
{
    struct fake_controller *fake = context;
    (void)snprintf(fake->last, sizeof fake->last, "release %s/%s '%s' by %s", release->service,
                   release->deployment, release->reason, release->actor);
    asked(fake, call);
}

static void fake_drill(void *context, struct admin_call *call, const struct admin_drill *drill)
{
    struct fake_controller *fake = context;
    (void)snprintf(fake->last, sizeof fake->last, "drill %s key %s by %s", drill->service,
                   drill->key != NULL ? drill->key : "-", drill->actor);
    asked(fake, call);
}

static void fake_purge(void *context, struct admin_call *call, const struct admin_purge *purge)
{
    struct fake_controller *fake = context;
    (void)snprintf(fake->last, sizeof fake->last, "purge %s%s of %s by %s",
                   purge->host != NULL ? purge->host : "", purge->path, purge->service,
                   purge->actor);
    asked(fake, call);
}

static void fake_reload(void *context, struct admin_call *call, const char *actor)
{
    struct fake_controller *fake = context;
    (void)snprintf(fake->last, sizeof fake->last, "reload by %s", actor);
    asked(fake, call);
}

static void fake_config_check(void *context, struct admin_call *call, struct bytes text)
{
    struct fake_controller *fake = context;
    fake->asked++;
    (void)snprintf(fake->last, sizeof fake->last, "check %zu", text.size);
    if (text.size > 0 && text.data[0] == '!') {
        json_t *errors = json_pack("[s, s]", "f.yaml:1:1: no", "f.yaml:2:3: no");
        struct admin_reply reply = {
            .result = ADMIN_INVALID, .detail = "2 errors.", .errors = errors};
        admin_reply(call, &reply);
        json_decref(errors);
        return;
    }
    struct admin_reply reply = {.result = ADMIN_DONE};
    admin_reply(call, &reply);
}

const struct admin_ops fake_ops = {
    .service_at = fake_service_at,
    .service_find = fake_service_find,
    .process = fake_process,
    .conditions = fake_conditions,
    .metrics = fake_metrics,
    .recording = fake_recording,
    .incident = fake_incident,
    .explain = fake_explain,
    .record_find = fake_record_find,
    .set_weight = fake_set_weight,
    .rollback = fake_rollback,
    .rollout = fake_rollout,
    .start = fake_start,
    .drill = fake_drill,
    .release = fake_release,
    .purge = fake_purge,
    .reload = fake_reload,
    .config_check = fake_config_check,
};

/* ---- asking ---- */

void admin_bench_init(struct admin_bench *bench, struct history *history)
{
    memset(bench, 0, sizeof *bench);
    bench->fake.is_ready = true;
    bench->fake.service = (struct admin_service){
        .name = "showcase",
        .phase = "progressing",
        .revision = 7,
        .weight_ppm = 100000,
        .realised_ratio = 0.0998,
        .is_mirroring = true,
        .mirror_ppm = 50000,
        .mirrored = 120,
        .mirror_dropped = 3,
        .cache = {.is_on = true,
                  .mode = "fallback",
                  .bytes = 4096,
                  .size = 1048576,
                  .entries = 2,
                  .requests = {[METRIC_CACHE_STALE] = 5}},
        .verdict = "suspicious",
        .reason = "absolute",
        .sentence = "Too many fail.",
        .step = 2,
        .step_count = 5,
        .current = {.deployment = "d7a3f2b",
                    .url = "http://127.0.0.1:81",
                    .endpoints = 2,
                    .endpoints_live = 1,
                    .requests = 120,
                    .failures = 34,
                    .client_bad = 3},
        .previous = {.deployment = "9c2e1a4", .url = "http://127.0.0.1:80"},
        .ladder_ppm = {50000, ADMIN_PAUSE_STEP, 1000000},
        .ladder_count = 3,
        .evidence = {{"absolute", 2.5, 7.8}, {"relative", -(double)INFINITY, 0}},
        .evidence_count = 2,
        .observed = {{.name = "strict",
                      .verdict = "breach",
                      .reason = "absolute",
                      .sentence = {"4 of 9 failed"},
                      .has_breached = true,
                      .breached_us = 1795412345678901,
                      .after_s = 12.5,
                      .failed = 4,
                      .client_bad = 1},
                     {.name = "lax", .verdict = "ok", .sentence = {"fine"}}},
        .observed_count = 2,
        .quarantines = {{"bad1", "it was rolled back", 1795412345678901}},
        .quarantine_count = 1,
    };
    struct sockaddr_in *address = &bench->conf.address.socket.v4;
    address->sin_family = AF_INET;
    address->sin_port = htons(9901);
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bench->conf.address.socket_size = sizeof *address;
    bench->conf.address.text = "127.0.0.1:9901";
    bench->authority = "127.0.0.1:9901";
    struct admin_options options = {.ops = &fake_ops,
                                    .context = &bench->fake,
                                    .history = history,
                                    .clock = clock_system(),
                                    .conf = &bench->conf};
    struct note note = {""};
    assert_int_equal(admin_create(&options, &bench->admin, &note), OK);
}

void admin_bench_finish(struct admin_bench *bench)
{
    admin_destroy(bench->admin);
}

void with(struct admin_bench *bench, const char *name, const char *value)
{
    CHECK(bench->field_count < COUNT_OF(bench->fields));
    bench->fields[bench->field_count++] =
        (struct field){bytes_of(name), bytes_of(value), field_id_of(bytes_of(name))};
}

static void keep(char *to, size_t size, const char *text)
{
    (void)snprintf(to, size, "%s", text != NULL ? text : "");
}

static void on_answer(void *context, const struct admin_answer *answer)
{
    struct admin_bench *bench = context;
    bench->answers++;
    bench->status = answer->status;
    bench->is_stream = answer->is_stream;
    bench->last_event = answer->last_event;
    keep(bench->content_type, sizeof bench->content_type, answer->content_type);
    keep(bench->etag, sizeof bench->etag, answer->etag);
    keep(bench->location, sizeof bench->location, answer->location);
    keep(bench->allow, sizeof bench->allow, answer->allow);
    keep(bench->www_authenticate, sizeof bench->www_authenticate, answer->www_authenticate);
    CHECK(answer->body.size < sizeof bench->body);
    (void)snprintf(bench->body, sizeof bench->body, "%.*s", BYTES_ARGS(answer->body));
}

unsigned ask(struct admin_bench *bench, enum method method, const char *target, const char *body)
{
    struct fields fields = {bench->fields, bench->field_count};
    struct admin_request request = {
        .method = method,
        .target = bytes_of(target),
        .authority = bytes_of(bench->authority),
        .is_tls = bench->is_tls,
        .fields = &fields,
        .body = bytes_of(body),
    };
    unsigned answers = bench->answers;
    bench->status = 0;
    struct admin_call *call = admin_handle(bench->admin, &request, on_answer, bench);
    bench->field_count = 0;
    assert_int_equal(bench->answers - answers, call == NULL ? 1 : 0);
    return bench->status;
}

unsigned ask_json(struct admin_bench *bench, enum method method, const char *target,
                  const char *body)
{
    with(bench, "Content-Type", "application/json");
    return ask(bench, method, target, body);
}

void fake_answer(struct admin_bench *bench)
{
    struct admin_call *call = bench->fake.kept;
    bench->fake.kept = NULL;
    reply_with(&bench->fake, call);
}

json_t *answer_json(const struct admin_bench *bench)
{
    json_t *document = json_loads(bench->body, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(document);
    return document;
}

void assert_problem(const struct admin_bench *bench, unsigned status, const char *field)
{
    assert_int_equal(bench->status, status);
    assert_string_equal(bench->content_type, "application/problem+json");
    json_t *problem = answer_json(bench);
    assert_int_equal(json_integer_value(json_object_get(problem, "status")), status);
    assert_non_null(json_string_value(json_object_get(problem, "title")));
    assert_true(json_string_length(json_object_get(problem, "detail")) > 0);
    const char *named = json_string_value(json_object_get(problem, "field"));
    if (field == NULL) {
        assert_null(named);
    } else {
        assert_non_null(named);
        assert_string_equal(named, field);
    }
    json_decref(problem);
}

#include "canary/admin/views.h"

#include <math.h>

json_t *view_text(const char *text)
{
    if (text == NULL) {
        return json_null();
    }
    json_t *string = json_string(text);
    if (string != NULL) {
        return string;
    }
    struct buf repaired;
    buf_init(&repaired, ADMIN_ANSWER_MAX);
    enum err err = buf_append_json(&repaired, bytes_of(text));
    struct bytes bytes = buf_bytes(&repaired);
    string = err == OK ? json_loadb(bytes.data, bytes.size, JSON_DECODE_ANY, NULL) : NULL;
    buf_finish(&repaired);
    return string;
}

json_t *view_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *view_percent(uint32_t ppm)
{
    return json_real(ppm / 10000.0);
}

json_t *view_time(int64_t wall_us)
{
    char text[CLOCK_TEXT_SIZE];
    clock_format(wall_us, text);
    return json_string(text);
}

static json_int_t count_of(uint64_t count)
{
    return count > INT64_MAX ? INT64_MAX : (json_int_t)count;
}

static json_t *view_weight(const struct admin_service *service)
{
    return json_pack("{s:o, s:o}", "set", view_percent(service->weight_ppm), "realised",
                     view_number(service->realised_ratio * 100));
}

static json_t *view_version(const struct admin_version *version)
{
    if (version->deployment == NULL) {
        return json_null();
    }
    return json_pack("{s:o, s:o, s:{s:i, s:i}, s:I, s:I, s:I, s:I}", "deployment",
                     view_text(version->deployment), "url", view_text(version->url), "endpoints",
                     "all", (int)version->endpoints, "live", (int)version->endpoints_live,
                     "requests", count_of(version->requests), "failures",
                     count_of(version->failures), "client_bad", count_of(version->client_bad),
                     "in_flight", count_of(version->in_flight));
}

static json_t *view_observed_breach(const struct admin_observed *observed)
{
    if (!observed->has_breached) {
        return json_null();
    }
    return json_pack("{s:o, s:o, s:I, s:I, s:b}", "at", view_time(observed->breached_us), "after_s",
                     view_number(observed->after_s), "failed", count_of(observed->failed),
                     "client_bad", count_of(observed->client_bad), "instant",
                     (int)observed->is_instant);
}

static json_t *view_observed(const struct admin_service *service)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < service->observed_count; i++) {
        const struct admin_observed *observed = &service->observed[i];
        json_t *row = json_pack(
            "{s:o, s:o, s:o, s:o, s:o}", "name", view_text(observed->name), "verdict",
            view_text(observed->verdict), "reason", view_text(observed->reason), "sentence",
            view_text(observed->sentence.text), "breach", view_observed_breach(observed));
        if (row == NULL || json_array_append_new(list, row) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

/* null where nothing is to be mirrored. */
static json_t *view_mirror(const struct admin_service *service)
{
    if (service->mirror_ppm == 0) {
        return json_null();
    }
    return json_pack("{s:o, s:b, s:I, s:I}", "share", view_percent(service->mirror_ppm), "active",
                     (int)service->is_mirroring, "requests", count_of(service->mirrored), "dropped",
                     count_of(service->mirror_dropped));
}

/* null where nothing is kept. */
static json_t *view_cache(const struct admin_cache *cache)
{
    if (!cache->is_on) {
        return json_null();
    }
    json_t *requests = json_object();
    for (size_t i = 0; requests != NULL && i < METRIC_CACHE_COUNT; i++) {
        const char *result = metric_cache_text((enum metric_cache)i).data;
        if (json_object_set_new(requests, result, json_integer(count_of(cache->requests[i]))) !=
            0) {
            json_decref(requests);
            requests = NULL;
        }
    }
    return json_pack("{s:o, s:I, s:I, s:I, s:o}", "mode", view_text(cache->mode), "bytes",
                     count_of(cache->bytes), "size", count_of(cache->size), "entries",
                     count_of(cache->entries), "requests", requests);
}

/* null while nothing is to be confirmed. */
static json_t *view_verification(const struct admin_service *service)
{
    if (!service->is_verifying) {
        return json_null();
    }
    return json_pack("{s:I, s:I, s:o}", "good_looks", count_of(service->good_looks), "needed",
                     count_of(service->looks_needed), "trouble", view_text(service->trouble));
}

json_t *view_service_short(const struct admin_service *service)
{
    return json_pack("{s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:i, s:i, s:b, s:b, s:o, s:o, s:o, s:o, "
                     "s:o, s:o}",
                     "name", view_text(service->name), "phase", view_text(service->phase),
                     "revision", count_of(service->revision), "weight", view_weight(service),
                     "verdict", view_text(service->verdict), "reason", view_text(service->reason),
                     "sentence", view_text(service->sentence), "step", service->step, "steps",
                     service->step_count, "contained", (int)service->is_contained, "started",
                     (int)service->is_started, "mirror", view_mirror(service), "cache",
                     view_cache(&service->cache), "verification", view_verification(service),
                     "current", view_version(&service->current), "previous",
                     view_version(&service->previous), "observed", view_observed(service));
}

static json_t *view_evidence(const struct admin_service *service)
{
    json_t *evidence = json_object();
    for (size_t i = 0; evidence != NULL && i < service->evidence_count; i++) {
        const struct admin_evidence *test = &service->evidence[i];
        if (json_object_set_new(evidence, test->name, view_number(test->value)) != 0) {
            json_decref(evidence);
            evidence = NULL;
        }
    }
    return evidence;
}

/* What the evidence of each test must reach; tests without a bar of their own are not in it. */
static json_t *view_thresholds(const struct admin_service *service)
{
    json_t *thresholds = json_object();
    for (size_t i = 0; thresholds != NULL && i < service->evidence_count; i++) {
        const struct admin_evidence *test = &service->evidence[i];
        if (test->threshold > 0 &&
            json_object_set_new(thresholds, test->name, view_number(test->threshold)) != 0) {
            json_decref(thresholds);
            thresholds = NULL;
        }
    }
    return thresholds;
}

static json_t *view_ladder(const struct admin_service *service)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < service->ladder_count; i++) {
        uint32_t ppm = service->ladder_ppm[i];
        json_t *step = ppm == ADMIN_PAUSE_STEP ? json_string("pause") : view_percent(ppm);
        if (step == NULL || json_array_append_new(list, step) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *view_quarantines(const struct admin_service *service)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < service->quarantine_count; i++) {
        const struct admin_quarantine *quarantine = &service->quarantines[i];
        json_t *row =
            json_pack("{s:o, s:o, s:o}", "deployment", view_text(quarantine->deployment), "reason",
                      view_text(quarantine->reason), "since", view_time(quarantine->since_us));
        if (row == NULL || json_array_append_new(list, row) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

json_t *view_service(const struct admin_service *service)
{
    json_t *view = view_service_short(service);
    json_t *more =
        json_pack("{s:o, s:o, s:o, s:o, s:o}", "rollback", view_text(service->rollback_id),
                  "evidence", view_evidence(service), "thresholds", view_thresholds(service),
                  "ladder", view_ladder(service), "quarantine", view_quarantines(service));
    bool is_whole = view != NULL && more != NULL && json_object_update(view, more) == 0;
    json_decref(more);
    if (!is_whole) {
        json_decref(view);
        return NULL;
    }
    return view;
}

static json_t *view_services(const struct admin_ops *ops, void *context,
                             json_t *(*view)(const struct admin_service *))
{
    json_t *list = json_array();
    struct admin_service service = {0};
    for (size_t i = 0; list != NULL && ops->service_at(context, i, &service); i++) {
        json_t *row = view(&service);
        if (row == NULL || json_array_append_new(list, row) != 0) {
            json_decref(list);
            list = NULL;
        }
        service = (struct admin_service){0};
    }
    return list;
}

static json_t *view_conditions(const struct admin_ops *ops, void *context)
{
    const char *texts[ADMIN_CONDITIONS_MAX];
    size_t count = ops->conditions(context, texts, ADMIN_CONDITIONS_MAX);
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < count; i++) {
        if (json_array_append_new(list, view_text(texts[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

static json_t *view_process(const struct admin_ops *ops, void *context)
{
    struct admin_process process = {0};
    ops->process(context, &process);
    return json_pack("{s:o, s:o, s:i, s:I, s:b, s:b}", "version", view_text(process.version),
                     "started", view_time(process.started_us), "workers", (int)process.workers,
                     "client_connections", count_of(process.client_connections), "ready",
                     (int)process.is_ready, "draining", (int)process.is_draining);
}

json_t *view_status(const struct admin_ops *ops, void *context)
{
    return json_pack("{s:o, s:o, s:o}", "services", view_services(ops, context, view_service_short),
                     "conditions", view_conditions(ops, context), "process",
                     view_process(ops, context));
}

static json_t *view_counts(const struct admin_version *version)
{
    return json_pack("{s:I, s:I, s:I, s:I}", "requests", count_of(version->requests), "failures",
                     count_of(version->failures), "client_bad", count_of(version->client_bad),
                     "in_flight", count_of(version->in_flight));
}

static json_t *view_service_counters(const struct admin_service *service)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o}", "name", view_text(service->name),
                     "phase", view_text(service->phase), "weight", view_weight(service), "verdict",
                     view_text(service->verdict), "reason", view_text(service->reason), "contained",
                     (int)service->is_contained, "current", view_counts(&service->current),
                     "previous", view_counts(&service->previous));
}

json_t *view_counters(const struct admin_ops *ops, void *context, int64_t now_us)
{
    return json_pack("{s:o, s:o}", "timestamp", view_time(now_us), "services",
                     view_services(ops, context, view_service_counters));
}

json_t *view_explanation(const struct admin_explanation *explanation)
{
    if (explanation->service == NULL) {
        return json_pack("{s:n}", "service");
    }
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:o, s:o}", "service", view_text(explanation->service),
        "host", view_text(explanation->host), "path", view_text(explanation->path), "version",
        view_text(explanation->role), "deployment", view_text(explanation->deployment), "reason",
        view_text(explanation->reason), "judged", (int)explanation->is_judged, "bucket",
        explanation->has_bucket ? json_integer(explanation->bucket) : json_null(), "weight",
        view_percent(explanation->weight_ppm));
}

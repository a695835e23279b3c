/* The routes that change something. Each reads its body, checks what needs no controller, and hands
 * the call to an op. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "canary/admin/body.h"
#include "canary/admin/routes.h"
#include "proxy/base/check.h"
#include "proxy/base/hash.h"

enum { KEY_LENGTH_MAX = 100, FINGERPRINT_SIZE = 17 };

static const struct admin_ops *ops_of(const struct admin_call *call)
{
    return call->admin->options.ops;
}

static void *context_of(const struct admin_call *call)
{
    return call->admin->options.context;
}

/* ---- preconditions ---- */

/* Strong comparison, RFC 9110 section 8.8.3.2: a weak tag never matches. */
static bool is_matched(struct bytes list, uint64_t revision)
{
    char etag[32];
    (void)snprintf(etag, sizeof etag, "\"%llu\"", (unsigned long long)revision);
    struct bytes element;
    while (bytes_next(&list, ',', &element)) {
        element = bytes_trim(element);
        if (bytes_equal(element, bytes_of(etag)) || bytes_equal(element, BYTES("*"))) {
            return true;
        }
    }
    return false;
}

/* Finds the service and holds If-Match against its revision; false: answered. */
static bool check_revision(struct admin_call *call, bool *ret_has_revision, uint64_t *ret_revision)
{
    struct admin_service service = {0};
    if (!ops_of(call)->service_find(context_of(call), call->parameters[0], &service)) {
        call_problem(call, 404, "service", "There is no such service.");
        return false;
    }
    const struct field *field = fields_find(call->request->fields, FIELD_IF_MATCH);
    if (field != NULL && !is_matched(field->value, service.revision)) {
        call_problem(call, 412, "If-Match", "The service is at revision \"%llu\" now.",
                     (unsigned long long)service.revision);
        return false;
    }
    *ret_has_revision = field != NULL;
    *ret_revision = service.revision;
    return true;
}

/* ---- weight ---- */

static bool read_percent(struct admin_call *call, const json_t *number, uint32_t *ret_ppm)
{
    double percent = json_number_value(number);
    if (!(percent >= 0 && percent <= 100)) {
        call_problem(call, 422, "current", "\"current\" is a percentage from 0 to 100.");
        return false;
    }
    double ppm = percent * 10000;
    double whole = nearbyint(ppm);
    if (fabs(ppm - whole) > 1e-4) {
        call_problem(call, 422, "current", "\"current\" has at most four decimals.");
        return false;
    }
    *ret_ppm = (uint32_t)whole;
    return true;
}

void route_weight(struct admin_call *call)
{
    struct body_member members[] = {{"current", BODY_NUMBER, true, NULL}};
    json_t *document = NULL;
    if (!body_read(call, members, COUNT_OF(members), &document)) {
        return;
    }
    struct admin_weight_change change = {.service = call->parameters[0], .actor = call->actor};
    bool is_sound = read_percent(call, members[0].value, &change.weight_ppm) &&
                    check_revision(call, &change.has_revision, &change.revision);
    json_decref(document);
    if (is_sound) {
        ops_of(call)->set_weight(context_of(call), call, &change);
    }
}

/* ---- rollback ---- */

static bool read_mode(struct admin_call *call, const json_t *mode, bool *ret_is_instant)
{
    const char *text = mode != NULL ? json_string_value(mode) : "gradual";
    if (strcmp(text, "gradual") != 0 && strcmp(text, "instant") != 0) {
        call_problem(call, 422, "mode", "\"mode\" is \"gradual\" or \"instant\".");
        return false;
    }
    *ret_is_instant = strcmp(text, "instant") == 0;
    return true;
}

static bool read_key(struct admin_call *call, const char **ret_key)
{
    const struct field *field = fields_find(call->request->fields, FIELD_IDEMPOTENCY_KEY);
    if (field == NULL) {
        return true;
    }
    struct bytes value = field->value;
    bool is_sound = value.size > 0 && value.size <= KEY_LENGTH_MAX;
    for (size_t i = 0; is_sound && i < value.size; i++) {
        is_sound = value.data[i] > 0x20 && value.data[i] < 0x7F;
    }
    if (!is_sound) {
        call_problem(call, 400, "Idempotency-Key", "The key has 1 to %d visible characters.",
                     KEY_LENGTH_MAX);
        return false;
    }
    char *key = arena_alloc(&call->arena, value.size + 1);
    if (key == NULL) {
        call_json(call, 503, NULL, NULL);
        return false;
    }
    memcpy(key, value.data, value.size);
    key[value.size] = '\0';
    *ret_key = key;
    return true;
}

/* Tells a replay from a key that is used for something else; not a secret, and the same after a
 * restart. */
static void make_fingerprint(const struct admin_call *call, char fingerprint[FINGERPRINT_SIZE])
{
    static const struct hash_key body_key = {0x73657269, 0x6e};
    uint64_t service = hash_bytes(body_key, bytes_of(call->parameters[0]));
    struct hash_key key = {service, body_key.k1};
    (void)snprintf(fingerprint, FINGERPRINT_SIZE, "%016llx",
                   (unsigned long long)hash_bytes(key, call->request->body));
}

void route_start_rollback(struct admin_call *call)
{
    enum { REASON, MODE, DRY_RUN, COUNT };
    struct body_member members[COUNT] = {
        [REASON] = {"reason", BODY_STRING, true, NULL},
        [MODE] = {"mode", BODY_STRING, false, NULL},
        [DRY_RUN] = {"dry_run", BODY_BOOL, false, NULL},
    };
    json_t *document = NULL;
    if (!body_read(call, members, COUNT, &document)) {
        return;
    }
    char fingerprint[FINGERPRINT_SIZE];
    make_fingerprint(call, fingerprint);
    struct admin_rollback rollback = {
        .service = call->parameters[0],
        .reason = json_string_value(members[REASON].value),
        .is_dry_run = json_is_true(members[DRY_RUN].value),
        .fingerprint = fingerprint,
        .actor = call->actor,
    };
    if (read_mode(call, members[MODE].value, &rollback.is_instant) &&
        read_key(call, &rollback.key)) {
        ops_of(call)->rollback(context_of(call), call, &rollback);
    }
    json_decref(document);
}

/* ---- rollout ---- */

static bool has_empty_body(struct admin_call *call)
{
    json_t *document = NULL;
    bool is_empty = body_read(call, NULL, 0, &document);
    if (is_empty) {
        json_decref(document);
    }
    return is_empty;
}

static void change_rollout(struct admin_call *call, enum admin_verb verb)
{
    struct admin_rollout rollout = {
        .service = call->parameters[0], .verb = verb, .actor = call->actor};
    if (has_empty_body(call) && check_revision(call, &rollout.has_revision, &rollout.revision)) {
        ops_of(call)->rollout(context_of(call), call, &rollout);
    }
}

void route_pause(struct admin_call *call)
{
    change_rollout(call, ADMIN_PAUSE);
}

void route_resume(struct admin_call *call)
{
    change_rollout(call, ADMIN_RESUME);
}

void route_promote(struct admin_call *call)
{
    struct body_member members[] = {{"full", BODY_BOOL, false, NULL}};
    json_t *document = NULL;
    if (!body_read(call, members, COUNT_OF(members), &document)) {
        return;
    }
    struct admin_rollout rollout = {.service = call->parameters[0],
                                    .verb = ADMIN_PROMOTE,
                                    .is_full = json_is_true(members[0].value),
                                    .actor = call->actor};
    json_decref(document);
    if (check_revision(call, &rollout.has_revision, &rollout.revision)) {
        ops_of(call)->rollout(context_of(call), call, &rollout);
    }
}

void route_abort(struct admin_call *call)
{
    change_rollout(call, ADMIN_ABORT);
}

void route_release(struct admin_call *call)
{
    struct body_member members[] = {{"reason", BODY_STRING, true, NULL}};
    json_t *document = NULL;
    if (!body_read(call, members, COUNT_OF(members), &document)) {
        return;
    }
    struct admin_release release = {
        .service = call->parameters[0],
        .deployment = call->parameters[1],
        .reason = json_string_value(members[0].value),
        .actor = call->actor,
    };
    ops_of(call)->release(context_of(call), call, &release);
    json_decref(document);
}

/* ---- configuration ---- */

static bool is_yaml(const struct fields *fields)
{
    const struct field *field = fields_find(fields, FIELD_CONTENT_TYPE);
    if (field == NULL) {
        return false;
    }
    struct bytes type = bytes_trim(bytes_slice(field->value, 0, bytes_find(field->value, ';')));
    return bytes_equal_nocase(type, BYTES("application/yaml")) ||
           bytes_equal_nocase(type, BYTES("application/x-yaml")) ||
           bytes_equal_nocase(type, BYTES("text/yaml"));
}

void route_config_check(struct admin_call *call)
{
    struct bytes body = call->request->body;
    if (call->request->is_too_large || body.size > ADMIN_CONFIG_MAX) {
        call_problem(call, 413, NULL, "A configuration may have %d bytes.", ADMIN_CONFIG_MAX);
        return;
    }
    if (body.size == 0 || !is_yaml(call->request->fields)) {
        if (has_empty_body(call)) {
            ops_of(call)->config_check(context_of(call), call, (struct bytes){0});
        }
        return;
    }
    ops_of(call)->config_check(context_of(call), call, body);
}

void route_reload(struct admin_call *call)
{
    if (has_empty_body(call)) {
        ops_of(call)->reload(context_of(call), call, call->actor);
    }
}

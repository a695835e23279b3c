/* The routes that change something. Each reads its body, checks what needs no controller, and hands
 * the call to an op. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "canary/admin/body.h"
#include "canary/admin/precondition.h"
#include "canary/admin/routes.h"
#include "proxy/base/check.h"

static const struct admin_ops *ops_of(const struct admin_call *call)
{
    return call->admin->options.ops;
}

static void *context_of(const struct admin_call *call)
{
    return call->admin->options.context;
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
                    precondition_revision(call, &change.has_revision, &change.revision);
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
    char fingerprint[PRECONDITION_FINGERPRINT_SIZE];
    precondition_fingerprint(call, fingerprint);
    struct admin_rollback rollback = {
        .service = call->parameters[0],
        .reason = json_string_value(members[REASON].value),
        .is_dry_run = json_is_true(members[DRY_RUN].value),
        .fingerprint = fingerprint,
        .actor = call->actor,
    };
    if (read_mode(call, members[MODE].value, &rollback.is_instant) &&
        precondition_key(call, &rollback.key)) {
        ops_of(call)->rollback(context_of(call), call, &rollback);
    }
    json_decref(document);
}

static bool is_deployment(struct admin_call *call, const json_t *value, const char *field)
{
    const char *text = value != NULL ? json_string_value(value) : "-";
    if (text[0] != '\0' && strlen(text) <= CONF_DEPLOYMENT_MAX) {
        return true;
    }
    call_problem(call, 422, field, "\"%s\" is the name of a deployment, 1 to %d bytes.", field,
                 CONF_DEPLOYMENT_MAX);
    return false;
}

void route_build_failure(struct admin_call *call)
{
    enum { REASON, DEPLOYMENT, EXPECT_CURRENT, MODE, COUNT };
    struct body_member members[COUNT] = {
        [REASON] = {"reason", BODY_STRING, true, NULL},
        [DEPLOYMENT] = {"deployment", BODY_STRING, false, NULL},
        [EXPECT_CURRENT] = {"expect_current", BODY_STRING, false, NULL},
        [MODE] = {"mode", BODY_STRING, false, NULL},
    };
    json_t *document = NULL;
    if (!body_read(call, members, COUNT, &document)) {
        return;
    }
    char fingerprint[PRECONDITION_FINGERPRINT_SIZE];
    precondition_fingerprint(call, fingerprint);
    struct admin_rollback failure = {
        .service = call->parameters[0],
        .reason = json_string_value(members[REASON].value),
        .is_build = true,
        .deployment = json_string_value(members[DEPLOYMENT].value),
        .expect_current = json_string_value(members[EXPECT_CURRENT].value),
        .fingerprint = fingerprint,
        .actor = call->actor,
    };
    if (is_deployment(call, members[DEPLOYMENT].value, "deployment") &&
        is_deployment(call, members[EXPECT_CURRENT].value, "expect_current") &&
        read_mode(call, members[MODE].value, &failure.is_instant) &&
        precondition_key(call, &failure.key)) {
        ops_of(call)->rollback(context_of(call), call, &failure);
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
    if (has_empty_body(call) &&
        precondition_revision(call, &rollout.has_revision, &rollout.revision)) {
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
    if (precondition_revision(call, &rollout.has_revision, &rollout.revision)) {
        ops_of(call)->rollout(context_of(call), call, &rollout);
    }
}

void route_abort(struct admin_call *call)
{
    change_rollout(call, ADMIN_ABORT);
}

void route_drill(struct admin_call *call)
{
    char fingerprint[PRECONDITION_FINGERPRINT_SIZE];
    precondition_fingerprint(call, fingerprint);
    struct admin_drill drill = {
        .service = call->parameters[0], .fingerprint = fingerprint, .actor = call->actor};
    if (has_empty_body(call) && precondition_key(call, &drill.key)) {
        ops_of(call)->drill(context_of(call), call, &drill);
    }
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

/* "/a", "/a?b", "/a*" or "*". */
static bool is_purge_path(const char *path)
{
    const char *star = strchr(path, '*');
    bool is_rooted = path[0] == '/' || strcmp(path, "*") == 0;
    return is_rooted && (star == NULL || star[1] == '\0');
}

void route_purge(struct admin_call *call)
{
    struct body_member members[] = {{"path", BODY_STRING, true, NULL},
                                    {"host", BODY_STRING, false, NULL}};
    json_t *document = NULL;
    if (!body_read(call, members, COUNT_OF(members), &document)) {
        return;
    }
    struct admin_purge purge = {
        .service = call->parameters[0],
        .path = json_string_value(members[0].value),
        .host = members[1].value != NULL ? json_string_value(members[1].value) : NULL,
        .actor = call->actor,
    };
    if (is_purge_path(purge.path)) {
        ops_of(call)->purge(context_of(call), call, &purge);
    } else {
        call_problem(call, 422, "path",
                     "A path begins with \"/\"; only its last character may be \"*\".");
    }
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

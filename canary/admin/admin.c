/* A request's way: Host → target → route → token and role → Origin → the route's function → one
 * answer. */
#include "canary/admin/admin.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary/admin/call.h"
#include "canary/admin/problem.h"
#include "canary/admin/routes.h"
#include "canary/admin/views.h"
#include "conf/conf_check.h"
#include "proxy/base/check.h"

enum { CALL_TAG = TAG('a', 'c', 'a', 'l'), CALL_ARENA_MAX = 1024 * 1024, REAL_DIGITS = 12 };

static const unsigned result_statuses[] = {
#define RESULT_STATUS(id, status) [ADMIN_##id] = (status),
    ADMIN_RESULT_LIST(RESULT_STATUS)
#undef RESULT_STATUS
};
static_assert(COUNT_OF(result_statuses) == ADMIN_RESULT_COUNT, "one status per result");

/* ---- life ---- */

enum err admin_create(const struct admin_options *options, struct admin **ret_admin,
                      struct note *note)
{
    struct admin *admin = calloc(1, sizeof *admin);
    if (admin == NULL) {
        return ERR_NOMEM;
    }
    admin->options = *options;
    admin->options.conf = NULL;
    list_init(&admin->calls);
    list_init(&admin->subscribers);
    for (size_t i = 0; i < ADMIN_EVENTS_KEPT; i++) {
        buf_init(&admin->kept[i], ADMIN_BODY_MAX);
    }
    admin->address_text = strdup(options->conf->address.text);
    admin->address = options->conf->address;
    admin->address.text = admin->address_text;
    enum err err = admin->address_text != NULL
                       ? auth_create(options->conf, &admin->address, &admin->auth, note)
                       : ERR_NOMEM;
    if (err != OK) {
        free(admin->address_text);
        free(admin);
        return err;
    }
    *ret_admin = admin;
    return OK;
}

enum err admin_reload(struct admin *admin, const struct conf_admin *conf, struct note *note)
{
    struct auth *auth = NULL;
    enum err err = auth_create(conf, &admin->address, &auth, note);
    if (err != OK) {
        return err;
    }
    bool is_revoked = auth_revokes(admin->auth, auth);
    auth_destroy(admin->auth);
    admin->auth = auth;
    if (is_revoked) {
        call_end_streams(admin);
    }
    return OK;
}

bool admin_is_at(const struct admin *admin, const struct conf_endpoint *endpoint)
{
    return conf_is_at(endpoint, &admin->address);
}

void admin_destroy(struct admin *admin)
{
    if (admin == NULL) {
        return;
    }
    CHECK(admin->call_count == 0);
    CHECK(admin->subscriber_count == 0);
    for (size_t i = 0; i < ADMIN_EVENTS_KEPT; i++) {
        buf_finish(&admin->kept[i]);
    }
    auth_destroy(admin->auth);
    free(admin->address_text);
    free(admin);
}

size_t admin_call_count(const struct admin *admin)
{
    return admin->call_count;
}

/* ---- a call ---- */

struct admin_call *call_of(void *context)
{
    struct admin_call *call = context;
    CHECK(call->tag == CALL_TAG);
    return call;
}

static struct admin_call *call_create(struct admin *admin, const struct admin_request *request,
                                      admin_on_answer *on_answer, void *context)
{
    struct admin_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        return NULL;
    }
    call->tag = CALL_TAG;
    call->admin = admin;
    call->request = request;
    call->on_answer = on_answer;
    call->context = context;
    arena_init(&call->arena, CALL_ARENA_MAX);
    list_init(&call->link);
    list_push_back(&admin->calls, &call->link);
    admin->call_count++;
    return call;
}

static void call_destroy(struct admin_call *call)
{
    list_remove(&call->link);
    call->admin->call_count--;
    call->tag = 0;
    arena_finish(&call->arena);
    free(call);
}

void call_answer(struct admin_call *call, const struct admin_answer *answer)
{
    CHECK(!call->is_answered);
    call->is_answered = true;
    if (call->on_answer != NULL) {
        call->on_answer(call->context, answer);
    }
    if (!call->is_inside) {
        call_destroy(call);
    }
}

static void answer_out_of_memory(struct admin_call *call)
{
    struct admin_answer answer = {.status = 503, .retry_after = "1"};
    call_answer(call, &answer);
}

static void answer_document(struct admin_call *call, struct admin_answer *answer, json_t *document)
{
    char *text = document != NULL
                     ? json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS))
                     : NULL;
    json_decref(document);
    if (text == NULL) {
        answer_out_of_memory(call);
        return;
    }
    answer->body = bytes_of(text);
    call_answer(call, answer);
    free(text);
}

void call_json(struct admin_call *call, unsigned status, json_t *body, const char *etag)
{
    struct admin_answer answer = {
        .status = status, .content_type = "application/json", .etag = etag};
    answer_document(call, &answer, body);
}

void call_text(struct admin_call *call, unsigned status, const char *content_type,
               struct bytes body)
{
    struct admin_answer answer = {.status = status, .content_type = content_type, .body = body};
    call_answer(call, &answer);
}

static void answer_problem(struct admin_call *call, struct admin_answer *answer, const char *field,
                           const char *detail, json_t *errors)
{
    answer->content_type = PROBLEM_CONTENT_TYPE;
    if (answer->status == 503) {
        answer->retry_after = "1";
    }
    answer_document(call, answer, problem_make(answer->status, detail, field, errors));
}

void call_problem(struct admin_call *call, unsigned status, const char *field, const char *format,
                  ...)
{
    char detail[NOTE_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    struct admin_answer answer = {.status = status};
    answer_problem(call, &answer, field, detail, NULL);
}

void call_service(struct admin_call *call, unsigned status, const char *name)
{
    const struct admin_options *options = &call->admin->options;
    struct admin_service service = {0};
    if (!options->ops->service_find(options->context, name, &service)) {
        call_problem(call, 404, "service", "There is no such service.");
        return;
    }
    char etag[32];
    (void)snprintf(etag, sizeof etag, "\"%llu\"", (unsigned long long)service.revision);
    call_json(call, status, view_service(&service), etag);
}

void call_refuse_read(struct admin_call *call, enum err err)
{
    switch (err) {
    case ERR_NOT_FOUND:
        call_problem(call, 404, NULL, "There is no such record.");
        return;
    case ERR_LIMIT:
        call_problem(call, 503, NULL, "Too many reads wait for the state file.");
        return;
    default:
        call_problem(call, 503, NULL, "The state file cannot be read: %s.", err_text(err));
        return;
    }
}

void admin_reply(struct admin_call *call, const struct admin_reply *reply)
{
    CHECK(call->tag == CALL_TAG);
    unsigned status = result_statuses[reply->result];
    if (status >= 300) {
        struct admin_answer answer = {.status = status};
        answer_problem(call, &answer, reply->field, reply->detail, reply->errors);
        return;
    }
    if (reply->service != NULL) {
        call_service(call, status, reply->service);
        return;
    }
    json_t *body = reply->body != NULL ? json_incref(reply->body) : json_object();
    struct admin_answer answer = {.status = status, .content_type = "application/json"};
    char location[64 + HISTORY_TEXT_MAX];
    const char *id = json_string_value(json_object_get(body, "id"));
    if (status == 202 && id != NULL) {
        (void)snprintf(location, sizeof location, "/api/v1/rollbacks/%s", id);
        answer.location = location;
    }
    answer_document(call, &answer, body);
}

void admin_reply_text(struct admin_call *call, const char *content_type, const char *policy,
                      struct bytes text)
{
    CHECK(call->tag == CALL_TAG);
    struct admin_answer answer = {
        .status = 200, .content_type = content_type, .body = text, .security_policy = policy};
    call_answer(call, &answer);
}

void admin_abandon(struct admin_call *call)
{
    CHECK(call->tag == CALL_TAG);
    CHECK(!call->is_answered);
    call->on_answer = NULL;
}

/* ---- the way in ---- */

static void answer_unauthorised(struct admin_call *call, enum auth_answer auth)
{
    bool is_missing = auth == AUTH_NO_TOKEN;
    struct admin_answer answer = {
        .status = 401,
        .www_authenticate = is_missing ? "Bearer realm=\"serin\""
                                       : "Bearer realm=\"serin\", error=\"invalid_token\"",
    };
    answer_problem(call, &answer, "Authorization",
                   is_missing ? "A token is asked for: Authorization: Bearer TOKEN."
                              : "This token is not known here.",
                   NULL);
}

static bool check_token(struct admin_call *call)
{
    enum conf_role wanted =
        call->route->access == ROUTE_OPERATOR ? CONF_ROLE_OPERATOR : CONF_ROLE_VIEWER;
    if (call->route->access == ROUTE_OPEN) {
        return true;
    }
    struct auth_identity identity = {NULL, CONF_ROLE_VIEWER};
    enum auth_answer auth = auth_check(call->admin->auth, call->request->fields, wanted, &identity);
    call->actor = identity.actor;
    call->role = identity.role;
    if (auth == AUTH_NOT_ROLE) {
        call_problem(call, 403, "Authorization", "This token may look and not change.");
    } else if (auth != AUTH_OK) {
        answer_unauthorised(call, auth);
    }
    return auth == AUTH_OK;
}

static bool find_route(struct admin_call *call)
{
    enum err err = target_parse(call->request->target, &call->arena, &call->target);
    if (err == ERR_NOMEM) {
        answer_out_of_memory(call);
        return false;
    }
    if (err != OK) {
        call_problem(call, err == ERR_LIMIT ? 414 : 400, NULL, "The target cannot be read.");
        return false;
    }
    char allow[64];
    call->route = route_find(call, call->request->method, allow, sizeof allow);
    if (call->route != NULL) {
        return true;
    }
    if (allow[0] == '\0') {
        call_problem(call, 404, NULL, "There is nothing here; /api/v1/openapi.json says what is.");
        return false;
    }
    struct admin_answer answer = {.status = 405, .allow = allow};
    answer_problem(call, &answer, NULL, "This path has other methods.", NULL);
    return false;
}

static bool may_run(struct admin_call *call)
{
    const struct admin_request *request = call->request;
    if (!auth_knows_host(call->admin->auth, request->authority)) {
        call_problem(call, 403, "Host",
                     "This host name is not one of ours; admin.hosts can add it.");
        return false;
    }
    if (!find_route(call) || !check_token(call)) {
        return false;
    }
    if (!method_is_safe(request->method) &&
        !auth_trusts_origin(request->fields, request->authority, request->is_tls)) {
        call_problem(call, 403, "Origin", "Another site's page may not do this.");
        return false;
    }
    return true;
}

struct admin_call *admin_handle(struct admin *admin, const struct admin_request *request,
                                admin_on_answer *on_answer, void *context)
{
    struct admin_call *call = call_create(admin, request, on_answer, context);
    if (call == NULL) {
        struct admin_answer answer = {.status = 503, .retry_after = "1"};
        on_answer(context, &answer);
        return NULL;
    }
    call->is_inside = true;
    if (may_run(call)) {
        call->route->run(call);
    }
    call->is_inside = false;
    call->request = NULL;
    if (call->is_answered) {
        call_destroy(call);
        return NULL;
    }
    return call;
}

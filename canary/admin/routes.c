#include "canary/admin/routes.h"

#include <stdio.h>
#include <string.h>

#include "proxy/base/check.h"

static const struct route routes[] = {
    {METHOD_GET, "/", ROUTE_OPEN, route_page},
    {METHOD_GET, "/assets/{}", ROUTE_OPEN, route_asset},
    {METHOD_GET, "/healthz", ROUTE_OPEN, route_healthz},
    {METHOD_GET, "/readyz", ROUTE_OPEN, route_readyz},
    {METHOD_GET, "/metrics", ROUTE_VIEWER, route_metrics},
    {METHOD_GET, "/api/v1/openapi.json", ROUTE_VIEWER, route_openapi},
    {METHOD_GET, "/api/v1/whoami", ROUTE_VIEWER, route_whoami},
    {METHOD_GET, "/api/v1/status", ROUTE_VIEWER, route_status},
    {METHOD_GET, "/api/v1/services/{}", ROUTE_VIEWER, route_service},
    {METHOD_GET, "/api/v1/services/{}/recording", ROUTE_VIEWER, route_recording},
    {METHOD_PUT, "/api/v1/services/{}/weight", ROUTE_OPERATOR, route_weight},
    {METHOD_POST, "/api/v1/services/{}/rollback", ROUTE_OPERATOR, route_start_rollback},
    {METHOD_POST, "/api/v1/services/{}/build-failures", ROUTE_OPERATOR, route_build_failure},
    {METHOD_POST, "/api/v1/services/{}/drill", ROUTE_OPERATOR, route_drill},
    {METHOD_POST, "/api/v1/services/{}/rollout", ROUTE_OPERATOR, route_start_rollout},
    {METHOD_POST, "/api/v1/services/{}/rollout/pause", ROUTE_OPERATOR, route_pause},
    {METHOD_POST, "/api/v1/services/{}/rollout/resume", ROUTE_OPERATOR, route_resume},
    {METHOD_POST, "/api/v1/services/{}/rollout/promote", ROUTE_OPERATOR, route_promote},
    {METHOD_POST, "/api/v1/services/{}/rollout/abort", ROUTE_OPERATOR, route_abort},
    {METHOD_POST, "/api/v1/services/{}/quarantine/{}/release", ROUTE_OPERATOR, route_release},
    {METHOD_POST, "/api/v1/services/{}/cache/purge", ROUTE_OPERATOR, route_purge},
    {METHOD_GET, "/api/v1/rollbacks", ROUTE_VIEWER, route_rollbacks},
    {METHOD_GET, "/api/v1/rollbacks/{}", ROUTE_VIEWER, route_rollback},
    {METHOD_GET, "/api/v1/incidents/{}", ROUTE_VIEWER, route_incident},
    {METHOD_GET, "/api/v1/audit", ROUTE_VIEWER, route_audit},
    {METHOD_GET, "/api/v1/audit/verify", ROUTE_VIEWER, route_audit_verify},
    {METHOD_POST, "/api/v1/audit/export", ROUTE_OPERATOR, route_audit_export},
    {METHOD_GET, "/api/v1/events", ROUTE_VIEWER, route_events},
    {METHOD_POST, "/api/v1/explain", ROUTE_VIEWER, route_explain},
    {METHOD_POST, "/api/v1/config:check", ROUTE_OPERATOR, route_config_check},
    {METHOD_POST, "/api/v1/reload", ROUTE_OPERATOR, route_reload},
};

static bool matches(const struct route *route, struct admin_call *call)
{
    struct bytes pattern = bytes_of(route->pattern);
    struct bytes rest = bytes_slice(pattern, 1, pattern.size - 1);
    struct bytes part;
    size_t segment = 0;
    size_t parameter = 0;
    while (rest.size > 0 && bytes_next(&rest, '/', &part)) {
        if (segment == call->target.segment_count) {
            return false;
        }
        const char *text = call->target.segments[segment++];
        if (bytes_equal(part, BYTES("{}"))) {
            CHECK(parameter < COUNT_OF(call->parameters));
            call->parameters[parameter++] = text;
        } else if (!bytes_equal(part, bytes_of(text))) {
            return false;
        }
    }
    return segment == call->target.segment_count;
}

const struct route *route_find(struct admin_call *call, enum method method, char *ret_allow,
                               size_t allow_size)
{
    enum method wanted = method == METHOD_HEAD ? METHOD_GET : method;
    ret_allow[0] = '\0';
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if (!matches(&routes[i], call)) {
            continue;
        }
        if (routes[i].method == wanted) {
            return &routes[i];
        }
        struct bytes name = method_text(routes[i].method);
        (void)snprintf(ret_allow, allow_size, "%.*s%s", BYTES_ARGS(name),
                       routes[i].method == METHOD_GET ? ", HEAD" : "");
    }
    return NULL;
}

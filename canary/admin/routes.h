/* canary/admin/routes.h — the table: method, path, role, function. Private to canary/admin. */
#pragma once
#include "canary/admin/call.h"

enum route_access {
    ROUTE_OPEN,     /* nobody is asked for a token */
    ROUTE_VIEWER,   /* reads */
    ROUTE_OPERATOR, /* changes, or reads what only operators may */
};

struct route {
    enum method method;
    const char *pattern; /* "/api/v1/services/{}/weight": {} stands for one segment */
    enum route_access access;
    void (*run)(struct admin_call *call);
};

/* The route for the call's method and path, which also fills call->parameters; NULL: `ret_allow`
 * says which methods the path has ("GET, HEAD"), or is empty when there is no such path. HEAD goes
 * where GET goes. */
const struct route *route_find(struct admin_call *call, enum method method, char *ret_allow,
                               size_t allow_size);

/* The routes' functions; each answers the call or hands it to an op or a read. */
void route_page(struct admin_call *call);
void route_asset(struct admin_call *call);
void route_healthz(struct admin_call *call);
void route_readyz(struct admin_call *call);
void route_metrics(struct admin_call *call);
void route_openapi(struct admin_call *call);
void route_whoami(struct admin_call *call);
void route_status(struct admin_call *call);
void route_service(struct admin_call *call);
void route_recording(struct admin_call *call);
void route_rollbacks(struct admin_call *call);
void route_rollback(struct admin_call *call);
void route_incident(struct admin_call *call);
void route_audit(struct admin_call *call);
void route_audit_verify(struct admin_call *call);
void route_audit_export(struct admin_call *call);
void route_events(struct admin_call *call);
void route_explain(struct admin_call *call);
void route_weight(struct admin_call *call);
void route_start_rollback(struct admin_call *call);
void route_build_failure(struct admin_call *call);
void route_start_rollout(struct admin_call *call);
void route_pause(struct admin_call *call);
void route_resume(struct admin_call *call);
void route_promote(struct admin_call *call);
void route_abort(struct admin_call *call);
void route_drill(struct admin_call *call);
void route_release(struct admin_call *call);
void route_purge(struct admin_call *call);
void route_config_check(struct admin_call *call);
void route_reload(struct admin_call *call);

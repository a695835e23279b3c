/* canary/admin/views.h — the state as JSON. Private to canary/admin; pure. NULL when memory is out,
 * everywhere. */
#pragma once
#include "canary/admin/admin.h"

/* A string; bytes that are not UTF-8 become U+FFFD; null for NULL. */
json_t *view_text(const char *text);
/* A finite number, else null. */
json_t *view_number(double value);
/* Parts per million as percent. */
json_t *view_percent(uint32_t ppm);
json_t *view_time(int64_t wall_us);

/* One line of GET /api/v1/status. */
json_t *view_service_short(const struct admin_service *service);
/* GET /api/v1/services/{s}: the same with counts, evidence and quarantines. */
json_t *view_service(const struct admin_service *service);
json_t *view_status(const struct admin_ops *ops, void *context);
/* What the events say once a second. */
json_t *view_counters(const struct admin_ops *ops, void *context, int64_t now_us);
json_t *view_explanation(const struct admin_explanation *explanation);

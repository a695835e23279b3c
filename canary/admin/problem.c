#include "canary/admin/problem.h"

#include "canary/admin/views.h"
#include "proxy/http/reply.h"

json_t *problem_make(unsigned status, const char *detail, const char *field, json_t *errors)
{
    /* about:blank says that the title is the status's own phrase, RFC 9457 section 4.2.1. */
    struct bytes title = reply_reason(status);
    json_t *problem =
        json_pack("{s:s, s:s%, s:i, s:o}", "type", "about:blank", "title", title.data, title.size,
                  "status", (int)status, "detail", view_text(detail != NULL ? detail : ""));
    if (problem == NULL) {
        return NULL;
    }
    int failed = 0;
    if (field != NULL) {
        failed |= json_object_set_new(problem, "field", view_text(field));
    }
    if (errors != NULL) {
        failed |= json_object_set(problem, "errors", errors);
    }
    if (failed != 0) {
        json_decref(problem);
        return NULL;
    }
    return problem;
}

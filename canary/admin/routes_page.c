/* The routes of the dashboard: files without a secret in them, so nobody is asked for a token; what
 * the page then asks the API is. */
#include <inttypes.h>
#include <stdio.h>

#include "canary/admin/routes.h"
#include "canary/dashboard/dashboard.h"
#include "proxy/base/hash.h"

enum { TAG_SIZE = 24 };

/* RFC 9110 section 8.8.3: a strong tag, the same for the same bytes. */
static void make_tag(struct bytes content, char ret_tag[TAG_SIZE])
{
    (void)snprintf(ret_tag, TAG_SIZE, "\"%016" PRIx64 "\"",
                   hash_bytes((struct hash_key){0, 0}, content));
}

/* RFC 9110 section 13.1.2; weak comparison, as it asks for. */
static bool is_known(const struct admin_call *call, const char *tag)
{
    const struct field *field = fields_find_name(call->request->fields, BYTES("if-none-match"));
    if (field == NULL) {
        return false;
    }
    struct bytes rest = field->value;
    struct bytes item;
    while (bytes_next(&rest, ',', &item)) {
        item = bytes_trim(item);
        if (item.size > 2 && item.data[0] == 'W' && item.data[1] == '/') {
            item = bytes_slice(item, 2, item.size - 2);
        }
        if (bytes_equal(item, bytes_of(tag))) {
            return true;
        }
    }
    return false;
}

static void answer_file(struct admin_call *call, const char *name)
{
    struct dashboard_file file;
    if (!dashboard_find(name, &file)) {
        call_problem(call, 404, NULL, "There is no such file.");
        return;
    }
    char tag[TAG_SIZE];
    make_tag(file.content, tag);
    struct admin_answer answer = {
        .status = 200,
        .content_type = file.content_type,
        .body = file.content,
        .etag = tag,
        .security_policy = DASHBOARD_POLICY,
        .cache_control = "no-cache",
    };
    if (is_known(call, tag)) {
        answer.status = 304;
        answer.content_type = NULL;
        answer.body = BYTES("");
    }
    call_answer(call, &answer);
}

void route_page(struct admin_call *call)
{
    answer_file(call, "");
}

void route_asset(struct admin_call *call)
{
    answer_file(call, call->parameters[0]);
}

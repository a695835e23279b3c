/* canary/admin/body.h — a JSON body, read strictly: one object, known members, right types, no
 * doubles.
 *
 * Private to canary/admin. What is wrong is answered here as a problem that names the member; the
 * route just returns. */
#pragma once
#include "canary/admin/call.h"

enum { BODY_STRING_MAX = 1024, BODY_DEPTH_MAX = 16 };

enum body_kind_of { BODY_STRING, BODY_NUMBER, BODY_BOOL, BODY_OBJECT, BODY_ARRAY };

struct body_member {
    const char *name;
    enum body_kind_of kind;
    bool is_required;
    json_t *value; /* filled in: borrowed from the document; NULL: not given */
};

/* Parses the request's body and fills `members`. Gives the document, which the caller json_decrefs.
 * false: the call has been answered (400, 413, 415, 422). An empty body is an empty object. Strings
 * come without control characters, not empty, at most BODY_STRING_MAX long. */
bool body_read(struct admin_call *call, struct body_member *members, size_t member_count,
               json_t **ret_document);

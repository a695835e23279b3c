/* canary/admin/problem.h — problem documents (RFC 9457). Private to canary/admin; pure. */
#pragma once
#include <jansson.h>

#define PROBLEM_CONTENT_TYPE "application/problem+json"

/* {"type":"about:blank","title","status","detail","field"?,"errors"?}; `errors` is borrowed. NULL
 * when memory is out. */
json_t *problem_make(unsigned status, const char *detail, const char *field, json_t *errors);

/* proxy/cache/cache_validate.h — asking an origin whether a stored answer still holds, and what its
 * answer does to the stored one (RFC 9111 sections 3 and 4.3).
 *
 * Results borrow from what went in. Pure; any thread. */
#pragma once
#include "proxy/base/err.h"
#include "proxy/cache/cache_policy.h"
#include "proxy/http/reply.h"

/* An array for stored fields has room for the answer's and these. */
enum { CACHE_STORED_ADDED_MAX = 1, CACHE_FETCH_ADDED_MAX = 2 };

/* The fields of an answer that are kept: without those of one connection and those that Connection
 * names, Proxy-*, Age, Content-Length and Transfer-Encoding (whoever answers makes them anew),
 * Cache-Status, X-Request-Id (it names one request), those that private or no-cache name, and
 * Set-Cookie unless it is to be stored. A Date is added when there is none (`date` is room for it,
 * and must live as long as the fields are read). ERR_LIMIT when they do not fit. */
MUST_USE enum err cache_stored_fields(const struct response *response,
                                      const struct cache_rules *rules,
                                      const struct cache_times *times, char date[REPLY_DATE_SIZE],
                                      struct field *items, size_t items_max,
                                      struct fields *ret_fields);

/* The request that fetches for the store: the client's own conditions and Range are left out, so
 * that the answer is whole. With `stored` (the fields of an answer that has a validator) it asks
 * only whether that still holds: If-None-Match and If-Modified-Since. `items` has room for the
 * request's fields and CACHE_FETCH_ADDED_MAX. ERR_LIMIT. */
MUST_USE enum err cache_fetch_request(const struct request *request, const struct fields *stored,
                                      struct field *items, size_t items_max,
                                      struct request *ret_request);

/* Does a 304 with these fields speak of the stored answer (section 4.3.4)? Only that was asked
 * about, so tags are compared weakly. */
bool cache_selects(const struct fields *stored, const struct fields *not_modified);

/* The stored answer after a 304 that selects it: each field that the 304 has replaces the stored
 * ones of that name, but for the tag and those that say how the stored content is coded
 * (section 3.2). Then it
 * is admitted anew: by the same rules, with the new lifetime and age. `stored` is the stored head:
 * its status and fields. `ret_fields` is what this request is answered with; when the result is not
 * CACHE_ADMIT_STORED it is not to be kept, `ret_meta` knows only its age, and the stored answer is
 * to go. CACHE_ADMIT_TOO_LARGE: they do not fit (then `ret_fields` is untouched); `items` has room
 * for the fields of both and CACHE_STORED_ADDED_MAX. */
MUST_USE enum cache_admission
cache_freshen(const struct cache_request *request, const struct response *stored,
              const struct response *not_modified, const struct cache_rules *rules,
              const struct cache_times *times, char date[REPLY_DATE_SIZE], struct field *items,
              size_t items_max, struct fields *ret_fields, struct cache_meta *ret_meta);

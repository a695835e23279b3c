/* proxy/cache/cache_fields.h — small questions about fields that several parts of the cache ask.
 * Pure; any thread. */
#pragma once
#include "proxy/http/fields.h"

/* Is this a cookie that Serin itself gave to a client, to keep it with its version or endpoint? */
bool cache_is_own_cookie(struct bytes name);

/* Does this request bring cookies that are not Serin's own? */
bool cache_has_foreign_cookie(const struct fields *fields);

/* Does this request say who asks in a field that many applications and the proxies in front of them
 * use for that: a key, a session, a name? */
bool cache_has_identity(const struct fields *fields);

/* Does this request bring a field that many origins take for its true method, target or host? The
 * store would know it by another name than they do. */
bool cache_has_override(const struct fields *fields);

/* Does Connection name a field that this request brings, other than those of one connection?
 * Origins do not get it, so that their answer is not to what the request seems to say. */
bool cache_has_nominated(const struct fields *fields);

/* How many fields there are with this id. */
size_t cache_count_fields(const struct fields *fields, enum field_id id);

/* The value of the one field with this id; empty when there is none or several. */
struct bytes cache_only_value(const struct fields *fields, enum field_id id);

/* The date in the one field with this id; false when there is none, several, or it is none. */
bool cache_read_date(const struct fields *fields, enum field_id id, int64_t now_s,
                     int64_t *ret_seconds);

/* An entity tag (RFC 9110 section 8.8.3). */
struct cache_tag {
    struct bytes opaque; /* with its quotes */
    bool is_weak;
};

/* Cuts an entity tag off the front of `text`; false when there is none. */
bool cache_take_tag(struct bytes *text, struct cache_tag *ret_tag);
/* The ETag of these fields; false when there is none, several, or it is none. */
bool cache_read_tag(const struct fields *fields, struct cache_tag *ret_tag);
/* Strong comparison: both are strong, and the same. */
bool cache_tag_is_same(const struct cache_tag *a, const struct cache_tag *b);

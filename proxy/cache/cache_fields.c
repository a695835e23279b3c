#include "proxy/cache/cache_fields.h"

#include "proxy/base/check.h"
#include "proxy/http/http_date.h"
#include "proxy/http/token.h"
#include "router/affinity.h"
#include "router/cookie.h"

bool cache_is_own_cookie(struct bytes name)
{
    return bytes_equal(name, BYTES("serin")) || bytes_equal(name, BYTES(AFFINITY_COOKIE));
}

static bool is_foreign(struct bytes rest)
{
    struct cookie cookie;
    while (cookie_next(&rest, &cookie)) {
        if (!cache_is_own_cookie(cookie.name)) {
            return true;
        }
    }
    return false;
}

bool cache_has_foreign_cookie(const struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        if (fields->items[i].id == FIELD_COOKIE && is_foreign(fields->items[i].value)) {
            return true;
        }
    }
    return false;
}

#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

static bool has_any(const struct fields *fields, const struct bytes *names, size_t name_count)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        for (size_t j = 0; field->id == FIELD_OTHER && j < name_count; j++) {
            if (field->name.size == names[j].size && bytes_equal_nocase(field->name, names[j])) {
                return true;
            }
        }
    }
    return false;
}

bool cache_has_identity(const struct fields *fields)
{
    static const struct bytes names[] = {
        NAME("x-api-key"),
        NAME("api-key"),
        NAME("x-auth-token"),
        NAME("x-access-token"),
        NAME("x-session-id"),
        NAME("x-session-token"),
        NAME("x-user"),
        NAME("x-user-id"),
        NAME("remote-user"),
        NAME("x-remote-user"),
        NAME("x-forwarded-user"),
        NAME("x-forwarded-email"),
        NAME("x-auth-request-user"),
        NAME("x-forwarded-access-token"),
        NAME("x-forwarded-client-cert"),
        NAME("cf-access-jwt-assertion"),
        NAME("x-amzn-oidc-data"),
        NAME("x-goog-iap-jwt-assertion"),
    };
    return has_any(fields, names, COUNT_OF(names));
}

bool cache_has_override(const struct fields *fields)
{
    static const struct bytes names[] = {
        NAME("x-http-method-override"), NAME("x-http-method"), NAME("x-method-override"),
        NAME("x-original-url"),         NAME("x-rewrite-url"), NAME("x-host"),
    };
    return has_any(fields, names, COUNT_OF(names));
}

/* Whether Connection names them or not, they go no further. */
static bool is_of_connection(enum field_id id)
{
    return id == FIELD_CONNECTION || id == FIELD_KEEP_ALIVE || id == FIELD_PROXY_CONNECTION ||
           id == FIELD_TE || id == FIELD_UPGRADE || id == FIELD_HTTP2_SETTINGS;
}

static bool names_any(struct bytes rest, const struct fields *fields)
{
    struct bytes name;
    while (token_next(&rest, &name)) {
        if (!is_of_connection(field_id_of(name)) && fields_find_name(fields, name) != NULL) {
            return true;
        }
    }
    return false;
}

bool cache_has_nominated(const struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        if (fields->items[i].id == FIELD_CONNECTION && names_any(fields->items[i].value, fields)) {
            return true;
        }
    }
    return false;
}

size_t cache_count_fields(const struct fields *fields, enum field_id id)
{
    size_t count = 0;
    for (size_t i = 0; i < fields->count; i++) {
        count += fields->items[i].id == id ? 1 : 0;
    }
    return count;
}

struct bytes cache_only_value(const struct fields *fields, enum field_id id)
{
    const struct field *field = fields_find(fields, id);
    if (field == NULL || cache_count_fields(fields, id) > 1) {
        return (struct bytes){NULL, 0};
    }
    return field->value;
}

bool cache_read_date(const struct fields *fields, enum field_id id, int64_t now_s,
                     int64_t *ret_seconds)
{
    return http_date_parse(cache_only_value(fields, id), now_s, ret_seconds);
}

static bool is_tag_byte(char byte)
{
    uint8_t code = (uint8_t)byte;
    return code == 0x21 || (code >= 0x23 && code != 0x7f);
}

bool cache_take_tag(struct bytes *text, struct cache_tag *ret_tag)
{
    bool is_weak = bytes_starts_with(*text, BYTES("W/"));
    size_t start = is_weak ? 2 : 0;
    size_t end = start + 1;
    if (text->size <= start || text->data[start] != '"') {
        return false;
    }
    while (end < text->size && is_tag_byte(text->data[end])) {
        end++;
    }
    if (end == text->size || text->data[end] != '"') {
        return false;
    }
    *ret_tag = (struct cache_tag){bytes_slice(*text, start, end + 1 - start), is_weak};
    *text = bytes_slice(*text, end + 1, text->size - end - 1);
    return true;
}

bool cache_read_tag(const struct fields *fields, struct cache_tag *ret_tag)
{
    struct bytes rest = cache_only_value(fields, FIELD_ETAG);
    struct cache_tag tag;
    if (!cache_take_tag(&rest, &tag) || rest.size > 0) {
        return false;
    }
    *ret_tag = tag;
    return true;
}

bool cache_tag_is_same(const struct cache_tag *a, const struct cache_tag *b)
{
    return !a->is_weak && !b->is_weak && bytes_equal(a->opaque, b->opaque);
}

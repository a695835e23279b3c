#include "proxy/cache/cache_validate.h"

#include <assert.h>

#include "proxy/base/check.h"
#include "proxy/cache/cache_fields.h"

enum { SECOND_US = 1000000 };

#define BIT(id) (UINT64_C(1) << FIELD_##id)
static_assert(FIELD_ID_COUNT <= 64, "ids fit in one mask");

/* Belong to one connection (RFC 9111 section 3.1), or are made anew by whoever answers. */
static const uint64_t never_stored =
    BIT(CONNECTION) | BIT(KEEP_ALIVE) | BIT(PROXY_CONNECTION) | BIT(PROXY_AUTHENTICATE) |
    BIT(PROXY_AUTHORIZATION) | BIT(TE) | BIT(TRAILER) | BIT(TRANSFER_ENCODING) | BIT(UPGRADE) |
    BIT(HTTP2_SETTINGS) | BIT(CONTENT_LENGTH) | BIT(AGE) | BIT(X_REQUEST_ID);

/* What the client says for its own copy; the store asks for itself. */
static const uint64_t client_conditions =
    BIT(IF_NONE_MATCH) | BIT(IF_MODIFIED_SINCE) | BIT(IF_RANGE) | BIT(RANGE);

/* A 304 does not change how the stored content is to be read. Its tag is the stored one, but may be
 * strong where that is weak: the content that was compressed on its way is not what it names. */
static const uint64_t never_updated = BIT(CONTENT_ENCODING) | BIT(CONTENT_TYPE) |
                                      BIT(CONTENT_RANGE) | BIT(CONTENT_LENGTH) | BIT(ETAG);

static bool is_one_of(uint64_t ids, enum field_id id)
{
    return (ids >> id & 1) != 0;
}

/* ---- fields that are kept ---- */

/* Does `private` or `no-cache` name any fields? Few answers do, and to look each field up costs. */
static bool withholds_any(const struct fields *fields)
{
    struct cache_control control;
    cache_control_read(fields, &control);
    return cache_control_has(&control, CACHE_CONTROL_PRIVATE) ||
           cache_control_has(&control, CACHE_CONTROL_NO_CACHE);
}

static bool is_kept(const struct fields *fields, const struct field *field,
                    const struct cache_rules *rules, bool has_withheld)
{
    if (is_one_of(never_stored, field->id) ||
        fields_has_token(fields, FIELD_CONNECTION, field->name)) {
        return false;
    }
    if (field->id == FIELD_SET_COOKIE && !rules->is_set_cookie_stored) {
        return false;
    }
    if (field->id == FIELD_OTHER &&
        (bytes_equal_nocase(field->name, BYTES("proxy-authentication-info")) ||
         bytes_equal_nocase(field->name, BYTES("cache-status")))) {
        return false;
    }
    return !has_withheld || !cache_control_withholds(fields, field->name);
}

static enum err add(struct field *items, size_t *count, size_t max, struct field field)
{
    if (*count == max) {
        return ERR_LIMIT;
    }
    items[(*count)++] = field;
    return OK;
}

/* Keeps what may be kept of `fields` and adds a Date when none can be read (RFC 9110
 * section 6.6.1). */
static enum err keep_fields(const struct fields *fields, const struct cache_rules *rules,
                            const struct cache_times *times, char date[REPLY_DATE_SIZE],
                            struct field *items, size_t items_max, struct fields *ret_fields)
{
    size_t count = 0;
    int64_t date_s;
    bool has_date = cache_read_date(fields, FIELD_DATE, times->wall_us / SECOND_US, &date_s);
    bool has_withheld = withholds_any(fields);
    enum err err = OK;
    for (size_t i = 0; i < fields->count && err == OK; i++) {
        struct field field = fields->items[i];
        bool is_broken_date = field.id == FIELD_DATE && !has_date;
        if (!is_broken_date && is_kept(fields, &field, rules, has_withheld)) {
            err = add(items, &count, items_max, field);
        }
    }
    if (err == OK && !has_date) {
        reply_date(times->wall_us, date);
        err = add(items, &count, items_max,
                  (struct field){BYTES("Date"), bytes_of(date), FIELD_DATE});
    }
    if (err == OK) {
        *ret_fields = (struct fields){items, count};
    }
    return err;
}

enum err cache_stored_fields(const struct response *response, const struct cache_rules *rules,
                             const struct cache_times *times, char date[REPLY_DATE_SIZE],
                             struct field *items, size_t items_max, struct fields *ret_fields)
{
    return keep_fields(&response->fields, rules, times, date, items, items_max, ret_fields);
}

/* ---- asking ---- */

enum err cache_fetch_request(const struct request *request, const struct fields *stored,
                             struct field *items, size_t items_max, struct request *ret_request)
{
    size_t count = 0;
    enum err err = OK;
    for (size_t i = 0; i < request->fields.count && err == OK; i++) {
        if (!is_one_of(client_conditions, request->fields.items[i].id)) {
            err = add(items, &count, items_max, request->fields.items[i]);
        }
    }
    struct cache_tag tag;
    if (err == OK && stored != NULL && cache_read_tag(stored, &tag)) {
        err = add(items, &count, items_max,
                  (struct field){BYTES("If-None-Match"), cache_only_value(stored, FIELD_ETAG),
                                 FIELD_IF_NONE_MATCH});
    }
    struct bytes modified =
        stored != NULL ? cache_only_value(stored, FIELD_LAST_MODIFIED) : BYTES("");
    if (err == OK && modified.size > 0) {
        err = add(items, &count, items_max,
                  (struct field){BYTES("If-Modified-Since"), modified, FIELD_IF_MODIFIED_SINCE});
    }
    if (err == OK) {
        *ret_request = *request;
        ret_request->fields = (struct fields){items, count};
    }
    return err;
}

/* ---- what a 304 does ---- */

bool cache_selects(const struct fields *stored, const struct fields *not_modified)
{
    struct cache_tag ours;
    struct cache_tag theirs;
    if (fields_find(not_modified, FIELD_ETAG) != NULL) {
        bool is_readable = cache_read_tag(stored, &ours) && cache_read_tag(not_modified, &theirs);
        /* Weakly, as the one tag that was sent is compared (RFC 9110 section 13.1.2): servers that
         * compress say W/"x" with the content and "x" without it. */
        return is_readable && bytes_equal(ours.opaque, theirs.opaque);
    }
    const struct field *modified = fields_find(not_modified, FIELD_LAST_MODIFIED);
    if (modified != NULL) {
        return bytes_equal(modified->value, cache_only_value(stored, FIELD_LAST_MODIFIED));
    }
    /* It names nothing: then it answers what was asked, and only the stored answer was asked
     * about. */
    return true;
}

/* Does this field of the 304 take the place of stored ones? */
static bool is_update(const struct fields *fresh, const struct field *field)
{
    return !is_one_of(never_updated | (never_stored & ~BIT(AGE)), field->id) &&
           !fields_has_token(fresh, FIELD_CONNECTION, field->name);
}

static bool is_replaced(const struct field *stored, const struct fields *fresh, bool has_date)
{
    const struct field *field = fields_find_name(fresh, stored->name);
    return (stored->id == FIELD_DATE && !has_date) || (field != NULL && is_update(fresh, field));
}

/* Stored fields first, then those of the 304. A 304 without Date came when it came: the stored
 * answer's is no longer true. */
static enum err merge(const struct fields *stored, const struct fields *fresh, bool has_date,
                      struct field *items, size_t items_max, struct fields *ret_fields)
{
    size_t count = 0;
    enum err err = OK;
    for (size_t i = 0; i < stored->count && err == OK; i++) {
        if (!is_replaced(&stored->items[i], fresh, has_date)) {
            err = add(items, &count, items_max, stored->items[i]);
        }
    }
    for (size_t i = 0; i < fresh->count && err == OK; i++) {
        if (is_update(fresh, &fresh->items[i])) {
            err = add(items, &count, items_max, fresh->items[i]);
        }
    }
    if (err == OK) {
        *ret_fields = (struct fields){items, count};
    }
    return err;
}

enum cache_admission
cache_freshen(const struct cache_request *request, const struct response *stored,
              const struct response *not_modified, const struct cache_rules *rules,
              const struct cache_times *times, char date[REPLY_DATE_SIZE], struct field *items,
              size_t items_max, struct fields *ret_fields, struct cache_meta *ret_meta)
{
    struct response merged = *stored;
    int64_t date_s;
    bool has_date =
        cache_read_date(&not_modified->fields, FIELD_DATE, times->wall_us / SECOND_US, &date_s);
    merged.body = BODY_LENGTH;
    if (merge(&stored->fields, &not_modified->fields, has_date, items, items_max, &merged.fields) !=
        OK) {
        return CACHE_ADMIT_TOO_LARGE;
    }
    struct fields fields = merged.fields;
    enum cache_admission admission = cache_admit(request, &merged, rules, times, ret_meta);
    if (admission != CACHE_ADMIT_STORED) { /* as old as it is, and good for this one request */
        *ret_meta = (struct cache_meta){.response_us = times->response_us,
                                        .initial_age_us = cache_initial_age_us(&fields, times)};
    }
    /* In place: nothing that one field is judged by is dropped before it is. */
    if (admission == CACHE_ADMIT_STORED &&
        keep_fields(&merged.fields, rules, times, date, items, items_max, &fields) != OK) {
        return CACHE_ADMIT_TOO_LARGE;
    }
    *ret_fields = fields;
    return admission;
}

#include "proxy/cache/cache_answer.h"

#include <inttypes.h>
#include <stdio.h>

#include "proxy/base/check.h"
#include "proxy/cache/cache_fields.h"
#include "proxy/http/http_date.h"
#include "proxy/http/reply.h"

/* A Last-Modified this much older than Date is not of the second in which the content still
 * changed (RFC 9110 section 8.8.2.2). */
enum { STRONG_AFTER_S = 60, NUMBER_SIZE = 24, CONTENT_RANGE_SIZE = 80 };

/* ---- the client's conditions ---- */

static bool list_has_tag(struct bytes list, const struct cache_tag *ours, bool has_ours)
{
    while (list.size > 0) {
        struct cache_tag tag;
        list = bytes_trim(list);
        if (bytes_starts_with(list, BYTES(","))) {
            list = bytes_slice(list, 1, list.size - 1);
        } else if (bytes_equal(list, BYTES("*"))) {
            return true;
        } else if (!cache_take_tag(&list, &tag)) {
            return false;
        } else if (has_ours && bytes_equal(tag.opaque, ours->opaque)) {
            return true;
        }
    }
    return false;
}

/* Weakly: whether one of the tags is weak does not matter (RFC 9110 section 13.1.2). */
static bool is_none_match(const struct request *request, const struct cache_stored *stored)
{
    struct cache_tag ours = {0};
    bool has_ours = cache_read_tag(&stored->fields, &ours);
    for (size_t i = 0; i < request->fields.count; i++) {
        const struct field *field = &request->fields.items[i];
        if (field->id == FIELD_IF_NONE_MATCH && list_has_tag(field->value, &ours, has_ours)) {
            return false;
        }
    }
    return true;
}

static int64_t stored_date(const struct cache_stored *stored)
{
    int64_t date_s = stored->received_s;
    (void)cache_read_date(&stored->fields, FIELD_DATE, stored->received_s, &date_s);
    return date_s;
}

/* Without a Last-Modified, Date stands in for it (RFC 9111 section 4.3.2). */
static bool is_modified_since(const struct request *request, const struct cache_stored *stored)
{
    int64_t since_s;
    int64_t modified_s = stored_date(stored);
    if (!cache_read_date(&request->fields, FIELD_IF_MODIFIED_SINCE, stored->received_s, &since_s)) {
        return true;
    }
    (void)cache_read_date(&stored->fields, FIELD_LAST_MODIFIED, stored->received_s, &modified_s);
    return modified_s > since_s;
}

static bool has_it_already(const struct request *request, const struct cache_stored *stored)
{
    if (stored->status != 200) {
        return false;
    }
    if (fields_find(&request->fields, FIELD_IF_NONE_MATCH) != NULL) {
        return !is_none_match(request, stored);
    }
    return !is_modified_since(request, stored);
}

/* ---- the client's range ---- */

/* RFC 9110 section 13.1.5: a tag compares strongly; a date must be the very one, and strong. */
static bool is_range_still_good(const struct request *request, const struct cache_stored *stored)
{
    if (fields_find(&request->fields, FIELD_IF_RANGE) == NULL) {
        return true;
    }
    struct bytes condition = cache_only_value(&request->fields, FIELD_IF_RANGE);
    struct cache_tag theirs;
    struct cache_tag ours;
    if (cache_take_tag(&condition, &theirs)) {
        return condition.size == 0 && cache_read_tag(&stored->fields, &ours) &&
               cache_tag_is_same(&ours, &theirs);
    }
    int64_t wanted_s;
    int64_t modified_s;
    return http_date_parse(condition, stored->received_s, &wanted_s) &&
           cache_read_date(&stored->fields, FIELD_LAST_MODIFIED, stored->received_s, &modified_s) &&
           wanted_s == modified_s && modified_s + STRONG_AFTER_S <= stored_date(stored);
}

/* A position; one with too many digits is past every end. */
static bool read_position(struct bytes text, uint64_t *ret_position)
{
    if (bytes_to_u64(text, ret_position)) {
        return true;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    *ret_position = UINT64_MAX;
    return text.size > 0;
}

static struct cache_answer whole(const struct cache_stored *stored)
{
    return (struct cache_answer){CACHE_ANSWER_WHOLE, 0, stored->body_size};
}

static struct cache_answer without_body(enum cache_answer_kind kind)
{
    return (struct cache_answer){kind, 0, 0};
}

/* The last `count` bytes. */
static struct cache_answer suffix(uint64_t count, const struct cache_stored *stored)
{
    uint64_t size = count < stored->body_size ? count : stored->body_size;
    if (count == 0) {
        return without_body(CACHE_ANSWER_UNSATISFIABLE);
    }
    if (size == 0) {
        return whole(stored); /* of nothing: there is no range that says so */
    }
    return (struct cache_answer){CACHE_ANSWER_RANGE, stored->body_size - size, size};
}

/* One range of bytes; what is none, or several, gets all (RFC 9110 section 14.2 lets us). */
static struct cache_answer answer_range(struct bytes value, const struct cache_stored *stored)
{
    struct bytes unit = BYTES("bytes=");
    uint64_t first = 0;
    uint64_t last = UINT64_MAX;
    if (value.size < unit.size || !bytes_equal_nocase(bytes_slice(value, 0, unit.size), unit)) {
        return whole(stored);
    }
    struct bytes range = bytes_trim(bytes_slice(value, unit.size, value.size - unit.size));
    size_t dash = bytes_find(range, '-');
    if (dash == range.size) {
        return whole(stored);
    }
    struct bytes from = bytes_slice(range, 0, dash);
    struct bytes to = bytes_slice(range, dash + 1, range.size - dash - 1);
    if (to.size > 0 && !read_position(to, &last)) {
        return whole(stored);
    }
    if (from.size == 0) {
        return to.size > 0 ? suffix(last, stored) : whole(stored);
    }
    if (!read_position(from, &first) || (to.size > 0 && last < first)) {
        return whole(stored);
    }
    if (first >= stored->body_size) {
        return without_body(CACHE_ANSWER_UNSATISFIABLE);
    }
    uint64_t end = last < stored->body_size ? last + 1 : stored->body_size;
    return (struct cache_answer){CACHE_ANSWER_RANGE, first, end - first};
}

struct cache_answer cache_answer_of(const struct request *request,
                                    const struct cache_stored *stored)
{
    if (has_it_already(request, stored)) {
        return without_body(CACHE_ANSWER_NOT_MODIFIED);
    }
    bool may_be_partial = request->method == METHOD_GET && stored->status == 200;
    if (may_be_partial && is_range_still_good(request, stored)) {
        return answer_range(cache_only_value(&request->fields, FIELD_RANGE), stored);
    }
    return whole(stored);
}

/* ---- the head ---- */

struct head {
    struct field *items;
    size_t count;
    size_t max;
    struct arena *arena;
    enum err err; /* the first that happened */
};

static void put(struct head *head, struct field field)
{
    if (head->err == OK && head->count == head->max) {
        head->err = ERR_LIMIT;
    }
    if (head->err == OK) {
        head->items[head->count++] = field;
    }
}

static void put_copy(struct head *head, enum field_id id, struct bytes name, struct bytes value)
{
    struct bytes copy = arena_copy(head->arena, value);
    if (copy.data == NULL && head->err == OK) {
        head->err = ERR_NOMEM;
    }
    put(head, (struct field){name, copy, id});
}

/* A 304 leaves out what its client knows already (RFC 9110 section 15.4.5), a 416 has other
 * content. */
static bool is_sent(const struct field *field, enum cache_answer_kind kind)
{
    switch (field->id) {
    case FIELD_AGE:
    case FIELD_CONTENT_LENGTH:
        return false;
    case FIELD_CONTENT_TYPE:
    case FIELD_CONTENT_ENCODING:
    case FIELD_CONTENT_RANGE:
        return kind == CACHE_ANSWER_WHOLE || kind == CACHE_ANSWER_RANGE;
    case FIELD_ETAG:
    case FIELD_LAST_MODIFIED:
    case FIELD_CONTENT_LOCATION:
        return kind != CACHE_ANSWER_UNSATISFIABLE;
    default:
        return !bytes_equal_nocase(field->name, BYTES("cache-status"));
    }
}

static void put_content_range(struct head *head, const struct cache_stored *stored,
                              const struct cache_answer *answer)
{
    char text[CONTENT_RANGE_SIZE];
    if (answer->kind == CACHE_ANSWER_UNSATISFIABLE) {
        (void)snprintf(text, sizeof text, "bytes */%" PRIu64, stored->body_size);
    } else {
        (void)snprintf(text, sizeof text, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, answer->first,
                       answer->first + answer->size - 1, stored->body_size);
    }
    put_copy(head, FIELD_CONTENT_RANGE, BYTES("Content-Range"), bytes_of(text));
}

static unsigned status_of(const struct cache_stored *stored, enum cache_answer_kind kind)
{
    static const unsigned statuses[] = {[CACHE_ANSWER_WHOLE] = 0,
                                        [CACHE_ANSWER_RANGE] = 206,
                                        [CACHE_ANSWER_NOT_MODIFIED] = 304,
                                        [CACHE_ANSWER_UNSATISFIABLE] = 416};
    return kind == CACHE_ANSWER_WHOLE ? stored->status : statuses[kind];
}

enum err cache_answer_head(const struct cache_stored *stored, const struct cache_answer *answer,
                           uint64_t age_s, struct bytes cache_status, struct arena *arena,
                           struct field *items, size_t items_max, struct response *ret_response)
{
    struct head head = {items, 0, items_max, arena, OK};
    char age[NUMBER_SIZE];
    for (size_t i = 0; i < stored->fields.count; i++) {
        if (is_sent(&stored->fields.items[i], answer->kind)) {
            put(&head, stored->fields.items[i]);
        }
    }
    if (answer->kind == CACHE_ANSWER_RANGE || answer->kind == CACHE_ANSWER_UNSATISFIABLE) {
        put_content_range(&head, stored, answer);
    }
    (void)snprintf(age, sizeof age, "%" PRIu64, age_s);
    put_copy(&head, FIELD_AGE, BYTES("Age"), bytes_of(age));
    if (cache_status.size > 0) {
        put(&head, (struct field){BYTES("Cache-Status"), cache_status, FIELD_OTHER});
    }
    if (head.err != OK) {
        return head.err;
    }
    unsigned status = status_of(stored, answer->kind);
    bool is_bodiless = status == 304 || status == 204;
    *ret_response = (struct response){.status = status,
                                      .version = HTTP_1_1,
                                      .reason = reply_reason(status),
                                      .fields = {items, head.count},
                                      .body = is_bodiless ? BODY_NONE : BODY_LENGTH,
                                      .content_length = answer->size,
                                      .has_content_length = !is_bodiless,
                                      .is_keep_alive = true};
    return OK;
}

/* What a client gets of a stored answer: RFC 9110 sections 13 and 14, on ten bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/base/hash.h"
#include "proxy/cache/cache_answer.h"
#include "tests/support/fields_text.h"

#define OLD      "Fri, 13 Nov 2026 12:00:00 GMT"
#define NOON     "Mon, 23 Nov 2026 12:00:00 GMT"
#define LATER    "Mon, 23 Nov 2026 13:00:00 GMT"
#define STRONG   "ETag: \"a\"\nDate: " NOON "\n"
#define WEAK     "ETag: W/\"a\"\nDate: " NOON "\n"
#define MODIFIED "Last-Modified: " OLD "\nDate: " NOON "\n"

enum { SIZE = 10, NOON_S = 1795435200 };

struct play {
    const char *name;
    const char *stored;
    const char *request;
    enum cache_answer_kind kind;
    uint64_t first;
    uint64_t size;
};

#define WHOLE             CACHE_ANSWER_WHOLE, 0, SIZE
#define HAS_IT            CACHE_ANSWER_NOT_MODIFIED, 0, 0
#define BEYOND            CACHE_ANSWER_UNSATISFIABLE, 0, 0
#define PART(first, size) CACHE_ANSWER_RANGE, first, size

static const struct play plays[] = {
    {"nothing asked", STRONG, "", WHOLE},

    /* If-None-Match: section 13.1.2 */
    {"the same tag", STRONG, "If-None-Match: \"a\"", HAS_IT},
    {"another tag", STRONG, "If-None-Match: \"b\"", WHOLE},
    {"one of several", STRONG, "If-None-Match: \"b\", \"a\"", HAS_IT},
    {"one of several lines", STRONG, "If-None-Match: \"b\"\nIf-None-Match: \"a\"", HAS_IT},
    {"any", STRONG, "If-None-Match: *", HAS_IT},
    {"a weak one matches a strong one", STRONG, "If-None-Match: W/\"a\"", HAS_IT},
    {"a strong one matches a weak one", WEAK, "If-None-Match: \"a\"", HAS_IT},
    {"a tag with a comma in it", "ETag: \"a,b\"", "If-None-Match: \"x\", \"a,b\"", HAS_IT},
    {"a part of a tag is another", "ETag: \"a,b\"", "If-None-Match: \"a\"", WHOLE},
    {"tags have case", STRONG, "If-None-Match: \"A\"", WHOLE},
    {"no quotes, no tag", STRONG, "If-None-Match: a", WHOLE},
    {"what stands before garbage counts", STRONG, "If-None-Match: \"a\", b", HAS_IT},
    {"what stands behind garbage does not", STRONG, "If-None-Match: b, \"a\"", WHOLE},
    {"no tag stored", MODIFIED, "If-None-Match: \"a\"", WHOLE},
    {"no tag stored, any asked", MODIFIED, "If-None-Match: *", HAS_IT},

    /* If-Modified-Since: section 13.1.3 */
    {"not modified since", MODIFIED, "If-Modified-Since: " OLD, HAS_IT},
    {"not modified since later", MODIFIED, "If-Modified-Since: " NOON, HAS_IT},
    {"modified since", MODIFIED, "If-Modified-Since: Fri, 13 Nov 2026 11:59:59 GMT", WHOLE},
    {"since when nobody can say", MODIFIED, "If-Modified-Since: yesterday", WHOLE},
    {"If-None-Match goes before", "ETag: \"a\"\n" MODIFIED,
     "If-None-Match: \"b\"\nIf-Modified-Since: " NOON, WHOLE},
    {"a broken If-None-Match goes before too", "ETag: \"a\"\n" MODIFIED,
     "If-None-Match: b\nIf-Modified-Since: " NOON, WHOLE},
    {"Date stands in for Last-Modified", STRONG, "If-Modified-Since: " NOON, HAS_IT},
    {"Date may be later", STRONG, "If-Modified-Since: " OLD, WHOLE},
    {"when it came stands in for Date", "X: y", "If-Modified-Since: " NOON, HAS_IT},

    /* Range: section 14.1.2 */
    {"the first bytes", STRONG, "Range: bytes=0-3", PART(0, 4)},
    {"one byte", STRONG, "Range: bytes=4-4", PART(4, 1)},
    {"from here to the end", STRONG, "Range: bytes=4-", PART(4, 6)},
    {"the last byte", STRONG, "Range: bytes=9-", PART(9, 1)},
    {"past the end is up to it", STRONG, "Range: bytes=4-999", PART(4, 6)},
    {"the last three", STRONG, "Range: bytes=-3", PART(7, 3)},
    {"more than all from the end is all", STRONG, "Range: bytes=-99", PART(0, 10)},
    {"the unit has no case", STRONG, "Range: Bytes=0-0", PART(0, 1)},
    {"a number past 64 bits is past the end", STRONG, "Range: bytes=1-99999999999999999999999",
     PART(1, 9)},
    {"behind the end", STRONG, "Range: bytes=10-", BEYOND},
    {"far behind the end", STRONG, "Range: bytes=99999999999999999999999-", BEYOND},
    {"the last nothing", STRONG, "Range: bytes=-0", BEYOND},
    {"several", STRONG, "Range: bytes=0-1,3-4", WHOLE},
    {"two lines", STRONG, "Range: bytes=0-1\nRange: bytes=0-1", WHOLE},
    {"backwards", STRONG, "Range: bytes=4-3", WHOLE},
    {"another unit", STRONG, "Range: lines=0-1", WHOLE},
    {"no unit", STRONG, "Range: 0-1", WHOLE},
    {"no number", STRONG, "Range: bytes=-", WHOLE},
    {"no dash", STRONG, "Range: bytes=3", WHOLE},
    {"no number at all", STRONG, "Range: bytes=a-b", WHOLE},
    {"a sign", STRONG, "Range: bytes=+1-2", WHOLE},
    {"two dashes", STRONG, "Range: bytes=1--2", WHOLE},

    /* If-Range: section 13.1.5 */
    {"the same tag, a part", STRONG, "Range: bytes=0-1\nIf-Range: \"a\"", PART(0, 2)},
    {"another tag, all", STRONG, "Range: bytes=0-1\nIf-Range: \"b\"", WHOLE},
    {"a weak tag is not enough", WEAK, "Range: bytes=0-1\nIf-Range: W/\"a\"", WHOLE},
    {"nor is a weak one for a strong one", STRONG, "Range: bytes=0-1\nIf-Range: W/\"a\"", WHOLE},
    {"a list of tags is none", STRONG, "Range: bytes=0-1\nIf-Range: \"a\", \"a\"", WHOLE},
    {"the very date", MODIFIED, "Range: bytes=0-1\nIf-Range: " OLD, PART(0, 2)},
    {"a later date is another", MODIFIED, "Range: bytes=0-1\nIf-Range: " NOON, WHOLE},
    {"a date of the last minute is weak", "Last-Modified: " NOON "\nDate: " NOON,
     "Range: bytes=0-1\nIf-Range: " NOON, WHOLE},
    {"a date, and no Last-Modified", STRONG, "Range: bytes=0-1\nIf-Range: " NOON, WHOLE},
    {"what is no condition", STRONG, "Range: bytes=0-1\nIf-Range: a", WHOLE},
    {"If-Range without Range", STRONG, "If-Range: \"b\"", WHOLE},

    /* section 13.2.2: which goes first */
    {"who has it all needs no part", STRONG, "Range: bytes=0-1\nIf-None-Match: \"a\"", HAS_IT},
    {"who has it not gets the part", STRONG, "Range: bytes=0-1\nIf-None-Match: \"b\"", PART(0, 2)},
};

static struct cache_answer answer(const struct play *play, enum method method, unsigned status,
                                  uint64_t body_size)
{
    struct fields_text texts[2];
    struct cache_stored stored = {.status = status,
                                  .fields = fields_text_read(&texts[0], play->stored),
                                  .body_size = body_size,
                                  .received_s = NOON_S};
    struct request request = {.method = method,
                              .fields = fields_text_read(&texts[1], play->request)};
    return cache_answer_of(&request, &stored);
}

static void a_client_gets_what_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(plays); i++) {
        struct cache_answer got = answer(&plays[i], METHOD_GET, 200, SIZE);
        if (got.kind != plays[i].kind || got.first != plays[i].first || got.size != plays[i].size) {
            fail_msg("%s: kind %d, %lu from %lu", plays[i].name, got.kind, (unsigned long)got.size,
                     (unsigned long)got.first);
        }
    }
}

/* Section 14.2: Range is for GET; section 13.2.1: conditions are for what would be a 200. */
static void head_has_no_parts_and_a_404_no_conditions(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(plays); i++) {
        enum cache_answer_kind head = answer(&plays[i], METHOD_HEAD, 200, SIZE).kind;
        bool is_condition = plays[i].kind == CACHE_ANSWER_NOT_MODIFIED;
        assert_int_equal(head, is_condition ? CACHE_ANSWER_NOT_MODIFIED : CACHE_ANSWER_WHOLE);
        assert_int_equal(answer(&plays[i], METHOD_GET, 404, SIZE).kind, CACHE_ANSWER_WHOLE);
    }
}

static void of_nothing_there_is_no_part(void **state)
{
    (void)state;
    static const struct play some[] = {{"", "", "Range: bytes=0-", BEYOND},
                                       {"", "", "Range: bytes=-1", CACHE_ANSWER_WHOLE, 0, 0},
                                       {"", "", "Range: bytes=-0", BEYOND}};
    for (size_t i = 0; i < COUNT_OF(some); i++) {
        struct cache_answer got = answer(&some[i], METHOD_GET, 200, 0);
        assert_int_equal(got.kind, some[i].kind);
        assert_int_equal(got.size, 0);
    }
}

static void every_part_lies_inside(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 5);
    for (int i = 0; i < 50000; i++) {
        char text[96];
        uint64_t body_size = random_below(&random, 12);
        unsigned long from = (unsigned long)random_below(&random, 14);
        unsigned long to = (unsigned long)random_below(&random, 14);
        switch (random_below(&random, 3)) {
        case 0:
            (void)snprintf(text, sizeof text, "Range: bytes=%lu-%lu", from, to);
            break;
        case 1:
            (void)snprintf(text, sizeof text, "Range: bytes=%lu-", from);
            break;
        default:
            (void)snprintf(text, sizeof text, "Range: bytes=-%lu", from);
        }
        const struct play play = {.name = "", .stored = "", .request = text};
        struct cache_answer got = answer(&play, METHOD_GET, 200, body_size);
        assert_true(got.first <= body_size);
        assert_true(got.size <= body_size - got.first);
        assert_true(got.kind != CACHE_ANSWER_RANGE || got.size > 0);
    }
}

/* ---- heads ---- */

#define STORED                                                                                     \
    "ETag: \"a\"\nDate: " NOON "\nContent-Type: text/plain\nContent-Encoding: gzip\n"              \
    "Content-Location: /x\nLast-Modified: " OLD "\nVary: accept\nCache-Control: max-age=1\nX-A: 1"

static bool has(const struct response *response, const char *name, const char *value)
{
    const struct field *field = fields_find_name(&response->fields, bytes_of(name));
    return field != NULL && bytes_equal(field->value, bytes_of(value));
}

static bool lacks(const struct response *response, const char *name)
{
    return fields_find_name(&response->fields, bytes_of(name)) == NULL;
}

struct head_play {
    const char *name;
    struct cache_answer answer;
    unsigned status;
    const char *content_range; /* NULL: none */
    bool has_content_type;
    bool has_tag;
};

static const struct head_play head_plays[] = {
    {"all of it", {WHOLE}, 200, NULL, true, true},
    {"a part", {PART(2, 3)}, 206, "bytes 2-4/10", true, true},
    {"who has it", {HAS_IT}, 304, NULL, false, true},
    {"beyond the end", {BEYOND}, 416, "bytes */10", false, false},
};

static void heads_say_what_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(head_plays); i++) {
        const struct head_play *play = &head_plays[i];
        struct fields_text text;
        struct field items[16];
        struct response response;
        struct arena arena;
        const struct cache_stored stored = {
            .status = 200, .fields = fields_text_read(&text, STORED), .body_size = SIZE};
        arena_init(&arena, 1 << 16);
        assert_int_equal(cache_answer_head(&stored, &play->answer, 77, BYTES("serin; hit"), &arena,
                                           items, COUNT_OF(items), &response),
                         OK);
        bool is_good = response.status == play->status && has(&response, "age", "77") &&
                       has(&response, "cache-status", "serin; hit") &&
                       has(&response, "date", NOON) && has(&response, "vary", "accept") &&
                       has(&response, "cache-control", "max-age=1");
        is_good &= play->content_range != NULL
                       ? has(&response, "content-range", play->content_range)
                       : lacks(&response, "content-range");
        is_good &= lacks(&response, "content-type") != play->has_content_type;
        is_good &= lacks(&response, "content-encoding") != play->has_content_type;
        is_good &= lacks(&response, "etag") != play->has_tag;
        is_good &= lacks(&response, "content-location") != play->has_tag;
        is_good &= response.body == (play->status == 304 ? BODY_NONE : BODY_LENGTH);
        is_good &= response.content_length == play->answer.size;
        if (!is_good) {
            fail_msg("%s", play->name);
        }
        arena_finish(&arena);
    }
}

static void what_is_said_of_the_cache_is_said_once(void **state)
{
    (void)state;
    struct fields_text text;
    struct field items[8];
    struct response response;
    struct arena arena;
    const struct cache_stored stored = {
        .status = 204,
        .fields = fields_text_read(&text, "Age: 5\nCache-Status: other; hit\nContent-Length: 9")};
    const struct cache_answer all = {CACHE_ANSWER_WHOLE, 0, 0};
    arena_init(&arena, 1 << 16);
    assert_int_equal(
        cache_answer_head(&stored, &all, 6, BYTES(""), &arena, items, COUNT_OF(items), &response),
        OK);
    assert_int_equal(response.fields.count, 1);
    assert_true(has(&response, "age", "6"));
    assert_int_equal(response.status, 204);
    assert_int_equal(response.body, BODY_NONE);
    assert_false(response.has_content_length);
    arena_finish(&arena);
}

static void want_of_room_is_told(void **state)
{
    (void)state;
    struct fields_text text;
    struct field items[16];
    struct response response = {.status = 1};
    struct arena arena;
    const struct cache_stored stored = {
        .status = 200, .fields = fields_text_read(&text, STORED), .body_size = SIZE};
    const struct cache_answer part = {PART(1, 2)};
    size_t needed = stored.fields.count + CACHE_ANSWER_ADDED_MAX;
    arena_init(&arena, 1 << 16);
    for (size_t max = 0; max < needed; max++) {
        assert_int_equal(cache_answer_head(&stored, &part, 1, BYTES("serin; hit"), &arena, items,
                                           max, &response),
                         ERR_LIMIT);
        assert_int_equal(response.status, 1);
    }
    assert_int_equal(
        cache_answer_head(&stored, &part, 1, BYTES("serin; hit"), &arena, items, needed, &response),
        OK);
    arena_finish(&arena);
    arena_init(&arena, 0);
    assert_int_equal(
        cache_answer_head(&stored, &part, 1, BYTES("serin; hit"), &arena, items, needed, &response),
        ERR_NOMEM);
    arena_finish(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_gets_what_the_table_says),
        cmocka_unit_test(head_has_no_parts_and_a_404_no_conditions),
        cmocka_unit_test(of_nothing_there_is_no_part),
        cmocka_unit_test(every_part_lies_inside),
        cmocka_unit_test(heads_say_what_the_table_says),
        cmocka_unit_test(what_is_said_of_the_cache_is_said_once),
        cmocka_unit_test(want_of_room_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

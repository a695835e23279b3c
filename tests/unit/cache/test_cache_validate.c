/* What is kept of an answer, how it is asked about, and what a 304 does to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/cache/cache_validate.h"
#include "tests/support/fields_text.h"

#define OLD     "Fri, 13 Nov 2026 12:00:00 GMT"
#define MORNING "Mon, 23 Nov 2026 08:00:00 GMT"
#define NOON    "Mon, 23 Nov 2026 12:00:00 GMT"

enum { ITEMS = 32, SECOND_US = 1000000 };

static const struct cache_times times = {UINT64_C(50) * SECOND_US, UINT64_C(51) * SECOND_US,
                                         INT64_C(1795435200) * SECOND_US};

/* Are these fields exactly the lines of the text? Names without case. */
static bool are(const struct fields *fields, const char *text)
{
    struct fields_text wanted;
    struct fields lines = fields_text_read(&wanted, text);
    bool is_same = fields->count == lines.count;
    for (size_t i = 0; is_same && i < lines.count; i++) {
        is_same = bytes_equal_nocase(fields->items[i].name, lines.items[i].name) &&
                  bytes_equal(fields->items[i].value, lines.items[i].value);
    }
    return is_same;
}

static void show(const char *name, const struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        print_message("    %.*s: %.*s\n", BYTES_ARGS(fields->items[i].name),
                      BYTES_ARGS(fields->items[i].value));
    }
    fail_msg("%s", name);
}

/* ---- what is kept ---- */

struct kept_play {
    const char *name;
    const char *response;
    const char *kept;
};

static const struct kept_play kept_plays[] = {
    {"what is of the content", "Date: " NOON "\nContent-Type: a/b\nX-A: 1",
     "Date: " NOON "\nContent-Type: a/b\nX-A: 1"},
    {"what is of one connection goes",
     "Date: " NOON "\nConnection: x-hop, close\nX-Hop: 1\nKeep-Alive: 5\nProxy-Connection: x\n"
     "Proxy-Authenticate: Basic\nProxy-Authentication-Info: x\nProxy-Authorization: x\nTE: a\n"
     "Trailer: b\nTransfer-Encoding: chunked\nUpgrade: c\nX-A: 1",
     "Date: " NOON "\nX-A: 1"},
    {"what is made anew goes",
     "Date: " NOON "\nAge: 5\nContent-Length: 3\nCache-Status: other; hit\nX-Request-Id: 7",
     "Date: " NOON},
    {"a Date is added", "X-A: 1", "X-A: 1\nDate: " NOON},
    {"a Date that is none is replaced", "Date: today\nX-A: 1", "X-A: 1\nDate: " NOON},
    {"two Dates are replaced", "Date: " OLD "\nDate: " OLD, "Date: " NOON},
    {"an old form of Date is one", "Date: Mon Nov 23 08:00:00 2026",
     "Date: Mon Nov 23 08:00:00 2026"},
    {"what private names goes",
     "Date: " NOON "\nCache-Control: private=\"x-secret\", max-age=1\nX-Secret: 1",
     "Date: " NOON "\nCache-Control: private=\"x-secret\", max-age=1"},
    {"what no-cache names goes",
     "Date: " NOON "\nCache-Control: no-cache=\"set-cookie, x-b\"\nX-B: 1\nX-C: 1",
     "Date: " NOON "\nCache-Control: no-cache=\"set-cookie, x-b\"\nX-C: 1"},
    {"cookies go", "Date: " NOON "\nSet-Cookie: a=b\nSet-Cookie: c=d\nX-A: 1",
     "Date: " NOON "\nX-A: 1"},
};

static void fields_are_kept_as_the_table_says(void **state)
{
    (void)state;
    const struct cache_rules rules = {.mode = CACHE_FULL};
    for (size_t i = 0; i < COUNT_OF(kept_plays); i++) {
        struct fields_text text;
        struct field items[ITEMS];
        struct fields kept;
        char date[REPLY_DATE_SIZE];
        const struct response response = {
            .status = 200, .fields = fields_text_read(&text, kept_plays[i].response)};
        assert_int_equal(cache_stored_fields(&response, &rules, &times, date, items, ITEMS, &kept),
                         OK);
        if (!are(&kept, kept_plays[i].kept)) {
            show(kept_plays[i].name, &kept);
        }
    }
}

static void cookies_are_kept_when_told_so(void **state)
{
    (void)state;
    const struct cache_rules rules = {.mode = CACHE_FULL, .is_set_cookie_stored = true};
    struct fields_text text;
    struct field items[ITEMS];
    struct fields kept;
    char date[REPLY_DATE_SIZE];
    const struct response response = {
        .status = 200, .fields = fields_text_read(&text, "Date: " NOON "\nSet-Cookie: a=b")};
    assert_int_equal(cache_stored_fields(&response, &rules, &times, date, items, ITEMS, &kept), OK);
    assert_true(are(&kept, "Date: " NOON "\nSet-Cookie: a=b"));
}

static void want_of_room_for_kept_fields_is_told(void **state)
{
    (void)state;
    const struct cache_rules rules = {.mode = CACHE_FULL};
    struct fields_text text;
    struct field items[ITEMS];
    struct fields kept = {NULL, 9};
    char date[REPLY_DATE_SIZE];
    const struct response response = {.status = 200,
                                      .fields = fields_text_read(&text, "X-A: 1\nX-B: 2")};
    for (size_t max = 0; max < 3; max++) {
        assert_int_equal(cache_stored_fields(&response, &rules, &times, date, items, max, &kept),
                         ERR_LIMIT);
        assert_int_equal(kept.count, 9);
    }
    assert_int_equal(cache_stored_fields(&response, &rules, &times, date, items, 3, &kept), OK);
}

/* ---- asking ---- */

struct fetch_play {
    const char *name;
    const char *stored; /* NULL: nothing is */
    const char *request;
    const char *asked;
};

static const struct fetch_play fetch_plays[] = {
    {"nothing stored", NULL, "Host: a\nX-A: 1", "Host: a\nX-A: 1"},
    {"the client's conditions stay behind", NULL,
     "Host: a\nIf-None-Match: \"x\"\nIf-Modified-Since: " OLD "\nRange: bytes=0-1\nIf-Range: \"x\"",
     "Host: a"},
    {"a tag", "ETag: \"a\"", "Host: a", "Host: a\nIf-None-Match: \"a\""},
    {"a weak tag", "ETag: W/\"a\"", "Host: a", "Host: a\nIf-None-Match: W/\"a\""},
    {"a date", "Last-Modified: " OLD, "Host: a", "Host: a\nIf-Modified-Since: " OLD},
    {"both", "Last-Modified: " OLD "\nETag: \"a\"", "If-None-Match: \"old\"",
     "If-None-Match: \"a\"\nIf-Modified-Since: " OLD},
    {"a tag that is none", "ETag: a", "Host: a", "Host: a"},
    {"a tag with more behind it is none", "ETag: \"a\"b", "Host: a", "Host: a"},
    {"two tags are none", "ETag: \"a\"\nETag: \"b\"", "Host: a", "Host: a"},
};

static void an_origin_is_asked_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(fetch_plays); i++) {
        const struct fetch_play *play = &fetch_plays[i];
        struct fields_text texts[2];
        struct field items[ITEMS];
        struct request asked;
        struct fields stored = {NULL, 0};
        const struct request request = {.method = METHOD_GET,
                                        .target = BYTES("/x"),
                                        .fields = fields_text_read(&texts[0], play->request)};
        if (play->stored != NULL) {
            stored = fields_text_read(&texts[1], play->stored);
        }
        assert_int_equal(cache_fetch_request(&request, play->stored != NULL ? &stored : NULL, items,
                                             ITEMS, &asked),
                         OK);
        assert_true(bytes_equal(asked.target, BYTES("/x")));
        if (!are(&asked.fields, play->asked)) {
            show(play->name, &asked.fields);
        }
    }
}

static void want_of_room_for_a_fetch_is_told(void **state)
{
    (void)state;
    struct fields_text texts[2];
    struct field items[ITEMS];
    struct request asked = {.target = BYTES("/untouched")};
    struct fields stored = fields_text_read(&texts[0], "ETag: \"a\"\nLast-Modified: " OLD);
    const struct request request = {.fields = fields_text_read(&texts[1], "Host: a\nX-A: 1")};
    for (size_t max = 0; max < 2 + CACHE_FETCH_ADDED_MAX; max++) {
        assert_int_equal(cache_fetch_request(&request, &stored, items, max, &asked), ERR_LIMIT);
        assert_true(bytes_equal(asked.target, BYTES("/untouched")));
    }
    assert_int_equal(
        cache_fetch_request(&request, &stored, items, 2 + CACHE_FETCH_ADDED_MAX, &asked), OK);
}

/* ---- what a 304 does ---- */

struct select_play {
    const char *name;
    const char *stored;
    const char *not_modified;
    bool is_selected;
};

static const struct select_play select_plays[] = {
    {"the same strong tag", "ETag: \"a\"", "ETag: \"a\"", true},
    {"another strong tag", "ETag: \"a\"", "ETag: \"b\"", false},
    {"the same weak tag", "ETag: W/\"a\"", "ETag: W/\"a\"", true},
    {"a weak tag, and a strong one of the same name", "ETag: W/\"a\"", "ETag: \"a\"", true},
    {"a strong tag, and a weak one of the same name", "ETag: \"a\"", "ETag: W/\"a\"", true},
    {"another weak tag", "ETag: W/\"a\"", "ETag: W/\"b\"", false},
    {"a tag, and none stored", "Last-Modified: " OLD, "ETag: \"a\"", false},
    {"a tag that is none", "ETag: \"a\"", "ETag: a", false},
    {"a tag goes before a date", "ETag: \"a\"\nLast-Modified: " OLD,
     "ETag: \"a\"\nLast-Modified: " NOON, true},
    {"the same date", "Last-Modified: " OLD, "Last-Modified: " OLD, true},
    {"another date", "Last-Modified: " OLD, "Last-Modified: " NOON, false},
    {"a date, and none stored", "ETag: \"a\"", "Last-Modified: " OLD, false},
    {"it names nothing", "ETag: \"a\"", "Date: " NOON, true},
};

static void a_304_selects_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(select_plays); i++) {
        struct fields_text texts[2];
        struct fields stored = fields_text_read(&texts[0], select_plays[i].stored);
        struct fields fresh = fields_text_read(&texts[1], select_plays[i].not_modified);
        if (cache_selects(&stored, &fresh) != select_plays[i].is_selected) {
            fail_msg("%s", select_plays[i].name);
        }
    }
}

struct freshen_play {
    const char *name;
    const char *stored;
    const char *not_modified;
    enum cache_admission admission;
    const char *fields;
    uint64_t lifetime_s;
    uint64_t age_s;
};

#define KEPT   CACHE_ADMIT_STORED
#define STORED "Date: " MORNING "\nCache-Control: max-age=60\n"

static const struct freshen_play freshen_plays[] = {
    {"a new Date makes it young", STORED "X-A: 1", "Date: " NOON, KEPT,
     "Cache-Control: max-age=60\nX-A: 1\nDate: " NOON, 60, 1},
    {"without Date it came when it came", STORED "X-A: 1", "X-B: 2", KEPT,
     "Cache-Control: max-age=60\nX-A: 1\nX-B: 2\nDate: " NOON, 60, 1},
    {"a broken Date is none", STORED, "Date: today", KEPT, "Cache-Control: max-age=60\nDate: " NOON,
     60, 1},
    {"a new lifetime", STORED, "Date: " NOON "\nCache-Control: max-age=600", KEPT,
     "Date: " NOON "\nCache-Control: max-age=600", 600, 1},
    {"it is as old as others say", STORED, "Date: " NOON "\nAge: 30", KEPT,
     "Cache-Control: max-age=60\nDate: " NOON, 60, 31},
    {"all lines of a name are replaced", STORED "X-A: 1\nX-A: 2", "Date: " NOON "\nx-a: 3\nX-A: 4",
     KEPT, "Cache-Control: max-age=60\nDate: " NOON "\nx-a: 3\nX-A: 4", 60, 1},
    {"how the content is coded stays", STORED "Content-Type: a/b\nContent-Encoding: gzip",
     "Date: " NOON "\nContent-Type: c/d\nContent-Encoding: br\nContent-Length: 5\n"
     "Content-Range: bytes 0-1/2",
     KEPT, "Cache-Control: max-age=60\nContent-Type: a/b\nContent-Encoding: gzip\nDate: " NOON, 60,
     1},
    {"the tag is as weak as it was", STORED "ETag: W/\"a\"", "Date: " NOON "\nETag: \"a\"", KEPT,
     "Cache-Control: max-age=60\nETag: W/\"a\"\nDate: " NOON, 60, 1},
    {"what is of one connection stays out", STORED "X-Hop: old",
     "Date: " NOON "\nConnection: x-hop\nX-Hop: new\nKeep-Alive: 5", KEPT,
     "Cache-Control: max-age=60\nX-Hop: old\nDate: " NOON, 60, 1},
    {"what private names now goes", STORED "X-A: 1",
     "Date: " NOON "\nCache-Control: max-age=9, private=x-a", KEPT,
     "Date: " NOON "\nCache-Control: max-age=9, private=x-a", 9, 1},
    {"what must no longer be kept goes", STORED, "Date: " NOON "\nCache-Control: no-store",
     CACHE_ADMIT_NO_STORE, "Date: " NOON "\nCache-Control: no-store", 0, 0},
    {"a cookie is for this one client", STORED, "Date: " NOON "\nSet-Cookie: a=b",
     CACHE_ADMIT_SET_COOKIE, "Cache-Control: max-age=60\nDate: " NOON "\nSet-Cookie: a=b", 0, 0},
};

static void a_304_freshens_as_the_table_says(void **state)
{
    (void)state;
    const struct cache_rules rules = {.mode = CACHE_FULL};
    struct request request = {.method = METHOD_GET};
    struct cache_request read;
    cache_request_read(&request, &read);
    for (size_t i = 0; i < COUNT_OF(freshen_plays); i++) {
        const struct freshen_play *play = &freshen_plays[i];
        struct fields_text texts[2];
        struct field items[ITEMS];
        struct fields fields;
        struct cache_meta meta;
        char date[REPLY_DATE_SIZE];
        const struct response stored = {.status = 200,
                                        .fields = fields_text_read(&texts[0], play->stored)};
        const struct response fresh = {.status = 304,
                                       .fields = fields_text_read(&texts[1], play->not_modified)};
        enum cache_admission admission = cache_freshen(&read, &stored, &fresh, &rules, &times, date,
                                                       items, ITEMS, &fields, &meta);
        if (admission != play->admission || !are(&fields, play->fields)) {
            show(play->name, &fields);
        }
        if (admission == KEPT) {
            assert_int_equal(meta.lifetime_us, play->lifetime_s * SECOND_US);
            assert_int_equal(cache_age_s(&meta, times.response_us), play->age_s);
        }
    }
}

static void want_of_room_for_a_freshened_answer_is_told(void **state)
{
    (void)state;
    const struct cache_rules rules = {.mode = CACHE_FULL};
    struct request request = {.method = METHOD_GET};
    struct cache_request read;
    struct fields_text texts[2];
    struct field items[ITEMS];
    struct fields fields = {NULL, 9};
    struct cache_meta meta;
    char date[REPLY_DATE_SIZE];
    const struct response stored = {.status = 200, .fields = fields_text_read(&texts[0], "X-A: 1")};
    const struct response fresh = {.status = 304, .fields = fields_text_read(&texts[1], "X-B: 2")};
    cache_request_read(&request, &read);
    for (size_t max = 0; max < 3; max++) {
        assert_int_equal(
            cache_freshen(&read, &stored, &fresh, &rules, &times, date, items, max, &fields, &meta),
            CACHE_ADMIT_TOO_LARGE);
        assert_int_equal(fields.count, 9);
    }
    assert_int_equal(
        cache_freshen(&read, &stored, &fresh, &rules, &times, date, items, 3, &fields, &meta),
        CACHE_ADMIT_STORED);
    assert_int_equal(fields.count, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_kept_as_the_table_says),
        cmocka_unit_test(cookies_are_kept_when_told_so),
        cmocka_unit_test(want_of_room_for_kept_fields_is_told),
        cmocka_unit_test(an_origin_is_asked_as_the_table_says),
        cmocka_unit_test(want_of_room_for_a_fetch_is_told),
        cmocka_unit_test(a_304_selects_as_the_table_says),
        cmocka_unit_test(a_304_freshens_as_the_table_says),
        cmocka_unit_test(want_of_room_for_a_freshened_answer_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What may be kept: a named case for each rule of RFC 9111 section 3 and for each of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/cache/cache_policy.h"
#include "tests/support/fields_text.h"

#define DATE     "Date: Mon, 23 Nov 2026 12:00:00 GMT\n"
#define MODIFIED "Last-Modified: Fri, 13 Nov 2026 12:00:00 GMT\n" /* ten days before */

static const int64_t noon_us = INT64_C(1795435200) * 1000000;

struct play {
    const char *name;
    enum method method;
    const char *request;
    unsigned status;
    const char *response;
    enum cache_admission admission;
};

#define GET      METHOD_GET
#define KEPT     CACHE_ADMIT_STORED
#define NOT(why) CACHE_ADMIT_##why

static const struct play plays[] = {
    /* section 3: the method, the status, no-store */
    {"GET with a lifetime", GET, "", 200, "Cache-Control: max-age=60", KEPT},
    {"GET without a word", GET, "", 200, "", KEPT},
    {"HEAD has no content to keep", METHOD_HEAD, "", 200, "Cache-Control: max-age=60", NOT(METHOD)},
    {"POST", METHOD_POST, "", 200, "Cache-Control: max-age=60", NOT(METHOD)},
    {"PUT", METHOD_PUT, "", 200, "Cache-Control: max-age=60", NOT(METHOD)},
    {"OPTIONS", METHOD_OPTIONS, "", 200, "Cache-Control: max-age=60", NOT(METHOD)},
    {"no-store in the answer", GET, "", 200, "Cache-Control: no-store, max-age=60", NOT(NO_STORE)},
    {"no-store in the request", GET, "Cache-Control: no-store", 200, "Cache-Control: max-age=60",
     NOT(REQUEST)},
    {"no-cache in the request", GET, "Cache-Control: no-cache", 200, "Cache-Control: max-age=60",
     KEPT},
    {"no-cache in the answer is kept, to be asked about", GET, "", 200, "Cache-Control: no-cache",
     KEPT},
    {"a condition of the client does not matter", GET, "If-None-Match: \"a\"", 200,
     "Cache-Control: max-age=60", KEPT},
    {"If-Match is for the origin", GET, "If-Match: \"a\"", 200, "Cache-Control: max-age=60",
     NOT(METHOD)},
    {"If-Unmodified-Since is for the origin", GET,
     "If-Unmodified-Since: Mon, 23 Nov 2026 12:00:00 GMT", 200, "Cache-Control: max-age=60",
     NOT(METHOD)},
    {"a field that Connection takes away from origins", GET, "Connection: X-Kind\nX-Kind: a", 200,
     "Cache-Control: max-age=60\nVary: X-Kind", NOT(METHOD)},
    {"a name in Connection that is not there", GET, "Connection: keep-alive, X-Kind", 200,
     "Cache-Control: max-age=60", KEPT},
    {"what goes no further anyway", GET, "Connection: TE, Keep-Alive\nTE: trailers\nKeep-Alive: 5",
     200, "Cache-Control: max-age=60", KEPT},
    {"a key, for an answer that says nothing", GET, "X-Api-Key: secret", 200, "", NOT(COOKIE)},
    {"a key, for an answer with a lifetime", GET, "X-Api-Key: secret", 200,
     "Cache-Control: max-age=60", KEPT},
    {"a name from a proxy in front", GET, "x-forwarded-user: me", 200, MODIFIED, NOT(COOKIE)},
    {"another method than it seems", GET, "X-HTTP-Method-Override: POST", 200,
     "Cache-Control: max-age=60", NOT(METHOD)},
    {"another target than it seems", GET, "X-Original-URL: /admin", 200,
     "Cache-Control: max-age=60", NOT(METHOD)},
    {"a range asks for a part", GET, "Range: bytes=0-1", 200, "Cache-Control: max-age=60",
     NOT(METHOD)},
    {"206 is a part", GET, "", 206, "Cache-Control: max-age=60\nContent-Range: bytes 0-1/5",
     NOT(PARTIAL)},
    {"a Content-Range is a part, whatever the status", GET, "", 200,
     "Cache-Control: max-age=60\nContent-Range: bytes 0-1/5", NOT(PARTIAL)},
    {"a failure with a lifetime does not take a good answer's place", GET, "", 500,
     "Cache-Control: public, max-age=60", NOT(STATUS)},
    {"503 with a lifetime", GET, "", 503, "Cache-Control: max-age=60", NOT(STATUS)},
    {"416 speaks of one request", GET, "", 416, "Cache-Control: max-age=60", NOT(STATUS)},
    {"412 speaks of one request", GET, "", 412, "Cache-Control: max-age=60", NOT(STATUS)},
    {"401 speaks of one request", GET, "", 401, "Cache-Control: max-age=60", NOT(STATUS)},
    {"429 speaks of one client", GET, "", 429, "Cache-Control: max-age=60", NOT(STATUS)},
    {"a status nobody knows", GET, "", 299, "Cache-Control: max-age=60", NOT(STATUS)},

    /* statuses that may be kept without a word, and others */
    {"203", GET, "", 203, "", KEPT},
    {"204", GET, "", 204, "", KEPT},
    {"300", GET, "", 300, "", KEPT},
    {"301", GET, "", 301, "", KEPT},
    {"308", GET, "", 308, "", KEPT},
    {"404", GET, "", 404, "", KEPT},
    {"405", GET, "", 405, "", KEPT},
    {"410", GET, "", 410, "", KEPT},
    {"414", GET, "", 414, "", KEPT},
    {"302 without a word", GET, "", 302, "", NOT(FRESHNESS)},
    {"302 modified long ago", GET, "", 302, DATE MODIFIED, NOT(FRESHNESS)},
    {"302 with max-age", GET, "", 302, "Cache-Control: max-age=60", KEPT},
    {"302 with s-maxage", GET, "", 302, "Cache-Control: s-maxage=60", KEPT},
    {"302 with Expires", GET, "", 302, "Expires: Mon, 23 Nov 2026 13:00:00 GMT", KEPT},
    {"302 that is public", GET, "", 302, "Cache-Control: public", KEPT},
    {"307 without a word", GET, "", 307, "", NOT(FRESHNESS)},
    {"403 with max-age", GET, "", 403, "Cache-Control: max-age=60", KEPT},
    {"403 without a word", GET, "", 403, "", NOT(FRESHNESS)},

    /* private */
    {"private", GET, "", 200, "Cache-Control: private, max-age=60", NOT(PRIVATE)},
    {"private goes before public", GET, "", 200, "Cache-Control: public, private, max-age=60",
     NOT(PRIVATE)},
    {"private goes before s-maxage", GET, "", 200, "Cache-Control: s-maxage=60, private",
     NOT(PRIVATE)},
    {"private that names fields", GET, "", 200, "Cache-Control: private=\"x-a\", max-age=60", KEPT},
    {"private that names nothing", GET, "", 200, "Cache-Control: private=\"\", max-age=60",
     NOT(PRIVATE)},

    /* must-understand */
    {"must-understand lifts no-store where the status is known", GET, "", 200,
     "Cache-Control: no-store, must-understand, max-age=60", KEPT},
    {"must-understand with a status nobody knows", GET, "", 599,
     "Cache-Control: no-store, must-understand, max-age=60", NOT(STATUS)},
    {"must-understand does not lift private", GET, "", 200,
     "Cache-Control: no-store, must-understand, private", NOT(PRIVATE)},

    /* section 3.5: Authorization */
    {"Authorization with max-age", GET, "Authorization: Basic eA==", 200,
     "Cache-Control: max-age=60", NOT(AUTHORIZATION)},
    {"Authorization without a word", GET, "Authorization: Basic eA==", 200, "", NOT(AUTHORIZATION)},
    {"Authorization with public", GET, "Authorization: Basic eA==", 200,
     "Cache-Control: public, max-age=60", KEPT},
    {"Authorization with s-maxage", GET, "Authorization: Basic eA==", 200,
     "Cache-Control: s-maxage=60", KEPT},
    {"Authorization with must-revalidate", GET, "Authorization: Basic eA==", 200,
     "Cache-Control: max-age=60, must-revalidate", KEPT},
    {"Authorization with proxy-revalidate", GET, "Authorization: Basic eA==", 200,
     "Cache-Control: max-age=60, proxy-revalidate", NOT(AUTHORIZATION)},
    {"Authorization with public=1", GET, "Authorization: Basic eA==", 200,
     "Cache-Control: public=1, max-age=60", NOT(AUTHORIZATION)},

    /* cookies */
    {"a cookie with a lifetime", GET, "Cookie: session=1", 200, "Cache-Control: max-age=60", KEPT},
    {"a cookie with Expires", GET, "Cookie: session=1", 200,
     "Expires: Mon, 23 Nov 2026 13:00:00 GMT", KEPT},
    {"a cookie with public", GET, "Cookie: session=1", 200, "Cache-Control: public", KEPT},
    {"a cookie without a word may be one person's page", GET, "Cookie: session=1", 200, "",
     NOT(COOKIE)},
    {"a cookie and a guess may be one person's page", GET, "Cookie: session=1", 200, DATE MODIFIED,
     NOT(COOKIE)},
    {"Serin's own cookies are none", GET, "Cookie: serin=00000000000000ab.7; serin-endpoint=x", 200,
     "", KEPT},
    {"Serin's own cookie beside another", GET, "Cookie: serin=00000000000000ab.7\nCookie: a=b", 200,
     "", NOT(COOKIE)},
    {"Set-Cookie", GET, "", 200, "Set-Cookie: a=b\nCache-Control: public, max-age=60",
     NOT(SET_COOKIE)},
    {"Set-Cookie that no-cache names", GET, "", 200,
     "Set-Cookie: a=b\nCache-Control: no-cache=\"set-cookie\", max-age=60", KEPT},
    {"Set-Cookie that private names", GET, "", 200,
     "Set-Cookie: a=b\nCache-Control: private=\"x, Set-Cookie\", max-age=60", KEPT},

    /* Vary */
    {"Vary: *", GET, "", 200, "Vary: *\nCache-Control: max-age=60", NOT(VARY)},
    {"* among the names of Vary", GET, "", 200, "Vary: accept\nVary: cookie, *", NOT(VARY)},
    {"Vary: Cookie", GET, "", 200, "Vary: Cookie\nCache-Control: max-age=60", KEPT},
};

static enum cache_admission admit(const struct play *play, const struct cache_rules *rules,
                                  enum body_kind body, struct cache_meta *ret_meta)
{
    struct fields_text request_text;
    struct fields_text response_text;
    struct request request = {.method = play->method,
                              .fields = fields_text_read(&request_text, play->request)};
    struct response response = {.status = play->status,
                                .fields = fields_text_read(&response_text, play->response),
                                .body = body};
    struct cache_times times = {1000, 2000, noon_us};
    struct cache_request read;
    cache_request_read(&request, &read);
    return cache_admit(&read, &response, rules, &times, ret_meta);
}

static void an_answer_is_kept_as_the_table_says(void **state)
{
    (void)state;
    static const struct cache_rules rules[] = {{.mode = CACHE_FULL}, {.mode = CACHE_FALLBACK}};
    for (size_t i = 0; i < COUNT_OF(plays); i++) {
        for (size_t j = 0; j < COUNT_OF(rules); j++) {
            struct cache_meta meta;
            enum cache_admission admission = admit(&plays[i], &rules[j], BODY_LENGTH, &meta);
            if (admission != plays[i].admission) {
                struct bytes text = cache_admission_text(admission);
                fail_msg("%s: \"%.*s\"", plays[i].name, BYTES_ARGS(text));
            }
        }
    }
}

static void what_is_not_kept_leaves_no_mark(void **state)
{
    (void)state;
    const struct cache_rules rules = {.mode = CACHE_FULL};
    for (size_t i = 0; i < COUNT_OF(plays); i++) {
        struct cache_meta meta;
        struct cache_meta before;
        memset(&meta, 0x5a, sizeof meta);
        before = meta;
        if (admit(&plays[i], &rules, BODY_LENGTH, &meta) != CACHE_ADMIT_STORED) {
            assert_memory_equal(&meta, &before, sizeof meta);
        }
    }
}

static void an_answer_without_a_known_end_is_not_kept(void **state)
{
    (void)state;
    const struct cache_rules rules = {.mode = CACHE_FULL};
    const struct play play = {"", GET, "", 200, "Cache-Control: max-age=60", KEPT};
    struct cache_meta meta;
    assert_int_equal(admit(&play, &rules, BODY_CHUNKED, &meta), CACHE_ADMIT_STORED);
    assert_int_equal(admit(&play, &rules, BODY_NONE, &meta), CACHE_ADMIT_STORED);
    assert_int_equal(admit(&play, &rules, BODY_UNTIL_CLOSE, &meta), CACHE_ADMIT_UNBOUNDED);
}

static void set_cookie_is_kept_when_told_so(void **state)
{
    (void)state;
    const struct cache_rules rules = {.mode = CACHE_FULL, .is_set_cookie_stored = true};
    const struct play play = {"", GET, "", 200, "Set-Cookie: a=b\nCache-Control: max-age=60", KEPT};
    const struct play secret = {"", GET, "", 200, "Set-Cookie: a=b\nCache-Control: private", KEPT};
    struct cache_meta meta;
    assert_int_equal(admit(&play, &rules, BODY_LENGTH, &meta), CACHE_ADMIT_STORED);
    assert_int_equal(admit(&secret, &rules, BODY_LENGTH, &meta), CACHE_ADMIT_PRIVATE);
}

static void a_request_with_a_body_is_the_origins(void **state)
{
    (void)state;
    struct request request = {.method = METHOD_GET, .body = BODY_LENGTH, .content_length = 1};
    struct cache_request read;
    cache_request_read(&request, &read);
    assert_false(read.is_reusable);
    assert_false(read.is_storing);
    request.body = BODY_NONE;
    cache_request_read(&request, &read);
    assert_true(read.is_storing);
    request.upgrade = BYTES("websocket");
    cache_request_read(&request, &read);
    assert_false(read.is_reusable);
}

/* RFC 9111 section 5.4. */
static void pragma_counts_only_where_cache_control_is_silent(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_no_cache;
    } cases[] = {{"Pragma: no-cache", true},
                 {"Pragma: x, No-Cache", true},
                 {"Pragma: cache", false},
                 {"Pragma: no-cache\nCache-Control: max-age=5", false},
                 {"Cache-Control: no-cache", true}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fields_text text;
        struct request request = {.method = METHOD_GET,
                                  .fields = fields_text_read(&text, cases[i].text)};
        struct cache_request read;
        cache_request_read(&request, &read);
        assert_int_equal(cache_control_has(&read.control, CACHE_CONTROL_NO_CACHE),
                         cases[i].is_no_cache);
    }
}

static void every_reason_has_a_token_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 1; i < CACHE_ADMISSION_COUNT; i++) {
        struct bytes text = cache_admission_text((enum cache_admission)i);
        assert_true(text.size > 0);
        for (unsigned j = i + 1; j < CACHE_ADMISSION_COUNT; j++) {
            assert_false(bytes_equal(text, cache_admission_text((enum cache_admission)j)));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_kept_as_the_table_says),
        cmocka_unit_test(what_is_not_kept_leaves_no_mark),
        cmocka_unit_test(an_answer_without_a_known_end_is_not_kept),
        cmocka_unit_test(set_cookie_is_kept_when_told_so),
        cmocka_unit_test(a_request_with_a_body_is_the_origins),
        cmocka_unit_test(pragma_counts_only_where_cache_control_is_silent),
        cmocka_unit_test(every_reason_has_a_token_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* How old an answer is, how long it is fresh, and who may have it when: RFC 9111 sections 4.2
 * and 5.2, RFC 5861. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/hash.h"
#include "proxy/cache/cache_policy.h"
#include "tests/support/fields_text.h"

#define NOON "Date: Mon, 23 Nov 2026 12:00:00 GMT\n"

enum { SECOND_US = 1000000, DAY_S = 24 * 60 * 60 };

static const int64_t noon_us = INT64_C(1795435200) * SECOND_US;
static const uint64_t sent_us = UINT64_C(50) * SECOND_US; /* monotonic */

/* A kept answer: asked for at `sent_us`, there `delay_s` later, which was noon. */
static struct cache_meta keep(const char *response_text, uint64_t delay_s)
{
    struct fields_text text;
    struct request request = {.method = METHOD_GET};
    struct response response = {
        .status = 200, .fields = fields_text_read(&text, response_text), .body = BODY_LENGTH};
    const struct cache_rules rules = {.mode = CACHE_FULL};
    struct cache_times times = {sent_us, sent_us + delay_s * SECOND_US, noon_us};
    struct cache_request read;
    struct cache_meta meta;
    cache_request_read(&request, &read);
    assert_int_equal(cache_admit(&read, &response, &rules, &times, &meta), CACHE_ADMIT_STORED);
    return meta;
}

struct lifetime_play {
    const char *name;
    const char *response;
    uint64_t lifetime_s;
};

static const struct lifetime_play lifetime_plays[] = {
    {"nothing said", NOON, 0},
    {"max-age", "Cache-Control: max-age=60", 60},
    {"s-maxage goes before max-age", "Cache-Control: max-age=60, s-maxage=5", 5},
    {"s-maxage goes before a shorter max-age", "Cache-Control: max-age=5, s-maxage=60", 60},
    {"a broken s-maxage is not helped by max-age", "Cache-Control: max-age=60, s-maxage=x", 0},
    {"max-age goes before Expires",
     NOON "Cache-Control: max-age=60\nExpires: Mon, 23 Nov 2026 13:00:00 GMT", 60},
    {"a broken max-age is not helped by Expires",
     NOON "Cache-Control: max-age=x\nExpires: Mon, 23 Nov 2026 13:00:00 GMT", 0},
    {"Expires counts from Date",
     "Date: Mon, 23 Nov 2026 11:00:00 GMT\n"
     "Expires: Mon, 23 Nov 2026 13:00:00 GMT",
     7200},
    {"Expires without Date counts from now", "Expires: Mon, 23 Nov 2026 13:00:00 GMT", 3600},
    {"Expires with a broken Date counts from now",
     "Date: today\nExpires: Mon, 23 Nov 2026 13:00:00 GMT", 3600},
    {"Expires past all bounds", NOON "Expires: Fri, 31 Dec 9999 23:59:59 GMT", CACHE_SECONDS_MAX},
    {"Expires in the past", NOON "Expires: Mon, 23 Nov 2026 11:00:00 GMT", 0},
    {"Expires at Date", NOON "Expires: Mon, 23 Nov 2026 12:00:00 GMT", 0},
    {"Expires: 0", NOON "Expires: 0", 0},
    {"Expires that is no date", NOON "Expires: tomorrow", 0},
    {"a broken Expires is not helped by a guess",
     NOON "Expires: 0\nLast-Modified: Fri, 13 Nov 2026 12:00:00 GMT", 0},
    {"two Expires",
     NOON "Expires: Mon, 23 Nov 2026 13:00:00 GMT\nExpires: Mon, 23 Nov 2026 13:00:00 GMT", 0},
    {"Expires in its oldest form", NOON "Expires: Mon Nov 23 13:00:00 2026", 3600},
    {"a tenth of the time since it was modified",
     NOON "Last-Modified: Mon, 23 Nov 2026 02:00:00 GMT", 3600},
    {"a guess is a day at most", NOON "Last-Modified: Sun, 23 Nov 2025 12:00:00 GMT", DAY_S},
    {"modified after Date", NOON "Last-Modified: Mon, 23 Nov 2026 13:00:00 GMT", 0},
    {"modified when nobody can say", NOON "Last-Modified: yesterday", 0},
    {"immutable is no lifetime", "Cache-Control: immutable", 0},
    {"immutable does no harm", "Cache-Control: immutable, max-age=60", 60},
    {"a lifetime past all bounds", "Cache-Control: max-age=99999999999999999999",
     CACHE_SECONDS_MAX},
};

static void lifetimes_are_what_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lifetime_plays); i++) {
        struct cache_meta meta = keep(lifetime_plays[i].response, 0);
        if (meta.lifetime_us != lifetime_plays[i].lifetime_s * SECOND_US) {
            fail_msg("%s: %lu s", lifetime_plays[i].name,
                     (unsigned long)(meta.lifetime_us / SECOND_US));
        }
        bool is_guess = bytes_contains(bytes_of(lifetime_plays[i].name), BYTES("a guess is")) ||
                        bytes_contains(bytes_of(lifetime_plays[i].name), BYTES("a tenth"));
        assert_int_equal(meta.is_heuristic, is_guess);
    }
}

struct age_play {
    const char *name;
    const char *response;
    uint64_t delay_s;
    uint64_t age_s; /* when it came */
};

static const struct age_play age_plays[] = {
    {"made now", NOON, 0, 0},
    {"made a minute ago", "Date: Mon, 23 Nov 2026 11:59:00 GMT", 0, 60},
    {"made in the future", "Date: Mon, 23 Nov 2026 12:10:00 GMT", 0, 0},
    {"nobody says when", "X: y", 0, 0},
    {"a broken Date says nothing", "Date: 2026-11-23", 0, 0},
    {"other caches had it", NOON "Age: 30", 0, 30},
    {"the way here counts for what they say", NOON "Age: 30", 7, 37},
    {"the way here counts without them", NOON, 7, 7},
    {"the older of both", "Date: Mon, 23 Nov 2026 11:59:00 GMT\nAge: 30", 7, 60},
    {"the first of several", NOON "Age: 30, 60", 0, 30},
    {"the first of several lines", NOON "Age: 30\nAge: 60", 0, 30},
    {"an empty Age says nothing", NOON "Age:", 0, 0},
    {"a broken Age says nothing", NOON "Age: old", 0, 0},
    {"a negative Age says nothing", NOON "Age: -5", 0, 0},
    {"a fraction says nothing", NOON "Age: 5.0", 0, 0},
    {"older than anybody can say", NOON "Age: 99999999999999999999999", 0, CACHE_SECONDS_MAX},
};

static void ages_are_what_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(age_plays); i++) {
        const struct age_play *play = &age_plays[i];
        struct cache_meta meta = keep(play->response, play->delay_s);
        uint64_t came_us = sent_us + play->delay_s * SECOND_US;
        if (cache_age_s(&meta, came_us) != play->age_s) {
            fail_msg("%s: %lu s", play->name, (unsigned long)cache_age_s(&meta, came_us));
        }
        if (play->age_s < CACHE_SECONDS_MAX) {
            assert_int_equal(cache_age_s(&meta, came_us + 90 * SECOND_US), play->age_s + 90);
        }
    }
}

static void the_time_to_live_goes_below_nothing(void **state)
{
    (void)state;
    struct cache_meta meta = keep("Cache-Control: max-age=60\nAge: 20", 0);
    assert_int_equal(cache_ttl_s(&meta, sent_us), 40);
    assert_int_equal(cache_ttl_s(&meta, sent_us + UINT64_C(100) * SECOND_US), -60);
}

/* ---- who may have it when ---- */

struct judge_play {
    const char *name;
    const char *response;
    uint64_t later_s;
    const char *request;
    enum cache_verdict verdict;
    enum cache_forward forward;
};

#define FRESH      CACHE_FRESH, CACHE_FORWARD_NONE
#define ASK(why)   CACHE_STALE_REVALIDATE, CACHE_FORWARD_##why
#define FETCH(why) CACHE_MISS, CACHE_FORWARD_##why
#define PASS(why)  CACHE_PASS, CACHE_FORWARD_##why
#define MEANWHILE  CACHE_STALE_WHILE_REVALIDATE, CACHE_FORWARD_NONE
#define TIMEOUT    CACHE_GATEWAY_TIMEOUT, CACHE_FORWARD_NONE
#define ETAG       "ETag: \"1\"\n"
#define HOUR       "Cache-Control: max-age=3600"
#define GUESS      NOON "Last-Modified: Fri, 13 Nov 2026 12:00:00 GMT"

static const struct judge_play judge_plays[] = {
    {"fresh", HOUR, 3599, "", FRESH},
    {"an answer is stale at the end of its lifetime", ETAG HOUR, 3600, "", ASK(STALE)},
    {"stale with Last-Modified is asked about",
     "Last-Modified: Fri, 13 Nov 2026 12:00:00 GMT\nCache-Control: max-age=1", 2, "", ASK(STALE)},
    {"stale without a validator is fetched", HOUR, 3600, "", FETCH(STALE)},
    {"a tag that cannot be read is no validator", "ETag: 1\nCache-Control: max-age=1", 2, "",
     FETCH(STALE)},
    {"no-cache is never used unasked", ETAG "Cache-Control: no-cache, max-age=60", 1, "",
     ASK(STALE)},
    {"no-cache that names fields is used", "Cache-Control: no-cache=\"x\", max-age=60", 1, "",
     FRESH},

    /* section 5.2.1: what the client says */
    {"the client's no-cache", ETAG HOUR, 1, "Cache-Control: no-cache", ASK(REQUEST)},
    {"the client's Pragma", ETAG HOUR, 1, "Pragma: no-cache", ASK(REQUEST)},
    {"the client's no-store may still be served", ETAG HOUR, 1, "Cache-Control: no-store", FRESH},
    {"the client's no-store keeps nothing new", ETAG HOUR, 4000, "Cache-Control: no-store",
     PASS(STALE)},
    {"the client's max-age is enough", HOUR, 10, "Cache-Control: max-age=10", FRESH},
    {"the client's max-age is not enough", ETAG HOUR, 11, "Cache-Control: max-age=10",
     ASK(REQUEST)},
    {"the client's max-age=0 of a reload", ETAG HOUR, 1, "Cache-Control: max-age=0", ASK(REQUEST)},
    {"fresh for long enough", HOUR, 3000, "Cache-Control: min-fresh=599", FRESH},
    {"not fresh for long enough", ETAG HOUR, 3000, "Cache-Control: min-fresh=600", ASK(REQUEST)},
    {"any staleness will do", ETAG HOUR, 999999, "Cache-Control: max-stale", MEANWHILE},
    {"so much staleness will do", ETAG HOUR, 3610, "Cache-Control: max-stale=10", MEANWHILE},
    {"more staleness will not do", ETAG HOUR, 3611, "Cache-Control: max-stale=10", ASK(STALE)},
    {"stale, but not too old", ETAG HOUR, 3610, "Cache-Control: max-stale=60, max-age=4000",
     MEANWHILE},
    {"not that old, however stale", ETAG HOUR, 3610, "Cache-Control: max-stale=60, max-age=3601",
     ASK(STALE)},
    {"only if cached, and it is", HOUR, 1, "Cache-Control: only-if-cached", FRESH},
    {"only if cached, and it is stale", ETAG HOUR, 4000, "Cache-Control: only-if-cached", TIMEOUT},
    {"only if cached, and stale will do", ETAG HOUR, 4000,
     "Cache-Control: only-if-cached, max-stale", FRESH},

    /* section 4.2.4: what forbids stale */
    {"must-revalidate while fresh", HOUR ", must-revalidate", 1, "", FRESH},
    {"must-revalidate forbids max-stale", ETAG HOUR ", must-revalidate", 4000,
     "Cache-Control: max-stale", ASK(STALE)},
    {"proxy-revalidate forbids max-stale", ETAG HOUR ", proxy-revalidate", 4000,
     "Cache-Control: max-stale", ASK(STALE)},
    {"s-maxage forbids max-stale", ETAG "Cache-Control: s-maxage=1", 2, "Cache-Control: max-stale",
     ASK(STALE)},
    {"no-cache forbids max-stale", ETAG "Cache-Control: no-cache, max-age=1", 2,
     "Cache-Control: max-stale", ASK(STALE)},

    /* RFC 5861 section 3 */
    {"stale while it is asked about", ETAG HOUR ", stale-while-revalidate=60", 3660, "", MEANWHILE},
    {"stale for too long", ETAG HOUR ", stale-while-revalidate=60", 3661, "", ASK(STALE)},
    {"must-revalidate forbids it", ETAG HOUR ", stale-while-revalidate=60, must-revalidate", 3601,
     "", ASK(STALE)},
    {"s-maxage does not, where the same answer allows it",
     ETAG "Cache-Control: s-maxage=3600, stale-while-revalidate=60", 3601, "", MEANWHILE},
    {"no-cache forbids it", ETAG "Cache-Control: no-cache, max-age=1, stale-while-revalidate=60", 2,
     "", ASK(STALE)},
    {"the client's no-cache forbids it", ETAG HOUR ", stale-while-revalidate=60", 3601,
     "Cache-Control: no-cache", ASK(STALE)},
    {"the client's min-fresh forbids it", ETAG HOUR ", stale-while-revalidate=60", 3601,
     "Cache-Control: min-fresh=1", ASK(STALE)},

    /* our own */
    {"a guess is good for who has no cookie", GUESS, 60, "", FRESH},
    {"a guess is not good for who has one", GUESS, 60, "Cookie: session=1", ASK(STALE)},
    {"a guess is good for who has Serin's", GUESS, 60, "Cookie: serin=00000000000000ab.7", FRESH},
    {"what is said is good for who has a cookie", HOUR, 60, "Cookie: session=1", FRESH},
    {"with Authorization only what is for all", ETAG HOUR, 60,
     "Authorization: Basic eA==", ASK(STALE)},
    {"with Authorization what is public", HOUR ", public", 60, "Authorization: Basic eA==", FRESH},

    /* ranges and conditions */
    {"a part of what is fresh", HOUR, 60, "Range: bytes=0-1", FRESH},
    {"a part of what is stale comes from the origin", ETAG HOUR, 4000, "Range: bytes=0-1",
     PASS(STALE)},
    {"If-None-Match is for us", HOUR, 60, "If-None-Match: \"1\"", FRESH},
    {"If-Match is for the origin", HOUR, 60, "If-Match: \"1\"", PASS(BYPASS)},
    {"If-Unmodified-Since is for the origin", HOUR, 60,
     "If-Unmodified-Since: Fri, 13 Nov 2026 12:00:00 GMT", PASS(BYPASS)},
};

static struct cache_request read_request(enum method method, const char *text,
                                         struct fields_text *fields, struct request *request)
{
    struct cache_request read;
    *request = (struct request){.method = method, .fields = fields_text_read(fields, text)};
    cache_request_read(request, &read);
    return read;
}

static void a_stored_answer_is_judged_as_the_table_says(void **state)
{
    (void)state;
    const struct cache_rules rules = {.mode = CACHE_FULL};
    for (size_t i = 0; i < COUNT_OF(judge_plays); i++) {
        const struct judge_play *play = &judge_plays[i];
        struct fields_text text;
        struct request request;
        struct cache_meta meta = keep(play->response, 0);
        struct cache_request read = read_request(METHOD_GET, play->request, &text, &request);
        struct cache_judgement judgement =
            cache_judge(&meta, &read, &rules, sent_us + play->later_s * SECOND_US);
        if (judgement.verdict != play->verdict || judgement.forward != play->forward) {
            fail_msg("%s: verdict %d, forward %d", play->name, judgement.verdict,
                     judgement.forward);
        }
    }
}

static void what_is_not_stored_is_fetched(void **state)
{
    (void)state;
    static const struct {
        enum method method;
        const char *request;
        enum cache_verdict verdict;
        enum cache_forward forward;
    } cases[] = {
        {METHOD_GET, "", FETCH(URI_MISS)},
        {METHOD_GET, "Cache-Control: no-store", PASS(URI_MISS)},
        {METHOD_GET, "Range: bytes=0-1", PASS(URI_MISS)},
        {METHOD_GET, "Cache-Control: only-if-cached", TIMEOUT},
        {METHOD_HEAD, "", PASS(URI_MISS)},
        {METHOD_POST, "", PASS(METHOD)},
        {METHOD_POST, "Cache-Control: only-if-cached", PASS(METHOD)},
        {METHOD_GET, "If-Match: *", PASS(BYPASS)},
    };
    const struct cache_rules rules = {.mode = CACHE_FULL};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct fields_text text;
        struct request request;
        struct cache_request read =
            read_request(cases[i].method, cases[i].request, &text, &request);
        struct cache_judgement judgement = cache_judge(NULL, &read, &rules, sent_us);
        assert_int_equal(judgement.verdict, cases[i].verdict);
        assert_int_equal(judgement.forward, cases[i].forward);
    }
}

static void head_is_answered_from_what_get_stored(void **state)
{
    (void)state;
    const struct cache_rules rules = {.mode = CACHE_FULL};
    struct fields_text text;
    struct request request;
    struct cache_meta meta = keep(HOUR, 0);
    struct cache_request read = read_request(METHOD_HEAD, "", &text, &request);
    assert_int_equal(cache_judge(&meta, &read, &rules, sent_us).verdict, CACHE_FRESH);
    assert_int_equal(
        cache_judge(&meta, &read, &rules, sent_us + UINT64_C(4000) * SECOND_US).verdict,
        CACHE_PASS);
}

static void mode_fallback_never_answers_while_the_origins_live(void **state)
{
    (void)state;
    const struct cache_rules rules = {.mode = CACHE_FALLBACK, .stale_if_error_s = DAY_S};
    for (size_t i = 0; i < COUNT_OF(judge_plays); i++) {
        struct fields_text text;
        struct request request;
        struct cache_meta meta = keep(judge_plays[i].response, 0);
        struct cache_request read =
            read_request(METHOD_GET, judge_plays[i].request, &text, &request);
        struct cache_judgement judgement = cache_judge(&meta, &read, &rules, sent_us);
        assert_int_equal(judgement.verdict, read.is_storing ? CACHE_MISS : CACHE_PASS);
        assert_int_equal(judgement.forward, CACHE_FORWARD_BYPASS);
    }
}

/* ---- when the origins fail ---- */

struct error_play {
    const char *name;
    const char *response;
    uint64_t later_s;
    const char *request;
    uint32_t stale_if_error_s; /* configured */
    bool is_waived;
    bool may;
};

static const struct error_play error_plays[] = {
    {"fresh", HOUR, 60, "", 0, false, true},
    {"stale, and nobody allows it", HOUR, 4000, "", 0, false, false},
    {"just stale, and nobody allows it", HOUR, 3600, "", 0, false, false},
    {"stale within what is configured", HOUR, 3600 + DAY_S, "", DAY_S, false, true},
    {"stale past what is configured", HOUR, 3601 + DAY_S, "", DAY_S, false, false},
    {"nothing said counts as stale from the start", NOON, DAY_S, "", DAY_S, false, true},
    {"stale within what the answer allows", HOUR ", stale-if-error=60", 3660, "", 0, false, true},
    {"the answer allows less than is configured", HOUR ", stale-if-error=60", 3661, "", DAY_S,
     false, false},
    {"the answer allows more than is configured", HOUR ", stale-if-error=600", 3700, "", 10, false,
     true},
    {"the answer forbids it", HOUR ", stale-if-error=0", 3601, "", DAY_S, false, false},
    {"must-revalidate while fresh", HOUR ", must-revalidate", 60, "", DAY_S, false, true},
    {"must-revalidate forbids it", HOUR ", must-revalidate", 3601, "", DAY_S, false, false},
    {"must-revalidate goes before what the answer allows",
     HOUR ", must-revalidate, stale-if-error=60", 3601, "", DAY_S, false, false},
    {"proxy-revalidate forbids it", HOUR ", proxy-revalidate", 3601, "", DAY_S, false, false},
    {"s-maxage forbids it", "Cache-Control: s-maxage=60", 61, "", DAY_S, false, false},
    {"s-maxage does not, where the same answer allows it",
     "Cache-Control: s-maxage=60, stale-if-error=60", 61, "", 0, false, true},
    {"no-cache forbids it", "Cache-Control: no-cache", 1, "", DAY_S, false, false},
    {"no-cache forbids it even while fresh", "Cache-Control: no-cache, max-age=60", 1, "", DAY_S,
     false, false},
    {"must-revalidate, waived", "Cache-Control: public, max-age=0, must-revalidate", 60, "", DAY_S,
     true, true},
    {"no-cache, waived", "Cache-Control: no-cache", 60, "", DAY_S, true, true},
    {"s-maxage, waived", "Cache-Control: s-maxage=60", 61, "", DAY_S, true, true},
    {"waiving does not go past what is configured", HOUR ", must-revalidate", 3601 + DAY_S, "",
     DAY_S, true, false},
    {"waiving allows nothing by itself", HOUR ", must-revalidate", 3601, "", 0, true, false},
    {"a reload would rather see it than an error", HOUR, 60, "Cache-Control: no-cache", DAY_S,
     false, true},
    {"a client that wants it fresh would too", HOUR, 3601, "Cache-Control: max-age=0, min-fresh=9",
     DAY_S, false, true},
    {"a client that keeps nothing would too", HOUR, 3601, "Cache-Control: no-store", DAY_S, false,
     true},
    {"a client that does not take stale for an error", HOUR, 3601,
     "Cache-Control: stale-if-error=0", DAY_S, false, false},
    {"a client that takes a little", HOUR, 3660, "Cache-Control: stale-if-error=60", DAY_S, false,
     true},
    {"a client cannot allow what nobody else does", HOUR, 3601, "Cache-Control: stale-if-error=60",
     0, false, false},
    {"with Authorization only what is for all", HOUR, 60, "Authorization: Basic eA==", DAY_S, false,
     false},
    {"with Authorization what is public", HOUR ", public", 3700, "Authorization: Basic eA==", DAY_S,
     false, true},
    {"who has a cookie gets what anybody got", NOON, 60, "Cookie: session=1", DAY_S, false, true},
    {"a part of it", HOUR, 3700, "Range: bytes=0-1", DAY_S, false, true},
    {"what only the origin can judge", HOUR, 60, "If-Match: \"a\"", DAY_S, false, false},
};

static void the_origins_failing_is_judged_as_the_table_says(void **state)
{
    (void)state;
    static const enum cache_mode modes[] = {CACHE_FALLBACK, CACHE_FULL};
    for (size_t i = 0; i < COUNT_OF(modes) * COUNT_OF(error_plays); i++) {
        const struct error_play *play = &error_plays[i / COUNT_OF(modes)];
        const struct cache_rules rules = {.mode = modes[i % COUNT_OF(modes)],
                                          .stale_if_error_s = play->stale_if_error_s,
                                          .is_revalidation_waived = play->is_waived};
        struct fields_text text;
        struct request request;
        struct cache_meta meta = keep(play->response, 0);
        struct cache_request read = read_request(METHOD_GET, play->request, &text, &request);
        if (cache_may_serve_on_error(&meta, &read, &rules, sent_us + play->later_s * SECOND_US) !=
            play->may) {
            fail_msg("%s", play->name);
        }
    }
}

static void only_what_a_failing_origin_says_is_a_failure(void **state)
{
    (void)state;
    for (unsigned status = 100; status < 600; status++) {
        bool is_one = status == 500 || status == 502 || status == 503 || status == 504;
        assert_int_equal(cache_is_failure(status), is_one);
    }
}

/* ---- properties ---- */

/* Fresh stays fresh backwards in time, stale stays stale, and a stale answer that is used without
 * asking was allowed by somebody by name. */
static void time_only_ever_makes_an_answer_staler(void **state)
{
    (void)state;
    static const char *const responses[] = {"Cache-Control: max-age=60",
                                            "Cache-Control: s-maxage=30, stale-while-revalidate=9",
                                            NOON "Last-Modified: Fri, 13 Nov 2026 12:00:00 GMT",
                                            "Cache-Control: max-age=9, must-revalidate"};
    static const char *const requests[] = {"", "Cache-Control: max-age=5",
                                           "Cache-Control: max-stale=40",
                                           "Cache-Control: min-fresh=7"};
    const struct cache_rules rules = {.mode = CACHE_FULL};
    struct random random;
    random_init(&random, 11);
    for (int i = 0; i < 20000; i++) {
        struct fields_text text;
        struct request request;
        struct cache_meta meta =
            keep(responses[random_below(&random, COUNT_OF(responses))], random_below(&random, 30));
        struct cache_request read = read_request(
            METHOD_GET, requests[random_below(&random, COUNT_OF(requests))], &text, &request);
        uint64_t early_us = sent_us + random_below(&random, UINT64_C(200) * SECOND_US);
        uint64_t late_us = early_us + random_below(&random, UINT64_C(200) * SECOND_US);
        enum cache_verdict early = cache_judge(&meta, &read, &rules, early_us).verdict;
        enum cache_verdict late = cache_judge(&meta, &read, &rules, late_us).verdict;
        assert_true(late != CACHE_FRESH || early == CACHE_FRESH);
        assert_true(late != CACHE_STALE_WHILE_REVALIDATE || early == CACHE_FRESH ||
                    early == CACHE_STALE_WHILE_REVALIDATE);
        assert_true(cache_ttl_s(&meta, late_us) <= cache_ttl_s(&meta, early_us));
        if (early == CACHE_STALE_WHILE_REVALIDATE) {
            assert_true(meta.stale_while_revalidate_s > 0 ||
                        cache_control_has(&read.control, CACHE_CONTROL_MAX_STALE));
            assert_false(meta.is_stale_forbidden);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lifetimes_are_what_the_table_says),
        cmocka_unit_test(ages_are_what_the_table_says),
        cmocka_unit_test(the_time_to_live_goes_below_nothing),
        cmocka_unit_test(a_stored_answer_is_judged_as_the_table_says),
        cmocka_unit_test(what_is_not_stored_is_fetched),
        cmocka_unit_test(head_is_answered_from_what_get_stored),
        cmocka_unit_test(mode_fallback_never_answers_while_the_origins_live),
        cmocka_unit_test(the_origins_failing_is_judged_as_the_table_says),
        cmocka_unit_test(only_what_a_failing_origin_says_is_a_failure),
        cmocka_unit_test(time_only_ever_makes_an_answer_staler),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

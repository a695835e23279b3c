/* Cache-Status as RFC 9211 writes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/cache/cache_status.h"

struct play {
    struct cache_status status;
    const char *text;
};

static const struct play plays[] = {
    {{.is_hit = true, .has_ttl = true, .ttl_s = 60}, "serin; hit; ttl=60"},
    {{.is_hit = true, .has_ttl = true, .ttl_s = -5}, "serin; hit; ttl=-5"},
    {{.forward = CACHE_FORWARD_URI_MISS, .forward_status = 200, .is_stored = true},
     "serin; fwd=uri-miss; fwd-status=200; stored"},
    {{.forward = CACHE_FORWARD_VARY_MISS,
      .forward_status = 200,
      .is_stored = true,
      .is_collapsed = true},
     "serin; fwd=vary-miss; fwd-status=200; stored; collapsed=?0"},
    {{.is_hit = true, .is_collapsed = true, .has_ttl = true, .ttl_s = 5},
     "serin; hit; ttl=5; collapsed"},
    {{.forward = CACHE_FORWARD_URI_MISS, .forward_status = 200, .detail = {"no-store", 8}},
     "serin; fwd=uri-miss; fwd-status=200; detail=no-store"},
    {{.forward = CACHE_FORWARD_STALE, .forward_status = 304, .has_ttl = true, .ttl_s = 9},
     "serin; fwd=stale; fwd-status=304; ttl=9"},
    {{.forward = CACHE_FORWARD_STALE,
      .forward_status = 503,
      .has_ttl = true,
      .ttl_s = -30,
      .detail = {CACHE_STATUS_FALLBACK, sizeof CACHE_STATUS_FALLBACK - 1}},
     "serin; fwd=stale; fwd-status=503; ttl=-30; detail=stale-if-error"},
    {{.forward = CACHE_FORWARD_BYPASS}, "serin; fwd=bypass"},
    {{.forward = CACHE_FORWARD_METHOD}, "serin; fwd=method"},
    {{.forward = CACHE_FORWARD_REQUEST}, "serin; fwd=request"},
    {{.forward = CACHE_FORWARD_MISS}, "serin; fwd=miss"},
    {{.forward = CACHE_FORWARD_PARTIAL}, "serin; fwd=partial"},
};

static void statuses_are_written_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(plays); i++) {
        char text[CACHE_STATUS_MAX];
        struct bytes written = cache_status_format(&plays[i].status, text);
        assert_int_equal(written.size, strlen(plays[i].text));
        assert_memory_equal(written.data, plays[i].text, written.size);
    }
}

static void the_longest_fits(void **state)
{
    (void)state;
    char text[CACHE_STATUS_MAX];
    char detail[CACHE_STATUS_DETAIL_MAX];
    memset(detail, 'x', sizeof detail);
    const struct cache_status status = {.forward = CACHE_FORWARD_VARY_MISS,
                                        .forward_status = 599,
                                        .is_stored = true,
                                        .is_collapsed = true,
                                        .has_ttl = true,
                                        .ttl_s = INT64_MIN,
                                        .detail = {detail, sizeof detail}};
    struct bytes written = cache_status_format(&status, text);
    assert_true(bytes_ends_with(written, bytes_make(detail, sizeof detail)));
}

static void every_reason_not_to_keep_is_a_detail(void **state)
{
    (void)state;
    for (unsigned i = 1; i < CACHE_ADMISSION_COUNT; i++) {
        struct bytes detail = cache_admission_text((enum cache_admission)i);
        const struct cache_status status = {.forward = CACHE_FORWARD_URI_MISS, .detail = detail};
        char text[CACHE_STATUS_MAX];
        assert_true(bytes_ends_with(cache_status_format(&status, text), detail));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_are_written_as_the_table_says),
        cmocka_unit_test(the_longest_fits),
        cmocka_unit_test(every_reason_not_to_keep_is_a_detail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

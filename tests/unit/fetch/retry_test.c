/* When a call is worth another try, and how long to wait for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "canary/fetch/retry.h"

static const int64_t NOW_US = INT64_C(1767225600) * 1000000; /* 2026-01-01T00:00:00Z */

static void only_what_may_pass_is_tried_again(void **state)
{
    (void)state;
    static const unsigned passing[] = {408, 429, 500, 502, 503, 504, 525};
    static const unsigned lasting[] = {200, 302, 400, 401, 403, 404, 409, 422};
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        assert_true(fetch_may_pass(OK, passing[i]));
    }
    for (size_t i = 0; i < sizeof lasting / sizeof lasting[0]; i++) {
        assert_false(fetch_may_pass(OK, lasting[i]));
    }
    assert_true(fetch_may_pass(ERR_IO, 0));
    assert_true(fetch_may_pass(ERR_TIMEOUT, 200));
    assert_false(fetch_may_pass(ERR_LIMIT, 200));
    assert_false(fetch_may_pass(ERR_CLOSED, 0));
}

static void retry_after_is_seconds_or_a_date(void **state)
{
    (void)state;
    assert_int_equal(fetch_retry_after_ms("7", NOW_US), 7000);
    assert_int_equal(fetch_retry_after_ms("Thu, 01 Jan 2026 00:00:09 GMT", NOW_US), 9000);
    assert_int_equal(fetch_retry_after_ms("Wed, 31 Dec 2025 23:59:59 GMT", NOW_US), 0);
    assert_int_equal(fetch_retry_after_ms("99999999999999999", NOW_US), FETCH_RETRY_AFTER_MAX_MS);
    assert_int_equal(fetch_retry_after_ms("Thu, 01 Jan 2032 00:00:00 GMT", NOW_US),
                     FETCH_RETRY_AFTER_MAX_MS);
    assert_int_equal(fetch_retry_after_ms("soon", NOW_US), 0);
    assert_int_equal(fetch_retry_after_ms("-5", NOW_US), 0);
    assert_int_equal(fetch_retry_after_ms("", NOW_US), 0);
    assert_int_equal(fetch_retry_after_ms(NULL, NOW_US), 0);
}

static void pauses_grow_to_a_bound_and_are_drawn(void **state)
{
    (void)state;
    static const uint64_t most[] = {100, 200, 400, 800, 1000, 1000};
    struct random random;
    random_init(&random, 7);
    for (unsigned tries = 1; tries <= 6; tries++) {
        uint64_t least_seen = UINT64_MAX;
        uint64_t most_seen = 0;
        for (int i = 0; i < 200; i++) {
            uint64_t pause = fetch_backoff_ms(tries, 100, 1000, &random);
            least_seen = pause < least_seen ? pause : least_seen;
            most_seen = pause > most_seen ? pause : most_seen;
        }
        assert_in_range(most_seen, most[tries - 1] * 9 / 10, most[tries - 1]);
        assert_in_range(least_seen, most[tries - 1] / 2, most[tries - 1] * 6 / 10);
    }
    assert_in_range(fetch_backoff_ms(4000000000u, 1, 8000, &random), 4000, 8000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_may_pass_is_tried_again),
        cmocka_unit_test(retry_after_is_seconds_or_a_date),
        cmocka_unit_test(pauses_grow_to_a_bound_and_are_drawn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

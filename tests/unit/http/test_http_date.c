/* Dates in the three forms that HTTP has had, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/base/hash.h"
#include "proxy/http/http_date.h"
#include "proxy/http/reply.h"

enum { NOW_S = 1795412000 }; /* in November 2026 */

static const int64_t us_per_s = 1000000;

static bool parse(const char *text, int64_t *ret_seconds)
{
    return http_date_parse(bytes_of(text), NOW_S, ret_seconds);
}

static void all_three_forms_name_the_same_second(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        int64_t seconds = 0;
        assert_true(parse(texts[i], &seconds));
        assert_int_equal(seconds, 784111777);
    }
}

static void what_we_write_we_read(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 7);
    for (int i = 0; i < 20000; i++) {
        char text[REPLY_DATE_SIZE];
        /* Up to the year 5000, and some before 1970. */
        int64_t wanted = (int64_t)random_below(&random, UINT64_C(95617584000)) - 1000000000;
        int64_t seconds = 0;
        reply_date(wanted * us_per_s, text);
        assert_true(parse(text, &seconds));
        assert_int_equal(seconds, wanted);
    }
}

static void every_day_of_a_leap_cycle_is_counted_as_the_library_does(void **state)
{
    (void)state;
    for (int64_t day = 0; day < 365 * 130; day++) {
        char text[REPLY_DATE_SIZE];
        int64_t seconds = 0;
        reply_date(day * 86400 * us_per_s, text);
        assert_true(parse(text, &seconds));
        assert_int_equal(seconds, day * 86400);
    }
}

/* RFC 9110 section 5.6.7: more than 50 years ahead is the past. */
static void a_year_of_two_digits_is_never_far_ahead(void **state)
{
    (void)state;
    int64_t seconds = 0;
    assert_true(parse("Sunday, 06-Nov-76 08:49:37 GMT", &seconds));
    assert_int_equal(seconds, INT64_C(3371878177)); /* 2076 */
    assert_true(parse("Sunday, 06-Nov-77 08:49:37 GMT", &seconds));
    assert_int_equal(seconds, 247654177); /* 1977 */
}

static void what_is_no_date_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "0",
        "-1",
        "now",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun,  6 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sonntag, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Wed, 29 Feb 1995 08:49:37 GMT",
        "Thu, 29 Feb 1900 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun Nov 06 08:49:37 1994 GMT",
        "Sun Nov  6 08:49:37 94",
        "1994-11-06T08:49:37Z",
        "784111777",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        int64_t seconds = 42;
        if (parse(texts[i], &seconds)) {
            fail_msg("\"%s\" was taken for a date", texts[i]);
        }
        assert_int_equal(seconds, 42);
    }
}

static void a_leap_day_and_a_leap_second_are_real(void **state)
{
    (void)state;
    int64_t seconds = 0;
    assert_true(parse("Tue, 29 Feb 2000 00:00:00 GMT", &seconds));
    assert_int_equal(seconds, 951782400);
    assert_true(parse("Sat, 31 Dec 2016 23:59:60 GMT", &seconds));
    assert_int_equal(seconds, 1483228800);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_three_forms_name_the_same_second),
        cmocka_unit_test(what_we_write_we_read),
        cmocka_unit_test(every_day_of_a_leap_cycle_is_counted_as_the_library_does),
        cmocka_unit_test(a_year_of_two_digits_is_never_far_ahead),
        cmocka_unit_test(what_is_no_date_is_refused),
        cmocka_unit_test(a_leap_day_and_a_leap_second_are_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

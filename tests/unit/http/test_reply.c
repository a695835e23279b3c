/* Answers of our own are complete and say nothing twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/http/date.h"

static void a_reply_says_its_status_in_one_line(void **state)
{
    (void)state;
    struct reply_options options = {.client_version = HTTP_1_1,
                                    .is_keep_alive = true,
                                    .date = BYTES("Mon, 23 Nov 2026 05:40:41 GMT"),
                                    .retry_after = BYTES("5")};
    struct field items[REPLY_FIELDS_MAX];
    struct response response;
    struct bytes body;
    reply_make(503, &options, items, &response, &body);
    assert_true(bytes_equal(body, BYTES("503 Service Unavailable\n")));
    assert_int_equal(response.body, BODY_LENGTH);
    assert_int_equal(response.content_length, body.size);
    assert_true(response.is_keep_alive);
    assert_true(bytes_equal(response.reason, BYTES("Service Unavailable")));
    assert_true(bytes_equal(fields_find(&response.fields, FIELD_DATE)->value, options.date));
    assert_true(bytes_equal(fields_find_name(&response.fields, BYTES("Retry-After"))->value,
                            options.retry_after));
}

static void a_reply_to_head_announces_what_it_does_not_send(void **state)
{
    (void)state;
    struct reply_options options = {.client_version = HTTP_1_1, .is_head = true};
    struct field items[REPLY_FIELDS_MAX];
    struct response response;
    struct bytes body;
    reply_make(404, &options, items, &response, &body);
    assert_int_equal(body.size, 0);
    assert_int_equal(response.body, BODY_NONE);
    assert_true(response.has_content_length);
    assert_int_equal(response.content_length, BYTES("404 Not Found\n").size);
    assert_false(response.is_keep_alive);
}

static void a_refused_method_is_told_what_is_allowed(void **state)
{
    (void)state;
    struct reply_options options = {.client_version = HTTP_1_1};
    struct field items[REPLY_FIELDS_MAX];
    struct response response;
    struct bytes body;
    reply_make(405, &options, items, &response, &body);
    assert_non_null(fields_find_name(&response.fields, BYTES("allow")));
}

static void every_refusal_has_a_reason_phrase(void **state)
{
    (void)state;
    static const unsigned statuses[] = {400, 405, 408, 413, 414, 417, 421, 429,
                                        431, 500, 501, 502, 503, 504, 505};
    for (size_t i = 0; i < COUNT_OF(statuses); i++) {
        assert_true(reply_reason(statuses[i]).size > 0);
    }
    assert_int_equal(reply_reason(599).size, 0);
}

static void dates_are_written_as_http_writes_them(void **state)
{
    (void)state;
    char text[REPLY_DATE_SIZE];
    reply_date(INT64_C(784111777) * 1000000 + 999999, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    reply_date(INT64_C(1709164800) * 1000000, text);
    assert_string_equal(text, "Thu, 29 Feb 2024 00:00:00 GMT");
}

static void a_date_is_made_once_a_second(void **state)
{
    (void)state;
    struct date date = {.until_us = 0};
    assert_int_equal(date_now(&date, 5).size, REPLY_DATE_SIZE - 1);
    assert_in_range(date.until_us, 6, 5 + 1000 * 1000);
    date.text[0] = '*';
    assert_int_equal(date_now(&date, date.until_us - 1).data[0], '*');
    assert_int_not_equal(date_now(&date, date.until_us).data[0], '*');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_says_its_status_in_one_line),
        cmocka_unit_test(a_reply_to_head_announces_what_it_does_not_send),
        cmocka_unit_test(a_refused_method_is_told_what_is_allowed),
        cmocka_unit_test(every_refusal_has_a_reason_phrase),
        cmocka_unit_test(dates_are_written_as_http_writes_them),
        cmocka_unit_test(a_date_is_made_once_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

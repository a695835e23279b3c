#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "metrics/access_record.h"

static const struct access_record usual = {
    .wall_us = 1795411543250000,
    .client = BYTES("192.0.2.7"),
    .method = BYTES("GET"),
    .target = BYTES("/a?b=c"),
    .protocol = BYTES("HTTP/1.1"),
    .host = BYTES("example.com"),
    .service = BYTES("showcase"),
    .endpoint = BYTES("http://10.0.0.1:80"),
    .request_id = BYTES("id-1"),
    .referer = BYTES("https://example.com/"),
    .user_agent = BYTES("curl/8"),
    .status = 200,
    .role = METRIC_ROLE_CURRENT,
    .failure = METRIC_FAILURE_COUNT,
    .ending = ACCESS_ENDING_MOVED,
    .cache = METRIC_CACHE_STALE,
    .attempts = 1,
    .request_bytes = 0,
    .response_bytes = 512,
    .duration_us = 1234567,
    .upstream_duration_us = 1000,
};

typedef void write_function(const struct access_record *record, struct buf *line);

static void assert_line(write_function *write, const struct access_record *record,
                        const char *expected)
{
    struct buf line;
    buf_init(&line, 4096);
    write(record, &line);
    assert_int_equal(buf_append_byte(&line, '\0'), OK);
    assert_string_equal(buf_bytes(&line).data, expected);
    buf_finish(&line);
}

static void json_has_a_key_for_everything(void **state)
{
    (void)state;
    assert_line(
        access_record_write_json, &usual,
        "{\"time\":\"2026-11-23T05:25:43.250Z\",\"client\":\"192.0.2.7\",\"method\":\"GET\","
        "\"target\":\"/a?b=c\",\"protocol\":\"HTTP/1.1\",\"host\":\"example.com\","
        "\"status\":200,\"grpc_status\":0,\"request_bytes\":0,\"response_bytes\":512,\"duration_"
        "s\":1.234567,"
        "\"service\":\"showcase\",\"role\":\"current\",\"endpoint\":\"http://10.0.0.1:80\","
        "\"attempts\":1,\"failure\":null,\"rescued\":false,\"ended\":\"moved\",\"cache\":\"stale\","
        "\"upstream_duration_s\":0.001000,"
        "\"request_id\":\"id-1\",\"referer\":\"https://example.com/\","
        "\"user_agent\":\"curl/8\"}\n");
}

static void json_says_null_for_what_there_was_not(void **state)
{
    (void)state;
    struct access_record record = {.wall_us = 1795411543250000,
                                   .role = METRIC_ROLE_COUNT,
                                   .failure = METRIC_FAILURE_EDGE_52X,
                                   .grpc_status = -1,
                                   .cache = METRIC_CACHE_COUNT,
                                   .upstream_duration_us = -1};
    assert_line(
        access_record_write_json, &record,
        "{\"time\":\"2026-11-23T05:25:43.250Z\",\"client\":null,\"method\":null,"
        "\"target\":null,\"protocol\":null,\"host\":null,\"status\":null,\"grpc_status\":null,"
        "\"request_bytes\":0,\"response_bytes\":0,\"duration_s\":0.000000,"
        "\"service\":null,\"role\":null,\"endpoint\":null,\"attempts\":0,"
        "\"failure\":\"edge_52x\",\"rescued\":false,\"ended\":null,\"cache\":null,"
        "\"upstream_duration_s\":null,\"request_"
        "id\":null,"
        "\"referer\":null,\"user_agent\":null}\n");
}

static void combined_reads_as_log_tools_expect(void **state)
{
    (void)state;
    assert_line(access_record_write_combined, &usual,
                "192.0.2.7 - - [23/Nov/2026:05:25:43 +0000] \"GET /a?b=c HTTP/1.1\" 200 512 "
                "\"https://example.com/\" \"curl/8\"\n");
}

static void combined_says_dash_for_what_there_was_not(void **state)
{
    (void)state;
    struct access_record record = {.wall_us = 0};
    assert_line(access_record_write_combined, &record,
                "- - - [01/Jan/1970:00:00:00 +0000] \"-\" 000 0 \"-\" \"-\"\n");
}

static void nothing_a_client_sends_starts_another_line_or_field(void **state)
{
    (void)state;
    struct access_record record = usual;
    record.user_agent = bytes_make("a\"b\\c\nd\0e\xc3\xa9\xff", 12);
    struct buf line;
    buf_init(&line, 4096);

    access_record_write_combined(&record, &line);
    struct bytes text = buf_bytes(&line);
    assert_int_equal(bytes_find(text, '\n'), text.size - 1);
    assert_true(bytes_ends_with(text, BYTES(" \"a\\x22b\\x5Cc\\x0Ad\\x00e\\xC3\\xA9\\xFF\"\n")));

    buf_clear(&line);
    access_record_write_json(&record, &line);
    text = buf_bytes(&line);
    assert_int_equal(bytes_find(text, '\n'), text.size - 1);
    assert_true(bytes_ends_with(
        text, BYTES("\"user_agent\":\"a\\\"b\\\\c\\nd\\u0000e\xc3\xa9\\ufffd\"}\n")));
    buf_finish(&line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_a_key_for_everything),
        cmocka_unit_test(json_says_null_for_what_there_was_not),
        cmocka_unit_test(combined_reads_as_log_tools_expect),
        cmocka_unit_test(combined_says_dash_for_what_there_was_not),
        cmocka_unit_test(nothing_a_client_sends_starts_another_line_or_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

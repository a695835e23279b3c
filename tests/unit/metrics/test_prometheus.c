#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "metrics/prometheus.h"

#define assert_text(buf, expected)                                                                 \
    do {                                                                                           \
        (void)buf_append_byte((buf), '\0');                                                        \
        assert_string_equal(buf_bytes(buf).data, (expected));                                      \
    } while (0)

static void a_family_says_what_it_is_once(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 4096);
    prometheus_family(&text, metric_info(METRIC_CLIENT_CONNECTIONS));
    assert_text(&text, "# HELP serin_client_connections Open connections of clients.\n"
                       "# TYPE serin_client_connections gauge\n");
    buf_finish(&text);
}

static void label_values_cannot_break_out(void **state)
{
    (void)state;
    struct buf labels;
    buf_init(&labels, 4096);
    prometheus_label(&labels, "service", BYTES("a\"b\\c\nd"));
    prometheus_label(&labels, "empty", BYTES(""));
    prometheus_label(&labels, "end", BYTES("\""));
    assert_text(&labels, "service=\"a\\\"b\\\\c\\nd\",empty=\"\",end=\"\\\"\"");
    buf_finish(&labels);
}

static void numbers_are_spelt_as_prometheus_wants_them(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 4096);
    prometheus_count(&text, BYTES("n"), BYTES(""), UINT64_MAX);
    prometheus_count(&text, BYTES("n"), BYTES("a=\"b\""), 0);
    prometheus_value(&text, BYTES("v"), BYTES(""), 0.25);
    prometheus_value(&text, BYTES("v"), BYTES(""), NAN);
    prometheus_value(&text, BYTES("v"), BYTES(""), -NAN);
    prometheus_value(&text, BYTES("v"), BYTES(""), INFINITY);
    prometheus_value(&text, BYTES("v"), BYTES(""), -INFINITY);
    prometheus_value(&text, BYTES("v"), BYTES(""), 1795411543.25);
    assert_text(&text,
                "n 18446744073709551615\nn{a=\"b\"} 0\nv 0.25\nv NaN\nv NaN\nv +Inf\nv -Inf\n"
                "v 1795411543.25\n");
    buf_finish(&text);
}

static void a_histogram_is_cumulative_and_complete(void **state)
{
    (void)state;
    struct histogram histogram = {0};
    histogram_record(&histogram, 300);
    histogram_record(&histogram, 1000);
    histogram_record(&histogram, 3000000000);
    struct buf text;
    buf_init(&text, 8192);
    prometheus_histogram(&text, BYTES("h"), BYTES("a=\"b\""), &histogram);
    (void)buf_append_byte(&text, '\0');
    const char *data = buf_bytes(&text).data;
    assert_non_null(strstr(data, "h_bucket{a=\"b\",le=\"0.000256\"} 0\n"
                                 "h_bucket{a=\"b\",le=\"0.000512\"} 1\n"
                                 "h_bucket{a=\"b\",le=\"0.001024\"} 2\n"));
    assert_non_null(strstr(data, "h_bucket{a=\"b\",le=\"134.217728\"} 2\n"
                                 "h_bucket{a=\"b\",le=\"+Inf\"} 3\n"
                                 "h_sum{a=\"b\"} 3000.001300\n"
                                 "h_count{a=\"b\"} 3\n"));
    buf_finish(&text);
}

static void a_histogram_without_labels_has_only_its_bounds(void **state)
{
    (void)state;
    struct histogram histogram = {0};
    struct buf text;
    buf_init(&text, 8192);
    prometheus_histogram(&text, BYTES("h"), BYTES(""), &histogram);
    (void)buf_append_byte(&text, '\0');
    assert_non_null(
        strstr(buf_bytes(&text).data, "h_bucket{le=\"+Inf\"} 0\nh_sum 0.000000\nh_count 0\n"));
    buf_finish(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_family_says_what_it_is_once),
        cmocka_unit_test(label_values_cannot_break_out),
        cmocka_unit_test(numbers_are_spelt_as_prometheus_wants_them),
        cmocka_unit_test(a_histogram_is_cumulative_and_complete),
        cmocka_unit_test(a_histogram_without_labels_has_only_its_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

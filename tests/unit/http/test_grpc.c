/* What is gRPC, how it ended, how long it may take, and what is said in its words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/http/grpc.h"

static struct fields one(struct field *item, const char *name, const char *value)
{
    struct bytes text = bytes_of(name);
    *item = (struct field){text, bytes_of(value), field_id_of(text)};
    return (struct fields){item, 1};
}

static void its_type_is_told_from_its_neighbours(void **state)
{
    (void)state;
    const struct {
        const char *value;
        bool is_type;
    } cases[] = {
        {"application/grpc", true},
        {"Application/gRPC", true},
        {"application/grpc+proto", true},
        {"application/grpc; charset=utf-8", true},
        {"application/grpc ;x", true},
        {"application/grpc-web", false},
        {"application/grpc-web+proto", false},
        {"application/grpcx", false},
        {"application/grp", false},
        {"text/plain", false},
        {"", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct field item;
        struct fields fields = one(&item, "content-type", cases[i].value);
        assert_int_equal(grpc_is_type(&fields), cases[i].is_type);
    }
    struct fields none = {NULL, 0};
    assert_false(grpc_is_type(&none));
}

static void a_status_is_a_number_up_to_16_or_unknown(void **state)
{
    (void)state;
    const struct {
        const char *value;
        int status;
    } cases[] = {{"0", 0},  {"5", 5},  {"13", 13}, {"16", 16}, {"17", GRPC_UNKNOWN},
                 {"", 2},   {"-1", 2}, {"1x", 2},  {" 1", 2},  {"99999999999999999999", 2},
                 {"OK", 2}, {"+1", 2}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct field item;
        struct fields fields = one(&item, "Grpc-Status", cases[i].value);
        assert_int_equal(grpc_read_status(&fields), cases[i].status);
    }
    struct fields none = {NULL, 0};
    assert_int_equal(grpc_read_status(&none), GRPC_NONE);
}

static void a_timeout_has_at_most_eight_digits_and_a_unit(void **state)
{
    (void)state;
    const struct {
        const char *value;
        bool is_one;
        uint64_t us;
    } cases[] = {
        {"1H", true, UINT64_C(3600) * 1000000},
        {"2M", true, UINT64_C(120) * 1000000},
        {"3S", true, 3000000},
        {"99999999m", true, UINT64_C(99999999) * 1000},
        {"7u", true, 7},
        {"2500n", true, 2},
        {"0m", true, 0},
        {"99999999H", true, UINT64_C(99999999) * 3600 * 1000000},
        {"100000000m", false, 0},
        {"m", false, 0},
        {"5", false, 0},
        {"5s", false, 0},
        {"-5m", false, 0},
        {"5 m", false, 0},
        {"", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct field item;
        uint64_t us = 12345;
        struct fields fields = one(&item, "grpc-timeout", cases[i].value);
        assert_int_equal(grpc_read_timeout(&fields, &us), cases[i].is_one);
        assert_true(us == (cases[i].is_one ? cases[i].us : 12345));
    }
}

static void statuses_of_http_have_their_meaning(void **state)
{
    (void)state;
    const struct {
        unsigned status;
        enum grpc_status grpc;
    } cases[] = {{400, GRPC_INTERNAL},          {401, GRPC_UNAUTHENTICATED},
                 {403, GRPC_PERMISSION_DENIED}, {404, GRPC_UNIMPLEMENTED},
                 {429, GRPC_UNAVAILABLE},       {502, GRPC_UNAVAILABLE},
                 {503, GRPC_UNAVAILABLE},       {504, GRPC_UNAVAILABLE},
                 {500, GRPC_UNKNOWN},           {413, GRPC_UNKNOWN}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        assert_int_equal(grpc_of_http(cases[i].status), cases[i].grpc);
    }
}

static void a_reply_is_a_head_and_nothing_else(void **state)
{
    (void)state;
    struct field items[GRPC_FIELDS_MAX];
    struct field extra = {BYTES("X"), BYTES("y"), FIELD_OTHER};
    struct response response;
    struct grpc_reply reply = {.status = GRPC_UNAVAILABLE,
                               .message = BYTES("Bad Gateway"),
                               .date = BYTES("now"),
                               .client_version = HTTP_2,
                               .extra = &extra,
                               .extra_count = 1};
    grpc_make_reply(&reply, items, &response);
    assert_int_equal(response.status, 200);
    assert_int_equal(response.body, BODY_LENGTH);
    assert_int_equal(response.content_length, 0);
    assert_int_equal(response.fields.count, 5);
    assert_true(grpc_is_type(&response.fields));
    assert_int_equal(grpc_read_status(&response.fields), GRPC_UNAVAILABLE);
    const struct field *message = fields_find_name(&response.fields, BYTES("grpc-message"));
    assert_non_null(message);
    assert_true(bytes_equal(message->value, BYTES("Bad Gateway")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_type_is_told_from_its_neighbours),
        cmocka_unit_test(a_status_is_a_number_up_to_16_or_unknown),
        cmocka_unit_test(a_timeout_has_at_most_eight_digits_and_a_unit),
        cmocka_unit_test(statuses_of_http_have_their_meaning),
        cmocka_unit_test(a_reply_is_a_head_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

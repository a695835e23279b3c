#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proxy/base/check.h"
#include "proxy/http/head_text.h"

static const char *const redacted[] = {"x-customer"};
static const struct head_text_secrets secrets = {redacted, 1};

static void names_that_carry_secrets_are_known(void **state)
{
    (void)state;
    static const char *const secret[] = {
        "Authorization",
        "proxy-authorization",
        "Cookie",
        "Set-Cookie",
        "X-Api-Key",
        "X-Auth-Token",
        "X-CSRF-Token",
        "X-Session",
        "X-Amz-Secret",
        "Signature-Input",
        "X-Client-Cert",
        "X-Forwarded-Access-Token",
        "X-CUSTOMER",
        "X-Goog-Iap-Jwt-Assertion",
        "Cf-Access-Client-Secret",
        "Sec-WebSocket-Protocol",
        "DPoP",
    };
    static const char *const open[] = {"Host",        "User-Agent",  "Accept",      "Content-Type",
                                       "X-Customers", "Traceparent", "X-Request-Id"};
    for (size_t i = 0; i < COUNT_OF(secret); i++) {
        assert_true(head_text_is_secret(bytes_of(secret[i]), &secrets));
    }
    for (size_t i = 0; i < COUNT_OF(open); i++) {
        assert_false(head_text_is_secret(bytes_of(open[i]), &secrets));
    }
}

static struct request request_of(const char *target, struct field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        fields[i].id = field_id_of(fields[i].name);
    }
    return (struct request){.method = METHOD_GET,
                            .version = HTTP_1_1,
                            .target = bytes_of(target),
                            .fields = {fields, count}};
}

static void expect_head(const char *target, struct field *fields, size_t count, const char *wanted)
{
    char text[1024];
    struct request request = request_of(target, fields, count);
    size_t size = head_text_request(&request, &secrets, text, sizeof text - 1);
    text[size] = '\0';
    assert_string_equal(text, wanted);
}

static void values_of_secrets_are_left_out(void **state)
{
    (void)state;
    struct field fields[] = {
        {BYTES("Host"), BYTES("shop.test"), 0},
        {BYTES("Authorization"), BYTES("Bearer s3cret"), 0},
        {BYTES("cookie"), BYTES("a=s3cret"), 0},
        {BYTES("X-Customer"), BYTES("s3cret"), 0},
        {BYTES("Accept"), BYTES("*/*"), 0},
    };
    expect_head("/a/b", fields, COUNT_OF(fields),
                "GET /a/b HTTP/1.1\nHost: shop.test\nAuthorization: [redacted]\n"
                "cookie: [redacted]\nX-Customer: [redacted]\nAccept: */*\n");
}

static void addresses_lose_what_may_be_secret_in_them(void **state)
{
    (void)state;
    struct field fields[] = {
        {BYTES("Referer"), BYTES("https://a.test/x?code=s3cret"), 0},
        {BYTES("Origin"), BYTES("https://me:s3cret@a.test"), 0},
        {BYTES("Referer"), BYTES("https://a.test/#s3cret"), 0},
        {BYTES("Referer"), BYTES("https://a.test/plain"), 0},
    };
    expect_head("/pay?token=s3cret", fields, COUNT_OF(fields),
                "GET /pay?[redacted] HTTP/1.1\nReferer: https://a.test/x[redacted]\n"
                "Origin: [redacted]\nReferer: https://a.test/[redacted]\n"
                "Referer: https://a.test/plain\n");
    assert_true(bytes_equal(head_text_path(BYTES("/a#b?c")), BYTES("/a")));
    assert_true(bytes_equal(head_text_path(BYTES("*")), BYTES("*")));
}

static void lines_that_do_not_fit_are_left_out_whole(void **state)
{
    (void)state;
    struct field fields[] = {
        {BYTES("X-Long"), BYTES("0123456789012345678901234567890123456789"), 0},
        {BYTES("Accept"), BYTES("*/*"), 0},
    };
    struct request request = request_of("/", fields, COUNT_OF(fields));
    for (size_t size = 0; size <= 96; size++) {
        char text[97];
        memset(text, '~', sizeof text);
        size_t used = head_text_request(&request, &secrets, text, size);
        assert_true(used <= size);
        assert_true(used == 0 || text[used - 1] == '\n');
        assert_true(text[used] == '~');
    }
}

static void answers_have_their_status_line(void **state)
{
    (void)state;
    struct field fields[] = {
        {BYTES("Set-Cookie"), BYTES("id=s3cret"), FIELD_OTHER},
        {BYTES("Location"), BYTES("/x?token=s3cret"), FIELD_OTHER},
    };
    struct response response = {
        .status = 503, .version = HTTP_1_1, .reason = BYTES("Busy"), .fields = {fields, 2}};
    char text[256];
    size_t size = head_text_response(&response, &secrets, text, sizeof text - 1);
    text[size] = '\0';
    assert_string_equal(text,
                        "HTTP/1.1 503 Busy\nSet-Cookie: [redacted]\nLocation: /x[redacted]\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_carry_secrets_are_known),
        cmocka_unit_test(values_of_secrets_are_left_out),
        cmocka_unit_test(addresses_lose_what_may_be_secret_in_them),
        cmocka_unit_test(lines_that_do_not_fit_are_left_out_whole),
        cmocka_unit_test(answers_have_their_status_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

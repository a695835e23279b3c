/* Response heads from raw bytes to a message, or to the reason why not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/http1/http1_parser.h"

enum { ITEMS_MAX = 32 };

static const struct framing_limits limits = {4096, 1024, ITEMS_MAX};
static const struct framing_asked get = {.is_head = false, .upgrade = {NULL, 0}};
static const struct framing_asked head = {.is_head = true, .upgrade = {NULL, 0}};

struct reading {
    struct field items[ITEMS_MAX];
    struct response response;
    struct reject reject;
    bool is_accepted;
};

/* Nobody is to notice whether llhttp was asked. */
static void assert_llhttp_agrees(struct bytes text, const struct framing_asked *asked,
                                 const struct reading *reading)
{
    struct field items[ITEMS_MAX];
    struct response response;
    struct reject reject;
    enum err err =
        http1_parse_response_by_llhttp(text, asked, items, ITEMS_MAX, &response, &reject);
    assert_int_equal(err == OK, reading->is_accepted);
    if (err != OK) {
        assert_int_equal(reject.reason, reading->reject.reason);
        return;
    }
    assert_int_equal(response.status, reading->response.status);
    assert_true(bytes_equal(response.reason, reading->response.reason));
    assert_int_equal(response.body, reading->response.body);
    assert_int_equal(response.content_length, reading->response.content_length);
    assert_int_equal(response.fields.count, reading->response.fields.count);
    for (size_t i = 0; i < response.fields.count; i++) {
        assert_true(bytes_equal(items[i].name, reading->items[i].name));
        assert_true(bytes_equal(items[i].value, reading->items[i].value));
    }
}

static void read_response(struct bytes text, const struct framing_asked *asked,
                          struct reading *ret_reading)
{
    struct framing_scanner scanner;
    *ret_reading = (struct reading){.reject = {0, REJECT_NONE}};
    framing_scanner_init(&scanner, FRAMING_RESPONSE);
    enum framing_scan scan = framing_scan_head(&scanner, text, &limits, &ret_reading->reject);
    assert_int_not_equal(scan, FRAMING_INCOMPLETE);
    if (scan == FRAMING_COMPLETE) {
        enum err err =
            http1_parse_response(framing_head(&scanner, text), asked, ret_reading->items, ITEMS_MAX,
                                 &ret_reading->response, &ret_reading->reject);
        ret_reading->is_accepted = err == OK;
        assert_llhttp_agrees(framing_head(&scanner, text), asked, ret_reading);
    }
}

static void accept_response(const char *text, const struct framing_asked *asked,
                            struct reading *ret_reading)
{
    read_response(bytes_of(text), asked, ret_reading);
    if (!ret_reading->is_accepted) {
        print_error("refused (%s): %s\n", reject_label(ret_reading->reject.reason), text);
    }
    assert_true(ret_reading->is_accepted);
}

#define assert_bytes(bytes, expected) assert_true(bytes_equal(bytes, bytes_of(expected)))

static void a_response_is_split_into_slices_of_its_head(void **state)
{
    (void)state;
    struct reading reading;
    accept_response("HTTP/1.1 404 Not Found\r\nServer: x\r\nContent-Length: 5\r\n\r\n", &get,
                    &reading);
    assert_int_equal(reading.response.status, 404);
    assert_int_equal(reading.response.version, HTTP_1_1);
    assert_bytes(reading.response.reason, "Not Found");
    assert_int_equal(reading.response.fields.count, 2);
    assert_int_equal(reading.response.fields.items[0].id, FIELD_SERVER);
    assert_int_equal(reading.response.content_length, 5);
}

static void a_status_line_needs_no_reason(void **state)
{
    (void)state;
    struct reading reading;
    accept_response("HTTP/1.1 200\r\n\r\n", &get, &reading);
    assert_bytes(reading.response.reason, "");
    accept_response("HTTP/1.1 200 \r\n\r\n", &get, &reading);
    assert_bytes(reading.response.reason, "");
    accept_response("HTTP/1.0 599 \xfc x\r\n\r\n", &get, &reading);
    assert_int_equal(reading.response.status, 599);
}

#define OK_1_1 "HTTP/1.1 200 OK\r\n"
#define OK_1_0 "HTTP/1.0 200 OK\r\n"

static void bodies_end_where_the_head_says_so(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const struct framing_asked *asked;
        enum body_kind body;
        bool has_content_length;
        bool is_keep_alive;
    } cases[] = {
        {OK_1_1 "\r\n", &get, BODY_UNTIL_CLOSE, false, false},
        {OK_1_0 "\r\n", &get, BODY_UNTIL_CLOSE, false, false},
        {OK_1_1 "Content-Length: 0\r\n\r\n", &get, BODY_LENGTH, true, true},
        {OK_1_1 "Content-Length: 5\r\nConnection: close\r\n\r\n", &get, BODY_LENGTH, true, false},
        {OK_1_0 "Content-Length: 5\r\n\r\n", &get, BODY_LENGTH, true, false},
        {OK_1_0 "Content-Length: 5\r\nConnection: keep-alive\r\n\r\n", &get, BODY_LENGTH, true,
         true},
        {OK_1_1 "Transfer-Encoding: chunked\r\n\r\n", &get, BODY_CHUNKED, false, true},
        {OK_1_1 "\r\n", &head, BODY_NONE, false, true},
        {OK_1_1 "Content-Length: 5\r\n\r\n", &head, BODY_NONE, true, true},
        {OK_1_1 "Transfer-Encoding: chunked\r\n\r\n", &head, BODY_NONE, false, true},
        {"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", &get, BODY_NONE, true, true},
        {"HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", &get, BODY_NONE, false, true},
        {"HTTP/1.1 204 x\r\n\r\n", &get, BODY_NONE, false, true},
        {"HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n", &get, BODY_NONE, true, true},
        {"HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", &get, BODY_NONE, true, false},
        {"HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", &get, BODY_NONE, false, false},
        {"HTTP/1.1 100 x\r\n\r\n", &get, BODY_NONE, false, true},
        {"HTTP/1.1 103 x\r\nContent-Length: 5\r\n\r\n", &get, BODY_NONE, true, true},
        {"HTTP/1.1 100 x\r\nTransfer-Encoding: chunked\r\n\r\n", &get, BODY_NONE, false, true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct reading reading;
        accept_response(cases[i].text, cases[i].asked, &reading);
        assert_int_equal(reading.response.body, cases[i].body);
        assert_int_equal(reading.response.has_content_length, cases[i].has_content_length);
        assert_int_equal(reading.response.is_keep_alive, cases[i].is_keep_alive);
    }
}

static void an_upgrade_is_taken_only_when_asked_for(void **state)
{
    (void)state;
    struct reading reading;
    struct framing_asked asked = {.upgrade = BYTES("foo/1, WebSocket")};
    accept_response("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", &asked,
                    &reading);
    assert_bytes(reading.response.upgrade, "websocket");
    assert_int_equal(reading.response.body, BODY_NONE);
    accept_response(OK_1_1 "Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n", &get,
                    &reading);
    assert_bytes(reading.response.upgrade, "");
    static const char *const unasked[] = {
        "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n",
        "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket, other\r\n\r\n",
        "HTTP/1.1 101 x\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 x\r\n\r\n",
        "HTTP/1.0 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    };
    for (size_t i = 0; i < COUNT_OF(unasked); i++) {
        read_response(bytes_of(unasked[i]), &asked, &reading);
        assert_false(reading.is_accepted);
        assert_int_equal(reading.reject.reason, REJECT_UNASKED_UPGRADE);
    }
    read_response(BYTES("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
                  &get, &reading);
    assert_false(reading.is_accepted);
}

static void responses_that_could_be_read_in_two_ways_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct bytes text;
        enum reject_reason reason;
    } cases[] = {
        {BYTES(OK_1_1 "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
         REJECT_LENGTH_AND_CODING},
        {BYTES(OK_1_1 "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
         REJECT_LENGTH_AND_CODING},
        {BYTES(OK_1_1 "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), REJECT_CONTENT_LENGTH},
        {BYTES(OK_1_1 "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), REJECT_CONTENT_LENGTH},
        {BYTES(OK_1_1 "Content-Length: 5, 5\r\n\r\n"), REJECT_CONTENT_LENGTH},
        {BYTES(OK_1_1 "Content-Length: -1\r\n\r\n"), REJECT_CONTENT_LENGTH},
        {BYTES(OK_1_1 "Content-Length: 1x\r\n\r\n"), REJECT_CONTENT_LENGTH},
        {BYTES(OK_1_1 "Content-Length:\r\n\r\n"), REJECT_CONTENT_LENGTH},
        {BYTES("HTTP/1.1 204 x\r\nContent-Length: x\r\n\r\n"), REJECT_CONTENT_LENGTH},
        {BYTES(OK_1_0 "Transfer-Encoding: chunked\r\n\r\n"), REJECT_CODING_IN_HTTP_1_0},
        {BYTES(OK_1_1 "Transfer-Encoding: gzip\r\n\r\n"), REJECT_CODING_UNSUPPORTED},
        {BYTES(OK_1_1 "Transfer-Encoding: gzip, chunked\r\n\r\n"), REJECT_CODING_UNSUPPORTED},
        {BYTES(OK_1_1 "Transfer-Encoding: identity\r\n\r\n"), REJECT_CODING_UNSUPPORTED},
        {BYTES(OK_1_1 "Transfer-Encoding:\r\n\r\n"), REJECT_TRANSFER_ENCODING},
        {BYTES(OK_1_1 "Transfer-Encoding: chunked, chunked\r\n\r\n"), REJECT_TRANSFER_ENCODING},
        {BYTES("HTTP/1.1 20 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {BYTES("HTTP/1.1 099 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {BYTES("HTTP/1.1 0 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {BYTES("HTTP/1.1  200 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {BYTES("HTTP/2.0 200 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {BYTES("HTTP/1.1 200 O\x02K\r\n\r\n"), REJECT_CONTROL},
        {BYTES(OK_1_1 "A: b\r\n c\r\n\r\n"), REJECT_OBS_FOLD},
        {BYTES(OK_1_1 "A: b\r\n\n"), REJECT_BARE_LF},
        {BYTES(OK_1_1 ": b\r\n\r\n"), REJECT_FIELD_NAME},
        {BYTES(OK_1_1 "A : b\r\n\r\n"), REJECT_SPACE_BEFORE_COLON},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct reading reading;
        read_response(cases[i].text, &get, &reading);
        if (reading.is_accepted || reading.reject.reason != cases[i].reason) {
            print_error("case %zu: %.*s\n", i, BYTES_ARGS(cases[i].text));
        }
        assert_false(reading.is_accepted);
        assert_int_equal(reading.reject.reason, cases[i].reason);
        assert_int_equal(reading.reject.status, 502);
    }
}

/* Takes each byte in turn for every other. */
static void assert_llhttp_agrees_byte_by_byte(struct bytes plain)
{
    struct reading reading;
    char text[ITEMS_MAX * 8];
    assert_true(plain.size < sizeof text);
    memcpy(text, plain.data, plain.size);
    struct bytes in = bytes_make(text, plain.size);
    for (size_t i = 0; i < plain.size; i++) {
        for (int byte = 0; byte <= UINT8_MAX; byte++) {
            struct framing_scanner scanner;
            struct reject reject;
            text[i] = (char)byte;
            framing_scanner_init(&scanner, FRAMING_RESPONSE);
            if (framing_scan_head(&scanner, in, &limits, &reject) == FRAMING_COMPLETE) {
                read_response(in, &get, &reading);
                read_response(in, &head, &reading);
            }
        }
        text[i] = plain.data[i];
    }
    read_response(in, &get, &reading);
    assert_true(reading.is_accepted);
}

static void llhttp_agrees_with_every_byte_of_a_plain_head(void **state)
{
    (void)state;
    assert_llhttp_agrees_byte_by_byte(
        BYTES("HTTP/1.1 200 All well\r\nServer: a\r\nX-Yz: efg\r\nContent-Length: "
              "12\r\nConnection: close\r\n\r\n"));
    assert_llhttp_agrees_byte_by_byte(
        BYTES("HTTP/1.1 200 All well\r\nServer: a\r\nTransfer-Encoding: chunked\r\nContent-Type: "
              "a/b\r\n\r\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_response_is_split_into_slices_of_its_head),
        cmocka_unit_test(a_status_line_needs_no_reason),
        cmocka_unit_test(bodies_end_where_the_head_says_so),
        cmocka_unit_test(an_upgrade_is_taken_only_when_asked_for),
        cmocka_unit_test(responses_that_could_be_read_in_two_ways_are_refused),
        cmocka_unit_test(llhttp_agrees_with_every_byte_of_a_plain_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Request heads from raw bytes to a message, or to the reason why not. */
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

/* One head through scanner and parser, as a server would. */
struct reading {
    struct field items[ITEMS_MAX];
    struct request request;
    struct reject reject;
    bool is_accepted;
};

/* Nobody is to notice whether llhttp was asked. */
static void assert_llhttp_agrees(struct bytes head, const struct reading *reading)
{
    struct field items[ITEMS_MAX];
    struct request request;
    struct reject reject;
    enum err err = http1_parse_request_by_llhttp(head, items, ITEMS_MAX, &request, &reject);
    assert_int_equal(err == OK, reading->is_accepted);
    if (err != OK) {
        assert_int_equal(reject.reason, reading->reject.reason);
        return;
    }
    assert_true(bytes_equal(request.target, reading->request.target));
    assert_int_equal(request.body, reading->request.body);
    assert_int_equal(request.content_length, reading->request.content_length);
    assert_int_equal(request.fields.count, reading->request.fields.count);
    for (size_t i = 0; i < request.fields.count; i++) {
        assert_true(bytes_equal(items[i].name, reading->items[i].name));
        assert_true(bytes_equal(items[i].value, reading->items[i].value));
    }
}

static void read_request(struct bytes text, struct reading *ret_reading)
{
    struct framing_scanner scanner;
    *ret_reading = (struct reading){.reject = {0, REJECT_NONE}};
    framing_scanner_init(&scanner, FRAMING_REQUEST);
    enum framing_scan scan = framing_scan_head(&scanner, text, &limits, &ret_reading->reject);
    assert_int_not_equal(scan, FRAMING_INCOMPLETE);
    if (scan == FRAMING_COMPLETE) {
        enum err err = http1_parse_request(framing_head(&scanner, text), ret_reading->items,
                                           ITEMS_MAX, &ret_reading->request, &ret_reading->reject);
        ret_reading->is_accepted = err == OK;
        if (err == OK) {
            assert_int_equal(ret_reading->request.fields.count, scanner.field_count);
        }
        assert_llhttp_agrees(framing_head(&scanner, text), ret_reading);
    }
}

static void accept_request(const char *text, struct reading *ret_reading)
{
    read_request(bytes_of(text), ret_reading);
    if (!ret_reading->is_accepted) {
        print_error("refused (%s): %s\n", reject_label(ret_reading->reject.reason), text);
    }
    assert_true(ret_reading->is_accepted);
}

#define assert_bytes(bytes, expected) assert_true(bytes_equal(bytes, bytes_of(expected)))

static void a_request_is_split_into_slices_of_its_head(void **state)
{
    (void)state;
    struct reading reading;
    const char *text = "POST /a/b?c=d HTTP/1.1\r\nHost: shop.example:8080\r\nX-Empty:\r\n"
                       "X-Spaced: \t a  b \t\r\nContent-Length: 005\r\ncookie: x=\xe9\r\n\r\n";
    accept_request(text, &reading);
    const struct request *request = &reading.request;
    assert_int_equal(request->method, METHOD_POST);
    assert_int_equal(request->version, HTTP_1_1);
    assert_bytes(request->target, "/a/b?c=d");
    assert_bytes(request->authority, "shop.example:8080");
    assert_int_equal(request->fields.count, 5);
    assert_int_equal(request->fields.items[0].id, FIELD_HOST);
    assert_bytes(request->fields.items[1].name, "X-Empty");
    assert_bytes(request->fields.items[1].value, "");
    assert_bytes(request->fields.items[2].value, "a  b");
    assert_int_equal(request->fields.items[4].id, FIELD_COOKIE);
    assert_int_equal(request->body, BODY_LENGTH);
    assert_int_equal(request->content_length, 5);
    assert_true(request->is_keep_alive);
    assert_true(request->fields.items[4].name.data > text);
}

static void every_method_of_ours_is_taken_but_connect(void **state)
{
    (void)state;
    for (unsigned i = 0; i < METHOD_COUNT; i++) {
        char text[64];
        struct reading reading;
        struct bytes method = method_text((enum method)i);
        struct bytes rest = BYTES(" / HTTP/1.1\r\nHost: a\r\n\r\n");
        memcpy(text, method.data, method.size);
        memcpy(text + method.size, rest.data, rest.size);
        read_request(bytes_make(text, method.size + rest.size), &reading);
        assert_int_equal(reading.is_accepted, i != METHOD_CONNECT);
        if (i != METHOD_CONNECT) {
            assert_int_equal(reading.request.method, i);
        }
    }
}

static void targets_arrive_in_two_parts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *target, *authority;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a"},
        {"GET //b/../c HTTP/1.1\r\nHost: a\r\n\r\n", "//b/../c", "a"},
        {"GET http://a?c HTTP/1.1\r\nHost: a\r\n\r\n", "?c", "a"},
        {"GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n", "/b?c", "a"},
        {"GET HTTP://A:80/ HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a"},
        {"GET https://a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a"},
        {"GET http://[::1]:81/ HTTP/1.1\r\nHost: [::1]:81\r\n\r\n", "/", "[::1]:81"},
        {"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", "*", "a"},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*", "a"},
        {"OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a"},
        {"GET http://a/ HTTP/1.0\r\n\r\n", "/", "a"},
        {"GET / HTTP/1.0\r\n\r\n", "/", ""},
        {"GET / HTTP/1.0\r\nHost: a:1\r\n\r\n", "/", "a:1"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct reading reading;
        accept_request(cases[i].text, &reading);
        assert_bytes(reading.request.target, cases[i].target);
        assert_bytes(reading.request.authority, cases[i].authority);
    }
}

#define HEAD     "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST     "POST / HTTP/1.1\r\nHost: a\r\n"
#define HEAD_1_0 "GET / HTTP/1.0\r\n"

static void what_connection_says_decides_what_comes_next(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_keep_alive;
        const char *upgrade;
    } cases[] = {
        {HEAD "\r\n", true, ""},
        {HEAD "Connection: close\r\n\r\n", false, ""},
        {HEAD "Connection: keep-alive, Close\r\n\r\n", false, ""},
        {HEAD "Connection: x\r\nConnection: close\r\n\r\n", false, ""},
        {HEAD "Connection: closed\r\n\r\n", true, ""},
        {HEAD_1_0 "\r\n", false, ""},
        {HEAD_1_0 "Connection: Keep-Alive\r\n\r\n", true, ""},
        {HEAD_1_0 "Connection: keep-alive, close\r\n\r\n", false, ""},
        {HEAD "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", true, "websocket"},
        {HEAD "Connection: keep-alive, upgrade\r\nUpgrade: a/1, b\r\n\r\n", true, "a/1, b"},
        {HEAD "Upgrade: websocket\r\n\r\n", true, ""},
        {HEAD "Connection: upgrade\r\n\r\n", true, ""},
        {HEAD "Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n", true, ""},
        {HEAD "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", true, ""},
        {HEAD "Connection: upgrade\r\nUpgrade: websocket, H2C\r\n\r\n", true, ""},
        {HEAD "Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n\r\n", true, ""},
        {HEAD "Connection: upgrade\r\nUpgrade: TLS/1.0\r\n\r\n", true, ""},
        {HEAD "Connection: upgrade\r\nUpgrade: a b\r\n\r\n", true, ""},
        {HEAD_1_0 "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", false, ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct reading reading;
        accept_request(cases[i].text, &reading);
        assert_int_equal(reading.request.is_keep_alive, cases[i].is_keep_alive);
        assert_bytes(reading.request.upgrade, cases[i].upgrade);
    }
}

static void bodies_end_where_one_field_says_so(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum body_kind body;
        uint64_t size;
    } cases[] = {
        {POST "\r\n", BODY_NONE, 0},
        {POST "Content-Length: 0\r\n\r\n", BODY_LENGTH, 0},
        {POST "Content-Length:  18446744073709551615 \r\n\r\n", BODY_LENGTH, UINT64_MAX},
        {HEAD "Content-Length: 7\r\n\r\n", BODY_LENGTH, 7},
        {POST "Transfer-Encoding: chunked\r\n\r\n", BODY_CHUNKED, 0},
        {POST "transfer-encoding:\tChunKed \r\n\r\n", BODY_CHUNKED, 0},
        {POST "Connection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n",
         BODY_CHUNKED, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct reading reading;
        accept_request(cases[i].text, &reading);
        assert_int_equal(reading.request.body, cases[i].body);
        assert_true(reading.request.content_length == cases[i].size);
    }
}

static void expectations_and_trailers_are_noticed(void **state)
{
    (void)state;
    struct reading reading;
    accept_request(POST "Expect: 100-Continue\r\nTE: gzip, trailers\r\n\r\n", &reading);
    assert_true(reading.request.expects_continue);
    assert_true(reading.request.accepts_trailers);
    accept_request(HEAD_1_0 "Expect: 100-continue\r\nTE: trailers\r\n\r\n", &reading);
    assert_false(reading.request.expects_continue);
    assert_false(reading.request.accepts_trailers);
    accept_request(HEAD_1_0 "Expect: else\r\n\r\n", &reading);
    accept_request(HEAD "TE: trailersx\r\n\r\n", &reading);
    assert_false(reading.request.accepts_trailers);
}

struct refusal {
    struct bytes text;
    enum reject_reason reason;
    unsigned status;
};

static void assert_refused(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct reading reading;
        read_request(cases[i].text, &reading);
        if (reading.is_accepted || reading.reject.reason != cases[i].reason) {
            print_error("case %zu (%s): %.*s\n", i,
                        reading.is_accepted ? "accepted" : reject_label(reading.reject.reason),
                        BYTES_ARGS(cases[i].text));
        }
        assert_false(reading.is_accepted);
        assert_int_equal(reading.reject.reason, cases[i].reason);
        assert_int_equal(reading.reject.status, cases[i].status);
    }
}

static void lengths_that_could_be_read_in_two_ways_are_refused(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {BYTES(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
         REJECT_LENGTH_AND_CODING, 400},
        {BYTES(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
         REJECT_LENGTH_AND_CODING, 400},
        {BYTES(POST "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\n"),
         REJECT_LENGTH_AND_CODING, 400},
        {BYTES(POST "Transfer-Encoding:\r\nContent-Length: 5\r\n\r\n"), REJECT_LENGTH_AND_CODING,
         400},
        {BYTES(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(POST "Content-Length: 5, 5\r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(POST "Content-Length: 5,5\r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(POST "Content-Length:\r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(POST "Content-Length: \r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(POST "Content-Length: +5\r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(POST "Content-Length: -5\r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(POST "Content-Length: 0x5\r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(POST "Content-Length: 5 5\r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(POST "Content-Length: 5_0\r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(POST "Content-Length: 5.0\r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(POST "Content-Length: \"5\"\r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(POST "Content-Length: five\r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(POST "Content-Length: 18446744073709551616\r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(POST "Content-Length: \xd9\xa5\r\n\r\n"), REJECT_CONTENT_LENGTH, 400},
        {BYTES(HEAD_1_0 "Transfer-Encoding: chunked\r\n\r\n"), REJECT_CODING_IN_HTTP_1_0, 400},
        {BYTES(POST "Transfer-Encoding:\r\n\r\n"), REJECT_TRANSFER_ENCODING, 400},
        {BYTES(POST "Transfer-Encoding: \r\n\r\n"), REJECT_TRANSFER_ENCODING, 400},
        {BYTES(POST "Transfer-Encoding: ,chunked\r\n\r\n"), REJECT_TRANSFER_ENCODING, 400},
        {BYTES(POST "Transfer-Encoding: chunked,\r\n\r\n"), REJECT_TRANSFER_ENCODING, 400},
        {BYTES(POST "Transfer-Encoding: chunked, chunked\r\n\r\n"), REJECT_TRANSFER_ENCODING, 400},
        {BYTES(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
         REJECT_TRANSFER_ENCODING, 400},
        {BYTES(POST "Transfer-Encoding: chunked;a=b\r\n\r\n"), REJECT_TRANSFER_ENCODING, 400},
        {BYTES(POST "Transfer-Encoding: \"chunked\"\r\n\r\n"), REJECT_TRANSFER_ENCODING, 400},
        {BYTES(POST "Transfer-Encoding: chun ked\r\n\r\n"), REJECT_TRANSFER_ENCODING, 400},
        {BYTES(POST "Transfer-Encoding: chunked\x80\r\n\r\n"), REJECT_TRANSFER_ENCODING, 400},
        {BYTES(POST "Transfer-Encoding: gzip\r\n\r\n"), REJECT_CODING_UNSUPPORTED, 501},
        {BYTES(POST "Transfer-Encoding: identity\r\n\r\n"), REJECT_CODING_UNSUPPORTED, 501},
        {BYTES(POST "Transfer-Encoding: xchunked\r\n\r\n"), REJECT_CODING_UNSUPPORTED, 501},
        {BYTES(POST "Transfer-Encoding: gzip, chunked\r\n\r\n"), REJECT_CODING_UNSUPPORTED, 501},
        {BYTES(POST "Transfer-Encoding: chunked, gzip\r\n\r\n"), REJECT_CODING_UNSUPPORTED, 501},
        {BYTES(POST "Transfer-Encoding: chunked, identity\r\n\r\n"), REJECT_CODING_UNSUPPORTED,
         501},
        {BYTES(POST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"),
         REJECT_CODING_UNSUPPORTED, 501},
        {BYTES(POST "Transfer-Encoding: gzip;q=1, chunked\r\n\r\n"), REJECT_CODING_UNSUPPORTED,
         501},
    };
    assert_refused(cases, COUNT_OF(cases));
}

static void hosts_and_targets_that_disagree_are_refused(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {BYTES("GET / HTTP/1.1\r\n\r\n"), REJECT_HOST_MISSING, 400},
        {BYTES("GET http://a/ HTTP/1.1\r\n\r\n"), REJECT_HOST_MISSING, 400},
        {BYTES("GET / HTTP/1.1\r\nHost:\r\n\r\n"), REJECT_HOST_INVALID, 400},
        {BYTES("GET / HTTP/1.0\r\nHost: \r\n\r\n"), REJECT_HOST_INVALID, 400},
        {BYTES("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), REJECT_HOST_DUPLICATE, 400},
        {BYTES("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n"), REJECT_HOST_DUPLICATE, 400},
        {BYTES("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), REJECT_HOST_INVALID, 400},
        {BYTES("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), REJECT_HOST_INVALID, 400},
        {BYTES("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), REJECT_HOST_INVALID, 400},
        {BYTES("GET / HTTP/1.1\r\nHost: a:x\r\n\r\n"), REJECT_HOST_INVALID, 400},
        {BYTES("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"), REJECT_HOST_INVALID, 400},
        {BYTES("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), REJECT_HOST_INVALID, 400},
        {BYTES("GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n"), REJECT_HOST_INVALID, 400},
        {BYTES("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"), REJECT_HOST_MISMATCH, 400},
        {BYTES("GET http://a/ HTTP/1.1\r\nHost: a:81\r\n\r\n"), REJECT_HOST_MISMATCH, 400},
        {BYTES("GET https://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n"), REJECT_HOST_MISMATCH, 400},
        {BYTES("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_TARGET, 400},
        {BYTES("GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_TARGET, 400},
        {BYTES("GET http://?b HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_TARGET, 400},
        {BYTES("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_TARGET, 400},
        {BYTES("GET a HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_TARGET, 400},
        {BYTES("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_TARGET, 400},
        {BYTES("GET ?a HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_TARGET, 400},
        {BYTES("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_TARGET, 400},
        {BYTES("OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_TARGET, 400},
        {BYTES("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_TARGET, 400},
        {BYTES("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), REJECT_METHOD_CONNECT, 405},
        {BYTES("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_METHOD_CONNECT, 405},
        {BYTES("BREW / HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_METHOD_UNKNOWN, 501},
        {BYTES("get / HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_METHOD_UNKNOWN, 501},
        {BYTES("GETT / HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_METHOD_UNKNOWN, 501},
        {BYTES("M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_METHOD_UNKNOWN, 501},
        {BYTES("DESCRIBE / HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_METHOD_UNKNOWN, 501},
        {BYTES(HEAD "Expect: 200-ok\r\n\r\n"), REJECT_EXPECTATION, 417},
        {BYTES(HEAD "Expect: 100-continue\r\nExpect: x\r\n\r\n"), REJECT_EXPECTATION, 417},
    };
    assert_refused(cases, COUNT_OF(cases));
}

/* What llhttp takes in its strict mode, one by one: HOUSE's list of its traps. */
static void what_the_parser_alone_would_take_is_refused(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {BYTES(POST "Transfer-Encoding:\r\n chunked\r\n\r\n"), REJECT_OBS_FOLD, 400},
        {BYTES("GET / HTTP/1.1\r\nHost: a\r\n\n"), REJECT_BARE_LF, 400},
        {BYTES("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_BARE_LF, 400},
        {BYTES("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), REJECT_REQUEST_LINE, 400},
        {BYTES(HEAD ": x\r\n\r\n"), REJECT_FIELD_NAME, 400},
        {BYTES("GET /\r\n\r\n"), REJECT_REQUEST_LINE, 400},
        {BYTES("GET / HTTP/0.9\r\n\r\n"), REJECT_VERSION, 505},
        {BYTES("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), REJECT_VERSION, 505},
        {BYTES("PLAY / RTSP/1.0\r\n\r\n"), REJECT_REQUEST_LINE, 400},
        {BYTES("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), REJECT_CODING_IN_HTTP_1_0,
         400},
        {BYTES(POST "Transfer-Encoding: gzip, chunked\r\n\r\n"), REJECT_CODING_UNSUPPORTED, 501},
        {BYTES(POST "Transfer-Encoding:\r\n\r\n"), REJECT_TRANSFER_ENCODING, 400},
    };
    assert_refused(cases, COUNT_OF(cases));
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
            framing_scanner_init(&scanner, FRAMING_REQUEST);
            if (framing_scan_head(&scanner, in, &limits, &reject) == FRAMING_COMPLETE) {
                read_request(in, &reading);
            }
        }
        text[i] = plain.data[i];
    }
    read_request(in, &reading);
    assert_true(reading.is_accepted);
}

static void llhttp_agrees_with_every_byte_of_a_plain_head(void **state)
{
    (void)state;
    assert_llhttp_agrees_byte_by_byte(
        BYTES("PUT /ab?cd HTTP/1.1\r\nHost: a\r\nX-Yz: efg\r\nContent-Length: 12\r\nConnection: "
              "close\r\n\r\n"));
    assert_llhttp_agrees_byte_by_byte(BYTES("PUT /ab?cd HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                                            "chunked\r\nContent-Type: a/b\r\n\r\n"));
}

static void more_fields_than_items_are_refused(void **state)
{
    (void)state;
    struct field items[2];
    struct request request = {.target = BYTES("untouched")};
    struct reject reject;
    struct bytes head = BYTES("GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n");
    assert_int_equal(http1_parse_request(head, items, 1, &request, &reject), ERR_SYNTAX);
    assert_int_equal(reject.reason, REJECT_TOO_MANY_FIELDS);
    assert_int_equal(reject.status, 431);
    assert_bytes(request.target, "untouched");
    assert_int_equal(http1_parse_request(head, items, 2, &request, &reject), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_split_into_slices_of_its_head),
        cmocka_unit_test(every_method_of_ours_is_taken_but_connect),
        cmocka_unit_test(targets_arrive_in_two_parts),
        cmocka_unit_test(what_connection_says_decides_what_comes_next),
        cmocka_unit_test(bodies_end_where_one_field_says_so),
        cmocka_unit_test(expectations_and_trailers_are_noticed),
        cmocka_unit_test(lengths_that_could_be_read_in_two_ways_are_refused),
        cmocka_unit_test(hosts_and_targets_that_disagree_are_refused),
        cmocka_unit_test(what_the_parser_alone_would_take_is_refused),
        cmocka_unit_test(llhttp_agrees_with_every_byte_of_a_plain_head),
        cmocka_unit_test(more_fields_than_items_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What the raw bytes of a head must look like, wherever they were cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/http/framing.h"

static const struct framing_limits roomy = {4096, 1024, 20};

struct outcome {
    enum framing_scan scan;
    struct reject reject;
    size_t position;
    size_t head_start;
    size_t field_count;
};

/* Feeds `in` up to `cut`, then all of it; a verdict in the first part is final. */
static struct outcome scan_cut(enum framing_kind kind, struct bytes in, size_t cut,
                               const struct framing_limits *limits)
{
    struct framing_scanner scanner;
    struct outcome outcome = {.reject = {0, REJECT_NONE}};
    framing_scanner_init(&scanner, kind);
    outcome.scan = framing_scan_head(&scanner, bytes_slice(in, 0, cut), limits, &outcome.reject);
    if (outcome.scan == FRAMING_INCOMPLETE) {
        outcome.scan = framing_scan_head(&scanner, in, limits, &outcome.reject);
    }
    outcome.position = scanner.position;
    outcome.head_start = scanner.head_start;
    outcome.field_count = scanner.field_count;
    return outcome;
}

/* Byte by byte. */
static struct outcome scan_slowly(enum framing_kind kind, struct bytes in,
                                  const struct framing_limits *limits)
{
    struct framing_scanner scanner;
    struct outcome outcome = {.scan = FRAMING_INCOMPLETE, .reject = {0, REJECT_NONE}};
    framing_scanner_init(&scanner, kind);
    for (size_t size = 0; size <= in.size && outcome.scan == FRAMING_INCOMPLETE; size++) {
        outcome.scan =
            framing_scan_head(&scanner, bytes_slice(in, 0, size), limits, &outcome.reject);
    }
    outcome.position = scanner.position;
    outcome.head_start = scanner.head_start;
    outcome.field_count = scanner.field_count;
    return outcome;
}

static void assert_same(struct outcome a, struct outcome b)
{
    assert_int_equal(a.scan, b.scan);
    assert_int_equal(a.reject.reason, b.reject.reason);
    assert_int_equal(a.reject.status, b.reject.status);
    assert_int_equal(a.position, b.position);
    assert_int_equal(a.head_start, b.head_start);
    assert_int_equal(a.field_count, b.field_count);
}

/* The outcome at every cut; they must be one. */
static struct outcome scan_everyhow(enum framing_kind kind, struct bytes in,
                                    const struct framing_limits *limits)
{
    struct outcome whole = scan_cut(kind, in, 0, limits);
    for (size_t cut = 1; cut <= in.size; cut++) {
        assert_same(scan_cut(kind, in, cut, limits), whole);
    }
    assert_same(scan_slowly(kind, in, limits), whole);
    return whole;
}

static void heads_end_at_their_empty_line(void **state)
{
    (void)state;
    static const struct {
        enum framing_kind kind;
        const char *text;
        size_t head_start, field_count, behind;
    } cases[] = {
        {FRAMING_REQUEST, "GET / HTTP/1.1\r\n\r\n", 0, 0, 0},
        {FRAMING_REQUEST, "GET / HTTP/1.0\r\nHost: a\r\n\r\nGET", 0, 1, 3},
        {FRAMING_REQUEST, "\r\nGET / HTTP/1.1\r\nHost: a\r\nB:\r\n\r\n\r\n\r\n", 2, 2, 4},
        {FRAMING_REQUEST, "GET /?q=\"<>|{}^`\\ HTTP/1.1\r\nA:\t b \t c \xff\xe9 \r\n\r\nx", 0, 1,
         1},
        {FRAMING_REQUEST, "M-!#$%&'*+.^_`|~9 * HTTP/1.1\r\nx!#$%&'*+-.^_`|~9: y\r\n\r\n", 0, 1, 0},
        {FRAMING_RESPONSE, "HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", 0, 1, 4},
        {FRAMING_RESPONSE, "HTTP/1.0 599 \r\n\r\n", 0, 0, 0},
        {FRAMING_RESPONSE, "HTTP/1.1 100\r\n\r\nHTTP/1.1", 0, 0, 8},
        {FRAMING_RESPONSE, "HTTP/1.1 404 Nicht\tgefunden \xfc\r\n\r\n", 0, 0, 0},
        {FRAMING_TRAILERS, "\r\nGET", 0, 0, 3},
        {FRAMING_TRAILERS, "A: b\r\nC: d\r\n\r\nGET", 0, 2, 3},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct bytes in = bytes_of(cases[i].text);
        struct outcome outcome = scan_everyhow(cases[i].kind, in, &roomy);
        assert_int_equal(outcome.scan, FRAMING_COMPLETE);
        assert_int_equal(outcome.position, in.size - cases[i].behind);
        assert_int_equal(outcome.head_start, cases[i].head_start);
        assert_int_equal(outcome.field_count, cases[i].field_count);
    }
}

static void every_proper_prefix_of_a_head_is_incomplete(void **state)
{
    (void)state;
    struct bytes head = BYTES("\r\nGET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n");
    for (size_t size = 0; size < head.size; size++) {
        struct outcome outcome = scan_everyhow(FRAMING_REQUEST, bytes_slice(head, 0, size), &roomy);
        assert_int_equal(outcome.scan, FRAMING_INCOMPLETE);
    }
}

#define R "GET / HTTP/1.1\r\n"
#define S "HTTP/1.1 200 OK\r\n"

struct refusal {
    enum framing_kind kind;
    struct bytes text;
    enum reject_reason reason;
};

static void assert_refused(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct outcome outcome = scan_everyhow(cases[i].kind, cases[i].text, &roomy);
        if (outcome.scan != FRAMING_REFUSED || outcome.reject.reason != cases[i].reason) {
            print_error("case %zu: %.*s\n", i, BYTES_ARGS(cases[i].text));
        }
        assert_int_equal(outcome.scan, FRAMING_REFUSED);
        assert_int_equal(outcome.reject.reason, cases[i].reason);
        struct reject expected = cases[i].kind == FRAMING_RESPONSE
                                     ? reject_response(cases[i].reason)
                                     : reject_request(cases[i].reason);
        assert_int_equal(outcome.reject.status, expected.status);
    }
}

static void crooked_request_lines_are_refused(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {FRAMING_REQUEST, BYTES("GET  / HTTP/1.1\r\n\r\n"), REJECT_REQUEST_LINE},
        {FRAMING_REQUEST, BYTES("GET /  HTTP/1.1\r\n\r\n"), REJECT_REQUEST_LINE},
        {FRAMING_REQUEST, BYTES("GET / HTTP/1.1 \r\n\r\n"), REJECT_REQUEST_LINE},
        {FRAMING_REQUEST, BYTES("GET / x HTTP/1.1\r\n\r\n"), REJECT_REQUEST_LINE},
        {FRAMING_REQUEST, BYTES("GET /\r\n\r\n"), REJECT_REQUEST_LINE},
        {FRAMING_REQUEST, BYTES("GET\r\n\r\n"), REJECT_REQUEST_LINE},
        {FRAMING_REQUEST, BYTES("GET /\tHTTP/1.1\r\n\r\n"), REJECT_TARGET},
        {FRAMING_REQUEST, BYTES("GET\t/ HTTP/1.1\r\n\r\n"), REJECT_METHOD_SYNTAX},
        {FRAMING_REQUEST, BYTES(" GET / HTTP/1.1\r\n\r\n"), REJECT_METHOD_SYNTAX},
        {FRAMING_REQUEST, BYTES("G(T / HTTP/1.1\r\n\r\n"), REJECT_METHOD_SYNTAX},
        {FRAMING_REQUEST, BYTES("G\xe9T / HTTP/1.1\r\n\r\n"), REJECT_METHOD_SYNTAX},
        {FRAMING_REQUEST, BYTES("GET /a#b HTTP/1.1\r\n\r\n"), REJECT_TARGET},
        {FRAMING_REQUEST, BYTES("GET /\xc3\xa9 HTTP/1.1\r\n\r\n"), REJECT_TARGET},
        {FRAMING_REQUEST, BYTES("GET / HTTP/0.9\r\n\r\n"), REJECT_VERSION},
        {FRAMING_REQUEST, BYTES("GET / HTTP/1.2\r\n\r\n"), REJECT_VERSION},
        {FRAMING_REQUEST, BYTES("GET / HTTP/2.0\r\n\r\n"), REJECT_VERSION},
        {FRAMING_REQUEST, BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), REJECT_VERSION},
        {FRAMING_REQUEST, BYTES("GET / HTTP/1.10\r\n\r\n"), REJECT_REQUEST_LINE},
        {FRAMING_REQUEST, BYTES("GET / HTTP/11\r\n\r\n"), REJECT_REQUEST_LINE},
        {FRAMING_REQUEST, BYTES("GET / http/1.1\r\n\r\n"), REJECT_REQUEST_LINE},
        {FRAMING_REQUEST, BYTES("GET / RTSP/1.0\r\n\r\n"), REJECT_REQUEST_LINE},
        {FRAMING_REQUEST, BYTES("SOURCE / ICE/1.0\r\n\r\n"), REJECT_REQUEST_LINE},
        {FRAMING_REQUEST, BYTES("\r\n\r\nGET / HTTP/1.1\r\n\r\n"), REJECT_EMPTY_LINES},
        {FRAMING_REQUEST, BYTES("\x16\x03\x01"), REJECT_CONTROL},
    };
    assert_refused(cases, COUNT_OF(cases));
}

static void crooked_status_lines_are_refused(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {FRAMING_RESPONSE, BYTES("HTTP/1.1 20\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("HTTP/1.1 20 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("HTTP/1.1 099 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("HTTP/1.1 0 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("HTTP/1.1 600 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("HTTP/1.1 2000 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("HTTP/1.1 2x0 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("HTTP/1.1 200OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("HTTP/1.1  200 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("HTTP/1.1 200  OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("HTTP/1.1\t200 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("HTTP/1.1 200\tOK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES(" HTTP/1.1 200 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("HTTP/2.0 200 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("HTTP/1.2 200 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("HTTP/0.9 200 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("http/1.1 200 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("RTSP/1.0 200 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("ICY 200 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("<html>\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("\r\nHTTP/1.1 200 OK\r\n\r\n"), REJECT_STATUS_LINE},
        {FRAMING_RESPONSE, BYTES("HTTP/1.1 200 O\x01K\r\n\r\n"), REJECT_CONTROL},
        {FRAMING_RESPONSE, BYTES("HTTP/1.1 200 O\0K\r\n\r\n"), REJECT_CONTROL},
    };
    assert_refused(cases, COUNT_OF(cases));
}

/* The same lines behind a request line, a status line and a last chunk. */
static void crooked_field_lines_are_refused_in_both_directions(void **state)
{
    (void)state;
    static const struct {
        struct bytes text;
        enum reject_reason reason;
    } cases[] = {
        {BYTES(" A: b\r\n\r\n"), REJECT_OBS_FOLD},
        {BYTES("A: b\r\n c\r\n\r\n"), REJECT_OBS_FOLD},
        {BYTES("Transfer-Encoding:\r\n\tchunked\r\n\r\n"), REJECT_OBS_FOLD},
        {BYTES("A: b\r\n \r\n\r\n"), REJECT_OBS_FOLD},
        {BYTES("A : b\r\n\r\n"), REJECT_SPACE_BEFORE_COLON},
        {BYTES("Transfer-Encoding\t: chunked\r\n\r\n"), REJECT_SPACE_BEFORE_COLON},
        {BYTES(": b\r\n\r\n"), REJECT_FIELD_NAME},
        {BYTES("A\r\n\r\n"), REJECT_FIELD_NAME},
        {BYTES("A(: b\r\n\r\n"), REJECT_FIELD_NAME},
        {BYTES("\xe9: b\r\n\r\n"), REJECT_FIELD_NAME},
        {BYTES("\"A\": b\r\n\r\n"), REJECT_FIELD_NAME},
        {BYTES("A\0: b\r\n\r\n"), REJECT_CONTROL},
        {BYTES("A: b\0c\r\n\r\n"), REJECT_CONTROL},
        {BYTES("A: b\x01\r\n\r\n"), REJECT_CONTROL},
        {BYTES("A: b\x0b\r\n\r\n"), REJECT_CONTROL},
        {BYTES("A: b\x7f\r\n\r\n"), REJECT_CONTROL},
        {BYTES("A: b\nC: d\r\n\r\n"), REJECT_BARE_LF},
        {BYTES("A: b\n\n"), REJECT_BARE_LF},
        {BYTES("A: b\r\n\n"), REJECT_BARE_LF},
        {BYTES("A: b\rC: d\r\n\r\n"), REJECT_BARE_CR},
        {BYTES("A: b\r\r\n\r\n"), REJECT_BARE_CR},
        {BYTES("A: b\r\n\rC: d\r\n\r\n"), REJECT_BARE_CR},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        static const struct {
            enum framing_kind kind;
            struct bytes start;
        } places[] = {{FRAMING_REQUEST, BYTES(R)},
                      {FRAMING_RESPONSE, BYTES(S)},
                      {FRAMING_TRAILERS, BYTES("")}};
        for (size_t k = 0; k < COUNT_OF(places); k++) {
            char text[128];
            memcpy(text, places[k].start.data, places[k].start.size);
            memcpy(text + places[k].start.size, cases[i].text.data, cases[i].text.size);
            struct refusal refusal = {places[k].kind,
                                      bytes_make(text, places[k].start.size + cases[i].text.size),
                                      cases[i].reason};
            assert_refused(&refusal, 1);
        }
    }
}

static void line_ends_are_crlf_in_both_directions(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {FRAMING_REQUEST, BYTES("\nGET / HTTP/1.1\r\n\r\n"), REJECT_BARE_LF},
        {FRAMING_REQUEST, BYTES("GET / HTTP/1.1\nHost: a\r\n\r\n"), REJECT_BARE_LF},
        {FRAMING_REQUEST, BYTES("GET / HTTP/1.1\rHost: a\r\n\r\n"), REJECT_BARE_CR},
        {FRAMING_REQUEST, BYTES("\rGET / HTTP/1.1\r\n\r\n"), REJECT_BARE_CR},
        {FRAMING_REQUEST, BYTES(R "\n"), REJECT_BARE_LF},
        {FRAMING_RESPONSE, BYTES("\nHTTP/1.1 200 OK\r\n\r\n"), REJECT_BARE_LF},
        {FRAMING_RESPONSE, BYTES("HTTP/1.1 200 OK\nA: b\r\n\r\n"), REJECT_BARE_LF},
        {FRAMING_RESPONSE, BYTES("HTTP/1.1 200 OK\rA: b\r\n\r\n"), REJECT_BARE_CR},
        {FRAMING_RESPONSE, BYTES(S "\n"), REJECT_BARE_LF},
    };
    assert_refused(cases, COUNT_OF(cases));
}

/* Each limit to the byte: what just fits passes, one more does not. */
static void limits_hold_to_the_byte(void **state)
{
    (void)state;
    struct bytes request = BYTES("GET /1234567890 HTTP/1.1\r\nA: b\r\nC: d\r\n\r\n");
    struct framing_limits limits = {request.size, 24, 2};
    assert_int_equal(scan_everyhow(FRAMING_REQUEST, request, &limits).scan, FRAMING_COMPLETE);
    limits.head_max--;
    assert_int_equal(scan_everyhow(FRAMING_REQUEST, request, &limits).reject.status, 431);
    limits = (struct framing_limits){request.size, 23, 2};
    assert_int_equal(scan_everyhow(FRAMING_REQUEST, request, &limits).reject.status, 414);
    limits = (struct framing_limits){request.size, 24, 1};
    assert_int_equal(scan_everyhow(FRAMING_REQUEST, request, &limits).reject.reason,
                     REJECT_TOO_MANY_FIELDS);
    struct bytes response = BYTES("HTTP/1.1 200 OK\r\nLong: 12345678901234567890\r\n\r\n");
    limits = (struct framing_limits){4096, 26, 1};
    assert_int_equal(scan_everyhow(FRAMING_RESPONSE, response, &limits).scan, FRAMING_COMPLETE);
    limits.line_max = 25;
    struct outcome outcome = scan_everyhow(FRAMING_RESPONSE, response, &limits);
    assert_int_equal(outcome.reject.reason, REJECT_FIELD_TOO_LONG);
    assert_int_equal(outcome.reject.status, 502);
}

static void a_head_that_cannot_end_in_time_is_refused_early(void **state)
{
    (void)state;
    struct framing_limits limits = {16, 16, 4};
    struct bytes in = BYTES("GET /1234567890ab");
    struct outcome outcome = scan_everyhow(FRAMING_REQUEST, bytes_slice(in, 0, 16), &limits);
    assert_int_equal(outcome.scan, FRAMING_REFUSED);
    assert_int_equal(outcome.reject.reason, REJECT_HEAD_TOO_LONG);
    assert_int_equal(scan_everyhow(FRAMING_REQUEST, in, &limits).reject.reason,
                     REJECT_HEAD_TOO_LONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_end_at_their_empty_line),
        cmocka_unit_test(every_proper_prefix_of_a_head_is_incomplete),
        cmocka_unit_test(crooked_request_lines_are_refused),
        cmocka_unit_test(crooked_status_lines_are_refused),
        cmocka_unit_test(crooked_field_lines_are_refused_in_both_directions),
        cmocka_unit_test(line_ends_are_crlf_in_both_directions),
        cmocka_unit_test(limits_hold_to_the_byte),
        cmocka_unit_test(a_head_that_cannot_end_in_time_is_refused_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What goes on the wire is exactly what the message says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/http1/http1_writer.h"

enum { OUT_SIZE = 2048 };

static struct field items[] = {
    {BYTES("Host"), BYTES("a"), FIELD_HOST},
    {BYTES("Content-Length"), BYTES("99"), FIELD_CONTENT_LENGTH},
    {BYTES("Transfer-Encoding"), BYTES("x"), FIELD_TRANSFER_ENCODING},
    {BYTES("Connection"), BYTES("x"), FIELD_CONNECTION},
    {BYTES("TE"), BYTES("x"), FIELD_TE},
    {BYTES("X-Tab"), BYTES("a\tb \xe9"), FIELD_OTHER},
    {BYTES("X-Empty"), BYTES(""), FIELD_OTHER},
};

#define FIELDS "Host: a\r\nX-Tab: a\tb \xe9\r\nX-Empty: \r\n"

static struct request request_of(enum body_kind body, uint64_t content_length)
{
    return (struct request){.method = METHOD_PUT,
                            .version = HTTP_1_0,
                            .target = BYTES("/a?b"),
                            .upgrade = BYTES(""),
                            .fields = {items, COUNT_OF(items)},
                            .body = body,
                            .content_length = content_length,
                            .is_keep_alive = true};
}

static struct response response_of(unsigned status, enum body_kind body)
{
    return (struct response){.status = status,
                             .version = HTTP_1_1,
                             .reason = BYTES("Fine"),
                             .upgrade = BYTES(""),
                             .fields = {items, COUNT_OF(items)},
                             .body = body,
                             .content_length = 7,
                             .has_content_length = body == BODY_LENGTH,
                             .is_keep_alive = true};
}

static void assert_request(const struct request *request, const char *expected)
{
    char out[OUT_SIZE];
    size_t size = 0;
    assert_int_equal(http1_write_request(out, sizeof out, request, &size), OK);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(out, expected, size);
}

static void assert_response(const struct response *response, const char *expected)
{
    char out[OUT_SIZE];
    size_t size = 0;
    assert_int_equal(http1_write_response(out, sizeof out, response, &size), OK);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(out, expected, size);
}

static void requests_are_framed_by_their_facts(void **state)
{
    (void)state;
    struct request request = request_of(BODY_NONE, 0);
    assert_request(&request, "PUT /a?b HTTP/1.1\r\n" FIELDS "\r\n");
    request = request_of(BODY_LENGTH, UINT64_MAX);
    assert_request(&request,
                   "PUT /a?b HTTP/1.1\r\n" FIELDS "Content-Length: 18446744073709551615\r\n\r\n");
    request = request_of(BODY_LENGTH, 0);
    assert_request(&request, "PUT /a?b HTTP/1.1\r\n" FIELDS "Content-Length: 0\r\n\r\n");
    request = request_of(BODY_CHUNKED, 0);
    request.accepts_trailers = true;
    assert_request(&request, "PUT /a?b HTTP/1.1\r\n" FIELDS "Transfer-Encoding: chunked\r\n"
                             "TE: trailers\r\nConnection: TE\r\n\r\n");
    request = request_of(BODY_NONE, 0);
    request.upgrade = BYTES("websocket");
    assert_request(&request, "PUT /a?b HTTP/1.1\r\n" FIELDS
                             "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    request.upgrade = BYTES("");
    request.is_keep_alive = false;
    assert_request(&request, "PUT /a?b HTTP/1.1\r\n" FIELDS "Connection: close\r\n\r\n");
}

static void responses_are_framed_by_their_facts(void **state)
{
    (void)state;
    struct response response = response_of(200, BODY_LENGTH);
    assert_response(&response, "HTTP/1.1 200 Fine\r\n" FIELDS "Content-Length: 7\r\n\r\n");
    response.version = HTTP_1_0;
    assert_response(&response, "HTTP/1.1 200 Fine\r\n" FIELDS
                               "Content-Length: 7\r\nConnection: keep-alive\r\n\r\n");
    response = response_of(404, BODY_CHUNKED);
    assert_response(&response, "HTTP/1.1 404 Fine\r\n" FIELDS "Transfer-Encoding: chunked\r\n\r\n");
    response = response_of(200, BODY_UNTIL_CLOSE);
    response.is_keep_alive = false;
    assert_response(&response, "HTTP/1.1 200 Fine\r\n" FIELDS "Connection: close\r\n\r\n");
    response = response_of(304, BODY_NONE);
    response.has_content_length = true;
    response.reason = BYTES("");
    assert_response(&response, "HTTP/1.1 304 \r\n" FIELDS "Content-Length: 7\r\n\r\n");
    response = response_of(204, BODY_NONE);
    assert_response(&response, "HTTP/1.1 204 Fine\r\n" FIELDS "\r\n");
    response = response_of(103, BODY_NONE);
    response.is_keep_alive = false;
    assert_response(&response, "HTTP/1.1 103 Fine\r\n" FIELDS "\r\n");
    response = response_of(101, BODY_NONE);
    response.upgrade = BYTES("websocket");
    assert_response(&response, "HTTP/1.1 101 Fine\r\n" FIELDS
                               "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
}

/* Every control byte, at every place of a long and a short text, in every text that is written. */
static void a_byte_that_would_end_a_line_never_leaves(void **state)
{
    (void)state;
    char text[19];
    char out[OUT_SIZE];
    size_t size = 77;
    struct field field = {BYTES("A"), BYTES("b"), FIELD_OTHER};
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < sizeof text; at++) {
            bool is_bad = (byte < 0x20 && byte != '\t') || byte == 0x7f;
            memset(text, 'x', sizeof text);
            text[at] = (char)byte;
            struct bytes bad = bytes_make(text, at < 7 ? 7 : sizeof text);
            struct request request = request_of(BODY_NONE, 0);
            struct response response = response_of(200, BODY_LENGTH);
            enum err expected = is_bad ? ERR_SYNTAX : OK;
            request.target = bad;
            assert_int_equal(http1_write_request(out, sizeof out, &request, &size), expected);
            request.target = BYTES("/");
            request.upgrade = bad;
            assert_int_equal(http1_write_request(out, sizeof out, &request, &size), expected);
            response.reason = bad;
            assert_int_equal(http1_write_response(out, sizeof out, &response, &size), expected);
            response.reason = BYTES("");
            response.fields = (struct fields){&field, 1};
            field.name = bad;
            field.value = BYTES("b");
            assert_int_equal(http1_write_response(out, sizeof out, &response, &size), expected);
            field.name = BYTES("A");
            field.value = bad;
            assert_int_equal(http1_write_response(out, sizeof out, &response, &size), expected);
            assert_int_equal(http1_write_last_chunk(out, sizeof out, &response.fields, &size),
                             expected);
        }
    }
}

static void what_does_not_fit_is_a_limit_and_leaves_no_mark(void **state)
{
    (void)state;
    struct request request = request_of(BODY_LENGTH, UINT64_MAX);
    struct response response = response_of(200, BODY_LENGTH);
    bool has_fitted = false;
    for (size_t capacity = 0; capacity < OUT_SIZE; capacity++) {
        char out[OUT_SIZE + 1];
        size_t size = 0;
        memset(out, '#', sizeof out);
        enum err err = http1_write_request(out, capacity, &request, &size);
        assert_true(err == OK || err == ERR_LIMIT);
        assert_true(!has_fitted || err == OK);
        assert_true(size <= capacity);
        assert_int_equal(out[capacity], '#');
        has_fitted = err == OK;
        err = http1_write_response(out, capacity, &response, &size);
        assert_true(err == OK || err == ERR_LIMIT);
        assert_int_equal(out[capacity], '#');
    }
    assert_true(has_fitted);
}

static void chunks_are_announced_in_hex(void **state)
{
    (void)state;
    static const struct {
        uint64_t size;
        const char *line;
    } cases[] = {{1, "1\r\n"},
                 {15, "f\r\n"},
                 {16, "10\r\n"},
                 {4096, "1000\r\n"},
                 {0xdeadbeef, "deadbeef\r\n"},
                 {UINT64_MAX, "ffffffffffffffff\r\n"}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[HTTP1_CHUNK_LINE_MAX];
        size_t size = http1_write_chunk_line(out, cases[i].size);
        assert_int_equal(size, strlen(cases[i].line));
        assert_memory_equal(out, cases[i].line, size);
    }
}

static void the_last_chunk_carries_trailers(void **state)
{
    (void)state;
    char out[OUT_SIZE];
    size_t size;
    struct fields trailers = {items, COUNT_OF(items)};
    assert_int_equal(http1_write_last_chunk(out, sizeof out, NULL, &size), OK);
    assert_true(bytes_equal(bytes_make(out, size), HTTP1_LAST_CHUNK));
    assert_int_equal(http1_write_last_chunk(out, sizeof out, &trailers, &size), OK);
    assert_true(bytes_equal(bytes_make(out, size), BYTES("0\r\n" FIELDS "\r\n")));
    assert_int_equal(http1_write_last_chunk(out, 4, NULL, &size), ERR_LIMIT);
    assert_int_equal(http1_write_last_chunk(out, 5, NULL, &size), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_framed_by_their_facts),
        cmocka_unit_test(responses_are_framed_by_their_facts),
        cmocka_unit_test(a_byte_that_would_end_a_line_never_leaves),
        cmocka_unit_test(what_does_not_fit_is_a_limit_and_leaves_no_mark),
        cmocka_unit_test(chunks_are_announced_in_hex),
        cmocka_unit_test(the_last_chunk_carries_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

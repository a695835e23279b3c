/* Chunked bodies read strictly, in whatever pieces they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/http/chunked.h"
#include "tests/support/alloc_fail.h"

static const struct framing_limits limits = {1024, 256, 10};

struct outcome {
    enum chunked_event event;
    struct reject reject;
    size_t consumed;
    size_t size;
    char content[256];
    size_t trailer_count;
    char trailers[256]; /* "name=value;" */
};

static void note_trailers(struct outcome *outcome, const struct fields *trailers)
{
    size_t at = 0;
    outcome->trailer_count = trailers->count;
    for (size_t i = 0; i < trailers->count; i++) {
        const struct field *field = &trailers->items[i];
        assert_true(at + field->name.size + field->value.size + 2 < sizeof outcome->trailers);
        memcpy(outcome->trailers + at, field->name.data, field->name.size);
        at += field->name.size;
        outcome->trailers[at++] = '=';
        memcpy(outcome->trailers + at, field->value.data, field->value.size);
        at += field->value.size;
        outcome->trailers[at++] = ';';
    }
    outcome->trailers[at] = '\0';
}

/* Feeds one piece; true when the decoder has come to a verdict. */
static bool feed(struct chunked_decoder *decoder, struct bytes piece, struct outcome *outcome)
{
    struct bytes rest = piece;
    struct bytes data;
    for (;;) {
        outcome->event = chunked_decoder_next(decoder, &rest, &data, &outcome->reject);
        if (outcome->event != CHUNKED_DATA) {
            break;
        }
        assert_true(data.size > 0);
        assert_true(outcome->size + data.size < sizeof outcome->content);
        memcpy(outcome->content + outcome->size, data.data, data.size);
        outcome->size += data.size;
    }
    outcome->consumed += piece.size - rest.size;
    return outcome->event != CHUNKED_MORE;
}

/* Decodes `in` in pieces of `step` bytes, the first of them `first` bytes long. */
static void decode(struct bytes in, size_t first, size_t step, struct outcome *ret_outcome)
{
    struct chunked_decoder decoder;
    struct arena arena;
    *ret_outcome = (struct outcome){.event = CHUNKED_MORE, .reject = {0, REJECT_NONE}};
    arena_init(&arena, 64 * 1024);
    chunked_decoder_init(&decoder, false, &limits, &arena);
    for (size_t at = 0; at < in.size;) {
        size_t size = at == 0 && first > 0 ? first : step;
        size = size < in.size - at ? size : in.size - at;
        if (feed(&decoder, bytes_slice(in, at, size), ret_outcome)) {
            break;
        }
        at += size;
    }
    if (ret_outcome->event == CHUNKED_END) {
        note_trailers(ret_outcome, &decoder.trailers);
    }
    arena_finish(&arena);
}

static void assert_same(const struct outcome *a, const struct outcome *b)
{
    assert_int_equal(a->event, b->event);
    assert_int_equal(a->reject.reason, b->reject.reason);
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a->content, b->content, a->size);
    if (a->event == CHUNKED_END) {
        assert_int_equal(a->consumed, b->consumed);
        assert_string_equal(a->trailers, b->trailers);
    }
}

/* Whole, cut in two at every place, and byte by byte: the outcome must be one. */
static void decode_everyhow(struct bytes in, struct outcome *ret_outcome)
{
    struct outcome other;
    decode(in, 0, in.size, ret_outcome);
    for (size_t first = 1; first < in.size; first++) {
        decode(in, first, in.size, &other);
        assert_same(&other, ret_outcome);
    }
    decode(in, 0, 1, &other);
    assert_same(&other, ret_outcome);
}

static void sound_bodies_give_their_content_and_no_byte_more(void **state)
{
    (void)state;
    static const struct {
        const char *text, *content, *trailers;
        size_t behind;
    } cases[] = {
        {"0\r\n\r\n", "", "", 0},
        {"000\r\n\r\nGET /", "", "", 5},
        {"5\r\nhello\r\n0\r\n\r\n", "hello", "", 0},
        {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n0\r\n\r\n", "hello world", "", 5},
        {"A\r\n0123456789\r\n0\r\n\r\n", "0123456789", "", 0},
        {"a\r\n\r\n0\r\n\r\n1\r\n\r\n0\r\n\r\n", "\r\n0\r\n\r\n1\r\n", "", 0},
        {"0000000000000001\r\nx\r\n0\r\n\r\n", "x", "", 0},
        {"1;a\r\nx\r\n0;b=c\r\n\r\n", "x", "", 0},
        {"1;a=b;c=\"d;\\\" \t\xe9\";e\r\nx\r\n0\r\n\r\n", "x", "", 0},
        {"1 ; a = b\r\nx\r\n0\t;\tc\t;d\r\n\r\n", "x", "", 0},
        {"1;a=\"\"\r\nx\r\n0\r\n\r\n", "x", "", 0},
        {"1\r\nx\r\n0\r\nA: b\r\nC:\t d \r\n\r\nrest", "x", "A=b;C=d;", 4},
        {"0\r\nEmpty:\r\n\r\n", "", "Empty=;", 0},
        {"0\r\nConnection: close\r\nA: b\r\nVia: x\r\nTE: y\r\n\r\n", "", "A=b;", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct outcome outcome;
        struct bytes in = bytes_of(cases[i].text);
        decode_everyhow(in, &outcome);
        assert_int_equal(outcome.event, CHUNKED_END);
        assert_int_equal(outcome.consumed, in.size - cases[i].behind);
        assert_int_equal(outcome.size, strlen(cases[i].content));
        assert_memory_equal(outcome.content, cases[i].content, outcome.size);
        assert_string_equal(outcome.trailers, cases[i].trailers);
    }
}

static void every_proper_prefix_asks_for_more(void **state)
{
    (void)state;
    struct bytes in = BYTES("3 ;a=\"b\\c\"\r\nxyz\r\n0\r\nA: b\r\n\r\n");
    for (size_t size = 1; size < in.size; size++) {
        struct outcome outcome;
        decode_everyhow(bytes_slice(in, 0, size), &outcome);
        assert_int_equal(outcome.event, CHUNKED_MORE);
    }
}

static void crooked_bodies_are_refused(void **state)
{
    (void)state;
    static const struct {
        struct bytes text;
        enum reject_reason reason;
    } cases[] = {
        {BYTES("\r\n"), REJECT_CHUNK_SIZE},
        {BYTES(";a\r\n"), REJECT_CHUNK_SIZE},
        {BYTES(" 5\r\nhello\r\n"), REJECT_CHUNK_SIZE},
        {BYTES("g\r\n"), REJECT_CHUNK_SIZE},
        {BYTES("0x5\r\nhello\r\n"), REJECT_CHUNK_SIZE},
        {BYTES("+5\r\nhello\r\n"), REJECT_CHUNK_SIZE},
        {BYTES("-1\r\n"), REJECT_CHUNK_SIZE},
        {BYTES("5_0\r\n"), REJECT_CHUNK_SIZE},
        {BYTES("5\nhello\r\n"), REJECT_CHUNK_SIZE},
        {BYTES("5\0\r\nhello\r\n"), REJECT_CHUNK_SIZE},
        {BYTES("00000000000000005\r\nhello\r\n"), REJECT_CHUNK_SIZE},
        {BYTES("10000000000000000\r\n"), REJECT_CHUNK_SIZE},
        {BYTES("5,5\r\nhello\r\n"), REJECT_CHUNK_SIZE},
        {BYTES("5\rhello\r\n"), REJECT_BARE_CR},
        {BYTES("5\r\r\nhello\r\n"), REJECT_BARE_CR},
        {BYTES("5 \r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5\t\r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5 5\r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;\r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;;a\r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;a;\r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;=b\r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;a=\r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;a=;\r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;a \r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;a b\r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;a=b c\r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;a=\"b\r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;a=\"b\"c\r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;a=\"b\\\r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;a\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;a=b\n0\r\n\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;a=\"\n\"\r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;a\0\r\nhello\r\n"), REJECT_CHUNK_EXTENSION},
        {BYTES("5;a\rX"), REJECT_BARE_CR},
        {BYTES("5\r\nhello0\r\n\r\n"), REJECT_CHUNK_END},
        {BYTES("5\r\nhello\n0\r\n\r\n"), REJECT_CHUNK_END},
        {BYTES("5\r\nhello\r0\r\n\r\n"), REJECT_CHUNK_END},
        {BYTES("5\r\nhello!\r\n0\r\n\r\n"), REJECT_CHUNK_END},
        {BYTES("5\r\nhell\r\n0\r\n\r\n"), REJECT_CHUNK_END},
        {BYTES("0\r\n\n"), REJECT_BARE_LF},
        {BYTES("0\r\n\rX"), REJECT_BARE_CR},
        {BYTES("0\n\n"), REJECT_CHUNK_SIZE},
        {BYTES("0\r\nA: b\n\r\n"), REJECT_BARE_LF},
        {BYTES("0\r\nA: b\r\n\n"), REJECT_BARE_LF},
        {BYTES("0\r\n A: b\r\n\r\n"), REJECT_OBS_FOLD},
        {BYTES("0\r\nA : b\r\n\r\n"), REJECT_SPACE_BEFORE_COLON},
        {BYTES("0\r\nA\r\n\r\n"), REJECT_FIELD_NAME},
        {BYTES("0\r\nGET / HTTP/1.1\r\n\r\n"), REJECT_FIELD_NAME},
        {BYTES("0\r\nA: \0\r\n\r\n"), REJECT_CONTROL},
        {BYTES("0\r\nContent-Length: 5\r\n\r\n"), REJECT_TRAILER},
        {BYTES("0\r\ntransfer-encoding: chunked\r\n\r\n"), REJECT_TRAILER},
        {BYTES("0\r\nA: b\r\nHost: c\r\n\r\n"), REJECT_TRAILER},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct outcome outcome;
        decode_everyhow(cases[i].text, &outcome);
        if (outcome.event != CHUNKED_REFUSED || outcome.reject.reason != cases[i].reason) {
            print_error("case %zu: %.*s\n", i, BYTES_ARGS(cases[i].text));
        }
        assert_int_equal(outcome.event, CHUNKED_REFUSED);
        assert_int_equal(outcome.reject.reason, cases[i].reason);
        assert_int_equal(outcome.reject.status, 400);
    }
}

static void a_bad_body_of_an_origin_is_a_bad_gateway(void **state)
{
    (void)state;
    struct chunked_decoder decoder;
    struct bytes in = BYTES("zz");
    struct bytes data;
    struct reject reject;
    chunked_decoder_init(&decoder, true, &limits, NULL);
    assert_int_equal(chunked_decoder_next(&decoder, &in, &data, &reject), CHUNKED_REFUSED);
    assert_int_equal(reject.status, 502);
    assert_int_equal(reject.reason, REJECT_CHUNK_SIZE);
}

static void the_largest_size_is_taken_for_what_it_is(void **state)
{
    (void)state;
    struct chunked_decoder decoder;
    struct bytes in = BYTES("ffffffffffffffff\r\nab");
    struct bytes data;
    struct reject reject;
    chunked_decoder_init(&decoder, false, &limits, NULL);
    assert_int_equal(chunked_decoder_next(&decoder, &in, &data, &reject), CHUNKED_DATA);
    assert_true(bytes_equal(data, BYTES("ab")));
    assert_true(decoder.left == UINT64_MAX - 2);
    assert_int_equal(chunked_decoder_next(&decoder, &in, &data, &reject), CHUNKED_MORE);
}

/* Feeds `count` times the same chunk and says what came of it. */
static enum chunked_event repeat(struct bytes chunk, size_t count)
{
    struct chunked_decoder decoder;
    enum chunked_event event = CHUNKED_MORE;
    chunked_decoder_init(&decoder, false, &limits, NULL);
    for (size_t i = 0; i < count && event != CHUNKED_REFUSED; i++) {
        struct bytes in = chunk;
        struct bytes data;
        struct reject reject;
        do {
            event = chunked_decoder_next(&decoder, &in, &data, &reject);
        } while (event == CHUNKED_DATA);
    }
    return event;
}

static void extensions_are_bounded_by_line_and_by_body(void **state)
{
    (void)state;
    char line[CHUNKED_EXTENSION_LINE_MAX + 16];
    memset(line, 'a', sizeof line);
    line[0] = '1';
    line[1] = ';';
    assert_int_equal(repeat(bytes_make(line, 1 + CHUNKED_EXTENSION_LINE_MAX), 1), CHUNKED_MORE);
    assert_int_equal(repeat(bytes_make(line, sizeof line), 1), CHUNKED_REFUSED);
    struct bytes chunk = BYTES("1;abcdefg\r\nx\r\n");
    size_t fitting = CHUNKED_EXTENSIONS_MAX / 8;
    assert_int_equal(repeat(chunk, fitting), CHUNKED_MORE);
    assert_int_equal(repeat(chunk, fitting * 2), CHUNKED_REFUSED);
    assert_int_equal(repeat(BYTES("1\r\nx\r\n"), fitting * 2), CHUNKED_MORE);
}

static void trailers_are_bounded_like_heads(void **state)
{
    (void)state;
    char body[2048] = "0\r\n";
    struct outcome outcome;
    size_t at = 3;
    for (size_t i = 0; i <= limits.fields_max; i++) {
        memcpy(body + at, "A: b\r\n", 6);
        at += 6;
    }
    memcpy(body + at, "\r\n", 2);
    decode_everyhow(bytes_make(body, at + 2), &outcome);
    assert_int_equal(outcome.reject.reason, REJECT_TOO_MANY_FIELDS);
    memcpy(body + 3, "A:", 2);
    memset(body + 5, 'x', sizeof body - 5);
    decode_everyhow(bytes_make(body, sizeof body), &outcome);
    assert_int_equal(outcome.reject.reason, REJECT_FIELD_TOO_LONG);
    enum { LINE = 100 };
    for (size_t i = 3; i + LINE <= sizeof body; i += LINE) {
        memcpy(body + i, "A:", 2);
        memcpy(body + i + LINE - 2, "\r\n", 2);
    }
    decode_everyhow(bytes_make(body, sizeof body), &outcome);
    assert_int_equal(outcome.reject.reason, REJECT_HEAD_TOO_LONG);
}

static void trailers_without_memory_fail_the_body_alone(void **state)
{
    (void)state;
    struct bytes whole = BYTES("1\r\nx\r\n0\r\nA: b\r\n\r\n");
    for (size_t turn = 0; alloc_fail_begin(turn); turn++) {
        struct chunked_decoder decoder;
        struct arena arena;
        struct bytes in = whole;
        struct bytes data;
        struct reject reject;
        arena_init(&arena, 64 * 1024);
        chunked_decoder_init(&decoder, false, &limits, &arena);
        enum chunked_event event = chunked_decoder_next(&decoder, &in, &data, &reject);
        assert_int_equal(event, CHUNKED_DATA);
        event = chunked_decoder_next(&decoder, &in, &data, &reject);
        bool was_refused = alloc_fail_end();
        assert_int_equal(event, was_refused ? CHUNKED_REFUSED : CHUNKED_END);
        if (was_refused) {
            assert_int_equal(reject.status, 503);
        }
        arena_finish(&arena);
        if (!was_refused) {
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_bodies_give_their_content_and_no_byte_more),
        cmocka_unit_test(every_proper_prefix_asks_for_more),
        cmocka_unit_test(crooked_bodies_are_refused),
        cmocka_unit_test(a_bad_body_of_an_origin_is_a_bad_gateway),
        cmocka_unit_test(the_largest_size_is_taken_for_what_it_is),
        cmocka_unit_test(extensions_are_bounded_by_line_and_by_body),
        cmocka_unit_test(trailers_are_bounded_like_heads),
        cmocka_unit_test(trailers_without_memory_fail_the_body_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

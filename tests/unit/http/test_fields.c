/* Names, methods, reasons and classes of bytes are told apart exactly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/http/message.h"
#include "proxy/http/reject.h"
#include "proxy/http/scan.h"
#include "proxy/http/token.h"

static void every_name_is_known_in_any_case(void **state)
{
    (void)state;
    for (unsigned id = 1; id < FIELD_ID_COUNT; id++) {
        struct bytes name = field_id_name((enum field_id)id);
        char upper[32];
        assert_true(name.size < sizeof upper);
        for (size_t i = 0; i < name.size; i++) {
            bool is_letter = name.data[i] >= 'a' && name.data[i] <= 'z';
            upper[i] = is_letter ? (char)(name.data[i] & ~0x20) : name.data[i];
        }
        assert_int_equal(field_id_of(name), id);
        assert_int_equal(field_id_of(bytes_make(upper, name.size)), id);
    }
}

static void a_name_with_one_other_byte_is_another_name(void **state)
{
    (void)state;
    for (unsigned id = 1; id < FIELD_ID_COUNT; id++) {
        struct bytes name = field_id_name((enum field_id)id);
        char copy[32];
        for (size_t i = 0; i < name.size; i++) {
            for (int bit = 0; bit < 8; bit++) {
                memcpy(copy, name.data, name.size);
                copy[i] = (char)((unsigned char)copy[i] ^ 1U << bit);
                bool is_same = bytes_equal_nocase(bytes_make(copy, name.size), name);
                enum field_id found = field_id_of(bytes_make(copy, name.size));
                assert_int_equal(found == (enum field_id)id, is_same);
            }
        }
    }
}

static void unknown_names_have_no_id(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        "x",
                                        "ta",
                                        "hose",
                                        "accept",
                                        "cookies",
                                        "hosts",
                                        "pragmata",
                                        "x-foobar-baz",
                                        "content_length",
                                        "a-name-that-is-longer-than-all-the-others-we-know"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_int_equal(field_id_of(bytes_of(names[i])), FIELD_OTHER);
    }
}

static void tokens_are_found_in_lists_over_several_lines(void **state)
{
    (void)state;
    struct field items[] = {
        {BYTES("Connection"), BYTES("keep-alive,, Foo\t"), FIELD_CONNECTION},
        {BYTES("Via"), BYTES("upgrade"), FIELD_VIA},
        {BYTES("connection"), BYTES("UPGRADE"), FIELD_CONNECTION},
    };
    struct fields fields = {items, COUNT_OF(items)};
    assert_true(fields_has_token(&fields, FIELD_CONNECTION, BYTES("foo")));
    assert_true(fields_has_token(&fields, FIELD_CONNECTION, BYTES("upgrade")));
    assert_false(fields_has_token(&fields, FIELD_CONNECTION, BYTES("")));
    assert_false(fields_has_token(&fields, FIELD_CONNECTION, BYTES("keep")));
    assert_ptr_equal(fields_find(&fields, FIELD_VIA), &items[1]);
    assert_ptr_equal(fields_find_name(&fields, BYTES("CONNECTION")), &items[0]);
    assert_null(fields_find(&fields, FIELD_HOST));
}

static void methods_compare_with_case(void **state)
{
    (void)state;
    enum method method;
    for (unsigned i = 0; i < METHOD_COUNT; i++) {
        assert_true(method_of(method_text((enum method)i), &method));
        assert_int_equal(method, i);
        assert_true(!method_is_safe(method) || method_is_idempotent(method));
    }
    assert_false(method_of(BYTES("get"), &method));
    assert_false(method_of(BYTES("GETS"), &method));
    assert_false(method_of(BYTES(""), &method));
}

static bool is_among(unsigned byte, const char *set)
{
    return byte != 0 && strchr(set, (int)byte) != NULL;
}

static void classes_of_bytes_follow_the_grammar(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool is_digit = byte >= '0' && byte <= '9';
        bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        bool is_alnum = is_digit || is_letter;
        char c = (char)byte;
        assert_int_equal(token_is(c, TOKEN_TCHAR), is_alnum || is_among(byte, "!#$%&'*+-.^_`|~"));
        assert_int_equal(token_is(c, TOKEN_TARGET), byte > 0x20 && byte < 0x7f && byte != '#');
        assert_int_equal(token_is(c, TOKEN_HOST), is_alnum || is_among(byte, "-._~!$&'()*+,;="));
        assert_int_equal(token_is(c, TOKEN_HEX), is_digit || is_among(byte, "abcdefABCDEF"));
        assert_int_equal(token_is(c, TOKEN_CONTROL), (byte < 0x20 && byte != '\t') || byte == 0x7f);
        bool is_quoted =
            byte == '\t' || (byte >= 0x20 && byte != '"' && byte != '\\' && byte != 0x7f);
        assert_int_equal(token_is(c, TOKEN_QUOTED), is_quoted);
    }
}

/* Every byte at every place of a run that is longer than a word, alone and behind a tab. */
static void scan_finds_the_first_control_wherever_it_stands(void **state)
{
    (void)state;
    char text[21];
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < sizeof text; at++) {
            memset(text, 0xe9, sizeof text);
            text[at / 2] = '\t';
            text[at] = (char)byte;
            size_t expected = token_is((char)byte, TOKEN_CONTROL) ? at : sizeof text;
            assert_int_equal(scan_text(text, 0, sizeof text), expected);
        }
    }
}

static void every_reason_has_a_label_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < REJECT_REASON_COUNT; i++) {
        struct reject reject = reject_request((enum reject_reason)i);
        assert_true(reject.status >= 300);
        assert_true(reject.status < 600);
        assert_int_equal(reject_response((enum reject_reason)i).status, 502);
        for (unsigned j = 0; j < i; j++) {
            assert_string_not_equal(reject_label((enum reject_reason)i),
                                    reject_label((enum reject_reason)j));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_is_known_in_any_case),
        cmocka_unit_test(a_name_with_one_other_byte_is_another_name),
        cmocka_unit_test(unknown_names_have_no_id),
        cmocka_unit_test(tokens_are_found_in_lists_over_several_lines),
        cmocka_unit_test(methods_compare_with_case),
        cmocka_unit_test(classes_of_bytes_follow_the_grammar),
        cmocka_unit_test(scan_finds_the_first_control_wherever_it_stands),
        cmocka_unit_test(every_reason_has_a_label_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "canary/incident/access_lines.h"
#include "canary/incident/escape.h"
#include "canary/incident/failure_line.h"
#include "proxy/base/check.h"

#include <stdlib.h>
#include <string.h>

#define REPLACED "\xef\xbf\xbd"

typedef void escape_function(struct buf *out, struct bytes text);

static void expect_escaped(escape_function *escape, struct bytes text, const char *wanted)
{
    struct buf out;
    buf_init(&out, 64 * 1024);
    escape(&out, text);
    (void)buf_append_byte(&out, '\0');
    assert_string_equal(buf_bytes(&out).data, wanted);
    buf_finish(&out);
}

static void markdown_sees_text_and_nothing_else(void **state)
{
    (void)state;
    expect_escaped(escape_markdown, BYTES("<script>"), "&#60;script&#62;");
    expect_escaped(escape_markdown, BYTES("[x](javascript:a)"), "&#91;x&#93;(javascript:a)");
    expect_escaped(escape_markdown, BYTES("a|b"), "a&#124;b");
    expect_escaped(escape_markdown, BYTES("**b** `c` _d_ e_f"),
                   "&#42;&#42;b&#42;&#42; &#96;c&#96; &#95;d&#95; e_f");
    expect_escaped(escape_markdown, BYTES("http://x"), "http&#58;//x");
    expect_escaped(escape_markdown, BYTES("(WWW.x.test"), "(WWW&#46;x.test");
    expect_escaped(escape_markdown, BYTES("ww.x"), "ww.x");
    expect_escaped(escape_markdown, BYTES("&amp;\\"), "&#38;amp;&#92;");
    expect_escaped(escape_markdown, BYTES("a\r\n# b"), "a  &#35; b");
}

static void xml_sees_text_and_nothing_else(void **state)
{
    (void)state;
    expect_escaped(escape_xml, BYTES("<a b='c'>&\"]]>"),
                   "&#60;a b=&#39;c&#39;&#62;&#38;&#34;]]&#62;");
    expect_escaped(escape_xml, bytes_make("a\0b\x0b", 4), "a b ");
}

static void what_terminals_obey_does_not_pass(void **state)
{
    (void)state;
    static escape_function *const escapes[] = {escape_markdown, escape_xml};
    for (size_t i = 0; i < COUNT_OF(escapes); i++) {
        expect_escaped(escapes[i], BYTES("\x1b]0;x\x07"), i == 0 ? " &#93;0;x " : " ]0;x ");
        expect_escaped(escapes[i], BYTES("a\xc2\x9b"), "a" REPLACED);     /* C1: CSI */
        expect_escaped(escapes[i], BYTES("\xe2\x80\xae"), REPLACED);      /* right to left */
        expect_escaped(escapes[i], BYTES("\xe2\x81\xa6"), REPLACED);      /* isolate */
        expect_escaped(escapes[i], BYTES("\xff\xc3"), REPLACED REPLACED); /* no UTF-8 */
        expect_escaped(escapes[i], BYTES("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
    }
}

static void logs_lose_their_colours_and_keep_their_lines(void **state)
{
    (void)state;
    expect_escaped(escape_log, BYTES("\x1b[31;1mError\x1b[0m: x\r\n\x1b[2Jb\n"), "Error: x \nb\n");
    expect_escaped(escape_log, BYTES("\x1b]0;title\x07 \x1b["), " ]0;title   [\n");
    expect_escaped(escape_log, BYTES("\x1b[12\x01m"), " [12 m\n");
    expect_escaped(escape_log, BYTES("gr\xc3\xbc\xc3 <b>"), "gr\xc3\xbc" REPLACED " <b>\n");
    expect_escaped(escape_log, BYTES(""), "");
}

static void code_cannot_be_left(void **state)
{
    (void)state;
    expect_escaped(escape_code, BYTES("```\n</pre>\n\n# x"),
                   "    ```\n    </pre>\n    \n    # x\n");
}

static void queries_are_not_in_the_lines_of_the_access_log(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 4096);
    access_lines_append(&out,
                        BYTES("old\n{\"target\":\"/a?b=s3cret\\\"s3cret\",\"x\":\"y\"}\n"
                              "\"GET /c#s3cret HTTP/1.1\" 500 \"-\"\nhalf"),
                        2);
    (void)buf_append_byte(&out, '\0');
    assert_string_equal(buf_bytes(&out).data, "{\"target\":\"/a?[redacted]\",\"x\":\"y\"}\n"
                                              "\"GET /c?[redacted]\" 500 \"-\"\n");
    buf_finish(&out);
}

static void line_of_a_failure_is_one_line_of_ascii_controls_escaped(void **state)
{
    (void)state;
    char *line = failure_line_make(&(struct failure_record){.method = BYTES("GET"),
                                                            .path = BYTES("/\r\n\x1b\xc2\x9b\xff"),
                                                            .kind = METRIC_FAILURE_COUNT,
                                                            .queue_us = -1});
    assert_non_null(line);
    assert_non_null(strstr(line, "\"path\":\"/\\r\\n\\u001b\\u009b\\ufffd\""));
    assert_non_null(strstr(line, "\"queue_ms\":null"));
    assert_non_null(strstr(line, "\"stable\":null"));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(markdown_sees_text_and_nothing_else),
        cmocka_unit_test(xml_sees_text_and_nothing_else),
        cmocka_unit_test(what_terminals_obey_does_not_pass),
        cmocka_unit_test(logs_lose_their_colours_and_keep_their_lines),
        cmocka_unit_test(code_cannot_be_left),
        cmocka_unit_test(queries_are_not_in_the_lines_of_the_access_log),
        cmocka_unit_test(line_of_a_failure_is_one_line_of_ascii_controls_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

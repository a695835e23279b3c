/* The PROXY header: what it says is taken to the letter, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/base/check.h"
#include "proxy/io/proxy_protocol.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static enum proxy_scan scan(struct bytes in, struct proxy_ends *ret_ends)
{
    size_t size = 0;
    enum proxy_scan result = proxy_protocol_scan(in, ret_ends, &size);
    if (result == PROXY_SCAN_DONE) {
        assert_in_range(size, 1, in.size);
    }
    return result;
}

static void expect_client(const struct proxy_ends *ends, const char *client, unsigned port)
{
    char text[IP_TEXT_SIZE];
    assert_true(ends->is_known);
    ip_format(&ends->client, text);
    assert_string_equal(text, client);
    assert_int_equal(ends->client_port, port);
}

/* ---- version 1 ---- */

static void a_line_names_the_client_and_what_it_connected_to(void **state)
{
    (void)state;
    const struct {
        const char *line;
        const char *client;
        const char *server;
    } cases[] = {
        {"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", "192.0.2.7", "198.51.100.1"},
        {"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n", "2001:db8::7", "2001:db8::1"},
        {"PROXY TCP6 ::ffff:192.0.2.7 ::1 56324 443\r\n", "192.0.2.7", "::1"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char text[IP_TEXT_SIZE];
        struct proxy_ends ends;
        assert_int_equal(scan(bytes_of(cases[i].line), &ends), PROXY_SCAN_DONE);
        expect_client(&ends, cases[i].client, 56324);
        ip_format(&ends.server, text);
        assert_string_equal(text, cases[i].server);
        assert_int_equal(ends.server_port, 443);
    }
}

static void what_follows_the_header_is_left_alone(void **state)
{
    (void)state;
    static const char line[] = "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n";
    char all[128];
    struct proxy_ends ends;
    size_t size = 0;
    (void)snprintf(all, sizeof all, "%sGET / HTTP/1.1\r\n", line);

    assert_int_equal(proxy_protocol_scan(bytes_of(all), &ends, &size), PROXY_SCAN_DONE);

    assert_int_equal(size, sizeof line - 1);
}

static void unknown_speaks_of_nobody(void **state)
{
    (void)state;
    const char *const lines[] = {"PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 what ever 1 2 3\r\n"};
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct proxy_ends ends = {.is_known = true};
        assert_int_equal(scan(bytes_of(lines[i]), &ends), PROXY_SCAN_DONE);
        assert_false(ends.is_known);
    }
}

static void malformed_lines_are_refused(void **state)
{
    (void)state;
    const char *const lines[] = {
        "GET / HTTP/1.1\r\n",
        "proxy TCP4 192.0.2.7 192.0.2.1 1 2\r\n",
        "PROXY\r\n",
        "PROXY  TCP4 192.0.2.7 192.0.2.1 1 2\r\n",
        "PROXY TCP4 192.0.2.7  192.0.2.1 1 2\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1 2 \r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1 2 3\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1 65536\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1 99999\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1 -2\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1 02\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1 \r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\n\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\r\n",
        "PROXY TCP4 192.0.2 192.0.2.1 1 2\r\n",
        "PROXY TCP4 192.0.2.256 192.0.2.1 1 2\r\n",
        "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
        "PROXY TCP6 192.0.2.7 192.0.2.1 1 2\r\n",
        "PROXY TCP6 [2001:db8::7] 2001:db8::1 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 2001:db8::1 1 2\r\n",
        "PROXY TCP5 192.0.2.7 192.0.2.1 1 2\r\n",
        "PROXY UDP4 192.0.2.7 192.0.2.1 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        struct proxy_ends ends;
        if (scan(bytes_of(lines[i]), &ends) != PROXY_SCAN_REFUSED) {
            fail_msg("taken: %s", lines[i]);
        }
    }
}

static void a_line_that_does_not_end_is_refused_at_its_limit(void **state)
{
    (void)state;
    char line[128] = "PROXY UNKNOWN ";
    struct proxy_ends ends;
    memset(line + 14, 'x', sizeof line - 14);

    assert_int_equal(scan(bytes_make(line, 106), &ends), PROXY_SCAN_MORE);
    assert_int_equal(scan(bytes_make(line, 107), &ends), PROXY_SCAN_REFUSED);
    memcpy(line + 105, "\r\n", 2);
    assert_int_equal(scan(bytes_make(line, 107), &ends), PROXY_SCAN_DONE);
    memcpy(line + 105, "x\r\n", 3);
    assert_int_equal(scan(bytes_make(line, 108), &ends), PROXY_SCAN_REFUSED);
}

/* ---- version 2 ---- */

struct header {
    char data[2 * PROXY_PROTOCOL_MAX];
    size_t size;
};

static struct header binary(unsigned command, unsigned family, struct bytes rest)
{
    struct header header = {.size = 16 + rest.size};
    memcpy(header.data, SIGNATURE, 12);
    header.data[12] = (char)command;
    header.data[13] = (char)family;
    header.data[14] = (char)(rest.size >> 8);
    header.data[15] = (char)(rest.size & 0xff);
    if (rest.size > 0) {
        memcpy(header.data + 16, rest.data, rest.size);
    }
    return header;
}

#define TCP4 "\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"

static enum proxy_scan scan_header(const struct header *header, struct proxy_ends *ret_ends)
{
    return scan(bytes_make(header->data, header->size), ret_ends);
}

static void a_binary_header_names_the_client(void **state)
{
    (void)state;
    struct proxy_ends ends;
    struct header v4 = binary(0x21, 0x11, BYTES(TCP4));
    struct header v6 = binary(0x21, 0x21,
                              BYTES("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
                                    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xdc\x04\x01\xbb"));

    assert_int_equal(scan_header(&v4, &ends), PROXY_SCAN_DONE);
    expect_client(&ends, "192.0.2.7", 56324);
    assert_int_equal(scan_header(&v6, &ends), PROXY_SCAN_DONE);
    expect_client(&ends, "2001:db8::7", 56324);
    assert_int_equal(ends.server_port, 443);
}

static void options_are_passed_over_and_have_to_fit(void **state)
{
    (void)state;
    const struct {
        struct bytes options;
        enum proxy_scan result;
    } cases[] = {
        {BYTES("\x04\0\0"), PROXY_SCAN_DONE},
        {BYTES("\x02\0\x01h\x04\0\x03xyz"), PROXY_SCAN_DONE},
        {BYTES("\x04"), PROXY_SCAN_REFUSED},
        {BYTES("\x04\0"), PROXY_SCAN_REFUSED},
        {BYTES("\x04\0\x01"), PROXY_SCAN_REFUSED},
        {BYTES("\x04\xff\xffx"), PROXY_SCAN_REFUSED},
        {BYTES("\x03\0\x03xyz"), PROXY_SCAN_REFUSED},
        {BYTES("\x03\0\x04\0\0\0\0"), PROXY_SCAN_REFUSED},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char rest[64] = TCP4;
        struct proxy_ends ends;
        memcpy(rest + 12, cases[i].options.data, cases[i].options.size);
        struct header header = binary(0x21, 0x11, bytes_make(rest, 12 + cases[i].options.size));
        if (scan_header(&header, &ends) != cases[i].result) {
            fail_msg("case %zu", i);
        }
    }
}

/* The sum was made by another program: crc32c of the header with zeros in its place. */
static void a_right_checksum_is_accepted(void **state)
{
    (void)state;
    struct proxy_ends ends;
    struct header header = binary(0x21, 0x11,
                                  BYTES(TCP4 "\x03\0\x04"
                                             "\x54\x8e\x28\xff"));
    assert_int_equal(scan_header(&header, &ends), PROXY_SCAN_DONE);
    header.data[17] ^= 1;
    assert_int_equal(scan_header(&header, &ends), PROXY_SCAN_REFUSED);
}

static void local_and_other_transports_speak_of_nobody(void **state)
{
    (void)state;
    static const char unix_ends[216] = "/run/some";
    const struct header headers[] = {
        binary(0x20, 0x00, BYTES("")),
        binary(0x20, 0x11, BYTES("\x01\x02")), /* unread, so never wrong */
        binary(0x21, 0x00, BYTES("")),
        binary(0x21, 0x12, BYTES(TCP4)),
        binary(0x21, 0x31, bytes_make(unix_ends, sizeof unix_ends)),
    };
    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        struct proxy_ends ends = {.is_known = true};
        assert_int_equal(scan_header(&headers[i], &ends), PROXY_SCAN_DONE);
        assert_false(ends.is_known);
    }
}

static void malformed_binary_headers_are_refused(void **state)
{
    (void)state;
    static const char long_options[PROXY_PROTOCOL_MAX] = TCP4;
    const struct header headers[] = {
        binary(0x22, 0x11, BYTES(TCP4)), /* no such command */
        binary(0x11, 0x11, BYTES(TCP4)), /* no such version */
        binary(0x21, 0x41, BYTES(TCP4)), /* no such family */
        binary(0x21, 0x13, BYTES(TCP4)), /* no such transport */
        binary(0x21, 0x11, BYTES("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b")),
        binary(0x21, 0x21, BYTES(TCP4)),
        binary(0x21, 0x31, BYTES(TCP4)),
        binary(0x21, 0x11, bytes_make(long_options, sizeof long_options)),
        binary(0x20, 0x00, bytes_make(long_options, sizeof long_options)),
    };
    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        struct proxy_ends ends;
        if (scan_header(&headers[i], &ends) != PROXY_SCAN_REFUSED) {
            fail_msg("taken: %zu", i);
        }
    }
}

static void a_header_too_long_is_refused_before_it_is_there(void **state)
{
    (void)state;
    struct header header = binary(0x20, 0x00, BYTES(""));
    struct proxy_ends ends;
    header.data[14] = (char)0xff;
    assert_int_equal(scan_header(&header, &ends), PROXY_SCAN_REFUSED);
}

static void a_header_cut_anywhere_waits_for_the_rest(void **state)
{
    (void)state;
    struct header header = binary(0x21, 0x11, BYTES(TCP4));
    const struct bytes whole[] = {BYTES("PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n"),
                                  bytes_make(header.data, header.size)};
    for (size_t i = 0; i < COUNT_OF(whole); i++) {
        struct proxy_ends ends;
        for (size_t size = 0; size < whole[i].size; size++) {
            assert_int_equal(scan(bytes_slice(whole[i], 0, size), &ends), PROXY_SCAN_MORE);
        }
        assert_int_equal(scan(whole[i], &ends), PROXY_SCAN_DONE);
    }
}

/* ---- writing ---- */

static struct proxy_ends ends_of(const char *client, const char *server)
{
    struct proxy_ends ends = {.client_port = 56324, .server_port = 443, .is_known = true};
    assert_true(ip_parse(bytes_of(client), &ends.client));
    assert_true(ip_parse(bytes_of(server), &ends.server));
    return ends;
}

static void what_is_written_reads_as_what_was_meant(void **state)
{
    (void)state;
    const struct proxy_ends cases[] = {
        ends_of("192.0.2.7", "198.51.100.1"),
        ends_of("2001:db8::7", "2001:db8::1"),
        ends_of("192.0.2.7", "2001:db8::1"),
        ends_of("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "255.255.255.255"),
        {.is_known = false},
    };
    for (size_t i = 0; i < 2 * COUNT_OF(cases); i++) {
        const struct proxy_ends *meant = &cases[i / 2];
        char out[PROXY_PROTOCOL_OUT_MAX];
        struct proxy_ends ends;
        size_t size =
            proxy_protocol_write(i % 2 == 0 ? PROXY_PROTOCOL_V1 : PROXY_PROTOCOL_V2, meant, out);
        assert_int_equal(scan(bytes_make(out, size), &ends), PROXY_SCAN_DONE);
        assert_int_equal(ends.is_known, meant->is_known);
        assert_true(ip_equal(&ends.client, &meant->client));
        assert_true(ip_equal(&ends.server, &meant->server));
        assert_int_equal(ends.client_port, meant->client_port);
        assert_int_equal(ends.server_port, meant->server_port);
    }
}

static void the_line_is_the_one_of_the_specification(void **state)
{
    (void)state;
    struct proxy_ends ends = ends_of("192.0.2.7", "198.51.100.1");
    char out[PROXY_PROTOCOL_OUT_MAX];
    size_t size = proxy_protocol_write(PROXY_PROTOCOL_V1, &ends, out);
    assert_true(bytes_equal(bytes_make(out, size),
                            BYTES("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_names_the_client_and_what_it_connected_to),
        cmocka_unit_test(what_follows_the_header_is_left_alone),
        cmocka_unit_test(unknown_speaks_of_nobody),
        cmocka_unit_test(malformed_lines_are_refused),
        cmocka_unit_test(a_line_that_does_not_end_is_refused_at_its_limit),
        cmocka_unit_test(a_binary_header_names_the_client),
        cmocka_unit_test(options_are_passed_over_and_have_to_fit),
        cmocka_unit_test(a_right_checksum_is_accepted),
        cmocka_unit_test(local_and_other_transports_speak_of_nobody),
        cmocka_unit_test(malformed_binary_headers_are_refused),
        cmocka_unit_test(a_header_too_long_is_refused_before_it_is_there),
        cmocka_unit_test(a_header_cut_anywhere_waits_for_the_rest),
        cmocka_unit_test(what_is_written_reads_as_what_was_meant),
        cmocka_unit_test(the_line_is_the_one_of_the_specification),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

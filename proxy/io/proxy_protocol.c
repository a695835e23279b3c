#include "proxy/io/proxy_protocol.h"

#include <stdio.h>

#include "proxy/base/check.h"

enum {
    LINE_MAX_SIZE = 107, /* of version 1, CRLF included */
    SIGNATURE_SIZE = 12,
    FIXED_SIZE = 16, /* signature, command, family and length of version 2 */
    VERSION_2 = 0x20,
    COMMAND_LOCAL = 0,
    COMMAND_PROXY = 1,
    FAMILY_TCP4 = 0x11,
    FAMILY_TCP6 = 0x21,
    TCP4_SIZE = 12,
    TCP6_SIZE = 36,
    UNIX_SIZE = 216,
    OPTION_HEAD = 3, /* type and length */
    OPTION_CRC32C = 3,
    CRC32C_SIZE = 4,
};

static const char signature[SIGNATURE_SIZE + 1] = "\r\n\r\n\0\r\nQUIT\n";

static unsigned byte_at(struct bytes in, size_t at)
{
    CHECK(at < in.size);
    return (unsigned char)in.data[at];
}

static unsigned pair_at(struct bytes in, size_t at)
{
    return byte_at(in, at) << 8 | byte_at(in, at + 1);
}

/* ---- version 1 ---- */

/* 0 to 65535, without a leading zero: it could be meant as octal. */
static bool read_port(struct bytes text, uint16_t *ret_port)
{
    unsigned port = 0;
    bool has_zero = text.size > 1 && text.data[0] == '0';
    if (text.size == 0 || text.size > 5 || has_zero) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        port = port * 10 + (unsigned)(text.data[i] - '0');
    }
    *ret_port = (uint16_t)port;
    return port <= UINT16_MAX;
}

static bool read_address(struct bytes text, bool is_v6, struct ip *ret_ip)
{
    bool has_colon = bytes_find(text, ':') < text.size;
    bool has_bracket = bytes_find(text, '[') < text.size;
    return has_colon == is_v6 && !has_bracket && ip_parse(text, ret_ip);
}

/* The line without "PROXY " and CRLF. */
static bool read_line(struct bytes line, struct proxy_ends *ret_ends)
{
    struct proxy_ends ends = {.is_known = true};
    struct bytes words[5];
    size_t count = 0;
    if (bytes_starts_with(line, BYTES("UNKNOWN")) && (line.size == 7 || line.data[7] == ' ')) {
        *ret_ends = (struct proxy_ends){.is_known = false};
        return true;
    }
    for (size_t start = 0; start <= line.size; count++) {
        struct bytes rest = bytes_slice(line, start, line.size - start);
        size_t size = bytes_find(rest, ' ');
        if (count == COUNT_OF(words)) {
            return false;
        }
        words[count] = bytes_slice(rest, 0, size);
        start += size + 1;
    }
    bool is_v6 = bytes_equal(words[0], BYTES("TCP6"));
    bool is_tcp = is_v6 || bytes_equal(words[0], BYTES("TCP4"));
    if (!is_tcp || count != COUNT_OF(words) || !read_address(words[1], is_v6, &ends.client) ||
        !read_address(words[2], is_v6, &ends.server) || !read_port(words[3], &ends.client_port) ||
        !read_port(words[4], &ends.server_port)) {
        return false;
    }
    *ret_ends = ends;
    return true;
}

static enum proxy_scan scan_line(struct bytes in, struct proxy_ends *ret_ends, size_t *ret_size)
{
    const struct bytes begin = BYTES("PROXY ");
    size_t known = in.size < begin.size ? in.size : begin.size;
    if (!bytes_equal(bytes_slice(in, 0, known), bytes_slice(begin, 0, known))) {
        return PROXY_SCAN_REFUSED;
    }
    struct bytes line = bytes_slice(in, 0, in.size < LINE_MAX_SIZE ? in.size : LINE_MAX_SIZE);
    size_t end = bytes_find(line, '\r');
    if (end + 1 >= line.size) {
        return in.size < LINE_MAX_SIZE ? PROXY_SCAN_MORE : PROXY_SCAN_REFUSED;
    }
    if (line.data[end + 1] != '\n' ||
        !read_line(bytes_slice(line, begin.size, end - begin.size), ret_ends)) {
        return PROXY_SCAN_REFUSED;
    }
    *ret_size = end + 2;
    return PROXY_SCAN_DONE;
}

/* ---- version 2 ---- */

/* CRC-32C (Castagnoli, reflected), with the checksum's own four bytes taken as zeros. */
static uint32_t checksum(struct bytes header, size_t at)
{
    uint32_t sum = UINT32_MAX;
    for (size_t i = 0; i < header.size; i++) {
        bool is_own = i >= at && i < at + CRC32C_SIZE;
        sum ^= is_own ? 0 : byte_at(header, i);
        for (int bit = 0; bit < 8; bit++) {
            sum = sum >> 1 ^ ((sum & 1) != 0 ? 0x82f63b78u : 0);
        }
    }
    return ~sum;
}

/* The options fill the header exactly, and its checksum is right where it has one. */
static bool are_options_sound(struct bytes header, size_t at)
{
    while (at < header.size) {
        if (header.size - at < OPTION_HEAD) {
            return false;
        }
        size_t size = pair_at(header, at + 1);
        size_t value = at + OPTION_HEAD;
        if (size > header.size - value) {
            return false;
        }
        if (byte_at(header, at) == OPTION_CRC32C) {
            if (size != CRC32C_SIZE) {
                return false;
            }
            uint32_t said =
                (uint32_t)pair_at(header, value) << 16 | (uint32_t)pair_at(header, value + 2);
            if (said != checksum(header, value)) {
                return false;
            }
        }
        at = value + size;
    }
    return true;
}

static void take_v4(struct bytes in, size_t at, struct ip *ret_ip)
{
    *ret_ip = (struct ip){.bytes = {[10] = 0xff, [11] = 0xff}};
    memcpy(ret_ip->bytes + 12, in.data + at, 4);
}

/* The addresses of TCP; other transports that exist have none for us. False: no such family, or no
 * room for what it needs. `ret_size` is what the addresses take. */
static bool read_family(struct bytes header, struct proxy_ends *ends, size_t *ret_size)
{
    static const size_t sizes[] = {0, TCP4_SIZE, TCP6_SIZE, UNIX_SIZE};
    unsigned family = byte_at(header, SIGNATURE_SIZE + 1);
    if (family >> 4 >= COUNT_OF(sizes) || (family & 15) > 2) {
        return false;
    }
    size_t size = sizes[family >> 4];
    if (header.size - FIXED_SIZE < size) {
        return false;
    }
    *ret_size = size;
    *ends = (struct proxy_ends){.is_known = family == FAMILY_TCP4 || family == FAMILY_TCP6};
    if (family == FAMILY_TCP4) {
        take_v4(header, FIXED_SIZE, &ends->client);
        take_v4(header, FIXED_SIZE + 4, &ends->server);
    } else if (family == FAMILY_TCP6) {
        memcpy(ends->client.bytes, header.data + FIXED_SIZE, sizeof ends->client.bytes);
        memcpy(ends->server.bytes, header.data + FIXED_SIZE + 16, sizeof ends->server.bytes);
    }
    if (ends->is_known) {
        ends->client_port = (uint16_t)pair_at(header, FIXED_SIZE + size - 4);
        ends->server_port = (uint16_t)pair_at(header, FIXED_SIZE + size - 2);
    }
    return true;
}

static enum proxy_scan scan_binary(struct bytes in, struct proxy_ends *ret_ends, size_t *ret_size)
{
    size_t known = in.size < SIGNATURE_SIZE ? in.size : SIGNATURE_SIZE;
    if (memcmp(in.data, signature, known) != 0) {
        return PROXY_SCAN_REFUSED;
    }
    unsigned command = in.size > SIGNATURE_SIZE ? byte_at(in, SIGNATURE_SIZE) ^ VERSION_2 : 0;
    if (command > COMMAND_PROXY) {
        return PROXY_SCAN_REFUSED;
    }
    if (in.size < FIXED_SIZE) {
        return PROXY_SCAN_MORE;
    }
    size_t size = FIXED_SIZE + pair_at(in, FIXED_SIZE - 2);
    if (size > PROXY_PROTOCOL_MAX) {
        return PROXY_SCAN_REFUSED;
    }
    if (in.size < size) {
        return PROXY_SCAN_MORE;
    }
    struct bytes header = bytes_slice(in, 0, size);
    struct proxy_ends ends = {.is_known = false};
    size_t addresses = 0;
    /* Of LOCAL everything behind the length is to be passed over unread. */
    if (command == COMMAND_PROXY && (!read_family(header, &ends, &addresses) ||
                                     !are_options_sound(header, FIXED_SIZE + addresses))) {
        return PROXY_SCAN_REFUSED;
    }
    *ret_ends = ends;
    *ret_size = size;
    return PROXY_SCAN_DONE;
}

enum proxy_scan proxy_protocol_scan(struct bytes in, struct proxy_ends *ret_ends, size_t *ret_size)
{
    if (in.size == 0) {
        return PROXY_SCAN_MORE;
    }
    return in.data[0] == signature[0] ? scan_binary(in, ret_ends, ret_size)
                                      : scan_line(in, ret_ends, ret_size);
}

/* ---- writing ---- */

/* In the notation of IPv6 also what is an IPv4 address: both ends of a header are of one family. */
static void format_v6(const struct ip *ip, char text[IP_TEXT_SIZE])
{
    if (ip_is_v4(ip)) {
        char dotted[IP_TEXT_SIZE];
        ip_format(ip, dotted);
        (void)snprintf(text, IP_TEXT_SIZE, "::ffff:%.15s", dotted);
    } else {
        ip_format(ip, text);
    }
}

static size_t write_line(const struct proxy_ends *ends, char out[PROXY_PROTOCOL_OUT_MAX])
{
    static const char unknown[] = "PROXY UNKNOWN\r\n";
    char client[IP_TEXT_SIZE];
    char server[IP_TEXT_SIZE];
    if (!ends->is_known) {
        memcpy(out, unknown, sizeof unknown - 1);
        return sizeof unknown - 1;
    }
    bool is_v4 = ip_is_v4(&ends->client) && ip_is_v4(&ends->server);
    if (is_v4) {
        ip_format(&ends->client, client);
        ip_format(&ends->server, server);
    } else {
        format_v6(&ends->client, client);
        format_v6(&ends->server, server);
    }
    char line[PROXY_PROTOCOL_OUT_MAX + 1];
    int size = snprintf(line, sizeof line, "PROXY %s %s %s %u %u\r\n", is_v4 ? "TCP4" : "TCP6",
                        client, server, (unsigned)ends->client_port, (unsigned)ends->server_port);
    CHECK(size > 0);
    CHECK((size_t)size < sizeof line);
    memcpy(out, line, (size_t)size);
    return (size_t)size;
}

static void put_pair(char *out, unsigned value)
{
    out[0] = (char)(value >> 8 & 0xff);
    out[1] = (char)(value & 0xff);
}

static size_t write_binary(const struct proxy_ends *ends, char out[PROXY_PROTOCOL_OUT_MAX])
{
    bool is_v4 = ip_is_v4(&ends->client) && ip_is_v4(&ends->server);
    size_t size = !ends->is_known ? 0 : is_v4 ? TCP4_SIZE : TCP6_SIZE;
    size_t width = is_v4 ? 4 : 16;
    memcpy(out, signature, SIGNATURE_SIZE);
    out[SIGNATURE_SIZE] = (char)(VERSION_2 | (ends->is_known ? COMMAND_PROXY : COMMAND_LOCAL));
    out[SIGNATURE_SIZE + 1] = (char)(!ends->is_known ? 0 : is_v4 ? FAMILY_TCP4 : FAMILY_TCP6);
    put_pair(out + FIXED_SIZE - 2, (unsigned)size);
    if (ends->is_known) {
        memcpy(out + FIXED_SIZE, ends->client.bytes + 16 - width, width);
        memcpy(out + FIXED_SIZE + width, ends->server.bytes + 16 - width, width);
        put_pair(out + FIXED_SIZE + size - 4, ends->client_port);
        put_pair(out + FIXED_SIZE + size - 2, ends->server_port);
    }
    return FIXED_SIZE + size;
}

size_t proxy_protocol_write(enum proxy_protocol version, const struct proxy_ends *ends,
                            char out[PROXY_PROTOCOL_OUT_MAX])
{
    CHECK(version != PROXY_PROTOCOL_NONE);
    return version == PROXY_PROTOCOL_V1 ? write_line(ends, out) : write_binary(ends, out);
}

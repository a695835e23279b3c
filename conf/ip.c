#include "conf/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum { V4_PREFIX_SIZE = 12, V4_PREFIX_BITS = 8 * V4_PREFIX_SIZE, IP_BITS = 128 };

static const uint8_t v4_prefix[V4_PREFIX_SIZE] = {[10] = 0xff, [11] = 0xff};

bool ip_is_v4(const struct ip *ip)
{
    return memcmp(ip->bytes, v4_prefix, V4_PREFIX_SIZE) == 0;
}

bool ip_parse(struct bytes text, struct ip *ret_ip)
{
    if (text.size >= 2 && text.data[0] == '[' && text.data[text.size - 1] == ']') {
        text = bytes_slice(text, 1, text.size - 2);
        if (bytes_find(text, ':') == text.size) {
            return false;
        }
    }
    char terminated[IP_TEXT_SIZE];
    if (text.size == 0 || text.size >= sizeof terminated || bytes_find(text, '\0') < text.size) {
        return false;
    }
    memcpy(terminated, text.data, text.size);
    terminated[text.size] = '\0';
    struct ip ip = {{0}};
    if (inet_pton(AF_INET, terminated, ip.bytes + V4_PREFIX_SIZE) == 1) {
        memcpy(ip.bytes, v4_prefix, V4_PREFIX_SIZE);
    } else if (inet_pton(AF_INET6, terminated, ip.bytes) != 1) {
        return false;
    }
    *ret_ip = ip;
    return true;
}

bool ip_from_socket(const struct sockaddr *address, struct ip *ret_ip)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        memcpy(ret_ip->bytes, v4_prefix, V4_PREFIX_SIZE);
        memcpy(ret_ip->bytes + V4_PREFIX_SIZE, &v4.sin_addr, sizeof v4.sin_addr);
        return true;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        memcpy(ret_ip->bytes, &v6.sin6_addr, sizeof ret_ip->bytes);
        return true;
    }
    return false;
}

bool ip_is_loopback(const struct ip *ip)
{
    static const struct ip v6_loopback = {.bytes = {[15] = 1}};
    return ip_is_v4(ip) ? ip->bytes[V4_PREFIX_SIZE] == 127 : ip_equal(ip, &v6_loopback);
}

bool ip_is_any(const struct ip *ip)
{
    static const uint8_t zeros[16];
    return ip_is_v4(ip) ? memcmp(ip->bytes + V4_PREFIX_SIZE, zeros, 4) == 0
                        : memcmp(ip->bytes, zeros, sizeof zeros) == 0;
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static char *put_octet(char *at, unsigned octet)
{
    if (octet >= 100) {
        *at++ = (char)('0' + octet / 100);
    }
    if (octet >= 10) {
        *at++ = (char)('0' + octet / 10 % 10);
    }
    *at++ = (char)('0' + octet % 10);
    return at;
}

/* By hand: inet_ntop goes through sprintf, and this runs once per request. */
static void format_v4(const uint8_t *octets, char *at)
{
    for (size_t i = 0; i < 4; i++) {
        at = put_octet(at, octets[i]);
        *at++ = i < 3 ? '.' : '\0';
    }
}

void ip_format(const struct ip *ip, char text[IP_TEXT_SIZE])
{
    if (ip_is_v4(ip)) {
        format_v4(ip->bytes + V4_PREFIX_SIZE, text);
    } else if (inet_ntop(AF_INET6, ip->bytes, text, IP_TEXT_SIZE) == NULL) {
        text[0] = '\0';
    }
}

/* Compares the first `bits` bits. */
static bool has_prefix(const struct ip *ip, const struct ip *prefix, unsigned bits)
{
    unsigned whole = bits / 8;
    unsigned rest = bits % 8;
    if (memcmp(ip->bytes, prefix->bytes, whole) != 0) {
        return false;
    }
    return rest == 0 || (ip->bytes[whole] ^ prefix->bytes[whole]) >> (8 - rest) == 0;
}

bool ip_range_parse(struct bytes text, struct ip_range *ret_range)
{
    size_t slash = bytes_find(text, '/');
    struct ip_range range = {.bits = IP_BITS};
    if (!ip_parse(bytes_slice(text, 0, slash), &range.first)) {
        return false;
    }
    if (slash < text.size) {
        unsigned offset =
            ip_is_v4(&range.first) && bytes_find(text, ':') == text.size ? V4_PREFIX_BITS : 0;
        uint64_t bits;
        if (!bytes_to_u64(bytes_slice(text, slash + 1, text.size - slash - 1), &bits) ||
            bits > IP_BITS - offset) {
            return false;
        }
        range.bits = (unsigned)bits + offset;
    }
    struct ip masked = {{0}};
    memcpy(masked.bytes, range.first.bytes, range.bits / 8);
    if (range.bits % 8 > 0) {
        masked.bytes[range.bits / 8] =
            (uint8_t)(range.first.bytes[range.bits / 8] & (0xff << (8 - range.bits % 8)));
    }
    if (!ip_equal(&masked, &range.first)) {
        return false;
    }
    *ret_range = range;
    return true;
}

bool ip_range_has(const struct ip_range *range, const struct ip *ip)
{
    bool is_v4_range = range->bits >= V4_PREFIX_BITS && ip_is_v4(&range->first);
    return is_v4_range == ip_is_v4(ip) && has_prefix(ip, &range->first, range->bits);
}

bool ip_ranges_have(const struct ip_range *ranges, size_t range_count, const struct ip *ip)
{
    for (size_t i = 0; i < range_count; i++) {
        if (ip_range_has(&ranges[i], ip)) {
            return true;
        }
    }
    return false;
}

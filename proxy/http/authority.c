#include "proxy/http/authority.h"

#include <arpa/inet.h>

#include "proxy/http/token.h"

enum { IPV6_TEXT_MAX = 45, PORT_MAX = 65535, PORT_DIGITS_MAX = 5 };

/* What stands between the brackets of an IP literal: IPv6address or IPvFuture (RFC 3986
 * section 3.2.2). */
static bool is_ip_literal(struct bytes text)
{
    if (text.size == 0) {
        return false;
    }
    if ((text.data[0] | 0x20) == 'v') {
        size_t dot = bytes_find(text, '.');
        if (dot + 1 >= text.size || dot < 2) {
            return false;
        }
        if (!token_is_all(bytes_slice(text, 1, dot - 1), TOKEN_HEX)) {
            return false;
        }
        for (size_t i = dot + 1; i < text.size; i++) {
            if (!token_is(text.data[i], TOKEN_HOST) && text.data[i] != ':') {
                return false;
            }
        }
        return true;
    }
    if (text.size > IPV6_TEXT_MAX) {
        return false;
    }
    char terminated[IPV6_TEXT_MAX + 1];
    memcpy(terminated, text.data, text.size);
    terminated[text.size] = '\0';
    struct in6_addr address;
    return strlen(terminated) == text.size && inet_pton(AF_INET6, terminated, &address) == 1;
}

static bool is_reg_name(struct bytes host)
{
    for (size_t i = 0; i < host.size; i++) {
        if (token_is(host.data[i], TOKEN_HOST)) {
            continue;
        }
        if (host.data[i] != '%' || host.size - i < 3 || !token_is(host.data[i + 1], TOKEN_HEX) ||
            !token_is(host.data[i + 2], TOKEN_HEX)) {
            return false;
        }
        i += 2;
    }
    return host.size > 0;
}

static bool is_port(struct bytes port)
{
    uint64_t value;
    if (port.size == 0) {
        return true;
    }
    return port.size <= PORT_DIGITS_MAX && bytes_to_u64(port, &value) && value <= PORT_MAX;
}

bool authority_split(struct bytes text, struct authority *ret_authority)
{
    struct authority authority = {{NULL, 0}, {NULL, 0}};
    size_t host_size;
    if (text.size > 0 && text.data[0] == '[') {
        size_t close = bytes_find(text, ']');
        if (close == text.size || !is_ip_literal(bytes_slice(text, 1, close - 1))) {
            return false;
        }
        host_size = close + 1;
    } else {
        host_size = bytes_find(text, ':');
        if (!is_reg_name(bytes_slice(text, 0, host_size))) {
            return false;
        }
    }
    authority.host = bytes_slice(text, 0, host_size);
    if (host_size < text.size) {
        if (text.data[host_size] != ':') {
            return false;
        }
        authority.port = bytes_slice(text, host_size + 1, text.size - host_size - 1);
        if (!is_port(authority.port)) {
            return false;
        }
    }
    *ret_authority = authority;
    return true;
}

bool authority_equal(const struct authority *a, const struct authority *b,
                     struct bytes default_port)
{
    struct bytes a_port = a->port.size > 0 ? a->port : default_port;
    struct bytes b_port = b->port.size > 0 ? b->port : default_port;
    return bytes_equal_nocase(a->host, b->host) && bytes_equal(a_port, b_port);
}

#include "conf/conf_address.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "proxy/base/check.h"

enum { LABEL_MAX = 63, PORT_MAX = 65535, HTTP_PORT = 80, HTTPS_PORT = 443 };

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_label(struct bytes label)
{
    if (label.size == 0 || label.size > LABEL_MAX || label.data[0] == '-' ||
        label.data[label.size - 1] == '-') {
        return false;
    }
    for (size_t i = 0; i < label.size; i++) {
        char lower = byte_lower(label.data[i]);
        if (!is_digit(lower) && !(lower >= 'a' && lower <= 'z') && lower != '-' && lower != '_') {
            return false;
        }
    }
    return true;
}

/* RFC 3986 section 3.2.2 takes what looks like an address for one; resolvers also take 127.1 and
 * 0x7f000001. */
static bool ends_like_address(struct bytes label)
{
    uint64_t number;
    return bytes_to_u64(label, &number) || bytes_starts_with(label, BYTES("0x"));
}

enum err conf_host_check(struct bytes host, struct note *note)
{
    struct ip ip;
    bool is_ip = ip_parse(host, &ip);
    bool has_colon = bytes_find(host, ':') < host.size;
    if (is_ip && (!has_colon || host.data[0] == '[')) {
        return OK;
    }
    if (is_ip) {
        note_set(note, "needs brackets around IPv6");
        return ERR_SYNTAX;
    }
    bool is_name = host.size > 0 && host.size <= CONF_HOST_MAX;
    struct bytes rest = host;
    struct bytes label = {NULL, 0};
    while (is_name && bytes_next(&rest, '.', &label)) {
        is_name = is_label(label);
    }
    if (!is_name) {
        note_set(note, "is not a host name or address (without a port)");
        return ERR_SYNTAX;
    }
    if (ends_like_address(label)) {
        note_set(note, "ends like an IPv4 address and is none");
        return ERR_SYNTAX;
    }
    return OK;
}

/* Splits at the last colon that is not inside brackets; port 0 and ports above 65535 are none. */
static bool split_port(struct bytes text, struct bytes *ret_host, uint16_t *ret_port)
{
    size_t colon = text.size;
    while (colon > 0 && text.data[colon - 1] != ':') {
        if (text.data[colon - 1] == ']') {
            return false;
        }
        colon--;
    }
    uint64_t port;
    if (colon == 0 || !bytes_to_u64(bytes_slice(text, colon, text.size - colon), &port) ||
        port == 0 || port > PORT_MAX) {
        return false;
    }
    *ret_host = bytes_slice(text, 0, colon - 1);
    *ret_port = (uint16_t)port;
    return true;
}

static char *print_text(const struct conf_value_context *context, const char *before,
                        const char *host, bool is_v6, unsigned port)
{
    size_t size = strlen(before) + strlen(host) + sizeof "[]:65535";
    char *text = arena_alloc(context->arena, size);
    if (text == NULL) {
        return NULL;
    }
    const char *open = is_v6 ? "[" : "";
    const char *close = is_v6 ? "]" : "";
    if (port != 0) {
        (void)snprintf(text, size, "%s%s%s%s:%u", before, open, host, close, port);
    } else {
        (void)snprintf(text, size, "%s%s%s%s", before, open, host, close);
    }
    return text;
}

static enum err fill_local(const struct conf_value_context *context, struct bytes path,
                           struct note *note, struct conf_address *ret_address)
{
    static const struct conf_key file = {.type = CONF_TYPE_FILE};
    struct conf_address address = {.socket_size = sizeof address.socket.local};
    const char *resolved;
    enum err err = conf_value_parse(context, &file, path, note, &resolved);
    if (err != OK) {
        return err;
    }
    if (strlen(resolved) >= sizeof address.socket.local.sun_path) {
        note_set(note, "is a longer path than the %zu bytes that a socket may have",
                 sizeof address.socket.local.sun_path - 1);
        return ERR_LIMIT;
    }
    address.socket.local.sun_family = AF_UNIX;
    memcpy(address.socket.local.sun_path, resolved, strlen(resolved));
    address.text = print_text(context, "unix:", resolved, false, 0);
    if (address.text == NULL) {
        return ERR_NOMEM;
    }
    *ret_address = address;
    return OK;
}

static enum err fill_inet(const struct conf_value_context *context, const struct ip *ip,
                          uint16_t port, struct conf_address *ret_address)
{
    struct conf_address address = {.socket_size = sizeof address.socket.v4};
    bool is_v4 = ip_is_v4(ip);
    if (is_v4) {
        address.socket.v4.sin_family = AF_INET;
        address.socket.v4.sin_port = htons(port);
        memcpy(&address.socket.v4.sin_addr, ip->bytes + 12, sizeof address.socket.v4.sin_addr);
    } else {
        address.socket_size = sizeof address.socket.v6;
        address.socket.v6.sin6_family = AF_INET6;
        address.socket.v6.sin6_port = htons(port);
        memcpy(&address.socket.v6.sin6_addr, ip->bytes, sizeof ip->bytes);
    }
    char host[IP_TEXT_SIZE];
    ip_format(ip, host);
    address.text = print_text(context, "", host, !is_v4, port);
    if (address.text == NULL) {
        return ERR_NOMEM;
    }
    *ret_address = address;
    return OK;
}

enum err conf_address_parse(const struct conf_value_context *context, bool may_be_local,
                            struct bytes text, struct note *note, struct conf_address *ret_address)
{
    struct bytes local = BYTES("unix:");
    if (may_be_local && bytes_starts_with(text, local)) {
        return fill_local(context, bytes_slice(text, local.size, text.size - local.size), note,
                          ret_address);
    }
    struct bytes host;
    uint16_t port;
    struct ip ip;
    if (split_port(text, &host, &port)) {
        host = bytes_equal(host, BYTES("*"))                  ? BYTES("0.0.0.0")
               : bytes_equal_nocase(host, BYTES("localhost")) ? BYTES("127.0.0.1")
                                                              : host;
        bool is_bare_v6 = bytes_find(host, ':') < host.size && host.data[0] != '[';
        if (!is_bare_v6 && ip_parse(host, &ip)) {
            return fill_inet(context, &ip, port, ret_address);
        }
    }
    note_set(note, may_be_local ? "is not an address and port as in 127.0.0.1:9901 or [::1]:9901, "
                                  "nor unix:/path"
                                : "is not an address and port as in 0.0.0.0:8080 or [::]:8080");
    return ERR_SYNTAX;
}

/* What may stand before the host of an origin. */
struct scheme {
    struct bytes text;
    enum conf_scheme scheme;
    uint16_t port;
};

static const struct scheme *find_scheme(struct bytes text)
{
    static const struct scheme schemes[] = {
        {{"http://", 7}, CONF_SCHEME_HTTP, HTTP_PORT},
        {{"https://", 8}, CONF_SCHEME_HTTPS, HTTPS_PORT},
    };
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        size_t size = schemes[i].text.size;
        if (text.size >= size && bytes_equal_nocase(bytes_slice(text, 0, size), schemes[i].text)) {
            return &schemes[i];
        }
    }
    return NULL;
}

static enum err fill_endpoint(const struct conf_value_context *context, const struct scheme *scheme,
                              struct bytes host, uint16_t port, struct conf_endpoint *ret_endpoint)
{
    struct conf_endpoint endpoint = {.scheme = scheme->scheme, .port = port};
    char text[CONF_HOST_MAX + 1];
    endpoint.is_ip = ip_parse(host, &endpoint.ip);
    if (endpoint.is_ip) {
        ip_format(&endpoint.ip, text);
    } else {
        CHECK(host.size <= CONF_HOST_MAX);
        for (size_t i = 0; i < host.size; i++) {
            text[i] = byte_lower(host.data[i]);
        }
        text[host.size] = '\0';
    }
    bool is_v6 = endpoint.is_ip && !ip_is_v4(&endpoint.ip);
    unsigned shown_port = port == scheme->port ? 0 : port;
    endpoint.host = print_text(context, "", text, false, 0);
    endpoint.authority = print_text(context, "", text, is_v6, shown_port);
    endpoint.url = print_text(context, scheme->text.data, text, is_v6, shown_port);
    if (endpoint.host == NULL || endpoint.authority == NULL || endpoint.url == NULL) {
        return ERR_NOMEM;
    }
    *ret_endpoint = endpoint;
    return OK;
}

enum err conf_endpoint_parse(const struct conf_value_context *context, struct bytes text,
                             struct note *note, struct conf_endpoint *ret_endpoint)
{
    const struct scheme *scheme = find_scheme(text);
    if (scheme == NULL) {
        note_set(note, "is not a URL as in http://127.0.0.1:3000");
        return ERR_SYNTAX;
    }
    size_t begin = scheme->text.size;
    struct bytes host = bytes_slice(text, begin, text.size - begin);
    size_t slash = bytes_find(host, '/');
    if (slash + 1 < host.size) {
        note_set(note, "has a path, and requests keep their own: leave it out");
        return ERR_SYNTAX;
    }
    host = bytes_slice(host, 0, slash);
    if (bytes_find(host, '@') < host.size) {
        note_set(note, "has a user or password, which are not sent");
        return ERR_SYNTAX;
    }
    uint16_t port = scheme->port;
    bool has_port =
        host.size > 0 && host.data[host.size - 1] != ']' && bytes_find(host, ':') < host.size;
    if (has_port && !split_port(host, &host, &port)) {
        note_set(note, "has a port that is not a number from 1 to 65535");
        return ERR_SYNTAX;
    }
    enum err err = conf_host_check(host, note);
    return err != OK ? err : fill_endpoint(context, scheme, host, port, ret_endpoint);
}

static bool is_url_byte(char byte)
{
    return byte > ' ' && byte < 0x7f && strchr("\"<>\\^`{|}#", byte) == NULL;
}

/* Behind the scheme; false when there is none that is called. */
static bool skip_scheme(struct bytes text, struct bytes *ret_rest)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < COUNT_OF(schemes); i++) {
        struct bytes scheme = bytes_of(schemes[i]);
        if (bytes_starts_with(text, scheme)) {
            *ret_rest = bytes_slice(text, scheme.size, text.size - scheme.size);
            return true;
        }
    }
    return false;
}

enum err conf_url_check(struct bytes text, struct note *note)
{
    struct bytes host;
    uint16_t port;
    if (!skip_scheme(text, &host)) {
        note_set(note, "is not a URL as in https://hooks.example.com/path");
        return ERR_SYNTAX;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (!is_url_byte(text.data[i])) {
            note_set(note, "may hold only what stands in a URL, percent-encoded and without '#'");
            return ERR_SYNTAX;
        }
    }
    if (text.size > CONF_URL_MAX) {
        note_set(note, "is longer than %d bytes", CONF_URL_MAX);
        return ERR_LIMIT;
    }
    size_t slash = bytes_find(host, '/');
    size_t query = bytes_find(host, '?');
    host = bytes_slice(host, 0, slash < query ? slash : query);
    if (bytes_find(host, '@') < host.size) {
        note_set(note, "has a user or password: it would be a secret in this file");
        return ERR_SYNTAX;
    }
    bool has_port =
        host.size > 0 && host.data[host.size - 1] != ']' && bytes_find(host, ':') < host.size;
    if (has_port && !split_port(host, &host, &port)) {
        note_set(note, "has a port that is not a number from 1 to 65535");
        return ERR_SYNTAX;
    }
    return conf_host_check(host, note);
}

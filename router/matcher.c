#include "router/matcher.h"

struct bytes matcher_host_of(struct bytes authority)
{
    size_t end = authority.size;
    if (authority.size > 0 && authority.data[0] == '[') {
        end = bytes_find(authority, ']');
        end += end < authority.size ? 1 : 0;
    } else {
        end = bytes_find(authority, ':');
    }
    if (end > 1 && authority.data[end - 1] == '.') {
        end--;
    }
    return bytes_slice(authority, 0, end);
}

struct bytes matcher_path_of(struct bytes target)
{
    if (target.size == 0 || target.data[0] != '/') {
        return BYTES("/");
    }
    return bytes_slice(target, 0, bytes_find(target, '?'));
}

/* Letters, digits, hyphen, dot and underscore (which real names have), and what an IPv6 literal is
 * made of. */
static bool is_host_byte(char byte)
{
    char low = byte_lower(byte);
    bool is_alphanumeric = (low >= 'a' && low <= 'z') || (byte >= '0' && byte <= '9');
    return is_alphanumeric || (byte != '\0' && strchr("-._:[]", byte) != NULL);
}

static bool is_host(struct bytes name)
{
    if (name.size == 0 || name.size > MATCHER_HOST_MAX || name.data[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        if (!is_host_byte(name.data[i])) {
            return false;
        }
    }
    return matcher_host_of(name).size ==
           name.size; /* a port or a final dot would never be looked for */
}

bool matcher_host_pattern(struct bytes pattern, enum host_pattern_kind *ret_kind,
                          struct bytes *ret_name)
{
    if (bytes_equal(pattern, BYTES("*"))) {
        *ret_kind = HOST_ANY;
        *ret_name = BYTES("");
        return true;
    }
    bool is_wildcard = bytes_starts_with(pattern, BYTES("*."));
    struct bytes name = is_wildcard ? bytes_slice(pattern, 2, pattern.size - 2) : pattern;
    if (!is_host(name)) {
        return false;
    }
    *ret_kind = is_wildcard ? HOST_WILDCARD : HOST_EXACT;
    *ret_name = name;
    return true;
}

bool matcher_path_prefix(struct bytes text, struct bytes *ret_prefix)
{
    if (text.size == 0 || text.data[0] != '/') {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte <= ' ' || byte == 0x7f || byte == '?' || byte == '#') {
            return false;
        }
    }
    while (text.size > 0 && text.data[text.size - 1] == '/') {
        text.size--;
    }
    *ret_prefix = text;
    return true;
}

bool matcher_path_is_covered(struct bytes prefix, struct bytes path)
{
    if (!bytes_starts_with(path, prefix)) {
        return false;
    }
    return path.size == prefix.size || prefix.size == 0 || path.data[prefix.size] == '/';
}

/* What a star took is widened byte by byte when the rest does not fit; only the last star met need
 * ever be asked again, because what the ones before it took is as short as can be. */
bool matcher_path_fits(struct bytes pattern, struct bytes path)
{
    size_t at = 0;
    size_t star = SIZE_MAX;
    size_t star_end = 0;
    for (size_t i = 0; i < path.size;) {
        if (at < pattern.size && pattern.data[at] == '*') {
            star = at++;
            star_end = i;
        } else if (at < pattern.size && pattern.data[at] == path.data[i]) {
            at++;
            i++;
        } else if (star != SIZE_MAX) {
            at = star + 1;
            i = ++star_end;
        } else {
            return false;
        }
    }
    while (at < pattern.size && pattern.data[at] == '*') {
        at++;
    }
    return at == pattern.size;
}

#include "router/cookie.h"

/* RFC 6265 section 4.1.1 lets a value stand in quotes; they are no part of it for us. */
static struct bytes without_quotes(struct bytes value)
{
    if (value.size < 2 || value.data[0] != '"' || value.data[value.size - 1] != '"') {
        return value;
    }
    return bytes_slice(value, 1, value.size - 2);
}

bool cookie_next(struct bytes *rest, struct cookie *ret_cookie)
{
    struct bytes pair;
    while (bytes_next(rest, ';', &pair)) {
        size_t equals = bytes_find(pair, '=');
        struct bytes name = bytes_trim(bytes_slice(pair, 0, equals));
        if (equals == pair.size || name.size == 0) {
            continue;
        }
        struct bytes value = bytes_trim(bytes_slice(pair, equals + 1, pair.size - equals - 1));
        *ret_cookie = (struct cookie){name, without_quotes(value)};
        return true;
    }
    return false;
}

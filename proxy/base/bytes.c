#include "proxy/base/bytes.h"

#include "proxy/base/check.h"

/* Most texts are written as they are expected, and so are equal word by word: folding is for the
 * others. */
bool bytes_equal_nocase(struct bytes a, struct bytes b)
{
    uint64_t words[2];
    size_t i = 0;
    if (a.size != b.size) {
        return false;
    }
    for (; a.size - i >= sizeof words[0]; i += sizeof words[0]) {
        memcpy(&words[0], a.data + i, sizeof words[0]);
        memcpy(&words[1], b.data + i, sizeof words[0]);
        if (words[0] != words[1]) {
            break;
        }
    }
    for (; i < a.size; i++) {
        if (a.data[i] != b.data[i] && byte_lower(a.data[i]) != byte_lower(b.data[i])) {
            return false;
        }
    }
    return true;
}

bool bytes_starts_with(struct bytes bytes, struct bytes prefix)
{
    return bytes.size >= prefix.size &&
           (prefix.size == 0 || memcmp(bytes.data, prefix.data, prefix.size) == 0);
}

bool bytes_ends_with(struct bytes bytes, struct bytes suffix)
{
    return bytes.size >= suffix.size &&
           (suffix.size == 0 ||
            memcmp(bytes.data + bytes.size - suffix.size, suffix.data, suffix.size) == 0);
}

struct bytes bytes_slice(struct bytes bytes, size_t start, size_t size)
{
    CHECK(start <= bytes.size);
    CHECK(size <= bytes.size - start);
    return (struct bytes){bytes.data != NULL ? bytes.data + start : NULL, size};
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

struct bytes bytes_trim(struct bytes bytes)
{
    while (bytes.size > 0 && is_blank(bytes.data[0])) {
        bytes.data++;
        bytes.size--;
    }
    while (bytes.size > 0 && is_blank(bytes.data[bytes.size - 1])) {
        bytes.size--;
    }
    return bytes;
}

size_t bytes_find(struct bytes bytes, char byte)
{
    if (bytes.size == 0) {
        return 0;
    }
    const char *found = memchr(bytes.data, byte, bytes.size);
    return found != NULL ? (size_t)(found - bytes.data) : bytes.size;
}

bool bytes_contains(struct bytes bytes, struct bytes part)
{
    while (part.size > 0 && bytes.size >= part.size) {
        size_t at = bytes_find(bytes, part.data[0]);
        bytes = bytes_slice(bytes, at, bytes.size - at);
        if (bytes_starts_with(bytes, part)) {
            return true;
        }
        size_t step = bytes.size > 0 ? 1 : 0;
        bytes = bytes_slice(bytes, step, bytes.size - step);
    }
    return part.size == 0;
}

bool bytes_next(struct bytes *rest, char separator, struct bytes *ret_element)
{
    if (rest->data == NULL) {
        return false;
    }
    size_t end = bytes_find(*rest, separator);
    *ret_element = bytes_slice(*rest, 0, end);
    if (end == rest->size) {
        *rest = (struct bytes){NULL, 0};
    } else {
        *rest = bytes_slice(*rest, end + 1, rest->size - end - 1);
    }
    return true;
}

bool bytes_to_u64(struct bytes bytes, uint64_t *ret_value)
{
    if (bytes.size == 0) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] < '0' || bytes.data[i] > '9') {
            return false;
        }
        uint64_t digit = (uint64_t)(bytes.data[i] - '0');
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    *ret_value = value;
    return true;
}

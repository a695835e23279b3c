/* proxy/base/bytes.h — a borrowed run of bytes: pointer and length, no terminator.
 *
 * Nothing here owns or allocates. Comparison is exact unless the name says `nocase` (ASCII only, as
 * field names and hosts compare, RFC 9110 section 5.1). Pure; any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const char *data; /* borrowed; may be NULL when size is 0 */
    size_t size;
};

/* BYTES("literal"): the literal without its terminator. */
#define BYTES(literal) ((struct bytes){("" literal), sizeof(literal) - 1})
/* printf("%.*s", BYTES_ARGS(b)) */
#define BYTES_ARGS(bytes) (int)(bytes).size, (bytes).data != NULL ? (bytes).data : ""

static inline struct bytes bytes_of(const char *text)
{
    return (struct bytes){text, text != NULL ? strlen(text) : 0};
}

static inline struct bytes bytes_make(const char *data, size_t size)
{
    return (struct bytes){data, size};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool bytes_equal_nocase(struct bytes a, struct bytes b);
bool bytes_starts_with(struct bytes bytes, struct bytes prefix);
bool bytes_ends_with(struct bytes bytes, struct bytes suffix);

/* The part of `bytes` from `start`, `size` long; CHECKs that it lies inside. */
struct bytes bytes_slice(struct bytes bytes, size_t start, size_t size);
/* Without blanks and tabs at both ends (OWS, RFC 9110 section 5.6.3). */
struct bytes bytes_trim(struct bytes bytes);
/* Index of the first `byte`, or bytes.size. */
size_t bytes_find(struct bytes bytes, char byte);
/* Does `part` stand somewhere in `bytes`? Nothing stands everywhere. */
bool bytes_contains(struct bytes bytes, struct bytes part);
/* Cuts the next element off a list: returns what stands before `separator` and moves `rest` behind
 * it. false when nothing is left. The element is not trimmed. */
bool bytes_next(struct bytes *rest, char separator, struct bytes *ret_element);
/* Decimal digits only, all of them, no sign, no overflow. */
bool bytes_to_u64(struct bytes bytes, uint64_t *ret_value);

static inline char byte_lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
}

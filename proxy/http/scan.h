/* proxy/http/scan.h — looking at many bytes at a time.
 *
 * Eight bytes are tested in one machine word (the tests for "less than" and "equal" in every byte
 * of a word are folklore; see Warren, Hacker's Delight, chapter 6). Pure; any thread. */
#pragma once
#include <endian.h>

#include "proxy/http/token.h"

/* The index of the first byte in [start, end) that is TOKEN_CONTROL, or end. */
size_t scan_text(const char *data, size_t start, size_t end);

enum { SCAN_WORD = 8 };
#define SCAN_EACH(byte) (UINT64_C(0x0101010101010101) * (uint8_t)(byte))

static inline uint64_t scan_load(const char *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof word);
    return word;
}

/* Not 0 when a byte of the word is below 0x20 (HTAB too) or DEL. The lowest marked byte in memory
 * order is exact: a borrow only ever marks bytes behind it. */
static inline uint64_t scan_marks(uint64_t word)
{
    word = le64toh(word);
    uint64_t is_low = (word - SCAN_EACH(0x20)) & ~word;
    uint64_t difference = word ^ SCAN_EACH(0x7f);
    uint64_t is_del = (difference - SCAN_EACH(0x01)) & ~difference;
    return (is_low | is_del) & SCAN_EACH(0x80);
}

static inline size_t scan_first_mark(uint64_t marks)
{
    return (size_t)__builtin_ctzll(marks) / 8;
}

#include "proxy/http/scan.h"

size_t scan_text(const char *data, size_t start, size_t end)
{
    size_t i = start;
    while (end - i >= SCAN_WORD) {
        uint64_t marks = scan_marks(scan_load(data + i));
        if (marks == 0) {
            i += SCAN_WORD;
            continue;
        }
        i += scan_first_mark(marks);
        if (token_is(data[i], TOKEN_CONTROL)) {
            return i;
        }
        i++; /* a tab */
    }
    while (i < end && !token_is(data[i], TOKEN_CONTROL)) {
        i++;
    }
    return i;
}

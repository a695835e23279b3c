#include "proxy/base/utf8.h"

size_t utf8_length(struct bytes bytes)
{
    const unsigned char *b = (const unsigned char *)bytes.data;
    size_t length = b[0] < 0x80                    ? 1
                    : b[0] >= 0xc2 && b[0] <= 0xdf ? 2
                    : b[0] >= 0xe0 && b[0] <= 0xef ? 3
                    : b[0] >= 0xf0 && b[0] <= 0xf4 ? 4
                                                   : 0;
    if (length == 0 || length > bytes.size) {
        return 0;
    }
    for (size_t i = 1; i < length; i++) {
        if ((b[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool is_bad = (b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f) ||
                  (b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f);
    return is_bad ? 0 : length;
}

bool utf8_is_unseen(struct bytes bytes, size_t length)
{
    const unsigned char *b = (const unsigned char *)bytes.data;
    bool is_c0 = length == 1 && (b[0] < 0x20 || b[0] == 0x7f);
    bool is_c1 = length == 2 && b[0] == 0xc2 && b[1] < 0xa0;
    bool is_noncharacter = length == 3 && b[0] == 0xef && b[1] == 0xbf && b[2] >= 0xbe;
    bool is_mark = length == 3 && b[0] == 0xe2 && b[1] == 0x80 &&
                   (b[2] == 0x8e || b[2] == 0x8f || (b[2] >= 0xa8 && b[2] <= 0xae));
    bool is_isolate = length == 3 && b[0] == 0xe2 && b[1] == 0x81 && b[2] >= 0xa6 && b[2] <= 0xa9;
    return is_c0 || is_c1 || is_noncharacter || is_mark || is_isolate;
}

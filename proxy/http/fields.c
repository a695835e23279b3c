/* The lookup of a name is a switch on its length and one letter, which leaves a single candidate,
 * and one comparison of whole words with it. */
#include "proxy/http/fields.h"

#include "proxy/base/check.h"
#include "proxy/http/token.h"

static const struct bytes names[FIELD_ID_COUNT] = {[FIELD_OTHER] = {"", 0},
#define FIELD_NAME(id, name) [FIELD_##id] = {name, sizeof(name) - 1},
                                                   FIELD_LIST(FIELD_NAME)
#undef FIELD_NAME
};

/* The one id that a name of this length can have, judged by the letter that tells the candidates
 * apart. */
static enum field_id candidate(const char *name, size_t size)
{
    switch (size) {
    case 2:
        return FIELD_TE;
    case 3:
        return FIELD_VIA;
    case 4:
        return (name[0] | 0x20) == 'h' ? FIELD_HOST : FIELD_DATE;
    case 6:
        switch (name[0] | 0x20) {
        case 'c':
            return FIELD_COOKIE;
        case 'e':
            return FIELD_EXPECT;
        case 's':
            return FIELD_SERVER;
        default:
            return FIELD_ORIGIN;
        }
    case 7:
        switch (name[0] | 0x20) {
        case 't':
            return FIELD_TRAILER;
        case 'u':
            return FIELD_UPGRADE;
        default:
            return FIELD_REFERER;
        }
    case 8:
        return (name[0] | 0x20) == 'l' ? FIELD_LOCATION : FIELD_IF_MATCH;
    case 9:
        return FIELD_FORWARDED;
    case 10:
        switch (name[0] | 0x20) {
        case 'c':
            return FIELD_CONNECTION;
        case 'k':
            return FIELD_KEEP_ALIVE;
        case 's':
            return FIELD_SET_COOKIE;
        case 't':
            return FIELD_TRACESTATE;
        default:
            return FIELD_USER_AGENT;
        }
    case 11:
        return FIELD_TRACEPARENT;
    case 12:
        switch (name[2] | 0x20) {
        case 'n':
            return FIELD_CONTENT_TYPE;
        case 'r':
            return (name[3] | 0x20) == 'e' ? FIELD_X_REQUEST_ID : FIELD_X_ROBOTS_TAG;
        default:
            return FIELD_OTHER;
        }
    case 13:
        return (name[0] | 0x20) == 's' ? FIELD_SERIN_VERSION : FIELD_AUTHORIZATION;
    case 14:
        switch (name[10] | 0x20) {
        case 'n':
            return FIELD_CONTENT_LENGTH;
        case 'i':
            return FIELD_HTTP2_SETTINGS;
        case 'd':
            return FIELD_SEC_FETCH_DEST;
        default:
            return FIELD_SEC_FETCH_SITE;
        }
    case 15:
        return (name[0] | 0x20) == 'x' ? FIELD_X_FORWARDED_FOR : FIELD_IDEMPOTENCY_KEY;
    case 16:
        return (name[0] | 0x20) == 'x' ? FIELD_X_FORWARDED_HOST : FIELD_PROXY_CONNECTION;
    case 17:
        return (name[0] | 0x20) == 'x' ? FIELD_X_FORWARDED_PROTO : FIELD_TRANSFER_ENCODING;
    case 18:
        return FIELD_PROXY_AUTHENTICATE;
    case 19:
        return FIELD_PROXY_AUTHORIZATION;
    default:
        return FIELD_OTHER;
    }
}

/* Up to eight bytes from `data`, the rest zero. */
static uint64_t load_some(const char *data, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, data, size < sizeof word ? size : sizeof word);
    return word;
}

/* Does `name` equal `known`, which is in lower case and holds nothing but letters, digits and '-'?
 * Among these only letters have bit 6, so the known word itself says where bit 5 does not matter.
 */
static bool is_known(const char *name, const char *known, size_t size)
{
    size_t i = 0;
    for (; size - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t want = load_some(known + i, sizeof(uint64_t));
        uint64_t is_letter = want & UINT64_C(0x4040404040404040);
        if ((load_some(name + i, sizeof(uint64_t)) | is_letter >> 1) != want) {
            return false;
        }
    }
    for (; i < size; i++) {
        uint8_t want = (uint8_t)known[i];
        if (((uint8_t)name[i] | (want & 0x40) >> 1) != want) {
            return false;
        }
    }
    return true;
}

enum field_id field_id_of(struct bytes name)
{
    enum field_id id = candidate(name.data, name.size);
    if (names[id].size != name.size || !is_known(name.data, names[id].data, name.size)) {
        return FIELD_OTHER;
    }
    return id;
}

struct bytes field_id_name(enum field_id id)
{
    CHECK(id < FIELD_ID_COUNT);
    return names[id];
}

const struct field *fields_find(const struct fields *fields, enum field_id id)
{
    for (size_t i = 0; i < fields->count; i++) {
        if (fields->items[i].id == id) {
            return &fields->items[i];
        }
    }
    return NULL;
}

const struct field *fields_find_name(const struct fields *fields, struct bytes name)
{
    for (size_t i = 0; i < fields->count; i++) {
        if (bytes_equal_nocase(fields->items[i].name, name)) {
            return &fields->items[i];
        }
    }
    return NULL;
}

bool fields_has_token(const struct fields *fields, enum field_id id, struct bytes token)
{
    for (size_t i = 0; i < fields->count; i++) {
        struct bytes rest = fields->items[i].value;
        struct bytes element;
        while (fields->items[i].id == id && token_next(&rest, &element)) {
            if (bytes_equal_nocase(element, token)) {
                return true;
            }
        }
    }
    return false;
}

/* The lookup of a name is a switch on its length and one letter, which leaves a single candidate,
 * and one comparison of whole words with it. */
#include "proxy/http/fields.h"

#include "proxy/base/check.h"
#include "proxy/http/scan.h"

static const struct bytes names[FIELD_ID_COUNT] = {[FIELD_OTHER] = {"", 0},
#define FIELD_NAME(id, name) [FIELD_##id] = {name, sizeof(name) - 1},
                                                   FIELD_LIST(FIELD_NAME)
#undef FIELD_NAME
};

/* The one id that a name of this length can have, judged by the letter that tells the candidates
 * apart; up to 9 letters. */
static enum field_id short_candidate(const char *name, size_t size)
{
    switch (size) {
    case 2:
        return FIELD_TE;
    case 3:
        return (name[0] | 0x20) == 'v' ? FIELD_VIA : FIELD_AGE;
    case 4:
        switch (name[0] | 0x20) {
        case 'h':
            return FIELD_HOST;
        case 'd':
            return FIELD_DATE;
        case 'e':
            return FIELD_ETAG;
        default:
            return FIELD_VARY;
        }
    case 5:
        return FIELD_RANGE;
    case 6:
        switch (name[0] | 0x20) {
        case 'c':
            return FIELD_COOKIE;
        case 'e':
            return FIELD_EXPECT;
        case 's':
            return FIELD_SERVER;
        case 'p':
            return FIELD_PRAGMA;
        default:
            return FIELD_ORIGIN;
        }
    case 7:
        switch (name[0] | 0x20) {
        case 't':
            return FIELD_TRAILER;
        case 'u':
            return FIELD_UPGRADE;
        case 'e':
            return FIELD_EXPIRES;
        default:
            return FIELD_REFERER;
        }
    case 8:
        switch (name[3] | 0x20) {
        case 'm':
            return FIELD_IF_MATCH;
        case 'r':
            return FIELD_IF_RANGE;
        default:
            return FIELD_LOCATION;
        }
    case 9:
        return FIELD_FORWARDED;
    default:
        return FIELD_OTHER;
    }
}

/* The same from 10 to 14 letters. */
static enum field_id long_candidate(const char *name, size_t size)
{
    switch (size) {
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
        return (name[0] | 0x20) == 't' ? FIELD_TRACEPARENT : FIELD_GRPC_STATUS;
    case 12:
        switch (name[3] | 0x20) {
        case 't':
            return FIELD_CONTENT_TYPE;
        case 'e':
            return FIELD_X_REQUEST_ID;
        case 'i':
            return FIELD_SERIN_MIRROR;
        case 'c':
            return FIELD_GRPC_TIMEOUT;
        default:
            return FIELD_X_ROBOTS_TAG;
        }
    case 13:
        switch (name[2] | 0x20) {
        case 'r':
            return FIELD_SERIN_VERSION;
        case 't':
            return FIELD_AUTHORIZATION;
        case 'c':
            return FIELD_CACHE_CONTROL;
        case 's':
            return FIELD_LAST_MODIFIED;
        case 'n':
            return FIELD_CONTENT_RANGE;
        default:
            return FIELD_IF_NONE_MATCH;
        }
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
    default:
        return FIELD_OTHER;
    }
}

/* ... and from 15 on. */
static enum field_id longest_candidate(const char *name, size_t size)
{
    switch (size) {
    case 15:
        return (name[0] | 0x20) == 'x' ? FIELD_X_FORWARDED_FOR : FIELD_IDEMPOTENCY_KEY;
    case 16:
        switch (name[8] | 0x20) {
        case 'd':
            return FIELD_X_FORWARDED_HOST;
        case 'n':
            return FIELD_PROXY_CONNECTION;
        case 'l':
            return FIELD_CONTENT_LOCATION;
        default:
            return FIELD_CONTENT_ENCODING;
        }
    case 17:
        switch (name[0] | 0x20) {
        case 'x':
            return FIELD_X_FORWARDED_PROTO;
        case 's':
            return FIELD_SEC_WEBSOCKET_KEY;
        case 't':
            return FIELD_TRANSFER_ENCODING;
        default:
            return FIELD_IF_MODIFIED_SINCE;
        }
    case 18:
        return FIELD_PROXY_AUTHENTICATE;
    case 19:
        return (name[0] | 0x20) == 'p' ? FIELD_PROXY_AUTHORIZATION : FIELD_IF_UNMODIFIED_SINCE;
    case 20:
        return FIELD_SEC_WEBSOCKET_ACCEPT;
    case 25:
        return FIELD_STRICT_TRANSPORT_SECURITY;
    default:
        return FIELD_OTHER;
    }
}

/* Does the word at `name` equal the one at `known`, which is in lower case and holds nothing but
 * letters, digits and '-'? Among these only letters have bit 6, so the known word itself says where
 * bit 5 does not matter. */
static bool is_word_known(const char *name, const char *known)
{
    uint64_t want = scan_load(known);
    uint64_t is_letter = want & SCAN_EACH(0x40);
    return (scan_load(name) | is_letter >> 1) == want;
}

static bool is_byte_known(char name, char known)
{
    return ((uint8_t)name | ((uint8_t)known & 0x40) >> 1) == (uint8_t)known;
}

/* Word by word; the last word overlaps the one before it. */
static bool is_known(const char *name, const char *known, size_t size)
{
    if (size < SCAN_WORD) {
        size_t i = 0;
        while (i < size && is_byte_known(name[i], known[i])) {
            i++;
        }
        return i == size;
    }
    for (size_t i = 0; i < size - SCAN_WORD; i += SCAN_WORD) {
        if (!is_word_known(name + i, known + i)) {
            return false;
        }
    }
    return is_word_known(name + size - SCAN_WORD, known + size - SCAN_WORD);
}

enum field_id field_id_of(struct bytes name)
{
    enum field_id id = name.size < 10   ? short_candidate(name.data, name.size)
                       : name.size < 15 ? long_candidate(name.data, name.size)
                                        : longest_candidate(name.data, name.size);
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

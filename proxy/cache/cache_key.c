/* A primary key is its parts, each with its length before it, so that no two lists of parts make
 * the same text.
 *
 * A secondary key is a list of names, each with what the request said in that field, brought into
 * the form in which it is compared. That form is never made for the comparison: it is written piece
 * by piece into a sink, which appends when the key is made and compares when it is matched. */
#include "proxy/cache/cache_key.h"

#include <assert.h>

#include "proxy/base/check.h"
#include "proxy/cache/cache_fields.h"
#include "proxy/http/authority.h"
#include "proxy/http/forward.h"
#include "proxy/http/token.h"
#include "router/cookie.h"

/* ---- the primary key ---- */

enum { LENGTH_SIZE = sizeof(uint32_t) };

static char *put_length(char *at, size_t length)
{
    uint32_t stored = (uint32_t)length;
    memcpy(at, &stored, sizeof stored);
    return at + sizeof stored;
}

static char *put_part(char *at, struct bytes part)
{
    at = put_length(at, part.size);
    if (part.size > 0) {
        memcpy(at, part.data, part.size);
    }
    return at + part.size;
}

/* The authority without the port that the scheme implies. */
static struct bytes place_of(struct bytes authority, struct bytes scheme)
{
    struct authority split;
    struct bytes own = bytes_equal(scheme, BYTES("https")) ? BYTES("443") : BYTES("80");
    if (authority_split(authority, &split) &&
        (split.port.size == 0 || bytes_equal(split.port, own))) {
        return split.host;
    }
    return authority;
}

enum err cache_key_make(const struct cache_key_facts *facts, struct hash_key seed,
                        struct arena *arena, struct cache_key *ret_key)
{
    struct bytes place = place_of(facts->authority, facts->scheme);
    struct bytes host = place_of(facts->host, facts->scheme);
    struct bytes parts[] = {place,         host,          facts->service, facts->deployment,
                            facts->scheme, facts->target, facts->besides};
    enum { PLACES = 2 }; /* their letter case means nothing */
    size_t size = 0;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        if (parts[i].size > CACHE_KEY_MAX) {
            return ERR_LIMIT;
        }
        size += LENGTH_SIZE + parts[i].size;
    }
    if (size > CACHE_KEY_MAX) {
        return ERR_LIMIT;
    }
    char *text = arena_alloc(arena, size);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    char *at = text;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        at = put_part(at, parts[i]);
        for (char *byte = at - parts[i].size; i < PLACES && byte < at; byte++) {
            *byte = byte_lower(*byte);
        }
    }
    CHECK(at == text + size);
    ret_key->text = bytes_make(text, size);
    ret_key->hash = hash_bytes(seed, ret_key->text);
    return OK;
}

/* ---- the secondary key ---- */

/* Where the pieces of a value go. */
struct sink {
    char *out;         /* appended to; NULL: compared with `want` */
    struct bytes want; /* what is still to come */
    size_t size;       /* of all pieces so far */
    size_t max;        /* of `out` */
    bool is_failed;    /* too long, or not the same */
};

static void sink_byte(struct sink *sink, char byte)
{
    if (sink->out != NULL) {
        sink->is_failed |= sink->size == sink->max;
        if (!sink->is_failed) {
            sink->out[sink->size] = byte;
        }
    } else {
        sink->is_failed |= sink->size == sink->want.size || sink->want.data[sink->size] != byte;
    }
    sink->size += sink->is_failed ? 0 : 1;
}

static void sink_bytes(struct sink *sink, struct bytes piece)
{
    for (size_t i = 0; i < piece.size && !sink->is_failed; i++) {
        sink_byte(sink, piece.data[i]);
    }
}

static void sink_separate(struct sink *sink, struct bytes separator)
{
    if (sink->size > 0) {
        sink_bytes(sink, separator);
    }
}

/* Lists in which blanks mean nothing: RFC 9110 section 12.5. In the last three neither does letter
 * case. The order is left alone: some origins go by it. */
enum form { FORM_PLAIN, FORM_LIST, FORM_LIST_NOCASE, FORM_COOKIE };

static enum form form_of(struct bytes name)
{
    if (bytes_equal_nocase(name, BYTES("cookie"))) {
        return FORM_COOKIE;
    }
    if (bytes_equal_nocase(name, BYTES("accept"))) {
        return FORM_LIST;
    }
    bool is_nocase = bytes_equal_nocase(name, BYTES("accept-encoding")) ||
                     bytes_equal_nocase(name, BYTES("accept-language")) ||
                     bytes_equal_nocase(name, BYTES("accept-charset"));
    return is_nocase ? FORM_LIST_NOCASE : FORM_PLAIN;
}

static void write_list(struct sink *sink, struct bytes value, bool is_nocase)
{
    bool is_quoted = false;
    sink_separate(sink, BYTES(","));
    for (size_t i = 0; i < value.size && !sink->is_failed; i++) {
        char byte = value.data[i];
        is_quoted ^= byte == '"';
        bool is_blank = byte == ' ' || byte == '\t';
        if (is_quoted || !is_blank) {
            sink_byte(sink, is_nocase ? byte_lower(byte) : byte);
        }
    }
}

static void write_cookies(struct sink *sink, struct bytes value)
{
    struct cookie cookie;
    while (cookie_next(&value, &cookie)) {
        if (!cache_is_own_cookie(cookie.name)) {
            sink_separate(sink, BYTES("; "));
            sink_bytes(sink, cookie.name);
            sink_byte(sink, '=');
            sink_bytes(sink, cookie.value);
        }
    }
}

/* Writes what the request says in a field, in the form that is compared; false when it says
 * nothing. */
static bool write_value(struct sink *sink, struct bytes name, const struct fields *request)
{
    enum form form = form_of(name);
    bool is_there = false;
    for (size_t i = 0; i < request->count; i++) {
        const struct field *field = &request->items[i];
        if (!bytes_equal_nocase(field->name, name)) {
            continue;
        }
        if (form == FORM_COOKIE) {
            write_cookies(sink, field->value);
        } else if (form == FORM_PLAIN) {
            sink_separate(sink, is_there ? BYTES(", ") : BYTES(""));
            sink_bytes(sink, field->value);
        } else {
            write_list(sink, field->value, form == FORM_LIST_NOCASE);
        }
        is_there = true;
    }
    return form == FORM_COOKIE ? sink->size > 0 : is_there;
}

/* One selecting field in the key: lengths of name and value, ABSENT for a value that was not there,
 * then both. */
enum { ABSENT = 0xffff, PAIR_SIZE = 2 * sizeof(uint16_t) };
static_assert((int)CACHE_VARY_MAX < (int)ABSENT, "lengths fit");

struct pair {
    struct bytes name;
    struct bytes value;
    bool is_absent;
};

static bool next_pair(struct bytes *vary, struct pair *ret_pair)
{
    uint16_t lengths[2];
    if (vary->size == 0) {
        return false;
    }
    CHECK(vary->size >= PAIR_SIZE);
    memcpy(lengths, vary->data, sizeof lengths);
    bool is_absent = lengths[1] == ABSENT;
    size_t value_size = is_absent ? 0 : lengths[1];
    size_t size = PAIR_SIZE + lengths[0] + value_size;
    *ret_pair = (struct pair){bytes_slice(*vary, PAIR_SIZE, lengths[0]),
                              bytes_slice(*vary, PAIR_SIZE + lengths[0], value_size), is_absent};
    *vary = bytes_slice(*vary, size, vary->size - size);
    return true;
}

static bool has_pair(struct bytes vary, struct bytes name)
{
    struct pair pair;
    while (next_pair(&vary, &pair)) {
        if (bytes_equal_nocase(pair.name, name)) {
            return true;
        }
    }
    return false;
}

/* Appends a pair to the `size` bytes at `out`. */
static enum err add_pair(char out[CACHE_VARY_MAX], size_t *size, struct bytes name,
                         const struct fields *request)
{
    size_t room = CACHE_VARY_MAX - *size;
    if (room < PAIR_SIZE || room - PAIR_SIZE < name.size) {
        return ERR_LIMIT;
    }
    char *at = out + *size;
    for (size_t i = 0; i < name.size; i++) {
        at[PAIR_SIZE + i] = byte_lower(name.data[i]);
    }
    struct sink sink = {.out = at + PAIR_SIZE + name.size, .max = room - PAIR_SIZE - name.size};
    bool is_there = write_value(&sink, name, request);
    if (sink.is_failed) {
        return ERR_LIMIT;
    }
    uint16_t lengths[2] = {(uint16_t)name.size, is_there ? (uint16_t)sink.size : (uint16_t)ABSENT};
    memcpy(at, lengths, sizeof lengths);
    *size += PAIR_SIZE + name.size + sink.size;
    return OK;
}

enum err cache_vary_make(const struct fields *response, const struct fields *request,
                         struct arena *arena, struct bytes *ret_vary)
{
    char out[CACHE_VARY_MAX];
    size_t size = 0;
    size_t count = 0;
    for (size_t i = 0; i < response->count; i++) {
        struct bytes rest = response->items[i].value;
        struct bytes name;
        while (response->items[i].id == FIELD_VARY && token_next(&rest, &name)) {
            if (bytes_equal(name, BYTES("*")) || !token_is_all(name, TOKEN_TCHAR) ||
                forward_is_remade(name)) {
                return ERR_UNSUPPORTED;
            }
            if (has_pair(bytes_make(out, size), name)) {
                continue;
            }
            enum err err =
                count == CACHE_VARY_NAMES_MAX ? ERR_LIMIT : add_pair(out, &size, name, request);
            if (err != OK) {
                return err;
            }
            count++;
        }
    }
    struct bytes vary = arena_copy(arena, bytes_make(out, size));
    if (size > 0 && vary.data == NULL) {
        return ERR_NOMEM;
    }
    *ret_vary = vary;
    return OK;
}

bool cache_vary_matches(struct bytes vary, const struct fields *request)
{
    struct pair pair;
    while (next_pair(&vary, &pair)) {
        struct sink sink = {.want = pair.value};
        bool is_there = write_value(&sink, pair.name, request);
        if (sink.is_failed || sink.size != pair.value.size || is_there == pair.is_absent) {
            return false;
        }
    }
    return true;
}

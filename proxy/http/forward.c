#include "proxy/http/forward.h"

#include <assert.h>

#include "proxy/base/check.h"
#include "proxy/http/scan.h"
#include "proxy/http/websocket_handshake.h"

enum {
    NOMINATED_MAX = 16, /* names that only Connection knows; more of them is an attack */
    REQUEST_ID_SIZE = 32,
    TRACEPARENT_SIZE = 55 /* version 00 of W3C Trace Context */
};

#define BIT(id) (UINT64_C(1) << FIELD_##id)
static_assert(FIELD_ID_COUNT <= 64, "ids fit in one mask");

/* Fields that never cross a hop as they are: RFC 9110 section 7.6.1, RFC 9113 section 8.2.2, and
 * what the writer makes itself. */
static const uint64_t hop_by_hop = BIT(CONNECTION) | BIT(KEEP_ALIVE) | BIT(PROXY_CONNECTION) |
                                   BIT(PROXY_AUTHENTICATE) | BIT(PROXY_AUTHORIZATION) | BIT(TE) |
                                   BIT(UPGRADE) | BIT(HTTP2_SETTINGS) | BIT(CONTENT_LENGTH) |
                                   BIT(TRANSFER_ENCODING);

/* Fields of a request that are put in place again after the others were copied. */
static const uint64_t remade = BIT(HOST) | BIT(X_FORWARDED_FOR) | BIT(X_FORWARDED_PROTO) |
                               BIT(X_FORWARDED_HOST) | BIT(FORWARDED) | BIT(X_REQUEST_ID) |
                               BIT(TRACEPARENT) | BIT(TRACESTATE);

/* What only we may say: a client that marks its request as a copy does not reach an origin so. */
static const uint64_t ours = BIT(SERIN_MIRROR);

/* The names that stay behind. */
struct dropped {
    uint64_t ids;
    struct bytes names[NOMINATED_MAX]; /* nominated ones without an id; borrowed */
    size_t name_count;
};

struct out {
    struct field *items;
    size_t count;
    size_t max;
};

static void put(struct out *out, enum field_id id, struct bytes name, struct bytes value)
{
    CHECK(out->count < out->max);
    out->items[out->count++] = (struct field){name, value, id};
}

/* Begins with what Connection names. Framing does not depend on it: the writer makes those fields
 * from the message. Room for names is not cleared, being large and hardly ever used. */
static enum err drop_nominated(struct dropped *dropped, const struct fields *fields)
{
    dropped->ids = 0;
    dropped->name_count = 0;
    for (size_t i = 0; i < fields->count; i++) {
        if (fields->items[i].id != FIELD_CONNECTION) {
            continue;
        }
        struct bytes rest = fields->items[i].value;
        struct bytes name;
        while (token_next(&rest, &name)) {
            enum field_id id = field_id_of(name);
            dropped->ids |= id != FIELD_OTHER ? UINT64_C(1) << id : 0;
            if (id != FIELD_OTHER || bytes_equal_nocase(name, BYTES("close"))) {
                continue;
            }
            if (dropped->name_count == NOMINATED_MAX) {
                return ERR_LIMIT;
            }
            dropped->names[dropped->name_count++] = name;
        }
    }
    return OK;
}

static bool is_dropped(const struct dropped *dropped, const struct field *field)
{
    if ((dropped->ids >> field->id & 1) != 0) {
        return true;
    }
    for (size_t i = 0; field->id == FIELD_OTHER && i < dropped->name_count; i++) {
        if (bytes_equal_nocase(dropped->names[i], field->name)) {
            return true;
        }
    }
    return false;
}

/* X-Forwarded-Port and its kin, which have no id. */
static bool is_forwarded_kin(const struct field *field)
{
    struct bytes prefix = BYTES("x-forwarded-");
    return field->id == FIELD_OTHER && field->name.size > prefix.size &&
           (field->name.data[0] | 0x20) == 'x' &&
           bytes_equal_nocase(bytes_slice(field->name, 0, prefix.size), prefix);
}

/* What only Cloudflare's edge may tell its origins (CF-Connecting-IP, CF-Visitor ...); it refuses
 * requests that bring some of them. */
static bool is_edge_field(const struct field *field)
{
    return field->id == FIELD_OTHER && field->name.size > 3 &&
           bytes_equal_nocase(bytes_slice(field->name, 0, 3), BYTES("cf-"));
}

bool forward_is_remade(struct bytes name)
{
    const uint64_t named = BIT(HOST) | BIT(X_FORWARDED_PROTO) | BIT(X_FORWARDED_HOST);
    struct field field = {.name = name, .id = field_id_of(name)};
    return (((remade | ours) & ~named) >> field.id & 1) != 0 || is_forwarded_kin(&field) ||
           is_edge_field(&field);
}

/* The one field with this id that was not nominated away; NULL when there is none or more than one.
 */
static const struct field *only(const struct fields *fields, uint64_t nominated, enum field_id id)
{
    const struct field *found = NULL;
    for (size_t i = 0; i < fields->count && (nominated >> id & 1) == 0; i++) {
        if (fields->items[i].id == id && found != NULL) {
            return NULL;
        }
        found = fields->items[i].id == id ? &fields->items[i] : found;
    }
    return found;
}

/* Connection says that this field is for the next hop alone. */
static bool is_for_this_hop(const struct fields *fields, enum field_id id)
{
    return fields_has_token(fields, FIELD_CONNECTION, field_id_name(id));
}

struct bytes forward_told(const struct request *in, bool is_peer_trusted, enum field_id id,
                          struct bytes own)
{
    const struct field *field =
        is_peer_trusted && !is_for_this_hop(&in->fields, id) ? only(&in->fields, 0, id) : NULL;
    return field != NULL ? field->value : own;
}

static bool is_about_site(const struct field *field)
{
    static const char *const names[] = {"x-forwarded-port", "x-forwarded-prefix",
                                        "x-forwarded-scheme", "x-forwarded-ssl"};
    for (size_t i = 0; i < COUNT_OF(names) && is_forwarded_kin(field); i++) {
        if (bytes_equal_nocase(field->name, bytes_of(names[i]))) {
            return true;
        }
    }
    return false;
}

static char *append(char *at, struct bytes text)
{
    memcpy(at, text.data, text.size);
    return at + text.size;
}

/* Cuts the next `name=value` off Forwarded (RFC 7239 section 4). */
static bool next_pair(struct bytes *rest, struct bytes *ret_pair)
{
    bool is_quoted = false;
    size_t end = 0;
    if (rest->size == 0) {
        return false;
    }
    while (end < rest->size && (is_quoted || (rest->data[end] != ',' && rest->data[end] != ';'))) {
        is_quoted ^= rest->data[end] == '"';
        end++;
    }
    *ret_pair = bytes_trim(bytes_slice(*rest, 0, end));
    size_t past = end < rest->size ? end + 1 : end;
    *rest = bytes_slice(*rest, past, rest->size - past);
    return true;
}

/* Quotes may hide pairs from us that an origin sees, which cuts them up more simply. */
static bool may_hide(struct bytes pair)
{
    return memchr(pair.data, ',', pair.size) != NULL || memchr(pair.data, ';', pair.size) != NULL ||
           memchr(pair.data, '\\', pair.size) != NULL;
}

static char *append_site_pairs(char *at, struct bytes forwarded)
{
    struct bytes pair;
    while (next_pair(&forwarded, &pair)) {
        struct bytes name = bytes_trim(bytes_slice(pair, 0, bytes_find(pair, '=')));
        if (bytes_equal_nocase(name, BYTES("proto")) || bytes_equal_nocase(name, BYTES("host")) ||
            may_hide(pair)) {
            at = append(append(at, pair), BYTES(";"));
        }
    }
    return at;
}

enum err forward_told_besides(const struct request *in, bool is_peer_trusted, struct arena *arena,
                              struct bytes *ret_text)
{
    const struct fields *fields = &in->fields;
    size_t room = 0;
    for (size_t i = 0; i < fields->count && is_peer_trusted; i++) {
        const struct field *field = &fields->items[i];
        if (field->id == FIELD_FORWARDED || is_about_site(field)) {
            room += field->name.size + field->value.size + sizeof "=;";
        }
    }
    *ret_text = BYTES("");
    if (room == 0) {
        return OK;
    }
    char *text = arena_alloc(arena, room);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    char *at = text;
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if (field->id == FIELD_FORWARDED) {
            at = append_site_pairs(at, field->value);
        } else if (is_about_site(field)) {
            at = append(append(at, field->name), BYTES("="));
            at = append(append(at, field->value), BYTES(";"));
        }
    }
    CHECK((size_t)(at - text) <= room);
    *ret_text = bytes_make(text, (size_t)(at - text));
    return OK;
}

/* All values of a list field, and `last` behind them, joined by commas (RFC 9110 section 5.3).
 * `data` is NULL when memory is out. */
static struct bytes join(const struct fields *fields, enum field_id id, struct bytes last,
                         struct arena *arena)
{
    size_t size = last.size;
    for (size_t i = 0; i < fields->count; i++) {
        size += fields->items[i].id == id ? fields->items[i].value.size + 2 : 0;
    }
    if (size == last.size) {
        return last;
    }
    char *text = arena_alloc(arena, size);
    if (text == NULL) {
        return bytes_make(NULL, 0);
    }
    char *at = text;
    for (size_t i = 0; i < fields->count; i++) {
        struct bytes value = fields->items[i].value;
        if (fields->items[i].id == id && value.size > 0) {
            memcpy(at, value.data, value.size);
            memcpy(at + value.size, ", ", 2);
            at += value.size + 2;
        }
    }
    memcpy(at, last.data, last.size);
    return bytes_make(text, (size_t)(at - text) + last.size);
}

/* `for=ADDRESS;proto=SCHEME;host=HOST` (RFC 7239 section 4): what is no token goes into quotes. */
static struct bytes forwarded_element(const struct forward_facts *facts, struct bytes host,
                                      struct arena *arena)
{
    enum { SYNTAX_SIZE_MAX = 32 };
    bool is_ipv6 = bytes_find(facts->peer_address, ':') < facts->peer_address.size;
    char *text = arena_alloc(arena, facts->peer_address.size + facts->scheme.size + host.size +
                                        SYNTAX_SIZE_MAX);
    if (text == NULL) {
        return bytes_make(NULL, 0);
    }
    char *at = append(text, is_ipv6 ? BYTES("for=\"[") : BYTES("for="));
    at = append(at, facts->peer_address);
    at = append(at, is_ipv6 ? BYTES("]\";proto=") : BYTES(";proto="));
    at = append(at, facts->scheme);
    if (host.size > 0) {
        at = append(at, BYTES(";host=\""));
        at = append(at, host);
        at = append(at, BYTES("\""));
    }
    return bytes_make(text, (size_t)(at - text));
}

/* A trusted peer's list is continued; anybody else's is replaced. */
static enum err put_list(struct out *out, const struct fields *old, bool is_continued,
                         enum field_id id, struct bytes name, struct bytes last,
                         struct arena *arena)
{
    struct bytes value = is_continued ? join(old, id, last, arena) : last;
    if (value.data == NULL) {
        return ERR_NOMEM;
    }
    put(out, id, name, value);
    return OK;
}

static void put_unchanged(struct out *out, const struct fields *fields, uint64_t nominated,
                          enum field_id id)
{
    const struct field *field = only(fields, nominated, id);
    if (field != NULL) {
        put(out, id, field->name, field->value);
    }
}

static enum err put_x_forwarded(struct out *out, const struct request *in,
                                const struct forward_facts *facts, uint64_t nominated,
                                struct arena *arena)
{
    const struct fields *old = &in->fields;
    bool is_list_kept = facts->is_peer_trusted && (nominated & BIT(X_FORWARDED_FOR)) == 0;
    enum err err = put_list(out, old, is_list_kept, FIELD_X_FORWARDED_FOR, BYTES("X-Forwarded-For"),
                            facts->peer_address, arena);
    if (err != OK) {
        return err;
    }
    put(out, FIELD_X_FORWARDED_PROTO, BYTES("X-Forwarded-Proto"),
        forward_told(in, facts->is_peer_trusted, FIELD_X_FORWARDED_PROTO, facts->scheme));
    struct bytes name =
        forward_told(in, facts->is_peer_trusted, FIELD_X_FORWARDED_HOST, in->authority);
    if (name.size > 0) {
        put(out, FIELD_X_FORWARDED_HOST, BYTES("X-Forwarded-Host"), name);
    }
    return OK;
}

/* Who asked, in the ways that were chosen. What was not chosen passes from trusted peers only. */
static enum err put_client(struct out *out, const struct request *in,
                           const struct forward_facts *facts, uint64_t nominated,
                           struct arena *arena)
{
    enum err err = OK;
    if ((facts->client_fields & FORWARD_CLIENT_X) != 0) {
        err = put_x_forwarded(out, in, facts, nominated, arena);
    } else if (facts->is_peer_trusted) {
        put_unchanged(out, &in->fields, nominated, FIELD_X_FORWARDED_FOR);
        put_unchanged(out, &in->fields, nominated, FIELD_X_FORWARDED_PROTO);
        put_unchanged(out, &in->fields, nominated, FIELD_X_FORWARDED_HOST);
    }
    if (err != OK) {
        return err;
    }
    if ((facts->client_fields & FORWARD_CLIENT_RFC7239) != 0) {
        bool is_kept = facts->is_peer_trusted && (nominated & BIT(FORWARDED)) == 0;
        struct bytes element = forwarded_element(facts, in->authority, arena);
        if (element.data == NULL) {
            return ERR_NOMEM;
        }
        return put_list(out, &in->fields, is_kept, FIELD_FORWARDED, BYTES("Forwarded"), element,
                        arena);
    }
    if (facts->is_peer_trusted) {
        put_unchanged(out, &in->fields, nominated, FIELD_FORWARDED);
    }
    return OK;
}

/* Eight digits at once: every nibble goes into a byte of its own, the highest last in the word and
 * so, in big-endian order, first in memory; those above nine are then lifted from ':' to 'a'. */
static char *append_hex_half(char *at, uint32_t value)
{
    uint64_t word = value;
    word = (word << 16 | word) & UINT64_C(0x0000ffff0000ffff);
    word = (word << 8 | word) & UINT64_C(0x00ff00ff00ff00ff);
    word = (word << 4 | word) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t is_letter = (word + SCAN_EACH(6)) >> 4 & SCAN_EACH(1);
    word = htobe64(word + SCAN_EACH('0') + is_letter * ('a' - '0' - 10));
    memcpy(at, &word, sizeof word);
    return at + sizeof word;
}

static char *append_hex(char *at, uint64_t value)
{
    return append_hex_half(append_hex_half(at, (uint32_t)(value >> 32)), (uint32_t)value);
}

static bool is_request_id(struct bytes value)
{
    return value.size <= FORWARD_REQUEST_ID_MAX && token_is_all(value, TOKEN_REQUEST_ID);
}

static enum err put_request_id(struct out *out, const struct fields *old, uint64_t nominated,
                               struct random *random, struct arena *arena)
{
    const struct field *given = only(old, nominated, FIELD_X_REQUEST_ID);
    if (given != NULL && is_request_id(given->value)) {
        put(out, FIELD_X_REQUEST_ID, BYTES("X-Request-Id"), given->value);
        return OK;
    }
    char *text = arena_alloc(arena, REQUEST_ID_SIZE);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    (void)append_hex(append_hex(text, random_u64(random)), random_u64(random));
    put(out, FIELD_X_REQUEST_ID, BYTES("X-Request-Id"), bytes_make(text, REQUEST_ID_SIZE));
    return OK;
}

/* Lower-case hex digits, and not all of them '0' unless `may_be_zero`. */
static bool is_trace_hex(struct bytes text, bool may_be_zero)
{
    bool is_zero = true;
    for (size_t i = 0; i < text.size; i++) {
        if (!token_is(text.data[i], TOKEN_HEX) || (text.data[i] >= 'A' && text.data[i] <= 'F')) {
            return false;
        }
        is_zero = is_zero && text.data[i] == '0';
    }
    return may_be_zero || !is_zero;
}

/* version "-" trace-id "-" parent-id "-" flags (W3C Trace Context section 3.2): a higher version
 * may have more behind a further dash, ff is none. */
static bool is_traceparent(struct bytes value)
{
    if (value.size < TRACEPARENT_SIZE || value.data[2] != '-' || value.data[35] != '-' ||
        value.data[52] != '-') {
        return false;
    }
    struct bytes version = bytes_slice(value, 0, 2);
    if (!is_trace_hex(version, true) || bytes_equal(version, BYTES("ff"))) {
        return false;
    }
    if (value.size > TRACEPARENT_SIZE &&
        (bytes_equal(version, BYTES("00")) || value.data[TRACEPARENT_SIZE] != '-')) {
        return false;
    }
    return is_trace_hex(bytes_slice(value, 3, 32), false) &&
           is_trace_hex(bytes_slice(value, 36, 16), false) &&
           is_trace_hex(bytes_slice(value, 53, 2), true);
}

/* Passes a sound trace on with its state, or starts one. It is started as sampled: flags 00 would
 * tell every origin that samples as its parent does to record nothing at all. */
static enum err put_trace(struct out *out, const struct fields *old, uint64_t nominated,
                          struct random *random, struct arena *arena)
{
    const struct field *given = only(old, nominated, FIELD_TRACEPARENT);
    if (given != NULL && is_traceparent(given->value)) {
        put(out, FIELD_TRACEPARENT, BYTES("traceparent"), given->value);
        put_unchanged(out, old, nominated, FIELD_TRACESTATE);
        return OK;
    }
    char *text = arena_alloc(arena, TRACEPARENT_SIZE);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    char *at = append(text, BYTES("00-"));
    at = append_hex(append_hex(at, random_u64(random) | 1), random_u64(random));
    at = append_hex(append(at, BYTES("-")), random_u64(random) | 1);
    (void)append(at, BYTES("-01"));
    put(out, FIELD_TRACEPARENT, BYTES("traceparent"), bytes_make(text, TRACEPARENT_SIZE));
    return OK;
}

/* HTTP/2 asks for a WebSocket without the key that HTTP/1.1 wants (RFC 8441 section 5). */
static bool lacks_key(const struct request *in)
{
    return in->version == HTTP_2 && in->upgrade.size > 0;
}

static enum err put_key(struct out *out, struct random *random, struct arena *arena)
{
    char *text = arena_alloc(arena, WEBSOCKET_KEY_SIZE);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    put(out, FIELD_SEC_WEBSOCKET_KEY, BYTES("Sec-WebSocket-Key"), websocket_make_key(random, text));
    return OK;
}

/* The protocol a message was received in (RFC 9110 section 7.6.3). */
static struct bytes via(enum http_version version)
{
    switch (version) {
    case HTTP_1_0:
        return BYTES("1.0 serin");
    case HTTP_1_1:
        return BYTES("1.1 serin");
    default:
        return BYTES("2 serin");
    }
}

/* Names that are told by their beginning. */
struct prefixes {
    bool has_forwarded; /* stay behind */
    bool has_edge;
};

static void copy_fields(struct out *out, const struct fields *fields, const struct dropped *dropped,
                        struct prefixes prefixes)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        bool is_named = (prefixes.has_forwarded && is_forwarded_kin(field)) ||
                        (prefixes.has_edge && is_edge_field(field));
        if (!is_dropped(dropped, field) && !is_named) {
            out->items[out->count++] = *field;
        }
    }
}

enum err forward_request(const struct request *in, const struct forward_facts *facts,
                         struct random *random, struct field *out_items, size_t out_max,
                         struct arena *arena, struct request *ret_out)
{
    struct out out = {out_items, 0, out_max};
    struct dropped dropped;
    CHECK(facts->origin_authority.size > 0);
    if (in->fields.count + FORWARD_FIELDS_ADDED_MAX > out_max) {
        return ERR_LIMIT;
    }
    enum err err = drop_nominated(&dropped, &in->fields);
    if (err != OK) {
        return err;
    }
    uint64_t nominated = dropped.ids;
    dropped.ids |= hop_by_hop | remade | ours;
    dropped.ids |= in->expects_continue ? 0 : BIT(EXPECT);
    dropped.ids |= in->body == BODY_CHUNKED ? 0 : BIT(TRAILER);
    dropped.ids |= lacks_key(in) ? BIT(SEC_WEBSOCKET_KEY) : 0;
    bool is_client_host = facts->is_host_kept && in->authority.size > 0;
    put(&out, FIELD_HOST, BYTES("Host"), is_client_host ? in->authority : facts->origin_authority);
    copy_fields(&out, &in->fields, &dropped,
                (struct prefixes){!facts->is_peer_trusted, facts->is_behind_edge});
    put(&out, FIELD_VIA, BYTES("Via"), via(in->version));
    err = put_client(&out, in, facts, nominated, arena);
    if (err == OK) {
        err = put_request_id(&out, &in->fields, nominated, random, arena);
    }
    if (err == OK) {
        err = put_trace(&out, &in->fields, nominated, random, arena);
    }
    if (err == OK && lacks_key(in)) {
        err = put_key(&out, random, arena);
    }
    if (err != OK) {
        return err;
    }
    *ret_out = *in;
    ret_out->fields = (struct fields){out.items, out.count};
    ret_out->is_keep_alive = true;
    return OK;
}

void forward_set_host(struct request *out, struct bytes authority)
{
    CHECK(out->fields.count > 0);
    CHECK(out->fields.items[0].id == FIELD_HOST);
    out->fields.items[0].value = authority;
}

/* How the client learns where the body ends: what has no length is chunked, and to HTTP/1.0 ends
 * with the connection (RFC 9112 section 6.3). */
static void frame_response(struct response *out, const struct forward_back_facts *facts)
{
    out->version = facts->client_version;
    if (out->body == BODY_CHUNKED || out->body == BODY_UNTIL_CLOSE) {
        out->body = facts->client_version == HTTP_1_0 ? BODY_UNTIL_CLOSE : BODY_CHUNKED;
    }
    if (out->status < 200 || out->status == 204) {
        out->has_content_length = false;
    }
    out->is_keep_alive = facts->is_client_keep_alive && out->body != BODY_UNTIL_CLOSE;
}

enum err forward_response(const struct response *in, const struct forward_back_facts *facts,
                          struct field *out_items, size_t out_max, struct response *ret_out)
{
    struct out out = {out_items, 0, out_max};
    struct dropped dropped;
    if (in->fields.count + FORWARD_FIELDS_ADDED_MAX + facts->extra_count > out_max) {
        return ERR_LIMIT;
    }
    enum err err = drop_nominated(&dropped, &in->fields);
    if (err != OK) {
        return err;
    }
    struct response response = *in;
    frame_response(&response, facts);
    dropped.ids |= hop_by_hop;
    dropped.ids |= response.body == BODY_CHUNKED ? 0 : BIT(TRAILER);
    dropped.ids |= facts->client_version == HTTP_2 ? BIT(SEC_WEBSOCKET_ACCEPT) : 0;
    for (size_t i = 0; i < facts->extra_count; i++) { /* ours stands in for the origin's */
        dropped.ids |= facts->extra[i].id == FIELD_STRICT_TRANSPORT_SECURITY
                           ? BIT(STRICT_TRANSPORT_SECURITY)
                           : 0;
    }
    copy_fields(&out, &in->fields, &dropped, (struct prefixes){false, false});
    if (!response_is_informational(in)) {
        put(&out, FIELD_VIA, BYTES("Via"), via(in->version));
        if (facts->date.size > 0 && fields_find(&in->fields, FIELD_DATE) == NULL) {
            put(&out, FIELD_DATE, BYTES("Date"), facts->date);
        }
        for (size_t i = 0; i < facts->extra_count; i++) {
            put(&out, facts->extra[i].id, facts->extra[i].name, facts->extra[i].value);
        }
    }
    response.fields = (struct fields){out.items, out.count};
    *ret_out = response;
    return OK;
}

bool forward_may_inform(enum http_version client_version)
{
    return client_version != HTTP_1_0;
}

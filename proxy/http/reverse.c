#include "proxy/http/reverse.h"

#include "conf/ip.h"
#include "proxy/base/check.h"
#include "proxy/http/authority.h"

/* ---- redirects ---- */

/* An absolute or scheme-relative reference, taken apart (RFC 3986 section 4.2). */
struct reference {
    struct bytes default_port; /* of its scheme; empty: none was named */
    struct bytes authority;
    struct bytes rest; /* path, query and fragment */
};

static bool skip(struct bytes *text, struct bytes prefix)
{
    if (text->size < prefix.size ||
        !bytes_equal_nocase(bytes_slice(*text, 0, prefix.size), prefix)) {
        return false;
    }
    *text = bytes_slice(*text, prefix.size, text->size - prefix.size);
    return true;
}

static bool read_reference(struct bytes text, struct reference *ret_reference)
{
    struct reference reference = {.default_port = BYTES("")};
    if (skip(&text, BYTES("https:"))) {
        reference.default_port = BYTES("443");
    } else if (skip(&text, BYTES("http:"))) {
        reference.default_port = BYTES("80");
    }
    if (!skip(&text, BYTES("//"))) {
        return false;
    }
    size_t end = 0;
    while (end < text.size && text.data[end] != '/' && text.data[end] != '?' &&
           text.data[end] != '#') {
        end++;
    }
    reference.authority = bytes_slice(text, 0, end);
    reference.rest = bytes_slice(text, end, text.size - end);
    *ret_reference = reference;
    return true;
}

/* Many an origin does not know the port that it is reached by; one that names another port means
 * somebody else. */
static bool is_origin(const struct reference *reference, struct bytes origin)
{
    struct authority named;
    struct authority ours;
    if (!authority_split(reference->authority, &named) || !authority_split(origin, &ours) ||
        !bytes_equal_nocase(named.host, ours.host)) {
        return false;
    }
    return named.port.size == 0 || bytes_equal(named.port, reference->default_port) ||
           bytes_equal(named.port, ours.port);
}

static enum err reverse_location(struct field *field, const struct reverse_facts *facts,
                                 struct arena *arena)
{
    struct reference reference;
    if (facts->authority.size == 0 || !read_reference(field->value, &reference) ||
        !is_origin(&reference, facts->origin)) {
        return OK;
    }
    const struct bytes parts[] = {facts->scheme, BYTES("://"), facts->authority, reference.rest};
    size_t size = 0;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        size += parts[i].size;
    }
    char *text = arena_alloc(arena, size);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    char *at = text;
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        memcpy(at, parts[i].data, parts[i].size);
        at += parts[i].size;
    }
    field->value = bytes_make(text, size);
    return OK;
}

/* ---- cookies ---- */

/* The domain that an attribute names, without blanks and its first dot; false for other attributes
 * (RFC 6265 section 5.2.3). */
static bool read_domain(struct bytes attribute, struct bytes *ret_domain)
{
    size_t equals = bytes_find(attribute, '=');
    struct bytes name = bytes_trim(bytes_slice(attribute, 0, equals));
    if (equals == attribute.size || !bytes_equal_nocase(name, BYTES("domain"))) {
        return false;
    }
    struct bytes domain =
        bytes_trim(bytes_slice(attribute, equals + 1, attribute.size - equals - 1));
    if (domain.size > 0 && domain.data[0] == '.') {
        domain = bytes_slice(domain, 1, domain.size - 1);
    }
    *ret_domain = domain;
    return true;
}

static bool covers(struct bytes domain, struct bytes host)
{
    if (domain.size == 0 || domain.size > host.size) {
        return false;
    }
    size_t before = host.size - domain.size;
    return bytes_equal_nocase(bytes_slice(host, before, domain.size), domain) &&
           (before == 0 || host.data[before - 1] == '.');
}

static bool may_be_domain(struct bytes host)
{
    struct ip ip;
    return bytes_find(host, '.') < host.size && !ip_parse(host, &ip);
}

static bool is_own(struct bytes attribute, struct bytes origin_host)
{
    struct bytes domain;
    return read_domain(attribute, &domain) && covers(domain, origin_host);
}

static size_t append(char *text, size_t at, struct bytes part)
{
    if (part.size > 0) {
        memcpy(text + at, part.data, part.size);
    }
    return at + part.size;
}

/* The attributes in their order, each that names the origin's domain with the site's instead. */
static size_t write_cookie(struct bytes cookie, struct bytes origin_host, struct bytes domain,
                           char *text)
{
    struct bytes rest = cookie;
    struct bytes part;
    size_t size = 0;
    for (bool is_first = true; bytes_next(&rest, ';', &part); is_first = false) {
        bool is_replaced = !is_first && is_own(part, origin_host);
        if (is_replaced && domain.size == 0) {
            continue;
        }
        size = append(text, size, is_first ? BYTES("") : BYTES(";"));
        size = append(text, size, is_replaced ? BYTES(" Domain=") : part);
        size = append(text, size, is_replaced ? domain : BYTES(""));
    }
    return size;
}

static enum err reverse_cookie(struct field *field, const struct reverse_facts *facts,
                               struct arena *arena)
{
    struct authority origin;
    struct authority site = {.host = BYTES("")};
    struct bytes rest = field->value;
    struct bytes part;
    size_t count = 0;
    if (!authority_split(facts->origin, &origin)) {
        return OK;
    }
    (void)bytes_next(&rest, ';', &part); /* name and value, which may say anything */
    while (bytes_next(&rest, ';', &part)) {
        count += is_own(part, origin.host);
    }
    if (count == 0) {
        return OK;
    }
    (void)authority_split(facts->authority, &site);
    struct bytes domain = may_be_domain(site.host) ? site.host : BYTES("");
    char *text = arena_alloc(arena, field->value.size + count * (domain.size + sizeof " Domain="));
    if (text == NULL) {
        return ERR_NOMEM;
    }
    field->value = bytes_make(text, write_cookie(field->value, origin.host, domain, text));
    return OK;
}

/* ---- all of them ---- */

static bool is_of_origin_alone(const struct field *field)
{
    return (field->id == FIELD_X_ROBOTS_TAG &&
            bytes_equal_nocase(field->value, BYTES("noindex"))) ||
           (field->id == FIELD_OTHER && bytes_equal_nocase(field->name, BYTES("alt-svc")));
}

static bool is_reference(const struct field *field)
{
    return field->id == FIELD_LOCATION || field->id == FIELD_CONTENT_LOCATION;
}

enum err reverse_fields(struct fields *fields, const struct reverse_facts *facts,
                        struct arena *arena)
{
    enum err err = OK;
    size_t kept = 0;
    for (size_t i = 0; i < fields->count && err == OK; i++) {
        struct field field = fields->items[i];
        if (is_of_origin_alone(&field)) {
            continue;
        }
        if (is_reference(&field)) {
            err = reverse_location(&field, facts, arena);
        } else if (field.id == FIELD_SET_COOKIE) {
            err = reverse_cookie(&field, facts, arena);
        }
        fields->items[kept++] = field;
    }
    fields->count = kept;
    return err;
}

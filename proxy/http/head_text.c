#include "proxy/http/head_text.h"

#include <stdio.h>
#include <string.h>

#include "proxy/base/check.h"

struct writer {
    char *text; /* borrowed */
    size_t size;
    size_t used;
};

/* What names of fields with secrets have in them. Rather one value too few than one too many. */
static const char *const secret_words[] = {
    "auth",  "cookie",  "token",      "secret",    "key",
    "passw", "session", "credential", "signature", "assertion",
    "jwt",   "csrf",    "xsrf",       "cert",      "websocket-protocol",
    "dpop",  "bearer",  "pwd",
};

/* Fields whose values are addresses, which may have secrets behind the question mark. */
static const char *const address_fields[] = {
    "referer",        "location",      "content-location",
    "link",           "origin",        "refresh",
    "x-original-url", "x-rewrite-url", "x-forwarded-uri",
    "x-original-uri", ":path",         "destination",
};

static bool has_word(struct bytes name, const char *word)
{
    size_t size = strlen(word);
    for (size_t i = 0; i + size <= name.size; i++) {
        if (bytes_equal_nocase(bytes_slice(name, i, size), bytes_of(word))) {
            return true;
        }
    }
    return false;
}

static bool is_one_of(struct bytes name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes_equal_nocase(name, bytes_of(names[i]))) {
            return true;
        }
    }
    return false;
}

bool head_text_is_secret(struct bytes name, const struct head_text_secrets *secrets)
{
    for (size_t i = 0; i < COUNT_OF(secret_words); i++) {
        if (has_word(name, secret_words[i])) {
            return true;
        }
    }
    return is_one_of(name, secrets->names, secrets->count);
}

static struct bytes before(struct bytes text, char byte)
{
    return bytes_slice(text, 0, bytes_find(text, byte));
}

struct bytes head_text_path(struct bytes target)
{
    return before(before(target, '?'), '#');
}

static void put(char *line, size_t *used, struct bytes text)
{
    if (text.size > 0) {
        memcpy(line + *used, text.data, text.size);
        *used += text.size;
    }
}

/* A line of these parts, or none of it. */
static void write_line(struct writer *writer, const struct bytes *parts, size_t count)
{
    size_t total = 1;
    for (size_t i = 0; i < count; i++) {
        total += parts[i].size;
    }
    if (total > writer->size - writer->used) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        put(writer->text, &writer->used, parts[i]);
    }
    put(writer->text, &writer->used, BYTES("\n"));
}

static void write_address(struct writer *writer, struct bytes name, struct bytes value)
{
    struct bytes shown = head_text_path(value);
    bool names_user = bytes_find(shown, '@') < shown.size;
    bool is_cut = shown.size < value.size;
    struct bytes parts[] = {name, BYTES(": "), names_user ? BYTES("") : shown,
                            names_user || is_cut ? BYTES(HEAD_TEXT_REDACTED) : BYTES("")};
    write_line(writer, parts, COUNT_OF(parts));
}

static void write_fields(struct writer *writer, const struct fields *fields,
                         const struct head_text_secrets *secrets)
{
    for (size_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        if (!head_text_is_secret(field->name, secrets) &&
            is_one_of(field->name, address_fields, COUNT_OF(address_fields))) {
            write_address(writer, field->name, field->value);
            continue;
        }
        bool is_secret = head_text_is_secret(field->name, secrets);
        struct bytes parts[] = {field->name, BYTES(": "),
                                is_secret ? BYTES(HEAD_TEXT_REDACTED) : field->value};
        write_line(writer, parts, COUNT_OF(parts));
    }
}

static struct bytes version_text(enum http_version version)
{
    switch (version) {
    case HTTP_1_0:
        return BYTES("HTTP/1.0");
    case HTTP_1_1:
        return BYTES("HTTP/1.1");
    case HTTP_2:
        break;
    }
    return BYTES("HTTP/2");
}

size_t head_text_request(const struct request *request, const struct head_text_secrets *secrets,
                         char *ret_text, size_t size)
{
    struct writer writer = {ret_text, size, 0};
    struct bytes path = head_text_path(request->target);
    bool is_cut = path.size < request->target.size;
    struct bytes parts[] = {method_text(request->method),
                            BYTES(" "),
                            path,
                            is_cut ? BYTES("?" HEAD_TEXT_REDACTED) : BYTES(""),
                            BYTES(" "),
                            version_text(request->version)};
    write_line(&writer, parts, COUNT_OF(parts));
    write_fields(&writer, &request->fields, secrets);
    return writer.used;
}

size_t head_text_response(const struct response *response, const struct head_text_secrets *secrets,
                          char *ret_text, size_t size)
{
    struct writer writer = {ret_text, size, 0};
    char status[16];
    (void)snprintf(status, sizeof status, " %u ", response->status);
    struct bytes parts[] = {version_text(response->version), bytes_of(status), response->reason};
    write_line(&writer, parts, COUNT_OF(parts));
    write_fields(&writer, &response->fields, secrets);
    return writer.used;
}

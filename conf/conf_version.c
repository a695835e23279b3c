#include "conf/conf_version.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf_address.h"
#include "proxy/base/check.h"
#include "proxy/base/hash.h"

enum { VERSION_ARENA_MAX = 256 * 1024 };

/* What a version by itself is embedded in. */
struct holder {
    struct conf_version version;
    struct arena arena; /* owns its texts and endpoints */
};

enum err conf_deployment_check(const char *deployment, struct note *note)
{
    static const struct conf_key key = {.type = CONF_TYPE_DEPLOYMENT};
    struct arena arena;
    const char *kept = NULL;
    arena_init(&arena, 2 * ARENA_CHUNK_SIZE);
    struct conf_value_context context = {.arena = &arena};
    enum err err = conf_value_parse(&context, &key, bytes_of(deployment), note, &kept);
    arena_finish(&arena);
    return err;
}

enum err conf_version_derive(struct arena *arena, struct conf_version *version)
{
    static const struct hash_key key = {0x7365726e2d657073u, 0x6465706c6f796d74u};
    enum { TEXT_SIZE = sizeof "ep-0123456789ab" };
    if (version->deployment != NULL || version->endpoint_count == 0) {
        return OK;
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < version->endpoint_count; i++) {
        const char *url = version->endpoints[i].url;
        sum += url != NULL ? hash_bytes(key, bytes_of(url)) : 0;
    }
    char *text = arena_alloc(arena, TEXT_SIZE);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    (void)snprintf(text, TEXT_SIZE, "ep-%012" PRIx64, sum >> 16);
    version->deployment = text;
    version->is_deployment_derived = true;
    return OK;
}

static bool has_authority(const struct conf_version *version, const char *authority)
{
    for (size_t i = 0; i < version->endpoint_count; i++) {
        if (strcmp(version->endpoints[i].authority, authority) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_endpoint(const struct conf_version *version, const char *url)
{
    for (size_t i = 0; i < version->endpoint_count; i++) {
        if (strcmp(version->endpoints[i].url, url) == 0) {
            return true;
        }
    }
    return false;
}

static enum err add_endpoint(struct holder *holder, const char *url, struct note *note)
{
    struct conf_value_context context = {.arena = &holder->arena};
    struct conf_version *version = &holder->version;
    struct conf_endpoint endpoint;
    struct note why = {""};
    enum err err = conf_endpoint_parse(&context, bytes_of(url), &why, &endpoint);
    if (err != OK && err != ERR_NOMEM) {
        note_set(note, "%s %s", url, why.text);
        return err;
    }
    if (err == OK && has_authority(version, endpoint.authority)) {
        note_set(note, "%s is there twice", endpoint.url);
        return ERR_EXISTS;
    }
    if (err == OK) {
        version->endpoints[version->endpoint_count++] = endpoint;
    }
    return err;
}

static enum err fill(struct holder *holder, const char *deployment, const char *const *urls,
                     size_t url_count, struct note *note)
{
    struct conf_version *version = &holder->version;
    if (url_count == 0 || url_count > CONF_ENDPOINTS_MAX) {
        note_set(note, "a version has 1 to %d endpoints", CONF_ENDPOINTS_MAX);
        return ERR_LIMIT;
    }
    version->endpoints = arena_zalloc(&holder->arena, url_count * sizeof *version->endpoints);
    if (version->endpoints == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < url_count; i++) {
        enum err err = add_endpoint(holder, urls[i], note);
        if (err != OK) {
            return err;
        }
    }
    if (deployment == NULL) {
        return conf_version_derive(&holder->arena, version);
    }
    size_t size = strlen(deployment) + 1;
    char *copy = arena_alloc(&holder->arena, size);
    if (copy == NULL) {
        return ERR_NOMEM;
    }
    memcpy(copy, deployment, size);
    version->deployment = copy;
    return OK;
}

enum err conf_version_create(const char *deployment, const char *const *urls, size_t url_count,
                             struct note *note, struct conf_version **ret_version)
{
    struct holder *holder = calloc(1, sizeof *holder);
    if (holder == NULL) {
        return ERR_NOMEM;
    }
    arena_init(&holder->arena, VERSION_ARENA_MAX);
    enum err err = fill(holder, deployment, urls, url_count, note);
    if (err != OK) {
        conf_version_destroy(&holder->version);
        return err;
    }
    *ret_version = &holder->version;
    return OK;
}

enum err conf_version_copy(const struct conf_version *from, struct conf_version **ret_version)
{
    const char *urls[CONF_ENDPOINTS_MAX];
    struct note note = {""};
    CHECK(from->endpoint_count <= CONF_ENDPOINTS_MAX);
    for (size_t i = 0; i < from->endpoint_count; i++) {
        urls[i] = from->endpoints[i].url;
    }
    struct conf_version *version = NULL;
    enum err err =
        conf_version_create(from->deployment, urls, from->endpoint_count, &note, &version);
    if (err == OK) {
        version->is_deployment_derived = from->is_deployment_derived;
        *ret_version = version;
    }
    return err;
}

void conf_version_destroy(struct conf_version *version)
{
    if (version != NULL) {
        struct holder *holder = CONTAINER_OF(version, struct holder, version);
        arena_finish(&holder->arena);
        free(holder);
    }
}

bool conf_endpoint_is_deployment(const struct conf_endpoint *endpoint)
{
    static const char suffix[] = ".pages.dev";
    size_t size = endpoint->host != NULL ? strlen(endpoint->host) : 0;
    return size >= sizeof suffix &&
           strcmp(endpoint->host + size - (sizeof suffix - 1), suffix) == 0;
}

bool conf_version_equals(const struct conf_version *a, const struct conf_version *b)
{
    if (strcmp(a->deployment, b->deployment) != 0 || a->endpoint_count != b->endpoint_count) {
        return false;
    }
    for (size_t i = 0; i < a->endpoint_count; i++) {
        if (!has_endpoint(b, a->endpoints[i].url)) {
            return false;
        }
    }
    return true;
}

#include "conf/conf_diff.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/conf_schema.h"
#include "proxy/base/check.h"

static bool section_equals(const struct conf_section *section, const void *a, const void *b);

static bool text_equals(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static const void *member(const void *object, size_t offset)
{
    return (const char *)object + offset;
}

/* One value of the key's type. Places in the file are no difference. */
static bool value_equals(const struct conf_key *key, const void *a, const void *b)
{
    const char *texts[2];
    switch (key->type) {
    case CONF_TYPE_NAME:
    case CONF_TYPE_DEPLOYMENT:
    case CONF_TYPE_FIELD:
    case CONF_TYPE_VARIABLE:
    case CONF_TYPE_FILE:
    case CONF_TYPE_URL_PATH:
    case CONF_TYPE_PREFIX:
    case CONF_TYPE_GLOB:
    case CONF_TYPE_HOST:
    case CONF_TYPE_PATTERN:
    case CONF_TYPE_URL:
    case CONF_TYPE_WORD:
        memcpy(&texts[0], a, sizeof texts[0]);
        memcpy(&texts[1], b, sizeof texts[1]);
        return text_equals(texts[0], texts[1]);
    case CONF_TYPE_LISTEN:
    case CONF_TYPE_ADDRESS:
        return text_equals(((const struct conf_address *)a)->text,
                           ((const struct conf_address *)b)->text);
    case CONF_TYPE_ENDPOINT:
        return text_equals(((const struct conf_endpoint *)a)->url,
                           ((const struct conf_endpoint *)b)->url);
    case CONF_TYPE_SECTION:
        return section_equals(key->section, a, b);
    default:
        return memcmp(a, b, conf_key_size(key)) == 0;
    }
}

static bool list_equals(const struct conf_key *key, const void *a, const void *b)
{
    size_t counts[2];
    const char *values[2];
    memcpy(&counts[0], member(a, key->count_offset), sizeof counts[0]);
    memcpy(&counts[1], member(b, key->count_offset), sizeof counts[1]);
    memcpy(&values[0], member(a, key->offset), sizeof values[0]);
    memcpy(&values[1], member(b, key->offset), sizeof values[1]);
    bool is_equal = counts[0] == counts[1];
    for (size_t i = 0; i < counts[0] && is_equal; i++) {
        size_t at = i * conf_key_size(key);
        is_equal = value_equals(key, values[0] + at, values[1] + at);
    }
    return is_equal;
}

static bool key_equals(const struct conf_key *key, const void *a, const void *b)
{
    /* A key of one element shares its list with another key. */
    if (key->type == CONF_TYPE_UNBUILT || (key->flags & CONF_KEY_SINGLE) != 0) {
        return true;
    }
    if (key->flag_offset > 0 &&
        memcmp(member(a, key->flag_offset), member(b, key->flag_offset), sizeof(bool)) != 0) {
        return false;
    }
    if (key->list_max > 0) {
        return list_equals(key, a, b);
    }
    return value_equals(key, member(a, key->offset), member(b, key->offset));
}

static bool section_equals(const struct conf_section *section, const void *a, const void *b)
{
    for (size_t i = 0; i < section->key_count; i++) {
        if (!key_equals(&section->keys[i], a, b)) {
            return false;
        }
    }
    return true;
}

/* Makes room for one element more in an array of `count`; NULL when there is no memory. */
static void *grow(void *array, size_t count, size_t element_size)
{
    bool is_full = (count & (count - 1)) == 0; /* 0 and each power of two */
    return is_full ? realloc(array, (count > 0 ? 2 * count : 1) * element_size) : array;
}

static enum err add_key(struct conf_diff *diff, const char *service, const char *outer,
                        const struct conf_key *key)
{
    struct conf_key_change *keys = grow(diff->keys, diff->key_count, sizeof keys[0]);
    if (keys == NULL) {
        return ERR_NOMEM;
    }
    diff->keys = keys;
    struct conf_key_change *change = &keys[diff->key_count++];
    *change = (struct conf_key_change){.service = service};
    change->needs_restart = (key->flags & CONF_KEY_RESTART) != 0;
    (void)snprintf(change->key, sizeof change->key, "%s%s%s", outer != NULL ? outer : "",
                   outer != NULL ? "." : "", key->name);
    diff->needs_restart |= change->needs_restart;
    return OK;
}

/* Both are there, so that their keys can be told apart one by one. */
static bool is_open_section(const struct conf_key *key, const void *a, const void *b)
{
    if (key->type != CONF_TYPE_SECTION || key->list_max > 0) {
        return false;
    }
    return key->flag_offset == 0 ||
           memcmp(member(a, key->flag_offset), member(b, key->flag_offset), sizeof(bool)) == 0;
}

static enum err diff_section(struct conf_diff *diff, const struct conf_section *section,
                             const char *service, const char *outer, const void *a, const void *b)
{
    enum err err = OK;
    for (size_t i = 0; i < section->key_count && err == OK; i++) {
        const struct conf_key *key = &section->keys[i];
        bool is_told_apart =
            key->section == &conf_schema_service || key->offset == offsetof(struct conf, listeners);
        if (section == conf_schema() && key->type == CONF_TYPE_SECTION && is_told_apart) {
            continue;
        }
        if (key_equals(key, a, b)) {
            continue;
        }
        if (is_open_section(key, a, b)) {
            err = diff_section(diff, key->section, service, key->name, member(a, key->offset),
                               member(b, key->offset));
        } else {
            err = add_key(diff, service, outer, key);
        }
    }
    return err;
}

static enum err add_listener(struct conf_diff *diff, const struct conf_listener *before,
                             const struct conf_listener *after)
{
    struct conf_listener_change *listeners =
        grow(diff->listeners, diff->listener_count, sizeof listeners[0]);
    if (listeners == NULL) {
        return ERR_NOMEM;
    }
    diff->listeners = listeners;
    listeners[diff->listener_count++] = (struct conf_listener_change){before, after};
    return OK;
}

static bool has_listener(const struct conf *conf, const struct conf_listener *listener)
{
    for (size_t i = 0; i < conf->listener_count; i++) {
        if (text_equals(conf->listeners[i].address.text, listener->address.text)) {
            return true;
        }
    }
    return false;
}

static enum err diff_listeners(struct conf_diff *diff, const struct conf *before,
                               const struct conf *after)
{
    enum err err = OK;
    for (size_t i = 0; i < before->listener_count && err == OK; i++) {
        if (!has_listener(after, &before->listeners[i])) {
            err = add_listener(diff, &before->listeners[i], NULL);
        }
    }
    for (size_t i = 0; i < after->listener_count && err == OK; i++) {
        if (!has_listener(before, &after->listeners[i])) {
            err = add_listener(diff, NULL, &after->listeners[i]);
        }
    }
    return err;
}

static unsigned part_of(const struct conf_key *key)
{
    switch (key->offset) {
    case offsetof(struct conf_service, previous):
        return CONF_PART_PREVIOUS;
    case offsetof(struct conf_service, current):
        return CONF_PART_CURRENT;
    case offsetof(struct conf_service, weight_ppm):
        return CONF_PART_WEIGHT;
    case offsetof(struct conf_service, hosts):
    case offsetof(struct conf_service, paths):
        return CONF_PART_ROUTES;
    default:
        return CONF_PART_SETTINGS;
    }
}

static unsigned changed_parts(const struct conf_service *before, const struct conf_service *after)
{
    unsigned parts = 0;
    for (size_t i = 0; i < conf_schema_service.key_count; i++) {
        const struct conf_key *key = &conf_schema_service.keys[i];
        parts |= key_equals(key, before, after) ? 0 : part_of(key);
    }
    return parts;
}

static enum err add_service(struct conf_diff *diff, const struct conf_service *before,
                            const struct conf_service *after, unsigned parts)
{
    struct conf_service_change *services =
        grow(diff->services, diff->service_count, sizeof services[0]);
    if (services == NULL) {
        return ERR_NOMEM;
    }
    diff->services = services;
    services[diff->service_count++] = (struct conf_service_change){before, after, parts};
    return OK;
}

static enum err diff_services(struct conf_diff *diff, const struct conf *before,
                              const struct conf *after)
{
    enum err err = OK;
    for (size_t i = 0; i < before->service_count && err == OK; i++) {
        const struct conf_service *old = &before->services[i];
        if (conf_service_find(after, bytes_of(old->name)) == NULL) {
            err = add_service(diff, old, NULL, CONF_PART_ALL);
        }
    }
    for (size_t i = 0; i < after->service_count && err == OK; i++) {
        const struct conf_service *new = &after->services[i];
        const struct conf_service *old = conf_service_find(before, bytes_of(new->name));
        unsigned parts = old != NULL ? changed_parts(old, new) : CONF_PART_ALL;
        if (parts != 0) {
            err = add_service(diff, old, new, parts);
        }
        if (parts != 0 && old != NULL && err == OK) {
            err = diff_section(diff, &conf_schema_service, new->name, NULL, old, new);
        }
    }
    return err;
}

enum err conf_diff_create(const struct conf *before, const struct conf *after,
                          struct conf_diff **ret_diff)
{
    struct conf_diff *diff = calloc(1, sizeof *diff);
    if (diff == NULL) {
        return ERR_NOMEM;
    }
    enum err err = diff_section(diff, conf_schema(), NULL, NULL, before, after);
    if (err == OK) {
        err = diff_listeners(diff, before, after);
    }
    if (err == OK) {
        err = diff_services(diff, before, after);
    }
    if (err != OK) {
        conf_diff_destroy(diff);
        return err;
    }
    *ret_diff = diff;
    return OK;
}

void conf_diff_destroy(struct conf_diff *diff)
{
    if (diff == NULL) {
        return;
    }
    free(diff->listeners);
    free(diff->services);
    free(diff->keys);
    free(diff);
}

#include "canary/controller/registry.h"

#include <stdlib.h>

#include "proxy/base/buf.h"

enum registry_kind { REGISTRY_SERVICE = 's', REGISTRY_VERSION = 'v', REGISTRY_ENDPOINT = 'e' };
enum { KEY_MAX = 1024, SHRINK_COUNT = 8192 /* entries of a store at a time */ };

struct registry_item {
    enum registry_kind kind;
    struct bytes key; /* owned */
    union {
        struct service *service;
        struct version *version;
        struct endpoint *endpoint;
    } object;
};

void registry_init(struct registry *registry, size_t worker_count)
{
    *registry = (struct registry){.worker_count = worker_count};
    map_init(&registry->map);
}

static void release(struct registry_item *item)
{
    switch (item->kind) {
    case REGISTRY_SERVICE:
        service_unref(item->object.service);
        break;
    case REGISTRY_VERSION:
        version_unref(item->object.version);
        break;
    case REGISTRY_ENDPOINT:
        endpoint_unref(item->object.endpoint);
        break;
    }
    free((char *)(uintptr_t)item->key.data);
    free(item);
}

void registry_finish(struct registry *registry)
{
    for (size_t i = 0; i < registry->item_count; i++) {
        release(registry->items[i]);
    }
    free(registry->items);
    map_finish(&registry->map);
    *registry = (struct registry){0};
}

/* Names cannot hold control bytes, so a NUL between them keeps keys apart. */
static void make_key(struct buf *key, enum registry_kind kind, struct bytes a, struct bytes b,
                     struct bytes c)
{
    buf_init(key, KEY_MAX);
    (void)buf_append_byte(key, (char)kind);
    (void)buf_append(key, a);
    (void)buf_append_byte(key, '\0');
    (void)buf_append(key, b);
    (void)buf_append_byte(key, '\0');
    (void)buf_append(key, c);
}

static bool make_room(struct registry *registry)
{
    if (registry->item_count < registry->item_capacity) {
        return true;
    }
    size_t capacity = registry->item_capacity > 0 ? registry->item_capacity * 2 : 16;
    struct registry_item **items = realloc(registry->items, capacity * sizeof *items);
    if (items == NULL) {
        return false;
    }
    registry->items = items;
    registry->item_capacity = capacity;
    return true;
}

static enum err create_object(const struct registry *registry, struct bytes name,
                              struct registry_item *item)
{
    switch (item->kind) {
    case REGISTRY_SERVICE:
        return service_create(name, registry->worker_count, &item->object.service);
    case REGISTRY_VERSION:
        return version_create(name, registry->worker_count, &item->object.version);
    case REGISTRY_ENDPOINT:
        break;
    }
    return endpoint_create(name, registry->worker_count, &item->object.endpoint);
}

static enum err create_item(struct registry *registry, enum registry_kind kind, struct bytes key,
                            struct bytes name, struct registry_item **ret_item)
{
    struct registry_item *item = calloc(1, sizeof *item);
    char *copy = malloc(key.size);
    if (item == NULL || copy == NULL || !make_room(registry)) {
        free(copy);
        free(item);
        return ERR_NOMEM;
    }
    item->kind = kind;
    memcpy(copy, key.data, key.size);
    item->key = bytes_make(copy, key.size);
    enum err err = create_object(registry, name, item);
    if (err != OK) {
        free(copy);
        free(item);
        return err;
    }
    err = map_put(&registry->map, item->key, item);
    if (err != OK) {
        release(item);
        return err;
    }
    registry->items[registry->item_count++] = item;
    *ret_item = item;
    return OK;
}

static enum err find_or_create(struct registry *registry, enum registry_kind kind, struct bytes a,
                               struct bytes b, struct bytes c, struct bytes name,
                               struct registry_item **ret_item)
{
    struct buf key;
    make_key(&key, kind, a, b, c);
    enum err err = key.is_failed ? ERR_NOMEM : OK;
    if (err == OK) {
        *ret_item = map_get(&registry->map, buf_bytes(&key));
        if (*ret_item == NULL) {
            err = create_item(registry, kind, buf_bytes(&key), name, ret_item);
        }
    }
    buf_finish(&key);
    return err;
}

enum err registry_service(struct registry *registry, struct bytes name,
                          struct service **ret_service)
{
    struct registry_item *item = NULL;
    enum err err =
        find_or_create(registry, REGISTRY_SERVICE, name, BYTES(""), BYTES(""), name, &item);
    if (err == OK) {
        *ret_service = item->object.service;
    }
    return err;
}

enum err registry_version(struct registry *registry, struct bytes service, struct bytes deployment,
                          struct version **ret_version)
{
    struct registry_item *item = NULL;
    enum err err = find_or_create(registry, REGISTRY_VERSION, service, deployment, BYTES(""),
                                  deployment, &item);
    if (err == OK) {
        *ret_version = item->object.version;
    }
    return err;
}

enum err registry_endpoint(struct registry *registry, struct bytes service, struct bytes deployment,
                           struct bytes name, struct endpoint **ret_endpoint)
{
    struct registry_item *item = NULL;
    enum err err =
        find_or_create(registry, REGISTRY_ENDPOINT, service, deployment, name, name, &item);
    if (err == OK) {
        *ret_endpoint = item->object.endpoint;
    }
    return err;
}

/* A store may have millions of entries: it goes a few at a time. */
static bool is_emptied(struct cache_store *store)
{
    if (store == NULL) {
        return true;
    }
    cache_store_resize(store, 0);
    return !cache_store_shrink(store, SHRINK_COUNT);
}

static bool is_forgotten(const struct registry_item *item)
{
    switch (item->kind) {
    case REGISTRY_SERVICE:
        return item->object.service->reference_count == 1 &&
               is_emptied(item->object.service->cache);
    case REGISTRY_VERSION:
        return item->object.version->reference_count == 1;
    case REGISTRY_ENDPOINT:
        break;
    }
    return item->object.endpoint->reference_count == 1 && endpoint_is_unused(item->object.endpoint);
}

void registry_sweep(struct registry *registry)
{
    size_t kept = 0;
    for (size_t i = 0; i < registry->item_count; i++) {
        struct registry_item *item = registry->items[i];
        if (is_forgotten(item)) {
            (void)map_remove(&registry->map, item->key);
            release(item);
        } else {
            registry->items[kept++] = item;
        }
    }
    registry->item_count = kept;
}

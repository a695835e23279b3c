#include "proxy/snapshot/parts.h"

#include <stdlib.h>

static bool copy_name(struct bytes name, struct bytes *ret_copy)
{
    char *copy = malloc(name.size + 1);
    if (copy == NULL) {
        return false;
    }
    if (name.size > 0) {
        memcpy(copy, name.data, name.size);
    }
    copy[name.size] = '\0';
    *ret_copy = bytes_make(copy, name.size);
    return true;
}

static void free_name(struct bytes name)
{
    free((char *)(uintptr_t)name.data);
}

static void finish_seats(struct service *service)
{
    for (size_t i = 0; service->seats != NULL && i < service->seats->worker_count; i++) {
        struct service_seat *seat = block_cells(service->seats, i);
        failure_ring_destroy(service_failures_of(service, i));
        cache_marks_destroy(seat->marks);
    }
}

static void service_destroy(struct service *service)
{
    finish_seats(service);
    block_unref(service->cells);
    block_unref(service->seats);
    rate_table_unref(service->rate_table);
    cache_store_unref(service->cache);
    free_name(service->name);
    free(service);
}

enum err service_create(struct bytes name, size_t worker_count, struct service **ret_service)
{
    struct service *service = calloc(1, sizeof *service);
    if (service == NULL) {
        return ERR_NOMEM;
    }
    service->reference_count = 1;
    atomic_init(&service->slow_limit_us, 0);
    atomic_init(&service->is_stable_strained, false);
    if (!copy_name(name, &service->name) ||
        block_create(worker_count, sizeof(struct service_cells), &service->cells) != OK ||
        block_create(worker_count, sizeof(struct service_seat), &service->seats) != OK) {
        service_destroy(service);
        return ERR_NOMEM;
    }
    *ret_service = service;
    return OK;
}

struct service *service_ref(struct service *service)
{
    service->reference_count++;
    return service;
}

void service_unref(struct service *service)
{
    if (service != NULL && --service->reference_count == 0) {
        service_destroy(service);
    }
}

static void version_destroy(struct version *version)
{
    block_unref(version->cells);
    block_unref(version->seats);
    free_name(version->deployment);
    free(version);
}

enum err version_create(struct bytes deployment, size_t worker_count, struct version **ret_version)
{
    struct version *version = calloc(1, sizeof *version);
    if (version == NULL) {
        return ERR_NOMEM;
    }
    version->reference_count = 1;
    atomic_init(&version->cache_realm, 0);
    if (!copy_name(deployment, &version->deployment) ||
        block_create(worker_count, sizeof(struct version_cells), &version->cells) != OK ||
        block_create(worker_count, sizeof(struct version_seat), &version->seats) != OK) {
        version_destroy(version);
        return ERR_NOMEM;
    }
    *ret_version = version;
    return OK;
}

struct version *version_ref(struct version *version)
{
    version->reference_count++;
    return version;
}

void version_unref(struct version *version)
{
    if (version != NULL && --version->reference_count == 0) {
        version_destroy(version);
    }
}

struct service_seat *service_seat(struct service *service, size_t worker_index)
{
    struct service_seat *seat = block_cells(service->seats, worker_index);
    if (!seat->is_ready) {
        split_accumulator_init(&seat->accumulator, (uint32_t)worker_index,
                               (uint32_t)service->seats->worker_count);
        seat->mirror = seat->accumulator;
        seat->is_ready = true;
    }
    return seat;
}

struct cache_marks *service_marks(struct service *service, size_t worker_index)
{
    struct service_seat *seat = service_seat(service, worker_index);
    if (seat->marks == NULL) {
        seat->marks = cache_marks_create();
    }
    return seat->marks;
}

void version_drop_cached(struct version *version, struct service *service)
{
    bool has_any = atomic_load_explicit(&version->cache_realm, memory_order_relaxed) != 0;
    if (has_any && service->cache != NULL) {
        atomic_store_explicit(&version->cache_realm, cache_store_new_realm(service->cache),
                              memory_order_relaxed);
        cache_store_drop(service->cache);
    }
}

struct failure_ring *service_failures_of(const struct service *service, size_t worker_index)
{
    struct service_seat *seat = block_cells(service->seats, worker_index);
    return atomic_load_explicit(&seat->failures, memory_order_acquire);
}

struct failure_ring *service_failures(struct service *service, size_t worker_index)
{
    struct failure_ring *ring = service_failures_of(service, worker_index);
    if (ring == NULL && failure_ring_create(&ring) == OK) {
        struct service_seat *seat = block_cells(service->seats, worker_index);
        atomic_store_explicit(&seat->failures, ring, memory_order_release);
    }
    return ring;
}

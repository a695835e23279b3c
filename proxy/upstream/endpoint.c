#include "proxy/upstream/endpoint.h"

#include <stdlib.h>

enum err endpoint_create(struct bytes name, size_t worker_count, struct endpoint **ret_endpoint)
{
    struct endpoint *endpoint = calloc(1, sizeof *endpoint);
    char *copy = malloc(name.size + 1);
    if (endpoint == NULL || copy == NULL) {
        goto no_memory;
    }
    if (block_create(worker_count, sizeof(struct endpoint_cells), &endpoint->cells) != OK ||
        block_create(worker_count, sizeof(struct endpoint_seat), &endpoint->seats) != OK) {
        goto no_memory;
    }
    memcpy(copy, name.data, name.size);
    copy[name.size] = '\0';
    endpoint->name = bytes_make(copy, name.size);
    endpoint->reference_count = 1;
    atomic_init(&endpoint->is_healthy, true);
    *ret_endpoint = endpoint;
    return OK;

no_memory:
    if (endpoint != NULL) {
        block_unref(endpoint->cells);
        block_unref(endpoint->seats);
    }
    free(copy);
    free(endpoint);
    return ERR_NOMEM;
}

struct endpoint *endpoint_ref(struct endpoint *endpoint)
{
    endpoint->reference_count++;
    return endpoint;
}

void endpoint_unref(struct endpoint *endpoint)
{
    if (endpoint == NULL || --endpoint->reference_count > 0) {
        return;
    }
    for (size_t i = 0; i < endpoint->seats->worker_count; i++) {
        struct endpoint_seat *seat = block_cells(endpoint->seats, i);
        CHECK(cell_read(&seat->open_count) == 0);
        tls_resume_finish(&seat->resume);
    }
    block_unref(endpoint->cells);
    block_unref(endpoint->seats);
    free((char *)(uintptr_t)endpoint->name.data);
    free(endpoint);
}

bool endpoint_is_unused(const struct endpoint *endpoint)
{
    for (size_t i = 0; i < endpoint->seats->worker_count; i++) {
        const struct endpoint_seat *seat = block_cells(endpoint->seats, i);
        if (atomic_load_explicit(&seat->open_count.value, memory_order_acquire) != 0) {
            return false;
        }
    }
    return true;
}

struct endpoint_seat *endpoint_seat(struct endpoint *endpoint, size_t worker_index)
{
    struct endpoint_seat *seat = block_cells(endpoint->seats, worker_index);
    if (seat->endpoint == NULL) {
        seat_init(seat, endpoint, block_cells(endpoint->cells, worker_index));
    }
    return seat;
}

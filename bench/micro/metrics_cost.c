/* bench/micro/metrics_cost.c — what counting and logging a request costs a worker, and what a
 * scrape costs control. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "metrics/access_ring.h"
#include "metrics/exposition.h"
#include "proxy/base/check.h"
#include "proxy/base/clock.h"

enum {
    PASSES = 7,
    COUNTS = 20 * 1000 * 1000,
    RECORDS = 1000 * 1000,
    SCRAPES = 20,
    SERVICES = 100,
    WORKERS = 2,
    TEXT_SIZE_MAX = 16 << 20
};

static struct cell cells[8];
static struct histogram_cells durations;

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median_ns(void (*run)(void *subject), void *subject, unsigned calls)
{
    double passes[PASSES];
    for (size_t i = 0; i < PASSES; i++) {
        uint64_t start_us = clock_monotonic_us(clock_system());
        run(subject);
        passes[i] = (double)(clock_monotonic_us(clock_system()) - start_us) * 1000 / calls;
    }
    qsort(passes, PASSES, sizeof *passes, compare_doubles);
    return passes[PASSES / 2];
}

/* Neighbours in turn: one cell alone would measure how fast a store comes back as a load. */
static void run_increments(void *subject)
{
    (void)subject;
    for (unsigned i = 0; i < COUNTS; i++) {
        cell_increment(&cells[i % 8]);
    }
}

static void run_requests(void *subject)
{
    struct service_cells *service = subject;
    for (unsigned i = 0; i < COUNTS; i++) {
        service_cells_count_request(service, 200, METRIC_METHOD_GET, 100 + i % 512);
    }
}

static void run_histogram(void *subject)
{
    struct histogram_cells *histogram = subject;
    for (unsigned i = 0; i < COUNTS; i++) {
        histogram_cells_record(histogram, 100 + i % 512);
    }
}

/* What a worker pays for a line of the access log; the log's thread does the rest. */
static void run_access_records(void *subject)
{
    struct access_ring *ring = subject;
    const struct access_record record = {
        .client = BYTES("192.0.2.7"),
        .method = BYTES("GET"),
        .target = BYTES("/assets/app.5f2c1d.js?v=3"),
        .protocol = BYTES("HTTP/1.1"),
        .host = BYTES("showcase.example.com"),
        .service = BYTES("showcase"),
        .endpoint = BYTES("http://127.0.0.1:8080"),
        .request_id = BYTES("7f9c24e8-3b0a-4d6f-9a1e-5f2c1d0b8e7a"),
        .user_agent =
            BYTES("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        .status = 200,
    };
    for (unsigned i = 0; i < RECORDS; i++) {
        if (access_ring_put(ring, &record) != ACCESS_PUT) {
            atomic_store_explicit(&ring->read, access_ring_written(ring), memory_order_release);
        }
    }
}

static double access_record_ns(void)
{
    static struct access_ring ring;
    CHECK(access_ring_init(&ring) == OK);
    double ns = median_ns(run_access_records, &ring, RECORDS);
    access_ring_finish(&ring);
    return ns;
}

struct scrape {
    struct exposition exposition;
    struct exposition_service services[SERVICES];
    struct exposition_endpoint endpoints[SERVICES][METRIC_ROLE_COUNT];
    char names[SERVICES][16];
    struct buf text;
};

static void run_scrapes(void *subject)
{
    struct scrape *scrape = subject;
    for (unsigned i = 0; i < SCRAPES; i++) {
        buf_clear(&scrape->text);
        CHECK(exposition_write(&scrape->exposition, &scrape->text) == OK);
    }
}

static struct block *block_of(size_t cells_size)
{
    struct block *block = NULL;
    CHECK(block_create(WORKERS, cells_size, &block) == OK);
    return block;
}

/* A service whose two versions have one endpoint each and answered with three codes. */
static void fill_service(struct scrape *scrape, unsigned index)
{
    static const char *const states[] = {"ok", "suspicious", "breach"};
    struct exposition_service *service = &scrape->services[index];
    (void)snprintf(scrape->names[index], sizeof scrape->names[index], "service-%u", index);
    service->name = bytes_of(scrape->names[index]);
    service->cells = block_of(sizeof(struct service_cells));
    for (size_t worker = 0; worker < WORKERS; worker++) {
        struct service_cells *counted = block_cells(service->cells, worker);
        for (unsigned code = 200; code <= 500; code += 150) {
            service_cells_count_request(counted, code, METRIC_METHOD_GET, 1000);
        }
    }
    for (unsigned role = 0; role < METRIC_ROLE_COUNT; role++) {
        struct exposition_endpoint *endpoint = &scrape->endpoints[index][role];
        *endpoint = (struct exposition_endpoint){
            .role = (enum metric_role)role,
            .name = BYTES("127.0.0.1:8080"),
            .is_up = true,
            .cells = block_of(sizeof(struct endpoint_cells)),
        };
        endpoint_cells_count_attempt(block_cells(endpoint->cells, 0), 200);
        service->versions[role] = (struct exposition_version){.exists = true,
                                                              .deployment = BYTES("d7a3f2b"),
                                                              .weight_set = 0.5,
                                                              .weight_realised = NAN};
    }
    service->endpoints = scrape->endpoints[index];
    service->endpoint_count = METRIC_ROLE_COUNT;
    service->verdict = service->phase = (struct exposition_states){states, COUNT_OF(states), 0};
    service->last_rollback_s = NAN;
}

static double scrape_ms(void)
{
    static struct scrape scrape;
    buf_init(&scrape.text, TEXT_SIZE_MAX);
    for (unsigned i = 0; i < SERVICES; i++) {
        fill_service(&scrape, i);
    }
    scrape.exposition = (struct exposition){
        .services = scrape.services,
        .service_count = SERVICES,
        .workers = block_of(sizeof(struct worker_cells)),
        .version = BYTES("0.1.0"),
        .commit = BYTES("unknown"),
    };
    double ms = median_ns(run_scrapes, &scrape, SCRAPES) / 1e6;
    buf_finish(&scrape.text);
    return ms;
}

int main(void)
{
    struct block *service = block_of(sizeof(struct service_cells));
    (void)printf("cell_increment\t%.2f\tns\t1\n", median_ns(run_increments, NULL, COUNTS));
    (void)printf("histogram_record\t%.2f\tns\t-\n", median_ns(run_histogram, &durations, COUNTS));
    (void)printf("count_request\t%.2f\tns\t-\n",
                 median_ns(run_requests, block_cells(service, 0), COUNTS));
    (void)printf("access_record\t%.2f\tns\t-\n", access_record_ns());
    (void)printf("scrape_100_services\t%.2f\tms\t5\n", scrape_ms());
    block_unref(service);
    return 0;
}

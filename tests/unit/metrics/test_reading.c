#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "metrics/reading.h"

enum { WORKERS = 3 };

static struct block *make_block(size_t cells_size)
{
    struct block *block = NULL;
    assert_int_equal(block_create(WORKERS, cells_size, &block), OK);
    return block;
}

static void a_version_reading_sums_the_workers_ledgers(void **state)
{
    (void)state;
    struct block *block = make_block(sizeof(struct version_cells));
    for (size_t worker = 0; worker < WORKERS; worker++) {
        struct version_cells *cells = block_cells(block, worker);
        version_cells_count_ok(cells);
        version_cells_count_err(cells, false);
        version_cells_count_err(cells, true);
        version_cells_count_late_err(cells);
        histogram_cells_record(&cells->latency, 100 * (worker + 1));
        cell_increment(&cells->client_bad);
    }

    struct version_reading reading;
    version_reading_take(block, &reading);

    assert_int_equal(reading.ok, 3);
    assert_int_equal(reading.err, 9);
    assert_int_equal(reading.connect_err, 3);
    assert_int_equal(reading.late_err, 3);
    assert_int_equal(reading.origin_bad, 0);
    assert_int_equal(reading.client_bad, 3);
    assert_int_equal(histogram_count(&reading.latency), 3);
    assert_int_equal(reading.latency.sum_us, 600);
    block_unref(block);
}

static void connect_failures_never_exceed_failures(void **state)
{
    (void)state;
    struct block *block = make_block(sizeof(struct version_cells));
    struct version_cells *cells = block_cells(block, 0);
    cell_increment(&cells->connect_err); /* as a reader may catch it on a machine that reorders */

    struct version_reading reading;
    version_reading_take(block, &reading);
    assert_int_equal(reading.connect_err, 0);
    block_unref(block);
}

static void a_service_reading_sums_by_class_role_and_kind(void **state)
{
    (void)state;
    struct block *block = make_block(sizeof(struct service_cells));
    struct service_cells *first = block_cells(block, 0);
    struct service_cells *last = block_cells(block, WORKERS - 1);
    service_cells_count_request(first, 200, METRIC_METHOD_GET, 1000);
    service_cells_count_request(last, 204, METRIC_METHOD_PUT, 2000);
    service_cells_count_request(last, 599, METRIC_METHOD_OTHER, 3000);
    service_cells_count_request(last, 0, METRIC_METHOD_GET, 4000);
    service_cells_count_request(first, 100, METRIC_METHOD_GET, 5000);
    cell_increment(&last->upstream_failures[METRIC_ROLE_CURRENT][METRIC_FAILURE_EDGE_52X]);
    histogram_cells_record(&first->upstream_duration[METRIC_ROLE_PREVIOUS], 70);
    cell_add(&first->picks[METRIC_ROLE_CURRENT], 5);
    cell_add(&last->picks[METRIC_ROLE_PREVIOUS], 45);

    struct service_reading reading;
    service_reading_take(block, &reading);

    static const uint64_t by_class[METRIC_CLASSES] = {1, 1, 2, 0, 0, 1};
    assert_memory_equal(reading.requests, by_class, sizeof by_class);
    assert_int_equal(reading.upstream_failures[METRIC_ROLE_CURRENT][METRIC_FAILURE_EDGE_52X], 1);
    assert_int_equal(reading.upstream_failures[METRIC_ROLE_PREVIOUS][METRIC_FAILURE_EDGE_52X], 0);
    assert_int_equal(histogram_count(&reading.request_duration), 5);
    assert_int_equal(reading.upstream_duration[METRIC_ROLE_PREVIOUS].sum_us, 70);
    assert_int_equal(reading.upstream_duration[METRIC_ROLE_CURRENT].sum_us, 0);
    uint64_t picks[METRIC_ROLE_COUNT];
    service_picks_take(block, picks);
    assert_int_equal(picks[METRIC_ROLE_CURRENT], 5);
    assert_int_equal(picks[METRIC_ROLE_PREVIOUS], 45);
    assert_memory_equal(picks, reading.picks, sizeof picks);
    block_unref(block);
}

static void differences_subtract_counters_and_keep_gauges(void **state)
{
    (void)state;
    struct service_reading early = {0};
    struct service_reading late = {0};
    early.requests[2] = 100;
    late.requests[2] = 130;
    early.in_flight[METRIC_ROLE_CURRENT] = 9;
    late.in_flight[METRIC_ROLE_CURRENT] = 4;
    early.request_duration.buckets[5] = 7;

    service_reading_subtract(&late, &early, &late);

    assert_int_equal(late.requests[2], 30);
    assert_int_equal(late.in_flight[METRIC_ROLE_CURRENT], 4);
    assert_int_equal(late.request_duration.buckets[5], 0);
}

static void a_version_difference_covers_every_number(void **state)
{
    (void)state;
    struct version_reading early;
    struct version_reading late;
    uint64_t *early_numbers = (uint64_t *)(void *)&early;
    uint64_t *late_numbers = (uint64_t *)(void *)&late;
    for (size_t i = 0; i < sizeof early / sizeof *early_numbers; i++) {
        early_numbers[i] = i;
        late_numbers[i] = 3 * i;
    }
    struct version_reading difference;
    version_reading_subtract(&late, &early, &difference);
    assert_int_equal(difference.connect_err, 2 * 2);
    assert_int_equal(difference.latency.sum_us, 2 * (sizeof early / sizeof *early_numbers - 1));
}

static void an_endpoint_reading_counts_attempts_of_every_code(void **state)
{
    (void)state;
    struct block *block = make_block(sizeof(struct endpoint_cells));
    for (size_t worker = 0; worker < WORKERS; worker++) {
        struct endpoint_cells *cells = block_cells(block, worker);
        endpoint_cells_count_attempt(cells, 0);
        for (unsigned code = METRIC_CODE_MIN; code <= METRIC_CODE_MAX; code++) {
            endpoint_cells_count_attempt(cells, code);
        }
        cell_increment(&cells->outlier_ejections);
    }

    struct endpoint_reading reading;
    endpoint_reading_take(block, &reading);
    static const uint64_t by_class[METRIC_CLASSES] = {3, 300, 300, 300, 300, 300};
    assert_memory_equal(reading.attempts, by_class, sizeof by_class);
    assert_int_equal(reading.outlier_ejections, 3);
    block_unref(block);
}

static void a_gauge_that_wraps_in_one_worker_is_right_in_the_sum(void **state)
{
    (void)state;
    struct block *block = make_block(sizeof(struct worker_cells));
    struct worker_cells *first = block_cells(block, 0);
    struct worker_cells *last = block_cells(block, WORKERS - 1);
    cell_decrement(&first->client_connections[METRIC_CONNECTION_IDLE]);
    cell_add(&last->client_connections[METRIC_CONNECTION_IDLE], 3);
    cell_increment(&last->rejected_requests[METRIC_REJECTED_HOST_INVALID]);

    struct worker_reading reading;
    worker_reading_take(block, &reading);
    assert_int_equal(reading.client_connections[METRIC_CONNECTION_IDLE], 2);
    assert_int_equal(reading.rejected_requests[METRIC_REJECTED_HOST_INVALID], 1);
    block_unref(block);
}

static void the_next_code_is_found_across_words_and_ends(void **state)
{
    (void)state;
    uint64_t words[(METRIC_CODES + 63) / 64] = {0};
    assert_int_equal(reading_next_code(words, 0), METRIC_CODES);
    words[0] = 1;
    words[1] = UINT64_C(1) << 63;
    words[7] = UINT64_C(1) << 52; /* slot 500 */
    assert_int_equal(reading_next_code(words, 0), 0);
    assert_int_equal(reading_next_code(words, 1), 127);
    assert_int_equal(reading_next_code(words, 127), 127);
    assert_int_equal(reading_next_code(words, 128), 500);
    assert_int_equal(reading_next_code(words, 501), METRIC_CODES);
}

enum { REQUESTS = 20000 };

static void *serve(void *argument)
{
    struct version_cells *cells = argument;
    for (unsigned i = 0; i < REQUESTS; i++) {
        if (i % 10 == 0) {
            version_cells_count_err(cells, true);
        } else {
            version_cells_count_ok(cells);
        }
        histogram_cells_record(&cells->latency, i);
    }
    return NULL;
}

static void readings_beside_running_workers_grow_and_end_exact(void **state)
{
    (void)state;
    struct block *block = make_block(sizeof(struct version_cells));
    pthread_t threads[WORKERS];
    for (size_t worker = 0; worker < WORKERS; worker++) {
        assert_int_equal(pthread_create(&threads[worker], NULL, serve, block_cells(block, worker)),
                         0);
    }

    struct version_reading last = {0};
    for (int i = 0; i < 200; i++) {
        struct version_reading now;
        version_reading_take(block, &now);
        assert_true(now.ok >= last.ok);
        assert_true(now.err >= last.err);
        assert_true(now.connect_err <= now.err);
        last = now;
    }
    for (size_t worker = 0; worker < WORKERS; worker++) {
        pthread_join(threads[worker], NULL);
    }

    version_reading_take(block, &last);
    assert_int_equal(last.ok + last.err, WORKERS * REQUESTS);
    assert_int_equal(last.connect_err, WORKERS * REQUESTS / 10);
    assert_int_equal(histogram_count(&last.latency), WORKERS * REQUESTS);
    block_unref(block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_version_reading_sums_the_workers_ledgers),
        cmocka_unit_test(connect_failures_never_exceed_failures),
        cmocka_unit_test(a_service_reading_sums_by_class_role_and_kind),
        cmocka_unit_test(differences_subtract_counters_and_keep_gauges),
        cmocka_unit_test(a_version_difference_covers_every_number),
        cmocka_unit_test(an_endpoint_reading_counts_attempts_of_every_code),
        cmocka_unit_test(a_gauge_that_wraps_in_one_worker_is_right_in_the_sum),
        cmocka_unit_test(the_next_code_is_found_across_words_and_ends),
        cmocka_unit_test(readings_beside_running_workers_grow_and_end_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

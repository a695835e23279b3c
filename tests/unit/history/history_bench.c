#include "tests/unit/history/history_bench.h"

#include <math.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    (void)snprintf(bench->folder, sizeof bench->folder, "/tmp/history-test-XXXXXX");
    assert_non_null(mkdtemp(bench->folder));
    (void)snprintf(bench->path, sizeof bench->path, "%s/serin.db", bench->folder);
    assert_int_equal(uv_loop_init(&bench->loop), 0);
    bench->options = (struct history_options){
        .path = bench->path, .loop = &bench->loop, .retry_ms = 50, .deadline_ms = 20000};
}

void bench_open(struct bench *bench)
{
    assert_int_equal(history_create(&bench->options, &bench->history), OK);
}

static void on_closed(void *context)
{
    struct bench *bench = context;
    bench->is_closed = 1;
}

void bench_close(struct bench *bench)
{
    bench->is_closed = 0;
    history_close(bench->history, on_closed, bench);
    while (!bench->is_closed) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
    bench->history = NULL;
}

void bench_reopen(struct bench *bench)
{
    bench_close(bench);
    bench_open(bench);
}

void bench_finish(struct bench *bench)
{
    if (bench->history != NULL) {
        bench_close(bench);
    }
    json_decref(bench->result);
    (void)uv_run(&bench->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&bench->loop), 0);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf %s", bench->folder);
    assert_int_equal(system(command), 0);
}

void bench_settle(struct bench *bench)
{
    uint64_t failed = history_stats(bench->history).failed_batches;
    struct history_audit mark = an_audit("mark", NULL);
    int count = bench->written_count;
    assert_int_equal(history_write(bench->history, &(struct history_change){.audit = &mark},
                                   HISTORY_SOON, on_written, bench),
                     OK);
    while (bench->written_count == count &&
           history_stats(bench->history).failed_batches == failed) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
}

void on_written(void *context, enum err err)
{
    struct bench *bench = context;
    bench->written_count++;
    bench->written = err;
}

void on_read(void *context, enum err err, json_t *result)
{
    struct bench *bench = context;
    bench->read_count++;
    bench->read = err;
    json_decref(bench->result);
    bench->result = json_incref(result);
}

enum err wait_written(struct bench *bench)
{
    int count = bench->written_count;
    while (bench->written_count == count) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
    return bench->written;
}

enum err wait_read(struct bench *bench)
{
    int count = bench->read_count;
    while (bench->read_count == count) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
    return bench->read;
}

struct history_service a_service(const char *name, uint32_t weight_ppm)
{
    return (struct history_service){
        .name = name,
        .current_deployment = "d7a3f2b",
        .previous_deployment = "9c2e1a4",
        .weight_ppm = weight_ppm,
        .phase = "progressing",
        .revision = 12,
        .salt = 0xF000000000000001U,
        .step = 2,
        .updated_us = 1795412345678901,
        .detail = "{\"steps\":[1,5]}",
    };
}

struct history_rollback a_rollback(const char *id, const char *status)
{
    struct history_rollback rollback = {
        .id = id,
        .service = "showcase",
        .at_us = 1795412345678901,
        .deployment = "d7a3f2b",
        .target = "9c2e1a4",
        .reason = "34 of 120 answers failed.",
        .reason_code = "absolute",
        .trigger = "error_rate",
        .actor = "judge",
        .mode = "gradual",
        .status = status,
        .duration_s = (double)NAN,
        .bad_origin = 40,
        .bad_client = 3,
        .evidence = "{\"log_e\":12.5}",
    };
    for (int i = 0; i < HISTORY_PHASE_COUNT; i++) {
        rollback.phase_s[i] = (double)NAN;
    }
    rollback.phase_s[HISTORY_DETECT] = 1.25;
    return rollback;
}

struct history_audit an_audit(const char *action, const char *detail)
{
    return (struct history_audit){.at_us = 1795412345678901,
                                  .actor = "token:ops",
                                  .action = action,
                                  .service = "showcase",
                                  .detail = detail};
}

enum err write_durably(struct bench *bench, const struct history_change *change)
{
    enum err err = history_write(bench->history, change, HISTORY_DURABLE, on_written, bench);
    return err != OK ? err : wait_written(bench);
}

long long intact_rows(struct bench *bench)
{
    assert_int_equal(history_verify(bench->history, on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    assert_true(json_is_true(json_object_get(bench->result, "intact")));
    return (long long)json_integer_value(json_object_get(bench->result, "rows"));
}

void tamper(struct bench *bench, const char *sql)
{
    sqlite3 *database = NULL;
    assert_int_equal(sqlite3_open(bench->path, &database), SQLITE_OK);
    char *message = NULL;
    if (sqlite3_exec(database, sql, NULL, NULL, &message) != SQLITE_OK) {
        fail_msg("%s: %s", sql, message);
    }
    assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

/* What history does when its file is full, broken, away, or stands still. */
#include <pthread.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/history/history_bench.h"

static int setup(void **state)
{
    struct bench *bench = malloc(sizeof *bench);
    bench_init(bench);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    bench_finish(*state);
    free(*state);
    return 0;
}

static void write_soon(struct bench *bench, const struct history_change *change)
{
    assert_int_equal(history_write(bench->history, change, HISTORY_SOON, NULL, NULL), OK);
}

static void run_until_healthy(struct bench *bench)
{
    while (history_condition(bench->history) != NULL || history_stats(bench->history).queued > 0) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
}

static void full_disk_is_told_and_what_waited_is_written_when_there_is_room(void **state)
{
    struct bench *bench = *state;
    bench->options.page_count_max = 40;
    bench_open(bench);
    char evidence[8000];
    memset(evidence, '1', sizeof evidence - 1);
    evidence[sizeof evidence - 1] = '\0';
    enum err err = OK;
    for (int i = 0; i < 100 && err == OK; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "r%d", i);
        struct history_rollback rollback = a_rollback(id, "success");
        rollback.evidence = evidence;
        err = write_durably(bench, &(struct history_change){.rollback = &rollback});
    }
    assert_int_equal(err, ERR_IO);
    assert_non_null(strstr(history_condition(bench->history), "full"));

    struct history_rollback kept = a_rollback("kept", "in_progress");
    kept.evidence = evidence;
    write_soon(bench, &(struct history_change){.rollback = &kept});
    uint64_t failed = history_stats(bench->history).failed_batches;
    while (history_stats(bench->history).failed_batches == failed) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
    assert_int_equal(history_stats(bench->history).queued, 1);

    tamper(bench, "DELETE FROM rollback WHERE status='success'");
    run_until_healthy(bench);
    assert_int_equal(history_read_rollback(bench->history, "kept", on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    assert_true(intact_rows(bench) > 0);
}

static void broken_file_is_told_and_left_alone(void **state)
{
    struct bench *bench = *state;
    FILE *file = fopen(bench->path, "w");
    for (int i = 0; i < 1000; i++) {
        (void)fputs("this is not a database. ", file);
    }
    (void)fclose(file);
    struct stat before;
    struct stat after;
    assert_int_equal(stat(bench->path, &before), 0);

    bench_open(bench);

    assert_non_null(strstr(history_condition(bench->history), "not a database"));
    struct history_state loaded;
    assert_int_equal(history_load(bench->history, 0, &loaded), ERR_IO);
    struct history_service service = a_service("showcase", 0);
    assert_int_equal(write_durably(bench, &(struct history_change){.service = &service}), ERR_IO);
    write_soon(bench, &(struct history_change){.service = &service});
    assert_int_equal(history_read_audit(bench->history, &(struct history_query){0}, on_read, bench),
                     OK);
    assert_int_equal(wait_read(bench), ERR_IO);
    assert_int_equal(stat(bench->path, &after), 0);
    assert_int_equal(after.st_size, before.st_size);

    /* Somebody takes it away: the next try makes a new one and writes what waited. */
    assert_int_equal(unlink(bench->path), 0);
    run_until_healthy(bench);
    bench_reopen(bench);
    assert_int_equal(history_load(bench->history, 0, &loaded), OK);
    assert_int_equal(loaded.service_count, 1);
    history_state_finish(&loaded);
}

static void missing_folder_is_retried_until_it_is_there(void **state)
{
    struct bench *bench = *state;
    char folder[128];
    char path[160];
    (void)snprintf(folder, sizeof folder, "%s/later", bench->folder);
    (void)snprintf(path, sizeof path, "%s/serin.db", folder);
    bench->options.path = path;
    bench_open(bench);
    assert_non_null(history_condition(bench->history));
    struct history_audit audit = an_audit("start", NULL);
    write_soon(bench, &(struct history_change){.audit = &audit});
    assert_int_equal(mkdir(folder, 0700), 0);
    run_until_healthy(bench);
    assert_int_equal(intact_rows(bench), 1);
    bench_close(bench);
}

static void newer_file_is_not_touched(void **state)
{
    struct bench *bench = *state;
    tamper(bench, "PRAGMA user_version=99");
    bench_open(bench);
    assert_non_null(strstr(history_condition(bench->history), "version 99"));
}

static void deleted_file_is_noticed(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct history_audit audit = an_audit("start", NULL);
    assert_int_equal(write_durably(bench, &(struct history_change){.audit = &audit}), OK);
    assert_int_equal(write_durably(bench, &(struct history_change){.audit = &audit}), OK);
    assert_int_equal(intact_rows(bench), 2);
    char command[512];
    (void)snprintf(command, sizeof command, "rm -f %s %s-wal %s-shm", bench->path, bench->path,
                   bench->path);
    assert_int_equal(system(command), 0);
    assert_int_equal(write_durably(bench, &(struct history_change){.audit = &audit}), ERR_IO);
    assert_non_null(strstr(history_condition(bench->history), "deleted"));
    write_soon(bench, &(struct history_change){.audit = &audit});
    assert_false(history_take_renewed(bench->history));
    run_until_healthy(bench);
    assert_true(history_take_renewed(bench->history));
    assert_false(history_take_renewed(bench->history));
    assert_int_equal(intact_rows(bench), 1); /* reads are of the file that is written */
}

static void overwrite(const char *path, const char *end)
{
    char name[128];
    (void)snprintf(name, sizeof name, "%s%s", path, end);
    FILE *file = fopen(name, "r+");
    if (file == NULL) {
        return;
    }
    assert_int_equal(ftruncate(fileno(file), 0), 0);
    (void)fputs("this is not a database", file);
    (void)fclose(file);
}

static void file_overwritten_while_it_is_open_is_noticed(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct history_audit audit = an_audit("start", NULL);
    assert_int_equal(write_durably(bench, &(struct history_change){.audit = &audit}), OK);
    overwrite(bench->path, "");
    overwrite(bench->path, "-wal");
    overwrite(bench->path, "-shm");
    struct history_service service = a_service("showcase", 0);
    assert_int_equal(write_durably(bench, &(struct history_change){.service = &service}), ERR_IO);
    assert_non_null(strstr(history_condition(bench->history), "overwritten"));
    assert_int_equal(write_durably(bench, &(struct history_change){.service = &service}), ERR_IO);
    assert_non_null(strstr(history_condition(bench->history), "not a database"));
}

/* Another program holds the write lock: to us that is a disk that stands still, for as long as
 * STORE_BUSY_MS. */
static sqlite3 *hold_lock(struct bench *bench)
{
    sqlite3 *database = NULL;
    assert_int_equal(sqlite3_open(bench->path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return database;
}

static void release_lock(sqlite3 *database)
{
    assert_int_equal(sqlite3_exec(database, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

static void who_waits_on_a_stalled_file_is_told_and_the_loop_goes_on(void **state)
{
    struct bench *bench = *state;
    bench->options.deadline_ms = 200;
    bench_open(bench);
    sqlite3 *lock = hold_lock(bench);
    struct history_audit audit = an_audit("weight.set", NULL);
    assert_int_equal(write_durably(bench, &(struct history_change){.audit = &audit}), ERR_TIMEOUT);
    assert_int_equal(write_durably(bench, &(struct history_change){.audit = &audit}), ERR_TIMEOUT);
    assert_int_equal(bench->written_count, 2);
    struct history_service service = a_service("showcase", 0);
    write_soon(bench, &(struct history_change){.service = &service});
    release_lock(lock);
    run_until_healthy(bench);
    bench_reopen(bench);
    struct history_state loaded;
    assert_int_equal(history_load(bench->history, 0, &loaded), OK);
    assert_int_equal(loaded.service_count, 1);
    history_state_finish(&loaded);
    assert_in_range(intact_rows(bench), 0, 1);
}

static void full_queue_gives_up_audit_rows_but_never_a_state(void **state)
{
    struct bench *bench = *state;
    bench->options.queue_max = 20;
    bench_open(bench);
    sqlite3 *lock = hold_lock(bench);
    struct history_audit audit = an_audit("weight.set", NULL);
    for (uint32_t i = 0; i < 300; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "service-%u", i % 30);
        struct history_service service = a_service(name, i);
        write_soon(bench, &(struct history_change){.service = &service, .audit = &audit});
    }
    assert_int_equal(history_write(bench->history, &(struct history_change){.audit = &audit},
                                   HISTORY_DURABLE, on_written, bench),
                     ERR_LIMIT);
    struct history_stats stats = history_stats(bench->history);
    assert_true(stats.queued <= 40);
    assert_true(stats.dropped_count > 0);
    /* One that gets no place at all is missed like one that lost it. */
    assert_int_equal(history_write(bench->history, &(struct history_change){.audit = &audit},
                                   HISTORY_SOON, NULL, NULL),
                     ERR_LIMIT);
    assert_int_equal(history_stats(bench->history).dropped_count, stats.dropped_count + 1);
    assert_int_equal(history_stats(bench->history).refused_count, stats.refused_count + 1);
    release_lock(lock);
    run_until_healthy(bench);
    bench_reopen(bench);
    struct history_state loaded;
    assert_int_equal(history_load(bench->history, 0, &loaded), OK);
    assert_int_equal(loaded.service_count, 30);
    for (size_t i = 0; i < loaded.service_count; i++) {
        assert_in_range(loaded.services[i].weight_ppm, 270, 299);
    }
    history_state_finish(&loaded);
    struct history_query query = {.limit = 1000};
    assert_int_equal(history_read_audit(bench->history, &query, on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    char *trail = json_dumps(bench->result, 0);
    assert_non_null(strstr(trail, "history.dropped"));
    free(trail);
    (void)intact_rows(bench);
}

/* What no trail can hold is told by its number. */
static void trail_counts_what_it_misses(void **state)
{
    struct bench *bench = *state;
    bench->options.queue_max = 4;
    bench_open(bench);
    sqlite3 *lock = hold_lock(bench);
    for (uint32_t i = 0; i < 6; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "service-%u", i);
        struct history_service service = a_service(name, i);
        write_soon(bench, &(struct history_change){.service = &service});
    }
    struct history_audit audit = an_audit("weight.set", NULL);
    for (int i = 0; i < 3; i++) {
        enum err err = history_write(bench->history, &(struct history_change){.audit = &audit},
                                     HISTORY_SOON, NULL, NULL);
        assert_int_equal(err, ERR_LIMIT);
    }
    release_lock(lock);
    run_until_healthy(bench);
    bench_reopen(bench);
    struct history_query query = {0};
    assert_int_equal(history_read_audit(bench->history, &query, on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    assert_int_equal(json_array_size(bench->result), 1);
    const json_t *told = json_array_get(bench->result, 0);
    assert_string_equal(json_string_value(json_object_get(told, "action")), "history.dropped");
    const json_t *detail = json_object_get(told, "detail");
    assert_int_equal(json_integer_value(json_object_get(detail, "count")), 3);
}

static void too_many_reads_are_refused(void **state)
{
    struct bench *bench = *state;
    bench_open(bench);
    struct history_query query = {0};
    enum err err = OK;
    int started = 0;
    for (; err == OK; started++) {
        err = history_read_audit(bench->history, &query, on_read, bench);
    }
    assert_int_equal(err, ERR_LIMIT);
    assert_int_equal(started, HISTORY_READS_MAX + 2);
    bench_close(bench);
    assert_int_equal(bench->read_count, HISTORY_READS_MAX + 1);
}

static void two_processes_share_one_chain(void **state)
{
    struct bench *bench = *state;
    struct bench other = *bench;
    bench_open(bench);
    assert_int_equal(uv_loop_init(&other.loop), 0);
    other.options.loop = &other.loop;
    bench_open(&other);
    struct history_audit audit = an_audit("weight.set", NULL);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(write_durably(bench, &(struct history_change){.audit = &audit}), OK);
        assert_int_equal(write_durably(&other, &(struct history_change){.audit = &audit}), OK);
    }
    bench_close(&other);
    assert_int_equal(uv_loop_close(&other.loop), 0);
    assert_int_equal(intact_rows(bench), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(full_disk_is_told_and_what_waited_is_written_when_there_is_room),
        TEST(broken_file_is_told_and_left_alone),
        TEST(missing_folder_is_retried_until_it_is_there),
        TEST(newer_file_is_not_touched),
        TEST(deleted_file_is_noticed),
        TEST(file_overwritten_while_it_is_open_is_noticed),
        TEST(who_waits_on_a_stalled_file_is_told_and_the_loop_goes_on),
        TEST(full_queue_gives_up_audit_rows_but_never_a_state),
        TEST(trail_counts_what_it_misses),
        TEST(too_many_reads_are_refused),
        TEST(two_processes_share_one_chain),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Old rows are exported and taken out, whatever happens in the middle; what somebody took out or
 * changed by hand shows. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "canary/history/store.h"
#include "tests/unit/history/history_bench.h"

/* Of the rows that a_trail writes: row n is of day n. */
static const int64_t DAY_US = INT64_C(86400000000);
enum { NOW_DAY = 1000, CRASHED = 9, FAULTS_MAX = 500 };

/* ---- faults: the n-th thing that goes to the disk ends the process, or finds the disk full ----
 */

static long fault_at;
static bool is_fault_a_crash;
static long operations;

/* Those of our own code and, by the table below, those of SQLite. */
int __real_fsync(int file);
int __real_rename(const char *from, const char *to);
int __wrap_fsync(int file);
int __wrap_rename(const char *from, const char *to);

static bool is_faulty(void)
{
    operations++;
    if (fault_at == 0 || operations != fault_at) {
        return false;
    }
    if (is_fault_a_crash) {
        _exit(CRASHED);
    }
    errno = ENOSPC;
    return true;
}

int __wrap_fsync(int file)
{
    return is_faulty() ? -1 : __real_fsync(file);
}

int __wrap_rename(const char *from, const char *to)
{
    return is_faulty() ? -1 : __real_rename(from, to);
}

static ssize_t faulty_pwrite(int file, const void *data, size_t size, off_t at)
{
    return is_faulty() ? -1 : pwrite(file, data, size, at);
}

static ssize_t faulty_write(int file, const void *data, size_t size)
{
    return is_faulty() ? -1 : write(file, data, size);
}

/* ---- a disk that stands still for who reads next ---- */

static struct {
    atomic_bool is_asked; /* the next read is held, */
    atomic_bool is_held;  /* and is */
    uv_sem_t go_on;
} hold;

static ssize_t held_pread(int file, void *data, size_t size, off_t at)
{
    bool is_asked = true;
    if (atomic_compare_exchange_strong(&hold.is_asked, &is_asked, false)) {
        atomic_store(&hold.is_held, true);
        uv_sem_wait(&hold.go_on);
    }
    return pread(file, data, size, at);
}

static void hold_next_read(void)
{
    assert_int_equal(uv_sem_init(&hold.go_on, 0), 0);
    atomic_store(&hold.is_held, false);
    atomic_store(&hold.is_asked, true);
}

static void arm(long at, bool is_crash)
{
    static const struct {
        const char *name;
        sqlite3_syscall_ptr call;
    } calls[] = {{"pread", (sqlite3_syscall_ptr)held_pread},
                 {"pread64", (sqlite3_syscall_ptr)held_pread},
                 {"pwrite", (sqlite3_syscall_ptr)faulty_pwrite},
                 {"pwrite64", (sqlite3_syscall_ptr)faulty_pwrite},
                 {"write", (sqlite3_syscall_ptr)faulty_write}};
    sqlite3_vfs *vfs = sqlite3_vfs_find("unix-excl");
    assert_non_null(vfs);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        (void)vfs->xSetSystemCall(vfs, calls[i].name, calls[i].call);
    }
    operations = 0;
    fault_at = at;
    is_fault_a_crash = is_crash;
}

/* ---- words ---- */

static int setup(void **state)
{
    struct bench *bench = malloc(sizeof *bench);
    bench_init(bench);
    bench_open(bench);
    arm(0, false);
    *state = bench;
    return 0;
}

/* The exports, which the bench does not know. */
static int each_export(struct bench *bench, bool is_removed, char ret_name[256])
{
    int count = 0;
    DIR *folder = opendir(bench->folder);
    assert_non_null(folder);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (strstr(entry->d_name, ".jsonl") == NULL) {
            continue;
        }
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", bench->folder, entry->d_name);
        count++;
        (void)snprintf(ret_name, 256, "%s", entry->d_name);
        if (is_removed && remove(path) != 0) {
            fail_msg("%s stays", path);
        }
    }
    (void)closedir(folder);
    return count;
}

static int export_count(struct bench *bench)
{
    char name[256];
    return each_export(bench, false, name);
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    char name[256];
    arm(0, false);
    if (bench->history != NULL) {
        bench_close(bench);
    }
    (void)each_export(bench, true, name);
    bench_finish(bench);
    free(bench);
    return 0;
}

static void a_trail(struct bench *bench, int first, int last)
{
    for (int i = first; i <= last; i++) {
        struct history_audit audit = an_audit("weight.set", "{\"weight_ppm\": 1}");
        audit.at_us = i * DAY_US;
        assert_int_equal(write_durably(bench, &(struct history_change){.audit = &audit}), OK);
    }
}

static enum err retain(struct bench *bench, int before_day)
{
    assert_int_equal(
        history_retain(bench->history, before_day * DAY_US, NOW_DAY * DAY_US, on_read, bench), OK);
    return wait_read(bench);
}

static long long number_of(struct bench *bench, const char *key)
{
    return (long long)json_integer_value(json_object_get(bench->result, key));
}

static void verify(struct bench *bench)
{
    assert_int_equal(history_verify(bench->history, on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
}

static void expect_broken(struct bench *bench, long long first_bad, const char *why)
{
    verify(bench);
    assert_true(json_is_false(json_object_get(bench->result, "intact")));
    assert_int_equal(number_of(bench, "first_bad"), first_bad);
    assert_non_null(strstr(json_string_value(json_object_get(bench->result, "why")), why));
}

/* ---- how it goes ---- */

static void old_rows_are_exported_and_taken_out(void **state)
{
    struct bench *bench = *state;
    a_trail(bench, 1, 10);
    assert_int_equal(retain(bench, 7), OK);
    assert_int_equal(number_of(bench, "rows"), 6);
    char path[512];
    (void)snprintf(path, sizeof path, "%s",
                   json_string_value(json_object_get(bench->result, "path")));
    assert_int_equal(intact_rows(bench), 5); /* 7 to 10, and the row that tells of it */
    const json_t *anchor = json_object_get(bench->result, "anchor");
    assert_int_equal(json_integer_value(json_object_get(anchor, "seq")), 6);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char line[1024];
    long long seq = 0;
    json_t *row = NULL;
    while (fgets(line, sizeof line, file) != NULL) {
        json_t *next = json_loads(line, 0, NULL);
        seq++;
        assert_int_equal(json_integer_value(json_object_get(next, "seq")), seq);
        assert_string_equal(json_string_value(json_object_get(next, "detail")),
                            "{\"weight_ppm\": 1}");
        if (row != NULL) {
            assert_true(
                json_equal(json_object_get(row, "hash"), json_object_get(next, "previous")));
        }
        json_decref(row);
        row = next;
    }
    (void)fclose(file);
    assert_int_equal(seq, 6);
    assert_true(json_equal(json_object_get(row, "hash"), json_object_get(anchor, "hash")));
    json_decref(row);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
}

static void trail_goes_on_and_is_guarded_as_before(void **state)
{
    struct bench *bench = *state;
    a_trail(bench, 1, 10);
    assert_int_equal(retain(bench, 7), OK);
    a_trail(bench, 11, 12);
    assert_int_equal(intact_rows(bench), 7);
    assert_int_equal(retain(bench, 11), OK);
    assert_int_equal(number_of(bench, "rows"), 4);
    bench_reopen(bench);
    a_trail(bench, 13, 13);
    assert_int_equal(export_count(bench), 2);
    sqlite3 *database = NULL;
    assert_int_equal(sqlite3_open(bench->path, &database), SQLITE_OK);
    const char *attacks[] = {
        "DELETE FROM audit",
        "UPDATE audit SET actor='nobody'",
        "DELETE FROM audit_anchor",
        "UPDATE audit_anchor SET seq=seq+1",
        "INSERT INTO audit_anchor VALUES (1,x'00',0,'')",
    };
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        assert_int_equal(sqlite3_exec(database, attacks[i], NULL, NULL, NULL), SQLITE_CONSTRAINT);
    }
    (void)sqlite3_close(database);
    (void)intact_rows(bench);
}

static void nothing_old_leaves_everything_alone(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(retain(bench, 7), OK);
    assert_int_equal(number_of(bench, "rows"), 0);
    a_trail(bench, 7, 9);
    assert_int_equal(retain(bench, 7), OK);
    assert_int_equal(number_of(bench, "rows"), 0);
    assert_int_equal(intact_rows(bench), 3);
    assert_int_equal(export_count(bench), 0);
}

/* The chain goes on from it. */
static void newest_row_stays_however_old_it_is(void **state)
{
    struct bench *bench = *state;
    a_trail(bench, 1, 3);
    assert_int_equal(retain(bench, NOW_DAY), OK);
    assert_int_equal(number_of(bench, "rows"), 2);
    assert_int_equal(intact_rows(bench), 2);
}

static void rollbacks_go_with_the_rows_of_their_time_but_not_while_they_run(void **state)
{
    struct bench *bench = *state;
    const char *const statuses[] = {"success", "in_progress", "failed", "success"};
    for (int i = 0; i < 4; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "r%d", i);
        struct history_rollback rollback = a_rollback(id, statuses[i]);
        rollback.at_us = (i + 1) * DAY_US;
        assert_int_equal(write_durably(bench, &(struct history_change){.rollback = &rollback}), OK);
    }
    a_trail(bench, 900, 901);
    assert_int_equal(retain(bench, 4), OK);
    assert_int_equal(number_of(bench, "rollbacks"), 2);
    struct history_query query = {0};
    assert_int_equal(history_read_rollbacks(bench->history, &query, on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    assert_int_equal(json_array_size(bench->result), 2);
    (void)intact_rows(bench);
}

static void second_request_waits_for_none_and_closing_ends_it(void **state)
{
    struct bench *bench = *state;
    a_trail(bench, 1, 3);
    assert_int_equal(history_retain(bench->history, DAY_US, 0, on_read, bench), OK);
    assert_int_equal(history_retain(bench->history, DAY_US, 0, on_read, bench), ERR_EXISTS);
    int before = bench->read_count;
    bench_close(bench);
    assert_int_equal(bench->read_count, before + 1);
}

/* The chain is as long as years are; what is to be written does not wait for the walk. */
static void walk_over_the_chain_holds_no_write_up(void **state)
{
    struct bench *bench = *state;
    a_trail(bench, 1, 10);
    hold_next_read();
    assert_int_equal(history_retain(bench->history, 7 * DAY_US, NOW_DAY * DAY_US, on_read, bench),
                     OK);
    while (!atomic_load(&hold.is_held) && bench->read_count == 0) {
        (void)uv_run(&bench->loop, UV_RUN_NOWAIT);
    }
    assert_true(atomic_load(&hold.is_held));
    a_trail(bench, 11, 12);
    assert_int_equal(bench->read_count, 0);
    uv_sem_post(&hold.go_on);
    assert_int_equal(wait_read(bench), OK);
    assert_int_equal(number_of(bench, "rows"), 6);
    assert_int_equal(intact_rows(bench), 7);
    uv_sem_destroy(&hold.go_on);
}

/* What a walk found in a file that was lost meanwhile is no trouble of the one that is written. */
static void walk_of_a_file_that_was_lost_says_nothing(void **state)
{
    struct bench *bench = *state;
    static const char *const ends[] = {"", "-wal", "-shm"};
    bench_close(bench);
    bench->options.retry_ms = 10;
    bench_open(bench);
    a_trail(bench, 1, 10);
    hold_next_read();
    assert_int_equal(history_retain(bench->history, 7 * DAY_US, NOW_DAY * DAY_US, on_read, bench),
                     OK);
    while (!atomic_load(&hold.is_held) && bench->read_count == 0) {
        (void)uv_run(&bench->loop, UV_RUN_NOWAIT);
    }
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s%s", bench->path, ends[i]);
        (void)unlink(path);
    }
    struct history_service service = a_service("showcase", 0);
    assert_int_equal(history_write(bench->history, &(struct history_change){.service = &service},
                                   HISTORY_SOON, NULL, NULL),
                     OK);
    while (!history_take_renewed(bench->history)) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
    uv_sem_post(&hold.go_on);
    assert_int_equal(wait_read(bench), ERR_IO);
    assert_null(history_condition(bench->history));
    assert_int_equal(export_count(bench), 0);
    uv_sem_destroy(&hold.go_on);
}

static void on_history_closed(void *context)
{
    ((struct bench *)context)->is_closed = 1;
}

static void closing_waits_for_the_walk(void **state)
{
    struct bench *bench = *state;
    a_trail(bench, 1, 10);
    hold_next_read();
    assert_int_equal(history_retain(bench->history, 7 * DAY_US, NOW_DAY * DAY_US, on_read, bench),
                     OK);
    while (!atomic_load(&hold.is_held) && bench->read_count == 0) {
        (void)uv_run(&bench->loop, UV_RUN_NOWAIT);
    }
    bench->is_closed = 0;
    history_close(bench->history, on_history_closed, bench);
    (void)uv_run(&bench->loop, UV_RUN_NOWAIT);
    assert_int_equal(bench->is_closed, 0);
    uv_sem_post(&hold.go_on);
    while (bench->is_closed == 0) {
        (void)uv_run(&bench->loop, UV_RUN_ONCE);
    }
    bench->history = NULL;
    assert_int_equal(bench->read, ERR_CLOSED);
    uv_sem_destroy(&hold.go_on);
}

/* ---- attacks ---- */

static void what_was_done_by_hand_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        long long first_bad;
        const char *why;
    } attacks[] = {
        {"DROP TRIGGER audit_is_not_updated; UPDATE audit SET detail='{}' WHERE seq=8", 8,
         "content"},
        {"DROP TRIGGER audit_is_not_updated; UPDATE audit SET at_us=at_us+1 WHERE seq=9", 9,
         "content"},
        {"DROP TRIGGER audit_is_not_deleted; DELETE FROM audit WHERE seq=9", 9, "missing"},
        {"DROP TRIGGER audit_is_not_deleted; DELETE FROM audit WHERE seq=7", 7, "missing"},
        {"DROP TRIGGER audit_is_not_deleted; DELETE FROM audit WHERE seq=11", 11, "at the end"},
        {"DROP TRIGGER audit_is_not_updated; UPDATE audit SET seq=99 WHERE seq=8;"
         "UPDATE audit SET seq=8 WHERE seq=9; UPDATE audit SET seq=9 WHERE seq=99",
         8, "does not follow"},
        /* A beginning that was cut off, with an anchor made up for it. */
        {"DROP TRIGGER audit_is_not_deleted;"
         "INSERT INTO audit_anchor SELECT seq, hash, 0, '' FROM audit WHERE seq=8;"
         "DELETE FROM audit WHERE seq<=8",
         8, "tells that it was taken out"},
        {"DROP TRIGGER audit_anchor_is_not_deleted; DELETE FROM audit_anchor", 1, "missing"},
    };
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        struct bench *bench = NULL;
        (void)setup((void **)&bench);
        a_trail(bench, 1, 10);
        assert_int_equal(retain(bench, 7), OK);
        tamper(bench, attacks[i].sql);
        expect_broken(bench, attacks[i].first_bad, attacks[i].why);
        (void)teardown((void **)&bench);
    }
}

/* What is written afterwards does not grow over the place. */
static void rows_that_were_cut_off_are_missed_for_good(void **state)
{
    struct bench *bench = *state;
    a_trail(bench, 1, 10);
    tamper(bench, "DROP TRIGGER audit_is_not_deleted; DELETE FROM audit WHERE seq > 7");
    expect_broken(bench, 8, "at the end");
    a_trail(bench, 11, 20);
    expect_broken(bench, 8, "cut off");
    assert_int_equal(number_of(bench, "rows"), 18);
    bench_reopen(bench);
    a_trail(bench, 21, 21);
    expect_broken(bench, 8, "cut off");
    assert_int_equal(number_of(bench, "rows"), 19);
}

/* Or whoever changed a row would only have to wait. */
static void broken_rows_are_not_taken_out(void **state)
{
    struct bench *bench = *state;
    a_trail(bench, 1, 10);
    tamper(bench, "DROP TRIGGER audit_is_not_updated; UPDATE audit SET actor='x' WHERE seq=3");
    assert_int_equal(retain(bench, 7), ERR_IO);
    expect_broken(bench, 3, "content");
    assert_int_equal(number_of(bench, "rows"), 10);
    assert_int_equal(export_count(bench), 0);
    assert_non_null(strstr(history_condition(bench->history), "row 3"));
}

/* Also by somebody who was at it after the walk. */
static void rows_that_go_are_checked_when_they_go(void **state)
{
    static const char *const attacks[] = {
        "DROP TRIGGER audit_is_not_updated; UPDATE audit SET actor='x' WHERE seq=3",
        "DROP TRIGGER audit_is_not_updated; UPDATE audit SET previous=x'00' WHERE seq=7",
        ("DROP TRIGGER audit_is_not_deleted; DELETE FROM audit WHERE seq=7;"
         "CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit BEGIN SELECT 1; END"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        struct bench *bench = NULL;
        struct store *store = NULL;
        struct note note = {""};
        json_t *result = NULL;
        (void)setup((void **)&bench);
        a_trail(bench, 1, 10);
        bench_close(bench);
        struct store_options options = {.path = bench->path};
        assert_int_equal(store_open(&options, &store, &note), OK);
        assert_int_equal(sqlite3_exec(store_database(store), attacks[i], NULL, NULL, NULL),
                         SQLITE_OK);
        assert_int_equal(store_retain(store, 7 * DAY_US, NOW_DAY * DAY_US, &result, &note), ERR_IO);
        assert_non_null(strstr(note.text, "is broken"));
        store_close(store);
        assert_int_equal(export_count(bench), 0);
        (void)teardown((void **)&bench);
    }
}

/* The walk is over when they go: the row that tells of the retention would stand in their place. */
static void rows_cut_off_after_the_walk_are_missed_too(void **state)
{
    struct bench *bench = *state;
    struct store *store = NULL;
    struct note note = {""};
    json_t *result = NULL;
    a_trail(bench, 1, 10);
    bench_close(bench);
    struct store_options options = {.path = bench->path};
    assert_int_equal(store_open(&options, &store, &note), OK);
    assert_int_equal(sqlite3_exec(store_database(store),
                                  "DROP TRIGGER audit_is_not_deleted;"
                                  "DELETE FROM audit WHERE seq=10;"
                                  "CREATE TRIGGER audit_is_not_deleted BEFORE DELETE ON audit "
                                  "BEGIN SELECT 1; END",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(store_retain(store, 7 * DAY_US, NOW_DAY * DAY_US, &result, &note), OK);
    json_decref(result);
    store_close(store);
    bench_open(bench);
    expect_broken(bench, 10, "cut off");
}

static void export_that_cannot_be_written_keeps_the_rows(void **state)
{
    struct bench *bench = *state;
    a_trail(bench, 1, 10);
    char path[512];
    (void)snprintf(path, sizeof path, "%s.1-6.jsonl", bench->path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(retain(bench, 7), ERR_IO);
    assert_non_null(strstr(history_condition(bench->history), "cannot be written"));
    assert_int_equal(intact_rows(bench), 10);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(retain(bench, 7), OK);
    assert_null(history_condition(bench->history));
    assert_int_equal(intact_rows(bench), 5);
}

/* ---- crashes and full disks at every point ---- */

/* All of it or nothing; then it can be done, and is whole. */
static void expect_all_or_nothing(struct bench *bench)
{
    verify(bench);
    assert_true(json_is_true(json_object_get(bench->result, "intact")));
    long long rows = number_of(bench, "rows");
    bool is_done = !json_is_null(json_object_get(bench->result, "anchor"));
    assert_int_equal(rows, is_done ? 5 : 10);
    if (is_done) {
        assert_int_equal(export_count(bench), 1);
    } else {
        assert_int_equal(retain(bench, 7), OK);
        assert_int_equal(intact_rows(bench), 5);
        assert_int_equal(export_count(bench), 1);
    }
    a_trail(bench, 11, 11);
    assert_int_equal(intact_rows(bench), 6);
}

/* What the child runs: `retain_test --retain PATH N`. */
static int retain_and_crash(const char *path, long at)
{
    struct bench bench = {.read_count = 0};
    if (uv_loop_init(&bench.loop) != 0) {
        return 5;
    }
    struct history_options options = {.path = path, .loop = &bench.loop};
    if (history_create(&options, &bench.history) != OK) {
        return 6;
    }
    arm(at, true);
    if (history_retain(bench.history, 7 * DAY_US, NOW_DAY * DAY_US, on_read, &bench) != OK ||
        wait_read(&bench) != OK) {
        return 7;
    }
    _exit(0); /* as sudden as the others, only later */
}

static void crash_at_any_point_leaves_all_or_nothing(void **state)
{
    (void)state;
    int code = CRASHED;
    for (long at = 1; code == CRASHED && at < FAULTS_MAX; at++) {
        struct bench *bench = NULL;
        (void)setup((void **)&bench);
        a_trail(bench, 1, 10);
        bench_close(bench);
        char number[16];
        (void)snprintf(number, sizeof number, "%ld", at);
        pid_t child = fork();
        if (child == 0) {
            (void)execl("/proc/self/exe", "retain_test", "--retain", bench->path, number,
                        (char *)NULL);
            _exit(8);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        code = WEXITSTATUS(status);
        assert_true(code == CRASHED || code == 0);
        assert_true(code == CRASHED || at > 5); /* there were points to crash at */
        bench_open(bench);
        expect_all_or_nothing(bench);
        (void)teardown((void **)&bench);
    }
    assert_int_equal(code, 0);
}

static void disk_that_is_full_at_any_point_leaves_all_or_nothing(void **state)
{
    (void)state;
    enum err err = ERR_IO;
    for (long at = 1; err == ERR_IO && at < FAULTS_MAX; at++) {
        struct bench *bench = NULL;
        (void)setup((void **)&bench);
        a_trail(bench, 1, 10);
        arm(at, false);
        err = retain(bench, 7);
        bool was_reached = operations >= at;
        arm(0, false);
        assert_true(err == OK || err == ERR_IO);
        assert_true(was_reached || err == OK);
        expect_all_or_nothing(bench);
        err = was_reached ? ERR_IO : err;
        (void)teardown((void **)&bench);
    }
    assert_int_equal(err, OK);
}

/* ---- summaries ---- */

static void a_rollback_of(struct bench *bench, const char *id, const char *status, int64_t at_us,
                          double duration_s)
{
    struct history_rollback rollback = a_rollback(id, status);
    rollback.at_us = at_us;
    rollback.duration_s = duration_s;
    assert_int_equal(write_durably(bench, &(struct history_change){.rollback = &rollback}), OK);
}

static json_t *period_at(struct bench *bench, size_t index)
{
    return json_array_get(json_object_get(bench->result, "periods"), index);
}

static double duration_of(const json_t *period, const char *key)
{
    return json_number_value(json_object_get(json_object_get(period, "duration_s"), key));
}

static void summary_says_how_many_how_well_and_how_fast(void **state)
{
    struct bench *bench = *state;
    const int64_t monday_us = INT64_C(1795392000) * 1000000; /* 2026-11-23T00:00:00Z */
    for (int i = 1; i <= 10; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "a%d", i);
        a_rollback_of(bench, id, "success", monday_us + i, i);
    }
    a_rollback_of(bench, "f", "failed", monday_us + DAY_US - 1, 99);
    a_rollback_of(bench, "s", "superseded", monday_us + 5, 99);
    a_rollback_of(bench, "d", "dry_run", monday_us + 5, 99);
    a_rollback_of(bench, "next", "success", monday_us + DAY_US, 4);
    a_rollback_of(bench, "sunday", "success", monday_us - 1, 7);

    struct history_query query = {.period = HISTORY_DAY};
    assert_int_equal(history_read_summary(bench->history, &query, on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    assert_int_equal(json_array_size(json_object_get(bench->result, "periods")), 3);
    const json_t *monday = period_at(bench, 1);
    assert_string_equal(json_string_value(json_object_get(monday, "from")),
                        "2026-11-23T00:00:00.000Z");
    assert_int_equal(json_integer_value(json_object_get(monday, "rollbacks")), 12);
    assert_int_equal(json_integer_value(json_object_get(monday, "superseded")), 1);
    assert_true(json_number_value(json_object_get(monday, "success_rate")) == 10.0 / 11.0);
    assert_true(duration_of(monday, "p50") == 5);
    assert_true(duration_of(monday, "p90") == 9);
    assert_true(duration_of(monday, "p99") == 10);
    assert_true(duration_of(monday, "max") == 10);
    assert_true(duration_of(monday, "mean") == 5.5);

    query = (struct history_query){.period = HISTORY_WEEK, .limit = 1};
    assert_int_equal(history_read_summary(bench->history, &query, on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    assert_int_equal(json_array_size(json_object_get(bench->result, "periods")), 1);
    assert_int_equal(json_integer_value(json_object_get(period_at(bench, 0), "success")), 11);
    const json_t *total = json_object_get(bench->result, "total");
    assert_int_equal(json_integer_value(json_object_get(total, "success")), 12);

    query = (struct history_query){.period = HISTORY_MONTH, .service = "nobody"};
    assert_int_equal(history_read_summary(bench->history, &query, on_read, bench), OK);
    assert_int_equal(wait_read(bench), OK);
    total = json_object_get(bench->result, "total");
    assert_true(json_is_null(json_object_get(total, "success_rate")));
    assert_true(json_is_null(json_object_get(total, "duration_s")));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--retain") == 0) {
        return retain_and_crash(argv[2], strtol(argv[3], NULL, 10));
    }
    const struct CMUnitTest tests[] = {
        TEST(old_rows_are_exported_and_taken_out),
        TEST(trail_goes_on_and_is_guarded_as_before),
        TEST(nothing_old_leaves_everything_alone),
        TEST(newest_row_stays_however_old_it_is),
        TEST(rollbacks_go_with_the_rows_of_their_time_but_not_while_they_run),
        TEST(second_request_waits_for_none_and_closing_ends_it),
        TEST(walk_over_the_chain_holds_no_write_up),
        TEST(closing_waits_for_the_walk),
        TEST(walk_of_a_file_that_was_lost_says_nothing),
        cmocka_unit_test(what_was_done_by_hand_is_named),
        TEST(rows_that_were_cut_off_are_missed_for_good),
        TEST(rows_cut_off_after_the_walk_are_missed_too),
        TEST(broken_rows_are_not_taken_out),
        cmocka_unit_test(rows_that_go_are_checked_when_they_go),
        TEST(export_that_cannot_be_written_keeps_the_rows),
        cmocka_unit_test(crash_at_any_point_leaves_all_or_nothing),
        cmocka_unit_test(disk_that_is_full_at_any_point_leaves_all_or_nothing),
        TEST(summary_says_how_many_how_well_and_how_fast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

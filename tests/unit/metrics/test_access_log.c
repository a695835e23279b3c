#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "metrics/access_log.h"
#include "metrics/access_ring.h"
#include "tests/support/alloc_fail.h"

enum { PATIENCE_MS = 20000, TEXT_SIZE = 256 };

struct fixture {
    char directory[64];
    char path[96];
    char moved[96];
};

static int set_up(void **state)
{
    static struct fixture fixture;
    (void)snprintf(fixture.directory, sizeof fixture.directory, "/tmp/access_log.XXXXXX");
    if (mkdtemp(fixture.directory) == NULL) {
        return -1;
    }
    (void)snprintf(fixture.path, sizeof fixture.path, "%s/log", fixture.directory);
    (void)snprintf(fixture.moved, sizeof fixture.moved, "%s/log.1", fixture.directory);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    (void)unlink(fixture->path);
    (void)unlink(fixture->moved);
    return rmdir(fixture->directory);
}

static struct access_log *open_log(const char *path, size_t worker_count)
{
    struct access_log *log = NULL;
    assert_int_equal(access_log_open(path, ACCESS_LOG_COMBINED, worker_count, NULL, &log), OK);
    return log;
}

static void record_target(struct access_log *log, size_t worker, struct bytes target)
{
    struct access_record record = {
        .client = BYTES("192.0.2.7"),
        .method = BYTES("GET"),
        .target = target,
        .protocol = BYTES("HTTP/1.1"),
        .status = 200,
    };
    access_log_record(log, worker, &record);
}

struct tally {
    size_t lines;
    size_t matches;
};

/* Counts the lines of a file, and those that hold `what`. */
static struct tally tally_file(const char *path, const char *what)
{
    struct tally tally = {0};
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char line[ACCESS_TARGET_MAX + TEXT_SIZE];
    while (fgets(line, sizeof line, file) != NULL) {
        tally.lines++;
        tally.matches += strstr(line, what) != NULL;
    }
    (void)fclose(file);
    return tally;
}

/* Looks until the question is answered with yes; too long a silence fails the test. */
#define assert_eventually(question)                                                                \
    do {                                                                                           \
        int waited_ms = 0;                                                                         \
        while (!(question)) {                                                                      \
            assert_true(waited_ms++ < PATIENCE_MS);                                                \
            (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);                         \
        }                                                                                          \
    } while (0)

static void every_record_becomes_a_line(void **state)
{
    struct fixture *fixture = *state;
    struct access_log *log = open_log(fixture->path, 2);
    for (int i = 0; i < 500; i++) {
        record_target(log, 0, BYTES("/from-zero"));
        record_target(log, 1, BYTES("/from-one"));
    }
    assert_int_equal(access_log_dropped_count(log), 0);
    access_log_close(log, PATIENCE_MS);

    assert_int_equal(tally_file(fixture->path, "GET /from-one HTTP/1.1").matches, 500);
    assert_int_equal(tally_file(fixture->path, "GET /from-zero HTTP/1.1").matches, 500);
}

static void lines_appear_while_the_log_is_open(void **state)
{
    struct fixture *fixture = *state;
    struct access_log *log = open_log(fixture->path, 1);
    record_target(log, 0, BYTES("/soon"));
    assert_eventually(tally_file(fixture->path, "/soon").matches == 1);
    access_log_close(log, PATIENCE_MS);
}

static void an_existing_file_is_continued(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 2; i++) {
        struct access_log *log = open_log(fixture->path, 1);
        record_target(log, 0, BYTES("/again"));
        access_log_close(log, PATIENCE_MS);
    }
    assert_int_equal(tally_file(fixture->path, "/again").lines, 2);
}

static void reopening_leaves_the_moved_file_and_starts_anew(void **state)
{
    struct fixture *fixture = *state;
    struct access_log *log = open_log(fixture->path, 1);
    record_target(log, 0, BYTES("/before"));
    assert_int_equal(rename(fixture->path, fixture->moved), 0);

    access_log_reopen(log);
    assert_eventually(access(fixture->path, F_OK) == 0);
    record_target(log, 0, BYTES("/after"));
    access_log_close(log, PATIENCE_MS);

    assert_int_equal(tally_file(fixture->moved, "/before").matches, 1);
    assert_int_equal(tally_file(fixture->moved, "/after").matches, 0);
    assert_int_equal(tally_file(fixture->path, "/after").lines, 1);
}

static void a_failed_reopen_keeps_the_old_file_and_is_shown(void **state)
{
    struct fixture *fixture = *state;
    struct access_log *log = open_log(fixture->path, 1);
    assert_int_equal(rename(fixture->path, fixture->moved), 0);
    assert_int_equal(mkdir(fixture->path, 0700), 0);

    access_log_reopen(log);
    assert_eventually(access_log_is_failing(log));
    record_target(log, 0, BYTES("/kept"));
    assert_int_equal(rmdir(fixture->path), 0);
    access_log_reopen(log);
    assert_eventually(!access_log_is_failing(log));
    access_log_close(log, PATIENCE_MS);

    assert_int_equal(tally_file(fixture->moved, "/kept").matches, 1);
}

static void a_full_disk_only_costs_the_records(void **state)
{
    (void)state;
    struct access_log *log = open_log("/dev/full", 1);
    for (int i = 0; i < 3; i++) {
        record_target(log, 0, BYTES("/lost"));
    }
    assert_eventually(access_log_dropped_count(log) == 3);
    assert_true(access_log_is_failing(log));
    access_log_close(log, PATIENCE_MS);
}

/* Reads the pipe to its end and counts the lines. */
static size_t drain_pipe(int fd)
{
    static char chunk[65536];
    size_t lines = 0;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    for (;;) {
        assert_int_equal(poll(&poll_fd, 1, PATIENCE_MS), 1);
        ssize_t size = read(fd, chunk, sizeof chunk);
        if (size <= 0) {
            assert_int_equal(size, 0);
            return lines;
        }
        for (ssize_t i = 0; i < size; i++) {
            lines += chunk[i] == '\n';
        }
    }
}

static void a_stalled_disk_costs_drops_and_delays_neither_worker_nor_close(void **state)
{
    struct fixture *fixture = *state;
    static char target[ACCESS_TARGET_MAX];
    memset(target, 't', sizeof target);
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    int reader = open(fixture->path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    struct access_log *log = open_log(fixture->path, 1);

    size_t recorded = 0;
    while (access_log_dropped_count(log) < 10) {
        record_target(log, 0, bytes_make(target, sizeof target));
        recorded++;
        assert_in_range(recorded, 1, 100000);
    }
    /* The pipe is full and nobody reads: the close gives up, and leaves the thread with what it
     * holds. */
    access_log_close(log, 20);

    assert_int_equal(drain_pipe(reader), recorded - 10);
    (void)close(reader);
}

static void a_reader_that_left_is_an_error_and_no_signal(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    int reader = open(fixture->path, O_RDONLY | O_NONBLOCK);
    struct access_log *log = open_log(fixture->path, 1);
    (void)close(reader);

    record_target(log, 0, BYTES("/unread"));
    assert_eventually(access_log_dropped_count(log) == 1);
    access_log_close(log, PATIENCE_MS);
}

static void a_path_that_cannot_be_opened_is_told(void **state)
{
    struct fixture *fixture = *state;
    struct access_log *log = NULL;
    struct note note = {""};
    assert_int_equal(access_log_open("/nowhere/log", ACCESS_LOG_JSON, 1, &note, &log), ERR_IO);
    assert_non_null(strstr(note.text, "/nowhere/log"));
    /* A pipe without a reader would block the process at its start. */
    assert_int_equal(mkfifo(fixture->path, 0600), 0);
    assert_int_equal(access_log_open(fixture->path, ACCESS_LOG_JSON, 1, NULL, &log), ERR_IO);
    assert_int_equal(access_log_open(fixture->path, ACCESS_LOG_JSON, 0, NULL, &log), ERR_RANGE);
    assert_null(log);
}

static void opening_survives_every_refused_allocation(void **state)
{
    struct fixture *fixture = *state;
    size_t turn = 0;
    for (bool was_refused = true; was_refused; turn++) {
        struct access_log *log = NULL;
        (void)alloc_fail_begin(turn);
        enum err err = access_log_open(fixture->path, ACCESS_LOG_JSON, 3, NULL, &log);
        was_refused = alloc_fail_end();
        assert_int_equal(err, was_refused ? ERR_NOMEM : OK);
        assert_int_equal(log == NULL, was_refused);
        access_log_close(log, PATIENCE_MS);
    }
    assert_true(turn > 4);
}

static void a_log_that_is_off_takes_everything_quietly(void **state)
{
    (void)state;
    record_target(NULL, 7, BYTES("/nothing"));
    access_log_reopen(NULL);
    assert_int_equal(access_log_dropped_count(NULL), 0);
    assert_false(access_log_is_failing(NULL));
    access_log_close(NULL, 0);
}

enum { WORKERS = 2, PER_WORKER = 5000 };

struct worker {
    struct access_log *log;
    size_t index;
};

static void *serve(void *argument)
{
    struct worker *worker = argument;
    for (int i = 0; i < PER_WORKER; i++) {
        record_target(worker->log, worker->index, BYTES("/busy"));
    }
    return NULL;
}

/* The thread sanitizer watches this one. */
static void busy_workers_lose_only_what_is_counted(void **state)
{
    struct fixture *fixture = *state;
    struct access_log *log = open_log(fixture->path, WORKERS);
    pthread_t threads[WORKERS];
    struct worker workers[WORKERS];
    for (size_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){log, i};
        assert_int_equal(pthread_create(&threads[i], NULL, serve, &workers[i]), 0);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    uint64_t dropped = access_log_dropped_count(log);
    access_log_close(log, PATIENCE_MS);
    assert_int_equal(tally_file(fixture->path, "/busy").matches + dropped, WORKERS * PER_WORKER);
}

static size_t tail_of(struct access_log *log, uint64_t *position, const char *what)
{
    struct buf out;
    size_t count = 0;
    buf_init(&out, 1024 * 1024);
    *position = access_log_tail(log, *position, &out);
    struct bytes rest = buf_bytes(&out);
    struct bytes line;
    assert_true(rest.size == 0 || rest.data[rest.size - 1] == '\n');
    while (rest.size > 0 && bytes_next(&rest, '\n', &line)) {
        assert_true(bytes_starts_with(line, BYTES("192.0.2.7 ")));
        count += memmem(line.data, line.size, what, strlen(what)) != NULL;
    }
    buf_finish(&out);
    return count;
}

static void newest_lines_can_be_had_also_when_the_disk_is_full(void **state)
{
    (void)state;
    struct access_log *log = open_log("/dev/full", 1);
    uint64_t position = 0;
    size_t seen = 0;
    assert_int_equal(tail_of(log, &position, "/"), 0);
    record_target(log, 0, BYTES("/first"));
    assert_eventually((seen += tail_of(log, &position, "/first")) == 1);
    assert_int_equal(tail_of(log, &position, "/"), 0);
    for (int i = 0; i < 4000; i++) {
        record_target(log, 0, BYTES("/many"));
        if (i % 500 == 499) {
            uint64_t before = position;
            assert_eventually(tail_of(log, &before, "/many") > 0);
        }
    }
    record_target(log, 0, BYTES("/last"));
    uint64_t all = 0;
    assert_eventually((all = 0, tail_of(log, &all, "/last")) == 1);
    all = 0;
    assert_int_equal(tail_of(log, &all, "/first"), 0);
    access_log_close(log, PATIENCE_MS);
    position = 5;
    assert_int_equal(tail_of(NULL, &position, "/"), 0);
    assert_int_equal(position, 5);
}

#define log_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        log_test(every_record_becomes_a_line),
        log_test(lines_appear_while_the_log_is_open),
        log_test(an_existing_file_is_continued),
        log_test(reopening_leaves_the_moved_file_and_starts_anew),
        log_test(a_failed_reopen_keeps_the_old_file_and_is_shown),
        log_test(a_full_disk_only_costs_the_records),
        log_test(a_stalled_disk_costs_drops_and_delays_neither_worker_nor_close),
        log_test(a_reader_that_left_is_an_error_and_no_signal),
        log_test(a_path_that_cannot_be_opened_is_told),
        log_test(opening_survives_every_refused_allocation),
        log_test(a_log_that_is_off_takes_everything_quietly),
        log_test(newest_lines_can_be_had_also_when_the_disk_is_full),
        log_test(busy_workers_lose_only_what_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

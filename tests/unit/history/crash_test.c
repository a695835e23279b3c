/* A process that writes is killed at random points; what it was told is durable must be there
 * afterwards. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/base/hash.h"
#include "tests/unit/history/history_bench.h"

enum { KILLS = 20, CHANGES_MAX = 5000 };

struct writer {
    struct bench bench;
    int pipe;
    uint32_t next;
};

static void write_next(struct writer *writer);

/* The acknowledgement leaves the process by a pipe, which kill -9 cannot take back. */
static void on_durable(void *context, enum err err)
{
    struct writer *writer = context;
    if (err != OK || write(writer->pipe, &writer->next, sizeof writer->next) < 0) {
        _exit(3);
    }
    writer->next++;
    write_next(writer);
}

static void write_next(struct writer *writer)
{
    if (writer->next >= CHANGES_MAX) {
        return;
    }
    char id[16];
    (void)snprintf(id, sizeof id, "r%u", writer->next / 8);
    struct history_service service = a_service("showcase", writer->next);
    struct history_rollback rollback = a_rollback(id, "in_progress");
    struct history_audit audit = an_audit("noise", NULL);
    struct history_change risky = {.service = &service, .rollback = &rollback};
    struct history_change noise = {.audit = &audit};
    if (history_write(writer->bench.history, &noise, HISTORY_SOON, NULL, NULL) != OK ||
        history_write(writer->bench.history, &risky, HISTORY_DURABLE, on_durable, writer) != OK) {
        _exit(4);
    }
}

/* What the child runs: `crash_test --write PATH FD FIRST`. */
static int write_for_ever(const char *path, int pipe, uint32_t first)
{
    struct writer writer = {.pipe = pipe, .next = first};
    if (uv_loop_init(&writer.bench.loop) != 0) {
        return 5;
    }
    struct history_options options = {.path = path, .loop = &writer.bench.loop};
    if (history_create(&options, &writer.bench.history) != OK) {
        return 6;
    }
    write_next(&writer);
    (void)uv_run(&writer.bench.loop, UV_RUN_DEFAULT);
    return 0;
}

/* A program of its own: threads do not go well with a fork alone. */
static pid_t start_writer(const struct bench *bench, int pipe, uint32_t first)
{
    char descriptor[16];
    char number[16];
    (void)snprintf(descriptor, sizeof descriptor, "%d", pipe);
    (void)snprintf(number, sizeof number, "%u", first);
    pid_t child = fork();
    if (child == 0) {
        (void)execl("/proc/self/exe", "crash_test", "--write", bench->path, descriptor, number,
                    (char *)NULL);
        _exit(7);
    }
    return child;
}

/* Reads acknowledgements until `kill_after` of them have come, kills, and reads what was still in
 * the pipe. */
static uint32_t last_acknowledged(int pipe, pid_t child, uint32_t last, uint64_t kill_after,
                                  uint64_t delay_us)
{
    uint32_t number = 0;
    uint64_t count = 0;
    while (read(pipe, &number, sizeof number) == (ssize_t)sizeof number) {
        last = number;
        count++;
        if (count == kill_after) {
            (void)usleep((useconds_t)delay_us);
            (void)kill(child, SIGKILL);
        }
    }
    return last;
}

static void acknowledged_writes_outlive_kill_9_at_any_point(void **state)
{
    (void)state;
    struct bench bench;
    struct random random;
    bench_init(&bench);
    random_init(&random, 0);
    uint32_t last = 0;
    for (int i = 0; i < KILLS; i++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = start_writer(&bench, ends[1], last + 1);
        assert_true(child >= 0);
        (void)close(ends[1]);
        last = last_acknowledged(ends[0], child, last, 1 + random_below(&random, 20),
                                 random_below(&random, 3000));
        (void)close(ends[0]);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));

        bench_open(&bench);
        assert_null(history_condition(bench.history));
        struct history_state loaded;
        assert_int_equal(history_load(bench.history, 0, &loaded), OK);
        assert_int_equal(loaded.service_count, 1);
        /* Never less than what was told; at most the one more that was under way. */
        assert_in_range(loaded.services[0].weight_ppm, last, last + 1);
        assert_true(loaded.rollback_count > 0);
        history_state_finish(&loaded);
        (void)intact_rows(&bench);
        bench_close(&bench);
    }
    bench_finish(&bench);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--write") == 0) {
        return write_for_ever(argv[2], atoi(argv[3]), (uint32_t)strtoul(argv[4], NULL, 10));
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acknowledged_writes_outlive_kill_9_at_any_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

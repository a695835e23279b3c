/* Commands run, end, hang and leave children behind; nothing of them stays. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "canary/command/command.h"

struct bench {
    uv_loop_t loop;
    int count;
    struct command_result result;
    char output[COMMAND_OUTPUT_MAX + 1];
};

static void on_done(void *context, const struct command_result *result)
{
    struct bench *bench = context;
    bench->count++;
    bench->result = *result;
    memcpy(bench->output, result->output.data, result->output.size);
    bench->output[result->output.size] = '\0';
}

static struct command *start(struct bench *bench, const char *script, const char *input,
                             uint64_t deadline_ms)
{
    const char *words[] = {"sh", "-c", script};
    struct command_request request = {words, 3, bytes_of(input), deadline_ms, 0};
    struct command *command = NULL;
    memset(bench, 0, sizeof *bench);
    assert_int_equal(uv_loop_init(&bench->loop), 0);
    assert_int_equal(command_start(&bench->loop, &request, on_done, bench, &command), OK);
    assert_int_equal(bench->count, 0);
    return command;
}

/* The loop runs out: every handle is closed. */
static void finish(struct bench *bench)
{
    (void)uv_run(&bench->loop, UV_RUN_DEFAULT);
    assert_int_equal(bench->count, 1);
    assert_int_equal(uv_loop_close(&bench->loop), 0);
}

static void command_gets_input_and_gives_output_and_code(void **state)
{
    (void)state;
    struct bench bench;
    start(&bench, "read line; echo \"got $line\"; echo trouble >&2; exit 7", "an alert\n", 20000);
    finish(&bench);
    assert_int_equal(bench.result.err, OK);
    assert_int_equal(bench.result.exit_code, 7);
    assert_non_null(strstr(bench.output, "got an alert\n"));
    assert_non_null(strstr(bench.output, "trouble\n"));
}

static void command_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct bench bench = {.count = 0};
    const char *words[] = {"/nonexistent/serin-command"};
    struct command_request request = {words, 1, BYTES("x"), 1000, 0};
    struct command *command = NULL;
    assert_int_equal(uv_loop_init(&bench.loop), 0);
    assert_int_equal(command_start(&bench.loop, &request, on_done, &bench, &command), OK);
    command_kill(command);
    finish(&bench);
    assert_int_equal(bench.result.err, ERR_IO);
    assert_non_null(strstr(bench.result.why, "no such file"));
}

static void much_output_is_read_and_cut(void **state)
{
    (void)state;
    struct bench bench;
    start(&bench, "head -c 1000000 /dev/zero | tr '\\0' x; echo end >&2", "", 20000);
    finish(&bench);
    assert_int_equal(bench.result.exit_code, 0);
    assert_int_equal(strlen(bench.output), COMMAND_OUTPUT_MAX);
}

static void large_input_that_nobody_reads_is_no_matter(void **state)
{
    (void)state;
    struct bench bench;
    enum { INPUT_SIZE = 1 << 20 };
    char *input = malloc(INPUT_SIZE + 1);
    memset(input, 'i', INPUT_SIZE);
    input[INPUT_SIZE] = '\0';
    start(&bench, "exit 0", input, 20000);
    free(input);
    finish(&bench);
    assert_int_equal(bench.result.err, OK);
    assert_int_equal(bench.result.exit_code, 0);
}

static bool is_gone(pid_t pid)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    char state = 'X';
    if (file != NULL) {
        if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1) {
            state = 'X';
        }
        (void)fclose(file);
    }
    return state == 'X' || state == 'Z';
}

static void command_that_hangs_is_killed_with_its_children(void **state)
{
    (void)state;
    struct bench bench;
    start(&bench, "sleep 300 & echo $!; sleep 300", "", 300);
    finish(&bench);
    assert_int_equal(bench.result.err, ERR_TIMEOUT);
    assert_int_equal(bench.result.signal, SIGKILL);
    pid_t child = (pid_t)atoi(bench.output);
    assert_true(child > 1);
    while (!is_gone(child)) {
        uv_sleep(1);
    }
}

static void child_that_is_left_behind_with_the_output_is_killed(void **state)
{
    (void)state;
    struct bench bench;
    start(&bench, "sleep 300 & echo $!", "", 20000);
    finish(&bench);
    assert_int_equal(bench.result.err, OK);
    assert_int_equal(bench.result.exit_code, 0);
    pid_t child = (pid_t)atoi(bench.output);
    assert_true(child > 1);
    while (!is_gone(child)) {
        uv_sleep(1);
    }
}

static void command_can_be_ended(void **state)
{
    (void)state;
    struct bench bench;
    struct command *command = start(&bench, "sleep 300", "", 200000);
    command_kill(command);
    finish(&bench);
    assert_int_equal(bench.result.err, ERR_CLOSED);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_gets_input_and_gives_output_and_code),
        cmocka_unit_test(command_that_is_not_there_is_told),
        cmocka_unit_test(much_output_is_read_and_cut),
        cmocka_unit_test(large_input_that_nobody_reads_is_no_matter),
        cmocka_unit_test(command_that_hangs_is_killed_with_its_children),
        cmocka_unit_test(child_that_is_left_behind_with_the_output_is_killed),
        cmocka_unit_test(command_can_be_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The command provider: what it gives the command, what it makes of its end, and that nothing of it
 * stays behind. */
#include <errno.h>
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

#include "canary/platform/exec.h"
#include "tests/unit/platform/platform_bench.h"

static int setup(void **state)
{
    struct platform_bench *bench = calloc(1, sizeof *bench);
    assert_non_null(bench);
    (void)bench_begin(bench);
    (void)signal(SIGPIPE, SIG_IGN);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    bench_end(*state);
    free(*state);
    /* Every child was reaped. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    return 0;
}

static void use(struct platform_bench *bench, const char *script)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    assert_int_equal(exec_create(&bench->loop, argv, &bench->provider), OK);
}

static struct platform_ask roll_back(void)
{
    return (struct platform_ask){
        .operation = PLATFORM_ROLL_BACK, .record = BYTES("{\"id\":\"r1\"}"), .deadline_ms = 30000};
}

static void command_gets_the_record_and_its_output_is_kept(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back();
    use(bench, "cat; echo to-error >&2");
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_DONE);
    assert_non_null(strstr(bench->log, "{\"id\":\"r1\"}\n"));
    assert_non_null(strstr(bench->log, "to-error\n"));
    assert_int_equal(bench->provider->counts.requests[PLATFORM_ROLL_BACK][PLATFORM_DONE], 1);
}

static void exit_codes_say_how_it_went(void **state)
{
    static const struct {
        const char *script;
        enum platform_result result;
    } cases[] = {{"exit 1", PLATFORM_FAILED},
                 {"exit 3", PLATFORM_REFUSED},
                 {"exit 4", PLATFORM_DENIED},
                 {"exit 5", PLATFORM_TIMED_OUT},
                 {"kill -9 $$", PLATFORM_FAILED}};
    struct platform_bench *bench = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct platform_ask ask = roll_back();
        use(bench, cases[i].script);
        bench_ask(bench, &ask);
        assert_int_equal(bench->result, cases[i].result);
        provider_close(bench->provider, NULL, NULL);
        bench->provider = NULL;
    }
}

static void the_same_words_are_the_same_command(void **state)
{
    struct platform_bench *bench = *state;
    const char *same[] = {"sh", "-c", "exit 0", NULL};
    const char *shorter[] = {"sh", "-c", NULL};
    const char *longer[] = {"sh", "-c", "exit 0", "more", NULL};
    use(bench, "exit 0");
    assert_true(exec_is(bench->provider, same));
    assert_false(exec_is(bench->provider, shorter));
    assert_false(exec_is(bench->provider, longer));
    assert_false(exec_is(NULL, same));
}

static void command_that_does_not_exist_fails(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back();
    const char *argv[] = {"/nonexistent/command", NULL};
    assert_int_equal(exec_create(&bench->loop, argv, &bench->provider), OK);
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_FAILED);
}

static void command_that_does_not_end_is_killed_with_its_children(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back();
    ask.deadline_ms = 2000; /* time enough for the child to be there */
    use(bench, "trap '' TERM; sleep 1000 & echo $!; wait");
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_TIMED_OUT);
    pid_t child = (pid_t)strtol(bench->log, NULL, 10);
    assert_true(child > 1);
    /* init reaps it; until then it is a zombie that takes no signal's effect. */
    for (int i = 0; i < 500 && kill(child, 0) == 0; i++) {
        char path[64];
        char text[256] = "";
        (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
        FILE *file = fopen(path, "re");
        if (file == NULL || fgets(text, sizeof text, file) == NULL || strstr(text, ") Z") != NULL) {
            if (file != NULL) {
                (void)fclose(file);
            }
            return;
        }
        (void)fclose(file);
        (void)usleep(10000);
    }
    assert_int_equal(kill(child, 0), -1);
}

static void child_left_behind_holds_up_nobody(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back();
    use(bench, "sleep 1000 & exit 0");
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_DONE);
}

static void chatter_is_read_and_dropped(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back();
    use(bench, "head -c 3000000 /dev/zero | tr '\\0' x");
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_DONE);
    assert_int_equal(strlen(bench->log), EXEC_OUTPUT_MAX);
}

static void command_need_not_read_its_input(void **state)
{
    struct platform_bench *bench = *state;
    static char large[1 << 20];
    struct platform_ask ask = roll_back();
    memset(large, 'x', sizeof large);
    ask.record = bytes_make(large, sizeof large);
    use(bench, "exec <&-; exit 0");
    bench_ask(bench, &ask);
    assert_int_equal(bench->result, PLATFORM_DONE);
}

static void cancelled_command_is_killed_and_told_once(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back();
    use(bench, "exec >&- 2>&-; sleep 1000");
    struct platform_call *call = bench_start(bench, &ask);
    provider_cancel(call, bench->provider);
    provider_cancel(call, bench->provider);
    bench_wait(bench);
    assert_int_equal(bench->result, PLATFORM_CANCELLED);
}

static void closing_kills_what_runs(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = roll_back();
    use(bench, "sleep 1000");
    (void)bench_start(bench, &ask);
    bench_end(bench);
    assert_int_equal(bench->result, PLATFORM_CANCELLED);
    bench->provider = NULL;
    (void)bench_begin(bench);
}

static void only_rollbacks_are_its_business(void **state)
{
    struct platform_bench *bench = *state;
    struct platform_ask ask = {.operation = PLATFORM_LOOK};
    const char *nothing[] = {NULL};
    struct provider *provider = NULL;
    assert_int_equal(exec_create(&bench->loop, nothing, &provider), ERR_SYNTAX);
    use(bench, "exit 0");
    assert_int_equal(
        provider_start(bench->provider, &ask, (platform_on_done *)(void *)abort, NULL, NULL),
        ERR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(command_gets_the_record_and_its_output_is_kept),
        TEST(the_same_words_are_the_same_command),
        TEST(exit_codes_say_how_it_went),
        TEST(command_that_does_not_exist_fails),
        TEST(command_that_does_not_end_is_killed_with_its_children),
        TEST(child_left_behind_holds_up_nobody),
        TEST(chatter_is_read_and_dropped),
        TEST(command_need_not_read_its_input),
        TEST(cancelled_command_is_killed_and_told_once),
        TEST(closing_kills_what_runs),
        TEST(only_rollbacks_are_its_business),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Every allocation refused in turn: nothing is told half, and nothing is lost for want of a
 * moment's memory that could be tried again. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/alloc_fail.h"
#include "tests/unit/alert/alerts_bench.h"

static void raise_without_memory_raises_nothing_or_all(void **state)
{
    (void)state;
    bool was_refused = true;
    for (size_t turn = 0; was_refused; turn++) {
        struct bench bench;
        bench_init(&bench, 1);
        struct event_facts facts = bench_facts("SerinBreach");
        (void)alloc_fail_begin(turn);
        alerts_raise(bench.alerts, &facts);
        was_refused = alloc_fail_end();
        /* The steward's next look raises what is missing. */
        alerts_raise(bench.alerts, &facts);
        assert_int_equal(alerts_active_count(bench.alerts), 1);
        bench_wait(&bench, 0, 1);
        bench_finish(&bench);
    }
}

static void attempt_without_memory_is_tried_again(void **state)
{
    (void)state;
    bool was_refused = true;
    for (size_t turn = 0; was_refused && turn < 200; turn++) {
        struct bench bench;
        char states[256];
        bench_init(&bench, 1);
        struct event_facts facts = bench_facts("SerinBreach");
        alerts_raise(bench.alerts, &facts);
        (void)alloc_fail_begin(turn);
        (void)uv_run(&bench.loop, UV_RUN_NOWAIT);
        was_refused = alloc_fail_end();
        bench_wait(&bench, 0, 1);
        if (alerts_condition(bench.alerts) != NULL) {
            bench_turn(&bench, 60000000);
            bench_wait(&bench, 0, 2);
        }
        assert_string_equal(bench_states(&bench, 0, states), "firing");
        bench_finish(&bench);
    }
}

static void configuration_without_memory_changes_nothing(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench, 1);
    bench.channels[1].exec = bench.channels[0].exec;
    bench.words[1][0] = "true";
    bench.channels[1].exec.command = bench.words[1];
    bench.channels[1].exec.command_count = 1;
    bench.conf.alert_count = 2;
    bool was_refused = true;
    for (size_t turn = 0; was_refused; turn++) {
        (void)alloc_fail_begin(turn);
        enum err err = alerts_configure(bench.alerts, &bench.conf);
        was_refused = alloc_fail_end();
        assert_int_equal(err, was_refused ? ERR_NOMEM : OK);
        assert_int_equal(alerts_channel_count(bench.alerts), was_refused ? 1 : 2);
    }
    bench_finish(&bench);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raise_without_memory_raises_nothing_or_all),
        cmocka_unit_test(attempt_without_memory_is_tried_again),
        cmocka_unit_test(configuration_without_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

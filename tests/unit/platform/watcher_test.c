/* Looks at their pace: one question at a time, none too often, failures with growing pauses. A
 * provider of the test's own says what it is told to say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "canary/platform/watcher.h"

enum { SECOND_US = 1000000, EVERY_US = 10 * SECOND_US };

/* One question at a time, answered by the test. */
struct fake {
    struct provider provider; /* first */
    platform_on_done *on_done;
    void *context;
    enum platform_operation operation;
    char target[64];
    bool is_asked;
    bool is_refusing;
    int asked;
};

struct bench {
    struct watcher *watcher;
    struct fake fakes[3];
    uint64_t now_us;
    int looked;
    int logged;
    char service[32];
    char deployment[64];
    char log[64];
    int closed;
};

static enum err fake_start(struct provider *provider, const struct platform_ask *ask,
                           platform_on_done *on_done, void *context,
                           struct platform_call **ret_call)
{
    struct fake *fake = (struct fake *)(void *)provider;
    (void)ret_call;
    assert_false(fake->is_asked);
    if (fake->is_refusing) {
        return ERR_NOMEM;
    }
    fake->is_asked = true;
    fake->asked++;
    fake->operation = ask->operation;
    (void)snprintf(fake->target, sizeof fake->target, "%s", ask->target != NULL ? ask->target : "");
    fake->on_done = on_done;
    fake->context = context;
    return OK;
}

static void fake_say(struct fake *fake, const struct platform_answer *answer)
{
    assert_true(fake->is_asked);
    fake->is_asked = false;
    fake->on_done(fake->context, answer);
}

static void fake_cancel(struct platform_call *call)
{
    (void)call;
}

static void fake_close(struct provider *provider, void (*on_closed)(void *context), void *context)
{
    struct fake *fake = (struct fake *)(void *)provider;
    if (fake->is_asked) {
        fake_say(fake, &(struct platform_answer){.result = PLATFORM_CANCELLED, .text = ""});
    }
    on_closed(context);
}

static const struct provider_ops fake_ops = {
    .name = "fake", .start = fake_start, .cancel = fake_cancel, .close = fake_close};

static void on_looked(void *context, const char *service, const struct platform_answer *answer)
{
    struct bench *bench = context;
    assert_int_equal(answer->result, PLATFORM_DONE);
    bench->looked++;
    (void)snprintf(bench->service, sizeof bench->service, "%s", service);
}

static void on_logged(void *context, const char *service, const char *deployment, struct bytes log)
{
    struct bench *bench = context;
    bench->logged++;
    (void)snprintf(bench->service, sizeof bench->service, "%s", service);
    (void)snprintf(bench->deployment, sizeof bench->deployment, "%s", deployment);
    (void)snprintf(bench->log, sizeof bench->log, "%.*s", BYTES_ARGS(log));
}

static void on_closed(void *context)
{
    struct bench *bench = context;
    bench->closed++;
}

static int open_bench(void **state)
{
    static const struct watcher_ops ops = {on_looked, on_logged};
    static struct bench bench;
    memset(&bench, 0, sizeof bench);
    for (size_t i = 0; i < sizeof bench.fakes / sizeof *bench.fakes; i++) {
        bench.fakes[i].provider.ops = &fake_ops;
    }
    assert_int_equal(
        watcher_create(&(struct watcher_options){.ops = &ops, .context = &bench}, &bench.watcher),
        OK);
    bench.now_us = SECOND_US;
    *state = &bench;
    return 0;
}

static int close_bench(void **state)
{
    struct bench *bench = *state;
    watcher_close(bench->watcher, on_closed, bench);
    assert_int_equal(bench->closed, 1);
    return 0;
}

static void seat(struct bench *bench, const char *service, struct fake *fake)
{
    assert_int_equal(watcher_seat(bench->watcher, service, &fake->provider, EVERY_US, "no token"),
                     OK);
}

static void pass(struct bench *bench, uint64_t us)
{
    bench->now_us += us;
    watcher_tick(bench->watcher, bench->now_us);
}

static void say_done(struct fake *fake)
{
    fake_say(fake, &(struct platform_answer){.result = PLATFORM_DONE, .text = ""});
}

static void project_is_looked_at_at_its_pace(void **state)
{
    struct bench *bench = *state;
    struct fake *fake = &bench->fakes[0];
    seat(bench, "shop", fake);
    assert_true(watcher_has(bench->watcher, "shop"));
    pass(bench, 0);
    assert_int_equal(fake->operation, PLATFORM_LIST);
    pass(bench, 60 * SECOND_US);
    assert_int_equal(fake->asked, 1);
    say_done(fake);
    assert_int_equal(bench->looked, 1);
    assert_string_equal(bench->service, "shop");
    pass(bench, EVERY_US - 1);
    assert_int_equal(fake->asked, 1);
    pass(bench, EVERY_US / 10 + 2);
    assert_int_equal(fake->asked, 2);
}

static void looks_of_all_services_keep_their_distance(void **state)
{
    struct bench *bench = *state;
    seat(bench, "one", &bench->fakes[0]);
    seat(bench, "two", &bench->fakes[1]);
    pass(bench, 0);
    assert_int_equal(bench->fakes[0].asked + bench->fakes[1].asked, 1);
    pass(bench, (uint64_t)WATCHER_SPACING_MS * 1000 - 1);
    assert_int_equal(bench->fakes[0].asked + bench->fakes[1].asked, 1);
    pass(bench, 1);
    assert_int_equal(bench->fakes[0].asked, 1);
    assert_int_equal(bench->fakes[1].asked, 1);
}

static void fail_with(struct fake *fake, uint64_t retry_after_ms)
{
    fake_say(fake, &(struct platform_answer){.result = PLATFORM_RATE_LIMITED,
                                             .text = "slow down",
                                             .retry_after_ms = retry_after_ms});
}

static void none_of_many_is_passed_over(void **state)
{
    static const char *const names[] = {"one", "two", "three"};
    struct bench *bench = *state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(watcher_seat(bench->watcher, names[i], &bench->fakes[i].provider,
                                      2 * SECOND_US, "no token"),
                         OK);
    }
    for (size_t i = 0; i < 30; i++) {
        pass(bench, (uint64_t)WATCHER_SPACING_MS * 1000);
        for (size_t j = 0; j < 3; j++) {
            if (bench->fakes[j].is_asked) {
                say_done(&bench->fakes[j]);
            }
        }
    }
    for (size_t i = 0; i < 3; i++) {
        assert_true(bench->fakes[i].asked >= 8);
    }
}

static void failure_is_a_condition_when_it_lasts(void **state)
{
    struct bench *bench = *state;
    struct fake *fake = &bench->fakes[0];
    seat(bench, "shop", fake);
    pass(bench, 0);
    fail_with(fake, 0);
    assert_null(watcher_condition(bench->watcher));
    pass(bench, EVERY_US);
    assert_int_equal(fake->asked, 2);
    fail_with(fake, 0);
    assert_non_null(strstr(watcher_condition(bench->watcher), "slow down"));
    pass(bench, EVERY_US - 1);
    assert_int_equal(fake->asked, 2);
    pass(bench, EVERY_US + 1);
    assert_int_equal(fake->asked, 3);
    say_done(fake);
    assert_null(watcher_condition(bench->watcher));
}

static void answer_that_says_when_is_obeyed(void **state)
{
    struct bench *bench = *state;
    struct fake *fake = &bench->fakes[0];
    seat(bench, "shop", fake);
    pass(bench, 0);
    fail_with(fake, 600000);
    pass(bench, UINT64_C(599) * SECOND_US);
    assert_int_equal(fake->asked, 1);
    pass(bench, SECOND_US);
    assert_int_equal(fake->asked, 2);
}

static void logs_are_asked_for_between_two_looks(void **state)
{
    struct bench *bench = *state;
    struct fake *fake = &bench->fakes[0];
    seat(bench, "shop", fake);
    pass(bench, 0);
    assert_true(watcher_want_log(bench->watcher, "shop", "d-1"));
    assert_true(watcher_want_log(bench->watcher, "shop", "d-2"));
    assert_false(watcher_want_log(bench->watcher, "shop", "d-2"));
    assert_false(watcher_want_log(bench->watcher, "none", "d-2"));
    assert_false(watcher_want_log(bench->watcher, "shop", "d/3"));
    say_done(fake);
    pass(bench, 0);
    assert_int_equal(fake->operation, PLATFORM_LOG);
    assert_string_equal(fake->target, "d-1");
    fake_say(fake, &(struct platform_answer){
                       .result = PLATFORM_DONE, .text = "", .log = BYTES("npm ERR!")});
    assert_string_equal(bench->deployment, "d-1");
    assert_string_equal(bench->log, "npm ERR!");
    pass(bench, 0);
    fake_say(fake, &(struct platform_answer){.result = PLATFORM_FAILED, .text = "gone"});
    assert_string_equal(bench->deployment, "d-2");
    assert_string_equal(bench->log, "");
    for (int i = 0; i < WATCHER_LOGS_MAX; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "e-%d", i);
        assert_true(watcher_want_log(bench->watcher, "shop", id));
    }
    assert_false(watcher_want_log(bench->watcher, "shop", "e-x"));
    fake->is_refusing = true;
    pass(bench, 0);
    assert_int_equal(bench->logged, 3);
}

static void other_provider_is_asked_anew_and_the_old_answer_is_lost(void **state)
{
    struct bench *bench = *state;
    seat(bench, "shop", &bench->fakes[0]);
    pass(bench, 0);
    bench->fakes[0].provider.counts.requests[PLATFORM_LIST][PLATFORM_DONE] = 3;
    seat(bench, "shop", &bench->fakes[1]);
    assert_int_equal(bench->looked, 0);
    pass(bench, 3 * SECOND_US);
    assert_int_equal(bench->fakes[1].asked, 1);
    bench->fakes[1].provider.counts.requests[PLATFORM_LIST][PLATFORM_DONE] = 2;
    struct platform_counts sum = {0};
    watcher_add_counts(bench->watcher, "other", &sum);
    assert_int_equal(sum.requests[PLATFORM_LIST][PLATFORM_DONE], 0);
    watcher_add_counts(bench->watcher, "fake", &sum);
    assert_int_equal(sum.requests[PLATFORM_LIST][PLATFORM_DONE], 5);
}

static void service_that_is_not_configured_any_more_is_let_go(void **state)
{
    struct bench *bench = *state;
    seat(bench, "one", &bench->fakes[0]);
    seat(bench, "two", &bench->fakes[1]);
    watcher_sweep(bench->watcher);
    assert_true(watcher_has(bench->watcher, "one"));
    seat(bench, "two", &bench->fakes[2]);
    pass(bench, 0);
    watcher_sweep(bench->watcher);
    assert_false(watcher_has(bench->watcher, "one"));
    assert_true(watcher_has(bench->watcher, "two"));
}

static void missing_provider_is_a_condition_at_once(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(watcher_seat(bench->watcher, "shop", NULL, EVERY_US, "no token"), OK);
    pass(bench, 0);
    assert_non_null(strstr(watcher_condition(bench->watcher), "no token"));
    seat(bench, "shop", &bench->fakes[0]);
    assert_null(watcher_condition(bench->watcher));
    bench->fakes[0].is_refusing = true;
    pass(bench, SECOND_US);
    bench->fakes[0].is_refusing = false;
    pass(bench, EVERY_US + SECOND_US);
    assert_int_equal(bench->fakes[0].asked, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_bench, close_bench)
        TEST(project_is_looked_at_at_its_pace),
        TEST(looks_of_all_services_keep_their_distance),
        TEST(none_of_many_is_passed_over),
        TEST(failure_is_a_condition_when_it_lasts),
        TEST(answer_that_says_when_is_obeyed),
        TEST(logs_are_asked_for_between_two_looks),
        TEST(other_provider_is_asked_anew_and_the_old_answer_is_lost),
        TEST(service_that_is_not_configured_any_more_is_let_go),
        TEST(missing_provider_is_a_condition_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
